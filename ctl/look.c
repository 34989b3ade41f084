/* The commands that look at keys: explain, trace, top. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "ctl/command.h"
#include "lib/ask/answer.h"
#include "lib/ask/ask.h"

/* Asks, and prints what cannot be shown: everything with --json, and the errors otherwise. */
static int
ask_all(const struct command_context *c, struct answers *a, const char *target, bool acts)
{
	answers_ask(a, c->places, target, acts, c->timeout_ms);
	if (c->json)
		answers_json(a, c->out);
	for (size_t i = 0; i < a->n && !c->json; i++) {
		if (a->at[i].error[0] == '\0')
			continue;
		answer_who(&a->at[i], c->err);
		buf_printf(c->err, ": %s\n", a->at[i].error);
	}
	return a->failed > 0 ? COMMAND_BAD : COMMAND_OK;
}

static void
put_title(const struct command_context *c, const struct answers *a, size_t i)
{
	if (a->n < 2)
		return;
	if (c->out->len > 0)
		buf_putc(c->out, '\n');
	answer_who(&a->at[i], c->out);
	buf_put_str(c->out, ":\n");
}

int
explain_run(const struct command_context *c)
{
	struct buf target = BUF_INIT;
	struct answers a;
	int code;

	buf_put_str(&target, "/explain?format=json&key=");
	ask_put_query(&target, c->words[0]);
	code = ask_all(c, &a, buf_str(&target), false);
	for (size_t i = 0; i < a.n && !c->json; i++) {
		struct span text = answer_text(answer_root(&a.at[i]), "text");

		if (a.at[i].error[0] != '\0')
			continue;
		put_title(c, &a, i);
		buf_put_span(c->out, text);
	}
	answers_fini(&a);
	buf_fini(&target);
	return code;
}

/* --- trace ------------------------------------------------------------------------------------------------
 */

/* "2026-11-21 07:30:43.123456 UTC" */
static void
put_moment(struct buf *out, uint64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;
	char text[40];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (us % 1000000 == 0)
		buf_printf(out, "%s UTC", text);
	else
		buf_printf(out, "%s.%06" PRIu64 " UTC", text, us % 1000000);
}

static void
put_delete(struct buf *out, const struct yaml_node *d)
{
	static const char *const hops[][2] = {{"commit_to_seen", "commit to squeal"},
					      {"seen_to_logged", "squeal to log"},
					      {"logged_to_read", "log to router"},
					      {"read_to_sent", "waiting"},
					      {"sent_to_acknowledged", "server"}};
	struct span hit = answer_text(d, "hit");
	bool any = false;
	char path[64];

	buf_printf(out, "  %.*s",
		   SPAN_FMT(answer_text(d, "gtid").len > 0 ? answer_text(d, "gtid") : SPAN_LIT("no GTID")));
	if (answer_text(d, "origin").len > 0)
		buf_printf(out, "  %.*s", SPAN_FMT(answer_text(d, "origin")));
	buf_printf(out, "\n    committed ");
	if (answer_number(d, "at_us.commit", 0) > 0)
		put_moment(out, answer_number(d, "at_us.commit", 0));
	else
		buf_put_str(out, "at an unknown time");
	buf_printf(out,
		   " on %.*s; log offset %" PRIu64 ", partition %" PRIu64 "\n    to %.*s (pool %.*s): %.*s",
		   SPAN_FMT(answer_text(d, "source")), answer_number(d, "offset", 0),
		   answer_number(d, "partition", 0), SPAN_FMT(answer_text(d, "server")),
		   SPAN_FMT(answer_text(d, "pool")), SPAN_FMT(answer_text(d, "state")));
	if (span_is(answer_text(d, "state"), "coalesced"))
		buf_printf(out, " with the delete of offset %" PRIu64 ", which waited already",
			   answer_number(d, "coalesced_with_offset", 0));
	if (hit.len > 0)
		buf_printf(out, ", %s",
			   span_is(hit, "true") ? "the server had it" : "the server did not have it");
	buf_putc(out, '\n');
	for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
		struct span us;

		snprintf(path, sizeof(path), "hops_us.%s", hops[i][0]);
		us = answer_text(d, path);
		if (us.len == 0)
			continue;
		/* MariaDB's binlog, and an old MySQL's, tells whole seconds. */
		if (i == 0 && answer_number(d, "at_us.commit", 0) % 1000000 == 0)
			buf_printf(out, "    commit to squeal unknown (the binlog has whole seconds)");
		else
			buf_printf(out, "%s%s %.*s us", any ? ", " : "    ", hops[i][1], SPAN_FMT(us));
		any = true;
	}
	if (any)
		buf_putc(out, '\n');
}

static void
put_trace(const struct command_context *c, const struct yaml_node *root)
{
	const struct yaml_node *deletes = answer_at(root, "deletes");
	uint64_t since = answer_number(root, "noted_since_us", 0);

	if (since == 0) {
		buf_put_str(c->out, "  nothing is noted here: router.trace_memory is 0\n");
		return;
	}
	if (deletes == NULL || deletes->n == 0) {
		buf_printf(c->out, "  no delete of it since ");
		put_moment(c->out, since);
		buf_put_str(c->out, "; the key is watched from now on\n");
		return;
	}
	for (const struct yaml_node *d = deletes->first; d != NULL; d = d->next)
		put_delete(c->out, d);
}

int
trace_run(const struct command_context *c)
{
	struct buf target = BUF_INIT;
	struct answers watched, a;
	int code;

	/* From a machine that may only read the port the watch is refused, and the rest still works. */
	buf_put_str(&target, "/watch?key=");
	ask_put_query(&target, c->words[0]);
	answers_ask(&watched, c->places, buf_str(&target), true, c->timeout_ms);
	answers_fini(&watched);
	buf_clear(&target);
	buf_printf(&target, "/trace?n=%" PRIu64 "&key=", c->rows);
	ask_put_query(&target, c->words[0]);
	code = ask_all(c, &a, buf_str(&target), false);
	for (size_t i = 0; i < a.n && !c->json; i++) {
		if (a.at[i].error[0] != '\0')
			continue;
		put_title(c, &a, i);
		put_trace(c, answer_root(&a.at[i]));
	}
	answers_fini(&a);
	buf_fini(&target);
	return code;
}

/* --- top --------------------------------------------------------------------------------------------------
 */

static void
put_top(struct buf *out, const struct yaml_node *root)
{
	const struct yaml_node *keys = answer_at(root, "keys"), *wasted = answer_at(root, "wasted");
	struct span share = answer_text(root, "wasted_share");

	buf_printf(out, "  %" PRIu64 " deletes acknowledged in about the last %" PRIu64 " s; ",
		   answer_number(root, "deletes", 0), answer_number(root, "window_s", 0));
	if (share.len > 0)
		buf_printf(
		    out, "share for nothing (the server did not have the key): %.*s of %" PRIu64 " sampled\n",
		    SPAN_FMT(share), answer_number(root, "sampled", 0));
	else
		buf_put_str(out, "none sampled, so nobody knows how many were for nothing\n");
	if (keys != NULL && keys->n > 0)
		buf_printf(out, "  %10s %7s  %s\n", "ABOUT", "SHARE", "KEY");
	for (const struct yaml_node *k = keys != NULL ? keys->first : NULL; k != NULL; k = k->next)
		buf_printf(out, "  %10" PRIu64 " %7.*s  %.*s\n", answer_number(k, "deletes", 0),
			   SPAN_FMT(answer_text(k, "share")), SPAN_FMT(answer_text(k, "key")));
	if (wasted != NULL && wasted->n > 0)
		buf_printf(out, "  deleted most where nobody has them:\n  %10s %7s  %s\n", "", "SHARE",
			   "KEY");
	for (const struct yaml_node *k = wasted != NULL ? wasted->first : NULL; k != NULL; k = k->next)
		buf_printf(out, "  %10s %7.*s  %.*s\n", "", SPAN_FMT(answer_text(k, "share")),
			   SPAN_FMT(answer_text(k, "key")));
}

int
top_run(const struct command_context *c)
{
	struct buf target = BUF_INIT;
	struct answers a;
	int code;

	buf_printf(&target, "/top?n=%" PRIu64, c->rows);
	code = ask_all(c, &a, buf_str(&target), false);
	for (size_t i = 0; i < a.n && !c->json; i++) {
		if (a.at[i].error[0] != '\0')
			continue;
		put_title(c, &a, i);
		put_top(c->out, answer_root(&a.at[i]));
	}
	answers_fini(&a);
	buf_fini(&target);
	return code;
}
