/*
 * event - one binlog event from its bytes.
 *
 * The decoder checks the frame and the checksum of each event and reads out the fields that somebody uses;
 * spans in a struct binlog_event point into the bytes that were decoded (a decompressed statement: into the
 * decoder) and live as long as those, or until the next call.  Events of a stream or file go through one
 * decoder in their order, because FORMAT_DESCRIPTION says how to read what follows it, and because positions
 * are 64 bits wide here while events carry the low 32, or zero.
 *
 * Nothing is skipped for being unknown: an event of a type that is not in the table, and that its writer did
 * not mark as ignorable, is ERR_UNKNOWN_EVENT.
 *
 * Threads: one at a time per decoder.   Blocks: never.   Time: none but what the events carry.
 */
#ifndef SQUEAL_BINLOG_EVENT_H
#define SQUEAL_BINLOG_EVENT_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/metric.h"
#include "lib/core/span.h"
#include "squeal/binlog/gtid.h"
#include "squeal/binlog/inflate.h"

/* What an event is to us. */
enum binlog_kind {
	BINLOG_UNKNOWN,	   /* unknown, but its writer says that it may be ignored */
	BINLOG_FORMAT,	   /* u.format */
	BINLOG_ROTATE,	   /* u.rotate */
	BINLOG_STOP,	   /* the server was shut down in order */
	BINLOG_HEARTBEAT,  /* u.heartbeat; never in a file */
	BINLOG_GTID,	   /* u.gtid: begins an event group */
	BINLOG_GTID_LIST,  /* u.gtid_list: MariaDB, start of each file */
	BINLOG_GTID_SET,   /* u.gtid_set: PREVIOUS_GTIDS: MySQL, start of each file */
	BINLOG_QUERY,	   /* u.query: a statement, or BEGIN, COMMIT, ROLLBACK, SAVEPOINT */
	BINLOG_ROWS_TEXT,  /* u.text: the statement whose rows follow */
	BINLOG_TABLE,	   /* u.table: what the columns of the rows that follow are; see table.h */
	BINLOG_ROWS,	   /* u.rows: row changes; see rows.h */
	BINLOG_PAYLOAD,	   /* a transaction's events are inside of it: binlog_next() gives them */
	BINLOG_XID,	   /* commit */
	BINLOG_XA_PREPARE, /* u.xa */
	BINLOG_INCIDENT,   /* u.text: the server lost events */
	BINLOG_PART,	/* a part of a statement without text: INTVAR, RAND, USER_VAR, blocks of LOAD DATA */
	BINLOG_NOTE,	/* says nothing about data: BINLOG_CHECKPOINT, group replication views, padding */
	BINLOG_REFUSED, /* known, cannot be read yet; never comes out of binlog_decode() */
};

/* clang-format off */
/*	number name                     kind               what makes it readable, for BINLOG_REFUSED */
#define BINLOG_EVENTS(E)                                                                                               \
	E(1,   START_V3,                BINLOG_REFUSED,    "it was written by MySQL 4 or older, whose files are not supported") \
	E(2,   QUERY,                   BINLOG_QUERY,      "")                                                         \
	E(3,   STOP,                    BINLOG_STOP,       "")                                                         \
	E(4,   ROTATE,                  BINLOG_ROTATE,     "")                                                         \
	E(5,   INTVAR,                  BINLOG_PART,       "")                                                         \
	E(6,   LOAD,                    BINLOG_REFUSED,    "it was written by MySQL 4 or older, whose files are not supported") \
	E(7,   SLAVE,                   BINLOG_NOTE,       "")                                                         \
	E(8,   CREATE_FILE,             BINLOG_REFUSED,    "it was written by MySQL 4 or older, whose files are not supported") \
	E(9,   APPEND_BLOCK,            BINLOG_PART,       "")                                                         \
	E(10,  EXEC_LOAD,               BINLOG_REFUSED,    "it was written by MySQL 4 or older, whose files are not supported") \
	E(11,  DELETE_FILE,             BINLOG_PART,       "")                                                         \
	E(12,  NEW_LOAD,                BINLOG_REFUSED,    "it was written by MySQL 4 or older, whose files are not supported") \
	E(13,  RAND,                    BINLOG_PART,       "")                                                         \
	E(14,  USER_VAR,                BINLOG_PART,       "")                                                         \
	E(15,  FORMAT_DESCRIPTION,      BINLOG_FORMAT,     "")                                                         \
	E(16,  XID,                     BINLOG_XID,        "")                                                         \
	E(17,  BEGIN_LOAD_QUERY,        BINLOG_PART,       "")                                                         \
	E(18,  EXECUTE_LOAD_QUERY,      BINLOG_QUERY,      "")                                                         \
	E(19,  TABLE_MAP,               BINLOG_TABLE,      "")                                                         \
	E(20,  PRE_GA_WRITE_ROWS,       BINLOG_ROWS,       "")                                                         \
	E(21,  PRE_GA_UPDATE_ROWS,      BINLOG_ROWS,       "")                                                         \
	E(22,  PRE_GA_DELETE_ROWS,      BINLOG_ROWS,       "")                                                         \
	E(23,  WRITE_ROWS_V1,           BINLOG_ROWS,       "")                                                         \
	E(24,  UPDATE_ROWS_V1,          BINLOG_ROWS,       "")                                                         \
	E(25,  DELETE_ROWS_V1,          BINLOG_ROWS,       "")                                                         \
	E(26,  INCIDENT,                BINLOG_INCIDENT,   "")                                                         \
	E(27,  HEARTBEAT,               BINLOG_HEARTBEAT,  "")                                                         \
	E(28,  IGNORABLE,               BINLOG_NOTE,       "")                                                         \
	E(29,  ROWS_QUERY,              BINLOG_ROWS_TEXT,  "")                                                         \
	E(30,  WRITE_ROWS,              BINLOG_ROWS,       "")                                                         \
	E(31,  UPDATE_ROWS,             BINLOG_ROWS,       "")                                                         \
	E(32,  DELETE_ROWS,             BINLOG_ROWS,       "")                                                         \
	E(33,  GTID,                    BINLOG_GTID,       "")                                                         \
	E(34,  ANONYMOUS_GTID,          BINLOG_GTID,       "")                                                         \
	E(35,  PREVIOUS_GTIDS,          BINLOG_GTID_SET,   "")                                                         \
	E(36,  TRANSACTION_CONTEXT,     BINLOG_NOTE,       "")                                                         \
	E(37,  VIEW_CHANGE,             BINLOG_NOTE,       "")                                                         \
	E(38,  XA_PREPARE,              BINLOG_XA_PREPARE, "")                                                         \
	E(39,  PARTIAL_UPDATE_ROWS,     BINLOG_ROWS,       "")                                                         \
	E(40,  TRANSACTION_PAYLOAD,     BINLOG_PAYLOAD,    "")                                                         \
	E(41,  HEARTBEAT_V2,            BINLOG_HEARTBEAT,  "")                                                         \
	E(42,  GTID_TAGGED,             BINLOG_GTID,       "")                                                         \
	E(100, AURORA_PADDING,          BINLOG_NOTE,       "")                                                         \
	E(160, ANNOTATE_ROWS,           BINLOG_ROWS_TEXT,  "")                                                         \
	E(161, BINLOG_CHECKPOINT,       BINLOG_NOTE,       "")                                                         \
	E(162, MARIADB_GTID,            BINLOG_GTID,       "")                                                         \
	E(163, GTID_LIST,               BINLOG_GTID_LIST,  "")                                                         \
	E(164, START_ENCRYPTION,        BINLOG_REFUSED,    "the file is encrypted (encrypt_binlog=ON): read it through the server, which sends it in clear") \
	E(165, QUERY_COMPRESSED,        BINLOG_QUERY,      "")                                                         \
	E(166, WRITE_ROWS_COMPRESSED_V1, BINLOG_ROWS,      "")                                                         \
	E(167, UPDATE_ROWS_COMPRESSED_V1, BINLOG_ROWS,     "")                                                         \
	E(168, DELETE_ROWS_COMPRESSED_V1, BINLOG_ROWS,     "")                                                         \
	E(169, WRITE_ROWS_COMPRESSED,   BINLOG_ROWS,       "")                                                         \
	E(170, UPDATE_ROWS_COMPRESSED,  BINLOG_ROWS,       "")                                                         \
	E(171, DELETE_ROWS_COMPRESSED,  BINLOG_ROWS,       "")

/*	  name                      kind     unit      help */
#define BINLOG_METRICS(M)                                                                                              \
	M(binlog_event,             COUNTER, "events", "events decoded, of any kind")                                  \
	M(binlog_bytes,             COUNTER, "bytes",  "bytes of events decoded")                                      \
	M(binlog_query,             COUNTER, "events", "statements and transaction control in text")                   \
	M(binlog_rows_text,         COUNTER, "events", "statement texts of row changes (ANNOTATE_ROWS, ROWS_QUERY)")   \
	M(binlog_rows,              COUNTER, "events", "row changes and table maps")                                   \
	M(binlog_payload,           COUNTER, "events", "compressed transactions of MySQL")                             \
	M(binlog_heartbeat,         COUNTER, "events", "heartbeats")                                                   \
	M(binlog_rotate,            COUNTER, "events", "changes of the binlog file")                                   \
	M(binlog_ignorable,         COUNTER, "events", "unknown events skipped because their writer marked them as ignorable") \
	M(binlog_bad,               COUNTER, "events", "events that were cut short or made no sense")                  \
	M(binlog_unknown,           COUNTER, "events", "events of a kind that cannot be read and may not be skipped")  \
	M(binlog_checksum_failure,  COUNTER, "events", "events whose checksum does not match")                         \
	M(binlog_uncompressed,      COUNTER, "bytes",  "bytes of statements, rows and payloads after decompression")   \
	M(binlog_txn,               COUNTER, "transactions", "transactions that ended in a commit")                    \
	M(binlog_txn_rolled_back,   COUNTER, "transactions", "transactions that were rolled back whole")               \
	M(binlog_txn_torn,          COUNTER, "transactions", "unfinished transactions that the server gave up, as after its crash") \
	M(binlog_txn_no_text,       COUNTER, "transactions", "transactions that changed rows without any statement text; their keys cannot be known") \
	M(binlog_rows_no_text,      COUNTER, "statements", "row changes without the text of their statement")          \
	M(binlog_xa_prepared,       COUNTER, "transactions", "XA transactions prepared; their keys wait for XA COMMIT")         \
	M(binlog_xa_commit,         COUNTER, "transactions", "prepared XA transactions committed by XA COMMIT")                 \
	M(binlog_xa_rollback,       COUNTER, "transactions", "prepared XA transactions ended by XA ROLLBACK")                   \
	M(binlog_incident,          COUNTER, "events", "incidents: the server says that it lost events")
/* clang-format on */

struct binlog_metrics {
	METRIC_FIELDS(BINLOG_METRICS)
};
extern const struct metric_row binlog_metric_rows[];
extern const size_t binlog_metric_nrows;

enum binlog_type {
#define BINLOG_TYPE_ENUM(number, name, kind, help) BINLOG_TYPE_##name = number,
	BINLOG_EVENTS(BINLOG_TYPE_ENUM)
#undef BINLOG_TYPE_ENUM
};

enum {
	BINLOG_HEADER = 19, /* bytes before the body */
	BINLOG_FILE_NAME_MAX = 512,
	BINLOG_FLAG_IN_USE = 0x1,      /* FORMAT_DESCRIPTION of a file that was not closed */
	BINLOG_FLAG_THREAD = 0x4,      /* QUERY that uses temporary tables of its thread */
	BINLOG_FLAG_ARTIFICIAL = 0x20, /* made up by the server for this stream; not in any file */
	BINLOG_FLAG_IGNORABLE = 0x80,
};

/* What a BINLOG_ROWS event does to its rows. */
enum binlog_action { BINLOG_INSERT, BINLOG_UPDATE, BINLOG_DELETE };

enum { BINLOG_ROWS_STMT_END = 0x1 }; /* u.rows.flags: the last of its statement */

/* MariaDB's GTID event. */
enum {
	BINLOG_GTID_STANDALONE = 0x1,	 /* one event follows, and no COMMIT */
	BINLOG_GTID_GROUP_COMMIT = 0x2,	 /* has a commit id */
	BINLOG_GTID_TRANSACTIONAL = 0x4, /* all of it can be undone by ROLLBACK */
	BINLOG_GTID_DDL = 0x20,
	BINLOG_GTID_PREPARED_XA = 0x40,
	BINLOG_GTID_COMPLETED_XA = 0x80,
};

enum binlog_checksum { BINLOG_CHECKSUM_NONE = 0, BINLOG_CHECKSUM_CRC32 = 1, BINLOG_CHECKSUM_UNDEFINED = 255 };

struct binlog_event {
	/* the frame */
	uint8_t type; /* enum binlog_type, or a number that is not in it */
	enum binlog_kind kind;
	uint32_t timestamp; /* seconds since 1970; 0 in artificial events */
	uint32_t server_id; /* the server that wrote it first */
	uint32_t next_pos;  /* as in the event: low 32 bits, or 0 */
	uint16_t flags;
	struct span raw;  /* all of it */
	struct span body; /* behind the header, without checksum */
	uint8_t post_len; /* how many bytes of the body are fixed fields, as FORMAT_DESCRIPTION says */

	/* Where it stands; of a ROTATE in a stream: where it leads.  `file` is empty and `end` is 0 where
	 * that is not known. */
	struct span file;
	uint64_t end; /* offset behind the event */

	union {
		struct {
			uint16_t version;
			struct span server; /* "10.11.6-MariaDB-log" */
			uint32_t created;
			enum binlog_checksum checksum;
			bool mariadb;
		} format;
		struct {
			struct span file;
			uint64_t pos;
		} rotate;
		struct {
			struct span file;
			uint64_t pos;
		} heartbeat;
		struct {
			struct gtid id;	    /* kind GTID_NONE for ANONYMOUS_GTID */
			uint8_t flags;	    /* MariaDB: BINLOG_GTID_*; MySQL: bit 0 = may have statements */
			uint64_t commit_id; /* MariaDB, 0 when there is none */
			uint64_t commit_us; /* MySQL 8.0.1 and later: immediate commit; otherwise 0 */
			uint64_t
			    original_us; /* MySQL: commit on the server that wrote it first; otherwise 0 */
			struct span xid; /* MariaDB, XA: gtrid and bqual, raw */
		} gtid;
		struct {
			uint32_t n;
			uint32_t flags;
			struct span ids; /* n times u32 domain, u32 server, u64 seq; see binlog_gtid_list() */
		} gtid_list;
		struct span gtid_set; /* what gtid_set_decode() reads */
		struct {
			struct span db;
			struct span sql;
			uint32_t thread;
			uint32_t seconds; /* run time */
			uint16_t error;	  /* 0, or the error that the statement ended with */
			uint32_t micros;  /* microseconds of the timestamp; 0 when not sent */
		} query;
		struct {
			uint64_t id;
			struct span body; /* behind id and flags */
			bool mariadb;	  /* who wrote it */
		} table;
		struct {
			uint64_t table_id;
			uint16_t flags;
			enum binlog_action action;
			bool has_extra;	  /* `body` begins with other things */
			bool compressed;  /* MariaDB: the rows are */
			bool partial;	  /* MySQL: JSON of after images may be differences */
			struct span body; /* behind id and flags; rows_open() reads it */
		} rows;
		struct span text; /* BINLOG_ROWS_TEXT: the statement; BINLOG_INCIDENT: the server's message */
		uint64_t xid;
		struct {
			bool one_phase; /* XA COMMIT ... ONE PHASE: it is committed, not just prepared */
			uint32_t format;
			struct span gtrid, bqual;
		} xa;
	} u;
};

struct payload;

struct binlog_decoder {
	/* from FORMAT_DESCRIPTION */
	bool have_format;
	bool mariadb;
	enum binlog_checksum
	    checksum; /* UNDEFINED before the first FORMAT_DESCRIPTION, unless the stream said it */
	uint8_t header_len;
	uint8_t post_len[256]; /* 0 for types that the writer did not know */
	bool is_permuted;      /* a pre-release of MySQL 5.1 numbered its events differently */

	/* the place behind the last event */
	bool is_file; /* positions are counted; otherwise they come from the events, and the name from ROTATE
		       */
	char file[BINLOG_FILE_NAME_MAX];
	size_t file_len;
	uint64_t pos;

	size_t max_event;
	struct binlog_metrics *metrics;
	struct inflate inflate;
	struct buf text;	 /* the decompressed statement */
	struct payload *payload; /* made at the first one */
	uint64_t payload_at;	 /* where the one that is open begins */
};

/* `max_event` bounds an event, an event inside of a payload, and a decompressed statement.  `metrics` is
 * borrowed. */
void binlog_decoder_init(struct binlog_decoder *d, size_t max_event, struct binlog_metrics *metrics);
void binlog_decoder_fini(struct binlog_decoder *d);

/*
 * Another file or stream begins: forgets what the last FORMAT_DESCRIPTION said.  `file` (empty: not known, as
 * at the start of a stream, where a ROTATE event tells) is copied; `pos` is where the first event begins, 4
 * in a file. `checksum` is what a stream agreed on for events before the first FORMAT_DESCRIPTION; UNDEFINED
 * for files.
 */
void binlog_decoder_start(struct binlog_decoder *d, struct span file, uint64_t pos,
			  enum binlog_checksum checksum);

/*
 * Decodes the one event that `bytes` hold, all of it.
 * ERR_CHECKSUM: the bytes changed on their way: ask for them again.   ERR_BAD_EVENT: they make no sense.
 * ERR_UNKNOWN_EVENT: nobody may skip it; *why says what setting of the server makes it readable.
 * ERR_TOO_LONG: beyond max_event.
 */
err_t binlog_decode(struct binlog_decoder *d, struct span bytes, struct binlog_event *out,
		    struct err_detail *why) MUST_CHECK;

/*
 * After a BINLOG_PAYLOAD: the next event inside of it, until *more is false.  The bytes that binlog_decode()
 * got must still be there; *ev is valid until the next call.  Its place is that of the payload's end: there
 * is no place inside of one to resume from.  Leaving events unread is ERR_USAGE of the next binlog_decode(),
 * except after an error or binlog_decoder_start().
 */
err_t binlog_next(struct binlog_decoder *d, struct binlog_event *ev, bool *more,
		  struct err_detail *why) MUST_CHECK;

/* The length that an event's header says, or 0 when `bytes` are too few to tell. */
size_t binlog_event_length(struct span bytes);

/* "QUERY"; "type 99" is written as "UNKNOWN". */
const char *binlog_type_name(uint8_t type);

/* Id number `i` < u.gtid_list.n of a BINLOG_GTID_LIST event. */
struct gtid binlog_gtid_list(const struct binlog_event *ev, uint32_t i);

#endif
