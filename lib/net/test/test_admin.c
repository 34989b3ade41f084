#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/net/admin.h"
#include "lib/net/test/peer.h"

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	struct admin *admin;
	struct metric_registry *registry;
	struct log *log;
	struct buf logged;
	struct buf reply; /* of the last request, head and body */
	const char *reason;
	char query[100];
};

static void
on_line(void *arg, enum log_level level, struct span line)
{
	buf_put_span(&((struct fixture *)arg)->logged, line);
}

static void
open_at(struct fixture *f, const char *address)
{
	struct err_detail why = {0};
	struct admin_options opt = {.address = address,
				    .setting = "admin in section squeal of squeal.yaml",
				    .program = "squeal",
				    .metrics = f->registry,
				    .log = f->log};

	admin_close(&f->admin);
	if (admin_open(&f->admin, f->loop, &opt, &why) != ERR_OK)
		fail_msg("%s", why.text);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	clock_fake_init(&f->clock);
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	f->registry = metric_registry_create();
	f->log = log_create("test", LOG_DEBUG, &f->clock.clock, on_line, f);
	open_at(f, "127.0.0.1:0");
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	admin_close(&f->admin);
	loop_destroy(&f->loop);
	metric_registry_destroy(&f->registry);
	log_destroy(&f->log);
	buf_fini(&f->logged);
	buf_fini(&f->reply);
	free(f);
	return 0;
}

/* A connection that does not block; the kernel accepts it before the loop does. */
static int
dial(struct fixture *f)
{
	int fd = peer_connect(admin_port(f->admin));

	assert_true(fd >= 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the server closes. */
static void
hear(struct fixture *f, int fd)
{
	ssize_t n = -1;

	buf_clear(&f->reply);
	do {
		char *room = buf_room(&f->reply, 65536);

		UNTIL(f->loop, (n = recv(fd, room, 65536, 0)) >= 0 || errno != EAGAIN);
		if (n > 0)
			buf_added(&f->reply, (size_t)n);
	} while (n > 0);
	buf_str(&f->reply);
}

static int
ask(struct fixture *f, const char *request)
{
	int fd = dial(f), status = 0;

	say(fd, request);
	hear(f, fd);
	close(fd);
	sscanf(buf_str(&f->reply), "HTTP/1.1 %d ", &status);
	return status;
}

static int
get(struct fixture *f, const char *path)
{
	char request[300];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	return ask(f, request);
}

static const char *
body(struct fixture *f)
{
	const char *at = strstr(buf_str(&f->reply), "\r\n\r\n");

	return at == NULL ? "" : at + 4;
}

static bool
says(struct fixture *f, const char *text)
{
	return strstr(buf_str(&f->reply), text) != NULL;
}

static void
health_is_200(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/healthz"), 200);
	assert_string_equal(body(f), "{\"healthy\":true}\n");
	assert_true(says(f, "Content-Type: application/json\r\n"));
}

static void
not_ready(void *arg, struct admin_reasons *r)
{
	struct fixture *f = arg;

	if (f->reason != NULL)
		admin_not_ready(r, "no \"%s\" for %d s", f->reason, 12);
}

static void
readiness_is_503_with_every_reason(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/readyz"), 200);
	assert_string_equal(body(f), "{\"ready\":true,\"reasons\":[]}\n");
	admin_on_ready(f->admin, not_ready, f);
	admin_on_ready(f->admin, not_ready, f);
	assert_int_equal(get(f, "/readyz"), 200);
	f->reason = "source";
	assert_int_equal(get(f, "/readyz"), 503);
	assert_string_equal(
	    body(f),
	    "{\"ready\":false,\"reasons\":[\"no \\\"source\\\" for 12 s\",\"no \\\"source\\\" for 12 "
	    "s\"]}\n");
}

static void
add_status(void *arg, struct json *j)
{
	json_kv_u64(j, "servers", 4);
}

static void
status_is_json_with_the_programs_own_members(void **state)
{
	struct fixture *f = *state;

	admin_on_status(f->admin, add_status, f);
	clock_fake_advance_ms(&f->clock, 4200);
	assert_int_equal(get(f, "/status"), 200);
	assert_true(says(f, "{\"program\":\"squeal\",\"version\":\"" SQUEAL_VERSION "\",\"pid\":"));
	assert_true(says(f, ",\"uptime_sec\":4,\"servers\":4}\n"));
}

static void
metrics_hold_the_registry_the_port_and_the_process(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, "/healthz"), 200);
	assert_int_equal(get(f, "/metrics"), 200);
	assert_true(says(f, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_true(says(f, "\nsqueal_admin_request_total 1\n"));
	assert_true(says(f, "squeal_build_info{program=\"squeal\",version=\"" SQUEAL_VERSION "\"} 1\n"));
	assert_true(says(f, "\nprocess_resident_memory_bytes "));
	assert_true(says(f, "\nprocess_cpu_seconds_total "));
}

static void
page(void *arg, const char *query, struct buf *out, int *status)
{
	struct fixture *f = arg;
	struct buf key = BUF_INIT;

	snprintf(f->query, sizeof(f->query), "%s", query);
	if (!admin_query(query, "key", &key)) {
		*status = 400;
		buf_put_str(out, "key is missing\n");
	} else {
		buf_put_str(out, "key is ");
		buf_put_span(out, buf_span(&key));
	}
	buf_fini(&key);
}

static void
a_page_of_the_program_gets_its_query(void **state)
{
	struct fixture *f = *state;

	admin_page(f->admin, "/explain", "text/plain", page, f);
	assert_int_equal(get(f, "/explain?x=1&key=a%20b%3D"), 200);
	assert_string_equal(body(f), "key is a b=");
	assert_string_equal(f->query, "x=1&key=a%20b%3D");
	assert_int_equal(get(f, "/explain?key=%zz"), 400);
	assert_string_equal(body(f), "key is missing\n");
	assert_int_equal(get(f, "/explain"), 400);
	assert_int_equal(get(f, "/"), 200);
	assert_true(says(f, "/explain\n"));
}

static void
on_pause(void *arg, const char *query, struct buf *out, int *status)
{
	struct fixture *f = arg;

	snprintf(f->query, sizeof(f->query), "%s", query);
	buf_put_str(out, "{\"paused\":true}\n");
	if (query[0] == '\0')
		*status = 400;
}

static void
an_action_wants_post_and_the_header_that_no_web_page_can_send(void **state)
{
	struct fixture *f = *state;

	admin_action(f->admin, "/pause", on_pause, f);
	assert_int_equal(ask(f, "POST /pause?server=a HTTP/1.1\r\nHost: localhost\r\n\r\n"), 403);
	assert_string_equal(f->query, "");
	assert_int_equal(ask(f, "GET /pause?server=a HTTP/1.1\r\nHost: localhost\r\nX-Squeal: 1\r\n\r\n"),
			 404);
	assert_string_equal(f->query, "");
	assert_int_equal(ask(f, "POST /pause?server=a HTTP/1.1\r\nHost: localhost\r\nX-Squeal: 1\r\n\r\n"),
			 200);
	assert_string_equal(f->query, "server=a");
	assert_true(says(f, "{\"paused\":true}"));
	assert_non_null(strstr(buf_str(&f->logged), "asked to act"));
	assert_int_equal(ask(f, "POST /pause HTTP/1.1\r\nHost: localhost\r\nX-Squeal: 1\r\n\r\n"), 400);
	assert_int_equal(ask(f, "POST /nothing HTTP/1.1\r\nHost: localhost\r\nX-Squeal: 1\r\n\r\n"), 404);
	assert_int_equal(ask(f, "POST /pause HTTP/1.1\r\nHost: evil.example\r\nX-Squeal: 1\r\n\r\n"), 403);
	assert_int_equal(ask(f, "PUT /pause HTTP/1.1\r\nHost: localhost\r\nX-Squeal: 1\r\n\r\n"), 405);
	assert_true(says(f, "\r\nAllow: GET, POST\r\n"));
}

static void
other_methods_are_405_and_other_pages_404(void **state)
{
	static const char *const methods[] = {"POST",  "PUT",	  "DELETE", "OPTIONS",
					      "TRACE", "CONNECT", "PATCH",  "FOO"};
	struct fixture *f = *state;
	char request[100];

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(request, sizeof(request), "%s /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
			 methods[i]);
		assert_int_equal(ask(f, request), 405);
		assert_true(says(f, "\r\nAllow: GET\r\n"));
	}
	assert_int_equal(ask(f, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 405);
	assert_string_equal(body(f), "");
	assert_int_equal(get(f, "/nothing"), 404);
	assert_int_equal(get(f, "/metrics/"), 404);
	assert_int_equal(get(f, "/healthz"), 200);
	assert_int_equal(get(f, "/metrics"), 200);
	assert_true(says(f, "squeal_admin_refused_total 11\n"));
}

static void
a_foreign_host_header_is_refused(void **state)
{
	static const struct {
		const char *host;
		int status;
	} rows[] = {
	    {"localhost", 200},	     {"LOCALHOST:9401", 200},
	    {"127.0.0.1:1", 200},    {"[::1]:9401", 200},
	    {"10.20.30.40", 200},    {"localhost.", 200},
	    {"evil.example", 403},   {"localhost.evil.example", 403},
	    {"127.0.0.1.evil", 403}, {"evil.example:9401", 403},
	    {"notlocalhost", 403},
	};
	struct fixture *f = *state;
	char request[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: %s\r\n\r\n", rows[i].host);
		if (ask(f, request) != rows[i].status)
			fail_msg("%s: %s", rows[i].host, buf_str(&f->reply));
		assert_true(rows[i].status == 200 || !says(f, "squeal_"));
	}
	assert_int_equal(ask(f, "GET /healthz HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask(f, "GET /healthz HTTP/1.0\r\n\r\n"), 200);
	assert_int_equal(ask(f, "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), 403);
}

static void
the_name_that_it_is_bound_by_is_no_foreign_host(void **state)
{
	struct fixture *f = *state;

	need_localhost();
	open_at(f, "localhost:0");
	assert_int_equal(get(f, "/healthz"), 200);
}

static void
a_huge_header_is_431(void **state)
{
	struct fixture *f = *state;
	char *request = calloc(1, 20000);
	int fd = dial(f), status = 0;

	strcpy(request, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
	memset(request + strlen(request), 'x', 19000);
	for (size_t i = 0; i < 19000; i += 1000) { /* some of it comes after the answer */
		send(fd, request + i, 1000, MSG_NOSIGNAL);
		loop_step(f->loop);
	}
	hear(f, fd);
	sscanf(buf_str(&f->reply), "HTTP/1.1 %d ", &status);
	assert_int_equal(status, 431);
	close(fd);
	free(request);
	assert_int_equal(get(f, "/healthz"), 200);
}

static void
garbage_and_bodies_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "\x16\x03\x01\x02garbage\r\n\r\n"), 400);
	assert_int_equal(ask(f, "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nbody"), 413);
	assert_int_equal(ask(f, "PRI * HTTP/2.0\r\n\r\n"), 505);
}

static void
a_client_that_drips_bytes_is_closed_in_time(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	char byte;

	say(fd, "GET / HT");
	for (int second = 0; second < ADMIN_MAX_SECONDS; second++) {
		for (int i = 0; i < 20; i++)
			loop_step(f->loop);
		assert_true(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
		say(fd, "x"); /* every byte in time, and yet for ever */
		clock_fake_advance_ms(&f->clock, 1000);
	}
	hear(f, fd);
	assert_int_equal(f->reply.len, 0);
	close(fd);
	assert_int_equal(get(f, "/metrics"), 200);
	assert_true(says(f, "squeal_admin_slow_total 1\n"));
}

static void
big_page(void *arg, const char *query, struct buf *out, int *status)
{
	memset(buf_room(out, 32 << 20), 'x', 32 << 20);
	buf_added(out, 32 << 20);
}

static void
a_client_that_does_not_read_is_closed_in_time(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	admin_page(f->admin, "/big", "text/plain", big_page, NULL);
	say(fd, "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
	for (int i = 0; i < 50; i++)
		loop_step(f->loop);
	clock_fake_advance_ms(&f->clock, ADMIN_MAX_SECONDS * 1000);
	hear(f, fd); /* what the kernel had taken, and then the end */
	assert_true(f->reply.len > 0 && f->reply.len < 32 << 20);
	close(fd);
	assert_int_equal(get(f, "/metrics"), 200);
	assert_true(says(f, "squeal_admin_slow_total 1\n"));
}

static void
a_client_that_never_closes_is_closed_soon_after_its_answer(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	hear(f, fd);
	say(fd, "x");
	clock_fake_advance_ms(&f->clock, 1000);
	UNTIL(f->loop, send(fd, "x", 1, MSG_NOSIGNAL) < 0);
	close(fd);
	assert_int_equal(get(f, "/metrics"), 200);
	assert_true(says(f, "squeal_admin_slow_total 0\n"));
}

static void
too_many_connections_are_refused_and_the_others_served(void **state)
{
	struct fixture *f = *state;
	int fds[ADMIN_MAX_CONNECTIONS + 3];
	char byte;

	for (size_t i = 0; i < ADMIN_MAX_CONNECTIONS + 3; i++) {
		fds[i] = dial(f);
		for (int j = 0; j < 3; j++)
			loop_step(f->loop);
	}
	for (size_t i = ADMIN_MAX_CONNECTIONS; i < ADMIN_MAX_CONNECTIONS + 3; i++)
		UNTIL(f->loop, recv(fds[i], &byte, 1, 0) == 0);
	assert_non_null(strstr(buf_str(&f->logged), "too many connections"));
	say(fds[0], "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
	hear(f, fds[0]);
	assert_true(says(f, "squeal_admin_overload_total 3\n"));
	for (size_t i = 0; i < ADMIN_MAX_CONNECTIONS + 3; i++)
		close(fds[i]);
	for (int i = 0; i < 100; i++)
		loop_step(f->loop);
	assert_int_equal(get(f, "/healthz"), 200);
}

static void
a_large_answer_arrives_whole_at_a_slow_client(void **state)
{
	enum { SETS = 4000 };
	struct fixture *f = *state;
	static metric_t values[SETS];
	const struct metric_row row = {"many", METRIC_GAUGE, "", "many values", 0};
	char label[100];
	int fd;

	for (size_t i = 0; i < SETS; i++) {
		snprintf(label, sizeof(label), "server=\"a-rather-long-name-of-a-server-number-%zu\"", i);
		metric_registry_add(f->registry, &row, 1, &values[i], label);
	}
	fd = dial(f);
	say(fd, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
	for (int i = 0; i < 100; i++)
		loop_step(f->loop);
	hear(f, fd);
	assert_true(f->reply.len > 200000);
	assert_true(says(f, "number-3999\"} 0\n"));
	close(fd);
	for (size_t i = 0; i < SETS; i++)
		metric_registry_remove(f->registry, &values[i]);
}

static void
a_taken_port_names_the_setting(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct admin *second = NULL;
	char address[40];
	struct admin_options opt = {.address = address, .setting = "admin in section squeal of squeal.yaml"};

	snprintf(address, sizeof(address), "127.0.0.1:%u", admin_port(f->admin));
	assert_int_equal(admin_open(&second, f->loop, &opt, &why), ERR_IN_USE);
	assert_null(second);
	assert_non_null(strstr(why.text, "change admin in section squeal of squeal.yaml"));
	opt.address = "9401";
	err_clear(&why);
	assert_int_equal(admin_open(&second, f->loop, &opt, &why), ERR_CONFIG);
	assert_non_null(
	    strstr(why.text, "admin in section squeal of squeal.yaml: \"9401\" is not an address"));
}

static void
a_wildcard_is_bound_with_a_notice(void **state)
{
	struct fixture *f = *state;

	assert_null(strstr(buf_str(&f->logged), "every network"));
	open_at(f, "0.0.0.0:0");
	assert_non_null(strstr(buf_str(&f->logged), "NOTICE"));
	assert_non_null(strstr(buf_str(&f->logged), "every network"));
	assert_int_equal(get(f, "/healthz"), 200);
}

static void
closing_with_open_connections_closes_them(void **state)
{
	struct fixture *f = *state;
	int a = dial(f), b = dial(f);
	char byte;

	say(a, "GET /hea");
	for (int i = 0; i < 10; i++)
		loop_step(f->loop);
	admin_close(&f->admin);
	admin_close(&f->admin);
	UNTIL(f->loop, recv(a, &byte, 1, 0) >= 0 || errno != EAGAIN);
	close(a);
	close(b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(health_is_200),
	    T(readiness_is_503_with_every_reason),
	    T(status_is_json_with_the_programs_own_members),
	    T(metrics_hold_the_registry_the_port_and_the_process),
	    T(a_page_of_the_program_gets_its_query),
	    T(an_action_wants_post_and_the_header_that_no_web_page_can_send),
	    T(other_methods_are_405_and_other_pages_404),
	    T(a_foreign_host_header_is_refused),
	    T(the_name_that_it_is_bound_by_is_no_foreign_host),
	    T(a_huge_header_is_431),
	    T(garbage_and_bodies_are_refused),
	    T(a_client_that_drips_bytes_is_closed_in_time),
	    T(a_client_that_does_not_read_is_closed_in_time),
	    T(a_client_that_never_closes_is_closed_soon_after_its_answer),
	    T(too_many_connections_are_refused_and_the_others_served),
	    T(a_large_answer_arrives_whole_at_a_slow_client),
	    T(a_taken_port_names_the_setting),
	    T(a_wildcard_is_bound_with_a_notice),
	    T(closing_with_open_connections_closes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
