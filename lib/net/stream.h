/*
 * stream - a client connection for protocols that are pipelined: bytes out, bytes in, and one reason when it
 * ends.
 *
 * Connecting, name look-up included, happens in the background.  stream_write() hands the bytes to the kernel
 * at once as far as it takes them and queues the rest; the writer watches stream_unsent() and stops when it
 * is enough.  With TLS the handshake is part of connecting.  After on_close() nothing more is called and
 * nothing more is sent; the stream still belongs to the caller. Every callback may call any function of the
 * stream, stream_close() included.
 *
 * Threads: the loop's.   Blocks: never.   Clock: the loop's.
 */
#ifndef SQUEAL_LIB_NET_STREAM_H
#define SQUEAL_LIB_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/err.h"
#include "lib/core/span.h"
#include "lib/net/loop.h"
#include "lib/net/tls_client.h"

struct stream; /* opaque */

struct stream_ops {
	/* Connected; what was written before has been sent as far as possible.  May be NULL. */
	void (*on_open)(void *arg);

	/*
	 * All bytes received and not taken yet.  Returns how many of them are taken; the rest is shown again
	 * together with the next ones.  `bytes` is valid during the call only.
	 */
	size_t (*on_bytes)(void *arg, struct span bytes);

	/* Unsent bytes have fallen to stream_options.low_water or below after having been above it.  May be
	 * NULL. */
	void (*on_drain)(void *arg);

	/*
	 * It is over, or never began.  ERR_CONN: refused, reset, not resolved, or closed by the other side;
	 * ERR_TIMEOUT: not connected in time; ERR_TOO_LONG: on_bytes() left more than max_input untaken.
	 * `why` is a sentence that names the address, valid during the call.  Called once at most, never
	 * after stream_close().
	 */
	void (*on_close)(void *arg, err_t err, const char *why);
};

struct stream_options {
	uint64_t connect_timeout_ms;  /* name, connection and TLS handshake; 0: 5 seconds */
	size_t low_water;	      /* bytes; see on_drain */
	size_t max_input;	      /* bytes that on_bytes may leave untaken; 0: 64 KiB */
	const struct tls_client *tls; /* NULL: without; must outlive the connecting */
	const char *tls_name;	      /* the server's, for SNI and its certificate; "" where it has none */
};

struct stream_counts {
	uint64_t bytes_out,
	    writes; /* encrypted where there is TLS; handed to the kernel, and the calls it took */
	uint64_t bytes_in, reads;
};

/*
 * Starts to connect.  `address`: "host:port", "[::1]:11211" or "/path/of/a/socket".  ERR_CONFIG: it is none
 * of them; everything else is told by on_close(), never from inside this call.  `opt` NULL is all defaults.
 * `ops` must outlive the stream.
 */
err_t stream_connect(struct stream **out, struct loop *l, const char *address,
		     const struct stream_options *opt, const struct stream_ops *ops, void *arg,
		     struct err_detail *why) MUST_CHECK;

/* Closes at once; unsent bytes are lost.  No callback is made any more.  NULL is fine. */
void stream_close(struct stream **s);

/* Takes all bytes out of `b` (its memory may be swapped for another).  On a stream that is over they are
 * dropped. */
void stream_write(struct stream *s, struct buf *b);

/* The same for bytes that stay the caller's. */
void stream_write_span(struct stream *s, struct span bytes);

/* Bytes written by the caller that the kernel has not taken yet; encrypted where there is TLS. */
size_t stream_unsent(const struct stream *s);

/* Stops reading, or goes on with it: the other side is slowed down by TCP. */
void stream_pause(struct stream *s, bool pause);

/* Between on_open() and on_close(). */
bool stream_is_open(const struct stream *s);

const char *stream_address(const struct stream *s);
const struct stream_counts *stream_counts(const struct stream *s);

#endif
