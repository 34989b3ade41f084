/*
 * listen - where squeal-cache listens: one entry of memcached's -l.
 *
 *     -l 127.0.0.1,[::1]:11212,notls:10.0.0.1:11213,proto[binary]:tag[web]:localhost
 *
 * The rules are those of memcached 1.6.45 (server_sockets() in memcached.c): entries are separated by "," or
 * ";"; before the address may stand notls: btls: or mtls:, proto[ascii|binary|negotiating]: and tag[NAME]:
 * (or tag_NAME_:), in this order; "*" is every address; an IPv6 address stands in brackets where a port
 * follows.
 *
 * Only the form is looked at; nothing is resolved.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_CACHE_SERVER_SETTINGS_LISTEN_H
#define SQUEAL_CACHE_SERVER_SETTINGS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"

enum { LISTEN_HOST_MAX = 255, LISTEN_TAG_MAX = 8, LISTEN_MAX = 32 };

/* Whether TLS is spoken on a socket, and whether the client must show a certificate. */
enum listen_tls {
	LISTEN_PLAIN,	  /* no TLS: -Z is off, or "notls:" */
	LISTEN_TLS,	  /* as -o ssl_verify_mode says */
	LISTEN_TLS_BASIC, /* "btls:": the client needs no certificate */
	LISTEN_TLS_PEER,  /* "mtls:": the client must show one */
};

enum listen_protocol { LISTEN_AUTO, LISTEN_ASCII, LISTEN_BINARY };

struct listen {
	char host[LISTEN_HOST_MAX + 1]; /* without brackets; empty: every address ("*") */
	uint16_t port;			/* 0: any free one */
	bool port_given;		/* the entry names its port itself */
	enum listen_tls tls;
	enum listen_protocol protocol;
	char tag[LISTEN_TAG_MAX + 1]; /* empty: none; shown by `stats conns` and watchers */
};

struct listen_list {
	struct listen at[LISTEN_MAX];
	size_t n;
};

/* What an entry has that does not say otherwise. */
struct listen_defaults {
	uint16_t port;
	bool tls;  /* -Z */
	bool auth; /* -Y: the binary protocol cannot authenticate, so it is refused */
	enum listen_protocol protocol;
};

/* Adds the entries of `list` to *out; one that is there already is left out.  ERR_USAGE with a sentence. */
err_t listen_parse(struct span list, const struct listen_defaults *d, struct listen_list *out,
		   struct err_detail *why) MUST_CHECK;

/* 127.0.0.1 and ::1, which is what squeal-cache binds when nothing is said. */
void listen_loopback(const struct listen_defaults *d, struct listen_list *out);

/*
 * Whether nobody outside this machine can reach the address: 127.0.0.0/8, ::1, the same written as
 * ::ffff:127.0.0.1, or the names "localhost", "ip6-localhost".  Any other name is not known to be local.
 */
bool listen_is_local(struct span host);

/* "127.0.0.1:11211", "[::1]:11211", "*:11211" */
void listen_print(const struct listen *l, struct buf *out);

const char *
listen_protocol_text(enum listen_protocol p); /* memcached's words: "auto-negotiate", "ascii", "binary" */

#endif
