/*
 * squeal-replay - deletes again what was invalidated in a stretch of time: "replay the lost hour".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "replay/command/arguments.h"
#include "replay/command/console.h"
#include "replay/command/folder.h"
#include "replay/command/report.h"
#include "replay/command/scan.h"
#include "replay/command/stage.h"
#include "replay/plan/words.h"
#include "replay/send/send.h"

/* Exit codes, for scripts. */
enum {
	EXIT_GOOD = 0,	    /* done, or the plan was printed */
	EXIT_LEFT_OUT = 1,  /* done, but something was left out */
	EXIT_USAGE = 2,	    /* wrong command line */
	EXIT_CAP = 3,	    /* more deletes than --max-keys */
	EXIT_FAILED = 69,   /* what is to be read or written is not there (EX_UNAVAILABLE) */
	EXIT_STOPPED = 75,  /* to be resumed (EX_TEMPFAIL) */
	EXIT_CONFIG = 78,   /* wrong configuration (EX_CONFIG) */
	EXIT_HURRIED = 130, /* by a second signal, or while planning */
};

static volatile sig_atomic_t stop_planning;

static void
on_signal(int signo)
{
	(void)signo;
	stop_planning = 1;
}

struct command {
	struct arguments args;
	struct console console;
	const struct clock *clock;
	struct stage stage;
	bool has_stage;
	struct plan plan;

	/* of --execute */
	struct folder folder;
	struct jobfile job;
};

static int
fail(struct command *c, int exit_code, const struct err_detail *why)
{
	console_error(&c->console, why, exit_code == EXIT_USAGE);
	return exit_code;
}

static int
exit_of(err_t err)
{
	switch (err) {
	case ERR_USAGE:
		return EXIT_USAGE;
	case ERR_CONFIG:
		return EXIT_CONFIG;
	case ERR_CLOSED:
		return EXIT_HURRIED;
	default:
		return EXIT_FAILED;
	}
}

static bool
reads_stdin(const struct command *c)
{
	return c->args.from == FROM_LIST && c->args.paths.n == 1 && strcmp(c->args.paths.at[0], "-") == 0;
}

/* --- plan -------------------------------------------------------------------------------------------------
 */

static size_t
remembered(const struct command *c)
{
	return c->args.repeats ? 0 : PLAN_EXACT;
}

static void
print_plan(struct command *c)
{
	struct buf standing = BUF_INIT, json = BUF_INIT;
	struct plan_words words = {
	    .rate = c->args.run.rate,
	    .max_deletes = c->args.plan.max_keys,
	    .hit_percent = (unsigned)c->args.plan.hit_share,
	    .what = buf_str(&c->stage.what),
	};

	standings_text(c->stage.standings, &standing);
	standings_json(c->stage.standings, &json);
	words.standing = buf_str(&standing);
	words.standing_json = buf_str(&json);
	if (c->args.json)
		plan_json(&c->plan, c->stage.targets, &words, &c->console.text);
	else
		plan_text(&c->plan, c->stage.targets, &words, &c->console.text);
	console_say(&c->console);
	buf_fini(&standing);
	buf_fini(&json);
}

/* The number to lift the cap by hand, exactly. */
static int
refuse(struct command *c)
{
	struct err_detail why = {0};
	struct buf deletes = BUF_INIT, cap = BUF_INIT;

	words_number(c->plan.deletes, &deletes);
	words_number(c->args.plan.max_keys, &cap);
	err_set(&why, ERR_FULL,
		"the plan has %s deletes, and --max-keys allows %s; if that is what you want, add --max-keys "
		"%llu",
		buf_str(&deletes), buf_str(&cap), (unsigned long long)c->plan.deletes);
	buf_fini(&deletes);
	buf_fini(&cap);
	return fail(c, EXIT_CAP, &why);
}

static bool
is_over_cap(const struct command *c)
{
	return c->plan.deletes > c->args.plan.max_keys;
}

static void
say_hint(struct command *c)
{
	if (c->plan.keys == 0)
		console_line(&c->console, "nothing to do: no key is in the range and passes the filters");
	else if (is_over_cap(c))
		console_line(&c->console, "nothing was deleted; to do it add --execute --max-keys %llu",
			     (unsigned long long)c->plan.deletes);
	else
		console_line(&c->console, "nothing was deleted; to do it add --execute");
}

/* --- execution --------------------------------------------------------------------------------------------
 */

static void
fill_job(struct command *c, uint64_t seed)
{
	struct jobfile *j = &c->job;

	for (size_t i = 0; i < c->args.kept.n; i++)
		jobfile_add_arg(j, c->args.kept.at[i]);
	jobfile_add_arg(j, "--");
	for (size_t i = 0; i < c->args.paths.n; i++)
		jobfile_add_arg(j, c->args.paths.at[i]);
	j->numbers[JOBFILE_seed] = seed;
	j->numbers[JOBFILE_made_us] = clock_real_us(c->clock);
	j->numbers[JOBFILE_plan_hash] = c->stage.plan_hash;
	j->numbers[JOBFILE_plan_keys] = c->plan.keys;
	j->numbers[JOBFILE_plan_deletes] = c->plan.deletes;
}

/* Its command, as it is written to go on. */
static void
put_resume(const struct command *c, struct buf *out)
{
	buf_printf(out, "squeal-replay --resume %s", c->folder.id);
	if (c->args.state != NULL)
		buf_printf(out, " --state %s", c->args.state);
}

static int
execute(struct command *c)
{
	struct send_setup setup = {
	    .topology = c->stage.topology,
	    .clock = c->clock,
	    .log = c->console.log,
	    .tape = c->stage.tape,
	    .filter = &c->stage.filter,
	    .targets = c->stage.targets,
	    .planned = c->plan.by_server,
	    .remember = remembered(c),
	    .pace = {c->args.run.rate, c->args.run.max_ack * 1000, c->args.run.max_misses,
		     c->args.run.max_threads_running},
	    .patience_ms = c->args.run.patience,
	    .screen = &c->console.screen,
	    .job = &c->job,
	    .job_id = c->folder.id,
	    .job_path = c->folder.job_path,
	};
	struct send_result result;
	struct report report = {
	    .result = &result,
	    .job = &c->job,
	    .targets = c->stage.targets,
	    .tape = &c->stage.tape->counts,
	    .unit = c->stage.tape->unit,
	    .job_id = c->folder.id,
	};
	struct err_detail why = {0};
	struct buf resume = BUF_INIT;
	int exit_code;
	err_t err;

	c->job.numbers[JOBFILE_runs]++;
	err = send_run(&setup, &result, &why);
	screen_clear(&c->console.screen);
	if (err != ERR_OK || result.end != SEND_DONE)
		put_resume(c, &resume);
	report.resume = buf_str(&resume);
	if (err != ERR_OK) {
		exit_code = fail(c, exit_of(err), &why);
		console_line(&c->console, "what was done is kept; when the cause is mended: %s",
			     report.resume);
		goto done;
	}
	buf_clear(&c->console.text);
	if (c->args.json)
		report_json(&report, &c->console.text);
	else
		report_text(&report, &c->console.text);
	console_say(&c->console);
	exit_code = result.end == SEND_HURRIED	   ? EXIT_HURRIED
		    : result.end != SEND_DONE	   ? EXIT_STOPPED
		    : report_left_out(&report) > 0 ? EXIT_LEFT_OUT
						   : EXIT_GOOD;
	if (result.end == SEND_DONE)
		unlink(c->folder.list_path);
done:
	free(result.servers);
	buf_fini(&resume);
	return exit_code;
}

/* For programs. */
static void
say_job(struct command *c)
{
	struct json j;

	if (!c->args.json)
		return;
	buf_clear(&c->console.text);
	json_init(&j, &c->console.text);
	json_object(&j);
	json_kv_str(&j, "event", "job");
	json_kv_str(&j, "job", c->folder.id);
	json_kv_str(&j, "file", c->folder.job_path);
	json_kv_str(&j, "state", jobfile_state_name(c->job.state));
	json_object_end(&j);
	buf_putc(&c->console.text, '\n');
	console_say(&c->console);
}

/* --- the two ways -----------------------------------------------------------------------------------------
 */

static const char *
spill_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp != NULL ? tmp : "/tmp";
}

static err_t
open_stage(struct command *c, const char *list, struct err_detail *why)
{
	c->has_stage = true;
	return stage_open(&c->stage, &c->args, list, spill_folder(), c->clock, c->console.log, hash_seed(),
			  why);
}

static int
run_new(struct command *c)
{
	bool keeps_list = c->args.execute && reads_stdin(c);
	uint64_t seed = hash_seed();
	struct err_detail why = {0};
	err_t err = ERR_OK;

	if (c->args.execute)
		err = folder_find(&c->folder, c->args.state, &why);
	if (err == ERR_OK && c->args.execute) {
		folder_name(&c->folder, c->clock);
		err = folder_take(&c->folder, &why);
	}
	if (err == ERR_OK && keeps_list)
		err = folder_copy_list(&c->folder, stdin, &why);
	if (err == ERR_OK)
		err = open_stage(c, keeps_list ? c->folder.list_path : NULL, &why);
	if (err != ERR_OK)
		return fail(c, exit_of(err), &why);
	plan_init(&c->plan, c->stage.targets);
	err = scan_run(&c->stage, &c->plan, seed, remembered(c), &c->console.screen, &stop_planning, &why);
	if (err != ERR_OK)
		return fail(c, exit_of(err), &why);
	print_plan(c);
	if (!c->args.execute || c->plan.keys == 0) {
		say_hint(c);
		return c->args.execute && c->plan.tape.bad > 0 ? EXIT_LEFT_OUT : EXIT_GOOD;
	}
	if (is_over_cap(c))
		return refuse(c);
	err = stage_again(&c->stage, &why);
	if (err == ERR_OK) {
		fill_job(c, seed);
		err = jobfile_write(&c->job, c->folder.job_path, &why);
	}
	if (err != ERR_OK)
		return fail(c, exit_of(err), &why);
	console_line(&c->console, "job %s", c->folder.id);
	say_job(c);
	return execute(c);
}

/* The job's own command line, then what was said now. */
static err_t
read_job(struct command *c, int argc, char **argv, struct err_detail *why)
{
	char **job_argv;
	err_t err = folder_find(&c->folder, c->args.state, why);

	if (err == ERR_OK)
		err = folder_choose(&c->folder, c->args.resume, why);
	if (err == ERR_OK)
		err = folder_take(&c->folder, why);
	if (err == ERR_OK)
		err = jobfile_read(&c->job, c->folder.job_path, why);
	if (err != ERR_OK)
		return err;
	arguments_fini(&c->args);
	arguments_init(&c->args);
	job_argv = mem_zalloc(c->job.nargs + 2, sizeof(*job_argv));
	job_argv[0] = argv[0];
	memcpy(job_argv + 1, c->job.args, c->job.nargs * sizeof(*job_argv));
	err = arguments_read(&c->args, (int)c->job.nargs + 1, job_argv, false, why);
	free(job_argv);
	if (err == ERR_OK)
		err = arguments_read(&c->args, argc, argv, true, why);
	return err;
}

static int
run_job(struct command *c)
{
	struct buf done = BUF_INIT, all = BUF_INIT;
	struct err_detail why = {0};
	err_t err;

	if (c->job.state == JOBFILE_DONE) {
		words_count(c->job.numbers[JOBFILE_acked], "delete", &done);
		console_line(&c->console, "job %s is done already: %s acknowledged", c->folder.id,
			     buf_str(&done));
		say_job(c);
		buf_fini(&done);
		return EXIT_GOOD;
	}
	err = open_stage(c, c->folder.list_path, &why);
	if (err == ERR_OK && c->stage.plan_hash != c->job.numbers[JOBFILE_plan_hash])
		err =
		    err_set(&why, ERR_USAGE,
			    "servers, pools or rules in %s, or the rings of before that the routers have not "
			    "sealed, are not those of the plan any more, so job %s cannot go on: make a new "
			    "plan (what is done already does no harm a second time)",
			    c->args.config, c->folder.id);
	if (err != ERR_OK)
		return fail(c, exit_of(err), &why);
	words_number(c->job.numbers[JOBFILE_done_keys], &done);
	words_number(c->job.numbers[JOBFILE_plan_keys], &all);
	console_line(&c->console, "job %s goes on: %s of %s keys are done", c->folder.id, buf_str(&done),
		     buf_str(&all));
	buf_fini(&done);
	buf_fini(&all);
	if (!c->args.json) {
		standings_text(c->stage.standings, &c->console.text);
		console_say(&c->console);
	}
	say_job(c);
	return execute(c);
}

/* --- main -------------------------------------------------------------------------------------------------
 */

static void
watch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void
close_command(struct command *c)
{
	if (c->has_stage)
		stage_close(&c->stage);
	plan_fini(&c->plan);
	jobfile_fini(&c->job);
	folder_close(&c->folder);
	console_close(&c->console);
	arguments_fini(&c->args);
}

static int
run(struct command *c, int argc, char **argv)
{
	struct err_detail why = {0};
	err_t err = arguments_read(&c->args, argc, argv, false, &why);
	bool resumes = c->args.resume != NULL;

	if (err == ERR_OK && c->args.wanted == ARGUMENTS_HELP) {
		arguments_help(&c->console.text);
		fputs(buf_str(&c->console.text), stdout);
		return EXIT_GOOD;
	}
	if (err == ERR_OK && c->args.wanted == ARGUMENTS_VERSION) {
		puts("squeal-replay " SQUEAL_VERSION);
		return EXIT_GOOD;
	}
	if (err == ERR_OK && resumes)
		err = read_job(c, argc, argv, &why);
	if (err == ERR_OK)
		err = arguments_check(&c->args, &why);
	console_open(&c->console, c->clock, c->args.json, c->args.run.progress, c->args.progress_given);
	if (err != ERR_OK)
		return fail(c, exit_of(err), &why);
	watch_signals();
	return resumes ? run_job(c) : run_new(c);
}

int
main(int argc, char **argv)
{
	struct command c = {.clock = clock_system(), .folder = FOLDER_INIT};
	int exit_code;

	c.console.screen.out = stdout;
	arguments_init(&c.args);
	exit_code = run(&c, argc, argv);
	close_command(&c);
	return exit_code;
}
