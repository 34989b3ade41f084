/*
 * cursor_kafka - the cursors of one partition, which are saved as the committed offset of a consumer group.
 *
 * Private to lib/broker.  Saving changes what is in memory and marks it as changed; whoever owns the group
 * commits it and says how that ended.  So a save never blocks and never fails, and what a crash takes back
 * means repeats.
 *
 * Servers that this router has neither loaded nor saved are not in the next commit: a server that was taken
 * out of the configuration does not hold the group's offset back for ever.
 *
 * Threads: the group's.   Blocks: never.
 */
#ifndef SQUEAL_LIB_BROKER_CURSOR_KAFKA_H
#define SQUEAL_LIB_BROKER_CURSOR_KAFKA_H

#include "lib/broker/broker_ops.h"
#include "lib/broker/commit.h"

/* What was found in the group for a partition. */
struct cursor_found {
	bool committed;	  /* there is an offset */
	uint64_t offset;  /* the committed one */
	bool has_servers; /* the metadata was ours: `commit` */
	/* The witness is not there: the offsets are of a log that is gone.  Or there are no offsets, and the
	 * log does not reach back to its beginning. */
	bool other_log;
	struct commit commit;
	char log_id[CURSOR_LOG_ID_MAX + 1]; /* of the log that is there */
};

/* `changed` is called by each save. */
struct cursor_store *cursor_kafka_create(const struct cursor_found *found, void (*changed)(void *arg),
					 void *arg);

/*
 * The offset and the metadata to commit now; false: nothing has been saved since cursor_kafka_committed() or
 * there is nothing to say.
 */
bool cursor_kafka_commit(struct cursor_store *s, uint64_t *offset, struct buf *metadata);

/* How the commit ended.  Not well: it is due again. */
void cursor_kafka_committed(struct cursor_store *s, bool well);

/* What tells the log of the cursors from another one; not known before something was read or committed. */
struct broker_witness cursor_kafka_witness(const struct cursor_store *s);

/* Takes a newer one in the place of `old`; nothing where that is no longer the one that is known. */
void cursor_kafka_set_witness(struct cursor_store *s, const struct broker_witness *old,
			      const struct broker_witness *w);

/* The least offset of all servers; false when there is none yet. */
bool cursor_kafka_least(const struct cursor_store *s, uint64_t *offset);

#endif
