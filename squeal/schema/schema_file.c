#include "squeal/schema/schema_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum { FILE_MAX = 1 << 30, HASH_DIGITS = 16 };

struct schema_file {
	char *path;
	int fd; /* -1 before the first line that is added */
	size_t size;
};

static void
put_line(struct buf *out, struct span line)
{
	buf_printf(out, "%016llx ", (unsigned long long)hash_span(line, 0));
	buf_put_span(out, line);
	buf_putc(out, '\n');
}

static bool
check_line(struct span *line)
{
	char hash[HASH_DIGITS + 1];

	if (line->len <= HASH_DIGITS || line->p[HASH_DIGITS] != ' ')
		return false;
	snprintf(hash, sizeof(hash), "%016llx",
		 (unsigned long long)hash_span(span_from(*line, HASH_DIGITS + 1), 0));
	if (memcmp(hash, line->p, HASH_DIGITS) != 0)
		return false;
	*line = span_from(*line, HASH_DIGITS + 1);
	return true;
}

static err_t
read_lines(struct schema_file *f, struct span text, schema_line_fn *fn, void *arg, struct err_detail *why)
{
	err_t err = ERR_OK;

	for (size_t n = 1; err == ERR_OK && text.len > 0; n++) {
		const char *end = memchr(text.p, '\n', text.len);
		struct span line = span_first(text, end == NULL ? text.len : (size_t)(end - text.p));
		size_t whole = line.len + 1;

		if (end == NULL)
			break;
		if (!check_line(&line)) {
			/* A crash can leave the last write in any state. */
			if (whole == text.len)
				break;
			return err_set(
			    why, ERR_CORRUPT,
			    "%s is damaged in line %zu, so it is not known with which columns rows "
			    "were read: flush the caches, remove the file and start again",
			    f->path, n);
		}
		err = fn(arg, line, why);
		text = span_from(text, whole);
		f->size += whole;
	}
	return err;
}

err_t
schema_file_open(struct schema_file **out, const char *path, schema_line_fn *line, void *arg,
		 struct err_detail *why)
{
	struct schema_file *f = MEM_NEW(struct schema_file);
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;

	f->path = mem_strdup(path);
	f->fd = -1;
	if (access(path, F_OK) == 0)
		err = file_read(path, FILE_MAX, &text, why);
	if (err == ERR_OK)
		err = read_lines(f, buf_span(&text), line, arg, why);
	/* What a crash left behind the last whole line must not become the beginning of the next one. */
	if (err == ERR_OK && f->size < text.len && truncate(path, (off_t)f->size) != 0)
		err = err_set(why, ERR_IO, "cannot shorten %s: %s", path, strerror(errno));
	buf_fini(&text);
	if (err != ERR_OK)
		schema_file_close(&f);
	*out = f;
	return err;
}

void
schema_file_close(struct schema_file **f)
{
	if (*f == NULL)
		return;
	if ((*f)->fd >= 0)
		close((*f)->fd);
	free((*f)->path);
	free(*f);
	*f = NULL;
}

err_t
schema_file_append(struct schema_file *f, struct span line, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;
	ssize_t n;

	if (f->fd < 0 && f->size == 0)
		err = file_replace(f->path, (struct span){"", 0}, why);
	if (err != ERR_OK)
		return err;
	if (f->fd < 0)
		f->fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (f->fd < 0)
		return err_set(why, ERR_IO, "cannot open %s: %s", f->path, strerror(errno));
	put_line(&text, line);
	n = write(f->fd, text.p, text.len);
	if (n == (ssize_t)text.len && fdatasync(f->fd) == 0) {
		f->size += text.len;
	} else {
		err = err_set(why, ERR_IO, "cannot write to %s: %s", f->path,
			      n >= 0 && n < (ssize_t)text.len ? "the disk is full" : strerror(errno));
		/* The next try must not stand behind half a line. */
		if (ftruncate(f->fd, (off_t)f->size) != 0)
			err_wrap(why, "cannot shorten the file again");
	}
	buf_fini(&text);
	return err;
}

err_t
schema_file_replace(struct schema_file *f, struct span lines, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	while (lines.len > 0) {
		const char *end = memchr(lines.p, '\n', lines.len);
		size_t n = end == NULL ? lines.len : (size_t)(end - lines.p);

		put_line(&text, span_first(lines, n));
		lines = span_from(lines, n + 1);
	}
	err = file_replace(f->path, buf_span(&text), why);
	if (err == ERR_OK) {
		if (f->fd >= 0)
			close(f->fd);
		f->fd = -1;
		f->size = text.len;
	}
	buf_fini(&text);
	return err;
}

size_t
schema_file_size(const struct schema_file *f)
{
	return f->size;
}
