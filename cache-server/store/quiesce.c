#include "cache-server/store/quiesce.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { QUIESCE_LINE = 64 };

/*
 * `seen` is the stamp that the thread knew when it last promised to keep nothing; 0 while it is offline.
 * Only its own thread writes it.
 */
struct quiesce_thread {
	_Alignas(QUIESCE_LINE) _Atomic uint64_t seen;
	atomic_bool used;
};

struct quiesce {
	_Alignas(QUIESCE_LINE) _Atomic uint64_t stamp; /* from 1 on */
	_Alignas(QUIESCE_LINE) _Atomic unsigned high;  /* threads from this one on have never been used */
	struct quiesce_thread threads[QUIESCE_MAX_THREADS];
};

#if defined(__SANITIZE_THREAD__)
#define QUIESCE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define QUIESCE_TSAN 1
#endif
#endif

/*
 * What was stored before is visible to all before anything is loaded after.  The thread sanitizer knows no
 * fences; a read-modify-write is a full one on the machines that it runs on, and nothing that the sanitizer
 * checks rests on it: memory is handed over by the release stores and acquire loads of `seen`.
 */
static inline void
full_fence(_Atomic uint64_t *own)
{
#ifdef QUIESCE_TSAN
	atomic_fetch_add_explicit(own, 0, memory_order_seq_cst);
#else
	(void)own;
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

err_t
quiesce_create(struct quiesce **out, struct err_detail *why)
{
	struct quiesce *q = aligned_alloc(QUIESCE_LINE, sizeof *q);

	*out = NULL;
	if (!q)
		return err_set(why, ERR_SYS, "no memory for the list of threads; free some memory");
	memset(q, 0, sizeof *q);
	atomic_store_explicit(&q->stamp, 1, memory_order_relaxed);
	*out = q;
	return ERR_OK;
}

void
quiesce_destroy(struct quiesce **q)
{
	free(*q);
	*q = NULL;
}

struct quiesce_thread *
quiesce_join(struct quiesce *q)
{
	for (unsigned i = 0; i < QUIESCE_MAX_THREADS; i++) {
		struct quiesce_thread *t = &q->threads[i];
		unsigned high;

		if (atomic_exchange_explicit(&t->used, true, memory_order_acq_rel))
			continue;
		/* The fence of quiesce_online() orders this before the thread's first look, too. */
		high = atomic_load_explicit(&q->high, memory_order_relaxed);
		while (high <= i && !atomic_compare_exchange_weak_explicit(
					&q->high, &high, i + 1, memory_order_release, memory_order_relaxed))
			;
		return t;
	}
	return NULL;
}

void
quiesce_leave(struct quiesce *q, struct quiesce_thread **t)
{
	(void)q;
	if (!*t)
		return;
	quiesce_offline(*t);
	atomic_store_explicit(&(*t)->used, false, memory_order_release);
	*t = NULL;
}

/*
 * The one place where a store must be seen before later loads are made: who reclaims looks for offline
 * threads after he has unlinked, this thread looks for what is linked after it has said that it is online.
 * With both fences one of the two sees the other.
 */
void
quiesce_online(struct quiesce *q, struct quiesce_thread *t)
{
	uint64_t now = atomic_load_explicit(&q->stamp, memory_order_acquire);

	atomic_store_explicit(&t->seen, now, memory_order_release);
	full_fence(&t->seen);
}

void
quiesce_offline(struct quiesce_thread *t)
{
	atomic_store_explicit(&t->seen, 0, memory_order_release);
}

/*
 * No fence: while the old value of `seen` stands everybody waits for this thread, and the new one was
 * loaded with acquire after the unlinking that it stands for.
 */
void
quiesce_tick(struct quiesce *q, struct quiesce_thread *t)
{
	uint64_t now = atomic_load_explicit(&q->stamp, memory_order_acquire);

	if (atomic_load_explicit(&t->seen, memory_order_relaxed) != now)
		atomic_store_explicit(&t->seen, now, memory_order_release);
}

uint64_t
quiesce_stamp(struct quiesce *q)
{
#ifndef QUIESCE_TSAN
	atomic_thread_fence(memory_order_seq_cst);
#endif
	return atomic_fetch_add_explicit(&q->stamp, 1, memory_order_seq_cst) + 1;
}

bool
quiesce_passed(struct quiesce *q, uint64_t stamp)
{
	unsigned high;

	full_fence(&q->stamp);
	high = atomic_load_explicit(&q->high, memory_order_acquire);
	for (unsigned i = 0; i < high; i++) {
		uint64_t seen = atomic_load_explicit(&q->threads[i].seen, memory_order_acquire);

		if (seen && seen < stamp)
			return false;
	}
	return true;
}
