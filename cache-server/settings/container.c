#include "cache-server/settings/container.h"

#include <stdlib.h>

#include "lib/conf/schema.h"
#include "lib/conf/section.h"
#include "lib/core/file.h"
#include "lib/core/json.h"
#include "lib/core/mem.h"

typedef struct container_options option_owner;
static const struct option_row container_rows[] = {OPTION_ROWS(CONTAINER_OPTIONS)};

enum { CONTAINER_NROWS = sizeof(container_rows) / sizeof(container_rows[0]) };
_Static_assert((int)CONTAINER_NROWS <= (int)SECTION_MAX_ROWS, "section.h has room for all rows");

static const struct option_section section = {
    .name = "containers[]",
    .help = "One store: its ports, its memory and what happens when that is full.",
    .rows = container_rows,
    .nrows = CONTAINER_NROWS,
    .size = sizeof(struct container_options)};

const struct option_section *
container_section(void)
{
	return &section;
}

struct container_settings *
container_list_add(struct container_list *l)
{
	struct container_settings *c;

	l->at = mem_realloc(l->at, (l->n + 1) * sizeof(*l->at));
	c = &l->at[l->n++];
	*c = (struct container_settings){.policy = CONTAINER_EVICT};
	option_defaults(&section, &c->opt);
	return c;
}

static void
drop_from(struct container_list *l, size_t n)
{
	while (l->n > n)
		option_fini(&section, &l->at[--l->n].opt);
}

void
container_list_fini(struct container_list *l)
{
	drop_from(l, 0);
	free(l->at);
	l->at = NULL;
}

ptrdiff_t
container_list_find(const struct container_list *l, struct span name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (span_is(name, l->at[i].opt.name))
			return (ptrdiff_t)i;
	}
	return -1;
}

/* What the words of the options stand for. */
static void
take_words(struct container_settings *c)
{
	c->policy = strcmp(c->opt.policy, "store") == 0	   ? CONTAINER_STORE
		    : strcmp(c->opt.policy, "marker") == 0 ? CONTAINER_MARKER
							   : CONTAINER_EVICT;
}

/* --- one flag -------------------------------------------------------------------------------------- */

static err_t
no_such_setting(struct span name, struct err_detail *why)
{
	const char *near = option_nearest(&section, name);
	struct buf list = BUF_INIT;

	if (near != NULL)
		return err_set(why, ERR_USAGE, "unknown setting \"%.*s\"; did you mean \"%s\"?",
			       SPAN_FMT(span_first(name, 60)), near);
	for (size_t i = 0; i < CONTAINER_NROWS; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", container_rows[i].name);
	err_set(why, ERR_USAGE, "unknown setting \"%.*s\"; there are: %s", SPAN_FMT(span_first(name, 60)),
		buf_str(&list));
	buf_fini(&list);
	return ERR_USAGE;
}

static err_t
take_pair(struct container_settings *c, struct span pair, bool seen[CONTAINER_NROWS], struct err_detail *why)
{
	const struct option_row *row;
	struct span name;

	if (span_find(pair, SPAN_LIT("=")) < 0)
		return err_set(why, ERR_USAGE,
			       "\"%.*s\" has no \"=\"; settings are written name=markers,port=11213",
			       SPAN_FMT(span_first(pair, 60)));
	name = span_trim(span_cut(&pair, '='));
	row = option_find(&section, name);
	if (row == NULL)
		return no_such_setting(name, why);
	if (seen[row - container_rows])
		return err_set(why, ERR_USAGE, "%s comes twice; keep one of them", row->name);
	seen[row - container_rows] = true;
	return option_set(row, &c->opt, span_trim(pair), why);
}

err_t
container_list_flag(struct container_list *l, struct span text, struct err_detail *why)
{
	bool seen[CONTAINER_NROWS] = {false};
	struct span rest = text, pair;
	size_t before = l->n;
	err_t err = ERR_OK;

	if (l->n >= CONTAINER_MAX)
		return err_set(why, ERR_USAGE, "--container: more than %d containers", CONTAINER_MAX);
	container_list_add(l);
	while (err == ERR_OK && rest.len > 0) {
		pair = span_trim(span_cut(&rest, ','));
		if (pair.len > 0)
			err = take_pair(&l->at[before], pair, seen, why);
	}
	if (err != ERR_OK) {
		if (why != NULL)
			why->code = ERR_USAGE;
		err_wrap(why, "--container %.*s", SPAN_FMT(span_first(text, 100)));
		drop_from(l, before);
		return ERR_USAGE;
	}
	take_words(&l->at[before]);
	return ERR_OK;
}

/* --- YAML ------------------------------------------------------------------------------------------ */

static err_t
read_containers(struct container_list *l, const struct section_file *f, const struct yaml_node *list)
{
	const struct yaml_node *node;
	struct section s;
	err_t err;

	if (list->kind != YAML_LIST || list->n == 0)
		return section_bad(f, list->at,
				   "containers must be a list of mappings (\"- name: ...\"), not %s",
				   list->kind == YAML_LIST ? "an empty one" : yaml_kind_text(list));
	for (node = list->first; node != NULL; node = node->next) {
		struct container_settings *c;

		if (l->n >= CONTAINER_MAX)
			return section_bad(f, node->at, "more than %d containers", CONTAINER_MAX);
		if (node->kind != YAML_MAP)
			return section_bad(f, node->at,
					   "a container must be a mapping (\"name: ...\" lines), not %s",
					   yaml_kind_text(node));
		c = container_list_add(l);
		c->at = node->at;
		s = (struct section){.table = &section, .path = "containers[]", .base = &c->opt};
		err = section_read(&s, f, node, NULL, 0);
		if (err != ERR_OK)
			return err;
		take_words(c);
	}
	return ERR_OK;
}

static err_t
read_root(struct container_list *l, const struct section_file *f, const struct yaml_node *root)
{
	static const char *const known[] = {"containers"};

	if (root->kind != YAML_MAP)
		return section_bad(f, root->at, "the file must have a list \"containers:\", not %s",
				   yaml_kind_text(root));
	for (const struct yaml_node *v = root->first; v != NULL; v = v->next) {
		const char *near;

		if (span_is(v->key, known[0]))
			continue;
		near = option_nearest_word(known, 1, v->key);
		return section_bad(f, v->key_at, "unknown key \"%.*s\"; %s\"containers\"%s",
				   SPAN_FMT(span_first(v->key, 60)),
				   near != NULL ? "did you mean " : "there is: ", near != NULL ? "?" : "");
	}
	if (root->first == NULL)
		return section_bad(f, root->at, "the file has no list \"containers:\"");
	return read_containers(l, f, root->first);
}

err_t
container_list_yaml(struct container_list *l, struct span text, const char *name, struct err_detail *why)
{
	struct section_file f = {.name = name, .why = why};
	size_t before = l->n;
	struct yaml *tree;
	err_t err;

	err = yaml_create(&tree, text, name, why);
	if (err == ERR_OK)
		err = read_root(l, &f, yaml_root(tree));
	if (err == ERR_OK)
		err = container_list_check(l, name, why);
	if (err != ERR_OK) {
		err_one_line(why);
		drop_from(l, before);
	}
	yaml_destroy(&tree);
	return err;
}

/* `folder` ends in "/" or is empty. */
static void
resolve(char **path, struct span folder)
{
	struct buf whole = BUF_INIT;

	if ((*path)[0] == '\0' || (*path)[0] == '/' || folder.len == 0)
		return;
	buf_put_span(&whole, folder);
	buf_put_str(&whole, *path);
	free(*path);
	*path = span_dup(buf_span(&whole));
	buf_fini(&whole);
}

err_t
container_list_load(struct container_list *l, const char *path, struct err_detail *why)
{
	const char *slash = strrchr(path, '/');
	struct span folder = span_first(span_of(path), slash != NULL ? (size_t)(slash - path) + 1 : 0);
	struct buf text = BUF_INIT;
	size_t before = l->n;
	err_t err;

	err = file_read(path, CONTAINER_FILE_MAX, &text, why);
	if (err == ERR_OK)
		err = container_list_yaml(l, buf_span(&text), path, why);
	for (size_t i = before; err == ERR_OK && i < l->n; i++) {
		resolve(&l->at[i].opt.socket, folder);
		resolve(&l->at[i].opt.persist, folder);
	}
	buf_fini(&text);
	return err;
}

/* --- checks ---------------------------------------------------------------------------------------- */

static err_t
bad(const struct container_settings *c, const char *file, struct err_detail *why, const char *text,
    const char *value)
{
	struct section_file f = {.name = file, .why = why};

	if (file != NULL && c->at.line > 0)
		return section_bad(&f, c->at, text, value);
	err_set(why, ERR_USAGE, text, value);
	err_wrap(why, "container \"%.40s\"", c->opt.name);
	return ERR_USAGE;
}

static bool
is_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > CONTAINER_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
	}
	return true;
}

static err_t
check_one(const struct container_settings *c, const char *file, struct err_detail *why)
{
	const struct container_options *o = &c->opt;

	if (!is_name(o->name))
		return bad(c, file, why, "\"%.60s\" is no name; take 1 to 32 letters, digits, _ - and .",
			   o->name);
	if (!c->no_address && o->port == 0 && !c->any_port && o->udp_port == 0 && !c->any_udp_port &&
	    o->socket[0] == '\0')
		return bad(c, file, why,
			   "\"%s\" has neither port nor socket, so nobody could use it; give it one",
			   o->name);
	if (strlen(o->socket) > CONTAINER_SOCKET_MAX)
		return bad(c, file, why,
			   "the socket of \"%s\" is longer than 107 bytes, which the system cannot bind",
			   o->name);
	return ERR_OK;
}

static bool
same_text(const char *a, const char *b)
{
	return a[0] != '\0' && strcmp(a, b) == 0;
}

/* Two containers, `b` being the later one. */
static err_t
check_two(const struct container_settings *a, const struct container_settings *b, const char *file,
	  struct err_detail *why)
{
	const char *name = b->opt.name;

	if (same_text(a->opt.name, name))
		return bad(b, file, why, "there are two containers named \"%s\"; rename one", name);
	if (same_text(a->opt.socket, b->opt.socket))
		return bad(b, file, why, "\"%s\" has the socket of another container; give it its own", name);
	if (same_text(a->opt.persist, b->opt.persist))
		return bad(b, file, why, "\"%s\" has the file of another container; give it its own", name);
	/* With lists of their own they may share a port on different addresses; binding will tell. */
	if (a->opt.listen[0] != '\0' || b->opt.listen[0] != '\0')
		return ERR_OK;
	if (b->opt.port != 0 && a->opt.port == b->opt.port)
		return bad(b, file, why, "\"%s\" has the port of another container; give it its own", name);
	if (b->opt.udp_port != 0 && a->opt.udp_port == b->opt.udp_port)
		return bad(b, file, why, "\"%s\" has the UDP port of another container; give it its own",
			   name);
	return ERR_OK;
}

err_t
container_list_check(const struct container_list *l, const char *file, struct err_detail *why)
{
	err_t err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < l->n; i++) {
		err = check_one(&l->at[i], file, why);
		for (size_t j = 0; err == ERR_OK && j < i; j++)
			err = check_two(&l->at[j], &l->at[i], file, why);
	}
	return err;
}

/* --- text ------------------------------------------------------------------------------------------ */

void
container_sample(struct buf *out)
{
	struct option_section rest = section;

	rest.rows += 2; /* name and port stand there already */
	rest.nrows -= 2;
	buf_put_str(out, "# Containers of squeal-cache, for --config.  Lines behind # show the defaults.\n"
			 "# Relative paths begin at the folder of this file.\n\n"
			 "containers:\n"
			 "  - name: default\n"
			 "    port: 11211\n");
	option_sample(&rest, 4, out);
	buf_put_str(out, "  - name: markers\n"
			 "    port: 11213\n"
			 "    policy: marker\n");
}

void
container_json_schema(struct buf *out)
{
	static const char *const required_top[] = {"containers"}, *const required[] = {"name"};
	struct buf text = BUF_INIT;
	struct json j;

	json_init(&j, &text);
	json_object(&j);
	json_kv_str(&j, "$schema", "http://json-schema.org/draft-07/schema#");
	json_kv_str(&j, "title", "containers of squeal-cache");
	json_kv_str(&j, "type", "object");
	json_kv_bool(&j, "additionalProperties", false);
	json_name(&j, "properties");
	json_object(&j);
	json_name(&j, "containers");
	json_object(&j);
	json_kv_str(&j, "type", "array");
	json_kv_u64(&j, "minItems", 1);
	json_kv_u64(&j, "maxItems", CONTAINER_MAX);
	json_name(&j, "items");
	json_object(&j);
	schema_begin_object(&j, &section, false);
	json_object_end(&j);
	schema_required(&j, required, 1);
	json_object_end(&j);
	json_object_end(&j);
	json_object_end(&j);
	schema_required(&j, required_top, 1);
	json_object_end(&j);
	schema_indent(buf_span(&text), out);
	buf_fini(&text);
}
