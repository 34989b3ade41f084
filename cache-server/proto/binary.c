/* Requests are taken whole but for values that are longer than the connection's buffer; see session.h. */
#include "cache-server/proto/binary.h"

#include "cache-server/proto/marking.h"
#include "cache-server/proto/session.h"
#include "cache-server/proto/session_log.h"
#include "lib/core/buf.h"

/* memcached refuses longer bodies before it looks at anything else (1 GB). */
enum { MAX_BODY = 1 << 30, GET_EXTRAS = 4 };

struct request {
	struct binary_header h;
	enum binary_opcode op; /* the loud form */
	bool quiet;
	const char *extras;
	struct span key;
	uint32_t value_len;
};

/* What to do after a packet: goes on, waits for the rest of it, or s->want says. */
enum next { NEXT, NEXT_WAIT, NEXT_STOP };

void
binary_header_read(const char *p, struct binary_header *h)
{
	h->magic = (uint8_t)p[0];
	h->opcode = (uint8_t)p[1];
	h->key_len = (uint16_t)binary_get_be(p + 2, 2);
	h->extras_len = (uint8_t)p[4];
	h->status = (uint16_t)binary_get_be(p + 6, 2);
	h->body_len = (uint32_t)binary_get_be(p + 8, 4);
	memcpy(&h->opaque, p + 12, 4);
	h->cas = binary_get_be(p + 16, 8);
}

void
binary_header_write(const struct binary_header *h, char *p)
{
	p[0] = (char)h->magic;
	p[1] = (char)h->opcode;
	binary_put_be(p + 2, h->key_len, 2);
	p[4] = (char)h->extras_len;
	p[5] = 0;
	binary_put_be(p + 6, h->status, 2);
	binary_put_be(p + 8, h->body_len, 4);
	memcpy(p + 12, &h->opaque, 4);
	binary_put_be(p + 16, h->cas, 8);
}

static enum binary_opcode
loud(uint8_t opcode)
{
	switch (opcode) {
#define LOUD_CASE(name, number, loud_form)                                                                   \
	case number:                                                                                         \
		return loud_form;
		BINARY_OPCODES(LOUD_CASE)
#undef LOUD_CASE
	}
	return (enum binary_opcode)opcode;
}

static const char *
status_text(enum binary_status status)
{
	switch (status) {
#define STATUS_CASE(name, number, text)                                                                      \
	case name:                                                                                           \
		return text;
		BINARY_STATUSES(STATUS_CASE)
#undef STATUS_CASE
	}
	return "";
}

/* --- replies -------------------------------------------------------------------------------------------- */

static void
put_header(struct session *s, const struct request *r, enum binary_status status, uint64_t cas,
	   unsigned extras_len, unsigned key_len, uint64_t body_len)
{
	struct binary_header h = {.magic = BINARY_RESPONSE_MAGIC,
				  .opcode = r->h.opcode,
				  .extras_len = (uint8_t)extras_len,
				  .key_len = (uint16_t)key_len,
				  .status = (uint16_t)status,
				  .body_len = (uint32_t)body_len,
				  .opaque = r->h.opaque,
				  .cas = cas};
	char *to = out_room(s->out, BINARY_HEADER);

	if (to) {
		binary_header_write(&h, to);
		s->out->len += BINARY_HEADER;
	}
}

static void
reply_text(struct session *s, const struct request *r, enum binary_status status, const char *text)
{
	struct span t = span_of(text);

	put_header(s, r, status, 0, 0, 0, t.len);
	out_span(s->out, t);
}

static void
reply_error(struct session *s, const struct request *r, enum binary_status status)
{
	reply_text(s, r, status, status_text(status));
}

static void
reply_ok(struct session *s, const struct request *r, uint64_t cas)
{
	if (!r->quiet)
		put_header(s, r, BINARY_OK, cas, 0, 0, 0);
}

/* A packet that cannot be what it says: the client is lost, and so is our place in what it sends. */
static enum next
reply_and_close(struct session *s, const struct request *r, enum binary_status status)
{
	reply_error(s, r, status);
	s->want = SESSION_CLOSE;
	return NEXT_STOP;
}

static void
note(struct session *s, enum session_note what, struct span key, uint64_t hash, bool hit, size_t bytes)
{
	if (__builtin_expect(s->host.notes, 0))
		s->host.ops->note(s->host.arg, what, key, hash, hit, bytes);
}

/* --- get, touch, gat ---------------------------------------------------------------------------------------
 */

static void
reply_miss(struct session *s, const struct request *r, bool with_key)
{
	if (r->quiet)
		return;
	if (!with_key) {
		reply_error(s, r, BINARY_ENOENT);
		return;
	}
	put_header(s, r, BINARY_ENOENT, 0, 0, (unsigned)r->key.len, r->key.len);
	out_span(s->out, r->key);
}

static void
reply_hit(struct session *s, const struct request *r, bool with_key, bool with_value, uint32_t flags,
	  uint64_t cas, uint64_t len)
{
	size_t key_len = with_key ? r->key.len : 0;
	char extras[GET_EXTRAS];

	put_header(s, r, BINARY_OK, cas, GET_EXTRAS, (unsigned)key_len,
		   GET_EXTRAS + key_len + (with_value ? len : 0));
	binary_put_be(extras, flags, GET_EXTRAS);
	out_put(s->out, extras, sizeof extras);
	out_put(s->out, r->key.p, key_len);
}

/* A marker container: the value is the tokens that are left. */
static void
get_marker(struct session *s, const struct request *r, bool with_key)
{
	uint64_t hash = store_hash(s->store, r->key);
	struct buf tokens;
	bool hit;

	if (!marking_room(&tokens)) {
		s->out->failed = true;
		return;
	}
	hit = marker_check(s->cache, r->key, hash, &tokens) > 0;
	if (hit) {
		reply_hit(s, r, with_key, true, 0, 0, tokens.len);
		out_span(s->out, buf_span(&tokens));
	} else {
		reply_miss(s, r, with_key);
	}
	note(s, SESSION_NOTE_GET, r->key, hash, hit, tokens.len);
	session_log_get(s, r->key, hit, tokens.len);
	buf_fini(&tokens);
}

static void
get(struct session *s, const struct request *r)
{
	bool touch = r->op == BINARY_TOUCH || r->op == BINARY_GAT || r->op == BINARY_GATK;
	bool with_key = r->op == BINARY_GETK || r->op == BINARY_GATK;
	bool with_value = r->op != BINARY_TOUCH;
	struct store_view v;
	uint64_t hash;
	bool hit;

	if (__builtin_expect(s->marker, 0) && !touch) {
		get_marker(s, r, with_key);
		return;
	}
	hash = store_hash(s->store, r->key);
	if (touch) {
		uint32_t expiry = cache_expiry(s->cache, (int64_t)binary_get_be(r->extras, 4));

		hit = cache_touch(s->cache, r->key, hash, expiry, &v) == CACHE_OK;
	} else {
		hit = cache_get(s->cache, r->key, hash, &v);
	}
	if (hit) {
		reply_hit(s, r, with_key, with_value, item_client_flags(v.item, v.state),
			  item_cas(v.item, v.state), v.len);
		if (with_value)
			out_value(s->out, cache_store_thread(s->cache), &v);
		cache_used(s->cache, &v);
	} else {
		reply_miss(s, r, with_key);
	}
	note(s, touch ? SESSION_NOTE_TOUCH : SESSION_NOTE_GET, r->key, hash, hit, hit ? v.len : 0);
	session_log_get(s, r->key, hit, hit ? v.len : 0);
}

/* --- set and its kin ------------------------------------------------------------------------------------ */

static void
reply_set(struct session *s, const struct request *r, enum cache_mode mode, bool compared,
	  enum cache_result result, uint64_t cas)
{
	switch (result) {
	case CACHE_OK:
	case CACHE_STALE_STORED:
		reply_ok(s, r, cas);
		break;
	case CACHE_EXISTS:
		reply_error(s, r, BINARY_EEXISTS);
		break;
	case CACHE_NOT_FOUND:
		reply_error(
		    s, r, mode == CACHE_APPEND || mode == CACHE_PREPEND ? BINARY_NOT_STORED : BINARY_ENOENT);
		break;
	case CACHE_TOO_LARGE:
		reply_error(s, r, BINARY_E2BIG);
		break;
	case CACHE_NO_MEMORY:
		reply_text(s, r, BINARY_ENOMEM, "Out of memory allocating item");
		break;
	default:
		if (mode == CACHE_ADD && !compared)
			reply_error(s, r, BINARY_EEXISTS);
		else if (mode == CACHE_REPLACE && !compared)
			reply_error(s, r, BINARY_ENOENT);
		else
			reply_error(s, r, BINARY_NOT_STORED);
	}
}

/* The value is there, or its draft is full. */
static void
store(struct session *s, const struct request *r, struct cache_set *set)
{
	uint64_t len = set->draft ? set->draft->value_len : set->value.len;
	enum cache_result result = s->marker ? marking_set(s->cache, s->store, set) : session_log_set(s, set);

	note(s, SESSION_NOTE_SET, set->key, set->hash, result == CACHE_OK, len);
	reply_set(s, r, set->mode, set->has_compare, result, s->marker ? 0 : set->cas_out);
}

/* memcached's arithmetic for -I: what its item would take. */
static bool
too_large(const struct session *s, const struct cache_set *set, uint64_t len)
{
	uint64_t max = s->limits->max_value;

	return max > 0 &&
	       48 + (s->limits->no_cas ? 0 : 8) + set->key.len + 1 + (set->client_flags ? 4 : 0) + len + 2 >
		   max;
}

/* Answers, and throws the value away. */
static size_t
refuse(struct session *s, size_t value_len, size_t at_hand)
{
	s->swallow = value_len;
	return session_swallow(s, at_hand);
}

/* The session keeps what the reply of a value that is on its way needs. */
static void
keep(struct session *s, const struct request *r)
{
	memcpy(s->flags, &r->h.opaque, sizeof r->h.opaque);
	s->flags_len = sizeof r->h.opaque;
	s->pending_command = r->h.opcode;
}

void
binary_sunk(struct session *s)
{
	struct request r = {.h.opcode = (uint8_t)s->pending_command};

	r.op = loud(r.h.opcode);
	r.quiet = r.op != r.h.opcode;
	memcpy(&r.h.opaque, s->flags, sizeof r.h.opaque);
	s->pending_command = 0;
	s->set.draft = &s->draft;
	store(s, &r, &s->set);
}

/* Adds what was taken of the value to *taken. */
static enum next
set(struct session *s, const struct request *r, const char *value, size_t at_hand, size_t *taken)
{
	static const enum cache_mode modes[] = {[BINARY_SET] = CACHE_SET,
						[BINARY_ADD] = CACHE_ADD,
						[BINARY_REPLACE] = CACHE_REPLACE,
						[BINARY_APPEND] = CACHE_APPEND,
						[BINARY_PREPEND] = CACHE_PREPEND};
	struct cache_set c = {.key = r->key, .mode = modes[r->op]};
	enum cache_result result;
	bool big;

	if (r->h.extras_len == 8) {
		c.client_flags = (uint32_t)binary_get_be(r->extras, 4);
		c.expiry = cache_expiry(s->cache, (int64_t)binary_get_be(r->extras + 4, 4));
	}
	if (s->marker && (c.mode > CACHE_ADD || r->h.cas != 0)) {
		reply_error(s, r, BINARY_EINVAL);
		*taken += refuse(s, r->value_len, at_hand);
		return NEXT;
	}
	big = too_large(s, &c, r->value_len) || (s->marker && r->value_len > MARKING_MAX_VALUE);
	if (!big && r->value_len > at_hand && BINARY_HEADER + (uint64_t)r->h.body_len <= SESSION_BUFFER_MIN)
		return NEXT_WAIT;
	c.hash = store_hash(s->store, c.key);
	if (r->h.cas != 0) {
		c.has_compare = true;
		c.compare = r->h.cas;
		/* memcached makes a cas of all three. */
		if (c.mode == CACHE_ADD || c.mode == CACHE_REPLACE)
			c.mode = CACHE_SET;
	}
	if (big) {
		/* What the client meant to replace must not stay. */
		if (r->op == BINARY_SET && !s->marker)
			cache_set_failed(s->cache, c.key, c.hash);
		metric_bump(&cache_thread_counters(s->cache)->store_too_large, 1);
		reply_error(s, r, BINARY_E2BIG);
		*taken += refuse(s, r->value_len, at_hand);
		return NEXT;
	}
	if (r->value_len <= at_hand) {
		c.value = span_make(value, r->value_len);
		*taken += r->value_len;
		store(s, r, &c);
		return NEXT;
	}
	s->set = c;
	memcpy(s->key, c.key.p, c.key.len);
	s->set.key.p = s->key;
	s->draft = (struct store_draft){0};
	keep(s, r);
	result = cache_set_begin(s->cache, &s->set, r->value_len, &s->draft);
	if (result != CACHE_OK) {
		s->pending_command = 0;
		reply_set(s, r, c.mode, c.has_compare, result, 0);
		*taken += refuse(s, r->value_len, at_hand);
		return NEXT;
	}
	*taken += session_sink_begin(s, 0, value, at_hand);
	return NEXT;
}

/* --- the rest ------------------------------------------------------------------------------------------- */

static void delete (struct session *s, const struct request *r)
{
	struct cache_delete d = {.key = r->key, .has_compare = r->h.cas != 0, .compare = r->h.cas};
	enum cache_result result;

	d.hash = store_hash(s->store, r->key);
	if (s->marker)
		result = marking_delete(s->cache, s->store, r->key);
	else
		result = session_log_delete(s, &d, SESSION_LOG_DELETE);
	if (result == CACHE_OK)
		reply_ok(s, r, 0);
	else
		reply_error(s, r, result == CACHE_EXISTS ? BINARY_EEXISTS : BINARY_ENOENT);
	note(s, SESSION_NOTE_DELETE, r->key, d.hash, result == CACHE_OK, 0);
}

static void
arith(struct session *s, const struct request *r)
{
	uint64_t expiration = binary_get_be(r->extras + 16, 4);
	struct cache_arith a = {.key = r->key,
				.decrement = r->op == BINARY_DECREMENT,
				.delta = binary_get_be(r->extras, 8),
				.vivify = expiration != UINT32_MAX,
				.initial = binary_get_be(r->extras + 8, 8),
				.has_compare = r->h.cas != 0,
				.compare = r->h.cas};
	enum cache_result result;
	char value[8];

	if (a.vivify)
		a.vivify_expiry = cache_expiry(s->cache, (int64_t)expiration);
	a.hash = store_hash(s->store, r->key);
	result = cache_arith(s->cache, &a);
	switch (result) {
	case CACHE_OK:
		if (!r->quiet) {
			put_header(s, r, BINARY_OK, a.cas_out, 0, 0, sizeof value);
			binary_put_be(value, a.value_out, sizeof value);
			out_put(s->out, value, sizeof value);
		}
		break;
	case CACHE_NON_NUMERIC:
		reply_error(s, r, BINARY_BADVAL);
		break;
	case CACHE_NOT_FOUND:
		reply_error(s, r, BINARY_ENOENT);
		break;
	case CACHE_EXISTS:
		reply_error(s, r, BINARY_EEXISTS);
		break;
	case CACHE_NO_MEMORY:
	case CACHE_TOO_LARGE:
		reply_text(s, r, BINARY_ENOMEM, "Out of memory incrementing value");
		break;
	default:
		reply_error(s, r, BINARY_NOT_STORED);
	}
	note(s, SESSION_NOTE_ARITH, r->key, a.hash, result == CACHE_OK, 0);
}

static void
flush(struct session *s, const struct request *r)
{
	uint64_t after = r->h.extras_len == 4 ? binary_get_be(r->extras, 4) : 0;

	if (s->limits->no_flush) {
		reply_error(s, r, BINARY_AUTH_ERROR);
		return;
	}
	cache_flush(s->cache, after > 0 ? cache_expiry(s->cache, (int64_t)after) : 0);
	reply_ok(s, r, 0);
}

struct stat_reply {
	struct session *s;
	const struct request *r;
	bool lines;	 /* `detail dump`: lines of one value */
	struct buf text; /* of them */
};

static void
put_stat(struct session *s, const struct request *r, struct span name, struct span value)
{
	put_header(s, r, BINARY_OK, 0, 0, (unsigned)name.len, name.len + value.len);
	out_span(s->out, name);
	out_span(s->out, value);
}

static void
emit_stat(void *arg, struct span name, struct span value)
{
	struct stat_reply *to = arg;

	if (!to->lines) {
		put_stat(to->s, to->r, name, value);
		return;
	}
	buf_put_span(&to->text, name);
	if (value.len > 0)
		buf_putc(&to->text, ' ');
	buf_put_span(&to->text, value);
	buf_put_str(&to->text, "\r\n");
}

static void
stat(struct session *s, const struct request *r)
{
	struct stat_reply to = {.s = s, .r = r, .text = BUF_INIT};
	bool detail = span_starts(r->key, SPAN_LIT("detail"));
	struct out_mark mark = out_mark(s->out);

	to.lines = detail && span_find(r->key, SPAN_LIT("dump")) >= 0;
	if ((detail && s->limits->no_dump) ||
	    !s->host.ops->stats(s->host.arg, cache_of(s->cache), r->key, emit_stat, &to)) {
		out_rewind(s->out, mark);
		reply_error(s, r, BINARY_ENOENT);
		goto done;
	}
	if (to.lines) {
		buf_put_str(&to.text, "END\r\n");
		put_stat(s, r, SPAN_LIT("detailed"), buf_span(&to.text));
	}
	put_stat(s, r, (struct span){"", 0}, (struct span){"", 0});
done:
	buf_fini(&to.text);
}

static void
verbosity(struct session *s, const struct request *r)
{
	if (s->host.ops->verbosity)
		s->host.ops->verbosity(s->host.arg, (unsigned)binary_get_be(r->extras, 4));
	reply_ok(s, r, 0);
}

/* --- packets -------------------------------------------------------------------------------------------- */

/* The lengths that each request must have; memcached's, and what it forgot is allowed and thrown away. */
static bool
lengths_fit(const struct request *r)
{
	unsigned extras = r->h.extras_len, key = r->h.key_len;

	switch (r->op) {
	case BINARY_VERSION_OP:
	case BINARY_NOOP:
	case BINARY_QUIT:
	case BINARY_SASL_LIST:
		return r->h.body_len == 0;
	case BINARY_FLUSH:
		return key == 0 && r->value_len == 0 && (extras == 0 || extras == 4);
	case BINARY_SET:
	case BINARY_ADD:
	case BINARY_REPLACE:
		return extras == 8 && key > 0;
	case BINARY_GET:
	case BINARY_GETK:
	case BINARY_DELETE:
		return extras == 0 && key > 0 && r->value_len == 0;
	case BINARY_INCREMENT:
	case BINARY_DECREMENT:
		return extras == 20 && key > 0 && r->value_len == 0;
	case BINARY_APPEND:
	case BINARY_PREPEND:
	case BINARY_SASL_AUTH:
	case BINARY_SASL_STEP:
		return extras == 0 && key > 0;
	case BINARY_STAT:
		return extras == 0;
	case BINARY_VERBOSITY:
		return extras == 4 && key == 0 && r->value_len == 0;
	case BINARY_TOUCH:
	case BINARY_GAT:
	case BINARY_GATK:
		return extras == 4 && key > 0;
	default:
		return true;
	}
}

/* Those that a marker container has no meaning for. */
static bool
not_for_markers(const struct request *r)
{
	return r->op == BINARY_INCREMENT || r->op == BINARY_DECREMENT || r->op == BINARY_TOUCH ||
	       r->op == BINARY_GAT || r->op == BINARY_GATK;
}

static void
dispatch(struct session *s, const struct request *r)
{
	if (__builtin_expect(s->marker, 0) && not_for_markers(r)) {
		reply_error(s, r, BINARY_EINVAL);
		return;
	}
	switch (r->op) {
	case BINARY_GET:
	case BINARY_GETK:
	case BINARY_TOUCH:
	case BINARY_GAT:
	case BINARY_GATK:
		get(s, r);
		break;
	case BINARY_DELETE:
		delete (s, r);
		break;
	case BINARY_INCREMENT:
	case BINARY_DECREMENT:
		arith(s, r);
		break;
	case BINARY_NOOP:
		reply_ok(s, r, 0);
		break;
	case BINARY_VERSION_OP:
		reply_text(s, r, BINARY_OK, BINARY_VERSION);
		break;
	case BINARY_FLUSH:
		flush(s, r);
		break;
	case BINARY_STAT:
		stat(s, r);
		break;
	case BINARY_VERBOSITY:
		verbosity(s, r);
		break;
	case BINARY_QUIT:
		reply_ok(s, r, 0);
		s->want = SESSION_CLOSE;
		break;
	default:
		reply_error(s, r, BINARY_UNKNOWN);
	}
}

/* One packet; *taken is what it took. */
static enum next
packet(struct session *s, const char *in, size_t len, size_t *taken)
{
	struct request r;
	size_t front;

	*taken = 0;
	if (len < BINARY_HEADER)
		return NEXT_WAIT;
	binary_header_read(in, &r.h);
	if (r.h.magic != BINARY_REQUEST_MAGIC) {
		s->want = SESSION_ABORT;
		return NEXT_STOP;
	}
	r.op = loud(r.h.opcode);
	r.quiet = r.op != r.h.opcode;
	front = BINARY_HEADER + (size_t)r.h.extras_len + r.h.key_len;
	/* Whatever is wrong with these closes the connection, so nothing else of the packet is waited for. */
	if (front - BINARY_HEADER > r.h.body_len)
		return reply_and_close(s, &r, BINARY_UNKNOWN);
	if (r.h.body_len > MAX_BODY || r.h.key_len > STORE_MAX_KEY)
		return reply_and_close(s, &r, BINARY_EINVAL);
	r.value_len = r.h.body_len - r.h.extras_len - r.h.key_len;
	if (!lengths_fit(&r))
		return reply_and_close(s, &r, BINARY_EINVAL);
	if (len < front)
		return NEXT_WAIT;
	r.extras = in + BINARY_HEADER;
	r.key = span_make(r.extras + r.h.extras_len, r.h.key_len);
	*taken = front;
	if (r.op == BINARY_SET || r.op == BINARY_ADD || r.op == BINARY_REPLACE || r.op == BINARY_APPEND ||
	    r.op == BINARY_PREPEND) {
		enum next next = set(s, &r, in + front, len - front, taken);

		if (next == NEXT_WAIT)
			*taken = 0;
		return next;
	}
	dispatch(s, &r);
	if (s->want != SESSION_READ)
		return NEXT_STOP;
	if (r.value_len > 0)
		*taken += refuse(s, r.value_len, len - front);
	return NEXT;
}

size_t
binary_feed(struct session *s, const char *in, size_t len)
{
	unsigned budget = s->limits->max_requests > 0 ? s->limits->max_requests : 1;
	size_t at = 0;

	s->want = SESSION_READ;
	s->state_name = "conn_parse_cmd";
	while (at < len) {
		size_t taken;
		enum next next;

		if (session_full(s)) {
			s->want = SESSION_DRAIN;
			return at;
		}
		if (budget-- == 0) {
			s->want = SESSION_YIELD;
			return at;
		}
		next = packet(s, in + at, len - at, &taken);
		at += taken;
		if (next == NEXT_WAIT)
			break;
		/* A value on its way, bytes to throw away, or the end. */
		if (next == NEXT_STOP || s->want != SESSION_READ || s->swallow > 0)
			return at;
	}
	s->state_name = at < len ? "conn_read" : "conn_new_cmd";
	return at;
}
