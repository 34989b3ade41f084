#include "squeal/keys/keyline.h"

#include "lib/core/json.h"

enum { NUMBER_MAX = 20, KEY_ROOM = 6 * 256 + 4 };

void
keyline_fini(struct keyline *l)
{
	buf_fini(&l->head);
	buf_fini(&l->id);
}

void
keyline_enter_file(struct keyline *l, const char *name)
{
	struct json j;

	buf_clear(&l->head);
	json_init(&j, &l->head);
	json_object(&j);
	json_kv_str(&j, "file", name);
	json_name(&j, "pos");
}

/* --- at a place that has room ----------------------------------------------------------------------------
 */

static inline char *
put_span(char *at, struct span s)
{
	memcpy(at, s.p, s.len);
	return at + s.len;
}

#define PUT(at, literal) put_span(at, SPAN_LIT(literal))

static inline char *
put_number(char *at, uint64_t v)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";
	char text[NUMBER_MAX];
	size_t from = sizeof(text);

	while (v >= 100) {
		from -= 2;
		memcpy(text + from, pairs + 2 * (v % 100), 2);
		v /= 100;
	}
	if (v >= 10) {
		from -= 2;
		memcpy(text + from, pairs + 2 * v, 2);
	} else {
		text[--from] = (char)('0' + v);
	}
	return put_span(at, span_make(text + from, sizeof(text) - from));
}

/* The high bit of each byte that is `c`, and perhaps of bytes above such a one. */
static inline uint64_t
bytes_that_are(uint64_t word, unsigned char c)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);

	word ^= ones * c;
	return (word - ones) & ~word & ones << 7;
}

/* True when JSON has all eight bytes as they are. */
static inline bool
is_plain_word(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t bad = (word | ((word - ones * 0x20) & ~word)) & ones << 7;

	bad |= bytes_that_are(word, '"') | bytes_that_are(word, '\\') | bytes_that_are(word, 0x7f);
	return bad == 0;
}

static inline bool
is_plain_byte(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Copies the key; NULL when it has bytes that JSON escapes, or that are not ASCII. */
static inline char *
put_plain(char *at, struct span key)
{
	const char *p = key.p, *end = p + key.len;

	for (; end - p >= 8; p += 8, at += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		if (!is_plain_word(word))
			return NULL;
		memcpy(at, &word, 8);
	}
	for (; p < end; p++, at++) {
		if (!is_plain_byte((unsigned char)*p))
			return NULL;
		*at = *p;
	}
	return at;
}

/* --- the line --------------------------------------------------------------------------------------------
 */

static void
put_key(struct buf *out, struct span key, bool is_first)
{
	char *room = buf_room(out, KEY_ROOM), *at = room, *end;
	struct json j;

	if (!is_first)
		*at++ = ',';
	*at++ = '"';
	end = put_plain(at, key);
	if (end != NULL) {
		*end++ = '"';
		buf_added(out, (size_t)(end - room));
		return;
	}
	json_init(&j, out);
	j.comma = !is_first;
	json_span(&j, key);
}

/* The keys of one kind, in the order of the statements; *others: how many of the other kind there are. */
static err_t
put_keys(struct buf *out, const struct keyset_keys *keys, enum key_kind wanted, uint64_t *others,
	 struct err_detail *why)
{
	struct keyset_cursor cursor = KEYSET_CURSOR_INIT;
	bool is_first = true, more = true;
	err_t err = ERR_OK;

	*others = 0;
	if (keys->nkeys == 0)
		return ERR_OK;
	for (;;) {
		enum key_kind kind;
		struct span key;

		err = keyset_next(keys, &cursor, &kind, &key, &more, why);
		if (err != ERR_OK || !more)
			break;
		if (kind != wanted) {
			*others += 1;
			continue;
		}
		put_key(out, key, is_first);
		is_first = false;
	}
	keyset_cursor_fini(&cursor);
	return err;
}

/* True when nothing but the number differs. */
static bool
is_alike(const struct gtid *a, const struct gtid *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == GTID_MARIADB)
		return a->domain == b->domain && a->server == b->server;
	return memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0 && a->tag_len == b->tag_len &&
	       memcmp(a->tag, b->tag, sizeof(a->tag)) == 0;
}

/* Makes l->id fit the id. */
static void
prepare_id(struct keyline *l, const struct gtid *id)
{
	if (l->id.len > 0 && is_alike(&l->last, id))
		return;
	l->last = *id;
	buf_clear(&l->id);
	if (id->kind == GTID_NONE) {
		buf_put_str(&l->id, ",\"gtid\":null");
		return;
	}
	buf_put_str(&l->id, ",\"gtid\":\"");
	gtid_format(id, &l->id);
	while (l->id.p[l->id.len - 1] >= '0' && l->id.p[l->id.len - 1] <= '9')
		l->id.len--;
}

/* Members that only XA transactions have. */
static void
put_xa(struct json *j, const struct queue_item *it, bool unknown)
{
	static const char *const ends[] = {
	    [QUEUE_PREPARED] = "prepare", [QUEUE_XA_COMMIT] = "commit", [QUEUE_XA_ROLLBACK] = "rollback"};
	struct buf text = BUF_INIT;

	xid_format(it->xid, &text);
	json_kv_str(j, "xa", ends[it->kind]);
	json_name(j, "xid");
	json_span(j, buf_span(&text));
	if (unknown)
		json_kv_bool(j, "xa_unknown", true);
	buf_fini(&text);
}

err_t
keyline_put(struct keyline *l, const struct queue_item *it, const struct keyline_extra *extra,
	    struct buf *out, struct err_detail *why)
{
	const struct queue_item *keys = extra->keys;
	struct json j;
	uint64_t markers = 0, ignored;
	char *room, *at;
	err_t err = ERR_OK;

	prepare_id(l, &it->gtid);
	at = room = buf_room(out, l->head.len + l->id.len + 2 * NUMBER_MAX + 64);
	at = put_span(at, buf_span(&l->head));
	at = put_number(at, it->pos);
	at = put_span(at, buf_span(&l->id));
	if (it->gtid.kind != GTID_NONE) {
		at = put_number(at, it->gtid.seq);
		*at++ = '"';
	}
	at = PUT(at, ",\"time_us\":");
	at = put_number(at, it->commit_us);
	at = PUT(at, ",\"keys\":[");
	buf_added(out, (size_t)(at - room));
	if (keys != NULL)
		err = put_keys(out, &keys->keys, KEY_DELETE, &markers, why);
	if (err != ERR_OK)
		return err;
	buf_putc(out, ']');
	json_init(&j, out);
	j.comma = true;
	if (keys != NULL && keys->holdoff_ms > 0)
		json_kv_u64(&j, "holdoff_ms", keys->holdoff_ms);
	if (keys != NULL && keys->pool != NULL)
		json_kv_str(&j, "pool", keys->pool);
	if (extra->rows != NULL)
		json_kv_u64(&j, "rows", *extra->rows);
	buf_put_span(out, SPAN_LIT(",\"markers\":["));
	if (markers > 0)
		err = put_keys(out, &keys->keys, KEY_MARKER, &ignored, why);
	if (err != ERR_OK)
		return err;
	if (extra->sources != NULL) {
		buf_put_span(out, SPAN_LIT("],\"sources\":["));
		buf_put_span(out, *extra->sources);
	}
	buf_putc(out, ']');
	if (it->xid != NULL)
		put_xa(&j, it, extra->xa_unknown);
	buf_put_span(out, SPAN_LIT("}\n"));
	return ERR_OK;
}
