#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/net/loop.h"

struct fixture {
	struct loop *loop;
	struct clock_fake clock;
	struct loop_timer a, b, c;
	char seen[64]; /* letters of the callbacks that ran, in their order */
};

static void
note(struct fixture *f, char c)
{
	size_t n = strlen(f->seen);

	if (n + 1 < sizeof(f->seen))
		f->seen[n] = c;
}

static void
note_a(void *arg)
{
	note(arg, 'a');
}

static void
note_b(void *arg)
{
	note(arg, 'b');
}

static void
note_c(void *arg)
{
	note(arg, 'c');
}

static void
stop(void *arg)
{
	loop_stop(((struct fixture *)arg)->loop);
}

static int
set_up(void **state)
{
	static struct fixture f;
	struct err_detail why = {0};

	memset(&f, 0, sizeof(f));
	clock_fake_init(&f.clock);
	assert_int_equal(loop_create(&f.loop, &f.clock.clock, &why), ERR_OK);
	loop_timer_init(&f.a, f.loop, note_a, &f);
	loop_timer_init(&f.b, f.loop, note_b, &f);
	loop_timer_init(&f.c, f.loop, note_c, &f);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	loop_destroy(&f->loop);
	assert_null(f->loop);
	return 0;
}

static void
use_real_clock(struct fixture *f)
{
	struct err_detail why = {0};

	loop_destroy(&f->loop);
	assert_int_equal(loop_create(&f->loop, clock_system(), &why), ERR_OK);
	loop_timer_init(&f->a, f->loop, note_a, f);
	loop_timer_init(&f->b, f->loop, note_b, f);
	loop_timer_init(&f->c, f->loop, stop, f);
}

static void
timers_fire_in_the_order_of_their_deadlines(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->a, 30);
	loop_timer_once(&f->b, 10);
	loop_timer_once(&f->c, 20);
	loop_step(f->loop);
	assert_string_equal(f->seen, "");
	clock_fake_advance_ms(&f->clock, 9);
	loop_step(f->loop);
	assert_string_equal(f->seen, "");
	clock_fake_advance_ms(&f->clock, 1);
	loop_step(f->loop);
	assert_string_equal(f->seen, "b");
	clock_fake_advance_ms(&f->clock, 100);
	loop_step(f->loop);
	assert_string_equal(f->seen, "bca");
	assert_false(loop_timer_is_set(&f->a));
}

static void
a_timer_may_be_shorter_than_a_millisecond(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->b, 1);
	loop_timer_once_us(&f->a, 1300);
	loop_timer_once_us(&f->a, 300);
	loop_step(f->loop);
	assert_string_equal(f->seen, "");
	clock_fake_advance_ms(&f->clock, 1);
	loop_step(f->loop);
	assert_string_equal(f->seen, "ab");
}

static void
equal_deadlines_fire_in_the_order_in_which_they_were_set(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->c, 5);
	loop_timer_once(&f->a, 5);
	loop_timer_once(&f->b, 5);
	clock_fake_advance_ms(&f->clock, 5);
	loop_step(f->loop);
	assert_string_equal(f->seen, "cab");
}

static void
a_stopped_timer_does_not_fire(void **state)
{
	struct fixture *f = *state;
	struct loop_timer never = {0};

	loop_timer_once(&f->a, 1);
	loop_timer_once(&f->b, 1);
	assert_true(loop_timer_is_set(&f->a));
	loop_timer_stop(&f->a);
	loop_timer_stop(&f->a);
	loop_timer_stop(&never);
	clock_fake_advance_ms(&f->clock, 2);
	loop_step(f->loop);
	assert_string_equal(f->seen, "b");
}

static void
setting_a_timer_again_moves_it(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->a, 1);
	loop_timer_once(&f->a, 50);
	clock_fake_advance_ms(&f->clock, 10);
	loop_step(f->loop);
	assert_string_equal(f->seen, "");
	clock_fake_advance_ms(&f->clock, 40);
	loop_step(f->loop);
	assert_string_equal(f->seen, "a");
}

static void
a_periodic_timer_keeps_its_beat_and_skips_what_it_missed(void **state)
{
	struct fixture *f = *state;

	loop_timer_every(&f->a, 10);
	for (int i = 0; i < 3; i++) {
		clock_fake_advance_ms(&f->clock, 10);
		loop_step(f->loop);
	}
	assert_string_equal(f->seen, "aaa");
	clock_fake_advance_ms(&f->clock, 95); /* nine beats: one call */
	loop_step(f->loop);
	loop_step(f->loop);
	assert_string_equal(f->seen, "aaaa");
	clock_fake_advance_ms(&f->clock, 10);
	loop_step(f->loop);
	assert_string_equal(f->seen, "aaaaa");
}

static void
set_a_again_at_once(void *arg)
{
	struct fixture *f = arg;

	note(f, 'x');
	loop_timer_once(&f->a, 0);
}

static void
a_timer_set_to_now_by_its_own_callback_waits_for_the_next_round(void **state)
{
	struct fixture *f = *state;

	loop_timer_init(&f->a, f->loop, set_a_again_at_once, f);
	loop_timer_once(&f->a, 0);
	loop_timer_once(&f->b, 0);
	loop_step(f->loop);
	assert_string_equal(f->seen, "xb");
	loop_step(f->loop);
	assert_string_equal(f->seen, "xbx");
	loop_timer_stop(&f->a);
}

static void
many_timers_stay_in_order(void **state)
{
	struct fixture *f = *state;
	static struct loop_timer t[500];
	uint64_t last = 0, random = 12345;
	size_t left;

	for (size_t i = 0; i < 500; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		loop_timer_init(&t[i], f->loop, note_a, f);
		loop_timer_once(&t[i], (random >> 33) % 1000);
	}
	for (size_t i = 0; i < 500; i += 3)
		loop_timer_stop(&t[i]);
	for (uint64_t ms = 0; ms <= 1000; ms++) {
		loop_step(f->loop);
		left = 0;
		for (size_t i = 0; i < 500; i++) {
			if (!loop_timer_is_set(&t[i]))
				continue;
			left++;
			assert_true(t[i].at_ns > f->clock.now_ns);
		}
		assert_true(ms == 0 || left <= last);
		last = left;
		clock_fake_advance_ms(&f->clock, 1);
	}
	assert_int_equal(left, 0);
}

static void
a_timer_for_ever_does_not_overflow(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->a, UINT64_MAX);
	loop_timer_every(&f->b, UINT64_MAX);
	clock_fake_advance_ms(&f->clock, 1000000);
	loop_step(f->loop);
	assert_string_equal(f->seen, "");
	loop_timer_stop(&f->a);
	loop_timer_stop(&f->b);
}

static void
the_real_clock_wakes_the_loop(void **state)
{
	struct fixture *f = *state;
	uint64_t before, took;

	use_real_clock(f);
	before = clock_mono_ms(clock_system());
	loop_timer_once(&f->b, 5);
	loop_timer_once(&f->a, 2);
	loop_timer_once(&f->c, 20); /* stops */
	loop_run(f->loop);
	took = clock_mono_ms(clock_system()) - before;
	assert_string_equal(f->seen, "ab");
	assert_true(took >= 20);
	assert_true(took < 5000);
}

static void
stopping_before_the_run_makes_it_return_at_once(void **state)
{
	struct fixture *f = *state;

	loop_timer_once(&f->a, 0);
	loop_stop(f->loop);
	loop_run(f->loop);
	assert_string_equal(f->seen, "");
	loop_step(f->loop);
	assert_string_equal(f->seen, "a");
}

static void
a_stop_keeps_the_rest_for_the_next_run(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, note_a, f);
	loop_post(f->loop, stop, f);
	loop_post(f->loop, note_b, f);
	loop_post(f->loop, stop, f);
	loop_run(f->loop);
	assert_string_equal(f->seen, "a");
	loop_run(f->loop);
	assert_string_equal(f->seen, "ab");
}

enum { POSTS = 20000 };

struct counter {
	struct fixture *f;
	unsigned last[2], total;
	struct item {
		struct counter *counter;
		unsigned thread, number;
	} items[2][POSTS];
};

static void
count_post(void *arg)
{
	struct item *i = arg;
	struct counter *c = i->counter;

	assert_int_equal(i->number, c->last[i->thread] + 1); /* in each thread's order */
	c->last[i->thread] = i->number;
	if (++c->total == 2 * POSTS)
		loop_stop(c->f->loop);
}

static void *
post_many(void *arg)
{
	struct item *items = arg;

	for (unsigned i = 0; i < POSTS; i++)
		loop_post(items[i].counter->f->loop, count_post, &items[i]);
	return NULL;
}

static void
posts_from_two_threads_all_arrive_in_each_threads_order(void **state)
{
	struct fixture *f = *state;
	static struct counter c;
	pthread_t threads[2];

	memset(&c, 0, sizeof(c));
	c.f = f;
	use_real_clock(f);
	for (unsigned t = 0; t < 2; t++) {
		for (unsigned i = 0; i < POSTS; i++)
			c.items[t][i] = (struct item){&c, t, i + 1};
		assert_int_equal(pthread_create(&threads[t], NULL, post_many, c.items[t]), 0);
	}
	loop_run(f->loop);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	assert_int_equal(c.total, 2 * POSTS);
}

static void
post_again(void *arg)
{
	struct fixture *f = arg;

	note(f, 'p');
	loop_post(f->loop, post_again, f);
}

static void
a_post_that_posts_itself_does_not_starve_timers(void **state)
{
	struct fixture *f = *state;

	use_real_clock(f);
	loop_post(f->loop, post_again, f);
	loop_timer_once(&f->c, 5);
	loop_run(f->loop);
	assert_int_equal(f->seen[0], 'p');
}

struct pipe_end {
	struct fixture *f;
	struct loop_fd w;
	int fds[2];
	unsigned reads, writes;
};

static void
on_pipe(void *arg, int what)
{
	struct pipe_end *p = arg;
	char byte;

	if (what == LOOP_WRITE) {
		p->writes++;
		loop_fd_want(&p->w, 0);
		return;
	}
	assert_int_equal(read(p->fds[0], &byte, 1), 1);
	p->reads++;
}

static void
a_descriptor_is_reported_as_long_as_it_is_ready_and_wanted(void **state)
{
	struct fixture *f = *state;
	struct pipe_end p = {.f = f};

	assert_int_equal(pipe(p.fds), 0);
	loop_fd_init(&p.w, f->loop, p.fds[0], on_pipe, &p);
	assert_int_equal(write(p.fds[1], "abc", 3), 3);
	loop_step(f->loop);
	assert_int_equal(p.reads, 0);
	loop_fd_want(&p.w, LOOP_READ);
	for (int i = 0; i < 5; i++)
		loop_step(f->loop);
	assert_int_equal(p.reads, 3);
	loop_fd_want(&p.w, 0);
	assert_int_equal(write(p.fds[1], "d", 1), 1);
	loop_step(f->loop);
	assert_int_equal(p.reads, 3);
	loop_fd_fini(&p.w);
	loop_fd_fini(&p.w);
	loop_fd_init(&p.w, f->loop, p.fds[1], on_pipe, &p);
	loop_fd_want(&p.w, LOOP_WRITE);
	loop_step(f->loop);
	loop_step(f->loop);
	assert_int_equal(p.writes, 1);
	loop_fd_fini(&p.w);
	close(p.fds[0]);
	close(p.fds[1]);
}

static void
end_watch(void *arg, int what)
{
	struct pipe_end *p = arg;

	p->reads++;
	loop_fd_fini(&p->w);
	memset(&p->w, 0xee, sizeof(p->w)); /* the owner may free it here */
}

static void
a_watch_may_be_ended_and_freed_inside_its_callback(void **state)
{
	struct fixture *f = *state;
	struct pipe_end p = {.f = f};

	assert_int_equal(pipe(p.fds), 0);
	loop_fd_init(&p.w, f->loop, p.fds[0], end_watch, &p);
	loop_fd_want(&p.w, LOOP_READ);
	assert_int_equal(write(p.fds[1], "x", 1), 1);
	loop_step(f->loop);
	loop_step(f->loop);
	assert_int_equal(p.reads, 1);
	close(p.fds[0]);
	close(p.fds[1]);
}

static void
on_signal(void *arg, int signo)
{
	struct fixture *f = arg;

	note(f, signo == SIGUSR1 ? '1' : '?');
	loop_stop(f->loop);
}

static void
a_signal_is_delivered_on_the_loop(void **state)
{
	struct fixture *f = *state;
	struct loop_signal s;
	struct err_detail why = {0};
	struct sigaction before, after;

	use_real_clock(f);
	sigaction(SIGUSR1, NULL, &before);
	assert_int_equal(loop_signal_init(&s, f->loop, SIGUSR1, on_signal, f, &why), ERR_OK);
	raise(SIGUSR1);
	assert_string_equal(f->seen, "");
	loop_run(f->loop);
	assert_string_equal(f->seen, "1");
	loop_signal_fini(&s);
	loop_signal_fini(&s);
	sigaction(SIGUSR1, NULL, &after);
	assert_ptr_equal(before.sa_handler, after.sa_handler);
}

static void
posted_calls_that_never_ran_are_dropped_with_the_loop(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, note_a, f);
	loop_destroy(&f->loop);
	assert_string_equal(f->seen, "");
	loop_destroy(&f->loop); /* NULL is fine */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(timers_fire_in_the_order_of_their_deadlines),
	    T(a_timer_may_be_shorter_than_a_millisecond),
	    T(equal_deadlines_fire_in_the_order_in_which_they_were_set),
	    T(a_stopped_timer_does_not_fire),
	    T(setting_a_timer_again_moves_it),
	    T(a_periodic_timer_keeps_its_beat_and_skips_what_it_missed),
	    T(a_timer_set_to_now_by_its_own_callback_waits_for_the_next_round),
	    T(many_timers_stay_in_order),
	    T(a_timer_for_ever_does_not_overflow),
	    T(the_real_clock_wakes_the_loop),
	    T(stopping_before_the_run_makes_it_return_at_once),
	    T(a_stop_keeps_the_rest_for_the_next_run),
	    T(posts_from_two_threads_all_arrive_in_each_threads_order),
	    T(a_post_that_posts_itself_does_not_starve_timers),
	    T(a_descriptor_is_reported_as_long_as_it_is_ready_and_wanted),
	    T(a_watch_may_be_ended_and_freed_inside_its_callback),
	    T(a_signal_is_delivered_on_the_loop),
	    T(posted_calls_that_never_ran_are_dropped_with_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
