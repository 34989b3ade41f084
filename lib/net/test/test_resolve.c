#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/net/resolve.h"
#include "lib/net/stream.h"
#include "lib/net/test/peer.h"

/* A name server of the test's own: "two" has two addresses, "slow" answers when it may, others do not exist.
 */
static _Atomic unsigned asked, freed, finished;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static struct addrinfo *
one_address(const char *ip, struct addrinfo *next)
{
	struct addrinfo *a = calloc(1, sizeof(*a));
	struct sockaddr_in *in = calloc(1, sizeof(*in));

	in->sin_family = AF_INET;
	inet_pton(AF_INET, ip, &in->sin_addr);
	*a = (struct addrinfo){.ai_family = AF_INET,
			       .ai_addr = (struct sockaddr *)in,
			       .ai_addrlen = sizeof(*in),
			       .ai_next = next};
	return a;
}

static int
fake_look_up(const char *host, const struct addrinfo *hints, struct addrinfo **list)
{
	atomic_fetch_add(&asked, 1);
	if (strcmp(host, "slow") == 0) {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	if (strcmp(host, "slow") == 0 || strcmp(host, "two") == 0)
		*list = one_address("127.0.0.1", one_address("127.0.0.2", NULL));
	atomic_fetch_add(&finished, 1);
	return *list != NULL ? 0 : EAI_NONAME;
}

static void
fake_free(struct addrinfo *list)
{
	struct addrinfo *next;

	for (; list != NULL; list = next) {
		next = list->ai_next;
		free(list->ai_addr);
		free(list);
	}
	atomic_fetch_add(&freed, 1);
}

static const struct resolve_ops fake = {fake_look_up, fake_free};

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	struct resolve a, b;
	unsigned calls, addresses;
	char why[200];
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err_detail why = {0};

	asked = freed = finished = 0;
	clock_fake_init(&f->clock);
	assert_int_equal(loop_create(&f->loop, &f->clock.clock, &why), ERR_OK);
	resolve_use(f->loop, &fake);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	loop_destroy(&f->loop);
	free(f);
	return 0;
}

static void
on_resolved(void *arg, const struct addrinfo *list, const char *why)
{
	struct fixture *f = arg;

	f->calls++;
	f->addresses = 0;
	for (; list != NULL; list = list->ai_next)
		f->addresses++;
	snprintf(f->why, sizeof(f->why), "%s", why != NULL ? why : "");
}

static void
a_name_gives_its_addresses(void **state)
{
	struct fixture *f = *state;

	resolve_start(&f->a, f->loop, "two", on_resolved, f);
	assert_int_equal(f->calls, 0);
	UNTIL(f->loop, f->calls == 1);
	assert_int_equal(f->addresses, 2);
	UNTIL(f->loop, freed == 1);
}

static void
a_name_that_does_not_exist_gives_the_reason(void **state)
{
	struct fixture *f = *state;

	resolve_start(&f->a, f->loop, "nobody", on_resolved, f);
	UNTIL(f->loop, f->calls == 1);
	assert_int_equal(f->addresses, 0);
	assert_string_equal(f->why, gai_strerror(EAI_NONAME));
}

static void
who_asks_for_the_same_name_meanwhile_shares_the_look_up(void **state)
{
	struct fixture *f = *state;

	pthread_mutex_lock(&gate);
	resolve_start(&f->a, f->loop, "slow", on_resolved, f);
	for (int i = 0; i < 50;
	     i++) { /* a server that is tried again and again while the name server hangs */
		resolve_start(&f->b, f->loop, "slow", on_resolved, f);
		loop_step(f->loop);
		if (i < 49)
			resolve_stop(&f->b);
	}
	pthread_mutex_unlock(&gate);
	UNTIL(f->loop, f->calls == 2);
	assert_int_equal(asked, 1);
}

static void
who_stopped_waiting_is_not_called(void **state)
{
	struct fixture *f = *state;

	pthread_mutex_lock(&gate);
	resolve_start(&f->a, f->loop, "slow", on_resolved, f);
	resolve_stop(&f->a);
	resolve_stop(&f->a);
	pthread_mutex_unlock(&gate);
	UNTIL(f->loop, freed == 1);
	assert_int_equal(f->calls, 0);
}

static void
the_loop_may_go_while_a_look_up_runs(void **state)
{
	struct fixture *f = *state;

	pthread_mutex_lock(&gate);
	resolve_start(&f->a, f->loop, "slow", on_resolved, f);
	UNTIL(f->loop, asked == 1);
	loop_destroy(&f->loop);
	pthread_mutex_unlock(&gate);
	while (freed == 0)
		usleep(100);
	assert_int_equal(f->calls, 0);
}

static void
the_loop_may_go_when_a_look_up_is_done_but_not_told(void **state)
{
	struct fixture *f = *state;

	resolve_start(&f->a, f->loop, "two", on_resolved, f);
	while (finished == 0)
		usleep(100);
	loop_destroy(&f->loop);
	while (freed == 0)
		usleep(100);
	assert_int_equal(f->calls, 0);
}

/* --- streams by name ---------------------------------------------------------------------------- */

struct user {
	unsigned opens, closes;
	err_t err;
	char why[300];
};

static void
on_open(void *arg)
{
	((struct user *)arg)->opens++;
}

static size_t
on_bytes(void *arg, struct span bytes)
{
	return bytes.len;
}

static void
on_close(void *arg, err_t err, const char *why)
{
	struct user *u = arg;

	u->closes++;
	u->err = err;
	snprintf(u->why, sizeof(u->why), "%s", why);
}

static const struct stream_ops stream_ops = {.on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};

static void
the_next_address_is_tried_when_the_first_one_refuses(void **state)
{
	struct fixture *f = *state;
	struct user u = {0};
	struct stream *s;
	struct err_detail why = {0};
	char address[32];
	unsigned port = 0;
	int listening = peer_listen("127.0.0.2", &port, 4);

	snprintf(address, sizeof(address), "two:%u", port);
	assert_int_equal(stream_connect(&s, f->loop, address, NULL, &stream_ops, &u, &why), ERR_OK);
	UNTIL(f->loop, u.opens == 1);
	stream_close(&s);
	close(listening);
}

static void
a_stream_gives_up_when_the_name_is_not_resolved_in_time(void **state)
{
	struct fixture *f = *state;
	struct user u = {0};
	struct stream *s;
	struct err_detail why = {0};
	struct stream_options opt = {.connect_timeout_ms = 300};

	pthread_mutex_lock(&gate);
	assert_int_equal(stream_connect(&s, f->loop, "slow:11211", &opt, &stream_ops, &u, &why), ERR_OK);
	loop_step(f->loop);
	clock_fake_advance_ms(&f->clock, 300);
	UNTIL(f->loop, u.closes == 1);
	assert_int_equal(u.err, ERR_TIMEOUT);
	pthread_mutex_unlock(&gate);
	UNTIL(f->loop, freed == 1);
	assert_int_equal(u.opens, 0);
	stream_close(&s);
}

static void
a_stream_says_that_its_name_does_not_exist(void **state)
{
	struct fixture *f = *state;
	struct user u = {0};
	struct stream *s;
	struct err_detail why = {0};

	assert_int_equal(stream_connect(&s, f->loop, "nobody:11211", NULL, &stream_ops, &u, &why), ERR_OK);
	UNTIL(f->loop, u.closes == 1);
	assert_int_equal(u.err, ERR_CONN);
	assert_non_null(strstr(u.why, "nobody:11211"));
	assert_non_null(strstr(u.why, "resolved"));
	stream_close(&s);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_name_gives_its_addresses),
	    T(a_name_that_does_not_exist_gives_the_reason),
	    T(who_asks_for_the_same_name_meanwhile_shares_the_look_up),
	    T(who_stopped_waiting_is_not_called),
	    T(the_loop_may_go_while_a_look_up_runs),
	    T(the_loop_may_go_when_a_look_up_is_done_but_not_told),
	    T(the_next_address_is_tried_when_the_first_one_refuses),
	    T(a_stream_gives_up_when_the_name_is_not_resolved_in_time),
	    T(a_stream_says_that_its_name_does_not_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
