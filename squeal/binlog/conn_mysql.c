#include "squeal/binlog/conn_mysql.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <mysql.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"

/* --- what differs between client libraries ----------------------------------------------------------------
 */

#ifdef MARIADB_PACKAGE_VERSION
#include <errmsg.h>
#include <ma_pvio.h>

/* The option takes whole seconds and only before connecting.  Plain connections wait in poll() with the
 * library's timeout, TLS ones in a blocking read with the socket's. */
static void
library_set_read_timeout(MYSQL *m, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	if (m->net.pvio == NULL)
		return;
	m->net.pvio->timeout[PVIO_READ_TIMEOUT] = ms < INT32_MAX ? (int)ms : INT32_MAX;
	setsockopt((int)mysql_get_socket(m), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

/* Nonzero: mysql_errno() tells.  `answer`: wait for the server's OK. */
static int
library_command(MYSQL *m, enum enum_server_command command, const char *arg, size_t len, bool answer)
{
	return m->methods->db_command(m, command, arg, len, !answer, NULL);
}

static unsigned long
library_read_packet(MYSQL *m)
{
	return mysql_net_read_packet(m);
}

static int
library_socket(MYSQL *m)
{
	return (int)mysql_get_socket(m);
}

static void
library_set_tls(MYSQL *m, const char *mode)
{
	my_bool on = 1, verify = strcmp(mode, "verify") == 0;

	/* ENFORCE asks for TLS; whether there is some is checked after connecting. */
	if (strcmp(mode, "off") != 0)
		mysql_optionsv(m, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_optionsv(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}
#else
#error "this version is built with MariaDB Connector/C (libmariadb-dev)"
#endif

/* --- errors -----------------------------------------------------------------------------------------------
 */

struct conn {
	const struct source_options *opt;
	MYSQL *m; /* NULL when closed */
	char version[128];
	char account[300]; /* 'squeal'@'%', as the server sees us */
	uint64_t id;
	bool any_server;

	pthread_mutex_t lock;
	int fd; /* under lock; -1 when there is none to shut down */
	_Atomic bool interrupted;
};

/* What the server tells in the text of error 1236 only. */
static err_t
classify_dump_error(const char *text)
{
	if (strstr(text, "same server_uuid") != NULL || strstr(text, "same server_id") != NULL)
		return ERR_IN_USE;
	if (strstr(text, "max_allowed_packet") != NULL)
		return ERR_TOO_LONG;
	if (strstr(text, "Binary log is not open") != NULL)
		return ERR_SOURCE_SETUP;
	if (strstr(text, "Misconfigured") != NULL)
		return ERR_SOURCE_SETUP;
	return ERR_GAP;
}

static err_t
classify(unsigned code, const char *text, bool connecting)
{
	switch (code) {
	case 1045: /* access denied */
		return connecting ? ERR_AUTH : ERR_PRIVILEGE;
	case 1698: /* access denied, no password */
	case 1130: /* host not allowed */
	case 1862: /* password expired */
	case 1820:
	case 4151: /* account locked */
	case 1251: /* client too old for its authentication */
	case CR_AUTH_PLUGIN_CANNOT_LOAD:
		return ERR_AUTH;
	case CR_SSL_CONNECTION_ERROR: /* with TLS a lost link looks like this too */
		return connecting ? ERR_AUTH : ERR_CONN;
	case 1044:
	case 1142:
	case 1227:
	case 1370:
		return ERR_PRIVILEGE;
	case 1236:
		return classify_dump_error(text);
	case 4052: /* another replica with our server_id */
		return ERR_IN_USE;
	case 1945: /* GTID not in the binlog, three ways */
	case 1946:
	case 1947:
	case 1950:
	case 1951:
	case 1955:
		return ERR_GAP;
	case 1381: /* no binlog */
		return ERR_SOURCE_SETUP;
	case CR_NET_PACKET_TOO_LARGE:
		return ERR_TOO_LONG;
	case CR_MALFORMED_PACKET:
	case CR_VERSION_ERROR:
		return ERR_PROTOCOL;
	case CR_UNKNOWN_HOST:
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case 1040: /* too many connections */
	case 1053: /* shutdown */
	case 1077:
	case 1079:
	case 1129: /* host blocked after errors */
	case 1152:
	case 1153:
	case 1158:
	case 1159:
	case 1160:
	case 1161:
	case 1203:
	case 1317: /* interrupted */
	case 1927: /* killed */
		return ERR_CONN;
	default:
		return connecting ? ERR_CONN : ERR_PROTOCOL;
	}
}

/* Where we connect to, for sentences. */
struct address_text {
	char text[300];
};

static struct address_text
address(const struct conn *c)
{
	struct address_text t;

	if (c->opt->socket[0] != '\0')
		snprintf(t.text, sizeof(t.text), "%.250s", c->opt->socket);
	else
		snprintf(t.text, sizeof(t.text), "%.250s:%llu", c->opt->host,
			 (unsigned long long)c->opt->port);
	return t;
}

static err_t
explain(struct conn *c, err_t err, unsigned code, const char *text, struct err_detail *why)
{
	struct address_text at = address(c);

	switch (err) {
	case ERR_AUTH:
		if (code == CR_SSL_CONNECTION_ERROR)
			return err_set(
			    why, err,
			    "TLS with %s failed: %s (check source.tls_ca, tls_cert and tls_key, or set "
			    "source.tls)",
			    at.text, text);
		return err_set(
		    why, err,
		    "%s does not let us in: %s (check source.user and the password in source.password_file)",
		    at.text, text);
	case ERR_PRIVILEGE:
		return err_set(
		    why, err,
		    "%s: %s; run on it: GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO %s (before "
		    "MariaDB 10.5: REPLICATION CLIENT instead of BINLOG MONITOR)",
		    at.text, text, c->account[0] != '\0' ? c->account : c->opt->user);
	case ERR_IN_USE:
		return err_set(
		    why, err,
		    "another replica of %s connected with our server_id or uuid: %s (two squeal of the "
		    "same region and source name? otherwise set source.server_id to a number of its own)",
		    at.text, text);
	case ERR_GAP:
		return err_set(
		    why, err,
		    "%s cannot continue from our position: %s; what was committed in between is not known: "
		    "flush the caches, then start with source.start: now or earliest",
		    at.text, text);
	case ERR_SOURCE_SETUP:
		return err_set(why, err,
			       "%s writes no binlog: %s; set log_bin in its configuration and restart it",
			       at.text, text);
	case ERR_TOO_LONG:
		return err_set(
		    why, err,
		    "%s sent an event longer than source.max_event, or has one longer than its own "
		    "max_allowed_packet: %s; raise the one that is too small",
		    at.text, text);
	case ERR_TIMEOUT:
		return err_set(why, err, "nothing heard from %s in time: %s", at.text, text);
	default:
		return err_set(why, err, "%s: %s (error %u)", at.text, text, code);
	}
}

/* The error of the last call into the library. */
static err_t
fail(struct conn *c, int os_error, struct err_detail *why)
{
	unsigned code = mysql_errno(c->m);
	const char *text = mysql_error(c->m);
	err_t err = classify(code, text, false);

	if (conn_is_interrupted(c))
		return err_set(why, ERR_CLOSED, "the connection to %s was interrupted", address(c).text);
	if ((code == CR_SERVER_LOST && (os_error == ETIMEDOUT || os_error == EAGAIN)) ||
	    (code == CR_SSL_CONNECTION_ERROR && strstr(text, strerror(ETIMEDOUT)) != NULL))
		return explain(c, ERR_TIMEOUT, code, "the link is taken for dead", why);
	return explain(c, err, code, text, why);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static void
init_library(void)
{
	mysql_library_init(0, NULL, NULL);
}

struct conn *
conn_create(const struct source_options *opt)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct conn *c = MEM_NEW(struct conn);

	pthread_once(&once, init_library);
	c->opt = opt;
	c->fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void
conn_destroy(struct conn **c)
{
	if (*c == NULL)
		return;
	conn_close(*c);
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
	*c = NULL;
}

void
conn_close(struct conn *c)
{
	pthread_mutex_lock(&c->lock);
	c->fd = -1;
	pthread_mutex_unlock(&c->lock);
	if (c->m != NULL)
		mysql_close(c->m);
	c->m = NULL;
	c->account[0] = '\0';
}

bool
conn_is_open(const struct conn *c)
{
	return c->m != NULL;
}

void
conn_interrupt(struct conn *c)
{
	atomic_store(&c->interrupted, true);
	pthread_mutex_lock(&c->lock);
	if (c->fd >= 0)
		shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&c->lock);
}

bool
conn_is_interrupted(const struct conn *c)
{
	return atomic_load((_Atomic bool *)&c->interrupted);
}

void
conn_set_timeout(struct conn *c, uint64_t ms)
{
	library_set_read_timeout(c->m, ms);
}

struct span
conn_version(const struct conn *c)
{
	return span_of(c->version);
}

uint64_t
conn_id(const struct conn *c)
{
	return c->id;
}

const char *
conn_account(const struct conn *c)
{
	return c->account;
}

const char *
conn_cipher(const struct conn *c)
{
	return mysql_get_ssl_cipher(c->m);
}

void
conn_allow_any_server(struct conn *c)
{
	c->any_server = true;
}

static void
set_options(struct conn *c)
{
	const struct source_options *opt = c->opt;
	unsigned seconds = (unsigned)((opt->connect_timeout + 999) / 1000);
	/* The protocol's own limit.  A smaller one would look like a lost connection when it is passed. */
	unsigned long packet = 1ul << 30;
	/* Otherwise the host name "localhost" would mean a socket of the library's choice. */
	unsigned protocol = opt->socket[0] != '\0' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	my_bool no = 0;

	mysql_options(c->m, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(c->m, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(c->m, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(c->m, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(c->m, MYSQL_OPT_RECONNECT, &no);
	mysql_options(c->m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	mysql_options(c->m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (opt->tls_ca[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_CA, opt->tls_ca);
	if (opt->tls_cert[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_CERT, opt->tls_cert);
	if (opt->tls_key[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_KEY, opt->tls_key);
	library_set_tls(c->m, opt->tls);
}

static err_t
connect_to(struct conn *c, struct err_detail *why)
{
	const struct source_options *opt = c->opt;
	bool by_socket = opt->socket[0] != '\0';
	struct buf password = BUF_INIT;
	err_t err = ERR_OK;
	unsigned code;
	bool must_tls = strcmp(opt->tls, "required") == 0 || strcmp(opt->tls, "verify") == 0;

	if (opt->password_file[0] != '\0')
		err = file_read_secret(opt->password_file, &password, why);
	if (err != ERR_OK)
		goto done;
	set_options(c);
	if (mysql_real_connect(c->m, by_socket ? NULL : opt->host, opt->user, buf_str(&password), NULL,
			       by_socket ? 0 : (unsigned)opt->port, by_socket ? opt->socket : NULL,
			       0) == NULL) {
		code = mysql_errno(c->m);
		err = explain(c, classify(code, mysql_error(c->m), true), code, mysql_error(c->m), why);
		goto done;
	}
	if (must_tls && mysql_get_ssl_cipher(c->m) == NULL)
		err = err_set(
		    why, ERR_AUTH,
		    "%s offers no TLS, and source.tls is %s: set up ssl_cert and ssl_key on the server, or "
		    "set source.tls: preferred",
		    address(c).text, opt->tls);
done:
	if (password.base != NULL)
		explicit_bzero(password.base, password.cap);
	buf_fini(&password);
	return err;
}

static void
take_identity(void *arg, const struct span *values, unsigned n)
{
	struct conn *c = arg;
	const char *at = memrchr(values[1].p, '@', values[1].len);
	size_t name_len = at != NULL ? (size_t)(at - values[1].p) : values[1].len;
	struct span host = span_from(values[1], name_len + (at != NULL));

	snprintf(c->version, sizeof(c->version), "%.*s", SPAN_FMT(values[0]));
	snprintf(c->account, sizeof(c->account), "'%.*s'@'%.*s'", SPAN_FMT(span_first(values[1], name_len)),
		 SPAN_FMT(host));
	span_u64(values[2], &c->id);
}

err_t
conn_open(struct conn *c, struct err_detail *why)
{
	err_t err;

	conn_close(c);
	if (conn_is_interrupted(c))
		return err_set(why, ERR_CLOSED, "the connection to %s was interrupted", address(c).text);
	c->m = mysql_init(NULL);
	if (c->m == NULL)
		return err_set(why, ERR_SYS, "no memory for a connection");
	err = connect_to(c, why);
	if (err != ERR_OK)
		goto done;
	pthread_mutex_lock(&c->lock);
	c->fd = library_socket(c->m);
	pthread_mutex_unlock(&c->lock);
	err = conn_ask(c, "SELECT VERSION(), CURRENT_USER(), CONNECTION_ID()", take_identity, c, why);
	if (err == ERR_OK && !c->any_server && strstr(c->version, "MariaDB") == NULL)
		err = err_set(
		    why, ERR_SOURCE_SETUP,
		    "%s is a server of version %s: this version of squeal streams from MariaDB only; squeal "
		    "keys reads MySQL's binlog files",
		    address(c).text, c->version);
done:
	if (err != ERR_OK)
		conn_close(c);
	return err;
}

/* --- questions --------------------------------------------------------------------------------------------
 */

err_t
conn_do(struct conn *c, const char *sql, struct err_detail *why)
{
	errno = 0;
	if (mysql_real_query(c->m, sql, strlen(sql)) != 0)
		return fail(c, errno, why);
	return ERR_OK;
}

err_t
conn_ask(struct conn *c, const char *sql, conn_row_fn *fn, void *arg, struct err_detail *why)
{
	enum { MAX_VALUES = 16 };
	struct span values[MAX_VALUES];
	MYSQL_RES *res;
	MYSQL_ROW row;
	unsigned n;
	err_t err;

	err = conn_do(c, sql, why);
	if (err != ERR_OK)
		return err;
	errno = 0;
	res = mysql_store_result(c->m);
	if (res == NULL)
		return fail(c, errno, why);
	n = mysql_num_fields(res);
	if (n > MAX_VALUES)
		n = MAX_VALUES;
	while ((row = mysql_fetch_row(res)) != NULL) {
		unsigned long *lengths = mysql_fetch_lengths(res);

		for (unsigned i = 0; i < n; i++)
			values[i] = row[i] != NULL ? span_make(row[i], lengths[i]) : (struct span){"", 0};
		fn(arg, values, n);
	}
	mysql_free_result(res);
	return ERR_OK;
}

struct first_value {
	struct buf *out;
	bool taken;
};

static void
take_first(void *arg, const struct span *values, unsigned n)
{
	struct first_value *f = arg;

	if (!f->taken && n > 0)
		buf_put_span(f->out, values[0]);
	f->taken = true;
}

err_t
conn_value(struct conn *c, const char *sql, struct buf *out, struct err_detail *why)
{
	struct first_value f = {.out = out};

	return conn_ask(c, sql, take_first, &f, why);
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

static void
put_le(struct buf *b, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_putc(b, (char)(v >> (8 * i) & 0xff));
}

static void
put_short(struct buf *b, const char *text)
{
	buf_putc(b, (char)strlen(text));
	buf_put_str(b, text);
}

err_t
conn_dump(struct conn *c, uint32_t server_id, bool stop_at_end, struct err_detail *why)
{
	enum { STOP_AT_END = 1, SEND_ANNOTATE_ROWS = 2 };
	struct buf b = BUF_INIT;
	err_t err = ERR_OK;

	put_le(&b, server_id, 4);
	put_short(&b, "squeal"); /* host, user, password: shown in SHOW REPLICA HOSTS */
	put_short(&b, "");
	put_short(&b, "");
	put_le(&b, 0, 2); /* port */
	put_le(&b, 0, 4); /* rank */
	put_le(&b, 0, 4); /* the server's id, which it knows */
	errno = 0;
	if (library_command(c->m, COM_REGISTER_SLAVE, b.p, b.len, true) != 0) {
		err = fail(c, errno, why);
		goto done;
	}
	buf_clear(&b);
	put_le(&b, 4, 4); /* position: not used, @slave_connect_state is */
	put_le(&b, SEND_ANNOTATE_ROWS | (stop_at_end ? STOP_AT_END : 0), 2);
	put_le(&b, server_id, 4);
	errno = 0;
	if (library_command(c->m, COM_BINLOG_DUMP, b.p, b.len, false) != 0)
		err = fail(c, errno, why);
done:
	buf_fini(&b);
	return err;
}

err_t
conn_event(struct conn *c, struct span *event, struct err_detail *why)
{
	const unsigned char *p;
	unsigned long n;

	*event = (struct span){"", 0};
	errno = 0;
	n = library_read_packet(c->m);
	if (n == packet_error)
		return fail(c, errno, why);
	p = c->m->net.read_pos;
	if (n > 0 && p[0] == 0xfe && n < 9)
		return ERR_OK;
	if (n < 2 || p[0] != 0)
		return err_set(why, ERR_PROTOCOL, "%s sent a packet that is no event", address(c).text);
	if (n - 1 > c->opt->max_event) {
		char size[40];

		snprintf(size, sizeof(size), "it has %lu bytes", n - 1);
		return explain(c, ERR_TOO_LONG, 0, size, why);
	}
	*event = span_make(p + 1, n - 1);
	return ERR_OK;
}
