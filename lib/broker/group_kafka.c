#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/broker/cursor_kafka.h"
#include "lib/broker/group_ops.h"
#include "lib/broker/kafka_witness.h"
#include "lib/core/mem.h"
#include "lib/core/thread.h"

enum {
	ASK_MS = 3000,	   /* patience of the helper for one answer */
	PAUSE_MS = 1000,   /* between the helper's looks at the topic */
	WITNESS_MS = 5000, /* how often a partition's witness is looked at and moved */
	CLOSE_MS = 5000,   /* patience for the last commit, and for the group to let go */
	/* Before it joins again after it was fenced.  A coordinator that changes can do that to a member that
	 * is alone with its name, so the first time is soon; another router with our name does it again and
	 * again. */
	FENCED_MS = 500,
	FENCED_AGAIN_MS = 30000,
	AT_ONCE = 1000, /* callbacks served in one turn */
	LOST_MS = 3000, /* after an assignment without what was lost: one more may follow that has it */
};

enum part_state {
	PART_FREE,
	PART_LOADING, /* assigned; the helper asks for its cursors */
	PART_OURS,    /* on_assigned() was called */
	PART_LOST,    /* the same, but the group has lost us; it may give the partition back */
};

/* What the helper is asked about a partition, and answers. */
enum job_kind { JOB_NONE, JOB_LOAD, JOB_WITNESS };

struct job {
	enum job_kind kind;
	uint64_t number; /* tells an answer from one to an earlier question */
	uint64_t before; /* JOB_WITNESS: the least cursor */
	struct cursor_found found;
	struct broker_witness witness, newer;
	bool done;
};

struct part {
	enum part_state state;
	struct cursor_store *cursors;
	uint64_t witness_ms; /* when it was looked at */
	uint64_t until_ms;   /* PART_LOST: when it is dropped; 0: not before the group has assigned anew */
	uint64_t number;     /* of the last job */
	struct job job;	     /* guarded by the lock */
	bool made_anew;	     /* PART_LOADING: what was delivered was of another log, whatever is committed */
};

struct kafka_group {
	struct group base;
	struct group_context ctx;
	char name[160];
	struct kafka *member;
	rd_kafka_queue_t *queue;
	int fd;
	bool closing, fenced, fenced_often;
	bool was_assigned; /* the member, something or nothing */
	uint64_t fenced_ms;
	bool troubled;
	struct part *parts;
	size_t nparts; /* room in parts; only grows */

	/* The helper asks what would block. */
	struct kafka *looker;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards jobs, and the rest here */
	pthread_cond_t asked;
	bool stop;
	uint32_t npartitions;
	bool missed;	   /* the topic was not there when it was looked for; … */
	bool returned;	   /* … and is again: every witness is looked at */
	char trouble[400]; /* "": none */
	char cluster[128];
};

static const struct group_kind kafka_group_kind;

static void
ring(struct kafka_group *g)
{
	static const uint64_t one = 1;

	if (write(g->fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

/* --- the helper --------------------------------------------------------------------------------------------
 */

static err_t
load_cursors(struct kafka_group *g, uint32_t partition, struct cursor_found *f, struct err_detail *why)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *p =
	    rd_kafka_topic_partition_list_add(list, g->ctx.log->topic, (int32_t)partition);
	rd_kafka_resp_err_t code;
	uint64_t first, end;
	err_t err = ERR_OK;
	bool same = true;

	memset(f, 0, sizeof(*f));
	if (g->cluster[0] == '\0') {
		struct kafka_topic topic;

		err = kafka_find_topic(g->looker, ASK_MS, &topic, why);
		if (err != ERR_OK)
			goto done;
		pthread_mutex_lock(&g->lock);
		snprintf(g->cluster, sizeof(g->cluster), "%s", topic.cluster);
		pthread_mutex_unlock(&g->lock);
	}
	kafka_log_id(g->cluster, g->ctx.log->topic, partition, f->log_id);
	code = rd_kafka_committed(kafka_rk(g->member), list, ASK_MS);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = p->err;
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		err = kafka_error(g->looker, code, "asking for the group's cursors", why);
		goto done;
	}
	f->committed = p->offset >= 0;
	f->offset = p->offset >= 0 ? (uint64_t)p->offset : 0;
	f->has_servers = f->committed && p->metadata_size > 0 &&
			 commit_decode(span_make(p->metadata, p->metadata_size), &f->commit);
	if (f->has_servers && f->commit.has_witness)
		err = kafka_witness_same(
		    g->looker, partition,
		    &(struct broker_witness){true, f->commit.witness_offset, f->commit.witness}, ASK_MS,
		    &same, why);
	f->other_log = !same;
	/* Brokers forget the offsets of a group that was away for a week (offsets.retention.minutes), and
	 * cannot be asked whether they did.  With the whole log still there it does not matter. */
	if (err == ERR_OK && !f->committed) {
		err = kafka_bounds(g->looker, partition, ASK_MS, &first, &end, why);
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
move_witness(struct kafka_group *g, uint32_t partition, struct job *job, struct err_detail *why)
{
	struct broker_witness newer = {.known = false};
	bool same = true;
	err_t err = ERR_OK;

	if (job->before > 0)
		err = kafka_witness_before(g->looker, partition, job->before, ASK_MS, &newer, why);
	if (err == ERR_GAP) {
		err_clear(why);
		err = ERR_OK;
	}
	if (err == ERR_OK && job->witness.known)
		err = kafka_witness_same(g->looker, partition, &job->witness, ASK_MS, &same, why);
	job->found.other_log = !same;
	job->newer = newer;
	return err;
}

/* One job of the helper, with the lock held on the way in and out.  False: nothing to do, or it must wait. */
static bool
do_job(struct kafka_group *g, struct err_detail *why)
{
	for (uint32_t i = 0; i < g->nparts && !g->stop; i++) {
		struct job *copy;
		err_t err;

		if (g->parts[i].job.kind == JOB_NONE || g->parts[i].job.done)
			continue;
		copy = MEM_NEW(struct job);
		*copy = g->parts[i].job;
		pthread_mutex_unlock(&g->lock);
		err = copy->kind == JOB_LOAD ? load_cursors(g, i, &copy->found, why)
					     : move_witness(g, i, copy, why);
		pthread_mutex_lock(&g->lock);
		/* It may be another question by now; the array may have moved. */
		if (g->parts[i].job.kind == copy->kind && g->parts[i].job.number == copy->number) {
			if (err == ERR_OK) {
				copy->done = true;
				g->parts[i].job = *copy;
				ring(g);
			} else if (copy->kind == JOB_WITNESS) {
				g->parts[i].job.kind = JOB_NONE; /* asked again in a while */
			}
		}
		free(copy);
		return err == ERR_OK;
	}
	return false;
}

static void
look_at_topic(struct kafka_group *g, struct err_detail *why)
{
	struct kafka_topic topic;
	err_t err;

	pthread_mutex_unlock(&g->lock);
	err = kafka_find_topic(g->looker, ASK_MS, &topic, why);
	pthread_mutex_lock(&g->lock);
	g->missed |= err == ERR_NOT_FOUND;
	if (err == ERR_OK) {
		if (g->missed) {
			g->missed = false;
			g->returned = true;
			ring(g);
		}
		g->npartitions = topic.npartitions;
		snprintf(g->cluster, sizeof(g->cluster), "%s", topic.cluster);
	}
}

static void *
helper_main(void *arg)
{
	struct kafka_group *g = arg;
	uint64_t looked_ms = 0;

	pthread_mutex_lock(&g->lock);
	while (!g->stop) {
		struct err_detail why = {0};
		uint64_t now_ms = clock_mono_ms(clock_system());
		struct timespec until;
		bool changed;

		if (do_job(g, &why))
			continue;
		if (!g->stop && why.code == ERR_OK && now_ms - looked_ms >= PAUSE_MS) {
			looked_ms = now_ms;
			look_at_topic(g, &why);
		}
		changed = strcmp(g->trouble, why.text) != 0;
		snprintf(g->trouble, sizeof(g->trouble), "%.399s", why.text);
		if (changed)
			ring(g);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PAUSE_MS / 1000;
		if (!g->stop)
			pthread_cond_timedwait(&g->asked, &g->lock, &until);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void
ask(struct kafka_group *g, uint32_t partition, enum job_kind kind, uint64_t before)
{
	struct part *p = &g->parts[partition];

	pthread_mutex_lock(&g->lock);
	memset(&p->job, 0, sizeof(p->job));
	p->job.kind = kind;
	p->job.number = ++p->number;
	p->job.before = before;
	if (kind == JOB_WITNESS)
		p->job.witness = cursor_kafka_witness(p->cursors);
	pthread_cond_signal(&g->asked);
	pthread_mutex_unlock(&g->lock);
}

/* --- commits -----------------------------------------------------------------------------------------------
 */

static void
on_changed(void *arg)
{
	ring(arg);
}

/* Adds what is due; the list's metadata is librdkafka's to free. */
static void
add_commit(struct kafka_group *g, uint32_t partition, rd_kafka_topic_partition_list_t *list)
{
	struct part *p = &g->parts[partition];
	rd_kafka_topic_partition_t *to;
	struct buf metadata = BUF_INIT;
	uint64_t offset;

	if (p->state == PART_OURS && cursor_kafka_commit(p->cursors, &offset, &metadata)) {
		to = rd_kafka_topic_partition_list_add(list, g->ctx.log->topic, (int32_t)partition);
		to->offset = (int64_t)offset;
		to->metadata = mem_alloc(metadata.len);
		memcpy(to->metadata, metadata.p, metadata.len);
		to->metadata_size = metadata.len;
	}
	buf_fini(&metadata);
}

static void
on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_group *g = kafka_arg(rk);

	for (int i = 0; list != NULL && i < list->cnt; i++) {
		uint32_t partition = (uint32_t)list->elems[i].partition;
		bool well =
		    code == RD_KAFKA_RESP_ERR_NO_ERROR && list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR;

		if (partition < g->nparts && g->parts[partition].cursors != NULL)
			cursor_kafka_committed(g->parts[partition].cursors, well);
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NO_OFFSET && !g->closing)
		log_notice(g->ctx.broker->log, "group: cursors were not committed; they are tried again",
			   F_STR("group", g->name), F_STR("reason", rd_kafka_err2str(code)));
}

static void
commit_due(struct kafka_group *g)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	for (uint32_t i = 0; i < g->nparts; i++)
		add_commit(g, i, list);
	if (list->cnt > 0 && rd_kafka_commit(kafka_rk(g->member), list, 1) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		for (int i = 0; i < list->cnt; i++)
			cursor_kafka_committed(g->parts[list->elems[i].partition].cursors, false);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

/* --- assignment --------------------------------------------------------------------------------------------
 */

static void
make_room(struct kafka_group *g, uint32_t partition)
{
	size_t n = g->nparts;

	if (partition < n)
		return;
	pthread_mutex_lock(&g->lock);
	n = (size_t)partition + 1;
	g->parts = mem_realloc(g->parts, n * sizeof(g->parts[0]));
	memset(g->parts + g->nparts, 0, (n - g->nparts) * sizeof(g->parts[0]));
	g->nparts = n;
	pthread_mutex_unlock(&g->lock);
}

/* The last commit is sent and not waited for. */
static void
drop(struct kafka_group *g, uint32_t partition)
{
	struct part *p = &g->parts[partition];

	if (p->state == PART_OURS || p->state == PART_LOST) {
		log_info(g->ctx.broker->log, "group: a partition is no longer ours", F_STR("group", g->name),
			 F_UINT("partition", partition));
		g->ctx.ops->on_dropped(g->ctx.arg, partition);
		/* Behind one that is under way: they arrive in order. */
		cursor_kafka_committed(p->cursors, true);
		if (!g->closing && !g->fenced && !rd_kafka_assignment_lost(kafka_rk(g->member)))
			commit_due(g);
	}
	if (!g->closing)
		cursor_close(&p->cursors);
	p->state = PART_FREE;
	p->made_anew = false;
	pthread_mutex_lock(&g->lock);
	p->job.kind = JOB_NONE;
	pthread_mutex_unlock(&g->lock);
}

/*
 * The group has lost us: a session ran out, or a commit crossed a rebalance (librdkafka then gives everything
 * up, only to get most of it again a second later).  What it had given us goes on until it says who has it
 * now; if that was another router meanwhile, deletes are repeated.
 */
static void
lose(struct kafka_group *g, uint32_t partition)
{
	struct part *p = &g->parts[partition];

	if (p->state != PART_OURS) {
		drop(g, partition);
		return;
	}
	p->state = PART_LOST;
	p->until_ms = 0;
	cursor_kafka_committed(p->cursors, false);
}

static void
assigned(struct kafka_group *g, const rd_kafka_topic_partition_list_t *list)
{
	uint64_t until_ms = clock_mono_ms(g->ctx.broker->clock) + LOST_MS;

	for (int i = 0; i < list->cnt; i++) {
		uint32_t partition = (uint32_t)list->elems[i].partition;

		make_room(g, partition);
		if (g->parts[partition].state == PART_LOST) {
			g->parts[partition].state = PART_OURS;
		} else {
			g->parts[partition].state = PART_LOADING;
			ask(g, partition, JOB_LOAD, 0);
		}
	}
	for (uint32_t i = 0; i < g->nparts; i++) {
		if (g->parts[i].state == PART_LOST && g->parts[i].until_ms == 0)
			g->parts[i].until_ms = until_ms;
	}
}

static void
drop_lost(struct kafka_group *g)
{
	uint64_t now_ms = clock_mono_ms(g->ctx.broker->clock);

	for (uint32_t i = 0; i < g->nparts; i++) {
		if (g->parts[i].state == PART_LOST && g->parts[i].until_ms != 0 &&
		    now_ms >= g->parts[i].until_ms)
			drop(g, i);
	}
}

static void
on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct kafka_group *g = kafka_arg(rk);
	rd_kafka_error_t *error = NULL;

	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		g->was_assigned = true;
		/* Readers fetch by themselves: nothing is fetched here. */
		for (int i = 0; i < list->cnt; i++)
			list->elems[i].offset = RD_KAFKA_OFFSET_END;
		error = rd_kafka_incremental_assign(rk, list);
		rd_kafka_pause_partitions(rk, list);
		assigned(g, list);
	} else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
		bool lost = rd_kafka_assignment_lost(rk) && !g->closing;

		for (int i = 0; i < list->cnt; i++) {
			uint32_t partition = (uint32_t)list->elems[i].partition;

			if (partition < g->nparts && lost)
				lose(g, partition);
			else if (partition < g->nparts)
				drop(g, partition);
		}
		error = rd_kafka_incremental_unassign(rk, list);
	} else {
		rd_kafka_assign(rk, NULL);
	}
	if (error != NULL) {
		log_error(g->ctx.broker->log, "group: a change of partitions failed", F_STR("group", g->name),
			  F_STR("reason", rd_kafka_error_string(error)));
		rd_kafka_error_destroy(error);
	}
}

/* What the helper has found out. */
static void
take_answers(struct kafka_group *g)
{
	for (uint32_t i = 0; i < g->nparts; i++) {
		struct part *p = &g->parts[i];
		struct job *job = NULL;

		pthread_mutex_lock(&g->lock);
		if (p->job.kind != JOB_NONE && p->job.done) {
			job = MEM_NEW(struct job);
			*job = p->job;
			p->job.kind = JOB_NONE;
		}
		pthread_mutex_unlock(&g->lock);
		if (job == NULL)
			continue;
		if (job->kind == JOB_LOAD && p->state == PART_LOADING) {
			bool gone = p->made_anew || job->found.committed;

			/* Every server has missed something, also one that has saved nothing yet. */
			if (p->made_anew) {
				job->found.committed = job->found.has_servers = false;
				job->found.other_log = true;
			}
			p->made_anew = false;
			p->witness_ms = 0;
			p->cursors = cursor_kafka_create(&job->found, on_changed, g);
			p->state = PART_OURS;
			log_info(g->ctx.broker->log, "group: a partition is ours", F_STR("group", g->name),
				 F_UINT("partition", i), F_BOOL("committed", job->found.committed),
				 F_UINT("offset", job->found.offset));
			if (job->found.other_log && !gone)
				log_error(
				    g->ctx.broker->log,
				    "group: it has no committed offsets, and the log no longer has its first "
				    "records; if the offsets expired, deletes were missed: servers are "
				    "flushed (if the "
				    "cluster is new, commit offsets first: kafka-consumer-groups.sh "
				    "--reset-offsets)",
				    F_STR("group", g->name), F_UINT("partition", i));
			else if (job->found.other_log)
				log_error(
				    g->ctx.broker->log,
				    "group: the topic was made anew or lost its end; servers are flushed",
				    F_STR("group", g->name), F_UINT("partition", i),
				    F_UINT("cursor", job->found.offset));
			g->ctx.ops->on_assigned(g->ctx.arg, i, p->cursors);
		} else if (job->kind == JOB_WITNESS && p->state == PART_OURS && job->found.other_log) {
			/* Load again.  What is committed may be gone with the topic, or be of any log. */
			g->ctx.ops->on_dropped(g->ctx.arg, i);
			cursor_close(&p->cursors);
			p->state = PART_LOADING;
			p->made_anew = true;
			ask(g, i, JOB_LOAD, 0);
		} else if (job->kind == JOB_WITNESS && p->state == PART_OURS && job->newer.known) {
			cursor_kafka_set_witness(p->cursors, &job->witness, &job->newer);
		}
		free(job);
	}
}

static void
look_at_witnesses(struct kafka_group *g)
{
	uint64_t now_ms = clock_mono_ms(g->ctx.broker->clock);
	bool returned;

	pthread_mutex_lock(&g->lock);
	returned = g->returned;
	g->returned = false;
	pthread_mutex_unlock(&g->lock);
	for (uint32_t i = 0; i < g->nparts; i++) {
		struct part *p = &g->parts[i];
		uint64_t least = 0;

		if (returned)
			p->witness_ms = 0;

		if (p->state != PART_OURS || (p->witness_ms != 0 && now_ms - p->witness_ms < WITNESS_MS) ||
		    (!cursor_kafka_least(p->cursors, &least) && !cursor_kafka_witness(p->cursors).known) ||
		    (least == 0 && !cursor_kafka_witness(p->cursors).known))
			continue;
		p->witness_ms = now_ms;
		ask(g, i, JOB_WITNESS, least);
	}
}

/* --- membership --------------------------------------------------------------------------------------------
 */

static void
prepare_member(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_offset_commit_cb(conf, on_committed);
}

static err_t
join(struct kafka_group *g, struct err_detail *why)
{
	static const uint64_t one = 1;
	const struct kafka_setting more[] = {
	    {"group.id", g->name},
	    {"group.instance.id", g->ctx.instance},
	    {"partition.assignment.strategy", "cooperative-sticky"},
	    {NULL, NULL},
	};
	rd_kafka_topic_partition_list_t *topics;
	rd_kafka_resp_err_t code;
	err_t err = kafka_open(&g->member, KAFKA_MEMBER, g->ctx.log, more, prepare_member, g,
			       g->ctx.broker->log, why);

	if (err != ERR_OK)
		return err;
	g->was_assigned = false;
	rd_kafka_poll_set_consumer(kafka_rk(g->member));
	g->queue = rd_kafka_queue_get_consumer(kafka_rk(g->member));
	rd_kafka_queue_io_event_enable(g->queue, g->fd, &one, sizeof(one));
	topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(topics, g->ctx.log->topic, RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(kafka_rk(g->member), topics);
	rd_kafka_topic_partition_list_destroy(topics);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ? ERR_OK
						  : kafka_error(g->member, code, "joining the group", why);
}

/* Tells only what changed. */
static void
tell_trouble(struct kafka_group *g)
{
	char text[400];

	if (g->fenced && g->fenced_often)
		snprintf(text, sizeof(text),
			 "another router of the group %.100s has the same name, \"%.100s\", and took our "
			 "place; give each "
			 "its own with --instance",
			 g->name, g->ctx.instance);
	pthread_mutex_lock(&g->lock);
	if (!g->fenced || !g->fenced_often)
		snprintf(text, sizeof(text), "%s", g->trouble);
	pthread_mutex_unlock(&g->lock);
	if (text[0] == '\0' && !g->troubled)
		return;
	if (text[0] != '\0' && !g->troubled)
		log_warn(g->ctx.broker->log, "group: trouble; it is tried again", F_STR("group", g->name),
			 F_STR("reason", text));
	g->troubled = text[0] != '\0';
	if (g->ctx.ops->on_trouble != NULL)
		g->ctx.ops->on_trouble(g->ctx.arg, text);
}

/* Another member took our name: everything that we have is its. */
static void
be_fenced(struct kafka_group *g)
{
	uint64_t now_ms = clock_mono_ms(g->ctx.broker->clock);

	g->fenced_often = g->fenced_ms != 0 && now_ms - g->fenced_ms < FENCED_AGAIN_MS * 2;
	g->fenced = true;
	g->fenced_ms = now_ms;
	log_error(g->ctx.broker->log, "group: our place in it was taken; joining again",
		  F_STR("group", g->name), F_STR("instance", g->ctx.instance),
		  F_BOOL("often", g->fenced_often));
	for (uint32_t i = 0; i < g->nparts; i++)
		drop(g, i);
}

static void
leave(struct kafka_group *g)
{
	uint64_t until_ms = clock_mono_ms(clock_system()) + CLOSE_MS;

	if (g->member == NULL)
		return;
	/* librdkafka before 2.3 aborts the program when a member is closed that has joined and was not
	 * assigned anything yet (its issue 4312).  The group needs no word of it: it is a static member. */
	if (!g->was_assigned) {
		if (g->queue != NULL) {
			rd_kafka_queue_io_event_enable(g->queue, -1, NULL, 0);
			rd_kafka_queue_destroy(g->queue);
			g->queue = NULL;
		}
		kafka_abandon(&g->member);
		return;
	}
	if (g->queue != NULL) {
		rd_kafka_error_t *error = rd_kafka_consumer_close_queue(kafka_rk(g->member), g->queue);

		if (error != NULL)
			rd_kafka_error_destroy(error);
		else
			while (!rd_kafka_consumer_closed(kafka_rk(g->member)) &&
			       clock_mono_ms(clock_system()) < until_ms)
				rd_kafka_queue_poll_callback(g->queue, 50);
		rd_kafka_queue_io_event_enable(g->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(g->queue);
		g->queue = NULL;
	}
	kafka_close(&g->member);
}

static void
stop_helper(struct kafka_group *g)
{
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_signal(&g->asked);
	pthread_mutex_unlock(&g->lock);
	if (g->started)
		pthread_join(g->thread, NULL);
	g->started = false;
	g->stop = false;
}

static err_t
start_helper(struct kafka_group *g, struct err_detail *why)
{
	err_t err = thread_start(&g->thread, "kafka-group", helper_main, g, why);

	g->started = err == ERR_OK;
	return err;
}

static void
join_again(struct kafka_group *g)
{
	struct err_detail why = {0};
	err_t err;

	if (clock_mono_ms(g->ctx.broker->clock) - g->fenced_ms <
	    (g->fenced_often ? FENCED_AGAIN_MS : FENCED_MS))
		return;
	stop_helper(g); /* it asks through the member */
	leave(g);
	g->fenced = false;
	err = join(g, &why);
	if (err == ERR_OK)
		err = start_helper(g, &why);
	if (err != ERR_OK) {
		g->fenced = true;
		g->fenced_ms = clock_mono_ms(g->ctx.broker->clock);
		log_error(g->ctx.broker->log, "group: cannot join again", F_STR("reason", err_why(&why)));
	}
}

static void
turn(struct group *base)
{
	struct kafka_group *g = (struct kafka_group *)base;
	rd_kafka_message_t *m;
	uint64_t n;

	if (read(g->fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_error(g->ctx.broker->log, "group: its eventfd fails", F_STR("reason", strerror(errno)));
	if (g->fenced)
		join_again(g);
	for (unsigned i = 0; !g->fenced && i < AT_ONCE; i++) {
		m = rd_kafka_consumer_poll(kafka_rk(g->member), 0);
		if (m == NULL)
			break;
		rd_kafka_message_destroy(m); /* nothing is fetched; errors are librdkafka's to mend */
	}
	if (!g->fenced && rd_kafka_fatal_error(kafka_rk(g->member), NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
		be_fenced(g);
	drop_lost(g);
	take_answers(g);
	look_at_witnesses(g);
	if (!g->fenced)
		commit_due(g);
	tell_trouble(g);
}

/* Waits for the last commit. */
static void
commit_last(struct kafka_group *g)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka_rk(g->member));
	rd_kafka_event_t *ev;

	for (uint32_t i = 0; i < g->nparts; i++) {
		/* A commit that is under way may still come after this one; it is not newer, so it is waited
		 * for. */
		if (g->parts[i].cursors != NULL)
			cursor_kafka_committed(g->parts[i].cursors, true);
		add_commit(g, i, list);
	}
	if (list->cnt > 0 && rd_kafka_commit_queue(kafka_rk(g->member), list, queue, NULL, NULL) ==
				 RD_KAFKA_RESP_ERR_NO_ERROR) {
		ev = rd_kafka_queue_poll(queue, CLOSE_MS);
		if (ev == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR)
			log_warn(g->ctx.broker->log,
				 "group: the last cursors were not committed; some deletes will be repeated",
				 F_STR("group", g->name),
				 F_STR("reason", ev != NULL ? rd_kafka_event_error_string(ev) : "no answer"));
		if (ev != NULL)
			rd_kafka_event_destroy(ev);
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
}

static void
close_group(struct group *base)
{
	struct kafka_group *g = (struct kafka_group *)base;

	stop_helper(g);
	g->closing = true;
	for (uint32_t i = 0; i < g->nparts; i++) {
		if (g->parts[i].state == PART_OURS || g->parts[i].state == PART_LOST)
			g->ctx.ops->on_dropped(g->ctx.arg, i);
	}
	if (g->member != NULL && !g->fenced)
		commit_last(g);
	for (uint32_t i = 0; i < g->nparts; i++) {
		g->parts[i].state = PART_FREE;
		cursor_close(&g->parts[i].cursors);
	}
	leave(g);
	kafka_close(&g->looker);
	if (g->fd >= 0)
		close(g->fd);
	pthread_cond_destroy(&g->asked);
	pthread_mutex_destroy(&g->lock);
	free(g->parts);
	free(g);
}

err_t
group_kafka_open(struct group **out, const struct group_context *ctx, struct err_detail *why)
{
	struct kafka_group *g = MEM_NEW(struct kafka_group);
	pthread_condattr_t attr;
	err_t err = ERR_OK;

	*out = NULL;
	g->base.kind = &kafka_group_kind;
	g->ctx = *ctx;
	snprintf(g->name, sizeof(g->name), "squeal.%.140s", ctx->cluster);
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&g->asked, &attr);
	pthread_condattr_destroy(&attr);
	g->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (g->fd < 0)
		err = err_set(why, ERR_SYS, "cannot make an eventfd: %s", strerror(errno));
	if (err == ERR_OK)
		err = kafka_conf_check(ctx->log, why);
	if (err == ERR_OK)
		err = kafka_open(&g->looker, KAFKA_LOOKER, ctx->log, NULL, NULL, g, ctx->broker->log, why);
	if (err == ERR_OK)
		err = join(g, why);
	if (err == ERR_OK)
		err = start_helper(g, why);
	if (err == ERR_OK)
		*out = &g->base;
	else
		close_group(&g->base);
	return err;
}

static int
fd(const struct group *base)
{
	return ((const struct kafka_group *)base)->fd;
}

static uint32_t
partitions(const struct group *base)
{
	struct kafka_group *g = (struct kafka_group *)(uintptr_t)base;
	uint32_t n;

	pthread_mutex_lock(&g->lock);
	n = g->npartitions;
	pthread_mutex_unlock(&g->lock);
	return n;
}

static const struct group_kind kafka_group_kind = {
    .close = close_group, .fd = fd, .turn = turn, .partitions = partitions};
