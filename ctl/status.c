#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "lib/ask/answer.h"

enum { WIDTH_SERVER = 28 };

static void
put_duration(struct buf *out, uint64_t us)
{
	if (us < 1000)
		buf_printf(out, "%" PRIu64 " us", us);
	else if (us < 10000)
		buf_printf(out, "%.1f ms", (double)us / 1e3);
	else if (us < 10000000)
		buf_printf(out, "%" PRIu64 " ms", us / 1000);
	else if (us < UINT64_C(7200000000))
		buf_printf(out, "%" PRIu64 " s", us / 1000000);
	else
		buf_printf(out, "%.1f h", (double)us / 3.6e9);
}

static void
put_reasons(struct buf *out, const struct answer *ready)
{
	const struct yaml_node *reasons = answer_at(answer_root(ready), "reasons");

	for (const struct yaml_node *r = reasons != NULL ? reasons->first : NULL; r != NULL; r = r->next)
		buf_printf(out, "    not ready: %.*s\n", SPAN_FMT(r->text));
}

static void
put_squeal(struct buf *out, const struct yaml_node *s, uint64_t now_us)
{
	uint64_t acked = answer_number(s, "log.acknowledged_us", 0);
	struct span server = answer_text(s, "source.server"), gap = answer_text(s, "source.gap");

	buf_printf(out, "    source %.*s: %.*s", SPAN_FMT(answer_text(s, "source.name")),
		   SPAN_FMT(answer_text(s, "source.state")));
	if (server.len > 0)
		buf_printf(out, ", %.*s", SPAN_FMT(server));
	buf_printf(out, ", heard %" PRIu64 " ms ago\n", answer_number(s, "source.silent_ms", 0));
	if (answer_text(s, "source.reason").len > 0)
		buf_printf(out, "    %.*s\n", SPAN_FMT(answer_text(s, "source.reason")));
	if (gap.len > 0)
		buf_printf(out, "    GAP: %.*s\n", SPAN_FMT(gap));
	buf_printf(out, "    log %.*s, checkpoint %.*s, %" PRIu64 " transactions, %" PRIu64 " keys",
		   SPAN_FMT(answer_text(s, "log.state")), SPAN_FMT(answer_text(s, "log.checkpoint")),
		   answer_number(s, "log.transactions", 0), answer_number(s, "log.keys", 0));
	if (acked > 0 && now_us > acked) {
		buf_put_str(out, ", last acknowledged ");
		put_duration(out, now_us - acked);
		buf_put_str(out, " ago");
	}
	buf_put_str(out, "\n");
	if (answer_true(s, "queue.full"))
		buf_put_str(out, "    its queue is full: reading waits for the log\n");
}

static void
put_server(struct buf *out, const struct yaml_node *v)
{
	bool first = true;
	const struct yaml_node *cannot = answer_at(v, "cannot");

	buf_printf(out, "    %-*.*s %-10.*s %10" PRIu64 " %10" PRIu64 " %12" PRIu64 "  ", WIDTH_SERVER,
		   SPAN_FMT(answer_text(v, "server")), SPAN_FMT(answer_text(v, "state")),
		   answer_number(v, "behind_records", 0), answer_number(v, "queue_bytes", 0),
		   answer_number(v, "deletes_acked", 0));
	if (answer_true(v, "in_gap")) {
		buf_printf(out, "GAP: %.*s; ", SPAN_FMT(answer_text(v, "last_gap.reason")));
		first = false;
	}
	if (answer_true(v, "paused")) {
		buf_put_str(out, "paused; ");
		first = false;
	}
	if (!span_is(answer_text(v, "state"), "up") && answer_text(v, "last_error").len > 0) {
		buf_printf(out, "%.*s; ", SPAN_FMT(answer_text(v, "last_error")));
		first = false;
	}
	if (first && cannot != NULL && cannot->n > 0 && cannot->first->kind == YAML_TEXT) {
		ptrdiff_t colon = span_find(cannot->first->text, SPAN_LIT(":"));

		buf_printf(out, "memcached %.*s; no %.*s", SPAN_FMT(answer_text(v, "version")),
			   SPAN_FMT(colon < 0 ? cannot->first->text
					      : span_first(cannot->first->text, (size_t)colon)));
		for (const struct yaml_node *c = cannot->first->next; c != NULL; c = c->next) {
			colon = span_find(c->text, SPAN_LIT(":"));
			buf_printf(out, ", %.*s",
				   SPAN_FMT(colon < 0 ? c->text : span_first(c->text, (size_t)colon)));
		}
	}
	while (out->len > 0 && (out->p[out->len - 1] == ' ' || out->p[out->len - 1] == ';'))
		out->len--;
	buf_putc(out, '\n');
}

static void
put_hops(struct buf *out, const struct yaml_node *s)
{
	static const char *const hops[][2] = {{"commit_to_seen", "commit to squeal"},
					      {"seen_to_queued", "through the log"},
					      {"queued_to_sent", "waiting"},
					      {"sent_to_acked", "to the server and back"}};
	char path[80];
	bool any = false;

	for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
		uint64_t p50, p99;

		snprintf(path, sizeof(path), "hops_us.%s.p50", hops[i][0]);
		p50 = answer_number(s, path, UINT64_MAX);
		snprintf(path, sizeof(path), "hops_us.%s.p99", hops[i][0]);
		p99 = answer_number(s, path, UINT64_MAX);
		if (p50 == UINT64_MAX)
			continue;
		buf_printf(out, "%s%s ", any ? ", " : "    hops (p50/p99): ", hops[i][1]);
		put_duration(out, p50);
		buf_putc(out, '/');
		put_duration(out, p99);
		any = true;
	}
	if (any)
		buf_putc(out, '\n');
}

static void
put_router(struct buf *out, const struct yaml_node *s)
{
	const struct yaml_node *servers = answer_at(s, "servers");
	struct span error = answer_text(s, "log.error");

	if (error.len > 0)
		buf_printf(out, "    the log cannot be read: %.*s\n", SPAN_FMT(error));
	buf_printf(out, "    mode %.*s; log: next %" PRIu64 ", end %" PRIu64 "\n",
		   SPAN_FMT(answer_at(s, "mode") != NULL ? answer_text(s, "mode") : SPAN_LIT("warm")),
		   answer_number(s, "log.live_offset", 0), answer_number(s, "log.end_offset", 0));
	if (answer_number(s, "unsealed_rings", 0) > 0)
		buf_printf(out,
			   "    a ring change is open: deletes go to old and new owners (%" PRIu64
			   " old rings); squealctl seal ends it\n",
			   answer_number(s, "unsealed_rings", 0));
	if (answer_text(s, "memory.trouble").len > 0)
		buf_printf(out, "    %.*s\n", SPAN_FMT(answer_text(s, "memory.trouble")));
	put_hops(out, s);
	buf_printf(out, "    %-*s %-10s %10s %10s %12s\n", WIDTH_SERVER, "SERVER", "STATE", "BEHIND",
		   "QUEUED B", "DELETES");
	for (const struct yaml_node *v = servers != NULL ? servers->first : NULL; v != NULL; v = v->next)
		put_server(out, v);
}

/* {"status":…,"ready":…} */
static void
put_json(struct buf *out, const struct answers *status, const struct answers *ready)
{
	buf_put_str(out, "{\"status\":");
	answers_json(status, out);
	out->len--;
	buf_put_str(out, ",\"ready\":");
	answers_json(ready, out);
	out->len--;
	buf_put_str(out, "}\n");
}

int
status_run(const struct command_context *c)
{
	struct answers status, ready;
	int bad = 0;

	answers_ask(&status, c->places, "/status", false, c->timeout_ms);
	answers_ask(&ready, c->places, "/readyz", false, c->timeout_ms);
	for (size_t i = 0; i < status.n; i++)
		bad += status.at[i].error[0] != '\0' || ready.at[i].status != 200;
	if (c->json) {
		put_json(c->out, &status, &ready);
		goto done;
	}
	for (size_t i = 0; i < status.n; i++) {
		const struct answer *a = &status.at[i];

		answer_who(a, c->out);
		if (a->error[0] != '\0') {
			buf_printf(c->out, ": %s\n", a->error);
			continue;
		}
		buf_printf(c->out, ": %s, version %.*s, pid %" PRIu64 ", up ",
			   ready.at[i].status == 200 ? "ready" : "NOT READY",
			   SPAN_FMT(answer_text(answer_root(a), "version")),
			   answer_number(answer_root(a), "pid", 0));
		put_duration(c->out, answer_number(answer_root(a), "uptime_sec", 0) * 1000000);
		buf_putc(c->out, '\n');
		put_reasons(c->out, &ready.at[i]);
		if (span_is(answer_text(answer_root(a), "program"), "squeal"))
			put_squeal(c->out, answer_root(a), clock_real_us(c->clock));
		else
			put_router(c->out, answer_root(a));
	}
done:
	answers_fini(&status);
	answers_fini(&ready);
	return bad > 0 ? COMMAND_BAD : COMMAND_OK;
}
