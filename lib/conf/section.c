#include "lib/conf/section.h"

#include <string.h>

err_t
section_bad(const struct section_file *f, struct yaml_place at, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (at.line > 0)
		err_set(f->why, ERR_CONFIG, "%s:%u:%u: %s", f->name, at.line, at.column, buf_str(&text));
	else
		err_set(f->why, ERR_CONFIG, "%s: %s", f->name, buf_str(&text));
	buf_fini(&text);
	return ERR_CONFIG;
}

struct yaml_place
section_place(const struct section *s, const char *option)
{
	for (size_t i = 0; i < s->table->nrows; i++) {
		if (strcmp(s->table->rows[i].name, option) == 0 && s->values[i] != NULL)
			return s->values[i]->at;
	}
	return s->node != NULL ? s->node->at : (struct yaml_place){0, 0};
}

bool
section_has(const struct section *s, const char *option)
{
	for (size_t i = 0; i < s->table->nrows; i++) {
		if (strcmp(s->table->rows[i].name, option) == 0)
			return s->values[i] != NULL;
	}
	return false;
}

static err_t
unknown_key(const struct section_file *f, const struct yaml_node *v, const char *path, const char *near,
	    const char *const *words, size_t n)
{
	struct buf list = BUF_INIT;

	if (near != NULL) {
		section_bad(f, v->key_at, "unknown key \"%.*s\" in %s; did you mean \"%s\"?",
			    SPAN_FMT(span_first(v->key, 60)), path, near);
		return ERR_CONFIG;
	}
	for (size_t i = 0; i < n; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
	section_bad(f, v->key_at, "unknown key \"%.*s\" in %s; there are: %s",
		    SPAN_FMT(span_first(v->key, 60)), path, buf_str(&list));
	buf_fini(&list);
	return ERR_CONFIG;
}

/* A key that is neither a row of the section nor one of `extra`. */
static err_t
no_such_key(const struct section_file *f, const struct section *s, const struct yaml_node *v,
	    const char *const *extra, size_t nextra)
{
	const char *words[SECTION_MAX_ROWS + SECTION_MAX_EXTRA];
	size_t n = 0;

	for (size_t i = 0; i < s->table->nrows; i++)
		words[n++] = s->table->rows[i].name;
	for (size_t i = 0; i < nextra; i++)
		words[n++] = extra[i];
	return unknown_key(f, v, s->path, option_nearest_word(words, n, v->key), words, n);
}

/* The lines of a list or of a mapping of texts. */
static err_t
put_lines(const struct section_file *f, const struct section *s, const struct option_row *row,
	  const struct yaml_node *node, struct buf *lines)
{
	for (const struct yaml_node *v = node->first; v != NULL; v = v->next) {
		if (v->kind != YAML_TEXT)
			return section_bad(f, v->at, "%s in %s holds single values, not %s", row->name,
					   s->path, yaml_kind_text(v));
		if (span_find(v->text, SPAN_LIT("\n")) >= 0)
			return section_bad(f, v->at,
					   "a value of %s in %s has more than one line; write it on one",
					   row->name, s->path);
		if (node->kind == YAML_MAP)
			buf_printf(lines, "%.*s=", SPAN_FMT(v->key));
		buf_put_span(lines, v->text);
		buf_putc(lines, '\n');
	}
	return ERR_OK;
}

static err_t
take_lines(const struct section_file *f, struct section *s, const struct option_row *row,
	   const struct yaml_node *v)
{
	struct err_detail detail = {0};
	struct buf lines = BUF_INIT;
	err_t err;

	err = put_lines(f, s, row, v, &lines);
	if (err == ERR_OK && option_set(row, s->base, buf_span(&lines), &detail) != ERR_OK)
		err = section_bad(f, v->at, "%s (in %s)", err_why(&detail), s->path);
	if (err == ERR_OK)
		s->values[row - s->table->rows] = v;
	buf_fini(&lines);
	return err;
}

static err_t
take_value(const struct section_file *f, struct section *s, const struct option_row *row,
	   const struct yaml_node *v)
{
	struct err_detail detail = {0};

	if ((row->type == OPTION_LIST && v->kind == YAML_LIST) ||
	    (row->type == OPTION_MAP && v->kind == YAML_MAP))
		return take_lines(f, s, row, v);
	if (row->type == OPTION_MAP && !yaml_is_nothing(v))
		return section_bad(f, v->at, "%s in %s must be a mapping (\"name: value\" lines), not %s",
				   row->name, s->path, yaml_kind_text(v));
	if (v->kind != YAML_TEXT)
		return section_bad(f, v->at, "%s in %s must be a single value, not %s", row->name, s->path,
				   yaml_kind_text(v));
	if (yaml_is_nothing(v))
		return section_bad(f, v->at,
				   "%s in %s has no value; give it one or leave the line out (default: %s)",
				   row->name, s->path, row->def[0] != '\0' ? row->def : "empty");
	if (option_set(row, s->base, v->text, &detail) != ERR_OK)
		return section_bad(f, v->at, "%s (in %s)", err_why(&detail), s->path);
	s->values[row - s->table->rows] = v;
	return ERR_OK;
}

static bool
is_word(struct span key, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_is(key, words[i]))
			return true;
	}
	return false;
}

err_t
section_read(struct section *s, const struct section_file *f, const struct yaml_node *node,
	     const char *const *extra, size_t nextra)
{
	const struct option_row *row;
	err_t err;

	s->node = node;
	if (node == NULL || yaml_is_nothing(node))
		return ERR_OK;
	if (node->kind != YAML_MAP)
		return section_bad(f, node->at, "%s must be a mapping (\"%s: ...\" lines), not %s", s->path,
				   s->table->rows[0].name, yaml_kind_text(node));
	for (const struct yaml_node *v = node->first; v != NULL; v = v->next) {
		if (is_word(v->key, extra, nextra))
			continue;
		row = option_find(s->table, v->key);
		err = row == NULL ? no_such_key(f, s, v, extra, nextra) : take_value(f, s, row, v);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}
