/*
 * server_security - how the connections to servers are protected: TLS and a password.
 *
 * Read once from the files that the settings name, and shared by all connections to servers with these
 * settings.  The password is sent as memcached's ASCII protocol has it (memcached -Y): a "set" of any key
 * whose value is "user password", before anything else.
 *
 * Threads: the loop's.   Blocks: server_security_create() on files.
 */
#ifndef SQUEAL_LIB_DELIVER_SERVER_SECURITY_H
#define SQUEAL_LIB_DELIVER_SERVER_SECURITY_H

#include "lib/conf/topology.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "lib/net/tls_client.h"
#include "lib/wire/mc_reply.h"

/* Any may be NULL or "": not set. */
struct server_security_options {
	const char *tls;    /* off; on: encrypted, whoever answers; verify: and it must be the right server */
	const char *tls_ca; /* file with the authorities that verify trusts; none: those of the system */
	const char *tls_cert;  /* file with our certificate, where servers ask for one */
	const char *tls_key;   /* file with its key */
	const char *auth_file; /* its first line is user:password; readable by its owner only */
};

struct server_security; /* opaque */

/* *out is NULL where the settings ask for nothing.  ERR_CONFIG, ERR_IO: *why says which file, and what is
 * wrong. */
err_t server_security_create(struct server_security **out, const struct server_security_options *opt,
			     struct err_detail *why) MUST_CHECK;

/* When no connection uses it any more. */
void server_security_destroy(struct server_security **s);

/* NULL: without TLS. */
const struct tls_client *server_security_tls(const struct server_security *s);

/* "user password"; empty: without. */
struct span server_security_login(const struct server_security *s);

/* The name that the server's certificate must have: its host, without brackets; "" for a socket.  The
 * caller's. */
char *server_security_name(const struct server_options *opt);

/* What the server answers to the login.  ERR_AUTH: it refuses the user or the password; ERR_PROTOCOL. */
err_t server_security_taken(const struct mc_reply *reply, struct err_detail *why) MUST_CHECK;

/* Does it answer, to anything else, that it wants one?  Then *why is set, to ERR_AUTH. */
bool server_security_lacks(const struct mc_reply *reply, struct err_detail *why);

/* "off", "on" or "verify"; of NULL, too. */
const char *server_security_tls_mode(const struct server_security *s);

#endif
