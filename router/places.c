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

static bool
has_room(const struct lane *lane)
{
	return !lane->full && !lane->dry;
}

/* It was read for a moment ago, and will be again as soon as its server has taken some. */
static bool
holds_place(const struct lane *lane, uint64_t now_ms)
{
	return lane->served_ms != 0 && now_ms - lane->served_ms < PLACES_HOLD_MS && !lane->paused;
}

/*
 * Goes through the places that are read, hindmost first, and returns the one numbered `which`; *n is how many
 * there are.  A place is that of its hindmost lane; those with room up to PLACES_NEAR before it wait there.
 */
static struct lane *
places_head(const struct places *p, uint64_t live, uint64_t now_ms, size_t which, size_t *n)
{
	struct lane *found = NULL;
	const struct lane *head = NULL;

	*n = 0;
	for (size_t i = 0; i < p->n && p->order[i]->next_read < live; i++) {
		struct lane *lane = p->order[i];

		/* What a dry one waits for will serve those near it too. */
		if (has_room(lane) || (lane->dry && !lane->full)) {
			if (head != NULL && lane->next_read <= head->next_read + PLACES_NEAR)
				continue;
			head = lane;
		} else if (!holds_place(lane, now_ms)) {
			continue;
		}
		if ((*n)++ == which)
			found = lane;
	}
	return found;
}

/* The hindmost, and the last one before the live feed: this is done soonest, and that one meets the rest. */
static struct lane *
places_turn(struct places *p, uint64_t live, uint64_t now_ms)
{
	size_t n, places;
	struct lane *lane = places_head(p, live, now_ms, 0, &n);

	places = n < PLACES_MAX ? n : PLACES_MAX;
	for (size_t i = 0; i < places; i++) {
		size_t which = p->turn++ % places;

		lane = places_head(p, live, now_ms, which == 0 ? 0 : n - which, &n);
		if (has_room(lane))
			return lane;
	}
	/* These have enough for the moment: then somebody else. */
	for (size_t i = n; i > 0; i--) {
		lane = places_head(p, live, now_ms, i - 1, &n);
		if (has_room(lane))
			return lane;
	}
	return NULL;
}

struct lane *
places_behind(struct places *p, uint64_t live, uint64_t now_ms)
{
	struct lane *lane;

	places_sort(p);
	lane = places_turn(p, live, now_ms);
	if (lane != NULL)
		lane->served_ms = now_ms;
	return lane;
}

void
places_arrived(struct places *p)
{
	for (size_t i = 0; i < p->n; i++)
		p->lanes[i]->dry = false;
}
