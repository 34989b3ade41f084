#include "squeal/keys/keys.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "squeal/keys/keyline.h"
#include "squeal/keys/reading.h"

enum { OUT_CHUNK = 256 << 10 };

struct run {
	const struct keys_options *opt;
	struct reading *reading;
	struct keyline line;
	struct buf out;
};

static err_t
flush(struct run *run, struct err_detail *why)
{
	struct span left = buf_span(&run->out);

	while (left.len > 0) {
		ssize_t n = write(run->opt->out, left.p, left.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(why, ERR_IO, "the output cannot be written: %s", strerror(errno));
		left = span_from(left, (size_t)n);
	}
	buf_clear(&run->out);
	return ERR_OK;
}

static err_t
take(void *arg, const struct reading_txn *t, struct err_detail *why)
{
	struct run *run = arg;
	struct keyline_extra extra = {
	    .rows = run->opt->count_rows ? &t->rows : NULL,
	    .sources = t->sources,
	    .keys = t->keys,
	    .xa_unknown = t->xa_unknown,
	};
	err_t err = keyline_put(&run->line, t->end, &extra, &run->out, why);

	return err == ERR_OK && run->out.len >= OUT_CHUNK ? flush(run, why) : err;
}

err_t
keys_run(const struct keys_options *opt, const struct file_list *files, struct err_detail *why)
{
	const char **names = mem_alloc((files->n + 1) * sizeof(*names));
	struct run run = {.opt = opt};
	struct err_detail flush_why = {0};
	size_t first, end;
	err_t err, flushed;

	run.reading = reading_create(&(struct reading_options){
	    .markers = opt->markers,
	    .rules = opt->rules,
	    .count_rows = opt->count_rows,
	    .sources = opt->sources,
	    .range = opt->range,
	    .spill_dir = opt->spill_dir,
	    .log = opt->log,
	    .take = take,
	    .arg = &run,
	});
	for (size_t i = 0; i < files->n; i++)
		names[i] = file_list_name(files->paths[i]);
	err = range_files(opt->range, names, files->n, &first, &end, why);
	for (size_t i = first; err == ERR_OK && i < end; i++) {
		keyline_enter_file(&run.line, names[i]);
		err = reading_file(run.reading, files->paths[i], why);
		if (err == ERR_OK && !range_is_all(opt->range) && range_is_over(opt->range))
			break;
	}
	if (err == ERR_OK && !range_is_all(opt->range))
		err = range_finish(opt->range, why);
	/* What came before an error is good. */
	flushed = err == ERR_IO ? err : flush(&run, &flush_why);
	if (err == ERR_OK && flushed != ERR_OK)
		err = err_set(why, flushed, "%s", err_why(&flush_why));
	reading_destroy(&run.reading);
	keyline_fini(&run.line);
	buf_fini(&run.out);
	free(names);
	return err;
}
