#include "squeal/keys/file_list.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/file.h"
#include "lib/core/mem.h"

enum { INDEX_MAX = 16 << 20 };

const char *
file_list_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Takes over `path`. */
static void
append(struct file_list *l, char *path)
{
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? 2 * l->cap : 16;
		l->paths = mem_realloc(l->paths, l->cap * sizeof(*l->paths));
	}
	l->paths[l->n++] = path;
}

static char *
beside(const char *index, struct span name)
{
	struct buf path = BUF_INIT;

	buf_put_span(&path, span_first(span_of(index), (size_t)(file_list_name(index) - index)));
	buf_put_span(&path, name);
	buf_putc(&path, '\0');
	return path.base;
}

/* Where the file is that a line of the index names. */
static char *
resolve(const char *index, struct span line)
{
	char *path, *near;

	while (span_starts(line, SPAN_LIT("./")))
		line = span_from(line, 2);
	path = line.p[0] == '/' ? span_dup(line) : beside(index, line);
	if (access(path, F_OK) == 0)
		return path;
	near = beside(index, span_of(file_list_name(path)));
	if (access(near, F_OK) == 0) {
		free(path);
		return near;
	}
	/* Opening it will say that it is not there. */
	free(near);
	return path;
}

static err_t
add_index(struct file_list *l, const char *index, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	struct span rest;
	size_t before = l->n;
	err_t err = file_read(index, INDEX_MAX, &text, why);

	if (err != ERR_OK)
		goto done;
	rest = buf_span(&text);
	if (rest.len > 0 && memchr(rest.p, '\0', rest.len) != NULL) {
		err = err_set(why, ERR_USAGE, "%s is no index file, which lists one binlog file in each line",
			      index);
		goto done;
	}
	while (rest.len > 0) {
		ptrdiff_t end = span_find(rest, SPAN_LIT("\n"));
		struct span line = span_trim(end < 0 ? rest : span_first(rest, (size_t)end));

		rest = end < 0 ? span_from(rest, rest.len) : span_from(rest, (size_t)end + 1);
		if (line.len > 0)
			append(l, resolve(index, line));
	}
	if (l->n == before)
		err = err_set(why, ERR_USAGE, "the index file %s lists no binlog file", index);
done:
	buf_fini(&text);
	return err;
}

err_t
file_list_add(struct file_list *l, const char *arg, struct err_detail *why)
{
	static const char suffix[] = ".index";
	size_t n = strlen(arg), s = sizeof(suffix) - 1;

	if (n > s && strcmp(arg + n - s, suffix) == 0)
		return add_index(l, arg, why);
	append(l, mem_strdup(arg));
	return ERR_OK;
}

void
file_list_fini(struct file_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->paths[i]);
	free(l->paths);
	*l = (struct file_list){0};
}
