#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/crc.h"
#include "lib/route/test/golden.h"

static void
checks_of_the_usual_text_are_the_published_ones(void **state)
{
	(void)state;
	assert_int_equal(crc32_of(span_of("123456789")), 0xcbf43926);
	assert_true(crc64_of(span_of("123456789")) == 0x995dc9bbdf1939fa);
	assert_int_equal(crc16_twemproxy(span_of("123456789")) & 0xffff, 0x31c3);
	assert_int_equal(crc32_of(span_of("")), 0);
	assert_true(crc64_of(span_of("")) == 0);
	assert_int_equal(crc16_twemproxy(span_of("")), 0);
}

/* mcrouter's Crc32 is 31 bits of it, modulo. */
static void
every_value_of_mcrouters_tests_is_reproduced(void **state)
{
	struct golden g;
	size_t rows = 0;

	(void)state;
	golden_open(&g, "mcrouter.tsv");
	while (golden_row(&g, "one", "crc32")) {
		assert_int_equal((crc32_of(golden_key(&g, 4)) & 0x7fffffff) % golden_number(&g, 3),
				 golden_number(&g, 5));
		rows++;
	}
	assert_int_equal(rows, 8);
	golden_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(checks_of_the_usual_text_are_the_published_ones),
	    cmocka_unit_test(every_value_of_mcrouters_tests_is_reproduced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
