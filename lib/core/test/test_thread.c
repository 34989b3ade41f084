#include "lib/core/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	sigset_t mask;
	pthread_mutex_t go; /* held until the thread has its name */
	char name[32];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
};

static void *
look(void *arg)
{
	struct seen *s = arg;

	pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
	pthread_mutex_lock(&s->go);
	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	pthread_mutex_unlock(&s->go);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return s;
}

static void
begin(struct seen *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->go, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
}

static void
a_thread_gets_no_signals_and_its_maker_still_does(void **state)
{
	struct err_detail why = {0};
	sigset_t before, after;
	struct seen s;
	pthread_t id;
	void *result;

	(void)state;
	begin(&s);
	sigemptyset(&before);
	sigaddset(&before, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(thread_start(&id, "t", look, &s, &why), ERR_OK);
	assert_int_equal(pthread_join(id, &result), 0);
	assert_ptr_equal(result, &s);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_true(sigismember(&s.mask, SIGTERM) && sigismember(&s.mask, SIGINT) &&
		    sigismember(&s.mask, SIGHUP));
	assert_true(sigismember(&after, SIGUSR1));
	assert_false(sigismember(&after, SIGTERM));
	sigemptyset(&before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void
a_name_is_cut_where_the_system_would_refuse_it(void **state)
{
	struct err_detail why = {0};
	struct seen s;
	pthread_t id;

	(void)state;
	begin(&s);
	pthread_mutex_lock(&s.go);
	assert_int_equal(thread_start(&id, "a name of more than 15", look, &s, &why), ERR_OK);
	pthread_mutex_unlock(&s.go);
	pthread_join(id, NULL);
	assert_string_equal(s.name, "a name of more ");
}

static void
one_that_nobody_joins_runs_all_the_same(void **state)
{
	struct err_detail why = {0};
	struct seen s;

	(void)state;
	begin(&s);
	assert_int_equal(thread_start_detached(look, &s, &why), ERR_OK);
	pthread_mutex_lock(&s.lock);
	while (!s.ended)
		pthread_cond_wait(&s.changed, &s.lock);
	pthread_mutex_unlock(&s.lock);
	assert_true(sigismember(&s.mask, SIGTERM));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_thread_gets_no_signals_and_its_maker_still_does),
	    cmocka_unit_test(a_name_is_cut_where_the_system_would_refuse_it),
	    cmocka_unit_test(one_that_nobody_joins_runs_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
