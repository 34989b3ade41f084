#include <stdint.h>

#include "replay/tape/list_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever comes in: it is refused with a sentence, or every byte of what comes out can be read. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct list_line l = {0};
	struct err_detail why = {0};
	struct span line = span_make(data, size);
	volatile char sum = 0;

	/* Twice: nothing of the first may show in the second. */
	for (int i = 0; i < 2; i++) {
		err_clear(&why);
		if (list_line_parse(&l, line, &why) != ERR_OK) {
			if (why.code != ERR_BAD_RECORD || why.text[0] == '\0')
				__builtin_trap();
			continue;
		}
		for (size_t k = 0; k < l.nkeys; k++) {
			for (size_t at = 0; at < l.keys[k].len; at++)
				sum = (char)(sum + l.keys[k].p[at]);
		}
		if (l.nkeys > size || l.gtid.len > size || l.pool.len > size)
			__builtin_trap();
	}
	list_line_fini(&l);
	return 0;
}
