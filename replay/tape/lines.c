#include "replay/tape/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/mem.h"

enum { CHUNK = 256 << 10 };

err_t
lines_open(struct lines *l, const char *path, size_t limit, struct err_detail *why)
{
	struct stat st;

	*l = (struct lines){.limit = limit, .is_stdin = strcmp(path, "-") == 0};
	l->fd = l->is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (l->fd < 0)
		return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, "%s cannot be opened: %s%s",
			       path, strerror(errno),
			       errno == EACCES ? "; run this as a user who may read it" : "");
	l->is_open = true;
	l->path = mem_strdup(l->is_stdin ? "standard input" : path);
	if (fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode))
		l->file_size = (uint64_t)st.st_size;
	if (fstat(l->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		lines_close(l);
		return err_set(why, ERR_SYS, "%s is a folder; give the files in it", path);
	}
	return ERR_OK;
}

void
lines_close(struct lines *l)
{
	if (l->is_open && !l->is_stdin)
		close(l->fd);
	buf_fini(&l->in);
	free(l->path);
	*l = (struct lines){0};
}

/* More bytes; *at_end when there are none. */
static err_t
fill(struct lines *l, struct err_detail *why)
{
	ssize_t n;

	do {
		n = read(l->fd, buf_room(&l->in, CHUNK), CHUNK);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(why, ERR_IO, "%s cannot be read: %s", l->path, strerror(errno));
	buf_added(&l->in, (size_t)n);
	l->at_end = n == 0;
	return ERR_OK;
}

err_t
lines_next(struct lines *l, struct span *line, bool *whole, bool *more, struct err_detail *why)
{
	const char *end;
	err_t err;

	buf_take(&l->in, l->take);
	l->at += l->take;
	l->take = l->looked = 0;
	for (;;) {
		end = l->in.len > l->looked ? memchr(l->in.p + l->looked, '\n', l->in.len - l->looked) : NULL;
		if (end != NULL || l->at_end || l->in.len > l->limit)
			break;
		l->looked = l->in.len;
		err = fill(l, why);
		if (err != ERR_OK)
			return err;
	}
	*more = l->in.len > 0;
	*whole = end != NULL;
	*line = end != NULL ? span_make(l->in.p, (size_t)(end - l->in.p)) : buf_span(&l->in);
	l->take = line->len + (end != NULL);
	if (*more)
		l->number++;
	if (line->len > l->limit) {
		*line = span_first(*line, l->limit);
		*whole = false;
	}
	return ERR_OK;
}
