#include "squeal/keys/shelf.h"

#include <stdlib.h>

#include "lib/core/test/test.h"

static struct xid
xid(const char *name)
{
	struct xid x;

	assert_true(xid_make(&x, 1, span_of(name), (struct span){"", 0}));
	return x;
}

static struct queue_item *
prepared(const char *name, uint64_t pos)
{
	struct queue_item *it = queue_item_create();

	it->kind = QUEUE_PREPARED;
	it->pos = pos;
	it->xid = malloc(sizeof(*it->xid));
	*it->xid = xid(name);
	return it;
}

static void
items_are_taken_by_their_id_and_once(void **state)
{
	const struct xid a = xid("a"), b = xid("b"), c = xid("c");
	struct shelf *s = shelf_create();
	struct queue_item *it;

	shelf_put(s, prepared("a", 1));
	shelf_put(s, prepared("b", 2));
	shelf_put(s, prepared("c", 3));
	it = shelf_take(s, &b);
	assert_int_equal(it->pos, 2);
	queue_item_destroy(&it);
	assert_null(shelf_take(s, &b));
	shelf_put(s, prepared("a", 4));
	it = shelf_take(s, &a);
	assert_int_equal(it->pos, 4);
	queue_item_destroy(&it);
	assert_null(shelf_take(s, &a));
	it = shelf_take(s, &c);
	assert_int_equal(it->pos, 3);
	shelf_put(s, it);
	shelf_destroy(&s);
	assert_null(s);
}

static void
a_rollback_delivers_what_cannot_be_undone(void **state)
{
	struct queue_item *it = prepared("a", 1);

	assert_true(shelf_delivers(it, QUEUE_XA_COMMIT));
	assert_false(shelf_delivers(it, QUEUE_XA_ROLLBACK));
	assert_false(shelf_delivers(it, QUEUE_PREPARED));
	assert_false(shelf_delivers(NULL, QUEUE_XA_COMMIT));
	it->cannot_be_undone = true;
	assert_true(shelf_delivers(it, QUEUE_XA_ROLLBACK));
	queue_item_destroy(&it);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(items_are_taken_by_their_id_and_once),
	    cmocka_unit_test(a_rollback_delivers_what_cannot_be_undone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
