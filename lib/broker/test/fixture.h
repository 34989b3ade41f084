/*
 * fixture - a log in a folder of its own under /tmp, which every user can reach, with a fake clock; for the
 * tests of lib/broker.
 */
#ifndef SQUEAL_LIB_BROKER_TEST_FIXTURE_H
#define SQUEAL_LIB_BROKER_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/broker/broker.h"
#include "lib/core/mem.h"

struct fixture {
	char dir[64];
	char path[128];
	struct clock_fake clock;
	struct log_options opt;
	struct broker_metrics metrics;
	struct broker_context ctx;
	struct err_detail why;
};

static inline int
fixture_setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	snprintf(f->dir, sizeof(f->dir), "/tmp/squeal-test-broker-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/log.db", f->dir);
	clock_fake_init(&f->clock);
	f->opt = (struct log_options){
	    .type = "sqlite", .path = f->path, .retention = 3600, .max_size = 1 << 30, .sync = "full"};
	f->ctx = (struct broker_context){.clock = &f->clock.clock, .metrics = &f->metrics};
	*state = f;
	return 0;
}

static inline int
fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char path[512];
	struct dirent *e;
	DIR *d;

	(void)chmod(f->dir, 0700);
	d = opendir(f->dir);
	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, e->d_name);
		(void)unlink(path);
	}
	if (d != NULL)
		closedir(d);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

#define fixture_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

/* "PATH" with something behind it; valid until the next call. */
static inline const char *
fixture_beside(struct fixture *f, const char *suffix)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s%s", f->path, suffix);
	return path;
}

#define assert_ok(f, call)                                                                                   \
	do {                                                                                                 \
		err_clear(&(f)->why);                                                                        \
		if ((call) != ERR_OK)                                                                        \
			fail_msg("%s: %s", err_name((f)->why.code), err_why(&(f)->why));                     \
	} while (0)

/* The call fails with this code, and its sentence says so much. */
#define assert_err(f, call, code, says)                                                                      \
	do {                                                                                                 \
		err_clear(&(f)->why);                                                                        \
		assert_string_equal(err_name(call), err_name(code));                                         \
		if (strstr((f)->why.text, (says)) == NULL)                                                   \
			fail_msg("\"%s\" does not say \"%s\"", (f)->why.text, (says));                       \
	} while (0)

static inline struct broker_writer *
fixture_writer(struct fixture *f)
{
	struct broker_writer *w;

	assert_ok(f, broker_writer_open(&w, &f->opt, "main", &f->ctx, &f->why));
	return w;
}

static inline struct broker_reader *
fixture_reader(struct fixture *f)
{
	struct broker_reader *r;

	assert_ok(f, broker_reader_open(&r, &f->opt, &f->ctx, &f->why));
	return r;
}

static inline uint64_t
fixture_append(struct fixture *f, struct broker_writer *w, const char *text, const char *checkpoint)
{
	struct span record = span_of(text);
	uint64_t first;

	assert_ok(f, broker_append(w, &record, 1, span_of(checkpoint), &first, &f->why));
	return first;
}

/* Records seen by a read, as "offset:source:bytes " each, NUL as 0; "!" before a damaged one. */
struct seen {
	struct buf text;
	size_t n;
	size_t stop_after; /* 0: never */
};

static inline bool
fixture_see(void *arg, const struct broker_record *rec)
{
	struct seen *s = arg;

	buf_printf(&s->text, "%s%llu:%.*s:", rec->damaged ? "!" : "", (unsigned long long)rec->offset,
		   SPAN_FMT(rec->source));
	for (size_t i = 0; i < rec->bytes.len; i++)
		buf_putc(&s->text, rec->bytes.p[i] != '\0' ? rec->bytes.p[i] : '0');
	buf_putc(&s->text, ' ');
	s->n++;
	return s->n != s->stop_after;
}

#define assert_reads(f, r, from, want, want_next)                                                            \
	do {                                                                                                 \
		struct seen seen_ = {0};                                                                     \
		uint64_t next_;                                                                              \
		assert_ok((f),                                                                               \
			  broker_read((r), (from), 1000, 1 << 20, fixture_see, &seen_, &next_, &(f)->why));  \
		assert_string_equal(buf_str(&seen_.text), (want));                                           \
		assert_int_equal(next_, (want_next));                                                        \
		buf_fini(&seen_.text);                                                                       \
	} while (0)

/* Changes one bit where `text` stands in the file; every process must have closed it. */
static inline void
fixture_flip(const char *path, const char *text)
{
	struct buf b = BUF_INIT;
	FILE *file = fopen(path, "r+b");
	ptrdiff_t at;
	size_t n;

	assert_non_null(file);
	do {
		n = fread(buf_room(&b, 65536), 1, 65536, file);
		buf_added(&b, n);
	} while (n > 0);
	at = span_find(buf_span(&b), span_of(text));
	assert_true(at >= 0);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	fputc(text[0] ^ 1, file);
	fclose(file);
	buf_fini(&b);
}

#endif
