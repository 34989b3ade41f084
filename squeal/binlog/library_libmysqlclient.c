#include "squeal/binlog/library.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"

#ifndef MYSQL_RPL_GTID
#error "these are not the headers of Oracle's libmysqlclient 8.0 or later"
#endif

/*
 * The read timeout can be set in whole seconds and before connecting only, and what the library has read
 * ahead cannot be seen from outside.  So it is set to the longest one, and a thread watches the connection: a
 * call that has not returned for the timeout has its socket shut down.  The thread counts steps of waiting.
 */
struct library {
	MYSQL *m;
	MYSQL_RPL stream;
	struct buf file; /* what the stream borrows */
	struct buf gtids;

	pthread_t guard;
	int wake;		     /* eventfd: timeout or end */
	_Atomic bool end;	     /* the guard is to leave */
	_Atomic bool fired;	     /* it shut the socket down */
	_Atomic uint64_t timeout_ms; /* UINT64_MAX: none */
	_Atomic uint64_t calls;	     /* odd while one is under way */
};

enum { STEPS = 10 };

const char *
library_name(void)
{
	return "libmysqlclient " MYSQL_SERVER_VERSION;
}

static unsigned
whole_seconds(uint64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

void
library_set_options(MYSQL *m, const char *tls, uint64_t connect_ms, uint64_t longest_ms)
{
	unsigned connect = whole_seconds(connect_ms), longest = whole_seconds(longest_ms);
	unsigned mode = SSL_MODE_PREFERRED;
	bool on = true;

	mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &connect);
	mysql_options(m, MYSQL_OPT_READ_TIMEOUT, &longest);
	mysql_options(m, MYSQL_OPT_WRITE_TIMEOUT, &connect);
	if (strcmp(tls, "off") == 0)
		mode = SSL_MODE_DISABLED;
	else if (strcmp(tls, "required") == 0)
		mode = SSL_MODE_REQUIRED;
	else if (strcmp(tls, "verify") == 0)
		mode = SSL_MODE_VERIFY_IDENTITY;
	mysql_options(m, MYSQL_OPT_SSL_MODE, &mode);
	/* Without TLS caching_sha2_password needs it, and libmariadb does so unasked. */
	mysql_options(m, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &on);
}

static void *
guard_connection(void *arg)
{
	struct library *l = arg;
	uint64_t seen = 0, ticks;
	unsigned steps = 0;

	while (!l->end) {
		uint64_t timeout = l->timeout_ms, calls;
		struct pollfd p = {.fd = l->wake, .events = POLLIN};
		int step = timeout / STEPS < INT32_MAX ? (int)(timeout / STEPS) + 1 : -1;

		if (poll(&p, 1, step) != 0) {
			/* Another timeout: count anew. */
			if (read(l->wake, &ticks, sizeof(ticks)) == sizeof(ticks))
				steps = 0;
			continue;
		}
		calls = l->calls;
		steps = calls == seen && calls % 2 == 1 ? steps + 1 : 0;
		seen = calls;
		if (steps >= STEPS && l->calls == calls) {
			l->fired = true;
			shutdown(library_socket(l), SHUT_RDWR);
			break;
		}
	}
	return NULL;
}

static void
wake_guard(struct library *l)
{
	uint64_t one = 1;

	/* An eventfd that cannot take a 1 is awake already. */
	if (write(l->wake, &one, sizeof(one)) < 0)
		return;
}

struct library *
library_create(MYSQL *m)
{
	struct library *l = MEM_NEW(struct library);

	l->m = m;
	l->timeout_ms = UINT64_MAX;
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake < 0 || thread_start(&l->guard, "squeal-guard", guard_connection, l, NULL) != ERR_OK) {
		if (l->wake >= 0)
			close(l->wake);
		free(l);
		return NULL;
	}
	return l;
}

void
library_destroy(struct library **lp)
{
	struct library *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	l->end = true;
	wake_guard(l);
	pthread_join(l->guard, NULL);
	close(l->wake);
	buf_fini(&l->file);
	buf_fini(&l->gtids);
	free(l);
}

int
library_socket(const struct library *l)
{
	return (int)l->m->net.fd;
}

void
library_set_timeout(struct library *l, uint64_t ms)
{
	l->timeout_ms = ms;
	wake_guard(l);
}

void
library_enter(struct library *l)
{
	l->calls++;
	errno = 0;
}

int
library_leave(struct library *l)
{
	int os_error = errno;

	l->calls++;
	return l->fired || os_error == EAGAIN ? ETIMEDOUT : os_error;
}

/* The library has no call for COM_REGISTER_SLAVE. */
int
library_register(struct library *l, uint32_t server_id)
{
	return 0;
}

static void
put_gtids(MYSQL_RPL *rpl, unsigned char *packet)
{
	const struct buf *gtids = rpl->gtid_set_arg;

	memcpy(packet, gtids->p, gtids->len);
}

int
library_dump(struct library *l, const struct dump *d)
{
	buf_clear(&l->file);
	buf_put_span(&l->file, d->file);
	buf_clear(&l->gtids);
	buf_put_span(&l->gtids, d->gtids);
	l->stream = (MYSQL_RPL){
	    .file_name = buf_str(&l->file),
	    .file_name_length = l->file.len,
	    .start_position = d->pos,
	    .server_id = d->server_id,
	    .flags = d->flags | (d->by_gtid ? MYSQL_RPL_GTID : 0),
	    .gtid_set_encoded_size = l->gtids.len,
	    .fix_gtid_set = put_gtids,
	    .gtid_set_arg = &l->gtids,
	};
	return mysql_binlog_open(l->m, &l->stream);
}

int
library_packet(struct library *l, const unsigned char **p, size_t *n)
{
	*p = NULL;
	*n = 0;
	if (mysql_binlog_fetch(l->m, &l->stream) != 0)
		return 1;
	*p = l->stream.buffer;
	*n = l->stream.size;
	return 0;
}
