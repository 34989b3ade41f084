#include "lib/route/rendezvous.h"

#include <math.h>

#include "lib/route/murmur.h"

#define SERVER_SEED 4193360111u
#define KEY_SEED    2718281828u

uint64_t
rendezvous_server(struct span tag)
{
	return murmur64a(tag, SERVER_SEED);
}

static inline uint64_t
mix(uint64_t server, uint64_t key)
{
	const uint64_t m = 0x9ddfea08eb382d69ull;
	uint64_t a = (key ^ server) * m;
	uint64_t b;

	a ^= a >> 47;
	b = (server ^ a) * m;
	b ^= b >> 47;
	return b * m;
}

/*
 * (double)v.  The compiler's own conversion branches on the highest bit, which here is any coin; both halves
 * are exact, so their sum is rounded once, as the conversion is.
 */
static inline double
to_double(uint64_t v)
{
	return (double)(int64_t)(v >> 32) * 4294967296.0 + (double)(int64_t)(v & UINT32_MAX);
}

static size_t
highest(uint64_t key, const uint64_t *servers, size_t n)
{
	double best = -1;
	size_t winner = 0;

	for (size_t i = 0; i < n; i++) {
		double score = to_double(mix(servers[i], key));

		if (score >= best) {
			best = score;
			winner = i;
		}
	}
	return winner;
}

static size_t
highest_weighted(uint64_t key, const uint64_t *servers, const double *weights, size_t n)
{
	const uint64_t ones = ((uint64_t)1 << 53) - 1;
	double best = 0;
	size_t winner = 0;

	for (size_t i = 0; i < n; i++) {
		double part = (double)(mix(servers[i], key) & ones) / (double)(ones + 1);
		double score = weights[i] * (1.0 / -log(part));

		if (score > best) {
			best = score;
			winner = i;
		}
	}
	return winner;
}

size_t
rendezvous_of(struct span key, const uint64_t *servers, const double *weights, size_t n)
{
	uint64_t hash = murmur64a(key, KEY_SEED);

	return weights == NULL ? highest(hash, servers, n) : highest_weighted(hash, servers, weights, n);
}
