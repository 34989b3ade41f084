#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cache-server/sight/prefix.h"
#include "lib/core/test/test.h"

static void
expect(struct prefix *const *ps, size_t n, const char *text)
{
	struct buf out = BUF_INIT;

	prefix_dump(ps, n, &out);
	assert_string_equal(buf_str(&out), text);
	buf_fini(&out);
}

static void
note(struct prefix *p, const char *key, enum prefix_event event)
{
	prefix_note(p, span_of(key), event);
}

/* The steps of memcached's t/stats-detail.t. */
static void
the_dump_reads_as_memcacheds(void **state)
{
	struct prefix *p = prefix_create(':', PREFIX_DEFAULT);

	expect(&p, 1, "END\r\n");
	note(p, "foo:123", PREFIX_SET);
	expect(&p, 1, "PREFIX foo get 0 hit 0 set 1 del 0\r\nEND\r\n");
	note(p, "foo:123", PREFIX_HIT);
	expect(&p, 1, "PREFIX foo get 1 hit 1 set 1 del 0\r\nEND\r\n");
	note(p, "foo:124", PREFIX_MISS);
	expect(&p, 1, "PREFIX foo get 2 hit 1 set 1 del 0\r\nEND\r\n");
	note(p, "foo:125", PREFIX_DELETE);
	expect(&p, 1, "PREFIX foo get 2 hit 1 set 1 del 1\r\nEND\r\n");
	prefix_reset(&p, 1);
	expect(&p, 1, "END\r\n");
	note(p, "foo:123", PREFIX_HIT);
	expect(&p, 1, "PREFIX foo get 1 hit 1 set 0 del 0\r\nEND\r\n");
	prefix_destroy(&p);
	assert_null(p);
	prefix_destroy(&p);
}

static void
the_prefix_is_what_stands_before_the_first_delimiter(void **state)
{
	struct prefix *p = prefix_create('/', 8);

	note(p, "a/b/c", PREFIX_SET);
	note(p, "a:b/c", PREFIX_SET);
	note(p, "/c", PREFIX_SET);
	note(p, "none", PREFIX_SET);
	note(p, "", PREFIX_SET);
	prefix_note(p, SPAN_LIT("x\0y/z"), PREFIX_SET);
	prefix_note(p, (struct span){NULL, 0}, PREFIX_SET);
	expect(&p, 1,
	       "PREFIX  get 0 hit 0 set 1 del 0\r\nPREFIX a get 0 hit 0 set 1 del 0\r\n"
	       "PREFIX a:b get 0 hit 0 set 1 del 0\r\nEND\r\n");
	prefix_destroy(&p);
}

static void
a_prefix_that_begins_like_another_is_another(void **state)
{
	struct prefix *p = prefix_create(':', 300);
	char key[300];

	for (size_t len = 1; len <= PREFIX_NAME_MAX; len++) {
		memset(key, 'a', len);
		key[len] = ':';
		prefix_note(p, span_make(key, len + 1), PREFIX_SET);
		prefix_note(p, span_make(key, len + 1), PREFIX_HIT);
	}
	for (size_t len = 1; len <= PREFIX_NAME_MAX; len++) {
		struct buf out = BUF_INIT, line = BUF_INIT;

		prefix_dump(&p, 1, &out);
		memset(key, 'a', len);
		buf_printf(&line, "PREFIX %.*s get 1 hit 1 set 1 del 0\r\n", (int)len, key);
		assert_true(span_find(buf_span(&out), buf_span(&line)) >= 0);
		buf_fini(&out);
		buf_fini(&line);
	}
	memset(key, 'a', sizeof(key));
	key[PREFIX_NAME_MAX + 1] = ':';
	prefix_note(p, span_make(key, PREFIX_NAME_MAX + 2), PREFIX_DELETE); /* longer than a key may be */
	prefix_destroy(&p);
}

static void
bytes_that_would_break_the_line_are_escaped(void **state)
{
	struct prefix *p = prefix_create(':', 8);

	note(p, "a b\r\nEND\x7f:", PREFIX_SET);
	expect(&p, 1, "PREFIX a%20b%0D%0AEND%7F get 0 hit 0 set 1 del 0\r\nEND\r\n");
	prefix_destroy(&p);
}

static void
prefixes_beyond_the_limit_are_counted_together(void **state)
{
	struct prefix *p = prefix_create(':', 2);
	char key[20];

	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "p%d:", i);
		note(p, key, PREFIX_SET);
		note(p, key, PREFIX_MISS);
	}
	note(p, "(others):", PREFIX_DELETE);
	expect(&p, 1,
	       "PREFIX p0 get 1 hit 0 set 1 del 0\r\nPREFIX p1 get 1 hit 0 set 1 del 0\r\n"
	       "PREFIX (others): get 8 hit 0 set 8 del 1\r\nEND\r\n");
	prefix_reset(&p, 1);
	note(p, "p5:", PREFIX_SET);
	expect(&p, 1, "PREFIX p5 get 0 hit 0 set 1 del 0\r\nEND\r\n");
	prefix_destroy(&p);
}

static void
tables_of_several_threads_are_added_up(void **state)
{
	struct prefix *ps[3];

	for (size_t i = 0; i < 3; i++)
		ps[i] = prefix_create(':', 2);
	note(ps[0], "b:", PREFIX_HIT);
	note(ps[1], "a:", PREFIX_SET);
	note(ps[1], "b:", PREFIX_MISS);
	expect(ps, 3, "PREFIX a get 0 hit 0 set 1 del 0\r\nPREFIX b get 2 hit 1 set 0 del 0\r\nEND\r\n");
	prefix_reset(ps, 3);
	note(ps[1], "c:", PREFIX_SET); /* the owner of the first one does not come by again */
	expect(ps, 3, "PREFIX c get 0 hit 0 set 1 del 0\r\nEND\r\n");
	expect(ps, 0, "END\r\n");
	for (size_t i = 0; i < 3; i++)
		prefix_destroy(&ps[i]);
}

/* --- readers beside the writer ---------------------------------------------------------------------- */

struct race {
	struct prefix *p;
	_Atomic bool stop;
	_Atomic uint64_t noted;
};

/* Names of one letter, so that a torn one shows; new ones in the same rows again and again. */
static void *
write_prefixes(void *arg)
{
	struct race *race = arg;
	char key[101];
	uint64_t n = 0;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		size_t len = 1 + n % 100;

		memset(key, 'a' + (int)(n % 26), len);
		key[len] = ':';
		prefix_note(race->p, span_make(key, len + 1), PREFIX_SET);
		if (n % 5 == 0)
			prefix_reset(&race->p, 1);
		atomic_store_explicit(&race->noted, ++n, memory_order_relaxed);
	}
	return NULL;
}

static void
look(void *arg, const struct prefix_row *row)
{
	uint64_t *sum = arg;

	*sum += row->sets;
	assert_int_equal(row->gets, 0);
	for (size_t i = 1; i < row->name.len; i++)
		assert_int_equal(row->name.p[i], row->name.p[0]);
}

static void
a_reader_and_resets_beside_the_writer_see_whole_names(void **state)
{
	struct race race = {.p = prefix_create(':', 4)};
	uint64_t seen = 0, rounds = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, write_prefixes, &race), 0);
	while (atomic_load(&race.noted) < 2000000 || seen == 0) {
		uint64_t sum = 0;

		prefix_each(&race.p, 1, look, &sum);
		/* More than were noted by now would be counts of two generations. */
		assert_true(sum <= atomic_load(&race.noted) + 1);
		seen += sum;
		if (++rounds % 8 == 0)
			prefix_reset(&race.p, 1);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	prefix_destroy(&race.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_dump_reads_as_memcacheds),
	    cmocka_unit_test(the_prefix_is_what_stands_before_the_first_delimiter),
	    cmocka_unit_test(a_prefix_that_begins_like_another_is_another),
	    cmocka_unit_test(bytes_that_would_break_the_line_are_escaped),
	    cmocka_unit_test(prefixes_beyond_the_limit_are_counted_together),
	    cmocka_unit_test(tables_of_several_threads_are_added_up),
	    cmocka_unit_test(a_reader_and_resets_beside_the_writer_see_whole_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
