#include "squeal/prepared_note.h"

#include "lib/core/test/test.h"

static void
heads_come_back_as_they_went_in(void **state)
{
	const struct prepared_note_head head = {.cannot_be_undone = true,
						.holdoff_ms = 5000,
						.nparts = 7,
						.nkeys = UINT64_C(10000000000),
						.prepared_us = 17,
						.pool = SPAN_LIT("users")};
	struct prepared_note_head back;
	struct buf b = BUF_INIT;

	prepared_note_encode(&head, &b);
	assert_true(prepared_note_decode(buf_span(&b), &back));
	assert_true(back.cannot_be_undone && !back.unsure);
	assert_int_equal(back.holdoff_ms, 5000);
	assert_int_equal(back.nparts, 7);
	assert_int_equal(back.nkeys, UINT64_C(10000000000));
	assert_int_equal(back.prepared_us, 17);
	assert_true(span_is(back.pool, "users"));
	assert_false(prepared_note_decode(span_first(buf_span(&b), 25), &back));
	b.p[0] = 2;
	assert_false(prepared_note_decode(buf_span(&b), &back));
	buf_fini(&b);
}

static void
a_note_is_named_after_the_id(void **state)
{
	struct buf name = BUF_INIT;
	struct xid xid;

	assert_true(xid_make(&xid, 1, SPAN_LIT("ab"), SPAN_LIT("")));
	prepared_note_name(&xid, &name);
	assert_string_equal(buf_str(&name), "xa:X'6162',X'',1");
	buf_fini(&name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(heads_come_back_as_they_went_in),
	    cmocka_unit_test(a_note_is_named_after_the_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
