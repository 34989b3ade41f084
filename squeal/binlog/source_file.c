#include "squeal/binlog/source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum { BLOCK = 1 << 20, MAGIC_LEN = 4, FLAGS_OFFSET = 17 };

struct source_file {
	struct source source; /* first */
	char *path;
	size_t max_event;
	int fd;
	struct buf buf;
	size_t event_len; /* of the event that was handed out and is still in buf */
	uint64_t pos;	  /* of the next event */
	uint64_t tail;
	bool in_use;
	_Atomic bool interrupted;
};

static struct source_file *
of(struct source *s)
{
	return (struct source_file *)s;
}

static void
file_close(struct source *s)
{
	struct source_file *f = of(s);

	if (f->fd > STDERR_FILENO)
		close(f->fd);
	f->fd = -1;
	buf_clear(&f->buf);
	f->event_len = 0;
}

/* Reads until `need` bytes are there, or the file ends. */
static err_t
fill(struct source_file *f, size_t need, struct err_detail *why)
{
	while (f->buf.len < need) {
		size_t want = need - f->buf.len > BLOCK ? need - f->buf.len : BLOCK;
		ssize_t n;

		if (atomic_load_explicit(&f->interrupted, memory_order_relaxed))
			return err_set(why, ERR_CLOSED, "reading %s was interrupted", f->path);
		n = read(f->fd, buf_room(&f->buf, want), want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(why, ERR_SYS, "cannot read %s: %s", f->path, strerror(errno));
		if (n == 0)
			break;
		buf_added(&f->buf, (size_t)n);
	}
	return ERR_OK;
}

/* What unpacks such a file to standard output; NULL for none of them. */
static const char *
packer(struct span start)
{
	static const struct {
		const char *magic, *tool;
	} packers[] = {{"\x1f\x8b", "zcat"},
		       {"\x28\xb5\x2f\xfd", "zstdcat"},
		       {"\xfd\x37\x7a\x58", "xzcat"},
		       {"BZh", "bzcat"}};

	for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		if (span_starts(start, span_of(packers[i].magic)))
			return packers[i].tool;
	}
	return NULL;
}

static err_t
check_magic(struct source_file *f, struct err_detail *why)
{
	const char *tool;
	err_t err = fill(f, MAGIC_LEN, why);

	if (err != ERR_OK)
		return err;
	if (span_starts(buf_span(&f->buf), SPAN_LIT("\xfd"
						    "bin")))
		return err_set(
		    why, ERR_UNKNOWN_EVENT,
		    "%s is encrypted (MySQL's binlog_encryption=ON): read it through the server, which sends "
		    "it in clear",
		    f->path);
	tool = packer(buf_span(&f->buf));
	if (tool != NULL)
		return err_set(why, ERR_BAD_EVENT, "%s is compressed: %s %s | squeal keys -", f->path, tool,
			       f->path);
	if (!span_starts(buf_span(&f->buf), SPAN_LIT("\xfe"
						     "bin")))
		return err_set(why, ERR_BAD_EVENT,
			       "%s is not a binlog file: it does not begin with the four bytes fe 62 69 6e",
			       f->path);
	buf_take(&f->buf, MAGIC_LEN);
	f->pos = MAGIC_LEN;
	return ERR_OK;
}

static err_t
file_open(struct source *s, struct span from, struct err_detail *why)
{
	struct source_file *f = of(s);
	const char *base = strrchr(f->path, '/');
	err_t err;

	file_close(s);
	f->tail = 0;
	f->in_use = false;
	if (from.len > 0 && !span_is(from, "earliest"))
		return err_set(why, ERR_USAGE,
			       "a binlog file is read from its start; %s cannot be opened at \"%.*s\"",
			       f->path, SPAN_FMT(span_first(from, 100)));
	f->fd = strcmp(f->path, "-") == 0 ? STDIN_FILENO : open(f->path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		return err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, "cannot open %s: %s", f->path,
			       strerror(errno));
	posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	err = check_magic(f, why);
	if (err != ERR_OK) {
		file_close(s);
		return err;
	}
	s->info = (struct source_info){
	    .server = {"", 0},
	    .start = {"", 0},
	    .file = span_of(base != NULL ? base + 1 : f->path),
	    .pos = MAGIC_LEN,
	    .checksum = BINLOG_CHECKSUM_UNDEFINED,
	};
	return ERR_OK;
}

static err_t
file_next(struct source *s, struct span *event, struct err_detail *why)
{
	struct source_file *f = of(s);
	size_t length;
	err_t err = ERR_OK;

	*event = (struct span){"", 0};
	buf_take(&f->buf, f->event_len);
	f->pos += f->event_len;
	f->event_len = 0;
	if (f->buf.len < BINLOG_HEADER)
		err = fill(f, BINLOG_HEADER, why);
	if (err != ERR_OK)
		return err;
	if (f->buf.len < BINLOG_HEADER) {
		f->tail = f->buf.len;
		return ERR_OK;
	}
	length = binlog_event_length(buf_span(&f->buf));
	if (length < BINLOG_HEADER || length > f->max_event)
		return err_set(
		    why, ERR_BAD_EVENT,
		    "event at %s:%llu says that it has %zu bytes: the file is damaged there, or max_event "
		    "(%zu) is too small",
		    f->path, (unsigned long long)f->pos, length, f->max_event);
	if (f->buf.len < length)
		err = fill(f, length, why);
	if (err != ERR_OK)
		return err;
	if (f->buf.len < length) {
		f->tail = f->buf.len;
		return ERR_OK;
	}
	if (f->pos == MAGIC_LEN)
		f->in_use = f->buf.p[4] == BINLOG_TYPE_FORMAT_DESCRIPTION &&
			    f->buf.p[FLAGS_OFFSET] & BINLOG_FLAG_IN_USE;
	f->event_len = length;
	*event = span_make(f->buf.p, length);
	return ERR_OK;
}

static void
file_interrupt(struct source *s)
{
	atomic_store(&of(s)->interrupted, true);
}

static void
file_destroy(struct source *s)
{
	struct source_file *f = of(s);

	file_close(s);
	buf_fini(&f->buf);
	free(f->path);
	free(f);
}

struct source *
source_file_create(const char *path, size_t max_event)
{
	static const struct source_ops ops = {file_open, file_next, file_interrupt, file_close, file_destroy};
	struct source_file *f = MEM_NEW(struct source_file);

	f->source.ops = &ops;
	f->path = mem_strdup(path);
	f->max_event = max_event;
	f->fd = -1;
	return &f->source;
}

uint64_t
source_file_tail(const struct source *s)
{
	return ((const struct source_file *)s)->tail;
}

bool
source_file_in_use(const struct source *s)
{
	return ((const struct source_file *)s)->in_use;
}
