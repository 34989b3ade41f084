/* Any bytes as squeal.yaml: a topology, or one line that names the file. */
#include <stdlib.h>

#include "lib/conf/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
no_change(void *arg, const char *section, const char *name, bool taken)
{
	abort(); /* a topology does not differ from itself */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct topology *t = NULL;
	struct err_detail why = {0};
	struct buf address = BUF_INIT;
	err_t err = topology_parse(&t, span_make(data, size), "f.yaml", &why);

	if (err == ERR_OK) {
		topology_reload(t, t, no_change, NULL);
		for (size_t i = 0; i < t->nclusters; i++) {
			if (t->clusters[i].nservers == 0 ||
			    topology_cluster(t, t->clusters[i].opt.name) == NULL)
				abort();
			for (size_t j = 0; j < t->clusters[i].nservers; j++)
				topology_server_address(&t->clusters[i].servers[j], &address);
		}
	} else if (t != NULL || strncmp(why.text, "f.yaml:", 7) != 0 || strchr(why.text, '\n') != NULL) {
		abort();
	}
	buf_fini(&address);
	topology_destroy(&t);
	return 0;
}
