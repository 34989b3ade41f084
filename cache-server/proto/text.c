#include "cache-server/proto/text.h"

#include "cache-server/proto/marking.h"
#include "cache-server/proto/number.h"

/* Clients' test suites read lines into 80 bytes (libmemcached's memcapable): no error line is longer than 79.
 */
#define HOLDOFF_USAGE "CLIENT_ERROR bad command line format.  Usage: delete <key> [time] [noreply]"

enum { HOLDOFF_MAX_S = 2592000 };

/* What the first word of a line may be, admin commands excepted; memcached looks at it before anything else.
 */
enum command {
	GET,
	GETS,
	GAT,
	GATS,
	SET,
	ADD,
	REPLACE,
	APPEND,
	PREPEND,
	CAS,
	DELETE,
	INCR,
	DECR,
	TOUCH,
	QUIT,
	LEASE_GET,
	LEASE_SET,
	META,
	OTHER
};

static const struct {
	const char *name;
	enum command command;
} COMMANDS[] = {
    {"get", GET},
    {"gets", GETS},
    {"gat", GAT},
    {"gats", GATS},
    {"set", SET},
    {"add", ADD},
    {"replace", REPLACE},
    {"append", APPEND},
    {"prepend", PREPEND},
    {"cas", CAS},
    {"delete", DELETE},
    {"incr", INCR},
    {"decr", DECR},
    {"touch", TOUCH},
    {"quit", QUIT},
    {"lease-get", LEASE_GET},
    {"lease-set", LEASE_SET},
};

static enum command
command_of(struct span word)
{
	if (word.len == 2 && word.p[0] == 'm' && memchr("gsdnae", word.p[1], 6) != NULL)
		return META;
	for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
		if (word.len > 0 && COMMANDS[i].name[0] == word.p[0] && span_is(word, COMMANDS[i].name))
			return COMMANDS[i].command;
	return OTHER;
}

static void
remove_key(struct session *s, struct span key, uint32_t holdoff_s)
{
	struct cache_delete d;
	enum cache_result result;

	memset(&d, 0, sizeof d);
	d.key = key;
	if (__builtin_expect(s->marker, 0)) {
		if (holdoff_s > 0) {
			TEXT_REPLY(s, TEXT_NOT_MARKER);
			return;
		}
		result = marking_delete(s->cache, s->store, key);
	} else {
		d.hash = text_hash(s, key);
		d.holdoff_ms = holdoff_s * 1000;
		result = session_log_delete(s, &d, SESSION_LOG_DELETE);
	}
	text_note(s, SESSION_NOTE_DELETE, key, d.hash, result == CACHE_OK, 0);
	if (result == CACHE_OK)
		TEXT_REPLY(s, "DELETED");
	else
		TEXT_REPLY(s, "NOT_FOUND");
}

/* "delete <key>" and nothing else: what routers send all day. */
static size_t
quick_delete(struct session *s, const char *in, const char *key, const char *end)
{
	const char *stop = line_blank(key, end);
	size_t len = (size_t)(stop - key);

	if (stop == end || *stop != '\n')
		return 0;
	if (len > 0 && stop[-1] == '\r')
		len--;
	if (len == 0 || len > STORE_MAX_KEY || (len == 7 && memcmp(key, "noreply", 7) == 0))
		return 0;
	s->noreply = false;
	text_look_ahead(s, stop + 1, end);
	remove_key(s, span_make(key, len), 0);
	return (size_t)(stop + 1 - in);
}

static void
delete_line(struct session *s, const struct line *l)
{
	unsigned words = l->n - (s->noreply && l->n > 2);
	uint32_t seconds = 0;

	if (words > 3 || (words == 3 && (!number_u32(l->word[2], &seconds) || seconds > HOLDOFF_MAX_S)))
		text_reply(s, HOLDOFF_USAGE);
	else
		remove_key(s, l->word[1], seconds);
}

static void
arith_line(struct session *s, const struct line *l, bool decrement)
{
	struct cache_arith a;

	memset(&a, 0, sizeof a);
	a.key = l->word[1];
	a.decrement = decrement;
	if (!number_u64(l->word[2], &a.delta)) {
		TEXT_REPLY(s, "CLIENT_ERROR invalid numeric delta argument");
		return;
	}
	a.hash = store_hash(s->store, a.key);
	switch (cache_arith(s->cache, &a)) {
	case CACHE_OK:
		text_note(s, SESSION_NOTE_ARITH, a.key, a.hash, true, 0);
		if (!s->noreply) {
			out_u64(s->out, a.value_out);
			OUT_LITERAL(s->out, "\r\n");
		}
		return;
	case CACHE_NON_NUMERIC:
		TEXT_REPLY(s, "CLIENT_ERROR cannot increment or decrement non-numeric value");
		return;
	case CACHE_NOT_FOUND:
		TEXT_REPLY(s, "NOT_FOUND");
		break;
	default:
		TEXT_REPLY(s, "SERVER_ERROR out of memory");
	}
	text_note(s, SESSION_NOTE_ARITH, a.key, a.hash, false, 0);
}

static void
touch_line(struct session *s, const struct line *l)
{
	struct span key = l->word[1];
	int32_t exptime;
	uint64_t hash;
	bool hit;

	if (!number_i32(l->word[2], &exptime)) {
		TEXT_REPLY(s, "CLIENT_ERROR invalid exptime argument");
		return;
	}
	hash = store_hash(s->store, key);
	hit = cache_touch(s->cache, key, hash, cache_expiry(s->cache, exptime), NULL) == CACHE_OK;
	text_note(s, SESSION_NOTE_TOUCH, key, hash, hit, 0);
	if (hit)
		TEXT_REPLY(s, "TOUCHED");
	else
		TEXT_REPLY(s, "NOT_FOUND");
}

/* delete, incr, decr, touch: a key and at least `words` words in all. */
static void
key_line(struct session *s, const struct line *l, enum command command, unsigned words)
{
	if (l->n < words) {
		s->noreply = false;
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return;
	}
	s->noreply = line_noreply(l);
	if (l->word[1].len > STORE_MAX_KEY)
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
	else if (command == DELETE)
		delete_line(s, l);
	else if (s->marker)
		TEXT_REPLY(s, TEXT_NOT_MARKER);
	else if (command == TOUCH)
		touch_line(s, l);
	else
		arith_line(s, l, command == DECR);
}

static size_t
whole_line(struct session *s, struct line *l, const char *end, unsigned *budget)
{
	const char *in = l->text.p, *space;
	enum command command;

	s->noreply = false;
	if (l->len < 4) {
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return l->len;
	}
	space = memchr(in, ' ', l->text.len);
	command = command_of(space ? span_make(in, (size_t)(space - in)) : l->text);
	if (command == META)
		return meta_command(s, in, end, budget);
	line_split(l);
	switch (command) {
	case GET:
	case GETS:
		if (l->n >= 2)
			return text_get(s, command == GET ? TEXT_GET : TEXT_GETS, in, l->word[1].p, end,
					budget);
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		break;
	case GAT:
		return text_get_line(s, TEXT_GAT, l, budget);
	case GATS:
		return text_get_line(s, TEXT_GATS, l, budget);
	case LEASE_GET:
		return text_get_line(s, TEXT_LEASE_GET, l, budget);
	case SET:
		return text_store_line(s, CACHE_SET, TEXT_STORE_PLAIN, l, end);
	case ADD:
		return text_store_line(s, CACHE_ADD, TEXT_STORE_PLAIN, l, end);
	case REPLACE:
		return text_store_line(s, CACHE_REPLACE, TEXT_STORE_PLAIN, l, end);
	case APPEND:
		return text_store_line(s, CACHE_APPEND, TEXT_STORE_PLAIN, l, end);
	case PREPEND:
		return text_store_line(s, CACHE_PREPEND, TEXT_STORE_PLAIN, l, end);
	case CAS:
		return text_store_line(s, CACHE_SET, TEXT_STORE_CAS, l, end);
	case LEASE_SET:
		return text_store_line(s, CACHE_SET, TEXT_STORE_LEASE, l, end);
	case DELETE:
		key_line(s, l, DELETE, 2);
		break;
	case INCR:
	case DECR:
	case TOUCH:
		key_line(s, l, command, 3);
		break;
	case QUIT:
		s->want = SESSION_CLOSE;
		break;
	default:
		text_admin(s, l);
	}
	return l->len;
}

void
text_look_ahead(struct session *s, const char *next, const char *end)
{
	const char *key, *stop;

	if (end - next < 8)
		return;
	switch (line_four(next)) {
	case LINE_FOUR('s', 'e', 't', ' '):
	case LINE_FOUR('a', 'd', 'd', ' '):
		key = next + 4;
		break;
	case LINE_FOUR('d', 'e', 'l', 'e'):
		key = next + 7;
		break;
	default:
		if (next[0] != 'm' || next[1] != 's' || next[2] != ' ')
			return;
		key = next + 3;
	}
	stop = line_blank(key, end);
	if (stop == end)
		return;
	if (*stop == '\n' && stop > key && stop[-1] == '\r')
		stop--;
	s->ahead = span_make(key, (size_t)(stop - key));
	s->ahead_hash = store_hash(s->store, s->ahead);
	store_prefetch_bucket(s->store, s->ahead_hash);
}

/* No line end in sight: only a get of many keys may be that long.  Others talk another protocol. */
size_t
text_unfinished(struct session *s, const char *in, const char *end)
{
	const char *p = in;

	if (end - in <= TEXT_LONG_LINE)
		return 0;
	while (*p == ' ' && p < end - 6)
		p++;
	if (p - in > 100 || (memcmp(p, "get ", 4) != 0 && memcmp(p, "gets ", 5) != 0))
		s->want = SESSION_CLOSE;
	return 0;
}

static size_t
request(struct session *s, const char *p, const char *end, unsigned *budget)
{
	size_t taken = 0;
	struct line l;

	if (__builtin_expect(end - p >= 8, 1)) {
		switch (line_four(p)) {
		case LINE_FOUR('g', 'e', 't', ' '):
			return text_get(s, TEXT_GET, p, p + 4, end, budget);
		case LINE_FOUR('g', 'e', 't', 's'):
			if (p[4] == ' ')
				return text_get(s, TEXT_GETS, p, p + 5, end, budget);
			break;
		case LINE_FOUR('s', 'e', 't', ' '):
			taken = text_store_quick(s, CACHE_SET, p, p + 4, end);
			break;
		case LINE_FOUR('a', 'd', 'd', ' '):
			taken = text_store_quick(s, CACHE_ADD, p, p + 4, end);
			break;
		case LINE_FOUR('d', 'e', 'l', 'e'):
			if (p[4] == 't' && p[5] == 'e' && p[6] == ' ')
				taken = quick_delete(s, p, p + 7, end);
			break;
		default:
			if (p[0] == 'm' && p[2] == ' ' && memchr("gsdnae", p[1], 6) != NULL)
				return meta_command(s, p, end, budget);
		}
		if (taken > 0)
			return taken;
	}
	if (!line_find(p, end, &l))
		return text_unfinished(s, p, end);
	return whole_line(s, &l, end, budget);
}

/* What an earlier feed left unfinished. */
static size_t
go_on(struct session *s, const char *p, const char *end, unsigned *budget)
{
	enum text_kind kind = s->pending_command;
	const char *nl;

	if (kind != TEXT_SKIP)
		return text_get(s, kind, NULL, p, end, budget);
	nl = memchr(p, '\n', (size_t)(end - p));
	if (nl == NULL)
		return (size_t)(end - p);
	s->pending_command = TEXT_NONE;
	return (size_t)(nl + 1 - p);
}

/* False: there is more of it, after others, and after what is pending has been sent. */
static bool
dump_step(struct session *s)
{
	if (s->dump == NULL)
		return true;
	if (!session_full(s) && !s->dump->step(s->dump, s->cache, s->out)) {
		s->dump->free(s->dump);
		s->dump = NULL;
		return true;
	}
	s->want = session_full(s) ? SESSION_DRAIN : SESSION_YIELD;
	return false;
}

size_t
text_feed(struct session *s, const char *in, size_t len)
{
	unsigned budget = s->limits->max_requests ? s->limits->max_requests : UINT32_MAX;
	const char *p = in, *end = in + len;

	s->want = SESSION_READ;
	s->state_name = "conn_new_cmd";
	s->ahead.p = NULL;
	if (!dump_step(s))
		return 0;
	while (p < end) {
		size_t taken;

		if (session_full(s)) {
			s->want = SESSION_DRAIN;
			break;
		}
		if (budget == 0) {
			s->want = SESSION_YIELD;
			break;
		}
		budget--;
		if (__builtin_expect(s->limits->needs_auth && !s->authenticated, 0))
			taken = text_auth(s, p, end);
		else if (__builtin_expect(s->pending_command != TEXT_NONE, 0))
			taken = go_on(s, p, end, &budget);
		else
			taken = request(s, p, end, &budget);
		p += taken;
		if (s->want != SESSION_READ || taken == 0 || s->swallow > 0 || !dump_step(s))
			break;
	}
	if (__builtin_expect(s->out->failed, 0))
		s->want = SESSION_ABORT;
	return (size_t)(p - in);
}
