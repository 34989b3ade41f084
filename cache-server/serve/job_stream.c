/*
 * `backup -`: a backup on the client's connection, for another server's clone.
 *
 * A step visits segments until 64 KiB are there.  The session calls it only when what was made before has
 * been sent, so the memory that a slow reader costs is bounded by a segment or the largest value.  When it
 * cannot be finished the connection is closed: the reader sees that the end is missing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache-server/serve/job.h"
#include "cache-server/store/backup.h"
#include "lib/core/hash.h"

enum { STEP_BYTES = 65536 };

struct stream {
	struct session_dump base;
	struct job *job;
	struct backup *backup; /* made by the first step */
	bool whole;
	struct out *out; /* during a step */
};

static err_t
sink(void *arg, struct span bytes, struct err_detail *why)
{
	struct stream *s = arg;

	out_span(s->out, bytes);
	if (s->out->failed)
		return err_set(why, ERR_FULL, "no memory for what the other server does not take; try again");
	return ERR_OK;
}

static err_t
begin(struct stream *s, struct cache_thread *t, struct err_detail *why)
{
	struct backup_options opt = {.id = hash_seed() | 1,
				     .hash_seed = hash_seed(),
				     .unix_now = clock_real_us(s->job->jobs->clock) / 1000000,
				     .sink = sink,
				     .arg = s};
	uint64_t items = metric_get(&store_metrics(cache_store(s->job->cache))->store_items);

	out_fmt(s->out, "BACKUP %" PRIu64 "\r\n", items);
	return backup_create(&s->backup, cache_store_thread(t), &opt, why);
}

static bool
step(struct session_dump *base, struct cache_thread *t, struct out *out)
{
	struct stream *s = (struct stream *)base;
	struct err_detail why = {0};
	struct job_progress progress = {
	    .state = "writing", .total = metric_get(&store_metrics(cache_store(s->job->cache))->store_items)};
	struct backup_figures figures;
	size_t before = out_pending(out);
	bool more = true;
	err_t err = ERR_OK;

	s->out = out;
	if (s->backup == NULL)
		err = begin(s, t, &why);
	while (err == ERR_OK && more && out_pending(out) - before < STEP_BYTES)
		err = job_stopped(s->job) ? err_set(&why, ERR_CLOSED, "stopped before the end")
					  : backup_step(s->backup, 1, &more, &why);
	if (err != ERR_OK) {
		job_end(s->job, false, "%s", err_why(&why));
		s->job = NULL;
		out->failed = true; /* closes the connection */
		return false;
	}
	backup_figures(s->backup, &figures);
	progress.items = progress.done = figures.items;
	progress.bytes = figures.bytes;
	job_tell(s->job, &progress);
	if (!more) {
		job_end(s->job, true, "%" PRIu64 " items, %" PRIu64 " bytes", figures.items, figures.bytes);
		s->job = NULL;
	}
	return more;
}

static void
stream_free(struct session_dump *base)
{
	struct stream *s = (struct stream *)base;

	if (s->job)
		job_end(s->job, false, "the other server closed the connection before the end");
	backup_destroy(&s->backup);
	free(s);
}

struct session_dump *
jobs_stream(struct jobs *j, struct cache *c, const char **why)
{
	static _Thread_local char text[sizeof((struct err_detail *)0)->text + 16];
	struct err_detail detail = {0};
	struct stream *s;
	struct job *job = NULL;

	for (size_t i = 0; j && i < j->n; i++)
		if (j->at[i].cache == c)
			job = &j->at[i];
	if (job == NULL) {
		*why = "ERROR";
		return NULL;
	}
	s = calloc(1, sizeof *s);
	if (s == NULL) {
		*why = "SERVER_ERROR out of memory";
		return NULL;
	}
	if (!job_begin(job, JOB_STREAM, &detail)) {
		snprintf(text, sizeof text, "SERVER_ERROR %s", err_why(&detail));
		*why = text;
		free(s);
		return NULL;
	}
	s->base = (struct session_dump){step, stream_free};
	s->job = job;
	return &s->base;
}
