/*
 * broker - the log between squeal and the routers: append with acknowledgement, read from an offset, wait for
 * more, trim.
 *
 * Records are bytes (lib/wire/record.h) with offsets that only grow.  What broker_append() has acknowledged
 * survives kill -9 of any process (with sync "full": power loss too), and so does the checkpoint that was
 * handed over with it: the two are one transaction.  One writer per source and log; any number of readers in
 * any number of processes.  A log has an id, drawn at random when it is created: a reader that kept offsets
 * of another log must not use them here.
 *
 * Beside records a writer keeps notes: what it must still know after a restart and what is not for readers.
 * They change in the same transaction as records and checkpoint.  No retention removes them.  (A log that is
 * not on this machine may keep them in a file here, with a checkpoint of its own that tells how far they go.)
 *
 * Threads: one thread at a time per object; writer and readers in different threads or processes.
 * Blocks: append and open block on the disk; read does not wait for records, its fd tells when there are
 * more. Clock: injected.
 */
#ifndef SQUEAL_LIB_BROKER_BROKER_H
#define SQUEAL_LIB_BROKER_BROKER_H

#include <stdint.h>

#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"

/* clang-format off */
/*	  name              kind       unit       help */
#define BROKER_METRICS(M)                                                                      \
	M(log_append,       COUNTER,   "calls",   "acknowledged appends")                      \
	M(log_record,       COUNTER,   "records", "records appended")                          \
	M(log_bytes,        COUNTER,   "bytes",   "bytes of records appended")                 \
	M(log_append_error, COUNTER,   "calls",   "appends that failed and were tried again")  \
	M(log_trimmed,      COUNTER,   "records", "records removed by retention")              \
	M(log_read,         COUNTER,   "records", "records read")                              \
	M(log_read_error,   COUNTER,   "calls",   "reads that failed")                         \
	M(log_bad_record,   COUNTER,   "records", "records whose checksum does not match")     \
	M(log_lost_end,     COUNTER,   "times",   "Kafka: the topic lacked records that it had acknowledged; they were read again") \
	M(log_new_producer, COUNTER,   "times",   "Kafka: what was not acknowledged was handed over to a new connection") \
	M(log_append_time,  HISTOGRAM, "us",      "time of an acknowledged append")
/* clang-format on */

struct broker_metrics {
	METRIC_FIELDS(BROKER_METRICS)
};
extern const struct metric_row broker_metric_rows[];
extern const size_t broker_metric_nrows;

struct broker_context {
	const struct clock *clock;
	struct log *log;		/* may be NULL */
	struct broker_metrics *metrics; /* never NULL */
};

/* log.type says kafka. */
bool broker_is_kafka(const struct log_options *opt);

/*
 * Looks whether the log is fit to be one, as broker_writer_open() does, without making anything; calls `fn`
 * with a sentence for each thing that makes it less safe.  Of a file there is nothing to say.  `batch_bytes`:
 * squeal.batch_bytes.  Blocks for some seconds where brokers do not answer.
 */
typedef void broker_finding_fn(void *arg, const char *sentence);
err_t broker_check(const struct log_options *opt, uint64_t batch_bytes, const struct broker_context *ctx,
		   broker_finding_fn *fn, void *arg, struct err_detail *why) MUST_CHECK;

/* What can be said of the settings alone: ERR_CONFIG names one of log.properties that librdkafka does not
 * know, or that a promise of ours stands on. */
err_t broker_check_options(const struct log_options *opt, struct err_detail *why) MUST_CHECK;

/* What log.path is called in sentences: the file, or the topic and its brokers.  Appended. */
void broker_describe(const struct log_options *opt, struct buf *out);

/* --- writing ----------------------------------------------------------------------------------------------
 */

struct broker_writer;

/* A note that a Kafka log has when its checkpoint was taken from the topic: other notes, from before that,
 * are lost.  Whoever starts elsewhere drops it. */
#define BROKER_NOTE_REBUILT "rebuilt"

/*
 * Opens the log for appending records of `source`, creating the file where there is none.
 * ERR_IN_USE: another process writes this source (*why names its pid).  ERR_CONFIG: the file is another
 * program's, or of a later version.  ERR_BUSY, ERR_FULL, ERR_IO: may be tried again.  ERR_READ_ONLY,
 * ERR_CORRUPT, ERR_SYS: as their texts say; *why names the file and what to do.  Files beside the log: -wal
 * and -shm (SQLite's own), .SOURCE.lock, .wake.
 *
 * `opt` is borrowed until the log is closed.  Of a topic: the same for log.state, its file here; it looks
 * whether the topic can be the log (kafka_topic.h) and where it ends.  ERR_CONN, ERR_AUTH, ERR_PRIVILEGE,
 * ERR_BUSY: may be tried again.  ERR_NOT_FOUND: there is no such topic, and log.create is off.  ERR_GAP: the
 * topic has lost acknowledged records, and nothing tells from where to read them again.
 */
err_t broker_writer_open(struct broker_writer **out, const struct log_options *opt, const char *source,
			 const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;

/*
 * For measuring only: a writer that counts what it is given, acknowledges it at once, and keeps nothing.  It
 * has no file, no checkpoint and no readers.
 */
void broker_writer_open_null(struct broker_writer **out, const struct broker_context *ctx);

/* Gives the log up; NULL is fine. */
void broker_writer_close(struct broker_writer **w);

/* Takes new values of log.retention (seconds) and log.max_size (bytes) for the next trim.  Any thread. */
void broker_writer_retain(struct broker_writer *w, uint64_t retention_s, uint64_t max_size);

/*
 * Appends `n` records (0 is fine) and replaces the source's checkpoint (empty span: leaves it) in one
 * transaction, waits until both are durable, and wakes the readers.  *first is the first record's offset.
 * On error nothing of it is in the log.  ERR_FULL (disk full), ERR_IO, ERR_BUSY: the same call may be
 * repeated. ERR_CORRUPT, ERR_READ_ONLY: stop.  ERR_NOT_FOUND: the file was moved away or replaced; stop.
 * Without records and without a checkpoint nothing happens and *first is 0.
 *
 * Of a topic: records are acknowledged first, then the checkpoint is written here.  After ERR_BUSY and
 * ERR_CONN a part of the records may be in the topic, and the same call goes on with the rest.  ERR_TOO_LONG:
 * a record is larger than the topic takes (*why says what to raise); the same keys in smaller records may
 * pass. ERR_NOT_FOUND: the topic lost acknowledged records meanwhile; the checkpoint was put back, start
 * again.
 */
err_t broker_append(struct broker_writer *w, const struct span *records, size_t n, struct span checkpoint,
		    uint64_t *first, struct err_detail *why) MUST_CHECK;

/*
 * A note is a name and any number of numbered parts with a value each, so that a long one need not be in
 * memory at once.  The source's own: another source's notes of the same name are others.
 */
enum broker_note_change {
	BROKER_NOTE_PUT,  /* sets one part, which may be there */
	BROKER_NOTE_DROP, /* forgets all parts of the name, if there are any */
};

struct broker_note {
	enum broker_note_change change;
	struct span name; /* any bytes */
	uint32_t part;
	struct span value;
};

/* As broker_append(), and changes `nnotes` notes in the given order in the same transaction. */
err_t broker_append_notes(struct broker_writer *w, const struct span *records, size_t n,
			  struct span checkpoint, const struct broker_note *notes, size_t nnotes,
			  uint64_t *first, struct err_detail *why) MUST_CHECK;

/*
 * Appends one part's value to `out`; *found says whether there is one.  ERR_CORRUPT: its checksum does not
 * match.
 */
err_t broker_note_read(struct broker_writer *w, struct span name, uint32_t part, struct buf *out, bool *found,
		       struct err_detail *why) MUST_CHECK;

/* Every name, in order.  `fn` must not use the writer; the span is valid during its call. */
typedef void broker_note_fn(void *arg, struct span name);
err_t broker_note_names(struct broker_writer *w, broker_note_fn *fn, void *arg,
			struct err_detail *why) MUST_CHECK;

/*
 * The source's checkpoint, appended to `out`; nothing is appended when there is none yet.  ERR_CORRUPT: its
 * checksum does not match; append with a new checkpoint replaces it.
 */
err_t broker_checkpoint(struct broker_writer *w, struct buf *out, struct err_detail *why) MUST_CHECK;

/*
 * Removes at most `max_records` records that are older than the retention or beyond the size, oldest first;
 * *removed says how many.  Cheap when there is nothing to do; call it about once a second.
 */
err_t broker_trim(struct broker_writer *w, size_t max_records, size_t *removed,
		  struct err_detail *why) MUST_CHECK;

/* --- reading ----------------------------------------------------------------------------------------------
 */

struct broker_reader;

/* Opens an existing log for reading.  ERR_NOT_FOUND, ERR_BUSY (retry: squeal creates it), ERR_CORRUPT,
 * ERR_CONFIG. Readers need write permission on the folder for SQLite's -shm file. */
err_t broker_reader_open(struct broker_reader **out, const struct log_options *opt,
			 const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;
void broker_reader_close(struct broker_reader **r); /* NULL is fine */

/*
 * The same for one of the log's partitions, each of which is a log of its own: its own id, offsets and
 * sources. A source's records are all in one partition.  broker_reader_open() opens partition 0, the only one
 * of a file. ERR_NOT_FOUND: there is no such partition.
 */
err_t broker_reader_open_partition(struct broker_reader **out, const struct log_options *opt,
				   uint32_t partition, const struct broker_context *ctx,
				   struct err_detail *why) MUST_CHECK;

/* The partition of this source. */
err_t broker_reader_open_source(struct broker_reader **out, const struct log_options *opt, const char *source,
				const struct broker_context *ctx, struct err_detail *why) MUST_CHECK;

/* 32 hex digits; valid as long as the reader. */
const char *broker_reader_log_id(const struct broker_reader *r);

/* Offsets of the first record that is still there and of the one that will come next; equal when it is empty.
 */
err_t broker_bounds(struct broker_reader *r, uint64_t *first, uint64_t *end,
		    struct err_detail *why) MUST_CHECK;

/*
 * The checkpoint of `source`, appended to `out`, without being its writer; nothing is appended when there is
 * none. ERR_CORRUPT: its checksum does not match.
 */
err_t broker_reader_checkpoint(struct broker_reader *r, const char *source, struct buf *out,
			       struct err_detail *why) MUST_CHECK;

/*
 * Asks anew where the log ends.  broker_answered() says whether broker_bounds() tells what was found after
 * that call: of a file it always does, of a log that is elsewhere as soon as that has answered.
 */
uint64_t broker_ask(struct broker_reader *r);
bool broker_answered(struct broker_reader *r, uint64_t asked);

struct broker_record {
	uint64_t offset;
	struct span source;
	uint64_t at_us;	   /* wall-clock time of the append */
	struct span bytes; /* valid during the call only */
	bool damaged;	   /* the checksum does not match; bytes are not to be trusted */
};

/* Return false to stop after this record (it counts as read). */
typedef bool broker_record_fn(void *arg, const struct broker_record *rec);

/*
 * Hands over the records from offset `from` on, in order, at most `max_records` or about `max_bytes` (one at
 * least). *next is where to go on, also on errors; it may jump ahead of what was handed over, because offsets
 * do. ERR_GAP: records at `from` were trimmed before they were read, or `from` lies beyond the end (the log
 * has lost its end, or is a copy, or a topic that was made anew); *next is the first offset to read, which
 * may be lower than `from`.  ERR_NOT_FOUND: the file was moved away or replaced: close and open again.
 * ERR_CORRUPT, ERR_IO, ERR_BUSY.  Never waits: of a log that is elsewhere nothing may come yet (*next stays
 * `from`, ERR_OK) although there is more; then the fd becomes readable when it has arrived.  A reader follows
 * a few places at a time (the live one and those that catch up) without fetching anything twice; more places
 * take turns.  `fn` must not use the reader.
 */
err_t broker_read(struct broker_reader *r, uint64_t from, size_t max_records, size_t max_bytes,
		  broker_record_fn *fn, void *arg, uint64_t *next, struct err_detail *why) MUST_CHECK;

/*
 * For programs without a loop: as broker_read(), and where a record is there that has not come yet, waits for
 * it for up to `wait_ms` (then ERR_TIMEOUT).  ERR_OK with *next == from: the log ends there.
 */
err_t broker_read_wait(struct broker_reader *r, uint64_t from, size_t max_records, size_t max_bytes,
		       broker_record_fn *fn, void *arg, uint64_t *next, int wait_ms,
		       struct err_detail *why) MUST_CHECK;

/*
 * Becomes readable after every append; broker_reader_woken() empties it.  No append is missed by: woken, read
 * until *next stays what it was, wait.  A reader also looks once a second, for the append whose writer died
 * before it could wake anybody.
 */
int broker_reader_fd(const struct broker_reader *r);
void broker_reader_woken(struct broker_reader *r);

#endif
