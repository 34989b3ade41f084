/*
 * outbox_inside - what the files of the outbox share: outbox.c fills it, outbox_send.c makes windows, sends
 * them and takes what is acknowledged off the queue, outbox_reply.c has the answers.
 *
 * For these only.
 *
 * Threads: the outbox's.   Blocks: never.
 */
#ifndef SQUEAL_LIB_DELIVER_OUTBOX_INSIDE_H
#define SQUEAL_LIB_DELIVER_OUTBOX_INSIDE_H

#include "lib/deliver/bucket.h"
#include "lib/deliver/entry.h"
#include "lib/deliver/limiter.h"
#include "lib/deliver/outbox.h"
#include "lib/deliver/unsent.h"

enum { FLIGHTS_MAX = 64 /* the range of router.windows */ };

enum window_state {
	WINDOW_WAITS,  /* to be sent, not before retry_at_ms */
	WINDOW_FLIES,  /* all of it is in flight */
	WINDOW_SINGLE, /* its keys are sent one by one, not before retry_at_ms */
	WINDOW_ACKED,
};

struct window {
	uint64_t start; /* queue position of its first entry */
	size_t bytes;
	size_t keys;
	enum window_state state;
	bool is_flush;	   /* nothing but a FLUSH */
	bool is_caught_up; /* nothing but a CAUGHT_UP */
	bool was_sent;
	bool sampled;	    /* sent without q: its answers say what was there */
	bool single_failed; /* a key of this round has to be sent again */
	unsigned failures;
	unsigned outstanding; /* single keys in flight */
	size_t scan;	      /* WINDOW_SINGLE: bytes already gone through in this round */
	uint64_t retry_at_ms;
	uint64_t sent_us; /* by the wall clock, the last time */
};

/* Something in flight up to and including an end mark. */
struct flight {
	uint64_t window; /* number of the window */
	size_t at; /* the key that is answered next, in bytes from the window's start; WINDOW_SINGLE: the only
		      one */
	size_t keys;
	size_t answers;
	unsigned client_errors, server_errors;
	bool wants_ok; /* flush_all or caught_up is in it */
	bool ok;
	uint64_t sent_ms;
	char error[120];
};

struct outbox {
	struct outbox_context ctx;
	struct buf queue;    /* entries */
	uint64_t base;	     /* position of the queue's first byte */
	uint64_t unsent_at;  /* position of the first entry that is in no window */
	size_t unsent_keys;  /* keys and flushes from there on */
	uint64_t last_end;   /* position of the last entry when that is an END, else UINT64_MAX */
	uint64_t last_flush; /* position of the newest FLUSH, UINT64_MAX before the first */
	struct window *windows;
	size_t first, nwindows, capacity; /* windows[first .. first+nwindows) */
	uint64_t first_number;		  /* number of windows[first] */
	struct flight flights[FLIGHTS_MAX];
	size_t flight0, nflights;
	size_t flushes;
	bool connected, meta;
	uint32_t part, parts; /* of the log */
	uint64_t connections; /* so far */
	unsigned can;	      /* enum outbox_ability of the server that is connected */
	uint64_t last_answer_ms;
	uint64_t acked;
	/* the transaction of the entry at the queue's front, and of the next delete to come in */
	bool txn_open;
	struct entry_txn txn;
	bool in_open;	 /* its record is not at its end */
	bool in_pending; /* it is not in the queue yet */
	struct entry_txn in;
	struct unsent unsent; /* the keys that are in no window */
	struct limiter limiter;
	bool caught_up_pending;		/* behind what waits for a limit */
	uint64_t caught_up_pending_for; /* number of the connection */
	struct bucket rate;
	uint64_t rate_wants; /* keys of a window that could be sent but for the rate; 0: there is none */
	bool paused;
	uint64_t windows_made;
};

static inline char *
entry_at(const struct outbox *o, uint64_t position)
{
	return o->queue.p + (position - o->base);
}

static inline uint64_t
queue_end(const struct outbox *o)
{
	return o->base + o->queue.len;
}

static inline void
queue_changed(struct outbox *o)
{
	metric_set(&o->ctx.metrics->router_queue_bytes, outbox_bytes(o));
	metric_set(&o->ctx.metrics->router_limited_waiting, o->limiter.waiting);
}

static inline bool
window_is_mark(const struct window *w)
{
	return w->is_flush || w->is_caught_up;
}

static inline struct window *
window_numbered(struct outbox *o, uint64_t number)
{
	return &o->windows[o->first + (size_t)(number - o->first_number)];
}

static inline struct flight *
flight_at(struct outbox *o, size_t i)
{
	return &o->flights[(o->flight0 + i) % FLIGHTS_MAX];
}

/* What waits for a limit and may go now goes to the queue's end. */
void outbox_release_limited(struct outbox *o);

/* Takes finished windows from the front, and the ENDs behind them that nothing stands before any more. */
void outbox_finish_windows(struct outbox *o);

#endif
