#include "lib/conf/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "lib/core/arena.h"
#include "lib/core/mem.h"

struct yaml {
	struct arena arena; /* nodes and their text */
	struct yaml_node *root;
};

struct builder {
	struct yaml *yaml;
	yaml_parser_t parser;
	struct span text;
	const char *name;
	struct err_detail *why;
	unsigned depth;
};

static struct yaml_place
place_of(yaml_mark_t mark)
{
	return (struct yaml_place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static err_t
bad(struct builder *b, struct yaml_place at, const char *text)
{
	return err_set(b->why, ERR_CONFIG, "%s:%u:%u: %s", b->name, at.line, at.column, text);
}

/* Where a byte of the text stands, for problems that are found before there are characters. */
static struct yaml_place
place_of_byte(struct span text, size_t offset)
{
	struct yaml_place at = {1, 1};

	for (size_t i = 0; i < offset && i < text.len; i++) {
		at.column++;
		if (text.p[i] == '\n')
			at = (struct yaml_place){at.line + 1, 1};
	}
	return at;
}

/* The parser's own words, and what is usually the matter. */
static err_t
not_yaml(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const char *problem = p->problem != NULL ? p->problem : "out of memory";
	const char *hint = "check the indentation, colons and quotes of this line and of the one above";
	struct yaml_place at = place_of(p->problem_mark);
	char began[120] = "";

	if (p->error == YAML_READER_ERROR) {
		at = place_of_byte(b->text, p->problem_offset);
		return err_set(b->why, ERR_CONFIG,
			       "%s:%u:%u: not text: %s; the file must be UTF-8 without control characters",
			       b->name, at.line, at.column, problem);
	}
	if (strstr(problem, "cannot start any token") != NULL)
		hint =
		    "indent with spaces and not with tabs, and put text that begins with @, ` or % in quotes";
	if (p->context != NULL && p->context_mark.line != p->problem_mark.line)
		snprintf(began, sizeof(began), " %s that began in line %u", p->context,
			 (unsigned)p->context_mark.line + 1);
	return err_set(b->why, ERR_CONFIG, "%s:%u:%u: not YAML: %s%s; %s", b->name, at.line, at.column,
		       problem, began, hint);
}

/* The next event; the caller deletes it. */
static err_t
next(struct builder *b, yaml_event_t *event)
{
	return yaml_parser_parse(&b->parser, event) ? ERR_OK : not_yaml(b);
}

static struct yaml_node *
new_node(struct builder *b, enum yaml_kind kind, const yaml_event_t *event)
{
	struct yaml_node *n = arena_alloc(&b->yaml->arena, sizeof(*n));

	*n = (struct yaml_node){.kind = kind, .at = place_of(event->start_mark)};
	return n;
}

static struct yaml_node *
new_text(struct builder *b, const yaml_event_t *event)
{
	struct yaml_node *n = new_node(b, YAML_TEXT, event);

	n->text = arena_copy(&b->yaml->arena, span_make(event->data.scalar.value, event->data.scalar.length));
	n->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return n;
}

static bool
has_extras(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return true;
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL;
	default:
		return false;
	}
}

static err_t
take_key(struct builder *b, const struct yaml_node *map, const yaml_event_t *event, struct yaml_place *at,
	 struct span *key)
{
	*at = place_of(event->start_mark);
	if (has_extras(event))
		return bad(b, *at,
			   "anchors, aliases and tags (& * !) are not supported; write the value out");
	if (event->type != YAML_SCALAR_EVENT)
		return bad(b, *at, "a key must be plain text, such as \"name: value\"");
	if (map->n >= YAML_MAX_KEYS)
		return bad(b, *at, "more than 1000 keys in one mapping; this cannot be meant");
	*key = arena_copy(&b->yaml->arena, span_make(event->data.scalar.value, event->data.scalar.length));
	for (const struct yaml_node *v = map->first; v != NULL; v = v->next) {
		if (span_eq(v->key, *key))
			return err_set(
			    b->why, ERR_CONFIG,
			    "%s:%u:%u: \"%.*s\" comes twice; it stands in line %u already, keep one of them",
			    b->name, at->line, at->column, SPAN_FMT(span_first(*key, 60)), v->key_at.line);
	}
	return ERR_OK;
}

/* Builds the node that `event` begins. */
static err_t
build(struct builder *b, const yaml_event_t *event, struct yaml_node **out)
{
	yaml_event_t e;
	struct yaml_node *n, **last;
	struct yaml_place at, key_at = {0, 0};
	struct span key = {"", 0};
	bool map = event->type == YAML_MAPPING_START_EVENT;
	err_t err = ERR_OK;

	if (has_extras(event))
		return bad(
		    b, place_of(event->start_mark),
		    "anchors, aliases and tags (& * !) are not supported; write the value out, or in quotes");
	if (event->type == YAML_SCALAR_EVENT) {
		*out = new_text(b, event);
		return ERR_OK;
	}
	n = new_node(b, map ? YAML_MAP : YAML_LIST, event);
	*out = n;
	at = n->at;
	if (++b->depth > YAML_MAX_DEPTH)
		return bad(b, at, "nested deeper than 20 levels; this cannot be meant");
	for (last = &n->first; err == ERR_OK; last = &(*last)->next) {
		err = next(b, &e);
		if (err != ERR_OK)
			break;
		if (e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			break;
		}
		if (map) {
			err = take_key(b, n, &e, &key_at, &key);
			yaml_event_delete(&e);
			if (err == ERR_OK)
				err = next(b, &e);
			if (err != ERR_OK)
				break;
		}
		err = build(b, &e, last);
		yaml_event_delete(&e);
		if (err != ERR_OK)
			break;
		(*last)->key = key;
		(*last)->key_at = key_at;
		n->n++;
	}
	b->depth--;
	return err;
}

/* Stream start, at most one document, stream end. */
static err_t
build_document(struct builder *b)
{
	yaml_event_t e;
	unsigned documents = 0;
	bool end = false;
	err_t err;

	do {
		err = next(b, &e);
		if (err != ERR_OK)
			return err;
		switch (e.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (++documents > 1)
				err = bad(b, place_of(e.start_mark),
					  "a second document begins here (---); all settings stand in one");
			break;
		case YAML_STREAM_END_EVENT:
			end = true;
			if (documents == 0) {
				b->yaml->root = new_node(b, YAML_TEXT, &e);
				b->yaml->root->text = (struct span){"", 0};
			}
			break;
		default:
			err = build(b, &e, &b->yaml->root);
			break;
		}
		yaml_event_delete(&e);
	} while (err == ERR_OK && !end);
	return err;
}

err_t
yaml_create(struct yaml **out, struct span text, const char *name, struct err_detail *why)
{
	struct builder b = {.text = text, .name = name, .why = why};
	struct yaml *y = NULL;
	err_t err;

	*out = NULL;
	if (text.len > YAML_MAX_BYTES)
		return err_set(why, ERR_CONFIG, "%s: is larger than 1 MiB; this cannot be a configuration",
			       name);
	if (!yaml_parser_initialize(&b.parser))
		return err_set(why, ERR_SYS, "%s: cannot start the YAML parser: out of memory", name);
	y = MEM_NEW(struct yaml);
	b.yaml = y;
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)text.p, text.len);
	err = build_document(&b);
	if (err == ERR_OK) {
		*out = y;
		y = NULL;
	}
	yaml_destroy(&y);
	yaml_parser_delete(&b.parser);
	return err;
}

void
yaml_destroy(struct yaml **yp)
{
	struct yaml *y = *yp;

	*yp = NULL;
	if (y == NULL)
		return;
	arena_fini(&y->arena);
	free(y);
}

const struct yaml_node *
yaml_root(const struct yaml *y)
{
	return y->root;
}

const struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *v = map->kind == YAML_MAP ? map->first : NULL; v != NULL; v = v->next) {
		if (span_is(v->key, key))
			return v;
	}
	return NULL;
}

bool
yaml_is_nothing(const struct yaml_node *n)
{
	return n->kind == YAML_TEXT && !n->quoted &&
	       (n->text.len == 0 || span_is(n->text, "~") || span_is(n->text, "null"));
}

const char *
yaml_kind_text(const struct yaml_node *n)
{
	if (yaml_is_nothing(n))
		return "nothing";
	return n->kind == YAML_TEXT ? "text" : n->kind == YAML_MAP ? "a mapping" : "a list";
}
