#include "router/recall.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "router/memory.h"

struct recall {
	const struct router_setup *setup;
	struct memory *memory;
	bool failed; /* the last time that it was to be written; said once */
};

void
recall_path(const struct topology *t, const struct cluster *c, const char *instance, struct buf *out)
{
	bool file = strcmp(t->log.type, "sqlite") == 0;

	if (c->opt.cursors[0] == '\0' && !file)
		return;
	topology_cursor_path(t, c, out);
	if (!file)
		buf_putc(out, '.');
	for (const char *p = instance; *p != '\0' && !file; p++)
		buf_putc(out, isalnum((unsigned char)*p) || strchr("-_.", *p) != NULL ? *p : '_');
	buf_put_str(out, ".memory");
}

static bool
is_cold(const struct cluster *c)
{
	return strcmp(c->opt.mode, "cold") == 0;
}

/* --- writing ----------------------------------------------------------------------------------------------
 */

static err_t
wrote(struct recall *r, err_t err, const struct err_detail *why)
{
	if (err != ERR_OK && !r->failed)
		log_error(r->setup->log,
			  "what a restart must not forget cannot be written; it is tried again",
			  F_STR("reason", err_why(why)));
	else if (err == ERR_OK && r->failed)
		log_notice(r->setup->log, "what a restart must not forget is written again");
	r->failed = err != ERR_OK;
	return err;
}

static err_t
save(struct recall *r, struct err_detail *why)
{
	err_t err = memory_save(r->memory, why);

	return wrote(r, err, why);
}

/* --- deliveries -------------------------------------------------------------------------------------------
 */

static void
apply_pauses(const struct recall *r, struct delivery *d)
{
	for (size_t i = 0; i < delivery_nservers(d); i++) {
		const char *name = server_name(delivery_server(d, i));

		delivery_pause(d, name, memory_is_paused(r->memory, name));
	}
}

void
recall_tell(const struct recall *r, struct delivery *d)
{
	for (size_t i = 0; i < delivery_nservers(d); i++) {
		const struct lane *lane = delivery_lane(d, i);
		struct server *s = delivery_server(d, i);
		struct server_past past;

		/* One that is flushed anyway may be anybody. */
		if (lane->unproven || lane->distrust)
			continue;
		if (memory_past(r->memory, server_name(s), &past))
			server_recall(s, &past);
	}
	apply_pauses(r, d);
}

static bool
is_server(void *arg, const char *name)
{
	size_t i;

	return route_server_find(arg, name, &i);
}

void
recall_changed(struct recall *r, const struct route *route, const struct routing_users *users)
{
	struct err_detail why = {0};

	memory_keep(r->memory, is_server, (void *)route);
	for (size_t i = 0; i < users->n; i++)
		recall_tell(r, users->deliveries[i]);
	(void)save(r, &why);
}

/* Its values are what our deletes have made of them. */
static bool
is_trusted(const struct lane *lane)
{
	return !lane->unproven && !lane->distrust && !lane_in_gap(lane);
}

/* Of all connections to a server the one that was heard last counts. */
static void
learn(struct recall *r, const struct routing_users *users, size_t server)
{
	struct server_past best = {0}, past;
	const struct server *s = NULL;
	bool known = false;

	for (size_t u = 0; u < users->n; u++) {
		const struct lane *lane = delivery_lane(users->deliveries[u], server);

		if (server_greetings(lane->server) == 0)
			continue;
		if (!is_trusted(lane))
			return;
		s = lane->server;
		if (!server_past(s, &past) || (known && past.heard_ms < best.heard_ms))
			continue;
		best = past;
		known = true;
	}
	if (s != NULL)
		memory_learn(r->memory, server_name(s), known ? &best : NULL);
}

void
recall_look(struct recall *r, const struct routing_users *users)
{
	struct err_detail why = {0};

	for (size_t i = 0; users->n > 0 && i < delivery_nservers(users->deliveries[0]); i++)
		learn(r, users, i);
	(void)save(r, &why);
}

void
recall_saving(struct recall *r)
{
	memory_heard(r->memory);
}

/* --- what squealctl says ----------------------------------------------------------------------------------
 */

err_t
recall_pause(struct recall *r, const char *server, bool paused, const struct routing_users *users,
	     struct err_detail *why)
{
	memory_pause(r->memory, server, paused);
	for (size_t i = 0; i < users->n; i++)
		apply_pauses(r, users->deliveries[i]);
	return save(r, why);
}

err_t
recall_mode(struct recall *r, bool cold, struct err_detail *why)
{
	memory_mode(r->memory, cold, is_cold(r->setup->cluster));
	return save(r, why);
}

bool
recall_is_cold(struct recall *r)
{
	return memory_is_cold(r->memory, is_cold(r->setup->cluster));
}

/* --- life -------------------------------------------------------------------------------------------------
 */

err_t
recall_open(struct recall **out, const struct router_setup *setup, struct err_detail *why)
{
	struct recall *r = MEM_NEW(struct recall);
	struct buf path = BUF_INIT;
	err_t err;

	r->setup = setup;
	recall_path(setup->topology, setup->cluster, setup->instance, &path);
	err = memory_load(&r->memory, buf_str(&path), setup->cluster->opt.name, setup->clock, why);
	buf_fini(&path);
	if (err != ERR_OK) {
		free(r);
		r = NULL;
	} else if (memory_trouble(r->memory)[0] != '\0') {
		log_error(setup->log, "what squealctl said before this start is forgotten",
			  F_STR("reason", memory_trouble(r->memory)));
	}
	*out = r;
	return err;
}

void
recall_own(struct recall *r)
{
	struct err_detail why = {0};

	memory_own(r->memory);
	if (memory_has_pause(r->memory))
		log_warn(r->setup->log,
			 "servers are paused, as squealctl said before this start; squealctl resume ends it");
	if (recall_is_cold(r) != is_cold(r->setup->cluster))
		log_notice(r->setup->log, "the mode is what squealctl said before this start",
			   F_STR("mode", recall_is_cold(r) ? "cold" : "warm"));
	(void)save(r, &why);
}

void
recall_close(struct recall **rp)
{
	struct recall *r = *rp;
	struct err_detail why = {0};

	if (r == NULL)
		return;
	(void)wrote(r, memory_stop(r->memory, &why), &why);
	memory_destroy(&r->memory);
	free(r);
	*rp = NULL;
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

bool
recall_lasts(const struct recall *r)
{
	return memory_file(r->memory) != NULL;
}

void
recall_status(const struct recall *r, struct json *j)
{
	memory_status(r->memory, j);
}
