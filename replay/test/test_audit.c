#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/core/buf.h"
#include "replay/audit.h"

enum { NSERVERS = 2, MAX_PENDING = 3 };

struct fixture {
	uint64_t end_ns; /* of what is taken */
	struct clock_fake clock;
	struct audit_options opt;
	struct audit *a;
	bool away[NSERVERS];
	size_t copies;			     /* of the keys that come next */
	struct audit_check *asked[NSERVERS]; /* the last one */
	size_t nasked;
	struct buf found; /* "stale k 0 1000;" */
};

static bool
ask(void *arg, size_t server, struct audit_check *c)
{
	struct fixture *f = arg;

	if (f->away[server])
		return false;
	f->asked[server] = c;
	f->nasked++;
	return true;
}

static void
found(void *arg, const struct audit_finding *what)
{
	struct fixture *f = arg;

	assert_true(span_is(what->gtid, "0-1-7"));
	assert_int_equal(what->offset, 12);
	buf_printf(&f->found, "%s %.*s %zu %llu;", what->misrouted ? "misrouted" : "stale",
		   SPAN_FMT(what->key), what->server, (unsigned long long)what->after_ms);
}

static int
setup(void **state)
{
	static const struct audit_ops ops = {.ask = ask, .found = found};
	struct fixture *f = calloc(1, sizeof(*f));

	clock_fake_init(&f->clock);
	clock_fake_advance_ms(&f->clock, 100000);
	f->opt = (struct audit_options){.sample = 1,
					.delays_ms = {1000, 10000},
					.ndelays = 2,
					.nservers = NSERVERS,
					.max_pending = MAX_PENDING};
	f->a = audit_create(&f->opt, &f->clock.clock, &ops, f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	audit_destroy(&f->a);
	buf_fini(&f->found);
	free(f);
	return 0;
}

/* A key whose stamps are `ago_ms` before now by our clock; negative: squeal's clock is ahead. */
static void
take(struct fixture *f, const char *key, int64_t ago_ms)
{
	uint64_t at_us = clock_real_us(&f->clock.clock) - (uint64_t)(ago_ms * 1000);
	struct audit_origin from = {SPAN_LIT("0-1-7"), 12, at_us, at_us + 5, f->end_ns, 0, f->copies};
	struct buf wire = BUF_INIT;

	buf_printf(&wire, "ns:%s", key);
	audit_key(f->a, &from, span_of(key), buf_span(&wire));
	buf_fini(&wire);
}

static void
pass(struct fixture *f, uint64_t ms)
{
	clock_fake_advance_ms(&f->clock, ms);
	audit_run(f->a);
}

static void
answer(struct fixture *f, size_t server, enum audit_answer what)
{
	struct audit_check *c = f->asked[server];

	assert_non_null(c);
	f->asked[server] = NULL;
	audit_answer(f->a, c, server, what, 5);
}

#define COUNT(f, delay, name) metric_get(&audit_check_metrics((f)->a, delay)->audit_##name)

static void
a_key_is_asked_for_on_every_server_after_each_delay(void **state)
{
	struct fixture *f = *state;

	take(f, "k", 0);
	pass(f, 999);
	assert_int_equal(f->nasked, 0);
	pass(f, 1);
	assert_int_equal(f->nasked, 2);
	assert_true(span_is(audit_check_key(f->asked[0]), "ns:k"));
	answer(f, 1, AUDIT_GONE);
	assert_int_equal(COUNT(f, 0, gone), 0);
	answer(f, 0, AUDIT_GONE);
	assert_int_equal(COUNT(f, 0, gone), 1);
	pass(f, 8999);
	assert_int_equal(f->nasked, 2);
	pass(f, 1);
	assert_int_equal(f->nasked, 4);
	answer(f, 0, AUDIT_GONE);
	answer(f, 1, AUDIT_REFILLED);
	assert_int_equal(COUNT(f, 1, refilled), 1);
	assert_int_equal(audit_pending(f->a), 0);
	pass(f, 100000);
	assert_int_equal(f->nasked, 4);
	assert_int_equal(f->found.len, 0);
}

static void
the_worst_answer_is_the_verdict_and_the_rows_add_up(void **state)
{
	static const enum audit_answer worse[] = {AUDIT_REFILLED, AUDIT_NEAR, AUDIT_UNASKED, AUDIT_UNKNOWN,
						  AUDIT_STALE};
	struct fixture *f = *state;

	for (size_t i = 0; i < 5; i++) {
		take(f, "k", 0);
		pass(f, 1000);
		answer(f, 0, worse[i]);
		answer(f, 1, AUDIT_GONE);
		pass(f, 9000);
		answer(f, 1, AUDIT_GONE);
		answer(f, 0, AUDIT_GONE);
	}
	assert_int_equal(COUNT(f, 0, asked), 5);
	assert_int_equal(COUNT(f, 0, gone), 0);
	assert_int_equal(COUNT(f, 0, refilled), 1);
	assert_int_equal(COUNT(f, 0, near), 1);
	assert_int_equal(COUNT(f, 0, unasked), 1);
	assert_int_equal(COUNT(f, 0, unknown), 1);
	assert_int_equal(COUNT(f, 0, stale), 1);
	assert_int_equal(COUNT(f, 1, gone), 5);
	assert_string_equal(buf_str(&f->found), "stale k 0 1000;");
}

static void
a_server_that_is_away_is_unasked_and_never_fine(void **state)
{
	struct fixture *f = *state;

	f->away[1] = true;
	take(f, "k", 0);
	pass(f, 1000);
	answer(f, 0, AUDIT_GONE);
	assert_int_equal(COUNT(f, 0, unasked), 1);
	f->away[0] = true;
	pass(f, 9000);
	assert_int_equal(COUNT(f, 1, unasked), 1);
	assert_int_equal(audit_pending(f->a), 0);
}

static void
two_servers_that_hold_a_key_are_both_named(void **state)
{
	struct fixture *f = *state;

	take(f, "k", 0);
	pass(f, 1000);
	answer(f, 1, AUDIT_STALE);
	answer(f, 0, AUDIT_REFILLED);
	assert_string_equal(buf_str(&f->found), "stale k 1 1000;misrouted k 1 1000;misrouted k 0 1000;");
	assert_int_equal(COUNT(f, 0, misrouted), 1);
	assert_int_equal(COUNT(f, 0, stale), 1);
}

static void
a_key_with_replicas_may_be_on_as_many_servers(void **state)
{
	struct fixture *f = *state;

	f->copies = 2;
	take(f, "k", 0);
	pass(f, 1000);
	answer(f, 0, AUDIT_REFILLED);
	answer(f, 1, AUDIT_REFILLED);
	assert_string_equal(buf_str(&f->found), "");
	assert_int_equal(COUNT(f, 0, misrouted), 0);
	assert_int_equal(COUNT(f, 0, refilled), 1);
}

static void
what_waits_is_bounded_and_what_is_dropped_is_counted(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < MAX_PENDING + 4; i++)
		take(f, "k", 0);
	assert_int_equal(audit_pending(f->a), MAX_PENDING);
	assert_int_equal(metric_get(&audit_metrics(f->a)->audit_dropped), 4);
	assert_int_equal(metric_get(&audit_metrics(f->a)->audit_sampled), MAX_PENDING + 4);
	f->away[0] = f->away[1] = true;
	pass(f, 1000);
	pass(f, 9000);
	assert_int_equal(audit_pending(f->a), 0);
	take(f, "k", 0);
	assert_int_equal(audit_pending(f->a), 1);
}

static uint64_t
from_ms(struct fixture *f)
{
	f->away[1] = true;
	pass(f, 1000);
	return audit_check_from_ns(f->asked[0]) / 1000000;
}

static uint64_t
now_ms(struct fixture *f)
{
	return clock_mono_ms(&f->clock.clock);
}

static void
the_commit_is_taken_to_be_a_second_before_its_stamp(void **state)
{
	struct fixture *f = *state;
	uint64_t now = now_ms(f);

	f->end_ns = (now - 10) * 1000000;
	take(f, "k", 300);
	assert_int_equal(from_ms(f), now - 300 - AUDIT_MARGIN_MS);
	assert_int_equal(audit_check_to_ns(f->asked[0]) / 1000000, now);
	answer(f, 0, AUDIT_GONE);
}

static void
a_clock_that_is_ahead_makes_no_commit_later_than_the_last_look_at_the_log(void **state)
{
	struct fixture *f = *state;
	uint64_t now = now_ms(f);

	f->end_ns = (now - 7000) * 1000000;
	take(f, "k", -3600000);
	assert_int_equal(from_ms(f), now - 7000);
	answer(f, 0, AUDIT_GONE);
}

static void
a_clock_that_is_behind_makes_the_commit_earlier_only(void **state)
{
	struct fixture *f = *state;
	uint64_t now = now_ms(f);

	f->end_ns = now * 1000000;
	take(f, "k", 50000);
	assert_int_equal(from_ms(f), now - 50000 - AUDIT_MARGIN_MS);
	answer(f, 0, AUDIT_GONE);
}

static void
before_the_log_has_been_read_to_its_end_nothing_is_before_a_commit(void **state)
{
	struct fixture *f = *state;

	take(f, "k", 0);
	assert_int_equal(from_ms(f), 0);
	answer(f, 0, AUDIT_GONE);
}

static void
one_key_in_so_many_is_taken_and_always_the_same_ones(void **state)
{
	struct fixture *f = *state;
	struct audit_options opt = f->opt;
	struct audit *a;
	char key[16];
	size_t n = 0;

	opt.sample = 10;
	opt.seed = 5;
	a = audit_create(&opt, &f->clock.clock, NULL, NULL);
	for (int i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "key:%d", i);
		n += audit_samples(a, span_of(key));
		assert_int_equal(audit_samples(a, span_of(key)), audit_samples(a, span_of(key)));
	}
	assert_in_range(n, 800, 1200);
	audit_destroy(&a);
}

static void
a_key_that_cannot_be_asked_for_is_counted(void **state)
{
	struct fixture *f = *state;
	struct audit_origin from = {SPAN_LIT("0-1-7"), 12, 1, 1, 0, 0, 0};

	audit_key(f->a, &from, SPAN_LIT("k"), (struct span){"", 0});
	assert_int_equal(metric_get(&audit_metrics(f->a)->audit_invalid), 1);
	assert_int_equal(audit_pending(f->a), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(a_key_is_asked_for_on_every_server_after_each_delay),
	    TEST(the_worst_answer_is_the_verdict_and_the_rows_add_up),
	    TEST(a_server_that_is_away_is_unasked_and_never_fine),
	    TEST(two_servers_that_hold_a_key_are_both_named),
	    TEST(a_key_with_replicas_may_be_on_as_many_servers),
	    TEST(what_waits_is_bounded_and_what_is_dropped_is_counted),
	    TEST(the_commit_is_taken_to_be_a_second_before_its_stamp),
	    TEST(a_clock_that_is_ahead_makes_no_commit_later_than_the_last_look_at_the_log),
	    TEST(a_clock_that_is_behind_makes_the_commit_earlier_only),
	    TEST(before_the_log_has_been_read_to_its_end_nothing_is_before_a_commit),
	    TEST(one_key_in_so_many_is_taken_and_always_the_same_ones),
	    TEST(a_key_that_cannot_be_asked_for_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
