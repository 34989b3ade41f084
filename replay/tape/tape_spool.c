#include "replay/tape/tape_spool.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "replay/tape/lines.h"
#include "replay/tape/spool_files.h"
#include "replay/tape/spool_line.h"

struct tape_spool {
	struct tape tape;
	struct tape_options opt;
	char **paths, **hosts;
	size_t n, nhosts;
};

struct spool_run {
	struct tape_spool *t;
	const struct tape_mark *from; /* NULL: it was reached */
	const struct tape_sink *sink;
	struct range *range;
	struct spool_line line;
	bool stop;
};

static bool
is_for(const struct tape_spool *t, struct span host)
{
	for (size_t i = 0; i < t->nhosts; i++) {
		if (spool_line_same_host(span_of(t->hosts[i]), host))
			return true;
	}
	return t->nhosts == 0;
}

static err_t
take_line(struct spool_run *run, const char *path, uint64_t number, struct err_detail *why)
{
	const struct spool_line *l = &run->line;
	struct tape *tape = &run->t->tape;
	struct tape_txn txn = {.mark = {.file = span_of(path), .at = number}, .commit_us = l->at_us};
	bool wanted = is_for(run->t, l->host);
	err_t err = ERR_OK;

	if (wanted && !range_is_all(run->range))
		err = tape_wants(run->range, (struct span){"", 0}, l->at_us, "a line of the spool", &wanted,
				 why);
	if (err != ERR_OK)
		return err;
	if (!wanted) {
		tape->counts.left_out++;
		return ERR_OK;
	}
	if (run->from != NULL && !tape_mark_same(run->from, &txn.mark))
		return ERR_OK;
	run->from = NULL;
	tape->counts.txns++;
	switch (run->sink->txn(run->sink->arg, &txn)) {
	case TAPE_STOP:
		run->stop = true;
		break;
	case TAPE_SKIP:
		break;
	case TAPE_TAKE:
		run->stop = !tape_give_key(tape, run->sink, l->key);
	}
	return ERR_OK;
}

static err_t
read_file(struct spool_run *run, const struct spool_file *file, uint64_t before, struct err_detail *why)
{
	struct tape *tape = &run->t->tape;
	struct lines lines = {0};
	struct span line;
	bool more = true, whole;
	err_t err = lines_open(&lines, file->path, SPOOL_LINE_MAX, why);

	while (err == ERR_OK && !run->stop && !atomic_load(&tape->stopping)) {
		struct err_detail bad = {0};

		err = lines_next(&lines, &line, &whole, &more, why);
		if (err != ERR_OK || !more)
			break;
		atomic_store_explicit(&tape->done, before + lines.at, memory_order_relaxed);
		if (span_trim(line).len == 0)
			continue;
		if (spool_line_parse(&run->line, line, &bad) == ERR_OK) {
			err = take_line(run, file->path, lines.number, why);
			continue;
		}
		tape->counts.bad++;
		log_warn(run->t->opt.log, "a line is left out", F_STR("file", file->path),
			 F_UINT("line", lines.number),
			 F_STR("reason", whole
					     ? err_why(&bad)
					     : "the file ends inside of it: it was cut short, or mcrouter is "
					       "writing it now"));
	}
	lines_close(&lines);
	return err;
}

static err_t
spool_run(struct tape *tape, const struct tape_mark *from, const struct tape_sink *sink,
	  struct err_detail *why)
{
	struct tape_spool *t = (struct tape_spool *)tape;
	struct spool_run run = {.t = t, .from = from, .sink = sink};
	struct spool_files files = {0};
	uint64_t before = 0, total = 0;
	err_t err = ERR_OK;

	run.range = t->opt.make_range(t->opt.arg, t->opt.log);
	for (size_t i = 0; i < t->n && err == ERR_OK; i++)
		err = spool_files_add(&files, t->paths[i], why);
	if (err != ERR_OK)
		goto done;
	spool_files_sort(&files);
	for (size_t i = 0; i < files.n; i++) {
		total += files.files[i].size;
		if (!files.files[i].is_named)
			log_notice(t->opt.log,
				   "a file in the spool is not named as mcrouter names them; it is read "
				   "in the order of its last change",
				   F_STR("file", files.files[i].path));
	}
	atomic_store(&tape->total, total);
	for (size_t i = 0; i < files.n && err == ERR_OK && !run.stop && !atomic_load(&tape->stopping); i++) {
		err = read_file(&run, &files.files[i], before, why);
		before += files.files[i].size;
	}
	if (err == ERR_OK && run.from != NULL && !run.stop && !atomic_load(&tape->stopping))
		err = err_set(why, ERR_NOT_FOUND, "line %llu of %.*s is not there any more",
			      (unsigned long long)run.from->at, SPAN_FMT(run.from->file));
done:
	spool_files_fini(&files);
	spool_line_fini(&run.line);
	range_seen(run.range, &tape->counts.seen_first_us, &tape->counts.seen_last_us);
	range_destroy(&run.range);
	return err;
}

static void
spool_destroy(struct tape *tape)
{
	struct tape_spool *t = (struct tape_spool *)tape;

	for (size_t i = 0; i < t->n; i++)
		free(t->paths[i]);
	for (size_t i = 0; i < t->nhosts; i++)
		free(t->hosts[i]);
	free(t->paths);
	free(t->hosts);
	free(t);
}

static const struct tape_ops ops = {.run = spool_run, .destroy = spool_destroy};

static char **
copy_texts(char *const *texts, size_t n)
{
	char **copy = mem_zalloc(n + 1, sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(texts[i]);
	return copy;
}

struct tape *
tape_spool_create(const struct tape_options *opt, char *const *paths, size_t n, char *const *hosts,
		  size_t nhosts)
{
	struct tape_spool *t = MEM_NEW(struct tape_spool);

	t->tape.ops = &ops;
	t->tape.unit = "lines";
	t->tape.noun = "line";
	t->opt = *opt;
	t->paths = copy_texts(paths, n);
	t->hosts = copy_texts(hosts, nhosts);
	t->n = n;
	t->nhosts = nhosts;
	return &t->tape;
}
