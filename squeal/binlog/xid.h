/*
 * xid - the name of an XA transaction: format id, global transaction id and branch qualifier.
 *
 * Servers write it as fields in XA_PREPARE events, and as text in the QUERY events of XA START, END, COMMIT
 * and ROLLBACK: X'6162',X'',1.  MariaDB and MySQL both write hexadecimal strings and always all three parts,
 * whatever the client wrote; what clients may write (0x6162, 'ab', no qualifier, no format id) is read too.
 *
 * Of the format id only 32 bits count, because XA_PREPARE has no more of them.
 *
 * Sources: the X/Open XA specification; the manuals' XA statements; MariaDB's protocol documentation
 * (XA_PREPARE_LOG_EVENT); binlogs of MariaDB 10.11 and MySQL 9.7.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_XID_H
#define SQUEAL_BINLOG_XID_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

enum { XID_PART = 64 }; /* bytes of either part at most */

struct xid {
	uint32_t format;
	uint8_t gtrid_len, bqual_len;
	unsigned char gtrid[XID_PART], bqual[XID_PART];
};

/* False when a part is too long. */
bool xid_make(struct xid *x, uint32_t format, struct span gtrid, struct span bqual);

/* Takes an id from the front of *text, and the white space around it.  False when there is none; *text is
 * then undefined. */
bool xid_parse(struct xid *x, struct span *text);

/* Appends it as servers write it: X'6162',X'',1.  Equal ids have equal texts, and the other way round. */
void xid_format(const struct xid *x, struct buf *out);

bool xid_same(const struct xid *a, const struct xid *b);

#endif
