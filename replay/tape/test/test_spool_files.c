#include "replay/tape/spool_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/test/test.h"

static void
the_time_is_in_the_name_that_mcrouter_gives(void **state)
{
	(void)state;
	assert_int_equal(spool_files_time("20261121T081500-1795248900-svc-router-t1-0x7f"), 1795248900);
	assert_int_equal(spool_files_time("20261121T081500-1795248900"), 0);
	assert_int_equal(spool_files_time("20261121X081500-1795248900-svc"), 0);
	assert_int_equal(spool_files_time("20261121T081500--svc"), 0);
	assert_int_equal(spool_files_time("notes"), 0);
	assert_int_equal(spool_files_time(""), 0);
}

static void
touch(const char *dir, const char *name)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static void
files_come_in_the_order_of_their_times_from_all_folders(void **state)
{
	static const char *const wanted[] = {"20261121T080000-100-a-r-t-0", "20261121T081500-200-a-r-t-0",
					     "20261121T081500-200-b-r-t-0", "20261121T091500-300-a-r-t-0"};
	char root[] = "/tmp/squeal-test-spool-XXXXXX", hour[100], command[200];
	struct spool_files l = {0};
	struct err_detail why = {0};

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(hour, sizeof(hour), "%s/20261121T09-300", root);
	assert_int_equal(mkdir(hour, 0700), 0);
	touch(hour, wanted[3]);
	touch(hour, ".hidden");
	snprintf(hour, sizeof(hour), "%s/20261121T08-100", root);
	assert_int_equal(mkdir(hour, 0700), 0);
	touch(hour, wanted[2]);
	touch(hour, wanted[0]);
	touch(hour, wanted[1]);
	assert_int_equal(spool_files_add(&l, root, &why), ERR_OK);
	spool_files_sort(&l);
	assert_int_equal(l.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(strrchr(l.files[i].path, '/') + 1, wanted[i]);
	spool_files_fini(&l);
	assert_int_equal(spool_files_add(&l, "/nowhere/at/all", &why), ERR_NOT_FOUND);
	spool_files_fini(&l);
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	assert_int_equal(system(command), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_time_is_in_the_name_that_mcrouter_gives),
	    cmocka_unit_test(files_come_in_the_order_of_their_times_from_all_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
