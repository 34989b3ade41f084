#include "squeal/gap.h"

#include <stddef.h>

#define GAP_ROW(code, exit_code, name, what) {code, exit_code, name, what},
static const struct gap rows[] = {GAP_TABLE(GAP_ROW)};

static const struct gap *
find(err_t err)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].err == err)
			return &rows[i];
	}
	return NULL;
}

bool
gap_is(err_t err)
{
	return find(err) != NULL;
}

const struct gap *
gap_of(err_t err)
{
	const struct gap *g = find(err);

	return g != NULL ? g : &rows[0];
}
