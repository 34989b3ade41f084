#include "squeal/doctor/probe.h"

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
	size_t len; /* of a greeting; 0: an answer */
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

	/* Everything is asked in one piece; a database speaks first. */
	if (fd >= 0 && (p->len > 0 || recv(fd, request, sizeof(request), 0) > 0))
		(void)!send(fd, p->says, p->len > 0 ? p->len : n, MSG_NOSIGNAL);
	/* The end of the client's side. */
	while (fd >= 0 && p->hangs && recv(fd, request, sizeof(request), 0) > 0)
		;
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void
open_peer(struct peer *p)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	snprintf(p->path, sizeof(p->path), "/tmp/squeal-probe-%d.sock", (int)getpid());
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", p->path);
	unlink(p->path);
	p->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(p->listener, 1), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void
close_peer(struct peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->listener);
	unlink(p->path);
}

static err_t
probe(const char *says, bool hangs, uint64_t timeout_ms, struct probe_answer *out, struct err_detail *why)
{
	struct peer p = {.says = says, .hangs = hangs};
	err_t err;

	open_peer(&p);
	err = probe_memcached(p.path, timeout_ms, clock_system(), out, why);
	close_peer(&p);
	return err;
}

static err_t
greet(const char *says, size_t len, char *version, struct err_detail *why)
{
	struct peer p = {.says = says, .len = len};
	err_t err;

	open_peer(&p);
	err = probe_database(p.path, 5000, clock_system(), version, 20, why);
	close_peer(&p);
	return err;
}

static void
a_database_says_its_version_before_anybody_logs_in(void **state)
{
	static const char mysql[] = "\x0c\0\0\0\x0a"
				    "9.7.4-2\0"
				    "id!";
	static const char long_one[] = "\x20\0\0\0\x0a"
				       "10.11.6-MariaDB-1:10.11.6+x\0"
				       "id!";
	char version[20];
	struct err_detail why = {0};

	assert_int_equal(greet(mysql, sizeof(mysql) - 1, version, &why), ERR_OK);
	assert_string_equal(version, "9.7.4-2");
	assert_int_equal(greet(long_one, sizeof(long_one) - 1, version, &why), ERR_OK);
	assert_string_equal(version, "10.11.6-MariaDB-1:1");
}

static void
what_greets_in_another_way_is_no_database(void **state)
{
	static const char *const others[] = {"SSH-2.0-OpenSSH_9.2\r\n",
					     "\x05\0\0\0\x0a"
					     "8.4.",
					     "\x08\0\0\1\x0a"
					     "8.4.0\0",
					     "\x08\0\0\0\x0a"
					     "8.4.0-x",
					     "\x08\0\0\0\x09"
					     "8.4.0\0x"};
	static const size_t len[] = {21, 9, 12, 12, 12};
	static const char blocked[] = "\x14\0\0\0\xff"
				      "\x69\x04"
				      "Host is blocked!!";
	char version[20];

	for (unsigned i = 0; i < 5; i++) {
		struct err_detail why = {0};

		assert_int_equal(greet(others[i], len[i], version, &why), ERR_PROTOCOL);
		assert_non_null(strstr(err_why(&why), "is no database"));
	}
	for (size_t n = 1; n < sizeof(blocked) - 1; n += 5) {
		struct err_detail why = {0};

		assert_int_equal(greet(blocked, n, version, &why), ERR_CONN);
		assert_non_null(strstr(err_why(&why), "closed the connection"));
	}
	{
		struct err_detail why = {0};

		assert_int_equal(greet(blocked, sizeof(blocked) - 1, version, &why), ERR_CONN);
		assert_non_null(strstr(err_why(&why), "lets nobody in: Host is blocked!!"));
	}
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
	    cmocka_unit_test(a_database_says_its_version_before_anybody_logs_in),
	    cmocka_unit_test(what_greets_in_another_way_is_no_database),
	    cmocka_unit_test(a_server_with_meta_commands_is_known),
	    cmocka_unit_test(a_server_without_meta_commands_is_known),
	    cmocka_unit_test(what_is_no_memcached_is_not_taken_for_one),
	    cmocka_unit_test(a_server_that_closes_or_hangs_is_away),
	    cmocka_unit_test(an_address_without_a_server_is_named),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
