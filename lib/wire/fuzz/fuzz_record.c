#include <stdint.h>

#include "lib/wire/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes must encode to something that decodes to the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct err_detail why = {0};
	struct record rec, again;
	size_t bytes = 0;

	if (record_decode(span_make(data, size), &arena, &rec, &why) != ERR_OK) {
		if (why.code != ERR_BAD_RECORD || why.text[0] == '\0' || rec.ntxns != 0)
			__builtin_trap();
		goto done;
	}
	for (size_t i = 0; i < rec.ntxns; i++) {
		for (size_t k = 0; k < rec.txns[i].nkeys; k++)
			bytes += rec.txns[i].keys[k].len;
		for (size_t k = 0; k < rec.txns[i].nmarkers; k++)
			bytes += rec.txns[i].markers[k].len;
	}
	if (bytes > size)
		__builtin_trap();
	record_encode(&rec, &once);
	if (record_decode(buf_span(&once), &arena, &again, &why) != ERR_OK || again.ntxns != rec.ntxns)
		__builtin_trap();
	record_encode(&again, &twice);
	if (!span_eq(buf_span(&once), buf_span(&twice)))
		__builtin_trap();
done:
	buf_fini(&once);
	buf_fini(&twice);
	arena_fini(&arena);
	return 0;
}
