#include "replay/tape/tape_list.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lib/core/mem.h"
#include "replay/tape/lines.h"
#include "replay/tape/list_line.h"

struct tape_list {
	struct tape tape;
	struct tape_options opt;
	char **paths;
	size_t n;
};

struct list_run {
	struct tape_list *t;
	const struct tape_mark *from; /* NULL: it was reached */
	const struct tape_sink *sink;
	struct range *range;
	struct list_line line;
	const char *file;
	bool stop;
};

static void
say_bad(struct list_run *run, uint64_t number, const char *reason)
{
	run->t->tape.counts.bad++;
	log_warn(run->t->opt.log, "a line is left out", F_STR("file", run->file), F_UINT("line", number),
		 F_STR("reason", reason));
}

static err_t
take_line(struct list_run *run, uint64_t number, struct err_detail *why)
{
	const struct list_line *l = &run->line;
	struct tape *tape = &run->t->tape;
	struct tape_txn txn = {
	    .mark = {.file = span_of(run->file), .at = number},
	    .gtid = l->gtid,
	    .pool = l->pool,
	    .commit_us = l->time_us,
	    .holdoff_ms = l->holdoff_ms,
	};
	bool wanted = true;
	err_t err = ERR_OK;

	if (!range_is_all(run->range))
		err = tape_wants(run->range, l->gtid, l->time_us, l->is_json ? "a line" : "a plain key",
				 &wanted, why);
	if (err != ERR_OK) {
		err_wrap(why, "%s line %llu", run->file, (unsigned long long)number);
		return err;
	}
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
		return ERR_OK;
	case TAPE_SKIP:
		return ERR_OK;
	case TAPE_TAKE:
		break;
	}
	for (size_t i = 0; i < l->nkeys && !run->stop; i++)
		run->stop = !tape_give_key(tape, run->sink, l->keys[i]);
	return ERR_OK;
}

static err_t
read_file(struct list_run *run, const char *path, uint64_t before, struct err_detail *why)
{
	struct lines lines = {0};
	struct span line;
	bool more = true, whole;
	err_t err = lines_open(&lines, path, LIST_LINE_MAX, why);

	run->file = path;
	while (err == ERR_OK && !run->stop && !atomic_load(&run->t->tape.stopping)) {
		struct err_detail bad = {0};

		err = lines_next(&lines, &line, &whole, &more, why);
		if (err != ERR_OK || !more)
			break;
		atomic_store_explicit(&run->t->tape.done, before + lines.at, memory_order_relaxed);
		if (line.len >= LIST_LINE_MAX)
			err_set(&bad, ERR_BAD_RECORD, "it is longer than %d bytes", LIST_LINE_MAX);
		if (bad.code != ERR_OK || list_line_parse(&run->line, line, &bad) != ERR_OK)
			say_bad(run, lines.number, err_why(&bad));
		else if (run->line.nkeys > 0)
			err = take_line(run, lines.number, why);
	}
	lines_close(&lines);
	return err;
}

static uint64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static err_t
list_run(struct tape *tape, const struct tape_mark *from, const struct tape_sink *sink,
	 struct err_detail *why)
{
	struct tape_list *t = (struct tape_list *)tape;
	struct list_run run = {.t = t, .from = from, .sink = sink};
	uint64_t before = 0, total = 0;
	err_t err = ERR_OK;

	run.range = t->opt.make_range(t->opt.arg, t->opt.log);
	for (size_t i = 0; i < t->n; i++)
		total += size_of(t->paths[i]);
	atomic_store(&tape->total, total);
	for (size_t i = 0; i < t->n && err == ERR_OK && !run.stop && !atomic_load(&tape->stopping); i++) {
		err = read_file(&run, t->paths[i], before, why);
		before += size_of(t->paths[i]);
	}
	if (err == ERR_OK && run.from != NULL && !run.stop && !atomic_load(&tape->stopping))
		err = err_set(why, ERR_NOT_FOUND, "%.*s has no line %llu any more: the list was changed",
			      SPAN_FMT(run.from->file), (unsigned long long)run.from->at);
	list_line_fini(&run.line);
	range_seen(run.range, &tape->counts.seen_first_us, &tape->counts.seen_last_us);
	range_destroy(&run.range);
	return err;
}

static void
list_destroy(struct tape *tape)
{
	struct tape_list *t = (struct tape_list *)tape;

	for (size_t i = 0; i < t->n; i++)
		free(t->paths[i]);
	free(t->paths);
	free(t);
}

static const struct tape_ops ops = {.run = list_run, .destroy = list_destroy};

struct tape *
tape_list_create(const struct tape_options *opt, char *const *paths, size_t n)
{
	struct tape_list *t = MEM_NEW(struct tape_list);

	t->tape.ops = &ops;
	t->tape.unit = "lines";
	t->tape.noun = "line";
	t->opt = *opt;
	t->paths = mem_zalloc(n, sizeof(*t->paths));
	t->n = n;
	for (size_t i = 0; i < n; i++)
		t->paths[i] = mem_strdup(paths[i]);
	return &t->tape;
}
