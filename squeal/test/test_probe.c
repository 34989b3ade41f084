#include "squeal/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/test/test.h"

/* A server on a unix socket that says its line to the first client and then, unless it shall hang, leaves. */
struct peer {
	char path[100];
	const char *says;
	bool hangs;
	int listener;
	pthread_t thread;
};

static void *
serve(void *arg)
{
	struct peer *p = arg;
	char request[4096];
	int fd = accept(p->listener, NULL, NULL);
	size_t n = strlen(p->says);

	/* Everything is asked in one piece. */
	if (fd >= 0 && recv(fd, request, sizeof(request), 0) > 0)
		(void)!send(fd, p->says, n, MSG_NOSIGNAL);
	/* The end of the client's side. */
	while (fd >= 0 && p->hangs && recv(fd, request, sizeof(request), 0) > 0)
		;
	if (fd >= 0)
		close(fd);
	return NULL;
}

static err_t
probe(const char *says, bool hangs, uint64_t timeout_ms, struct probe_answer *out, struct err_detail *why)
{
	struct peer p = {.says = says, .hangs = hangs};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	err_t err;

	snprintf(p.path, sizeof(p.path), "/tmp/squeal-probe-%d.sock", (int)getpid());
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", p.path);
	unlink(p.path);
	p.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(p.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p.listener, 1), 0);
	assert_int_equal(pthread_create(&p.thread, NULL, serve, &p), 0);
	err = probe_memcached(p.path, timeout_ms, clock_system(), out, why);
	pthread_join(p.thread, NULL);
	close(p.listener);
	unlink(p.path);
	return err;
}

static void
a_server_with_meta_commands_is_known(void **state)
{
	struct probe_answer a;
	struct err_detail why = {0};

	assert_int_equal(probe("VERSION 1.6.18\r\nNF\r\nMN\r\n", true, 5000, &a, &why), ERR_OK);
	assert_string_equal(a.version, "1.6.18");
	assert_true(a.meta);
	assert_int_equal(probe("VERSION 1.6.40\r\nMN\r\n", true, 5000, &a, &why), ERR_OK);
	assert_true(a.meta);
}

static void
a_server_without_meta_commands_is_known(void **state)
{
	struct probe_answer a;
	struct err_detail why = {0};

	assert_int_equal(probe("VERSION 1.4.39\r\nERROR\r\nERROR\r\n", true, 5000, &a, &why), ERR_OK);
	assert_string_equal(a.version, "1.4.39");
	assert_false(a.meta);
}

static void
what_is_no_memcached_is_not_taken_for_one(void **state)
{
	struct probe_answer a;
	struct err_detail why = {0};

	assert_int_equal(probe("HTTP/1.1 400 Bad Request\r\n", true, 5000, &a, &why), ERR_PROTOCOL);
	assert_non_null(strstr(why.text, "no memcached"));
	err_clear(&why);
	assert_int_equal(probe("ERROR\r\n", true, 5000, &a, &why), ERR_PROTOCOL);
}

static void
a_server_that_closes_or_hangs_is_away(void **state)
{
	struct probe_answer a;
	struct err_detail why = {0};

	assert_int_equal(probe("VERSION 1.6.18\r\n", false, 5000, &a, &why), ERR_CONN);
	err_clear(&why);
	assert_int_equal(probe("VERSION 1.6.18\r\n", true, 50, &a, &why), ERR_TIMEOUT);
}

static void
an_address_without_a_server_is_named(void **state)
{
	struct probe_answer a;
	struct err_detail why = {0};

	assert_int_equal(probe_memcached("/nowhere/socket", 1000, clock_system(), &a, &why), ERR_CONN);
	assert_non_null(strstr(why.text, "/nowhere/socket"));
	err_clear(&why);
	assert_int_equal(probe_memcached("no port", 1000, clock_system(), &a, &why), ERR_CONFIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_server_with_meta_commands_is_known),
	    cmocka_unit_test(a_server_without_meta_commands_is_known),
	    cmocka_unit_test(what_is_no_memcached_is_not_taken_for_one),
	    cmocka_unit_test(a_server_that_closes_or_hangs_is_away),
	    cmocka_unit_test(an_address_without_a_server_is_named),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
