/*
 * udp - datagrams of memcached's UDP protocol: 8 bytes in front of each, all numbers big-endian.
 *
 *     0  request id: chosen by the client, the same in every datagram of the reply
 *     2  number of this datagram, from 0
 *     4  datagrams in this message; a request is always one
 *     6  0
 *
 * A reply is cut into datagrams of at most UDP_MAX_DATAGRAM bytes.  What is behind the header is text or
 * binary, as on TCP; a request has to be whole.
 *
 * Anybody can write any sender into a datagram, and a short get asks for a long value; so that we are of
 * little use against third parties, a reply has at most UDP_MAX_REPLY datagrams (a longer one becomes an
 * error), there are no watchers (session_host_ops.watch must say false), and udp_guard bounds
 * what one address is sent per second.
 *
 * Source: memcached's doc/protocol.txt, "UDP protocol"; the behaviour of memcached.c 1.6.45.
 *
 * Threads: the one that owns the session.   Blocks: as session.h.   Clock: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_UDP_H
#define SQUEAL_CACHE_SERVER_PROTO_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "cache-server/proto/session.h"
#include "lib/core/span.h"

enum {
	UDP_HEADER = 8,
	UDP_MAX_DATAGRAM = 1400,
	UDP_MAX_DATA = UDP_MAX_DATAGRAM - UDP_HEADER,
	UDP_MAX_REPLY = 64, /* datagrams: about 87 KiB */
};

struct udp_header {
	uint16_t request, sequence, total;
};

/* False: too short, or not a message of one datagram: to be dropped.  `*data` is what follows the header. */
bool udp_header_read(struct span datagram, struct udp_header *h, struct span *data);
void udp_header_write(const struct udp_header *h, char to[UDP_HEADER]);

/* How many datagrams a reply of so many bytes is; 0 for none. */
unsigned udp_datagrams(size_t reply);

/*
 * The data of datagram number `sequence` out of the pieces of a whole reply, as further pieces in `out`;
 * returns how many, at most `max`.  *bytes is their sum.
 */
int udp_slice(const struct iovec *reply, int n, unsigned sequence, struct iovec *out, int max, size_t *bytes);

/*
 * Feeds the data of one datagram to a fresh session; what is to be sent is in s->out then.  False: the
 * request was not whole, or is not one for UDP, or its reply was too long: what is in s->out instead is an
 * error, or nothing.  session_fini() follows.
 */
bool udp_feed(struct session *s, struct span data);

/* --- what one address may be sent ---------------------------------------------------------------------- */

enum { UDP_GUARD_SLOTS = 1024, UDP_GUARD_RATE = 1 << 20 /* bytes per second, and in one go */ };

/* All zero to begin with.  Addresses that share a slot share its rate. */
struct udp_guard {
	struct {
		uint64_t at_ms;
		uint32_t left;
	} slot[UDP_GUARD_SLOTS];
};

/* Whether `bytes` may be sent to the address with this hash now (keyed, or an attacker would choose slots).
 */
bool udp_guard_allows(struct udp_guard *g, uint64_t address_hash, uint64_t now_ms, size_t bytes);

#endif
