/*
 * event_format - FORMAT_DESCRIPTION: who wrote what follows, with which checksum, and how many bytes of each
 * type of event are fixed fields.
 *
 * Written by MySQL 5.0 and later and by MariaDB (binlog format 4).  Pre-releases of MySQL 5.1 numbered their
 * events in another way; their numbers are turned into today's.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_EVENT_FORMAT_H
#define SQUEAL_BINLOG_EVENT_FORMAT_H

#include "squeal/binlog/event.h"

enum { EVENT_FORMAT_PERMUTED = 23 };

/* What ev->u.format does not have.  `types` lies in the event. */
struct event_format {
	uint8_t header_len;
	struct span types; /* a length for each type from 1 on */
	bool is_permuted;  /* events have the numbers of a pre-release */
};

/* Reads the body, which still has its checksum, into ev->u.format and *out.  ERR_BAD_EVENT,
 * ERR_UNKNOWN_EVENT: *what says what is wrong with it, or what makes it readable. */
err_t event_format_read(struct binlog_event *ev, struct event_format *out, const char **what) MUST_CHECK;

/* Lengths by today's numbers; 0 for types that the writer did not know. */
void event_format_lengths(const struct event_format *f, uint8_t post_len[256]);

/* Today's number of `type` < EVENT_FORMAT_PERMUTED of a pre-release. */
uint8_t event_format_type(uint8_t type);

#endif
