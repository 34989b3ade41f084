#include "squeal/doctor/canary.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "markers/comment.h"
#include "squeal/binlog/conn_mysql.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/binlog/txn.h"
#include "squeal/doctor/command.h"

enum {
	HEARTBEAT_MS = 100, /* how often we look at the clock while the binlog is quiet */
	SETTLE_MS = 500, /* after the command's end; a statement of somebody else may have looked like ours */
	SEEN_MAX = 120,	 /* bytes of a statement in findings */
};

#define TABLE "squeal_canary_"
static const char default_sql[] =
    "CREATE TABLE " TABLE "{token} (id INT PRIMARY KEY, said VARCHAR(80));\n"
    "INSERT INTO " TABLE "{token} VALUES (1, 'squeal canary row {token}') {comment};\n";

/* --- pure parts -------------------------------------------------------------------------------------------
 */

static void
put_filled(const char *sql, const char *token, const char *comment, struct buf *out)
{
	while (*sql != '\0') {
		if (strncmp(sql, "{comment}", 9) == 0) {
			buf_put_str(out, comment);
			sql += 9;
		} else if (strncmp(sql, "{token}", 7) == 0) {
			buf_put_str(out, token);
			sql += 7;
		} else {
			buf_putc(out, *sql++);
		}
	}
}

bool
canary_statement(const char *sql, const char *token, const char *comment, struct buf *out)
{
	if (sql == NULL)
		sql = default_sql;
	if (strstr(sql, "{comment}") == NULL)
		return false;
	put_filled(sql, token, comment, out);
	/* Clients read up to the semicolon. */
	if (span_trim(buf_span(out)).len > 0 &&
	    span_trim(buf_span(out)).p[span_trim(buf_span(out)).len - 1] != ';')
		buf_putc(out, ';');
	if (out->p[out->len - 1] != '\n')
		buf_putc(out, '\n');
	return true;
}

struct span
canary_mark(const char *sql)
{
	const char *at = strstr(sql, "{comment}"), *from = at, *to;
	struct span before, after;

	if (at == NULL)
		return (struct span){"", 0};
	while (from > sql && from[-1] != ';')
		from--;
	to = strchr(at + 9, ';');
	if (to == NULL)
		to = at + strlen(at);
	before = span_trim(span_make(from, (size_t)(at - from)));
	after = span_trim(span_make(at + 9, (size_t)(to - at - 9)));
	return before.len >= after.len ? before : after;
}

static bool
next_word(struct span *rest, struct span *word)
{
	size_t n = 0;

	*rest = span_trim(*rest);
	while (n < rest->len && rest->p[n] != ' ' && rest->p[n] != '\n' && rest->p[n] != '\t')
		n++;
	*word = span_first(*rest, n);
	*rest = span_from(*rest, n);
	return n > 0;
}

bool
canary_path_parse(struct span output, struct canary_path *out)
{
	static const struct span head = SPAN_LIT("squeal-path ");
	ptrdiff_t at;

	while ((at = span_find(output, head)) >= 0) {
		struct span rest, id, port, host, logged, kept, end;

		output = rest = span_from(output, (size_t)at + head.len);
		/* The heading of the column has the question in it, which does not go on with a number. */
		if (rest.len == 0 || rest.p[0] < '0' || rest.p[0] > '9')
			continue;
		if (!next_word(&rest, &id) || !next_word(&rest, &port) || !next_word(&rest, &host) ||
		    !next_word(&rest, &logged) || !next_word(&rest, &kept) || !next_word(&rest, &end) ||
		    !span_starts(end, SPAN_LIT("end")))
			continue;
		snprintf(out->server, sizeof(out->server), "server_id %.*s, port %.*s, host %.*s",
			 SPAN_FMT(id), SPAN_FMT(port), SPAN_FMT(span_first(host, 200)));
		/* MariaDB writes ON, MySQL 1. */
		out->logged = span_is(logged, "1") || span_ieq(logged, SPAN_LIT("ON"));
		out->kept = span_is(kept, "kept");
		return true;
	}
	return false;
}

/* --- the binlog -------------------------------------------------------------------------------------------
 */

struct watch {
	const struct canary *opt;
	struct comment_parser parser;
	struct span key;
	struct span mark; /* of the statement without its comment; it may have {token} in it, so: filled */
	bool key_here;	  /* in the open transaction */
	bool middle_here;
	bool bare_here;
	bool arrived, rolled_back, in_the_middle, bare; /* in transactions that ended */
	char seen[SEEN_MAX + 4];
};

static err_t
on_key(void *arg, struct span key, const struct comment_group *group)
{
	struct watch *w = arg;

	if (span_eq(key, w->key))
		w->key_here = true;
	return ERR_OK;
}

static err_t
on_marker(void *arg, struct span key, const struct comment_group *group)
{
	return ERR_OK;
}

static void
on_issue(void *arg, const struct comment_issue *issue)
{
}

static err_t
on_statement(void *arg, struct span sql)
{
	static const struct comment_ops ops = {on_key, on_marker, on_issue};
	struct watch *w = arg;
	bool before = w->key_here, ours = false;
	err_t err = comment_parse(&w->parser, sql, 0, &ops, w, NULL);

	if (err != ERR_OK || w->key_here != before)
		return err;
	if (span_find(sql, w->key) >= 0)
		ours = w->middle_here = true;
	else if (w->mark.len > 0 && span_find(sql, w->mark) >= 0)
		ours = w->bare_here = true;
	if (ours)
		snprintf(w->seen, sizeof(w->seen), "%.*s%s", SPAN_FMT(span_first(sql, SEEN_MAX)),
			 sql.len > SEEN_MAX ? "..." : "");
	return ERR_OK;
}

static err_t
on_begin(void *arg, const struct txn_begin *b)
{
	struct watch *w = arg;

	w->key_here = w->middle_here = w->bare_here = false;
	return ERR_OK;
}

static err_t
on_commit(void *arg, const struct txn_end *e)
{
	struct watch *w = arg;

	w->arrived |= w->key_here;
	w->in_the_middle |= w->middle_here;
	w->bare |= w->bare_here;
	return ERR_OK;
}

static err_t
on_rollback(void *arg, const struct txn_end *e)
{
	struct watch *w = arg;

	w->rolled_back |= w->key_here;
	return ERR_OK;
}

static err_t
on_savepoint(void *arg, struct span name)
{
	return ERR_OK;
}

static err_t
on_moved(void *arg, const struct txn_place *place)
{
	return ERR_OK;
}

/* Reads until the canary has arrived, or it is clear that it will not. */
static err_t
follow(struct watch *w, struct source *src, struct command *command, struct binlog_metrics *metrics,
       uint64_t until_ms, struct err_detail *why)
{
	static const struct txn_ops ops = {
	    .begin = on_begin,
	    .statement = on_statement,
	    .savepoint = on_savepoint,
	    .rollback_to = on_savepoint,
	    .commit = on_commit,
	    .rollback = on_rollback,
	    .moved = on_moved,
	};
	struct txn *txn = txn_create(&ops, w, metrics);
	struct binlog_decoder decoder;
	uint64_t ended_ms = 0;
	err_t err = ERR_OK;

	binlog_decoder_init(&decoder, w->opt->topo->source.max_event, metrics);
	binlog_decoder_start(&decoder, src->info.file, src->info.pos, src->info.checksum);
	while (!w->arrived) {
		uint64_t now_ms = clock_mono_ms(w->opt->clock);
		struct binlog_event ev;
		struct span bytes;

		if (ended_ms == 0 && command_ended(command)) {
			ended_ms = now_ms;
			if (command->status != 0)
				break;
		}
		if (now_ms >= until_ms)
			break;
		if (ended_ms != 0 && (w->bare || w->in_the_middle || w->rolled_back) &&
		    now_ms >= ended_ms + SETTLE_MS)
			break;
		err = source_next(src, &bytes, why);
		if (err == ERR_OK)
			err = binlog_decode(&decoder, bytes, &ev, why);
		if (err == ERR_OK)
			err = txn_feed(txn, &ev, why);
		if (err != ERR_OK)
			break;
	}
	binlog_decoder_fini(&decoder);
	txn_destroy(&txn);
	return err;
}

/* --- the way ----------------------------------------------------------------------------------------------
 */

static void
put_question(const char *token, const char *tag, struct buf *out)
{
	/* The text that is looked for must not stand in the question itself. */
	buf_printf(out,
		   "SELECT CONCAT('squeal-path ', @@server_id, ' ', @@port, ' ', @@hostname, ' ', "
		   "@@session.sql_log_bin, ' ', IF(INFO LIKE CONCAT('%%squeal:path', ':%s%%'), 'kept', "
		   "'gone'), ' end') "
		   "FROM information_schema.processlist WHERE ID = CONNECTION_ID() /*%s='squeal:path:%s'*/",
		   token, tag, token);
}

/* The name of the program, and whether it is a client that strips comments unless told not to. */
static void
look_at_command(const struct canary *opt, struct doctor_facts *facts)
{
	char *copy = mem_strdup(opt->command[0]);
	const char *name = basename(copy);
	bool comments = false;

	for (char *const *arg = opt->command + 1; *arg != NULL; arg++)
		comments |= strcmp(*arg, "--comments") == 0 || strcmp(*arg, "-c") == 0;
	doctor_fact_printf(facts, "command.name", "%s", name);
	doctor_fact_printf(facts, "command.cli", "%d",
			   strcmp(name, "mariadb") == 0 || strcmp(name, "mysql") == 0);
	doctor_fact_printf(facts, "command.comments", "%d", comments);
	free(copy);
}

/* Runs the command with a text; false with a complaint in `out`, or true with its output there. */
static bool
run_command(const struct canary *opt, const char *input, struct buf *out)
{
	struct command command = COMMAND_INIT;
	struct err_detail why = {0};
	bool fine = false;

	if (command_start(&command, opt->command, span_of(input), &why) != ERR_OK) {
		buf_put_str(out, err_why(&why));
		goto done;
	}
	command_wait(&command, opt->clock, clock_mono_ms(opt->clock) + opt->timeout_ms);
	command_complaint(&command, out);
	fine = out->len == 0;
	if (fine)
		command_output(&command, out);
done:
	command_fini(&command);
	return fine;
}

static void
ask_the_way(const struct canary *opt, const char *token, struct doctor_facts *facts)
{
	struct conn *conn = conn_create(&opt->topo->source);
	struct buf question = BUF_INIT, output = BUF_INIT;
	struct canary_path path, own = {0};
	struct err_detail why = {0};
	bool has_path, has_own = false;

	put_question(token, opt->topo->markers.tag, &question);
	if (conn_open(conn, &why) == ERR_OK && conn_value(conn, buf_str(&question), &output, &why) == ERR_OK)
		has_own = canary_path_parse(buf_span(&output), &own);
	if (has_own)
		doctor_fact_printf(
		    facts, "own.text", "%s",
		    own.kept ? " (doctor's own connection keeps comments, so the server does not strip them)"
			     : " (from doctor's own connection it is gone too: the server, or a proxy that "
			       "both use)");
	else
		doctor_fact_printf(facts, "own.text", "%s", "");
	buf_clear(&output);
	buf_put_str(&question, ";\n");
	has_path =
	    run_command(opt, buf_str(&question), &output) && canary_path_parse(buf_span(&output), &path);
	if (has_path) {
		doctor_fact_printf(facts, "path.comment", "%d", path.kept);
		doctor_fact_printf(facts, "path.sql_log_bin", "%d", path.logged);
		doctor_fact_printf(facts, "path.server", "%s", path.server);
	}
	if (has_path && has_own)
		doctor_fact_printf(facts, "path.same_server", "%d", strcmp(path.server, own.server) == 0);
	conn_destroy(&conn);
	buf_fini(&question);
	buf_fini(&output);
}

static void
clean_up(const struct canary *opt, const char *token, struct doctor_facts *facts)
{
	struct buf complaint = BUF_INIT;
	char sql[100];

	snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS " TABLE "%s;\n", token);
	doctor_fact_printf(facts, "canary.table", TABLE "%s", token);
	if (run_command(opt, sql, &complaint))
		buf_clear(&complaint);
	doctor_fact_put(facts, "canary.left", buf_span(&complaint));
	buf_fini(&complaint);
}

/* --- the run ----------------------------------------------------------------------------------------------
 */

static const char *
result_of(const struct watch *w)
{
	return w->arrived	  ? "arrived"
	       : w->rolled_back	  ? "rolled_back"
	       : w->in_the_middle ? "in_the_middle"
	       : w->bare	  ? "stripped"
				  : "nothing";
}

void
canary_run(const struct canary *opt, struct doctor_facts *facts)
{
	struct source_options options = opt->topo->source;
	struct buf sql = BUF_INIT, key = BUF_INIT, mark = BUF_INIT, complaint = BUF_INIT;
	struct watch watch = {.opt = opt};
	struct binlog_metrics metrics = {0};
	struct command command = COMMAND_INIT;
	struct err_detail why = {0};
	struct source *src;
	char token[17], comment[200], region[60], *plain_mark;
	uint64_t began_ms, took_ms = 0;
	err_t err;

	snprintf(token, sizeof(token), "%016llx", (unsigned long long)opt->random);
	buf_printf(&key, "squeal:canary:%s", token);
	snprintf(comment, sizeof(comment), "/*%.80s='%s'*/", opt->topo->markers.tag, buf_str(&key));
	canary_statement(opt->sql, token, comment, &sql);
	plain_mark =
	    opt->sql != NULL ? span_dup(canary_mark(opt->sql)) : mem_strdup("squeal canary row {token}");
	put_filled(plain_mark, token, "", &mark);
	watch.key = buf_span(&key);
	watch.mark = buf_span(&mark);

	/* Not the daemon's id, or the two would throw each other out. */
	options.server_id = 0;
	options.heartbeat = HEARTBEAT_MS;
	snprintf(region, sizeof(region), "doctor %s", token);
	src = source_mysql_create(&options, region);
	look_at_command(opt, facts);
	doctor_fact_printf(facts, "canary.key", "%s", buf_str(&key));
	doctor_fact_printf(facts, "canary.timeout_ms", "%llu", (unsigned long long)opt->timeout_ms);
	err = comment_parser_init(&watch.parser, span_of(opt->topo->markers.tag), opt->topo->markers.anywhere,
				  &why);
	if (err == ERR_OK)
		err = source_open(src, SPAN_LIT("now"), &why);
	if (err != ERR_OK)
		goto done;
	began_ms = clock_mono_ms(opt->clock);
	if (command_start(&command, opt->command, buf_span(&sql), &why) != ERR_OK) {
		doctor_fact_printf(facts, "canary.command_error", "%s", err_why(&why));
		goto done;
	}
	err = follow(&watch, src, &command, &metrics, began_ms + opt->timeout_ms, &why);
	took_ms = clock_mono_ms(opt->clock) - began_ms;
	command_wait(&command, opt->clock, began_ms + opt->timeout_ms);
	command_complaint(&command, &complaint);
	if (complaint.len > 0)
		doctor_fact_put(facts, "canary.command_error", buf_span(&complaint));
	doctor_fact_printf(facts, "canary.result", "%s", result_of(&watch));
	doctor_fact_printf(facts, "canary.ms", "%llu", (unsigned long long)took_ms);
	doctor_fact_printf(facts, "canary.seen", "%s", watch.seen);
	doctor_fact_printf(facts, "canary.rows_without_text", "%llu",
			   (unsigned long long)metric_get(&metrics.binlog_rows_no_text));
	source_close(src);
	if (!watch.arrived && complaint.len == 0)
		ask_the_way(opt, token, facts);
	if (opt->sql == NULL)
		clean_up(opt, token, facts);
done:
	if (err != ERR_OK)
		doctor_fact_sentence(facts, "canary.stream_error", err_why(&why));
	command_fini(&command);
	source_destroy(&src);
	free(plain_mark);
	buf_fini(&sql);
	buf_fini(&key);
	buf_fini(&mark);
	buf_fini(&complaint);
}
