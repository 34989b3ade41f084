/*
 * The receiving side of a clone: a client of another squeal-cache that asks for `backup -`.
 *
 * The answer is a line, "BACKUP <items>", and then the bytes of a backup (store/backup.h), which end by
 * themselves; or a line with an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache-server/serve/job.h"
#include "cache-server/store/restore.h"

enum { CHUNK = 256 << 10, SILENCE_MS = 30000, LOOK_MS = 200, MAX_LINE = 600 };

struct peer {
	struct job *job;
	struct quiesce_thread *qt;
	int fd;
	const char *name; /* as it was given */
};

/* Offline. */
static err_t
wait_for(struct peer *p, short events, struct err_detail *why)
{
	for (int waited = 0; waited < SILENCE_MS; waited += LOOK_MS) {
		struct pollfd f = {.fd = p->fd, .events = events};
		int n = poll(&f, 1, LOOK_MS);

		if (job_stopped(p->job))
			return err_set(why, ERR_CLOSED, "stopped before the end");
		if (n > 0)
			return ERR_OK;
		if (n < 0 && errno != EINTR)
			return err_set(why, ERR_CONN, "cannot wait for %s: %s", p->name, strerror(errno));
	}
	return err_set(why, ERR_TIMEOUT, "%s was silent for %d seconds; look at it and try again", p->name,
		       SILENCE_MS / 1000);
}

static err_t
connect_to(struct peer *p, struct err_detail *why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	struct job_address a;
	err_t err = job_address_parse(span_of(p->name), &a, why);
	int wrong;

	if (err != ERR_OK)
		return err;
	wrong = getaddrinfo(a.host, a.port, &hints, &list);
	if (wrong != 0)
		return err_set(why, ERR_CONN, "cannot find %s: %s; check the name", a.host,
			       gai_strerror(wrong));
	wrong = 0;
	for (const struct addrinfo *i = list; i; i = i->ai_next) {
		socklen_t len = sizeof wrong;

		p->fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (p->fd < 0) {
			wrong = errno;
			continue;
		}
		wrong = connect(p->fd, i->ai_addr, i->ai_addrlen) == 0 ? 0 : errno;
		if (wrong == EINPROGRESS) {
			err = wait_for(p, POLLOUT, why);
			if (err != ERR_OK)
				break;
			if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &wrong, &len) != 0)
				wrong = errno;
		}
		if (wrong == 0)
			break;
		close(p->fd);
		p->fd = -1;
	}
	freeaddrinfo(list);
	if (err == ERR_OK && p->fd < 0)
		err = err_set(why, ERR_CONN, "cannot connect to %s: %s; check the address", p->name,
			      strerror(wrong));
	return err;
}

/* Some bytes; *n 0: the end. */
static err_t
receive(struct peer *p, char *to, size_t max, size_t *n, struct err_detail *why)
{
	for (;;) {
		ssize_t got = recv(p->fd, to, max, 0);
		err_t err;

		*n = got > 0 ? (size_t)got : 0;
		if (got >= 0)
			return ERR_OK;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_set(why, ERR_CONN, "the connection to %s broke: %s; try again", p->name,
				       strerror(errno));
		err = wait_for(p, POLLIN, why);
		if (err != ERR_OK)
			return err;
	}
}

/* The line in front of the backup; what is behind it stays: buffer[*at .. *len). */
static err_t
read_line(struct peer *p, char *buffer, size_t *at, size_t *len, uint64_t *items, struct err_detail *why)
{
	char line[MAX_LINE + 1], *end = NULL;
	err_t err;

	*len = 0;
	while ((end = memchr(buffer, '\n', *len)) == NULL && *len < MAX_LINE) {
		size_t n;

		err = receive(p, buffer + *len, CHUNK - *len, &n, why);
		if (err != ERR_OK)
			return err;
		if (n == 0)
			return err_set(
			    why, ERR_CONN,
			    "%s closed the connection; if it wants TLS, clone by way of a port without",
			    p->name);
		*len += n;
	}
	if (end == NULL || end - buffer > MAX_LINE)
		return err_set(why, ERR_PROTOCOL, "%s is not a squeal-cache", p->name);
	snprintf(line, sizeof line, "%.*s", (int)(end - buffer), buffer);
	line[strcspn(line, "\r")] = '\0';
	*at = (size_t)(end - buffer) + 1;
	if (sscanf(line, "BACKUP %" SCNu64, items) == 1)
		return ERR_OK;
	if (strcmp(line, "ERROR") == 0)
		return err_set(why, ERR_PROTOCOL,
			       "%s does not know \"backup -\"; start it as a squeal-cache with --job-dir",
			       p->name);
	err = err_set(why, ERR_PROTOCOL, "%s says: %s", p->name, line);
	err_one_line(why);
	return err;
}

err_t
job_clone(struct job *job, struct store_thread *t, struct quiesce_thread *qt, struct restore_figures *out,
	  struct err_detail *why)
{
	static const char ASK[] = "backup -\r\n";
	struct peer p = {.job = job, .qt = qt, .fd = -1, .name = job->names[0]};
	struct job_progress progress = {.state = "connecting"};
	struct quiesce *q = job->jobs->quiesce;
	char *buffer = malloc(CHUNK);
	struct restore *r = NULL;
	size_t at = 0, len = 0;
	uint64_t base = 0;
	err_t err;

	*out = (struct restore_figures){0};
	job_tell(job, &progress);
	quiesce_offline(qt);
	err = buffer ? connect_to(&p, why) : err_set(why, ERR_SYS, "no memory for a clone; free some");
	/* So few bytes fit into the socket of a new connection. */
	if (err == ERR_OK && send(p.fd, ASK, sizeof ASK - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ASK - 1)
		err = err_set(why, ERR_CONN, "cannot ask %s: %s; try again", p.name, strerror(errno));
	if (err == ERR_OK)
		err = read_line(&p, buffer, &at, &len, &progress.total, why);
	quiesce_online(q, qt);
	if (err == ERR_OK)
		err = restore_create(&r, t, clock_real_us(job->jobs->clock) / 1000000, why);
	progress.state = "restoring";
	while (err == ERR_OK) {
		err = restore_feed(r, span_make(buffer + at, len - at), why);
		progress.bytes += len - at;
		restore_figures(r, out);
		progress.items = progress.done = out->restored + out->kept + out->expired + out->refused;
		job_tell(job, &progress);
		if (err != ERR_OK || restore_one_done(r))
			break;
		quiesce_offline(qt);
		at = 0;
		err = receive(&p, buffer, CHUNK, &len, why);
		quiesce_online(q, qt);
		if (err == ERR_OK && len == 0)
			err = err_set(why, ERR_CONN, "%s closed the connection before the end; try again",
				      p.name);
		if (err == ERR_OK && job_stopped(job))
			err = err_set(why, ERR_CLOSED, "stopped before the end");
	}
	if (err == ERR_OK)
		err = restore_end_of_one(r, &base, why);
	if (r)
		restore_figures(r, out);
	restore_destroy(&r);
	if (p.fd >= 0)
		close(p.fd);
	free(buffer);
	return err;
}
