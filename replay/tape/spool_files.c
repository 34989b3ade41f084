#include "replay/tape/spool_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum { DEPTH = 4, STAMP = sizeof("20261121T081500") - 1 };

uint64_t
spool_files_time(const char *name)
{
	struct span rest = span_of(name), stamp = span_cut(&rest, '-'), epoch = span_cut(&rest, '-');
	uint64_t s = 0;

	if (stamp.len != STAMP || stamp.p[8] != 'T' || rest.len == 0 || !span_u64(epoch, &s))
		return 0;
	for (size_t i = 0; i < STAMP; i++) {
		if (i != 8 && (stamp.p[i] < '0' || stamp.p[i] > '9'))
			return 0;
	}
	return s;
}

static void
add_file(struct spool_files *l, const char *path, const struct stat *st)
{
	const char *slash = strrchr(path, '/');
	uint64_t named = spool_files_time(slash != NULL ? slash + 1 : path);

	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? 2 * l->cap : 64;
		l->files = mem_realloc(l->files, l->cap * sizeof(*l->files));
	}
	l->files[l->n++] = (struct spool_file){
	    .path = mem_strdup(path),
	    .opened_s = named > 0 ? named : (uint64_t)st->st_mtime,
	    .size = (uint64_t)st->st_size,
	    .is_named = named > 0,
	};
}

static err_t
add(struct spool_files *l, const char *path, unsigned depth, struct err_detail *why)
{
	struct buf child = BUF_INIT;
	struct dirent *entry;
	struct stat st;
	err_t err = ERR_OK;
	DIR *dir;

	if (stat(path, &st) != 0)
		return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, "%s cannot be looked at: %s",
			       path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		add_file(l, path, &st);
		return ERR_OK;
	}
	if (!S_ISDIR(st.st_mode))
		return err_set(why, ERR_SYS, "%s is neither a folder nor a file", path);
	if (depth == DEPTH)
		return err_set(why, ERR_SYS,
			       "%s is too deep; give the folder that has the folders of the hours", path);
	dir = opendir(path);
	if (dir == NULL)
		return err_set(why, ERR_SYS, "%s cannot be read: %s; run this as a user who may read it",
			       path, strerror(errno));
	while (err == ERR_OK && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		buf_clear(&child);
		buf_printf(&child, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entry->d_name);
		err = add(l, buf_str(&child), depth + 1, why);
	}
	closedir(dir);
	buf_fini(&child);
	return err;
}

err_t
spool_files_add(struct spool_files *l, const char *path, struct err_detail *why)
{
	return add(l, path, 0, why);
}

static int
by_time(const void *a, const void *b)
{
	const struct spool_file *x = a, *y = b;

	if (x->opened_s != y->opened_s)
		return x->opened_s < y->opened_s ? -1 : 1;
	return strcmp(x->path, y->path);
}

void
spool_files_sort(struct spool_files *l)
{
	if (l->n > 0)
		qsort(l->files, l->n, sizeof(*l->files), by_time);
}

void
spool_files_fini(struct spool_files *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->files[i].path);
	free(l->files);
	*l = (struct spool_files){0};
}
