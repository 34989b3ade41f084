#include "lib/route/ketama.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum {
	DEFAULT_PORT = 11211, /* left out of the hashed names */
	POINTS = 100,
	POINTS_WEIGHTED = 160,
	POINTS_PER_MD5 = 4,
};

static int
compare_points(const void *a, const void *b)
{
	const struct ketama_point *p = a, *q = b;

	if (p->at != q->at)
		return p->at < q->at ? -1 : 1;
	return p->server < q->server ? -1 : p->server > q->server;
}

static struct span
point_name(struct buf *name, const struct server_options *server, uint32_t i)
{
	buf_clear(name);
	buf_put_str(name, server->host);
	if (server->port != DEFAULT_PORT)
		buf_printf(name, ":%u", (unsigned)server->port);
	buf_printf(name, "-%u", (unsigned)i);
	return buf_span(name);
}

/* How many digests a server gets.  Every step in float and in this order: see the header. */
static uint32_t
digests_of(uint64_t weight, uint64_t total, size_t nservers)
{
	float share = (float)weight / (float)total;
	float digests = share * POINTS_WEIGHTED / POINTS_PER_MD5 * (float)nservers + 0.0000000001F;

	return (uint32_t)floorf(digests);
}

static void
add_point(struct ketama *k, uint32_t at, size_t server)
{
	k->points[k->n++] = (struct ketama_point){at, (uint32_t)server};
}

void
ketama_init(struct ketama *k, const struct server_options *servers, size_t nservers, bool weighted,
	    struct keyhash *hash)
{
	struct buf name = BUF_INIT;
	uint64_t total = 0;

	*k = (struct ketama){0};
	for (size_t s = 0; s < nservers; s++)
		total += (uint64_t)servers[s].weight;
	for (size_t s = 0; s < nservers; s++) {
		uint32_t n = weighted ? digests_of((uint64_t)servers[s].weight, total, nservers) : POINTS;

		k->points =
		    mem_realloc(k->points, (k->n + (size_t)n * POINTS_PER_MD5 + 1) * sizeof(k->points[0]));
		for (uint32_t i = 0; i < n; i++) {
			struct span text = point_name(&name, &servers[s], i);
			unsigned char md5[KEYHASH_MD5_BYTES];

			if (!weighted) {
				add_point(k, keyhash_of(hash, text), s);
				continue;
			}
			keyhash_md5(hash, text, md5);
			for (size_t at = 0; at < sizeof(md5); at += 4)
				add_point(k,
					  (uint32_t)md5[at] | (uint32_t)md5[at + 1] << 8 |
					      (uint32_t)md5[at + 2] << 16 | (uint32_t)md5[at + 3] << 24,
					  s);
		}
	}
	if (k->n > 0)
		qsort(k->points, k->n, sizeof(k->points[0]), compare_points);
	buf_fini(&name);
}

void
ketama_fini(struct ketama *k)
{
	free(k->points);
	*k = (struct ketama){0};
}

const struct ketama_point *
ketama_find(const struct ketama *k, uint32_t hash)
{
	size_t low = 0, high = k->n;

	if (k->n == 0)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->points[middle].at < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return &k->points[low == k->n ? 0 : low];
}
