#include "replay/plan/words.h"

#include <stdlib.h>
#include <time.h>

#include "lib/core/test/test.h"

static void
numbers_have_commas_and_nouns_a_plural(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	words_number(1234567, &b);
	buf_putc(&b, ' ');
	words_number(999, &b);
	buf_putc(&b, ' ');
	words_number(1000000, &b);
	buf_putc(&b, ' ');
	words_count(1, "key", &b);
	buf_putc(&b, ' ');
	words_count(2000, "key", &b);
	assert_string_equal(buf_str(&b), "1,234,567 999 1,000,000 1 key 2,000 keys");
	buf_fini(&b);
}

static void
durations_have_two_units_at_most(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
	    {0, "0 ms"},	  {999, "999 ms"},	    {1000, "1 s"},	    {59400, "59 s"},
	    {60000, "1 min 0 s"}, {3599000, "59 min 59 s"}, {3600000, "1 h 0 min"}, {90000000, "1 d 1 h"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = BUF_INIT;

		words_duration(cases[i].ms, &b);
		assert_string_equal(buf_str(&b), cases[i].text);
		buf_fini(&b);
	}
}

static void
moments_are_in_the_local_time_zone(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	setenv("TZ", "UTC-1", 1);
	tzset();
	words_moment(1289416829836000, &b);
	assert_string_equal(buf_str(&b), "2010-11-10 20:20:29");
	buf_clear(&b);
	setenv("TZ", "XYZ-1", 1);
	tzset();
	words_zone(1289416829836000, &b);
	assert_string_equal(buf_str(&b), "XYZ");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_have_commas_and_nouns_a_plural),
	    cmocka_unit_test(durations_have_two_units_at_most),
	    cmocka_unit_test(moments_are_in_the_local_time_zone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
