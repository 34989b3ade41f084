#include "squeal/queue.h"

#include <pthread.h>
#include <string.h>

#include "lib/core/test/test.h"

static struct queue_item *
item(uint64_t seq, size_t bytes)
{
	struct queue_item *it = queue_item_create();

	it->gtid = (struct gtid){.kind = GTID_MARIADB, .seq = seq};
	if (bytes > 0)
		buf_added(&it->keys.tail, (buf_room(&it->keys.tail, bytes), bytes));
	return it;
}

static void
items_come_out_in_order_and_all_at_once(void **state)
{
	struct queue *q = queue_create(1 << 20);
	struct queue_item *all;
	uint64_t seq = 1;

	for (uint64_t i = 1; i <= 3; i++)
		assert_true(queue_put(q, item(i, 10)));
	all = queue_take(q, 0);
	while (all != NULL) {
		struct queue_item *it = all;

		all = it->next;
		it->next = NULL;
		assert_int_equal(it->gtid.seq, seq++);
		queue_give_back(q, &it);
	}
	assert_int_equal(seq, 4);
	assert_int_equal(queue_bytes(q), 0);
	assert_null(queue_take(q, 1));
	queue_destroy(&q);
}

struct producer {
	struct queue *q;
	_Atomic unsigned done;
};

static void *
produce(void *arg)
{
	struct producer *p = arg;

	for (uint64_t i = 1; i <= 2000; i++) {
		if (!queue_put(p->q, item(i, 1000)))
			return NULL;
		p->done++;
	}
	return NULL;
}

/* What was taken and not given back still counts, so memory is bounded on both sides together. */
static void
a_slow_taker_holds_the_putter_back(void **state)
{
	struct producer p = {.q = queue_create(20000)};
	struct queue_item *all = NULL;
	pthread_t thread;
	uint64_t seq = 0;

	pthread_create(&thread, NULL, produce, &p);
	while (!queue_is_full(p.q))
		;
	assert_true(p.done < 20);
	assert_true(queue_bytes(p.q) <= 20000);
	while (seq < 2000) {
		all = queue_take(p.q, 1000);
		while (all != NULL) {
			struct queue_item *it = all;

			all = it->next;
			it->next = NULL;
			assert_int_equal(it->gtid.seq, ++seq);
			queue_give_back(p.q, &it);
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(queue_bytes(p.q), 0);
	queue_destroy(&p.q);
}

static void
what_was_given_back_is_used_again_and_is_empty(void **state)
{
	struct queue *q = queue_create(1 << 20);
	struct queue_item *it = item(7, 100), *first = it;

	it->pool = strdup("pool");
	it->file = place_name_create(SPAN_LIT("mariadb-bin.000001"));
	assert_true(queue_put(q, it));
	it = queue_take(q, 0);
	queue_give_back(q, &it);
	it = queue_blank(q);
	assert_ptr_equal(it, first);
	assert_null(it->pool);
	assert_null(it->file);
	assert_int_equal(it->keys.tail.len, 0);
	assert_int_equal(it->keys.spill_fd, -1);
	assert_int_equal(it->gtid.kind, GTID_NONE);
	queue_item_destroy(&it);
	it = queue_blank(q);
	assert_non_null(it);
	queue_item_destroy(&it);
	queue_destroy(&q);
}

static void
one_item_larger_than_the_queue_passes(void **state)
{
	struct queue *q = queue_create(65536);
	struct queue_item *it;

	assert_true(queue_put(q, item(1, 1 << 20)));
	it = queue_take(q, 0);
	assert_non_null(it);
	queue_give_back(q, &it);
	queue_destroy(&q);
}

static void
closing_wakes_the_putter_and_keeps_what_is_in_it(void **state)
{
	struct producer p = {.q = queue_create(5000)};
	struct queue_item *it;
	pthread_t thread;

	pthread_create(&thread, NULL, produce, &p);
	while (!queue_is_full(p.q))
		;
	queue_close(p.q);
	pthread_join(thread, NULL);
	assert_true(p.done < 2000);
	it = queue_take(p.q, 1000);
	assert_non_null(it);
	queue_give_back(p.q, &it);
	assert_null(it);
	assert_int_equal(queue_bytes(p.q), 0);
	assert_null(queue_take(p.q, 100000));
	assert_false(queue_put(p.q, item(1, 0)));
	queue_destroy(&p.q);
}

static void
a_file_name_lives_as_long_as_its_last_user(void **state)
{
	struct place_name *n = place_name_create(SPAN_LIT("mariadb-bin.000007"));
	struct place_name *other = place_name_acquire(n);

	place_name_release(&n);
	assert_null(n);
	assert_string_equal(other->text, "mariadb-bin.000007");
	place_name_release(&other);
	place_name_release(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(items_come_out_in_order_and_all_at_once),
	    cmocka_unit_test(a_slow_taker_holds_the_putter_back),
	    cmocka_unit_test(what_was_given_back_is_used_again_and_is_empty),
	    cmocka_unit_test(one_item_larger_than_the_queue_passes),
	    cmocka_unit_test(closing_wakes_the_putter_and_keeps_what_is_in_it),
	    cmocka_unit_test(a_file_name_lives_as_long_as_its_last_user),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
