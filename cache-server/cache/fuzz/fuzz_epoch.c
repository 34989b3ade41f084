#include <stdint.h>

#include "cache-server/cache/epoch.h"
#include "cache-server/cache/marker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken is printed as it was; cutting a marker's key stays inside of it. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size), key = in, token;
	char out[EPOCH_MAX_TEXT];
	struct epoch e;

	if (epoch_parse(in, &e) && !span_eq(span_make(out, epoch_print(&e, out)), in))
		__builtin_trap();
	if (marker_split(&key, &token) && key.len + 3 + token.len != size)
		__builtin_trap();
	return 0;
}
