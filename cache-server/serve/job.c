#include "cache-server/serve/job.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache-server/store/restore.h"
#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum { MAX_PATH = PATH_MAX + JOB_MAX_NAME + 2 };

static struct job *
job_of(struct jobs *j, const struct cache *c)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->at[i].cache == c)
			return &j->at[i];
	return NULL;
}

/* --- what all jobs do ----------------------------------------------------------------------------------- */

void
job_tell(struct job *job, const struct job_progress *p)
{
	pthread_mutex_lock(&job->lock);
	job->progress = *p;
	pthread_mutex_unlock(&job->lock);
}

bool
job_stopped(void *arg)
{
	return atomic_load_explicit(&((struct job *)arg)->stop, memory_order_relaxed);
}

/* With the lock. */
static bool
take_place(struct job *job, enum job_kind kind, struct err_detail *why)
{
	struct store *s = cache_store(job->cache);

	if (cache_policy(job->cache) == CACHE_MARKER) {
		(void)err_set(
		    why, ERR_USAGE,
		    "a container of markers has no backups: markers, leases and hold-offs end with their "
		    "server");
		return false;
	}
	if (job->running) {
		(void)err_set(why, ERR_BUSY, "a %s is running; wait for its end, or say \"job stop\"",
			      job_kind_text(job->kind));
		return false;
	}
	if ((kind == JOB_BACKUP || kind == JOB_STREAM) && !store_is_caught_up(s)) {
		(void)err_set(
		    why, ERR_BEHIND,
		    "this server has items that may have been deleted meanwhile, and a backup would "
		    "hide that; wait for caughtup");
		return false;
	}
	if (job->has_thread)
		pthread_join(job->thread, NULL); /* it is at its end */
	job->has_thread = false;
	job->running = true;
	job->kind = kind;
	job->nnames = 0;
	job->progress = (struct job_progress){.state = "starting"};
	job->start_ms = clock_mono_ms(job->jobs->clock);
	atomic_store_explicit(&job->stop, false, memory_order_relaxed);
	return true;
}

bool
job_begin(struct job *job, enum job_kind kind, struct err_detail *why)
{
	bool begins;

	pthread_mutex_lock(&job->lock);
	begins = take_place(job, kind, why);
	pthread_mutex_unlock(&job->lock);
	return begins;
}

void
job_end(struct job *job, bool ok, const char *fmt, ...)
{
	struct job_result last = {.kind = job->kind, .any = true, .ok = ok};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last.text, sizeof last.text, fmt, ap);
	va_end(ap);
	for (char *p = last.text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = '?';
	if (ok)
		log_info(job->jobs->log, "a job is done", F_STR("container", cache_name(job->cache)),
			 F_STR("job", job_kind_text(last.kind)), F_STR("result", last.text));
	else
		log_error(job->jobs->log, "a job failed", F_STR("container", cache_name(job->cache)),
			  F_STR("job", job_kind_text(last.kind)), F_STR("reason", last.text));
	pthread_mutex_lock(&job->lock);
	job->last = last;
	job->progress = (struct job_progress){.state = "idle"};
	job->running = false;
	pthread_mutex_unlock(&job->lock);
}

/* --- the job's thread ------------------------------------------------------------------------------------
 */

static void
path_of(const struct job *job, size_t i, char out[MAX_PATH])
{
	snprintf(out, MAX_PATH, "%s/%s", job->jobs->dir, job->names[i]);
}

struct on_files {
	struct job *job;
	struct job_progress progress;
	bool by_bytes; /* per cent: of bytes, else of items */
};

static void
on_progress(void *arg, uint64_t items, uint64_t bytes)
{
	struct on_files *f = arg;

	f->progress.items = items;
	f->progress.bytes = bytes;
	f->progress.done = f->by_bytes ? bytes : items;
	job_tell(f->job, &f->progress);
}

static bool
on_stop(void *arg)
{
	return job_stopped(((struct on_files *)arg)->job);
}

static err_t
run_backup(struct backup_job *files, struct on_files *f, char *text, size_t size, struct err_detail *why)
{
	char path[MAX_PATH], base[MAX_PATH];
	struct job *job = f->job;
	struct backup_figures fig;
	struct stat st;
	err_t err;

	path_of(job, 0, path);
	if (job->nnames > 1)
		path_of(job, 1, base);
	/* An older backup may be what others were made on. */
	if (lstat(path, &st) == 0)
		return err_set(why, ERR_USAGE, "%s is there already; remove it or choose another name",
			       job->names[0]);
	f->progress.state = job->nnames > 1 ? "reading the base" : "writing";
	f->progress.total = metric_get(&store_metrics(cache_store(job->cache))->store_items);
	job_tell(job, &f->progress);
	f->progress.state = "writing";
	err = backup_file(files, path, job->nnames > 1 ? base : NULL, &fig, why);
	snprintf(text, size,
		 "%s: %" PRIu64 " items, %" PRIu64 " unchanged, %" PRIu64 " bytes; began %" PRIu64,
		 job->names[0], fig.items, fig.same, fig.bytes, files->unix_now);
	return err;
}

static void
describe(const struct job *job, const struct restore_figures *fig, char *text, size_t size)
{
	uint64_t owed = store_owed(cache_store(job->cache));
	int n = snprintf(text, size,
			 "%" PRIu64 " items; %" PRIu64 " were here already, %" PRIu64 " had expired, %" PRIu64
			 " did not fit, %" PRIu64 " were missing",
			 fig->restored, fig->kept, fig->expired, fig->refused, fig->missing);

	if (owed != 0 && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n,
			 "; deliver all deletes since %" PRIu64 " again, then say \"caughtup %" PRIu64 "\"",
			 owed, owed);
}

/* What may be served at once may be so after a restore, too. */
static void
restored(struct job *job)
{
	struct err_detail why = {0};

	if (cache_options(job->cache)->serve_immediately &&
	    store_caught_up_since(cache_store(job->cache), 0, &why) != ERR_OK)
		log_error(job->jobs->log, "what was restored is not served at once",
			  F_STR("reason", err_why(&why)));
}

static err_t
run_restore(struct backup_job *files, struct on_files *f, char *text, size_t size, struct err_detail *why)
{
	struct job *job = f->job;
	char(*paths)[MAX_PATH] = mem_alloc(job->nnames * sizeof *paths);
	const char *list[JOB_MAX_FILES];
	struct restore_figures fig = {0};
	uint64_t began;
	err_t err;

	for (size_t i = 0; i < job->nnames; i++) {
		struct stat st;

		path_of(job, i, paths[i]);
		list[i] = paths[i];
		if (stat(paths[i], &st) == 0)
			f->progress.total += (uint64_t)st.st_size;
	}
	f->by_bytes = true;
	f->progress.state = "checking";
	err = restore_check(files, list, job->nnames, &began, why);
	f->progress.state = "restoring";
	if (err == ERR_OK) {
		err = restore_files(files, list, job->nnames, &fig, why);
		restored(job);
	}
	describe(job, &fig, text, size);
	free(paths);
	return err;
}

static err_t
run(struct job *job, struct quiesce_thread *qt, char *text, size_t size, struct err_detail *why)
{
	struct on_files f = {.job = job};
	struct backup_job files = {.quiesce = job->jobs->quiesce,
				   .qt = qt,
				   .unix_now = clock_real_us(job->jobs->clock) / 1000000,
				   .stop = on_stop,
				   .progress = on_progress,
				   .arg = &f};
	struct restore_figures fig;
	err_t err;

	files.t = store_join(cache_store(job->cache), qt);
	if (files.t == NULL)
		return err_set(why, ERR_SYS, "too many threads; use fewer (-t)");
	if (job->kind == JOB_BACKUP) {
		err = run_backup(&files, &f, text, size, why);
	} else if (job->kind == JOB_RESTORE) {
		err = run_restore(&files, &f, text, size, why);
	} else {
		err = job_clone(job, files.t, qt, &fig, why);
		restored(job);
		describe(job, &fig, text, size);
	}
	store_leave(&files.t);
	return err;
}

static void *
work(void *arg)
{
	struct job *job = arg;
	struct quiesce *q = job->jobs->quiesce;
	struct quiesce_thread *qt = quiesce_join(q);
	struct err_detail why = {0};
	char text[sizeof job->last.text] = "";
	uint64_t owed;
	err_t err;

	if (qt == NULL) {
		job_end(job, false, "too many threads; use fewer (-t)");
		return NULL;
	}
	quiesce_online(q, qt);
	err = run(job, qt, text, sizeof text, &why);
	quiesce_offline(qt);
	quiesce_leave(q, &qt);
	owed = store_owed(cache_store(job->cache));
	if (err == ERR_OK)
		job_end(job, true, "%s", text);
	else if (owed != 0 && job->kind != JOB_BACKUP)
		job_end(job, false, "%s; what has come in stays: %s", err_why(&why), text);
	else
		job_end(job, false, "%s", err_why(&why));
	return NULL;
}

/* --- commands --------------------------------------------------------------------------------------------
 */

static bool
start(struct job *job, const struct job_command *cmd, struct err_detail *why)
{
	bool begins;

	pthread_mutex_lock(&job->lock);
	begins = take_place(job, cmd->kind, why);
	if (begins) {
		for (size_t i = 0; i < cmd->nfiles; i++)
			snprintf(job->names[i], sizeof job->names[i], "%.*s", (int)cmd->files[i].len,
				 cmd->files[i].p);
		job->nnames = cmd->nfiles;
		begins = thread_start(&job->thread, "job", work, job, why) == ERR_OK;
		job->has_thread = job->running = begins;
	}
	pthread_mutex_unlock(&job->lock);
	return begins;
}

/* A copy of what may be shown. */
struct shown {
	bool running;
	enum job_kind kind;
	char name[JOB_MAX_NAME + 64];
	struct job_progress p;
	unsigned percent;
	uint64_t seconds, eta;
	struct job_result last;
};

static void
look(struct job *job, struct shown *s)
{
	uint64_t ms;

	pthread_mutex_lock(&job->lock);
	s->running = job->running;
	s->kind = job->kind;
	snprintf(s->name, sizeof s->name, "%s", job->nnames > 0 ? job->names[0] : "-");
	s->p = job->progress;
	s->last = job->last;
	ms = clock_mono_ms(job->jobs->clock) - job->start_ms;
	pthread_mutex_unlock(&job->lock);
	if (s->p.done > s->p.total)
		s->p.total = s->p.done;
	s->percent = s->p.total > 0 ? (unsigned)(100 * (double)s->p.done / (double)s->p.total) : 0;
	s->seconds = ms / 1000;
	s->eta = s->p.done > 0
		     ? (uint64_t)((double)ms / 1000 * (double)(s->p.total - s->p.done) / (double)s->p.done)
		     : 0;
}

static void
list(struct job *job, struct out *out)
{
	struct shown s;
	uint64_t owed = store_owed(cache_store(job->cache));

	look(job, &s);
	if (s.running)
		out_fmt(out,
			"JOB %s %s %s: %" PRIu64 " items, %" PRIu64 " bytes, %u %%, %" PRIu64
			" s, about %" PRIu64 " s left\r\n",
			job_kind_text(s.kind), s.name, s.p.state, s.p.items, s.p.bytes, s.percent, s.seconds,
			s.eta);
	if (s.last.any)
		out_fmt(out, "LAST %s %s: %s\r\n", job_kind_text(s.last.kind), s.last.ok ? "ok" : "failed",
			s.last.text);
	if (owed != 0)
		out_fmt(out, "OWED %" PRIu64 "\r\n", owed);
	OUT_LITERAL(out, "END");
}

bool
jobs_command(struct jobs *j, struct cache *c, struct span command, struct out *out)
{
	struct err_detail why = {0};
	struct job_command cmd;
	struct job *job = j ? job_of(j, c) : NULL;
	bool running;

	if (job == NULL || !job_command_parse(command, &cmd, &why))
		return false;
	if (why.code != ERR_OK) {
		err_one_line(&why);
		out_fmt(out, "CLIENT_ERROR %s", err_why(&why));
	} else if (cmd.kind == JOB_LIST) {
		list(job, out);
	} else if (cmd.kind == JOB_STOP) {
		pthread_mutex_lock(&job->lock);
		running = job->running;
		atomic_store_explicit(&job->stop, true, memory_order_relaxed);
		pthread_mutex_unlock(&job->lock);
		if (running)
			OUT_LITERAL(out, "OK stopping");
		else
			OUT_LITERAL(out, "CLIENT_ERROR no job is running");
	} else if (start(job, &cmd, &why)) {
		OUT_LITERAL(out, "OK started");
	} else {
		out_fmt(out, "SERVER_ERROR %s", err_why(&why));
	}
	return true;
}

static void emit_text(session_emit_fn *emit, void *arg, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* No value of `stats` has a space in it. */
static void
emit_text(session_emit_fn *emit, void *arg, const char *name, const char *fmt, ...)
{
	char text[sizeof((struct job_result *)0)->text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if (*p == ' ')
			*p = '_';
	emit(arg, span_of(name), span_of(text));
}

bool
jobs_stats(struct jobs *j, struct cache *c, session_emit_fn *emit, void *arg)
{
	struct job *job = j ? job_of(j, c) : NULL;
	struct shown s;

	if (job == NULL)
		return false;
	look(job, &s);
	emit_text(emit, arg, "running", "%s", s.running ? job_kind_text(s.kind) : "no");
	if (s.running) {
		emit_text(emit, arg, "file", "%s", s.name);
		emit_text(emit, arg, "state", "%s", s.p.state);
		emit_text(emit, arg, "items", "%" PRIu64, s.p.items);
		emit_text(emit, arg, "bytes", "%" PRIu64, s.p.bytes);
		emit_text(emit, arg, "percent", "%u", s.percent);
		emit_text(emit, arg, "seconds", "%" PRIu64, s.seconds);
		emit_text(emit, arg, "eta", "%" PRIu64, s.eta);
	}
	emit_text(emit, arg, "last", "%s", s.last.any ? job_kind_text(s.last.kind) : "none");
	if (s.last.any) {
		emit_text(emit, arg, "last_ok", "%s", s.last.ok ? "yes" : "no");
		emit_text(emit, arg, "last_result", "%s", s.last.text);
	}
	emit_text(emit, arg, "owed", "%" PRIu64, store_owed(cache_store(job->cache)));
	return true;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

err_t
jobs_create(struct jobs **out, const struct jobs_options *opt, struct err_detail *why)
{
	struct jobs *j = MEM_NEW(struct jobs);
	struct stat st;

	*out = NULL;
	/* Absolute: a daemon changes its folder. */
	j->dir = realpath(opt->dir, NULL);
	if (j->dir == NULL || stat(j->dir, &st) != 0 || !S_ISDIR(st.st_mode) ||
	    access(j->dir, R_OK | W_OK | X_OK) != 0) {
		err_t err =
		    err_set(why, ERR_CONFIG, "--job-dir %s: %s; name a folder that the server can write",
			    opt->dir, j->dir && errno == 0 ? "no folder" : strerror(errno ? errno : ENOTDIR));

		free(j->dir);
		free(j);
		return err;
	}
	j->quiesce = opt->quiesce;
	j->clock = opt->clock;
	j->log = opt->log;
	j->n = opt->n;
	j->at = mem_zalloc(j->n, sizeof *j->at);
	for (size_t i = 0; i < j->n; i++) {
		j->at[i].jobs = j;
		j->at[i].cache = opt->caches[i];
		j->at[i].progress.state = "idle";
		pthread_mutex_init(&j->at[i].lock, NULL);
	}
	*out = j;
	return ERR_OK;
}

void
jobs_stop(struct jobs *j)
{
	for (size_t i = 0; j && i < j->n; i++)
		atomic_store_explicit(&j->at[i].stop, true, memory_order_relaxed);
	for (size_t i = 0; j && i < j->n; i++) {
		if (j->at[i].has_thread)
			pthread_join(j->at[i].thread, NULL);
		j->at[i].has_thread = false;
	}
}

void
jobs_destroy(struct jobs **jp)
{
	struct jobs *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	jobs_stop(j);
	for (size_t i = 0; i < j->n; i++)
		pthread_mutex_destroy(&j->at[i].lock);
	free(j->at);
	free(j->dir);
	free(j);
}
