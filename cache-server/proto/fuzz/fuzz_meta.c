/* The arguments of a meta command: what is found lies in the line, and numbers only where they are allowed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/proto/meta_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                                                           \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			abort();                                                                             \
	} while (0)

static bool
inside(struct span part, struct span whole)
{
	return part.p >= whole.p && part.p + part.len <= whole.p + whole.len;
}

static void
check(struct span args, bool sized)
{
	struct meta_request m;
	bool good = meta_parse(&m, args, sized);

	MUST(good == (m.error == NULL));
	MUST(m.n <= META_MAX_FLAGS);
	if (!good) {
		MUST(strncmp(m.error, "CLIENT_ERROR ", 13) == 0);
		MUST(!m.unreadable || m.value_len == UINT64_MAX);
		MUST(m.unreadable || !sized || m.value_len < INT32_MAX);
		return;
	}
	MUST(m.key.len > 0 && m.key.len <= STORE_MAX_KEY);
	MUST(m.binary ? m.key.p == m.decoded : inside(m.key, args));
	MUST((m.value_len == UINT64_MAX) == !sized);
	for (unsigned i = 0; i < m.n; i++) {
		MUST(m.flag[i].len > 0 && inside(m.flag[i], args));
		MUST(memchr(m.flag[i].p, ' ', m.flag[i].len) == NULL);
		MUST(meta_has(&m, m.flag[i].p[0]));
		for (unsigned j = 0; j < i; j++)
			MUST(m.flag[i].p[0] != m.flag[j].p[0]);
	}
	if (meta_has(&m, 'A'))
		MUST(inside(m.epoch.source, args) && m.epoch.source.len <= EPOCH_MAX_SOURCE);
	if (meta_has(&m, 'K'))
		MUST(inside(m.token, args));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span args = span_make(data, size);

	/* A line has one end. */
	if (memchr(data, '\n', size))
		return 0;
	check(args, false);
	check(args, true);
	return 0;
}
