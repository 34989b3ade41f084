/*
 * tls_client - the client's side of TLS, over OpenSSL: bytes in, bytes out, no I/O.
 *
 * A tls_client is the settings and certificates that many connections share; a tls_link is one connection.
 * TLS 1.2 at least.  Where the server is verified, its certificate must come from a trusted authority, be
 * valid now, and carry the name (or the IP address) that was connected to; the name is sent as SNI as well.
 *
 * Source: RFC 8446, RFC 6125 (names), RFC 6066 (SNI).
 *
 * Threads: the loop's.   Blocks: tls_client_create() on files.   Clock: OpenSSL's own, for validity.
 */
#ifndef SQUEAL_LIB_NET_TLS_CLIENT_H
#define SQUEAL_LIB_NET_TLS_CLIENT_H

#include <stdbool.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

/* Any file may be NULL or "". */
struct tls_client_options {
	bool verify;
	const char *ca;	  /* authorities to trust; none: those of the system */
	const char *cert; /* our certificate, and those between it and the authority */
	const char *key;
};

struct tls_client; /* opaque */
struct tls_link;   /* opaque */

/* ERR_CONFIG: *why says which file cannot be used, and why. */
err_t tls_client_create(struct tls_client **out, const struct tls_client_options *opt,
			struct err_detail *why) MUST_CHECK;

/* Links may outlive it. */
void tls_client_destroy(struct tls_client **c);

/* `name`: host name or IP address of the server; "" where it has none (a socket of this machine): then only
 * the authority is checked. */
struct tls_link *tls_link_create(const struct tls_client *c, const char *name);
void tls_link_destroy(struct tls_link **l);

/*
 * Takes what has come from the server (nothing at the beginning), appends what it says to `plain`, and what
 * must be sent to `out`, also when it fails.  ERR_CONN: the handshake or the stream failed, *why says why, as
 * in "its certificate is not good: certificate has expired".
 */
err_t tls_link_take(struct tls_link *l, struct span bytes, struct buf *plain, struct buf *out,
		    struct err_detail *why) MUST_CHECK;

/* Encrypts; after the handshake only.  False: the link has failed. */
bool tls_link_put(struct tls_link *l, struct span plain, struct buf *out) MUST_CHECK;

bool tls_link_is_open(const struct tls_link *l);   /* the handshake is done */
bool tls_link_is_closed(const struct tls_link *l); /* the server has said that it will say no more */

#endif
