#include "cache-server/proto/number.h"
#include "cache-server/proto/text.h"

/* What we say to be: clients ask for features by memcached's number; ours follow (schemas/cache-protocol.md).
 */
#define VERSION_REPLY "VERSION 1.6.45 squeal-cache/" SQUEAL_VERSION " lease holdoff stale epoch marker parts"

enum {
	MAX_VERBOSITY = 10,
	MAX_CLASS = 64, /* memcached's number of slab classes, and one */
	MIN_AUTH_LINE = 6,
	MAX_AUTH = SESSION_BUFFER_MIN - 2,
	DAYS_30 = 60 * 60 * 24 * 30,
};

/* Words from `from` on, as they were sent. */
static struct span
words_from(const struct line *l, unsigned from)
{
	if (l->n <= from)
		return (struct span){"", 0};
	return span_make(l->word[from].p,
			 (size_t)(l->word[l->n - 1].p + l->word[l->n - 1].len - l->word[from].p));
}

/* --- stats ---------------------------------------------------------------------------------------------- */

static void
emit_stat(void *arg, struct span name, struct span value)
{
	struct session *s = arg;

	OUT_LITERAL(s->out, "STAT ");
	out_span(s->out, name);
	if (value.len > 0) {
		OUT_LITERAL(s->out, " ");
		out_span(s->out, value);
	}
	OUT_LITERAL(s->out, "\r\n");
}

/* The rows of `stats detail dump` are lines as they are: "PREFIX foo get 1 hit 1 set 1 del 0". */
static void
emit_line(void *arg, struct span name, struct span value)
{
	struct session *s = arg;

	out_span(s->out, name);
	if (value.len > 0) {
		OUT_LITERAL(s->out, " ");
		out_span(s->out, value);
	}
	OUT_LITERAL(s->out, "\r\n");
}

static bool
host_stats(struct session *s, struct span what, session_emit_fn *emit)
{
	return s->host.ops->stats(s->host.arg, cache_of(s->cache), what, emit, s);
}

static void
stats_detail(struct session *s, struct span what, struct span how)
{
	bool dump = span_is(how, "dump"), sets = span_is(how, "on") || span_is(how, "off"), done;
	struct out_mark mark = out_mark(s->out);

	if (s->limits->no_dump) {
		TEXT_REPLY(s, "CLIENT_ERROR stats detail not allowed");
		return;
	}
	if (!dump && !sets) {
		TEXT_REPLY(s, "CLIENT_ERROR usage: stats detail on|off|dump");
		return;
	}
	done = host_stats(s, what, emit_line);
	if (!done || sets)
		out_rewind(s->out, mark);
	if (!done)
		TEXT_REPLY(s, "ERROR");
	else if (dump)
		OUT_LITERAL(s->out, "END\r\n");
	else
		TEXT_REPLY(s, "OK");
}

static void
start_dump(struct session *s, struct span command)
{
	const char *why = NULL;

	if (s->host.ops->dump)
		s->dump = s->host.ops->dump(s->host.arg, cache_of(s->cache), command, &why);
	if (s->dump == NULL)
		text_reply(s, why ? why : "ERROR");
}

static void
stats_cachedump(struct session *s, const struct line *l)
{
	uint32_t class, limit;

	if (s->limits->no_dump)
		TEXT_REPLY(s, "CLIENT_ERROR stats cachedump not allowed");
	else if (l->n < 4)
		TEXT_REPLY(s, "CLIENT_ERROR bad command line");
	else if (!number_u32(l->word[2], &class) || !number_u32(l->word[3], &limit))
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
	else if (class >= MAX_CLASS)
		TEXT_REPLY(s, "CLIENT_ERROR Illegal slab id");
	else
		start_dump(s, words_from(l, 0));
}

static void
stats_line(struct session *s, const struct line *l)
{
	struct span what = words_from(l, 1), first = line_word(l, 1);
	struct out_mark mark = out_mark(s->out);

	s->noreply = false;
	if (span_is(first, "reset")) {
		host_stats(s, what, emit_stat);
		out_rewind(s->out, mark);
		cache_counters_reset(cache_of(s->cache));
		TEXT_REPLY(s, "RESET");
	} else if (span_is(first, "detail"))
		stats_detail(s, what, line_word(l, 2));
	else if (span_is(first, "cachedump"))
		stats_cachedump(s, l);
	else if (host_stats(s, what, emit_stat))
		OUT_LITERAL(s->out, "END\r\n");
	else {
		out_rewind(s->out, mark);
		TEXT_REPLY(s, "ERROR");
	}
}

/* --- settings of memcached's engine: looked at as memcached does, without effect -------------------------
 */

static bool
is_factor(struct span text)
{
	bool digit = false, point = false;

	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '.' && !point)
			point = true;
		else if (text.p[i] >= '0' && text.p[i] <= '9')
			digit = true;
		else
			return false;
	}
	return digit;
}

static void
slabs_line(struct session *s, const struct line *l)
{
	struct span what = line_word(l, 1), arg = line_word(l, 2), value = line_word(l, 3);
	uint32_t level = 0;
	int32_t class;

	if (l->n == 4 && span_is(what, "reassign")) {
		if (number_i32(arg, &class) && number_i32(value, &class))
			TEXT_REPLY(s, "CLIENT_ERROR slab reassignment disabled");
		else
			TEXT_REPLY(s, TEXT_BAD_FORMAT);
	} else if (l->n < 3 || !span_is(what, "automove"))
		TEXT_REPLY(s, "ERROR");
	else if (span_is(arg, "ratio") || span_is(arg, "freeratio")) {
		if (is_factor(value))
			TEXT_REPLY(s, "OK");
		else
			TEXT_REPLY(s, "ERROR");
	} else if (span_is(arg, "window")) {
		if (l->n < 4 || !number_u32(value, &level))
			TEXT_REPLY(s, TEXT_BAD_FORMAT);
		else if (level < 3 || level > 1800)
			TEXT_REPLY(s, "CLIENT_ERROR automove window too low or too high");
		else
			TEXT_REPLY(s, "OK");
	} else if (!number_u32(arg, &level))
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
	else if (level <= 2)
		TEXT_REPLY(s, "OK");
	else
		TEXT_REPLY(s, "ERROR");
}

static void
lru_line(struct session *s, const struct line *l)
{
	struct span what = line_word(l, 1), arg = line_word(l, 2);
	uint32_t hot, warm;
	int32_t ttl;

	if (span_is(what, "tune") && l->n >= 6) {
		if (!number_u32(arg, &hot) || !number_u32(l->word[3], &warm) || !is_factor(l->word[4]) ||
		    !is_factor(l->word[5]))
			TEXT_REPLY(s, "ERROR");
		else if ((uint64_t)hot + warm > 80)
			TEXT_REPLY(s, "ERROR hot and warm pcts must not exceed 80");
		else
			TEXT_REPLY(s, "OK");
	} else if (l->n >= 3 &&
		   ((span_is(what, "mode") && (span_is(arg, "flat") || span_is(arg, "segmented"))) ||
		    (span_is(what, "temp_ttl") && number_i32(arg, &ttl))))
		TEXT_REPLY(s, "OK");
	else
		TEXT_REPLY(s, "ERROR");
}

/* Whether a crawl may begin with "all", "hash" or a list of class numbers. */
static bool
are_classes(struct span text)
{
	if (span_is(text, "all") || span_is(text, "hash"))
		return true;
	if (text.len == 0)
		return false;
	while (text.len > 0) {
		uint32_t class;

		if (!number_u32(span_cut(&text, ','), &class) || class == 0 || class >= 4 * MAX_CLASS)
			return false;
	}
	return true;
}

static void
lru_crawler_line(struct session *s, const struct line *l)
{
	struct span what = line_word(l, 1), arg = line_word(l, 2);
	bool metadump = span_is(what, "metadump"), mgdump = span_is(what, "mgdump");
	uint32_t n;

	if (l->n == 3 && (metadump || mgdump)) {
		if (s->limits->no_dump && metadump)
			TEXT_REPLY(s, "ERROR metadump not allowed");
		else if (s->limits->no_dump)
			TEXT_REPLY(s, "ERROR key dump not allowed");
		else if (out_pending(s->out) > 0 && metadump)
			TEXT_REPLY(s, "ERROR cannot pipeline other commands before metadump");
		else if (out_pending(s->out) > 0)
			TEXT_REPLY(s, "ERROR cannot pipeline other commands before mgdump");
		else if (!are_classes(arg))
			TEXT_REPLY(s, "BADCLASS invalid class id");
		else
			start_dump(s, words_from(l, 0));
	} else if (l->n == 3 && span_is(what, "crawl")) {
		/* Expired items go by themselves: there is nothing to start. */
		if (are_classes(arg))
			TEXT_REPLY(s, "OK");
		else
			TEXT_REPLY(s, "BADCLASS invalid class id");
	} else if (l->n == 3 && (span_is(what, "tocrawl") || span_is(what, "sleep"))) {
		if (!number_u32(arg, &n))
			TEXT_REPLY(s, TEXT_BAD_FORMAT);
		else if (span_is(what, "sleep") && n > 1000000)
			TEXT_REPLY(s, "CLIENT_ERROR sleep must be one second or less");
		else
			TEXT_REPLY(s, "OK");
	} else if (l->n == 2 && (span_is(what, "enable") || span_is(what, "disable")))
		TEXT_REPLY(s, "OK");
	else
		TEXT_REPLY(s, "ERROR");
}

/* --- the server ----------------------------------------------------------------------------------------- */

static void
flush_line(struct session *s, const struct line *l)
{
	int32_t delay = 0;
	uint32_t at = 0;

	if (s->limits->no_flush) {
		/* Counted all the same, as memcached does; cache_flush() counts the others. */
		metric_bump(&cache_thread_counters(s->cache)->cmd_flush, 1);
		TEXT_REPLY(s, "CLIENT_ERROR flush_all not allowed");
		return;
	}
	if (l->n != 1u + s->noreply && !number_i32(line_word(l, 1), &delay)) {
		TEXT_REPLY(s, "CLIENT_ERROR invalid exptime argument");
		return;
	}
	/* A delay is no TTL: the container's longest one does not cap it. */
	if (delay > DAYS_30)
		at = cache_expiry(s->cache, delay) - 1;
	else if (delay > 1)
		at = store_now(s->store) + (uint32_t)delay - 1;
	cache_flush(s->cache, at);
	TEXT_REPLY(s, "OK");
}

static void
verbosity_line(struct session *s, const struct line *l)
{
	uint32_t level;

	if (l->n < 2 || !number_u32(l->word[1], &level)) {
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return;
	}
	s->host.ops->verbosity(s->host.arg, level > MAX_VERBOSITY ? MAX_VERBOSITY : level);
	TEXT_REPLY(s, "OK");
}

static void
memlimit_line(struct session *s, const struct line *l)
{
	uint32_t megabytes;

	if (l->n < 2 || !number_u32(l->word[1], &megabytes))
		TEXT_REPLY(s, "ERROR");
	else if (megabytes < 8)
		TEXT_REPLY(s, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
	else if (megabytes > 1000000000)
		TEXT_REPLY(s, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
	else if (s->host.ops->memory_limit(s->host.arg, cache_of(s->cache), (uint64_t)megabytes << 20))
		TEXT_REPLY(s, "OK");
	else
		TEXT_REPLY(s, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
}

static void
shutdown_line(struct session *s, const struct line *l)
{
	bool graceful = l->n == 2 && span_is(l->word[1], "graceful");

	if (!s->limits->may_shutdown)
		TEXT_REPLY(s, "SERVER_ERROR: shutdown not enabled");
	else if (l->n > 1 && !graceful)
		TEXT_REPLY(s, "CLIENT_ERROR invalid shutdown mode");
	else {
		s->want = SESSION_ABORT;
		s->host.ops->shutdown(s->host.arg, graceful);
	}
}

static void
certificates_line(struct session *s)
{
	const char *wrong =
	    s->host.ops->refresh_certificates ? s->host.ops->refresh_certificates(s->host.arg) : "ERROR";

	text_reply(s, *wrong ? wrong : "OK");
}

static void
watch_line(struct session *s, const struct line *l)
{
	static const char *const KINDS[] = {"rawcmds",	 "evictions",  "fetchers",  "mutations",
					    "sysevents", "connevents", "proxyreqs", "proxyevents",
					    "proxyuser", "deletions"};
	struct span kinds = l->n > 1 ? words_from(l, 1) : SPAN_LIT("fetchers");

	s->noreply = false;
	if (s->limits->no_watch) {
		TEXT_REPLY(s, "CLIENT_ERROR watch commands not allowed");
		return;
	}
	if (out_pending(s->out) > 0) {
		TEXT_REPLY(s, "ERROR cannot pipeline other commands before watch");
		return;
	}
	for (unsigned i = 1; i < l->n; i++) {
		unsigned kind = 0;

		while (kind < sizeof KINDS / sizeof *KINDS && !span_is(l->word[i], KINDS[kind]))
			kind++;
		if (kind == sizeof KINDS / sizeof *KINDS) {
			TEXT_REPLY(s, "ERROR");
			return;
		}
	}
	/* The OK is first: the watcher's lines may follow at once. */
	OUT_LITERAL(s->out, "OK\r\n");
	if (s->host.ops->watch && s->host.ops->watch(s->host.arg, kinds))
		s->want = SESSION_WATCH;
	else {
		out_rewind(s->out, (struct out_mark){s->out->len - 4, s->out->nrefs});
		TEXT_REPLY(s, "WATCHER_TOO_MANY log watcher limit reached");
	}
}

static void
debugtime_line(struct session *s, const struct line *l)
{
	struct span what = line_word(l, 1);
	int64_t seconds = 0;

	if (span_is(what, "p") || span_is(what, "r"))
		cache_pause_time(cache_of(s->cache), what.p[0] == 'p');
	else if (l->n < 2 || !number_i64(l->word[1], &seconds)) {
		TEXT_REPLY(s, "ERROR");
		return;
	} else
		cache_shift_time(cache_of(s->cache), seconds);
	TEXT_REPLY(s, "OK");
}

/* --- what routers say ----------------------------------------------------------------------------------- */

/*
 * Alone it is about what a server missed while it was away; with a time it settles what a restore left to be
 * delivered.  The first is answered OK also while it has no effect: a router that had to repeat it would hold
 * back the deletes behind it.
 */
static bool
part_of(struct span text, uint32_t *part, uint32_t *parts)
{
	struct span first = span_cut(&text, '/');

	return first.len > 0 && text.len > 0 && number_u32(first, part) && number_u32(text, parts) &&
	       *part < *parts;
}

static void
caughtup_line(struct session *s, const struct line *l, bool quiet)
{
	struct err_detail why = {0};
	unsigned words = l->n - 1 - quiet;
	struct span last = line_word(l, words);
	uint32_t part = 0, parts = 1;
	uint64_t since = UINT64_MAX; /* none */
	err_t err = ERR_OK;

	if (words > 0 && span_find(last, SPAN_LIT("/")) >= 0) {
		if (!part_of(last, &part, &parts)) {
			TEXT_REPLY(s, TEXT_BAD_FORMAT);
			return;
		}
		words--;
	}
	if (words > 0 && (!number_u64(line_word(l, 1), &since) || since == UINT64_MAX)) {
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return;
	}
	if (parts > 1)
		err = store_part_caught_up(s->store, part, parts, since, &why);
	else if (since != UINT64_MAX)
		err = store_caught_up_since(s->store, since, &why);
	else
		cache_caught_up(s->cache);
	if (err != ERR_OK) {
		OUT_LITERAL(s->out, "SERVER_ERROR ");
		text_reply(s, err_why(&why));
		return;
	}
	if (!quiet)
		OUT_LITERAL(s->out, "OK\r\n");
}

static void
router_line(struct session *s, const struct line *l)
{
	bool quiet = s->noreply, done;
	struct epoch epoch;
	uint32_t term;

	/* Errors are not left out. */
	s->noreply = false;
	if (span_is(l->word[0], "caughtup")) {
		caughtup_line(s, l, quiet);
		return;
	} else if (l->n < (span_is(l->word[0], "newterm") ? 3 : 2)) {
		TEXT_REPLY(s, TEXT_BAD_FORMAT);
		return;
	} else if (!epoch_parse(l->word[1], &epoch)) {
		TEXT_REPLY(s, "CLIENT_ERROR bad epoch");
		return;
	} else if (span_is(l->word[0], "watermark"))
		done = cache_watermark(s->cache, &epoch);
	else if (!number_u32(l->word[2], &term) || term <= epoch.term) {
		TEXT_REPLY(s, "CLIENT_ERROR bad term");
		return;
	} else
		done = cache_new_term(s->cache, &epoch, term);
	if (!done)
		TEXT_REPLY(s, "SERVER_ERROR too many sources");
	else if (!quiet)
		OUT_LITERAL(s->out, "OK\r\n");
}

/* --- all of them ---------------------------------------------------------------------------------------- */

enum admin {
	STATS,
	VERSION,
	WATCH,
	FLUSH_ALL,
	VERBOSITY,
	SLABS,
	LRU,
	LRU_CRAWLER,
	CACHE_MEMLIMIT,
	SHUTDOWN,
	REFRESH_CERTS,
	DEBUGTIME,
	ROUTER,
	UNKNOWN
};

static const struct {
	const char *name;
	enum admin admin;
} ADMIN[] = {
    {"stats", STATS},
    {"version", VERSION},
    {"watch", WATCH},
    {"flush_all", FLUSH_ALL},
    {"verbosity", VERBOSITY},
    {"slabs", SLABS},
    {"lru", LRU},
    {"lru_crawler", LRU_CRAWLER},
    {"cache_memlimit", CACHE_MEMLIMIT},
    {"shutdown", SHUTDOWN},
    {"refresh_certs", REFRESH_CERTS},
    {"debugtime", DEBUGTIME},
    {"watermark", ROUTER},
    {"newterm", ROUTER},
    {"caughtup", ROUTER},
};

static void
unknown_line(struct session *s, const struct line *l)
{
	struct span last = line_word(l, l->n > 1 ? l->n - 1 : 1);

	if (l->n == 2 && span_is(l->word[0], "backup") && span_is(l->word[1], "-") && !s->limits->no_dump)
		start_dump(s, SPAN_LIT("backup -"));
	else if (s->host.ops->job &&
		 s->host.ops->job(s->host.arg, cache_of(s->cache), words_from(l, 0), s->out))
		OUT_LITERAL(s->out, "\r\n");
	else if (last.len >= 5 && memcmp(last.p, "HTTP/", 5) == 0) {
		/* A browser that was led here: nothing of what follows may be taken for commands. */
		s->want = SESSION_ABORT;
	} else
		TEXT_REPLY(s, "ERROR");
}

void
text_admin(struct session *s, const struct line *l)
{
	struct span word = line_word(l, 0);
	enum admin admin = UNKNOWN;

	s->noreply = line_noreply(l);
	for (size_t i = 0; i < sizeof ADMIN / sizeof *ADMIN && admin == UNKNOWN; i++)
		if (span_is(word, ADMIN[i].name))
			admin = ADMIN[i].admin;
	/* Spaces in front are allowed where memcached looks at the first word, not at the first bytes. */
	if (admin <= WATCH && l->text.p != word.p)
		admin = UNKNOWN;
	switch (admin) {
	case STATS:
		stats_line(s, l);
		break;
	case VERSION:
		s->noreply = false;
		TEXT_REPLY(s, VERSION_REPLY);
		break;
	case WATCH:
		watch_line(s, l);
		break;
	case FLUSH_ALL:
		flush_line(s, l);
		break;
	case VERBOSITY:
		verbosity_line(s, l);
		break;
	case SLABS:
		slabs_line(s, l);
		break;
	case LRU:
		lru_line(s, l);
		break;
	case LRU_CRAWLER:
		lru_crawler_line(s, l);
		break;
	case CACHE_MEMLIMIT:
		memlimit_line(s, l);
		break;
	case SHUTDOWN:
		shutdown_line(s, l);
		break;
	case REFRESH_CERTS:
		certificates_line(s);
		break;
	case DEBUGTIME:
		if (s->limits->debug_commands) {
			debugtime_line(s, l);
			break;
		}
		/* fall through */
	case UNKNOWN:
		unknown_line(s, l);
		break;
	case ROUTER:
		router_line(s, l);
		break;
	}
}

/* --- -Y ------------------------------------------------------------------------------------------------- */

static void
check_password(struct session *s, struct span text)
{
	struct cache_counters *count = cache_thread_counters(s->cache);
	struct span user = text, password;
	const char *space = memchr(text.p, ' ', text.len);

	if (memcmp(text.p + text.len - 2, "\r\n", 2) != 0) {
		TEXT_REPLY(s, "CLIENT_ERROR bad command line termination");
		return;
	}
	if (space == NULL) {
		TEXT_REPLY(s, "CLIENT_ERROR bad authentication token format");
		return;
	}
	user.len = (size_t)(space - text.p);
	password = span_from(text, user.len + 1);
	password.len -= 2;
	metric_bump(&count->auth_cmds, 1);
	if (s->host.ops->authenticate(s->host.arg, user, password)) {
		s->authenticated = true;
		TEXT_REPLY(s, "STORED");
	} else {
		metric_bump(&count->auth_errors, 1);
		TEXT_REPLY(s, "CLIENT_ERROR authentication failure");
	}
}

/* "set <any key> <flags> <exptime> <n>", then n bytes "<user> <password>". */
size_t
text_auth(struct session *s, const char *in, const char *end)
{
	struct line l;
	uint32_t size;

	s->noreply = false;
	if (s->pending_command == TEXT_AUTH) {
		size_t n = (size_t)s->cursor;

		if ((size_t)(end - in) < n)
			return 0;
		s->pending_command = TEXT_NONE;
		check_password(s, span_make(in, n));
		return n;
	}
	if (!line_find(in, end, &l)) {
		if (end - in > TEXT_LONG_LINE)
			s->want = SESSION_CLOSE;
		return 0;
	}
	if (l.len <= MIN_AUTH_LINE) {
		s->want = SESSION_CLOSE;
		return l.len;
	}
	line_split(&l);
	if (l.n < 5 || memcmp(in, "set", 3) != 0 || !number_u32(l.word[4], &size))
		TEXT_REPLY(s, "CLIENT_ERROR unauthenticated");
	else if (size > MAX_AUTH)
		TEXT_REPLY(s, "CLIENT_ERROR auth token too long");
	else {
		s->pending_command = TEXT_AUTH;
		s->cursor = (uint64_t)size + 2;
	}
	return l.len;
}
