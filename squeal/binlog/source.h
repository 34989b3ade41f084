/*
 * source - where raw binlog events come from: a server (source_mysql.h) or a file (source_file.h).
 *
 *     source_open(s, from)  source_next(s) ... source_next(s)  source_close(s)   and again, as after a lost
 * link
 *
 * Threads: one at a time, except source_interrupt(), which any thread may call at any time between create and
 * destroy.   Blocks: open and next block on the network or the disk, bounded by the timeouts of the options.
 */
#ifndef SQUEAL_BINLOG_SOURCE_H
#define SQUEAL_BINLOG_SOURCE_H

#include <stdint.h>

#include "lib/conf/endpoint.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "squeal/binlog/event.h"

/* What open() found out.  Spans live until the next open or destroy. */
struct source_info {
	struct span server; /* "10.11.6-MariaDB-log"; empty for a file */
	struct span start;  /* where the stream starts, as position.h writes it */
	struct span note;   /* something about this start that an operator should know; empty: nothing */
	struct span lost;   /* MySQL ids that we have read and the server lacks; empty: the rule */
	const struct endpoint *endpoint; /* where it comes from; NULL for a file */
	struct span file;		 /* for binlog_decoder_start(); empty when a ROTATE event will tell */
	uint64_t pos;			 /* the same */
	enum binlog_checksum checksum;	 /* the same */
	uint32_t server_id;		 /* ours, as a replica; 0 for a file */
	uint32_t source_id;		 /* the server's; 0 for a file */
	bool has_gtids;			 /* MySQL with gtid_mode=ON: every new transaction has an id */
	uint64_t connection;		 /* the server's number of our connection; 0 for a file */
};

struct source;

struct source_ops {
	err_t (*open)(struct source *s, struct span from, struct err_detail *why);
	err_t (*next)(struct source *s, struct span *event, struct err_detail *why);
	void (*interrupt)(struct source *s);
	void (*close)(struct source *s);
	void (*destroy)(struct source *s);
};

/* Each kind of source begins with this. */
struct source {
	const struct source_ops *ops;
	struct source_info info;
};

/*
 * Opens the stream at `from`:
 *     "gtid:..."  "file:..."   behind this position (position.h): a checkpoint, or where the lost link was;
 *                              "gtid:" may be left out
 *     "now"                    behind what is in the binlog now; an empty `from` is the same
 *     "earliest"               at the first event that the server still has
 * A file takes only "earliest" or an empty `from`: it is read from its start.
 * s->info tells what came of it.  Errors: see the kind of source.  After an error the source is closed.
 */
static inline err_t MUST_CHECK
source_open(struct source *s, struct span from, struct err_detail *why)
{
	return s->ops->open(s, from, why);
}

/*
 * The next event's bytes, valid until the next call on this source other than interrupt.  ERR_OK with an
 * empty span: the end of a file (a stream has none).  After an error only close is useful.
 */
static inline err_t MUST_CHECK
source_next(struct source *s, struct span *event, struct err_detail *why)
{
	return s->ops->next(s, event, why);
}

/* Makes a blocked open or next, and every later one, return ERR_CLOSED soon.  For good. */
static inline void
source_interrupt(struct source *s)
{
	s->ops->interrupt(s);
}

/* Ends the stream; it can be opened again.  Closed already is fine. */
static inline void
source_close(struct source *s)
{
	s->ops->close(s);
}

static inline void
source_destroy(struct source **s)
{
	if (*s != NULL)
		(*s)->ops->destroy(*s);
	*s = NULL;
}

#endif
