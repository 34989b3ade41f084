#include <stdint.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/wire/mc_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * Takes the replies one by one, and proves for the first ones that arriving byte by byte changes nothing: no
 * prefix gives a reply before its last byte, and none is refused that the whole would not be.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	unsigned lines = 0;

	while (in.len > 0) {
		struct err_detail why = {0};
		struct mc_reply whole, part;
		uint64_t cas;
		err_t err = mc_reply_parse(in, &whole, &why);
		size_t upto = err == ERR_OK && whole.used > 0 ? whole.used : in.len;

		if (err != ERR_OK && (err != ERR_PROTOCOL || whole.used != 0 || why.text[0] == '\0'))
			__builtin_trap();
		if (whole.used > in.len || whole.used > MC_REPLY_LINE_MAX ||
		    (whole.used > 0 && whole.text.len >= whole.used))
			__builtin_trap();
		for (size_t n = 0; lines < 4 && n < upto; n++) {
			char *tight = mem_alloc(n);
			err_t early;

			memcpy(tight, in.p, n);
			early = mc_reply_parse(span_make(tight, n), &part, NULL);
			free(tight);
			if (early != ERR_OK) {
				if (err == ERR_OK)
					__builtin_trap();
				break;
			}
			if (part.kind != MC_REPLY_MORE || part.used != 0)
				__builtin_trap();
		}
		if (err != ERR_OK || whole.used == 0)
			break;
		mc_reply_cas(&whole, &cas);
		in = span_from(in, whole.used);
		lines++;
	}
	return 0;
}
