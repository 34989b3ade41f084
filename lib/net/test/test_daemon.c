#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>

#include "lib/net/daemon.h"
#include "lib/net/test/peer.h"

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	struct daemon *daemon;
	char dir[40], path[60];
	int manager; /* systemd's end */
	char heard[200];
	unsigned drains, reloads;
	bool drain_at_once;
};

static void
drain(void *arg)
{
	struct fixture *f = arg;

	f->drains++;
	assert_true(daemon_is_draining(f->daemon));
	if (f->drain_at_once)
		daemon_drained(f->daemon);
}

static void
reload(void *arg)
{
	((struct fixture *)arg)->reloads++;
}

static const struct daemon_ops ops = {drain, reload};

static void
create(struct fixture *f, uint64_t watchdog_us)
{
	struct daemon_options opt = {.notify_socket = f->path, .watchdog_us = watchdog_us, .drain_ms = 3000};
	struct err_detail why = {0};

	assert_int_equal(daemon_create(&f->daemon, f->loop, &opt, &ops, f, &why), ERR_OK);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct err_detail why = {0};

	strcpy(f->dir, "/tmp/squeal-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/notify", f->dir);
	strcpy(at.sun_path, f->path);
	f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->manager, (struct sockaddr *)&at, sizeof(at)), 0);
	clock_fake_init(&f->clock);
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	daemon_destroy(&f->daemon);
	loop_destroy(&f->loop);
	close(f->manager);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* The next message to the manager; "" when there is none. */
static const char *
heard(struct fixture *f)
{
	ssize_t n = recv(f->manager, f->heard, sizeof(f->heard) - 1, 0);

	f->heard[n > 0 ? n : 0] = '\0';
	return f->heard;
}

static void
the_manager_hears_ready_and_status(void **state)
{
	struct fixture *f = *state;

	create(f, 0);
	assert_string_equal(heard(f), "");
	daemon_ready(f->daemon);
	assert_string_equal(heard(f), "READY=1");
	daemon_status(f->daemon, "reading %s\nREADY=0", "mariadb-bin.000007");
	assert_string_equal(heard(f), "STATUS=reading mariadb-bin.000007 READY=0");
}

static void
an_abstract_socket_is_reached_too(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len;

	close(f->manager);
	unlink(f->path);
	snprintf(f->path, sizeof(f->path), "@squeal-test-%d", (int)getpid());
	strcpy(at.sun_path, f->path);
	at.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(f->path));
	f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->manager, (struct sockaddr *)&at, len), 0);
	create(f, 0);
	daemon_ready(f->daemon);
	assert_string_equal(heard(f), "READY=1");
}

static void
without_a_manager_nothing_is_sent_and_nothing_fails(void **state)
{
	struct fixture *f = *state;
	struct daemon_options opt = {.notify_socket = NULL, .watchdog_us = 1000000};
	struct err_detail why = {0};

	assert_int_equal(daemon_create(&f->daemon, f->loop, &opt, &ops, f, &why), ERR_OK);
	daemon_ready(f->daemon);
	daemon_destroy(&f->daemon);
	opt.notify_socket = "/nowhere/at/all";
	assert_int_equal(daemon_create(&f->daemon, f->loop, &opt, &ops, f, &why), ERR_OK);
	daemon_ready(f->daemon);
	daemon_destroy(&f->daemon);
	opt.notify_socket = "relative";
	assert_int_equal(daemon_create(&f->daemon, f->loop, &opt, &ops, f, &why), ERR_OK);
	assert_string_equal(heard(f), "");
}

static void
the_watchdog_is_fed_at_half_its_time(void **state)
{
	struct fixture *f = *state;

	create(f, 2000000);
	loop_step(f->loop);
	assert_string_equal(heard(f), "");
	for (int i = 0; i < 3; i++) {
		clock_fake_advance_ms(&f->clock, 1000);
		loop_step(f->loop);
		assert_string_equal(heard(f), "WATCHDOG=1");
	}
}

static void
the_first_sigterm_drains_and_the_drain_ends_the_run(void **state)
{
	struct fixture *f = *state;

	f->drain_at_once = true;
	create(f, 0);
	raise(SIGTERM);
	assert_int_equal(f->drains, 0); /* not inside the signal handler */
	loop_run(f->loop);
	assert_int_equal(f->drains, 1);
	assert_string_equal(heard(f), "STOPPING=1");
	assert_false(daemon_was_hurried(f->daemon));
}

static void
the_second_signal_stops_at_once(void **state)
{
	struct fixture *f = *state;

	create(f, 0);
	raise(SIGINT);
	UNTIL(f->loop, f->drains == 1);
	assert_true(daemon_is_draining(f->daemon));
	raise(SIGTERM);
	loop_run(f->loop);
	assert_int_equal(f->drains, 1);
	assert_true(daemon_was_hurried(f->daemon));
}

static void
a_drain_that_takes_too_long_is_cut_short(void **state)
{
	struct fixture *f = *state;

	create(f, 0);
	daemon_shutdown(f->daemon);
	daemon_shutdown(f->daemon);
	assert_int_equal(f->drains, 1);
	clock_fake_advance_ms(&f->clock, 2999);
	loop_step(f->loop);
	assert_false(daemon_was_hurried(f->daemon));
	clock_fake_advance_ms(&f->clock, 1);
	loop_run(f->loop);
	assert_true(daemon_was_hurried(f->daemon));
}

static void
sighup_reloads_and_tells_the_manager(void **state)
{
	struct fixture *f = *state;

	create(f, 0);
	raise(SIGHUP);
	UNTIL(f->loop, f->reloads == 1);
	assert_string_equal(heard(f), "RELOADING=1\nMONOTONIC_USEC=1000000");
	assert_string_equal(heard(f), "READY=1");
	assert_int_equal(f->drains, 0);
}

static void
sigpipe_is_ignored_and_restored(void **state)
{
	struct fixture *f = *state;
	struct sigaction now;

	signal(SIGPIPE, SIG_DFL);
	create(f, 0);
	raise(SIGPIPE);
	daemon_destroy(&f->daemon);
	sigaction(SIGPIPE, NULL, &now);
	assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void
the_environment_says_who_listens(void **state)
{
	struct daemon_options opt = {0};
	char pid[20];

	setenv("NOTIFY_SOCKET", "/run/x", 1);
	setenv("WATCHDOG_USEC", "5000000", 1);
	unsetenv("WATCHDOG_PID");
	daemon_options_from_env(&opt);
	assert_string_equal(opt.notify_socket, "/run/x");
	assert_int_equal(opt.watchdog_us, 5000000);
	setenv("WATCHDOG_PID", "1", 1); /* meant for somebody else */
	daemon_options_from_env(&opt);
	assert_int_equal(opt.watchdog_us, 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	daemon_options_from_env(&opt);
	assert_int_equal(opt.watchdog_us, 5000000);
	unsetenv("NOTIFY_SOCKET");
	setenv("WATCHDOG_USEC", "soon", 1);
	daemon_options_from_env(&opt);
	assert_null(opt.notify_socket);
	assert_int_equal(opt.watchdog_us, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(the_manager_hears_ready_and_status),
	    T(an_abstract_socket_is_reached_too),
	    T(without_a_manager_nothing_is_sent_and_nothing_fails),
	    T(the_watchdog_is_fed_at_half_its_time),
	    T(the_first_sigterm_drains_and_the_drain_ends_the_run),
	    T(the_second_signal_stops_at_once),
	    T(a_drain_that_takes_too_long_is_cut_short),
	    T(sighup_reloads_and_tells_the_manager),
	    T(sigpipe_is_ignored_and_restored),
	    cmocka_unit_test(the_environment_says_who_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
