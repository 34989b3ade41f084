/* Any bytes as the lines of a .rings file: rings whose text is read as the same rings, or one line that names
 * it. */
#include <stdlib.h>
#include <string.h>

#include "lib/core/sealed.h"
#include "lib/rings/rings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct rings *r)
{
	struct buf text = BUF_INIT, twice = BUF_INIT;
	struct err_detail why = {0};
	struct rings *again;

	rings_text(r, &text);
	if (rings_parse(&again, buf_span(&text), "f.rings", "c", &why) != ERR_OK)
		abort();
	rings_text(again, &twice);
	if (!span_eq(buf_span(&text), buf_span(&twice)))
		abort();
	rings_destroy(&again);
	buf_fini(&text);
	buf_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct rings *r;

	/* No fuzzer finds a checksum. */
	buf_put(&text, data, size);
	if (size > 0 && data[size - 1] == '\n')
		sealed_end(&text, 0);
	if (rings_parse(&r, buf_span(&text), "f.rings", "c", &why) == ERR_OK)
		check_again(r);
	else if (r != NULL || strncmp(why.text, "f.rings", 7) != 0 || strchr(why.text, '\n') != NULL)
		abort();
	rings_destroy(&r);
	buf_fini(&text);
	return 0;
}
