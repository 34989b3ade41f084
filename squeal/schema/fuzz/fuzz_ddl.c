/* fuzz_ddl - any text as a statement.  A name that comes out is not empty and lies nowhere but in memory. */
#include <stdint.h>
#include <stdlib.h>

#include "squeal/schema/ddl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_target(void *arg, const struct ddl_target *t)
{
	unsigned *sum = arg;

	for (size_t i = 0; i < t->db.len; i++)
		*sum += (unsigned char)t->db.p[i];
	for (size_t i = 0; i < t->table.len; i++)
		*sum += (unsigned char)t->table.p[i];
	if ((t->what == DDL_TABLE && t->table.len == 0) || (t->what == DDL_DATABASE && t->db.len == 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned sum = 0;

	ddl_targets(span_make(data, size), on_target, &sum);
	return 0;
}
