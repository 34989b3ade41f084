/*
 * mc_reply - recognises one memcached reply line at a time.
 *
 * The parser is incremental without state: call it on what has arrived, take `used` bytes when a reply is
 * whole, call it again when more has arrived.  Only replies to the requests of mc_request.h are known;
 * anything else, a line above MC_REPLY_LINE_MAX bytes, or a NUL means that the stream cannot be trusted any
 * further.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_WIRE_MC_REPLY_H
#define SQUEAL_LIB_WIRE_MC_REPLY_H

#include "lib/core/err.h"
#include "lib/core/span.h"

enum { MC_REPLY_LINE_MAX = 2048 }; /* bytes of a line with its end */

/* clang-format off */
/*    name                     first word       rest of the line */
#define MC_REPLY_TABLE(X)                                        \
	X(MC_REPLY_HD,           "HD",            FLAGS)         \
	X(MC_REPLY_NF,           "NF",            FLAGS)         \
	X(MC_REPLY_EX,           "EX",            FLAGS)         \
	X(MC_REPLY_NS,           "NS",            FLAGS)         \
	X(MC_REPLY_EN,           "EN",            NOTHING)       \
	X(MC_REPLY_ME,           "ME",            TEXT)          \
	X(MC_REPLY_MN,           "MN",            NOTHING)       \
	X(MC_REPLY_DELETED,      "DELETED",       NOTHING)       \
	X(MC_REPLY_NOT_FOUND,    "NOT_FOUND",     NOTHING)       \
	X(MC_REPLY_OK,           "OK",            NOTHING)       \
	X(MC_REPLY_STORED,       "STORED",        NOTHING)       \
	X(MC_REPLY_STAT,         "STAT",          TEXT)          \
	X(MC_REPLY_END,          "END",           NOTHING)       \
	X(MC_REPLY_VERSION,      "VERSION",       TEXT)          \
	X(MC_REPLY_ERROR,        "ERROR",         TEXT)          \
	X(MC_REPLY_CLIENT_ERROR, "CLIENT_ERROR",  TEXT)          \
	X(MC_REPLY_SERVER_ERROR, "SERVER_ERROR",  TEXT)
/* clang-format on */

enum mc_reply_kind {
	MC_REPLY_MORE, /* the line is not whole yet */
#define MC_REPLY_ENUM(name, word, rest) name,
	MC_REPLY_TABLE(MC_REPLY_ENUM)
#undef MC_REPLY_ENUM
};

struct mc_reply {
	enum mc_reply_kind kind;
	size_t used;	  /* bytes of the line with its end; 0 while it is not whole */
	struct span text; /* rest of the line: flags, version, or message; points into the input */
};

/*
 * Looks at the first line of `in`.  ERR_OK with kind MC_REPLY_MORE: nothing to take yet.  ERR_PROTOCOL: this
 * is no memcached (or not in step any more); close the connection.  *why quotes what came.
 */
err_t mc_reply_parse(struct span in, struct mc_reply *reply, struct err_detail *why) MUST_CHECK;

/*
 * The CAS id in HD ("c123") or in ME ("key ... cas=123 ..."); false when there is none.  A server that was
 * started without CAS says 0.
 */
bool mc_reply_cas(const struct mc_reply *reply, uint64_t *cas);

/* ERROR, CLIENT_ERROR or SERVER_ERROR. */
bool mc_reply_is_error(enum mc_reply_kind kind);

/* "CLIENT_ERROR"; never NULL. */
const char *mc_reply_name(enum mc_reply_kind kind);

#endif
