/*
 * keyset - the keys of one open transaction.
 *
 * A key added twice is kept once.  Savepoints mark a place, and rolling back to one forgets what came after
 * it. Memory is bounded: beyond `memory` bytes the keys go to an unlinked spill file, in order, and a key
 * that comes again after a spill is kept again (a repeat, which is allowed).
 *
 * Keys are 1 to 250 bytes long; the kind tells keys to delete from remote-marker keys.
 *
 * Threads: filled by one thread; what keyset_take() gives may go to another.   Blocks: on the disk when it
 * spills.
 */
#ifndef SQUEAL_KEYSET_H
#define SQUEAL_KEYSET_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum key_kind { KEY_DELETE, KEY_MARKER };

/* Packed keys that somebody keeps in parts.  `read` appends part `n` of 1..nparts, whole keys, to `out`. */
struct keyset_parts {
	err_t (*read)(void *arg, uint32_t n, struct buf *out, struct err_detail *why);
	void *arg;
	uint32_t nparts;
};

/* Keys that left the set: owned by whoever took them. */
struct keyset_keys {
	const struct keyset_parts *parts; /* borrowed; not NULL: there are no others */
	struct buf tail;  /* packed keys that are in memory; they come after the spilled ones */
	int spill_fd;	  /* -1 for none */
	uint64_t spilled; /* bytes in the spill file */
	uint64_t nkeys;	  /* of both kinds */
};

void keyset_keys_fini(struct keyset_keys *k);

/* Appends a key as parts hold it. */
void keyset_pack(struct buf *out, enum key_kind kind, struct span key);

/* One pass over the keys, in the order in which they were added. */
struct keyset_cursor {
	uint32_t part; /* the last one that was read */
	uint64_t file_at;
	size_t tail_at;
	struct buf chunk; /* of a part, or of the spill file */
};

#define KEYSET_CURSOR_INIT ((struct keyset_cursor){0})

/* The next key; *more is false behind the last one.  `key` is valid until the next call.
 * ERR_IO: the spill file cannot be read; the call may be repeated.  Errors of keyset_parts; ERR_CORRUPT: a
 * part does not hold whole keys. */
err_t keyset_next(const struct keyset_keys *k, struct keyset_cursor *c, enum key_kind *kind, struct span *key,
		  bool *more, struct err_detail *why) MUST_CHECK;
void keyset_cursor_fini(struct keyset_cursor *c);

struct keyset; /* opaque */

/* `memory`: bytes of packed keys kept in memory.  `spill_dir` is copied. */
struct keyset *keyset_create(size_t memory, const char *spill_dir);
void keyset_destroy(struct keyset **s);

/*
 * Copies the key (1..250 bytes).  *added is false for a key that was there.  ERR_FULL, ERR_IO, ERR_SYS: the
 * spill file could not be written; the set is as before and the call may be repeated.
 */
err_t keyset_add(struct keyset *s, enum key_kind kind, struct span key, bool *added,
		 struct err_detail *why) MUST_CHECK;

/* Where the set stands now; give it to keyset_rollback() to forget everything added since. */
struct keyset_mark {
	uint64_t at;
	uint64_t nkeys;
};
struct keyset_mark keyset_mark(const struct keyset *s);
err_t keyset_rollback(struct keyset *s, struct keyset_mark mark, struct err_detail *why) MUST_CHECK;

/* Forgets everything. */
void keyset_clear(struct keyset *s);

uint64_t keyset_count(const struct keyset *s);
uint64_t keyset_spilled(const struct keyset *s); /* bytes now in the spill file */

/* Moves the keys out and leaves an empty set.  `out` must be empty (spill_fd -1, tail BUF_INIT or cleared);
 * the set goes on with the memory of its tail. */
void keyset_take(struct keyset *s, struct keyset_keys *out);

#endif
