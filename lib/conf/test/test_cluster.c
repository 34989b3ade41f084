#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/topology.h"

static struct topology *
parse(const char *clusters)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&text, "log: {path: /l}\nclusters:\n%s", clusters);
	if (topology_parse(&t, buf_span(&text), "t.yaml", &why) != ERR_OK)
		fail_msg("%s\n%s", why.text, buf_str(&text));
	buf_fini(&text);
	return t;
}

static void
note_change(void *arg, const char *section, const char *name, bool taken)
{
	buf_printf(arg, "%s.%s%s ", section, name, taken ? "+" : "-");
}

static void
no_change(void *arg, const char *section, const char *name, bool taken)
{
	fail_msg("%s.%s has changed", section, name);
}

static void
servers_of_the_cluster_are_a_pool_named_default(void **state)
{
	struct topology *t = parse("  - {name: a, hash: md5, namespace: 'n:', servers: [h:1, i:2]}\n");
	const struct cluster *c = &t->clusters[0];

	assert_int_equal(c->npools, 1);
	assert_string_equal(c->pools[0].opt.name, "default");
	assert_string_equal(c->pools[0].opt.hash, "md5");
	assert_string_equal(c->pools[0].opt.namespace, "n:");
	assert_string_equal(c->pools[0].opt.prefixes, "");
	assert_int_equal(c->pools[0].nservers, 2);
	assert_int_equal(c->nservers, 2);
	topology_destroy(&t);
}

static void
a_pool_has_its_own_settings_and_the_clusters_for_the_rest(void **state)
{
	struct err_detail why = {0};
	struct topology *t;
	const struct cluster *c;
	const struct pool *p;

	assert_int_equal(topology_load(&t, "lib/conf/test/data/good.pools.yaml", &why), ERR_OK);
	c = &t->clusters[0];
	assert_int_equal(c->npools, 7);
	assert_int_equal(c->nlimits, 2);
	assert_string_equal(c->limits[1].prefix, "counter:hot:");
	assert_int_equal(c->limits[1].rate, 10);

	p = &c->pools[1];
	assert_string_equal(p->opt.prefixes, "user:\nuser:vip:\n");
	assert_string_equal(p->opt.distribution, "wch3");
	assert_string_equal(p->opt.salt, "pepper");
	assert_string_equal(p->opt.namespace, "app:"); /* the cluster's */
	assert_string_equal(p->opt.tls, "verify");
	assert_string_equal(p->opt.tls_ca, "lib/conf/test/data/ca.pem");
	assert_int_equal(p->opt.stale_for, 10000);
	assert_true(p->servers[0].weight > 0.2499 && p->servers[0].weight < 0.2501);

	p = &c->pools[2];
	assert_string_equal(p->opt.prefixes, "feed:"); /* one text is a list of one */
	assert_string_equal(p->opt.kind, "replicated");
	assert_int_equal(p->opt.holdoff, 500);

	p = &c->pools[3];
	assert_string_equal(p->opt.namespace, ""); /* none, not the cluster's */
	assert_string_equal(p->opt.tls, "off");
	assert_string_equal(p->servers[1].name, "beta");
	topology_destroy(&t);
}

static void
the_clusters_servers_are_those_of_all_pools_each_once(void **state)
{
	struct topology *t = parse("  - name: a\n"
				   "    servers: [h:1, i:2]\n"
				   "    pools:\n"
				   "      - {name: p, prefixes: [x], servers: [j:3, h:1]}\n"
				   "      - {name: g, role: gutter, servers: [i:2, i:3]}\n");
	const struct cluster *c = &t->clusters[0];
	static const char *const hosts[] = {"h", "i", "j", "i"};

	assert_int_equal(c->nservers, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(c->servers[i].host, hosts[i]);
	assert_int_equal(c->servers[3].port, 3);
	topology_destroy(&t);
}

static void
reload_takes_pools_servers_and_limits_and_tells_them(void **state)
{
	struct topology *t = parse("  - name: a\n"
				   "    limits: [{prefix: x, rate: 1}]\n"
				   "    pools:\n"
				   "      - {name: p, servers: [h:1]}\n"
				   "      - {name: q, prefixes: [x], tls: 'on', servers: [h:2]}\n");
	struct topology *fresh = parse("  - name: a\n"
				       "    cold_holdoff: 3s\n"
				       "    admin: 127.0.0.1:1\n"
				       "    limits: [{prefix: x, rate: 2}]\n"
				       "    pools:\n"
				       "      - {name: p, kind: replicated, servers: [h:1, h:3]}\n"
				       "      - {name: q, prefixes: [x, y], tls: verify, servers: [h:2]}\n"
				       "      - {name: r, prefixes: [z], tls: verify, servers: [h:4]}\n");
	const struct cluster *stays = &t->clusters[0];
	struct buf seen = BUF_INIT;

	topology_reload(t, fresh, note_change, &seen);
	assert_string_equal(buf_str(&seen),
			    "clusters[a].admin- clusters[a].cold_holdoff+ clusters[a].pools+ "
			    "clusters[a].pools[p].kind+ clusters[a].pools[p].servers+ "
			    "clusters[a].pools[q].prefixes+ clusters[a].pools[q].tls- clusters[a].limits+ ");
	topology_destroy(&fresh);
	assert_ptr_equal(stays, topology_cluster(t, "a"));
	assert_string_equal(stays->opt.admin, "127.0.0.1:9402");
	assert_int_equal(stays->opt.cold_holdoff, 3000);
	assert_int_equal(stays->npools, 3);
	assert_string_equal(stays->pools[1].opt.prefixes, "x\ny\n");
	assert_string_equal(stays->pools[1].opt.tls, "on"); /* needs a restart */
	assert_string_equal(stays->pools[2].opt.tls, "verify");
	assert_int_equal(stays->pools[0].nservers, 2);
	assert_int_equal(stays->nservers, 4);
	assert_string_equal(stays->servers[1].host, "h");
	assert_int_equal(stays->limits[0].rate, 2);
	topology_reload(t, t, no_change, NULL);
	buf_fini(&seen);
	topology_destroy(&t);
}

/* --- the ring as text -------------------------------------------------------------------------------------
 */

static char *
ring_text(const struct topology *t, bool reach)
{
	struct buf text = BUF_INIT;
	char *copy;

	topology_ring_text(&t->clusters[0], reach, &text);
	copy = span_dup(buf_span(&text));
	buf_fini(&text);
	return copy;
}

static void
the_text_of_a_ring_is_read_as_the_same_ring(void **state)
{
	struct err_detail why = {0};
	struct topology *t, *again;

	assert_int_equal(topology_load(&t, "lib/conf/test/data/good.pools.yaml", &why), ERR_OK);
	for (int reach = 0; reach < 2; reach++) {
		char *text = ring_text(t, reach), *twice;

		assert_null(strchr(text, '\n'));
		if (topology_parse(&again, span_of(text), "ring", &why) != ERR_OK)
			fail_msg("%s\n%s", why.text, text);
		twice = ring_text(again, reach);
		assert_string_equal(text, twice);
		if (reach) {
			assert_string_equal(again->clusters[0].pools[0].opt.auth_file,
					    "lib/conf/test/data/auth");
			assert_string_equal(again->clusters[0].pools[3].opt.tls, "off");
		}
		topology_destroy(&again);
		free(text);
		free(twice);
	}
	topology_destroy(&t);
}

static void
the_text_of_a_ring_keeps_every_letter(void **state)
{
	/* A next line, a line separator, a control of C1, a DEL, a quote and a letter beyond 16 bits. */
	struct topology *t =
	    parse("  - {name: a, distribution: ch3, salt: \"\\N\\L\\x90\\x7f\\\"\\U0001f600\\n\\t\", "
		  "servers: [h:1]}\n");
	char *text = ring_text(t, false);
	struct err_detail why = {0};
	struct topology *again;

	if (topology_parse(&again, span_of(text), "ring", &why) != ERR_OK)
		fail_msg("%s\n%s", why.text, text);
	assert_string_equal(again->clusters[0].pools[0].opt.salt, t->clusters[0].pools[0].opt.salt);
	assert_string_equal(again->clusters[0].pools[0].opt.salt,
			    "\xc2\x85\xe2\x80\xa8\xc2\x90\x7f\"\xf0\x9f\x98\x80\n\t");
	free(text);
	topology_destroy(&again);
	topology_destroy(&t);
}

static void
rings_have_the_same_text_when_they_route_alike(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, mode: cold, servers: [h:1]}\n", true},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, pools: [{name: default, servers: [h:1]}]}\n",
	     true},
	    {"  - {name: a, servers: [h:1]}\n",
	     "  - {name: a, servers: [{host: h, port: 1, connect: 'x:2'}]}\n", true},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, tls: 'on', servers: [h:1]}\n", true},
	    {"  - {name: a, distribution: ch3, servers: [h:1]}\n",
	     "  - {name: a, distribution: ch3, hash_tag: '{}', servers: [h:1]}\n", true},
	    {"  - {name: a, servers: [h:1, h:2]}\n", "  - {name: a, servers: [h:2, h:1]}\n", false},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, hash: md5, servers: [h:1]}\n", false},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, namespace: x, servers: [h:1]}\n", false},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, servers: [{host: h, port: 1, weight: 2}]}\n",
	     false},
	    {"  - {name: a, servers: [h:1]}\n", "  - {name: a, mcrouter_prefix: /a/b/, servers: [h:1]}\n",
	     false},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct topology *a = parse(pairs[i].a), *b = parse(pairs[i].b);
		char *x = ring_text(a, false), *y = ring_text(b, false);

		if ((strcmp(x, y) == 0) != pairs[i].same)
			fail_msg("%s%s", pairs[i].a, pairs[i].b);
		free(x);
		free(y);
		topology_destroy(&a);
		topology_destroy(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(servers_of_the_cluster_are_a_pool_named_default),
	    cmocka_unit_test(a_pool_has_its_own_settings_and_the_clusters_for_the_rest),
	    cmocka_unit_test(the_clusters_servers_are_those_of_all_pools_each_once),
	    cmocka_unit_test(reload_takes_pools_servers_and_limits_and_tells_them),
	    cmocka_unit_test(the_text_of_a_ring_is_read_as_the_same_ring),
	    cmocka_unit_test(the_text_of_a_ring_keeps_every_letter),
	    cmocka_unit_test(rings_have_the_same_text_when_they_route_alike),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
