#include "lib/conf/schema.h"

#include <string.h>

static void
put_choices(struct json *j, const char *choices)
{
	struct span rest = span_of(choices);

	json_name(j, "enum");
	json_array(j);
	while (rest.len > 0) {
		ptrdiff_t bar = span_find(rest, SPAN_LIT("|"));
		struct span word = bar < 0 ? rest : span_first(rest, (size_t)bar);

		json_span(j, word);
		if (span_is(word, "off")) /* what a YAML 1.1 reader makes of it */
			json_bool(j, false);
		rest = span_from(rest, word.len + 1);
	}
	json_array_end(j);
}

static void
put_number_or(struct json *j, const char *pattern)
{
	json_name(j, "type");
	json_array(j);
	json_str(j, "string");
	json_str(j, "integer");
	json_array_end(j);
	json_kv_str(j, "pattern", pattern);
	json_name(j, "minimum");
	json_u64(j, 0);
}

static void
put_property(struct json *j, const struct option_row *row)
{
	uint64_t number;

	json_name(j, row->name);
	json_object(j);
	json_kv_str(j, "description", row->help);
	switch (row->type) {
	case OPTION_UINT:
		json_kv_str(j, "type", "integer");
		json_kv_u64(j, "minimum", row->min);
		json_kv_u64(j, "maximum", row->max);
		if (span_u64(span_of(row->def), &number))
			json_kv_u64(j, "default", number);
		break;
	case OPTION_DECIMAL:
		json_kv_str(j, "type", "number");
		json_kv_u64(j, "minimum", row->min);
		json_kv_u64(j, "maximum", row->max);
		if (span_u64(span_of(row->def), &number))
			json_kv_u64(j, "default", number);
		break;
	case OPTION_BOOL:
		json_kv_str(j, "type", "boolean");
		json_kv_bool(j, "default", strcmp(row->def, "true") == 0);
		break;
	case OPTION_STR:
		json_kv_str(j, "type", "string");
		json_kv_str(j, "default", row->def);
		break;
	case OPTION_LIST:
		json_name(j, "type");
		json_array(j);
		json_str(j, "array");
		json_str(j, "string");
		json_array_end(j);
		json_name(j, "items");
		json_object(j);
		json_kv_str(j, "type", "string");
		json_object_end(j);
		break;
	case OPTION_MAP:
		json_kv_str(j, "type", "object");
		json_name(j, "additionalProperties");
		json_object(j);
		json_name(j, "type");
		json_array(j);
		json_str(j, "string");
		json_str(j, "number");
		json_str(j, "boolean");
		json_array_end(j);
		json_object_end(j);
		break;
	case OPTION_CHOICE:
		put_choices(j, row->unit);
		if (row->def[0] != '\0')
			json_kv_str(j, "default", row->def);
		break;
	case OPTION_DURATION:
		put_number_or(j, "^[0-9]+ *(ms|s|m|h|d)?$");
		json_kv_str(j, "default", row->def);
		break;
	case OPTION_SIZE:
		put_number_or(j, "^[0-9]+ *(B|KB|MB|GB|KiB|MiB|GiB|K|M|G)?$");
		json_kv_str(j, "default", row->def);
		break;
	}
	json_object_end(j);
}

void
schema_required(struct json *j, const char *const *names, size_t n)
{
	json_name(j, "required");
	json_array(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, names[i]);
	json_array_end(j);
}

void
schema_begin_object(struct json *j, const struct option_section *s, bool or_nothing)
{
	json_kv_str(j, "description", s->help);
	json_name(j, "type");
	if (or_nothing) {
		json_array(j);
		json_str(j, "object");
		json_str(j, "null");
		json_array_end(j);
	} else {
		json_str(j, "object");
	}
	json_kv_bool(j, "additionalProperties", false);
	json_name(j, "properties");
	json_object(j);
	for (size_t i = 0; i < s->nrows; i++)
		put_property(j, &s->rows[i]);
}

void
schema_indent(struct span text, struct buf *out)
{
	bool quoted = false, escaped = false;
	unsigned depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		bool open = !quoted && (c == '{' || c == '['), close = !quoted && (c == '}' || c == ']');

		if (close)
			buf_printf(out, "\n%*s", (int)(--depth * 2), "");
		buf_putc(out, c);
		if (c == '"' && !escaped)
			quoted = !quoted;
		escaped = quoted && c == '\\' && !escaped;
		if (open)
			depth++;
		if (open || (!quoted && c == ','))
			buf_printf(out, "\n%*s", (int)(depth * 2), "");
		else if (!quoted && c == ':')
			buf_putc(out, ' ');
	}
	buf_putc(out, '\n');
}
