#include "lib/route/ketama.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"
#include "lib/route/md5.h"
#include "lib/route/sha1.h"

enum {
	POINTS = 160, /* per server on average */
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

/* The same, but of equal points that of the later server comes first. */
static int
compare_points_last(const void *a, const void *b)
{
	const struct ketama_point *p = a, *q = b;

	return p->at != q->at ? compare_points(a, b) : -compare_points(a, b);
}

/* Every step in float and in this order: see the header. */
uint32_t
ketama_share(uint64_t weight, uint64_t total, size_t nservers)
{
	float share = (float)weight / (float)total;
	float digests = share * POINTS / POINTS_PER_MD5 * (float)nservers + 0.0000000001F;

	return (uint32_t)floorf(digests);
}

static void
add_point(struct ketama *k, uint32_t at, size_t server)
{
	k->points[k->n++] = (struct ketama_point){at, (uint32_t)server};
}

/* About one point per slot.  Where a hash has few values the points crowd; then a slot is searched in halves.
 */
static void
make_slots(struct ketama *k)
{
	uint32_t nslots, at = 0;
	unsigned bits = 4;

	while (bits < 24 && 1u << bits < k->n)
		bits++;
	nslots = 1u << bits;
	k->shift = 32 - bits;
	k->slots = mem_alloc((nslots + 1) * sizeof(k->slots[0]));
	for (uint32_t s = 0; s < nslots; s++) {
		while (at < k->n && k->points[at].at >> k->shift < s)
			at++;
		k->slots[s] = at;
	}
	k->slots[nslots] = k->n;
}

static void
add_points(struct ketama *k, enum ketama_kind kind, struct span text, size_t server,
	   const struct keyhash *hash)
{
	struct md5 md5;

	switch (kind) {
	case KETAMA_HASH:
		add_point(k, (uint32_t)hash->of(text), server);
		break;
	case KETAMA_MD5:
	case KETAMA_MD5_LAST:
		md5 = md5_of(text);
		for (size_t w = 0; w < POINTS_PER_MD5; w++)
			add_point(k, md5.word[w], server);
		break;
	case KETAMA_SHA1:
		add_point(k, ~sha1_first(text), server);
		break;
	}
}

void
ketama_init(struct ketama *k, enum ketama_kind kind, const struct ketama_server *servers, size_t n,
	    const struct keyhash *hash)
{
	bool last = kind == KETAMA_MD5_LAST || kind == KETAMA_SHA1;
	struct buf text = BUF_INIT;
	size_t total = 0;

	*k = (struct ketama){0};
	for (size_t s = 0; s < n; s++)
		total += servers[s].texts;
	k->points = mem_alloc((total * POINTS_PER_MD5 + 1) * sizeof(k->points[0]));
	for (size_t s = 0; s < n; s++) {
		for (uint32_t i = 0; i < servers[s].texts; i++) {
			buf_clear(&text);
			buf_put_span(&text, servers[s].name);
			buf_printf(&text, "%c%u", kind == KETAMA_SHA1 ? ':' : '-', (unsigned)i);
			add_points(k, kind, buf_span(&text), s, hash);
		}
	}
	if (k->n > 0)
		qsort(k->points, k->n, sizeof(k->points[0]), last ? compare_points_last : compare_points);
	make_slots(k);
	buf_fini(&text);
}

void
ketama_fini(struct ketama *k)
{
	free(k->points);
	free(k->slots);
	*k = (struct ketama){0};
}

const struct ketama_point *
ketama_find(const struct ketama *k, uint32_t hash)
{
	uint32_t low = k->slots[hash >> k->shift], high = k->slots[(hash >> k->shift) + 1];

	/* All points before `low` are before the hash; the one at `high` is in a later slot. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (k->points[middle].at < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return &k->points[low == k->n ? 0 : low];
}
