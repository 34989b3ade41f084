/* Any bytes as squeal.yaml: a topology, or one line that names the file. */
#include <stdlib.h>

#include "lib/conf/topology.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
no_change(void *arg, const char *section, const char *name, bool taken)
{
	abort(); /* a topology does not differ from itself */
}

/* The text of a ring is a file, and the same ring. */
static void
check_ring_text(const struct cluster *c, bool reach)
{
	struct buf text = BUF_INIT, twice = BUF_INIT;
	struct err_detail why = {0};
	struct topology *again;

	topology_ring_text(c, reach, &text);
	/* Escapes make it longer than what it was made from. */
	if (text.len < 1 << 20) {
		if (topology_parse(&again, buf_span(&text), "ring", &why) != ERR_OK)
			abort();
		topology_ring_text(&again->clusters[0], reach, &twice);
		if (!span_eq(buf_span(&text), buf_span(&twice)))
			abort();
		topology_destroy(&again);
	}
	buf_fini(&text);
	buf_fini(&twice);
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
			check_ring_text(&t->clusters[i], true);
			check_ring_text(&t->clusters[i], false);
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
