#include "lib/broker/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/mem.h"

/* Attributes: the way to ring when the disk is so full that nothing can be written; and the last link going.
 */
static const uint32_t watched = IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
static const uint32_t gone =
    IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW;

err_t
wake_ring(const char *path, struct err_detail *why)
{
	static const char bytes[] = {'s', 'q', 'u', 'e', 'a', 'l', '!', '\n'};
	/* Opened every time: the file may have been removed, and a ring into a removed file wakes nobody. */
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	bool rung;

	if (fd < 0)
		return err_set(why, ERR_SYS, "cannot open %s: %s; readers look once a second instead", path,
			       strerror(errno));
	rung = pwrite(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) || futimens(fd, NULL) == 0;
	if (!rung)
		err_set(why, ERR_SYS, "cannot write %s: %s; readers look once a second instead", path,
			strerror(errno));
	close(fd);
	return rung ? ERR_OK : ERR_SYS;
}

static void
watch(struct wake *w)
{
	int old = w->watch;

	w->watch = inotify_add_watch(w->fd, w->path, watched);
	if (old >= 0 && old != w->watch)
		inotify_rm_watch(w->fd, old);
}

err_t
wake_open(struct wake *w, const char *path, struct err_detail *why)
{
	*w = WAKE_INIT;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0)
		return err_set(why, ERR_SYS, "cannot watch %s: %s; raise fs.inotify.max_user_instances", path,
			       strerror(errno));
	w->path = mem_strdup(path);
	watch(w);
	return ERR_OK;
}

void
wake_close(struct wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->path);
	*w = WAKE_INIT;
}

void
wake_clear(struct wake *w)
{
	_Alignas(struct inotify_event) char bytes[4096];
	bool again = false;
	ssize_t n;

	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(bytes + at);

			/* Events of a watch that we gave up ourselves say nothing. */
			if ((e->wd == w->watch || e->wd == -1) && (e->mask & gone) != 0)
				again = true;
			if (e->wd == w->watch && (e->mask & IN_IGNORED) != 0)
				w->watch = -1;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	if (again || w->watch < 0)
		watch(w);
}

void
wake_heal(struct wake *w)
{
	if (w->watch < 0)
		watch(w);
}
