/*
 * source - what a container knows about the sources of epochs: their names, terms and watermarks.
 *
 * The table lies in the guard's region and survives kill -9.  A source has a number from 1 to SOURCE_MAX; an
 * item keeps that number together with the id of the table (source_code), so that the numbers of a table that
 * was lost mean nothing to the next one.
 *
 *   - Only invalidations, watermarks and new terms make a source known, never fills.
 *   - A fill is refused until a watermark has been heard since the table was made or flushed: before it,
 *     nobody can say what this server has missed or forgotten.  The first watermark is the source's floor.
 *   - An epoch counts when its term is the current one or a later one, or when its term's end is known and
 *     the epoch is not after it.
 *
 * Memory ordering: each source has a sequence number that is odd while the source changes; readers that saw
 * it change read again.  Words are written in an order that keeps them safe when the process dies between two
 * of them: watermarks fall before they rise, floors and terms rise first.
 *
 * Source: docs/architecture.md, "the pulse"; schemas/cache-protocol.md.
 *
 * Threads: any.   Blocks: writers of one table wait for each other (no I/O).   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_CACHE_SOURCE_H
#define SQUEAL_CACHE_SERVER_CACHE_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/epoch.h"
#include "cache-server/store/item.h"
#include "lib/core/span.h"

enum { SOURCE_MAX = 63, SOURCE_TERMS = 8 };

/* A moment of one source, by term first. */
struct source_time {
	uint64_t count;
	uint32_t term;
};

static inline bool
source_newer(struct source_time a, struct source_time b)
{
	return a.term != b.term ? a.term > b.term : a.count > b.count;
}

struct source_words { /* a source_time in shared memory */
	_Atomic uint64_t count;
	_Atomic uint32_t term;
	uint32_t unused;
};

struct source {
	char name[EPOCH_MAX_SOURCE];
	_Atomic uint32_t name_len;
	_Atomic uint32_t sequence;
	_Atomic uint32_t term;	/* the latest that a watermark or a new term named */
	_Atomic uint32_t heard; /* a watermark since the table was made or flushed */
	struct source_words mark;
	struct source_words floor;
	struct source_words ends[SOURCE_TERMS]; /* the first nends of them */
	_Atomic uint32_t nends;
	_Atomic uint32_t begun; /* a watermark or new term was ever heard, so items may have its epochs */
};

struct source_table {
	_Atomic uint32_t lock;
	_Atomic uint32_t n;
	_Atomic uint32_t id;	 /* 24 bits, random */
	_Atomic uint32_t ended;	 /* terms that have ended, of all sources: 0 saves readers the look */
	_Atomic uint64_t marked; /* changes with every watermark */
	struct source sources[SOURCE_MAX + 1]; /* 0 is none */
};

/* The memory is zeroed; `id`: random. */
void source_table_make(struct source_table *s, uint32_t id);

/* After a restart: what a writer left half done is finished. */
void source_table_recover(struct source_table *s);

/* The source's number; 0: not known / no room. */
uint32_t source_find(const struct source_table *s, struct span name);
uint32_t source_intern(struct source_table *s, struct span name);

/* Lives as long as the table. */
struct span source_name(const struct source_table *s, uint32_t number);

/* What items keep, and back; 0: not of this table. */
static inline uint32_t
source_code(const struct source_table *s, uint32_t number)
{
	return number ? atomic_load_explicit((_Atomic uint32_t *)&s->id, memory_order_relaxed) << 8 | number
		      : 0;
}

static inline uint32_t
source_number(const struct source_table *s, uint32_t code)
{
	uint32_t id = atomic_load_explicit((_Atomic uint32_t *)&s->id, memory_order_relaxed);
	uint32_t number = code & 0xFF;

	return code >> 8 == id && number <= SOURCE_MAX ? number : 0;
}

/* False: it is of a term that ended before it, or whose end is not known. */
bool source_counts(const struct source_table *s, uint32_t number, struct source_time e);

/* False: no term ever ended, so source_counts() need not be asked. */
static inline bool
source_any_ended(const struct source_table *s)
{
	return atomic_load_explicit((_Atomic uint32_t *)&s->ended, memory_order_acquire) != 0;
}

enum source_verdict {
	SOURCE_FINE,
	SOURCE_FLOOR /* unknown, not heard, or not above the floor */,
	SOURCE_TERM
};

/* May a fill with this epoch be believed, as far as the source is concerned? */
enum source_verdict source_judge(const struct source_table *s, uint32_t number, struct source_time e);

/* Fills must be newer than this. */
void source_raise(struct source_table *s, uint32_t number, struct source_time floor);

void source_watermark(struct source_table *s, uint32_t number, struct source_time w);
void source_new_term(struct source_table *s, uint32_t number, struct source_time survived, uint32_t term);

/* The watermark; false: none was heard. */
bool source_mark(const struct source_table *s, uint32_t number, struct source_time *out);

/* All that was known of what was delivered is void (flush_all): fills wait for the next watermark. */
void source_flush(struct source_table *s);

#endif
