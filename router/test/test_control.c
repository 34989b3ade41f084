#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/test/peer.h"
#include "router/control.h"

struct fixture {
	struct clock_fake clock;
	struct loop *loop;
	struct admin *admin;
	struct control *control;
	struct router_options opt;
	struct buf reply;
	char did[80];
	const char *caveat;
	bool full;
};

static void
on_explain(void *arg, struct span key, struct buf *text)
{
	buf_printf(text, "key: %.*s\n", SPAN_FMT(key));
}

static err_t
on_pause(void *arg, const char *server, bool paused, struct err_detail *why)
{
	struct fixture *f = arg;

	snprintf(f->did, sizeof(f->did), "%s %s", paused ? "pause" : "resume",
		 server != NULL ? server : "all");
	if (f->full)
		return err_set(why, ERR_FULL, "no room for it");
	return server == NULL || strcmp(server, "10.0.0.1:11211") == 0 ? ERR_OK : ERR_NOT_FOUND;
}

static err_t
on_mode(void *arg, bool cold, struct err_detail *why)
{
	struct fixture *f = arg;

	snprintf(f->did, 80, "mode %s", cold ? "cold" : "warm");
	return f->full ? err_set(why, ERR_FULL, "no room for it") : ERR_OK;
}

static void
on_caveat(void *arg, struct buf *text)
{
	const struct fixture *f = arg;

	buf_put_str(text, f->caveat);
}

static err_t
on_seal(void *arg, size_t *rings, struct err_detail *why)
{
	snprintf(((struct fixture *)arg)->did, 80, "seal");
	*rings = 2;
	return ERR_OK;
}

static int
set_up(void **state)
{
	static const struct control_ops ops = {
	    .explain = on_explain, .pause = on_pause, .mode = on_mode, .caveat = on_caveat, .seal = on_seal};
	struct fixture *f = calloc(1, sizeof(*f));
	const struct admin_options opt = {.address = "127.0.0.1:0"};
	struct err_detail why = {0};
	struct control_context ctx = {.opt = &f->opt, .seed = 1, .ops = &ops, .arg = f};

	clock_fake_init(&f->clock);
	f->caveat = "";
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	f->opt.trace_memory = 65536;
	ctx.loop = f->loop;
	f->control = control_create(&ctx);
	assert_int_equal(admin_open(&f->admin, f->loop, &opt, &why), ERR_OK);
	control_open(f->control, f->admin);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	admin_close(&f->admin);
	control_destroy(&f->control);
	loop_destroy(&f->loop);
	buf_fini(&f->reply);
	free(f);
	return 0;
}

/* The body; *status as in the head. */
static const char *
ask(struct fixture *f, const char *method, const char *target, int *status)
{
	int fd = peer_connect(admin_port(f->admin));
	char request[400], bytes[8192];
	ssize_t n;

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Squeal: test\r\n\r\n",
		 method, target);
	assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	buf_clear(&f->reply);
	for (;;) {
		loop_step(f->loop);
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0)
			break;
		if (n > 0)
			buf_put_span(&f->reply, (struct span){bytes, (size_t)n});
	}
	close(fd);
	*status = atoi(buf_str(&f->reply) + 9);
	return strstr(buf_str(&f->reply), "\r\n\r\n") + 4;
}

static void
every_action_does_one_thing_and_says_what(void **state)
{
	static const struct {
		const char *target;
		int status;
		const char *did, *says;
	} rows[] = {
	    {"/pause", 200, "pause all", "every server is paused"},
	    {"/pause?server=10.0.0.1%3A11211", 200, "pause 10.0.0.1:11211", "10.0.0.1:11211 paused"},
	    {"/pause?server=nobody", 400, "pause nobody", "there is no server \\\"nobody\\\""},
	    {"/resume", 200, "resume all", "every server goes on"},
	    {"/mode?mode=cold", 200, "mode cold", "the cluster is cold"},
	    {"/mode?mode=warm", 200, "mode warm", "the cluster is warm"},
	    {"/mode?mode=hot", 400, "", "a mode is warm or cold"},
	    {"/mode", 400, "", "a mode is warm or cold"},
	    {"/seal", 200, "seal", "sealed: 2 old rings"},
	    {"/watch?key=user%3A1", 200, "", "watched"},
	    {"/watch?key=a%20b", 400, "", "this is no key"},
	    {"/watch", 400, "", "which key?"},
	};
	struct fixture *f = *state;
	int status;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *body;

		f->did[0] = '\0';
		body = ask(f, "POST", rows[i].target, &status);
		if (status != rows[i].status || strcmp(f->did, rows[i].did) != 0 ||
		    strstr(body, rows[i].says) == NULL)
			fail_msg("%s: %d, \"%s\", %s", rows[i].target, status, f->did, body);
	}
}

/* It is done, and the operator must know that it will not stay. */
static void
an_action_that_a_restart_forgets_says_so(void **state)
{
	struct fixture *f = *state;
	const char *body;
	int status;

	f->caveat = "; until Sunday";
	body = ask(f, "POST", "/pause", &status);
	assert_int_equal(status, 200);
	assert_non_null(strstr(body, "resume goes on; until Sunday\""));
	f->full = true;
	body = ask(f, "POST", "/pause", &status);
	assert_int_equal(status, 500);
	assert_non_null(strstr(body, "every server is paused"));
	assert_non_null(strstr(body, "a restart of the router forgets it: no room for it"));
	body = ask(f, "POST", "/mode?mode=cold", &status);
	assert_int_equal(status, 500);
	assert_non_null(strstr(body, "the cluster is cold"));
	assert_non_null(strstr(body, "a restart of the router forgets it: no room for it"));
}

static void
pages_that_are_read_change_nothing(void **state)
{
	struct fixture *f = *state;
	int status;

	ask(f, "GET", "/pause", &status);
	assert_int_equal(status, 404);
	assert_string_equal(f->did, "");
}

static void
a_traced_key_shows_its_deletes(void **state)
{
	struct fixture *f = *state;
	const struct record rec = {.version = 1, .source = SPAN_LIT("main")};
	const struct record_txn txn = {.gtid = SPAN_LIT("0-1-7"), .commit_us = 5};
	struct outbox_ack ack = {
	    .key = SPAN_LIT("user:1"), .sent_us = 10, .acked_us = 20, .hit = OUTBOX_MISS};
	const char *body;
	int status;

	story_txn(control_story(f->control), 0, 3, 6, &rec, &txn);
	ack.ref = story_key(control_story(f->control), SPAN_LIT("user:1"), "s", "default");
	control_acked(f->control, &ack);
	body = ask(f, "GET", "/trace?key=user%3A1&n=5", &status);
	assert_int_equal(status, 200);
	assert_non_null(strstr(body, "\"gtid\":\"0-1-7\""));
	assert_non_null(strstr(body, "\"hit\":false"));
	body = ask(f, "GET", "/top", &status);
	assert_non_null(strstr(body, "\"wasted_share\":1"));
	assert_int_equal((ask(f, "GET", "/trace", &status), status), 400);
}

static void
explain_speaks_text_or_json(void **state)
{
	struct fixture *f = *state;
	int status;

	assert_string_equal(ask(f, "GET", "/explain?key=a", &status), "key: a\n");
	assert_string_equal(ask(f, "GET", "/explain?key=a&format=json", &status),
			    "{\"key\":\"a\",\"text\":\"key: a\\n\"}\n");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(every_action_does_one_thing_and_says_what),
	    T(an_action_that_a_restart_forgets_says_so),
	    T(pages_that_are_read_change_nothing),
	    T(a_traced_key_shows_its_deletes),
	    T(explain_speaks_text_or_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
