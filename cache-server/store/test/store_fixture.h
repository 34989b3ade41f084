/*
 * store_fixture - a store with one thread, and values that say what they are: for the tests of this folder.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_TEST_STORE_FIXTURE_H
#define SQUEAL_CACHE_SERVER_STORE_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/store/store.h"

struct fixture {
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct store *s;
	struct store_thread *t;
};

static inline void
fixture_make(struct fixture *f, uint64_t memory, enum store_policy policy, unsigned threads)
{
	struct store_options opt = {.memory = memory,
				    .max_value = 1u << 30,
				    .threads = threads,
				    .policy = policy,
				    .seed = 7,
				    .now = 100};

	assert_int_equal(quiesce_create(&f->q, NULL), ERR_OK);
	f->qt = quiesce_join(f->q);
	quiesce_online(f->q, f->qt);
	opt.quiesce = f->q;
	assert_int_equal(store_create(&f->s, &opt, NULL), ERR_OK);
	f->t = store_join(f->s, f->qt);
	assert_non_null(f->t);
}

static inline void
fixture_unmake(struct fixture *f)
{
	store_leave(&f->t);
	store_destroy(&f->s);
	quiesce_offline(f->qt);
	quiesce_leave(f->q, &f->qt);
	quiesce_destroy(&f->q);
}

/* Bytes that follow from a number, at any offset. */
static inline void
fixture_bytes(uint64_t number, uint64_t at, char *out, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		uint64_t x = (number + 1) * 0x9E3779B97F4A7C15ull + (at + i) / 8 * 0xD1B54A32D192ED03ull;

		x ^= x >> 29;
		out[i] = (char)(x >> ((at + i) % 8 * 8));
	}
}

static inline err_t
fixture_begin(struct store *s, struct store_thread *t, struct store_draft *d, uint64_t number)
{
	uint64_t at = 0;
	size_t n;
	char *where;
	err_t err;

	d->hash = store_hash(s, d->key);
	err = store_begin(t, d);
	while (err == ERR_OK && (n = store_draft_room(t, d, at, &where)) != 0) {
		fixture_bytes(number, at, where, n);
		at += n;
	}
	if (err == ERR_OK && at != d->value_len)
		abort();
	return err;
}

static inline err_t
fixture_put(struct store *s, struct store_thread *t, struct span key, uint64_t number, uint64_t len,
	    uint32_t expiry)
{
	struct store_draft d = {.key = key, .value_len = len, .expiry = expiry};
	err_t err = fixture_begin(s, t, &d, number);

	if (err != ERR_OK)
		return err;
	store_lock(t, d.hash);
	store_commit(t, &d, 0);
	store_unlock(t, d.hash);
	return ERR_OK;
}

/* Whether these are the bytes of the number. */
static inline bool
fixture_is(struct store_thread *t, const struct store_view *v, uint64_t number)
{
	uint64_t at = 0;
	struct span part;
	char want[256];
	size_t i, n;

	while ((part = store_view_part(t, v, at)).len != 0) {
		for (i = 0; i < part.len; i += n) {
			n = part.len - i < sizeof want ? part.len - i : sizeof want;
			fixture_bytes(number, at + i, want, n);
			if (memcmp(want, part.p + i, n) != 0)
				return false;
		}
		at += part.len;
	}
	return at == v->len;
}

static inline bool
fixture_find(struct fixture *f, struct span key, struct store_view *v)
{
	return store_find(f->t, key, store_hash(f->s, key), v);
}

static inline bool
fixture_drop(struct store *s, struct store_thread *t, struct span key)
{
	uint64_t h = store_hash(s, key);
	struct store_view v;
	bool there;

	store_lock(t, h);
	there = store_find_locked(t, key, h, &v);
	if (there)
		store_remove(t, &v);
	store_unlock(t, h);
	return there;
}

#endif
