#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/broker/group_inside.h"
#include "lib/core/mem.h"

enum {
	WITNESS_MS = 5000, /* how often a partition's witness is looked at and moved */
	LOST_MS = 3000,	   /* after an assignment without what was lost: one more may follow that has it */
};

enum part_state {
	PART_FREE,
	PART_LOADING, /* assigned; the helper asks for its cursors */
	PART_OURS,    /* on_assigned() was called */
	PART_LOST,    /* the same, but the group has lost us; it may give the partition back */
};

struct part {
	enum part_state state;
	struct cursor_store *cursors;
	uint64_t witness_ms; /* when it was looked at */
	uint64_t until_ms;   /* PART_LOST: when it is dropped; 0: not before the group has assigned anew */
	bool made_anew;	     /* PART_LOADING: what was delivered was of another log, whatever is committed */
};

/* --- commits -----------------------------------------------------------------------------------------------
 */

static void
on_changed(void *arg)
{
	static const uint64_t one = 1;
	struct kafka_group *g = arg;

	if (write(g->fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
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

void
group_parts_on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			 void *opaque)
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

void
group_parts_commit(struct kafka_group *g)
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
		ev = rd_kafka_queue_poll(queue, GROUP_CLOSE_MS);
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

/* --- assignment --------------------------------------------------------------------------------------------
 */

static void
make_room(struct kafka_group *g, uint32_t partition)
{
	size_t n = g->nparts;

	if (partition < n)
		return;
	n = (size_t)partition + 1;
	g->parts = mem_realloc(g->parts, n * sizeof(g->parts[0]));
	memset(g->parts + g->nparts, 0, (n - g->nparts) * sizeof(g->parts[0]));
	g->nparts = n;
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
			group_parts_commit(g);
	}
	if (!g->closing)
		cursor_close(&p->cursors);
	p->state = PART_FREE;
	p->made_anew = false;
	group_helper_forget(g->helper, partition);
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
			group_helper_load(g->helper, partition);
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

void
group_parts_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
			 void *opaque)
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

static void
take_cursors(struct kafka_group *g, uint32_t partition, struct cursor_found *found)
{
	struct part *p = &g->parts[partition];
	bool gone = p->made_anew || found->committed;

	/* Every server has missed something, also one that has saved nothing yet. */
	if (p->made_anew) {
		found->committed = found->has_servers = false;
		found->other_log = true;
	}
	p->made_anew = false;
	p->witness_ms = 0;
	p->cursors = cursor_kafka_create(found, on_changed, g);
	p->state = PART_OURS;
	log_info(g->ctx.broker->log, "group: a partition is ours", F_STR("group", g->name),
		 F_UINT("partition", partition), F_BOOL("committed", found->committed),
		 F_UINT("offset", found->offset));
	if (found->other_log && !gone)
		log_error(g->ctx.broker->log,
			  "group: it has no committed offsets, and the log no longer has its first "
			  "records; if the offsets expired, deletes were missed: servers are "
			  "flushed (if the "
			  "cluster is new, commit offsets first: kafka-consumer-groups.sh "
			  "--reset-offsets)",
			  F_STR("group", g->name), F_UINT("partition", partition));
	else if (found->other_log)
		log_error(
		    g->ctx.broker->log, "group: the topic was made anew or lost its end; servers are flushed",
		    F_STR("group", g->name), F_UINT("partition", partition), F_UINT("cursor", found->offset));
	g->ctx.ops->on_assigned(g->ctx.arg, partition, p->cursors);
}

/* What the helper has found out. */
static void
take_answers(struct kafka_group *g)
{
	for (uint32_t i = 0; i < g->nparts; i++) {
		struct part *p = &g->parts[i];
		struct helper_answer *answer = group_helper_take(g->helper, i);

		if (answer == NULL)
			continue;
		if (answer->question == HELPER_LOAD && p->state == PART_LOADING) {
			take_cursors(g, i, &answer->found);
		} else if (answer->question == HELPER_WITNESS && p->state == PART_OURS &&
			   answer->found.other_log) {
			/* Load again.  What is committed may be gone with the topic, or be of any log. */
			g->ctx.ops->on_dropped(g->ctx.arg, i);
			cursor_close(&p->cursors);
			p->state = PART_LOADING;
			p->made_anew = true;
			group_helper_load(g->helper, i);
		} else if (answer->question == HELPER_WITNESS && p->state == PART_OURS &&
			   answer->newer.known) {
			cursor_kafka_set_witness(p->cursors, &answer->witness, &answer->newer);
		}
		free(answer);
	}
}

static void
look_at_witnesses(struct kafka_group *g)
{
	uint64_t now_ms = clock_mono_ms(g->ctx.broker->clock);
	bool returned = group_helper_returned(g->helper);

	for (uint32_t i = 0; i < g->nparts; i++) {
		struct part *p = &g->parts[i];
		struct broker_witness witness;
		uint64_t least = 0;

		if (returned)
			p->witness_ms = 0;
		if (p->state != PART_OURS || (p->witness_ms != 0 && now_ms - p->witness_ms < WITNESS_MS))
			continue;
		witness = cursor_kafka_witness(p->cursors);
		(void)cursor_kafka_least(p->cursors, &least);
		if (!witness.known && least == 0)
			continue;
		p->witness_ms = now_ms;
		group_helper_witness(g->helper, i, least, &witness);
	}
}

/* --- for the membership ------------------------------------------------------------------------------------
 */

void
group_parts_turn(struct kafka_group *g)
{
	drop_lost(g);
	take_answers(g);
	look_at_witnesses(g);
}

void
group_parts_drop(struct kafka_group *g)
{
	for (uint32_t i = 0; i < g->nparts; i++)
		drop(g, i);
}

void
group_parts_close(struct kafka_group *g)
{
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
}
