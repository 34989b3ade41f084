/* Any bytes as a file of containers: containers that can be served, or one line that names the place. */
#include <stdlib.h>
#include <string.h>

#include "cache-server/settings/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};
	err_t err = container_list_yaml(&l, span_make(data, size), "f.yaml", &why);

	if (err == ERR_OK) {
		if (l.n == 0 || container_list_check(&l, "f.yaml", &why) != ERR_OK)
			abort();
		for (size_t i = 0; i < l.n; i++) {
			if (container_list_find(&l, span_of(l.at[i].opt.name)) != (ptrdiff_t)i)
				abort();
		}
	} else if (l.n != 0 || strncmp(why.text, "f.yaml:", 7) != 0 || strchr(why.text, '\n') != NULL) {
		abort();
	}
	container_list_fini(&l);
	return 0;
}
