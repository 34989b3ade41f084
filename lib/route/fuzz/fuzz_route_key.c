/* Any bytes as a key with mcrouter's prefix and hash stop. */
#include <stdlib.h>

#include "lib/route/route_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span key = span_make(data, size);
	struct route_key k = route_key_split(key), again;

	/* The parts lie side by side in the key. */
	must(k.prefix.p == key.p && k.prefix.len + k.sent.len == key.len);
	must(k.sent.p == key.p + k.prefix.len && k.hashed.p == k.sent.p && k.hashed.len <= k.sent.len);
	must(k.prefix.len == 0 || k.prefix.len == k.region.len + k.cluster.len + 3);
	must(span_find(k.hashed, SPAN_LIT("|#|")) < 0);
	must(k.hashed.len == k.sent.len || span_starts(span_from(k.sent, k.hashed.len), SPAN_LIT("|#|")));
	/* A prefix without stars means itself. */
	must(route_key_means(&k, k.region, k.cluster));
	again = route_key_split(span_first(key, k.prefix.len + k.hashed.len));
	must(span_eq(again.prefix, k.prefix) && span_eq(again.hashed, k.hashed));
	if (route_key_is_broadcast(&k))
		must(route_key_means(&k, SPAN_LIT("any"), SPAN_LIT("where")));
	return 0;
}
