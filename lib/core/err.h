/*
 * err - what went wrong, and what the caller should do about it.
 *
 * One small enum for the whole project.  Code above a module's boundary branches on the action
 * (retry, skip, stop), rarely on the code.  "Need more bytes" is a result of a parser, not an error.
 * A sentence for people travels beside the code in a struct err_detail, filled where the mistake is
 * found: what happened, and what to do next.
 *
 * Threads: any; nothing here has state.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_ERR_H
#define SQUEAL_LIB_CORE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum err_action {
	ERR_DO_NOTHING, /* it worked */
	ERR_DO_RETRY,	/* the same call may work later: keep the data, back off, try again */
	ERR_DO_SKIP,	/* this one item is bad: count it, leave it, go on with the rest */
	ERR_DO_STOP,	/* going on would lose data or make no sense: stop and tell the operator */
};

/* clang-format off */
/*    name             caller should     text                                              */
#define ERR_TABLE(X)                                                                          \
	X(ERR_OK,          ERR_DO_NOTHING, "ok")                                              \
	X(ERR_USAGE,       ERR_DO_STOP,    "wrong usage")                                     \
	X(ERR_CONFIG,      ERR_DO_STOP,    "bad configuration")                               \
	X(ERR_SYS,         ERR_DO_STOP,    "the operating system refused")                    \
	X(ERR_NOT_FOUND,   ERR_DO_STOP,    "not found")                                       \
	X(ERR_CONN,        ERR_DO_RETRY,   "connection failed or lost")                       \
	X(ERR_TIMEOUT,     ERR_DO_RETRY,   "nothing heard in time")                           \
	X(ERR_BUSY,        ERR_DO_RETRY,   "busy")                                            \
	X(ERR_FULL,        ERR_DO_RETRY,   "no room left")                                    \
	X(ERR_IO,          ERR_DO_RETRY,   "disk read or write failed")                       \
	X(ERR_AUTH,        ERR_DO_RETRY,   "access denied")                                   \
	X(ERR_PRIVILEGE,   ERR_DO_RETRY,   "a privilege is missing")                          \
	X(ERR_SOURCE_SETUP,ERR_DO_RETRY,   "the database is not set up for this")             \
	X(ERR_PROTOCOL,    ERR_DO_RETRY,   "the other side does not speak the protocol")      \
	X(ERR_BAD_MARKER,  ERR_DO_SKIP,    "malformed key list in a comment")                 \
	X(ERR_BAD_KEY,     ERR_DO_SKIP,    "not a valid cache key")                           \
	X(ERR_TOO_LONG,    ERR_DO_SKIP,    "longer than its limit")                           \
	X(ERR_BAD_RECORD,  ERR_DO_SKIP,    "undecodable log record")                          \
	X(ERR_CHECKSUM,    ERR_DO_RETRY,   "checksum does not match")                         \
	X(ERR_BAD_EVENT,   ERR_DO_STOP,    "undecodable binlog event")                        \
	X(ERR_UNKNOWN_EVENT, ERR_DO_STOP,  "binlog event of a kind that cannot be skipped")   \
	X(ERR_GAP,         ERR_DO_STOP,    "the history before this point is not whole")      \
	X(ERR_PURGED,      ERR_DO_STOP,    "removed before it was read")                      \
	X(ERR_BEHIND,      ERR_DO_STOP,    "the other side lacks what was read from it")      \
	X(ERR_OTHER_SERVER,ERR_DO_STOP,    "another server than before")                      \
	X(ERR_INCIDENT,    ERR_DO_STOP,    "the other side lost events")                      \
	X(ERR_KEYS_UNKNOWN,ERR_DO_STOP,    "keys of a change cannot be known")                \
	X(ERR_CORRUPT,     ERR_DO_STOP,    "stored data is damaged")                          \
	X(ERR_READ_ONLY,   ERR_DO_STOP,    "cannot be written")                               \
	X(ERR_IN_USE,      ERR_DO_STOP,    "already in use by another process")               \
	X(ERR_CLOSED,      ERR_DO_STOP,    "shutting down")
/* clang-format on */

typedef enum err {
#define ERR_ENUM(name, action, text) name,
	ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
} err_t;

/* The sentence for people.  The first reason given is the one that is kept. */
struct err_detail {
	err_t code;
	char text[600];
};

/* "ERR_CONN"; never NULL. */
const char *err_name(err_t err);

/* The row's text; never NULL. */
const char *err_text(err_t err);

enum err_action err_action(err_t err);

/*
 * Notes `err` and the sentence in *why and returns `err`.  NULL `why` is fine.  A detail that already
 * holds an error is not overwritten: the place nearest to the cause has spoken.
 */
err_t err_set(struct err_detail *why, err_t err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the sentence in *why. */
void err_wrap(struct err_detail *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes a "?" of every control character: bytes from outside stand in the sentence, and none of them may
 * start a line or colour a terminal.  NULL is fine. */
void err_one_line(struct err_detail *why);

/* The sentence, or the code's own text where nobody gave one. */
const char *err_why(const struct err_detail *why);

static inline void
err_clear(struct err_detail *why)
{
	why->code = ERR_OK;
	why->text[0] = '\0';
}

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
