#include "replay/command/standing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ask/answer.h"
#include "lib/ask/ask.h"
#include "lib/ask/place.h"
#include "lib/core/json.h"
#include "lib/core/mem.h"
#include "lib/rings/rings.h"
#include "replay/plan/words.h"

/* Of one cluster. */
struct standing {
	const struct cluster *cluster;
	bool chosen;
	enum standing_from { KNOWN_NOT, KNOWN_BY_HAND, KNOWN_BY_FILE, KNOWN_BY_ROUTER } known;
	bool cold;
	struct rings **rings; /* of each router that answered, or of the file */
	size_t nrings;
	const struct cluster **before; /* of all of them, and by hand */
	size_t nbefore;
	struct buf silence; /* why its router could not be asked */
	struct buf note;
};

struct standings {
	struct standing *at; /* per cluster of the topology */
	size_t n;
	struct targets_now *now;
	struct topology **by_hand;
	size_t nby_hand;
};

static const char *const known_names[] = {"nothing", "hand", "file", "router"};

/* --- rings ------------------------------------------------------------------------------------------------
 */

static bool
is_same_ring(const struct cluster *a, const struct cluster *b)
{
	struct buf left = BUF_INIT, right = BUF_INIT;
	bool same;

	topology_ring_text(a, false, &left);
	topology_ring_text(b, false, &right);
	same = span_eq(buf_span(&left), buf_span(&right));
	buf_fini(&left);
	buf_fini(&right);
	return same;
}

/* Once. */
static void
add_before(struct standing *s, const struct cluster *ring)
{
	if (is_same_ring(ring, s->cluster))
		return;
	for (size_t i = 0; i < s->nbefore; i++) {
		if (is_same_ring(ring, s->before[i]))
			return;
	}
	s->before = mem_realloc(s->before, (s->nbefore + 1) * sizeof(*s->before));
	s->before[s->nbefore++] = ring;
}

/* Takes *r over. */
static err_t
add_rings(struct standing *s, struct rings **r, enum standing_from known, struct err_detail *why)
{
	const struct cluster *const *before;
	size_t n;
	err_t err = rings_plan(*r, s->cluster, why);

	if (err != ERR_OK) {
		rings_destroy(r);
		return err;
	}
	s->rings = mem_realloc(s->rings, (s->nrings + 1) * sizeof(*s->rings));
	s->rings[s->nrings++] = *r;
	before = rings_before(*r, &n);
	for (size_t i = 0; i < n; i++)
		add_before(s, before[i]);
	*r = NULL;
	s->known = known;
	return ERR_OK;
}

/* --- routers ----------------------------------------------------------------------------------------------
 */

static struct standing *
find(struct standings *s, struct span cluster)
{
	for (size_t i = 0; i < s->n; i++) {
		if (span_is(cluster, s->at[i].cluster->opt.name))
			return &s->at[i];
	}
	return NULL;
}

static err_t
take_rings(struct standing *s, const char *address, struct err_detail *why)
{
	const struct ask q = {address, "/rings", false, STANDING_TIMEOUT_MS};
	struct buf body = BUF_INIT, name = BUF_INIT;
	struct rings *rings = NULL;
	int status = 0;
	err_t err = ask(&q, &body, &status, why);

	buf_printf(&name, "what %s/rings says", address);
	if (err == ERR_OK && status != 200)
		err = err_set(why, ERR_PROTOCOL, "it does not tell its rings; it is an older version");
	if (err == ERR_OK)
		err = rings_parse(&rings, buf_span(&body), buf_str(&name), s->cluster->opt.name, why);
	if (err == ERR_OK)
		err = add_rings(s, &rings, KNOWN_BY_ROUTER, why);
	buf_fini(&body);
	buf_fini(&name);
	return err;
}

/* `expected`: the cluster that it should be of; NULL where it was given by hand. */
static err_t
ask_router(struct standings *s, const char *address, const char *expected, struct err_detail *why)
{
	const struct ask q = {address, "/status", false, STANDING_TIMEOUT_MS};
	struct answer a = {0};
	struct standing *of = NULL;
	struct span name;
	err_t err = ask(&q, &a.body, &a.status, why);

	if (err == ERR_OK)
		err = yaml_create(&a.tree, buf_span(&a.body), "its answer", why);
	if (err != ERR_OK)
		goto done;
	name = answer_text(answer_root(&a), "cluster");
	of = find(s, name);
	if (name.len == 0)
		err = err_set(why, ERR_PROTOCOL, "whoever answers there is not a router");
	else if (expected != NULL && !span_is(name, expected))
		err = err_set(why, ERR_PROTOCOL, "the router of cluster \"%.*s\" answers there",
			      SPAN_FMT(span_first(name, 64)));
	else if (of == NULL)
		err = err_set(why, ERR_USAGE,
			      "it is the router of cluster \"%.*s\", which squeal.yaml does not have",
			      SPAN_FMT(span_first(name, 64)));
	if (err != ERR_OK || !of->chosen)
		goto done;
	err = take_rings(of, address, why);
	if (err == ERR_OK)
		of->cold = of->cold || span_is(answer_text(answer_root(&a), "mode"), "cold");
done:
	buf_fini(&a.body);
	yaml_destroy(&a.tree);
	return err;
}

/* The port that squeal.yaml says. */
static void
ask_own(struct standings *s, struct standing *one, const struct topology *t)
{
	const struct place_choice choice = {.cluster = one->cluster->opt.name};
	struct places places = {0};
	struct err_detail why = {0};
	bool asked = false;

	if (places_find(&places, t, &choice, &why) != ERR_OK) {
		buf_put_str(&one->silence, err_why(&why));
		return;
	}
	for (size_t i = 0; i < places.n; i++) {
		if (places.at[i].address == NULL)
			continue;
		asked = true;
		if (ask_router(s, places.at[i].address, one->cluster->opt.name, &why) != ERR_OK) {
			buf_printf(&one->silence, "at %s ", places.at[i].address);
			buf_put_str(&one->silence, err_why(&why));
		}
	}
	if (!asked)
		buf_put_str(&one->silence, "it has no admin port");
	places_fini(&places);
}

static err_t
ask_others(struct standings *s, const struct arguments *a, struct err_detail *why)
{
	struct places places = {0};
	const struct place_choice choice = {.admin = (const char *const *)a->admin.at, .nadmin = a->admin.n};
	err_t err;

	if (a->admin.n == 0)
		return ERR_OK;
	err = places_find(&places, NULL, &choice, why);
	for (size_t i = 0; i < places.n && err == ERR_OK; i++) {
		err = ask_router(s, places.at[i].address, NULL, why);
		if (err != ERR_OK)
			err_wrap(why, "--admin %s", places.at[i].address);
	}
	places_fini(&places);
	return err;
}

/* --- the router's file, and what is said by hand ----------------------------------------------------------
 */

static void
read_file(struct standing *s, const struct topology *t)
{
	struct err_detail why = {0};
	struct rings *rings = NULL;
	struct buf path = BUF_INIT;
	bool asked = s->cluster->opt.admin[0] != '\0'; /* without a port nobody has switched the mode */

	rings_path(t, s->cluster, &path);
	if (path.len == 0)
		err_set(&why, ERR_NOT_FOUND, "it has no file here");
	else if (access(buf_str(&path), F_OK) != 0)
		err_set(&why, ERR_NOT_FOUND, "its file %s is not here", buf_str(&path));
	else if (rings_load(&rings, buf_str(&path), s->cluster->opt.name, &why) == ERR_OK)
		(void)!add_rings(s, &rings, KNOWN_BY_FILE, &why);
	if (s->known == KNOWN_BY_FILE && asked)
		buf_printf(&s->note,
			   "the router of %s could not be asked (%s): former rings are those in its file %s, "
			   "and the mode is squeal.yaml's, %s, unless --mode says another",
			   s->cluster->opt.name, buf_str(&s->silence), buf_str(&path), s->cluster->opt.mode);
	else if (s->known == KNOWN_NOT)
		buf_printf(
		    &s->note,
		    "the router of %s could not be asked (%s), and %s: deletes go to the owners by "
		    "squeal.yaml only, in its mode, %s; if its ring was changed and not sealed, name the "
		    "squeal.yaml of before with --ring-of FILE",
		    s->cluster->opt.name, buf_str(&s->silence), err_why(&why), s->cluster->opt.mode);
	buf_fini(&path);
}

static err_t
take_by_hand(struct standings *s, const char *path, struct err_detail *why)
{
	struct topology *t = NULL;
	bool found = false;
	err_t err = topology_load(&t, path, why);

	if (err != ERR_OK)
		return err;
	s->by_hand = mem_realloc(s->by_hand, (s->nby_hand + 1) * sizeof(*s->by_hand));
	s->by_hand[s->nby_hand++] = t;
	for (size_t i = 0; i < t->nclusters; i++) {
		struct standing *one = find(s, span_of(t->clusters[i].opt.name));

		if (one == NULL || !one->chosen)
			continue;
		found = true;
		add_before(one, &t->clusters[i]);
		if (one->known == KNOWN_NOT) {
			one->known = KNOWN_BY_HAND;
			buf_clear(&one->note);
		}
	}
	return found ? ERR_OK
		     : err_set(why, ERR_USAGE, "--ring-of %s: it has none of the clusters that were chosen",
			       path);
}

/* --- all of it --------------------------------------------------------------------------------------------
 */

static bool
is_chosen(const struct arguments *a, const char *name)
{
	for (size_t i = 0; i < a->clusters.n; i++) {
		if (strcmp(a->clusters.at[i], name) == 0)
			return true;
	}
	return a->clusters.n == 0;
}

static void
set_mode(struct standings *s, const char *mode)
{
	for (size_t i = 0; i < s->n && strcmp(mode, "auto") != 0; i++)
		s->at[i].cold = strcmp(mode, "cold") == 0;
}

err_t
standings_find(struct standings **out, const struct topology *t, const struct arguments *a,
	       struct err_detail *why)
{
	struct standings *s = MEM_NEW(struct standings);
	err_t err = ERR_OK;

	*out = NULL;
	s->n = t->nclusters;
	s->at = mem_zalloc(s->n + 1, sizeof(*s->at));
	s->now = mem_zalloc(s->n + 1, sizeof(*s->now));
	for (size_t i = 0; i < s->n; i++) {
		s->at[i].cluster = &t->clusters[i];
		s->at[i].chosen = is_chosen(a, t->clusters[i].opt.name);
	}
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i].chosen)
			ask_own(s, &s->at[i], t);
	}
	err = ask_others(s, a, why);
	for (size_t i = 0; i < s->n && err == ERR_OK; i++) {
		struct standing *one = &s->at[i];

		if (!one->chosen || one->known == KNOWN_BY_ROUTER)
			continue;
		one->cold = strcmp(one->cluster->opt.mode, "cold") == 0;
		read_file(one, t);
	}
	for (size_t i = 0; i < a->rings_of.n && err == ERR_OK; i++)
		err = take_by_hand(s, a->rings_of.at[i], why);
	set_mode(s, a->plan.mode);
	for (size_t i = 0; i < s->n; i++)
		s->now[i] = (struct targets_now){
		    .before = s->at[i].before,
		    .nbefore = a->no_former ? 0 : s->at[i].nbefore,
		    .cold = s->at[i].cold,
		};
	if (err != ERR_OK)
		standings_destroy(&s);
	*out = s;
	return err;
}

void
standings_destroy(struct standings **sp)
{
	struct standings *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++) {
		struct standing *one = &s->at[i];

		for (size_t r = 0; r < one->nrings; r++)
			rings_destroy(&one->rings[r]);
		free(one->rings);
		free(one->before);
		buf_fini(&one->silence);
		buf_fini(&one->note);
	}
	for (size_t i = 0; i < s->nby_hand; i++)
		topology_destroy(&s->by_hand[i]);
	free(s->by_hand);
	free(s->at);
	free(s->now);
	free(s);
}

const struct targets_now *
standings_now(const struct standings *s)
{
	return s->now;
}

/* --- in words ---------------------------------------------------------------------------------------------
 */

static void
put_rings(const struct standing *s, size_t used, struct buf *out)
{
	words_row("ring", out);
	buf_printf(out, "%s: ", s->cluster->opt.name);
	words_count(s->nbefore, "ring", out);
	buf_put_str(out, used > 0 ? " of before not sealed: owners by it get the deletes as well\n"
				  : " of before not sealed, and left out (--no-former)\n");
}

void
standings_text(const struct standings *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct standing *one = &s->at[i];

		if (!one->chosen)
			continue;
		if (one->nbefore > 0)
			put_rings(one, s->now[i].nbefore, out);
		if (one->cold) {
			words_row("mode", out);
			buf_printf(out, "%s is cold: fills are held off for ", one->cluster->opt.name);
			words_duration(one->cluster->opt.cold_holdoff, out);
			buf_putc(out, '\n');
		}
		if (one->note.len > 0) {
			words_row("note", out);
			buf_printf(out, "%.*s\n", SPAN_FMT(buf_span(&one->note)));
		}
	}
}

void
standings_json(const struct standings *s, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_array(&j);
	for (size_t i = 0; i < s->n; i++) {
		const struct standing *one = &s->at[i];

		if (!one->chosen)
			continue;
		json_object(&j);
		json_kv_str(&j, "cluster", one->cluster->opt.name);
		json_kv_str(&j, "known_from", known_names[one->known]);
		json_kv_u64(&j, "unsealed_rings", one->nbefore);
		json_kv_str(&j, "mode", one->cold ? "cold" : "warm");
		json_kv_span(&j, "note", buf_span(&one->note));
		json_object_end(&j);
	}
	json_array_end(&j);
}
