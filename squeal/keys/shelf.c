#include "squeal/keys/shelf.h"

#include <stdlib.h>

#include "lib/core/mem.h"

struct shelf {
	struct queue_item *first; /* newest first; seldom more than a few */
};

struct shelf *
shelf_create(void)
{
	return MEM_NEW(struct shelf);
}

void
shelf_destroy(struct shelf **s)
{
	if (*s == NULL)
		return;
	while ((*s)->first != NULL) {
		struct queue_item *it = (*s)->first;

		(*s)->first = it->next;
		queue_item_destroy(&it);
	}
	free(*s);
	*s = NULL;
}

void
shelf_put(struct shelf *s, struct queue_item *it)
{
	struct queue_item *old = shelf_take(s, it->xid);

	queue_item_destroy(&old);
	it->next = s->first;
	s->first = it;
}

struct queue_item *
shelf_take(struct shelf *s, const struct xid *xid)
{
	struct queue_item **at = &s->first;
	struct queue_item *it;

	while (*at != NULL && !xid_same((*at)->xid, xid))
		at = &(*at)->next;
	it = *at;
	if (it != NULL) {
		*at = it->next;
		it->next = NULL;
	}
	return it;
}

bool
shelf_delivers(const struct queue_item *prepared, enum queue_kind end)
{
	return prepared != NULL &&
	       (end == QUEUE_XA_COMMIT || (end == QUEUE_XA_ROLLBACK && prepared->cannot_be_undone));
}
