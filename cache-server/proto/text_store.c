#include "cache-server/proto/text.h"

#include "cache-server/proto/marking.h"
#include "cache-server/proto/number.h"

/* Digits and what is behind them; NULL: none, or so many that the careful way must look at them. */
static inline const char *
quick_number(const char *p, const char *end, uint32_t *out)
{
	const char *begin = p;
	uint32_t n = 0;

	while (p < end && (unsigned)(unsigned char)*p - '0' < 10)
		n = n * 10 + ((unsigned)(unsigned char)*p++ - '0');
	if (p == begin || p - begin > 9)
		return NULL;
	*out = n;
	return p;
}

static void
reply(struct session *s, enum cache_result result)
{
	switch (result) {
	case CACHE_OK:
		TEXT_REPLY(s, "STORED");
		break;
	case CACHE_STALE_STORED:
		TEXT_REPLY(s, "STALE_STORED");
		break;
	case CACHE_NOT_STORED:
		TEXT_REPLY(s, "NOT_STORED");
		break;
	case CACHE_EXISTS:
		TEXT_REPLY(s, "EXISTS");
		break;
	case CACHE_NOT_FOUND:
		TEXT_REPLY(s, "NOT_FOUND");
		break;
	case CACHE_TOO_LARGE:
		TEXT_REPLY(s, TEXT_TOO_LARGE);
		break;
	default:
		TEXT_REPLY(s, TEXT_NO_MEMORY);
	}
}

/* The whole value is there, or its draft is full: stores it and answers. */
static void
finish(struct session *s, enum text_kind kind, struct cache_set *set, struct span meta)
{
	enum cache_result result = s->marker ? marking_set(s->cache, s->store, set) : session_log_set(s, set);
	size_t len = set->draft ? set->draft->value_len : set->value.len;

	text_note(s, SESSION_NOTE_SET, set->key, set->hash, result == CACHE_OK, len);
	if (kind == TEXT_META_STORE)
		meta_stored(s, result, set, meta);
	else
		reply(s, result);
}

static void
bad_chunk(struct session *s, enum text_kind kind)
{
	if (kind == TEXT_META_STORE)
		s->noreply = false;
	TEXT_REPLY(s, TEXT_BAD_CHUNK);
}

size_t
text_store_refuse(struct session *s, const char *error, uint64_t len, size_t line_len, const char *in,
		  const char *end)
{
	text_reply(s, error);
	s->swallow = len + 2;
	return line_len + session_swallow(s, (size_t)(end - in) - line_len);
}

/* A value of which only a part is at hand, and which is too long to wait for: into the store as it comes. */
static size_t
store_in_parts(struct session *s, enum text_kind kind, const struct cache_set *set, uint64_t len,
	       struct span meta, const char *in, size_t line_len, const char *end)
{
	enum cache_result result;

	s->set = *set;
	memcpy(s->key, set->key.p, set->key.len);
	s->set.key.p = s->key;
	memcpy(s->flags, meta.p, meta.len);
	s->flags_len = (unsigned)meta.len;
	if (set->epoch) {
		s->epoch = *set->epoch;
		memcpy(s->epoch_source, set->epoch->source.p, set->epoch->source.len);
		s->epoch.source.p = s->epoch_source;
		s->set.epoch = &s->epoch;
	}
	s->draft = (struct store_draft){0};
	s->pending_command = kind;
	result = cache_set_begin(s->cache, &s->set, len, &s->draft);
	if (result != CACHE_OK) {
		s->pending_command = TEXT_NONE;
		if (kind == TEXT_META_STORE)
			s->noreply = false;
		return text_store_refuse(s, result == CACHE_TOO_LARGE ? TEXT_TOO_LARGE : TEXT_NO_MEMORY, len,
					 line_len, in, end);
	}
	return line_len + session_sink_begin(s, 2, in + line_len, (size_t)(end - in) - line_len);
}

void
text_sunk(struct session *s)
{
	enum text_kind kind = s->pending_command;

	s->pending_command = TEXT_NONE;
	if (memcmp(s->sink_tail, "\r\n", 2) != 0) {
		cache_set_abort(s->cache, &s->draft);
		bad_chunk(s, kind);
		return;
	}
	s->set.draft = &s->draft;
	finish(s, kind, &s->set, span_make(s->flags, s->flags_len));
}

size_t
text_store_value(struct session *s, enum text_kind kind, struct cache_set *set, uint64_t len,
		 struct span meta, const char *in, size_t line_len, const char *end)
{
	const char *value = in + line_len;

	if (__builtin_expect(s->marker, 0) && len > MARKING_MAX_VALUE)
		return text_store_refuse(s, TEXT_TOO_LARGE, len, line_len, in, end);
	if (__builtin_expect(text_too_large(s, set->key.len, set->client_flags, len), 0)) {
		/* What the client meant to replace must not stay, or it would be served as if nothing had
		 * been sent. */
		if (kind == TEXT_META_STORE ||
		    (set->mode == CACHE_SET && !set->has_compare && !set->is_lease))
			cache_set_failed(s->cache, set->key, set->hash);
		if (kind == TEXT_META_STORE)
			s->noreply = false;
		metric_bump(&cache_thread_counters(s->cache)->store_too_large, 1);
		return text_store_refuse(s, TEXT_TOO_LARGE, len, line_len, in, end);
	}
	if ((uint64_t)(end - value) >= len + 2) {
		if (__builtin_expect(value[len] != '\r' || value[len + 1] != '\n', 0)) {
			bad_chunk(s, kind);
		} else {
			set->value = span_make(value, len);
			text_look_ahead(s, value + len + 2, end);
			finish(s, kind, set, meta);
		}
		return line_len + len + 2;
	}
	s->state_name = "conn_nread";
	if (line_len + len + 2 <= SESSION_BUFFER_MIN)
		return 0;
	return store_in_parts(s, kind, set, len, meta, in, line_len, end);
}

static inline void
begin_set(struct cache_set *set, enum cache_mode mode, struct span key, uint32_t client_flags)
{
	memset(set, 0, sizeof *set);
	set->mode = mode;
	set->key = key;
	set->client_flags = client_flags;
}

size_t
text_store_quick(struct session *s, enum cache_mode mode, const char *in, const char *args, const char *end)
{
	const char *stop = line_blank(args, end), *p;
	struct cache_set set;
	uint32_t flags, exptime, len;
	bool noreply = false;

	if (__builtin_expect(s->marker, 0) && mode > CACHE_ADD)
		return 0;
	if (stop == end || *stop != ' ' || stop == args || stop - args > STORE_MAX_KEY)
		return 0;
	if ((p = quick_number(stop + 1, end, &flags)) == NULL || p == end || *p != ' ')
		return 0;
	if ((p = quick_number(p + 1, end, &exptime)) == NULL || p == end || *p != ' ')
		return 0;
	if ((p = quick_number(p + 1, end, &len)) == NULL)
		return 0;
	if (end - p >= 10 && memcmp(p, " noreply", 8) == 0) {
		noreply = true;
		p += 8;
	}
	if (end - p < 2 || p[0] != '\r' || p[1] != '\n')
		return 0;
	begin_set(&set, mode, span_make(args, (size_t)(stop - args)), flags);
	set.hash = text_hash(s, set.key);
	store_prefetch_bucket(s->store, set.hash);
	set.expiry = cache_expiry(s->cache, exptime);
	s->noreply = noreply;
	return text_store_value(s, TEXT_STORE, &set, len, (struct span){"", 0}, in, (size_t)(p + 2 - in),
				end);
}

size_t
text_store_line(struct session *s, enum cache_mode mode, enum text_store_how how, const struct line *l,
		const char *end)
{
	unsigned at = how == TEXT_STORE_LEASE; /* the token is between the key and the flags */
	struct cache_set set;
	struct epoch epoch;
	uint32_t flags;
	int64_t exptime;
	int32_t len;

	s->noreply = false;
	if (l->n < 5 + at || !number_i32(l->word[4 + at], &len) || len < 0 || len > INT32_MAX - 2) {
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return l->len;
	}
	s->noreply = line_noreply(l);
	if (l->word[1].len > STORE_MAX_KEY || !number_flags(l->word[2 + at], &flags) ||
	    !number_exptime(l->word[3 + at], &exptime))
		return text_store_refuse(s, TEXT_BAD_FORMAT, (uint64_t)len, l->len, l->text.p, end);
	if (s->marker && (how != TEXT_STORE_PLAIN || mode > CACHE_ADD))
		return text_store_refuse(s, TEXT_NOT_MARKER, (uint64_t)len, l->len, l->text.p, end);
	begin_set(&set, mode, l->word[1], flags);
	if (how == TEXT_STORE_CAS) {
		set.has_compare = true;
		if (l->n < 6 || !number_u64(l->word[5], &set.compare))
			return text_store_refuse(s, TEXT_BAD_FORMAT, (uint64_t)len, l->len, l->text.p, end);
	} else if (how == TEXT_STORE_LEASE) {
		struct span more = line_word(l, 6);

		set.is_lease = true;
		if (!number_u64(l->word[2], &set.token))
			return text_store_refuse(s, "CLIENT_ERROR bad lease_id", (uint64_t)len, l->len,
						 l->text.p, end);
		if (more.len > 0 && memchr(more.p, ':', more.len) != NULL) {
			if (!epoch_parse(more, &epoch)) {
				s->noreply = false;
				return text_store_refuse(s, "CLIENT_ERROR bad epoch", (uint64_t)len, l->len,
							 l->text.p, end);
			}
			set.epoch = &epoch;
		}
	}
	set.hash = store_hash(s->store, set.key);
	set.expiry = cache_expiry(s->cache, exptime);
	return text_store_value(s, TEXT_STORE, &set, (uint64_t)len, (struct span){"", 0}, l->text.p, l->len,
				end);
}
