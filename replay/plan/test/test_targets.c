#include "replay/plan/targets.h"

#include "lib/core/test/test.h"

static const char config[] =
    "log: {path: /l}\n"
    "clusters:\n"
    "  - name: east\n"
    "    mode: cold\n"
    "    cold_holdoff: 3s\n"
    "    limits: [{prefix: 'slow:', rate: 7}]\n"
    "    pools:\n"
    "      - {name: main, servers: [\"10.0.0.1:11211\"]}\n"
    "      - {name: both, prefixes: ['two:'], kind: replicated, servers: [\"10.0.0.2:11211\", "
    "\"10.0.0.3:11211\"]}\n"
    "  - name: west\n"
    "    servers: [\"10.1.0.1:11211\"]\n";

static struct targets *
make(const struct targets_options *opt, struct topology **topology)
{
	struct err_detail why = {0};
	struct targets *t = NULL;

	if (topology_parse(topology, span_of(config), "test.yaml", &why) != ERR_OK ||
	    targets_create(&t, *topology, opt, &why) != ERR_OK)
		fail_msg("%s", why.text);
	return t;
}

static void
a_replicated_pool_gets_a_delete_on_each_server(void **state)
{
	struct topology *topology;
	struct targets *t = make(&(struct targets_options){0}, &topology);
	struct targets_answer to = {0};

	(void)state;
	assert_int_equal(targets_nservers(t), 4);
	targets_route(t, SPAN_LIT("two:1"), SPAN_LIT(""), 0, &to);
	assert_int_equal(to.n, 3);
	assert_string_equal(targets_server_name(t, to.hops[0].server), "10.0.0.2:11211");
	assert_string_equal(targets_server_name(t, to.hops[1].server), "10.0.0.3:11211");
	assert_int_equal(targets_server_cluster(t, to.hops[2].server), 1);
	targets_route(t, SPAN_LIT("slow:1"), SPAN_LIT(""), 0, &to);
	assert_int_equal(to.n, 2);
	assert_int_equal(to.hops[0].key.limit, 1);
	targets_answer_fini(&to);
	targets_destroy(&t);
	topology_destroy(&topology);
}

static void
the_longest_hold_off_counts_and_a_cold_cluster_has_one(void **state)
{
	struct topology *topology;
	struct targets *t = make(&(struct targets_options){.holdoff_ms = 1000}, &topology);
	struct targets_answer to = {0};

	(void)state;
	targets_route(t, SPAN_LIT("a"), SPAN_LIT(""), 0, &to);
	assert_int_equal(to.hops[0].key.holdoff_ms, 3000);
	assert_int_equal(to.hops[1].key.holdoff_ms, 1000);
	targets_route(t, SPAN_LIT("a"), SPAN_LIT(""), 5000, &to);
	assert_int_equal(to.hops[0].key.holdoff_ms, 5000);
	assert_int_equal(to.hops[1].key.holdoff_ms, 5000);
	targets_answer_fini(&to);
	targets_destroy(&t);
	topology_destroy(&topology);
}

static void
stale_takes_the_place_of_what_the_pool_says(void **state)
{
	struct topology *topology;
	struct targets *t = make(&(struct targets_options){.stale_ms = 9000}, &topology);
	struct targets_answer to = {0};

	(void)state;
	targets_route(t, SPAN_LIT("a"), SPAN_LIT(""), 0, &to);
	assert_int_equal(to.hops[0].key.action, OUTBOX_STALE);
	assert_int_equal(to.hops[0].key.stale_ms, 9000);
	targets_answer_fini(&to);
	targets_destroy(&t);
	topology_destroy(&topology);
}

static void
what_is_chosen_and_what_is_done_is_in_the_text_of_the_plan(void **state)
{
	char *pools[] = {(char *)"both"};
	const struct targets_options options[] = {
	    {0}, {.stale_ms = 1}, {.holdoff_ms = 1}, {.pools = pools, .npools = 1}};
	struct buf texts[4] = {BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct topology *topology;
		struct targets *t = make(&options[i], &topology);

		targets_print(t, &texts[i]);
		for (size_t k = 0; k < i; k++)
			assert_false(span_eq(buf_span(&texts[i]), buf_span(&texts[k])));
		targets_destroy(&t);
		topology_destroy(&topology);
	}
	for (size_t i = 0; i < 4; i++)
		buf_fini(&texts[i]);
}

/* A ring of before gives its owners hops, which count as former; it is in the text of the plan. */
static void
owners_by_a_ring_of_before_get_the_deletes_as_well(void **state)
{
	static const char former[] = "log: {path: /l}\n"
				     "clusters:\n"
				     "  - {name: west, servers: [\"10.9.0.1:11211\"]}\n";
	struct topology *topology, *before;
	struct err_detail why = {0};
	struct targets_now now[2] = {{.cold = false}, {.cold = true}};
	const struct cluster *west;
	struct targets *t, *plain = make(&(struct targets_options){0}, &topology);
	struct targets_answer to = {0};
	struct buf text = BUF_INIT, without = BUF_INIT;

	(void)state;
	targets_print(plain, &without);
	targets_destroy(&plain);
	topology_destroy(&topology);
	assert_int_equal(topology_parse(&before, span_of(former), "former.yaml", &why), ERR_OK);
	west = &before->clusters[0];
	now[1].before = &west;
	now[1].nbefore = 1;
	t = make(&(struct targets_options){.now = now}, &topology);
	targets_route(t, SPAN_LIT("a"), SPAN_LIT(""), 0, &to);
	assert_int_equal(to.n, 3);
	/* squeal.yaml says that east is cold, its router that it is not; of west the other way round. */
	assert_int_equal(to.hops[0].key.holdoff_ms, 0);
	assert_string_equal(targets_server_name(t, to.hops[1].server), "10.1.0.1:11211");
	assert_false(to.hops[1].former);
	assert_string_equal(targets_server_name(t, to.hops[2].server), "10.9.0.1:11211");
	assert_true(to.hops[2].former);
	assert_int_equal(to.hops[2].key.holdoff_ms, 2000);
	assert_true(targets_server_is_old(t, to.hops[2].server));
	assert_false(targets_server_is_old(t, to.hops[1].server));
	targets_print(t, &text);
	assert_false(span_eq(buf_span(&text), buf_span(&without)));
	targets_answer_fini(&to);
	targets_destroy(&t);
	topology_destroy(&topology);
	topology_destroy(&before);
	buf_fini(&text);
	buf_fini(&without);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_replicated_pool_gets_a_delete_on_each_server),
	    cmocka_unit_test(the_longest_hold_off_counts_and_a_cold_cluster_has_one),
	    cmocka_unit_test(stale_takes_the_place_of_what_the_pool_says),
	    cmocka_unit_test(owners_by_a_ring_of_before_get_the_deletes_as_well),
	    cmocka_unit_test(what_is_chosen_and_what_is_done_is_in_the_text_of_the_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
