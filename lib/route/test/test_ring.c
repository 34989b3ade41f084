#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/file.h"
#include "lib/route/ring.h"
#include "lib/route/test/lists.h"

#define GOLDEN "lib/route/test/golden/libmemcached.txt"

static const struct test_list *
list_named(const char *name)
{
	for (size_t i = 0; i < test_nlists; i++) {
		if (strcmp(test_lists[i].name, name) == 0)
			return &test_lists[i];
	}
	fail_msg("no list %s", name);
	return NULL;
}

static void
every_golden_line_of_libmemcached_is_reproduced(void **state)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	char *line, *save = NULL;
	size_t lines = 0;

	(void)state;
	assert_int_equal(file_read(GOLDEN, 1 << 20, &text, &why), ERR_OK);
	buf_putc(&text, '\0');
	for (line = strtok_r(text.p, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		char list[32], distribution[32], hash[32], key[64];
		struct ring_spec spec;
		struct ring *ring;
		unsigned server;

		if (line[0] == '#')
			continue;
		assert_int_equal(
		    sscanf(line, "%31s %31s %31s %63s %u", list, distribution, hash, key, &server), 5);
		spec = test_spec(list_named(list), distribution, hash);
		assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
		if (ring_route(ring, span_of(key)) != server)
			fail_msg("%s: the ring says %zu", line, ring_route(ring, span_of(key)));
		ring_destroy(&ring);
		lines++;
	}
	assert_true(lines > 2000);
	buf_fini(&text);
}

static void
the_explanation_names_server_hash_and_point(void **state)
{
	struct cluster cluster = test_cluster(list_named("ports"), "ketama", "default");
	struct ring_spec spec = ring_spec_of_cluster(&cluster);
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct buf server = BUF_INIT;
	struct ring *ring;

	(void)state;
	cluster.opt.namespace = (char *)"app:";
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	ring_explain_cluster(ring, &cluster, span_of("user:42"), &out);
	ring_server_name(&cluster.servers[ring_route(ring, span_of("user:42"))], &server);
	assert_non_null(strstr(buf_str(&out), buf_str(&server)));
	assert_non_null(strstr(buf_str(&out), "hash: default = "));
	assert_non_null(strstr(buf_str(&out), "point: "));
	assert_non_null(strstr(buf_str(&out), "sent as: app:user:42"));
	ring_destroy(&ring);
	buf_fini(&out);
	buf_fini(&server);
}

static void
a_weight_above_one_says_that_the_points_are_weighted(void **state)
{
	struct ring_spec spec = test_spec(list_named("weights"), "ketama", "default");
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct ring *ring;

	(void)state;
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	ring_explain(ring, span_of("k"), &out);
	assert_non_null(strstr(buf_str(&out), "libmemcached switches"));
	ring_destroy(&ring);
	buf_fini(&out);
}

static void
unknown_words_are_errors_that_name_them(void **state)
{
	struct ring_spec spec = test_spec(list_named("two"), "ketamaa", "default");
	struct err_detail why = {0};
	struct ring *ring;

	(void)state;
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "ketamaa"));
	assert_null(ring);
	err_clear(&why);
	spec = test_spec(list_named("two"), "modula", "md6");
	assert_int_equal(ring_create(&ring, &spec, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "md6"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_golden_line_of_libmemcached_is_reproduced),
	    cmocka_unit_test(the_explanation_names_server_hash_and_point),
	    cmocka_unit_test(a_weight_above_one_says_that_the_points_are_weighted),
	    cmocka_unit_test(unknown_words_are_errors_that_name_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
