/*
 * peer - a memcached for tests, in the test's own loop: real sockets, and manners as the test wants them.
 */
#ifndef SQUEAL_LIB_DELIVER_TEST_PEER_H
#define SQUEAL_LIB_DELIVER_TEST_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/net/listener.h"
#include "lib/net/loop.h"

struct peer {
	struct loop *loop;
	struct listener *listener;
	unsigned port;
	struct loop_fd fd; /* the last connection */
	int sock;
	struct buf in, out;
	struct buf deleted; /* " key key key " */
	struct buf told;    /* what "caughtup" said, each followed by ";" */
	size_t ndeleted, nflushes, nconnections;
	/* manners */
	bool no_meta;		/* answers ERROR to meta commands */
	bool hangs_up_on_meta;	/* closes the connection instead */
	bool silent;		/* reads and says nothing */
	bool deaf;		/* does not even read */
	const char *garbage;	/* says this instead of the next answer to an end mark, once */
	const char *poison;	/* CLIENT_ERROR for keys that hold this */
	const char *version;	/* instead of 1.6.18 */
	uint64_t pid;		/* 0: knows no stats */
	uint64_t age_us;	/* not 0: answers "stats restart" as a squeal-cache */
	bool no_flush;		/* refuses flush_all */
	uint64_t uptime_s;	/* and began so long before the time 1000000 by its clock */
	unsigned server_errors; /* so many deletes are answered SERVER_ERROR */
};

static inline void
peer_hang_up(struct peer *p)
{
	loop_fd_fini(&p->fd);
	p->fd = (struct loop_fd){0};
	if (p->sock >= 0)
		close(p->sock);
	p->sock = -1;
	buf_clear(&p->in);
	buf_clear(&p->out);
}

static inline void
peer_delete(struct peer *p, struct span key, bool classic)
{
	if (p->poison != NULL && span_find(key, span_of(p->poison)) >= 0) {
		buf_put_str(&p->out, "CLIENT_ERROR poisoned\r\n");
	} else if (p->server_errors > 0) {
		p->server_errors--;
		buf_put_str(&p->out, "SERVER_ERROR out of memory\r\n");
	} else {
		if (p->deleted.len == 0)
			buf_putc(&p->deleted, ' ');
		buf_put_span(&p->deleted, key);
		buf_putc(&p->deleted, ' ');
		p->ndeleted++;
		buf_put_str(&p->out, classic ? "DELETED\r\n" : p->ndeleted % 2 ? "NF\r\n" : "");
	}
}

static inline bool
peer_line(struct peer *p, struct span line)
{
	struct span key = span_from(line, 3);
	ptrdiff_t blank = span_find(key, SPAN_LIT(" "));

	if (span_is(line, "version")) {
		buf_printf(&p->out, "VERSION %s\r\n",
			   p->version != NULL ? p->version
			   : p->no_meta	      ? "1.4.0"
					      : "1.6.18");
	} else if (span_starts(line, SPAN_LIT("caughtup"))) {
		buf_put_span(&p->told, line);
		buf_putc(&p->told, ';');
		buf_put_str(&p->out, "OK\r\n");
	} else if (span_is(line, "stats restart") && p->age_us != 0) {
		buf_printf(&p->out, "STAT started_us 1700000000000000\r\nSTAT age_us %llu\r\nEND\r\n",
			   (unsigned long long)p->age_us);
	} else if (span_is(line, "stats") && p->pid != 0) {
		buf_printf(&p->out,
			   "STAT pid %llu\r\nSTAT uptime %llu\r\nSTAT time 1000000\r\n"
			   "STAT total_connections %zu\r\nEND\r\n",
			   (unsigned long long)p->pid, (unsigned long long)p->uptime_s, p->nconnections);
	} else if (span_starts(line, SPAN_LIT("delete "))) {
		peer_delete(p, span_from(line, 7), true);
	} else if (span_is(line, "flush_all")) {
		p->nflushes += !p->no_flush;
		buf_put_str(&p->out, p->no_flush ? "CLIENT_ERROR flush_all not allowed\r\n" : "OK\r\n");
	} else if (p->hangs_up_on_meta) {
		return false;
	} else if (p->no_meta) {
		buf_put_str(&p->out, "ERROR\r\n");
	} else if (span_starts(line, SPAN_LIT("md "))) {
		peer_delete(p, span_first(key, blank < 0 ? key.len : (size_t)blank), false);
	} else if (span_is(line, "mn")) {
		buf_put_str(&p->out, p->garbage != NULL && p->ndeleted > 0 ? p->garbage : "MN\r\n");
		if (p->ndeleted > 0)
			p->garbage = NULL;
	} else {
		buf_put_str(&p->out, "ERROR\r\n");
	}
	return true;
}

static inline void
peer_on_fd(void *arg, int what)
{
	struct peer *p = arg;
	ssize_t n;

	if (p->deaf) {
		loop_fd_want(&p->fd, 0);
		return;
	}
	(void)what;
	n = read(p->sock, buf_room(&p->in, 65536), 65536);
	if (n <= 0) {
		peer_hang_up(p);
		return;
	}
	buf_added(&p->in, (size_t)n);
	while (!p->silent) {
		ptrdiff_t end = span_find(buf_span(&p->in), SPAN_LIT("\r\n"));

		if (end < 0)
			break;
		if (!peer_line(p, span_first(buf_span(&p->in), (size_t)end))) {
			if (write(p->sock, p->out.p, p->out.len) < 0)
				perror("peer");
			peer_hang_up(p);
			return;
		}
		buf_take(&p->in, (size_t)end + 2);
	}
	/* Answers of tests are small: the kernel takes them at once. */
	if (p->out.len > 0 && write(p->sock, p->out.p, p->out.len) != (ssize_t)p->out.len)
		abort();
	buf_clear(&p->out);
}

static inline void
peer_on_connection(void *arg, int fd)
{
	struct peer *p = arg;

	peer_hang_up(p);
	p->sock = fd;
	p->nconnections++;
	loop_fd_init(&p->fd, p->loop, fd, peer_on_fd, p);
	loop_fd_want(&p->fd, LOOP_READ);
}

/* Port 0 takes a free one; the peer keeps its port when it is stopped and started again. */
static inline void
peer_start(struct peer *p, struct loop *l)
{
	struct err_detail why = {0};
	char address[32];

	p->loop = l;
	if (p->nconnections == 0)
		p->sock = -1;
	snprintf(address, sizeof(address), "127.0.0.1:%u", p->port);
	if (listener_open(&p->listener, l, address, "test", NULL, peer_on_connection, p, &why) != ERR_OK) {
		fprintf(stderr, "peer: %s\n", err_why(&why));
		abort();
	}
	p->port = listener_port(p->listener);
}

static inline void
peer_stop(struct peer *p)
{
	peer_hang_up(p);
	listener_close(&p->listener);
}

static inline void
peer_fini(struct peer *p)
{
	peer_stop(p);
	buf_fini(&p->in);
	buf_fini(&p->out);
	buf_fini(&p->deleted);
	buf_fini(&p->told);
}

static inline bool
peer_saw(struct peer *p, const char *key)
{
	char text[300];

	snprintf(text, sizeof(text), " %s ", key);
	return p->deleted.len > 0 && strstr(buf_str(&p->deleted), text) != NULL;
}

/* Turns the loop until `cond` holds; fails the test after ten seconds. */
#define WAIT_FOR(l, cond)                                                                                    \
	do {                                                                                                 \
		uint64_t wait_end = clock_mono_ms(clock_system()) + 10000;                                   \
		while (!(cond)) {                                                                            \
			if (clock_mono_ms(clock_system()) > wait_end)                                        \
				fail_msg("waited in vain for: %s", #cond);                                   \
			loop_step(l);                                                                        \
			usleep(200);                                                                         \
		}                                                                                            \
	} while (0)

#endif
