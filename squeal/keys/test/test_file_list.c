#include "squeal/keys/file_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/file.h"
#include "lib/core/test/test.h"

struct fixture {
	char dir[64];
	char index[96];
	struct file_list list;
};

static int
make(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return 1;
	*state = f;
	snprintf(f->dir, sizeof(f->dir), "/tmp/squeal-test-list-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return 1;
	snprintf(f->index, sizeof(f->index), "%s/bin.index", f->dir);
	return 0;
}

static int
drop(void **state)
{
	struct fixture *f = *state;
	char path[96];

	unlink(f->index);
	snprintf(path, sizeof(path), "%s/bin.000001", f->dir);
	unlink(path);
	rmdir(f->dir);
	file_list_fini(&f->list);
	free(f);
	return 0;
}

static void
write_index(struct fixture *f, struct span text)
{
	struct err_detail why = {0};

	assert_int_equal(file_replace(f->index, text, &why), ERR_OK);
}

static void
assert_path(const struct fixture *f, size_t i, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_string_equal(f->list.paths[i], path);
}

static void
files_and_standard_input_are_themselves(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	assert_int_equal(file_list_add(&f->list, "/a/bin.000001", &why), ERR_OK);
	assert_int_equal(file_list_add(&f->list, "-", &why), ERR_OK);
	assert_int_equal(file_list_add(&f->list, ".index", &why), ERR_OK);
	assert_int_equal(f->list.n, 3);
	assert_string_equal(f->list.paths[0], "/a/bin.000001");
	assert_string_equal(f->list.paths[1], "-");
	assert_string_equal(file_list_name(f->list.paths[0]), "bin.000001");
	assert_string_equal(file_list_name("-"), "-");
}

static void
lines_of_an_index_are_relative_to_its_folder(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	write_index(f, SPAN_LIT("./bin.000001\r\n\nbin.000002"));
	assert_int_equal(file_list_add(&f->list, f->index, &why), ERR_OK);
	assert_int_equal(f->list.n, 2);
	assert_path(f, 0, "bin.000001");
	assert_path(f, 1, "bin.000002");
}

static void
a_file_that_is_not_where_the_index_says_is_looked_for_beside_it(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	char path[96];

	snprintf(path, sizeof(path), "%s/bin.000001", f->dir);
	assert_int_equal(file_replace(path, SPAN_LIT("x"), &why), ERR_OK);
	write_index(f, SPAN_LIT("/not/here/bin.000001\n/not/here/bin.000002\n./deep/bin.000001\n"));
	assert_int_equal(file_list_add(&f->list, f->index, &why), ERR_OK);
	assert_path(f, 0, "bin.000001");
	assert_string_equal(f->list.paths[1], "/not/here/bin.000002");
	assert_path(f, 2, "bin.000001");
}

static void
an_index_without_files_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	assert_int_equal(file_list_add(&f->list, f->index, &why), ERR_NOT_FOUND);
	err_clear(&why);
	write_index(f, SPAN_LIT(" \n\n"));
	assert_int_equal(file_list_add(&f->list, f->index, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "lists no binlog file"));
	err_clear(&why);
	write_index(f, SPAN_LIT("\xfe"
				"bin\0\0\n"));
	assert_int_equal(file_list_add(&f->list, f->index, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "is no index file"));
	assert_int_equal(f->list.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(files_and_standard_input_are_themselves, make, drop),
	    cmocka_unit_test_setup_teardown(lines_of_an_index_are_relative_to_its_folder, make, drop),
	    cmocka_unit_test_setup_teardown(a_file_that_is_not_where_the_index_says_is_looked_for_beside_it,
					    make, drop),
	    cmocka_unit_test_setup_teardown(an_index_without_files_is_refused, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
