/*
 * server_inside - what server.c, the life of a connection, server_greeting.c, how it begins, and
 * server_status.c, what it shows, share.
 *
 * Threads: the loop's.
 */
#ifndef SQUEAL_LIB_DELIVER_SERVER_INSIDE_H
#define SQUEAL_LIB_DELIVER_SERVER_INSIDE_H

#include "lib/deliver/process.h"
#include "lib/deliver/server.h"
#include "lib/net/stream.h"
#include "lib/wire/mc_reply.h"

enum server_state { SERVER_AWAY, SERVER_CONNECTING, SERVER_GREETING, SERVER_UP };

/* What the greeting waits for. */
enum greeting_step {
	STEP_LOGIN,
	STEP_VERSION,
	STEP_FENCE,
	STEP_STATS,   /* pid, uptime, time, total_connections */
	STEP_RESTART, /* squeal-cache: started_us */
};

struct server {
	struct server_context ctx;
	char *name;
	char *address;
	char *tls_name; /* that its certificate must carry; "" for a socket */
	enum server_state state;
	struct stream *stream;
	struct outbox *outbox;
	struct loop_timer pause; /* the next try to connect */
	struct loop_timer watch; /* ack_timeout, and windows that wait for time */
	uint64_t random;
	unsigned failures; /* in a row */
	uint64_t up_at_ms;
	uint64_t greeting_at_ms;
	bool was_up;
	bool said_away; /* one line per absence */
	bool no_probe;	/* the last server hung up on "mn": greet with "version" only */
	enum greeting_step step;
	unsigned stats_hangups; /* in a row: connections that ended at "stats" */
	bool meta;
	char version[96];
	unsigned can;	    /* enum outbox_ability, out of the version */
	uint64_t greetings; /* so far */
	char last_error[200];
	struct server_identity identity;
	struct process process;	      /* that is connected, or was */
	struct process fresh;	      /* being asked for */
	uint64_t asked_at_ms;	      /* "stats" was sent */
	int64_t heard_at_ms;	      /* the last that came from the process that is connected, or was */
	struct stream_counts counted; /* of the stream, already in the metrics */
	struct buf out;
	struct server_metrics metrics;
	struct outbox_metrics outbox_metrics;
};

/* The connection is open: greets. */
void server_greet(struct server *s);

/* An answer to what the greeting asked.  On error the connection is not worth keeping. */
err_t server_greeting_reply(struct server *s, const struct mc_reply *reply,
			    struct err_detail *why) MUST_CHECK;

/* Takes what the connection has sent so far into the metrics. */
void server_count_stream(struct server *s);

uint64_t server_now_ms(const struct server *s);

#endif
