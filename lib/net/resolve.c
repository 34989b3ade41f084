#include "lib/net/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/core/thread.h"

/* What the threads and the loop share; lives until the loop and the last thread are done with it. */
struct shared {
	pthread_mutex_t lock;
	struct loop *loop; /* NULL: the loop is gone */
	struct resolver *resolver;
	const struct resolve_ops *ops;
	unsigned refs;
};

struct lookup {
	struct lookup *next;
	struct shared *shared;
	char *host;
	struct resolve *waiting; /* the loop's side only */
	bool half_done;		 /* the other side is done with it: whoever comes next frees it */
	int result;		 /* of getaddrinfo() */
	struct addrinfo *list;
};

struct resolver {
	struct shared *shared;
	struct lookup *lookups; /* that run */
};

static int
system_look_up(const char *host, const struct addrinfo *hints, struct addrinfo **list)
{
	return getaddrinfo(host, NULL, hints, list);
}

static const struct resolve_ops system_ops = {system_look_up, freeaddrinfo};

static void
shared_release(struct shared *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --s->refs == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void
lookup_free(struct lookup *k)
{
	if (k->list != NULL)
		k->shared->ops->free_list(k->list);
	free(k->host);
	free(k);
}

/* The loop goes away.  Threads cannot be interrupted in getaddrinfo(): they are left behind with their
 * look-up. */
static void
resolver_destroy(void *arg)
{
	struct resolver *r = arg;
	struct lookup *k;

	pthread_mutex_lock(&r->shared->lock);
	r->shared->loop = NULL;
	while ((k = r->lookups) != NULL) {
		r->lookups = k->next;
		if (k->half_done)
			lookup_free(k); /* done: its call was posted and will not run any more */
		else
			k->half_done = true;
	}
	pthread_mutex_unlock(&r->shared->lock);
	shared_release(r->shared);
	free(r);
}

static struct resolver *
resolver_of(struct loop *l)
{
	struct resolver *r = loop_part(l);

	if (r != NULL)
		return r;
	r = MEM_NEW(struct resolver);
	r->shared = MEM_NEW(struct shared);
	pthread_mutex_init(&r->shared->lock, NULL);
	r->shared->refs = 1;
	r->shared->loop = l;
	r->shared->resolver = r;
	r->shared->ops = &system_ops;
	loop_set_part(l, r, resolver_destroy);
	return r;
}

void
resolve_use(struct loop *l, const struct resolve_ops *ops)
{
	resolver_of(l)->shared->ops = ops;
}

/* On the loop: hands the result to everybody who waits. */
static void
deliver(void *arg)
{
	struct lookup *k = arg;
	struct resolver *r = k->shared->resolver;
	const char *why = k->list == NULL ? gai_strerror(k->result) : NULL;
	struct resolve *w;

	for (struct lookup **at = &r->lookups; *at != NULL; at = &(*at)->next) {
		if (*at == k) {
			*at = k->next;
			break;
		}
	}
	/* A callback may stop any other one that waits, so the list is read anew each time. */
	while ((w = k->waiting) != NULL) {
		k->waiting = w->next;
		w->lookup = NULL;
		w->fn(w->arg, k->list, why);
	}
	lookup_free(k);
}

static void *
look_up(void *arg)
{
	struct lookup *k = arg;
	struct shared *s = k->shared;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	struct addrinfo *list = NULL;
	int result = s->ops->look_up(k->host, &hints, &list);

	if (result != 0)
		list = NULL;
	pthread_mutex_lock(&s->lock);
	k->result = result;
	k->list = list;
	if (k->half_done)
		lookup_free(k);
	else {
		k->half_done = true;
		loop_post(s->loop, deliver, k);
	}
	pthread_mutex_unlock(&s->lock);
	shared_release(s);
	return NULL;
}

void
resolve_start(struct resolve *w, struct loop *l, const char *host, resolve_fn *fn, void *arg)
{
	struct resolver *r = resolver_of(l);
	struct lookup *k;

	*w = (struct resolve){.fn = fn, .arg = arg};
	for (k = r->lookups; k != NULL && strcmp(k->host, host) != 0;)
		k = k->next;
	if (k == NULL) {
		k = MEM_NEW(struct lookup);
		k->host = mem_strdup(host);
		k->shared = r->shared;
		k->next = r->lookups;
		r->lookups = k;
		pthread_mutex_lock(&r->shared->lock);
		r->shared->refs++;
		pthread_mutex_unlock(&r->shared->lock);
		if (thread_start_detached(look_up, k, NULL) != ERR_OK) {
			k->result = EAI_AGAIN; /* "Temporary failure in name resolution" */
			k->half_done = true;
			shared_release(r->shared);
			loop_post(l, deliver, k);
		}
	}
	w->lookup = k;
	w->next = k->waiting;
	k->waiting = w;
}

void
resolve_stop(struct resolve *w)
{
	if (w->lookup == NULL)
		return;
	for (struct resolve **at = &w->lookup->waiting; *at != NULL; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	w->lookup = NULL;
}
