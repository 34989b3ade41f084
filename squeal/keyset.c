#include "squeal/keyset.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"

/*
 * Packed key: u8 kind, u8 length, bytes.  The hash table holds offsets into `packed`; sets of up to SMALL
 * keys are searched without it, since that is what nearly every transaction is.
 */
enum { SMALL = 8, HEAD = 2, SPILL_CHUNK = 256 * 1024 };

struct keyset {
	size_t memory;
	char *spill_dir;
	uint64_t seed;
	struct buf packed; /* keys since the last spill */
	size_t in_memory;  /* their number */
	uint64_t nkeys;	   /* all */
	uint32_t *slots;   /* offset + 1 into packed; 0 is free */
	size_t nslots;	   /* power of two; 0 while the set is small */
	int spill_fd;
	uint64_t spilled;
};

struct keyset *
keyset_create(size_t memory, const char *spill_dir)
{
	struct keyset *s = MEM_NEW(struct keyset);

	s->memory = memory;
	s->spill_dir = mem_strdup(spill_dir);
	s->seed = hash_seed();
	s->spill_fd = -1;
	return s;
}

void
keyset_destroy(struct keyset **s)
{
	if (*s == NULL)
		return;
	keyset_clear(*s);
	buf_fini(&(*s)->packed);
	free((*s)->slots);
	free((*s)->spill_dir);
	free(*s);
	*s = NULL;
}

void
keyset_keys_fini(struct keyset_keys *k)
{
	buf_fini(&k->tail);
	if (k->spill_fd >= 0)
		close(k->spill_fd);
	k->spill_fd = -1;
}

void
keyset_pack(struct buf *out, enum key_kind kind, struct span key)
{
	unsigned char *room = (unsigned char *)buf_room(out, HEAD + key.len);

	room[0] = (unsigned char)kind;
	room[1] = (unsigned char)key.len;
	memcpy(room + HEAD, key.p, key.len);
	buf_added(out, HEAD + key.len);
}

static struct span
key_at(const struct keyset *s, size_t at, enum key_kind *kind)
{
	const unsigned char *p = (const unsigned char *)s->packed.p + at;

	*kind = (enum key_kind)p[0];
	return span_make(p + HEAD, p[1]);
}

static uint64_t
hash_of(const struct keyset *s, enum key_kind kind, struct span key)
{
	return hash_span(key, s->seed + (uint64_t)kind);
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *
slot_of(const struct keyset *s, enum key_kind kind, struct span key)
{
	size_t i = hash_of(s, kind, key) & (s->nslots - 1);

	while (s->slots[i] != 0) {
		enum key_kind there_kind;
		struct span there = key_at(s, s->slots[i] - 1, &there_kind);

		if (there_kind == kind && span_eq(there, key))
			break;
		i = (i + 1) & (s->nslots - 1);
	}
	return &s->slots[i];
}

/* Indexes every key that is in memory. */
static void
index_all(struct keyset *s, size_t nslots)
{
	size_t at = 0;

	free(s->slots);
	s->slots = mem_zalloc(nslots, sizeof(*s->slots));
	s->nslots = nslots;
	while (at < s->packed.len) {
		enum key_kind kind;
		struct span key = key_at(s, at, &kind);

		*slot_of(s, kind, key) = (uint32_t)at + 1;
		at += HEAD + key.len;
	}
}

static bool
is_there(const struct keyset *s, enum key_kind kind, struct span key)
{
	size_t at = 0;

	if (s->nslots > 0)
		return *slot_of(s, kind, key) != 0;
	while (at < s->packed.len) {
		enum key_kind there_kind;
		struct span there = key_at(s, at, &there_kind);

		if (there_kind == kind && span_eq(there, key))
			return true;
		at += HEAD + there.len;
	}
	return false;
}

static void
forget_memory(struct keyset *s)
{
	buf_clear(&s->packed);
	s->in_memory = 0;
	free(s->slots);
	s->slots = NULL;
	s->nslots = 0;
}

static err_t
open_spill(struct keyset *s, struct err_detail *why)
{
	char path[PATH_MAX];

	s->spill_fd = open(s->spill_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->spill_fd >= 0)
		return ERR_OK;
	snprintf(path, sizeof(path), "%s/squeal-spill-XXXXXX", s->spill_dir);
	s->spill_fd = mkostemp(path, O_CLOEXEC);
	if (s->spill_fd < 0)
		return err_set(
		    why, ERR_IO,
		    "cannot create a spill file in %s: %s (set squeal.spill_dir to a folder that can be "
		    "written)",
		    s->spill_dir, strerror(errno));
	unlink(path);
	return ERR_OK;
}

/* Moves what is in memory behind what is in the spill file. */
static err_t
spill(struct keyset *s, struct err_detail *why)
{
	size_t done = 0;
	err_t err;

	if (s->spill_fd < 0) {
		err = open_spill(s, why);
		if (err != ERR_OK)
			return err;
	}
	while (done < s->packed.len) {
		ssize_t n =
		    pwrite(s->spill_fd, s->packed.p + done, s->packed.len - done, (off_t)(s->spilled + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(why, errno == ENOSPC ? ERR_FULL : ERR_IO,
				       "cannot write the spill file in %s: %s (free space there, or set "
				       "squeal.spill_dir)",
				       s->spill_dir, strerror(errno));
		done += (size_t)n;
	}
	s->spilled += s->packed.len;
	forget_memory(s);
	return ERR_OK;
}

err_t
keyset_add(struct keyset *s, enum key_kind kind, struct span key, bool *added, struct err_detail *why)
{
	size_t at;

	*added = false;
	if (is_there(s, kind, key))
		return ERR_OK;
	if (s->packed.len > 0 && s->packed.len + HEAD + key.len > s->memory) {
		err_t err = spill(s, why);

		if (err != ERR_OK)
			return err;
	}
	at = s->packed.len;
	keyset_pack(&s->packed, kind, key);
	s->in_memory++;
	s->nkeys++;
	if (s->nslots == 0 && s->in_memory > SMALL)
		index_all(s, 64);
	else if (s->nslots > 0 && s->in_memory * 2 > s->nslots)
		index_all(s, s->nslots * 4);
	else if (s->nslots > 0)
		*slot_of(s, kind, key) = (uint32_t)at + 1;
	*added = true;
	return ERR_OK;
}

struct keyset_mark
keyset_mark(const struct keyset *s)
{
	return (struct keyset_mark){s->spilled + s->packed.len, s->nkeys};
}

err_t
keyset_rollback(struct keyset *s, struct keyset_mark mark, struct err_detail *why)
{
	if (mark.at >= s->spilled) {
		uint64_t forgotten = s->nkeys - mark.nkeys;

		s->packed.len = (size_t)(mark.at - s->spilled);
		s->in_memory -= (size_t)forgotten;
		if (s->nslots > 0)
			index_all(s, s->nslots);
	} else {
		if (ftruncate(s->spill_fd, (off_t)mark.at) != 0)
			return err_set(why, ERR_IO, "cannot shorten the spill file in %s: %s", s->spill_dir,
				       strerror(errno));
		s->spilled = mark.at;
		forget_memory(s);
	}
	s->nkeys = mark.nkeys;
	return ERR_OK;
}

void
keyset_clear(struct keyset *s)
{
	forget_memory(s);
	if (s->spill_fd >= 0)
		close(s->spill_fd);
	s->spill_fd = -1;
	s->spilled = 0;
	s->nkeys = 0;
}

uint64_t
keyset_count(const struct keyset *s)
{
	return s->nkeys;
}

uint64_t
keyset_spilled(const struct keyset *s)
{
	return s->spilled;
}

void
keyset_take(struct keyset *s, struct keyset_keys *out)
{
	struct buf memory = out->tail;

	*out = (struct keyset_keys){
	    .tail = s->packed,
	    .spill_fd = s->spill_fd,
	    .spilled = s->spilled,
	    .nkeys = s->nkeys,
	};
	s->packed = memory;
	s->spill_fd = -1;
	keyset_clear(s);
}

/* Makes the chunk hold a key of the parts; it stays empty behind the last one. */
static err_t
fill_from_parts(const struct keyset_keys *k, struct keyset_cursor *c, struct err_detail *why)
{
	const unsigned char *p;

	while (c->chunk.len == 0 && c->part < k->parts->nparts) {
		err_t err = k->parts->read(k->parts->arg, c->part + 1, &c->chunk, why);

		if (err != ERR_OK) {
			buf_clear(&c->chunk);
			return err;
		}
		c->part++;
	}
	p = (const unsigned char *)c->chunk.p;
	if (c->chunk.len == 0 ||
	    (c->chunk.len >= HEAD && p[0] <= KEY_MARKER && p[1] > 0 && c->chunk.len >= HEAD + (size_t)p[1]))
		return ERR_OK;
	return err_set(why, ERR_CORRUPT, "part %u of kept keys does not hold whole keys", (unsigned)c->part);
}

/* Makes the chunk hold at least the whole key at file_at. */
static err_t
fill_chunk(const struct keyset_keys *k, struct keyset_cursor *c, struct err_detail *why)
{
	while (c->chunk.len < HEAD || c->chunk.len < HEAD + (size_t)(unsigned char)c->chunk.p[1]) {
		char *room = buf_room(&c->chunk, SPILL_CHUNK);
		uint64_t left = k->spilled - c->file_at;
		ssize_t n = pread(k->spill_fd, room, left < SPILL_CHUNK ? (size_t)left : SPILL_CHUNK,
				  (off_t)c->file_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(why, ERR_IO, "cannot read a spill file back: %s",
				       n < 0 ? strerror(errno) : "it is shorter than it was written");
		buf_added(&c->chunk, (size_t)n);
		c->file_at += (uint64_t)n;
	}
	return ERR_OK;
}

err_t
keyset_next(const struct keyset_keys *k, struct keyset_cursor *c, enum key_kind *kind, struct span *key,
	    bool *more, struct err_detail *why)
{
	const unsigned char *p;
	err_t err = ERR_OK;

	*more = true;
	if (k->parts != NULL)
		err = fill_from_parts(k, c, why);
	else if (c->chunk.len > 0 || c->file_at < k->spilled)
		err = fill_chunk(k, c, why);
	if (err != ERR_OK)
		return err;
	if (c->chunk.len > 0) {
		p = (const unsigned char *)c->chunk.p;
		*kind = (enum key_kind)p[0];
		*key = span_make(p + HEAD, p[1]);
		buf_take(&c->chunk, HEAD + key->len);
		return ERR_OK;
	}
	if (c->tail_at >= k->tail.len) {
		*more = false;
		return ERR_OK;
	}
	p = (const unsigned char *)k->tail.p + c->tail_at;
	*kind = (enum key_kind)p[0];
	*key = span_make(p + HEAD, p[1]);
	c->tail_at += HEAD + key->len;
	return ERR_OK;
}

void
keyset_cursor_fini(struct keyset_cursor *c)
{
	buf_fini(&c->chunk);
	*c = KEYSET_CURSOR_INIT;
}
