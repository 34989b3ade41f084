/*
 * gtid_set - the set of MySQL transactions that a server has, or that we have read.
 *
 * Written as MySQL writes it, "uuid:1-5:7:tag:1-3,uuid2:9": numbers of one server (and, since MySQL 8.3, of
 * one tag) as ranges.  The two binary forms are those of the PREVIOUS_GTIDS event and of COM_BINLOG_DUMP_GTID
 * (mysql-server, libs/mysql/gtids and sql/rpl_gtid_set.cc): without tags for servers that know none, with
 * tags when there is one.
 *
 * A stream adds one number after the other to the same range, which is a few comparisons.
 *
 * Parsers do no I/O, keep no pointers, trust no lengths.
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_GTID_SET_H
#define SQUEAL_BINLOG_GTID_SET_H

#include "squeal/binlog/gtid.h"

/* Both ends belong to it; first >= 1, last <= GTID_SET_LAST. */
struct gtid_range {
	uint64_t first, last;
};

#define GTID_SET_LAST (UINT64_C(0x7fffffffffffffff) - 1)

/* The numbers of one server and tag, ascending, with a hole between any two ranges. */
struct gtid_member {
	struct gtid name; /* kind, uuid and tag; seq is not used */
	struct gtid_range *ranges;
	size_t n, cap;
};

/* {0} is the empty set. */
struct gtid_set {
	struct gtid_member *members; /* by uuid, then tag */
	size_t n, cap;
	size_t last; /* index of the member that was added to last */
};

void gtid_set_fini(struct gtid_set *s);
void gtid_set_clear(struct gtid_set *s);
void gtid_set_copy(struct gtid_set *to, const struct gtid_set *from);

/* Adds one transaction.  An id that is not a MySQL one changes nothing. */
void gtid_set_add(struct gtid_set *s, const struct gtid *g);

/* Adds first..last of g's server and tag. */
void gtid_set_add_range(struct gtid_set *s, const struct gtid *g, uint64_t first, uint64_t last);

/* Adds everything of `other`. */
void gtid_set_add_set(struct gtid_set *s, const struct gtid_set *other);

bool gtid_set_has(const struct gtid_set *s, const struct gtid *g);

/* True when `s` has everything that `part` has. */
bool gtid_set_covers(const struct gtid_set *s, const struct gtid_set *part);

bool gtid_set_same(const struct gtid_set *a, const struct gtid_set *b);

/* out = a without what b has; `out` is neither of them. */
void gtid_set_minus(const struct gtid_set *a, const struct gtid_set *b, struct gtid_set *out);

/* How many transactions it has; UINT64_MAX when they cannot be counted. */
uint64_t gtid_set_count(const struct gtid_set *s);

/* "uuid:1-5:7:tag:1-3,uuid2:9"; nothing for the empty set. */
void gtid_set_format(const struct gtid_set *s, struct buf *out);

/* White space and empty parts are fine, ranges may come in any order and overlap.  ERR_USAGE with a sentence
 * otherwise; then `out` is as it was. */
err_t gtid_set_parse(struct span text, struct gtid_set *out, struct err_detail *why) MUST_CHECK;

/* The binary form.  ERR_BAD_EVENT with a sentence when `bytes` is not one; then `out` is as it was. */
void gtid_set_encode(const struct gtid_set *s, struct buf *out);
err_t gtid_set_decode(struct span bytes, struct gtid_set *out, struct err_detail *why) MUST_CHECK;

#endif
