#include "cache-server/cache/source.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/test/test.h"

#define T(term, count) ((struct source_time){(count), (term)})

static struct source_table *
made(void)
{
	struct source_table *s = calloc(1, sizeof *s);

	source_table_make(s, 77);
	return s;
}

static void
fills_wait_for_the_first_watermark_which_is_their_floor(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main"));

	assert_int_equal(source_judge(s, 0, T(1, 5)), SOURCE_FLOOR);
	assert_int_equal(source_judge(s, n, T(1, 5)), SOURCE_FLOOR);
	source_watermark(s, n, T(1, 5));
	assert_int_equal(source_judge(s, n, T(1, 5)), SOURCE_FLOOR);
	assert_int_equal(source_judge(s, n, T(1, 6)), SOURCE_FINE);
	source_watermark(s, n, T(1, 50)); /* no floor any more */
	assert_int_equal(source_judge(s, n, T(1, 6)), SOURCE_FINE);
	source_flush(s);
	assert_int_equal(source_judge(s, n, T(1, 60)), SOURCE_FLOOR);
	source_watermark(s, n, T(1, 61));
	assert_int_equal(source_judge(s, n, T(1, 61)), SOURCE_FLOOR);
	assert_int_equal(source_judge(s, n, T(1, 62)), SOURCE_FINE);
	free(s);
}

static void
watermarks_never_go_back(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main"));
	struct source_time w;

	assert_false(source_mark(s, n, &w));
	source_watermark(s, n, T(1, 9));
	source_watermark(s, n, T(1, 7));
	assert_true(source_mark(s, n, &w));
	assert_int_equal(w.count, 9);
	free(s);
}

static void
a_new_term_ends_what_did_not_survive(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main"));
	struct source_time w;

	source_watermark(s, n, T(3, 100));
	assert_false(source_any_ended(s));
	source_new_term(s, n, T(3, 95), 4);
	assert_true(source_any_ended(s));
	assert_true(source_counts(s, n, T(3, 95)));
	assert_false(source_counts(s, n, T(3, 96)));
	assert_true(source_counts(s, n, T(4, 0)));
	assert_false(source_counts(s, n, T(2, 1)));
	assert_true(source_mark(s, n, &w));
	assert_int_equal(w.count, 95);
	assert_int_equal(source_judge(s, n, T(3, 96)), SOURCE_TERM);
	assert_int_equal(source_judge(s, n, T(4, 1)), SOURCE_FINE);
	source_watermark(s, n, T(3, 99)); /* of what was lost: means nothing */
	source_mark(s, n, &w);
	assert_int_equal(w.count, 95);
	source_new_term(s, n, T(3, 95), 4); /* a repeat */
	source_watermark(s, n, T(4, 2));
	source_new_term(s, n, T(3, 95), 4);
	source_mark(s, n, &w);
	assert_int_equal(w.term, 4);
	/* Term 4 is lost as a whole. */
	source_new_term(s, n, T(3, 90), 6);
	assert_false(source_counts(s, n, T(4, 1)));
	assert_false(source_counts(s, n, T(3, 91)));
	assert_true(source_counts(s, n, T(3, 90)));
	source_mark(s, n, &w);
	assert_int_equal(w.term, 3);
	assert_int_equal(w.count, 90);
	free(s);
}

static void
a_watermark_of_an_unannounced_term_ends_the_one_before(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main"));

	source_watermark(s, n, T(3, 100));
	source_watermark(s, n, T(4, 1));
	assert_false(source_counts(s, n, T(3, 50)));
	source_new_term(s, n, T(3, 95), 4);
	assert_true(source_counts(s, n, T(3, 50)));
	assert_false(source_counts(s, n, T(3, 96)));
	free(s);
}

static void
many_terms_forget_the_oldest(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main")), i;

	for (i = 1; i <= SOURCE_TERMS + 3; i++)
		source_new_term(s, n, T(i, 10), i + 1);
	assert_false(source_counts(s, n, T(3, 1)));
	assert_true(source_counts(s, n, T(4, 10)));
	assert_false(source_counts(s, n, T(4, 11)));
	assert_true(source_counts(s, n, T(SOURCE_TERMS + 4, 99)));
	free(s);
}

static void
names_get_numbers_that_other_tables_do_not_know(void **state)
{
	struct source_table *s = made(), *other = made();
	char name[16];
	uint32_t i, n = 0;

	source_table_make(other, 78);
	assert_int_equal(source_find(s, SPAN_LIT("main")), 0);
	for (i = 0; i < SOURCE_MAX; i++) {
		snprintf(name, sizeof name, "s%u", i);
		n = source_intern(s, span_of(name));
		assert_int_equal(n, i + 1);
	}
	assert_int_equal(source_intern(s, SPAN_LIT("one-more")), 0);
	assert_int_equal(source_intern(s, SPAN_LIT("s0")), 1);
	assert_true(span_is(source_name(s, n), name));
	assert_int_equal(source_number(s, source_code(s, n)), n);
	assert_int_equal(source_number(other, source_code(s, n)), 0);
	assert_int_equal(source_code(s, 0), 0);
	free(s);
	free(other);
}

static void
a_writer_that_died_is_recovered_from(void **state)
{
	struct source_table *s = made();
	uint32_t n = source_intern(s, SPAN_LIT("main"));

	atomic_store(&s->lock, 1);
	atomic_store(&s->sources[n].sequence, 7);
	source_table_recover(s);
	source_watermark(s, n, T(1, 1));
	assert_int_equal(source_judge(s, n, T(1, 2)), SOURCE_FINE);
	free(s);
}

static _Atomic bool stop;

static void *
marks(void *arg)
{
	struct source_table *s = arg;
	uint64_t i;

	for (i = 1; i < 20000; i++)
		source_watermark(s, 1, T((uint32_t)(i / 100), i));
	atomic_store(&stop, true);
	return NULL;
}

static void
readers_see_whole_moments_only(void **state)
{
	struct source_table *s = made();
	struct source_time w;
	pthread_t thread;

	atomic_store(&stop, false);
	assert_int_equal(source_intern(s, SPAN_LIT("main")), 1);
	pthread_create(&thread, NULL, marks, s);
	while (!atomic_load(&stop))
		if (source_mark(s, 1, &w) && w.term != w.count / 100)
			fail_msg("%u:%llu was never said", w.term, (unsigned long long)w.count);
	pthread_join(thread, NULL);
	free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fills_wait_for_the_first_watermark_which_is_their_floor),
	    cmocka_unit_test(watermarks_never_go_back),
	    cmocka_unit_test(a_new_term_ends_what_did_not_survive),
	    cmocka_unit_test(a_watermark_of_an_unannounced_term_ends_the_one_before),
	    cmocka_unit_test(many_terms_forget_the_oldest),
	    cmocka_unit_test(names_get_numbers_that_other_tables_do_not_know),
	    cmocka_unit_test(a_writer_that_died_is_recovered_from),
	    cmocka_unit_test(readers_see_whole_moments_only),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
