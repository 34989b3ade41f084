/* The commands that change something: pause, resume, drain, mode, seal. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/command.h"
#include "lib/ask/answer.h"
#include "lib/ask/ask.h"

enum { DRAIN_POLL_MS = 50 };

/* POST to every router; prints its "done", a sentence. */
static int
act(const struct command_context *c, const char *path, const char *name, const char *value)
{
	struct buf target = BUF_INIT;
	struct answers a;
	int code;

	buf_put_str(&target, path);
	if (value != NULL) {
		buf_printf(&target, "?%s=", name);
		ask_put_query(&target, value);
	}
	answers_ask(&a, c->places, buf_str(&target), true, c->timeout_ms);
	if (c->json)
		answers_json(&a, c->out);
	for (size_t i = 0; i < a.n && !c->json; i++) {
		struct buf *out = a.at[i].error[0] != '\0' ? c->err : c->out;

		answer_who(&a.at[i], out);
		if (a.at[i].error[0] != '\0')
			buf_printf(out, ": %s\n", a.at[i].error);
		else
			buf_printf(out, ": %.*s\n", SPAN_FMT(answer_text(answer_root(&a.at[i]), "done")));
	}
	code = a.failed > 0 ? COMMAND_BAD : COMMAND_OK;
	answers_fini(&a);
	buf_fini(&target);
	return code;
}

static const char *
server_of(const struct command_context *c)
{
	return c->nwords > 0 ? c->words[0] : NULL;
}

int
pause_run(const struct command_context *c)
{
	return act(c, "/pause", "server", server_of(c));
}

int
resume_run(const struct command_context *c)
{
	return act(c, "/resume", "server", server_of(c));
}

int
mode_run(const struct command_context *c)
{
	if (strcmp(c->words[0], "warm") != 0 && strcmp(c->words[0], "cold") != 0) {
		buf_printf(c->err, "squealctl: a mode is warm or cold, not \"%s\"\n", c->words[0]);
		return COMMAND_USAGE;
	}
	return act(c, "/mode", "mode", c->words[0]);
}

int
seal_run(const struct command_context *c)
{
	return act(c, "/seal", NULL, NULL);
}

/* Bytes in flight to the server, or to all; UINT64_MAX: not known. */
static uint64_t
in_flight(const struct command_context *c)
{
	struct answers a;
	uint64_t sum = 0;

	answers_ask(&a, c->places, "/status", false, c->timeout_ms);
	for (size_t i = 0; i < a.n; i++) {
		const struct yaml_node *servers = answer_at(answer_root(&a.at[i]), "servers");

		if (servers == NULL)
			sum = UINT64_MAX;
		for (const struct yaml_node *s = servers != NULL ? servers->first : NULL;
		     s != NULL && sum != UINT64_MAX; s = s->next) {
			if (server_of(c) == NULL || span_is(answer_text(s, "server"), server_of(c)))
				sum += answer_number(s, "in_flight", 0);
		}
	}
	answers_fini(&a);
	return sum;
}

int
drain_run(const struct command_context *c)
{
	uint64_t deadline = clock_mono_ms(c->clock) + c->timeout_ms;
	const struct timespec pause = {.tv_nsec = DRAIN_POLL_MS * 1000000L};
	int code = act(c, "/pause", "server", server_of(c));

	while (code == COMMAND_OK && in_flight(c) != 0) {
		if (clock_mono_ms(c->clock) > deadline) {
			buf_printf(c->err,
				   "squealctl: paused, but something is still in flight after %" PRIu64
				   " ms; ask again, or see squealctl status\n",
				   c->timeout_ms);
			return COMMAND_BAD;
		}
		nanosleep(&pause, NULL);
	}
	if (code == COMMAND_OK && !c->json)
		buf_put_str(c->out, "nothing is in flight; squealctl resume goes on\n");
	return code;
}
