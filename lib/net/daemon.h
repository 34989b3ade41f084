/*
 * daemon - a well-behaved long-running process: signals, and what systemd wants to hear.
 *
 *     SIGTERM, SIGINT   drain(), then stop when daemon_drained() is called or drain_ms have passed;
 *                       the second one stops at once
 *     SIGHUP            reload()
 *     SIGPIPE           ignored
 *
 * The process stays in the foreground.  When NOTIFY_SOCKET is set, READY=1, RELOADING=1, STOPPING=1, STATUS=
 * and WATCHDOG=1 are sent there (sd_notify(3)); the watchdog is fed from the loop, so a loop that hangs is
 * noticed.
 *
 * Threads: the loop's.   Blocks: never (a notification that cannot be sent at once is dropped).   Clock: the
 * loop's.
 */
#ifndef SQUEAL_LIB_NET_DAEMON_H
#define SQUEAL_LIB_NET_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/log.h"
#include "lib/net/loop.h"

struct daemon; /* opaque */

struct daemon_ops {
	/* Take in nothing new, finish what was begun, then call daemon_drained() (from inside is fine). NULL:
	 * at once. */
	void (*drain)(void *arg);

	/* Read the configuration again.  NULL: SIGHUP is logged and nothing else. */
	void (*reload)(void *arg);
};

struct daemon_options {
	const char *notify_socket; /* path, or "@name" for an abstract one; NULL: nobody listens */
	uint64_t watchdog_us;	   /* feed the watchdog at least this often; 0: never */
	uint64_t drain_ms;	   /* longest drain; 0: 10 seconds */
	struct log *log;	   /* may be NULL */
};

/* Takes notify_socket and watchdog_us from NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
void daemon_options_from_env(struct daemon_options *opt);

/* Installs the signal handlers.  `ops` must outlive the daemon. */
err_t daemon_create(struct daemon **out, struct loop *l, const struct daemon_options *opt,
		    const struct daemon_ops *ops, void *arg, struct err_detail *why) MUST_CHECK;

/* Restores the signals.  NULL is fine. */
void daemon_destroy(struct daemon **d);

/* Everything is up: READY=1. */
void daemon_ready(struct daemon *d);

/* One line for `systemctl status`. */
void daemon_status(struct daemon *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Begins to drain without a signal: the program itself wants to leave. */
void daemon_shutdown(struct daemon *d);

/* The drain is complete: stops the loop. */
void daemon_drained(struct daemon *d);

/* Between the first SIGTERM (or daemon_shutdown()) and the end. */
bool daemon_is_draining(const struct daemon *d);

/* The drain was cut short by a second signal or by drain_ms. */
bool daemon_was_hurried(const struct daemon *d);

#endif
