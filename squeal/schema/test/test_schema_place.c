#include "squeal/schema/schema_place.h"

#include <string.h>

#include "lib/core/test/test.h"

static struct position
position_of(const char *text)
{
	struct position p = {0};
	struct err_detail why = {0};

	if (text[0] != '\0' && position_parse(span_of(text), &p, &why) != ERR_OK)
		fail_msg("%s: %s", text, why.text);
	return p;
}

/* `id` may be empty; otherwise where the transaction ends is not looked at. */
static enum schema_answer
has(const char *position, const char *id, const char *file, uint64_t pos)
{
	struct position p = position_of(position);
	struct schema_place t = {.gtid = {.kind = GTID_NONE}, .pos = pos};
	struct err_detail why = {0};
	enum schema_answer answer;

	if (id[0] != '\0')
		assert_int_equal(gtid_parse(span_of(id), &t.gtid, &why), ERR_OK);
	buf_put_str(&t.file, file);
	answer = schema_place_has(&p, &t);
	buf_fini(&t.file);
	position_fini(&p);
	return answer;
}

static bool
covers(const char *position, const char *part)
{
	struct position p = position_of(position), q = position_of(part);
	bool answer = schema_place_covers(&p, &q);

	position_fini(&p);
	position_fini(&q);
	return answer;
}

static void
an_id_of_mariadb_is_compared_within_its_domain(void **state)
{
	assert_int_equal(has("gtid:0-1-100,1-2-7", "0-1-100", "", 0), SCHEMA_YES);
	assert_int_equal(has("gtid:0-1-100,1-2-7", "0-9-99", "", 0), SCHEMA_YES);
	assert_int_equal(has("gtid:0-1-100,1-2-7", "0-1-101", "", 0), SCHEMA_NO);
	assert_int_equal(has("gtid:0-1-100,1-2-7", "2-1-1", "", 0), SCHEMA_NO);
	assert_true(covers("gtid:0-1-100,1-2-7", "gtid:0-1-100"));
	assert_false(covers("gtid:0-1-100", "gtid:0-1-100,1-2-7"));
}

#define UUID "55778904-0299-11f1-b1b8-4ef0c4956feb"

static void
an_id_of_mysql_is_in_a_set_or_not(void **state)
{
	assert_int_equal(has("gtid:" UUID ":1-5:7", UUID ":7", "", 0), SCHEMA_YES);
	assert_int_equal(has("gtid:" UUID ":1-5:7", UUID ":6", "", 0), SCHEMA_NO);
	assert_true(covers("gtid:" UUID ":1-5", "gtid:" UUID ":2-3"));
	assert_false(covers("gtid:" UUID ":1-5", "gtid:" UUID ":5-6"));
}

static void
files_are_compared_by_number_where_they_have_one_name(void **state)
{
	assert_int_equal(has("file:bin.000007:500", "", "bin.000007", 500), SCHEMA_YES);
	assert_int_equal(has("file:bin.000007:500", "", "bin.000007", 501), SCHEMA_NO);
	assert_int_equal(has("file:bin.000010:4", "", "bin.000009", 900), SCHEMA_YES);
	assert_int_equal(has("file:bin.1000000:4", "", "bin.999999", 900), SCHEMA_YES);
	assert_int_equal(has("file:bin.000010:4", "", "other.000009", 900), SCHEMA_UNKNOWN);
	assert_int_equal(has("file:bin.000010:4", "", "bin", 900), SCHEMA_UNKNOWN);
	assert_int_equal(has("file:bin.000010:4", "", "", 0), SCHEMA_UNKNOWN);
	assert_true(covers("file:bin.000010:4", "file:bin.000009:900"));
	assert_false(covers("file:bin.000010:4", "file:other.000009:900"));
}

static void
what_is_of_two_kinds_is_not_known(void **state)
{
	assert_int_equal(has("gtid:0-1-100", UUID ":7", "", 0), SCHEMA_UNKNOWN);
	assert_int_equal(has("gtid:" UUID ":1-5", "0-1-100", "", 0), SCHEMA_UNKNOWN);
	assert_int_equal(has("gtid:0-1-100", "", "bin.000007", 4), SCHEMA_UNKNOWN);
	assert_false(covers("gtid:0-1-100", "file:bin.000007:4"));
	/* Before everything. */
	assert_int_equal(has("", "0-1-1", "", 0), SCHEMA_NO);
	assert_true(covers("gtid:0-1-100", ""));
	assert_false(covers("", "gtid:0-1-100"));
}

static void
a_position_is_cut_short_for_sentences(void **state)
{
	struct position p = position_of("gtid:" UUID ":1-5:7-8:10-11:13-14:16-17:19-20:22-23:25-26");
	struct buf out = BUF_INIT;

	schema_place_show(&p, &out);
	assert_int_equal(out.len, 83);
	assert_memory_equal(out.p + 80, "...", 3);
	position_fini(&p);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_id_of_mariadb_is_compared_within_its_domain),
	    cmocka_unit_test(an_id_of_mysql_is_in_a_set_or_not),
	    cmocka_unit_test(files_are_compared_by_number_where_they_have_one_name),
	    cmocka_unit_test(what_is_of_two_kinds_is_not_known),
	    cmocka_unit_test(a_position_is_cut_short_for_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
