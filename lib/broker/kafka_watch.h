/*
 * kafka_watch - what a reader must know about its partition, asked for by a thread of its own, because
 * librdkafka's questions block: the log's id, and where it begins and ends.
 *
 * It asks about once a second, and at once after kafka_watch_ask().  The answers carry a number that grows
 * with each round, so that whoever asked can tell an answer to that question from one to an earlier one.
 *
 * Threads: any; the watch's own does the asking.   Blocks: kafka_watch_open() for up to KAFKA_WATCH_OPEN_MS,
 * kafka_watch_close() for as long as one question takes.   Clock: the system's, for its pauses.
 */
#ifndef SQUEAL_LIB_BROKER_KAFKA_WATCH_H
#define SQUEAL_LIB_BROKER_KAFKA_WATCH_H

#include "lib/broker/broker_ops.h"
#include "lib/broker/kafka.h"

enum { KAFKA_WATCH_OPEN_MS = 3000 };

struct kafka_watch; /* opaque */

struct kafka_view {
	char log_id[KAFKA_LOG_ID_LEN + 1];
	uint32_t partition;
	uint64_t first, end;
	uint64_t round; /* 0: nothing is known yet */
	bool gone;	/* the topic or the partition is not there any more */
	bool same;	/* the answer to kafka_watch_doubt() */
};

/*
 * `source` not NULL: the partition of that source, whatever `partition` says.  Rings `event_fd` (an eventfd,
 * borrowed) after each answer to kafka_watch_ask().  ERR_NOT_FOUND: no such topic or partition.  ERR_CONN,
 * ERR_BUSY, ERR_AUTH, ERR_PRIVILEGE: nobody answered yet; try again.
 */
err_t kafka_watch_open(struct kafka_watch **out, const struct log_options *opt, uint32_t partition,
		       const char *source, int event_fd, struct log *log, struct err_detail *why) MUST_CHECK;
void kafka_watch_close(struct kafka_watch **w); /* NULL is fine */

void kafka_watch_view(struct kafka_watch *w, struct kafka_view *out);

/* Asks again at once; an answer with a round of at least the returned number began after this call. */
uint64_t kafka_watch_ask(struct kafka_watch *w);

/* The same, and asks whether the log still has this record. */
uint64_t kafka_watch_doubt(struct kafka_watch *w, const struct broker_witness *witness);

#endif
