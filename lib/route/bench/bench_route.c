/*
 * bench_route - keys that each algorithm routes per second, in one thread.
 *
 *     make build/bin/bench_route && build/bin/bench_route [SERVERS]
 *
 * Keys like "user:profile:00000012345" (24 bytes), ten servers unless told.  The last lines are single
 * hashes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/clock.h"
#include "lib/core/mem.h"
#include "lib/route/keyhash.h"
#include "lib/route/ring.h"

enum { KEYS = 1 << 14, KEY_BYTES = 24, ROUND_NS = 200000000 };

static char text[KEYS][KEY_BYTES + 1];

static void
bench(const struct algorithm *a, const char *hash, const struct server_options *servers, size_t n)
{
	struct ring_spec spec = {.algorithm = a->name, .hash = hash, .servers = servers, .nservers = n};
	const struct clock *clock = clock_system();
	struct err_detail why = {0};
	struct ring *ring;
	uint64_t end, before, now, best = UINT64_MAX;
	size_t sum = 0;

	if (ring_create(&ring, &spec, &why) != ERR_OK) {
		fprintf(stderr, "bench_route: %s\n", err_why(&why));
		exit(1);
	}
	now = clock_mono_ns(clock);
	end = now + ROUND_NS;
	do {
		before = now;
		for (size_t i = 0; i < KEYS; i++)
			sum += ring_route(ring, span_make(text[i], KEY_BYTES));
		now = clock_mono_ns(clock);
		if (now - before < best)
			best = now - before;
	} while (now < end);
	printf("algorithm=%s hash=%s servers=%zu keys_per_second=%.0f ns_per_key=%.1f sum=%zu\n", a->name,
	       a->hashes[0] != '\0' ? hash : "-", n, KEYS * 1e9 / (double)best, (double)best / KEYS,
	       sum % 10);
	ring_destroy(&ring);
}

static void
bench_hash(const struct keyhash *h)
{
	const struct clock *clock = clock_system();
	uint64_t before, now = clock_mono_ns(clock), end = now + ROUND_NS / 4, best = UINT64_MAX, sum = 0;

	do {
		before = now;
		for (size_t i = 0; i < KEYS; i++)
			sum += h->of(span_make(text[i], KEY_BYTES));
		now = clock_mono_ns(clock);
		if (now - before < best)
			best = now - before;
	} while (now < end);
	printf("hash=%s ns_per_key=%.1f sum=%u\n", h->full, (double)best / KEYS, (unsigned)sum % 10);
}

int
main(int argc, char **argv)
{
	size_t nservers = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	struct server_options *servers = mem_zalloc(nservers + 1, sizeof(servers[0]));
	const struct keyhash *h;
	const struct algorithm *all;
	size_t n;

	for (size_t i = 0; i < nservers; i++) {
		char host[48];

		snprintf(host, sizeof(host), "cache%zu.example.org", i);
		servers[i] = (struct server_options){.host = mem_strdup(host), .port = 11211, .weight = 1};
	}
	for (size_t i = 0; i < KEYS; i++)
		snprintf(text[i], sizeof(text[i]), "user:profile:%011u", (unsigned)(i * 2654435761u));
	all = algorithm_all(&n);
	for (size_t i = 0; i < n; i++)
		bench(&all[i], "default", servers, nservers);
	for (enum keyhash_family f = 0; f < KEYHASH_NFAMILIES; f++) {
		for (size_t i = 1; (h = keyhash_at(f, i)) != NULL; i++)
			bench_hash(h);
	}
	for (size_t i = 0; i < nservers; i++)
		free(servers[i].host);
	free(servers);
	return 0;
}
