#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "router/story.h"

struct fixture {
	struct clock_fake clock;
	struct story_metrics metrics;
	struct story *story;
	struct buf text;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	clock_fake_init(&f->clock);
	f->clock.epoch_us = 1000000 - f->clock.now_ns / 1000;
	f->story = story_create(65536, &f->clock.clock, &f->metrics);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	story_destroy(&f->story);
	buf_fini(&f->text);
	free(f);
	return 0;
}

static void
txn(struct fixture *f, uint64_t offset)
{
	char gtid[40];
	const struct record rec = {.version = 1, .source = SPAN_LIT("main")};
	struct record_txn t = {
	    .commit_us = 900000, .seen_us = 950000, .origin = SPAN_LIT("update shop.users")};

	snprintf(gtid, sizeof(gtid), "0-1-%llu", (unsigned long long)offset);
	t.gtid = span_of(gtid);
	story_txn(f->story, 3, offset, 960000, &rec, &t);
}

static const char *
tell(struct fixture *f, const char *key, size_t max)
{
	struct json j;

	buf_clear(&f->text);
	json_init(&j, &f->text);
	json_object(&j);
	story_json(f->story, span_of(key), max, &j);
	json_object_end(&j);
	return buf_str(&f->text);
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		n++;
		text++;
	}
	return n;
}

static void
a_delete_is_told_from_commit_to_acknowledgement(void **state)
{
	struct fixture *f = *state;
	uint64_t ref;

	txn(f, 7);
	ref = story_key(f->story, SPAN_LIT("user:1"), "10.0.0.1:11211", "default");
	assert_true(ref != 0);
	assert_non_null(strstr(tell(f, "user:1", 10), "\"state\":\"waiting\""));
	story_acked(f->story, ref, 1000100, 1000400, 1);
	assert_string_equal(
	    tell(f, "user:1", 10),
	    "{\"noted_since_us\":1000000,\"deletes\":[{\"server\":\"10.0.0.1:11211\",\"pool\":\"default\","
	    "\"state\":\"acknowledged\",\"hit\":true,\"gtid\":\"0-1-7\",\"source\":\"main\","
	    "\"origin\":\"update shop.users\",\"partition\":3,\"offset\":7,"
	    "\"at_us\":{\"commit\":900000,\"seen\":950000,\"logged\":960000,\"read\":1000000,\"sent\":"
	    "1000100,"
	    "\"acknowledged\":1000400},"
	    "\"hops_us\":{\"commit_to_seen\":50000,\"seen_to_logged\":10000,\"logged_to_read\":40000,"
	    "\"read_to_sent\":100,\"sent_to_acknowledged\":300}}]}");
	assert_string_equal(tell(f, "user:2", 10), "{\"noted_since_us\":1000000,\"deletes\":[]}");
}

static void
the_newest_come_first_and_no_more_than_asked_for(void **state)
{
	struct fixture *f = *state;
	const char *text;

	for (uint64_t i = 1; i <= 5; i++) {
		txn(f, i);
		story_key(f->story, SPAN_LIT("k"), "s", "p");
	}
	text = tell(f, "k", 2);
	assert_int_equal(count(text, "\"server\""), 2);
	assert_true(strstr(text, "\"offset\":5") < strstr(text, "\"offset\":4"));
	assert_non_null(strstr(text, "\"offset\":4"));
	assert_int_equal(count(tell(f, "k", 0), "\"server\""), 0);
}

static void
a_coalesced_delete_names_the_one_that_stands_for_it(void **state)
{
	struct fixture *f = *state;

	txn(f, 9);
	story_coalesced(f->story, story_key(f->story, SPAN_LIT("k"), "s", "p"), 8);
	assert_non_null(strstr(tell(f, "k", 1), "\"state\":\"coalesced\",\"coalesced_with_offset\":8"));
}

static void
memory_is_fixed_and_the_oldest_go(void **state)
{
	struct fixture *f = *state;
	uint64_t first = 0, last = 0;
	char key[40];

	for (uint64_t i = 0; i < 20000; i++) {
		txn(f, i);
		snprintf(key, sizeof(key), "user:%llu", (unsigned long long)i);
		last = story_key(f->story, span_of(key), "10.0.0.1:11211", "default");
		if (i == 0)
			first = last;
		clock_fake_advance_ms(&f->clock, 1);
	}
	story_acked(f->story, first, 1, 2, 1); /* gone: harmless */
	story_coalesced(f->story, first, 1);
	assert_int_equal(count(tell(f, "user:0", 10), "\"server\""), 0);
	assert_int_equal(count(tell(f, "user:19999", 10), "\"server\""), 1);
	assert_null(strstr(buf_str(&f->text), "\"noted_since_us\":1000000,"));
	story_acked(f->story, last, 5, 6, 0);
	assert_non_null(strstr(tell(f, "user:19999", 10), "\"hit\":false"));
}

static void
the_keys_of_an_endless_transaction_keep_their_transaction(void **state)
{
	struct fixture *f = *state;
	char key[40];

	txn(f, 42);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "user:%u", i);
		story_key(f->story, span_of(key), "10.0.0.1:11211", "default");
	}
	for (unsigned i = 4800; i < 5000; i++) {
		snprintf(key, sizeof(key), "user:%u", i);
		assert_non_null(strstr(tell(f, key, 1), "\"gtid\":\"0-1-42\""));
	}
}

static void
beyond_the_budget_of_a_second_only_watched_keys_are_noted(void **state)
{
	struct fixture *f = *state;

	txn(f, 1);
	story_watch(f->story, SPAN_LIT("hot"));
	for (int i = 0; i < STORY_KEYS_PER_SECOND; i++)
		assert_true(story_key(f->story, SPAN_LIT("k"), "s", "p") != 0);
	assert_int_equal(story_key(f->story, SPAN_LIT("k"), "s", "p"), 0);
	assert_true(story_key(f->story, SPAN_LIT("hot"), "s", "p") != 0);
	assert_int_equal(metric_get(&f->metrics.router_story_skipped), 1);
	clock_fake_advance_ms(&f->clock, 1000);
	txn(f, 2);
	assert_true(story_key(f->story, SPAN_LIT("k"), "s", "p") != 0);
}

static void
the_watch_asked_for_longest_ago_makes_room(void **state)
{
	struct fixture *f = *state;
	char key[40];

	txn(f, 1);
	for (unsigned i = 0; i < STORY_WATCHES + 1; i++) {
		snprintf(key, sizeof(key), "w:%u", i == 0 ? 0 : i);
		story_watch(f->story, span_of(key));
		story_watch(f->story, SPAN_LIT("w:1")); /* stays the newest */
	}
	for (int i = 0; i < STORY_KEYS_PER_SECOND; i++)
		story_key(f->story, SPAN_LIT("k"), "s", "p");
	assert_int_equal(story_key(f->story, SPAN_LIT("w:0"), "s", "p"), 0);
	assert_true(story_key(f->story, SPAN_LIT("w:1"), "s", "p") != 0);
	assert_true(story_key(f->story, SPAN_LIT("w:64"), "s", "p") != 0);
}

static void
without_memory_nothing_is_noted_and_nothing_breaks(void **state)
{
	struct fixture *f = *state;

	story_destroy(&f->story);
	f->story = story_create(0, &f->clock.clock, &f->metrics);
	assert_null(f->story);
	txn(f, 1);
	assert_int_equal(story_key(f->story, SPAN_LIT("k"), "s", "p"), 0);
	story_acked(f->story, 0, 1, 2, 1);
	story_watch(f->story, SPAN_LIT("k"));
	assert_string_equal(tell(f, "k", 3), "{\"noted_since_us\":null,\"deletes\":[]}");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    T(a_delete_is_told_from_commit_to_acknowledgement),
	    T(the_newest_come_first_and_no_more_than_asked_for),
	    T(a_coalesced_delete_names_the_one_that_stands_for_it),
	    T(memory_is_fixed_and_the_oldest_go),
	    T(the_keys_of_an_endless_transaction_keep_their_transaction),
	    T(beyond_the_budget_of_a_second_only_watched_keys_are_noted),
	    T(the_watch_asked_for_longest_ago_makes_room),
	    T(without_memory_nothing_is_noted_and_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
