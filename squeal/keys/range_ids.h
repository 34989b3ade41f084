/*
 * range_ids - the ids of one bound of a range: a position, or a list to pick from.
 *
 * Two forms of text:
 *     position    MariaDB "0-1-100,1-2-7"; a MySQL set; one MySQL id, which stands for everything up to it in
 *                 the order of the files; each may have "gtid:" before it, as checkpoints do
 *     list        a MySQL set, or MariaDB's ids with commas between them
 *
 * Threads: one at a time per object.   Blocks: never.
 */
#ifndef SQUEAL_RANGE_IDS_H
#define SQUEAL_RANGE_IDS_H

#include "squeal/binlog/position.h"

enum range_ids_form { RANGE_IDS_POSITION, RANGE_IDS_LIST };

/* {0} is a bound that was not given. */
struct range_ids {
	enum gtid_kind kind; /* GTID_NONE: not given */
	const char *text;    /* as it was given; borrowed */
	/* One of these three. */
	struct position position; /* MySQL: of either form */
	struct gtid single;	  /* kind GTID_NONE where it is none */
	struct gtid *list;
	size_t n;

	bool is_met;	   /* `single` came by */
	bool *list_is_met; /* each of the list */
};

/* `text` must outlive it.  ERR_USAGE with a sentence. */
err_t range_ids_parse(struct range_ids *ids, const char *text, enum range_ids_form form,
		      struct err_detail *why) MUST_CHECK;
void range_ids_fini(struct range_ids *ids);

/* Whether the position (not a single id) has the id. */
bool range_ids_in_position(const struct range_ids *ids, const struct gtid *id);

/* Whether the list has the id; notes that it came by. */
bool range_ids_pick(struct range_ids *ids, const struct gtid *id);

/* Appends those of the list that did not come by; `seen`: MySQL ids that did. */
void range_ids_missing(const struct range_ids *ids, const struct gtid_set *seen, struct buf *out);

#endif
