#include "router/control.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/wire/mc_request.h"
#include "router/hops.h"
#include "router/top.h"

enum { DEFAULT_ROWS = 10, MAX_ROWS = 100 };

struct control {
	struct control_context ctx;
	struct story *story;
	struct story_metrics story_metrics;
	struct top *top;
	struct hops_metrics hops;
	struct loop_timer fade;
};

static void
on_fade(void *arg)
{
	struct control *c = arg;

	top_fade(c->top);
}

struct control *
control_create(const struct control_context *ctx)
{
	struct control *c = MEM_NEW(struct control);

	c->ctx = *ctx;
	c->story = story_create(ctx->opt->trace_memory, loop_clock(ctx->loop), &c->story_metrics);
	c->top = top_create(ctx->seed);
	loop_timer_init(&c->fade, ctx->loop, on_fade, c);
	loop_timer_every(&c->fade, (uint64_t)TOP_WINDOW_S * 1000);
	if (ctx->registry != NULL) {
		metric_registry_add(ctx->registry, story_metric_rows, story_metric_nrows, &c->story_metrics,
				    "");
		metric_registry_add(ctx->registry, hops_metric_rows, hops_metric_nrows, &c->hops, "");
	}
	return c;
}

void
control_destroy(struct control **cp)
{
	struct control *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	if (c->ctx.registry != NULL) {
		metric_registry_remove(c->ctx.registry, &c->story_metrics);
		metric_registry_remove(c->ctx.registry, &c->hops);
	}
	loop_timer_stop(&c->fade);
	story_destroy(&c->story);
	top_destroy(&c->top);
	free(c);
}

struct story *
control_story(struct control *c)
{
	return c->story;
}

void
control_acked(struct control *c, const struct outbox_ack *ack)
{
	int hit = ack->hit == OUTBOX_HIT ? 1 : ack->hit == OUTBOX_MISS ? 0 : -1;

	story_acked(c->story, ack->ref, ack->sent_us, ack->acked_us, hit);
	top_note(c->top, ack->key, hit);
	hops_note(&c->hops, ack);
}

void
control_status(const struct control *c, struct json *j)
{
	hops_json(&c->hops, j);
}

/* --- what is asked for ------------------------------------------------------------------------------------
 */

static void answer(struct buf *out, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
answer(struct buf *out, const char *name, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	struct json j;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	json_init(&j, out);
	json_object(&j);
	json_kv_span(&j, name, buf_span(&text));
	json_object_end(&j);
	buf_putc(out, '\n');
	buf_fini(&text);
}

/* The key that was asked for, into `key`; false: *status and `out` say what is wrong. */
static bool
take_key(const char *query, const char *example, struct buf *key, struct buf *out, int *status)
{
	if (admin_query(query, "key", key) && mc_request_key_ok(buf_span(key)))
		return true;
	*status = 400;
	if (key->len == 0)
		answer(out, "error", "which key? as in %s", example);
	else
		answer(out, "error",
		       "this is no key: 1 to %d bytes, none of them a space, a control byte or DEL",
		       MC_KEY_MAX);
	return false;
}

static size_t
take_rows(const char *query)
{
	struct buf text = BUF_INIT;
	uint64_t n;

	if (!admin_query(query, "n", &text) || !span_u64(buf_span(&text), &n))
		n = DEFAULT_ROWS;
	buf_fini(&text);
	return n < MAX_ROWS ? (size_t)n : MAX_ROWS;
}

/* --- pages ------------------------------------------------------------------------------------------------
 */

static void
explain_page(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct buf key = BUF_INIT, text = BUF_INIT, format = BUF_INIT;
	struct json j;

	if (!take_key(query, "/explain?key=user:42", &key, out, status))
		goto done;
	c->ctx.ops->explain(c->ctx.arg, buf_span(&key), &text);
	if (!admin_query(query, "format", &format) || !span_is(buf_span(&format), "json")) {
		buf_put_span(out, buf_span(&text));
		goto done;
	}
	json_init(&j, out);
	json_object(&j);
	json_kv_span(&j, "key", buf_span(&key));
	json_kv_span(&j, "text", buf_span(&text));
	json_object_end(&j);
	buf_putc(out, '\n');
done:
	buf_fini(&key);
	buf_fini(&text);
	buf_fini(&format);
}

static void
trace_page(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct buf key = BUF_INIT;
	struct json j;

	if (take_key(query, "/trace?key=user:42", &key, out, status)) {
		json_init(&j, out);
		json_object(&j);
		json_kv_span(&j, "key", buf_span(&key));
		story_json(c->story, buf_span(&key), take_rows(query), &j);
		json_object_end(&j);
		buf_putc(out, '\n');
	}
	buf_fini(&key);
}

static void
top_page(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct json j;

	(void)status;
	json_init(&j, out);
	json_object(&j);
	top_json(c->top, take_rows(query), &j);
	json_object_end(&j);
	buf_putc(out, '\n');
}

/* --- actions ----------------------------------------------------------------------------------------------
 */

static void
watch_action(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct buf key = BUF_INIT;

	if (take_key(query, "/watch?key=user:42", &key, out, status)) {
		story_watch(c->story, buf_span(&key));
		answer(out, "done", "the key is watched");
	}
	buf_fini(&key);
}

/* What was done, and how long it holds. */
static void
answer_held(struct control *c, err_t err, const struct err_detail *why, const char *done, struct buf *out,
	    int *status)
{
	struct buf caveat = BUF_INIT;

	if (err == ERR_OK) {
		c->ctx.ops->caveat(c->ctx.arg, &caveat);
		answer(out, "done", "%s%s", done, buf_str(&caveat));
	} else {
		*status = 500;
		answer(out, "error", "%s; but a restart of the router forgets it: %s", done, err_why(why));
	}
	buf_fini(&caveat);
}

static void
pause_or_resume(struct control *c, bool paused, const char *query, struct buf *out, int *status)
{
	struct buf server = BUF_INIT, done = BUF_INIT;
	bool named = admin_query(query, "server", &server);
	struct err_detail why = {0};
	err_t err = c->ctx.ops->pause(c->ctx.arg, named ? buf_str(&server) : NULL, paused, &why);

	if (err == ERR_NOT_FOUND) {
		*status = 400;
		answer(out, "error", "there is no server \"%s\" here; squealctl status names them",
		       buf_str(&server));
		goto done;
	}
	if (paused)
		buf_printf(&done, "%s paused: deletes stay in the log; squealctl resume goes on",
			   named ? buf_str(&server) : "every server is");
	else
		buf_put_str(&done, named ? "it goes on" : "every server goes on");
	answer_held(c, err, &why, buf_str(&done), out, status);
done:
	buf_fini(&server);
	buf_fini(&done);
}

static void
pause_action(void *arg, const char *query, struct buf *out, int *status)
{
	pause_or_resume(arg, true, query, out, status);
}

static void
resume_action(void *arg, const char *query, struct buf *out, int *status)
{
	pause_or_resume(arg, false, query, out, status);
}

static void
mode_action(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct err_detail why = {0};
	struct buf mode = BUF_INIT;
	bool cold;
	err_t err;

	admin_query(query, "mode", &mode);
	cold = span_is(buf_span(&mode), "cold");
	if (!cold && !span_is(buf_span(&mode), "warm")) {
		*status = 400;
		answer(out, "error", "a mode is warm or cold");
	} else {
		err = c->ctx.ops->mode(c->ctx.arg, cold, &why);
		answer_held(c, err, &why,
			    cold ? "the cluster is cold: deletes hold fills off" : "the cluster is warm", out,
			    status);
	}
	buf_fini(&mode);
}

static void
seal_action(void *arg, const char *query, struct buf *out, int *status)
{
	struct control *c = arg;
	struct err_detail why = {0};
	size_t rings = 0;

	(void)query;
	if (c->ctx.ops->seal(c->ctx.arg, &rings, &why) != ERR_OK) {
		*status = 500;
		answer(out, "error", "%s", err_why(&why));
	} else if (rings == 0) {
		answer(out, "done", "there was no open ring change");
	} else {
		answer(out, "done", "sealed: %zu old rings get no more deletes", rings);
	}
}

void
control_open(struct control *c, struct admin *a)
{
	admin_page(a, "/explain", "text/plain; charset=utf-8", explain_page, c);
	admin_page(a, "/trace", "application/json", trace_page, c);
	admin_page(a, "/top", "application/json", top_page, c);
	admin_action(a, "/watch", watch_action, c);
	admin_action(a, "/pause", pause_action, c);
	admin_action(a, "/resume", resume_action, c);
	admin_action(a, "/mode", mode_action, c);
	admin_action(a, "/seal", seal_action, c);
}
