#include "replay/send/belt.h"

#include <pthread.h>
#include <stdio.h>

#include "lib/core/test/test.h"

static void
nothing(void *arg)
{
	(void)arg;
}

/* A key to two servers. */
static void
add(struct belt_chunk *c, const char *key)
{
	struct targets_hop hops[2] = {{.server = 1, .key = {.key = span_of(key), .holdoff_ms = 5}},
				      {.server = 7, .key = {.key = span_of(key), .action = OUTBOX_STALE}}};
	struct targets_answer to = {.hops = hops, .n = 2};

	belt_chunk_add(c, &to);
}

static void
what_is_put_comes_out_as_it_was_with_its_place(void **state)
{
	struct belt *b = belt_create(nothing, NULL);
	struct belt_chunk *c = belt_blank(b);
	struct targets_hop hop;

	(void)state;
	add(c, "first");
	add(c, "second");
	belt_chunk_end(c, &(struct select_place){
			      .mark = {.file = SPAN_LIT("f"), .at = 9}, .gtid = SPAN_LIT("g"), .keys = 2});
	assert_false(belt_chunk_is_whole(c));
	assert_true(belt_put(b, c));
	c = belt_take(b);
	assert_null(belt_take(b));
	assert_true(span_is(c->end.mark.file, "f") && span_is(c->end.gtid, "g") && c->end.keys == 2);
	assert_true(belt_chunk_next(c, &hop) && hop.server == 1 && span_is(hop.key.key, "first") &&
		    hop.key.holdoff_ms == 5);
	assert_true(belt_chunk_next(c, &hop) && hop.server == 7 && hop.key.action == OUTBOX_STALE);
	assert_true(belt_chunk_next(c, &hop) && span_is(hop.key.key, "second"));
	assert_true(belt_chunk_next(c, &hop));
	assert_false(belt_chunk_next(c, &hop));
	belt_give_back(b, c);
	belt_destroy(&b);
}

enum { CHUNKS = 5000 };

static void *
put_all(void *arg)
{
	struct belt *b = arg;

	for (unsigned i = 0; i < CHUNKS; i++) {
		struct belt_chunk *c = belt_blank(b);

		add(c, "k");
		belt_chunk_end(c, &(struct select_place){.mark = {.at = i}});
		if (!belt_put(b, c))
			return (void *)1;
	}
	belt_end(b, ERR_OK, &(struct err_detail){0});
	return NULL;
}

static void
chunks_cross_threads_in_their_order_and_the_end_comes_behind_them(void **state)
{
	struct belt *b = belt_create(nothing, NULL);
	struct err_detail why = {0};
	unsigned n = 0;
	pthread_t thread;
	void *result;
	err_t err = ERR_SYS;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, put_all, b), 0);
	while (!belt_is_over(b, &err, &why)) {
		struct belt_chunk *c = belt_take(b);

		if (c == NULL)
			continue;
		assert_int_equal(c->end.mark.at, n++);
		belt_give_back(b, c);
	}
	assert_int_equal(n, CHUNKS);
	assert_int_equal(err, ERR_OK);
	pthread_join(thread, &result);
	assert_null(result);
	belt_destroy(&b);
}

static void
a_closed_belt_lets_the_putter_go(void **state)
{
	struct belt *b = belt_create(nothing, NULL);
	pthread_t thread;
	void *result;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, put_all, b), 0);
	belt_close(b);
	pthread_join(thread, &result);
	assert_non_null(result);
	belt_destroy(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_put_comes_out_as_it_was_with_its_place),
	    cmocka_unit_test(chunks_cross_threads_in_their_order_and_the_end_comes_behind_them),
	    cmocka_unit_test(a_closed_belt_lets_the_putter_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
