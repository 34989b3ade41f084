#include "lib/net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lib/core/mem.h"

struct post {
	struct post *next;
	loop_post_fn *fn;
	void *arg;
};

struct loop {
	struct event_base *base;
	const struct clock *clock;
	_Atomic bool stop;

	/* A heap by deadline; slot 0 is not used.  timer_fd wakes the loop no later than at the first
	 * deadline. */
	struct loop_timer **heap;
	size_t ntimers, heap_cap;
	uint64_t order;
	uint64_t armed_ns; /* deadline that timer_fd is set to; UINT64_MAX: not set */
	int timer_fd;
	struct event *timer_event;

	pthread_mutex_t lock; /* guards the posted calls */
	struct post *first, **last;
	size_t nposts;
	int wake_fd;
	struct event *wake_event;

	void *part;
	void (*part_destroy)(void *part);
};

/* Every callback ends here: the rest of the round waits for the next run when it stopped the loop. */
static void
called(struct loop *l)
{
	if (atomic_load_explicit(&l->stop, memory_order_acquire))
		event_base_loopbreak(l->base);
}

static void
wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(l->wake_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR); /* EAGAIN: the counter is full, so the loop wakes up anyway */
}

static struct post *
take_post(struct loop *l)
{
	struct post *p;

	pthread_mutex_lock(&l->lock);
	p = l->first;
	if (p != NULL) {
		l->first = p->next;
		if (l->first == NULL)
			l->last = &l->first;
		l->nposts--;
	}
	pthread_mutex_unlock(&l->lock);
	return p;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct post *p;
	uint64_t count;
	size_t n;

	while (read(l->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&l->lock);
	n = l->nposts;
	pthread_mutex_unlock(&l->lock);
	/* Calls that are posted meanwhile wait for the next round, so that they cannot starve the others. */
	while (n-- > 0 && !atomic_load_explicit(&l->stop, memory_order_acquire) &&
	       (p = take_post(l)) != NULL) {
		p->fn(p->arg);
		free(p);
	}
	pthread_mutex_lock(&l->lock);
	n = l->nposts;
	pthread_mutex_unlock(&l->lock);
	if (n > 0)
		wake(l);
	called(l);
}

static void
on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;

	/* It only ends the wait; the round that follows runs what is due. */
	while (read(l->timer_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	l->armed_ns = UINT64_MAX;
}

err_t
loop_create(struct loop **out, const struct clock *clock, struct err_detail *why)
{
	struct loop *l = MEM_NEW(struct loop);
	struct event_config *config = NULL;
	err_t err = ERR_OK;

	*out = NULL;
	l->clock = clock;
	l->wake_fd = -1;
	l->timer_fd = -1;
	l->armed_ns = UINT64_MAX;
	l->last = &l->first;
	pthread_mutex_init(&l->lock, NULL);

	config = event_config_new();
	if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		l->base = event_base_new_with_config(config);
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->base == NULL || l->wake_fd < 0 || l->timer_fd < 0) {
		err = err_set(why, ERR_SYS,
			      "cannot set up the event loop: %s (is the limit of open files reached?)",
			      strerror(errno));
		goto done;
	}
	l->wake_event = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	l->timer_event = event_new(l->base, l->timer_fd, EV_READ | EV_PERSIST, on_timer_fd, l);
	if (l->wake_event == NULL || l->timer_event == NULL || event_add(l->wake_event, NULL) != 0 ||
	    event_add(l->timer_event, NULL) != 0) {
		err = err_set(why, ERR_SYS, "cannot set up the event loop: %s", strerror(errno));
		goto done;
	}
	*out = l;
	l = NULL;
done:
	if (config != NULL)
		event_config_free(config);
	loop_destroy(&l);
	return err;
}

void
loop_destroy(struct loop **lp)
{
	struct loop *l = *lp;
	struct post *p;

	*lp = NULL;
	if (l == NULL)
		return;
	if (l->part != NULL)
		l->part_destroy(l->part);
	while ((p = take_post(l)) != NULL)
		free(p);
	if (l->wake_event != NULL)
		event_free(l->wake_event);
	if (l->timer_event != NULL)
		event_free(l->timer_event);
	if (l->base != NULL)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	pthread_mutex_destroy(&l->lock);
	free(l->heap);
	free(l);
}

static void fire_due(struct loop *l);
static void arm(struct loop *l);

static void
turn(struct loop *l, bool wait)
{
	fire_due(l);
	if (atomic_load_explicit(&l->stop, memory_order_acquire))
		return;
	arm(l);
	if (l->ntimers > 0 && l->heap[1]->at_ns <= clock_mono_ns(l->clock))
		wait = false;
	event_base_loop(l->base, wait ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
}

void
loop_run(struct loop *l)
{
	while (!atomic_exchange_explicit(&l->stop, false, memory_order_acq_rel))
		turn(l, true);
}

void
loop_step(struct loop *l)
{
	turn(l, false);
}

void
loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->stop, true, memory_order_release);
	wake(l);
}

const struct clock *
loop_clock(const struct loop *l)
{
	return l->clock;
}

void
loop_post(struct loop *l, loop_post_fn *fn, void *arg)
{
	struct post *p = MEM_NEW(struct post);
	bool idle;

	p->fn = fn;
	p->arg = arg;
	pthread_mutex_lock(&l->lock);
	idle = l->first == NULL;
	*l->last = p;
	l->last = &p->next;
	l->nposts++;
	pthread_mutex_unlock(&l->lock);
	if (idle)
		wake(l);
}

/* --- timers ------------------------------------------------------------------------------------ */

static bool
before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void
heap_place(struct loop *l, size_t slot, struct loop_timer *t)
{
	l->heap[slot] = t;
	t->slot = slot;
}

/* Moves the timer at `slot` to where it belongs. */
static void
heap_settle(struct loop *l, size_t slot)
{
	struct loop_timer *t = l->heap[slot];

	while (slot > 1 && before(t, l->heap[slot / 2])) {
		heap_place(l, slot, l->heap[slot / 2]);
		slot /= 2;
	}
	for (;;) {
		size_t child = slot * 2;

		if (child > l->ntimers)
			break;
		if (child < l->ntimers && before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!before(l->heap[child], t))
			break;
		heap_place(l, slot, l->heap[child]);
		slot = child;
	}
	heap_place(l, slot, t);
}

static void
timer_set(struct loop_timer *t, uint64_t at_ns)
{
	struct loop *l = t->loop;

	t->at_ns = at_ns;
	t->order = l->order++;
	if (t->slot == 0) {
		if (l->ntimers + 2 > l->heap_cap) {
			l->heap_cap = l->heap_cap > 0 ? l->heap_cap * 2 : 16;
			l->heap = mem_realloc(l->heap, l->heap_cap * sizeof(*l->heap));
		}
		heap_place(l, ++l->ntimers, t);
	}
	heap_settle(l, t->slot);
}

/* Saturates: "for ever" is a legal time. */
static uint64_t
later(uint64_t at_ns, uint64_t ns)
{
	return __builtin_add_overflow(at_ns, ns, &at_ns) ? UINT64_MAX : at_ns;
}

static void
fire_due(struct loop *l)
{
	uint64_t now = clock_mono_ns(l->clock);
	uint64_t newest = l->order; /* what callbacks set from here on belongs to the next round */

	while (l->ntimers > 0 && l->heap[1]->at_ns <= now && l->heap[1]->order < newest) {
		struct loop_timer *t = l->heap[1];

		if (t->every_ns == 0)
			loop_timer_stop(t);
		else
			timer_set(t, later(now - t->at_ns < t->every_ns ? t->at_ns : now, t->every_ns));
		t->fn(t->arg);
		if (atomic_load_explicit(&l->stop, memory_order_acquire))
			return;
	}
}

/*
 * Sets timer_fd to the first deadline.  It is left alone when it is set to an earlier one: waking up for
 * nothing once is cheaper than a system call each time a timeout is pushed back.
 */
static void
arm(struct loop *l)
{
	struct itimerspec at = {0};
	uint64_t now, ns;

	if (l->ntimers == 0 || l->heap[1]->at_ns >= l->armed_ns)
		return;
	now = clock_mono_ns(l->clock);
	ns = l->heap[1]->at_ns > now ? l->heap[1]->at_ns - now : 1;
	at.it_value.tv_sec = (time_t)(ns / 1000000000u);
	at.it_value.tv_nsec = (long)(ns % 1000000000u);
	if (timerfd_settime(l->timer_fd, 0, &at, NULL) == 0)
		l->armed_ns = l->heap[1]->at_ns;
}

void
loop_timer_init(struct loop_timer *t, struct loop *l, loop_timer_fn *fn, void *arg)
{
	*t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

static uint64_t
ns_of(uint64_t n, uint64_t unit_ns)
{
	uint64_t ns;

	return __builtin_mul_overflow(n, unit_ns, &ns) ? UINT64_MAX : ns;
}

void
loop_timer_once(struct loop_timer *t, uint64_t ms)
{
	t->every_ns = 0;
	timer_set(t, later(clock_mono_ns(t->loop->clock), ns_of(ms, 1000000)));
}

void
loop_timer_once_us(struct loop_timer *t, uint64_t us)
{
	t->every_ns = 0;
	timer_set(t, later(clock_mono_ns(t->loop->clock), ns_of(us, 1000)));
}

void
loop_timer_every(struct loop_timer *t, uint64_t ms)
{
	if (ms == 0)
		ms = 1;
	t->every_ns = ns_of(ms, 1000000);
	timer_set(t, later(clock_mono_ns(t->loop->clock), t->every_ns));
}

void
loop_timer_stop(struct loop_timer *t)
{
	struct loop *l = t->loop;
	size_t slot = t->slot;
	struct loop_timer *moved;

	if (slot == 0)
		return;
	t->slot = 0;
	moved = l->heap[l->ntimers--];
	if (moved == t)
		return;
	heap_place(l, slot, moved);
	heap_settle(l, slot);
}

/* --- descriptors ------------------------------------------------------------------------------- */

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = arg;
	struct loop *l = w->loop; /* `w` may be gone after the call */

	w->fn(w->arg, LOOP_READ);
	called(l);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = arg;
	struct loop *l = w->loop;

	w->fn(w->arg, LOOP_WRITE);
	called(l);
}

/* An event that cannot be made or added means no memory or a descriptor that is not one: a bug. */
static struct event *
must_event(struct event *e)
{
	if (e == NULL)
		abort();
	return e;
}

void
loop_fd_init(struct loop_fd *w, struct loop *l, int fd, loop_fd_fn *fn, void *arg)
{
	*w = (struct loop_fd){.loop = l, .fn = fn, .arg = arg, .fd = fd};
	w->read_event = must_event(event_new(l->base, fd, EV_READ | EV_PERSIST, on_readable, w));
	w->write_event = must_event(event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_writable, w));
}

static void
want(struct event *e, bool was, bool is)
{
	if (is && !was && event_add(e, NULL) != 0)
		abort();
	if (was && !is)
		event_del(e);
}

void
loop_fd_want(struct loop_fd *w, int what)
{
	want(w->read_event, (w->wanted & LOOP_READ) != 0, (what & LOOP_READ) != 0);
	want(w->write_event, (w->wanted & LOOP_WRITE) != 0, (what & LOOP_WRITE) != 0);
	w->wanted = what;
}

void
loop_fd_fini(struct loop_fd *w)
{
	if (w->read_event != NULL)
		event_free(w->read_event);
	if (w->write_event != NULL)
		event_free(w->write_event);
	w->read_event = w->write_event = NULL;
	w->wanted = 0;
}

/* --- signals ----------------------------------------------------------------------------------- */

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;
	struct loop *l = s->loop;

	s->fn(s->arg, s->signo);
	called(l);
}

err_t
loop_signal_init(struct loop_signal *s, struct loop *l, int signo, loop_signal_fn *fn, void *arg,
		 struct err_detail *why)
{
	*s = (struct loop_signal){.loop = l, .fn = fn, .arg = arg, .signo = signo};
	s->event = event_new(l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s);
	if (s->event == NULL || event_add(s->event, NULL) != 0) {
		loop_signal_fini(s);
		return err_set(why, ERR_SYS, "cannot watch signal %d (%s): %s", signo, strsignal(signo),
			       strerror(errno));
	}
	return ERR_OK;
}

void
loop_signal_fini(struct loop_signal *s)
{
	if (s->event != NULL)
		event_free(s->event);
	s->event = NULL;
}

/* --- for lib/net ------------------------------------------------------------------------------- */

void *
loop_part(const struct loop *l)
{
	return l->part;
}

void
loop_set_part(struct loop *l, void *part, void (*destroy)(void *part))
{
	l->part = part;
	l->part_destroy = destroy;
}
