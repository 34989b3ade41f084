/*
 * gtid - global transaction ids, and the position in a stream that they make.
 *
 * A MariaDB id is domain-server-seq; the position in a MariaDB stream is the last id of each domain, written
 * "0-1-100,1-2-7".  There is one id per domain, whatever server wrote it: after a failover the new primary's
 * ids replace the old one's.  A MySQL id is uuid:gno, or uuid:tag:gno since MySQL 8.3; the
 * position in a MySQL stream is the set of all ids that were read (gtid_set.h).
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_GTID_H
#define SQUEAL_BINLOG_GTID_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum gtid_kind { GTID_NONE, GTID_MARIADB, GTID_MYSQL };

enum { GTID_TAG_MAX = 32 }; /* MySQL's own limit */

struct gtid {
	enum gtid_kind kind;
	uint32_t domain;	/* MariaDB */
	uint32_t server;	/* MariaDB: the server that committed it first */
	uint64_t seq;		/* MySQL calls it gno */
	uint8_t uuid[16];	/* MySQL */
	uint8_t tag_len;	/* MySQL: 0 where there is none */
	char tag[GTID_TAG_MAX]; /* a-z, 0-9 and _, not a digit first; bytes behind tag_len are 0 */
};

enum { GTID_TEXT_MAX = 96 }; /* no id is longer when written out */

/* "0-1-100", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23" or "3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:23";
 * nothing for GTID_NONE. */
void gtid_format(const struct gtid *g, struct buf *out);

/* Only the uuid, in small letters. */
void gtid_format_uuid(const struct gtid *g, struct buf *out);

/* Makes `text` the uuid of *g.  False, and *g as it was, when it is none. */
bool gtid_parse_uuid(struct span text, struct gtid *g);

/* Makes `tag` the tag of *g, in lower case.  False, and *g as it was, when it cannot be a tag; an empty one
 * can. */
bool gtid_set_tag(struct gtid *g, struct span tag);

/* Any of these forms.  ERR_USAGE with a sentence otherwise. */
err_t gtid_parse(struct span text, struct gtid *out, struct err_detail *why) MUST_CHECK;

bool gtid_same(const struct gtid *a, const struct gtid *b);

/* The last id of each domain.  {0} is the empty position: before everything. */
struct gtid_pos {
	struct gtid *ids; /* by domain, ascending */
	size_t n, cap;
	size_t last; /* index of the id that was advanced last */
};

void gtid_pos_fini(struct gtid_pos *p);
void gtid_pos_clear(struct gtid_pos *p);
void gtid_pos_copy(struct gtid_pos *to, const struct gtid_pos *from);

/* Makes `g` the last id of its domain.  An id that is not a MariaDB one changes nothing. */
void gtid_pos_advance(struct gtid_pos *p, const struct gtid *g);

/* The last id of the domain; NULL when there is none. */
const struct gtid *gtid_pos_find(const struct gtid_pos *p, uint32_t domain);

/* "0-1-100,1-2-7"; nothing for the empty position. */
void gtid_pos_format(const struct gtid_pos *p, struct buf *out);

/* Spaces around ids are fine, an empty text is the empty position, a domain that comes twice is an error.
 * On error `out` is as it was. */
err_t gtid_pos_parse(struct span text, struct gtid_pos *out, struct err_detail *why) MUST_CHECK;

#endif
