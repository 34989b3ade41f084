#include "lib/broker/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/core/mem.h"

/* A log that is a file has one partition, and whoever holds the cursor file has it. */
struct group {
	struct group_context ctx;
	struct cursor_store *cursors;
	int fd; /* readable until the partition is assigned */
	bool assigned;
};

err_t
group_open(struct group **out, const struct group_context *ctx, struct err_detail *why)
{
	struct group *g = MEM_NEW(struct group);
	err_t err;

	*out = NULL;
	g->ctx = *ctx;
	g->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->fd < 0) {
		err = err_set(why, ERR_SYS, "no eventfd: %s", strerror(errno));
		goto done;
	}
	err = cursor_open(&g->cursors, ctx->cursor_path, ctx->cluster, why);
	if (err != ERR_OK)
		goto done;
	*out = g;
	g = NULL;
done:
	group_close(&g);
	return err;
}

void
group_close(struct group **gp)
{
	struct group *g = *gp;

	if (g == NULL)
		return;
	if (g->assigned)
		g->ctx.ops->on_dropped(g->ctx.arg, 0);
	cursor_close(&g->cursors);
	if (g->fd >= 0)
		close(g->fd);
	free(g);
	*gp = NULL;
}

int
group_fd(const struct group *g)
{
	return g->fd;
}

void
group_turn(struct group *g)
{
	uint64_t n;

	if (g->assigned || read(g->fd, &n, sizeof(n)) < 0)
		return;
	g->assigned = true;
	g->ctx.ops->on_assigned(g->ctx.arg, 0, g->cursors);
}

uint32_t
group_partitions(const struct group *g)
{
	(void)g;
	return 1;
}
