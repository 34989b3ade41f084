#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "markers/key.h"

static void
lengths_from_1_to_250_are_valid(void **state)
{
	char bytes[KEY_MAX + 1];

	memset(bytes, 'k', sizeof(bytes));
	assert_int_equal(key_fault(span_make(bytes, 0)), KEY_EMPTY);
	for (size_t n = 1; n <= KEY_MAX; n++)
		assert_int_equal(key_fault(span_make(bytes, n)), KEY_OK);
	assert_int_equal(key_fault(span_make(bytes, KEY_MAX + 1)), KEY_TOO_LONG);
}

/* Every byte value, at every place of a key. */
static void
spaces_and_control_characters_are_refused_wherever_they_stand(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < 20; at++) {
			char bytes[20];
			enum key_fault want = c <= 0x20 || c == 0x7F ? KEY_CONTROL : KEY_OK;

			memset(bytes, 'k', sizeof(bytes));
			bytes[at] = (char)c;
			assert_int_equal(key_fault(span_make(bytes, sizeof(bytes))), want);
		}
	}
}

/* Eight bytes are looked at together: every pair of neighbours must get the same answer as each alone. */
static void
neighbours_do_not_change_the_answer(void **state)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			char bytes[9] = {'k', 'k', 'k', (char)a, (char)b, 'k', 'k', 'k', 'k'};
			bool bad = a <= 0x20 || a == 0x7F || b <= 0x20 || b == 0x7F;

			assert_int_equal(key_fault(span_make(bytes, sizeof(bytes))),
					 bad ? KEY_CONTROL : KEY_OK);
		}
	}
}

static void
the_reason_says_where_and_what_to_do_without_the_keys_bytes(void **state)
{
	struct err_detail why = {0};

	assert_int_equal(key_check(SPAN_LIT("secret\r\n"), &why), ERR_BAD_KEY);
	assert_non_null(strstr(why.text, "0x0D at offset 6"));
	assert_null(strstr(why.text, "secret"));
	err_clear(&why);
	assert_int_equal(key_check(SPAN_LIT(""), &why), ERR_BAD_KEY);
	assert_non_null(strstr(why.text, "empty"));
	err_clear(&why);
	assert_int_equal(key_check(SPAN_LIT("user:42"), &why), ERR_OK);
	assert_int_equal(why.code, ERR_OK);
}

static void
a_long_key_is_told_its_length(void **state)
{
	char bytes[300];
	struct err_detail why = {0};

	memset(bytes, 'k', sizeof(bytes));
	assert_int_equal(key_check(span_make(bytes, sizeof(bytes)), &why), ERR_BAD_KEY);
	assert_non_null(strstr(why.text, "300"));
	assert_int_equal(key_check(span_make(bytes, sizeof(bytes)), NULL), ERR_BAD_KEY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lengths_from_1_to_250_are_valid),
	    cmocka_unit_test(spaces_and_control_characters_are_refused_wherever_they_stand),
	    cmocka_unit_test(neighbours_do_not_change_the_answer),
	    cmocka_unit_test(the_reason_says_where_and_what_to_do_without_the_keys_bytes),
	    cmocka_unit_test(a_long_key_is_told_its_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
