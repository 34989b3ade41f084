#include "lib/rings/rings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"
#include "lib/core/sealed.h"
#include "lib/route/ring.h"

/*
 * The file, by lines; a ring is its topology_ring_text() with what it takes to reach the servers, which has
 * no line ends:
 *
 *     squeal-rings 1
 *     cluster front1
 *     current {...}
 *     before 1700000000000000 {...}	(until when it was the current one; the latest first)
 *     out 10.0.0.9:11211
 *     sum 0123456789abcdef		(of everything above)
 */
#define FIRST_LINE "squeal-rings 1"

enum { FILE_MAX = 64 << 20 };

struct before {
	uint64_t until_us;
	char *text;		   /* whole, for the file */
	char *ring;		   /* without what it takes to reach the servers, for comparing */
	struct topology *topology; /* the one cluster */
};

struct rings {
	char *path; /* "" for none */
	char *cluster;
	char *current; /* whole; NULL: none is known */
	struct before before[RINGS_MAX];
	size_t n;
	const struct cluster *clusters[RINGS_MAX]; /* of `before` */
	char **out;
	size_t nout;
};

void
rings_path(const struct topology *t, const struct cluster *c, struct buf *out)
{
	if (c->opt.cursors[0] == '\0' && strcmp(t->log.type, "sqlite") != 0)
		return;
	topology_cursor_path(t, c, out);
	buf_put_str(out, ".rings");
}

/* --- what is in memory ------------------------------------------------------------------------------------
 */

static char *
ring_text(const struct cluster *c, bool reach)
{
	struct buf text = BUF_INIT;
	char *copy;

	topology_ring_text(c, reach, &text);
	copy = span_dup(buf_span(&text));
	buf_fini(&text);
	return copy;
}

static void
before_fini(struct before *b)
{
	free(b->text);
	free(b->ring);
	topology_destroy(&b->topology);
}

static err_t
before_init(struct before *b, struct span text, uint64_t until_us, struct err_detail *why)
{
	err_t err;

	*b = (struct before){.until_us = until_us};
	err = topology_parse(&b->topology, text, "the ring of before", why);
	if (err == ERR_OK && b->topology->nclusters != 1)
		err = err_set(why, ERR_CORRUPT, "a ring of before has %zu clusters", b->topology->nclusters);
	if (err == ERR_OK) {
		b->text = span_dup(text);
		b->ring = ring_text(&b->topology->clusters[0], false);
	}
	if (err != ERR_OK)
		before_fini(b);
	return err;
}

static void
drop_before(struct rings *r, size_t i)
{
	before_fini(&r->before[i]);
	r->n--;
	memmove(&r->before[i], &r->before[i + 1], (r->n - i) * sizeof(r->before[0]));
}

static void
drop_out(struct rings *r, size_t i)
{
	free(r->out[i]);
	r->nout--;
	memmove(&r->out[i], &r->out[i + 1], (r->nout - i) * sizeof(r->out[0]));
}

static bool
find_out(const struct rings *r, const char *server, size_t *i)
{
	for (*i = 0; *i < r->nout; ++*i) {
		if (strcmp(r->out[*i], server) == 0)
			return true;
	}
	return false;
}

static void
add_out(struct rings *r, const char *server)
{
	size_t i;

	if (find_out(r, server, &i))
		return;
	r->out = mem_realloc(r->out, (r->nout + 1) * sizeof(r->out[0]));
	r->out[r->nout++] = mem_strdup(server);
}

static bool
has_server(const struct cluster *c, const struct server_options *o)
{
	for (size_t i = 0; i < c->nservers; i++) {
		if (c->servers[i].port == o->port && strcmp(c->servers[i].host, o->host) == 0)
			return true;
	}
	return false;
}

/* A change is made to a copy, written, and only then taken. */
static struct rings *
rings_copy(const struct rings *r)
{
	struct rings *copy = MEM_NEW(struct rings);

	copy->path = mem_strdup(r->path);
	copy->cluster = mem_strdup(r->cluster);
	copy->current = r->current != NULL ? mem_strdup(r->current) : NULL;
	for (; copy->n < r->n; copy->n++) {
		struct err_detail why = {0};

		if (before_init(&copy->before[copy->n], span_of(r->before[copy->n].text),
				r->before[copy->n].until_us, &why) != ERR_OK)
			abort(); /* it was parsed before */
	}
	for (size_t i = 0; i < r->nout; i++)
		add_out(copy, r->out[i]);
	return copy;
}

static void
rings_fini(struct rings *r)
{
	while (r->n > 0)
		drop_before(r, r->n - 1);
	while (r->nout > 0)
		drop_out(r, r->nout - 1);
	free(r->out);
	free(r->current);
	free(r->cluster);
	free(r->path);
}

void
rings_destroy(struct rings **r)
{
	if (*r == NULL)
		return;
	rings_fini(*r);
	free(*r);
	*r = NULL;
}

/* *r becomes what `next` is, which goes. */
static void
rings_become(struct rings *r, struct rings **next)
{
	struct rings old = *r;

	*r = **next;
	**next = old;
	rings_destroy(next);
	for (size_t i = 0; i < r->n; i++)
		r->clusters[i] = &r->before[i].topology->clusters[0];
}

/* --- the file ---------------------------------------------------------------------------------------------
 */

void
rings_text(const struct rings *r, struct buf *out)
{
	size_t begin = out->len;

	buf_printf(out, FIRST_LINE "\ncluster %s\n", r->cluster);
	buf_printf(out, "current %s\n", r->current);
	for (size_t i = 0; i < r->n; i++)
		buf_printf(out, "before %" PRIu64 " %s\n", r->before[i].until_us, r->before[i].text);
	for (size_t i = 0; i < r->nout; i++)
		buf_printf(out, "out %s\n", r->out[i]);
	sealed_end(out, begin);
}

static err_t
save(const struct rings *r, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	if (r->path[0] == '\0')
		return ERR_OK;
	rings_text(r, &text);
	err = file_replace(r->path, buf_span(&text), why);
	buf_fini(&text);
	return err;
}

static err_t
damaged(const struct rings *r, const char *what, struct err_detail *why)
{
	return err_set(
	    why, ERR_CORRUPT,
	    "%s: %s.  It says which old rings still get deletes.  Without it: flush every server that is no "
	    "longer listed, or of which keys were taken since the last seal, and move the file away",
	    r->path, what);
}

static err_t
load_line(struct rings *r, struct span line, struct err_detail *why)
{
	struct err_detail detail = {0};
	struct span rest, number;
	uint64_t until_us;

	if (sealed_line_is(line, "cluster", &rest)) {
		if (!span_is(rest, r->cluster))
			return err_set(
			    why, ERR_CONFIG,
			    "%s is the file of cluster \"%.*s\", not of \"%s\"; give each cluster cursors of "
			    "its own",
			    r->path, SPAN_FMT(span_first(rest, 64)), r->cluster);
		return ERR_OK;
	}
	if (sealed_line_is(line, "current", &rest)) {
		free(r->current);
		r->current = span_dup(rest);
		return ERR_OK;
	}
	if (sealed_line_is(line, "out", &rest)) {
		char *name = span_dup(rest);

		add_out(r, name);
		free(name);
		return ERR_OK;
	}
	if (!sealed_line_is(line, "before", &rest))
		return damaged(r, "a line that is none of this file's", why);
	number = span_cut(&rest, ' ');
	if (r->n == RINGS_MAX || !span_u64(number, &until_us))
		return damaged(r, "a line that this program did not write", why);
	if (before_init(&r->before[r->n], rest, until_us, &detail) != ERR_OK)
		return damaged(r, err_why(&detail), why);
	r->n++;
	return ERR_OK;
}

static err_t
load_text(struct rings *r, struct span text, struct err_detail *why)
{
	struct span rest, line;
	const char *wrong = sealed_lines(text, FIRST_LINE, &rest);
	err_t err = ERR_OK;

	if (wrong != NULL)
		return damaged(r, wrong, why);
	while (err == ERR_OK && option_line(&rest, &line))
		err = load_line(r, line, why);
	if (err == ERR_OK && r->current == NULL)
		err = damaged(r, "it names no current ring", why);
	return err;
}

static struct rings *
make(const char *path, const char *cluster)
{
	struct rings *r = MEM_NEW(struct rings);

	r->path = mem_strdup(path);
	r->cluster = mem_strdup(cluster);
	return r;
}

/* The whole of it: `err` is how it went. */
static err_t
hand_over(struct rings **out, struct rings *r, err_t err)
{
	*out = NULL;
	if (err == ERR_OK) {
		for (size_t i = 0; i < r->n; i++)
			r->clusters[i] = &r->before[i].topology->clusters[0];
		*out = r;
		r = NULL;
	}
	rings_destroy(&r);
	return err;
}

err_t
rings_load(struct rings **out, const char *path, const char *cluster, struct err_detail *why)
{
	struct rings *r = make(path, cluster);
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;

	if (path[0] != '\0' && (access(path, F_OK) == 0 || errno != ENOENT)) {
		err = file_read(path, FILE_MAX, &text, why);
		if (err == ERR_OK)
			err = load_text(r, buf_span(&text), why);
	}
	buf_fini(&text);
	return hand_over(out, r, err);
}

err_t
rings_parse(struct rings **out, struct span text, const char *name, const char *cluster,
	    struct err_detail *why)
{
	struct rings *r = make(name, cluster);
	err_t err = load_text(r, text, why);

	r->path[0] = '\0';
	return hand_over(out, r, err);
}

/* --- changes ----------------------------------------------------------------------------------------------
 */

/* The current ring becomes the first of before, once. */
static err_t
push_current(struct rings *r, uint64_t at_us, struct err_detail *why)
{
	struct before b;
	err_t err = before_init(&b, span_of(r->current), at_us, why);

	if (err != ERR_OK)
		return err;
	for (size_t i = r->n; i > 0; i--) {
		if (strcmp(r->before[i - 1].ring, b.ring) == 0)
			drop_before(r, i - 1);
	}
	if (r->n == RINGS_MAX) {
		before_fini(&b);
		return err_set(why, ERR_CONFIG,
			       "%d earlier rings of cluster \"%s\" are not sealed; seal them (squealctl "
			       "seal) before the "
			       "ring is changed again, when that is safe (docs/routing.md)",
			       RINGS_MAX, r->cluster);
	}
	memmove(&r->before[1], &r->before[0], r->n * sizeof(r->before[0]));
	r->before[0] = b;
	r->n++;
	return ERR_OK;
}

/* The ring of a whole text. */
static char *
ring_of(const char *text)
{
	struct err_detail why = {0};
	struct before b;
	char *ring;

	if (before_init(&b, span_of(text), 0, &why) != ERR_OK)
		return NULL;
	ring = mem_strdup(b.ring);
	before_fini(&b);
	return ring;
}

/*
 * What is to be when the cluster is `now`; *out is NULL where that is what there is.  *changed: another ring,
 * the former is among those of before.
 */
static err_t
next_rings(const struct rings *r, const struct cluster *now, uint64_t at_us, struct rings **out,
	   bool *changed, struct err_detail *why)
{
	char *whole = ring_text(now, true), *ring = ring_text(now, false);
	char *last = r->current != NULL ? ring_of(r->current) : NULL;
	struct rings *next = NULL;
	err_t err = ERR_OK;

	*changed = r->current != NULL && (last == NULL || strcmp(last, ring) != 0);
	if (r->current != NULL && strcmp(r->current, whole) == 0)
		goto done;
	next = rings_copy(r);
	for (size_t i = next->n; i > 0 && *changed; i--) {
		if (strcmp(next->before[i - 1].ring, ring) == 0)
			drop_before(next, i - 1); /* it is the current one again */
	}
	if (*changed)
		err = push_current(next, at_us, why);
	free(next->current);
	next->current = whole;
	whole = NULL;
	if (err != ERR_OK)
		rings_destroy(&next);
done:
	*out = next;
	free(whole);
	free(ring);
	free(last);
	return err;
}

err_t
rings_take(struct rings *r, const struct cluster *now, uint64_t at_us, bool *changed, struct err_detail *why)
{
	struct rings *next = NULL;
	err_t err = next_rings(r, now, at_us, &next, changed, why);

	if (err == ERR_OK && *changed && r->path[0] == '\0')
		err = err_set(
		    why, ERR_CONFIG,
		    "the ring of cluster \"%s\" has changed, and there is no file to remember the old one "
		    "in, whose owners need the deletes still; set cursors of the cluster",
		    r->cluster);
	if (err == ERR_OK && next != NULL)
		err = save(next, why);
	if (err == ERR_OK && next != NULL)
		rings_become(r, &next);
	if (err != ERR_OK)
		*changed = false;
	rings_destroy(&next);
	return err;
}

err_t
rings_plan(struct rings *r, const struct cluster *now, struct err_detail *why)
{
	struct rings *next = NULL;
	bool changed;
	err_t err = next_rings(r, now, 0, &next, &changed, why);

	if (err == ERR_OK && next != NULL)
		rings_become(r, &next);
	rings_destroy(&next);
	return err;
}

const struct cluster *const *
rings_before(const struct rings *r, size_t *n)
{
	*n = r->n;
	return r->clusters;
}

err_t
rings_seal(struct rings *r, uint64_t at_us, size_t *sealed, struct err_detail *why)
{
	struct rings *next;
	struct before now;
	err_t err;

	*sealed = 0;
	if (r->n == 0)
		return ERR_OK;
	err = before_init(&now, span_of(r->current), at_us, why);
	if (err != ERR_OK)
		return err;
	next = rings_copy(r);
	for (; next->n > 0; drop_before(next, next->n - 1)) {
		const struct cluster *c = &next->before[next->n - 1].topology->clusters[0];

		for (size_t i = 0; i < c->nservers; i++) {
			struct buf name = BUF_INIT;

			ring_server_name(&c->servers[i], &name);
			if (!has_server(&now.topology->clusters[0], &c->servers[i]))
				add_out(next, buf_str(&name));
			buf_fini(&name);
		}
	}
	err = save(next, why);
	if (err == ERR_OK) {
		*sealed = r->n;
		rings_become(r, &next);
	}
	rings_destroy(&next);
	before_fini(&now);
	return err;
}

bool
rings_was_out(const struct rings *r, const char *server)
{
	size_t i;

	return find_out(r, server, &i);
}

err_t
rings_flushed(struct rings *r, const char *server, struct err_detail *why)
{
	struct rings *next;
	size_t i;
	err_t err;

	if (!find_out(r, server, &i))
		return ERR_OK;
	next = rings_copy(r);
	drop_out(next, i);
	err = save(next, why);
	if (err == ERR_OK)
		rings_become(r, &next);
	rings_destroy(&next);
	return err;
}

void
rings_status(const struct rings *r, struct json *j)
{
	json_kv_u64(j, "unsealed_rings", r->n);
	json_name(j, "rings");
	json_object(j);
	json_name(j, "unsealed");
	json_array(j);
	for (size_t i = 0; i < r->n; i++) {
		json_object(j);
		json_kv_u64(j, "until_us", r->before[i].until_us);
		json_name(j, "servers");
		json_array(j);
		for (size_t s = 0; s < r->clusters[i]->nservers; s++) {
			struct buf name = BUF_INIT;

			ring_server_name(&r->clusters[i]->servers[s], &name);
			json_str(j, buf_str(&name));
			buf_fini(&name);
		}
		json_array_end(j);
		json_object_end(j);
	}
	json_array_end(j);
	json_name(j, "sealed_out");
	json_array(j);
	for (size_t i = 0; i < r->nout; i++)
		json_str(j, r->out[i]);
	json_array_end(j);
	json_object_end(j);
}
