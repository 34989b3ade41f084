/* lists - the server lists that the routing tests share. */
#ifndef SQUEAL_LIB_ROUTE_TEST_LISTS_H
#define SQUEAL_LIB_ROUTE_TEST_LISTS_H

#include <stdio.h>
#include <stdlib.h>

#include "lib/conf/topology.h"
#include "lib/route/ring.h"

enum { TEST_LIST_MAX = 24 };

struct test_list {
	const char *name;
	size_t n;
	struct server_options servers[TEST_LIST_MAX];
};

#define TEST_SERVER(h, p, w)                                                                                 \
	{                                                                                                    \
		.host = (char *)(h), .port = (p), .weight = (w), .name = (char *)"", .connect = (char *)""   \
	}

static const struct test_list test_lists[] = {
    {"two", 2, {TEST_SERVER("10.0.0.1", 11211, 1), TEST_SERVER("10.0.0.2", 11211, 1)}},
    {"ports",
     4,
     {TEST_SERVER("127.0.0.1", 11211, 1), TEST_SERVER("127.0.0.1", 11212, 1),
      TEST_SERVER("127.0.0.1", 11213, 1), TEST_SERVER("cache4.example", 22122, 1)}},
    {"one", 1, {TEST_SERVER("10.0.0.1", 11211, 1)}},
    {"weights",
     3,
     {TEST_SERVER("10.0.0.1", 11211, 1), TEST_SERVER("10.0.0.2", 11211, 3),
      TEST_SERVER("10.0.0.3", 11311, 7)}},
    {"eight",
     8,
     {TEST_SERVER("10.0.1.1", 11211, 600), TEST_SERVER("10.0.1.2", 11211, 300),
      TEST_SERVER("10.0.1.3", 11211, 200), TEST_SERVER("10.0.1.4", 11211, 350),
      TEST_SERVER("10.0.1.5", 11211, 1000), TEST_SERVER("10.0.1.6", 11211, 800),
      TEST_SERVER("10.0.1.7", 11211, 950), TEST_SERVER("10.0.1.8", 11211, 100)}},
    {"tiny", 3, {TEST_SERVER("a", 11211, 10000), TEST_SERVER("b", 11211, 1), TEST_SERVER("c", 11211, 9999)}},
    /* Shares that come out one digest apart in float and in double. */
    {"float1", 3, {TEST_SERVER("f1", 11211, 1), TEST_SERVER("f2", 11211, 1), TEST_SERVER("f3", 11211, 58)}},
    {"float2",
     5,
     {TEST_SERVER("g1", 11211, 2), TEST_SERVER("g2", 11211, 5), TEST_SERVER("g3", 11211, 6),
      TEST_SERVER("g4", 11211, 6), TEST_SERVER("g5", 11211, 6)}},
    {"thirds", 3, {TEST_SERVER("x", 1, 3333), TEST_SERVER("y", 2, 3333), TEST_SERVER("z", 3, 3334)}},
    {"same", 3, {TEST_SERVER("dup", 11211, 1), TEST_SERVER("dup", 11211, 1), TEST_SERVER("other", 11211, 1)}},
    {"twenty", 20, {TEST_SERVER("c01", 11211, 1), TEST_SERVER("c02", 11211, 1), TEST_SERVER("c03", 11211, 1),
		    TEST_SERVER("c04", 11211, 1), TEST_SERVER("c05", 11211, 1), TEST_SERVER("c06", 11211, 1),
		    TEST_SERVER("c07", 11211, 1), TEST_SERVER("c08", 11211, 1), TEST_SERVER("c09", 11211, 1),
		    TEST_SERVER("c10", 11211, 1), TEST_SERVER("c11", 11211, 1), TEST_SERVER("c12", 11211, 1),
		    TEST_SERVER("c13", 11211, 1), TEST_SERVER("c14", 11211, 1), TEST_SERVER("c15", 11211, 1),
		    TEST_SERVER("c16", 11211, 1), TEST_SERVER("c17", 11211, 1), TEST_SERVER("c18", 11211, 1),
		    TEST_SERVER("c19", 11211, 1), TEST_SERVER("c20", 11211, 1)}},
};
static const size_t test_nlists = sizeof(test_lists) / sizeof(test_lists[0]);

/* A cluster of the servers, as squeal.yaml would give it: one pool "default". */
static inline struct topology *
test_topology(const struct server_options *servers, size_t n, const char *distribution, const char *hash)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&text, "{log: {path: /l}, clusters: [{name: test, distribution: %s, hash: %s, servers: [",
		   distribution, hash);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&text, "%s{host: %s, port: %u, weight: %g", i > 0 ? ", " : "", servers[i].host,
			   (unsigned)servers[i].port, servers[i].weight);
		if (servers[i].connect[0] != '\0')
			buf_printf(&text, ", connect: \"%s\"", servers[i].connect);
		buf_putc(&text, '}');
	}
	buf_put_str(&text, "]}]}");
	if (topology_parse(&t, buf_span(&text), "test", &why) != ERR_OK) {
		fprintf(stderr, "%s\n", err_why(&why));
		abort();
	}
	buf_fini(&text);
	return t;
}

static inline struct cluster
test_cluster(const struct test_list *list, const char *distribution, const char *hash)
{
	struct cluster c = {0};

	c.opt.name = (char *)"test";
	c.opt.distribution = (char *)distribution;
	c.opt.hash = (char *)hash;
	c.opt.namespace = (char *)"";
	c.servers = (struct server_options *)list->servers;
	c.nservers = list->n;
	return c;
}

/* The description of a ring of the list.  Algorithms to which weights mean nothing are told of none. */
static inline struct ring_spec
test_spec(const struct test_list *list, const char *algorithm, const char *hash)
{
	static const double ones[TEST_LIST_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
						   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	const struct algorithm *a = algorithm_find(algorithm);
	struct ring_spec spec = {.algorithm = algorithm, .servers = list->servers, .nservers = list->n};

	if (a != NULL && a->weight != ALGORITHM_WEIGHT_WHOLE)
		spec.weights = ones;
	spec.hash = a != NULL && a->hashes[0] == '\0' ? "default" : hash;
	return spec;
}

#endif
