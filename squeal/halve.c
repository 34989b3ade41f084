#include "squeal/halve.h"

#include <stdlib.h>

#include "lib/core/mem.h"
#include "lib/wire/record.h"

void
halve_begin(struct halve *h, const struct span *records, size_t n)
{
	if (n > h->cap) {
		h->cap = n;
		h->records = mem_realloc(h->records, n * sizeof(h->records[0]));
	}
	for (size_t i = 0; i < n; i++)
		h->records[i] = records[i];
	h->n = n;
}

void
halve_fini(struct halve *h)
{
	free(h->records);
	buf_fini(&h->bytes[0]);
	buf_fini(&h->bytes[1]);
	arena_fini(&h->arena);
	*h = HALVE_INIT;
}

static size_t
keys_of(const struct record *rec)
{
	size_t n = 0;

	for (size_t i = 0; i < rec->ntxns; i++)
		n += rec->txns[i].nkeys + rec->txns[i].nmarkers;
	return n;
}

/* The keys of `t` from the `from`th to before the `to`th, markers behind the others. */
static struct record_txn
part_of(const struct record_txn *t, size_t from, size_t to)
{
	struct record_txn part = *t;
	size_t keys_to = to < t->nkeys ? to : t->nkeys, keys_from = from < keys_to ? from : keys_to;
	size_t markers_from = from > t->nkeys ? from - t->nkeys : 0;
	size_t markers_to = to > t->nkeys ? to - t->nkeys : 0;

	part.keys = t->keys + keys_from;
	part.nkeys = keys_to - keys_from;
	part.markers = t->markers + markers_from;
	part.nmarkers = markers_to - markers_from;
	return part;
}

/* Encodes the keys of `rec` from the `from`th to before the `to`th; returns the record's length. */
static size_t
encode_part(struct halve *h, const struct record *rec, size_t from, size_t to, struct buf *out)
{
	struct record_txn *txns = arena_alloc(&h->arena, rec->ntxns * sizeof(txns[0]));
	struct record part = *rec;
	size_t before = out->len, at = 0;
	bool last = to == keys_of(rec);

	part.txns = txns;
	part.ntxns = 0;
	for (size_t i = 0; i < rec->ntxns; i++) {
		const struct record_txn *t = &rec->txns[i];
		size_t n = t->nkeys + t->nmarkers;
		size_t begin = from > at ? from - at : 0, end = to > at ? to - at : 0;

		at += n;
		if (begin >= n || end == 0)
			continue;
		txns[part.ntxns] = part_of(t, begin, end < n ? end : n);
		txns[part.ntxns++].continues = end < n || t->continues;
	}
	if (!last)
		part.position = (struct span){"", 0};
	record_encode(&part, out);
	return out->len - before;
}

err_t
halve_step(struct halve *h, size_t *cut, struct err_detail *why)
{
	struct buf *out = &h->bytes[h->at ^ 1];
	struct span *fresh = mem_alloc((h->n * 2 + 1) * sizeof(fresh[0]));
	size_t longest = 0, n = 0;
	err_t err = ERR_OK;
	const char *p;

	*cut = 0;
	buf_clear(out);
	for (size_t i = 0; i < h->n; i++)
		longest = h->records[i].len > longest ? h->records[i].len : longest;
	for (size_t i = 0; i < h->n && err == ERR_OK; i++) {
		struct record rec = {0};
		size_t nkeys = 0;

		if (h->records[i].len > longest / 2) {
			arena_reset(&h->arena);
			err = record_decode(h->records[i], &h->arena, &rec, why);
			nkeys = err == ERR_OK ? keys_of(&rec) : 0;
		}
		if (nkeys > 1) {
			fresh[n++].len = encode_part(h, &rec, 0, nkeys / 2, out);
			fresh[n++].len = encode_part(h, &rec, nkeys / 2, nkeys, out);
			++*cut;
		} else {
			fresh[n++].len = h->records[i].len;
			buf_put_span(out, h->records[i]);
		}
	}
	if (err != ERR_OK) {
		free(fresh);
		return err;
	}
	p = out->p;
	for (size_t i = 0; i < n; i++) {
		fresh[i].p = p;
		p += fresh[i].len;
	}
	free(h->records);
	h->records = fresh;
	h->cap = h->n * 2 + 1;
	h->n = n;
	h->at ^= 1;
	return ERR_OK;
}
