#include "replay/command/arguments.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/mem.h"

/* Two tables in one file: a typedef can name only one owner. */
#define option_owner struct replay_run_options
static const struct option_row run_rows[] = {OPTION_ROWS(REPLAY_RUN_OPTIONS)};
static const struct option_section run_section = {
    "execution", "", run_rows, sizeof(run_rows) / sizeof(run_rows[0]), sizeof(struct replay_run_options)};
#undef option_owner
#define option_owner struct replay_plan_options
static const struct option_row plan_rows[] = {OPTION_ROWS(REPLAY_PLAN_OPTIONS)};
static const struct option_section plan_section = {
    "plan", "", plan_rows, sizeof(plan_rows) / sizeof(plan_rows[0]), sizeof(struct replay_plan_options)};
#undef option_owner

static const char *const from_names[] = {"", "binlog", "server", "log", "list", "spool"};

const char *
arguments_from_name(enum from f)
{
	return from_names[f];
}

/* --- options that are no rows -----------------------------------------------------------------------------
 */

enum kind { KIND_PLAN, KIND_RUN, KIND_NOW };

enum {
	OPT_FIRST = 256,
	OPT_CONFIG,
	OPT_FROM,
	OPT_KEY,
	OPT_KEY_REGEX,
	OPT_NOT_KEY,
	OPT_TABLE,
	OPT_SOURCE,
	OPT_HOST,
	OPT_CLUSTER,
	OPT_POOL,
	OPT_SERVER,
	OPT_REPEATS,
	OPT_RING_OF,
	OPT_NO_FORMER,
	OPT_ADMIN,
	OPT_EXECUTE,
	OPT_RESUME,
	OPT_STATE,
	OPT_JSON,
	OPT_HELP,
	OPT_VERSION,
	OPT_BOUND,
	OPT_PLAN_ROW = OPT_BOUND + RANGE_NBOUNDS,
	OPT_RUN_ROW = OPT_PLAN_ROW + 64,
};

/* clang-format off */
static const struct plain {
	const char *name;
	int has_value;
	int id;
	enum kind kind;
	const char *value, *help;
} plains[] = {
	{"config",    1, OPT_CONFIG,    KIND_RUN, "squeal.yaml", "the configuration; also -c"},
	{"from",      1, OPT_FROM,      KIND_PLAN, "KIND",        "binlog FILE..., server, log, list FILE..., spool FOLDER..."},
	{"key",       1, OPT_KEY,       KIND_PLAN, "GLOB",        "only keys that match; may come again"},
	{"key-regex", 1, OPT_KEY_REGEX, KIND_PLAN, "REGEX",       "only keys in which this extended regular expression is found"},
	{"not-key",   1, OPT_NOT_KEY,   KIND_PLAN, "GLOB",        "no keys that match"},
	{"table",     1, OPT_TABLE,     KIND_PLAN, "GLOB",        "only transactions that changed the table, as in shop.users (binlog, server)"},
	{"source",    1, OPT_SOURCE,    KIND_PLAN, "GLOB",        "only what this source committed (log)"},
	{"host",      1, OPT_HOST,      KIND_PLAN, "HOST:PORT",   "only deletes that mcrouter had for this server (spool)"},
	{"cluster",   1, OPT_CLUSTER,   KIND_PLAN, "NAME",        "only this cluster; may come again"},
	{"pool",      1, OPT_POOL,      KIND_PLAN, "NAME",        "only this pool"},
	{"server",    1, OPT_SERVER,    KIND_PLAN, "HOST:PORT",   "only this server, as squeal.yaml writes it"},
	{"ring-of",   1, OPT_RING_OF,   KIND_PLAN, "FILE",        "a squeal.yaml of before: its owners get the deletes too; may come again"},
	{"no-former", 0, OPT_NO_FORMER, KIND_PLAN, "",            "leave out owners by rings of before, which routers have not sealed yet"},
	{"admin",     1, OPT_ADMIN,     KIND_PLAN, "HOST:PORT",   "ask this router too for its rings and mode; may come again"},
	{"repeats",   0, OPT_REPEATS,   KIND_PLAN, "",            "send a key as often as it comes, not once"},
	{"execute",   0, OPT_EXECUTE,   KIND_NOW,  "",            "do it; without this only the plan is printed"},
	{"resume",    1, OPT_RESUME,    KIND_NOW,  "JOB",         "go on with a job that was stopped or killed"},
	{"state",     1, OPT_STATE,     KIND_NOW,  "FOLDER",      "where jobs are kept"},
	{"json",      0, OPT_JSON,      KIND_NOW,  "",            "print JSON, an object a line"},
	{"help",      0, OPT_HELP,      KIND_NOW,  "",            "this text"},
	{"version",   0, OPT_VERSION,   KIND_NOW,  "",            "the version"},
};
/* clang-format on */

enum { NPLAINS = sizeof(plains) / sizeof(plains[0]), NAME_MAX_LEN = 32 };
enum {
	NPLAN = sizeof(plan_rows) / sizeof(plan_rows[0]),
	NRUN = sizeof(run_rows) / sizeof(run_rows[0]),
	NLONGS = NPLAINS + RANGE_NBOUNDS + NPLAN + NRUN,
};

/* getopt's table, and the names in it, which have dashes where rows have underscores. */
struct longs {
	struct option at[NLONGS + 1];
	char names[NPLAN + NRUN][NAME_MAX_LEN];
};

static void
dashed(const char *name, char *out)
{
	snprintf(out, NAME_MAX_LEN, "%s", name);
	for (char *p = out; *p != '\0'; p++)
		*p = *p == '_' ? '-' : *p;
}

static void
longs_init(struct longs *l)
{
	size_t n = 0;

	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < NPLAINS; i++)
		l->at[n++] = (struct option){plains[i].name, plains[i].has_value, NULL, plains[i].id};
	for (int i = 0; i < RANGE_NBOUNDS; i++)
		l->at[n++] = (struct option){range_bound_name((enum range_bound)i), 1, NULL, OPT_BOUND + i};
	for (size_t i = 0; i < NPLAN; i++) {
		dashed(plan_rows[i].name, l->names[i]);
		l->at[n++] = (struct option){l->names[i], 1, NULL, OPT_PLAN_ROW + (int)i};
	}
	for (size_t i = 0; i < NRUN; i++) {
		dashed(run_rows[i].name, l->names[NPLAN + i]);
		l->at[n++] = (struct option){l->names[NPLAN + i], 1, NULL, OPT_RUN_ROW + (int)i};
	}
}

static enum kind
kind_of(int id)
{
	for (size_t i = 0; i < NPLAINS; i++) {
		if (plains[i].id == id)
			return plains[i].kind;
	}
	return id >= OPT_RUN_ROW ? KIND_RUN : KIND_PLAN;
}

/* --- names ------------------------------------------------------------------------------------------------
 */

void
names_add(struct names *n, const char *text)
{
	n->at = mem_realloc(n->at, (n->n + 1) * sizeof(*n->at));
	n->at[n->n++] = mem_strdup(text);
}

void
names_fini(struct names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->at[i]);
	free(n->at);
	*n = (struct names){0};
}

void
arguments_init(struct arguments *a)
{
	*a = (struct arguments){0};
	option_defaults(&plan_section, &a->plan);
	option_defaults(&run_section, &a->run);
}

void
arguments_fini(struct arguments *a)
{
	struct names *all[] = {&a->paths,   &a->keys,	  &a->key_regexes, &a->except, &a->tables,
			       &a->sources, &a->hosts,	  &a->clusters,	   &a->pools,  &a->servers,
			       &a->kept,    &a->rings_of, &a->admin};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		names_fini(all[i]);
	for (size_t i = 0; i < RANGE_NBOUNDS; i++)
		free(a->bounds[i]);
	free(a->config);
	free(a->resume);
	free(a->state);
	option_fini(&plan_section, &a->plan);
	option_fini(&run_section, &a->run);
	*a = (struct arguments){0};
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

/* The same file from any folder; "-" is standard input. */
static char *
absolute(const char *path)
{
	struct buf b = BUF_INIT;
	char here[PATH_MAX];
	char *out;

	if (path[0] != '/' && strcmp(path, "-") != 0 && getcwd(here, sizeof(here)) != NULL)
		buf_printf(&b, "%s/", here);
	buf_put_str(&b, path);
	out = span_dup(buf_span(&b));
	buf_fini(&b);
	return out;
}

static void
keep(struct arguments *a, const char *name, const char *value)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "--%s", name);
	if (value != NULL)
		buf_printf(&b, "=%s", value);
	names_add(&a->kept, buf_str(&b));
	buf_fini(&b);
}

static void
replace(char **text, const char *value)
{
	free(*text);
	*text = mem_strdup(value);
}

static err_t
set_from(struct arguments *a, const char *text, struct err_detail *why)
{
	for (size_t i = 1; i < sizeof(from_names) / sizeof(from_names[0]); i++) {
		if (strcmp(text, from_names[i]) == 0) {
			a->from = (enum from)i;
			return ERR_OK;
		}
	}
	return err_set(why, ERR_USAGE, "--from %.60s: it is one of binlog, server, log, list and spool",
		       text);
}

/* A row's option; its message names the flag, not the row. */
static err_t
set_row(const struct option_row *row, void *base, const char *name, const char *text, struct err_detail *why)
{
	struct option_row flag = *row;
	char dashes[NAME_MAX_LEN + 2];

	snprintf(dashes, sizeof(dashes), "--%s", name);
	flag.name = dashes;
	/* Offsets have no bound. */
	if (row->type == OPTION_UINT && row->min == 0 && row->max == 0)
		flag.max = UINT64_MAX;
	return option_set(&flag, base, span_of(text), why);
}

static err_t
take_option(struct arguments *a, int id, const char *name, const char *value, struct err_detail *why)
{
	if (id >= OPT_RUN_ROW) {
		a->progress_given = a->progress_given || strcmp(name, "progress") == 0;
		return set_row(&run_rows[id - OPT_RUN_ROW], &a->run, name, value, why);
	}
	if (id >= OPT_PLAN_ROW)
		return set_row(&plan_rows[id - OPT_PLAN_ROW], &a->plan, name, value, why);
	if (id >= OPT_BOUND) {
		if (a->bounds[id - OPT_BOUND] != NULL)
			return err_set(why, ERR_USAGE, "--%s was given twice", name);
		a->bounds[id - OPT_BOUND] = mem_strdup(value);
		return ERR_OK;
	}
	switch (id) {
	case OPT_CONFIG:
		replace(&a->config, value);
		break;
	case OPT_FROM:
		return set_from(a, value, why);
	case OPT_KEY:
		names_add(&a->keys, value);
		break;
	case OPT_KEY_REGEX:
		names_add(&a->key_regexes, value);
		break;
	case OPT_NOT_KEY:
		names_add(&a->except, value);
		break;
	case OPT_TABLE:
		names_add(&a->tables, value);
		break;
	case OPT_SOURCE:
		names_add(&a->sources, value);
		break;
	case OPT_HOST:
		names_add(&a->hosts, value);
		break;
	case OPT_CLUSTER:
		names_add(&a->clusters, value);
		break;
	case OPT_POOL:
		names_add(&a->pools, value);
		break;
	case OPT_SERVER:
		names_add(&a->servers, value);
		break;
	case OPT_RING_OF:
		names_add(&a->rings_of, value);
		break;
	case OPT_NO_FORMER:
		a->no_former = true;
		break;
	case OPT_ADMIN:
		names_add(&a->admin, value);
		break;
	case OPT_REPEATS:
		a->repeats = true;
		break;
	case OPT_EXECUTE:
		a->execute = true;
		break;
	case OPT_RESUME:
		replace(&a->resume, value);
		break;
	case OPT_STATE:
		replace(&a->state, value);
		break;
	case OPT_JSON:
		a->json = true;
		break;
	case OPT_HELP:
		a->wanted = ARGUMENTS_HELP;
		break;
	case OPT_VERSION:
		a->wanted = ARGUMENTS_VERSION;
		break;
	}
	return ERR_OK;
}

/* getopt_long() has said no to argv[optind - 1]. */
static err_t
wrong_option(const struct longs *l, char **argv, int c, struct err_detail *why)
{
	const char *words[NLONGS], *near;
	char given[64];

	snprintf(given, sizeof(given), "%s", argv[optind - 1]);
	if (strncmp(given, "--", 2) == 0)
		given[strcspn(given, "=")] = '\0';
	if (c == ':')
		return err_set(why, ERR_USAGE, "%s needs a value", given);
	for (size_t i = 0; i < NLONGS; i++) {
		words[i] = l->at[i].name;
		if (strncmp(given, "--", 2) == 0 && strcmp(given + 2, words[i]) == 0)
			return err_set(why, ERR_USAGE, "%s takes no value", given);
	}
	near = option_nearest_word(words, NLONGS, span_of(given + strspn(given, "-")));
	return err_set(why, ERR_USAGE, "there is no option %s%s%s%s", given,
		       near != NULL ? "; did you mean --" : "", near != NULL ? near : "",
		       near != NULL ? "?" : "");
}

static const char *
name_of(const struct longs *l, int id)
{
	for (size_t i = 0; i < NLONGS; i++) {
		if (l->at[i].val == id)
			return l->at[i].name;
	}
	return "";
}

err_t
arguments_read(struct arguments *a, int argc, char **argv, bool is_resumed, struct err_detail *why)
{
	struct longs l;
	err_t err = ERR_OK;
	int c;

	longs_init(&l);
	opterr = 0;
	optind = 0; /* it may be the second time in this process */
	while (err == ERR_OK && (c = getopt_long(argc, argv, ":c:hV", l.at, NULL)) != -1) {
		char *value = NULL;

		if (c == '?' || c == ':')
			return wrong_option(&l, argv, c, why);
		c = c == 'c' ? OPT_CONFIG : c == 'h' ? OPT_HELP : c == 'V' ? OPT_VERSION : c;
		if (is_resumed && kind_of(c) == KIND_PLAN)
			return err_set(why, ERR_USAGE,
				       "--%s belongs to the plan, which a job that is resumed has already; "
				       "start a new job to change it",
				       name_of(&l, c));
		if (optarg != NULL)
			value = c == OPT_CONFIG || c == OPT_RING_OF ? absolute(optarg) : mem_strdup(optarg);
		err = take_option(a, c, name_of(&l, c), value, why);
		if (err == ERR_OK && kind_of(c) != KIND_NOW)
			keep(a, name_of(&l, c), value);
		free(value);
	}
	for (int i = optind; err == ERR_OK && i < argc; i++) {
		char *path = absolute(argv[i]);

		if (is_resumed)
			err = err_set(why, ERR_USAGE,
				      "\"%.100s\" belongs to the plan, which a job that is "
				      "resumed has already",
				      argv[i]);
		else
			names_add(&a->paths, path);
		free(path);
	}
	return err;
}

/* --- checking ---------------------------------------------------------------------------------------------
 */

/* An option that only some kinds of sources have. */
static err_t
only(bool given, bool fits, const char *option, const char *kinds, struct err_detail *why)
{
	return given && !fits ? err_set(why, ERR_USAGE, "%s is for --from %s only", option, kinds) : ERR_OK;
}

static err_t
check_kinds(const struct arguments *a, struct err_detail *why)
{
	const bool binlog = a->from == FROM_BINLOG || a->from == FROM_SERVER;
	const bool log = a->from == FROM_LOG;
	err_t err;

	err = only(a->tables.n > 0, binlog, "--table", "binlog and server", why);
	if (err == ERR_OK)
		err = only(a->sources.n > 0, binlog || log, "--source", "log, binlog and server", why);
	if (err == ERR_OK)
		err = only(a->hosts.n > 0, a->from == FROM_SPOOL, "--host", "spool", why);
	if (err == ERR_OK)
		err = only(a->bounds[RANGE_START] != NULL || a->bounds[RANGE_STOP] != NULL, binlog,
			   "--start FILE:POS and --stop FILE:POS", "binlog and server", why);
	if (err == ERR_OK)
		err = only(a->plan.start_offset > 0 || a->plan.stop_offset > 0 || a->plan.partition > 0, log,
			   "--start-offset, --stop-offset and --partition", "log", why);
	return err;
}

static err_t
check_paths(const struct arguments *a, struct err_detail *why)
{
	bool wants = a->from == FROM_BINLOG || a->from == FROM_LIST || a->from == FROM_SPOOL;
	const char *what = a->from == FROM_BINLOG ? "binlog files, or an index file"
			   : a->from == FROM_LIST ? "files of keys, or - for standard input"
						  : "mcrouter's spool folders, as in /var/spool/mcrouter";

	if (wants && a->paths.n == 0)
		return err_set(why, ERR_USAGE, "--from %s needs %s", from_names[a->from], what);
	if (!wants && a->paths.n > 0)
		return err_set(why, ERR_USAGE, "--from %s takes no files, and \"%.200s\" was given",
			       from_names[a->from], a->paths.at[0]);
	for (size_t i = 0; i < a->paths.n; i++) {
		if (strcmp(a->paths.at[i], "-") == 0 && a->from != FROM_LIST)
			return err_set(
			    why, ERR_USAGE,
			    "--from %s reads everything twice, so it cannot read standard input; give files",
			    from_names[a->from]);
		if (strcmp(a->paths.at[i], "-") == 0 && a->paths.n > 1)
			return err_set(why, ERR_USAGE, "standard input (-) and files do not go together");
	}
	return ERR_OK;
}

err_t
arguments_check(const struct arguments *a, struct err_detail *why)
{
	struct range *range;
	err_t err = ERR_OK;

	if (a->config == NULL)
		return err_set(why, ERR_USAGE, "a configuration is needed: -c squeal.yaml");
	if (a->from == FROM_NONE)
		return err_set(why, ERR_USAGE,
			       "what is to be replayed? --from binlog FILE..., server, log, list FILE... or "
			       "spool FOLDER...");
	err = check_kinds(a, why);
	if (err == ERR_OK)
		err = check_paths(a, why);
	if (err == ERR_OK && a->plan.stop_offset > 0 && a->plan.stop_offset <= a->plan.start_offset)
		err = err_set(why, ERR_USAGE, "--stop-offset is not behind --start-offset");
	if (err == ERR_OK && a->plan.stale > 0 && a->plan.holdoff > 0)
		err = err_set(why, ERR_USAGE,
			      "--stale leaves values in place, and --holdoff keeps keys empty: "
			      "choose one");
	range = range_create(NULL);
	for (int i = 0; i < RANGE_NBOUNDS && err == ERR_OK; i++) {
		if (a->bounds[i] != NULL)
			err = range_set(range, (enum range_bound)i, a->bounds[i], why);
	}
	range_destroy(&range);
	return err;
}

/* --- help -------------------------------------------------------------------------------------------------
 */

static const char intro[] =
    "squeal-replay deletes again what was invalidated in a stretch of time.  It prints a plan; with "
    "--execute it "
    "acts.\n"
    "\n"
    "  squeal-replay -c squeal.yaml --from KIND [FILE...] [RANGE] [FILTERS] [TARGETS] [--execute]\n"
    "  squeal-replay --resume JOB\n"
    "  squeal-replay --help | --version\n"
    "\n";

static const char outro[] =
    "\n"
    "Exit codes: 0 done, or the plan was printed; 1 done, but something was left out (said in the report);\n"
    "2 wrong usage; 3 the plan has more deletes than --max-keys; 69 what is to be read or written is not "
    "there;\n"
    "75 stopped, to be resumed; 78 wrong configuration; 130 stopped by a second signal, to be resumed.\n"
    "Manual: man squeal-replay\n";

static const char *
range_help(enum range_bound b)
{
	static const char *const texts[RANGE_NBOUNDS] = {
	    [RANGE_START] = "FILE:POS  from this place of the binlog on",
	    [RANGE_STOP] = "FILE:POS  up to this place",
	    [RANGE_START_TIME] = "TIME  committed then or later, as in \"2026-11-20 21:00:00\"",
	    [RANGE_STOP_TIME] = "TIME  committed before then",
	    [RANGE_START_GTID] = "POSITION  behind this GTID position, as in 0-1-100",
	    [RANGE_STOP_GTID] = "POSITION  up to this GTID position",
	    [RANGE_GTID] = "SET  only these transactions",
	    [RANGE_EXCLUDE_GTID] = "SET  none of these",
	};

	return texts[b];
}

static void
put_rows(const struct option_section *s, struct buf *out)
{
	char name[NAME_MAX_LEN];

	for (size_t i = 0; i < s->nrows; i++) {
		dashed(s->rows[i].name, name);
		buf_printf(out, "  --%-20s %s (%s)\n", name, s->rows[i].help, s->rows[i].def);
	}
}

void
arguments_help(struct buf *out)
{
	buf_put_str(out, intro);
	for (size_t i = 0; i < NPLAINS; i++)
		buf_printf(out, "  --%-20s %s%s%s\n", plains[i].name, plains[i].value,
			   plains[i].value[0] != '\0' ? "  " : "", plains[i].help);
	buf_put_str(out, "\nRange:\n");
	for (int i = 0; i < RANGE_NBOUNDS; i++)
		buf_printf(out, "  --%-20s %s\n", range_bound_name((enum range_bound)i),
			   range_help((enum range_bound)i));
	buf_put_str(out, "\nPlan:\n");
	put_rows(&plan_section, out);
	buf_put_str(out, "\nExecution:\n");
	put_rows(&run_section, out);
	buf_put_str(out, outro);
}
