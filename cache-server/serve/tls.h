/*
 * tls - TLS of a server's connections, over OpenSSL, on sockets that do not block.
 *
 * One context serves all connections; reloading makes a fresh context and exchanges the two, so that
 * connections that exist keep the certificate that they began with, and a certificate that cannot be used
 * changes nothing.
 *
 * Source: memcached 1.6.45, tls.c, for what the options mean.
 *
 * Threads: tls_session functions on the connection's worker; tls_reload() and the figures on any.
 * Blocks: tls_create() and tls_reload() on files; else a mutex for moments.   Clock: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_TLS_H
#define SQUEAL_CACHE_SERVER_SERVE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "cache-server/settings/settings.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"

struct tls;	    /* opaque: what all connections share */
struct tls_session; /* opaque: one connection's */

/* ERR_CONFIG: *why says which file cannot be used, and why. */
err_t tls_create(struct tls **out, const struct settings *s, const struct clock *clock,
		 struct err_detail *why) MUST_CHECK;
void tls_destroy(struct tls **t); /* NULL is fine; sessions may outlive it */

/* Reads certificate, key and authorities again.  On error the old ones stay. */
err_t tls_reload(struct tls *t, struct err_detail *why) MUST_CHECK;
uint64_t tls_age_s(struct tls *t);	  /* since they were read */
uint64_t tls_new_sessions(struct tls *t); /* so far */

/* A session on a connected socket; the handshake happens with the first reads.  NULL: no memory. */
struct tls_session *tls_accept(struct tls *t, int fd, enum listen_tls mode);

/* Says goodbye, without waiting for an answer.  NULL is fine. */
void tls_close(struct tls_session **s);

enum tls_result {
	TLS_ERROR = -1,	     /* broken, or the handshake failed: close */
	TLS_END = 0,	     /* closed by the other side */
	TLS_WANT_READ = -2,  /* again when bytes have come */
	TLS_WANT_WRITE = -3, /* again when there is room to send */
};

/* Bytes (more than 0) or enum tls_result. */
ssize_t tls_read(struct tls_session *s, void *to, size_t max);
/* At most `wbuf` bytes at a time, gathered in `scratch`. */
ssize_t tls_write(struct tls_session *s, const struct iovec *iov, int n, char *scratch, size_t wbuf);

/* Decrypted bytes wait although the socket is empty. */
bool tls_has_more(const struct tls_session *s);
/* The handshake is over: an error from now on is one of the protocol. */
bool tls_is_open(const struct tls_session *s);

#endif
