/* One connection around a session, driven by hand over a pair of sockets: no worker thread runs. */
#include "cache-server/serve/conn.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache-server/serve/server.h"
#include "cache-server/serve/worker.h"
#include "lib/core/mem.h"
#include "lib/core/test/test.h"

struct fixture {
	struct settings settings;
	struct server *server;
	struct worker *worker;
	struct conn *conn;
	int client; /* the other end */
	char path[64];
};

static void
tick(struct fixture *f)
{
	quiesce_online(f->server->quiesce, f->worker->quiesce);
	cache_tick(f->worker->caches[0]);
}

static int
setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	char *argv[] = {"squeal-cache", "-s", f->path, "-t", "1", "-R", "5", "-m", "64", "-I", "8m", NULL};
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct port_list ports = {0};
	struct server_options opt = {.settings = &f->settings, .ports = &ports, .clock = clock_system()};
	int pair[2];

	snprintf(f->path, sizeof f->path, "/tmp/test_conn.%d", (int)getpid());
	assert_int_equal(settings_parse(&f->settings, 11, argv, &text, &why), ERR_OK);
	buf_fini(&text);
	assert_int_equal(port_list_open_unix(&ports, &f->settings, &why), ERR_OK);
	assert_int_equal(server_create(&f->server, &opt, &why), ERR_OK);
	f->worker = f->server->workers[0];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	f->client = pair[0];
	tick(f);
	f->conn = conn_create(f->worker, &f->server->ports.at[0], pair[1]);
	assert_non_null(f->conn);
	assert_true(worker_add(f->worker, f->conn));
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	close(f->client);
	quiesce_offline(f->worker->quiesce);
	server_destroy(&f->server);
	settings_fini(&f->settings);
	free(f);
	return 0;
}

static void
say(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->client, text, strlen(text)), (ssize_t)strlen(text));
}

/* What the client has received so far. */
static const char *
heard(struct fixture *f)
{
	static char text[65536];
	ssize_t n = read(f->client, text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
a_request_is_answered_in_one_turn(void **state)
{
	struct fixture *f = *state;

	say(f, "set a 0 0 1\r\nx\r\nget a\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_string_equal(heard(f), "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
	assert_int_equal(f->conn->events, EPOLLIN);
}

static void
an_idle_connection_has_no_buffers(void **state)
{
	struct fixture *f = *state;

	say(f, "mn\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_null(f->conn->in);
	assert_null(f->conn->out.bytes);
	assert_non_null(f->worker->spare);
}

static void
part_of_a_request_stays_until_the_rest_comes(void **state)
{
	struct fixture *f = *state;
	static const char request[] = "set abc 0 0 3\r\nxyz\r\n";

	for (size_t i = 0; i + 1 < sizeof request; i++) {
		char one[2] = {request[i], '\0'};

		assert_string_equal(heard(f), "");
		say(f, one);
		conn_event(f->conn, EPOLLIN);
	}
	assert_string_equal(heard(f), "STORED\r\n");
	assert_null(f->conn->in);
	assert_int_equal(metric_get(&f->worker->metrics.read_buf_count), 1);
}

static void
a_turn_ends_when_others_wait(void **state)
{
	struct fixture *f = *state;

	f->worker->alone = false;
	say(f, "mn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_true(f->conn->waiting);
	assert_ptr_equal(f->worker->waiting, f->conn);
	assert_string_equal(heard(f), "MN\r\nMN\r\nMN\r\nMN\r\nMN\r\n");
	f->worker->waiting = NULL;
	f->worker->waiting_tail = &f->worker->waiting;
	f->conn->waiting = false;
	conn_go_on(f->conn);
	assert_string_equal(heard(f), "MN\r\nMN\r\nMN\r\n");
	assert_int_equal(metric_get(&f->worker->metrics.conn_yields), 1);
}

static void
a_turn_goes_on_when_nobody_waits(void **state)
{
	struct fixture *f = *state;

	f->worker->alone = true;
	say(f, "mn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\nmn\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_false(f->conn->waiting);
	assert_string_equal(heard(f), "MN\r\nMN\r\nMN\r\nMN\r\nMN\r\nMN\r\nMN\r\nMN\r\n");
}

static void
a_client_that_does_not_read_is_not_read_from(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 4 << 20 };
	char *value = mem_alloc(LEN), head[64];
	size_t sent = 0, got = 0, want;

	memset(value, 'v', LEN);
	memcpy(value + LEN - 2, "\r\n", 2);
	snprintf(head, sizeof head, "set big 0 0 %d\r\n", LEN - 2);
	say(f, head);
	while (sent < LEN) {
		ssize_t n = write(f->client, value + sent, LEN - sent);

		sent += n > 0 ? (size_t)n : 0;
		conn_event(f->conn, EPOLLIN);
	}
	assert_string_equal(heard(f), "STORED\r\n");
	say(f, "get big\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_int_equal(f->conn->events, EPOLLOUT);
	want = strlen("VALUE big 0 4194302\r\n") + LEN + strlen("END\r\n");
	for (int i = 0; got < want && i < 100000; i++) {
		ssize_t n = read(f->client, value, LEN);

		got += n > 0 ? (size_t)n : 0;
		if (f->conn->events == EPOLLOUT)
			conn_event(f->conn, EPOLLOUT);
	}
	assert_int_equal(got, want);
	assert_int_equal(f->conn->events, EPOLLIN);
	assert_null(f->conn->out.bytes);
	free(value);
}

static void
a_connection_ends_with_its_client(void **state)
{
	struct fixture *f = *state;

	say(f, "set half 0 0 100\r\n");
	conn_event(f->conn, EPOLLIN);
	shutdown(f->client, SHUT_RDWR);
	conn_event(f->conn, EPOLLIN | EPOLLHUP);
	assert_null(f->worker->conns);
	assert_int_equal(metric_get(&f->worker->metrics.read_buf_count), 1);
}

static void
quit_sends_what_was_asked_for_before(void **state)
{
	struct fixture *f = *state;

	say(f, "mn\r\nquit\r\nmn\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_string_equal(heard(f), "MN\r\n");
	assert_null(f->worker->conns);
}

/* The wake and the end of the watcher are events of one batch, in this order. */
static void
a_watcher_that_is_gone_when_it_is_woken_is_closed_once(void **state)
{
	struct fixture *f = *state;
	struct session_log line = {.kind = SESSION_LOG_FETCHERS, .key = SPAN_LIT("a")};
	struct err_detail why = {0};
	struct epoll_event e;
	bool left = true;

	say(f, "watch fetchers\r\n");
	conn_event(f->conn, EPOLLIN);
	assert_string_equal(heard(f), "OK\r\n");
	/* epoll forgets that the connection had something to read, so the wake comes first. */
	assert_int_equal(epoll_wait(f->worker->epoll, &e, 1, 0), 0);
	watch_log(f->worker->ring, &line, 1);
	assert_true(watch_collect(f->server->watch));
	assert_true(f->conn->woken);
	shutdown(f->client, SHUT_RDWR);
	quiesce_offline(f->worker->quiesce);
	assert_int_equal(worker_start(f->worker, &why), ERR_OK);
	while (left) {
		pthread_mutex_lock(&f->worker->lock);
		left = f->worker->conns != NULL;
		pthread_mutex_unlock(&f->worker->lock);
		sched_yield();
	}
	worker_stop(f->worker);
	tick(f);
	assert_int_equal(metric_get(&f->worker->metrics.curr_connections),
			 (uint64_t)-1); /* no door counted it */
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_request_is_answered_in_one_turn),
	    T(an_idle_connection_has_no_buffers),
	    T(part_of_a_request_stays_until_the_rest_comes),
	    T(a_turn_ends_when_others_wait),
	    T(a_turn_goes_on_when_nobody_waits),
	    T(a_client_that_does_not_read_is_not_read_from),
	    T(a_connection_ends_with_its_client),
	    T(quit_sends_what_was_asked_for_before),
	    T(a_watcher_that_is_gone_when_it_is_woken_is_closed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
