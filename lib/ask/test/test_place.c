#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "lib/ask/ask.h"
#include "lib/ask/place.h"

static const char yaml[] = "log: {path: /tmp/x.db}\n"
			   "squeal: {admin: 0.0.0.0:9401}\n"
			   "clusters:\n"
			   "  - {name: a, admin: '[::]:9402', servers: [h:1]}\n"
			   "  - {name: b, admin: '', servers: [h:1]}\n"
			   "  - {name: c, admin: 10.1.2.3:9403, servers: [h:1]}\n";

static struct topology *
load(void)
{
	struct err_detail why = {0};
	struct topology *t;

	if (topology_parse(&t, span_of(yaml), "squeal.yaml", &why) != ERR_OK)
		fail_msg("%s", err_why(&why));
	return t;
}

static void
a_port_on_every_address_is_dialled_on_this_machine(void **state)
{
	const struct place_choice all = {.with_squeal = true};
	struct topology *t = load();
	struct err_detail why = {0};
	struct places p;

	assert_int_equal(places_find(&p, t, &all, &why), ERR_OK);
	assert_int_equal(p.n, 4);
	assert_false(p.at[0].is_router);
	assert_string_equal(p.at[0].address, "127.0.0.1:9401");
	assert_string_equal(p.at[1].address, "[::1]:9402");
	assert_string_equal(p.at[1].cluster, "a");
	assert_null(p.at[2].address);
	assert_string_equal(p.at[3].address, "10.1.2.3:9403");
	places_fini(&p);
	topology_destroy(&t);
}

static void
one_cluster_means_its_router_alone(void **state)
{
	const struct place_choice c = {.cluster = "c", .with_squeal = true}, none = {.cluster = "x"};
	struct topology *t = load();
	struct err_detail why = {0};
	struct places p;

	assert_int_equal(places_find(&p, t, &c, &why), ERR_OK);
	assert_int_equal(p.n, 1);
	assert_string_equal(p.at[0].cluster, "c");
	places_fini(&p);
	assert_int_equal(places_find(&p, t, &none, &why), ERR_CONFIG);
	assert_non_null(strstr(err_why(&why), "there is no cluster \"x\""));
	topology_destroy(&t);
}

static void
ports_given_by_hand_need_no_configuration(void **state)
{
	static const char *const given[] = {"h:1", "h:2"}, *const free_port[] = {"h:0"},
				 *const bad[] = {"nonsense"};
	struct place_choice c = {.admin = given, .nadmin = 2};
	struct err_detail why = {0};
	struct places p;

	assert_int_equal(places_find(&p, NULL, &c, &why), ERR_OK);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.at[1].address, "h:2");
	places_fini(&p);
	c = (struct place_choice){.admin = free_port, .nadmin = 1};
	assert_int_equal(places_find(&p, NULL, &c, &why), ERR_CONFIG);
	assert_non_null(strstr(err_why(&why), "--admin"));
	c = (struct place_choice){.admin = bad, .nadmin = 1};
	assert_int_equal(places_find(&p, NULL, &c, &why), ERR_CONFIG);
}

static void
a_key_stands_in_a_query_without_breaking_it(void **state)
{
	struct buf out = BUF_INIT;

	ask_put_query(&out, "a b&c=d%/\xc3\xa9?#-_.");
	assert_string_equal(buf_str(&out), "a%20b%26c%3Dd%25%2F%C3%A9%3F%23-_.");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_port_on_every_address_is_dialled_on_this_machine),
	    cmocka_unit_test(one_cluster_means_its_router_alone),
	    cmocka_unit_test(ports_given_by_hand_need_no_configuration),
	    cmocka_unit_test(a_key_stands_in_a_query_without_breaking_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
