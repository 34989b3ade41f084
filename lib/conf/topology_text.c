/* What is made from the tables for people and editors: a sample file and a JSON Schema. */
#include <inttypes.h>
#include <string.h>

#include "lib/conf/schema.h"
#include "lib/conf/topology.h"
#include "lib/core/json.h"

/* --- sample -------------------------------------------------------------------------------------- */

/* Settings without which there is nothing to run; the others stand as comments. */
static const struct {
	const char *section, *name, *value;
} examples[] = {
    {"log", "path", "/var/lib/squeal/log.db"},
    {"source", "host", "db1.example.com"},
    {"source", "password_file", "/etc/squeal/password"},
    {"clusters[]", "name", "front1"},
};

static const char *
example_of(const char *section, const char *name)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		if (strcmp(examples[i].section, section) == 0 && strcmp(examples[i].name, name) == 0)
			return examples[i].value;
	}
	return NULL;
}

static void
put_rows(const struct option_section *s, int indent, struct buf *out)
{
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < s->nrows; i++) {
		struct option_section one = {.name = s->name, .rows = &s->rows[i], .nrows = 1};
		const char *example = example_of(s->name, s->rows[i].name);
		ptrdiff_t end;

		buf_clear(&text);
		option_sample(&one, indent, &text);
		end = span_find(buf_span(&text), SPAN_LIT("\n"));
		if (example == NULL || end < 0) {
			buf_put_span(out, buf_span(&text));
			continue;
		}
		buf_put_span(out, span_first(buf_span(&text), (size_t)end + 1));
		buf_printf(out, "%*s%s: %s\n", indent, "", s->rows[i].name, example);
	}
	buf_fini(&text);
}

/* Rows that belong to something that is itself a comment: one level deeper behind the "#". */
static void
put_rows_commented(const struct option_section *s, const char *margin, struct buf *out)
{
	for (size_t i = 0; i < s->nrows; i++) {
		struct option_section one = {.name = s->name, .rows = &s->rows[i], .nrows = 1};
		struct buf text = BUF_INIT;
		struct span rest, line;

		option_sample(&one, 0, &text);
		rest = buf_span(&text);
		if (option_line(&rest, &line))
			buf_printf(out, "%s%.*s\n", margin, SPAN_FMT(line));
		if (option_line(&rest, &line))
			buf_printf(out, "%s%.*s\n", margin, SPAN_FMT(span_from(line, 2)));
		buf_fini(&text);
	}
}

void
topology_sample(struct buf *out)
{
	size_t n;
	const struct option_section *s = topology_sections(&n);

	buf_put_str(
	    out,
	    "# squeal.yaml: one file for squeal and every squeal-router.  Lines behind # show the defaults.\n"
	    "# Relative paths begin at the folder of this file.\n\n");
	put_rows(&s[TOPOLOGY_TOP], 0, out);
	for (int i = TOPOLOGY_LOG; i <= TOPOLOGY_ROUTER; i++) {
		buf_printf(out, "\n# %s\n%s:\n", s[i].help, s[i].name);
		put_rows(&s[i], 2, out);
	}
	buf_printf(out, "\n# %s\nclusters:\n  -\n", s[TOPOLOGY_CLUSTER].help);
	put_rows(&s[TOPOLOGY_CLUSTER], 4, out);
	buf_put_str(out, "    # the servers in the order that clients have them: modula counts them\n"
			 "    servers:\n"
			 "      - 10.0.0.1:11211\n"
			 "      - host: 10.0.0.2\n");
	for (size_t i = 0; i < s[TOPOLOGY_SERVER].nrows; i++) {
		struct option_section one = {
		    .name = s[TOPOLOGY_SERVER].name, .rows = &s[TOPOLOGY_SERVER].rows[i], .nrows = 1};

		if (strcmp(s[TOPOLOGY_SERVER].rows[i].name, "host") != 0)
			option_sample(&one, 8, out);
	}
	buf_printf(out,
		   "    # %s\n"
		   "    # pools:\n"
		   "    #   - servers: [10.0.1.1:11211, 10.0.1.2:11211]\n",
		   s[TOPOLOGY_POOL].help);
	put_rows_commented(&s[TOPOLOGY_POOL], "    #     ", out);
	buf_printf(out,
		   "    # %s\n"
		   "    # limits:\n"
		   "    #   -\n",
		   s[TOPOLOGY_LIMIT].help);
	put_rows_commented(&s[TOPOLOGY_LIMIT], "    #     ", out);
}

/* --- JSON Schema --------------------------------------------------------------------------------- */

static void
put_server(struct json *j, const struct option_section *s)
{
	static const char *const required[] = {"host"};

	json_name(j, "oneOf");
	json_array(j);
	json_object(j);
	json_kv_str(j, "type", "string");
	json_kv_str(j, "pattern", "^(/.+|.+:[0-9]+)$");
	json_object_end(j);
	json_object(j);
	schema_begin_object(j, s, false);
	json_object_end(j);
	schema_required(j, required, 1);
	json_object_end(j);
	json_array_end(j);
}

static void
put_servers(struct json *j, const struct option_section *s)
{
	json_name(j, "servers");
	json_object(j);
	json_kv_str(j, "type", "array");
	json_kv_u64(j, "minItems", 1);
	json_name(j, "items");
	json_object(j);
	put_server(j, s);
	json_object_end(j);
	json_object_end(j);
}

static void
put_pools(struct json *j, const struct option_section *s)
{
	static const char *const required[] = {"name", "servers"};

	json_name(j, "pools");
	json_object(j);
	json_kv_str(j, "type", "array");
	json_name(j, "items");
	json_object(j);
	schema_begin_object(j, &s[TOPOLOGY_POOL], false);
	put_servers(j, &s[TOPOLOGY_SERVER]);
	json_object_end(j);
	schema_required(j, required, 2);
	json_object_end(j);
	json_object_end(j);
}

static void
put_limits(struct json *j, const struct option_section *s)
{
	static const char *const required[] = {"prefix", "rate"};

	json_name(j, "limits");
	json_object(j);
	json_kv_str(j, "type", "array");
	json_name(j, "items");
	json_object(j);
	schema_begin_object(j, &s[TOPOLOGY_LIMIT], false);
	json_object_end(j);
	schema_required(j, required, 2);
	json_object_end(j);
	json_object_end(j);
}

/* "servers" or "pools" must be there, or both. */
static void
put_either(struct json *j)
{
	static const char *const either[] = {"servers", "pools"};

	json_name(j, "anyOf");
	json_array(j);
	for (size_t i = 0; i < 2; i++) {
		json_object(j);
		schema_required(j, &either[i], 1);
		json_object_end(j);
	}
	json_array_end(j);
}

static void
put_clusters(struct json *j, const struct option_section *s)
{
	static const char *const required[] = {"name"};

	json_name(j, "clusters");
	json_object(j);
	json_kv_str(j, "type", "array");
	json_name(j, "items");
	json_object(j);
	schema_begin_object(j, &s[TOPOLOGY_CLUSTER], false);
	put_servers(j, &s[TOPOLOGY_SERVER]);
	put_pools(j, s);
	put_limits(j, s);
	json_object_end(j);
	schema_required(j, required, 1);
	put_either(j);
	json_object_end(j);
	json_object_end(j);
}

void
topology_json_schema(struct buf *out)
{
	static const char *const required_top[] = {"log"};
	size_t n;
	const struct option_section *s = topology_sections(&n);
	struct buf text = BUF_INIT;
	struct json j;

	json_init(&j, &text);
	json_object(&j);
	json_kv_str(&j, "$schema", "http://json-schema.org/draft-07/schema#");
	json_kv_str(&j, "title", "squeal.yaml");
	schema_begin_object(&j, &s[TOPOLOGY_TOP], false);
	for (int i = TOPOLOGY_LOG; i <= TOPOLOGY_ROUTER; i++) {
		json_name(&j, s[i].name);
		json_object(&j);
		schema_begin_object(&j, &s[i], i != TOPOLOGY_LOG);
		json_object_end(&j);
		json_object_end(&j);
	}
	put_clusters(&j, s);
	json_object_end(&j);
	schema_required(&j, required_top, 1);
	json_object_end(&j);
	schema_indent(buf_span(&text), out);
	buf_fini(&text);
}
