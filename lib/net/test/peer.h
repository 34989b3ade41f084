/*
 * peer - what the tests of this folder have on the other end: plain sockets, and waiting for a
 * condition while a loop runs.
 *
 * Threads: the test's.   Blocks: UNTIL() as long as its condition is false, ten seconds at most.
 */
#ifndef SQUEAL_LIB_NET_TEST_PEER_H
#define SQUEAL_LIB_NET_TEST_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/clock.h"
#include "lib/net/loop.h"

/* Skips the test where not even localhost has an address, as in a container without /etc/hosts. */
#define need_localhost()                                                                                     \
	do {                                                                                                 \
		struct addrinfo *localhost_found = NULL;                                                     \
		if (getaddrinfo("localhost", NULL, NULL, &localhost_found) != 0) {                           \
			print_message("this machine cannot look up localhost\n");                            \
			skip();                                                                              \
		}                                                                                            \
		freeaddrinfo(localhost_found);                                                               \
	} while (0)

/* Turns `loop` until `condition` holds; the test fails when it does not within ten seconds. */
#define UNTIL(loop, condition)                                                                               \
	do {                                                                                                 \
		uint64_t until_end = clock_mono_ms(clock_system()) + 10000;                                  \
		while (!(condition)) {                                                                       \
			if (clock_mono_ms(clock_system()) > until_end)                                       \
				fail_msg("not within 10 s: %s", #condition);                                 \
			loop_step(loop);                                                                     \
			usleep(100);                                                                         \
		}                                                                                            \
	} while (0)

/* A listening socket on `ip`; *port 0 is replaced by the one that was bound. */
static inline int
peer_listen(const char *ip, unsigned *port, int backlog)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	inet_pton(AF_INET, ip, &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, backlog) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

/* A blocking connection to 127.0.0.1:port. */
static inline int
peer_connect(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	struct sockaddr_in6 to6 = {
	    .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	/* "localhost" is ::1 on many machines. */
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to6, sizeof(to6)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* -1 when nobody waits. */
static inline int
peer_accept(int listening)
{
	return accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#endif
