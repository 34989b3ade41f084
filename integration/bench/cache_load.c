/*
 * cache-load - a known number of memcached requests over many connections, every reply checked.
 *
 *     cache-load --at unix:/path/to.sock --gets 90 --keys 100000 --ops 1000000
 *
 * A round is `--pipe` requests written at once to one connection; the next one follows when all of its
 * replies have arrived.  A get asks for `--batch` keys and counts as that many operations.  The bytes of a
 * value follow from its key, so a value that belongs to another key, or was cut, is found; any reply but the
 * expected ones ends the run.  The last line of output is JSON: counts, seconds, and the round trips'
 * percentiles in microseconds.
 *
 * With `--rate` rounds start at fixed times and their latency counts from then, also when all connections
 * were busy.  With `--aside` a get that misses is followed by a set of its key, as an application does.
 *
 * Threads: one per `--threads`, each with connections, random numbers and counts of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/histogram.h"

enum {
	MAX_THREADS = 16,
	MAX_TTLS = 8,
	KEY_MAX = 250,
	KEY_DIGITS = 12,
	POOL_BYTES = 1 << 20,
};

struct plan {
	const char *at;
	unsigned threads, conns, gets, batch, pipe, key_size;
	unsigned ttls[MAX_TTLS], n_ttls;
	size_t size_min, size_max;
	uint64_t keys, first, ops, seed;
	double zipf, rate, seconds;
	bool sequential, aside, must_hit;

	unsigned char *pool;
	double zeta, eta, alpha;
	_Atomic uint64_t next;
};

struct request {
	bool is_get;
	unsigned n_keys, cursor;
	uint64_t *ids;
};

struct conn {
	int fd;
	char *out, *in;
	size_t out_size, out_len, out_sent, in_size, in_len, in_at;
	struct request *requests;
	unsigned n_requests, at;
	uint64_t *ids, *missed;
	unsigned n_missed;
	uint64_t since;
};

struct worker {
	const struct plan *plan;
	_Atomic uint64_t *next;
	pthread_t thread;
	int epoll, timer;
	unsigned n_conns, n_idle, n_busy;
	struct conn *conns;
	struct conn **idle;
	uint64_t random, budget, began, due, interval;
	uint64_t gets, hits, misses, sets, refused, rounds;
	struct histogram latency;
};

static void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void
die(const char *format, ...)
{
	va_list args;

	fputs("cache-load: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void *
must(void *p)
{
	if (!p)
		die("out of memory");
	return p;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t
mix(uint64_t x)
{
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

static uint64_t
draw(struct worker *w)
{
	w->random += 0x9E3779B97F4A7C15u;
	return mix(w->random);
}

/* --- what a key is, and its value ---------------------------------------------------------------- */

static size_t
key_write(const struct plan *p, uint64_t id, char *to)
{
	size_t n = p->key_size;

	memcpy(to, "key:", 4);
	memset(to + 4, '0', n - 4);
	for (char *c = to + n; id; id /= 10)
		*--c = (char)('0' + id % 10);
	return n;
}

static size_t
value_size(const struct plan *p, uint64_t id)
{
	return p->size_min + (size_t)(mix(id ^ 0x517E) % (p->size_max - p->size_min + 1));
}

static const unsigned char *
value_of(const struct plan *p, uint64_t id)
{
	return p->pool + (mix(id) & (POOL_BYTES - 1));
}

static unsigned
ttl_of(const struct plan *p, uint64_t id)
{
	return p->n_ttls ? p->ttls[mix(id ^ 0x77E1) % p->n_ttls] : 0;
}

/* Ranks by the method of Gray et al. ("Quickly generating billion-record synthetic databases"). */
static void
zipf_init(struct plan *p)
{
	double two = 1.0 + pow(0.5, p->zipf);

	for (uint64_t i = 1; i <= p->keys; i++)
		p->zeta += 1.0 / pow((double)i, p->zipf);
	p->alpha = 1.0 / (1.0 - p->zipf);
	p->eta = (1.0 - pow(2.0 / (double)p->keys, 1.0 - p->zipf)) / (1.0 - two / p->zeta);
}

static uint64_t
zipf_draw(const struct plan *p, uint64_t bits)
{
	double u = (double)(bits >> 11) / 9007199254740992.0, uz = u * p->zeta;
	uint64_t id;

	if (uz < 1.0)
		return 0;
	if (uz < 1.0 + pow(0.5, p->zipf))
		return 1;
	id = (uint64_t)((double)p->keys * pow(p->eta * u - p->eta + 1.0, p->alpha));
	return id < p->keys ? id : p->keys - 1;
}

static uint64_t
choose(struct worker *w)
{
	const struct plan *p = w->plan;

	if (p->sequential)
		return p->first + atomic_fetch_add_explicit(w->next, 1, memory_order_relaxed) % p->keys;
	if (p->zipf > 0)
		return p->first + zipf_draw(p, draw(w));
	return p->first + (uint64_t)((unsigned __int128)draw(w) * p->keys >> 64);
}

/* --- a round: written -------------------------------------------------------------------------------- */

static char *
out_room(struct conn *c, size_t n)
{
	if (c->out_size - c->out_len < n) {
		c->out_size = 2 * (c->out_len + n);
		c->out = must(realloc(c->out, c->out_size));
	}
	return c->out + c->out_len;
}

static void
add_set(struct worker *w, struct conn *c, uint64_t id)
{
	const struct plan *p = w->plan;
	size_t size = value_size(p, id);
	char *begin = out_room(c, size + KEY_MAX + 64), *to = begin;
	struct request *r = &c->requests[c->n_requests++];

	r->is_get = false;
	memcpy(to, "set ", 4);
	to += 4;
	to += key_write(p, id, to);
	to += sprintf(to, " 0 %u %zu\r\n", ttl_of(p, id), size);
	memcpy(to, value_of(p, id), size);
	memcpy(to + size, "\r\n", 2);
	c->out_len += (size_t)(to - begin) + size + 2;
	w->sets++;
}

static void
add_get(struct worker *w, struct conn *c, unsigned n)
{
	char *begin = out_room(c, 8 + (size_t)n * (KEY_MAX + 1)), *to = begin;
	struct request *r = &c->requests[c->n_requests];

	r->is_get = true;
	r->n_keys = n;
	r->cursor = 0;
	memcpy(to, "get", 3);
	to += 3;
	for (unsigned i = 0; i < n; i++) {
		r->ids[i] = choose(w);
		*to++ = ' ';
		to += key_write(w->plan, r->ids[i], to);
	}
	memcpy(to, "\r\n", 2);
	c->out_len += (size_t)(to - begin) + 2;
	c->n_requests++;
	w->gets += n;
}

/* Takes from the worker's budget what one more round may do; false when nothing is left. */
static bool
compose(struct worker *w, struct conn *c)
{
	const struct plan *p = w->plan;

	c->out_len = c->out_sent = 0;
	c->n_requests = c->at = 0;
	for (unsigned i = 0; i < c->n_missed; i++)
		add_set(w, c, c->missed[i]);
	c->n_missed = 0;
	for (unsigned i = 0; i < p->pipe && w->budget > 0; i++) {
		if (p->gets == 100 || (p->gets > 0 && draw(w) % 100 < p->gets)) {
			unsigned n = w->budget < p->batch ? (unsigned)w->budget : p->batch;

			c->requests[c->n_requests].ids = c->ids + (size_t)i * p->batch;
			add_get(w, c, n);
			w->budget -= n;
		} else {
			add_set(w, c, choose(w));
			w->budget--;
		}
	}
	return c->n_requests > 0;
}

static void
watch(struct worker *w, struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (epoll_ctl(w->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
		die("epoll_ctl: %s", strerror(errno));
}

static void
push(struct worker *w, struct conn *c)
{
	bool blocked = c->out_sent > 0;
	ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		die("the server closed a connection while it was written to: %s", strerror(errno));
	c->out_sent += n > 0 ? (size_t)n : 0;
	if (c->out_sent < c->out_len)
		watch(w, c, EPOLLIN | EPOLLOUT);
	else if (blocked)
		watch(w, c, EPOLLIN);
}

/* --- a round: read -------------------------------------------------------------------------------- */

static void
unexpected(const struct request *r, const char *line, size_t n)
{
	die("a %s was answered with \"%.*s\"", r->is_get ? "get" : "set", (int)(n > 200 ? 200 : n), line);
}

/* "VALUE <key> 0 <size>" at `line`: checks it and the data after it.  Its whole length, or 0 when more is
 * needed. */
static size_t
take_value(struct worker *w, struct conn *c, struct request *r, const char *line, size_t len, size_t have)
{
	const struct plan *p = w->plan;
	char key[KEY_MAX];
	size_t key_len = p->key_size, size, header = 6 + key_len;
	char *end;
	uint64_t id;

	if (len < header + 4 || memcmp(line + header, " 0 ", 3) != 0)
		unexpected(r, line, len);
	size = strtoull(line + header + 3, &end, 10);
	if (have < len + size + 2)
		return 0;
	for (;; r->cursor++) {
		if (r->cursor == r->n_keys)
			die("the server returned a key that was not asked for: %.*s", (int)len, line);
		id = r->ids[r->cursor];
		if (key_write(p, id, key) == key_len && memcmp(key, line + 6, key_len) == 0)
			break;
		w->misses++;
		if (p->aside)
			c->missed[c->n_missed++] = id;
	}
	if (size != value_size(p, id) || memcmp(line + len, value_of(p, id), size) != 0 ||
	    memcmp(line + len + size, "\r\n", 2) != 0)
		die("the value of %.*s is not the one that was set (%zu bytes)", (int)key_len, line + 6,
		    size);
	r->cursor++;
	w->hits++;
	return len + size + 2;
}

/* The length of what the request took of its replies; sets *done when it has all of them. */
static size_t
take_reply(struct worker *w, struct conn *c, struct request *r, const char *line, size_t have, bool *done)
{
	const char *nl = memchr(line, '\n', have);
	size_t len;

	*done = false;
	if (!nl)
		return 0;
	len = (size_t)(nl - line) + 1;
	if (!r->is_get) {
		*done = true;
		if (len == 8 && memcmp(line, "STORED\r\n", 8) == 0)
			return len;
		if (len > 26 && memcmp(line, "SERVER_ERROR out of memory", 26) == 0) {
			w->refused++;
			return len;
		}
		unexpected(r, line, len);
	}
	if (len > 6 && memcmp(line, "VALUE ", 6) == 0)
		return take_value(w, c, r, line, len, have);
	if (len != 5 || memcmp(line, "END\r\n", 5) != 0)
		unexpected(r, line, len);
	for (; r->cursor < r->n_keys; r->cursor++) {
		w->misses++;
		if (w->plan->aside)
			c->missed[c->n_missed++] = r->ids[r->cursor];
	}
	*done = true;
	return len;
}

/* True when the round is complete. */
static bool
pull(struct worker *w, struct conn *c)
{
	ssize_t n;

	if (c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
		c->in_len -= c->in_at;
		c->in_at = 0;
	}
	if (c->in_size - c->in_len < 16384) {
		c->in_size *= 2;
		c->in = must(realloc(c->in, c->in_size));
	}
	n = recv(c->fd, c->in + c->in_len, c->in_size - c->in_len, 0);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		die("the server closed a connection: %s", n == 0 ? "end of file" : strerror(errno));
	c->in_len += (size_t)n;
	while (c->at < c->n_requests) {
		bool done;
		size_t used =
		    take_reply(w, c, &c->requests[c->at], c->in + c->in_at, c->in_len - c->in_at, &done);

		if (used == 0)
			return false;
		c->in_at += used;
		c->at += done;
	}
	if (c->in_at != c->in_len)
		die("the server sent more than was asked for: \"%.*s\"", 60, c->in + c->in_at);
	return true;
}

/* --- the loop -------------------------------------------------------------------------------------- */

static void
start_round(struct worker *w, struct conn *c, uint64_t since)
{
	if (w->plan->seconds > 0 && (double)(since - w->began) > w->plan->seconds * 1e9)
		w->budget = 0;
	if (!compose(w, c))
		return;
	c->since = since;
	w->n_busy++;
	push(w, c);
}

/* Starts what is due, then has the timer ring for the next one. */
static void
start_due(struct worker *w)
{
	uint64_t now = now_ns();
	struct itimerspec at = {0};

	while (w->budget > 0 && w->n_idle > 0 && w->due <= now) {
		start_round(w, w->idle[--w->n_idle], w->due);
		w->due += w->interval;
	}
	if (w->budget == 0)
		return;
	at.it_value.tv_sec = (time_t)(w->due / 1000000000u);
	at.it_value.tv_nsec = (long)(w->due % 1000000000u);
	/* With no connection free, the next reply calls again. */
	if (w->n_idle > 0 && timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		die("timerfd_settime: %s", strerror(errno));
}

static int
conn_open(const char *at)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd, rc, one = 1;

	if (strncmp(at, "unix:", 5) == 0) {
		if (strlen(at + 5) >= sizeof(un.sun_path))
			die("the path of the socket is too long: %s", at + 5);
		strcpy(un.sun_path, at + 5);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&un, sizeof(un));
	} else if (strncmp(at, "tcp:", 4) == 0) {
		in.sin_port = htons((uint16_t)atoi(at + 4));
		fd = socket(AF_INET, SOCK_STREAM, 0);
		rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&in, sizeof(in));
		if (rc == 0)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	} else {
		die("--at is unix:PATH or tcp:PORT (of 127.0.0.1), not %s", at);
	}
	if (rc != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		die("cannot connect to %s: %s", at, strerror(errno));
	return fd;
}

static void
worker_open(struct worker *w)
{
	const struct plan *p = w->plan;
	size_t per_round = (size_t)p->pipe * p->batch;
	struct epoll_event e = {.events = EPOLLIN};

	w->epoll = epoll_create1(0);
	w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	w->conns = must(calloc(w->n_conns, sizeof(*w->conns)));
	w->idle = must(calloc(w->n_conns, sizeof(*w->idle)));
	if (w->epoll < 0 || w->timer < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->timer, &e) != 0)
		die("epoll: %s", strerror(errno));
	for (unsigned i = 0; i < w->n_conns; i++) {
		struct conn *c = &w->conns[i];

		c->fd = conn_open(p->at);
		c->in_size = 65536;
		c->in = must(malloc(c->in_size));
		c->ids = must(calloc(per_round, sizeof(*c->ids)));
		c->missed = must(calloc(per_round, sizeof(*c->missed)));
		c->requests = must(calloc(per_round + p->pipe, sizeof(*c->requests)));
		e.data.ptr = c;
		if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
			die("epoll_ctl: %s", strerror(errno));
	}
}

static void *
worker_run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[256];

	w->began = w->due = now_ns();
	for (unsigned i = 0; i < w->n_conns; i++) {
		if (w->interval)
			w->idle[w->n_idle++] = &w->conns[i];
		else
			start_round(w, &w->conns[i], now_ns());
	}
	if (w->interval)
		start_due(w);
	while (w->n_busy > 0 || w->budget > 0) {
		int n = epoll_wait(w->epoll, events, 256, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			uint64_t now, rang;

			if (!c) {
				if (read(w->timer, &rang, sizeof(rang)) < 0 && errno != EAGAIN)
					die("timer: %s", strerror(errno));
				continue;
			}
			if (events[i].events & EPOLLOUT)
				push(w, c);
			if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || !pull(w, c))
				continue;
			now = now_ns();
			histogram_record(&w->latency, now - c->since);
			w->rounds++;
			w->n_busy--;
			if (w->interval)
				w->idle[w->n_idle++] = c;
			else
				start_round(w, c, now);
		}
		if (w->interval)
			start_due(w);
	}
	return NULL;
}

static void
worker_close(struct worker *w)
{
	for (unsigned i = 0; i < w->n_conns; i++) {
		struct conn *c = &w->conns[i];

		close(c->fd);
		free(c->out);
		free(c->in);
		free(c->ids);
		free(c->missed);
		free(c->requests);
	}
	free(w->conns);
	free(w->idle);
	close(w->epoll);
	close(w->timer);
}

/* --- the command line -------------------------------------------------------------------------------- */

static void
usage(void)
{
	fputs("usage: cache-load --at unix:PATH|tcp:PORT [option...]\n"
	      "  --ops N          operations in all (100000); a key of a get is one\n"
	      "  --seconds S      stop starting rounds after that long\n"
	      "  --threads N --conns N     (1, 32 in all)\n"
	      "  --gets PERCENT   of the requests; the others are sets (100)\n"
	      "  --batch N        keys per get (1)      --pipe N     requests per round (1)\n"
	      "  --keys N         of that many (100000) --first N    from that one on\n"
	      "  --sequential     one after the other   --zipf A     ranks with exponent A (below 1)\n"
	      "  --size MIN[:MAX] bytes of a value (64) --key-size N (16)\n"
	      "  --ttls A,B,...   seconds; each key has one of them (0)\n"
	      "  --rate R         rounds per second, all threads together\n"
	      "  --aside          a miss is followed by a set\n"
	      "  --must-hit       a miss is an error\n"
	      "  --seed N\n",
	      stderr);
	exit(2);
}

static void
plan_parse(struct plan *p, int argc, char **argv)
{
	enum {
		AT,
		OPS,
		SECONDS,
		THREADS,
		CONNS,
		GETS,
		BATCH,
		PIPE,
		KEYS,
		FIRST,
		SEQUENTIAL,
		ZIPF,
		SIZE,
		KEY_SIZE,
		TTLS,
		RATE,
		ASIDE,
		MUST_HIT,
		SEED
	};
	static const struct option options[] = {{"at", 1, NULL, AT},
						{"ops", 1, NULL, OPS},
						{"seconds", 1, NULL, SECONDS},
						{"threads", 1, NULL, THREADS},
						{"conns", 1, NULL, CONNS},
						{"gets", 1, NULL, GETS},
						{"batch", 1, NULL, BATCH},
						{"pipe", 1, NULL, PIPE},
						{"keys", 1, NULL, KEYS},
						{"first", 1, NULL, FIRST},
						{"sequential", 0, NULL, SEQUENTIAL},
						{"zipf", 1, NULL, ZIPF},
						{"size", 1, NULL, SIZE},
						{"key-size", 1, NULL, KEY_SIZE},
						{"ttls", 1, NULL, TTLS},
						{"rate", 1, NULL, RATE},
						{"aside", 0, NULL, ASIDE},
						{"must-hit", 0, NULL, MUST_HIT},
						{"seed", 1, NULL, SEED},
						{NULL, 0, NULL, 0}};
	char *s;
	int o;

	/* clang-format off */
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case AT:         p->at = optarg; break;
		case OPS:        p->ops = strtoull(optarg, NULL, 10); break;
		case SECONDS:    p->seconds = atof(optarg); break;
		case THREADS:    p->threads = (unsigned)atoi(optarg); break;
		case CONNS:      p->conns = (unsigned)atoi(optarg); break;
		case GETS:       p->gets = (unsigned)atoi(optarg); break;
		case BATCH:      p->batch = (unsigned)atoi(optarg); break;
		case PIPE:       p->pipe = (unsigned)atoi(optarg); break;
		case KEYS:       p->keys = strtoull(optarg, NULL, 10); break;
		case FIRST:      p->first = strtoull(optarg, NULL, 10); break;
		case SEQUENTIAL: p->sequential = true; break;
		case ZIPF:       p->zipf = atof(optarg); break;
		case SIZE:
			p->size_min = p->size_max = strtoull(optarg, &s, 10);
			if (*s == ':')
				p->size_max = strtoull(s + 1, NULL, 10);
			break;
		case KEY_SIZE:   p->key_size = (unsigned)atoi(optarg); break;
		case TTLS:
			for (s = strtok(optarg, ","); s && p->n_ttls < MAX_TTLS; s = strtok(NULL, ","))
				p->ttls[p->n_ttls++] = (unsigned)atoi(s);
			break;
		case RATE:       p->rate = atof(optarg); break;
		case ASIDE:      p->aside = true; break;
		case MUST_HIT:   p->must_hit = true; break;
		case SEED:       p->seed = strtoull(optarg, NULL, 10); break;
		default:         usage();
		}
	}
	/* clang-format on */
	if (!p->at || optind != argc || p->threads < 1 || p->threads > MAX_THREADS || p->conns < p->threads ||
	    p->gets > 100 || p->batch < 1 || p->pipe < 1 || p->keys < 1 || p->size_max < p->size_min ||
	    p->size_max > 1u << 30 || p->key_size < 4 + KEY_DIGITS || p->key_size > KEY_MAX || p->zipf >= 1 ||
	    (p->aside && p->gets != 100))
		usage();
}

int
main(int argc, char **argv)
{
	static struct plan plan = {.threads = 1,
				   .conns = 32,
				   .gets = 100,
				   .batch = 1,
				   .pipe = 1,
				   .key_size = 16,
				   .size_min = 64,
				   .size_max = 64,
				   .keys = 100000,
				   .ops = 100000,
				   .seed = 1};
	static struct worker workers[MAX_THREADS];
	struct worker *all = &workers[0];
	uint64_t began;
	double wall;

	plan_parse(&plan, argc, argv);
	plan.pool = must(malloc(POOL_BYTES + plan.size_max));
	for (size_t i = 0; i < POOL_BYTES + plan.size_max; i++)
		plan.pool[i] = (unsigned char)mix(i);
	if (plan.zipf > 0)
		zipf_init(&plan);
	for (unsigned i = 0; i < plan.threads; i++) {
		struct worker *w = &workers[i];

		w->plan = &plan;
		w->next = &plan.next;
		w->n_conns = plan.conns / plan.threads;
		w->budget = plan.ops / plan.threads + (i == 0 ? plan.ops % plan.threads : 0);
		w->random = mix(plan.seed * 1000003 + i);
		w->interval = plan.rate > 0 ? (uint64_t)(1e9 * plan.threads / plan.rate) : 0;
		worker_open(w);
	}
	began = now_ns();
	for (unsigned i = 0; i < plan.threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0)
			die("cannot start a thread");
	}
	for (unsigned i = 0; i < plan.threads; i++)
		pthread_join(workers[i].thread, NULL);
	wall = (double)(now_ns() - began) / 1e9;
	for (unsigned i = 1; i < plan.threads; i++) {
		struct worker *w = &workers[i];

		all->gets += w->gets;
		all->hits += w->hits;
		all->misses += w->misses;
		all->sets += w->sets;
		all->refused += w->refused;
		all->rounds += w->rounds;
		histogram_merge(&all->latency, &w->latency);
	}
	if (plan.must_hit && all->misses > 0)
		die("%" PRIu64 " of %" PRIu64 " gets missed", all->misses, all->gets);
	printf("{\"gets\": %" PRIu64 ", \"hits\": %" PRIu64 ", \"misses\": %" PRIu64 ", \"sets\": %" PRIu64
	       ", \"refused\": %" PRIu64 ", \"rounds\": %" PRIu64 ", \"wall_s\": %.6f, \"p50_us\": %.1f, "
	       "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
	       all->gets, all->hits, all->misses, all->sets, all->refused, all->rounds, wall,
	       (double)histogram_percentile(&all->latency, 0.5) / 1e3,
	       (double)histogram_percentile(&all->latency, 0.99) / 1e3,
	       (double)histogram_percentile(&all->latency, 0.999) / 1e3,
	       (double)histogram_max(&all->latency) / 1e3);
	for (unsigned i = 0; i < plan.threads; i++)
		worker_close(&workers[i]);
	free(plan.pool);
	return 0;
}
