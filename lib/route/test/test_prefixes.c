#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/route/prefixes.h"

static void
the_longest_prefix_wins(void **state)
{
	static const struct {
		const char *key;
		int value; /* -1: none */
	} wanted[] = {
	    {"user:1", 1}, {"user:vip:1", 2},	{"user:vi", 1},	  {"user:", 1},	   {"user", -1},
	    {"", -1},	   {"user:z", 1},	{"feed:x", 3},	  {"feedback", 4}, {"fee", -1},
	    {"zz", -1},	   {"user:vip:a:b", 5}, {"user:\xff", 1},
	};
	struct prefixes p = PREFIXES_INIT;

	prefixes_add(&p, SPAN_LIT("feed:"), 3);
	prefixes_add(&p, SPAN_LIT("user:vip:a:"), 5);
	prefixes_add(&p, SPAN_LIT("user:"), 1);
	prefixes_add(&p, SPAN_LIT("user:vip:"), 2);
	prefixes_add(&p, SPAN_LIT("feed"), 4);
	prefixes_sort(&p);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		const struct prefixes_item *item = prefixes_find(&p, span_of(wanted[i].key));

		if ((item == NULL ? -1 : (int)item->value) != wanted[i].value)
			fail_msg("%s: %d", wanted[i].key, item == NULL ? -1 : (int)item->value);
	}
	prefixes_fini(&p);
}

static void
none_has_nothing(void **state)
{
	struct prefixes p = PREFIXES_INIT;

	prefixes_sort(&p);
	assert_null(prefixes_find(&p, SPAN_LIT("x")));
	prefixes_fini(&p);
}

/* Against looking at each. */
static void
any_set_gives_what_looking_at_each_gives(void **state)
{
	enum { N = 40, KEYS = 300 };
	char texts[N][8], key[12];

	srand(7);
	for (int round = 0; round < 100; round++) {
		struct prefixes p = PREFIXES_INIT;
		size_t n = 0;

		for (int i = 0; i < N; i++) {
			int len = 1 + rand() % 6;
			bool twice = false;

			for (int c = 0; c < len; c++)
				texts[n][c] = (char)('a' + rand() % 2);
			texts[n][len] = '\0';
			for (size_t k = 0; k < n && !twice; k++)
				twice = strcmp(texts[k], texts[n]) == 0;
			if (!twice) {
				prefixes_add(&p, span_of(texts[n]), (uint32_t)n);
				n++;
			}
		}
		prefixes_sort(&p);
		for (int i = 0; i < KEYS; i++) {
			int len = rand() % 10, best = -1;
			const struct prefixes_item *item;

			for (int c = 0; c < len; c++)
				key[c] = (char)('a' + rand() % 2);
			key[len] = '\0';
			for (size_t k = 0; k < n; k++) {
				if (strncmp(key, texts[k], strlen(texts[k])) == 0 &&
				    (best < 0 || strlen(texts[k]) > strlen(texts[best])))
					best = (int)k;
			}
			item = prefixes_find(&p, span_of(key));
			if ((item == NULL ? -1 : (int)item->value) != best)
				fail_msg("%s: %d, not %d", key, item == NULL ? -1 : (int)item->value, best);
		}
		prefixes_fini(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_longest_prefix_wins),
	    cmocka_unit_test(none_has_nothing),
	    cmocka_unit_test(any_set_gives_what_looking_at_each_gives),
	};

	return cmocka_run_group_tests_name("prefixes", tests, NULL, NULL);
}
