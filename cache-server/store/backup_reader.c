#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/store/backup.h"
#include "cache-server/store/backup_format.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

/*
 * Bytes gather until a header or a block is whole; its sum is checked before anything of it is looked at.
 * Even then no length is believed: a sum is no proof against malice.
 */
struct backup_reader {
	struct backup_visitor v;
	struct buf in;
	size_t need; /* bytes of the header, a block's head, or a block with it */
	enum { READ_HEADER, READ_HEAD, READ_BLOCK, READ_DONE, READ_FAILED } state;
	struct backup_info info;
	uint64_t number, items, same;
	char key[256];
	struct backup_item item; /* whose value is being read */
	uint64_t at;		 /* bytes of it so far */
	bool in_value;
};

struct backup_reader *
backup_reader_create(const struct backup_visitor *v)
{
	struct backup_reader *r = MEM_NEW(struct backup_reader);

	r->v = *v;
	r->need = sizeof(struct backup_header);
	return r;
}

void
backup_reader_destroy(struct backup_reader **r)
{
	if (!*r)
		return;
	buf_fini(&(*r)->in);
	free(*r);
	*r = NULL;
}

static err_t
damaged(const struct backup_reader *r, struct err_detail *why)
{
	return err_set(
	    why, ERR_CORRUPT,
	    "the backup is damaged in block %llu; what was before it has been read; use another copy",
	    (unsigned long long)r->number);
}

static err_t
read_header(struct backup_reader *r, struct span s, struct err_detail *why)
{
	struct backup_header h;

	memcpy(&h, s.p, sizeof h);
	if (memcmp(h.magic, BACKUP_MAGIC, sizeof h.magic) != 0)
		return err_set(why, ERR_CORRUPT, "this is not a backup; name another file");
	if (le64toh(h.sum) != hash_span(span_make(&h, offsetof(struct backup_header, sum)), BACKUP_VERSION))
		return err_set(
		    why, ERR_CORRUPT,
		    "the backup's header is damaged or of a version other than %d; use another copy, or "
		    "the program that wrote it",
		    BACKUP_VERSION);
	if (le32toh(h.version) != BACKUP_VERSION || le32toh(h.kind) > 1)
		return err_set(
		    why, ERR_CORRUPT,
		    "the backup is of version %u, this program reads %d; use the program that wrote it",
		    le32toh(h.version), BACKUP_VERSION);
	r->info = (struct backup_info){
	    .incremental = le32toh(h.kind) == 1,
	    .id = le64toh(h.id),
	    .base = le64toh(h.base),
	    .lineage = le64toh(h.lineage),
	    .hash_seed = le64toh(h.hash_seed),
	    .began = le64toh(h.began),
	};
	r->state = READ_HEAD;
	r->need = sizeof(struct backup_block_head);
	return r->v.header ? r->v.header(r->v.arg, &r->info, why) : ERR_OK;
}

/* Takes n bytes off the front; false: there are fewer. */
static bool
take(struct span *s, void *to, size_t n)
{
	if (s->len < n)
		return false;
	if (to)
		memcpy(to, s->p, n);
	*s = span_make(s->p + n, s->len - n);
	return true;
}

static err_t
give_part(struct backup_reader *r, struct span bytes, struct err_detail *why)
{
	err_t err = r->v.part ? r->v.part(r->v.arg, &r->item, r->at, bytes, why) : ERR_OK;

	r->at += bytes.len;
	r->in_value = r->at < r->item.value_len;
	return err;
}

static err_t
read_item(struct backup_reader *r, struct span *s, struct err_detail *why)
{
	struct backup_item_head h;
	struct span value;
	err_t err;

	if (!take(s, &h, sizeof h) || h.klen == 0 || h.klen > STORE_MAX_KEY || s->len < h.klen ||
	    le64toh(h.value_len) > 1u << 30)
		return damaged(r, why);
	(void)take(s, r->key, h.klen);
	r->item = (struct backup_item){
	    .key = span_make(r->key, h.klen),
	    .bits = le16toh(h.bits),
	    .client_flags = le32toh(h.client_flags),
	    .expiry = le64toh(h.expiry),
	    .order = le64toh(h.order),
	    .cas = le64toh(h.cas),
	    .epoch = {le64toh(h.count), le32toh(h.term), le32toh(h.source)},
	    .value_len = le64toh(h.value_len),
	};
	r->item.hash = hash_span(r->item.key, r->info.hash_seed);
	r->at = 0;
	r->items++;
	value = span_make(s->p, r->item.value_len);
	if (r->item.value_len <= BACKUP_INLINE && !take(s, NULL, r->item.value_len))
		return damaged(r, why);
	err = r->v.item ? r->v.item(r->v.arg, &r->item, why) : ERR_OK;
	if (err != ERR_OK)
		return err;
	if (r->item.value_len <= BACKUP_INLINE)
		return give_part(r, value, why);
	r->in_value = true;
	return ERR_OK;
}

static err_t
read_part(struct backup_reader *r, struct span *s, struct err_detail *why)
{
	struct backup_part_head h;
	struct span bytes;
	uint32_t n;

	if (!take(s, &h, sizeof h))
		return damaged(r, why);
	n = le32toh(h.len);
	bytes = span_make(s->p, n);
	if (n == 0 || n > BACKUP_MAX_PART || n > r->item.value_len - r->at || !take(s, NULL, n))
		return damaged(r, why);
	return give_part(r, bytes, why);
}

static err_t
read_records(struct backup_reader *r, struct span s, struct err_detail *why)
{
	struct backup_same same;
	struct backup_end end;
	err_t err = ERR_OK;

	while (err == ERR_OK && s.len > 0) {
		uint8_t type = (uint8_t)s.p[0];

		if (r->in_value != (type == BACKUP_PART))
			return damaged(r, why);
		switch (type) {
		case BACKUP_ITEM:
			err = read_item(r, &s, why);
			break;
		case BACKUP_PART:
			err = read_part(r, &s, why);
			break;
		case BACKUP_SAME:
			if (!take(&s, &same, sizeof same) || !r->info.incremental)
				return damaged(r, why);
			r->same++;
			if (r->v.same)
				err = r->v.same(r->v.arg, le64toh(same.hash), le64toh(same.order), same.bits,
						why);
			break;
		case BACKUP_END:
			if (!take(&s, &end, sizeof end) || s.len != 0 || le64toh(end.items) != r->items ||
			    le64toh(end.same) != r->same)
				return damaged(r, why);
			r->state = READ_DONE;
			return ERR_OK;
		default:
			return damaged(r, why);
		}
	}
	return err;
}

/* `s` has exactly the bytes that were needed. */
static err_t
read_whole(struct backup_reader *r, struct span s, struct err_detail *why)
{
	struct backup_block_head h;
	err_t err;

	if (r->state == READ_HEADER)
		return read_header(r, s, why);
	memcpy(&h, s.p, sizeof h);
	if (r->state == READ_HEAD) {
		if (le32toh(h.magic) != BACKUP_BLOCK_MAGIC || le32toh(h.len) > BACKUP_MAX_BLOCK ||
		    le32toh(h.len) == 0 || le64toh(h.number) != r->number)
			return damaged(r, why);
		r->state = READ_BLOCK;
		r->need = sizeof h + le32toh(h.len);
		return ERR_OK;
	}
	s = span_make(s.p + sizeof h, s.len - sizeof h);
	if (le64toh(h.sum) != hash_span(s, r->info.id + r->number))
		return damaged(r, why);
	r->state = READ_HEAD;
	r->need = sizeof h;
	err = read_records(r, s, why);
	r->number++;
	return err;
}

err_t
backup_read(struct backup_reader *r, struct span bytes, struct err_detail *why)
{
	err_t err = ERR_OK;

	if (r->state == READ_FAILED)
		return err_set(why, ERR_CORRUPT, "the backup could not be read before");
	while (bytes.len > 0 && err == ERR_OK) {
		size_t n = r->need - r->in.len;

		if (r->state == READ_DONE) {
			err = err_set(why, ERR_CORRUPT,
				      "there are bytes behind the end of the backup; use another copy");
			break;
		}
		if (n > bytes.len)
			n = bytes.len;
		buf_put(&r->in, bytes.p, n);
		bytes = span_make(bytes.p + n, bytes.len - n);
		if (r->in.len < r->need)
			break;
		err = read_whole(r, buf_span(&r->in), why);
		if (r->state != READ_BLOCK)
			buf_clear(&r->in);
	}
	if (err != ERR_OK)
		r->state = READ_FAILED;
	return err;
}

err_t
backup_read_end(struct backup_reader *r, struct err_detail *why)
{
	if (r->state == READ_DONE)
		return ERR_OK;
	return err_set(
	    why, ERR_CORRUPT,
	    "the backup ends before its end was written, after %llu items; it was interrupted: use another",
	    (unsigned long long)r->items);
}

bool
backup_read_done(const struct backup_reader *r)
{
	return r->state == READ_DONE;
}
