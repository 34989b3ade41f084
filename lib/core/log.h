/*
 * log - one line per thing that happened, for one reader with one question.
 *
 *     2026-11-20T21:38:00.123456Z WARN  router: server is away server=10.0.0.1:11211 reason="connection
 * refused"
 *
 * A line is what happened, then key=value fields.  Values that hold spaces, quotes or control bytes are
 * quoted and escaped here, so no foreign byte can start a line or colour a terminal.  Choose the level by who
 * is hurt: a client's mistake NOTICE, one item lost to its own fault WARN, a part unusable ERROR, the process
 * leaving CRIT.  Lines with the same text are limited to LOG_BURST per second; what was held back is counted
 * and said in the next line that gets through.
 *
 * Threads: any; a line is written with one write(2).   Blocks: as long as the write to the sink does.
 * Clock: injected.
 */
#ifndef SQUEAL_LIB_CORE_LOG_H
#define SQUEAL_LIB_CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/span.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARN, LOG_ERROR, LOG_CRIT };

enum { LOG_BURST = 10 };

struct log; /* opaque */

struct log_field {
	const char *key;
	enum { LOG_F_NONE, LOG_F_STR, LOG_F_SPAN, LOG_F_UINT, LOG_F_INT, LOG_F_BOOL } type;
	union {
		const char *str;
		struct span span;
		uint64_t u;
		int64_t i;
	} v;
};

#define F_STR(k, x)  ((struct log_field){.key = (k), .type = LOG_F_STR, .v.str = (x)})
#define F_SPAN(k, x) ((struct log_field){.key = (k), .type = LOG_F_SPAN, .v.span = (x)})
#define F_UINT(k, x) ((struct log_field){.key = (k), .type = LOG_F_UINT, .v.u = (x)})
#define F_INT(k, x)  ((struct log_field){.key = (k), .type = LOG_F_INT, .v.i = (x)})
#define F_BOOL(k, x) ((struct log_field){.key = (k), .type = LOG_F_BOOL, .v.u = (x)})

/* Where lines go: called with one whole line, newline included, which is valid only during the call. */
typedef void log_sink_fn(void *arg, enum log_level level, struct span line);

/* `who` ("squeal", "router") starts each line's text and is copied.  `sink` NULL means standard error. */
struct log *log_create(const char *who, enum log_level min, const struct clock *clock, log_sink_fn *sink,
		       void *arg);
void log_destroy(struct log **l);

/* Reloadable. */
void log_set_level(struct log *l, enum log_level min);

/* "debug", "info", ...; false when it is none of them. */
bool log_level_parse(struct span text, enum log_level *out);

/* NULL `l` drops the line.  `what` must be a string literal: the rate limit tells lines apart by it. */
void log_write(struct log *l, enum log_level level, const char *what, const struct log_field *fields,
	       size_t n);

/* Lines held back by the rate limit so far. */
uint64_t log_suppressed(const struct log *l);

/* The same escaping for other outputs: quotes only when needed. */
void log_escape(struct buf *out, struct span value);

#define LOG_AT(l, level, what, ...)                                                                          \
	log_write((l), (level), (what), (const struct log_field[]){{0}, ##__VA_ARGS__} + 1,                  \
		  sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field) - 1)
#define log_debug(l, ...)  LOG_AT(l, LOG_DEBUG, __VA_ARGS__)
#define log_info(l, ...)   LOG_AT(l, LOG_INFO, __VA_ARGS__)
#define log_notice(l, ...) LOG_AT(l, LOG_NOTICE, __VA_ARGS__)
#define log_warn(l, ...)   LOG_AT(l, LOG_WARN, __VA_ARGS__)
#define log_error(l, ...)  LOG_AT(l, LOG_ERROR, __VA_ARGS__)
#define log_crit(l, ...)   LOG_AT(l, LOG_CRIT, __VA_ARGS__)

#endif
