#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/broker/group_inside.h"
#include "lib/core/mem.h"

enum {
	/* Before it joins again after it was fenced.  A coordinator that changes can do that to a member that
	 * is alone with its name, so the first time is soon; another router with our name does it again and
	 * again. */
	FENCED_MS = 500,
	FENCED_AGAIN_MS = 30000,
	AT_ONCE = 1000, /* callbacks served in one turn */
};

static const struct group_kind kafka_group_kind;

static void
prepare_member(rd_kafka_conf_t *conf)
{
	rd_kafka_conf_set_rebalance_cb(conf, group_parts_on_rebalance);
	rd_kafka_conf_set_offset_commit_cb(conf, group_parts_on_committed);
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
	char text[HELPER_TROUBLE_MAX];

	if (g->fenced && g->fenced_often)
		snprintf(text, sizeof(text),
			 "another router of the group %.100s has the same name, \"%.100s\", and took our "
			 "place; give each "
			 "its own with --instance",
			 g->name, g->ctx.instance);
	else
		group_helper_trouble(g->helper, text);
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
	group_parts_drop(g);
}

static void
leave(struct kafka_group *g)
{
	uint64_t until_ms = clock_mono_ms(clock_system()) + GROUP_CLOSE_MS;

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
join_again(struct kafka_group *g)
{
	struct err_detail why = {0};
	err_t err;

	if (clock_mono_ms(g->ctx.broker->clock) - g->fenced_ms <
	    (g->fenced_often ? FENCED_AGAIN_MS : FENCED_MS))
		return;
	group_helper_stop(g->helper); /* it asks through the member */
	leave(g);
	g->fenced = false;
	err = join(g, &why);
	if (err == ERR_OK)
		err = group_helper_start(g->helper, g->member, &why);
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
	group_parts_turn(g);
	if (!g->fenced)
		group_parts_commit(g);
	tell_trouble(g);
}

static void
close_group(struct group *base)
{
	struct kafka_group *g = (struct kafka_group *)base;

	if (g->helper != NULL)
		group_helper_stop(g->helper);
	g->closing = true;
	group_parts_close(g);
	leave(g);
	group_helper_destroy(&g->helper);
	if (g->fd >= 0)
		close(g->fd);
	free(g->parts);
	free(g);
}

err_t
group_kafka_open(struct group **out, const struct group_context *ctx, struct err_detail *why)
{
	struct kafka_group *g = MEM_NEW(struct kafka_group);
	err_t err = ERR_OK;

	*out = NULL;
	g->base.kind = &kafka_group_kind;
	g->ctx = *ctx;
	snprintf(g->name, sizeof(g->name), "squeal.%.140s", ctx->cluster);
	g->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (g->fd < 0)
		err = err_set(why, ERR_SYS, "cannot make an eventfd: %s", strerror(errno));
	if (err == ERR_OK)
		err = kafka_conf_check(ctx->log, why);
	if (err == ERR_OK)
		err = group_helper_create(&g->helper, ctx->log, g->fd, ctx->broker->log, why);
	if (err == ERR_OK)
		err = join(g, why);
	if (err == ERR_OK)
		err = group_helper_start(g->helper, g->member, why);
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
	return group_helper_partitions(((const struct kafka_group *)base)->helper);
}

static const struct group_kind kafka_group_kind = {
    .close = close_group, .fd = fd, .turn = turn, .partitions = partitions};
