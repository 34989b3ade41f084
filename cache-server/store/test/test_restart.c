#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache-server/store/inside.h"
#include "cache-server/store/restart.h"

struct fixture {
	char dir[64], path[96];
	uint64_t memory;
	struct mapping *m;
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct store *s;
	struct store_thread *t;
};

static void
start(struct fixture *f)
{
	struct mapping_options mo = {.path = f->path,
				     .memory = f->memory,
				     .segment_size = 1 << 16,
				     .guard_bytes = 4096,
				     .clock = clock_system()};
	struct store_options so = {.memory = f->memory, .max_value = 1 << 20, .threads = 2, .seed = 9};
	struct err_detail why = {0};

	assert_int_equal(quiesce_create(&f->q, &why), ERR_OK);
	f->qt = quiesce_join(f->q);
	quiesce_online(f->q, f->qt);
	assert_int_equal(mapping_open(&f->m, &mo, &why), ERR_OK);
	so.mapping = f->m;
	so.quiesce = f->q;
	so.now = mapping_now(f->m);
	assert_int_equal(store_create(&f->s, &so, &why), ERR_OK);
	f->t = store_join(f->s, f->qt);
	assert_non_null(f->t);
}

static void
stop(struct fixture *f, bool clean)
{
	if (!f->s)
		return;
	store_leave(&f->t);
	if (clean)
		store_close(&f->s);
	else
		store_destroy(&f->s);
	assert_int_equal(mapping_close(&f->m, clean, NULL), ERR_OK);
	quiesce_leave(f->q, &f->qt);
	quiesce_destroy(&f->q);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	strcpy(f->dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/squeal-restart-XXXXXX"
						     : "/tmp/squeal-restart-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	sprintf(f->path, "%s/memory", f->dir);
	f->memory = 4 << 20;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	stop(f, true);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* --- values that tell their key, version and damage -------------------------------------------------------
 */

static size_t
length_of(uint32_t version)
{
	return version % 16 == 7 ? 50000 + version % 7 : version % 300;
}

static bool
write_value(struct store_thread *t, struct store_draft *d, uint32_t key, uint32_t version)
{
	uint64_t at = 0;
	size_t n;
	char *where;

	d->value_len = 8 + length_of(version);
	if (store_begin(t, d) != ERR_OK)
		return false;
	while ((n = store_draft_room(t, d, at, &where)) != 0)
		for (size_t i = 0; i < n; i++, at++)
			where[i] = at < 4   ? (char)(version >> 8 * at)
				   : at < 8 ? (char)(key >> 8 * (at - 4))
					    : (char)(version * 31 + at);
	return true;
}

static struct span
key_text(char *text, uint32_t key)
{
	return span_make(text, (size_t)sprintf(text, "key-%u", key));
}

static bool
set(struct store *s, struct store_thread *t, uint32_t key, uint32_t version, uint64_t *cas)
{
	char text[32];
	struct store_draft d = {.key = key_text(text, key)};

	d.hash = store_hash(s, d.key);
	if (!write_value(t, &d, key, version))
		return false;
	store_lock(t, d.hash);
	uint64_t got = store_commit(t, &d, 0);
	store_unlock(t, d.hash);
	if (cas)
		*cas = got;
	return true;
}

static bool
remove_key(struct store *s, struct store_thread *t, uint32_t key)
{
	char text[32];
	struct span k = key_text(text, key);
	uint64_t hash = store_hash(s, k);
	struct store_view v;
	bool was;

	store_lock(t, hash);
	was = store_find_locked(t, k, hash, &v);
	if (was)
		store_remove(t, &v);
	store_unlock(t, hash);
	return was;
}

/* 0: absent; else the version.  A value that is not whole fails. */
static uint32_t
version_of(struct fixture *f, uint32_t key)
{
	char text[32];
	struct span k = key_text(text, key), part;
	struct store_view v;
	uint32_t version = 0, owner = 0;
	uint64_t at = 0;

	if (!store_find(f->t, k, store_hash(f->s, k), &v))
		return 0;
	while ((part = store_view_part(f->t, &v, at)).len != 0)
		for (size_t i = 0; i < part.len; i++, at++) {
			uint8_t c = (uint8_t)part.p[i];

			if (at < 4)
				version |= (uint32_t)c << 8 * at;
			else if (at < 8)
				owner |= (uint32_t)c << 8 * (at - 4);
			else if (c != (uint8_t)(version * 31 + at))
				fail_msg("torn value of key %u", key);
		}
	assert_int_equal(at, 8 + length_of(version));
	assert_int_equal(owner, key);
	return version;
}

static struct restart_figures
figures(struct fixture *f)
{
	struct restart_figures r;

	assert_true(restart_figures(f->s, &r));
	return r;
}

/* --- sentences ---------------------------------------------------------------------------------------------
 */

static void
a_clean_restart_brings_everything_back_but_unproven(void **state)
{
	struct fixture *f = *state;
	struct store_view v;
	char text[32];

	start(f);
	for (uint32_t k = 1; k <= 500; k++)
		assert_true(set(f->s, f->t, k, k, NULL));
	for (uint32_t k = 1; k <= 500; k += 10)
		assert_true(set(f->s, f->t, k, k + 1000, NULL));
	for (uint32_t k = 2; k <= 500; k += 10)
		assert_true(remove_key(f->s, f->t, k));
	for (int round = 0; round < 3; round++) {
		stop(f, true);
		start(f);
		assert_int_equal(figures(f).state, MAPPING_CLEAN);
		assert_int_equal(figures(f).dropped, 0);
		assert_int_equal(figures(f).replaced, 0);
		assert_int_equal(figures(f).items, 450);
		assert_int_equal(metric_get(&store_metrics(f->s)->store_warm_items), 450);
		for (uint32_t k = 1; k <= 500; k++)
			assert_int_equal(version_of(f, k), k % 10 == 1 ? k + 1000 : k % 10 == 2 ? 0 : k);
	}
	assert_true(store_find(f->t, key_text(text, 3), store_hash(f->s, key_text(text, 3)), &v));
	assert_true(v.unproven);
	assert_false(store_is_caught_up(f->s));
	assert_true(set(f->s, f->t, 4, 4, NULL));
	assert_true(store_find(f->t, key_text(text, 4), store_hash(f->s, key_text(text, 4)), &v));
	assert_false(v.unproven);
	store_caught_up(f->s);
	assert_true(store_find(f->t, key_text(text, 3), store_hash(f->s, key_text(text, 3)), &v));
	assert_false(v.unproven);
}

static void
what_a_restore_left_to_be_delivered_is_remembered(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_true(set(f->s, f->t, 1, 1, NULL));
	store_owe(f->s, 1000);
	for (int clean = 0; clean < 2; clean++) {
		stop(f, clean);
		start(f);
		assert_int_equal(store_owed(f->s), 1000);
		store_caught_up(f->s);
		assert_false(store_is_caught_up(f->s));
	}
	assert_int_equal(store_caught_up_since(f->s, 1000, NULL), ERR_OK);
	stop(f, true);
	start(f);
	assert_int_equal(store_owed(f->s), 0);
	store_caught_up(f->s);
	assert_true(store_is_caught_up(f->s));
}

static void
with_several_parts_all_of_them_must_have_caught_up_since_the_start(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_true(set(f->s, f->t, 1, 1, NULL));
	stop(f, true);
	start(f);
	assert_int_equal(store_part_caught_up(f->s, 0, 3, UINT64_MAX, NULL), ERR_OK);
	assert_int_equal(store_part_caught_up(f->s, 2, 3, UINT64_MAX, NULL), ERR_OK);
	assert_int_equal(store_part_caught_up(f->s, 2, 3, UINT64_MAX, NULL), ERR_OK);
	assert_false(store_is_caught_up(f->s));
	/* What they said to the process before does not count. */
	stop(f, true);
	start(f);
	assert_int_equal(store_part_caught_up(f->s, 1, 3, UINT64_MAX, NULL), ERR_OK);
	assert_false(store_is_caught_up(f->s));
	/* And neither what was said of other parts. */
	assert_int_equal(store_part_caught_up(f->s, 0, 2, UINT64_MAX, NULL), ERR_OK);
	assert_false(store_is_caught_up(f->s));
	assert_int_equal(store_part_caught_up(f->s, 2, 2, UINT64_MAX, NULL), ERR_USAGE);
	assert_int_equal(store_part_caught_up(f->s, 0, STORE_PARTS_MAX + 1, UINT64_MAX, NULL), ERR_USAGE);
	assert_int_equal(store_part_caught_up(f->s, 1, 2, UINT64_MAX, NULL), ERR_OK);
	assert_true(store_is_caught_up(f->s));
}

static void
what_a_restore_owes_is_settled_when_all_parts_have_gone_back_far_enough(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_true(set(f->s, f->t, 1, 1, NULL));
	store_owe(f->s, 1000);
	stop(f, true);
	start(f);
	/* Without a time they settle nothing. */
	assert_int_equal(store_part_caught_up(f->s, 0, 2, UINT64_MAX, NULL), ERR_OK);
	assert_int_equal(store_part_caught_up(f->s, 1, 2, UINT64_MAX, NULL), ERR_OK);
	assert_false(store_is_caught_up(f->s));
	assert_int_equal(store_part_caught_up(f->s, 0, 2, 900, NULL), ERR_OK);
	assert_int_equal(store_part_caught_up(f->s, 1, 2, 1001, NULL), ERR_GAP);
	assert_int_equal(store_owed(f->s), 1000);
	assert_false(store_is_caught_up(f->s));
	assert_int_equal(store_part_caught_up(f->s, 1, 2, 1000, NULL), ERR_OK);
	assert_int_equal(store_owed(f->s), 0);
	assert_true(store_is_caught_up(f->s));
}

static void
flags_expiry_epoch_and_chosen_cas_come_back(void **state)
{
	struct fixture *f = *state;
	struct store_draft d = {.key = span_of("all"), .value_len = 0, .client_flags = 77, .cas = 1ull << 60};
	struct store_view v;

	start(f);
	d.hash = store_hash(f->s, d.key);
	d.expiry = store_now(f->s) + 1000;
	d.epoch = (struct item_epoch){5, 6, 7};
	assert_int_equal(store_begin(f->t, &d), ERR_OK);
	store_lock(f->t, d.hash);
	store_commit(f->t, &d, ITEM_STALE);
	store_unlock(f->t, d.hash);
	stop(f, true);
	start(f);
	assert_true(store_find(f->t, d.key, d.hash, &v));
	assert_int_equal(v.expiry, d.expiry);
	assert_int_equal(item_client_flags(v.item, v.state), 77);
	assert_int_equal(item_cas(v.item, v.state), 1ull << 60);
	assert_int_equal(item_epoch(v.item, v.state).count, 5);
	assert_true(v.state & ITEM_STALE);
}

static void
what_was_flushed_does_not_come_back(void **state)
{
	struct fixture *f = *state;

	start(f);
	for (uint32_t k = 1; k <= 100; k++)
		assert_true(set(f->s, f->t, k, k, NULL));
	store_flush(f->s);
	assert_true(set(f->s, f->t, 5, 6, NULL));
	stop(f, false);
	start(f);
	assert_int_equal(figures(f).state, MAPPING_CRASHED);
	for (uint32_t k = 1; k <= 100; k++)
		assert_int_equal(version_of(f, k), k == 5 ? 6 : 0);
}

static void
a_segment_with_a_flipped_bit_is_dropped_and_counted(void **state)
{
	struct fixture *f = *state;
	struct segment_pool p;
	uint32_t at = 0, id = 0, lost = 0, kept = 0, n;

	start(f);
	for (uint32_t k = 1; k <= 2000; k++)
		assert_true(set(f->s, f->t, k, k % 16 == 7 ? 1 : k, NULL));
	p = f->s->pool;
	for (id = 1; segment_state(&p.heads[id]) != SEGMENT_CLOSED; id++)
		;
	n = segment_live_items(segment_live(&p.heads[id]));
	assert_true(n > 10);
	for (unsigned i = 0; i < n / 2; i++)
		assert_non_null(segment_walk(&p, id, &at));
	((struct item *)(segment_bytes(&p, id) + at))->body[3] ^= 4;
	stop(f, false);
	start(f);
	for (uint32_t k = 1; k <= 2000; k++)
		version_of(f, k) ? kept++ : lost++;
	assert_int_equal(lost, n);
	assert_int_equal(figures(f).bad_segments, 1);
	assert_int_equal(figures(f).dropped, n);
	assert_int_equal(metric_get(&store_metrics(f->s)->store_dropped_at_start), n);
	assert_int_equal(figures(f).items, kept);
}

static void
of_two_of_one_key_the_newer_one_stays_also_when_it_has_expired(void **state)
{
	struct fixture *f = *state;
	const struct item *old[2];
	struct store_view v;
	char text[32];

	start(f);
	for (uint32_t k = 1; k <= 2; k++) {
		assert_true(set(f->s, f->t, k, 100, NULL));
		assert_true(store_find(f->t, key_text(text, k), store_hash(f->s, key_text(text, k)), &v));
		old[k - 1] = v.item;
	}
	assert_true(set(f->s, f->t, 1, 101, NULL));
	struct store_draft d = {.key = key_text(text, 2), .expiry = 1};
	d.hash = store_hash(f->s, d.key);
	assert_true(write_value(f->t, &d, 2, 101));
	store_lock(f->t, d.hash);
	store_commit(f->t, &d, 0);
	store_unlock(f->t, d.hash);
	/* As if killed right before their end was noted. */
	for (unsigned i = 0; i < 2; i++)
		atomic_fetch_and((_Atomic uint64_t *)&old[i]->state, ~ITEM_DEAD);
	stop(f, false);
	start(f);
	assert_int_equal(version_of(f, 1), 101);
	assert_int_equal(version_of(f, 2), 0);
	assert_int_equal(figures(f).replaced, 2);
	assert_int_equal(figures(f).expired, 1);
	stop(f, false);
	start(f);
	assert_int_equal(figures(f).replaced, 0);
	assert_int_equal(version_of(f, 1), 101);
	assert_int_equal(version_of(f, 2), 0);
}

static void
a_draft_that_was_not_committed_does_not_appear(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char text[32];
		struct store_draft a = {.key = key_text(text, 1)}, b;

		start(f);
		set(f->s, f->t, 2, 2, NULL);
		a.hash = store_hash(f->s, a.key);
		b = a;
		write_value(f->t, &a, 1, 3);
		write_value(f->t, &b, 1, 7); /* large */
		raise(SIGKILL);
	}
	waitpid(pid, &status, 0);
	start(f);
	assert_int_equal(figures(f).state, MAPPING_CRASHED);
	assert_int_equal(version_of(f, 1), 0);
	assert_int_equal(version_of(f, 2), 2);
	assert_int_equal(figures(f).items, 1);
	assert_int_equal(figures(f).dropped, 0);
}

static void
a_large_value_comes_back_with_all_of_its_pieces_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct store_view v;
	struct large *l;
	char text[32];

	start(f);
	assert_true(set(f->s, f->t, 1, 7, NULL));
	assert_true(set(f->s, f->t, 2, 23, NULL));
	stop(f, true);
	start(f);
	assert_int_equal(version_of(f, 1), 7);
	assert_int_equal(version_of(f, 2), 23);
	assert_true(store_find(f->t, key_text(text, 1), store_hash(f->s, key_text(text, 1)), &v));
	l = large_of(v.item, v.state);
	atomic_store(&l->place[1], atomic_load(&l->place[0]));
	stop(f, false);
	start(f);
	assert_int_equal(version_of(f, 1), 0);
	assert_int_equal(version_of(f, 2), 23);
	assert_int_equal(figures(f).dropped, 1);
}

static void
a_cas_of_before_never_fits_an_item_of_after(void **state)
{
	struct fixture *f = *state;
	uint64_t cas, last = 0;

	for (int i = 0; i < 6; i++) {
		start(f);
		assert_true(set(f->s, f->t, 1, 1, &cas));
		assert_true(cas > last);
		last = cas;
		assert_true(remove_key(f->s, f->t, 1));
		stop(f, i % 2);
	}
}

static void
with_less_memory_part_of_it_comes_back_and_with_more_all_of_it(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;

	start(f);
	for (uint32_t k = 1; k <= 15000; k++)
		assert_true(set(f->s, f->t, k, 1 + k % 6, NULL));
	stop(f, true);
	f->memory = 8 << 20;
	start(f);
	for (uint32_t k = 1; k <= 15000; k++)
		assert_int_equal(version_of(f, k), 1 + k % 6);
	stop(f, true);
	f->memory = 1 << 19;
	start(f);
	for (uint32_t k = 1; k <= 15000; k++)
		n += version_of(f, k) != 0;
	if (n == 0 || n == 15000)
		fail_msg("%u came back", n);
	store_metrics(f->s);
	for (uint32_t k = 1; k <= 15000; k++)
		assert_true(set(f->s, f->t, k, 2, NULL));
	assert_int_equal(version_of(f, 15000), 2);
}

/*
 * Killed at random moments.  The parent knows of each key what was begun and what was acknowledged; only one
 * thread changes a key.  Version 2n is a set, 2n+1 the delete after it.
 */
enum { KEYS = 600, WRITERS = 2 };

struct model {
	_Atomic uint32_t begun[KEYS], done[KEYS];
	_Atomic uint64_t acknowledged;
};

struct writer {
	struct fixture *f;
	struct model *model;
	unsigned number, seed;
};

static void *
write_for_ever(void *arg)
{
	struct writer *w = arg;
	struct quiesce_thread *q = quiesce_join(w->f->q);
	struct store_thread *t = store_join(w->f->s, q);

	for (;;) {
		uint32_t k = (uint32_t)rand_r(&w->seed) % (KEYS / WRITERS) * WRITERS + w->number, next;

		quiesce_online(w->f->q, q);
		next = w->model->begun[k] + 1;
		if (next % 2 == 1 && (rand_r(&w->seed) % 3 != 0))
			next++;
		w->model->begun[k] = next;
		if (next % 2 == 1)
			remove_key(w->f->s, t, k);
		else if (!set(w->f->s, t, k, next, NULL))
			remove_key(w->f->s, t, k);
		w->model->done[k] = next;
		w->model->acknowledged++;
		quiesce_offline(q);
	}
	return NULL;
}

static void
run_until_killed(struct fixture *f, struct model *m, unsigned seed)
{
	struct writer w[WRITERS];

	start(f);
	store_caught_up(f->s);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_t thread;

		w[i] = (struct writer){f, m, i, seed + i};
		if (pthread_create(&thread, NULL, write_for_ever, &w[i]) != 0)
			abort();
	}
	for (;;) {
		if (!store_upkeep(f->s, f->qt))
			sched_yield();
	}
}

static void
kill_and_look(struct fixture *f, bool may_evict, unsigned rounds)
{
	struct model *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned seed = 12345, warm = 0;

	for (unsigned round = 0; round < rounds; round++) {
		uint64_t until = m->acknowledged + (uint64_t)(rand_r(&seed) % 3000) + 1;
		pid_t pid = fork();

		if (pid == 0)
			run_until_killed(f, m, seed);
		if (round % 4 == 3) /* while it starts */
			nanosleep(&(struct timespec){0, rand_r(&seed) % 4000000}, NULL);
		while (round % 4 != 3 && m->acknowledged < until) {
			assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
			sched_yield();
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);

		start(f);
		assert_int_not_equal(figures(f).state, MAPPING_DISTRUSTED);
		assert_int_equal(figures(f).dropped, 0);
		for (uint32_t k = 0; k < KEYS; k++) {
			uint32_t begun = m->begun[k], done = m->done[k], found = version_of(f, k);

			if (found == 0) {
				/* Gone: deleted, being deleted, never there, or evicted. */
				if (!(done % 2 == 1 || begun % 2 == 1 || done == 0 || may_evict))
					fail_msg("round %u: key %u: version %u is lost", round, k, done);
				m->begun[k] = m->done[k] = begun | 1;
				continue;
			}
			if (found != begun && (found != done || done % 2 == 1))
				fail_msg("round %u: key %u: version %u came back, %u was acknowledged", round,
					 k, found, done);
			m->begun[k] = m->done[k] = found;
			warm++;
		}
		stop(f, round % 3 == 0);
	}
	assert_true(warm > rounds * 10);
	munmap(m, sizeof *m);
}

static void
killed_at_random_acknowledged_sets_are_there_and_deletes_never_come_back(void **state)
{
	struct fixture *f = *state;

	f->memory = 24 << 20;
	kill_and_look(f, false, 40);
}

static void
killed_at_random_while_evicting_and_merging_nothing_old_comes_back(void **state)
{
	struct fixture *f = *state;

	f->memory = 3 << 20;
	kill_and_look(f, true, 40);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_clean_restart_brings_everything_back_but_unproven),
	    T(what_a_restore_left_to_be_delivered_is_remembered),
	    T(with_several_parts_all_of_them_must_have_caught_up_since_the_start),
	    T(what_a_restore_owes_is_settled_when_all_parts_have_gone_back_far_enough),
	    T(flags_expiry_epoch_and_chosen_cas_come_back),
	    T(what_was_flushed_does_not_come_back),
	    T(a_segment_with_a_flipped_bit_is_dropped_and_counted),
	    T(of_two_of_one_key_the_newer_one_stays_also_when_it_has_expired),
	    T(a_draft_that_was_not_committed_does_not_appear),
	    T(a_large_value_comes_back_with_all_of_its_pieces_or_not_at_all),
	    T(a_cas_of_before_never_fits_an_item_of_after),
	    T(with_less_memory_part_of_it_comes_back_and_with_more_all_of_it),
	    T(killed_at_random_acknowledged_sets_are_there_and_deletes_never_come_back),
	    T(killed_at_random_while_evicting_and_merging_nothing_old_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
