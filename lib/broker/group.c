#include "lib/broker/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/broker/group_ops.h"
#include "lib/core/mem.h"

/* --- a file: its one partition belongs to whoever holds the cursors ----------------------------------------
 */

struct file_group {
	struct group base;
	struct group_context ctx;
	struct cursor_store *cursors;
	int fd;
	bool assigned;
};

static void
file_close(struct group *base)
{
	struct file_group *g = (struct file_group *)base;

	if (g->assigned)
		g->ctx.ops->on_dropped(g->ctx.arg, 0);
	cursor_close(&g->cursors);
	if (g->fd >= 0)
		close(g->fd);
	free(g);
}

static int
file_fd(const struct group *base)
{
	return ((const struct file_group *)base)->fd;
}

static void
file_turn(struct group *base)
{
	struct file_group *g = (struct file_group *)base;
	uint64_t n;

	if (g->assigned || read(g->fd, &n, sizeof(n)) < 0)
		return;
	g->assigned = true;
	g->ctx.ops->on_assigned(g->ctx.arg, 0, g->cursors);
}

static uint32_t
file_partitions(const struct group *base)
{
	return 1;
}

static const struct group_kind file_kind = {
    .close = file_close, .fd = file_fd, .turn = file_turn, .partitions = file_partitions};

static err_t
file_open(struct group **out, const struct group_context *ctx, struct err_detail *why)
{
	struct file_group *g = MEM_NEW(struct file_group);
	err_t err;

	*out = NULL;
	g->base.kind = &file_kind;
	g->ctx = *ctx;
	/* Readable at once: there is something to do. */
	g->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	err = g->fd >= 0 ? cursor_open(&g->cursors, ctx->cursor_path, ctx->cluster, why)
			 : err_set(why, ERR_SYS, "cannot make an eventfd: %s", strerror(errno));
	if (err == ERR_OK)
		*out = &g->base;
	else
		file_close(&g->base);
	return err;
}

/* --- any kind ----------------------------------------------------------------------------------------------
 */

err_t
group_open(struct group **out, const struct group_context *ctx, struct err_detail *why)
{
	return broker_is_kafka(ctx->log) ? group_kafka_open(out, ctx, why) : file_open(out, ctx, why);
}

void
group_close(struct group **g)
{
	if (*g == NULL)
		return;
	(*g)->kind->close(*g);
	*g = NULL;
}

int
group_fd(const struct group *g)
{
	return g->kind->fd(g);
}

void
group_turn(struct group *g)
{
	g->kind->turn(g);
}

uint32_t
group_partitions(const struct group *g)
{
	return g->kind->partitions(g);
}
