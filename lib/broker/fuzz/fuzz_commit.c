#include <stdint.h>
#include <stdlib.h>

#include "lib/broker/commit.h"
#include "lib/core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The metadata of a committed offset is anybody's to write: what is taken must be what we would write again.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct commit *c = MEM_NEW(struct commit), *again = MEM_NEW(struct commit);
	struct buf text = BUF_INIT;

	if (commit_decode(span_make(data, size), c)) {
		if (c->n > COMMIT_SERVERS)
			__builtin_trap();
		for (size_t i = 0; i < c->n; i++) {
			if (!c->servers[i].other_log && c->servers[i].offset > c->live)
				__builtin_trap();
		}
		commit_encode(c, &text);
		if (text.len > COMMIT_MAX + 2 || !commit_decode(buf_span(&text), again) || again->n > c->n)
			__builtin_trap();
	}
	buf_fini(&text);
	free(c);
	free(again);
	return 0;
}
