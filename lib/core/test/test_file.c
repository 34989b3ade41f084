#include "lib/core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/test/test.h"

static char folder[] = "/tmp/squeal-test-file-XXXXXX";
static char path[64];

static int
make(void **state)
{
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/f", folder);
	return 0;
}

static int
drop(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void
replacing_leaves_no_other_file_behind(void **state)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;
	char temp[80];

	assert_int_equal(file_replace(path, SPAN_LIT("one"), &why), ERR_OK);
	assert_int_equal(file_replace(path, SPAN_LIT("second"), &why), ERR_OK);
	assert_int_equal(file_read(path, 100, &b, &why), ERR_OK);
	assert_string_equal(buf_str(&b), "second");
	snprintf(temp, sizeof(temp), "%s.new", path);
	assert_int_not_equal(access(temp, F_OK), 0);
	buf_fini(&b);
}

static void
a_file_above_the_limit_is_refused(void **state)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(file_replace(path, SPAN_LIT("123456"), &why), ERR_OK);
	assert_int_equal(file_read(path, 5, &b, &why), ERR_TOO_LONG);
	assert_non_null(strstr(why.text, "larger than 5 bytes"));
	buf_fini(&b);
}

static void
a_missing_file_is_not_found(void **state)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(file_read("/nonexistent/x", 5, &b, &why), ERR_NOT_FOUND);
	assert_string_equal(why.text, "cannot open /nonexistent/x: No such file or directory");
	buf_fini(&b);
}

static void
a_secret_is_the_first_line_of_a_private_file(void **state)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(file_replace(path, SPAN_LIT("p w d\r\nsecond line\n"), &why), ERR_OK);
	chmod(path, 0644);
	assert_int_equal(file_read_secret(path, &b, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "chmod 600"));
	chmod(path, 0600);
	err_clear(&why);
	assert_int_equal(file_read_secret(path, &b, &why), ERR_OK);
	assert_string_equal(buf_str(&b), "p w d");
	buf_fini(&b);
}

static void
an_empty_secret_is_refused(void **state)
{
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	assert_int_equal(file_replace(path, SPAN_LIT("\nx"), &why), ERR_OK);
	chmod(path, 0600);
	assert_int_equal(file_read_secret(path, &b, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "empty first line"));
	buf_fini(&b);
}

static void
a_folder_that_cannot_be_written_is_an_error(void **state)
{
	struct err_detail why = {0};

	assert_int_equal(file_replace("/nonexistent/x", SPAN_LIT("a"), &why), ERR_SYS);
	assert_non_null(strstr(why.text, "cannot create /nonexistent/x.new"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replacing_leaves_no_other_file_behind),
	    cmocka_unit_test(a_file_above_the_limit_is_refused),
	    cmocka_unit_test(a_missing_file_is_not_found),
	    cmocka_unit_test(a_secret_is_the_first_line_of_a_private_file),
	    cmocka_unit_test(an_empty_secret_is_refused),
	    cmocka_unit_test(a_folder_that_cannot_be_written_is_an_error),
	};

	return cmocka_run_group_tests_name("file", tests, make, drop);
}
