#include <stdlib.h>
#include <string.h>

#include "cache-server/store/inside.h"
#include "lib/core/mem.h"

/*
 * A large value: its head is an ordinary item of its key, whose value holds the places of the pieces.  Four
 * pieces fill a segment.  Pieces are found by their heads only; a merge that meets one finds its head by the
 * hash that the piece names, locks that bucket and moves the piece, or drops the whole value.
 *
 * Places are stored with release after the copy is complete and loaded with acquire by readers without a
 * lock.
 */

uint32_t
large_count(const struct store *s, uint64_t len)
{
	return (uint32_t)((len + s->piece - 1) / s->piece);
}

/* Bytes between the head's value and its places, which lie at an address that divides by 8. */
static uint32_t
gap(unsigned extra, unsigned klen)
{
	return (8 - (extra + klen) % 8) % 8;
}

uint32_t
large_vlen(const struct store *s, unsigned extra, unsigned klen, uint64_t len)
{
	return gap(extra, klen) + (uint32_t)sizeof(struct large) + 8 * large_count(s, len);
}

static struct item *
piece_item(const struct store_draft *d, uint32_t i, const struct store *s)
{
	return segment_item(&s->pool, d->pieces[i]);
}

err_t
large_begin(struct store_thread *t, struct store_draft *d, const struct lane_want *head)
{
	struct store *s = t->s;
	uint64_t left = d->value_len;
	uint32_t n = large_count(s, d->value_len), i, part;
	struct segment_piece *piece;
	struct lane_want w;
	struct item *it;
	err_t err = ERR_OK;

	d->npieces = 0;
	d->pieces = malloc(n * sizeof *d->pieces);
	if (!d->pieces)
		return ERR_FULL;
	for (i = 0; i < n; i++) {
		part = left < s->piece ? (uint32_t)left : s->piece;
		w = (struct lane_want){
		    .vlen = (uint32_t)sizeof *piece + part, .flags = ITEM_PIECE, .expiry = head->expiry};
		while ((it = lane_reserve(t, &w, false)) == NULL) {
			err = evict_now(t);
			if (err != ERR_OK)
				goto done;
		}
		piece = segment_piece(it, item_state(it));
		piece->owner = d->hash;
		piece->number = i;
		d->pieces[d->npieces++] = segment_place(&s->pool, it);
		left -= part;
	}
done:
	if (err != ERR_OK)
		large_abort(t, d);
	return err;
}

size_t
large_room(struct store_thread *t, struct store_draft *d, uint64_t at, char **where)
{
	struct store *s = t->s;
	uint64_t i = at / s->piece, in = at % s->piece;
	struct item *it;

	if (at >= d->value_len)
		return 0;
	it = piece_item(d, (uint32_t)i, s);
	*where = segment_piece(it, item_state(it))->bytes + in;
	return item_vlen(item_state(it)) - sizeof(struct segment_piece) - in;
}

void
large_publish(struct store_thread *t, struct store_draft *d)
{
	struct store *s = t->s;
	struct large *l = large_of(d->item, item_state(d->item));
	uint32_t i;

	l->len = d->value_len;
	for (i = 0; i < d->npieces; i++) {
		item_publish(s, piece_item(d, i, s), 1, 0);
		atomic_store_explicit(&l->place[i], d->pieces[i], memory_order_release);
	}
}

void
large_abort(struct store_thread *t, struct store_draft *d)
{
	uint32_t i;

	for (i = 0; i < d->npieces; i++)
		lane_release(t->s, piece_item(d, i, t->s), false);
	free(d->pieces);
	d->pieces = NULL;
	d->npieces = 0;
}

void
large_kill(struct store *s, struct item *head)
{
	struct large *l = large_of(head, item_state(head));
	uint32_t i, n = large_count(s, l->len);

	for (i = 0; i < n; i++)
		item_kill(s,
			  segment_item(&s->pool, atomic_load_explicit(&l->place[i], memory_order_relaxed)));
}

struct item *
large_owner(struct store *s, const struct item *piece)
{
	const struct segment_piece *p = segment_piece(piece, item_state(piece));
	uint64_t place, mine = segment_place(&s->pool, piece), state;
	struct index_cursor c = {0};
	struct item *it;
	struct large *l;

	while (index_next(s->index, p->owner, &c, &place)) {
		it = segment_item(&s->pool, place);
		state = item_state(it);
		if (!(state & ITEM_LARGE) || (state & ITEM_DEAD))
			continue;
		l = large_of(it, state);
		if (p->number < large_count(s, l->len) &&
		    atomic_load_explicit(&l->place[p->number], memory_order_relaxed) == mine)
			return it;
	}
	return NULL;
}
