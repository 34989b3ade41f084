/*
 * talk - a session over a real small cache, for tests and fuzz targets: bytes go in, replies come out.
 *
 * Everything a server would do stands here in its simplest form: what is not taken is shown again, values on
 * their way are put where session_sink() says, what is pending is collected.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_TEST_TALK_H
#define SQUEAL_CACHE_SERVER_PROTO_TEST_TALK_H

#include <stdio.h>
#include <stdlib.h>

#include "cache-server/proto/session.h"
#include "lib/core/clock.h"

struct talk {
	struct clock_fake clock;
	struct quiesce *quiesce;
	struct quiesce_thread *q;
	struct cache *cache;
	struct cache_thread *t;
	struct session_limits limits;
	struct session_host host;
	struct out out;
	struct session session;
	struct buf in;	    /* not taken yet */
	struct buf replies; /* all since talk_clear() */
	bool closed, watching;
	bool may_dump;	/* what the host answers */
	unsigned level; /* what it was told */
	bool shutdown, graceful;
	uint64_t memory;
	unsigned notes;
	unsigned feeds;
};

static bool
talk_stats(void *arg, struct cache *c, struct span what, session_emit_fn *emit, void *emit_arg)
{
	if (span_is(what, "detail dump")) {
		emit(emit_arg, SPAN_LIT("PREFIX foo get 1 hit 1 set 1 del 0"), SPAN_LIT(""));
		return true;
	}
	if (what.len == 0 || span_is(what, "reset") || span_is(what, "detail on") ||
	    span_is(what, "detail off")) {
		emit(emit_arg, SPAN_LIT("pid"), SPAN_LIT("7"));
		emit(emit_arg, SPAN_LIT("version"), SPAN_LIT("1.6.45"));
		return true;
	}
	return false;
}

static bool
talk_authenticate(void *arg, struct span user, struct span password)
{
	return span_is(user, "user") && span_is(password, "pass word");
}

static void
talk_verbosity(void *arg, unsigned level)
{
	((struct talk *)arg)->level = level;
}

static void
talk_shutdown(void *arg, bool graceful)
{
	((struct talk *)arg)->shutdown = true;
	((struct talk *)arg)->graceful = graceful;
}

static bool
talk_memory_limit(void *arg, struct cache *c, uint64_t bytes)
{
	((struct talk *)arg)->memory = bytes;
	return bytes < (uint64_t)1 << 40;
}

static const char *
talk_refresh(void *arg)
{
	return "";
}

static bool
talk_job(void *arg, struct cache *c, struct span command, struct out *out)
{
	if (!span_is(command, "backup here"))
		return false;
	OUT_LITERAL(out, "OK begun");
	return true;
}

static bool
talk_watch(void *arg, struct span kinds)
{
	return span_is(kinds, "fetchers") || span_is(kinds, "mutations deletions");
}

static void
talk_note(void *arg, int what, struct span key, uint64_t hash, bool hit, size_t bytes)
{
	((struct talk *)arg)->notes++;
}

static void
talk_log(void *arg, const struct session_log *l)
{
}

/* A dump of three lines, one at a time. */
struct talk_dump {
	struct session_dump dump;
	unsigned step;
};

static bool
talk_dump_step(struct session_dump *d, struct cache_thread *t, struct out *out)
{
	struct talk_dump *mine = (struct talk_dump *)d;

	if (++mine->step <= 3) {
		out_fmt(out, "key=%u\r\n", mine->step);
		return true;
	}
	OUT_LITERAL(out, "END\r\n");
	return false;
}

static void
talk_dump_free(struct session_dump *d)
{
	free(d);
}

static struct session_dump *
talk_dump(void *arg, struct cache *c, struct span command, const char **why)
{
	struct talk_dump *d;

	if (!((struct talk *)arg)->may_dump) {
		*why = "BUSY currently processing crawler request";
		return NULL;
	}
	d = calloc(1, sizeof *d);
	d->dump = (struct session_dump){talk_dump_step, talk_dump_free};
	return &d->dump;
}

static const struct session_host_ops TALK_OPS = {
    .stats = talk_stats,
    .authenticate = talk_authenticate,
    .verbosity = talk_verbosity,
    .shutdown = talk_shutdown,
    .memory_limit = talk_memory_limit,
    .refresh_certificates = talk_refresh,
    .dump = talk_dump,
    .job = talk_job,
    .watch = talk_watch,
    .note = talk_note,
    .log = talk_log,
};

/* Another connection to the same cache. */
static inline void
talk_reconnect(struct talk *f)
{
	session_fini(&f->session);
	out_fini(&f->out);
	buf_clear(&f->in);
	session_init(&f->session, f->t, &f->limits, &f->host, &f->out);
	f->closed = f->watching = false;
}

static inline void
talk_begin(struct talk *f, const struct cache_options *more)
{
	struct cache_options opt = more ? *more : (struct cache_options){0};
	struct err_detail why = {0};

	*f = (struct talk){.may_dump = true};
	clock_fake_init(&f->clock);
	f->clock.epoch_us = 1700000000ull * 1000000;
	f->limits = (struct session_limits){.text = true, .max_value = 1048576};
	f->host = (struct session_host){.ops = &TALK_OPS, .arg = f};
	opt.memory = opt.memory ? opt.memory : 16u << 20;
	opt.max_value = opt.max_value ? opt.max_value : 1048576;
	opt.threads = 1;
	opt.clock = &f->clock.clock;
	if (quiesce_create(&f->quiesce, &why) == ERR_OK) {
		opt.quiesce = f->quiesce;
		f->q = quiesce_join(f->quiesce);
	}
	if (f->q == NULL || cache_create(&f->cache, &opt, &why) != ERR_OK ||
	    (f->t = cache_join(f->cache, f->q)) == NULL) {
		fprintf(stderr, "no cache: %s\n", err_why(&why));
		abort();
	}
	quiesce_online(f->quiesce, f->q);
	cache_tick(f->t);
	out_init(&f->out);
	session_init(&f->session, f->t, &f->limits, &f->host, &f->out);
}

static inline void
talk_end(struct talk *f)
{
	session_fini(&f->session);
	out_fini(&f->out);
	buf_fini(&f->in);
	buf_fini(&f->replies);
	quiesce_offline(f->q);
	cache_leave(&f->t);
	quiesce_leave(f->quiesce, &f->q);
	cache_destroy(&f->cache, false);
	quiesce_destroy(&f->quiesce);
}

/* Collects at most `most` bytes of what is pending. */
static inline void
talk_collect(struct talk *f, size_t most)
{
	struct iovec iov[4];
	size_t taken = 0;

	while (most > taken) {
		int n = out_iov(&f->out, iov, 4);

		if (n == 0)
			break;
		for (int i = 0; i < n && most > taken; i++) {
			size_t some = iov[i].iov_len < most - taken ? iov[i].iov_len : most - taken;

			buf_put(&f->replies, iov[i].iov_base, some);
			taken += some;
		}
		out_sent(&f->out, taken);
		most -= taken;
		taken = 0;
	}
}

/* As a server does after bytes have arrived, until the session wants more of them. */
static inline void
talk_work(struct talk *f)
{
	struct session *s = &f->session;

	for (;;) {
		size_t before = f->in.len, taken;
		/* Memory of exactly that size: a look behind the end is found. */
		char *shown = malloc(before ? before : 1);

		if (before)
			memcpy(shown, f->in.p, before);
		quiesce_tick(f->quiesce, f->q);
		taken = session_feed(s, shown, before);
		free(shown);
		f->feeds++;
		if (taken > before)
			abort();
		buf_take(&f->in, taken);
		talk_collect(f, SIZE_MAX);
		switch (s->want) {
		case SESSION_READ:
			if (taken == 0 || f->in.len == 0)
				return;
			break;
		case SESSION_SINK:
			if (f->in.len > 0)
				abort();
			return;
		case SESSION_DRAIN:
		case SESSION_YIELD:
			break;
		case SESSION_WATCH:
			f->watching = true;
			return;
		default:
			f->closed = true;
			return;
		}
	}
}

static inline void
talk_say(struct talk *f, const void *p, size_t len)
{
	struct session *s = &f->session;
	const char *at = p;

	/* What a server reads straight into the store. */
	while (len > 0 && !f->closed && !f->watching && s->want == SESSION_SINK) {
		size_t n;
		char *to = session_sink(s, &n);

		n = n < len ? n : len;
		memcpy(to, at, n);
		session_sunk(s, n);
		talk_collect(f, SIZE_MAX);
		at += n;
		len -= n;
	}
	if (f->closed || f->watching || (len == 0 && at != p))
		return;
	buf_put(&f->in, at, len);
	talk_work(f);
}

static inline void
talk_clear(struct talk *f)
{
	buf_clear(&f->replies);
}

#endif
