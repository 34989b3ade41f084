#include "cache-server/store/backup.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/store/backup_format.h"
#include "cache-server/store/restore.h"
#include "cache-server/store/segment.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

struct backup {
	struct store_thread *t;
	struct store *s;
	struct backup_options opt;
	struct buf block;
	uint64_t number; /* of the next block */
	uint64_t cursor;
	uint64_t epoch; /* unix time of store second 0 */
	struct backup_figures figures;
	err_t err; /* of the sink, inside a visit */
	struct err_detail why;
};

/* --- maps -------------------------------------------------------------------------------------------------
 */

static uint64_t *
place_in(uint64_t *pairs, size_t cap, uint64_t hash)
{
	size_t i = hash & (cap - 1);

	while (pairs[2 * i] && pairs[2 * i] != hash)
		i = (i + 1) & (cap - 1);
	return &pairs[2 * i];
}

uint64_t *
backup_map_find(const struct backup_map *m, uint64_t hash)
{
	uint64_t *pair;

	if (!m->cap)
		return NULL;
	pair = place_in(m->pairs, m->cap, hash ? hash : 1); /* 0 marks an empty pair */
	return pair[0] ? &pair[1] : NULL;
}

void
backup_map_put(struct backup_map *m, uint64_t hash, uint64_t number)
{
	uint64_t *pair;

	if (m->used * 4 >= m->cap * 3) {
		size_t cap = m->cap ? m->cap * 2 : 1024;
		uint64_t *pairs = mem_zalloc(cap, 2 * sizeof *pairs);

		for (size_t i = 0; i < m->cap; i++)
			if (m->pairs[2 * i])
				memcpy(place_in(pairs, cap, m->pairs[2 * i]), &m->pairs[2 * i],
				       2 * sizeof *pairs);
		free(m->pairs);
		m->pairs = pairs;
		m->cap = cap;
	}
	pair = place_in(m->pairs, m->cap, hash ? hash : 1);
	m->used += pair[0] == 0;
	pair[0] = hash ? hash : 1;
	pair[1] = number;
}

void
backup_map_fini(struct backup_map *m)
{
	free(m->pairs);
	*m = (struct backup_map){0};
}

/* --- the manifest -----------------------------------------------------------------------------------------
 */

static err_t
manifest_header(void *arg, const struct backup_info *info, struct err_detail *why)
{
	struct backup_manifest *m = arg;

	(void)why;
	m->info = *info;
	return ERR_OK;
}

static err_t
manifest_item(void *arg, const struct backup_item *it, struct err_detail *why)
{
	struct backup_manifest *m = arg;
	uint64_t *known = backup_map_find(&m->orders, it->hash);

	(void)why;
	/* A key that changed while the backup was written may be there twice. */
	if (!known || *known < it->order)
		backup_map_put(&m->orders, it->hash, it->order);
	return ERR_OK;
}

static err_t
manifest_same(void *arg, uint64_t hash, uint64_t order, unsigned bits, struct err_detail *why)
{
	(void)bits;
	return manifest_item(arg, &(struct backup_item){.hash = hash, .order = order}, why);
}

void
backup_manifest_init(struct backup_manifest *m)
{
	*m = (struct backup_manifest){0};
	m->visitor = (struct backup_visitor){
	    .header = manifest_header, .item = manifest_item, .same = manifest_same, .arg = m};
}

void
backup_manifest_fini(struct backup_manifest *m)
{
	backup_map_fini(&m->orders);
}

/* --- writing ----------------------------------------------------------------------------------------------
 */

static err_t
emit(struct backup *b, struct span bytes)
{
	b->figures.bytes += bytes.len;
	return b->opt.sink(b->opt.arg, bytes, &b->why);
}

static void
flush(struct backup *b)
{
	struct backup_block_head head = {
	    .magic = htole32(BACKUP_BLOCK_MAGIC),
	    .len = htole32((uint32_t)b->block.len),
	    .number = htole64(b->number),
	    .sum = htole64(hash_span(buf_span(&b->block), b->opt.id + b->number)),
	};

	if (b->err != ERR_OK || b->block.len == 0)
		return;
	b->number++;
	b->err = emit(b, span_make(&head, sizeof head));
	if (b->err == ERR_OK)
		b->err = emit(b, buf_span(&b->block));
	buf_clear(&b->block);
}

static void
put_item(struct backup *b, const struct store_view *v, struct span key)
{
	struct item_epoch e = item_epoch(v->item, v->state);
	struct backup_item_head head = {
	    .type = BACKUP_ITEM,
	    .klen = (uint8_t)key.len,
	    .bits = htole16((uint16_t)(((v->state & ITEM_STALE) ? BACKUP_STALE : 0) |
				       ((v->state & ITEM_FETCHED) ? BACKUP_FETCHED : 0) |
				       ((v->state & ITEM_CAS) ? BACKUP_CAS : 0) |
				       ((v->state & ITEM_EPOCH) ? BACKUP_EPOCH : 0))),
	    .client_flags = htole32(item_client_flags(v->item, v->state)),
	    .expiry = htole64(v->expiry ? b->epoch + v->expiry : 0),
	    .order = htole64(item_order(v->item->ident)),
	    .cas = htole64(item_cas(v->item, v->state)),
	    .count = htole64(e.count),
	    .term = htole32(e.term),
	    .source = htole32(e.source),
	    .value_len = htole64(v->len),
	};
	struct span part;
	uint64_t at = 0;

	buf_put(&b->block, &head, sizeof head);
	buf_put_span(&b->block, key);
	if (v->len <= BACKUP_INLINE) {
		while ((part = store_view_part(b->t, v, at)).len != 0) {
			buf_put_span(&b->block, part);
			at += part.len;
		}
	}
	while (v->len > BACKUP_INLINE && (part = store_view_part(b->t, v, at)).len != 0) {
		struct backup_part_head ph = {.type = BACKUP_PART};

		if (part.len > BACKUP_MAX_PART)
			part.len = BACKUP_MAX_PART;
		ph.len = htole32((uint32_t)part.len);
		buf_put(&b->block, &ph, sizeof ph);
		buf_put_span(&b->block, part);
		at += part.len;
		if (b->block.len >= BACKUP_BLOCK)
			flush(b);
	}
	b->figures.items++;
}

static void
visit(void *arg, const struct store_view *v, struct span key)
{
	struct backup *b = arg;
	uint64_t order = item_order(v->item->ident), hash, *known;

	if (b->err != ERR_OK)
		return;
	hash = hash_span(key, b->opt.hash_seed);
	known = b->opt.base ? backup_map_find(&b->opt.base->orders, hash) : NULL;
	if (known && *known == order) {
		struct backup_same same = {
		    .type = BACKUP_SAME,
		    .bits = (uint8_t)(((v->state & ITEM_STALE) ? BACKUP_STALE : 0) |
				      ((v->state & ITEM_FETCHED) ? BACKUP_FETCHED : 0)),
		    .hash = htole64(hash),
		    .order = htole64(order),
		};

		buf_put(&b->block, &same, sizeof same);
		b->figures.same++;
	} else {
		put_item(b, v, key);
	}
	if (b->block.len >= BACKUP_BLOCK)
		flush(b);
}

err_t
backup_create(struct backup **out, struct store_thread *t, const struct backup_options *opt,
	      struct err_detail *why)
{
	struct backup *b = MEM_NEW(struct backup);
	struct backup_header h = {.version = htole32(BACKUP_VERSION)};
	err_t err = ERR_OK;

	*out = NULL;
	b->t = t;
	b->s = store_of(t);
	b->opt = *opt;
	b->epoch = opt->unix_now - store_now(b->s);
	if (opt->base) {
		b->opt.hash_seed = opt->base->info.hash_seed;
		if (opt->base->info.lineage != store_lineage(b->s))
			err =
			    err_set(why, ERR_BEHIND,
				    "the base is a backup of another store, or of this one before it started "
				    "cold; make a full backup");
	}
	memcpy(h.magic, BACKUP_MAGIC, sizeof h.magic);
	h.kind = htole32(opt->base != NULL);
	h.id = htole64(opt->id);
	h.base = htole64(opt->base ? opt->base->info.id : 0);
	h.lineage = htole64(store_lineage(b->s));
	h.hash_seed = htole64(b->opt.hash_seed);
	h.began = htole64(opt->unix_now);
	h.sum = htole64(hash_span(span_make(&h, offsetof(struct backup_header, sum)), BACKUP_VERSION));
	if (err == ERR_OK) {
		err = emit(b, span_make(&h, sizeof h));
		if (err != ERR_OK)
			(void)err_set(why, err, "%s", err_why(&b->why));
	}
	if (err == ERR_OK) {
		*out = b;
		b = NULL;
	}
	backup_destroy(&b);
	return err;
}

err_t
backup_step(struct backup *b, unsigned segments, bool *more, struct err_detail *why)
{
	*more = true;
	if (b->err == ERR_OK)
		store_visit(b->t, &b->cursor, segments, visit, b);
	if (b->err == ERR_OK && b->cursor == 0) {
		struct backup_end end = {
		    .type = BACKUP_END, .items = htole64(b->figures.items), .same = htole64(b->figures.same)};

		buf_put(&b->block, &end, sizeof end);
		flush(b);
		*more = false;
	}
	if (b->err != ERR_OK)
		return err_set(why, b->err, "%s", err_why(&b->why));
	return ERR_OK;
}

void
backup_figures(const struct backup *b, struct backup_figures *out)
{
	*out = b->figures;
}

void
backup_destroy(struct backup **b)
{
	if (!*b)
		return;
	buf_fini(&(*b)->block);
	free(*b);
	*b = NULL;
}
