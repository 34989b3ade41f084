#include "router/story.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"

typedef struct story_metrics metric_owner;
const struct metric_row story_metric_rows[] = {METRIC_ROWS(STORY_METRICS)};
const size_t story_metric_nrows = sizeof(story_metric_rows) / sizeof(story_metric_rows[0]);

enum { SMALLEST = 65536, KEY_MAX = 255, TEXT_MAX = 300 };

enum entry_kind { ENTRY_PAD, ENTRY_TXN, ENTRY_KEY };

/*
 * Entries stand one behind the other in a ring and never across its end.  A place is the number of bytes
 * written before it since the beginning, so places only grow, `place & mask` is where it is, and an entry is
 * there as long as its place is not below `tail`.  A reference is the place of a key's entry; place 0 is a
 * pad, so that no reference is 0.
 */
struct entry {
	uint32_t size; /* of the whole entry, a multiple of 8 */
	uint32_t kind;
};

struct txn_entry {
	struct entry e;
	uint64_t offset, at_us, read_us, commit_us, seen_us;
	uint32_t partition;
	uint16_t gtid_len, source_len, origin_len;
	char text[];
};

struct key_entry {
	struct entry e;
	uint64_t txn; /* place of its txn_entry */
	uint64_t hash;
	uint64_t sent_us, acked_us; /* 0: not yet */
	uint64_t coalesced_with;    /* offset; meaningful with `coalesced` */
	uint16_t key_len, server_len, pool_len;
	int8_t hit;
	bool coalesced;
	char text[];
};

struct watch {
	uint64_t hash; /* 0: free */
	uint64_t asked;
};

struct story {
	const struct clock *clock;
	struct story_metrics *metrics;
	char *ring;
	uint64_t mask, head, tail;
	uint64_t since_us; /* everything after this was noted, but for what was skipped */
	struct watch watches[STORY_WATCHES];
	size_t nwatches;
	uint64_t asked;
	uint64_t second, left; /* keys that this second may still note */
	struct txn_entry *txn; /* the one under way, a copy of our own */
	uint64_t txn_at;       /* its place in the ring; 0: not written */
};

struct story *
story_create(size_t bytes, const struct clock *clock, struct story_metrics *metrics)
{
	struct story *s;
	uint64_t size = SMALLEST;

	if (bytes == 0)
		return NULL;
	s = MEM_NEW(struct story);
	while (size * 2 <= bytes)
		size *= 2;
	s->clock = clock;
	s->metrics = metrics;
	s->ring = mem_zalloc(size, 1);
	s->mask = size - 1;
	s->txn = mem_zalloc(sizeof(*s->txn) + 3 * TEXT_MAX, 1);
	s->since_us = clock_real_us(clock);
	((struct entry *)s->ring)->size = sizeof(struct entry);
	s->head = sizeof(struct entry);
	metric_set(&metrics->router_story_bytes, size);
	return s;
}

void
story_destroy(struct story **s)
{
	if (*s == NULL)
		return;
	free((*s)->ring);
	free((*s)->txn);
	free(*s);
	*s = NULL;
}

/* --- the ring ---------------------------------------------------------------------------------------------
 */

static struct entry *
entry_at(const struct story *s, uint64_t place)
{
	return (struct entry *)(void *)(s->ring + (place & s->mask));
}

/* Makes room for `size` bytes in one piece and returns their place. */
static uint64_t
take_room(struct story *s, uint32_t size)
{
	uint64_t to_end = s->mask + 1 - (s->head & s->mask);
	uint64_t need = to_end < size ? to_end + size : size;

	while (s->head + need - s->tail > s->mask + 1) {
		const struct entry *oldest = entry_at(s, s->tail);

		if (oldest->kind == ENTRY_TXN)
			s->since_us = ((const struct txn_entry *)(const void *)oldest)->read_us;
		s->tail += oldest->size;
	}
	if (to_end < size) {
		*entry_at(s, s->head) = (struct entry){(uint32_t)to_end, ENTRY_PAD};
		s->head += to_end;
	}
	s->head += size;
	return s->head - size;
}

static uint32_t
whole(size_t bytes)
{
	return (uint32_t)((bytes + 7) & ~(size_t)7);
}

static char *
put(char *to, struct span text)
{
	if (text.len > 0)
		memcpy(to, text.p, text.len);
	return to + text.len;
}

/* --- noting -----------------------------------------------------------------------------------------------
 */

void
story_txn(struct story *s, uint32_t partition, uint64_t offset, uint64_t at_us, const struct record *rec,
	  const struct record_txn *txn)
{
	struct span gtid = span_first(txn->gtid, TEXT_MAX), source = span_first(rec->source, TEXT_MAX),
		    origin = span_first(txn->origin, TEXT_MAX);

	if (s == NULL)
		return;
	*s->txn = (struct txn_entry){
	    .e = {whole(sizeof(*s->txn) + gtid.len + source.len + origin.len), ENTRY_TXN},
	    .offset = offset,
	    .at_us = at_us,
	    .read_us = clock_real_us(s->clock),
	    .commit_us = txn->commit_us,
	    .seen_us = txn->seen_us,
	    .partition = partition,
	    .gtid_len = (uint16_t)gtid.len,
	    .source_len = (uint16_t)source.len,
	    .origin_len = (uint16_t)origin.len,
	};
	put(put(put(s->txn->text, gtid), source), origin);
	s->txn_at = 0;
}

static bool
is_watched(const struct story *s, uint64_t hash)
{
	for (size_t i = 0; i < s->nwatches; i++) {
		if (s->watches[i].hash == hash)
			return true;
	}
	return false;
}

/* Whether a key is noted now. */
static bool
may_note(struct story *s, struct span key, uint64_t *hash)
{
	uint64_t second = s->txn->read_us / 1000000; /* no look at the clock for each key */

	if (second != s->second) {
		s->second = second;
		s->left = STORY_KEYS_PER_SECOND;
	}
	if (s->left == 0 && s->nwatches == 0)
		return false;
	*hash = hash_span(key, 0);
	if (s->left == 0)
		return is_watched(s, *hash);
	s->left--;
	return true;
}

uint64_t
story_key(struct story *s, struct span key, const char *server, const char *pool)
{
	struct span server_text = span_first(span_of(server), TEXT_MAX),
		    pool_text = span_first(span_of(pool), TEXT_MAX);
	struct key_entry *k;
	uint64_t hash = 0, at;
	uint32_t size;

	if (s == NULL || s->txn->e.size == 0 || key.len > KEY_MAX)
		return 0;
	if (!may_note(s, key, &hash)) {
		metric_bump(&s->metrics->router_story_skipped, 1);
		return 0;
	}
	size = whole(sizeof(*k) + key.len + server_text.len + pool_text.len);
	/* The keys of a transaction that fills the ring would outlive it: it goes in again. */
	if (s->txn_at == 0 || s->head - s->txn_at > s->mask / 2) {
		s->txn_at = take_room(s, s->txn->e.size);
		memcpy(entry_at(s, s->txn_at), s->txn, s->txn->e.size);
	}
	at = take_room(s, size);
	k = (struct key_entry *)(void *)entry_at(s, at);
	*k = (struct key_entry){
	    .e = {size, ENTRY_KEY},
	    .txn = s->txn_at,
	    .hash = hash,
	    .key_len = (uint16_t)key.len,
	    .server_len = (uint16_t)server_text.len,
	    .pool_len = (uint16_t)pool_text.len,
	    .hit = -1,
	};
	put(put(put(k->text, key), server_text), pool_text);
	metric_inc(&s->metrics->router_story_kept);
	return at;
}

/* NULL when it is gone. */
static struct key_entry *
find(struct story *s, uint64_t ref)
{
	if (s == NULL || ref == 0 || ref < s->tail || ref >= s->head)
		return NULL;
	return (struct key_entry *)(void *)entry_at(s, ref);
}

void
story_acked(struct story *s, uint64_t ref, uint64_t sent_us, uint64_t acked_us, int hit)
{
	struct key_entry *k = find(s, ref);

	if (k == NULL)
		return;
	k->sent_us = sent_us;
	k->acked_us = acked_us;
	k->hit = (int8_t)hit;
}

void
story_coalesced(struct story *s, uint64_t ref, uint64_t offset)
{
	struct key_entry *k = find(s, ref);

	if (k == NULL)
		return;
	k->coalesced = true;
	k->coalesced_with = offset;
}

void
story_watch(struct story *s, struct span key)
{
	struct watch *oldest;
	uint64_t hash = hash_span(key, 0);

	if (s == NULL)
		return;
	oldest = &s->watches[0];
	for (size_t i = 0; i < s->nwatches; i++) {
		if (s->watches[i].hash == hash) {
			oldest = &s->watches[i];
			break;
		}
		if (s->watches[i].asked < oldest->asked)
			oldest = &s->watches[i];
	}
	if ((s->nwatches == 0 || oldest->hash != hash) && s->nwatches < STORY_WATCHES)
		oldest = &s->watches[s->nwatches++];
	*oldest = (struct watch){hash, ++s->asked};
}

/* --- telling ----------------------------------------------------------------------------------------------
 */

static void
put_time(struct json *j, const char *name, uint64_t us)
{
	json_name(j, name);
	if (us > 0)
		json_u64(j, us);
	else
		json_null(j);
}

static void
put_hop(struct json *j, const char *name, uint64_t from_us, uint64_t to_us)
{
	json_name(j, name);
	if (from_us > 0 && to_us > 0)
		json_i64(j, (int64_t)(to_us - from_us));
	else
		json_null(j);
}

static void
put_txn(struct json *j, const struct txn_entry *t, const struct key_entry *k)
{
	const char *text = t->text;

	json_kv_span(j, "gtid", (struct span){text, t->gtid_len});
	json_kv_span(j, "source", (struct span){text + t->gtid_len, t->source_len});
	json_kv_span(j, "origin", (struct span){text + t->gtid_len + t->source_len, t->origin_len});
	json_kv_u64(j, "partition", t->partition);
	json_kv_u64(j, "offset", t->offset);
	json_name(j, "at_us");
	json_object(j);
	put_time(j, "commit", t->commit_us);
	put_time(j, "seen", t->seen_us);
	put_time(j, "logged", t->at_us);
	put_time(j, "read", t->read_us);
	put_time(j, "sent", k->sent_us);
	put_time(j, "acknowledged", k->acked_us);
	json_object_end(j);
	json_name(j, "hops_us");
	json_object(j);
	put_hop(j, "commit_to_seen", t->commit_us, t->seen_us);
	put_hop(j, "seen_to_logged", t->seen_us, t->at_us);
	put_hop(j, "logged_to_read", t->at_us, t->read_us);
	put_hop(j, "read_to_sent", t->read_us, k->sent_us);
	put_hop(j, "sent_to_acknowledged", k->sent_us, k->acked_us);
	json_object_end(j);
}

static void
put_key(const struct story *s, struct json *j, const struct key_entry *k)
{
	const char *server = k->text + k->key_len;

	json_object(j);
	json_kv_span(j, "server", (struct span){server, k->server_len});
	json_kv_span(j, "pool", (struct span){server + k->server_len, k->pool_len});
	json_kv_str(j, "state", k->acked_us > 0 ? "acknowledged" : k->coalesced ? "coalesced" : "waiting");
	if (k->coalesced)
		json_kv_u64(j, "coalesced_with_offset", k->coalesced_with);
	json_name(j, "hit");
	if (k->hit < 0)
		json_null(j);
	else
		json_bool(j, k->hit > 0);
	if (k->txn >= s->tail)
		put_txn(j, (const struct txn_entry *)(const void *)entry_at(s, k->txn), k);
	json_object_end(j);
}

void
story_json(const struct story *s, struct span key, size_t max, struct json *j)
{
	uint64_t hash = hash_span(key, 0), *found;
	size_t n = 0;

	if (s == NULL) {
		json_name(j, "noted_since_us");
		json_null(j);
		json_name(j, "deletes");
		json_array(j);
		json_array_end(j);
		return;
	}
	found = mem_zalloc(max > 0 ? max : 1, sizeof(*found));
	for (uint64_t at = s->tail; at < s->head; at += entry_at(s, at)->size) {
		const struct key_entry *k = (const struct key_entry *)(const void *)entry_at(s, at);

		if (k->e.kind == ENTRY_KEY && k->hash == hash && max > 0 &&
		    span_eq((struct span){k->text, k->key_len}, key))
			found[n++ % max] = at; /* the last `max` */
	}
	json_kv_u64(j, "noted_since_us", s->since_us);
	json_name(j, "deletes");
	json_array(j);
	for (size_t i = 0; i < n && i < max; i++)
		put_key(s, j, (const struct key_entry *)(const void *)entry_at(s, found[(n - 1 - i) % max]));
	json_array_end(j);
	free(found);
}
