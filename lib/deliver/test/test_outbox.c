#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/deliver/outbox.h"

struct fixture {
	struct router_options opt;
	struct clock_fake clock;
	struct outbox_metrics metrics;
	struct outbox *o;
	struct buf out;
	struct buf acked_keys;
	struct buf coalesced;
	struct outbox_ack ack; /* the last one */
	struct err_detail why;
};

static void
note_acked(void *arg, const struct outbox_ack *ack)
{
	static const char *const hits[] = {"", "+", "-"};
	struct fixture *f = arg;

	f->ack = *ack;
	buf_printf(&f->acked_keys, "%llu:", (unsigned long long)ack->offset);
	buf_put_span(&f->acked_keys, ack->key);
	buf_put_str(&f->acked_keys, hits[ack->hit]);
	buf_putc(&f->acked_keys, ' ');
}

static void
note_coalesced(void *arg, uint64_t ref, uint64_t offset)
{
	struct fixture *f = arg;

	buf_printf(&f->coalesced, "%llu->%llu ", (unsigned long long)ref, (unsigned long long)offset);
}

static struct fixture *
fixture_create(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct outbox_context ctx;

	f->opt.window_keys = 3;
	f->opt.windows = 2;
	f->opt.backoff_max = 1000;
	clock_fake_init(&f->clock);
	f->clock.epoch_us = 5000000;
	f->clock.now_ns = 1000000000;
	ctx = (struct outbox_context){.opt = &f->opt,
				      .clock = &f->clock.clock,
				      .metrics = &f->metrics,
				      .server = "test:1",
				      .on_acked = note_acked,
				      .on_coalesced = note_coalesced,
				      .arg = f};
	f->o = outbox_create(&ctx, 7);
	return f;
}

static int
setup(void **state)
{
	*state = fixture_create();
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	outbox_destroy(&f->o);
	buf_fini(&f->out);
	buf_fini(&f->acked_keys);
	buf_fini(&f->coalesced);
	free(f);
	return 0;
}

static err_t
put_key(struct fixture *f, const char *key)
{
	return outbox_put(f->o, &(struct outbox_key){.prefix = SPAN_LIT(""), .key = span_of(key)});
}

/* One record with one transaction of these keys. */
static void
put(struct fixture *f, uint64_t offset, const char *const *keys)
{
	outbox_txn(f->o, offset, 5900000, 0);
	for (; *keys != NULL; keys++)
		assert_int_equal(put_key(f, *keys), ERR_OK);
	outbox_record_end(f->o, offset + 1);
}
#define PUT(f, offset, ...) put((f), (offset), (const char *const[]){__VA_ARGS__, NULL})

/* What would be sent now. */
static const char *
sent(struct fixture *f)
{
	buf_clear(&f->out);
	outbox_send(f->o, &f->out);
	return buf_str(&f->out);
}

static err_t
reply(struct fixture *f, const char *lines)
{
	struct span in = span_of(lines);
	err_t err = ERR_OK;

	err_clear(&f->why);
	while (in.len > 0 && err == ERR_OK) {
		struct mc_reply r;

		assert_int_equal(mc_reply_parse(in, &r, &f->why), ERR_OK);
		assert_int_not_equal(r.kind, MC_REPLY_MORE);
		err = outbox_reply(f->o, &r, &f->why);
		in = span_from(in, r.used);
	}
	return err;
}

static void
nothing_is_sent_without_a_connection(void **state)
{
	struct fixture *f = *state;

	PUT(f, 7, "a");
	assert_string_equal(sent(f), "");
	assert_int_equal(outbox_acked(f->o), 7);
}

static void
a_window_is_acknowledged_by_its_end_mark(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b");
	assert_string_equal(sent(f), "md a q\r\nmd b q\r\nmn\r\n");
	assert_int_equal(outbox_acked(f->o), 7);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_true(outbox_is_empty(f->o));
	assert_string_equal(buf_str(&f->acked_keys), "7:a 7:b ");
	assert_int_equal(metric_get(&f->metrics.router_deletes_acked), 2);
	assert_int_equal(histogram_count(&f->metrics.router_seen_to_ack), 1);
	assert_in_range(histogram_max(&f->metrics.router_seen_to_ack), 99000, 101000);
}

/* memcached 1.6.18 prints NF for a miss in spite of q; HD comes from servers that do not know q. */
static void
hits_and_misses_inside_a_window_are_fine(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b");
	sent(f);
	assert_int_equal(reply(f, "NF\r\nHD\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
records_without_a_delete_for_the_server_move_the_cursor(void **state)
{
	struct fixture *f = *state;

	outbox_record_end(f->o, 8);
	assert_int_equal(outbox_acked(f->o), 8);
	outbox_connected(f->o, true);
	PUT(f, 8, "a");
	sent(f);
	for (uint64_t next = 10; next < 100000; next++)
		outbox_record_end(f->o, next);
	assert_true(outbox_bytes(f->o) < 200);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 99999);
	assert_true(outbox_is_empty(f->o));
}

static void
only_full_windows_join_one_that_is_in_flight(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	PUT(f, 8, "b", "c");
	assert_string_equal(sent(f), "");
	PUT(f, 9, "d", "e");
	assert_string_equal(sent(f), "md b q\r\nmd c q\r\nmd d q\r\nmn\r\n");
	PUT(f, 10, "f", "g", "h", "i");
	assert_string_equal(sent(f), "");
	assert_int_equal(reply(f, "MN\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 9);
	assert_string_equal(sent(f), "md e q\r\nmd f q\r\nmd g q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 10);
	assert_string_equal(sent(f), "md h q\r\nmd i q\r\nmn\r\n");
}

static void
what_was_in_flight_is_sent_again_after_a_reconnect(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b", "c", "d", "e", "f");
	assert_string_equal(sent(f),
			    "md a q\r\nmd b q\r\nmd c q\r\nmn\r\nmd d q\r\nmd e q\r\nmd f q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\nNF\r\n"), ERR_OK);
	outbox_disconnected(f->o);
	assert_string_equal(sent(f), "");
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "md d q\r\nmd e q\r\nmd f q\r\nmn\r\n");
	assert_int_equal(outbox_acked(f->o), 7);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_int_equal(metric_get(&f->metrics.router_retries), 1);
}

static void
only_the_refused_key_of_a_window_is_given_up(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "bad", "c");
	PUT(f, 8, "d", "e", "f");
	sent(f);
	assert_int_equal(reply(f, "CLIENT_ERROR bad key\r\nMN\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 7);
	assert_string_equal(sent(f), "md a q\r\nmd bad q\r\nmd c q\r\nmn\r\n");
	assert_int_equal(reply(f, "CLIENT_ERROR bad key\r\nMN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "md a q\r\nmn\r\nmd bad q\r\nmn\r\n");
	assert_int_equal(reply(f, "NF\r\nMN\r\nCLIENT_ERROR bad key\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 7);
	assert_string_equal(sent(f), "md c q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 9);
	assert_int_equal(metric_get(&f->metrics.router_deletes_given_up), 1);
	assert_int_equal(metric_get(&f->metrics.router_deletes_acked), 5);
	assert_string_equal(buf_str(&f->acked_keys), "7:a 7:c 8:d 8:e 8:f ");
	assert_true(outbox_is_empty(f->o));
}

static void
a_server_error_is_tried_again_after_a_growing_pause_and_never_given_up(void **state)
{
	struct fixture *f = *state;
	uint64_t last_pause = 0;

	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	sent(f);
	for (int i = 0; i < 8; i++) {
		uint64_t pause;

		assert_int_equal(reply(f, "SERVER_ERROR out of memory\r\nMN\r\n"), ERR_OK);
		assert_string_equal(sent(f), "");
		pause = outbox_retry_at_ms(f->o) - clock_mono_ms(&f->clock.clock);
		assert_true(pause > last_pause || pause == f->opt.backoff_max);
		last_pause = pause;
		clock_fake_advance_ms(&f->clock, pause);
		assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	}
	assert_int_equal(last_pause, 1000);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_int_equal(metric_get(&f->metrics.router_deletes_given_up), 0);
	assert_int_equal(metric_get(&f->metrics.router_server_errors), 8);
}

static void
a_window_that_waits_does_not_hold_up_those_behind_it(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b", "c");
	sent(f);
	assert_int_equal(reply(f, "SERVER_ERROR busy\r\nMN\r\n"), ERR_OK);
	for (uint64_t i = 8; i < 20; i++) {
		PUT(f, i, "x");
		assert_string_equal(sent(f), "md x q\r\nmn\r\n");
		assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	}
	assert_int_equal(outbox_acked(f->o), 7);
	clock_fake_advance_ms(&f->clock, 100);
	sent(f);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 20);
}

static void
a_disconnect_amid_single_keys_starts_their_round_again(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b", "c");
	for (int i = 0; i < 2; i++) {
		sent(f);
		assert_int_equal(reply(f, "CLIENT_ERROR x\r\nMN\r\n"), ERR_OK);
	}
	sent(f);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	outbox_disconnected(f->o);
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "md b q\r\nmn\r\nmd c q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
older_servers_get_classic_deletes_with_counted_answers(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, false);
	PUT(f, 7, "a", "b");
	assert_string_equal(sent(f), "delete a\r\ndelete b\r\nversion\r\n");
	assert_int_equal(reply(f, "DELETED\r\nNOT_FOUND\r\nVERSION 1.2.8\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	PUT(f, 8, "c", "d");
	sent(f);
	assert_int_equal(reply(f, "DELETED\r\nVERSION 1.2.8\r\n"), ERR_PROTOCOL);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
answers_that_fit_nothing_are_a_protocol_error(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	assert_int_equal(reply(f, "MN\r\n"), ERR_PROTOCOL);
	PUT(f, 7, "a");
	sent(f);
	assert_int_equal(reply(f, "DELETED\r\n"), ERR_PROTOCOL);
	assert_int_equal(reply(f, "OK\r\n"), ERR_PROTOCOL);
	assert_int_equal(reply(f, "HD\r\nHD\r\n"), ERR_PROTOCOL);
	assert_int_equal(outbox_acked(f->o), 7);
}

static void
a_flush_is_sent_alone_and_tried_until_it_works(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	outbox_flush_all(f->o);
	outbox_record_end(f->o, 50);
	PUT(f, 50, "b");
	assert_int_equal(outbox_flushes_pending(f->o), 1);
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "flush_all\r\nmn\r\n");
	assert_int_equal(reply(f, "CLIENT_ERROR flush_all not allowed\r\nMN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "md b q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	for (int i = 0; i < 5; i++) {
		clock_fake_advance_ms(&f->clock, 1000);
		assert_string_equal(sent(f), "flush_all\r\nmn\r\n");
		assert_int_equal(reply(f, i < 4 ? "CLIENT_ERROR not allowed\r\nMN\r\n" : "OK\r\nMN\r\n"),
				 ERR_OK);
	}
	assert_int_equal(outbox_acked(f->o), 51);
	assert_int_equal(outbox_flushes_pending(f->o), 0);
	assert_int_equal(metric_get(&f->metrics.router_flushes), 1);
}

static void
flushes_that_wait_in_a_row_are_one(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 8; i < 1000; i++) {
		outbox_flush_all(f->o);
		outbox_record_end(f->o, i);
	}
	assert_int_equal(outbox_flushes_pending(f->o), 1);
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "flush_all\r\nmn\r\n");
	/* The one in flight may have come too early for this one. */
	outbox_flush_all(f->o);
	outbox_record_end(f->o, 1001);
	assert_int_equal(outbox_flushes_pending(f->o), 2);
	assert_int_equal(reply(f, "OK\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 999);
	assert_string_equal(sent(f), "flush_all\r\nmn\r\n");
	assert_int_equal(reply(f, "OK\r\nMN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 1001);
	/* A delete between two is not lost among them. */
	outbox_flush_all(f->o);
	PUT(f, 1001, "a");
	outbox_flush_all(f->o);
	assert_int_equal(outbox_flushes_pending(f->o), 2);
}

static void
a_flush_without_its_ok_is_not_acknowledged(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	outbox_flush_all(f->o);
	outbox_record_end(f->o, 8);
	sent(f);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 7);
	assert_int_equal(outbox_flushes_pending(f->o), 1);
}

static void
keys_that_could_be_commands_are_not_let_in(void **state)
{
	struct fixture *f = *state;
	char long_key[252];

	memset(long_key, 'k', 251);
	long_key[251] = '\0';
	assert_int_equal(put_key(f, "a b"), ERR_BAD_KEY);
	assert_int_equal(put_key(f, "a\r\nflush_all"), ERR_BAD_KEY);
	assert_int_equal(put_key(f, ""), ERR_BAD_KEY);
	assert_int_equal(
	    outbox_put(f->o, &(struct outbox_key){.prefix = SPAN_LIT(""), .key = SPAN_LIT("a\0b")}),
	    ERR_BAD_KEY);
	assert_int_equal(put_key(f, long_key), ERR_BAD_KEY);
	assert_true(outbox_is_empty(f->o));
}

static void
the_prefix_is_sent_but_not_reported(void **state)
{
	struct fixture *f = *state;
	char long_key[251];
	struct outbox_key k = {.prefix = SPAN_LIT("app:"), .key = {long_key, 247}};

	memset(long_key, 'k', sizeof(long_key));
	assert_int_equal(outbox_put(f->o, &k), ERR_BAD_KEY);
	k.prefix = SPAN_LIT("a p:");
	k.key = SPAN_LIT("a");
	assert_int_equal(outbox_put(f->o, &k), ERR_BAD_KEY);
	assert_true(outbox_is_empty(f->o));
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	k.prefix = SPAN_LIT("app:");
	assert_int_equal(outbox_put(f->o, &k), ERR_OK);
	k.prefix = SPAN_LIT("ap");
	k.key = SPAN_LIT("p:a");
	assert_int_equal(outbox_put(f->o, &k), ERR_OK); /* the same on the server */
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md app:a q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_string_equal(buf_str(&f->acked_keys), "7:a ");
}

static void
the_oldest_end_mark_waits_since_it_was_next(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	assert_int_equal(outbox_waiting_since_ms(f->o), 0);
	PUT(f, 7, "a", "b", "c", "d", "e", "f");
	sent(f);
	assert_int_equal(outbox_waiting_since_ms(f->o), 1000);
	clock_fake_advance_ms(&f->clock, 400);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_waiting_since_ms(f->o), 1400);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_waiting_since_ms(f->o), 0);
}

static void
a_restart_forgets_everything(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b", "c", "d");
	sent(f);
	outbox_restart(f->o, 1);
	assert_true(outbox_is_empty(f->o));
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "");
	PUT(f, 1, "z");
	assert_string_equal(sent(f), "md z q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 2);
}

/* Random deletes, answers, errors and disconnects against a model of the server: in the end every key has
 * been seen by the server after it was put, and nothing but the poison was given up. */
static void
a_random_history_loses_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t rng = 12345, next_key = 0, offset = 7;
	unsigned char *deleted = calloc(1, 100000);
	struct buf server_in = BUF_INIT;
	struct buf server_out = BUF_INIT;
	bool up = false;

	f->opt.window_keys = 5;
	f->opt.windows = 3;
	for (int step = 0; step < 20000 || !outbox_is_empty(f->o); step++) {
		uint64_t r = rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		size_t line;

		assert_true(step < 200000);
		r >>= 33;
		if (step < 20000 && r % 3 == 0) {
			outbox_txn(f->o, offset, 0, 0);
			for (uint64_t i = 0; i < r / 3 % 9; i++) {
				char key[24];

				snprintf(key, sizeof(key), "%s%llu", next_key % 50 == 0 ? "poison" : "k",
					 (unsigned long long)next_key);
				next_key++;
				assert_int_equal(put_key(f, key), ERR_OK);
			}
			outbox_record_end(f->o, ++offset);
		}
		if (!up || r / 64 % 400 == 0) {
			if (up)
				outbox_disconnected(f->o);
			buf_clear(&server_in);
			buf_clear(&server_out);
			outbox_connected(f->o, true);
			up = true;
		}
		clock_fake_advance_ms(&f->clock, 7);
		outbox_send(f->o, &server_in);
		for (uint64_t n = r / 1024 % 8; n > 0 && server_in.len > 0; n--) {
			line = (size_t)span_find(buf_span(&server_in), SPAN_LIT("\r\n"));
			if (server_in.p[1] == 'n')
				buf_put_str(&server_out, "MN\r\n");
			else if (server_in.p[3] == 'p')
				buf_put_str(&server_out, "CLIENT_ERROR poison\r\n");
			else if (r % 61 == 0)
				buf_put_str(&server_out, "SERVER_ERROR out of memory\r\n");
			else
				deleted[strtoull(server_in.p + 4, NULL, 10)] = 1;
			buf_take(&server_in, line + 2);
		}
		assert_int_equal(reply(f, buf_str(&server_out)), ERR_OK);
		buf_clear(&server_out);
	}
	assert_true(next_key > 10000 && next_key < 100000);
	for (uint64_t i = 0; i < next_key; i++)
		assert_int_equal(deleted[i], i % 50 != 0);
	assert_int_equal(outbox_acked(f->o), offset);
	assert_int_equal(metric_get(&f->metrics.router_deletes_given_up), (next_key + 49) / 50);
	assert_int_equal(metric_get(&f->metrics.router_deletes_acked), next_key - (next_key + 49) / 50);
	free(deleted);
	buf_fini(&server_in);
	buf_fini(&server_out);
}

static err_t
put_held(struct fixture *f, const char *key, uint32_t ms)
{
	return outbox_put(
	    f->o, &(struct outbox_key){.prefix = SPAN_LIT(""), .key = span_of(key), .holdoff_ms = ms});
}

static void
a_holdoff_is_sent_to_servers_that_know_it(void **state)
{
	struct fixture *f = *state;

	outbox_abilities(f->o, OUTBOX_HOLDOFF);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	assert_int_equal(put_held(f, "a", 2000), ERR_OK);
	assert_int_equal(put_held(f, "b", 0), ERR_OK);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md a q H2000\r\nmd b q\r\nmn\r\n");
	assert_int_equal(metric_get(&f->metrics.router_holdoffs_sent), 1);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
a_holdoff_for_a_server_that_knows_none_is_a_plain_delete_and_counted(void **state)
{
	struct fixture *f = *state;

	/* What the last server could do says nothing about this one. */
	outbox_abilities(f->o, OUTBOX_HOLDOFF);
	outbox_connected(f->o, true);
	outbox_disconnected(f->o);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	assert_int_equal(put_held(f, "a", 2000), ERR_OK);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	assert_int_equal(metric_get(&f->metrics.router_holdoff_unsupported), 1);
}

static void
caught_up_goes_out_alone_behind_the_deletes_and_is_acknowledged_by_ok(void **state)
{
	struct fixture *f = *state;

	outbox_abilities(f->o, OUTBOX_CAUGHT_UP);
	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	outbox_caught_up(f->o);
	PUT(f, 8, "b");
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "caughtup\r\nmn\r\n");
	assert_int_equal(reply(f, "OK\r\nMN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "md b q\r\nmn\r\n");
	assert_int_equal(metric_get(&f->metrics.router_caught_up), 1);
}

static void
caught_up_is_sent_again_until_the_server_says_ok(void **state)
{
	struct fixture *f = *state;

	outbox_abilities(f->o, OUTBOX_CAUGHT_UP);
	outbox_connected(f->o, true);
	outbox_caught_up(f->o);
	assert_string_equal(sent(f), "caughtup\r\nmn\r\n");
	assert_int_equal(reply(f, "SERVER_ERROR busy\r\nMN\r\n"), ERR_OK);
	clock_fake_advance_ms(&f->clock, 1000);
	assert_string_equal(sent(f), "caughtup\r\nmn\r\n");
	assert_int_equal(reply(f, "OK\r\nMN\r\n"), ERR_OK);
	assert_true(outbox_is_empty(f->o));
}

static void
caught_up_of_an_older_connection_is_never_sent(void **state)
{
	struct fixture *f = *state;

	outbox_abilities(f->o, OUTBOX_CAUGHT_UP);
	outbox_connected(f->o, true);
	outbox_caught_up(f->o);
	outbox_disconnected(f->o);
	PUT(f, 7, "missed");
	outbox_abilities(f->o, OUTBOX_CAUGHT_UP);
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "mn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "md missed q\r\nmn\r\n");
}

/* --- coalescing, stale, limits, rate, pause, samples ------------------------------------------------------
 */

static err_t
put_as(struct fixture *f, const char *key, struct outbox_key k)
{
	k.prefix = SPAN_LIT("");
	k.key = span_of(key);
	return outbox_put(f->o, &k);
}

#define PUT_AS(f, key, ...) assert_int_equal(put_as((f), (key), (struct outbox_key){__VA_ARGS__}), ERR_OK)

static void
a_key_that_waits_unsent_is_not_queued_twice(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a", .ref = 70);
	outbox_record_end(f->o, 8);
	outbox_txn(f->o, 8, 0, 0);
	PUT_AS(f, "b", .ref = 80);
	PUT_AS(f, "a", .ref = 80);
	outbox_record_end(f->o, 9);
	outbox_txn(f->o, 9, 0, 0);
	PUT_AS(f, "a", .ref = 90);
	outbox_record_end(f->o, 10);
	assert_string_equal(buf_str(&f->coalesced), "80->7 90->7 ");
	assert_int_equal(metric_get(&f->metrics.router_deletes_coalesced), 2);
	assert_string_equal(sent(f), "md a q\r\nmd b q\r\nmn\r\n");
	assert_int_equal(outbox_acked(f->o), 7);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 10);
	assert_string_equal(buf_str(&f->acked_keys), "7:a 8:b ");
}

static void
a_key_that_is_in_flight_is_queued_again(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	PUT(f, 8, "a");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	assert_int_equal(metric_get(&f->metrics.router_deletes_coalesced), 0);
}

static void
what_waits_becomes_the_stronger_of_the_two(void **state)
{
	struct fixture *f = *state;

	f->opt.window_keys = 10;
	outbox_abilities(f->o, OUTBOX_HOLDOFF);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a", .action = OUTBOX_STALE, .stale_ms = 30000);
	PUT_AS(f, "a", .action = OUTBOX_DELETE);
	PUT_AS(f, "b", .action = OUTBOX_DELETE);
	PUT_AS(f, "b", .action = OUTBOX_STALE, .stale_ms = 30000);
	PUT_AS(f, "c", .action = OUTBOX_STALE, .stale_ms = 30000);
	PUT_AS(f, "c", .action = OUTBOX_STALE, .stale_ms = 5000, .holdoff_ms = 700);
	PUT_AS(f, "d", .holdoff_ms = 900);
	PUT_AS(f, "d", .holdoff_ms = 0);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md a q\r\nmd b q\r\nmd c q I T5 H700\r\nmd d q H900\r\nmn\r\n");
}

static void
stale_is_sent_in_whole_seconds_and_never_for_ever(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a", .action = OUTBOX_STALE, .stale_ms = 1001);
	PUT_AS(f, "b", .action = OUTBOX_STALE, .stale_ms = 0);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md a q I T2\r\nmd b q I T1\r\nmn\r\n");
	assert_int_equal(metric_get(&f->metrics.router_stales_sent), 2);
}

static void
stale_on_a_server_without_meta_commands_is_a_delete_and_counted(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, false);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a", .action = OUTBOX_STALE, .stale_ms = 1000);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "delete a\r\nversion\r\n");
	assert_int_equal(metric_get(&f->metrics.router_stale_unsupported), 1);
	assert_int_equal(metric_get(&f->metrics.router_stales_sent), 0);
}

static void
a_limited_key_waits_aside_and_others_go_on(void **state)
{
	struct fixture *f = *state;
	struct outbox_limit limit = {.keys_per_s = 10}; /* one token gathers */

	f->opt.window_keys = 10;
	outbox_limits(f->o, &limit, 1);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "n1", .limit = 1);
	PUT_AS(f, "n2", .limit = 1, .ref = 5);
	PUT_AS(f, "free");
	outbox_record_end(f->o, 8);
	PUT(f, 8, "later");
	assert_string_equal(sent(f), "md n1 q\r\nmd free q\r\nmd later q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 7); /* n2 waits */
	assert_false(outbox_is_empty(f->o));
	assert_true(outbox_bytes(f->o) > 0);
	assert_int_equal(metric_get(&f->metrics.router_deletes_limited), 1);
	assert_int_equal(metric_get(&f->metrics.router_limited_waiting), 1);
	assert_int_equal(outbox_retry_at_ms(f->o), 1100);
	assert_string_equal(sent(f), "");
	clock_fake_advance_ms(&f->clock, 100);
	assert_string_equal(sent(f), "md n2 q\r\nmn\r\n");
	assert_int_equal(outbox_acked(f->o), 7); /* sent is not acknowledged */
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 9);
	assert_true(outbox_is_empty(f->o));
	assert_int_equal(outbox_bytes(f->o), 0);
	assert_int_equal(f->ack.offset, 7);
	assert_int_equal(f->ack.ref, 5);
	assert_string_equal(buf_str(&f->acked_keys), "7:n1 7:free 8:later 7:n2 ");
}

static void
limited_keys_coalesce_while_they_wait(void **state)
{
	struct fixture *f = *state;
	struct outbox_limit limit = {.keys_per_s = 10};

	outbox_limits(f->o, &limit, 1);
	outbox_connected(f->o, true);
	for (uint64_t offset = 7; offset < 107; offset++) {
		outbox_txn(f->o, offset, 0, 0);
		PUT_AS(f, "counter", .limit = 1, .ref = offset);
		outbox_record_end(f->o, offset + 1);
		sent(f);
		if (outbox_in_flight(f->o) > 0)
			assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
		clock_fake_advance_ms(&f->clock, 10);
	}
	/* One second of it: one at once, and one in each tenth. */
	assert_in_range(metric_get(&f->metrics.router_deletes_sent), 10, 11);
	assert_int_equal(metric_get(&f->metrics.router_deletes_coalesced) +
			     metric_get(&f->metrics.router_deletes_sent) +
			     metric_get(&f->metrics.router_limited_waiting),
			 100);
	clock_fake_advance_ms(&f->clock, 100);
	sent(f);
	if (outbox_in_flight(f->o) > 0)
		assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 107);
}

static void
limited_keys_survive_a_reconnect_and_a_change_of_limits(void **state)
{
	struct fixture *f = *state;
	struct outbox_limit limits[2] = {{.keys_per_s = 1}, {.keys_per_s = 1}};

	outbox_limits(f->o, limits, 2);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a1", .limit = 2);
	PUT_AS(f, "a2", .limit = 2);
	PUT_AS(f, "a3", .limit = 2);
	outbox_record_end(f->o, 8);
	assert_string_equal(sent(f), "md a1 q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	clock_fake_advance_ms(&f->clock, 1000);
	assert_string_equal(sent(f), "md a2 q\r\nmn\r\n");
	outbox_disconnected(f->o);
	assert_int_equal(outbox_acked(f->o), 7);
	outbox_connected(f->o, true);
	assert_string_equal(sent(f), "md a2 q\r\nmn\r\n"); /* again, without another token */
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 7);
	outbox_limits(f->o, limits, 1); /* its limit is gone, so it may go */
	assert_string_equal(sent(f), "md a3 q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
caught_up_waits_for_the_limited_keys_before_it(void **state)
{
	struct fixture *f = *state;
	struct outbox_limit limit = {.keys_per_s = 10};

	outbox_limits(f->o, &limit, 1);
	outbox_abilities(f->o, OUTBOX_CAUGHT_UP);
	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 0, 0);
	PUT_AS(f, "a1", .limit = 1);
	PUT_AS(f, "a2", .limit = 1);
	outbox_record_end(f->o, 8);
	outbox_caught_up(f->o);
	assert_string_equal(sent(f), "md a1 q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	outbox_txn(f->o, 8, 0, 0);
	PUT_AS(f, "a3", .limit = 1); /* behind it: not waited for */
	outbox_record_end(f->o, 9);
	assert_string_equal(sent(f), "");
	clock_fake_advance_ms(&f->clock, 100);
	assert_string_equal(sent(f), "md a2 q\r\nmn\r\n");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "caughtup\r\nmn\r\n");
}

static void
the_rate_holds_for_all_keys_together(void **state)
{
	struct fixture *f = *state;
	uint64_t offset = 7, before;

	f->opt.window_keys = 50;
	outbox_rate(f->o, 1000); /* 50 gather */
	outbox_connected(f->o, true);
	outbox_txn(f->o, offset, 0, 0);
	for (int i = 0; i < 1000; i++) {
		char key[20];

		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(put_key(f, key), ERR_OK);
	}
	outbox_record_end(f->o, ++offset);
	for (int ms = 0; ms < 500; ms++) {
		sent(f);
		while (outbox_in_flight(f->o) > 0)
			assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
		clock_fake_advance_ms(&f->clock, 1);
	}
	assert_in_range(metric_get(&f->metrics.router_deletes_acked), 500, 551);
	assert_int_not_equal(outbox_retry_at_ms(f->o), 0);
	outbox_rate(f->o, 0);
	before = metric_get(&f->metrics.router_deletes_acked);
	for (int i = 0; i < 10; i++) {
		sent(f);
		while (outbox_in_flight(f->o) > 0)
			assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	}
	assert_true(before < 1000);
	assert_int_equal(outbox_acked(f->o), 8);
}

static void
while_paused_nothing_more_is_sent_and_what_is_in_flight_is_awaited(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	PUT(f, 7, "a");
	assert_string_equal(sent(f), "md a q\r\nmn\r\n");
	outbox_pause(f->o, true);
	PUT(f, 8, "b");
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(outbox_acked(f->o), 8);
	assert_string_equal(sent(f), "");
	assert_true(outbox_is_paused(f->o));
	outbox_pause(f->o, false);
	assert_string_equal(sent(f), "md b q\r\nmn\r\n");
}

static void
one_window_in_so_many_says_what_the_server_had(void **state)
{
	struct fixture *f = *state;

	f->opt.sample_hits = 2;
	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b");
	assert_string_equal(sent(f), "md a q\r\nmd b q\r\nmn\r\n");
	assert_int_equal(reply(f, "NF\r\nMN\r\n"), ERR_OK); /* of 1.6.18: which of the two is unknown */
	outbox_txn(f->o, 8, 0, 0);
	PUT_AS(f, "c", .ref = 1);
	PUT_AS(f, "d", .ref = 2);
	outbox_record_end(f->o, 9);
	assert_string_equal(sent(f), "md c\r\nmd d\r\nmn\r\n");
	assert_int_equal(reply(f, "HD\r\nNF\r\nMN\r\n"), ERR_OK);
	assert_string_equal(buf_str(&f->acked_keys), "7:a 7:b 8:c+ 8:d- ");
	assert_int_equal(metric_get(&f->metrics.router_delete_hits), 1);
	assert_int_equal(metric_get(&f->metrics.router_delete_misses), 1);
	assert_int_equal(f->ack.ref, 2);
}

static void
a_sampled_window_that_fails_is_sent_again_unsampled(void **state)
{
	struct fixture *f = *state;

	f->opt.sample_hits = 1;
	outbox_connected(f->o, true);
	PUT(f, 7, "a", "b");
	assert_string_equal(sent(f), "md a\r\nmd b\r\nmn\r\n");
	assert_int_equal(reply(f, "CLIENT_ERROR poison\r\nHD\r\nMN\r\n"), ERR_OK);
	assert_string_equal(sent(f), "md a q\r\nmd b q\r\nmn\r\n");
	assert_int_equal(reply(f, "NF\r\nMN\r\n"), ERR_OK);
	assert_string_equal(buf_str(&f->acked_keys), "7:a 7:b ");
	assert_int_equal(metric_get(&f->metrics.router_delete_hits), 0);
	PUT(f, 8, "c", "d");
	assert_string_equal(sent(f), "md c\r\nmd d\r\nmn\r\n");
	assert_int_equal(reply(f, "HD\r\nMN\r\n"), ERR_PROTOCOL); /* an answer is missing */
}

static void
a_classic_server_always_says_what_it_had(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, false);
	PUT(f, 7, "a", "b");
	sent(f);
	assert_int_equal(reply(f, "NOT_FOUND\r\nDELETED\r\nVERSION 1.4.0\r\n"), ERR_OK);
	assert_string_equal(buf_str(&f->acked_keys), "7:a- 7:b+ ");
}

static void
an_acknowledgement_brings_its_times(void **state)
{
	struct fixture *f = *state;

	outbox_connected(f->o, true);
	outbox_txn(f->o, 7, 5900000, 5800000);
	PUT_AS(f, "a", .ref = 3);
	outbox_record_end(f->o, 8);
	clock_fake_advance_ms(&f->clock, 10);
	sent(f);
	clock_fake_advance_ms(&f->clock, 5);
	assert_int_equal(reply(f, "MN\r\n"), ERR_OK);
	assert_int_equal(f->ack.commit_us, 5800000);
	assert_int_equal(f->ack.seen_us, 5900000);
	assert_int_equal(f->ack.queued_us, 6000000);
	assert_int_equal(f->ack.sent_us, 6010000);
	assert_int_equal(f->ack.acked_us, 6015000);
}

/* Few keys, so that they meet each other at every stage; a third of them limited.  The server's copy of each
 * key must be deleted after the last record that named it, and never may the cursor pass a record before. */
static void
a_random_history_with_limits_and_repeats_deletes_each_key_after_its_last_record(void **state)
{
	enum { KEYS = 40, STEPS = 30000 };
	struct fixture *f = *state;
	struct outbox_limit limit = {.keys_per_s = 200};
	uint64_t rng = 99, offset = 7, clock = 0;
	uint64_t put_at[KEYS] = {0}, done_at[KEYS] = {0}, last_record[KEYS] = {0};
	struct buf server_in = BUF_INIT, server_out = BUF_INIT;
	bool up = false;

	f->opt.window_keys = 4;
	f->opt.windows = 3;
	f->opt.sample_hits = 5;
	outbox_limits(f->o, &limit, 1);
	for (int step = 0; step < STEPS || !outbox_is_empty(f->o); step++) {
		uint64_t r = rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t acked;

		assert_true(step < 2 * STEPS);
		r >>= 33;
		if (step < STEPS && r % 3 == 0) {
			outbox_txn(f->o, offset, 0, 0);
			for (uint64_t i = 0; i < r / 3 % 5; i++) {
				size_t k = (size_t)(r / (7 + 13 * i)) % KEYS;
				char key[20];

				snprintf(key, sizeof(key), "k%zu", k);
				PUT_AS(f, key, .limit = k % 3 == 0 ? 1 : 0);
				put_at[k] = ++clock;
				last_record[k] = offset;
			}
			outbox_record_end(f->o, ++offset);
		}
		if (!up || r / 64 % 300 == 0) {
			if (up)
				outbox_disconnected(f->o);
			buf_clear(&server_in);
			outbox_connected(f->o, true);
			up = true;
		}
		clock_fake_advance_ms(&f->clock, 1);
		outbox_send(f->o, &server_in);
		for (uint64_t n = r / 1024 % 6; n > 0 && server_in.len > 0; n--) {
			size_t line = (size_t)span_find(buf_span(&server_in), SPAN_LIT("\r\n"));

			if (server_in.p[1] == 'n') {
				buf_put_str(&server_out, "MN\r\n");
			} else {
				done_at[strtoul(server_in.p + 4, NULL, 10)] = ++clock;
				if (server_in.p[line - 1] != 'q')
					buf_put_str(&server_out, "HD\r\n");
			}
			buf_take(&server_in, line + 2);
		}
		assert_int_equal(reply(f, buf_str(&server_out)), ERR_OK);
		buf_clear(&server_out);
		acked = outbox_acked(f->o);
		for (size_t k = 0; k < KEYS; k++) {
			if (last_record[k] < acked)
				assert_true(put_at[k] <= done_at[k]);
		}
	}
	assert_int_equal(outbox_acked(f->o), offset);
	assert_true(metric_get(&f->metrics.router_deletes_coalesced) > 1000);
	assert_true(metric_get(&f->metrics.router_deletes_limited) > 100);
	assert_int_equal(outbox_bytes(f->o), 0);
	buf_fini(&server_in);
	buf_fini(&server_out);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_key_that_waits_unsent_is_not_queued_twice),
	    TEST(a_key_that_is_in_flight_is_queued_again),
	    TEST(what_waits_becomes_the_stronger_of_the_two),
	    TEST(stale_is_sent_in_whole_seconds_and_never_for_ever),
	    TEST(stale_on_a_server_without_meta_commands_is_a_delete_and_counted),
	    TEST(a_limited_key_waits_aside_and_others_go_on),
	    TEST(limited_keys_coalesce_while_they_wait),
	    TEST(limited_keys_survive_a_reconnect_and_a_change_of_limits),
	    TEST(caught_up_waits_for_the_limited_keys_before_it),
	    TEST(the_rate_holds_for_all_keys_together),
	    TEST(while_paused_nothing_more_is_sent_and_what_is_in_flight_is_awaited),
	    TEST(one_window_in_so_many_says_what_the_server_had),
	    TEST(a_sampled_window_that_fails_is_sent_again_unsampled),
	    TEST(a_classic_server_always_says_what_it_had),
	    TEST(an_acknowledgement_brings_its_times),
	    TEST(a_random_history_with_limits_and_repeats_deletes_each_key_after_its_last_record),
	    TEST(a_holdoff_is_sent_to_servers_that_know_it),
	    TEST(a_holdoff_for_a_server_that_knows_none_is_a_plain_delete_and_counted),
	    TEST(caught_up_goes_out_alone_behind_the_deletes_and_is_acknowledged_by_ok),
	    TEST(caught_up_is_sent_again_until_the_server_says_ok),
	    TEST(caught_up_of_an_older_connection_is_never_sent),
	    TEST(nothing_is_sent_without_a_connection),
	    TEST(a_window_is_acknowledged_by_its_end_mark),
	    TEST(hits_and_misses_inside_a_window_are_fine),
	    TEST(records_without_a_delete_for_the_server_move_the_cursor),
	    TEST(only_full_windows_join_one_that_is_in_flight),
	    TEST(what_was_in_flight_is_sent_again_after_a_reconnect),
	    TEST(only_the_refused_key_of_a_window_is_given_up),
	    TEST(a_server_error_is_tried_again_after_a_growing_pause_and_never_given_up),
	    TEST(a_window_that_waits_does_not_hold_up_those_behind_it),
	    TEST(a_disconnect_amid_single_keys_starts_their_round_again),
	    TEST(older_servers_get_classic_deletes_with_counted_answers),
	    TEST(answers_that_fit_nothing_are_a_protocol_error),
	    TEST(a_flush_is_sent_alone_and_tried_until_it_works),
	    TEST(flushes_that_wait_in_a_row_are_one),
	    TEST(a_flush_without_its_ok_is_not_acknowledged),
	    TEST(keys_that_could_be_commands_are_not_let_in),
	    TEST(the_prefix_is_sent_but_not_reported),
	    TEST(the_oldest_end_mark_waits_since_it_was_next),
	    TEST(a_restart_forgets_everything),
	    TEST(a_random_history_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
