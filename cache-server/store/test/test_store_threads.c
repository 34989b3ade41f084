#include <pthread.h>
#include <sched.h>

#include "cache-server/store/test/store_fixture.h"

/*
 * Several threads on a store that evicts, merges and grows all the time.  Each value says its key and a
 * number, and carries bytes that follow from them, so that any mixture would be seen.
 */

enum { THREADS = 4, KEYS = 4000, OPS = 60000 };

struct shared {
	struct quiesce *q;
	struct store *s;
	_Atomic bool stop;
	_Atomic uint64_t hits, wrong, missing;
	enum store_policy policy;
	unsigned ops;
};

struct worker {
	struct shared *x;
	unsigned number;
	pthread_t id;
};

static uint64_t
draw(uint64_t *r, uint64_t below)
{
	*r ^= *r << 13;
	*r ^= *r >> 7;
	*r ^= *r << 17;
	return (*r >> 11) % below;
}

static struct span
key_of(unsigned k, char *out)
{
	return span_make(out, (size_t)snprintf(out, 32, "key-%u", k));
}

/* The number of a value is told by its first 8 bytes' inverse: kept in the client's flags instead. */
static bool
is_right(struct store_thread *t, const struct store_view *v, unsigned k)
{
	uint64_t number = (uint64_t)k << 32 | item_client_flags(v->item, v->state);

	return fixture_is(t, v, number);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct shared *x = w->x;
	struct quiesce_thread *qt = quiesce_join(x->q);
	struct store_thread *t = store_join(x->s, qt);
	uint64_t r = (w->number + 1) * 0x9E3779B97F4A7C15ull;
	unsigned i, k;
	char text[32];
	struct span key;
	struct store_view v;

	quiesce_online(x->q, qt);
	for (i = 0; i < x->ops; i++) {
		k = (unsigned)(draw(&r, 2) ? draw(&r, KEYS) : draw(&r, 50));
		key = key_of(k, text);
		switch (draw(&r, 10)) {
		case 0 ... 2: {
			uint32_t number = 1 + (uint32_t)draw(&r, 1u << 30);
			struct store_draft d = {.key = key,
						.client_flags = number,
						.value_len = draw(&r, 300) ? draw(&r, 400) : draw(&r, 60000),
						.expiry = draw(&r, 4) ? 0 : 100 + (uint32_t)draw(&r, 100)};

			if (fixture_begin(x->s, t, &d, (uint64_t)k << 32 | number) != ERR_OK) {
				if (x->policy == STORE_EVICT)
					atomic_fetch_add(&x->wrong, 1);
				break;
			}
			store_lock(t, d.hash);
			store_commit(t, &d, 0);
			store_unlock(t, d.hash);
			break;
		}
		case 3:
			fixture_drop(x->s, t, key);
			break;
		case 4: {
			uint64_t h = store_hash(x->s, key);

			store_lock(t, h);
			if (store_find_locked(t, key, h, &v))
				store_mark(t, &v, ITEM_STALE, ITEM_TOKEN);
			store_unlock(t, h);
			break;
		}
		default:
			if (store_find(t, key, store_hash(x->s, key), &v)) {
				atomic_fetch_add_explicit(&x->hits, 1, memory_order_relaxed);
				if (!is_right(t, &v, k))
					atomic_fetch_add(&x->wrong, 1);
				store_accessed(t, &v);
			}
			break;
		}
		if (i % 8 == 0)
			quiesce_tick(x->q, qt);
		if (i % 1000 == 999) {
			quiesce_offline(qt);
			quiesce_online(x->q, qt);
		}
	}
	quiesce_offline(qt);
	store_leave(&t);
	quiesce_leave(x->q, &qt);
	return NULL;
}

static void *
upkeep(void *arg)
{
	struct shared *x = arg;
	struct quiesce_thread *qt = quiesce_join(x->q);
	uint32_t now = 100;

	while (!atomic_load(&x->stop)) {
		quiesce_online(x->q, qt);
		store_upkeep(x->s, qt);
		quiesce_offline(qt);
		if (now < 300)
			store_set_now(x->s, ++now);
		sched_yield();
	}
	quiesce_leave(x->q, &qt);
	return NULL;
}

static void
run(enum store_policy policy, uint64_t memory, bool with_upkeep)
{
	struct shared x = {.policy = policy, .ops = OPS};
	struct store_options opt = {.memory = memory,
				    .max_value = 1u << 20,
				    .threads = THREADS,
				    .policy = policy,
				    .seed = 1,
				    .now = 100};
	struct worker w[THREADS];
	pthread_t up;
	unsigned i;

	if (getenv("STORE_THREADS_OPS"))
		x.ops = (unsigned)strtoul(getenv("STORE_THREADS_OPS"), NULL, 10);
	assert_int_equal(quiesce_create(&x.q, NULL), ERR_OK);
	opt.quiesce = x.q;
	assert_int_equal(store_create(&x.s, &opt, NULL), ERR_OK);
	if (with_upkeep)
		assert_int_equal(pthread_create(&up, NULL, upkeep, &x), 0);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.x = &x, .number = i};
		assert_int_equal(pthread_create(&w[i].id, NULL, work, &w[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(w[i].id, NULL);
	atomic_store(&x.stop, true);
	if (with_upkeep)
		pthread_join(up, NULL);
	assert_int_equal(atomic_load(&x.wrong), 0);
	assert_true(atomic_load(&x.hits) > 1000);
	if (policy == STORE_EVICT)
		assert_true(metric_get(&store_metrics(x.s)->store_merges) > 10);
	else
		assert_int_equal(metric_get(&store_metrics(x.s)->store_evicted), 0);
	store_destroy(&x.s);
	quiesce_destroy(&x.q);
}

static void
no_thread_reads_a_mixture_while_others_write_and_evict(void **state)
{
	(void)state;
	run(STORE_EVICT, 16 * 65536, true);
}

static void
workers_make_room_for_themselves(void **state)
{
	(void)state;
	run(STORE_EVICT, 16 * 65536, false);
}

static void
a_store_that_refuses_compacts_while_it_is_used(void **state)
{
	(void)state;
	run(STORE_REFUSE, 16 * 65536, true);
}

/* A key that is set once and then only read is found at any moment, however often a merge moves it. */
struct finder {
	struct shared *x;
	pthread_t id;
};

static void *
find_all(void *arg)
{
	struct finder *f = arg;
	struct shared *x = f->x;
	struct quiesce_thread *qt = quiesce_join(x->q);
	struct store_thread *t = store_join(x->s, qt);
	unsigned k = 0;
	char text[32];
	struct store_view v;

	while (!atomic_load(&x->stop)) {
		struct span key = key_of(k++ % 1000, text);

		quiesce_online(x->q, qt);
		if (!store_find(t, key, store_hash(x->s, key), &v))
			atomic_fetch_add(&x->missing, 1);
		else if (!fixture_is(t, &v, (k - 1) % 1000))
			atomic_fetch_add(&x->wrong, 1);
		quiesce_offline(qt);
	}
	store_leave(&t);
	quiesce_leave(x->q, &qt);
	return NULL;
}

static void
what_is_there_is_found_while_it_moves(void **state)
{
	struct shared x = {.policy = STORE_REFUSE};
	struct store_options opt = {
	    .memory = 16 * 65536, .max_value = 1u << 20, .threads = 2, .policy = STORE_REFUSE, .now = 100};
	struct finder f = {.x = &x};
	struct quiesce_thread *qt;
	struct store_thread *t;
	unsigned i;
	char text[32];

	(void)state;
	assert_int_equal(quiesce_create(&x.q, NULL), ERR_OK);
	opt.quiesce = x.q;
	assert_int_equal(store_create(&x.s, &opt, NULL), ERR_OK);
	qt = quiesce_join(x.q);
	quiesce_online(x.q, qt);
	t = store_join(x.s, qt);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(fixture_put(x.s, t, key_of(i, text), i, i % 100 ? 300 : 40000, 0), ERR_OK);
		assert_int_equal(fixture_put(x.s, t, key_of(5000 + i % 500, text), i, 100, 0), ERR_OK);
	}
	assert_int_equal(pthread_create(&f.id, NULL, find_all, &f), 0);
	for (i = 0; i < 60000; i++) {
		/* Always the same few keys: their dead copies make segments worth a merge. */
		(void)fixture_put(x.s, t, key_of(5000 + i % 500, text), i, 100, 0);
		quiesce_tick(x.q, qt);
		if (i % 100 == 0)
			store_upkeep(x.s, qt);
	}
	atomic_store(&x.stop, true);
	quiesce_offline(qt);
	pthread_join(f.id, NULL);
	assert_true(metric_get(&store_metrics(x.s)->store_moved) > 1000);
	assert_int_equal(atomic_load(&x.missing), 0);
	assert_int_equal(atomic_load(&x.wrong), 0);
	store_leave(&t);
	quiesce_leave(x.q, &qt);
	store_destroy(&x.s);
	quiesce_destroy(&x.q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_thread_reads_a_mixture_while_others_write_and_evict),
	    cmocka_unit_test(workers_make_room_for_themselves),
	    cmocka_unit_test(a_store_that_refuses_compacts_while_it_is_used),
	    cmocka_unit_test(what_is_there_is_found_while_it_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
