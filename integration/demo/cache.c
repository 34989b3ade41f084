#include "integration/demo/cache.h"

#include <errno.h>
#include <libmemcached/memcached.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
	int fd; /* -1: none */
	uint64_t id;
	uint64_t retry_at_ms;
	size_t have, used; /* bytes in buf, and those already taken */
	char buf[1024];
};

struct cache {
	struct cache_cluster cluster;
	memcached_st *routing;
	uint64_t connections; /* made so far: the ids */
	struct connection servers[CACHE_MAX_SERVERS];
};

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool
cache_cluster_parse(struct cache_cluster *out, const char *text)
{
	const char *p = strchr(text, '=');

	memset(out, 0, sizeof(*out));
	if (!p || p == text || (size_t)(p - text) >= sizeof(out->name))
		return false;
	memcpy(out->name, text, (size_t)(p - text));
	p++;
	while (*p) {
		size_t n = strcspn(p, ",");
		const char *colon = memchr(p, ':', n);

		if (!colon || (size_t)(colon - p) >= sizeof(out->servers[0].host) ||
		    out->nservers == CACHE_MAX_SERVERS)
			return false;
		memcpy(out->servers[out->nservers].host, p, (size_t)(colon - p));
		out->servers[out->nservers].port = (unsigned)strtoul(colon + 1, NULL, 10);
		out->nservers++;
		p += n;
		if (*p == ',')
			p++;
	}
	return out->nservers > 0;
}

struct cache *
cache_create(const struct cache_cluster *cluster)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->cluster = *cluster;
	c->routing = memcached_create(NULL);
	memcached_behavior_set(c->routing, MEMCACHED_BEHAVIOR_KETAMA, 1);
	for (size_t i = 0; i < cluster->nservers; i++) {
		memcached_server_add(c->routing, cluster->servers[i].host,
				     (in_port_t)cluster->servers[i].port);
		c->servers[i].fd = -1;
	}
	return c;
}

static void
connection_drop(struct connection *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->have = s->used = 0;
	s->retry_at_ms = now_ms() + CACHE_RETRY_MS;
}

void
cache_destroy(struct cache **c)
{
	if (!*c)
		return;
	for (size_t i = 0; i < (*c)->cluster.nservers; i++)
		connection_drop(&(*c)->servers[i]);
	memcached_free((*c)->routing);
	free(*c);
	*c = NULL;
}

size_t
cache_server_of(struct cache *c, const char *key)
{
	return memcached_generate_hash(c->routing, key, strlen(key));
}

/* Waits until the descriptor can be read or written; false when that takes too long. */
static bool
ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, CACHE_TIMEOUT_MS) == 1;
}

static bool
connection_open(struct cache *c, size_t server)
{
	struct connection *s = &c->servers[server];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
	char port[16];
	int one = 1, error = 0;
	socklen_t len = sizeof(error);

	if (s->fd >= 0)
		return true;
	if (now_ms() < s->retry_at_ms)
		return false;
	snprintf(port, sizeof(port), "%u", c->cluster.servers[server].port);
	if (getaddrinfo(c->cluster.servers[server].host, port, &hints, &found) != 0)
		goto fail;
	s->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		goto fail;
	if (connect(s->fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS)
		goto fail;
	if (!ready(s->fd, POLLOUT) || getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
	    error != 0)
		goto fail;
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->id = ++c->connections;
	freeaddrinfo(found);
	return true;
fail:
	if (found)
		freeaddrinfo(found);
	connection_drop(s);
	return false;
}

static bool
connection_send(struct connection *s, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(s->fd, bytes, n, MSG_NOSIGNAL);

		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
		} else if (!(sent < 0 && errno == EAGAIN && ready(s->fd, POLLOUT)) && errno != EINTR) {
			return false;
		}
	}
	return true;
}

/* Brings in more bytes. */
static bool
connection_more(struct connection *s)
{
	ssize_t got;

	if (s->used > 0) {
		memmove(s->buf, s->buf + s->used, s->have - s->used);
		s->have -= s->used;
		s->used = 0;
	}
	if (s->have == sizeof(s->buf))
		return false;
	for (;;) {
		got = recv(s->fd, s->buf + s->have, sizeof(s->buf) - s->have, 0);
		if (got > 0) {
			s->have += (size_t)got;
			return true;
		}
		if (got < 0 && errno == EINTR)
			continue;
		if (!(got < 0 && errno == EAGAIN && ready(s->fd, POLLIN)))
			return false;
	}
}

/* The next line without its end, ended by NUL; valid until the next call. */
static char *
connection_line(struct connection *s)
{
	for (;;) {
		char *start = s->buf + s->used, *end = memmem(start, s->have - s->used, "\r\n", 2);

		if (end) {
			*end = '\0';
			s->used += (size_t)(end - start) + 2;
			return start;
		}
		if (!connection_more(s))
			return NULL;
	}
}

static bool
connection_bytes(struct connection *s, char *out, size_t n)
{
	while (s->have - s->used < n + 2) {
		if (!connection_more(s))
			return false;
	}
	memcpy(out, s->buf + s->used, n);
	s->used += n + 2;
	return true;
}

/* Sends one command and reads its first line; the connection is dropped when either fails. */
static char *
ask(struct cache *c, size_t server, const char *command, size_t n)
{
	struct connection *s = &c->servers[server];
	char *line = NULL;

	if (!connection_open(c, server))
		return NULL;
	if (connection_send(s, command, n))
		line = connection_line(s);
	if (!line)
		connection_drop(s);
	return line;
}

/* Reads the answer to a meta get.  `won` and `busy` are its flags W and Z. */
static enum cache_result
get_answer(struct connection *s, char *line, char *value, uint64_t *cas, bool *won, bool *busy)
{
	char *save = NULL, *word;
	size_t size;

	*cas = 0;
	*won = *busy = false;
	if (strcmp(line, "EN") == 0)
		return CACHE_MISS;
	if (strncmp(line, "VA ", 3) != 0)
		goto bad;
	strtok_r(line, " ", &save);
	word = strtok_r(NULL, " ", &save);
	size = word ? strtoul(word, NULL, 10) : CACHE_MAX_VALUE;
	while ((word = strtok_r(NULL, " ", &save))) {
		if (word[0] == 'c')
			*cas = strtoull(word + 1, NULL, 10);
		*won |= word[0] == 'W';
		*busy |= word[0] == 'Z';
	}
	if (size >= CACHE_MAX_VALUE || !connection_bytes(s, value, size))
		goto bad;
	value[size] = '\0';
	return CACHE_HIT;
bad:
	connection_drop(s);
	return CACHE_DOWN;
}

static enum cache_result
get(struct cache *c, const char *key, const char *flags, char *value, struct cache_token *token)
{
	enum cache_result result;
	uint64_t cas;
	bool won, busy;
	char command[512], *line;
	size_t server = cache_server_of(c, key);
	int n = snprintf(command, sizeof(command), "mg %s %s\r\n", key, flags);

	line = ask(c, server, command, (size_t)n);
	if (!line)
		return CACHE_DOWN;
	result = get_answer(&c->servers[server], line, value, &cas, &won, &busy);
	if (result != CACHE_HIT)
		return result;
	if (token)
		*token =
		    (struct cache_token){.server = server, .connection = c->servers[server].id, .cas = cas};
	/* A placeholder is empty, and no value of ours is. */
	return won ? CACHE_WON : busy || value[0] == '\0' ? CACHE_BUSY : CACHE_HIT;
}

enum cache_result
cache_lease(struct cache *c, const char *key, char *value, struct cache_token *token)
{
	return get(c, key, "v c N30", value, token);
}

enum cache_result
cache_peek(struct cache *c, const char *key, char *value)
{
	return get(c, key, "v", value, NULL);
}

enum cache_result
cache_fill(struct cache *c, const char *key, const char *value, const struct cache_token *token)
{
	struct connection *s = &c->servers[token->server];
	char command[1024], *line;
	int n;

	if (s->fd < 0 || s->id != token->connection)
		return CACHE_REFUSED;
	n = snprintf(command, sizeof(command), "ms %s %zu C%llu\r\n%s\r\n", key, strlen(value),
		     (unsigned long long)token->cas, value);
	line = ask(c, token->server, command, (size_t)n);
	if (!line)
		return CACHE_DOWN;
	if (strcmp(line, "HD") == 0)
		return CACHE_STORED;
	if (strcmp(line, "EX") == 0 || strcmp(line, "NF") == 0)
		return CACHE_REFUSED;
	connection_drop(s);
	return CACHE_DOWN;
}
