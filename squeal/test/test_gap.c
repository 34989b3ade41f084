#include "squeal/gap.h"

#include <string.h>

#include "lib/core/test/test.h"
#include "squeal/cmd.h"

static void
every_reason_has_its_own_exit_code_and_name(void **state)
{
	static const err_t errs[] = {
#define GAP_ERR(code, exit_code, name, what) code,
	    GAP_TABLE(GAP_ERR)};
	enum { N = sizeof(errs) / sizeof(errs[0]) };

	for (size_t i = 0; i < N; i++) {
		const struct gap *a = gap_of(errs[i]);

		assert_int_equal(a->err, errs[i]);
		assert_true(a->exit_code != CMD_OK && a->exit_code != CMD_FAILED &&
			    a->exit_code != CMD_USAGE && a->exit_code != CMD_CONFIG);
		assert_int_equal(err_action(errs[i]) == ERR_DO_NOTHING, false);
		for (size_t k = 0; k < N; k++) {
			const struct gap *b = gap_of(errs[k]);

			assert_int_equal(a->exit_code == b->exit_code, strcmp(a->name, b->name) == 0);
		}
	}
}

static void
an_error_without_a_row_is_a_gap_all_the_same(void **state)
{
	assert_int_equal(gap_of(ERR_SYS)->err, ERR_GAP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_reason_has_its_own_exit_code_and_name),
	    cmocka_unit_test(an_error_without_a_row_is_a_gap_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
