/*
 * route-tool - routes keys by a ring that is given as arguments, for tests that judge the rings from outside.
 *
 *     build/bin/route-tool [-H hash] [-t tag] [-s salt] [-e] ALGORITHM SERVER ... < keys > indices
 *
 * A SERVER is "host port weight name" with tabs between; port, weight and name may be left out (11211, 1,
 * none). A key ends at a newline and may hold any other byte.  -e explains each key instead of printing its
 * index; -m takes mcrouter's prefix and hash stop off first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/route/ring.h"
#include "lib/route/route_key.h"

/* Takes the next field of "a\tb\tc"; `usual` when there is none. */
static char *
take(char **text, const char *usual)
{
	char *field = *text != NULL ? strsep(text, "\t") : NULL;

	return field != NULL && field[0] != '\0' ? field : (char *)usual;
}

int
main(int argc, char **argv)
{
	struct ring_spec spec = {0};
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct server_options *servers;
	const char **names;
	double *weights;
	struct ring *ring;
	bool explain = false, mcrouter = false;
	char *line = NULL;
	size_t cap = 0;
	ssize_t got;
	int opt;

	while ((opt = getopt(argc, argv, "H:t:s:em")) != -1) {
		if (opt == 'H')
			spec.hash = optarg;
		else if (opt == 't')
			spec.hash_tag = optarg;
		else if (opt == 's')
			spec.salt = optarg;
		else if (opt == 'e')
			explain = true;
		else if (opt == 'm')
			mcrouter = true;
		else
			return 64;
	}
	if (optind >= argc) {
		fputs("usage: route-tool [-H hash] [-t tag] [-s salt] [-e] [-m] ALGORITHM SERVER ...\n",
		      stderr);
		return 64;
	}
	spec.algorithm = argv[optind++];
	spec.nservers = (size_t)(argc - optind);
	servers = mem_zalloc(spec.nservers + 1, sizeof(servers[0]));
	names = mem_zalloc(spec.nservers + 1, sizeof(names[0]));
	weights = mem_zalloc(spec.nservers + 1, sizeof(weights[0]));
	for (size_t i = 0; i < spec.nservers; i++) {
		char *text = argv[optind + (int)i];

		servers[i].host = take(&text, "");
		servers[i].port = strtoull(take(&text, "11211"), NULL, 10);
		if (servers[i].host[0] == '/')
			servers[i].port = 0;
		weights[i] = strtod(take(&text, "1"), NULL);
		names[i] = take(&text, "");
	}
	spec.servers = servers;
	spec.names = names;
	spec.weights = weights;
	if (ring_create(&ring, &spec, &why) != ERR_OK) {
		fprintf(stderr, "route-tool: %s\n", err_why(&why));
		return 1;
	}
	while ((got = getline(&line, &cap, stdin)) > 0) {
		struct span key = span_make(line, (size_t)got - (line[got - 1] == '\n'));

		if (mcrouter)
			key = route_key_split(key).hashed;
		if (explain)
			ring_explain(ring, key, &out);
		else
			buf_printf(&out, "%zu\n", ring_route(ring, key));
	}
	fwrite(out.p, 1, out.len, stdout);
	free(line);
	free(servers);
	free(names);
	free(weights);
	buf_fini(&out);
	ring_destroy(&ring);
	return 0;
}
