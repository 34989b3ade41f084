#include "lib/core/test/test.h"
#include "squeal/binlog/dump.h"

static void
expect_bytes(struct buf *b, const void *expected, size_t n)
{
	assert_int_equal(b->len, n);
	assert_memory_equal(b->p, expected, n);
	buf_fini(b);
}

static void
a_replica_registers_with_its_id_and_a_name_and_no_password(void **state)
{
	static const unsigned char bytes[] = {4, 3, 2, 1, 6, 's', 'q', 'u', 'e', 'a', 'l', 0,
					      0, 0, 0, 0, 0, 0,	  0,   0,   0,	 0,   0};
	struct buf b = BUF_INIT;

	dump_put_register(0x01020304, &b);
	expect_bytes(&b, bytes, sizeof(bytes));
}

static void
without_gtids_the_position_has_32_bits_and_the_name_ends_the_packet(void **state)
{
	static const unsigned char bytes[] = {0xff, 0, 0, 0x80, 3, 0, 9, 0, 0, 0, 'b', '.', '1'};
	struct dump d = {.flags = DUMP_STOP_AT_END | DUMP_SEND_ANNOTATE_ROWS,
			 .server_id = 9,
			 .file = SPAN_LIT("b.1"),
			 .pos = 0x800000ff};
	struct buf b = BUF_INIT;

	assert_int_equal(dump_put(&d, &b), DUMP_BY_FILE);
	expect_bytes(&b, bytes, sizeof(bytes));
}

static void
with_gtids_the_position_has_64_bits_and_the_set_ends_the_packet(void **state)
{
	static const unsigned char bytes[] = {2, 0, 9, 0, 0, 0, 3, 0, 0, 0, 'b', '.', '1', 5,
					      0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,	 'x', 'y', 'z'};
	struct dump d = {.by_gtid = true,
			 .flags = DUMP_SEND_HEARTBEAT_V2,
			 .server_id = 9,
			 .file = SPAN_LIT("b.1"),
			 .pos = 0x200000005,
			 .gtids = SPAN_LIT("xyz")};
	struct buf b = BUF_INIT;

	assert_int_equal(dump_put(&d, &b), DUMP_BY_GTID);
	expect_bytes(&b, bytes, sizeof(bytes));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_replica_registers_with_its_id_and_a_name_and_no_password),
	    cmocka_unit_test(without_gtids_the_position_has_32_bits_and_the_name_ends_the_packet),
	    cmocka_unit_test(with_gtids_the_position_has_64_bits_and_the_set_ends_the_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
