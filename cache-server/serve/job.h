/*
 * job - backups, restores and clones that are made while the server serves: at most one of each container at
 * a time, each in a thread of its own, with files in the folder of --job-dir.
 *
 * A command is answered at once; `jobs` and `stats jobs` show how far it is and how the last one ended.  The
 * thread joins the store as a worker does and is offline while it waits for a disk or for a peer, so that
 * nobody waits for it.  A backup for another server (`backup -`) is made by the worker of its connection,
 * a segment at a time and only as fast as the other reads: what waits is a segment, or one value where that
 * is larger.
 *
 * What is restored or cloned is unproven: store_owed() says from when on the deletes must be delivered again
 * (schemas/cache-protocol.md, "Jobs", says what the operator does).  A server that has not caught up itself
 * makes no backups: they would hold values that were deleted before they began, which nobody would deliver
 * again.
 *
 * Threads: job_command() and job_stats() any worker; the rest main, or where said.   Blocks: commands on a
 * mutex for moments; jobs_stop() until the threads have ended.   Clock: injected.
 */
#ifndef SQUEAL_CACHE_SERVER_SERVE_JOB_H
#define SQUEAL_CACHE_SERVER_SERVE_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache-server/cache/cache.h"
#include "cache-server/proto/session.h"
#include "cache-server/serve/job_command.h"
#include "lib/core/clock.h"
#include "lib/core/err.h"
#include "lib/core/log.h"

struct jobs_options {
	const char *dir;
	struct quiesce *quiesce;
	struct cache *const *caches; /* must outlive the jobs */
	size_t n;
	const struct clock *clock;
	struct log *log; /* may be NULL */
};

/* What a job shows of itself. */
struct job_progress {
	const char *state; /* "idle", "reading the base", "writing", "checking", "connecting", "restoring" */
	uint64_t items, bytes;
	uint64_t done, total; /* of what the per cent are; total 0: not known */
};

struct job_result {
	enum job_kind kind;
	bool any, ok; /* there was one; it ended well */
	char text[700];
};

struct job {
	struct jobs *jobs;
	struct cache *cache;
	_Atomic bool stop;

	pthread_mutex_t lock; /* of all below */
	bool running;
	bool has_thread; /* to be joined */
	pthread_t thread;
	enum job_kind kind;
	char names[JOB_MAX_FILES][JOB_MAX_NAME + 64]; /* files or an address */
	size_t nnames;
	uint64_t start_ms;
	struct job_progress progress;
	struct job_result last;
};

struct jobs {
	char *dir; /* absolute */
	struct quiesce *quiesce;
	const struct clock *clock;
	struct log *log;
	struct job *at; /* one for each container */
	size_t n;
};

/* ERR_CONFIG: the folder is not there or cannot be written. */
err_t jobs_create(struct jobs **out, const struct jobs_options *opt, struct err_detail *why) MUST_CHECK;
void jobs_stop(struct jobs *j); /* NULL is fine */
void jobs_destroy(struct jobs **j);

/* session_host_ops.job, and `stats jobs`.  `j` may be NULL: there are no jobs. */
bool jobs_command(struct jobs *j, struct cache *c, struct span command, struct out *out);
bool jobs_stats(struct jobs *j, struct cache *c, session_emit_fn *emit, void *emit_arg);

/* `backup -` as session_host_ops.dump.  The text of *why lives as long as the thread. */
struct session_dump *jobs_stream(struct jobs *j, struct cache *c, const char **why);

/* --- between the files of jobs ----------------------------------------------------------------------------
 */

/* The job's thread. */
void job_tell(struct job *job, const struct job_progress *p);
bool job_stopped(void *job);

/* For jobs that have no thread: takes the container's place, and gives it back.  False: *why says why. */
bool job_begin(struct job *job, enum job_kind kind, struct err_detail *why);
void job_end(struct job *job, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * job_clone.c: connects, asks for `backup -` and brings in what comes.  `qt` is online.  Blocks for as long
 * as it takes.
 */
struct quiesce_thread;
struct restore_figures;
err_t job_clone(struct job *job, struct store_thread *t, struct quiesce_thread *qt,
		struct restore_figures *out, struct err_detail *why) MUST_CHECK;

#endif
