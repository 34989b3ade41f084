/*
 * list_line - one line of a list of keys.
 *
 *     user:42                                               a key
 *     {"gtid":"0-1-100","time_us":…,"keys":["user:42"]}     as `squeal keys` prints them: keys and markers
 * count, gtid, time_us, holdoff_ms and pool are kept, other members are passed over (nothing), # a comment no
 * key
 *
 * A key that begins with "#" or "{" is written as JSON: {"keys":["#1"]}.  No I/O, nothing is trusted.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_REPLAY_TAPE_LIST_LINE_H
#define SQUEAL_REPLAY_TAPE_LIST_LINE_H

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { LIST_LINE_MAX = 64 << 20 }; /* bytes: a transaction of a million keys is one line */

/* {0} is a new one; its memory is used again for the next line. */
struct list_line {
	bool is_json;
	struct span gtid, pool; /* empty where there is none */
	uint64_t time_us;	/* 0: none */
	uint32_t holdoff_ms;
	struct span *keys; /* not looked at: they may be no keys */
	size_t nkeys;

	/* its own */
	size_t cap_keys;
	struct buf text;
};

/* `line` without its line end; what comes out is valid until the next call.  ERR_BAD_RECORD with a sentence.
 */
err_t list_line_parse(struct list_line *l, struct span line, struct err_detail *why) MUST_CHECK;
void list_line_fini(struct list_line *l);

#endif
