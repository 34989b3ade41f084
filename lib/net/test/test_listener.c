#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "lib/net/listener.h"
#include "lib/net/test/peer.h"

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	struct listener *listener;
	unsigned taken;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	clock_fake_init(&f->clock);
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	listener_close(&f->listener);
	loop_destroy(&f->loop);
	free(f);
	return 0;
}

static void
on_connection(void *arg, int fd)
{
	((struct fixture *)arg)->taken++;
	close(fd);
}

static err_t
listen_at(struct fixture *f, const char *address, struct err_detail *why)
{
	return listener_open(&f->listener, f->loop, address, "\"admin\" in squeal.yaml", NULL, on_connection,
			     f, why);
}

static void
port_0_takes_a_free_port_and_connections_arrive(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	int fds[3];

	assert_int_equal(listen_at(f, "127.0.0.1:0", &why), ERR_OK);
	assert_true(listener_port(f->listener) > 0);
	for (int i = 0; i < 3; i++) {
		fds[i] = peer_connect(listener_port(f->listener));
		assert_true(fds[i] >= 0);
	}
	UNTIL(f->loop, f->taken == 3);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void
a_name_can_be_listened_on(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};

	need_localhost();
	assert_int_equal(listen_at(f, "localhost:0", &why), ERR_OK);
	assert_true(listener_port(f->listener) > 0);
}

static void
a_port_in_use_says_which_setting_to_change_and_how_to_find_the_holder(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	unsigned port = 0;
	int holder = peer_listen("127.0.0.1", &port, 1);
	char address[40], command[60];

	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	snprintf(command, sizeof(command), "ss -ltnp sport = :%u", port);
	assert_int_equal(listen_at(f, address, &why), ERR_IN_USE);
	assert_null(f->listener);
	assert_non_null(strstr(why.text, address));
	assert_non_null(strstr(why.text, command));
	assert_non_null(strstr(why.text, "\"admin\" in squeal.yaml"));
	close(holder);
	err_clear(&why);
	assert_int_equal(listen_at(f, address, &why), ERR_OK);
}

static void
other_mistakes_say_what_to_change(void **state)
{
	static const struct {
		const char *address, *text;
		err_t err;
	} rows[] = {
	    {"nonsense", "port is missing", ERR_CONFIG},
	    {"/run/x.sock", "must be host:port", ERR_CONFIG},
	    {"192.0.2.1:0", "not an address of this machine", ERR_SYS},
	    {"a-label-of-more-than-63-bytes-which-no-name-server-needs-to-be-asked-about:0",
	     "cannot be resolved", ERR_CONFIG},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err_detail why = {0};

		assert_int_equal(listen_at(f, rows[i].address, &why), rows[i].err);
		if (strstr(why.text, rows[i].text) == NULL)
			fail_msg("%s says: %s", rows[i].address, why.text);
	}
}

static void
a_listener_without_descriptors_rests_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct err_detail why = {0};
	struct rlimit before, none;
	int fd;

	assert_int_equal(listen_at(f, "127.0.0.1:0", &why), ERR_OK);
	fd = peer_connect(listener_port(f->listener));
	assert_true(fd >= 0);
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 100; i++)
		loop_step(f->loop);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(f->taken, 0);
	clock_fake_advance_ms(&f->clock, 999);
	for (int i = 0; i < 20; i++)
		loop_step(f->loop);
	assert_int_equal(f->taken, 0); /* it rests */
	clock_fake_advance_ms(&f->clock, 1);
	UNTIL(f->loop, f->taken == 1);
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(port_0_takes_a_free_port_and_connections_arrive),
	    T(a_name_can_be_listened_on),
	    T(a_port_in_use_says_which_setting_to_change_and_how_to_find_the_holder),
	    T(other_mistakes_say_what_to_change),
	    T(a_listener_without_descriptors_rests_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
