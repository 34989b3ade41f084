/*
 * files - tests that go through the files of a folder: bad.* and good.*.
 *
 * The first line of a bad file is the message that it must give, behind two bytes of comment ("# ").  The
 * tests run in the root of the project.
 */
#ifndef SQUEAL_LIB_CORE_TEST_FILES_H
#define SQUEAL_LIB_CORE_TEST_FILES_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/file.h"
#include "lib/core/test/test.h"

static inline void
files_read(const char *path, struct buf *out)
{
	struct err_detail why = {0};

	if (file_read(path, 1 << 20, out, &why) != ERR_OK)
		fail_msg("%s (the tests run in the root of the project)", why.text);
}

static inline int
files_is_bad(const struct dirent *e)
{
	return strncmp(e->d_name, "bad.", 4) == 0;
}

static inline int
files_is_good(const struct dirent *e)
{
	return strncmp(e->d_name, "good.", 5) == 0;
}

/* `refuse` is called for each bad file's text, at least `least` of them; it must return ERR_CONFIG and leave
 * nothing behind. */
static inline void
files_assert_bad(const char *dir, int least, err_t (*refuse)(struct span text, struct err_detail *why))
{
	struct dirent **names;
	int n = scandir(dir, &names, files_is_bad, alphasort);

	assert_true(n >= least);
	for (int i = 0; i < n; i++) {
		struct buf text = BUF_INIT;
		struct err_detail why = {0};
		struct span expected;
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		files_read(path, &text);
		expected = span_first(buf_span(&text), (size_t)span_find(buf_span(&text), SPAN_LIT("\n")));
		expected = span_from(expected, 2);
		if (refuse(buf_span(&text), &why) != ERR_CONFIG)
			fail_msg("%s is not refused", path);
		if (!span_eq(expected, span_of(why.text)))
			fail_msg("%s\n expected %.*s\n got      %s", path, SPAN_FMT(expected), why.text);
		buf_fini(&text);
		free(names[i]);
	}
	free(names);
}

/* `take` is called for each good file, at least `least` of them, and must succeed. */
static inline void
files_assert_good(const char *dir, int least, err_t (*take)(const char *path, struct err_detail *why))
{
	struct dirent **names;
	int n = scandir(dir, &names, files_is_good, alphasort);

	assert_true(n >= least);
	for (int i = 0; i < n; i++) {
		struct err_detail why = {0};
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (take(path, &why) != ERR_OK)
			fail_msg("%s", why.text);
		free(names[i]);
	}
	free(names);
}

#endif
