/* golden - reads the tables of numbers that other projects' tests expect. */
#ifndef SQUEAL_LIB_ROUTE_TEST_GOLDEN_H
#define SQUEAL_LIB_ROUTE_TEST_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/core/buf.h"
#include "lib/core/file.h"

enum { GOLDEN_FIELDS = 8, GOLDEN_WEIGHTS = 16 };

struct golden {
	struct buf text;
	char *next;
	char *field[GOLDEN_FIELDS]; /* of the row that was read last; "" behind its end */
	char up[256], down[256];    /* bytes 128..255, 0..127, and that in reverse */
};

static inline void
golden_open(struct golden *g, const char *name)
{
	struct err_detail why = {0};
	char path[128];

	memset(g, 0, sizeof(*g));
	snprintf(path, sizeof(path), "lib/route/test/golden/%s", name);
	assert_int_equal(file_read(path, 1 << 20, &g->text, &why), ERR_OK);
	buf_putc(&g->text, '\0');
	g->next = g->text.p;
	for (int i = 0; i < 256; i++)
		g->up[i] = g->down[255 - i] = (char)(i - 128);
}

static inline void
golden_close(struct golden *g)
{
	buf_fini(&g->text);
}

/* The next row whose first field is `kind` and whose second, if given, is `what`; false at the end. */
static inline bool
golden_row(struct golden *g, const char *kind, const char *what)
{
	while (g->next != NULL && *g->next != '\0') {
		char *line = strsep(&g->next, "\n");

		for (size_t i = 0; i < GOLDEN_FIELDS; i++) {
			char *field = line != NULL ? strsep(&line, "\t") : NULL;

			g->field[i] = field != NULL ? field : (char *)"";
		}
		if (strcmp(g->field[0], kind) == 0 && (what == NULL || strcmp(g->field[1], what) == 0))
			return true;
	}
	return false;
}

static inline uint32_t
golden_number(const struct golden *g, size_t i)
{
	return (uint32_t)strtoull(g->field[i], NULL, 10);
}

/* A field as a key. */
static inline struct span
golden_key(const struct golden *g, size_t i)
{
	if (strcmp(g->field[i], "UP") == 0)
		return span_make(g->up, sizeof(g->up));
	if (strcmp(g->field[i], "DOWN") == 0)
		return span_make(g->down, sizeof(g->down));
	return span_of(g->field[i]);
}

/* A field "1,0.5" as numbers; returns how many. */
static inline size_t
golden_list(const struct golden *g, size_t i, double out[GOLDEN_WEIGHTS])
{
	char *p = g->field[i];
	size_t n = 0;

	while (*p != '\0' && n < GOLDEN_WEIGHTS) {
		out[n++] = strtod(p, &p);
		p += *p == ',';
	}
	return n;
}

/* The i-th key of a series: "k17", or of the series "long" 128 letters and "17". */
static inline struct span
golden_series(const char *series, unsigned i, char out[200])
{
	size_t n = 0;

	if (strcmp(series, "long") == 0) {
		for (; n < 128; n++)
			out[n] = (char)('A' + n % 26);
		series = "";
	}
	n += (size_t)snprintf(out + n, 200 - n, "%s%u", series, i);
	return span_make(out, n);
}

#endif
