#include "replay/plan/select.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/test/test.h"
#include "replay/plan/plan.h"

static const char config[] = "log: {path: /l}\n"
			     "clusters:\n"
			     "  - name: east\n"
			     "    servers: [\"10.0.0.1:11211\", \"10.0.0.2:11211\"]\n"
			     "  - name: west\n"
			     "    servers: [\"10.1.0.1:11211\"]\n";

/* Transactions of three keys each: a:N, b:N and "hot". */
struct made {
	struct tape tape;
	unsigned ntxns;
};

static err_t
run_made(struct tape *t, const struct tape_mark *from, const struct tape_sink *sink, struct err_detail *why)
{
	const struct made *m = (struct made *)t;

	(void)why;
	for (unsigned i = from != NULL ? (unsigned)from->at : 0; i < m->ntxns; i++) {
		char gtid[32];
		struct tape_txn txn = {.mark = {.file = SPAN_LIT("f"), .at = i}, .commit_us = 1000 + i};
		enum tape_answer answer;

		txn.gtid = span_make(gtid, (size_t)snprintf(gtid, sizeof(gtid), "0-1-%u", i));
		answer = sink->txn(sink->arg, &txn);
		if (answer == TAPE_STOP)
			return ERR_OK;
		for (unsigned k = 0; k < 3 && answer == TAPE_TAKE; k++) {
			char key[32];
			size_t n =
			    (size_t)snprintf(key, sizeof(key), k == 2 ? "hot" : "%c:%u", "ab"[k % 2], i);

			if (!sink->key(sink->arg, span_make(key, n)))
				return ERR_OK;
		}
	}
	return ERR_OK;
}

static void
destroy_made(struct tape *t)
{
	(void)t;
}

static const struct tape_ops ops = {.run = run_made, .destroy = destroy_made};

struct world {
	struct topology *topology;
	struct targets *targets;
	struct filter filter;
	struct made made;
	struct plan plan;
	/* what came out */
	char keys[4096];
	size_t deletes;
};

static bool
note(void *arg, struct span key, const struct targets_answer *to)
{
	struct world *w = arg;
	size_t used = strlen(w->keys);

	if (to->n > 0)
		snprintf(w->keys + used, sizeof(w->keys) - used, "%.*s ", SPAN_FMT(key));
	w->deletes += to->n;
	return plan_key(&w->plan, key, to);
}

static struct select *
run(struct world *w, size_t remember, const struct select_place *from, uint64_t until, err_t wanted)
{
	struct err_detail why = {0};
	struct select *s = select_create(&(struct select_options){
	    .filter = &w->filter,
	    .targets = w->targets,
	    .seed = 5,
	    .remember = remember,
	    .key = note,
	    .arg = w,
	    .from = from,
	    .until_keys = until,
	});

	w->keys[0] = '\0';
	w->deletes = 0;
	assert_int_equal(select_run(s, &w->made.tape, &why), wanted);
	return s;
}

static void
a_key_that_comes_again_is_sent_once_to_each_cluster(void **state)
{
	struct world *w = *state;
	struct select *s = run(w, 100, NULL, 0, ERR_OK);

	assert_string_equal(w->keys, "a:0 b:0 hot a:1 b:1 a:2 b:2 ");
	assert_int_equal(w->deletes, 14);
	assert_int_equal(select_keys(s), 9);
	assert_int_equal(select_sent_keys(s), 7);
	assert_int_equal(select_distinct(s), 7);
	assert_int_equal(select_first_us(s), 1000);
	assert_int_equal(select_last_us(s), 1002);
	plan_finish(&w->plan, s, &w->filter, w->targets, &w->made.tape);
	assert_int_equal(w->plan.deletes, 14);
	assert_int_equal(w->plan.by_server[0] + w->plan.by_server[1], 7);
	assert_int_equal(w->plan.by_server[2], 7);
	assert_int_equal(plan_reads(&w->plan, 50), 7);
	assert_int_equal(plan_seconds(&w->plan, 5), 3);
	select_destroy(&s);
	s = run(w, 0, NULL, 0, ERR_OK);
	assert_int_equal(w->deletes, 18);
	select_destroy(&s);
}

static void
a_run_goes_on_behind_every_place_where_another_one_ended(void **state)
{
	struct world *w = *state;

	for (uint64_t n = 1; n < 9; n++) {
		struct select *first = run(w, 0, NULL, n, ERR_OK), *second;
		char all[2 * sizeof(w->keys)], before[sizeof(w->keys)];

		assert_int_equal(select_place(first)->keys, n);
		memcpy(before, w->keys, sizeof(before));
		second = run(w, 0, select_place(first), 0, ERR_OK);
		snprintf(all, sizeof(all), "%s%s", before, w->keys);
		assert_string_equal(all, "a:0 b:0 hot a:1 b:1 hot a:2 b:2 hot ");
		assert_int_equal(select_place(second)->keys, 9);
		select_destroy(&first);
		select_destroy(&second);
	}
}

static void
another_transaction_at_the_place_is_refused(void **state)
{
	struct world *w = *state;
	struct select_place from = {
	    .mark = {.file = SPAN_LIT("f"), .at = 1}, .gtid = SPAN_LIT("0-2-9"), .keys_in = 1};
	struct select *s = run(w, 0, &from, 0, ERR_NOT_FOUND);

	assert_string_equal(w->keys, "");
	select_destroy(&s);
}

static void
filtered_keys_do_not_move_the_places(void **state)
{
	struct world *w = *state;
	struct err_detail why = {0};
	struct select *s, *t;

	assert_int_equal(patterns_add(&w->filter.keys, PATTERN_GLOB, "b:*", &why), ERR_OK);
	s = run(w, 0, NULL, 2, ERR_OK);
	assert_string_equal(w->keys, "b:0 b:1 ");
	assert_int_equal(select_place(s)->mark.at, 1);
	assert_int_equal(select_place(s)->keys_in, 2);
	t = run(w, 0, select_place(s), 0, ERR_OK);
	assert_string_equal(w->keys, "b:2 ");
	select_destroy(&s);
	select_destroy(&t);
}

static void
only_chosen_clusters_and_servers_get_deletes(void **state)
{
	struct world *w = *state;
	struct err_detail why = {0};
	char *servers[] = {(char *)"10.1.0.1:11211"}, *none[] = {(char *)"north"};
	struct select *s;

	targets_destroy(&w->targets);
	assert_int_equal(targets_create(&w->targets, w->topology,
					&(struct targets_options){.servers = servers, .nservers = 1}, &why),
			 ERR_OK);
	s = run(w, 0, NULL, 0, ERR_OK);
	assert_int_equal(w->deletes, 9);
	assert_int_equal(targets_elsewhere(w->targets), 9);
	select_destroy(&s);
	targets_destroy(&w->targets);
	assert_int_equal(targets_create(&w->targets, w->topology,
					&(struct targets_options){.clusters = none, .nclusters = 1}, &why),
			 ERR_USAGE);
	assert_non_null(strstr(why.text, "east west"));
}

static int
make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err_detail why = {0};

	w->made = (struct made){.tape = {.ops = &ops, .unit = "things", .noun = "thing"}, .ntxns = 3};
	if (topology_parse(&w->topology, span_of(config), "test.yaml", &why) != ERR_OK ||
	    targets_create(&w->targets, w->topology, &(struct targets_options){0}, &why) != ERR_OK)
		fail_msg("%s", why.text);
	plan_init(&w->plan, w->targets);
	*state = w;
	return 0;
}

static int
clean(void **state)
{
	struct world *w = *state;

	plan_fini(&w->plan);
	filter_fini(&w->filter);
	targets_destroy(&w->targets);
	topology_destroy(&w->topology);
	free(w);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_key_that_comes_again_is_sent_once_to_each_cluster, make, clean),
	    cmocka_unit_test_setup_teardown(a_run_goes_on_behind_every_place_where_another_one_ended, make,
					    clean),
	    cmocka_unit_test_setup_teardown(another_transaction_at_the_place_is_refused, make, clean),
	    cmocka_unit_test_setup_teardown(filtered_keys_do_not_move_the_places, make, clean),
	    cmocka_unit_test_setup_teardown(only_chosen_clusters_and_servers_get_deletes, make, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
