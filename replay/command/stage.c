#include "replay/command/stage.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/file.h"
#include "lib/core/hash.h"
#include "replay/tape/tape_binlog.h"
#include "replay/tape/tape_list.h"
#include "replay/tape/tape_log.h"
#include "replay/tape/tape_server.h"
#include "replay/tape/tape_spool.h"

enum { RULES_FILE_MAX = 16 << 20 };

/* The texts were looked at when the arguments were read. */
static struct range *
make_range(void *arg, struct log *log)
{
	const struct arguments *a = arg;
	struct range *range = range_create(log);
	struct err_detail why = {0};

	for (int i = 0; i < RANGE_NBOUNDS; i++) {
		if (a->bounds[i] != NULL &&
		    range_set(range, (enum range_bound)i, a->bounds[i], &why) != ERR_OK)
			abort();
	}
	return range;
}

static err_t
add_patterns(struct patterns *p, enum pattern_kind kind, const struct names *from, const char *option,
	     struct err_detail *why)
{
	err_t err = ERR_OK;

	for (size_t i = 0; i < from->n && err == ERR_OK; i++)
		err = patterns_add(p, kind, from->at[i], why);
	if (err != ERR_OK)
		err_wrap(why, "%s", option);
	return err;
}

static err_t
make_filter(struct stage *s, struct err_detail *why)
{
	const struct arguments *a = s->args;
	err_t err = add_patterns(&s->filter.keys, PATTERN_GLOB, &a->keys, "--key", why);

	if (err == ERR_OK)
		err = add_patterns(&s->filter.keys, PATTERN_REGEX, &a->key_regexes, "--key-regex", why);
	if (err == ERR_OK)
		err = add_patterns(&s->filter.except, PATTERN_GLOB, &a->except, "--not-key", why);
	if (err == ERR_OK)
		err = add_patterns(&s->filter.tables, PATTERN_GLOB, &a->tables, "--table", why);
	if (err == ERR_OK)
		err = add_patterns(&s->filter.sources, PATTERN_GLOB, &a->sources, "--source", why);
	return err;
}

static err_t
make_targets(struct stage *s, struct err_detail *why)
{
	const struct arguments *a = s->args;

	return targets_create(&s->targets, s->topology,
			      &(struct targets_options){
				  .clusters = a->clusters.at,
				  .nclusters = a->clusters.n,
				  .pools = a->pools.at,
				  .npools = a->pools.n,
				  .servers = a->servers.at,
				  .nservers = a->servers.n,
				  .stale_ms = (uint32_t)a->plan.stale,
				  .holdoff_ms = (uint32_t)a->plan.holdoff,
				  .now = standings_now(s->standings),
			      },
			      why);
}

/* --- the tape ---------------------------------------------------------------------------------------------
 */

static err_t
make_binlog(struct stage *s, const struct tape_options *opt, struct err_detail *why)
{
	struct file_list files = {0};
	err_t err = ERR_OK;

	for (size_t i = 0; i < s->args->paths.n && err == ERR_OK; i++)
		err = file_list_add(&files, s->args->paths.at[i], why);
	if (err == ERR_OK) {
		buf_printf(&s->what, "%zu binlog file%s, %s", files.n, files.n == 1 ? "" : "s",
			   file_list_name(files.paths[0]));
		if (files.n > 1)
			buf_printf(&s->what, " to %s", file_list_name(files.paths[files.n - 1]));
		s->tape =
		    tape_binlog_create(opt, &files, &s->topology->markers, s->has_rules ? &s->rules : NULL);
	}
	file_list_fini(&files);
	return err;
}

static void
make_log(struct stage *s, const struct tape_options *opt)
{
	const struct tape_log_options log_opt = {
	    .partition = (uint32_t)s->args->plan.partition,
	    .start = s->args->plan.start_offset,
	    .stop = s->args->plan.stop_offset,
	};

	if (strcmp(s->topology->log.type, "kafka") == 0)
		buf_printf(&s->what, "partition %u of topic %s", (unsigned)log_opt.partition,
			   s->topology->log.topic);
	else
		buf_printf(&s->what, "the log %s", s->topology->log.path);
	s->tape = tape_log_create(opt, &log_opt);
}

static void
describe_server(struct stage *s)
{
	const struct source_options *o = &s->topology->source;

	buf_put_str(&s->what, "the binlog of ");
	if (o->endpoints[0] != '\0')
		buf_put_str(&s->what, o->endpoints);
	else if (o->socket[0] != '\0')
		buf_put_str(&s->what, o->socket);
	else
		buf_printf(&s->what, "%s:%u", o->host, (unsigned)o->port);
}

static err_t
make_tape(struct stage *s, const struct tape_options *opt, const char *list, uint64_t nonce,
	  struct err_detail *why)
{
	const struct names *paths = &s->args->paths;
	char *instead[] = {(char *)list};

	switch (s->args->from) {
	case FROM_BINLOG:
		return make_binlog(s, opt, why);
	case FROM_LOG:
		make_log(s, opt);
		break;
	case FROM_SERVER:
		describe_server(s);
		s->tape = tape_server_create(opt, s->has_rules ? &s->rules : NULL, nonce);
		break;
	case FROM_LIST:
		buf_printf(&s->what, "the keys in %s",
			   strcmp(paths->at[0], "-") == 0 ? "standard input" : paths->at[0]);
		if (paths->n > 1)
			buf_printf(&s->what, " and %zu more", paths->n - 1);
		s->tape = list != NULL && strcmp(paths->at[0], "-") == 0
			      ? tape_list_create(opt, instead, 1)
			      : tape_list_create(opt, paths->at, paths->n);
		break;
	case FROM_SPOOL:
		buf_printf(&s->what, "mcrouter's spool in %s", paths->at[0]);
		if (paths->n > 1)
			buf_printf(&s->what, " and %zu more", paths->n - 1);
		s->tape = tape_spool_create(opt, paths->at, paths->n, s->args->hosts.at, s->args->hosts.n);
		break;
	case FROM_NONE:
		break;
	}
	return ERR_OK;
}

/* --- all of it --------------------------------------------------------------------------------------------
 */

static err_t
hash_plan(struct stage *s, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;

	targets_print(s->targets, &text);
	buf_printf(&text, "# tag %s anywhere %d rules only %d\n", s->topology->markers.tag,
		   s->topology->markers.anywhere, s->topology->markers.rules_only);
	if (s->has_rules)
		err = file_read(s->topology->markers.rules, RULES_FILE_MAX, &text, why);
	s->plan_hash = hash_span(buf_span(&text), 0);
	buf_fini(&text);
	return err;
}

err_t
stage_open(struct stage *s, const struct arguments *args, const char *list, const char *spill_dir,
	   const struct clock *clock, struct log *log, uint64_t nonce, struct err_detail *why)
{
	struct tape_options opt = {
	    .clock = clock,
	    .log = log,
	    .make_range = make_range,
	    .arg = (void *)args,
	    .spill_dir = spill_dir,
	    .tables = args->tables.n > 0,
	};
	err_t err;

	*s = (struct stage){.args = args};
	rule_live_init(&s->rules, NULL);
	err = topology_load(&s->topology, args->config, why);
	if (err != ERR_OK)
		return err;
	opt.topology = s->topology;
	s->has_rules =
	    s->topology->markers.rules[0] != '\0' && (args->from == FROM_BINLOG || args->from == FROM_SERVER);
	if (s->has_rules)
		err = rule_live_load(&s->rules, s->topology->markers.rules, why);
	if (err == ERR_OK)
		err = make_filter(s, why);
	if (err == ERR_OK)
		err = standings_find(&s->standings, s->topology, args, why);
	if (err == ERR_OK)
		err = make_targets(s, why);
	if (err == ERR_OK)
		err = hash_plan(s, why);
	if (err == ERR_OK)
		err = make_tape(s, &opt, list, nonce, why);
	return err;
}

err_t
stage_again(struct stage *s, struct err_detail *why)
{
	targets_destroy(&s->targets);
	s->filter.txns_dropped = s->filter.keys_dropped = s->filter.tables_unknown = 0;
	return make_targets(s, why);
}

void
stage_close(struct stage *s)
{
	tape_destroy(&s->tape);
	targets_destroy(&s->targets);
	standings_destroy(&s->standings);
	filter_fini(&s->filter);
	rule_live_fini(&s->rules);
	topology_destroy(&s->topology);
	buf_fini(&s->what);
}
