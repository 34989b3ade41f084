/* fuzz_schema_def - any text as a line of a definition, and its columns' types with it; what can be read is
 * written back the same, and fits onto a table of so many columns. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "squeal/binlog/row_value.h"
#include "squeal/schema/schema_def.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
apply(const struct schema_def *d)
{
	size_t n = schema_def_columns(d);
	struct table t = {.ncolumns = (uint32_t)n, .columns = mem_zalloc(n + 1, sizeof(struct table_column))};
	struct err_detail why = {0};
	struct table *named;

	for (size_t i = 0; i < n; i++)
		t.columns[i].type = i % 2 == 0 ? COLUMN_ENUM : COLUMN_SET;
	if (schema_def_agrees(d, &t, &why) == ERR_OK)
		err_clear(&why);
	named = schema_def_apply(d, &t);
	for (size_t i = 0; i < n; i++) {
		struct row_value v = {.column = &named->columns[i], .bytes = {"\1", 1}};
		struct buf text = BUF_INIT;

		v.column = &named->columns[i];
		named->columns[i].size = 1;
		if (rows_value_text(&v, &text))
			buf_putc(&text, '\0');
		buf_fini(&text);
	}
	schema_table_destroy(&named);
	free(t.columns);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema_def *d, *again;
	struct err_detail why = {0};
	struct buf once = BUF_INIT, twice = BUF_INIT;

	if (schema_def_read(&d, span_make(data, size), &why) != ERR_OK)
		return 0;
	apply(d);
	schema_def_write(d, &once);
	if (schema_def_read(&again, buf_span(&once), &why) != ERR_OK)
		abort();
	schema_def_write(again, &twice);
	if (!span_eq(buf_span(&once), buf_span(&twice)))
		abort();
	schema_def_destroy(&d);
	schema_def_destroy(&again);
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
