#include "cache-server/report/watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/buf.h"

enum {
	DEFAULT_RING = 64 << 10,
	DEFAULT_WATCHER = 256 << 10,
	MIN_BYTES = 4096,
	MAX_RINGS = 512,
	MAX_RECORD = 512, /* rounded up; a key has 250 bytes at most */
	CLASS = 1,	  /* there are no slab classes */
};

/* A record lies in one piece; SKIP fills the rest of the ring when the next one does not fit there. */
enum record_type { RECORD_SKIP, RECORD_ITEM, RECORD_EVICTION, RECORD_OPEN, RECORD_CLOSE };

struct record {
	uint32_t size; /* of all of it, a multiple of 8 */
	uint16_t kind; /* enum watch_kind */
	uint8_t type, command;
	uint64_t gid;
	uint64_t at_us;
	uint64_t bytes;
	int64_t ttl_s;
	int32_t fd, status;
	uint32_t idle_s;
	uint16_t class_id, port;
	uint16_t len; /* of the key or address */
	char transport[6];
	char text[];
};

struct watch_ring {
	struct watch *watch;
	char *bytes;
	size_t size;
	/* Counted without end; positions are taken modulo `size`, a power of two. */
	_Alignas(64) _Atomic uint64_t head;
	_Atomic uint64_t dropped, written;
	_Alignas(64) _Atomic uint64_t tail;
};

struct watcher {
	unsigned kinds;
	uint64_t first_gid;
	watch_wake_fn *wake;
	void *wake_arg;
	pthread_mutex_t mutex; /* what follows */
	struct buf lines;
	size_t max;
	uint64_t skipped;
};

struct watch {
	struct watch_options opt;
	_Atomic unsigned wants;
	_Atomic uint64_t gid;
	_Atomic uint64_t skipped, sent;
	pthread_mutex_t evictions_mutex; /* writing to it */
	struct watch_ring *evictions;
	pthread_mutex_t mutex; /* what follows */
	struct watch_ring *rings[MAX_RINGS];
	size_t nrings;
	struct watcher *watchers[WATCH_MAX_WATCHERS];
	size_t nwatchers;
	struct buf line; /* of the collector; as long as a line can be from the start */
};

static size_t
power_of_two(size_t n)
{
	size_t p = MIN_BYTES;

	while (p < n && p < (size_t)1 << 40)
		p *= 2;
	return p;
}

err_t
watch_create(struct watch **out, const struct watch_options *opt, struct err_detail *why)
{
	struct watch *w = calloc(1, sizeof *w);

	*out = NULL;
	if (w == NULL)
		return err_set(why, ERR_SYS, "no memory for the list of watchers");
	w->opt = *opt;
	w->opt.ring_bytes = power_of_two(opt->ring_bytes ? opt->ring_bytes : DEFAULT_RING);
	if (w->opt.watcher_bytes == 0)
		w->opt.watcher_bytes = DEFAULT_WATCHER;
	if (w->opt.watcher_bytes < MIN_BYTES)
		w->opt.watcher_bytes = MIN_BYTES;
	pthread_mutex_init(&w->mutex, NULL);
	pthread_mutex_init(&w->evictions_mutex, NULL);
	(void)buf_room(&w->line, WATCH_MAX_LINE);
	w->evictions = watch_ring_create(w);
	if (w->evictions == NULL) {
		watch_destroy(&w);
		return err_set(why, ERR_SYS, "no memory for lines about evictions");
	}
	*out = w;
	return ERR_OK;
}

void
watch_destroy(struct watch **wp)
{
	struct watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->nrings; i++) {
		free(w->rings[i]->bytes);
		free(w->rings[i]);
	}
	pthread_mutex_destroy(&w->evictions_mutex);
	pthread_mutex_destroy(&w->mutex);
	buf_fini(&w->line);
	free(w);
}

struct watch_ring *
watch_ring_create(struct watch *w)
{
	struct watch_ring *r = aligned_alloc(64, sizeof *r);

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof *r);
	r->watch = w;
	r->size = w->opt.ring_bytes;
	r->bytes = aligned_alloc(64, r->size);
	if (r->bytes == NULL)
		goto fail;
	pthread_mutex_lock(&w->mutex);
	if (w->nrings < MAX_RINGS) {
		w->rings[w->nrings++] = r;
		pthread_mutex_unlock(&w->mutex);
		return r;
	}
	pthread_mutex_unlock(&w->mutex);
fail:
	free(r->bytes);
	free(r);
	return NULL;
}

/* --- writing records ------------------------------------------------------------------------------------ */

unsigned
watch_wants(const struct watch *w)
{
	return atomic_load_explicit((_Atomic unsigned *)&w->wants, memory_order_relaxed);
}

/* Room for one record with `text`, filled in as far as all are alike; NULL: dropped and counted. */
static struct record *
begin(struct watch_ring *r, enum watch_kind kind, enum record_type type, struct span text)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	size_t len = text.len < STORE_MAX_KEY ? text.len : STORE_MAX_KEY;
	size_t need = (sizeof(struct record) + len + 7) & ~(size_t)7;
	size_t at = head & (r->size - 1), to_end = r->size - at;
	struct record *rec;

	if (r->size - (head - tail) < need + (to_end < need ? to_end : 0)) {
		atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
		return NULL;
	}
	if (to_end < need) {
		rec = (struct record *)(r->bytes + at);
		rec->size = (uint32_t)to_end;
		rec->type = RECORD_SKIP; /* 8 bytes are left at least */
		head += to_end;
		atomic_store_explicit(&r->head, head, memory_order_release);
		at = 0;
	}
	rec = (struct record *)(r->bytes + at);
	memset(rec, 0, sizeof *rec);
	rec->size = (uint32_t)need;
	rec->kind = (uint16_t)kind;
	rec->type = (uint8_t)type;
	rec->gid = atomic_fetch_add_explicit(&r->watch->gid, 1, memory_order_relaxed) + 1;
	rec->at_us = clock_real_us(r->watch->opt.clock);
	rec->len = (uint16_t)len;
	memcpy(rec->text, text.p, len);
	return rec;
}

static void
commit(struct watch_ring *r, const struct record *rec)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	atomic_store_explicit(&r->head, head + rec->size, memory_order_release);
	atomic_fetch_add_explicit(&r->written, 1, memory_order_relaxed);
}

void
watch_log(struct watch_ring *r, const struct session_log *l, int fd)
{
	struct record *rec;

	if ((watch_wants(r->watch) & l->kind) == 0)
		return;
	rec = begin(r, (enum watch_kind)l->kind, RECORD_ITEM, l->key);
	if (rec == NULL)
		return;
	rec->command = (uint8_t)l->command;
	rec->status = l->status;
	rec->ttl_s = l->ttl_s;
	rec->bytes = l->size;
	rec->fd = fd;
	rec->class_id = l->kind == SESSION_LOG_FETCHERS && l->status == 0 ? 0 : CLASS;
	commit(r, rec);
}

void
watch_log_eviction(struct watch *w, const struct watch_eviction *e)
{
	struct record *rec;

	if ((watch_wants(w) & WATCH_EVICTIONS) == 0)
		return;
	pthread_mutex_lock(&w->evictions_mutex);
	rec = begin(w->evictions, WATCH_EVICTIONS, RECORD_EVICTION, e->key);
	if (rec) {
		rec->status = e->fetched;
		rec->ttl_s = e->ttl_s;
		rec->idle_s = e->idle_s;
		rec->class_id = (uint16_t)e->class_id;
		rec->bytes = e->size;
		commit(w->evictions, rec);
	}
	pthread_mutex_unlock(&w->evictions_mutex);
}

static void
log_connection(struct watch_ring *r, enum record_type type, const char *address, unsigned port,
	       const char *transport, int reason, int fd)
{
	struct record *rec;

	if ((watch_wants(r->watch) & WATCH_CONNEVENTS) == 0)
		return;
	rec = begin(r, WATCH_CONNEVENTS, type, span_of(address));
	if (rec == NULL)
		return;
	rec->port = (uint16_t)port;
	rec->status = reason;
	rec->fd = fd;
	snprintf(rec->transport, sizeof rec->transport, "%s", transport);
	commit(r, rec);
}

void
watch_log_open(struct watch_ring *r, const char *address, unsigned port, const char *transport, int fd)
{
	log_connection(r, RECORD_OPEN, address, port, transport, 0, fd);
}

void
watch_log_close(struct watch_ring *r, const char *address, unsigned port, const char *transport,
		enum watch_close reason, int fd)
{
	log_connection(r, RECORD_CLOSE, address, port, transport, (int)reason, fd);
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* As memcached's uriencode(): letters, digits and -._~ stay. */
static void
put_key(struct buf *out, struct span key)
{
	static const char hex[] = "0123456789ABCDEF";
	char *start = buf_room(out, key.len * 3), *to = start;

	for (size_t i = 0; i < key.len; i++) {
		unsigned char c = (unsigned char)key.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
		    c == '.' || c == '_' || c == '~') {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	buf_added(out, (size_t)(to - start));
}

static const char *
store_status(int result)
{
	switch ((enum cache_result)result) {
	case CACHE_OK:
	case CACHE_STALE_STORED:
		return "stored";
	case CACHE_EXISTS:
		return "exists";
	case CACHE_NOT_FOUND:
		return "not_found";
	case CACHE_TOO_LARGE:
		return "too_large";
	case CACHE_NO_MEMORY:
		return "no_memory";
	default:
		return "not_stored";
	}
}

static const char *
command_text(unsigned command)
{
	static const char *const texts[] = {
	    [SESSION_LOG_NULL] = "null",     [SESSION_LOG_ADD] = "add",
	    [SESSION_LOG_SET] = "set",	     [SESSION_LOG_REPLACE] = "replace",
	    [SESSION_LOG_APPEND] = "append", [SESSION_LOG_PREPEND] = "prepend",
	    [SESSION_LOG_CAS] = "cas",	     [SESSION_LOG_DELETE] = "delete",
	    [SESSION_LOG_MD] = "md"};

	return command < sizeof texts / sizeof *texts ? texts[command] : "na";
}

static void
put_item(const struct record *r, struct span key, struct buf *out)
{
	switch (r->kind) {
	case WATCH_FETCHERS:
		buf_put_str(out, "type=item_get key=");
		put_key(out, key);
		buf_printf(out, " status=%s clsid=%u cfd=%d size=%" PRIu64, r->status ? "found" : "not_found",
			   r->class_id, r->fd, r->bytes);
		break;
	case WATCH_MUTATIONS:
		buf_put_str(out, "type=item_store key=");
		put_key(out, key);
		buf_printf(out, " status=%s cmd=%s ttl=%" PRId64 " clsid=%u cfd=%d size=%" PRIu64,
			   store_status(r->status), command_text(r->command), r->ttl_s, r->class_id, r->fd,
			   r->bytes);
		break;
	default:
		buf_put_str(out, "type=deleted key=");
		put_key(out, key);
		buf_printf(out, " cmd=%s clsid=%u size=%" PRIu64, command_text(r->command), r->class_id,
			   r->bytes);
	}
}

static void
put_line(const struct record *r, struct buf *out)
{
	static const char *const reasons[] = {"error", "normal", "idle_timeout", "shutdown"};
	struct span text = span_make(r->text, r->len);

	buf_printf(out, "ts=%" PRIu64 ".%" PRIu64 " gid=%" PRIu64 " ", r->at_us / 1000000, r->at_us % 1000000,
		   r->gid);
	switch ((enum record_type)r->type) {
	case RECORD_ITEM:
		put_item(r, text, out);
		break;
	case RECORD_EVICTION:
		buf_put_str(out, "type=eviction key=");
		put_key(out, text);
		buf_printf(out, " fetch=%s ttl=%" PRId64 " la=%u clsid=%u size=%" PRIu64,
			   r->status ? "yes" : "no", r->ttl_s, r->idle_s, r->class_id, r->bytes);
		break;
	default:
		buf_printf(out, "type=%s rip=%.*s rport=%u transport=%s",
			   r->type == RECORD_OPEN ? "conn_new" : "conn_close", SPAN_FMT(text), r->port,
			   r->transport);
		if (r->type == RECORD_CLOSE)
			buf_printf(out, " reason=%s", reasons[r->status & 3]);
		buf_printf(out, " cfd=%d", r->fd);
	}
	buf_putc(out, '\n');
}

/* --- watchers ------------------------------------------------------------------------------------------- */

bool
watch_parse(struct span text, unsigned *kinds)
{
	*kinds = 0;
	text = span_trim(text);
	if (text.len == 0)
		*kinds = WATCH_FETCHERS;
	while (text.len > 0) {
		struct span word = span_cut(&text, ' ');
		unsigned bit = 0;

		if (word.len == 0)
			continue;
#define PARSE_KIND(name, number, in_text)                                                                    \
	if (span_is(word, in_text))                                                                          \
		bit = name;
		WATCH_KINDS(PARSE_KIND)
#undef PARSE_KIND
		if (bit == 0)
			return false;
		*kinds |= bit;
	}
	return true;
}

/* With the mutex of `w`. */
static void
set_wants(struct watch *w)
{
	unsigned kinds = 0;

	for (size_t i = 0; i < w->nwatchers; i++)
		kinds |= w->watchers[i]->kinds;
	atomic_store_explicit(&w->wants, kinds, memory_order_relaxed);
}

struct watcher *
watch_add(struct watch *w, unsigned kinds, watch_wake_fn *wake, void *wake_arg)
{
	struct watcher *wr = calloc(1, sizeof *wr);

	if (wr == NULL)
		return NULL;
	pthread_mutex_init(&wr->mutex, NULL);
	wr->kinds = kinds;
	wr->wake = wake;
	wr->wake_arg = wake_arg;
	wr->max = w->opt.watcher_bytes;
	/* All that may ever wait, now: the collector has nobody to tell that there is no memory. */
	wr->lines.p = wr->lines.base = malloc(wr->max);
	wr->lines.cap = wr->lines.base ? wr->max : 0;
	if (wr->lines.base == NULL) {
		pthread_mutex_destroy(&wr->mutex);
		free(wr);
		return NULL;
	}
	pthread_mutex_lock(&w->mutex);
	if (w->nwatchers == WATCH_MAX_WATCHERS) {
		pthread_mutex_unlock(&w->mutex);
		pthread_mutex_destroy(&wr->mutex);
		buf_fini(&wr->lines);
		free(wr);
		return NULL;
	}
	/* What was logged before is nothing to this watcher. */
	wr->first_gid = atomic_load_explicit(&w->gid, memory_order_relaxed) + 1;
	w->watchers[w->nwatchers++] = wr;
	set_wants(w);
	pthread_mutex_unlock(&w->mutex);
	return wr;
}

size_t
watcher_take(struct watcher *wr, char *to, size_t max)
{
	size_t n;

	pthread_mutex_lock(&wr->mutex);
	n = wr->lines.len < max ? wr->lines.len : max;
	if (n > 0) {
		memcpy(to, wr->lines.p, n);
		buf_take(&wr->lines, n);
	}
	pthread_mutex_unlock(&wr->mutex);
	return n;
}

void
watch_remove(struct watch *w, struct watcher **wp)
{
	struct watcher *wr = *wp;

	*wp = NULL;
	if (wr == NULL)
		return;
	/* The collecting thread holds this mutex for all of its round, so it has no more use for `wr`. */
	pthread_mutex_lock(&w->mutex);
	for (size_t i = 0; i < w->nwatchers; i++) {
		if (w->watchers[i] == wr) {
			w->watchers[i] = w->watchers[--w->nwatchers];
			break;
		}
	}
	set_wants(w);
	pthread_mutex_unlock(&w->mutex);
	pthread_mutex_destroy(&wr->mutex);
	buf_fini(&wr->lines);
	free(wr);
}

/* --- collecting ----------------------------------------------------------------------------------------- */

static void
give(struct watch *w, struct watcher *wr, struct span line)
{
	bool wake = false;

	pthread_mutex_lock(&wr->mutex);
	/* Room for a line about skipped ones, too, so that it never splits. */
	if (wr->lines.len + line.len + 32 > wr->max) {
		wr->skipped++;
		atomic_fetch_add_explicit(&w->skipped, 1, memory_order_relaxed);
	} else {
		wake = wr->lines.len == 0;
		if (wr->skipped > 0)
			buf_printf(&wr->lines, "skipped=%" PRIu64 "\n", wr->skipped);
		wr->skipped = 0;
		buf_put_span(&wr->lines, line);
		atomic_fetch_add_explicit(&w->sent, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&wr->mutex);
	if (wake)
		wr->wake(wr->wake_arg);
}

static bool
collect_ring(struct watch *w, struct watch_ring *r, struct buf *line)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	bool found = tail != head;

	while (tail != head) {
		const struct record *rec = (const struct record *)(r->bytes + (tail & (r->size - 1)));

		tail += rec->size;
		if (rec->type != RECORD_SKIP) {
			bool made = false;

			for (size_t i = 0; i < w->nwatchers; i++) {
				struct watcher *wr = w->watchers[i];

				if ((wr->kinds & rec->kind) == 0 || rec->gid < wr->first_gid)
					continue;
				if (!made) {
					buf_clear(line);
					put_line(rec, line);
					made = true;
				}
				give(w, wr, buf_span(line));
			}
		}
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
	return found;
}

bool
watch_collect(struct watch *w)
{
	bool found = false;

	pthread_mutex_lock(&w->mutex);
	for (size_t i = 0; i < w->nrings; i++)
		found |= collect_ring(w, w->rings[i], &w->line);
	pthread_mutex_unlock(&w->mutex);
	return found;
}

void
watch_figures(struct watch *w, struct watch_figures *out)
{
	*out = (struct watch_figures){.skipped = atomic_load_explicit(&w->skipped, memory_order_relaxed),
				      .sent = atomic_load_explicit(&w->sent, memory_order_relaxed)};
	pthread_mutex_lock(&w->mutex);
	out->watchers = w->nwatchers;
	for (size_t i = 0; i < w->nrings; i++) {
		out->dropped += atomic_load_explicit(&w->rings[i]->dropped, memory_order_relaxed);
		out->written += atomic_load_explicit(&w->rings[i]->written, memory_order_relaxed);
	}
	pthread_mutex_unlock(&w->mutex);
}
