#include "lib/net/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

enum { DRAIN_MS = 10000 };

struct daemon {
	struct loop *loop;
	struct log *log;
	const struct daemon_ops *ops;
	void *arg;
	struct loop_signal term, intr, hup;
	struct sigaction old_pipe;
	bool pipe_ignored;
	struct loop_timer watchdog, drain_end;
	uint64_t drain_ms;
	int notify_fd; /* -1: nobody listens */
	bool draining, hurried;
};

/* --- sd_notify(3) ------------------------------------------------------------------------------ */

/* Connects a datagram socket once; its path may be hidden from us later. */
static int
notify_open(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@')) {
		errno = EINVAL;
		return -1;
	}
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
		int error = errno;

		close(fd);
		fd = -1;
		errno = error;
	}
	return fd;
}

static void
notify(struct daemon *d, const char *text)
{
	if (d->notify_fd < 0)
		return;
	if (send(d->notify_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		log_notice(d->log, "the service manager cannot be told", F_STR("message", text),
			   F_STR("reason", strerror(errno)));
}

static void
on_watchdog(void *arg)
{
	notify(arg, "WATCHDOG=1");
}

void
daemon_options_from_env(struct daemon_options *opt)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n;

	opt->notify_socket = getenv("NOTIFY_SOCKET");
	opt->watchdog_us = 0;
	if (pid != NULL && (!span_u64(span_of(pid), &n) || n != (uint64_t)getpid()))
		return;
	if (usec != NULL && span_u64(span_of(usec), &n))
		opt->watchdog_us = n;
}

/* --- signals ----------------------------------------------------------------------------------- */

static void
on_drain_end(void *arg)
{
	struct daemon *d = arg;

	log_warn(d->log, "stopping before everything was finished: it took too long",
		 F_UINT("waited_ms", d->drain_ms));
	d->hurried = true;
	loop_stop(d->loop);
}

void
daemon_shutdown(struct daemon *d)
{
	if (d->draining)
		return;
	d->draining = true;
	notify(d, "STOPPING=1");
	loop_timer_once(&d->drain_end, d->drain_ms);
	if (d->ops->drain != NULL)
		d->ops->drain(d->arg);
	else
		daemon_drained(d);
}

void
daemon_drained(struct daemon *d)
{
	loop_timer_stop(&d->drain_end);
	loop_stop(d->loop);
}

static void
on_stop_signal(void *arg, int signo)
{
	struct daemon *d = arg;

	if (d->draining) {
		log_warn(d->log, "stopping at once: asked a second time", F_STR("signal", strsignal(signo)));
		d->hurried = true;
		loop_stop(d->loop);
		return;
	}
	log_info(d->log, "stopping", F_STR("signal", strsignal(signo)));
	daemon_shutdown(d);
}

static void
on_hangup(void *arg, int signo)
{
	struct daemon *d = arg;
	char text[80];

	if (d->ops->reload == NULL) {
		log_notice(d->log, "SIGHUP does nothing here: restart to change settings");
		return;
	}
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)(clock_mono_ns(loop_clock(d->loop)) / 1000));
	notify(d, text);
	d->ops->reload(d->arg);
	notify(d, "READY=1");
}

/* --- life ---------------------------------------------------------------------------------------- */

err_t
daemon_create(struct daemon **out, struct loop *l, const struct daemon_options *opt,
	      const struct daemon_ops *ops, void *arg, struct err_detail *why)
{
	struct daemon *d = MEM_NEW(struct daemon);
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	err_t err;

	*out = NULL;
	d->loop = l;
	d->log = opt->log;
	d->ops = ops;
	d->arg = arg;
	d->drain_ms = opt->drain_ms > 0 ? opt->drain_ms : DRAIN_MS;
	d->notify_fd = -1;
	loop_timer_init(&d->watchdog, l, on_watchdog, d);
	loop_timer_init(&d->drain_end, l, on_drain_end, d);
	err = loop_signal_init(&d->term, l, SIGTERM, on_stop_signal, d, why);
	if (err == ERR_OK)
		err = loop_signal_init(&d->intr, l, SIGINT, on_stop_signal, d, why);
	if (err == ERR_OK)
		err = loop_signal_init(&d->hup, l, SIGHUP, on_hangup, d, why);
	if (err != ERR_OK)
		goto done;
	d->pipe_ignored = sigaction(SIGPIPE, &ignore, &d->old_pipe) == 0;
	if (opt->notify_socket != NULL && opt->notify_socket[0] != '\0') {
		d->notify_fd = notify_open(opt->notify_socket);
		if (d->notify_fd < 0)
			log_warn(d->log, "cannot reach the service manager",
				 F_STR("socket", opt->notify_socket), F_STR("reason", strerror(errno)));
		else if (opt->watchdog_us > 0)
			loop_timer_every(&d->watchdog, opt->watchdog_us / 2000);
	}
	*out = d;
	d = NULL;
done:
	daemon_destroy(&d);
	return err;
}

void
daemon_destroy(struct daemon **dp)
{
	struct daemon *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	loop_timer_stop(&d->watchdog);
	loop_timer_stop(&d->drain_end);
	loop_signal_fini(&d->term);
	loop_signal_fini(&d->intr);
	loop_signal_fini(&d->hup);
	if (d->pipe_ignored)
		sigaction(SIGPIPE, &d->old_pipe, NULL);
	if (d->notify_fd >= 0)
		close(d->notify_fd);
	free(d);
}

void
daemon_ready(struct daemon *d)
{
	notify(d, "READY=1");
}

void
daemon_status(struct daemon *d, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	buf_put_str(&text, "STATUS=");
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '\n') /* would begin another assignment */
			text.p[i] = ' ';
	}
	notify(d, buf_str(&text));
	buf_fini(&text);
}

bool
daemon_is_draining(const struct daemon *d)
{
	return d->draining;
}

bool
daemon_was_hurried(const struct daemon *d)
{
	return d->hurried;
}
