/*
 * yaml - a YAML text as a tree of nodes that know where they stand.
 *
 * A plain subset, so that what the reader sees is what there is: one document, text keys, no anchors and
 * aliases (a small file could otherwise unfold to gigabytes), no tags.  A key that comes twice in a mapping
 * is an error. Values stay text: whoever asks for a number or a boolean parses it, and `off` is never turned
 * into false.
 *
 * Threads: any; a tree does not change.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_YAML_H
#define SQUEAL_LIB_CONF_YAML_H

#include <stdbool.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

enum {
	YAML_MAX_BYTES = 1 << 20,
	YAML_MAX_DEPTH = 20,
	YAML_MAX_KEYS = 1000, /* in one mapping */
};

enum yaml_kind { YAML_TEXT, YAML_MAP, YAML_LIST };

struct yaml_place {
	unsigned line, column; /* from 1 */
};

struct yaml_node {
	enum yaml_kind kind;
	bool quoted;		 /* text in quotes or a block: "" is empty text and not nothing */
	struct span text;	 /* of YAML_TEXT */
	struct yaml_node *first; /* values of YAML_MAP, items of YAML_LIST, in the file's order */
	struct yaml_node *next;
	size_t n; /* how many there are */
	struct yaml_place at;
	struct span key; /* of a value in a mapping */
	struct yaml_place key_at;
};

struct yaml; /* opaque: a tree */

/* On error *out is NULL and *why begins with "NAME:LINE:COLUMN: ".  The caller destroys the tree. */
err_t yaml_create(struct yaml **out, struct span text, const char *name, struct err_detail *why) MUST_CHECK;

/* Frees all nodes and their text.  NULL is fine. */
void yaml_destroy(struct yaml **y);

/* Never NULL; an empty document is an empty text that is not quoted. */
const struct yaml_node *yaml_root(const struct yaml *y);

/* The value of `key` in a mapping, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* `key:` with nothing behind it, or ~ or null. */
bool yaml_is_nothing(const struct yaml_node *n);

/* "text", "a mapping", "a list", "nothing" */
const char *yaml_kind_text(const struct yaml_node *n);

#endif
