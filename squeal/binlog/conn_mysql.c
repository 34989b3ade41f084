#include "squeal/binlog/conn_mysql.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"
#include "squeal/binlog/library.h"
#include "squeal/binlog/refusal.h"

struct conn {
	const struct source_options *opt;
	struct endpoint endpoint;
	MYSQL *m;		 /* NULL when closed */
	struct library *library; /* NULL until let in */
	enum conn_flavour flavour;
	char version[128];
	char account[300]; /* 'squeal'@'%', as the server sees us */
	uint64_t id;

	pthread_mutex_t lock;
	int fd; /* under lock; -1 when there is none to shut down */
	_Atomic bool interrupted;
};

/* --- errors -----------------------------------------------------------------------------------------------
 */

static err_t
interrupted(const struct conn *c, struct err_detail *why)
{
	return err_set(why, ERR_CLOSED, "the connection to %s was interrupted",
		       endpoint_text(&c->endpoint).text);
}

/* The error of the last call into the library. */
static err_t
fail(struct conn *c, int os_error, bool connecting, struct err_detail *why)
{
	struct endpoint_text at = endpoint_text(&c->endpoint);
	struct refusal r = {
	    .code = mysql_errno(c->m),
	    .text = mysql_error(c->m),
	    .at = at.text,
	    .account = c->account[0] != '\0' ? c->account : c->opt->user,
	    .connecting = connecting,
	    .mariadb = c->flavour == CONN_MARIADB,
	};

	if (conn_is_interrupted(c))
		return interrupted(c, why);
	if (!connecting && refusal_class(&r) == ERR_CONN &&
	    (os_error == ETIMEDOUT || strstr(r.text, strerror(ETIMEDOUT)) != NULL))
		return refusal_timed_out(at.text, why);
	return refusal_explain(&r, why);
}

/* --- life -------------------------------------------------------------------------------------------------
 */

static void
init_library(void)
{
	mysql_library_init(0, NULL, NULL);
}

static struct endpoint
first_endpoint(const struct source_options *opt)
{
	struct endpoints all;

	endpoints_of(opt, &all);
	return all.at[0];
}

struct conn *
conn_create(const struct source_options *opt)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct conn *c = MEM_NEW(struct conn);

	pthread_once(&once, init_library);
	c->opt = opt;
	c->endpoint = first_endpoint(opt);
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
	library_destroy(&c->library);
	if (c->m != NULL)
		mysql_close(c->m);
	c->m = NULL;
	c->flavour = CONN_UNKNOWN;
	c->account[0] = '\0';
}

bool
conn_is_open(const struct conn *c)
{
	return c->m != NULL;
}

void
conn_break(struct conn *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->fd >= 0)
		shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&c->lock);
}

void
conn_interrupt(struct conn *c)
{
	atomic_store(&c->interrupted, true);
	conn_break(c);
}

bool
conn_is_interrupted(const struct conn *c)
{
	return atomic_load((_Atomic bool *)&c->interrupted);
}

void
conn_set_timeout(struct conn *c, uint64_t ms)
{
	library_set_timeout(c->library, ms);
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

enum conn_flavour
conn_flavour(const struct conn *c)
{
	return c->flavour;
}

const struct endpoint *
conn_endpoint(const struct conn *c)
{
	return &c->endpoint;
}

static void
set_options(struct conn *c)
{
	const struct source_options *opt = c->opt;
	/* The protocol's own limit.  A smaller one would look like a lost connection when it is passed. */
	unsigned long packet = 1ul << 30;
	/* Otherwise the host name "localhost" would mean a socket of the library's choice. */
	unsigned protocol = c->endpoint.socket[0] != '\0' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	uint64_t longest = opt->first_event > opt->dead_after ? opt->first_event : opt->dead_after;

	mysql_options(c->m, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(c->m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	mysql_options(c->m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (opt->tls_ca[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_CA, opt->tls_ca);
	if (opt->tls_cert[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_CERT, opt->tls_cert);
	if (opt->tls_key[0] != '\0')
		mysql_options(c->m, MYSQL_OPT_SSL_KEY, opt->tls_key);
	library_set_options(c->m, opt->tls, opt->connect_timeout,
			    longest > opt->connect_timeout ? longest : opt->connect_timeout);
}

static err_t
connect_to(struct conn *c, struct err_detail *why)
{
	const struct source_options *opt = c->opt;
	const struct endpoint *e = &c->endpoint;
	bool by_socket = e->socket[0] != '\0';
	struct buf password = BUF_INIT;
	err_t err = ERR_OK;
	bool must_tls = strcmp(opt->tls, "required") == 0 || strcmp(opt->tls, "verify") == 0;

	if (opt->password_file[0] != '\0')
		err = file_read_secret(opt->password_file, &password, why);
	if (err != ERR_OK)
		goto done;
	set_options(c);
	if (mysql_real_connect(c->m, by_socket ? NULL : e->host, opt->user, buf_str(&password), NULL, e->port,
			       by_socket ? e->socket : NULL, 0) == NULL) {
		err = fail(c, 0, true, why);
		goto done;
	}
	if (must_tls && mysql_get_ssl_cipher(c->m) == NULL) {
		err = err_set(
		    why, ERR_AUTH,
		    "%s offers no TLS, and source.tls is %s: set up ssl_cert and ssl_key on the server, or "
		    "set source.tls: preferred",
		    endpoint_text(e).text, opt->tls);
		goto done;
	}
	c->library = library_create(c->m);
	if (c->library == NULL)
		err = err_set(why, ERR_SYS, "no thread or file handle left for the connection to %s",
			      endpoint_text(e).text);
	else
		library_set_timeout(c->library, opt->connect_timeout);
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
	/* Percona Server, Aurora and others that are made of MySQL have versions such as "8.0.36-28". */
	c->flavour = strcasestr(c->version, "mariadb") != NULL ? CONN_MARIADB : CONN_MYSQL;
}

err_t
conn_open(struct conn *c, struct err_detail *why)
{
	err_t err;

	conn_close(c);
	if (conn_is_interrupted(c))
		return interrupted(c, why);
	c->m = mysql_init(NULL);
	if (c->m == NULL)
		return err_set(why, ERR_SYS, "no memory for a connection");
	err = connect_to(c, why);
	if (err != ERR_OK)
		goto done;
	pthread_mutex_lock(&c->lock);
	c->fd = library_socket(c->library);
	pthread_mutex_unlock(&c->lock);
	err = conn_ask(c, "SELECT VERSION(), CURRENT_USER(), CONNECTION_ID()", take_identity, c, why);
done:
	if (err != ERR_OK)
		conn_close(c);
	return err;
}

err_t
conn_open_at(struct conn *c, const struct endpoint *e, struct err_detail *why)
{
	conn_close(c);
	c->endpoint = *e;
	return conn_open(c, why);
}

/* --- questions --------------------------------------------------------------------------------------------
 */

err_t
conn_do(struct conn *c, const char *sql, struct err_detail *why)
{
	int failed, os_error;

	library_enter(c->library);
	failed = mysql_real_query(c->m, sql, strlen(sql));
	os_error = library_leave(c->library);
	return failed != 0 ? fail(c, os_error, false, why) : ERR_OK;
}

err_t
conn_ask(struct conn *c, const char *sql, conn_row_fn *fn, void *arg, struct err_detail *why)
{
	enum { MAX_VALUES = 16 };
	struct span values[MAX_VALUES];
	MYSQL_RES *res;
	MYSQL_ROW row;
	unsigned n;
	int os_error;
	err_t err;

	err = conn_do(c, sql, why);
	if (err != ERR_OK)
		return err;
	library_enter(c->library);
	res = mysql_store_result(c->m);
	os_error = library_leave(c->library);
	if (res == NULL)
		return fail(c, os_error, false, why);
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

err_t
conn_dump(struct conn *c, const struct dump *d, struct err_detail *why)
{
	int failed, os_error;

	library_enter(c->library);
	failed = library_register(c->library, d->server_id);
	if (failed == 0)
		failed = library_dump(c->library, d);
	os_error = library_leave(c->library);
	return failed != 0 ? fail(c, os_error, false, why) : ERR_OK;
}

err_t
conn_event(struct conn *c, struct span *event, struct err_detail *why)
{
	const unsigned char *p;
	size_t n;
	int failed, os_error;

	*event = (struct span){"", 0};
	library_enter(c->library);
	failed = library_packet(c->library, &p, &n);
	os_error = library_leave(c->library);
	if (failed != 0)
		return fail(c, os_error, false, why);
	if (n == 0)
		return ERR_OK;
	if (n < 2 || p[0] != 0)
		return err_set(why, ERR_PROTOCOL, "%s sent a packet that is no event",
			       endpoint_text(&c->endpoint).text);
	if (n - 1 > c->opt->max_event)
		return refusal_too_long(endpoint_text(&c->endpoint).text, n - 1, why);
	*event = span_make(p + 1, n - 1);
	return ERR_OK;
}
