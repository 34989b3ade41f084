#include "squeal/keyset.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/core/test/test.h"

static void
add(struct keyset *s, const char *key, bool expect_new)
{
	struct err_detail why = {0};
	bool added;

	assert_int_equal(keyset_add(s, KEY_DELETE, span_of(key), &added, &why), ERR_OK);
	assert_int_equal(added, expect_new);
}

/* The keys that left the set, joined with commas. */
static void
assert_taken(struct keyset *s, const char *expected)
{
	struct keyset_cursor c = KEYSET_CURSOR_INIT;
	struct err_detail why = {0};
	struct keyset_keys keys = {.spill_fd = -1};
	struct buf joined = BUF_INIT;
	enum key_kind kind;
	struct span key;
	bool more = true;

	keyset_take(s, &keys);
	for (;;) {
		assert_int_equal(keyset_next(&keys, &c, &kind, &key, &more, &why), ERR_OK);
		if (!more)
			break;
		if (joined.len > 0)
			buf_putc(&joined, ',');
		buf_put_span(&joined, key);
	}
	assert_string_equal(buf_str(&joined), expected);
	assert_int_equal(keyset_count(s), 0);
	buf_fini(&joined);
	keyset_cursor_fini(&c);
	keyset_keys_fini(&keys);
}

static void
a_key_added_twice_is_kept_once(void **state)
{
	struct keyset *s = keyset_create(1 << 20, "/tmp");

	add(s, "a", true);
	add(s, "b", true);
	add(s, "a", false);
	assert_taken(s, "a,b");
	add(s, "a", true);
	keyset_destroy(&s);
}

static void
many_keys_are_found_by_the_index(void **state)
{
	struct keyset *s = keyset_create(1 << 22, "/tmp");
	char key[32];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 20000; i++) {
			snprintf(key, sizeof(key), "user:%d", i);
			add(s, key, round == 0);
		}
	}
	assert_int_equal(keyset_count(s), 20000);
	keyset_destroy(&s);
}

static void
a_marker_and_a_key_of_the_same_bytes_are_two(void **state)
{
	struct keyset *s = keyset_create(1 << 20, "/tmp");
	struct err_detail why = {0};
	bool added;

	add(s, "k", true);
	assert_int_equal(keyset_add(s, KEY_MARKER, SPAN_LIT("k"), &added, &why), ERR_OK);
	assert_true(added);
	assert_int_equal(keyset_count(s), 2);
	keyset_destroy(&s);
}

static void
a_savepoint_forgets_only_what_came_after_it(void **state)
{
	struct keyset *s = keyset_create(1 << 20, "/tmp");
	struct err_detail why = {0};
	struct keyset_mark mark;

	add(s, "a", true);
	mark = keyset_mark(s);
	add(s, "b", true);
	add(s, "a", false);
	assert_int_equal(keyset_rollback(s, mark, &why), ERR_OK);
	assert_int_equal(keyset_count(s), 1);
	add(s, "b", true);
	add(s, "a", false);
	assert_taken(s, "a,b");
	keyset_destroy(&s);
}

static void
a_savepoint_works_on_an_indexed_set(void **state)
{
	struct keyset *s = keyset_create(1 << 20, "/tmp");
	struct err_detail why = {0};
	struct keyset_mark mark = {0};
	char key[32];

	for (int i = 0; i < 100; i++) {
		if (i == 50)
			mark = keyset_mark(s);
		snprintf(key, sizeof(key), "k%d", i);
		add(s, key, true);
	}
	assert_int_equal(keyset_rollback(s, mark, &why), ERR_OK);
	assert_int_equal(keyset_count(s), 50);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		add(s, key, i >= 50);
	}
	keyset_destroy(&s);
}

static void
keys_beyond_the_memory_spill_and_come_back_in_order(void **state)
{
	struct keyset *s = keyset_create(1000, "/tmp");
	struct buf expected = BUF_INIT;
	char key[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		add(s, key, true);
		buf_printf(&expected, "%s%s", i > 0 ? "," : "", key);
	}
	assert_true(keyset_spilled(s) > 40000);
	assert_taken(s, buf_str(&expected));
	buf_fini(&expected);
	keyset_destroy(&s);
}

static void
rolling_back_reaches_into_the_spill_file(void **state)
{
	struct keyset *s = keyset_create(100, "/tmp");
	struct err_detail why = {0};
	struct keyset_mark mark;
	char key[32];

	add(s, "first", true);
	mark = keyset_mark(s);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		add(s, key, true);
	}
	assert_true(keyset_spilled(s) > mark.at);
	assert_int_equal(keyset_rollback(s, mark, &why), ERR_OK);
	add(s, "last", true);
	assert_taken(s, "first,last");
	keyset_destroy(&s);
}

/* A limit on file size stands for a full disk: the write fails in the same place. */
static void
a_full_disk_leaves_the_set_as_it_was(void **state)
{
	struct keyset *s = keyset_create(100, "/tmp");
	struct rlimit old, tiny;
	struct err_detail why = {0};
	char key[32];
	bool added = true;
	err_t err = ERR_OK;
	int n = 0;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	tiny = old;
	tiny.rlim_cur = 0;
	setrlimit(RLIMIT_FSIZE, &tiny);
	for (; err == ERR_OK && n < 100; n++) {
		snprintf(key, sizeof(key), "key-%d", n);
		err = keyset_add(s, KEY_DELETE, span_of(key), &added, &why);
	}
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(err_action(err), ERR_DO_RETRY);
	assert_non_null(strstr(why.text, "squeal.spill_dir"));
	assert_int_equal(keyset_count(s), n - 1);
	add(s, key, true);
	assert_int_equal(keyset_count(s), n);
	keyset_destroy(&s);
}

static void
a_folder_that_is_not_there_is_named(void **state)
{
	struct keyset *s = keyset_create(10, "/nonexistent");
	struct err_detail why = {0};
	bool added;

	add(s, "aaaaaaa", true);
	assert_int_equal(keyset_add(s, KEY_DELETE, SPAN_LIT("bbbbbbb"), &added, &why), ERR_IO);
	assert_non_null(strstr(why.text, "/nonexistent"));
	keyset_destroy(&s);
}

/* Part n holds n keys "pN-I"; part 2 is empty; the first reading of part 3 fails. */
struct kept {
	unsigned failures;
	struct span bad; /* what part 1 holds instead */
};

static err_t
read_part(void *arg, uint32_t n, struct buf *out, struct err_detail *why)
{
	struct kept *kept = arg;
	char key[16];

	if (n == 3 && kept->failures++ == 0) {
		buf_put_str(out, "half");
		return err_set(why, ERR_IO, "not now");
	}
	if (n == 1)
		buf_put_span(out, kept->bad);
	for (uint32_t i = 0; i < (n == 2 ? 0 : n); i++) {
		snprintf(key, sizeof(key), "p%u-%u", (unsigned)n, (unsigned)i);
		keyset_pack(out, i == 1 ? KEY_MARKER : KEY_DELETE, span_of(key));
	}
	return ERR_OK;
}

static void
keys_that_are_kept_in_parts_come_one_by_one(void **state)
{
	static const char *const want[] = {"p1-0", "p3-0", "p3-1", "p3-2"};
	struct kept kept = {0, {"", 0}};
	const struct keyset_parts parts = {read_part, &kept, 3};
	const struct keyset_keys keys = {.parts = &parts, .spill_fd = -1, .nkeys = 4};
	struct keyset_cursor c = KEYSET_CURSOR_INIT;
	struct err_detail why = {0};
	enum key_kind kind;
	struct span key;
	bool more;

	for (size_t i = 0; i < 4; i++) {
		if (i == 1) {
			assert_int_equal(keyset_next(&keys, &c, &kind, &key, &more, &why), ERR_IO);
			err_clear(&why);
		}
		assert_int_equal(keyset_next(&keys, &c, &kind, &key, &more, &why), ERR_OK);
		assert_true(more && span_is(key, want[i]));
		assert_int_equal(kind, i == 2 ? KEY_MARKER : KEY_DELETE);
	}
	assert_int_equal(keyset_next(&keys, &c, &kind, &key, &more, &why), ERR_OK);
	assert_false(more);
	keyset_cursor_fini(&c);
}

static void
a_part_that_does_not_hold_whole_keys_is_damaged(void **state)
{
	static const struct span bad[] = {SPAN_LIT("\0"), SPAN_LIT("\0\5abcd"), SPAN_LIT("\2\1a"),
					  SPAN_LIT("\0\0")};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kept kept = {0, bad[i]};
		const struct keyset_parts parts = {read_part, &kept, 1};
		const struct keyset_keys keys = {.parts = &parts, .spill_fd = -1};
		struct keyset_cursor c = KEYSET_CURSOR_INIT;
		struct err_detail why = {0};
		enum key_kind kind;
		struct span key;
		bool more = true;
		err_t err = ERR_OK;

		while (err == ERR_OK && more)
			err = keyset_next(&keys, &c, &kind, &key, &more, &why);
		assert_int_equal(err, ERR_CORRUPT);
		keyset_cursor_fini(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_key_added_twice_is_kept_once),
	    cmocka_unit_test(many_keys_are_found_by_the_index),
	    cmocka_unit_test(a_marker_and_a_key_of_the_same_bytes_are_two),
	    cmocka_unit_test(a_savepoint_forgets_only_what_came_after_it),
	    cmocka_unit_test(a_savepoint_works_on_an_indexed_set),
	    cmocka_unit_test(keys_beyond_the_memory_spill_and_come_back_in_order),
	    cmocka_unit_test(rolling_back_reaches_into_the_spill_file),
	    cmocka_unit_test(a_full_disk_leaves_the_set_as_it_was),
	    cmocka_unit_test(keys_that_are_kept_in_parts_come_one_by_one),
	    cmocka_unit_test(a_part_that_does_not_hold_whole_keys_is_damaged),
	    cmocka_unit_test(a_folder_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests_name("keyset", tests, NULL, NULL);
}
