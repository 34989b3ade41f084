#include "squeal/binlog/refusal.h"

#include <string.h>

#include "lib/core/buf.h"

enum when { ALWAYS, CONNECTING, LATER };

/* What to do, more than once.  {account} stands for the account. */
#define CHECK_PASSWORD "check source.user and the password in source.password_file"
#define FLUSH                                                                                                \
	"what was committed in between is not known: flush the caches, then start with source.start: now "   \
	"or "                                                                                                \
	"earliest"
#define GRANT_IT                                                                                             \
	"run on it: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account} (MariaDB 10.5 and "      \
	"later: BINLOG MONITOR instead of REPLICATION CLIENT)"
#define RAISE_PACKET                                                                                         \
	"an event is longer than source.max_event, or than the server's own max_allowed_packet; raise the "  \
	"one "                                                                                               \
	"that is too small"
#define CHECK_TLS "check source.tls_ca, tls_cert and tls_key, or set source.tls"

#define PURGED                                                                                               \
	"the binlog that follows our position was purged before we had read it; keep binlogs for longer "    \
	"(binlog_expire_logs_seconds); " FLUSH
#define FILE_GONE                                                                                            \
	"the binlog file of our position is not there: it was purged, the binlog was reset, or this is "     \
	"another "                                                                                           \
	"server; " FLUSH
#define FILE_SHORT                                                                                           \
	"the binlog is shorter than what we have read of it: its end was lost (a power loss with "           \
	"sync_binlog<>1, a restored backup), or this is another server; " FLUSH
#define LOST                                                                                                 \
	"the server lacks transactions of its own that we have read: its binlog lost its end (a power loss " \
	"with sync_binlog<>1, a restored backup, a reset); " FLUSH
#define NOT_THERE                                                                                            \
	"the server never had, or no longer has, the transaction that we read last: a replica that did not " \
	"get "                                                                                               \
	"it, log_slave_updates=OFF, a restored backup, or another server; " FLUSH
#define TLS_OR_SOCKET                                                                                        \
	"caching_sha2_password and sha256_password send the password over TLS or a unix socket only: set "   \
	"source.tls: required, or source.socket"
#define DIVERGED                                                                                             \
	"the server went on from another history than the one that we have read: it was promoted without "   \
	"our "                                                                                               \
	"last transaction, or was written to while it was a replica; " FLUSH
#define HOLE                                                                                                 \
	"the server's binlog has a hole where our position is: it was promoted without this transaction, "   \
	"or "                                                                                                \
	"replicates with filters; " FLUSH

/* The first row that fits is taken; `piece` must be in the text. */
static const struct row {
	unsigned code;
	enum when when;
	err_t err;
	const char *piece;
	const char *advice;
} rows[] = {
    /* clang-format off */
	/* Not let in. */
	{1045, CONNECTING, ERR_AUTH,         "", CHECK_PASSWORD},
	{1698, ALWAYS,     ERR_AUTH,         "", CHECK_PASSWORD},
	{1130, ALWAYS,     ERR_AUTH,         "", "no account of the server may connect from this host: make one for it"},
	{1862, ALWAYS,     ERR_AUTH,         "", "the password has expired: set a new one on the server and in source.password_file"},
	{1820, ALWAYS,     ERR_AUTH,         "", "the password has expired: set a new one on the server and in source.password_file"},
	{3118, ALWAYS,     ERR_AUTH,         "", "run on it: ALTER USER {account} ACCOUNT UNLOCK"},
	{3955, ALWAYS,     ERR_AUTH,         "", "too many wrong passwords; run on it: ALTER USER {account} ACCOUNT UNLOCK"},
	{4151, ALWAYS,     ERR_AUTH,         "", "run on it: ALTER USER {account} ACCOUNT UNLOCK"},
	{3159, ALWAYS,     ERR_AUTH,         "", "the server takes TLS only: set source.tls: required"},
	{1251, ALWAYS,     ERR_AUTH,         "", "the account's authentication plugin is not one of this client library: give the account another one"},
	{2049, ALWAYS,     ERR_AUTH,         "", "the account's authentication plugin is not one of this client library: give the account another one"},
	{2059, ALWAYS,     ERR_AUTH,         "", "the account's authentication plugin is not one of this client library: give the account another one, or install the plugin"},
	{2061, ALWAYS,     ERR_AUTH,         "secure connection", TLS_OR_SOCKET},
	{2061, ALWAYS,     ERR_AUTH,         "RSA public key", TLS_OR_SOCKET}, /* the server has none */
	{2061, ALWAYS,     ERR_AUTH,         "", CHECK_PASSWORD ", and that source.tls suits the account's authentication plugin"},
	{2026, CONNECTING, ERR_AUTH,         "", "TLS failed: " CHECK_TLS},
	{1045, LATER,      ERR_PRIVILEGE,    "", GRANT_IT},
	{1044, ALWAYS,     ERR_PRIVILEGE,    "", GRANT_IT},
	{1142, ALWAYS,     ERR_PRIVILEGE,    "", GRANT_IT},
	{1227, ALWAYS,     ERR_PRIVILEGE,    "", GRANT_IT},
	{1370, ALWAYS,     ERR_PRIVILEGE,    "", GRANT_IT},

	/* The stream cannot begin, or not go on. */
	{1236, ALWAYS,     ERR_IN_USE,       "same server_", ""},
	{4052, ALWAYS,     ERR_IN_USE,       "", ""},
	{1236, ALWAYS,     ERR_TOO_LONG,     "max_allowed_packet", RAISE_PACKET},
	{1236, ALWAYS,     ERR_SOURCE_SETUP, "Binary log is not open", "it writes no binlog: set log_bin in its configuration and restart it"},
	{1381, ALWAYS,     ERR_SOURCE_SETUP, "", "it writes no binlog: set log_bin in its configuration and restart it"},
	{1236, ALWAYS,     ERR_SOURCE_SETUP, "Misconfigured", "its server_id is 0: run SET GLOBAL server_id=1, or another number that no other server has, and set it in its configuration too"},
	{1236, ALWAYS,     ERR_SOURCE_SETUP, "anonymous transaction", "with gtid_mode=ON the server does not send what it committed before: run SET GLOBAL gtid_mode=ON_PERMISSIVE on it, and ON again when squeal has read on; nothing is lost"},
	{1236, ALWAYS,     ERR_SOURCE_SETUP, "has GTID_MODE", "its gtid_mode is not ON any more: set it to ON again, or flush the caches and start with source.start: now"},
	{1236, ALWAYS,     ERR_PURGED,       "purged required", PURGED},
	{1236, ALWAYS,     ERR_PURGED,       "has purged", PURGED},
	{1236, ALWAYS,     ERR_PURGED,       "have been purged", PURGED},
	{1236, ALWAYS,     ERR_PURGED,       "Could not find first log", FILE_GONE},
	{1236, ALWAYS,     ERR_PURGED,       "could not find next log", FILE_GONE},
	{1236, ALWAYS,     ERR_BEHIND,       "> file size", FILE_SHORT},
	{1236, ALWAYS,     ERR_BEHIND,       "impossible position", FILE_SHORT},
	{1236, ALWAYS,     ERR_BEHIND,       "more GTIDs than", LOST},
	{1236, ALWAYS,     ERR_GAP,          "higher sequence numbers", DIVERGED},
	{1236, ALWAYS,     ERR_GAP,          "is missing the GTID", HOLE},
	{1236, ALWAYS,     ERR_BEHIND,       "not in the master's binlog", NOT_THERE},
	{1236, ALWAYS,     ERR_BAD_EVENT,    "truncated in the middle", "its binlog is damaged: read another server's (source.endpoints), or flush the caches and start with source.start: now"},
	{1236, ALWAYS,     ERR_BAD_EVENT,    "bogus data", "its binlog is damaged: read another server's (source.endpoints), or flush the caches and start with source.start: now"},
	{1236, ALWAYS,     ERR_BAD_EVENT,    "crc check", "its binlog is damaged: read another server's (source.endpoints), or flush the caches and start with source.start: now"},
	{1236, ALWAYS,     ERR_BAD_EVENT,    "rror reading log event", "its binlog cannot be read: look at its disk and its error log"},
	{1236, ALWAYS,     ERR_GAP,          "", FLUSH},
	{1945, ALWAYS,     ERR_BEHIND,       "", NOT_THERE},
	{1946, ALWAYS,     ERR_BEHIND,       "", NOT_THERE},
	{1947, ALWAYS,     ERR_GAP,          "", DIVERGED},
	{1950, ALWAYS,     ERR_GAP,          "", DIVERGED},
	{1951, ALWAYS,     ERR_GAP,          "", HOLE},
	{1955, ALWAYS,     ERR_GAP,          "", DIVERGED},
	{2020, ALWAYS,     ERR_TOO_LONG,     "", RAISE_PACKET},

	/* Not there, or gone. */
	{2002, ALWAYS,     ERR_CONN,         "", ""},
	{2003, ALWAYS,     ERR_CONN,         "", ""},
	{2005, ALWAYS,     ERR_CONN,         "", ""},
	{2006, ALWAYS,     ERR_CONN,         "", ""},
	{2013, ALWAYS,     ERR_CONN,         "", ""},
	{2055, ALWAYS,     ERR_CONN,         "", ""},
	{2026, LATER,      ERR_CONN,         "", ""}, /* with TLS a lost link looks like this too */
	{1040, ALWAYS,     ERR_CONN,         "", "the server has no connection left for us: raise max_connections, or find who holds them"},
	{1203, ALWAYS,     ERR_CONN,         "", "the account may hold no more connections: raise max_user_connections"},
	{1226, ALWAYS,     ERR_CONN,         "", "the account has reached a limit: ALTER USER {account} WITH a higher one"},
	{1129, ALWAYS,     ERR_CONN,         "", "the server blocks this host after too many failed connections: run FLUSH HOSTS (MySQL 8.0.23 and later: TRUNCATE performance_schema.host_cache)"},
	{3032, ALWAYS,     ERR_CONN,         "", "the server is in offline_mode"},
	{1053, ALWAYS,     ERR_CONN,         "", ""},
	{1077, ALWAYS,     ERR_CONN,         "", ""},
	{1079, ALWAYS,     ERR_CONN,         "", ""},
	{1152, ALWAYS,     ERR_CONN,         "", ""},
	{1153, ALWAYS,     ERR_CONN,         "", ""},
	{1158, ALWAYS,     ERR_CONN,         "", ""},
	{1159, ALWAYS,     ERR_CONN,         "", ""},
	{1160, ALWAYS,     ERR_CONN,         "", ""},
	{1161, ALWAYS,     ERR_CONN,         "", ""},
	{1317, ALWAYS,     ERR_CONN,         "", ""},
	{1927, ALWAYS,     ERR_CONN,         "", ""}, /* MariaDB: killed */
	{3169, ALWAYS,     ERR_CONN,         "", ""}, /* MySQL: the same */
	{4031, ALWAYS,     ERR_CONN,         "", ""},

	{2027, ALWAYS,     ERR_PROTOCOL,     "", ""},
	{2007, ALWAYS,     ERR_PROTOCOL,     "", ""},
    /* clang-format on */
};

static const struct row *
find(const struct refusal *r)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		if (row->code == r->code &&
		    (row->when == ALWAYS || (row->when == CONNECTING) == r->connecting) &&
		    strstr(r->text, row->piece) != NULL)
			return row;
	}
	return NULL;
}

err_t
refusal_class(const struct refusal *r)
{
	const struct row *row = find(r);

	if (row != NULL)
		return row->err;
	return r->connecting ? ERR_CONN : ERR_PROTOCOL;
}

static void
put_advice(struct buf *out, const char *advice, const char *account)
{
	const char *mark = strstr(advice, "{account}");

	if (mark == NULL) {
		buf_put_str(out, advice);
		return;
	}
	buf_put(out, advice, (size_t)(mark - advice));
	buf_put_str(out, account);
	buf_put_str(out, mark + strlen("{account}"));
}

err_t
refusal_explain(const struct refusal *r, struct err_detail *why)
{
	const struct row *row = find(r);
	err_t err = refusal_class(r);
	struct buf advice = BUF_INIT;

	if (err == ERR_IN_USE)
		err_set(
		    why, err,
		    "another replica of %s connected with our server_id or uuid: %s (two squeal of the same "
		    "region and source name? otherwise set source.server_id to a number of its own)",
		    r->at, r->text);
	else if (row == NULL || row->advice[0] == '\0')
		err_set(why, err, "%s: %s (error %u)", r->at, r->text, r->code);
	else {
		put_advice(&advice, row->advice, r->account);
		err_set(why, err, "%s: %.200s (error %u): %s", r->at, r->text, r->code, buf_str(&advice));
	}
	buf_fini(&advice);
	return err;
}

err_t
refusal_too_long(const char *at, unsigned long bytes, struct err_detail *why)
{
	return err_set(why, ERR_TOO_LONG, "%s sent an event of %lu bytes: " RAISE_PACKET, at, bytes);
}

err_t
refusal_timed_out(const char *at, struct err_detail *why)
{
	return err_set(why, ERR_TIMEOUT, "nothing heard from %s in time: the link is taken for dead", at);
}
