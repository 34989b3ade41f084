#include "lib/route/route_key.h"

static const struct span hash_stop = SPAN_LIT("|#|");

struct route_key
route_key_split(struct span key)
{
	struct route_key k = {.prefix = span_first(key, 0), .region = span_first(key, 0)};
	const char *second, *third = NULL;
	ptrdiff_t stop;

	k.cluster = k.region;
	if (key.len > 0 && key.p[0] == '/') {
		second = memchr(key.p + 1, '/', key.len - 1);
		if (second != NULL)
			third = memchr(second + 1, '/', key.len - (size_t)(second + 1 - key.p));
		if (third != NULL) {
			k.prefix = span_first(key, (size_t)(third + 1 - key.p));
			k.region = span_make(key.p + 1, (size_t)(second - key.p - 1));
			k.cluster = span_make(second + 1, (size_t)(third - second - 1));
		}
	}
	k.sent = span_from(key, k.prefix.len);
	stop = span_find(k.sent, hash_stop);
	k.hashed = stop < 0 ? k.sent : span_first(k.sent, (size_t)stop);
	return k;
}

/* A '*' stands for any number of bytes.  Only the last '*' is ever tried again, so the time has a bound. */
static bool
part_means(struct span asked, struct span is)
{
	size_t a = 0, i = 0, star = SIZE_MAX, after = 0;

	while (i < is.len) {
		if (a < asked.len && asked.p[a] == '*') {
			star = a++;
			after = i;
		} else if (a < asked.len && asked.p[a] == is.p[i]) {
			a++;
			i++;
		} else if (star != SIZE_MAX) {
			a = star + 1;
			i = ++after;
		} else {
			return false;
		}
	}
	while (a < asked.len && asked.p[a] == '*')
		a++;
	return a == asked.len;
}

bool
route_key_means(const struct route_key *k, struct span region, struct span cluster)
{
	return k->prefix.len == 0 || (part_means(k->region, region) && part_means(k->cluster, cluster));
}
