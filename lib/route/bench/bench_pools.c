/*
 * bench_pools - what pools, gutters and rings of before cost per key, in one thread.
 *
 *     make build/bin/bench_pools && build/bin/bench_pools
 *
 * Keys like "user:profile:00000012345" (24 bytes), ten servers per pool.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/clock.h"
#include "lib/route/route.h"

enum { KEYS = 1 << 14, KEY_BYTES = 24, ROUND_NS = 300000000 };

static char text[KEYS][KEY_BYTES + 1];

static void
put_servers(struct buf *out, const char *name)
{
	buf_put_str(out, "servers: [");
	for (int i = 0; i < 10; i++)
		buf_printf(out, "%s%s%d.example.org:11211", i > 0 ? ", " : "", name, i);
	buf_putc(out, ']');
}

static struct topology *
parse(const char *settings, const char *servers, const char *pools)
{
	struct buf yaml = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&yaml, "{log: {path: /l}, clusters: [{name: a, %s", settings);
	put_servers(&yaml, servers);
	buf_put_str(&yaml, ", pools: [");
	for (const char *p = pools; *p != '\0'; p++) {
		if (*p != '$') {
			buf_putc(&yaml, *p);
			continue;
		}
		put_servers(&yaml, "pool");
	}
	buf_put_str(&yaml, "]}]}");
	if (topology_parse(&t, buf_span(&yaml), "bench", &why) != ERR_OK) {
		fprintf(stderr, "bench_pools: %s\n", err_why(&why));
		exit(1);
	}
	buf_fini(&yaml);
	return t;
}

static void
bench(const char *what, struct topology *now, struct topology *before)
{
	const struct clock *clock = clock_system();
	const struct cluster *old = before != NULL ? &before->clusters[0] : NULL;
	struct err_detail why = {0};
	struct route_answer a = {0};
	struct route *route;
	uint64_t start, ns, routed = 0, hops = 0;

	if (route_create(&route, &now->clusters[0], &old, old != NULL, &why) != ERR_OK) {
		fprintf(stderr, "bench_pools: %s\n", err_why(&why));
		exit(1);
	}
	start = clock_mono_ns(clock);
	do {
		for (size_t i = 0; i < KEYS; i++) {
			route_key(route, span_make(text[i], KEY_BYTES), SPAN_LIT(""), &a);
			hops += a.n;
		}
		routed += KEYS;
		ns = clock_mono_ns(clock) - start;
	} while (ns < ROUND_NS);
	printf("what=%s keys_per_second=%.0f ns_per_key=%.1f servers_per_key=%.2f\n", what,
	       (double)routed * 1e9 / (double)ns, (double)ns / (double)routed, (double)hops / (double)routed);
	route_answer_fini(&a);
	route_destroy(&route);
	topology_destroy(&now);
	topology_destroy(&before);
}

int
main(void)
{
	static const char prefixes[] = "{name: u, prefixes: ['user:', 'user:profile:', 'feed:'], $}, "
				       "{name: v, prefixes: ['user:p', 'user:v', 'group:'], $}";

	for (size_t i = 0; i < KEYS; i++)
		snprintf(text[i], sizeof(text[i]), "user:profile:%011u", (unsigned)(i * 2654435761u));
	bench("one_pool", parse("", "cache", ""), NULL);
	bench("ch3", parse("distribution: ch3, ", "cache", ""), NULL);
	bench("prefixes", parse("", "cache", prefixes), NULL);
	bench("gutter", parse("", "cache", "{name: g, role: gutter, $}"), NULL);
	bench("unsealed", parse("", "cache", ""), parse("", "former", ""));
	bench("unsealed_same_servers", parse("", "cache", ""), parse("hash: md5, ", "cache", ""));
	bench("replicated_10", parse("", "cache", "{name: r, kind: replicated, prefixes: ['user:'], $}"),
	      NULL);
	return 0;
}
