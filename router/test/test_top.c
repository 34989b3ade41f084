#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "router/top.h"

static void
tell(const struct top *t, size_t rows, struct buf *out)
{
	struct json j;

	buf_clear(out);
	json_init(&j, out);
	json_object(&j);
	top_json(t, rows, &j);
	json_object_end(&j);
}

static void
the_key_that_is_deleted_most_comes_first(void **state)
{
	struct top *t = top_create(42);
	struct buf out = BUF_INIT;
	char key[40];
	const char *keys;

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(key, sizeof(key), "user:%u", i);
		top_note(t, i % 3 == 0 ? SPAN_LIT("hot") : span_of(key), -1);
	}
	tell(t, 3, &out);
	keys = strstr(buf_str(&out), "\"keys\":[{\"key\":\"hot\",\"deletes\":");
	assert_non_null(keys);
	assert_in_range(atoi(strstr(keys, "deletes\":") + 9), 25000, 42000);
	assert_non_null(strstr(buf_str(&out), "\"wasted_share\":null"));
	assert_non_null(strstr(buf_str(&out), "\"deletes\":100000,\"sampled\":0"));
	buf_fini(&out);
	top_destroy(&t);
}

static void
wasted_deletes_are_a_share_of_those_that_were_sampled(void **state)
{
	struct top *t = top_create(7);
	struct buf out = BUF_INIT;

	for (int i = 0; i < 40; i++)
		top_note(t, SPAN_LIT("there"), i % 4 == 0 ? 1 : -1);
	for (int i = 0; i < 30; i++)
		top_note(t, SPAN_LIT("gone"), 0);
	tell(t, 5, &out);
	assert_non_null(strstr(buf_str(&out), "\"sampled\":40,\"wasted_share\":0.75"));
	assert_non_null(strstr(buf_str(&out), "\"wasted\":[{\"key\":\"gone\",\"share\":1"));
	top_fade(t);
	tell(t, 5, &out);
	assert_non_null(strstr(buf_str(&out), "\"deletes\":35,\"sampled\":20"));
	buf_fini(&out);
	top_destroy(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_key_that_is_deleted_most_comes_first),
	    cmocka_unit_test(wasted_deletes_are_a_share_of_those_that_were_sampled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
