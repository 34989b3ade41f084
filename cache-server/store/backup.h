/*
 * backup - a store's items as a stream of bytes: written while the store serves, to a file or to another
 * server (clone), and read again.
 *
 * Little-endian.  A header, then blocks, the last of which ends with a record END:
 *
 *     header    80 bytes   "SQBACKUP", version (4), kind (4: 0 full, 1 incremental), id (8), id of the base
 *                          (8, 0 for a full one), lineage (8), seed of the key hashes (8), unix time at the
 *                          beginning (8), 16 zero bytes, XXH3 of all that (8)
 *     block     24 bytes   "SQBK", length (4, at most BACKUP_MAX_BLOCK), number from 0 on (8), XXH3 of the
 *                          records with the seed id + number (8); then the records
 *     ITEM (1)  56 bytes   type (1), length of key (1), bits (2), client flags (4), expiry in unix time (8,
 *                          0 never), order (8), CAS (8), epoch: count (8), term (4), source (4), length of
 *                          value (8); then the key, and the value when it is not above BACKUP_INLINE
 *     PART (3)  8 bytes    type (1), 3 zero bytes, length (4); then bytes: a larger value follows its ITEM
 *                          in parts, with nothing in between
 *     SAME (2)  24 bytes   type (1), bits (1), 6 zero bytes, hash of the key (8), order (8): incremental
 *                          only, an item that the base has with this order
 *     END (4)   24 bytes   type (1), 7 zero bytes, number of ITEMs (8), number of SAMEs (8)
 *
 * A new field takes zero bytes that are reserved and means what it meant without it when it is zero; anything
 * else is a new version.  Bits: 1 stale, 2 fetched, 4 the client chose the CAS, 8 there is an epoch.
 *
 * An incremental one names every item that is there: by its content when it is new or changed since the base,
 * by SAME when it is not.  What it does not name was deleted, evicted or has expired, and a restore takes
 * nothing of it from the base: so deletes need no list of their own.  `order` tells versions of a key apart
 * within one lineage (one life of a store's memory); a base of another lineage is refused.
 *
 * What is deleted while the backup is being written may be in it.  Restored items are therefore unproven,
 * like those of before a restart, until the router has delivered everything since the beginning of the backup
 * (backup_info.began) and says so.
 *
 * Markers, leases and hold-offs are the guard's and not in a backup.
 *
 * Threads: each writer, reader or manifest one.   Blocks: never, but for what the sink does.   Clock: passed
 * in.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_BACKUP_H
#define SQUEAL_CACHE_SERVER_STORE_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/store/store.h"
#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum {
	BACKUP_VERSION = 1,
	BACKUP_BLOCK = 256 << 10, /* a block is closed when it has as much */
	BACKUP_INLINE = 64 << 10,
	BACKUP_MAX_BLOCK = BACKUP_BLOCK + BACKUP_INLINE + 1024,
	BACKUP_MAX_PART = 64 << 10,
};

enum { BACKUP_STALE = 1, BACKUP_FETCHED = 2, BACKUP_CAS = 4, BACKUP_EPOCH = 8 };

struct backup_info {
	bool incremental;
	uint64_t id, base, lineage, hash_seed;
	uint64_t began; /* unix time */
};

/* --- reading: bytes in any pieces, no I/O ------------------------------------------------------------------
 */

struct backup_item {
	struct span key;
	uint64_t hash; /* of the key, by the file's seed */
	unsigned bits;
	uint32_t client_flags;
	uint64_t expiry; /* unix time */
	uint64_t order, cas;
	struct item_epoch epoch;
	uint64_t value_len;
};

/*
 * Called for what has been proven, during backup_read(); spans are valid during the call.  Anything but
 * ERR_OK ends the reading.  `part` is called until the value is whole: `at` is the part's offset; an empty
 * value has one empty part.  NULL functions are skipped.
 */
struct backup_visitor {
	err_t (*header)(void *arg, const struct backup_info *info, struct err_detail *why);
	err_t (*item)(void *arg, const struct backup_item *it, struct err_detail *why);
	err_t (*part)(void *arg, const struct backup_item *it, uint64_t at, struct span bytes,
		      struct err_detail *why);
	err_t (*same)(void *arg, uint64_t hash, uint64_t order, unsigned bits, struct err_detail *why);
	void *arg;
};

struct backup_reader; /* opaque */

struct backup_reader *backup_reader_create(const struct backup_visitor *v);
void backup_reader_destroy(struct backup_reader **r);

/* ERR_CORRUPT: damaged, foreign or of an unknown version; nothing can be read after an error. */
err_t backup_read(struct backup_reader *r, struct span bytes, struct err_detail *why) MUST_CHECK;

/* No more bytes will come: ERR_CORRUPT unless the end was reached. */
err_t backup_read_end(struct backup_reader *r, struct err_detail *why) MUST_CHECK;

/* True when the whole backup has been read: for streams that do not end by themselves. */
bool backup_read_done(const struct backup_reader *r);

/* --- what a base holds
 * -------------------------------------------------------------------------------------- */

/* From hashes of keys to numbers; 16 to 32 bytes for each. */
struct backup_map {
	uint64_t *pairs;
	size_t used, cap; /* a power of two */
};

/* The number kept for the hash; NULL: none.  Valid until the next addition. */
uint64_t *backup_map_find(const struct backup_map *m, uint64_t hash);
void backup_map_put(struct backup_map *m, uint64_t hash, uint64_t number);
void backup_map_fini(struct backup_map *m);

/* Everything a backup names, made by reading it once. */
struct backup_manifest {
	struct backup_info info;
	struct backup_map orders;
	struct backup_visitor visitor; /* give it to a reader */
};
void backup_manifest_init(struct backup_manifest *m);
void backup_manifest_fini(struct backup_manifest *m);

/* --- writing
 * ------------------------------------------------------------------------------------------------ */

/* Takes the next bytes of the stream. */
typedef err_t backup_sink_fn(void *arg, struct span bytes, struct err_detail *why);

struct backup_options {
	uint64_t id;			    /* at random, not 0 */
	uint64_t hash_seed;		    /* at random; an incremental one has its base's */
	uint64_t unix_now;		    /* wall clock, seconds */
	const struct backup_manifest *base; /* NULL: full; must outlive the backup */
	backup_sink_fn *sink;
	void *arg;
};

struct backup; /* opaque */

/* ERR_BEHIND: the base is of another lineage: make a full one. */
err_t backup_create(struct backup **out, struct store_thread *t, const struct backup_options *opt,
		    struct err_detail *why) MUST_CHECK;

/*
 * Writes the items of some more segments; *more becomes false when all has been written, END included.  The
 * thread is online and ticks between two calls as it does between batches of requests.
 */
err_t backup_step(struct backup *b, unsigned segments, bool *more, struct err_detail *why) MUST_CHECK;

struct backup_figures {
	uint64_t items, same, bytes;
};
void backup_figures(const struct backup *b, struct backup_figures *out);
void backup_destroy(struct backup **b);

#endif
