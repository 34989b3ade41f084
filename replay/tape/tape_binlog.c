#include "replay/tape/tape_binlog.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "lib/core/mem.h"
#include "replay/tape/binlog_txn.h"

struct tape_binlog {
	struct tape tape;
	struct tape_options opt;
	struct file_list files;
	const struct markers_options *markers;
	struct rule_live *rules;
	uint64_t before; /* bytes of the files before the one that is read */
};

static uint64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static void
moved(void *arg, const char *file, uint64_t pos)
{
	struct tape_binlog *t = arg;

	(void)file;
	atomic_store_explicit(&t->tape.done, t->before + pos, memory_order_relaxed);
}

static err_t
read_files(struct tape_binlog *t, struct reading *reading, struct range *range, struct err_detail *why)
{
	const char **names = mem_alloc((t->files.n + 1) * sizeof(*names));
	uint64_t total = 0;
	size_t first, end;
	err_t err;

	for (size_t i = 0; i < t->files.n; i++)
		names[i] = file_list_name(t->files.paths[i]);
	err = range_files(range, names, t->files.n, &first, &end, why);
	if (err != ERR_OK)
		goto done;
	for (size_t i = first; i < end; i++)
		total += size_of(t->files.paths[i]);
	atomic_store(&t->tape.total, total);
	t->before = 0;
	for (size_t i = first; err == ERR_OK && i < end; i++) {
		err = reading_file(reading, t->files.paths[i], why);
		t->before += size_of(t->files.paths[i]);
		atomic_store(&t->tape.done, t->before);
		if (err == ERR_OK && !range_is_all(range) && range_is_over(range))
			break;
	}
	if (err == ERR_OK && !range_is_all(range))
		err = range_finish(range, why);
done:
	free(names);
	return err;
}

static err_t
binlog_run(struct tape *tape, const struct tape_mark *from, const struct tape_sink *sink,
	   struct err_detail *why)
{
	struct tape_binlog *t = (struct tape_binlog *)tape;
	struct range *range = t->opt.make_range(t->opt.arg, t->opt.log);
	struct binlog_txn txn = {
	    .tape = tape,
	    .from = from,
	    .sink = sink,
	    .source = span_of(t->opt.topology != NULL ? t->opt.topology->source.name : ""),
	    .range = range,
	    .tables = t->opt.tables,
	    .moved = moved,
	    .arg = t,
	};
	struct reading *reading = reading_create(&(struct reading_options){
	    .markers = t->markers,
	    .rules = t->rules,
	    .tables = t->opt.tables,
	    .range = range,
	    .spill_dir = t->opt.spill_dir,
	    .log = t->opt.log,
	    .take = binlog_txn_take,
	    .arg = &txn,
	});
	err_t err = read_files(t, reading, range, why);

	tape->counts.left_out = range_left_out(range);
	range_seen(range, &tape->counts.seen_first_us, &tape->counts.seen_last_us);
	if (err == ERR_CLOSED)
		err = ERR_OK;
	else if (err == ERR_OK && txn.from != NULL)
		err = err_set(why, ERR_NOT_FOUND,
			      "no transaction of the files ends at %.*s:%llu any more: these are other files",
			      SPAN_FMT(from->file), (unsigned long long)from->at);
	binlog_txn_fini(&txn);
	reading_destroy(&reading);
	range_destroy(&range);
	return err;
}

static void
binlog_destroy(struct tape *tape)
{
	struct tape_binlog *t = (struct tape_binlog *)tape;

	file_list_fini(&t->files);
	free(t);
}

static const struct tape_ops ops = {.run = binlog_run, .destroy = binlog_destroy};

struct tape *
tape_binlog_create(const struct tape_options *opt, struct file_list *files,
		   const struct markers_options *markers, struct rule_live *rules)
{
	struct tape_binlog *t = MEM_NEW(struct tape_binlog);

	t->tape.ops = &ops;
	t->tape.unit = "events";
	t->tape.noun = "transaction";
	t->opt = *opt;
	t->files = *files;
	*files = (struct file_list){0};
	t->markers = markers;
	t->rules = rules;
	return &t->tape;
}
