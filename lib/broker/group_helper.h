/*
 * group_helper - a thread that asks what would block a member of a group: the committed cursors of a
 * partition, whether its log is still the one that was read, and how many partitions the topic has.
 *
 * One question per partition at a time: a newer one takes the place of the one before.  A question about
 * cursors is asked until it is answered; one about a witness that finds nobody is dropped.
 *
 * Private to lib/broker.   Threads: its own, and the group's for the calls here.   Blocks:
 * group_helper_stop() for as long as one answer takes.   Clock: the system's, for its pauses.
 */
#ifndef SQUEAL_LIB_BROKER_GROUP_HELPER_H
#define SQUEAL_LIB_BROKER_GROUP_HELPER_H

#include "lib/broker/cursor_kafka.h"
#include "lib/broker/kafka_witness.h"

enum helper_question {
	HELPER_NONE,
	HELPER_LOAD,	/* what is committed, and is it of the log that is there? */
	HELPER_WITNESS, /* is the witness still there, and which one is newer? */
};

struct helper_answer {
	enum helper_question question;
	struct cursor_found found;     /* HELPER_WITNESS: other_log alone */
	struct broker_witness witness; /* HELPER_WITNESS: that was asked for */
	struct broker_witness newer;   /* known where there is one, of the same log */
};

enum { HELPER_TROUBLE_MAX = 400 };

struct group_helper; /* opaque */

/* Rings `event_fd` (an eventfd, borrowed) when there is something new here. */
err_t group_helper_create(struct group_helper **out, const struct log_options *opt, int event_fd,
			  struct log *log, struct err_detail *why) MUST_CHECK;
void group_helper_destroy(struct group_helper **h); /* NULL is fine */

/* Begins to ask; committed cursors through this member, which must not go before group_helper_stop(). */
err_t group_helper_start(struct group_helper *h, struct kafka *member, struct err_detail *why) MUST_CHECK;
void group_helper_stop(struct group_helper *h); /* nothing where it does not run */

/* HELPER_WITNESS: is `witness` (may be unknown) there, and which record lies before offset `before`? */
void group_helper_load(struct group_helper *h, uint32_t partition);
void group_helper_witness(struct group_helper *h, uint32_t partition, uint64_t before,
			  const struct broker_witness *witness);
void group_helper_forget(struct group_helper *h, uint32_t partition);

/* The answer, once; the caller frees it.  NULL: there is none yet. */
struct helper_answer *group_helper_take(struct group_helper *h, uint32_t partition);

/* 0: not known yet. */
uint32_t group_helper_partitions(struct group_helper *h);

/* True once after the topic was missed and is there again. */
bool group_helper_returned(struct group_helper *h);

/* What went wrong last; "": nothing. */
void group_helper_trouble(struct group_helper *h, char out[HELPER_TROUBLE_MAX]);

#endif
