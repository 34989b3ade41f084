#include "lib/broker/group_helper.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum {
	ASK_MS = 3000,	 /* patience for one answer */
	PAUSE_MS = 1000, /* between looks at the topic */
};

struct job {
	struct helper_answer a;
	uint64_t number; /* tells an answer from one to an earlier question */
	uint64_t before; /* HELPER_WITNESS: the least cursor */
	bool done;
};

struct group_helper {
	const struct log_options *opt;
	int event_fd;
	struct kafka *looker, *member;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t asked;
	bool stop;
	struct job *jobs; /* by partition */
	size_t njobs;
	uint32_t turn; /* that was looked at last */
	uint64_t number;
	uint32_t npartitions;
	bool missed;   /* the topic was not there when it was looked for; … */
	bool returned; /* … and is again */
	char trouble[HELPER_TROUBLE_MAX];
	char cluster[128];
};

static void
ring(struct group_helper *h)
{
	static const uint64_t one = 1;

	if (write(h->event_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static err_t
load_cursors(struct group_helper *h, uint32_t partition, struct cursor_found *f, struct err_detail *why)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *p =
	    rd_kafka_topic_partition_list_add(list, h->opt->topic, (int32_t)partition);
	rd_kafka_resp_err_t code;
	uint64_t first, end;
	err_t err = ERR_OK;
	bool same = true;

	memset(f, 0, sizeof(*f));
	if (h->cluster[0] == '\0') {
		struct kafka_topic topic;

		err = kafka_find_topic(h->looker, ASK_MS, &topic, why);
		if (err != ERR_OK)
			goto done;
		pthread_mutex_lock(&h->lock);
		snprintf(h->cluster, sizeof(h->cluster), "%s", topic.cluster);
		pthread_mutex_unlock(&h->lock);
	}
	kafka_log_id(h->cluster, h->opt->topic, partition, f->log_id);
	code = rd_kafka_committed(kafka_rk(h->member), list, ASK_MS);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = p->err;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		err = kafka_error(h->looker, code, "asking for the group's cursors", why);
		goto done;
	}
	f->committed = p->offset >= 0;
	f->offset = p->offset >= 0 ? (uint64_t)p->offset : 0;
	f->has_servers = f->committed && p->metadata_size > 0 &&
			 commit_decode(span_make(p->metadata, p->metadata_size), &f->commit);
	if (f->has_servers && f->commit.has_witness)
		err = kafka_witness_same(
		    h->looker, partition,
		    &(struct broker_witness){true, f->commit.witness_offset, f->commit.witness}, ASK_MS,
		    &same, why);
	f->other_log = !same;
	/* Brokers forget the offsets of a group that was away for a week (offsets.retention.minutes), and
	 * cannot be asked whether they did.  With the whole log still there it does not matter. */
	if (err == ERR_OK && !f->committed) {
		err = kafka_bounds(h->looker, partition, ASK_MS, &first, &end, why);
		f->other_log = err == ERR_OK && first > 0;
	}
done:
	rd_kafka_topic_partition_list_destroy(list);
	return err;
}

/*
 * Finds a witness that lies right before the least cursor, so that retention takes it last.  Then looks for
 * the one that is known: if it is there the new one is of the same log, for a log that is gone does not come
 * back.
 */
static err_t
move_witness(struct group_helper *h, uint32_t partition, struct job *job, struct err_detail *why)
{
	struct broker_witness newer = {.known = false};
	bool same = true;
	err_t err = ERR_OK;

	if (job->before > 0)
		err = kafka_witness_before(h->looker, partition, job->before, ASK_MS, &newer, why);
	if (err == ERR_GAP) {
		err_clear(why);
		err = ERR_OK;
	}
	if (err == ERR_OK && job->a.witness.known)
		err = kafka_witness_same(h->looker, partition, &job->a.witness, ASK_MS, &same, why);
	job->a.found.other_log = !same;
	job->a.newer = newer;
	return err;
}

/* One job of the helper, with the lock held on the way in and out.  False: nothing to do, or it must wait. */
static bool
do_job(struct group_helper *h, struct err_detail *why)
{
	for (size_t n = 0; n < h->njobs && !h->stop; n++) {
		/* In turns: a partition without a leader must not hold the others up. */
		uint32_t i = h->turn = (uint32_t)((h->turn + 1) % h->njobs);
		struct job *copy;
		err_t err;

		if (h->jobs[i].a.question == HELPER_NONE || h->jobs[i].done)
			continue;
		copy = MEM_NEW(struct job);
		*copy = h->jobs[i];
		pthread_mutex_unlock(&h->lock);
		err = copy->a.question == HELPER_LOAD ? load_cursors(h, i, &copy->a.found, why)
						      : move_witness(h, i, copy, why);
		pthread_mutex_lock(&h->lock);
		/* It may be another question by now; the array may have moved. */
		if (h->jobs[i].a.question == copy->a.question && h->jobs[i].number == copy->number) {
			if (err == ERR_OK) {
				copy->done = true;
				h->jobs[i] = *copy;
				ring(h);
			} else if (copy->a.question == HELPER_WITNESS) {
				h->jobs[i].a.question = HELPER_NONE; /* asked again in a while */
			}
		}
		free(copy);
		return err == ERR_OK;
	}
	return false;
}

static void
look_at_topic(struct group_helper *h, struct err_detail *why)
{
	struct kafka_topic topic;
	err_t err;

	pthread_mutex_unlock(&h->lock);
	err = kafka_find_topic(h->looker, ASK_MS, &topic, why);
	pthread_mutex_lock(&h->lock);
	h->missed |= err == ERR_NOT_FOUND;
	if (err == ERR_OK) {
		if (h->missed) {
			h->missed = false;
			h->returned = true;
			ring(h);
		}
		h->npartitions = topic.npartitions;
		snprintf(h->cluster, sizeof(h->cluster), "%s", topic.cluster);
	}
}

static void *
helper_main(void *arg)
{
	struct group_helper *h = arg;
	uint64_t looked_ms = 0;

	pthread_mutex_lock(&h->lock);
	while (!h->stop) {
		struct err_detail why = {0};
		uint64_t now_ms = clock_mono_ms(clock_system());
		struct timespec until;
		bool changed;

		if (do_job(h, &why))
			continue;
		if (!h->stop && why.code == ERR_OK && now_ms - looked_ms >= PAUSE_MS) {
			looked_ms = now_ms;
			look_at_topic(h, &why);
		}
		changed = strcmp(h->trouble, why.text) != 0;
		snprintf(h->trouble, sizeof(h->trouble), "%.399s", why.text);
		if (changed)
			ring(h);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PAUSE_MS / 1000;
		if (!h->stop)
			pthread_cond_timedwait(&h->asked, &h->lock, &until);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* --- for the group -----------------------------------------------------------------------------------------
 */

/* Returns with the lock held. */
static struct job *
ask(struct group_helper *h, uint32_t partition, enum helper_question question)
{
	size_t n = (size_t)partition + 1;
	struct job *job;

	pthread_mutex_lock(&h->lock);
	if (n > h->njobs) {
		h->jobs = mem_realloc(h->jobs, n * sizeof(h->jobs[0]));
		memset(h->jobs + h->njobs, 0, (n - h->njobs) * sizeof(h->jobs[0]));
		h->njobs = n;
	}
	job = &h->jobs[partition];
	memset(job, 0, sizeof(*job));
	job->a.question = question;
	job->number = ++h->number;
	pthread_cond_signal(&h->asked);
	return job;
}

void
group_helper_load(struct group_helper *h, uint32_t partition)
{
	(void)ask(h, partition, HELPER_LOAD);
	pthread_mutex_unlock(&h->lock);
}

void
group_helper_witness(struct group_helper *h, uint32_t partition, uint64_t before,
		     const struct broker_witness *witness)
{
	struct job *job = ask(h, partition, HELPER_WITNESS);

	job->before = before;
	job->a.witness = *witness;
	pthread_mutex_unlock(&h->lock);
}

void
group_helper_forget(struct group_helper *h, uint32_t partition)
{
	pthread_mutex_lock(&h->lock);
	if (partition < h->njobs)
		h->jobs[partition].a.question = HELPER_NONE;
	pthread_mutex_unlock(&h->lock);
}

struct helper_answer *
group_helper_take(struct group_helper *h, uint32_t partition)
{
	struct helper_answer *out = NULL;

	pthread_mutex_lock(&h->lock);
	if (partition < h->njobs && h->jobs[partition].a.question != HELPER_NONE && h->jobs[partition].done) {
		out = MEM_NEW(struct helper_answer);
		*out = h->jobs[partition].a;
		h->jobs[partition].a.question = HELPER_NONE;
	}
	pthread_mutex_unlock(&h->lock);
	return out;
}

uint32_t
group_helper_partitions(struct group_helper *h)
{
	uint32_t n;

	pthread_mutex_lock(&h->lock);
	n = h->npartitions;
	pthread_mutex_unlock(&h->lock);
	return n;
}

bool
group_helper_returned(struct group_helper *h)
{
	bool returned;

	pthread_mutex_lock(&h->lock);
	returned = h->returned;
	h->returned = false;
	pthread_mutex_unlock(&h->lock);
	return returned;
}

void
group_helper_trouble(struct group_helper *h, char out[HELPER_TROUBLE_MAX])
{
	pthread_mutex_lock(&h->lock);
	snprintf(out, HELPER_TROUBLE_MAX, "%s", h->trouble);
	pthread_mutex_unlock(&h->lock);
}

/* --- life --------------------------------------------------------------------------------------------------
 */

err_t
group_helper_start(struct group_helper *h, struct kafka *member, struct err_detail *why)
{
	err_t err;

	h->member = member;
	err = thread_start(&h->thread, "kafka-group", helper_main, h, why);
	h->started = err == ERR_OK;
	return err;
}

void
group_helper_stop(struct group_helper *h)
{
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->asked);
	pthread_mutex_unlock(&h->lock);
	if (h->started)
		pthread_join(h->thread, NULL);
	h->started = false;
	h->stop = false;
}

err_t
group_helper_create(struct group_helper **out, const struct log_options *opt, int event_fd, struct log *log,
		    struct err_detail *why)
{
	struct group_helper *h = MEM_NEW(struct group_helper);
	pthread_condattr_t attr;
	err_t err;

	h->opt = opt;
	h->event_fd = event_fd;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->asked, &attr);
	pthread_condattr_destroy(&attr);
	err = kafka_open(&h->looker, KAFKA_LOOKER, opt, NULL, NULL, h, log, why);
	if (err != ERR_OK)
		group_helper_destroy(&h);
	*out = h;
	return err;
}

void
group_helper_destroy(struct group_helper **hp)
{
	struct group_helper *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	group_helper_stop(h);
	kafka_close(&h->looker);
	pthread_cond_destroy(&h->asked);
	pthread_mutex_destroy(&h->lock);
	free(h->jobs);
	free(h);
}
