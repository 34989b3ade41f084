/*
 * event_body - the fields behind the header of an event, for each kind of which somebody uses some.
 *
 * Each reads ev->body, without checksum, by ev->type and ev->post_len, into its member of ev->u.  Spans point
 * into the body.  What is compressed stays so: the statement of a QUERY_COMPRESSED, and rows.
 *
 * They return NULL, or what is wrong with the event.  FORMAT_DESCRIPTION is event_format.h's, GTIDs are
 * event_gtid.h's.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_EVENT_BODY_H
#define SQUEAL_BINLOG_EVENT_BODY_H

#include "lib/core/reader.h"
#include "squeal/binlog/event.h"

/* `mariadb`: who wrote it. */
const char *event_body_rotate(struct binlog_event *ev) MUST_CHECK;
const char *event_body_heartbeat(struct binlog_event *ev, bool mariadb) MUST_CHECK;
const char *event_body_query(struct binlog_event *ev) MUST_CHECK;
const char *event_body_xa_prepare(struct binlog_event *ev) MUST_CHECK;
const char *event_body_text(struct binlog_event *ev) MUST_CHECK;
const char *event_body_table(struct binlog_event *ev, bool mariadb) MUST_CHECK;
const char *event_body_rows(struct binlog_event *ev) MUST_CHECK;

static inline const char *
event_body_xid(struct binlog_event *ev)
{
	struct reader r = reader_of(ev->body);

	/* Some versions put bytes before the number. */
	reader_take(&r, ev->post_len);
	ev->u.xid = reader_u64(&r);
	return r.short_read ? "it is cut short" : NULL;
}

#endif
