/*
 * lane - one server's way through the log: its place, its cursor, its gaps, how old its backlog is.
 *
 * The place is the next record to put into the server's outbox; the cursor is the first record that the
 * server has not acknowledged whole.  A lane is full when its outbox holds queue_bytes, and stays so until
 * half of it is gone.  In a gap the server is flushed, and the cursor does not pass before the flush is
 * acknowledged; across a change of logs, and where another server answers at the address, it means nothing
 * until then.
 *
 * A paused lane sends nothing more.  It fills up like that of a server that is away, and the log has the
 * rest.
 *
 * Threads: the loop's.   Blocks: never.   Time: given by the caller.
 */
#ifndef SQUEAL_ROUTER_LANE_H
#define SQUEAL_ROUTER_LANE_H

#include "lib/broker/cursor.h"
#include "lib/conf/topology.h"
#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/metric.h"
#include "lib/deliver/server.h"
#include "router/age.h"

/* clang-format off */
/*	  name                        kind     unit       help */
#define LANE_METRICS(M)                                                                                         \
	M(router_gaps,                COUNTER, "gaps",    "times that the log could not prove that the server has seen every delete") \
	M(router_in_gap,              GAUGE,   "",        "1 until the server is flushed after a gap")         \
	M(router_acked_offset,        GAUGE,   "offset",  "first record that the server has not acknowledged whole") \
	M(router_behind,              GAUGE,   "records", "records between that and the log's end")            \
	M(router_behind_seconds,      GAUGE,   "seconds", "how long ago the first of these records was appended") \
	M(router_paused,              GAUGE,   "",        "1 while deliveries to the server are paused by hand")
/* clang-format on */

struct lane_metrics {
	METRIC_FIELDS(LANE_METRICS)
};
extern const struct metric_row lane_metric_rows[];
extern const size_t lane_metric_nrows;

struct lane {
	const struct router_options *opt;
	struct log *log; /* may be NULL */
	void *owner;	 /* for the caller */
	struct server *server;
	struct outbox *outbox;		  /* the server's */
	uint64_t next_read;		  /* the place */
	struct server_security *security; /* the owner's */
	uint64_t security_sum;		  /* tells its settings from others */
	bool shadow;			  /* does not count for readiness */
	bool started;			  /* the server is connected to */
	bool full;
	bool heavy;	    /* the outbox is more than half full */
	uint64_t served_ms; /* when the log was read for it while it was behind; 0: never */
	bool dry;	    /* what comes next in the log has not arrived here yet */
	bool placed;	    /* in the log log_id */
	bool unproven;	    /* what the server holds may be anything until its flush is done */
	bool distrust;	    /* flush it when it is placed */
	bool paused;
	bool behind;	  /* of the live feed: catch_up_rate applies */
	unsigned sharers; /* lanes of the server that are behind and share it; 0: nobody has counted */
	uint64_t told;	  /* the greeting (server_greetings()) that lane_caught_up() has answered */
	uint64_t asked;	  /* broker_ask() after that greeting */
	uint64_t greeted; /* the greeting that lane_greeted() has looked at */
	char log_id[CURSOR_LOG_ID_MAX + 1];
	bool had_cursor;      /* when the lane was made */
	struct cursor cursor; /* as loaded or saved last */
	struct age age;	      /* of what is read and not acknowledged */
	struct {
		uint64_t from, to; /* records from .. to-1 */
		char reason[200];  /* "" when there was none */
	} gap;			   /* the last one */
	struct lane_metrics metrics;
};

/* `server` becomes the lane's.  The cursor is loaded by the caller. */
void lane_init(struct lane *lane, struct server *server, const struct router_options *opt, struct log *log);
void lane_fini(struct lane *lane);

/* Begins to connect, unless it has begun. */
void lane_start(struct lane *lane);

/* What the server holds is not what its cursor says: it is flushed before anything else counts.  Before the
 * first lane_place(). */
void lane_distrust(struct lane *lane);

/* Finds the place in a log that was just opened: at the cursor, or where another log begins, with a gap
 * before it. */
void lane_place(struct lane *lane, const char *log_id, uint64_t first);

/* Everything before `next` is in the outbox. */
void lane_advance(struct lane *lane, uint64_t next);

/* The server may have missed deletes of the records from .. to-1; the place becomes `to`. */
void lane_gap(struct lane *lane, uint64_t from, uint64_t to, const char *reason);

/*
 * Looks at a connection that came up since the last call: where another server answers than before, whose
 * values our deletes have not reached, it is flushed first.
 */
void lane_greeted(struct lane *lane);

/*
 * The place has come to the log's end as it was after the server's last greeting: a squeal-cache that
 * restarted is told so, once for each connection.  `log_end` must have been asked for after the greeting.
 */
void lane_caught_up(struct lane *lane, uint64_t log_end);

/* Has the place come to the log's end since the server's last greeting? */
bool lane_is_caught_up(const struct lane *lane);

/* Is the flush of a gap still to be acknowledged? */
bool lane_in_gap(const struct lane *lane);

/* Takes notice of what was acknowledged meanwhile.  `live`: the place of the foremost lane. */
void lane_look(struct lane *lane, uint64_t log_end, uint64_t live, uint64_t now_us);

/* Sends nothing more, or goes on. */
void lane_pause(struct lane *lane, bool pause);

/* Fills *out when the cursor has moved since it was saved; false otherwise. */
bool lane_cursor(const struct lane *lane, struct cursor *out);

/* An object for /status. */
void lane_status(const struct lane *lane, struct json *j);

#endif
