#include <stdint.h>

#include "replay/tape/spool_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever comes in: it is refused with a sentence, or every byte of what comes out can be read. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spool_line l = {0};
	struct err_detail why = {0};
	volatile char sum = 0;

	if (spool_line_parse(&l, span_make(data, size), &why) != ERR_OK) {
		if (why.code != ERR_BAD_RECORD || why.text[0] == '\0')
			__builtin_trap();
	} else {
		const struct span parts[] = {l.key, l.prefix, l.host, l.pool};

		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			for (size_t at = 0; at < parts[i].len; at++)
				sum = (char)(sum + parts[i].p[at]);
		}
		if (l.version < 1 || l.version > 2 || l.key.len == 0 || !spool_line_same_host(l.host, l.host))
			__builtin_trap();
	}
	spool_line_fini(&l);
	return 0;
}
