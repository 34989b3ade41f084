#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/clock.h"
#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/mem.h"
#include "markers/comment.h"
#include "squeal/binlog/rows.h"
#include "squeal/binlog/source_file.h"
#include "squeal/binlog/txn.h"
#include "squeal/cmd.h"
#include "squeal/gather.h"
#include "squeal/shelf.h"

enum { KEYS_MEMORY = 32 * 1024 * 1024, KEYS_MAX_EVENT = 1 << 30, OUT_CHUNK = 256 * 1024 };

/* One run over the files of the command line. */
struct keys_run {
	struct log *log;
	struct binlog_metrics binlog;
	struct gather_metrics metrics;
	struct gather *gather;
	struct shelf *shelf; /* prepared XA transactions */
	struct buf out;
	struct buf text;
	bool failed; /* standard output cannot be written */

	/* --rules: keys of rows as well */
	struct rule_live rules;
	bool has_rules;
	struct rule_metrics rule_metrics;

	/* --rows: what changed is read too */
	struct rows *rows; /* NULL without it */
	uint64_t nrows;	   /* of the transaction that is read */
	struct err_detail rows_why;
};

static void
flush(struct keys_run *run)
{
	if (run->out.len > 0 && fwrite(run->out.p, 1, run->out.len, stdout) != run->out.len)
		run->failed = true;
	buf_clear(&run->out);
}

/* The keys of one kind as an array; the order is that of the statements.  NULL: none. */
static err_t
put_keys(struct json *j, const struct queue_item *it, enum key_kind wanted, struct err_detail *why)
{
	struct keyset_cursor cursor = KEYSET_CURSOR_INIT;
	enum key_kind kind;
	struct span key;
	bool more = true;
	err_t err = ERR_OK;

	json_array(j);
	while (it != NULL) {
		err = keyset_next(&it->keys, &cursor, &kind, &key, &more, why);
		if (err != ERR_OK || !more)
			break;
		if (kind == wanted)
			json_span(j, key);
	}
	json_array_end(j);
	keyset_cursor_fini(&cursor);
	return err;
}

/* Members that only XA transactions have.  The keys stand in the line of XA COMMIT. */
static void
put_xa(struct json *j, const struct queue_item *it, bool unknown, struct buf *text)
{
	static const char *const ends[] = {
	    [QUEUE_PREPARED] = "prepare", [QUEUE_XA_COMMIT] = "commit", [QUEUE_XA_ROLLBACK] = "rollback"};

	buf_clear(text);
	xid_format(it->xid, text);
	json_kv_str(j, "xa", ends[it->kind]);
	json_name(j, "xid");
	json_span(j, buf_span(text));
	if (unknown)
		json_kv_bool(j, "xa_unknown", true);
}

/* One JSON line: {"file":…,"pos":…,"gtid":…,"time_us":…,"keys":[…]} and what else its comments said. */
static bool
emit(void *arg, struct queue_item *it)
{
	struct keys_run *run = arg;
	struct err_detail why = {0};
	const struct queue_item *keys; /* whose keys this line has; NULL for none */
	struct queue_item *kept;
	struct json j;

	if (it->whole != NULL) {
		queue_item_destroy(&it);
		return true;
	}
	kept = it->xid != NULL ? shelf_take(run->shelf, it->xid) : NULL;
	keys = it->kind == QUEUE_COMMIT ? it : shelf_delivers(kept, it->kind) ? kept : NULL;
	buf_clear(&run->text);
	gtid_format(&it->gtid, &run->text);
	json_init(&j, &run->out);
	json_object(&j);
	json_kv_str(&j, "file", it->file != NULL ? it->file->text : NULL);
	json_kv_u64(&j, "pos", it->pos);
	json_name(&j, "gtid");
	if (run->text.len > 0)
		json_span(&j, buf_span(&run->text));
	else
		json_null(&j);
	json_kv_u64(&j, "time_us", it->commit_us);
	json_name(&j, "keys");
	if (put_keys(&j, keys, KEY_DELETE, &why) != ERR_OK)
		run->failed = true;
	if (keys != NULL && keys->holdoff_ms > 0)
		json_kv_u64(&j, "holdoff_ms", keys->holdoff_ms);
	if (keys != NULL && keys->pool != NULL)
		json_kv_str(&j, "pool", keys->pool);
	if (run->rows != NULL)
		json_kv_u64(&j, "rows", run->nrows);
	json_name(&j, "markers");
	if (put_keys(&j, keys, KEY_MARKER, &why) != ERR_OK)
		run->failed = true;
	if (it->xid != NULL)
		put_xa(&j, it, it->kind == QUEUE_XA_COMMIT && kept == NULL, &run->text);
	json_object_end(&j);
	buf_putc(&run->out, '\n');
	queue_item_destroy(&kept);
	if (it->kind == QUEUE_PREPARED)
		shelf_put(run->shelf, it);
	else
		queue_item_destroy(&it);
	if (run->out.len >= OUT_CHUNK)
		flush(run);
	return !run->failed;
}

/* --- with --rows, between the transactions and what gathers their keys ------------------------------------
 */

static err_t
rows_on_begin(void *arg, const struct txn_begin *b)
{
	struct keys_run *run = arg;

	run->nrows = 0;
	return gather_ops.begin(run->gather, b);
}

static err_t
rows_on_statement(void *arg, struct span sql)
{
	return gather_ops.statement(((struct keys_run *)arg)->gather, sql);
}

static err_t
rows_on_savepoint(void *arg, struct span name)
{
	return gather_ops.savepoint(((struct keys_run *)arg)->gather, name);
}

static err_t
rows_on_rollback_to(void *arg, struct span name)
{
	return gather_ops.rollback_to(((struct keys_run *)arg)->gather, name);
}

static err_t
rows_on_commit(void *arg, const struct txn_end *e)
{
	return gather_ops.commit(((struct keys_run *)arg)->gather, e);
}

static err_t
rows_on_rollback(void *arg, const struct txn_end *e)
{
	return gather_ops.rollback(((struct keys_run *)arg)->gather, e);
}

static err_t
rows_on_moved(void *arg, const struct txn_place *place)
{
	return gather_ops.moved(((struct keys_run *)arg)->gather, place);
}

static err_t
rows_on_rows(void *arg, const struct binlog_event *ev, const struct table *t)
{
	struct keys_run *run = arg;
	struct row row;
	bool more = true;
	err_t err = rows_open(run->rows, ev, t, &run->rows_why);

	while (err == ERR_OK && more) {
		err = rows_next(run->rows, &row, &more, &run->rows_why);
		run->nrows += err == ERR_OK && more;
	}
	if (err == ERR_OK && run->has_rules)
		err = gather_row_ops.rows(run->gather, ev, t);
	return err;
}

static err_t
rows_on_without_rows(void *arg, struct span sql)
{
	struct keys_run *run = arg;

	return run->has_rules ? gather_row_ops.without_rows(run->gather, sql) : ERR_OK;
}

static const struct txn_ops rows_ops = {
    .begin = rows_on_begin,
    .statement = rows_on_statement,
    .savepoint = rows_on_savepoint,
    .rollback_to = rows_on_rollback_to,
    .commit = rows_on_commit,
    .rollback = rows_on_rollback,
    .moved = rows_on_moved,
    .rows = rows_on_rows,
    .without_rows = rows_on_without_rows,
};

/* The file's base name is what positions name. */
static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static err_t
read_file(struct keys_run *run, const char *path, struct err_detail *why)
{
	struct source *src = source_file_create(path, KEYS_MAX_EVENT);
	struct txn *txn = run->rows != NULL ? txn_create(&rows_ops, run, &run->binlog)
			  : run->has_rules  ? txn_create(&gather_row_ops, run->gather, &run->binlog)
					    : txn_create(&gather_ops, run->gather, &run->binlog);
	struct binlog_decoder decoder;
	err_t err;

	binlog_decoder_init(&decoder, KEYS_MAX_EVENT, &run->binlog);
	err = source_open(src, (struct span){"", 0}, why);
	if (err != ERR_OK)
		goto done;
	binlog_decoder_start(&decoder, src->info.file.len > 0 ? src->info.file : span_of(base_name(path)),
			     src->info.pos, src->info.checksum);
	gather_start(run->gather, gather_position(run->gather));
	for (;;) {
		struct binlog_event ev;
		struct span bytes;

		err = source_next(src, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		err = txn_read(txn, &decoder, bytes, &ev, why);
		if (err != ERR_OK)
			break;
	}
	if (err == ERR_OK && source_file_tail(src) > 0)
		log_warn(run->log, "the file ends inside an event", F_STR("file", path),
			 F_UINT("left_bytes", source_file_tail(src)),
			 F_STR("do", source_file_in_use(src)
					 ? "it is being written, or its server crashed; the rest may follow"
					 : "it was cut short: copy it again"));
	if (err == ERR_OK && txn_is_open(txn))
		log_warn(run->log, "the file ends inside a transaction, which is left out",
			 F_STR("file", path));
	if (run->rows_why.code != ERR_OK)
		err_set(why, err, "%s", err_why(&run->rows_why));
	if (err != ERR_OK && gather_why(run->gather)->code == err)
		err_set(why, err, "%s", err_why(gather_why(run->gather)));
	if (err == ERR_CLOSED && run->failed)
		err = err_set(why, ERR_IO, "standard output cannot be written");
done:
	if (err != ERR_OK)
		err_wrap(why, "%s at %llu", path, (unsigned long long)decoder.pos);
	binlog_decoder_fini(&decoder);
	txn_destroy(&txn);
	source_destroy(&src);
	return err;
}

int
cmd_keys(int argc, char **argv)
{
	enum { OPT_TAG = 256, OPT_ANYWHERE, OPT_ROWS, OPT_RULES };
	static const struct option longs[] = {
	    {"tag", required_argument, NULL, OPT_TAG},
	    {"anywhere", no_argument, NULL, OPT_ANYWHERE},
	    {"rows", no_argument, NULL, OPT_ROWS},
	    {"rules", required_argument, NULL, OPT_RULES},
	    {NULL, 0, NULL, 0},
	};
	struct markers_options markers = {.tag = "inv"};
	struct err_detail why = {0};
	struct comment_parser parser;
	struct keys_run *run;
	int exit_code = CMD_OK;
	bool count_rows = false;
	const char *rules = NULL;
	const char *tmp = getenv("TMPDIR");
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case OPT_TAG:
			markers.tag = optarg;
			break;
		case OPT_ANYWHERE:
			markers.anywhere = true;
			break;
		case OPT_ROWS:
			count_rows = true;
			break;
		case OPT_RULES:
			rules = optarg;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (optind >= argc)
		return cmd_usage("keys needs at least one binlog file: squeal keys mariadb-bin.000001");
	if (comment_parser_init(&parser, span_of(markers.tag), markers.anywhere, &why) != ERR_OK)
		return cmd_usage("--tag: %s", err_why(&why));
	run = mem_zalloc(1, sizeof(*run));
	run->rows = count_rows ? rows_create(KEYS_MAX_EVENT) : NULL;
	rule_live_init(&run->rules, NULL);
	run->has_rules = rules != NULL;
	if (run->has_rules && rule_live_load(&run->rules, rules, &why) != ERR_OK) {
		fprintf(stderr, "squeal keys: %s\n", err_why(&why));
		exit_code = CMD_CONFIG;
	}
	run->shelf = shelf_create();
	run->log = log_create("squeal keys", LOG_INFO, clock_system(), NULL, NULL);
	run->gather = gather_create(&(struct gather_parts){
	    .clock = clock_system(),
	    .log = run->log,
	    .emit = emit,
	    .arg = run,
	    .each = true,
	    .metrics = &run->metrics,
	    .markers = &markers,
	    .spill_dir = tmp != NULL ? tmp : "/tmp",
	    .txn_memory = KEYS_MEMORY,
	    .rules = run->has_rules ? &run->rules : NULL,
	    .rule_metrics = &run->rule_metrics,
	    .max_event = KEYS_MAX_EVENT,
	});
	for (int i = optind; i < argc && exit_code == CMD_OK; i++) {
		if (read_file(run, argv[i], &why) != ERR_OK) {
			flush(run);
			fprintf(stderr, "squeal keys: %s\n", err_why(&why));
			exit_code = CMD_FAILED;
		}
	}
	flush(run);
	if (fflush(stdout) != 0 || run->failed)
		exit_code = CMD_FAILED;
	gather_destroy(&run->gather);
	shelf_destroy(&run->shelf);
	rows_destroy(&run->rows);
	rule_live_fini(&run->rules);
	log_destroy(&run->log);
	buf_fini(&run->out);
	buf_fini(&run->text);
	free(run);
	return exit_code;
}
