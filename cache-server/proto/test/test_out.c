#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/test/talk.h"

static int
setup(void **state)
{
	struct talk *f = malloc(sizeof *f);

	talk_begin(f, NULL);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	talk_end(*state);
	free(*state);
	return 0;
}

static struct store_view
store_value(struct talk *f, const char *key, size_t len, char fill)
{
	struct span k = span_of(key);
	char *value = malloc(len);
	struct cache_set set = {.key = k, .hash = store_hash(cache_store(f->cache), k)};
	struct store_view v;

	memset(value, fill, len);
	set.value = span_make(value, len);
	assert_int_equal(cache_set(f->t, &set), CACHE_OK);
	assert_true(cache_get(f->t, k, set.hash, &v));
	free(value);
	return v;
}

static void
put_all(struct talk *f, struct out *o)
{
	struct store_view v = store_value(f, "large", 100000, 'L');

	OUT_LITERAL(o, "first ");
	out_value(o, cache_store_thread(f->t), &v);
	OUT_LITERAL(o, " second ");
	out_u64(o, 12345);
	out_i64(o, -7);
	out_fmt(o, " %s ", "third");
	v = store_value(f, "small", 100, 's');
	out_value(o, cache_store_thread(f->t), &v);
	v = store_value(f, "larger", 300000, 'M');
	out_value(o, cache_store_thread(f->t), &v);
	out_span(o, SPAN_LIT("end"));
}

static void
bytes_and_references_leave_in_their_order(void **state)
{
	static const size_t STEPS[] = {1000000, 65536, 4096, 777};
	struct talk *f = *state;
	struct buf want = BUF_INIT;

	buf_put_str(&want, "first ");
	memset(buf_room(&want, 100000), 'L', 100000);
	buf_added(&want, 100000);
	buf_put_str(&want, " second 12345-7 third ");
	memset(buf_room(&want, 100), 's', 100);
	buf_added(&want, 100);
	memset(buf_room(&want, 300000), 'M', 300000);
	buf_added(&want, 300000);
	buf_put_str(&want, "end");
	for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
		talk_clear(f);
		put_all(f, &f->out);
		assert_int_equal(out_pending(&f->out), want.len);
		while (out_pending(&f->out) > 0) {
			size_t before = out_pending(&f->out);

			talk_collect(f, STEPS[i]);
			assert_int_equal(before - out_pending(&f->out),
					 STEPS[i] < before ? STEPS[i] : before);
		}
		assert_int_equal(f->replies.len, want.len);
		assert_memory_equal(f->replies.p, want.p, want.len);
		assert_int_equal(f->out.nrefs, 0);
		assert_int_equal(f->out.len, 0);
	}
	buf_fini(&want);
}

static void
rewinding_takes_back_bytes_and_references(void **state)
{
	struct talk *f = *state;
	struct out_mark mark;

	OUT_LITERAL(&f->out, "kept");
	mark = out_mark(&f->out);
	put_all(f, &f->out);
	assert_true(f->out.nrefs > 0);
	out_rewind(&f->out, mark);
	assert_int_equal(out_pending(&f->out), 4);
	assert_int_equal(f->out.ref_bytes, 0);
	OUT_LITERAL(&f->out, " too");
	talk_collect(f, SIZE_MAX);
	assert_string_equal(buf_str(&f->replies), "kept too");
}

/* A reader that always leaves a little must not make the buffer grow for ever. */
static void
buffer_that_is_never_empty_stays_small(void **state)
{
	struct talk *f = *state;
	char part[1000];

	memset(part, 'p', sizeof part);
	for (int i = 0; i < 2000; i++) {
		out_put(&f->out, part, sizeof part);
		out_put(&f->out, part, sizeof part);
		talk_collect(f, i ? 2000 : 1000);
	}
	assert_int_equal(out_pending(&f->out), 1000);
	assert_true(f->out.cap <= 4 * OUT_KEEP);
	assert_int_equal(f->replies.len, 2000 * 2000 - 1000);
}

static void
empty_buffer_gives_large_memory_back(void **state)
{
	struct talk *f = *state;
	char part[1000];

	memset(part, 'p', sizeof part);
	for (int i = 0; i < 1000; i++)
		out_put(&f->out, part, sizeof part);
	assert_true(f->out.cap >= 1000000);
	talk_collect(f, SIZE_MAX);
	assert_int_equal(f->out.cap, 0);
}

static void
long_format_is_written_whole(void **state)
{
	struct talk *f = *state;
	char text[3001];

	memset(text, 'x', 3000);
	text[3000] = '\0';
	out_fmt(&f->out, "<%s>", text);
	assert_int_equal(out_pending(&f->out), 3002);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH(bytes_and_references_leave_in_their_order),
	    WITH(rewinding_takes_back_bytes_and_references),
	    WITH(buffer_that_is_never_empty_stays_small),
	    WITH(empty_buffer_gives_large_memory_back),
	    WITH(long_format_is_written_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
