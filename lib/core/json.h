/*
 * json - writes JSON text into a buffer.
 *
 * Commas are placed by the writer.  Strings are bytes: valid UTF-8 passes, every other byte becomes \u00XX
 * (latin-1), so the output is always valid JSON.
 *
 * Threads: one at a time.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_JSON_H
#define SQUEAL_LIB_CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

struct json {
	struct buf *out;
	bool comma; /* the next value at this level needs a comma before it */
};

void json_init(struct json *j, struct buf *out);

void json_object(struct json *j); /* { */
void json_object_end(struct json *j);
void json_array(struct json *j); /* [ */
void json_array_end(struct json *j);
void json_name(struct json *j, const char *name);

void json_span(struct json *j, struct span s);
void json_str(struct json *j, const char *s); /* NULL writes null */
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_double(struct json *j, double v); /* three decimals; not finite writes null */
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

/* name and value in one call */
void json_kv_span(struct json *j, const char *name, struct span s);
void json_kv_str(struct json *j, const char *name, const char *s);
void json_kv_u64(struct json *j, const char *name, uint64_t v);
void json_kv_bool(struct json *j, const char *name, bool v);

#endif
