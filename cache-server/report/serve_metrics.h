/*
 * serve_metrics - what the server counts about sockets and threads, as one table.
 *
 * Each worker has one struct, and the thread that accepts has one; every thread bumps its own (metric_bump)
 * and report sums them.  The names up to round_robin_fallback are those of memcached's `stats`.  A gauge is a
 * sum, too: a thread adds and subtracts what is its own.
 *
 * Threads: one thread writes each struct, any may read.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_REPORT_SERVE_METRICS_H
#define SQUEAL_CACHE_SERVER_REPORT_SERVE_METRICS_H

#include "lib/core/metric.h"

/* clang-format off */
/*	  name                     kind     unit           help */
#define SERVE_METRICS(M)                                                                                             \
	M(curr_connections,        GAUGE,   "connections", "connections of clients that are open")                      \
	M(total_connections,       COUNTER, "connections", "connections accepted")                                      \
	M(rejected_connections,    COUNTER, "connections", "connections closed at once: too many (-o maxconns_fast), or too many of one address") \
	M(connection_structures,   GAUGE,   "structures",  "structures of connections, unused ones included")           \
	M(response_obj_oom,        COUNTER, "times",       "connections closed because there was no memory for a reply") \
	M(response_obj_count,      GAUGE,   "buffers",     "output buffers that hold memory")                           \
	M(response_obj_bytes,      GAUGE,   "bytes",       "memory of output buffers")                                  \
	M(read_buf_count,          GAUGE,   "buffers",     "input buffers, unused ones included")                       \
	M(read_buf_bytes,          GAUGE,   "bytes",       "memory of input buffers")                                   \
	M(read_buf_bytes_free,     GAUGE,   "bytes",       "memory of input buffers that nobody uses now")              \
	M(read_buf_oom,            COUNTER, "times",       "connections closed because there was no memory to read into") \
	M(idle_kicks,              COUNTER, "connections", "connections closed because they were idle (-o idle_timeout)") \
	M(conn_yields,             COUNTER, "times",       "turns of a connection that ended because others wait (-R)") \
	M(listen_disabled_num,     COUNTER, "times",       "times that accepting stopped because of -c")                \
	M(time_in_listen_disabled_us, COUNTER, "us",       "time in which nothing was accepted because of -c")         \
	M(malloc_fails,            COUNTER, "times",       "allocations that failed")                                   \
	M(ssl_new_sessions,        COUNTER, "sessions",    "TLS sessions that are new")                                 \
	M(ssl_handshake_errors,    COUNTER, "connections", "TLS handshakes that failed")                                \
	M(ssl_proto_errors,        COUNTER, "connections", "TLS connections that broke later")                          \
	M(round_robin_fallback,    COUNTER, "connections", "connections given to the next worker; always 0 without NAPI ids") \
	M(udp_datagrams,           COUNTER, "datagrams",   "UDP requests")                                              \
	M(udp_bad,                 COUNTER, "datagrams",   "UDP requests dropped: header, length, or more than one datagram") \
	M(udp_refused,             COUNTER, "datagrams",   "UDP requests answered with an error because the reply would be too long") \
	M(udp_replies,             COUNTER, "datagrams",   "UDP datagrams sent")                                        \
	M(protocol_closed,         COUNTER, "connections", "connections closed because the client speaks something else, as HTTP") \
	M(watch_failed,            COUNTER, "watchers",    "watchers refused: too many, or no memory")
/* clang-format on */
struct serve_metrics {
	METRIC_FIELDS(SERVE_METRICS)
};

#endif
