#include "router/places.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

void
places_set(struct places *p, struct lane **lanes, size_t n)
{
	p->lanes = lanes;
	p->n = n;
	p->order = mem_realloc(p->order, (n + 1) * sizeof(p->order[0]));
	p->takes = mem_realloc(p->takes, (n + 1) * sizeof(p->takes[0]));
	memset(p->takes, 0, (n + 1) * sizeof(p->takes[0]));
	for (size_t i = 0; i < n; i++)
		p->order[i] = lanes[i];
}

void
places_fini(struct places *p)
{
	free(p->order);
	free(p->takes);
	memset(p, 0, sizeof(*p));
}

uint64_t
places_live(const struct places *p)
{
	uint64_t live = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->lanes[i]->next_read > live)
			live = p->lanes[i]->next_read;
	}
	return live;
}

bool
places_followed(const struct places *p, uint64_t live)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct lane *lane = p->lanes[i];

		if (lane->next_read < live && !lane->paused && server_is_up(lane->server))
			return true;
	}
	return false;
}

bool
places_choose(struct places *p, uint64_t from, uint64_t upto, bool patient)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		const struct lane *lane = p->lanes[i];

		p->takes[i] = lane->next_read >= from && lane->next_read <= upto && !lane->full &&
			      !(patient && lane->heavy);
		any |= p->takes[i];
	}
	return any;
}

/* Insertion: little has moved since the last time. */
static void
places_sort(struct places *p)
{
	for (size_t i = 1; i < p->n; i++) {
		struct lane *lane = p->order[i];
		size_t to = i;

		for (; to > 0 && p->order[to - 1]->next_read > lane->next_read; to--)
			p->order[to] = p->order[to - 1];
		p->order[to] = lane;
	}
}

/*
 * Goes through the places that are to be read, hindmost first, and returns the one numbered `which`; *n is
 * how many there are.  A place is that of its hindmost lane; those up to PLACES_NEAR before it wait there.
 */
static struct lane *
places_head(const struct places *p, uint64_t live, size_t which, size_t *n)
{
	struct lane *found = NULL, *head = NULL;

	*n = 0;
	for (size_t i = 0; i < p->n && p->order[i]->next_read < live; i++) {
		struct lane *lane = p->order[i];

		if (lane->full || lane->dry ||
		    (head != NULL && lane->next_read <= head->next_read + PLACES_NEAR))
			continue;
		head = lane;
		if ((*n)++ == which)
			found = head;
	}
	return found;
}

struct lane *
places_behind(struct places *p, uint64_t live)
{
	size_t n, which, served;
	struct lane *head;

	places_sort(p);
	head = places_head(p, live, 0, &n);
	if (n <= 1)
		return head;
	/* The hindmost and the last ones before the live feed: these are done soonest, and that one meets the
	 * rest. */
	served = n < PLACES_MAX ? n : PLACES_MAX;
	which = p->turn++ % served;
	return which == 0 ? head : places_head(p, live, n - which, &n);
}

void
places_arrived(struct places *p)
{
	for (size_t i = 0; i < p->n; i++)
		p->lanes[i]->dry = false;
}
