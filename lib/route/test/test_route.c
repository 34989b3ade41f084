#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/conf/algorithm.h"
#include "lib/conf/topology.h"
#include "lib/route/ring.h"
#include "lib/route/route.h"

struct fixture {
	struct topology *now;
	struct topology *before[4];
	size_t nbefore;
	struct route *route;
	struct route_answer answer;
};

static struct topology *
parse(const char *cluster)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&text, "log: {path: /l}\nclusters:\n  - name: a\n%s", cluster);
	if (topology_parse(&t, buf_span(&text), "t.yaml", &why) != ERR_OK)
		fail_msg("%s\n%s", why.text, buf_str(&text));
	buf_fini(&text);
	return t;
}

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	route_answer_fini(&f->answer);
	route_destroy(&f->route);
	topology_destroy(&f->now);
	for (size_t i = 0; i < f->nbefore; i++)
		topology_destroy(&f->before[i]);
	free(f);
	return 0;
}

static void
was(struct fixture *f, const char *cluster)
{
	f->before[f->nbefore++] = parse(cluster);
}

static void
is(struct fixture *f, const char *cluster)
{
	const struct cluster *before[4];
	struct err_detail why = {0};

	f->now = parse(cluster);
	for (size_t i = 0; i < f->nbefore; i++)
		before[i] = &f->before[i]->clusters[0];
	if (route_create(&f->route, &f->now->clusters[0], before, f->nbefore, &why) != ERR_OK)
		fail_msg("%s", why.text);
}

/* "pool@server" of each hop, with * for an old owner, ~ for a shadow, = for stale. */
static void
assert_goes(struct fixture *f, const char *key, const char *pool, const char *wanted)
{
	struct buf text = BUF_INIT;

	route_key(f->route, span_of(key), span_of(pool), &f->answer);
	for (size_t i = 0; i < f->answer.n; i++) {
		const struct route_hop *hop = &f->answer.hops[i];

		buf_printf(&text, "%s%s@%s%s%s%s", i > 0 ? " " : "", route_pool_name(f->route, hop->pool),
			   route_server_name(f->route, hop->server), hop->old ? "*" : "",
			   hop->shadow ? "~" : "", hop->action == ROUTE_STALE ? "=" : "");
	}
	if (strcmp(buf_str(&text), wanted) != 0)
		fail_msg("%s goes to %s, not to %s", key, buf_str(&text), wanted);
	buf_fini(&text);
}

/* --- pools ------------------------------------------------------------------------------------------------
 */

static void
the_longest_prefix_chooses_the_pool(void **state)
{
	is(*state, "    servers: [d:1]\n"
		   "    pools:\n"
		   "      - {name: users, prefixes: ['user:'], servers: [u:1]}\n"
		   "      - {name: vips, prefixes: ['user:vip:'], servers: [v:1]}\n");
	assert_goes(*state, "user:1", "", "users@u:1");
	assert_goes(*state, "user:vip:1", "", "vips@v:1");
	assert_goes(*state, "user", "", "default@d:1");
	assert_goes(*state, "x", "", "default@d:1");
}

static void
a_pool_that_the_transaction_names_comes_before_prefixes(void **state)
{
	struct fixture *f = *state;

	is(f, "    servers: [d:1]\n"
	      "    pools:\n"
	      "      - {name: users, prefixes: ['user:'], servers: [u:1]}\n");
	assert_goes(f, "user:1", "default", "default@d:1");
	assert_goes(f, "x", "users", "users@u:1");
	assert_false(f->answer.unknown_pool);
	assert_goes(f, "user:1", "nobody", "users@u:1");
	assert_true(f->answer.unknown_pool);
}

static void
a_key_that_no_pool_takes_is_homeless(void **state)
{
	struct fixture *f = *state;

	is(f, "    pools:\n"
	      "      - {name: users, prefixes: ['user:'], servers: [u:1]}\n"
	      "      - {name: spare, role: gutter, servers: [g:1]}\n");
	assert_goes(f, "x", "", "");
	assert_true(f->answer.homeless && !f->answer.foreign);
	assert_goes(f, "user:1", "", "users@u:1 spare@g:1");
	assert_false(f->answer.homeless);
}

static void
a_replicated_pool_deletes_on_every_replica(void **state)
{
	is(*state, "    pools:\n"
		   "      - {name: hot, kind: replicated, servers: [h:1, h:2, h:3]}\n");
	assert_goes(*state, "x", "", "hot@h:1 hot@h:2 hot@h:3");
}

static void
gutters_and_shadows_get_the_deletes_of_the_pools_that_they_stand_for(void **state)
{
	struct fixture *f = *state;

	is(f, "    servers: [d:1]\n"
	      "    pools:\n"
	      "      - {name: users, prefixes: ['user:'], servers: [u:1]}\n"
	      "      - {name: world, role: regional, prefixes: ['w:'], servers: [w:1]}\n"
	      "      - {name: spare, role: gutter, servers: [g:1]}\n"
	      "      - {name: copy, role: shadow, stands_for: [users, world], servers: [s:1]}\n");
	assert_goes(f, "x", "", "default@d:1 spare@g:1");
	assert_goes(f, "user:1", "", "users@u:1 spare@g:1 copy@s:1~");
	assert_goes(f, "w:1", "", "world@w:1 spare@g:1 copy@s:1~");
	for (size_t i = 0; i < route_nservers(f->route); i++)
		assert_int_equal(route_server_is_shadow(f->route, i),
				 strcmp(route_server_name(f->route, i), "s:1") == 0);
}

static void
a_server_in_several_pools_is_one_server_and_gets_one_delete(void **state)
{
	struct fixture *f = *state;

	is(f, "    servers: [d:1]\n"
	      "    pools:\n"
	      "      - {name: copy, role: shadow, servers: [d:1]}\n"
	      "      - {name: spare, role: gutter, namespace: 'n:', servers: [d:1]}\n");
	assert_int_equal(route_nservers(f->route), 1);
	assert_false(route_server_is_shadow(f->route, 0));
	/* With another namespace it is another key. */
	assert_goes(f, "x", "", "default@d:1 spare@d:1");
	assert_true(span_is(f->answer.hops[1].prefix, "n:"));
}

static void
the_stronger_action_counts_where_pools_meet(void **state)
{
	struct fixture *f = *state;

	is(f, "    pools:\n"
	      "      - {name: p, action: stale, stale_for: 5s, servers: [d:1]}\n"
	      "      - {name: spare, role: gutter, action: holdoff, holdoff: 3s, servers: [d:1]}\n");
	assert_goes(f, "x", "", "p@d:1");
	assert_int_equal(f->answer.hops[0].holdoff_ms, 3000);
}

static void
a_pool_says_what_is_done_with_its_keys(void **state)
{
	struct fixture *f = *state;

	is(f, "    servers: [d:1]\n"
	      "    pools:\n"
	      "      - {name: s, prefixes: ['s:'], action: stale, stale_for: 5s, servers: [s:1]}\n"
	      "      - {name: h, prefixes: ['h:'], action: holdoff, holdoff: 250ms, servers: [h:1]}\n");
	assert_goes(f, "s:1", "", "s@s:1=");
	assert_int_equal(f->answer.hops[0].stale_ms, 5000);
	assert_int_equal(f->answer.hops[0].holdoff_ms, 0);
	assert_goes(f, "h:1", "", "h@h:1");
	assert_int_equal(f->answer.hops[0].holdoff_ms, 250);
	assert_goes(f, "x", "", "default@d:1");
	assert_int_equal(f->answer.hops[0].holdoff_ms, 0);
}

static void
limits_are_found_by_the_longest_prefix(void **state)
{
	struct fixture *f = *state;

	is(f, "    limits: [{prefix: 'c:', rate: 100}, {prefix: 'c:hot:', rate: 7}]\n"
	      "    servers: [d:1]\n");
	assert_int_equal(route_nlimits(f->route), 2);
	assert_goes(f, "c:1", "", "default@d:1");
	assert_int_equal(route_limit(f->route, f->answer.hops[0].limit - 1), 100);
	assert_goes(f, "c:hot:1", "", "default@d:1");
	assert_int_equal(route_limit(f->route, f->answer.hops[0].limit - 1), 7);
	assert_goes(f, "d", "", "default@d:1");
	assert_int_equal(f->answer.hops[0].limit, 0);
}

static void
an_answer_is_used_again(void **state)
{
	struct fixture *f = *state;
	const struct route_hop *hops;

	is(f, "    pools: [{name: hot, kind: replicated, servers: [h:1, h:2, h:3]}]\n");
	route_key(f->route, SPAN_LIT("x"), SPAN_LIT(""), &f->answer);
	hops = f->answer.hops;
	for (int i = 0; i < 1000; i++)
		route_key(f->route, SPAN_LIT("y"), SPAN_LIT(""), &f->answer);
	assert_ptr_equal(hops, f->answer.hops);
	assert_int_equal(f->answer.n, 3);
}

/* --- mcrouter's keys --------------------------------------------------------------------------------------
 */

static void
a_routing_prefix_is_taken_off_where_it_means_this_cluster(void **state)
{
	static const struct {
		const char *key, *sent; /* NULL: foreign */
	} keys[] = {
	    {"/east/a/user:1", "user:1"}, {"/*/*/user:1", "user:1"}, {"/east/*/user:1", "user:1"},
	    {"/*/a/user:1", "user:1"},	  {"/west/a/user:1", NULL},  {"/east/b/user:1", NULL},
	    {"/*/b/user:1", NULL},	  {"user:1", "user:1"},	     {"/user", "/user"},
	    {"/east/user", "/east/user"}, {"/east/a/", ""},	     {"/east/a//x", "/x"},
	};
	struct fixture *f = *state;

	is(f, "    mcrouter_prefix: /east/a/\n"
	      "    servers: [d:1]\n");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		route_key(f->route, span_of(keys[i].key), SPAN_LIT(""), &f->answer);
		assert_int_equal(f->answer.foreign, keys[i].sent == NULL);
		assert_int_equal(f->answer.n, keys[i].sent != NULL);
		if (keys[i].sent != NULL && !span_is(f->answer.key, keys[i].sent))
			fail_msg("%s is sent as %.*s", keys[i].key, SPAN_FMT(f->answer.key));
	}
}

static void
what_names_the_pool_may_be_a_routing_prefix(void **state)
{
	struct fixture *f = *state;

	is(f, "    mcrouter_prefix: /east/a/\n"
	      "    servers: [d:1]\n"
	      "    pools: [{name: users, prefixes: ['user:'], servers: [u:1]}]\n");
	assert_goes(f, "user:1", "/east/a/", "users@u:1");
	assert_false(f->answer.unknown_pool);
	assert_goes(f, "user:1", "/*/*/", "users@u:1");
	assert_goes(f, "user:1", "/east/a/default", "default@d:1");
	assert_goes(f, "user:1", "/east/b/", "");
	assert_true(f->answer.foreign);
	assert_goes(f, "user:1", "/east/a", "users@u:1"); /* no prefix, and no pool */
	assert_true(f->answer.unknown_pool);
	assert_goes(f, "/east/b/user:1", "/east/a/", "");
	assert_true(f->answer.foreign);
}

static void
without_mcrouter_a_slash_is_a_byte_like_any_other(void **state)
{
	struct fixture *f = *state;

	is(f, "    servers: [d:1]\n");
	assert_goes(f, "/east/a/user:1", "", "default@d:1");
	assert_true(span_is(f->answer.key, "/east/a/user:1"));
	/* Nobody can say whom it means: better too many deletes than too few. */
	assert_goes(f, "x", "/west/b/", "default@d:1");
	assert_true(f->answer.unknown_pool);
}

/* Whether what stands behind |#| makes a difference to the server. */
static bool
is_cut(struct fixture *f)
{
	uint32_t first;

	route_key(f->route, SPAN_LIT("k|#|0"), SPAN_LIT(""), &f->answer);
	first = f->answer.hops[0].server;
	for (int i = 1; i < 50; i++) {
		char key[32];

		snprintf(key, sizeof(key), "k|#|%d", i);
		route_key(f->route, span_of(key), SPAN_LIT(""), &f->answer);
		assert_true(span_is(f->answer.key, key)); /* sent whole */
		if (f->answer.hops[0].server != first)
			return false;
	}
	return true;
}

static void
keys_are_hashed_up_to_the_hash_stop_where_mcrouter_does_or_it_is_asked_for(void **state)
{
	static const struct {
		const char *distribution, *stop;
		bool cut;
	} cases[] = {
	    {"ch3", "auto", true},	  {"wch3", "auto", true}, {"crc32", "auto", true},
	    {"rendezvous", "auto", true}, {"ch3", "off", false},  {"jump", "auto", false},
	    {"ketama", "auto", false},	  {"ketama", "on", true}, {"modula", "auto", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf text = BUF_INIT;

		buf_printf(&text, "    distribution: %s\n    hash_stop: '%s'\n    servers:\n",
			   cases[i].distribution, cases[i].stop);
		for (int s = 0; s < 8; s++)
			buf_printf(&text, "      - {host: h%d%s}\n", s,
				   strcmp(cases[i].distribution, "wch3") == 0 ? ", weight: 1" : "");
		is(f, buf_str(&text));
		if (is_cut(f) != cases[i].cut)
			fail_msg("%s, %s", cases[i].distribution, cases[i].stop);
		buf_fini(&text);
		route_destroy(&f->route);
		topology_destroy(&f->now);
	}
}

/* --- rings of before --------------------------------------------------------------------------------------
 */

static size_t
goes_to(struct fixture *f, const char *key, const char *server, bool *old)
{
	size_t n = 0;

	route_key(f->route, span_of(key), SPAN_LIT(""), &f->answer);
	for (size_t i = 0; i < f->answer.n; i++) {
		if (strcmp(route_server_name(f->route, f->answer.hops[i].server), server) != 0)
			continue;
		*old = f->answer.hops[i].old;
		n++;
	}
	return n;
}

static const char *
owner(const struct cluster *c, const char *key)
{
	static char names[4][64];
	static int turn;
	struct ring_spec spec = ring_spec_of_cluster(c);
	struct err_detail why = {0};
	struct ring *ring;
	struct buf name = BUF_INIT;
	char *out = names[turn++ % 4];

	assert_int_equal(ring_create(&ring, &spec, &why), ERR_OK);
	ring_server_name(&c->servers[ring_route(ring, span_of(key))], &name);
	snprintf(out, sizeof(names[0]), "%s", buf_str(&name));
	buf_fini(&name);
	ring_destroy(&ring);
	return out;
}

static void
old_and_new_owners_get_deletes_until_the_old_ring_is_sealed(void **state)
{
	struct fixture *f = *state;
	size_t moved = 0;

	was(f, "    servers: [h:1, h:2, h:3]\n");
	is(f, "    servers: [h:1, h:2, h:4]\n");
	assert_int_equal(route_nservers(f->route), 4);
	assert_string_equal(route_server_name(f->route, 3), "h:3");
	assert_true(route_server_is_old(f->route, 3));
	assert_false(route_server_is_old(f->route, 2));
	assert_int_equal(route_nunsealed(f->route), 1);
	for (int i = 0; i < 300; i++) {
		char key[32];
		const char *now, *then;
		bool old = true;

		snprintf(key, sizeof(key), "key:%d", i);
		now = owner(&f->now->clusters[0], key);
		then = owner(&f->before[0]->clusters[0], key);
		assert_int_equal(goes_to(f, key, now, &old), 1);
		assert_false(old);
		assert_int_equal(goes_to(f, key, then, &old), 1);
		assert_int_equal(old, strcmp(now, then) != 0);
		assert_int_equal(f->answer.n, 1 + (strcmp(now, then) != 0));
		moved += strcmp(now, then) != 0;
	}
	assert_in_range(moved, 50, 250);
	/* Sealed: only the new ones. */
	f->nbefore = 0;
	route_destroy(&f->route);
	topology_destroy(&f->now);
	is(f, "    servers: [h:1, h:2, h:4]\n");
	assert_int_equal(route_nservers(f->route), 3);
	topology_destroy(&f->before[0]);
}

static void
a_pool_that_moved_gets_deletes_where_it_was(void **state)
{
	struct fixture *f = *state;

	was(f, "    servers: [d:1]\n"
	       "    pools: [{name: feeds, prefixes: ['feed:'], servers: [f:1]}]\n");
	was(f, "    namespace: 'old:'\n"
	       "    servers: [d:1]\n");
	is(f, "    servers: [d:1]\n"
	      "    pools:\n"
	      "      - {name: users, prefixes: ['user:'], action: stale, servers: [u:1]}\n");
	/* The latest before first; with its namespace it is another key of the same server. */
	assert_goes(f, "user:1", "", "users@u:1= default@d:1* default@d:1*");
	assert_true(span_is(f->answer.hops[2].prefix, "old:"));
	assert_goes(f, "feed:1", "", "default@d:1 feeds@f:1* default@d:1*");
	assert_goes(f, "x", "feeds", "default@d:1 feeds@f:1* default@d:1*");
	assert_true(f->answer.unknown_pool);
}

/* --- every algorithm --------------------------------------------------------------------------------------
 */

/* What squeal.yaml takes makes a ring, and every hash of every algorithm is a word of the setting. */
static void
every_distribution_with_every_hash_makes_a_route(void **state)
{
	struct fixture *f = *state;
	size_t n;
	const struct algorithm *all = algorithm_all(&n);

	for (size_t i = 0; i < n; i++) {
		struct span hashes = span_of(all[i].hashes[0] != '\0' ? all[i].hashes : "default");

		while (hashes.len > 0) {
			struct span hash = span_cut(&hashes, '|');
			struct buf text = BUF_INIT;

			buf_printf(&text, "    distribution: %s\n    hash: %.*s\n    servers:\n", all[i].name,
				   SPAN_FMT(hash));
			for (int s = 0; s < 3; s++)
				buf_printf(&text, "      - {host: h%d%s%s}\n", s,
					   all[i].weight != ALGORITHM_WEIGHT_NONE ? ", weight: 1" : "",
					   algorithm_takes(&all[i], 'N') ? s == 0   ? ", name: x"
									   : s == 1 ? ", name: y"
										    : ""
									 : "");
			is(f, buf_str(&text));
			route_key(f->route, SPAN_LIT("k"), SPAN_LIT(""), &f->answer);
			assert_int_equal(f->answer.n, 1);
			route_destroy(&f->route);
			topology_destroy(&f->now);
			buf_fini(&text);
		}
	}
}

/* Whatever is too long for a ring is refused with the file. */
static void
texts_that_squeal_yaml_takes_are_not_too_long_for_a_ring(void **state)
{
	static const struct {
		const char *head, *tail;
		size_t longest;
	} cases[] = {
	    {"{name: a, distribution: ch3, servers: [h:1], salt: ", "}", 512},
	    {"{name: a, distribution: rendezvous, servers: [{host: h, name: ", "}]}", 255},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t more = 0; more < 2; more++) {
			struct buf text = BUF_INIT;
			struct err_detail why = {0};
			struct topology *t = NULL;
			struct route *route;

			buf_printf(&text, "{log: {path: /l}, clusters: [%s", cases[i].head);
			for (size_t n = 0; n < cases[i].longest + more; n++)
				buf_putc(&text, 'x');
			buf_printf(&text, "%s]}", cases[i].tail);
			assert_int_equal(topology_parse(&t, buf_span(&text), "t", &why),
					 more ? ERR_CONFIG : ERR_OK);
			if (t != NULL) {
				assert_int_equal(route_create(&route, &t->clusters[0], NULL, 0, &why),
						 ERR_OK);
				route_destroy(&route);
			}
			topology_destroy(&t);
			buf_fini(&text);
		}
	}
}

static void
a_pool_that_says_less_than_its_cluster_passes_over_what_its_algorithm_does_not_take(void **state)
{
	is(*state, "    distribution: twemproxy_ketama\n"
		   "    hash: crc32a\n"
		   "    hash_tag: '{}'\n"
		   "    salt: s\n"
		   "    pools:\n"
		   "      - {name: a, servers: [a:1, a:2]}\n"
		   "      - {name: b, prefixes: [b], distribution: ch3, servers: [b:1, b:2]}\n");
	assert_goes(*state, "b", "", "b@b:2");
}

/* --- explaining -------------------------------------------------------------------------------------------
 */

static void
explain_says_where_and_why(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;
	struct json j;
	static const char *const lines[] = {
	    "key: /east/a/user:1|#|x\n",
	    "cluster: a\n",
	    "without routing prefix: user:1|#|x\n",
	    "\npool: users (prefix user:)\n",
	    "action: stale for 5s\n",
	    "hashed: user:1 (what stands before |#|)\n",
	    "sent as: n:user:1|#|x (the namespace is not hashed)\n",
	    "server: u:1\n",
	    "connect: 127.0.0.1:5\n",
	    "pool: spare (gutter of users)\n",
	    "server: g:1 (1 of 2, replicated)\n",
	    "not sealed: pool: default (takes what no other pool takes)\n",
	    "limit: 9 keys/s and server\n",
	    "deletes go to: u:1, g:1, g:2, d:1 (old owner)\n",
	};

	was(f, "    mcrouter_prefix: /east/a/\n"
	       "    servers: [d:1]\n");
	is(f, "    mcrouter_prefix: /east/a/\n"
	      "    limits: [{prefix: user, rate: 9}]\n"
	      "    pools:\n"
	      "      - name: users\n"
	      "        prefixes: ['user:']\n"
	      "        distribution: ch3\n"
	      "        action: stale\n"
	      "        stale_for: 5s\n"
	      "        namespace: 'n:'\n"
	      "        servers: [{host: u, port: 1, connect: '127.0.0.1:5'}]\n"
	      "      - {name: spare, role: gutter, kind: replicated, servers: [g:1, g:2]}\n");
	route_explain(f->route, SPAN_LIT("/east/a/user:1|#|x"), SPAN_LIT(""), &out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (strstr(buf_str(&out), lines[i]) == NULL)
			fail_msg("no \"%s\" in\n%s", lines[i], buf_str(&out));
	}
	buf_clear(&out);
	json_init(&j, &out);
	json_object(&j);
	route_explain_json(f->route, SPAN_LIT("/east/a/user:1|#|x"), SPAN_LIT(""), &j);
	json_object_end(&j);
	assert_non_null(strstr(buf_str(&out), "\"sent\":\"user:1|#|x\""));
	assert_non_null(strstr(buf_str(&out), "\"pool\":\"users\",\"reason\":\"prefix user:\""));
	assert_non_null(strstr(buf_str(&out),
			       "{\"server\":\"u:1\",\"address\":\"127.0.0.1:5\",\"pool\":\"users\","
			       "\"sent_as\":\"n:user:1|#|x\",\"action\":\"stale\",\"stale_ms\":5000,"
			       "\"holdoff_ms\":0,\"limit\":9,\"old_owner\":false,\"shadow\":false}"));
	assert_non_null(strstr(buf_str(&out), "\"server\":\"d:1\""));
	buf_clear(&out);
	route_explain(f->route, SPAN_LIT("/west/b/x"), SPAN_LIT(""), &out);
	assert_non_null(strstr(buf_str(&out), "deletes go to: none\n"));
	buf_fini(&out);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(the_longest_prefix_chooses_the_pool),
	    TEST(a_pool_that_the_transaction_names_comes_before_prefixes),
	    TEST(a_key_that_no_pool_takes_is_homeless),
	    TEST(a_replicated_pool_deletes_on_every_replica),
	    TEST(gutters_and_shadows_get_the_deletes_of_the_pools_that_they_stand_for),
	    TEST(a_server_in_several_pools_is_one_server_and_gets_one_delete),
	    TEST(the_stronger_action_counts_where_pools_meet),
	    TEST(a_pool_says_what_is_done_with_its_keys),
	    TEST(limits_are_found_by_the_longest_prefix),
	    TEST(an_answer_is_used_again),
	    TEST(a_routing_prefix_is_taken_off_where_it_means_this_cluster),
	    TEST(what_names_the_pool_may_be_a_routing_prefix),
	    TEST(without_mcrouter_a_slash_is_a_byte_like_any_other),
	    TEST(keys_are_hashed_up_to_the_hash_stop_where_mcrouter_does_or_it_is_asked_for),
	    TEST(old_and_new_owners_get_deletes_until_the_old_ring_is_sealed),
	    TEST(a_pool_that_moved_gets_deletes_where_it_was),
	    TEST(every_distribution_with_every_hash_makes_a_route),
	    TEST(texts_that_squeal_yaml_takes_are_not_too_long_for_a_ring),
	    TEST(a_pool_that_says_less_than_its_cluster_passes_over_what_its_algorithm_does_not_take),
	    TEST(explain_says_where_and_why),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
