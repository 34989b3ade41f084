#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/store/store.h"

struct fixture {
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct store *s;
	struct store_thread *t;
};

static void
make(struct fixture *f, uint64_t memory, enum store_policy policy, unsigned threads)
{
	struct store_options opt = {.memory = memory,
				    .max_value = 1u << 30,
				    .threads = threads,
				    .policy = policy,
				    .seed = 7,
				    .now = 100};
	struct err_detail why = {0};

	assert_int_equal(quiesce_create(&f->q, &why), ERR_OK);
	f->qt = quiesce_join(f->q);
	quiesce_online(f->q, f->qt);
	opt.quiesce = f->q;
	assert_int_equal(store_create(&f->s, &opt, &why), ERR_OK);
	f->t = store_join(f->s, f->qt);
	assert_non_null(f->t);
}

static void
unmake(struct fixture *f)
{
	store_leave(&f->t);
	store_destroy(&f->s);
	quiesce_offline(f->qt);
	quiesce_leave(f->q, &f->qt);
	quiesce_destroy(&f->q);
}

static err_t
put_draft(struct fixture *f, struct store_draft *d, struct span value, uint64_t bits, uint64_t *cas)
{
	uint64_t at = 0, got;
	size_t n;
	char *where;
	err_t err;

	d->hash = store_hash(f->s, d->key);
	d->value_len = value.len;
	err = store_begin(f->t, d);
	if (err != ERR_OK)
		return err;
	while ((n = store_draft_room(f->t, d, at, &where)) != 0) {
		memcpy(where, value.p + at, n);
		at += n;
	}
	assert_int_equal(at, value.len);
	store_lock(f->t, d->hash);
	got = store_commit(f->t, d, bits);
	store_unlock(f->t, d->hash);
	if (cas)
		*cas = got;
	return ERR_OK;
}

static uint64_t
put(struct fixture *f, const char *key, const char *value, uint32_t expiry)
{
	struct store_draft d = {.key = span_of(key), .expiry = expiry};
	uint64_t cas = 0;

	assert_int_equal(put_draft(f, &d, span_of(value), 0, &cas), ERR_OK);
	return cas;
}

static bool
find(struct fixture *f, const char *key, struct store_view *v)
{
	return store_find(f->t, span_of(key), store_hash(f->s, span_of(key)), v);
}

static void
assert_holds(struct fixture *f, const char *key, const char *value)
{
	struct store_view v;

	assert_true(find(f, key, &v));
	assert_int_equal(v.len, strlen(value));
	assert_memory_equal(v.value, value, v.len);
}

static void
drop(struct fixture *f, const char *key)
{
	uint64_t h = store_hash(f->s, span_of(key));
	struct store_view v;

	store_lock(f->t, h);
	assert_true(store_find_locked(f->t, span_of(key), h, &v));
	store_remove(f->t, &v);
	store_unlock(f->t, h);
}

static void
what_was_stored_is_found(void **state)
{
	struct fixture f;
	struct store_view v;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	assert_false(find(&f, "a", &v));
	put(&f, "a", "one", 0);
	put(&f, "b", "", 0);
	assert_holds(&f, "a", "one");
	assert_holds(&f, "b", "");
	put(&f, "a", "two, which is longer", 0);
	assert_holds(&f, "a", "two, which is longer");
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 2);
	unmake(&f);
}

static void
what_was_removed_is_not_found_and_its_memory_is_free(void **state)
{
	struct fixture f;
	struct store_view v;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	put(&f, "a", "one", 0);
	drop(&f, "a");
	assert_false(find(&f, "a", &v));
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 0);
	assert_int_equal(metric_get(&store_metrics(f.s)->store_bytes), 0);
	unmake(&f);
}

static void
each_cas_of_a_key_is_larger_than_the_last(void **state)
{
	struct fixture f;
	uint64_t last = 0, cas, i;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	for (i = 0; i < 100; i++) {
		cas = put(&f, "a", "x", 0);
		assert_true(cas > last);
		last = cas;
	}
	unmake(&f);
}

static void
a_cas_that_the_client_chose_is_kept_and_the_next_is_larger(void **state)
{
	struct fixture f;
	struct store_draft d = {.key = SPAN_LIT("a"), .cas = 987654321};
	struct store_draft big = {.key = SPAN_LIT("b"), .cas = 1ull << 60};
	struct store_draft next = {.key = SPAN_LIT("b"), .want_cas = true};
	struct store_view v;
	uint64_t cas;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	assert_int_equal(put_draft(&f, &d, SPAN_LIT("x"), 0, &cas), ERR_OK);
	assert_int_equal(cas, 987654321);
	assert_true(find(&f, "a", &v));
	assert_int_equal(item_cas(v.item, v.state), 987654321);
	assert_true(put(&f, "a", "y", 0) > 987654321);
	assert_int_equal(put_draft(&f, &big, SPAN_LIT("x"), 0, &cas), ERR_OK);
	assert_int_equal(put_draft(&f, &next, SPAN_LIT("x"), 0, &cas), ERR_OK);
	assert_int_equal(cas, (1ull << 60) + 1);
	unmake(&f);
}

static void
flags_epoch_and_bits_come_back(void **state)
{
	struct fixture f;
	struct store_draft d = {
	    .key = SPAN_LIT("a"), .client_flags = 77, .epoch = {9, 3, 2}, .expiry = 200000, .cas = 5};
	struct store_view v;
	struct item_epoch e;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	assert_int_equal(put_draft(&f, &d, SPAN_LIT("value"), ITEM_STALE | ITEM_TOKEN, NULL), ERR_OK);
	assert_true(find(&f, "a", &v));
	e = item_epoch(v.item, v.state);
	assert_int_equal(e.count, 9);
	assert_int_equal(e.term, 3);
	assert_int_equal(e.source, 2);
	assert_int_equal(item_client_flags(v.item, v.state), 77);
	assert_int_equal(v.expiry, 200000);
	assert_true(v.state & ITEM_STALE);
	assert_true(v.state & ITEM_TOKEN);
	assert_memory_equal(v.value, "value", 5);
	store_lock(f.t, d.hash);
	assert_true(store_find_locked(f.t, d.key, d.hash, &v));
	store_mark(f.t, &v, ITEM_FETCHED, ITEM_STALE);
	store_unlock(f.t, d.hash);
	assert_true(find(&f, "a", &v));
	assert_false(v.state & ITEM_STALE);
	assert_true(v.state & ITEM_FETCHED);
	unmake(&f);
}

static void
an_item_expires_at_its_second(void **state)
{
	static const uint32_t ttl[] = {1,     2,     3,	     7,	      8,	9,	  15,
				       16,    17,    60,     3600,    5000,	65535,	  65536,
				       90000, 86400, 604800, 2592000, 40000000, 400000000};
	struct fixture f;
	struct store_view v;
	char key[32];
	size_t i;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	for (i = 0; i < sizeof ttl / sizeof ttl[0]; i++) {
		snprintf(key, sizeof key, "k%zu", i);
		put(&f, key, "x", 100 + ttl[i]);
		assert_true(find(&f, key, &v));
		assert_int_equal(v.expiry, 100 + ttl[i]);
	}
	put(&f, "past", "x", 1);
	assert_false(find(&f, "past", &v));
	for (i = 0; i < sizeof ttl / sizeof ttl[0]; i++) {
		snprintf(key, sizeof key, "k%zu", i);
		if (ttl[i] == 86400)
			continue;
		store_set_now(f.s, 100 + ttl[i] - 1);
		assert_true(find(&f, key, &v));
		store_set_now(f.s, 100 + ttl[i]);
		assert_false(find(&f, key, &v));
		while (store_upkeep(f.s, f.qt))
			;
	}
	assert_true(metric_get(&store_metrics(f.s)->store_expired) > 10);
	unmake(&f);
}

static uint64_t
expired_items(struct fixture *f)
{
	return metric_get(&store_metrics(f->s)->store_expired);
}

static uint64_t
flushed_items(struct fixture *f)
{
	return metric_get(&store_metrics(f->s)->store_flushed_items);
}

static void
a_key_that_is_not_found_says_why_and_each_item_that_ended_counts_once(void **state)
{
	struct fixture f;
	struct store_view v;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	assert_false(find(&f, "never", &v));
	assert_int_equal(v.gone, STORE_ABSENT);
	put(&f, "a", "x", 110);
	put(&f, "b", "x", 110);
	put(&f, "c", "x", 0);
	put(&f, "d", "x", 0);
	store_set_now(f.s, 110);
	assert_false(find(&f, "a", &v));
	assert_int_equal(v.gone, STORE_EXPIRED);
	assert_int_equal(expired_items(&f), 0);
	put(&f, "a", "y", 0);
	assert_int_equal(expired_items(&f), 1);
	store_flush(f.s);
	assert_false(find(&f, "c", &v));
	assert_int_equal(v.gone, STORE_FLUSHED);
	assert_int_equal(flushed_items(&f), 0);
	put(&f, "c", "y", 0);
	assert_int_equal(flushed_items(&f), 1);
	put(&f, "c", "z", 0); /* the one before lived */
	while (store_upkeep(f.s, f.qt))
		;
	assert_false(find(&f, "d", &v));
	assert_int_equal(v.gone, STORE_ABSENT);
	assert_int_equal(expired_items(&f), 1);
	assert_int_equal(flushed_items(&f), 4); /* b had expired, too, but all of its segment was flushed */
	unmake(&f);
}

static void
idle_time_is_since_the_last_access(void **state)
{
	struct fixture f;
	struct store_view v;

	(void)state;
	make(&f, 8 << 20, STORE_EVICT, 2);
	put(&f, "a", "x", 0);
	store_set_now(f.s, 130);
	assert_true(find(&f, "a", &v));
	assert_int_equal(store_idle(f.t, &v), 30);
	store_accessed(f.t, &v);
	store_set_now(f.s, 135);
	assert_true(find(&f, "a", &v));
	assert_int_equal(store_idle(f.t, &v), 5);
	assert_true(v.state & ITEM_FETCHED);
	unmake(&f);
}

static void
a_flush_hides_everything_and_gives_the_memory_back(void **state)
{
	struct fixture f;
	struct store_view v;
	struct store_draft d = {.key = SPAN_LIT("during"), .hash = 0, .value_len = 1};
	char key[32];
	unsigned i;

	(void)state;
	make(&f, 1 << 20, STORE_REFUSE, 1);
	for (i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "k%u", i);
		put(&f, key, "some value", i % 3 * 1000);
	}
	d.hash = store_hash(f.s, d.key);
	assert_int_equal(store_begin(f.t, &d), ERR_OK);
	*d.value = 'x';
	store_flush(f.s);
	for (i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "k%u", i);
		assert_false(find(&f, key, &v));
	}
	/* What is committed after the flush is there, although it began before. */
	store_lock(f.t, d.hash);
	store_commit(f.t, &d, 0);
	store_unlock(f.t, d.hash);
	assert_holds(&f, "during", "x");
	put(&f, "after", "y", 0);
	while (store_upkeep(f.s, f.qt))
		;
	assert_holds(&f, "during", "x");
	assert_holds(&f, "after", "y");
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 2);
	unmake(&f);
}

static void
memory_that_runs_out_evicts(void **state)
{
	struct fixture f;
	char key[32], value[200];
	unsigned i;

	(void)state;
	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	make(&f, 1 << 20, STORE_EVICT, 2);
	for (i = 0; i < 50000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		put(&f, key, value, 0);
		assert_holds(&f, key, value);
		if (i % 1000 == 0)
			store_upkeep(f.s, f.qt);
	}
	assert_true(metric_get(&store_metrics(f.s)->store_evicted) > 40000);
	assert_true(metric_get(&store_metrics(f.s)->store_items) > 2500);
	unmake(&f);
}

/* One item in each of many ranges of TTLs must not hold a segment each for good. */
static void
segments_that_are_hardly_written_to_are_closed(void **state)
{
	struct fixture f;
	struct store_ttl_row rows[256];
	char key[32];
	unsigned i, k, open = 0;
	size_t n;

	(void)state;
	make(&f, 32 << 20, STORE_EVICT, 1);
	for (i = 0; i < 200; i++) {
		snprintf(key, sizeof key, "ttl%u", i);
		put(&f, key, "x", 100 + (1u << i % 28));
	}
	n = store_ttl_rows(f.s, rows, 256);
	assert_true(n > 10);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < 600000; i++) {
			snprintf(key, sizeof key, "key%u", k * 600000 + i);
			put(&f, key, "0123456789012345678901234567890123456789", 0);
			if (i % 100 == 0)
				store_upkeep(f.s, f.qt);
		}
		store_set_now(f.s, 101 + k);
	}
	n = store_ttl_rows(f.s, rows, 256);
	for (i = 0; i < n; i++)
		open += rows[i].ttl_from != 0 ? rows[i].segments : 0;
	assert_true(open <= 3);
	unmake(&f);
}

static void
a_store_that_refuses_drops_nothing(void **state)
{
	struct fixture f;
	struct err_detail why = {0};
	char key[32];
	unsigned i, n = 0, again = 0;

	(void)state;
	(void)why;
	make(&f, 1 << 20, STORE_REFUSE, 1);
	for (i = 0; i < 50000; i++) {
		struct store_draft d = {0};

		snprintf(key, sizeof key, "key%u", i);
		d.key = span_of(key);
		if (put_draft(&f, &d, SPAN_LIT("0123456789012345678901234567890123456789"), 0, NULL) !=
		    ERR_OK)
			break;
		n++;
	}
	assert_in_range(n, 13000, 16384);
	assert_int_equal(metric_get(&store_metrics(f.s)->store_refused), 1);
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof key, "key%u", i);
		assert_holds(&f, key, "0123456789012345678901234567890123456789");
	}
	/* Every second one goes: half of it can be stored again, though no segment is empty. */
	for (i = 0; i < n; i += 2) {
		snprintf(key, sizeof key, "key%u", i);
		drop(&f, key);
	}
	for (i = 0; i < n; i += 2) {
		struct store_draft d = {0};

		snprintf(key, sizeof key, "new%u", i);
		d.key = span_of(key);
		if (put_draft(&f, &d, SPAN_LIT("0123456789012345678901234567890123456789"), 0, NULL) !=
		    ERR_OK)
			break;
		again++;
	}
	assert_true(again > n / 2 * 8 / 10);
	for (i = 1; i < n; i += 2) {
		snprintf(key, sizeof key, "key%u", i);
		assert_holds(&f, key, "0123456789012345678901234567890123456789");
	}
	assert_int_equal(metric_get(&store_metrics(f.s)->store_evicted), 0);
	unmake(&f);
}

static void
what_is_too_large_is_refused_and_counted(void **state)
{
	struct fixture f;
	struct store_draft d = {.key = SPAN_LIT("a"), .value_len = 600 << 10};

	(void)state;
	make(&f, 1 << 20, STORE_EVICT, 1);
	assert_int_equal(store_begin(f.t, &d), ERR_TOO_LONG);
	assert_int_equal(metric_get(&store_metrics(f.s)->store_too_large), 1);
	unmake(&f);
}

static void
an_aborted_draft_leaves_nothing(void **state)
{
	struct fixture f;
	struct store_view v;
	unsigned i;

	(void)state;
	make(&f, 1 << 20, STORE_REFUSE, 1);
	put(&f, "a", "old", 0);
	for (i = 0; i < 10000; i++) {
		struct store_draft d = {.key = SPAN_LIT("a"), .value_len = i % 60000};

		d.hash = store_hash(f.s, d.key);
		assert_int_equal(store_begin(f.t, &d), ERR_OK);
		store_abort(f.t, &d);
	}
	assert_holds(&f, "a", "old");
	assert_int_equal(metric_get(&store_metrics(f.s)->store_items), 1);
	assert_false(find(&f, "b", &v));
	unmake(&f);
}

static void
a_pin_keeps_bytes_while_their_segment_goes(void **state)
{
	struct fixture f;
	struct store_view v;
	struct store_pin pin;
	struct span part;
	char key[32];
	unsigned i;

	(void)state;
	make(&f, 1 << 20, STORE_EVICT, 1);
	put(&f, "a", "the bytes that a slow reader still sends", 0);
	assert_true(find(&f, "a", &v));
	part = store_view_part(f.t, &v, 0);
	pin = store_pin(f.t, part);
	drop(&f, "a");
	for (i = 0; i < 50000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		put(&f, key, "0123456789012345678901234567890123456789", 0);
	}
	assert_memory_equal(part.p, "the bytes that a slow reader still sends", part.len);
	store_unpin(&pin);
	unmake(&f);
}

struct seen {
	unsigned char count[4000];
};

static void
see(void *arg, const struct store_view *v, struct span key)
{
	struct seen *seen = arg;
	char text[32] = "";
	unsigned i;

	(void)v;
	memcpy(text, key.p, key.len < 31 ? key.len : 31);
	if (sscanf(text, "stay%u", &i) == 1 && i < 4000)
		seen->count[i] = 1;
}

static void
a_visit_meets_everything_also_while_merges_move_it(void **state)
{
	struct fixture f;
	struct seen *seen = calloc(1, sizeof *seen);
	uint64_t cursor = 0;
	char key[32], hundred[101];
	unsigned i, round = 0;

	(void)state;
	memset(hundred, 'h', 100);
	hundred[100] = '\0';
	make(&f, 1 << 20, STORE_REFUSE, 1);
	for (i = 0; i < 7000; i++) {
		snprintf(key, sizeof key, i % 2 ? "stay%u" : "goes%u", i / 2);
		put(&f, key, hundred, 0);
	}
	for (i = 0; i < 3500; i++) {
		snprintf(key, sizeof key, "goes%u", i);
		drop(&f, key);
	}
	i = 0;
	do {
		store_visit(f.t, &cursor, 1, see, seen);
		/* Makes merges: all space that is dead is needed again. */
		for (unsigned k = 0; k < 200 && round < 40; k++) {
			snprintf(key, sizeof key, "more%u", i++ % 3000);
			put(&f, key, hundred, 0);
		}
	} while (cursor != 0 && ++round < 1000);
	assert_int_equal(cursor, 0);
	assert_true(metric_get(&store_metrics(f.s)->store_moved) > 0);
	for (i = 0; i < 3500; i++)
		assert_int_equal(seen->count[i], 1);
	free(seen);
	unmake(&f);
}

static void
the_limit_of_memory_can_be_moved(void **state)
{
	struct fixture f;
	char key[32];
	unsigned i;
	uint64_t before;

	(void)state;
	make(&f, 1 << 20, STORE_EVICT, 1);
	assert_true(store_set_memory(f.s, 4 << 20));
	for (i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		put(&f, key, "0123456789012345678901234567890123456789", 0);
	}
	before = metric_get(&store_metrics(f.s)->store_items);
	assert_true(before > 30000);
	assert_true(store_set_memory(f.s, 1 << 20));
	for (i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		put(&f, key, "0123456789012345678901234567890123456789", 0);
	}
	assert_true(metric_get(&store_metrics(f.s)->store_items) < before / 2);
	assert_int_equal(metric_get(&store_metrics(f.s)->store_segments), 16);
	assert_false(store_set_memory(f.s, 1));
	unmake(&f);
}

static void
too_little_memory_is_a_mistake_of_configuration(void **state)
{
	struct store_options opt = {.memory = 100000, .now = 1};
	struct err_detail why = {0};
	struct store *s;

	(void)state;
	assert_int_equal(quiesce_create(&opt.quiesce, &why), ERR_OK);
	assert_int_equal(store_create(&s, &opt, &why), ERR_CONFIG);
	assert_null(s);
	quiesce_destroy(&opt.quiesce);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_stored_is_found),
	    cmocka_unit_test(what_was_removed_is_not_found_and_its_memory_is_free),
	    cmocka_unit_test(each_cas_of_a_key_is_larger_than_the_last),
	    cmocka_unit_test(a_cas_that_the_client_chose_is_kept_and_the_next_is_larger),
	    cmocka_unit_test(flags_epoch_and_bits_come_back),
	    cmocka_unit_test(an_item_expires_at_its_second),
	    cmocka_unit_test(a_key_that_is_not_found_says_why_and_each_item_that_ended_counts_once),
	    cmocka_unit_test(idle_time_is_since_the_last_access),
	    cmocka_unit_test(a_flush_hides_everything_and_gives_the_memory_back),
	    cmocka_unit_test(memory_that_runs_out_evicts),
	    cmocka_unit_test(segments_that_are_hardly_written_to_are_closed),
	    cmocka_unit_test(a_store_that_refuses_drops_nothing),
	    cmocka_unit_test(what_is_too_large_is_refused_and_counted),
	    cmocka_unit_test(an_aborted_draft_leaves_nothing),
	    cmocka_unit_test(a_pin_keeps_bytes_while_their_segment_goes),
	    cmocka_unit_test(a_visit_meets_everything_also_while_merges_move_it),
	    cmocka_unit_test(the_limit_of_memory_can_be_moved),
	    cmocka_unit_test(too_little_memory_is_a_mistake_of_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
