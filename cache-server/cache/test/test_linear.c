/*
 * Histories against promises: leases (I4), hold-offs (I5), markers (I6), stale values, epochs and bounds.
 *
 * Each promise is explored twice: by one thread that makes random steps and knows what must be so after each
 * (the interleavings are between the steps of clients, as many as there are seeds), and by several threads at
 * once.  With a rule of the guard taken away the same exploration must find a violation, or it would prove
 * nothing.
 *
 * The guard has one bucket of eight records for twelve keys, so records go and floors act all the time.
 *
 * The database of the epochs part is a log of writes and pulses with lagging replicas: design section 6.
 */
#include "cache-server/cache/cache.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache-server/cache/test/kit.h"

enum { KEYS = 12, SEEDS = 600, STEPS = 600, THREADS = 4 };

static const char *const names[KEYS] = {"k0", "k1", "k2", "k3", "k4",  "k5",
					"k6", "k7", "k8", "k9", "k10", "k11"};

static uint64_t
next(uint64_t *rnd)
{
	*rnd ^= *rnd << 13;
	*rnd ^= *rnd >> 7;
	*rnd ^= *rnd << 17;
	return *rnd * 0x2545F4914F6CDD1Dull >> 20;
}

/* --- the database --------------------------------------------------------------------------------------- */

enum { LOG_MAX = 60000, PULSE = 255 };

struct db {
	pthread_mutex_t lock;
	unsigned n;
	uint8_t what[LOG_MAX];	 /* a key, or PULSE */
	uint32_t pulse[LOG_MAX]; /* the last one before this entry; of a pulse, itself */
	unsigned writes[KEYS][LOG_MAX], nwrites[KEYS];
	unsigned pulse_end[LOG_MAX], npulses; /* how much of the log is visible with it */
};

static void
db_clear(struct db *db)
{
	db->n = 0;
	db->npulses = 0;
	memset(db->nwrites, 0, sizeof db->nwrites);
	db->pulse_end[0] = 0;
}

static void
db_append(struct db *db, uint8_t what)
{
	if (db->n == LOG_MAX)
		return;
	if (what == PULSE)
		db->pulse_end[++db->npulses] = db->n + 1;
	else
		db->writes[what][db->nwrites[what]++] = db->n;
	db->what[db->n] = what;
	db->pulse[db->n] = db->npulses;
	db->n++;
}

/* The key's version as one sees it who sees the first `end` entries. */
static unsigned
db_version(const struct db *db, unsigned key, unsigned end)
{
	unsigned low = 0, high = db->nwrites[key];

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (db->writes[key][mid] < end)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static uint32_t
db_pulse(const struct db *db, unsigned end)
{
	return end == 0 ? 0 : db->pulse[end - 1];
}

/* --- epochs --------------------------------------------------------------------------------------------- */

enum broken {
	NOT_BROKEN,
	EARLY_VALUE /* read before its epoch */,
	EARLY_MARK /* said before all was delivered */
};

struct fill {
	unsigned key, end; /* of the log, as this client's server shows it */
	unsigned server;
	unsigned version;
	uint32_t pulse;
	int step;
};

struct epochs {
	struct kit *k;
	struct db *db;
	uint32_t term;
	enum broken broken;
	_Atomic unsigned replica[3]; /* what is applied; 0 is the primary */
	_Atomic unsigned cursor;
	_Atomic uint64_t violations, checked, filled;
};

static void
deliver(struct epochs *e, struct cache_thread *t, unsigned i)
{
	struct epoch h = {SPAN_LIT("main"), e->term, 0};
	uint8_t what;

	pthread_mutex_lock(&e->db->lock);
	what = e->db->what[i];
	h.count = e->db->pulse[i];
	pthread_mutex_unlock(&e->db->lock);
	cache_tick(t);
	if (what == PULSE) {
		if (e->broken == EARLY_MARK)
			h.count++;
		(void)cache_watermark(t, &h);
	} else {
		struct cache_delete d = {KIT_KEY(t, names[what]), .epoch = &h};

		(void)cache_delete(t, &d);
	}
}

static void
fill_step(struct epochs *e, struct cache_thread *t, struct fill *f)
{
	bool pulse = (f->step == 0) == (e->broken != EARLY_VALUE);
	unsigned end;

	if (f->step < 2) {
		pthread_mutex_lock(&e->db->lock);
		end = f->server == 0 ? e->db->n : atomic_load(&e->replica[f->server]);
		if (pulse)
			f->pulse = db_pulse(e->db, end);
		else
			f->version = db_version(e->db, f->key, end);
		pthread_mutex_unlock(&e->db->lock);
		f->step++;
	} else {
		struct epoch r = {SPAN_LIT("main"), e->term, f->pulse};
		char text[16];
		struct cache_set s = {KIT_KEY(t, names[f->key]), .epoch = &r};

		s.value = span_make(text, (size_t)snprintf(text, sizeof text, "%u", f->version));
		cache_tick(t);
		if (cache_set(t, &s) == CACHE_OK)
			atomic_fetch_add(&e->filled, 1);
		f->step = -1;
	}
}

/* What is served must be as new as the bound that is claimed for it. */
static void
check_bound(struct epochs *e, struct cache_thread *t, unsigned key)
{
	struct cache_get_meta m = {KIT_KEY(t, names[key])};
	struct epoch bound;
	uint64_t version = 0;
	unsigned want;

	cache_tick(t);
	if (cache_get_meta(t, &m) != CACHE_OK || !cache_bound(t, &m.view, &bound))
		return;
	assert_true(span_u64(span_make(m.view.value, m.view.len), &version));
	pthread_mutex_lock(&e->db->lock);
	if (bound.count > e->db->npulses)
		bound.count = e->db->npulses;
	want = db_version(e->db, key, e->db->pulse_end[bound.count]);
	pthread_mutex_unlock(&e->db->lock);
	atomic_fetch_add(&e->checked, 1);
	if (version < want)
		atomic_fetch_add(&e->violations, 1);
}

static void
epochs_finish(struct epochs *e)
{
	unsigned i;

	db_append(e->db, PULSE);
	for (i = atomic_load(&e->cursor); i < e->db->n; i++)
		deliver(e, e->k->t, i);
	for (i = 0; i < KEYS; i++) {
		struct store_view v;
		uint64_t version = 0;

		kit_tick(e->k);
		if (!cache_get(e->k->t, span_of(names[i]), kit_hash(e->k->t, names[i]), &v))
			continue;
		assert_true(span_u64(span_make(v.value, v.len), &version));
		if (version != e->db->nwrites[i])
			atomic_fetch_add(&e->violations, 1);
	}
}

static void
epochs_step(struct epochs *e, struct cache_thread *t, uint64_t *rnd, struct fill *fills, unsigned nfills,
	    bool routes)
{
	uint64_t a = next(rnd) % 100;
	unsigned key = (unsigned)(next(rnd) % KEYS), i;

	if (a < 18) {
		pthread_mutex_lock(&e->db->lock);
		db_append(e->db, (uint8_t)key);
		pthread_mutex_unlock(&e->db->lock);
		if (next(rnd) % 2) { /* the writer's own delete, without an epoch */
			struct cache_delete d = {KIT_KEY(t, names[key])};

			(void)cache_delete(t, &d);
		}
	} else if (a < 30) {
		pthread_mutex_lock(&e->db->lock);
		db_append(e->db, PULSE);
		pthread_mutex_unlock(&e->db->lock);
	} else if (a < 48) {
		pthread_mutex_lock(&e->db->lock);
		i = 1 + (unsigned)(next(rnd) % 2);
		key = atomic_load(&e->replica[i]) + (unsigned)(next(rnd) % 4);
		atomic_store(&e->replica[i], key < e->db->n ? key : e->db->n);
		pthread_mutex_unlock(&e->db->lock);
	} else if (a < 64) {
		unsigned n, at = atomic_load(&e->cursor);

		pthread_mutex_lock(&e->db->lock);
		n = e->db->n;
		pthread_mutex_unlock(&e->db->lock);
		if (routes && at < n) {
			deliver(e, t, at);
			atomic_store(&e->cursor, at + 1);
		}
		if (at > 0 && next(rnd) % 10 == 0)
			deliver(e, t, (unsigned)(next(rnd) % at)); /* again */
	} else if (a < 74) {
		for (i = 0; i < nfills; i++)
			if (fills[i].step < 0) {
				fills[i] = (struct fill){.key = key, .server = (unsigned)(next(rnd) % 3)};
				break;
			}
	} else {
		i = (unsigned)(next(rnd) % nfills);
		if (fills[i].step >= 0)
			fill_step(e, t, &fills[i]);
	}
	check_bound(e, t, (unsigned)(next(rnd) % KEYS));
}

static void
fills_clear(struct fill *fills, unsigned n)
{
	while (n-- > 0)
		fills[n].step = -1;
}

static void
epochs_begin(struct epochs *e, struct kit *k, struct db *db, uint32_t term, enum broken broken)
{
	struct epoch w = {SPAN_LIT("main"), term, 0};

	memset(e, 0, sizeof *e);
	e->k = k;
	e->db = db;
	e->term = term; /* a new one for each run: nothing of the last run counts */
	e->broken = broken;
	db_clear(db);
	cache_flush(k->t, 0);
	assert_true(cache_watermark(k->t, &w));
	kit_tick(k);
}

static struct db *
db_create(void)
{
	struct db *db = calloc(1, sizeof *db);

	pthread_mutex_init(&db->lock, NULL);
	return db;
}

static uint64_t
explore_epochs(unsigned off, enum broken broken, uint64_t *filled)
{
	struct db *db = db_create();
	struct kit k;
	uint64_t violations = 0;
	uint32_t seed;

	kit_open(&k, CACHE_EVICT, 0);
	k.c->guard->nbuckets = 1;
	k.c->guard->off = off;
	for (seed = 1; seed <= SEEDS && (violations == 0 || off + broken == 0); seed++) {
		struct epochs e;
		struct fill fills[16];
		uint64_t rnd = seed * 7919 + 1;
		unsigned i;

		epochs_begin(&e, &k, db, seed, broken);
		fills_clear(fills, 16);
		for (i = 0; i < STEPS; i++) {
			epochs_step(&e, k.t, &rnd, fills, 16, true);
			quiesce_tick(k.q, k.qt);
		}
		epochs_finish(&e);
		violations += atomic_load(&e.violations);
		*filled += atomic_load(&e.filled);
	}
	kit_close(&k);
	free(db);
	return violations;
}

static void
fenced_fills_are_never_staler_than_their_bound(void **state)
{
	uint64_t filled = 0;

	assert_int_equal(explore_epochs(0, NOT_BROKEN, &filled), 0);
	assert_true(filled > 1000);
}

static void
without_a_rule_of_the_epochs_the_exploration_finds_out(void **state)
{
	uint64_t filled = 0;

	assert_true(explore_epochs(GUARD_OFF_FENCE, NOT_BROKEN, &filled) > 0);
	assert_true(explore_epochs(GUARD_OFF_FLOOR, NOT_BROKEN, &filled) > 0);
	assert_true(explore_epochs(GUARD_OFF_DELETE, NOT_BROKEN, &filled) > 0);
	assert_true(explore_epochs(0, EARLY_VALUE, &filled) > 0);
	assert_true(explore_epochs(0, EARLY_MARK, &filled) > 0);
}

/* --- threads -------------------------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	struct kit *k;
	void *what;
	unsigned number;
	uint64_t rnd;
	struct quiesce_thread *qt;
	struct cache_thread *t;
	void (*run)(struct worker *w);
};

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	w->qt = quiesce_join(w->k->q);
	quiesce_online(w->k->q, w->qt);
	w->t = cache_join(w->k->c, w->qt);
	w->run(w);
	cache_leave(&w->t);
	quiesce_offline(w->qt);
	quiesce_leave(w->k->q, &w->qt);
	return NULL;
}

static void
workers_run(struct kit *k, void (*run)(struct worker *), void *what)
{
	struct worker w[THREADS] = {0};
	unsigned i;

	quiesce_offline(k->qt);
	for (i = 0; i < THREADS; i++) {
		w[i] = (struct worker){.k = k, .what = what, .number = i, .rnd = 12345 + i * 77, .run = run};
		assert_int_equal(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	quiesce_online(k->q, k->qt);
	kit_tick(k);
}

static void
epochs_worker(struct worker *w)
{
	struct fill fills[8];
	unsigned i;

	fills_clear(fills, 8);
	for (i = 0; i < 15000; i++) {
		epochs_step(w->what, w->t, &w->rnd, fills, 8, w->number == 0);
		quiesce_tick(w->k->q, w->qt);
	}
}

static void
threads_keep_the_bound_as_well(void **state)
{
	struct db *db = db_create();
	struct epochs e;
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	k.c->guard->nbuckets = 1;
	epochs_begin(&e, &k, db, 1, NOT_BROKEN);
	workers_run(&k, epochs_worker, &e);
	epochs_finish(&e);
	assert_int_equal(atomic_load(&e.violations), 0);
	assert_true(atomic_load(&e.checked) > 100);
	kit_close(&k);
	free(db);
}

/* --- leases, stale values, hold-off: one thread, everything known -----------------------------------------
 */

struct known {
	unsigned live, stale; /* the value; 0: none */
	uint32_t live_until, stale_until;
	uint64_t token, given_ms, given_overflows, used;
	uint64_t held_ms;
};

struct leases {
	struct kit *k;
	struct known keys[KEYS];
	unsigned value;
	uint64_t violations, filled, refused;
};

static void
age(struct leases *l, struct known *x)
{
	uint32_t now = store_now(cache_store(l->k->c));

	if (x->live && x->live_until && x->live_until <= now)
		x->live = 0;
	if (x->stale && x->stale_until && x->stale_until <= now)
		x->stale = 0;
}

static unsigned
number_of(const struct store_view *v)
{
	uint64_t n = 0;

	assert_true(span_u64(span_make(v->value, v->len), &n));
	return (unsigned)n;
}

static void
must(struct leases *l, bool holds)
{
	l->violations += !holds;
}

static void
lease_get_step(struct leases *l, unsigned key, struct known *x)
{
	uint64_t overflows = atomic_load(&l->k->c->guard->overflows);
	struct cache_lease got = kit_lease(l->k, names[key]);

	must(l, got.hit == (x->live != 0));
	if (got.hit) {
		must(l, got.token == 0 && number_of(&got.view) == x->live);
		return;
	}
	must(l, got.token != 0 && got.has_stale == (x->stale != 0));
	if (got.has_stale && x->stale)
		must(l, number_of(&got.view) == x->stale);
	if (got.token == 1)
		return;
	/* One token in ten seconds; a record that had to go may be given again. */
	must(l, !x->token || l->k->t->now_ms - x->given_ms >= 10000 || x->given_overflows != overflows);
	x->token = got.token;
	x->given_ms = l->k->t->now_ms;
	x->given_overflows = atomic_load(&l->k->c->guard->overflows);
}

static void
lease_set_step(struct leases *l, unsigned key, struct known *x, uint64_t *rnd)
{
	static const int64_t times[] = {0, 0, 1, 3};
	struct cache_set s = {KIT_KEY(l->k->t, names[key]), .is_lease = true};
	uint64_t now = l->k->t->now_ms;
	char text[16];
	bool good;

	switch (next(rnd) % 4) {
	case 0:
		s.token = x->used;
		break;
	case 1:
		s.token = next(rnd);
		break;
	default:
		s.token = x->token;
	}
	s.expiry = cache_expiry(l->k->t, times[next(rnd) % 4]);
	s.value = span_make(text, (size_t)snprintf(text, sizeof text, "%u", ++l->value));
	good = s.token > 1 && s.token == x->token && !x->live && now >= x->held_ms;
	switch (cache_set(l->k->t, &s)) {
	case CACHE_OK:
		must(l, good);
		l->filled++;
		x->live = l->value;
		x->live_until = s.expiry;
		x->stale = 0;
		x->used = s.token;
		break;
	case CACHE_STALE_STORED:
		must(l, x->stale && !x->live);
		x->stale = l->value;
		return; /* a good token that the guard has lost stays what it was: unknown here */
	default:
		/* Refusing more is allowed where records had to go. */
		must(l, !good || atomic_load(&l->k->c->guard->overflows) != 0);
		l->refused++;
	}
	if (s.token == x->token) {
		x->used = x->token;
		x->token = 0;
	}
}

static void
delete_step(struct leases *l, unsigned key, struct known *x, uint32_t hold_ms)
{
	enum cache_result r = hold_ms ? kit_hold(l->k, names[key], hold_ms) : kit_delete(l->k, names[key]);

	must(l, (r == CACHE_OK) == (x->live != 0));
	if (x->live) {
		uint32_t until = store_now(cache_store(l->k->c)) + 5;

		x->stale = x->live;
		x->stale_until = x->live_until && x->live_until < until ? x->live_until : until;
		x->live = 0;
	}
	if (x->token)
		x->used = x->token;
	x->token = 0;
	if (hold_ms && l->k->t->now_ms + hold_ms > x->held_ms)
		x->held_ms = l->k->t->now_ms + hold_ms;
}

static void
leases_step(struct leases *l, uint64_t *rnd)
{
	unsigned key = (unsigned)(next(rnd) % KEYS);
	struct known *x = &l->keys[key];
	const char *name = names[key], *got;
	char text[16];

	age(l, x);
	snprintf(text, sizeof text, "%u", ++l->value);
	switch (next(rnd) % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		lease_get_step(l, key, x);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		lease_set_step(l, key, x, rnd);
		break;
	case 8:
		assert_int_equal(kit_set(l->k, name, text), CACHE_OK);
		*x = (struct known){.live = l->value,
				    .token = x->token,
				    .given_ms = x->given_ms,
				    .used = x->used,
				    .given_overflows = x->given_overflows};
		break;
	case 9:
	case 10:
		if (kit_store(l->k, CACHE_ADD, name, text) == CACHE_OK) {
			must(l, !x->live && l->k->t->now_ms >= x->held_ms);
			x->live = l->value;
			x->live_until = 0;
			x->stale = 0;
		} else {
			must(l, x->live || l->k->t->now_ms < x->held_ms ||
				    atomic_load(&l->k->c->guard->overflows) != 0);
		}
		break;
	case 11:
		delete_step(l, key, x, 0);
		break;
	case 12:
		delete_step(l, key, x, (uint32_t)(1 + next(rnd) % 3000));
		break;
	case 13:
		kit_pass(l->k, next(rnd) % 500);
		break;
	default:
		got = kit_get(l->k, name);
		must(l, (got != NULL) == (x->live != 0));
		if (got)
			must(l, (unsigned)atoi(got) == x->live);
	}
}

static uint64_t
explore_leases(unsigned off, uint64_t *filled, uint64_t buckets)
{
	uint64_t violations = 0, seed;

	for (seed = 1; seed <= 60 && (violations == 0 || off == 0); seed++) {
		struct leases l = {0};
		struct kit k;
		uint64_t rnd = seed * 104729;
		unsigned i;

		kit_open(&k, CACHE_EVICT, 5);
		if (buckets)
			k.c->guard->nbuckets = buckets;
		k.c->guard->off = off;
		l.k = &k;
		for (i = 0; i < 4000; i++) {
			leases_step(&l, &rnd);
			kit_tick(&k);
		}
		violations += l.violations;
		*filled += l.filled;
		kit_close(&k);
	}
	return violations;
}

static void
leases_hold_offs_and_stale_values_do_what_they_promise(void **state)
{
	uint64_t filled = 0;

	assert_int_equal(explore_leases(0, &filled, 1), 0);
	assert_true(filled > 100);
	assert_int_equal(explore_leases(0, &filled, 0),
			 0); /* without floors nothing is refused that is fine */
}

static void
without_a_rule_of_the_leases_the_exploration_finds_out(void **state)
{
	static const unsigned rules[] = {GUARD_OFF_LEASE, GUARD_OFF_HOLD, GUARD_OFF_FLOOR, GUARD_OFF_STALE,
					 GUARD_OFF_ONCE};
	uint64_t filled = 0;
	size_t i;

	for (i = 0; i < sizeof rules / sizeof *rules; i++)
		if (explore_leases(rules[i], &filled, 1) == 0)
			fail_msg("rule %u was taken away and nobody noticed", rules[i]);
}

/* --- the same by threads: what a delete that has returned promises ----------------------------------------
 */

struct shared {
	_Atomic uint64_t version[KEYS]; /* of the database */
	_Atomic uint64_t deleted[KEYS]; /* the newest whose delete has returned */
	_Atomic uint64_t held_ms[KEYS]; /* of the keys that are held off */
	_Atomic uint64_t violations, filled, added;
	struct kit_clock *clock;
};

static void
raise_to(_Atomic uint64_t *at, uint64_t n)
{
	uint64_t seen = atomic_load(at);

	while (seen < n && !atomic_compare_exchange_weak(at, &seen, n))
		;
}

static void
check_served(struct shared *s, unsigned key, uint64_t floor, const struct store_view *v)
{
	uint64_t version = 0;

	if (!span_u64(span_make(v->value, v->len), &version) || version < floor)
		atomic_fetch_add(&s->violations, 1);
	(void)key;
}

static void
lease_client(struct worker *w, struct shared *s, unsigned key)
{
	uint64_t floor = atomic_load(&s->deleted[key]), version;
	struct cache_lease l = {KIT_KEY(w->t, names[key])};
	char text[24];
	unsigned i;

	cache_lease_get(w->t, &l);
	if (l.hit) {
		check_served(s, key, floor, &l.view);
		return;
	}
	if (l.token == TOKEN_HOT)
		return;
	version = atomic_load(&s->version[key]);
	for (i = next(&w->rnd) % 4; i > 0; i--)
		sched_yield();
	struct cache_set fill = {KIT_KEY(w->t, names[key]), .is_lease = true, .token = l.token};
	fill.value =
	    span_make(text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)version));
	if (cache_set(w->t, &fill) == CACHE_OK)
		atomic_fetch_add(&s->filled, 1);
}

/* A delete of all keys. */
static void
flush_all(struct worker *w, struct shared *s)
{
	uint64_t n[KEYS];
	unsigned i;

	for (i = 0; i < KEYS; i++)
		n[i] = atomic_fetch_add(&s->version[i], 1) + 1;
	cache_flush(w->t, 0);
	for (i = 0; i < KEYS; i++)
		raise_to(&s->deleted[i], n[i]);
}

static void
lease_worker(struct worker *w)
{
	struct shared *s = w->what;
	unsigned i;

	for (i = 0; i < 20000; i++) {
		unsigned key = (unsigned)(next(&w->rnd) % 4);
		uint64_t n, floor;
		struct store_view v;

		cache_tick(w->t);
		switch (next(&w->rnd) % 8) {
		case 0: {
			struct cache_delete d = {KIT_KEY(w->t, names[key])};

			n = atomic_fetch_add(&s->version[key], 1) + 1;
			(void)cache_delete(w->t, &d);
			raise_to(&s->deleted[key], n);
			break;
		}
		case 1:
		case 2:
		case 3:
			floor = atomic_load(&s->deleted[key]);
			if (cache_get(w->t, span_of(names[key]), kit_hash(w->t, names[key]), &v))
				check_served(s, key, floor, &v);
			break;
		case 4:
			atomic_fetch_add(&s->clock->ms, 1);
			if (next(&w->rnd) % 16 == 0)
				flush_all(w, s);
			break;
		default:
			lease_client(w, s, key);
		}
		quiesce_tick(w->k->q, w->qt);
	}
}

static void
hold_worker(struct worker *w)
{
	struct shared *s = w->what;
	unsigned i;

	for (i = 0; i < 20000; i++) {
		unsigned key = (unsigned)(next(&w->rnd) % KEYS);
		uint64_t until, before;

		cache_tick(w->t);
		if (next(&w->rnd) % 8 == 0) {
			struct cache_delete d = {KIT_KEY(w->t, names[key]),
						 .holdoff_ms = 1 + (uint32_t)(next(&w->rnd) % 20)};

			before = atomic_load(&s->clock->ms);
			(void)cache_delete(w->t, &d);
			raise_to(&s->held_ms[key], before + d.holdoff_ms);
		} else {
			struct cache_set add = {KIT_KEY(w->t, names[key]), .mode = CACHE_ADD,
						.value = SPAN_LIT("1")};
			struct cache_delete d = {KIT_KEY(w->t, names[key])};

			until = atomic_load(&s->held_ms[key]);
			if (cache_set(w->t, &add) == CACHE_OK) {
				atomic_fetch_add(&s->added, 1);
				if (atomic_load(&s->clock->ms) < until)
					atomic_fetch_add(&s->violations, 1);
			}
			(void)cache_delete(w->t, &d);
		}
		if (next(&w->rnd) % 16 == 0)
			atomic_fetch_add(&s->clock->ms, 1);
		quiesce_tick(w->k->q, w->qt);
	}
}

static uint64_t
race(void (*run)(struct worker *), unsigned off, uint64_t *done)
{
	struct shared *s = calloc(1, sizeof *s);
	uint64_t violations;
	struct kit k;

	kit_open(&k, CACHE_EVICT, 5);
	k.c->guard->nbuckets = 1;
	k.c->guard->lease_ms = 20;
	k.c->guard->off = off;
	s->clock = &k.clock;
	workers_run(&k, run, s);
	violations = atomic_load(&s->violations);
	*done = atomic_load(&s->filled) + atomic_load(&s->added);
	kit_close(&k);
	free(s);
	return violations;
}

static void
threads_never_see_what_a_returned_delete_has_deleted(void **state)
{
	uint64_t done, found = 0;
	unsigned i;

	assert_int_equal(race(lease_worker, 0, &done), 0);
	assert_true(done > 100);
	/* On a busy machine the threads may take turns politely: a few times. */
	for (i = 0; i < 20 && found == 0; i++)
		found = race(lease_worker, GUARD_OFF_LEASE, &done);
	assert_true(found > 0);
}

static void
threads_never_add_in_a_hold_off(void **state)
{
	uint64_t done;

	assert_int_equal(race(hold_worker, 0, &done), 0);
	assert_true(done > 100);
	assert_true(race(hold_worker, GUARD_OFF_HOLD, &done) > 0);
}

/* --- markers -------------------------------------------------------------------------------------------- */

static void
marker_worker(struct worker *w)
{
	struct shared *s = w->what;
	unsigned i;

	for (i = 0; i < 10000; i++) {
		unsigned key = (unsigned)(next(&w->rnd) % 2), others;
		uint64_t hash = kit_hash(w->t, names[key]);
		struct span name = span_of(names[key]);
		char token[32], other[32];
		struct buf all = BUF_INIT;
		struct span mine;

		cache_tick(w->t);
		mine = span_make(token, (size_t)snprintf(token, sizeof token, "w%u-%u-", w->number, i));
		if (marker_set(w->t, name, hash, mine, 0) != CACHE_OK)
			atomic_fetch_add(&s->violations, 1);
		for (others = 0; others < 3;
		     others++) { /* deletes of tokens that are nobody's, or long gone */
			snprintf(other, sizeof other, "w%u-%u-x", w->number, i);
			(void)marker_clear(w->t, name, hash, span_of(other));
		}
		(void)marker_clear(w->t, name, hash, SPAN_LIT(""));
		if (marker_check(w->t, name, hash, &all) == 0 || span_find(buf_span(&all), mine) < 0)
			atomic_fetch_add(&s->violations, 1);
		if (marker_clear(w->t, name, hash, mine) != CACHE_OK)
			atomic_fetch_add(&s->violations, 1);
		buf_fini(&all);
	}
}

static uint64_t
race_markers(unsigned off, unsigned *left)
{
	struct shared *s = calloc(1, sizeof *s);
	uint64_t violations;
	struct kit k;

	kit_open(&k, CACHE_MARKER, 0);
	k.c->guard->off = off;
	workers_run(&k, marker_worker, s);
	violations = atomic_load(&s->violations);
	*left = marker_check(k.t, SPAN_LIT("k0"), kit_hash(k.t, "k0"), NULL) +
		marker_check(k.t, SPAN_LIT("k1"), kit_hash(k.t, "k1"), NULL);
	kit_close(&k);
	free(s);
	return violations;
}

static void
no_writer_removes_the_marker_of_another(void **state)
{
	unsigned left;

	assert_int_equal(race_markers(0, &left), 0);
	assert_int_equal(left, 0);
	assert_true(race_markers(GUARD_OFF_MARKER, &left) > 0);
}

/* --- kill -9 -------------------------------------------------------------------------------------------- */

enum { KILLS = 30 };

struct survivor { /* shared with the process that is killed: what it was told was done */
	_Atomic uint64_t ms, steps, values;
	struct {
		_Atomic uint64_t busy, value, held_ms, epoch;
	} keys[KEYS];
};

static void
work_step(struct kit *k, struct survivor *s, unsigned i, uint64_t a)
{
	uint64_t value = atomic_fetch_add(&s->values, 1) + 1, until, epoch;
	char text[24], at[40];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	atomic_store(&s->keys[i].busy, 1);
	switch (a % 6) {
	case 0:
		if (kit_set(k, names[i], text) == CACHE_OK)
			atomic_store(&s->keys[i].value, value);
		atomic_store(&s->keys[i].held_ms, 0);
		break;
	case 1:
		(void)kit_delete(k, names[i]);
		atomic_store(&s->keys[i].value, 0);
		break;
	case 2:
		until = k->t->now_ms;
		(void)kit_hold(k, names[i], 5000);
		atomic_store(&s->keys[i].value, 0);
		atomic_store(&s->keys[i].held_ms, until + 5000);
		break;
	case 3:
		epoch = atomic_load(&s->keys[i].epoch) + a % 3;
		snprintf(at, sizeof at, "main:1:%llu", (unsigned long long)epoch);
		(void)kit_invalidate(k, names[i], at);
		atomic_store(&s->keys[i].value,
			     0); /* fills below are at most one ahead, and forgotten here */
		atomic_store(&s->keys[i].epoch, epoch);
		break;
	case 4:
		if (kit_fill(k, names[i], kit_lease(k, names[i]).token, text) == CACHE_OK)
			atomic_store(&s->keys[i].value, value);
		break;
	case 5:
		if (kit_store(k, CACHE_ADD, names[i], text) == CACHE_OK)
			atomic_store(&s->keys[i].value, value);
		break;
	}
	atomic_store(&s->keys[i].busy, 0);
}

static void
work_until_killed(const char *file, struct survivor *s, uint64_t rnd)
{
	struct kit k;

	kit_open_file(&k, CACHE_EVICT, 0, file, atomic_load(&s->ms));
	k.c->guard->nbuckets = k.c->guard->nbuckets > 4 ? 4 : k.c->guard->nbuckets;
	cache_caught_up(k.t);
	kit_watermark(&k, "main:1:0");
	for (;;) {
		work_step(&k, s, (unsigned)(next(&rnd) % KEYS), next(&rnd));
		atomic_fetch_add(&s->steps, 1);
		if (next(&rnd) % 64 == 0)
			kit_pass(&k, 50);
		else
			kit_tick(&k);
		atomic_store(&s->ms, atomic_load(&k.clock.ms));
	}
}

static void
check_survivor(struct kit *k, struct survivor *s, unsigned i)
{
	uint64_t held = atomic_load(&s->keys[i].held_ms), value = atomic_load(&s->keys[i].value);
	const char *got = kit_get(k, names[i]);
	char at[40];

	if (atomic_load(&s->keys[i].busy)) {
		held = 0;
		/* Killed in the middle: either way is right.  From here on it is known. */
		atomic_store(&s->keys[i].busy, 0);
		value = got ? strtoull(got, NULL, 10) : 0;
	}
	if (got && strtoull(got, NULL, 10) != value)
		fail_msg("%s has %s, not %llu", names[i], got, (unsigned long long)value);
	/* Losing a value is allowed, serving another is not. */
	atomic_store(&s->keys[i].value, got ? value : 0);
	snprintf(at, sizeof at, "main:1:%llu", (unsigned long long)atomic_load(&s->keys[i].epoch));
	if (kit_fenced(k, names[i], at, "old") == CACHE_OK)
		fail_msg("a fill as of %s was taken for %s", at, names[i]);
	if (!got && held > k->t->now_ms && kit_store(k, CACHE_ADD, names[i], "early") == CACHE_OK)
		fail_msg("%s was added in its hold-off", names[i]);
	if (!got)
		(void)kit_delete(k, names[i]);
}

static void
a_killed_process_never_serves_what_it_had_deleted(void **state)
{
	struct survivor *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char file[] = "/tmp/squeal-cache-test-XXXXXX";
	unsigned round, i;
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	close(fd);
	atomic_store(&s->ms, 1000);
	for (round = 1; round <= KILLS; round++) {
		uint64_t before = atomic_load(&s->steps);
		pid_t child = fork();
		struct kit k;

		assert_true(child >= 0);
		if (child == 0)
			work_until_killed(file, s, round * 7919);
		while (atomic_load(&s->steps) < before + 300 + round * 41) {
			assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
			sched_yield();
		}
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		kit_open_file(&k, CACHE_EVICT, 0, file, atomic_load(&s->ms));
		k.c->guard->nbuckets = 4;
		for (i = 0; i < KEYS; i++)
			assert_null(kit_get(&k, names[i]));
		cache_caught_up(k.t);
		for (i = 0; i < KEYS; i++)
			check_survivor(&k, s, i);
		kit_end(&k, false);
	}
	unlink(file);
	munmap(s, sizeof *s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fenced_fills_are_never_staler_than_their_bound),
	    cmocka_unit_test(without_a_rule_of_the_epochs_the_exploration_finds_out),
	    cmocka_unit_test(threads_keep_the_bound_as_well),
	    cmocka_unit_test(leases_hold_offs_and_stale_values_do_what_they_promise),
	    cmocka_unit_test(without_a_rule_of_the_leases_the_exploration_finds_out),
	    cmocka_unit_test(threads_never_see_what_a_returned_delete_has_deleted),
	    cmocka_unit_test(threads_never_add_in_a_hold_off),
	    cmocka_unit_test(no_writer_removes_the_marker_of_another),
	    cmocka_unit_test(a_killed_process_never_serves_what_it_had_deleted),
	};

	return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
