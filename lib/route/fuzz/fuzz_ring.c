/* Any bytes as a key, by every algorithm and every hash: an index in the list, and the same one again. */
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/route/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RINGS_MAX = 120, SERVERS = 5 };

static struct ring *rings[RINGS_MAX];
static size_t nrings;

static void
add(const struct algorithm *a, const char *hash)
{
	static const struct server_options servers[SERVERS] = {
	    {.host = (char *)"cache-a", .port = 11211, .weight = 1},
	    {.host = (char *)"cache-b", .port = 11211, .weight = 1},
	    {.host = (char *)"10.0.0.3", .port = 22122, .weight = 1},
	    {.host = (char *)"/run/cache.sock", .port = 0, .weight = 1},
	    {.host = (char *)"2001:db8::1", .port = 11211, .weight = 1},
	};
	static const double halves[SERVERS] = {1, 0.5, 0, 0.25, 0.75};
	struct ring_spec spec = {.algorithm = a->name, .hash = hash, .servers = servers, .nservers = SERVERS};
	struct err_detail why = {0};

	if (a->weight == ALGORITHM_WEIGHT_FRACTION)
		spec.weights = halves;
	if (algorithm_takes(a, 'T'))
		spec.hash_tag = "{}";
	if (algorithm_takes(a, 'S'))
		spec.salt = "salt";
	if (nrings == RINGS_MAX || ring_create(&rings[nrings++], &spec, &why) != ERR_OK)
		abort();
}

static void
add_all(void)
{
	const struct algorithm *all;
	size_t n;

	all = algorithm_all(&n);
	for (size_t i = 0; i < n; i++) {
		char *hashes = mem_strdup(all[i].hashes), *next = hashes, *hash;

		while ((hash = strsep(&next, "|")) != NULL)
			add(&all[i], hash);
		free(hashes);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span key = span_make(data, size);

	if (nrings == 0)
		add_all();
	for (size_t i = 0; i < nrings; i++) {
		struct buf out = BUF_INIT;
		size_t index = ring_route(rings[i], key);

		if (index >= SERVERS || ring_route(rings[i], key) != index)
			abort();
		ring_explain(rings[i], key, &out);
		buf_fini(&out);
	}
	return 0;
}
