/*
 * squeal-cache - a drop-in memcached that makes invalidation safe.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cache-server/report/report.h"
#include "cache-server/serve/port.h"
#include "cache-server/serve/process.h"
#include "cache-server/serve/server.h"
#include "cache-server/settings/settings.h"
#include "lib/core/buf.h"
#include "lib/core/clock.h"
#include "lib/core/crash.h"
#include "lib/core/log.h"

/* memcached's exit codes (sysexits.h): 64 usage, 67 no such user, 71 the system refused, 1 anything else. */

static int
complain(int code, const struct err_detail *why)
{
	fprintf(stderr, "%s\n", err_why(why));
	return code;
}

static void
on_ready(void *arg)
{
	const struct settings *s = arg;

	if (s->daemonize && s->pid_file[0])
		process_write_pid(s->pid_file);
	process_ready(s);
}

static enum log_level
log_level_of(const struct settings *s)
{
	return s->verbose == 0 ? LOG_WARN : s->verbose == 1 ? LOG_INFO : LOG_DEBUG;
}

static int
serve(const struct settings *s, struct port_list *ports)
{
	struct log *log = log_create("cache", log_level_of(s), clock_system(), NULL, NULL);
	struct server_options opt = {.settings = s,
				     .ports = ports,
				     .clock = clock_system(),
				     .log = log,
				     .ready = on_ready,
				     .ready_arg = (void *)s};
	struct err_detail why = {0};
	struct server *server = NULL;
	int code = EXIT_SUCCESS;
	err_t err;

	err = server_create(&server, &opt, &why);
	if (err == ERR_OK)
		err = server_run(server, &why);
	server_destroy(&server);
	if (err != ERR_OK)
		code = complain(err == ERR_USAGE ? EX_USAGE : EXIT_FAILURE, &why);
	else if (s->daemonize && s->pid_file[0])
		process_remove_pid(s->pid_file);
	log_destroy(&log);
	return code;
}

/* In memcached's order, but that sockets are opened before the user changes: ports below 1024 need root. */
static int
run(const struct settings *s)
{
	const char *port_file = getenv("MEMCACHED_PORT_FILENAME");
	struct err_detail why = {0};
	struct port_list ports = {0};
	int code = EXIT_SUCCESS;
	err_t err;

	if (settings_check_user(s, getuid() == 0 || geteuid() == 0, &why) != ERR_OK)
		return complain(EX_USAGE, &why);
	if (process_limits(s, &why) != ERR_OK || port_list_open(&ports, s, &why) != ERR_OK) {
		code = complain(EX_OSERR, &why);
		goto done;
	}
	err = process_become(s, &why);
	if (err != ERR_OK) {
		code = complain(err == ERR_NOT_FOUND ? EX_NOUSER : EX_OSERR, &why);
		goto done;
	}
	if (port_list_open_unix(&ports, s, &why) != ERR_OK) {
		code = complain(EX_OSERR, &why);
		goto done;
	}
	if (port_file && !port_list_write(&ports, port_file))
		fprintf(stderr, "Failed to open \"%s.lck\": %s\n", port_file, strerror(errno));
	if (s->daemonize && process_daemonize(&why) != ERR_OK) {
		code = complain(EXIT_FAILURE, &why);
		goto done;
	}
	if (s->lock_memory && !process_lock_memory())
		fprintf(stderr, "warning: -k invalid, mlockall() failed: %s\n", strerror(errno));
	code = serve(s, &ports);
done:
	port_list_fini(&ports);
	return code;
}

int
main(int argc, char **argv)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	struct settings s;
	int code = EXIT_SUCCESS;
	err_t err;

	if (argc == 2 && strcmp(argv[1], "--list-crash-points") == 0) {
		crash_list();
		return EXIT_SUCCESS;
	}
	if (argc == 2 && strcmp(argv[1], "--metrics") == 0) {
		report_markdown(&text);
		fputs(buf_str(&text), stdout);
		buf_fini(&text);
		return EXIT_SUCCESS;
	}
	err = settings_parse(&s, argc, argv, &text, &why);
	if (err != ERR_OK) {
		buf_fini(&text);
		return complain(err == ERR_USAGE || err == ERR_CONFIG ? EX_USAGE : EXIT_FAILURE, &why);
	}
	fputs(buf_str(&text), s.action == SETTINGS_SHOW ? stdout : stderr);
	if (s.action == SETTINGS_RUN)
		code = run(&s);
	settings_fini(&s);
	buf_fini(&text);
	return code;
}
