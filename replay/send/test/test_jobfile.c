#include "replay/send/jobfile.h"

#include "lib/core/test/test.h"

static void
make(struct jobfile *j)
{
	const struct select_place place = {
	    .mark = {.file = SPAN_LIT("/odd\nname:x.000007"), .at = 4711, .part = 3},
	    .keys_in = 12,
	    .gtid = SPAN_LIT("0-1-100")};

	jobfile_add_arg(j, "--from=log");
	jobfile_add_arg(j, "a\\b\x01 c");
	jobfile_add_arg(j, "");
	j->state = JOBFILE_STOPPED;
	j->numbers[JOBFILE_seed] = UINT64_MAX;
	j->numbers[JOBFILE_done_keys] = 77;
	jobfile_set_place(j, &place);
}

static void
what_is_written_is_read_again(void **state)
{
	struct jobfile j = {0}, back = {0};
	struct err_detail why = {0};
	struct buf text = BUF_INIT;

	(void)state;
	make(&j);
	jobfile_format(&j, &text);
	assert_int_equal(jobfile_parse(&back, buf_span(&text), &why), ERR_OK);
	assert_int_equal(back.state, JOBFILE_STOPPED);
	assert_int_equal(back.nargs, 3);
	assert_string_equal(back.args[1], "a\\b\x01 c");
	assert_string_equal(back.args[2], "");
	assert_true(back.numbers[JOBFILE_seed] == UINT64_MAX);
	assert_true(back.has_place && tape_mark_same(&back.place.mark, &j.place.mark));
	assert_int_equal(back.place.keys_in, 12);
	assert_int_equal(back.place.keys, 77);
	assert_true(span_is(back.place.gtid, "0-1-100"));
	jobfile_fini(&j);
	jobfile_fini(&back);
	buf_fini(&text);
}

static void
no_byte_can_change_and_no_byte_be_missing(void **state)
{
	struct jobfile j = {0};
	struct buf text = BUF_INIT;

	(void)state;
	make(&j);
	jobfile_format(&j, &text);
	for (size_t i = 0; i < text.len; i++) {
		struct jobfile back = {0};
		struct err_detail why = {0};

		text.p[i] ^= 1;
		assert_int_equal(jobfile_parse(&back, buf_span(&text), &why), ERR_CORRUPT);
		jobfile_fini(&back);
		text.p[i] ^= 1;
		assert_int_equal(jobfile_parse(&back, span_first(buf_span(&text), i), &why), ERR_CORRUPT);
		jobfile_fini(&back);
	}
	jobfile_fini(&j);
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_written_is_read_again),
	    cmocka_unit_test(no_byte_can_change_and_no_byte_be_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
