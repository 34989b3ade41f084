#include "markers/squeal.h"

#include <stdbool.h>
#include <stdlib.h>

#include "markers/comment.h"
#include "markers/embed.h"
#include "markers/key.h"

_Static_assert((int)SQUEAL_KEY_MAX == (int)KEY_MAX, "the public limit is the limit");

/* Gathers what the parser finds; `found` is what the caller sees. */
struct extract {
	struct squeal_found found;
	size_t keys_cap;
	size_t markers_cap;
	size_t problems_cap;
};

const char *
squeal_strerror(int error)
{
	switch (error) {
	case SQUEAL_OK:
		return "ok";
	case SQUEAL_E_KEY_EMPTY:
		return key_fault_text(KEY_EMPTY);
	case SQUEAL_E_KEY_LONG:
		return key_fault_text(KEY_TOO_LONG);
	case SQUEAL_E_KEY_CONTROL:
		return key_fault_text(KEY_CONTROL);
	case SQUEAL_E_POOL:
		return "the pool is no valid name: 1 to 250 bytes without spaces and control characters";
	case SQUEAL_E_TAG:
		return "the tag is no valid name: 1 to 64 letters, digits, '_', '.' or '-'";
	case SQUEAL_E_SQL_EMPTY:
		return "there is no statement to put keys on: pass the SQL text of one";
	case SQUEAL_E_SQL_OPEN:
		return "the statement starts with a comment that is never closed: close it with */";
	case SQUEAL_E_NO_MEMORY:
		return "out of memory";
	case SQUEAL_E_ARGUMENT:
		return "an argument is NULL: pass the statement, the keys and where to put the result";
	default:
		return "unknown error: it is none of enum squeal_error";
	}
}

int
squeal_check_key(const char *key, size_t len)
{
	return embed_check_key((struct squeal_bytes){key, len});
}

static struct span
tag_of(const struct squeal_options *options)
{
	return span_of(options != NULL && options->tag != NULL ? options->tag : "inv");
}

int
squeal_embed(const char *sql, size_t sql_len, const struct squeal_keys *keys,
	     const struct squeal_options *options, char **out, size_t *out_len)
{
	struct embed e = {.keys = keys, .leading = options != NULL && options->leading};
	int err;

	if (out == NULL || out_len == NULL)
		return SQUEAL_E_ARGUMENT;
	*out = NULL;
	*out_len = 0;
	if (sql == NULL || keys == NULL)
		return SQUEAL_E_ARGUMENT;
	e.sql = span_make(sql, sql_len);
	if (!pair_tag_init(&e.tag, tag_of(options)))
		return SQUEAL_E_TAG;
	err = embed_check(&e);
	if (err != SQUEAL_OK)
		return err;
	*out_len = embed_write(&e, NULL, 0);
	*out = malloc(*out_len + 1);
	if (*out == NULL) {
		*out_len = 0;
		return SQUEAL_E_NO_MEMORY;
	}
	embed_write(&e, *out, *out_len);
	(*out)[*out_len] = '\0';
	return SQUEAL_OK;
}

void
squeal_free(char *sql)
{
	free(sql);
}

/* Makes room for one more element of `size` bytes; false when memory is out. */
static bool
grow(void **array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap == 0 ? 8 : 2 * *cap;
	void *p;

	if (n < *cap)
		return true;
	p = reallocarray(*array, more, size);
	if (p == NULL)
		return false;
	*array = p;
	*cap = more;
	return true;
}

static bool
copy_bytes(struct span bytes, struct squeal_bytes *out)
{
	char *p = malloc(bytes.len + 1);

	if (p == NULL)
		return false;
	memcpy(p, bytes.p, bytes.len);
	p[bytes.len] = '\0';
	*out = (struct squeal_bytes){p, bytes.len};
	return true;
}

static bool
add_group(struct squeal_found *f, const struct comment_group *group)
{
	if (group->holdoff_ms > f->holdoff_ms)
		f->holdoff_ms = group->holdoff_ms;
	return f->pool.len > 0 || group->pool.len == 0 || copy_bytes(group->pool, &f->pool);
}

static err_t
on_key(void *arg, struct span key, const struct comment_group *group)
{
	struct extract *x = arg;
	struct squeal_found *f = &x->found;

	if (!grow((void **)&f->keys, f->nkeys, &x->keys_cap, sizeof(f->keys[0])) ||
	    !copy_bytes(key, &f->keys[f->nkeys]))
		return ERR_FULL;
	f->nkeys++;
	return add_group(f, group) ? ERR_OK : ERR_FULL;
}

static err_t
on_marker(void *arg, struct span key, const struct comment_group *group)
{
	struct extract *x = arg;
	struct squeal_found *f = &x->found;

	if (!grow((void **)&f->markers, f->nmarkers, &x->markers_cap, sizeof(f->markers[0])) ||
	    !copy_bytes(key, &f->markers[f->nmarkers]))
		return ERR_FULL;
	f->nmarkers++;
	return add_group(f, group) ? ERR_OK : ERR_FULL;
}

static void
on_issue(void *arg, const struct comment_issue *issue)
{
	struct extract *x = arg;
	struct squeal_found *f = &x->found;

	/* Without memory the number that comment_parse() counts is larger, and that is seen. */
	if (grow((void **)&f->problems, f->nproblems, &x->problems_cap, sizeof(f->problems[0])))
		f->problems[f->nproblems++] = comment_reason_text(issue->reason);
}

int
squeal_extract(const char *sql, size_t sql_len, const struct squeal_options *options,
	       struct squeal_found **out)
{
	static const struct comment_ops ops = {on_key, on_marker, on_issue};
	struct comment_parser parser;
	struct comment_counts counts;
	struct extract *x;

	if (out == NULL)
		return SQUEAL_E_ARGUMENT;
	*out = NULL;
	if (sql == NULL)
		return SQUEAL_E_ARGUMENT;
	if (comment_parser_init(&parser, tag_of(options), options != NULL && options->anywhere, NULL) !=
	    ERR_OK)
		return SQUEAL_E_TAG;
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return SQUEAL_E_NO_MEMORY;
	if (comment_parse(&parser, span_make(sql, sql_len), SQLLEX_DEFAULT, &ops, x, &counts) != ERR_OK ||
	    counts.issues != x->found.nproblems) {
		squeal_found_free(&x->found);
		return SQUEAL_E_NO_MEMORY;
	}
	*out = &x->found;
	return SQUEAL_OK;
}

void
squeal_found_free(struct squeal_found *f)
{
	struct extract *x = (struct extract *)f; /* `found` is its first member */

	if (x == NULL)
		return;
	for (size_t i = 0; i < f->nkeys; i++)
		free((char *)f->keys[i].p);
	for (size_t i = 0; i < f->nmarkers; i++)
		free((char *)f->markers[i].p);
	free((char *)f->pool.p);
	free(f->keys);
	free(f->markers);
	free(f->problems);
	free(x);
}
