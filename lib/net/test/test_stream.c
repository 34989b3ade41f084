#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/net/stream.h"
#include "lib/net/test/peer.h"

enum when { NEVER, AT_OPEN, AT_BYTES, AT_DRAIN, AT_CLOSE };

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	int listening, peer;
	unsigned port;
	char address[64];
	struct stream *stream;
	struct stream_options opt;

	/* what the callbacks saw */
	unsigned opens, closes, drains;
	err_t err;
	char why[300];
	struct buf lines;  /* whole lines, taken */
	size_t shown;	   /* bytes of the last on_bytes() */
	bool take_nothing; /* on_bytes() leaves everything */
	enum when close_at;
	bool in_call; /* a function of the stream is being called: no callback may come */
};

static void
maybe_close(struct fixture *f, enum when now)
{
	assert_false(f->in_call);
	if (f->close_at == now)
		stream_close(&f->stream);
}

static void
on_open(void *arg)
{
	struct fixture *f = arg;

	f->opens++;
	assert_true(stream_is_open(f->stream));
	maybe_close(f, AT_OPEN);
}

static size_t
on_bytes(void *arg, struct span bytes)
{
	struct fixture *f = arg;
	const char *end = f->take_nothing ? NULL : memrchr(bytes.p, '\n', bytes.len);
	size_t n = end == NULL ? 0 : (size_t)(end - bytes.p) + 1;

	f->shown = bytes.len;
	buf_put(&f->lines, bytes.p, n);
	maybe_close(f, AT_BYTES);
	return n;
}

static void
on_drain(void *arg)
{
	struct fixture *f = arg;

	f->drains++;
	maybe_close(f, AT_DRAIN);
}

static void
on_close(void *arg, err_t err, const char *why)
{
	struct fixture *f = arg;

	f->closes++;
	f->err = err;
	snprintf(f->why, sizeof(f->why), "%s", why);
	assert_false(stream_is_open(f->stream));
	maybe_close(f, AT_CLOSE);
}

static const struct stream_ops ops = {on_open, on_bytes, on_drain, on_close};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	clock_fake_init(&f->clock);
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	f->peer = -1;
	f->listening = peer_listen("127.0.0.1", &f->port, 16);
	assert_true(f->listening >= 0);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", f->port);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	stream_close(&f->stream);
	loop_destroy(&f->loop);
	if (f->peer >= 0)
		close(f->peer);
	if (f->listening >= 0)
		close(f->listening);
	buf_fini(&f->lines);
	free(f);
	return 0;
}

static void
begin(struct fixture *f)
{
	struct err_detail why = {0};

	f->in_call = true;
	assert_int_equal(stream_connect(&f->stream, f->loop, f->address, &f->opt, &ops, f, &why), ERR_OK);
	f->in_call = false;
}

static void
connected(struct fixture *f)
{
	begin(f);
	UNTIL(f->loop, (f->peer = peer_accept(f->listening)) >= 0);
	UNTIL(f->loop, f->opens == 1);
}

static void
say(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
write_text(struct fixture *f, const char *text)
{
	f->in_call = true;
	stream_write_span(f->stream, span_of(text));
	f->in_call = false;
}

/* Everything that the peer receives until it has `n` bytes. */
static void
peer_reads(struct fixture *f, char *to, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = 0;

		UNTIL(f->loop, (got = recv(f->peer, to + have, n - have, 0)) >= 0);
		assert_true(got > 0);
		have += (size_t)got;
	}
}

static void
bytes_go_both_ways(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";

	connected(f);
	write_text(f, "ping\n");
	peer_reads(f, text, 5);
	assert_string_equal(text, "ping\n");
	say(f, "pong\n");
	UNTIL(f->loop, f->lines.len == 5);
	assert_string_equal(buf_str(&f->lines), "pong\n");
	assert_int_equal(stream_counts(f->stream)->bytes_out, 5);
	assert_int_equal(stream_counts(f->stream)->writes, 1);
	assert_int_equal(stream_counts(f->stream)->bytes_in, 5);
	assert_string_equal(stream_address(f->stream), f->address);
	assert_int_equal(f->closes, 0);
}

static void
a_reply_that_comes_byte_by_byte_is_whole_in_the_end(void **state)
{
	struct fixture *f = *state;
	const char *text = "STORED\r\n";

	connected(f);
	for (size_t i = 0; text[i] != '\0'; i++) {
		assert_int_equal(send(f->peer, text + i, 1, 0), 1);
		UNTIL(f->loop, f->shown == i + 1);
	}
	assert_string_equal(buf_str(&f->lines), text);
	say(f, "next\n"); /* the rest was taken */
	UNTIL(f->loop, f->shown == 5);
}

static void
what_is_written_before_the_connection_stands_is_sent_in_order(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	char text[16] = "";

	begin(f);
	write_text(f, "one ");
	buf_put_str(&b, "two ");
	stream_write(f->stream, &b);
	assert_int_equal(b.len, 0);
	buf_put_str(&b, "three");
	stream_write(f->stream, &b);
	assert_int_equal(stream_unsent(f->stream), 13);
	UNTIL(f->loop, (f->peer = peer_accept(f->listening)) >= 0);
	peer_reads(f, text, 13);
	assert_string_equal(text, "one two three");
	assert_int_equal(stream_counts(f->stream)->writes, 1);
	buf_fini(&b);
}

static void
a_refused_connection_is_told_later_with_the_address(void **state)
{
	struct fixture *f = *state;

	close(f->listening);
	f->listening = -1;
	begin(f);
	assert_int_equal(f->closes, 0);
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_CONN);
	assert_non_null(strstr(f->why, f->address));
	assert_non_null(strstr(f->why, "refused"));
	assert_int_equal(f->opens, 0);
	write_text(f, "lost");
	assert_int_equal(stream_unsent(f->stream), 0);
	loop_step(f->loop);
	assert_int_equal(f->closes, 1);
}

enum { QUEUE = 4 };

/* From here on new connections get no answer: the listener's queue is full. */
static void
fill_queue(struct fixture *f, int queue[QUEUE])
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	close(f->listening);
	f->listening = peer_listen("127.0.0.1", &f->port, 0);
	assert_true(f->listening >= 0);
	to.sin_port = htons((uint16_t)f->port);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	for (int i = 0; i < QUEUE; i++) {
		queue[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(queue[i], (struct sockaddr *)&to, sizeof(to));
	}
}

static void
close_all(int queue[QUEUE])
{
	for (int i = 0; i < QUEUE; i++)
		close(queue[i]);
}

static void
a_connection_that_is_not_answered_times_out(void **state)
{
	struct fixture *f = *state;
	int queue[QUEUE];

	fill_queue(f, queue);
	f->opt.connect_timeout_ms = 700;
	begin(f);
	loop_step(f->loop);
	clock_fake_advance_ms(&f->clock, 699);
	for (int i = 0; i < 20; i++)
		loop_step(f->loop);
	assert_int_equal(f->closes, 0);
	clock_fake_advance_ms(&f->clock, 1);
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_TIMEOUT);
	assert_non_null(strstr(f->why, f->address));
	close_all(queue);
}

static void
a_peer_that_hangs_up_in_the_middle_of_a_line_is_told_once(void **state)
{
	struct fixture *f = *state;

	connected(f);
	say(f, "whole\nhal");
	close(f->peer);
	f->peer = -1;
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_CONN);
	assert_non_null(strstr(f->why, "closed the connection"));
	assert_string_equal(buf_str(&f->lines), "whole\n");
	for (int i = 0; i < 5; i++)
		loop_step(f->loop);
	assert_int_equal(f->closes, 1);
}

static void
what_the_peer_said_before_it_reset_is_heard(void **state)
{
	struct fixture *f = *state;
	struct linger hard = {1, 0};

	connected(f);
	say(f, "SERVER_ERROR too many\n");
	UNTIL(f->loop, f->lines.len > 0);
	setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(f->peer);
	f->peer = -1;
	for (int i = 0; i < 1000 && stream_unsent(f->stream) == 0; i++)
		write_text(f, "more"); /* fails inside the call; on_close() may not come from there */
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_CONN);
	assert_string_equal(buf_str(&f->lines), "SERVER_ERROR too many\n");
}

static void
a_slow_reader_gets_every_byte_and_the_writer_sees_the_queue(void **state)
{
	enum { TOTAL = 24 << 20, LOW = 1 << 20 };
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	char *room, got[65536];
	size_t have = 0;

	f->opt.low_water = LOW;
	connected(f);
	room = buf_room(&b, TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		room[i] = (char)(i * 31 >> 8);
	buf_added(&b, TOTAL);
	f->in_call = true;
	stream_write(f->stream, &b);
	f->in_call = false;
	assert_true(stream_unsent(f->stream) > LOW);
	assert_int_equal(f->drains, 0);
	while (have < TOTAL) {
		ssize_t n = recv(f->peer, got, sizeof(got), 0);

		if (n < 0) {
			loop_step(f->loop);
			continue;
		}
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_true(got[i] == (char)((have + (size_t)i) * 31 >> 8));
		have += (size_t)n;
	}
	assert_int_equal(stream_unsent(f->stream), 0);
	assert_int_equal(f->drains, 1);
	assert_int_equal(stream_counts(f->stream)->bytes_out, TOTAL);
	buf_fini(&b);
}

static void
a_reply_without_end_is_cut_off(void **state)
{
	struct fixture *f = *state;
	char text[600];

	f->opt.max_input = 500;
	connected(f);
	memset(text, 'x', sizeof(text));
	assert_int_equal(send(f->peer, text, 500, 0), 500);
	UNTIL(f->loop, f->shown == 500);
	assert_int_equal(f->closes, 0);
	assert_int_equal(send(f->peer, text, 1, 0), 1);
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_TOO_LONG);
}

static void
a_paused_stream_reads_on_when_it_is_told_to(void **state)
{
	struct fixture *f = *state;

	connected(f);
	f->take_nothing = true;
	say(f, "one\n");
	UNTIL(f->loop, f->shown == 4);
	stream_pause(f->stream, true);
	say(f, "two\n");
	for (int i = 0; i < 50; i++)
		loop_step(f->loop);
	assert_int_equal(f->shown, 4);
	f->take_nothing = false;
	f->in_call = true;
	stream_pause(f->stream, false); /* what was left is shown again, but not from inside */
	f->in_call = false;
	UNTIL(f->loop, f->lines.len == 8);
	assert_string_equal(buf_str(&f->lines), "one\ntwo\n");
}

static void
the_stream_may_be_closed_in_on_open(void **state)
{
	struct fixture *f = *state;

	f->close_at = AT_OPEN;
	connected(f);
	assert_null(f->stream);
}

static void
the_stream_may_be_closed_in_on_bytes(void **state)
{
	struct fixture *f = *state;

	f->close_at = AT_BYTES;
	connected(f);
	say(f, "a\nb");
	UNTIL(f->loop, f->stream == NULL);
	loop_step(f->loop);
	assert_int_equal(f->closes, 0);
}

static void
the_stream_may_be_closed_in_on_drain(void **state)
{
	struct fixture *f = *state;
	char got[65536];
	struct buf b = BUF_INIT;

	f->close_at = AT_DRAIN;
	connected(f);
	memset(buf_room(&b, 16 << 20), 'x', 16 << 20);
	buf_added(&b, 16 << 20);
	stream_write(f->stream, &b);
	while (f->stream != NULL) {
		while (recv(f->peer, got, sizeof(got), 0) > 0)
			;
		loop_step(f->loop);
	}
	assert_int_equal(f->drains, 1);
	assert_int_equal(f->closes, 0);
	buf_fini(&b);
}

static void
the_stream_may_be_closed_in_on_close(void **state)
{
	struct fixture *f = *state;

	f->close_at = AT_CLOSE;
	connected(f);
	close(f->peer);
	f->peer = -1;
	UNTIL(f->loop, f->stream == NULL);
	assert_int_equal(f->closes, 1);
}

static void
a_stream_closed_while_it_connects_is_silent(void **state)
{
	struct fixture *f = *state;

	int queue[QUEUE];

	begin(f);
	stream_close(&f->stream);
	fill_queue(f, queue);
	begin(f);
	loop_step(f->loop);
	stream_close(&f->stream);
	close_all(queue);
	clock_fake_advance_ms(&f->clock, 60000);
	for (int i = 0; i < 20; i++)
		loop_step(f->loop);
	assert_int_equal(f->opens + f->closes, 0);
}

static void
a_unix_socket_is_a_stream_too(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/squeal-test-XXXXXX", text[4] = "";

	assert_non_null(mkdtemp(dir));
	snprintf(f->address, sizeof(f->address), "%s/s", dir);
	begin(f);
	UNTIL(f->loop, f->closes == 1);
	assert_int_equal(f->err, ERR_CONN);
	assert_non_null(strstr(f->why, "No such file"));
	stream_close(&f->stream);
	strcpy(at.sun_path, f->address);
	close(f->listening);
	f->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->listening, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(f->listening, 1), 0);
	connected(f);
	write_text(f, "hey");
	peer_reads(f, text, 3);
	assert_string_equal(text, "hey");
	unlink(f->address);
	rmdir(dir);
}

static void
a_name_is_resolved_before_it_is_connected(void **state)
{
	struct fixture *f = *state;

	need_localhost();
	snprintf(f->address, sizeof(f->address), "localhost:%u", f->port);
	connected(f);
	assert_true(stream_is_open(f->stream));
}

static void
what_is_no_address_is_refused_at_once(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	assert_int_equal(stream_connect(&f->stream, f->loop, "no-port", NULL, &ops, f, &why), ERR_CONFIG);
	assert_null(f->stream);
	assert_non_null(strstr(why.text, "host:port"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(bytes_go_both_ways),
	    T(a_reply_that_comes_byte_by_byte_is_whole_in_the_end),
	    T(what_is_written_before_the_connection_stands_is_sent_in_order),
	    T(a_refused_connection_is_told_later_with_the_address),
	    T(a_connection_that_is_not_answered_times_out),
	    T(a_peer_that_hangs_up_in_the_middle_of_a_line_is_told_once),
	    T(what_the_peer_said_before_it_reset_is_heard),
	    T(a_slow_reader_gets_every_byte_and_the_writer_sees_the_queue),
	    T(a_reply_without_end_is_cut_off),
	    T(a_paused_stream_reads_on_when_it_is_told_to),
	    T(the_stream_may_be_closed_in_on_open),
	    T(the_stream_may_be_closed_in_on_bytes),
	    T(the_stream_may_be_closed_in_on_drain),
	    T(the_stream_may_be_closed_in_on_close),
	    T(a_stream_closed_while_it_connects_is_silent),
	    T(a_unix_socket_is_a_stream_too),
	    T(a_name_is_resolved_before_it_is_connected),
	    T(what_is_no_address_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
