/*
 * push-loop - the least that deleting keys can cost: windows of quiet deletes and an end mark, so many in
 * flight, over one connection.
 *
 *     push-loop PORT KEYS PREFIX [WINDOW-KEYS] [WINDOWS]      prints deletes, seconds and CPU seconds
 *
 * The keys are PREFIX0, PREFIX1 ... as fill_log writes them.  The yardstick for squeal-router.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { KEY_MAX = 100, IN_BYTES = 65536 };

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static size_t
put_number(char *to, uint64_t n)
{
	char digits[20];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	for (size_t i = 0; i < len; i++)
		to[i] = digits[len - 1 - i];
	return len;
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = send(fd, p, n, MSG_NOSIGNAL);

		if (done <= 0) {
			perror("push-loop: send");
			exit(1);
		}
		p += done;
		n -= (size_t)done;
	}
}

/* Reads until at least one end mark has come; returns how many.  A line ends in \n, and MN is the only answer
 * that begins with M. */
static size_t
read_marks(int fd)
{
	static char in[IN_BYTES];
	size_t marks = 0;

	while (marks == 0) {
		ssize_t n = recv(fd, in, sizeof(in), 0);

		if (n <= 0) {
			perror("push-loop: recv");
			exit(1);
		}
		for (const char *p = in; (p = memchr(p, 'M', (size_t)(in + n - p))) != NULL; p++)
			marks++;
	}
	return marks;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint64_t keys, window, windows, made = 0;
	size_t prefix, flying = 0;
	int fd, one = 1;
	double began, spent;
	char *text;

	if (argc < 4 || strlen(argv[3]) > KEY_MAX - 20) {
		fputs("usage: push-loop PORT KEYS PREFIX [WINDOW-KEYS] [WINDOWS]\n", stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	keys = strtoull(argv[2], NULL, 10);
	prefix = strlen(argv[3]);
	window = argc > 4 ? strtoull(argv[4], NULL, 10) : 500;
	windows = argc > 5 ? strtoull(argv[5], NULL, 10) : 4;
	text = malloc(window * (KEY_MAX + 8) + 8);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (text == NULL || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		perror("push-loop: connect");
		return 1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	began = now();
	spent = cpu();
	while (made < keys || flying > 0) {
		while (made < keys && flying < windows) {
			char *p = text;

			for (uint64_t i = 0; i < window && made < keys; i++) {
				memcpy(p, "md ", 3);
				memcpy(p + 3, argv[3], prefix);
				p += 3 + prefix;
				p += put_number(p, made++);
				memcpy(p, " q\r\n", 4);
				p += 4;
			}
			memcpy(p, "mn\r\n", 4);
			send_all(fd, text, (size_t)(p + 4 - text));
			flying++;
		}
		flying -= read_marks(fd);
	}
	printf("%llu %.6f %.6f\n", (unsigned long long)keys, now() - began, cpu() - spent);
	close(fd);
	free(text);
	return 0;
}
