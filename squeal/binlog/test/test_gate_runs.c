#include "lib/core/test/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "squeal/binlog/gate_runs.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "55778904-0299-11f1-b1b8-4ef0c4956feb"

static const struct gtid none = {0};

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct gate_runs));
	return 0;
}

static int
teardown(void **state)
{
	gate_runs_fini(*state);
	free(*state);
	return 0;
}

static void
add(struct gate_runs *r, uint64_t ticket, const char *text)
{
	struct err_detail why = {0};
	struct gtid g;

	assert_int_equal(gtid_parse(span_of(text), &g, &why), ERR_OK);
	gate_runs_add(r, ticket, &g, 0);
}

static void
assert_wanted(const struct gate_runs *r, uint64_t ticket, const char *want)
{
	struct gtid_set set = {0};
	struct buf text = BUF_INIT;

	gate_runs_wanted(r, ticket, &set);
	gtid_set_format(&set, &text);
	assert_string_equal(buf_str(&text), want);
	gtid_set_fini(&set);
	buf_fini(&text);
}

static uint64_t
held_until(const struct gate_runs *r, uint64_t ticket)
{
	struct gtid_set set = {0};
	uint64_t until = gate_runs_wanted(r, ticket, &set);

	gtid_set_fini(&set);
	return until;
}

static void
what_comes_before_a_transaction_is_wanted_with_it(void **state)
{
	struct gate_runs *r = *state;

	add(r, 1, A ":5");
	add(r, 2, A ":6");
	add(r, 3, B ":1");
	add(r, 4, A ":8");
	add(r, 5, A ":tag:9");
	assert_int_equal(r->n, 4);
	assert_wanted(r, 0, "");
	assert_wanted(r, 1, A ":5");
	assert_wanted(r, 2, A ":5-6");
	assert_wanted(r, 3, A ":5-6," B ":1");
	assert_wanted(r, 4, A ":5-6:8," B ":1");
	assert_wanted(r, 5, A ":5-6:8:tag:9," B ":1");
	assert_int_equal(held_until(r, 5), 0);
}

static void
what_is_visible_is_not_wanted_again(void **state)
{
	struct gate_runs *r = *state;

	for (uint64_t i = 1; i <= 10; i++) {
		char text[60];

		snprintf(text, sizeof(text), A ":%u", (unsigned)i + 100);
		add(r, i, text);
	}
	assert_int_equal(r->n, 1);
	gate_runs_drop(r, 4);
	assert_wanted(r, 4, "");
	assert_wanted(r, 6, A ":105-106");
	gate_runs_drop(r, 10);
	assert_int_equal(r->n, 0);
	add(r, 11, A ":111");
	assert_wanted(r, 11, A ":111");
}

/* A run must not go on over a transaction of another stream, whose ticket is much higher. */
static void
the_same_numbers_of_another_stream_are_another_run(void **state)
{
	struct gate_runs *r = *state;

	add(r, 1, A ":1");
	add(r, 1 + (UINT64_C(1) << 40), A ":2");
	assert_int_equal(r->n, 2);
	assert_wanted(r, 2, A ":1");
}

static void
more_runs_than_there_is_room_for_are_kept_as_a_set(void **state)
{
	struct gate_runs *r = *state;
	const unsigned many = GATE_RUNS + 100;
	struct gtid_set set = {0};
	char text[60];

	for (unsigned i = 1; i <= many; i++) {
		snprintf(text, sizeof(text), "%s:%u", i % 2 != 0 ? A : B, i);
		add(r, i, text);
	}
	assert_int_equal(r->n, GATE_RUNS);
	/* None before a transaction is left out, whatever more comes with it. */
	for (unsigned i = 1; i <= many; i += 37) {
		gate_runs_wanted(r, i, &set);
		assert_true(gtid_set_count(&set) >= i);
		assert_true(gtid_set_count(&set) <= (i > 100 ? i : 100));
	}
	gate_runs_drop(r, 50);
	gate_runs_wanted(r, many, &set);
	assert_int_equal(gtid_set_count(&set), many);
	gate_runs_drop(r, 100);
	gate_runs_wanted(r, many, &set);
	assert_int_equal(gtid_set_count(&set), GATE_RUNS);
	gate_runs_drop(r, many);
	gate_runs_wanted(r, many, &set);
	assert_int_equal(gtid_set_count(&set), 0);
	gtid_set_fini(&set);
}

static void
transactions_without_ids_are_held_from_when_they_were_read(void **state)
{
	struct gate_runs *r = *state;

	gate_runs_add(r, 1, &none, 1000);
	gate_runs_add(r, 2, &none, 1000 + GATE_GRAIN_MS);
	gate_runs_add(r, 3, &none, 1000 + GATE_GRAIN_MS + 1);
	assert_int_equal(r->n, 2);
	assert_true(held_until(r, 1) >= 1000 + GATE_HOLD_MS);
	assert_true(held_until(r, 2) >= 1000 + GATE_GRAIN_MS + GATE_HOLD_MS);
	assert_true(held_until(r, 2) <= 1000 + GATE_GRAIN_MS + GATE_HOLD_MS);
	assert_true(held_until(r, 3) >= 1000 + GATE_GRAIN_MS + 1 + GATE_HOLD_MS);
	gate_runs_drop(r, 3);
	assert_int_equal(held_until(r, 3), 0);
}

static void
one_with_an_id_waits_for_those_without_before_it(void **state)
{
	struct gate_runs *r = *state;

	add(r, 1, A ":1");
	gate_runs_add(r, 2, &none, 1000);
	add(r, 3, A ":2");
	assert_int_equal(held_until(r, 1), 0);
	assert_true(held_until(r, 3) >= 1000 + GATE_HOLD_MS);
	assert_wanted(r, 3, A ":1-2");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(what_comes_before_a_transaction_is_wanted_with_it),
	    T(what_is_visible_is_not_wanted_again),
	    T(the_same_numbers_of_another_stream_are_another_run),
	    T(more_runs_than_there_is_room_for_are_kept_as_a_set),
	    T(transactions_without_ids_are_held_from_when_they_were_read),
	    T(one_with_an_id_waits_for_those_without_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
