/*
 * broker_sqlite - the log as one SQLite file: what the writing and the reading side share.
 *
 * Private to lib/broker.  Tables:
 *
 *     meta         log_id  32 hex digits, drawn when the file was made
 *                  first   offset of the first record that may still be there; every one before it was
 * trimmed next    no new record gets an offset below this boot    the boot of the machine in which a writer
 * last opened the log records      offset, source, at_us, sum, bytes checkpoints  source, text, sum notes
 * source, name, part, sum, value
 *
 * Notes came later than version 1 of the tables and are no new version: a reader does not need them, and a
 * writer makes the table where it is missing.
 *
 * Offsets start at 1 and grow by one, and jump ahead by BROKER_BOOT_SKIP when the machine was booted in
 * between: a power cut may have taken records (sync: normal) that a reader had seen, and their offsets must
 * not be given to other records, or that reader would skip these.
 *
 * A sum is XXH3 over the bytes, seeded with everything else in the row.
 */
#ifndef SQUEAL_LIB_BROKER_BROKER_SQLITE_H
#define SQUEAL_LIB_BROKER_BROKER_SQLITE_H

#include <inttypes.h>

#include "lib/broker/broker_ops.h"
#include "lib/broker/store.h"
#include "lib/core/hash.h"

enum {
	BROKER_APPLICATION_ID = 0x53514c47,	  /* "SQLG" */
	BROKER_STATE_APPLICATION_ID = 0x53515354, /* "SQST" */
	BROKER_TABLES_VERSION = 1,
	BROKER_BOOT_SKIP = 1 << 20,
	BROKER_LOG_ID_LEN = 32,
};

/* Offset of the record that comes next. */
#define BROKER_NEXT_SQL                                                                                      \
	"max(coalesce((SELECT offset + 1 FROM records ORDER BY offset DESC LIMIT 1), 0),"                    \
	" (SELECT value FROM meta WHERE key = 'next'))"

extern const struct store_kind broker_store_kind;
extern const struct store_kind broker_state_kind;

/* As broker_writer_open() and broker_reader_open(). */
err_t broker_sqlite_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
				const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;
err_t broker_sqlite_reader_open(struct broker_reader **out, const struct log_options *opt,
				const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;

/*
 * A file with the same tables at opt->state, for checkpoint and notes alone: nobody reads records from it,
 * and nobody is woken.
 */
err_t broker_sqlite_state_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			       const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;

static inline uint64_t
broker_record_sum(uint64_t offset, struct span source, uint64_t at_us, struct span bytes)
{
	return hash_span(bytes, hash_span(source, offset * UINT64_C(0x9e3779b97f4a7c15) ^ at_us));
}

static inline uint64_t
broker_checkpoint_sum(struct span source, struct span text)
{
	return hash_span(text, hash_span(source, 0));
}

/* "FILE.wake"; the caller frees it. */
char *broker_wake_path(const char *path);

#endif
