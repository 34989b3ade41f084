/*
 * bench_text - what a session costs without its socket: nanoseconds of CPU time for each key, the best of
 * nine rounds.
 *
 *     build/bin/bench_text [items [value bytes]]
 *
 * Keys of 16 bytes, asked for at random; the replies are thrown away.  The cost of reading and writing
 * sockets comes on top.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cache-server/proto/session.h"

enum { REQUESTS = 65536, ROUNDS = 9 };

struct bench {
	struct quiesce *quiesce;
	struct quiesce_thread *q;
	struct cache *cache;
	struct cache_thread *t;
	struct session session;
	struct out out;
	uint64_t random;
	unsigned items, value_len;
	size_t *offsets; /* of requests as they are fed */
	struct buf requests;
};

static uint64_t
next_random(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
put_key(struct bench *b, unsigned i)
{
	buf_printf(&b->requests, "key:%012u", i);
}

static void
put_value(struct bench *b)
{
	for (unsigned i = 0; i < b->value_len; i++)
		buf_putc(&b->requests, (char)('a' + i % 26));
	buf_put_str(&b->requests, "\r\n");
}

enum kind { GET, SET, MG, MS, DELETE_MISS };

/* `keys` in each request, `depth` requests in each feed. */
static void
prepare(struct bench *b, enum kind kind, unsigned keys, unsigned depth, unsigned feeds)
{
	buf_clear(&b->requests);
	for (unsigned i = 0; i < feeds; i++) {
		b->offsets[i] = b->requests.len;
		for (unsigned d = 0; d < depth; d++) {
			static const char *const BEGIN[] = {"get", "set ", "mg ", "ms ", "delete none"};

			buf_put_str(&b->requests, BEGIN[kind]);
			for (unsigned k = 0; k < keys; k++) {
				if (kind == GET)
					buf_put_str(&b->requests, " ");
				put_key(b, (unsigned)(next_random(b) % b->items));
			}
			if (kind == MG)
				buf_put_str(&b->requests, " v");
			if (kind == SET)
				buf_printf(&b->requests, " 0 0 %u", b->value_len);
			if (kind == MS)
				buf_printf(&b->requests, " %u", b->value_len);
			buf_put_str(&b->requests, "\r\n");
			if (kind == SET || kind == MS)
				put_value(b);
		}
	}
	b->offsets[feeds] = b->requests.len;
}

static void
feed_all(struct bench *b, unsigned feeds)
{
	for (unsigned i = 0; i < feeds; i++) {
		const char *p = b->requests.p + b->offsets[i];
		size_t len = b->offsets[i + 1] - b->offsets[i];

		/* What a server does around each batch. */
		quiesce_tick(b->quiesce, b->q);
		cache_tick(b->t);
		if (session_feed(&b->session, p, len) != len || b->session.want != SESSION_READ) {
			fprintf(stderr, "a request was not taken\n");
			exit(1);
		}
		out_sent(&b->out, out_pending(&b->out));
	}
}

static void
measure(struct bench *b, const char *name, enum kind kind, unsigned keys, unsigned depth)
{
	unsigned feeds = REQUESTS / (keys * depth);
	double best = 1e18;

	prepare(b, kind, keys, depth, feeds);
	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_ns(), took;

		feed_all(b, feeds);
		took = (cpu_ns() - begin) / ((double)feeds * keys * depth);
		best = took < best ? took : best;
	}
	printf("%-28s %7.1f ns per key\n", name, best);
}

static void
fill(struct bench *b)
{
	for (unsigned i = 0; i < b->items; i++) {
		buf_clear(&b->requests);
		buf_put_str(&b->requests, "set ");
		put_key(b, i);
		buf_printf(&b->requests, " 0 0 %u\r\n", b->value_len);
		put_value(b);
		b->offsets[0] = 0;
		b->offsets[1] = b->requests.len;
		feed_all(b, 1);
	}
}

int
main(int argc, char **argv)
{
	struct bench b = {.random = 88172645463325252ull};
	struct session_limits limits = {.text = true, .max_value = 1048576};
	static const struct session_host_ops OPS;
	struct session_host host = {.ops = &OPS};
	struct cache_options opt = {.threads = 1, .clock = clock_system(), .max_value = 1048576};
	struct err_detail why = {0};

	b.items = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
	b.value_len = argc > 2 ? (unsigned)atoi(argv[2]) : 64;
	opt.memory = (uint64_t)b.items * (b.value_len + 64) * 2 + (64u << 20);
	opt.first_items = b.items;
	b.offsets = malloc((REQUESTS + 1) * sizeof *b.offsets);
	if (quiesce_create(&b.quiesce, &why) != ERR_OK || (b.q = quiesce_join(b.quiesce)) == NULL)
		return 1;
	opt.quiesce = b.quiesce;
	if (cache_create(&b.cache, &opt, &why) != ERR_OK || (b.t = cache_join(b.cache, b.q)) == NULL) {
		fprintf(stderr, "bench_text: %s\n", err_why(&why));
		return 1;
	}
	quiesce_online(b.quiesce, b.q);
	out_init(&b.out);
	session_init(&b.session, b.t, &limits, &host, &b.out);
	fill(&b);
	printf("%u items of 16 + %u bytes\n", b.items, b.value_len);
	measure(&b, "get", GET, 1, 1);
	measure(&b, "get, 8 in a row", GET, 1, 8);
	measure(&b, "get of 10 keys", GET, 10, 1);
	measure(&b, "get of 50 keys", GET, 50, 1);
	measure(&b, "mg v", MG, 1, 1);
	measure(&b, "mg v, 8 in a row", MG, 1, 8);
	measure(&b, "set", SET, 1, 1);
	measure(&b, "set, 8 in a row", SET, 1, 8);
	measure(&b, "ms", MS, 1, 1);
	measure(&b, "delete of what is not there", DELETE_MISS, 1, 8);
	session_fini(&b.session);
	out_fini(&b.out);
	quiesce_offline(b.q);
	cache_leave(&b.t);
	quiesce_leave(b.quiesce, &b.q);
	cache_destroy(&b.cache, false);
	quiesce_destroy(&b.quiesce);
	buf_fini(&b.requests);
	free(b.offsets);
	return 0;
}
