#include "squeal/binlog/library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <ma_pvio.h>

#include "lib/core/mem.h"

#ifndef MARIADB_PACKAGE_VERSION
#error                                                                                                       \
    "these are not the headers of MariaDB Connector/C: install libmariadb-dev, or make MYSQL_LIBRARY=libmysqlclient"
#endif

struct library {
	MYSQL *m;
	bool tls; /* at library_enter() */
};

const char *
library_name(void)
{
	return "libmariadb " MARIADB_PACKAGE_VERSION;
}

static unsigned
whole_seconds(uint64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

/* The library's own timeouts are in whole seconds; until library_set_timeout() that is good enough. */
void
library_set_options(MYSQL *m, const char *tls, uint64_t connect_ms, uint64_t longest_ms)
{
	unsigned seconds = whole_seconds(connect_ms);
	my_bool on = 1, off = 0, verify = strcmp(tls, "verify") == 0;

	mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(m, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(m, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(m, MYSQL_OPT_RECONNECT, &off);
	/* ENFORCE asks for TLS; whether there is some is checked after connecting. */
	if (strcmp(tls, "off") != 0)
		mysql_optionsv(m, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_optionsv(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

struct library *
library_create(MYSQL *m)
{
	struct library *l = MEM_NEW(struct library);

	l->m = m;
	return l;
}

void
library_destroy(struct library **l)
{
	free(*l);
	*l = NULL;
}

int
library_socket(const struct library *l)
{
	return (int)mysql_get_socket(l->m);
}

/* The option takes whole seconds and only before connecting.  Plain connections wait in poll() with the
 * library's timeout, TLS ones in a blocking read with the socket's. */
void
library_set_timeout(struct library *l, uint64_t ms)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	if (l->m->net.pvio == NULL)
		return;
	l->m->net.pvio->timeout[PVIO_READ_TIMEOUT] = ms < INT32_MAX ? (int)ms : INT32_MAX;
	setsockopt(library_socket(l), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void
library_enter(struct library *l)
{
	l->tls = mysql_get_ssl_cipher(l->m) != NULL;
	errno = 0;
}

int
library_leave(struct library *l)
{
	/* Without TLS it looks first and then waits with poll(): EAGAIN is of the look, and says nothing of
	 * how the wait ended.  A TLS library reads the socket itself, for as long as that lets it. */
	if (errno == EAGAIN)
		return l->tls ? ETIMEDOUT : 0;
	return errno;
}

static int
send_command(struct library *l, enum dump_command command, const struct buf *b, bool answer)
{
	return l->m->methods->db_command(l->m, (enum enum_server_command)command, b->p, b->len, !answer,
					 NULL);
}

int
library_register(struct library *l, uint32_t server_id)
{
	struct buf b = BUF_INIT;
	int failed;

	dump_put_register(server_id, &b);
	failed = send_command(l, DUMP_REGISTER, &b, true);
	buf_fini(&b);
	return failed;
}

int
library_dump(struct library *l, const struct dump *d)
{
	struct buf b = BUF_INIT;
	enum dump_command command = dump_put(d, &b);
	int failed = send_command(l, command, &b, false);

	buf_fini(&b);
	return failed;
}

int
library_packet(struct library *l, const unsigned char **p, size_t *n)
{
	unsigned long len = mysql_net_read_packet(l->m);

	*p = NULL;
	*n = 0;
	if (len == packet_error)
		return 1;
	if (len > 0 && l->m->net.read_pos[0] == 0xfe && len < 9)
		return 0;
	*p = l->m->net.read_pos;
	*n = len;
	return 0;
}
