#include "squeal/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/test/test.h"
#include "lib/wire/record.h"

static struct batch_metrics metrics;

/* A committed transaction 0-1-seq with `n` keys "k<seq>-<i>". */
static struct queue_item *
item(uint64_t seq, int n, size_t memory)
{
	struct queue_item *it = queue_item_create();
	struct keyset *s = keyset_create(memory, "/tmp");
	struct err_detail why = {0};
	char key[32];
	bool added;

	it->gtid = (struct gtid){.kind = GTID_MARIADB, .domain = 0, .server = 1, .seq = seq};
	it->commit_us = seq * 1000000;
	for (int i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%d-%d", (int)seq, i);
		assert_int_equal(keyset_add(s, KEY_DELETE, span_of(key), &added, &why), ERR_OK);
	}
	keyset_take(s, &it->keys);
	keyset_destroy(&s);
	return it;
}

static void
put(struct batch *b, struct queue_item *it)
{
	struct err_detail why = {0};
	bool done;

	assert_int_equal(batch_add(b, it, &done, &why), ERR_OK);
	assert_true(done);
}

static void
decode(struct span bytes, struct arena *arena, struct record *rec)
{
	struct err_detail why = {0};

	assert_int_equal(record_decode(bytes, arena, rec, &why), ERR_OK);
}

static void
transactions_share_a_record_and_keep_their_order(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100, 100000}, &metrics);
	struct queue_item *one = item(1, 2, 1000), *two = item(2, 1, 1000);
	struct arena arena = ARENA_INIT;
	struct batch_output out;
	struct record rec;

	put(b, one);
	put(b, two);
	assert_true(batch_has_news(b));
	batch_take(b, &out);
	assert_int_equal(out.nrecords, 1);
	assert_int_equal(out.nkeys, 3);
	assert_int_equal(out.ntxns, 2);
	assert_true(span_is(out.checkpoint, "gtid:0-1-2"));
	decode(out.records[0], &arena, &rec);
	assert_true(span_is(rec.source, "main"));
	assert_true(span_is(rec.position, "gtid:0-1-2"));
	assert_int_equal(rec.ntxns, 2);
	assert_true(span_is(rec.txns[0].gtid, "0-1-1"));
	assert_true(span_is(rec.txns[0].keys[1], "k1-1"));
	assert_true(span_is(rec.txns[1].keys[0], "k2-0"));
	assert_int_equal(rec.txns[1].commit_us, 2000000);
	batch_clear(b);
	assert_false(batch_has_news(b));
	arena_fini(&arena);
	queue_item_destroy(&one);
	queue_item_destroy(&two);
	batch_destroy(&b);
}

/* Adds `it` with as many takes as it asks for; checks parts and positions; returns keys seen. */
static uint64_t
drain(struct batch *b, struct queue_item *it, const char *before, const char *after)
{
	struct arena arena = ARENA_INIT;
	struct err_detail why = {0};
	uint64_t keys = 0;
	bool done = false;

	while (!done) {
		struct batch_output out;

		assert_int_equal(batch_add(b, it, &done, &why), ERR_OK);
		batch_take(b, &out);
		assert_true(out.nrecords > 0);
		for (size_t i = 0; i < out.nrecords; i++) {
			struct record rec;
			bool last = done && i + 1 == out.nrecords;

			decode(out.records[i], &arena, &rec);
			assert_int_equal(rec.ntxns, 1);
			assert_int_equal(rec.txns[0].continues, !last);
			assert_true(span_is(rec.position, last ? after : ""));
			assert_true(rec.txns[0].nkeys <= 100);
			for (size_t k = 0; k < rec.txns[0].nkeys; k++) {
				char key[32];

				snprintf(key, sizeof(key), "k%d-%d", (int)it->gtid.seq, (int)keys++);
				assert_true(span_is(rec.txns[0].keys[k], key));
			}
			arena_reset(&arena);
		}
		if (!done && before[0] != '\0')
			assert_true(out.checkpoint.len == 0 || span_is(out.checkpoint, before));
		batch_clear(b);
	}
	arena_fini(&arena);
	return keys;
}

/* I7: whatever a transaction's size, no position lies inside it. */
static void
a_huge_transaction_is_cut_and_no_position_lies_inside_it(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100, 1 << 20}, &metrics);
	struct queue_item *in_memory = item(1, 20000, 1 << 22);
	struct queue_item *spilled = item(2, 20050, 4096);

	assert_int_equal(drain(b, in_memory, "", "gtid:0-1-1"), 20000);
	assert_true(spilled->keys.spill_fd >= 0);
	assert_int_equal(drain(b, spilled, "gtid:0-1-1", "gtid:0-1-2"), 20050);
	queue_item_destroy(&in_memory);
	queue_item_destroy(&spilled);
	batch_destroy(&b);
}

static void
a_spilled_transaction_that_fills_its_last_record_ends_there(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100, 1 << 20}, &metrics);
	struct queue_item *it = item(1, 1000, 512);

	assert_int_equal(drain(b, it, "", "gtid:0-1-1"), 1000);
	queue_item_destroy(&it);
	batch_destroy(&b);
}

static void
records_are_cut_by_bytes_too(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100000, 2000}, &metrics);
	struct queue_item *it = item(1, 1000, 1 << 20);
	struct err_detail why = {0};
	struct batch_output out;
	bool done;

	assert_int_equal(batch_add(b, it, &done, &why), ERR_OK);
	batch_take(b, &out);
	assert_true(out.nrecords > 3);
	for (size_t i = 0; i < out.nrecords; i++)
		assert_true(out.records[i].len < 2600);
	queue_item_destroy(&it);
	batch_destroy(&b);
}

static void
a_transaction_without_keys_moves_the_position_only(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100, 100000}, &metrics);
	struct queue_item *it = item(7, 0, 1000);
	struct batch_output out;

	put(b, it);
	assert_true(batch_has_news(b));
	batch_take(b, &out);
	assert_int_equal(out.nrecords, 0);
	assert_true(span_is(out.checkpoint, "gtid:0-1-7"));
	queue_item_destroy(&it);
	batch_destroy(&b);
}

static void
an_item_with_a_whole_position_replaces_it(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){100, 100000}, &metrics);
	struct queue_item *one = item(7, 1, 1000), *whole = queue_item_create();
	struct err_detail why = {0};
	struct batch_output out;

	whole->whole = calloc(1, sizeof(*whole->whole));
	assert_int_equal(position_parse(SPAN_LIT("0-2-9,5-1-3"), whole->whole, &why), ERR_OK);
	put(b, one);
	put(b, whole);
	batch_take(b, &out);
	assert_true(span_is(out.checkpoint, "gtid:0-2-9,5-1-3"));
	assert_int_equal(out.nrecords, 1);
	queue_item_destroy(&one);
	queue_item_destroy(&whole);
	batch_destroy(&b);
}

static void
make_prepared(struct queue_item *it)
{
	it->kind = QUEUE_PREPARED;
	it->xid = calloc(1, sizeof(*it->xid));
	assert_true(xid_make(it->xid, 1, SPAN_LIT("a"), (struct span){"", 0}));
}

static void
a_prepared_transaction_becomes_notes_and_its_head_comes_with_the_position(void **state)
{
	struct batch *b = batch_create("main", (struct batch_limits){1000, 1000000}, &metrics);
	struct queue_item *before = item(1, 2, 1000), *large = item(2, 500000, 1000);
	struct err_detail why = {0};
	struct batch_output out;
	unsigned takes = 0, heads = 0;
	uint32_t part = 0;
	bool done = false;

	make_prepared(large);
	put(b, before);
	while (!done) {
		assert_int_equal(batch_add(b, large, &done, &why), ERR_OK);
		batch_take(b, &out);
		/* What came before it goes with the position behind it. */
		assert_int_equal(out.nrecords, takes == 0);
		assert_int_equal(out.nkeys, takes == 0 ? 2 : 0);
		assert_true(span_is(out.checkpoint, done ? "gtid:0-1-2" : takes == 0 ? "gtid:0-1-1" : ""));
		for (size_t i = 0; i < out.nnotes; i++) {
			assert_true(span_is(out.notes[i].name, "xa:X'61',X'',1"));
			if (takes == 0 && i == 0) {
				assert_int_equal(out.notes[i].change, BROKER_NOTE_DROP);
				continue;
			}
			assert_int_equal(out.notes[i].change, BROKER_NOTE_PUT);
			assert_true(out.notes[i].value.len < 70000);
			if (out.notes[i].part == 0)
				heads++;
			else
				assert_int_equal(out.notes[i].part, ++part);
		}
		assert_int_equal(heads, done);
		assert_true(batch_changes_note(b, SPAN_LIT("xa:X'61',X'',1")));
		batch_clear(b);
		assert_false(batch_changes_note(b, SPAN_LIT("xa:X'61',X'',1")));
		takes++;
	}
	assert_true(takes >= 2);
	assert_false(batch_has_news(b));
	queue_item_destroy(&before);
	queue_item_destroy(&large);
	batch_destroy(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(transactions_share_a_record_and_keep_their_order),
	    cmocka_unit_test(a_huge_transaction_is_cut_and_no_position_lies_inside_it),
	    cmocka_unit_test(a_spilled_transaction_that_fills_its_last_record_ends_there),
	    cmocka_unit_test(records_are_cut_by_bytes_too),
	    cmocka_unit_test(a_transaction_without_keys_moves_the_position_only),
	    cmocka_unit_test(a_prepared_transaction_becomes_notes_and_its_head_comes_with_the_position),
	    cmocka_unit_test(an_item_with_a_whole_position_replaces_it),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
