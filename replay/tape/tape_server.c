#include "replay/tape/tape_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/core/mem.h"
#include "replay/tape/binlog_txn.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/pause.h"
#include "squeal/schema/schema_mysql.h"

enum { LINK_TRIES = 5, PAUSE_MS = 500 };

struct tape_server {
	struct tape tape;
	struct tape_options opt;
	struct source_options source_opt; /* the topology's, with a server id of our own */
	struct rule_live *rules;
	char region[64];
	struct source *source;
	struct schema_metrics schema_metrics;
};

/* Where to begin: as late as the range allows. */
static void
put_start(struct range *range, struct buf *out)
{
	const char *start = range_text(range, RANGE_START_GTID);
	struct position at = {0};
	struct gtid single;
	struct err_detail ignored = {0};

	/* One MySQL id stands for everything up to it in the order of the files: only a scan finds it. */
	if (start != NULL && gtid_parse(span_of(start), &single, &ignored) == ERR_OK &&
	    single.kind == GTID_MYSQL)
		start = NULL;
	err_clear(&ignored);
	if (start != NULL && position_parse(span_of(start), &at, &ignored) == ERR_OK)
		position_format(&at, out);
	else
		buf_put_str(out, "earliest");
	position_fini(&at);
}

static err_t
read_server(struct tape_server *t, struct reading *reading, struct range *range, struct err_detail *why)
{
	struct buf from = BUF_INIT;
	struct position before = {0};
	unsigned failures = 0;
	err_t err;

	put_start(range, &from);
	for (;;) {
		struct err_detail lost = {0};

		err = reading_server(reading, t->source, buf_span(&from), &lost);
		if (err == ERR_OK || err == ERR_CLOSED)
			break;
		/* Something came since the last try: it was worth it. */
		if (!position_same(&before, reading_position(reading)))
			failures = 0;
		position_copy(&before, reading_position(reading));
		if ((err != ERR_CONN && err != ERR_TIMEOUT) || before.kind == POSITION_EMPTY ||
		    ++failures >= LINK_TRIES) {
			err_set(why, err, "%s", err_why(&lost));
			break;
		}
		log_warn(t->opt.log, "the link to the database was lost; it is made anew",
			 F_STR("reason", err_why(&lost)));
		buf_clear(&from);
		position_format(&before, &from);
		pause_ms(&t->tape.stopping, PAUSE_MS);
	}
	if (err == ERR_OK && !range_is_all(range))
		err = range_finish(range, why);
	position_fini(&before);
	buf_fini(&from);
	return err;
}

static err_t
server_run(struct tape *tape, const struct tape_mark *from, const struct tape_sink *sink,
	   struct err_detail *why)
{
	struct tape_server *t = (struct tape_server *)tape;
	const struct topology *topo = t->opt.topology;
	struct range *range = t->opt.make_range(t->opt.arg, t->opt.log);
	struct binlog_txn txn = {
	    .tape = tape,
	    .from = from,
	    .sink = sink,
	    .source = span_of(topo->source.name),
	    .range = range,
	    .tables = t->opt.tables,
	};
	struct schema_mysql *columns = NULL;
	struct schema *schema = NULL;
	struct reading *reading = NULL;
	err_t err = ERR_OK;

	if (t->rules != NULL) {
		columns = schema_mysql_create(&t->source_opt, t->source);
		err = schema_open(&schema,
				  &(struct schema_parts){
				      .ops = &schema_mysql_ops,
				      .arg = columns,
				      .log = t->opt.log,
				      .metrics = &t->schema_metrics,
				  },
				  why);
	}
	if (err == ERR_OK) {
		reading = reading_create(&(struct reading_options){
		    .markers = &topo->markers,
		    .rules = t->rules,
		    .schema = schema,
		    .tables = t->opt.tables,
		    .range = range,
		    .spill_dir = t->opt.spill_dir,
		    .log = t->opt.log,
		    .take = binlog_txn_take,
		    .arg = &txn,
		});
		err = read_server(t, reading, range, why);
	}
	tape->counts.left_out = range_left_out(range);
	range_seen(range, &tape->counts.seen_first_us, &tape->counts.seen_last_us);
	if (err == ERR_CLOSED)
		err = ERR_OK;
	else if (err == ERR_OK && txn.from != NULL)
		err = err_set(
		    why, ERR_NOT_FOUND,
		    "no transaction of the server's binlog ends at %.*s:%llu any more: it was purged, or "
		    "this is another server",
		    SPAN_FMT(from->file), (unsigned long long)from->at);
	binlog_txn_fini(&txn);
	reading_destroy(&reading);
	schema_close(&schema);
	schema_mysql_destroy(&columns);
	range_destroy(&range);
	return err;
}

static void
server_stop(struct tape *tape)
{
	source_interrupt(((struct tape_server *)tape)->source);
}

static void
server_destroy_tape(struct tape *tape)
{
	struct tape_server *t = (struct tape_server *)tape;

	source_destroy(&t->source);
	free(t);
}

static const struct tape_ops ops = {.run = server_run, .stop = server_stop, .destroy = server_destroy_tape};

struct tape *
tape_server_create(const struct tape_options *opt, struct rule_live *rules, uint64_t nonce)
{
	struct tape_server *t = MEM_NEW(struct tape_server);

	t->tape.ops = &ops;
	t->tape.unit = "events";
	t->tape.noun = "transaction";
	t->opt = *opt;
	t->source_opt = opt->topology->source;
	t->source_opt.server_id = 0;
	t->rules = rules;
	snprintf(t->region, sizeof(t->region), "replay %llx", (unsigned long long)nonce);
	t->source = source_mysql_create(&t->source_opt, t->region);
	source_mysql_stop_at_end(t->source);
	if (rules != NULL)
		source_mysql_need_rows(t->source);
	if (opt->topology->markers.rules_only)
		source_mysql_without_texts(t->source);
	return &t->tape;
}
