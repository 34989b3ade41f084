#include "lib/core/flag.h"

#include <stdio.h>
#include <string.h>

#include "lib/core/option.h"

enum { MAX_NAME = 64, MAX_LONGS = 64 };

/* What was given: "--name" without its value, or the letter, which may stand among others. */
static void
given_name(char **argv, const struct option *longs, char out[MAX_NAME])
{
	const char *word = argv[optind - 1];
	size_t n = strcspn(word, "=");
	bool is_long = strncmp(word, "--", 2) == 0 && optopt == 0;

	for (const struct option *o = longs; o->name != NULL && !is_long; o++)
		is_long = o->val == optopt && strncmp(word, "--", 2) == 0 && n > 2 &&
			  strncmp(o->name, word + 2, n - 2) == 0;
	if (is_long)
		snprintf(out, MAX_NAME, "%.*s", (int)(n < MAX_NAME ? n : MAX_NAME - 1), word);
	else
		snprintf(out, MAX_NAME, "-%c", optopt);
}

err_t
flag_refused(char **argv, const struct option *longs, int c, struct err_detail *why)
{
	const char *words[MAX_LONGS], *near, *whole[2] = {NULL, NULL};
	char given[MAX_NAME];
	size_t n = 0, begin_so = 0;

	given_name(argv, longs, given);
	if (c == ':')
		return err_set(why, ERR_USAGE, "%s needs a value", given);
	if (given[1] != '-')
		return err_set(why, ERR_USAGE, "there is no option %s", given);
	for (; n < MAX_LONGS && longs[n].name != NULL; n++) {
		words[n] = longs[n].name;
		if (strcmp(given + 2, words[n]) == 0)
			return err_set(why, ERR_USAGE, "%s takes no value", given);
		if (strncmp(given + 2, words[n], strlen(given + 2)) == 0 && begin_so++ < 2)
			whole[begin_so - 1] = words[n];
	}
	if (begin_so > 1)
		return err_set(why, ERR_USAGE, "%s may be --%s or --%s; write it out", given, whole[0],
			       whole[1]);
	near = option_nearest_word(words, n, span_of(given + 2));
	if (near != NULL)
		return err_set(why, ERR_USAGE, "there is no option %s; did you mean --%s?", given, near);
	return err_set(why, ERR_USAGE, "there is no option %s", given);
}
