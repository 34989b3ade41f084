#include "router/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/crash.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/route/ring.h"

void
lanes_init(struct lanes *l, const struct lanes_context *ctx)
{
	memset(l, 0, sizeof(*l));
	l->ctx = *ctx;
}

static void
drop_lane(struct lane **lane)
{
	if (*lane == NULL)
		return;
	lane_fini(*lane);
	free(*lane);
	*lane = NULL;
}

void
lanes_fini(struct lanes *l)
{
	lanes_show(l, false);
	for (size_t i = 0; i < l->n; i++)
		drop_lane(&l->lane[i]);
	free(l->lane);
	free(l->outboxes);
	memset(l, 0, sizeof(*l));
}

/* --- metrics ----------------------------------------------------------------------------------------------
 */

void
lanes_labels(const struct lanes *l, const char *server, struct buf *out)
{
	if (server != NULL)
		buf_printf(out, "server=\"%s\"", server);
	if (l->ctx.partitions > 1)
		buf_printf(out, "%spartition=\"%u\"", out->len > 0 ? "," : "", (unsigned)l->ctx.partition);
}

static void
show_lane(struct lanes *l, struct lane *lane, bool show)
{
	struct buf labels = BUF_INIT;

	if (l->ctx.registry == NULL)
		return;
	lanes_labels(l, server_name(lane->server), &labels);
	if (show) {
		metric_registry_add(l->ctx.registry, lane_metric_rows, lane_metric_nrows, &lane->metrics,
				    buf_str(&labels));
		server_metrics_add(lane->server, l->ctx.registry, buf_str(&labels));
	} else {
		metric_registry_remove(l->ctx.registry, &lane->metrics);
		server_metrics_remove(lane->server, l->ctx.registry);
	}
	buf_fini(&labels);
}

void
lanes_show(struct lanes *l, bool show)
{
	if (l->shown == show)
		return;
	l->shown = show;
	for (size_t i = 0; i < l->n; i++)
		show_lane(l, l->lane[i], show);
}

void
lanes_partitions(struct lanes *l, uint32_t partitions)
{
	bool shown = l->shown;

	lanes_show(l, false);
	l->ctx.partitions = partitions;
	lanes_show(l, shown);
	for (size_t i = 0; i < l->n; i++)
		outbox_part(l->lane[i]->outbox, l->ctx.partition, partitions);
}

/* --- who is there -----------------------------------------------------------------------------------------
 */

static err_t
make_lane(struct lanes *l, const struct server_options *opt, struct lane **out, struct err_detail *why)
{
	struct lane *lane = MEM_NEW(struct lane);
	struct server_context ctx = {0};
	struct buf name = BUF_INIT;
	err_t err;

	ring_server_name(opt, &name);
	ctx.loop = l->ctx.loop;
	ctx.opt = l->ctx.opt;
	ctx.log = l->ctx.log;
	ctx.seed = hash_span(buf_span(&name), l->ctx.seed + l->ctx.partition);
	ctx.on_progress = l->ctx.on_progress;
	ctx.on_acked = l->ctx.on_acked;
	ctx.arg = lane;
	lane_init(lane, server_create(opt, &ctx), l->ctx.opt, l->ctx.log);
	lane->owner = l->ctx.owner;
	outbox_part(lane->outbox, l->ctx.partition, l->ctx.partitions);
	buf_fini(&name);
	err = cursor_load(l->ctx.cursors, &lane->cursor, &lane->had_cursor, why);
	if (err != ERR_OK)
		drop_lane(&lane);
	*out = lane;
	return err;
}

/* The lane of the server that `opt` names; NULL when there is none, or when it is now somewhere else. */
static struct lane *
find_lane(const struct lanes *l, const struct server_options *opt)
{
	struct buf name = BUF_INIT, address = BUF_INIT;
	struct lane *found = NULL;

	ring_server_name(opt, &name);
	topology_server_address(opt, &address);
	for (size_t i = 0; i < l->n && found == NULL; i++) {
		if (strcmp(server_name(l->lane[i]->server), buf_str(&name)) == 0 &&
		    strcmp(server_address(l->lane[i]->server), buf_str(&address)) == 0)
			found = l->lane[i];
	}
	buf_fini(&name);
	buf_fini(&address);
	return found;
}

static bool
holds_lane(struct lane *const *lanes, size_t n, const struct lane *lane)
{
	for (size_t i = 0; i < n; i++) {
		if (lanes[i] == lane)
			return true;
	}
	return false;
}

static bool
holds_name(struct lane *const *lanes, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(server_name(lanes[i]->server), name) == 0)
			return true;
	}
	return false;
}

/* Those that are not among the `n` of `now` go. */
static void
drop_others(struct lanes *l, struct lane *const *now, size_t n)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *name = server_name(l->lane[i]->server);
		struct err_detail why = {0};

		if (holds_lane(now, n, l->lane[i]))
			continue;
		if (!holds_name(now, n, name) && cursor_forget(l->ctx.cursors, name, &why) != ERR_OK)
			log_error(l->ctx.log, "the cursor of a server that left the cluster stays",
				  F_STR("server", name), F_STR("reason", err_why(&why)));
		if (l->shown)
			show_lane(l, l->lane[i], false);
		drop_lane(&l->lane[i]);
	}
}

err_t
lanes_set(struct lanes *l, const struct server_options *const *servers, const bool *anew, size_t n,
	  struct err_detail *why)
{
	struct lane **now = mem_zalloc(n + 1, sizeof(now[0]));
	bool *made = mem_zalloc(n + 1, sizeof(made[0]));
	err_t err = ERR_OK;

	for (size_t i = 0; i < n && err == ERR_OK; i++) {
		now[i] = find_lane(l, servers[i]);
		made[i] = now[i] == NULL;
		if (!made[i])
			continue;
		err = make_lane(l, servers[i], &now[i], why);
		/* The same name at another address: who knows what is there. */
		if (err == ERR_OK &&
		    ((anew != NULL && anew[i]) || holds_name(l->lane, l->n, server_name(now[i]->server))))
			lane_distrust(now[i]);
	}
	if (err != ERR_OK) {
		for (size_t i = 0; i < n; i++) {
			if (made[i])
				drop_lane(&now[i]);
		}
		free(now);
		goto done;
	}
	drop_others(l, now, n);
	free(l->lane);
	l->lane = now;
	l->n = n;
	l->outboxes = mem_realloc(l->outboxes, (n + 1) * sizeof(l->outboxes[0]));
	for (size_t i = 0; i < n; i++) {
		l->outboxes[i] = now[i]->outbox;
		if (made[i] && l->shown)
			show_lane(l, now[i], true);
	}
done:
	free(made);
	return err;
}

/* --- all of them ------------------------------------------------------------------------------------------
 */

void
lanes_connect(struct lanes *l, const char *server)
{
	for (size_t i = 0; i < l->n; i++) {
		if (server == NULL || strcmp(server, server_name(l->lane[i]->server)) == 0)
			lane_start(l->lane[i]);
	}
}

bool
lanes_pause(struct lanes *l, const char *server, bool pause)
{
	bool found = server == NULL;

	for (size_t i = 0; i < l->n; i++) {
		if (server != NULL && strcmp(server, server_name(l->lane[i]->server)) != 0)
			continue;
		found = true;
		lane_pause(l->lane[i], pause);
	}
	return found;
}

err_t
lanes_save(struct lanes *l, size_t *n, struct err_detail *why)
{
	struct cursor *cursors = mem_zalloc(l->n + 1, sizeof(cursors[0]));
	err_t err = ERR_OK;

	*n = 0;
	for (size_t i = 0; i < l->n; i++)
		*n += lane_cursor(l->lane[i], &cursors[*n]);
	if (*n == 0)
		goto done;
	CRASH_POINT("router.cursor.before");
	err = cursor_save(l->ctx.cursors, cursors, *n, why);
	CRASH_POINT("router.cursor.after");
	for (size_t i = 0, c = 0; err == ERR_OK && i < l->n && c < *n; i++) {
		if (cursors[c].server == l->lane[i]->cursor.server)
			l->lane[i]->cursor = cursors[c++];
	}
done:
	free(cursors);
	return err;
}
