#include "replay/plan/select.h"

#include <stdlib.h>

#include "lib/core/hash.h"
#include "lib/core/mem.h"

struct select {
	struct select_options opt;
	struct distinct *seen;	/* by key, pool and hold-off; forgets; NULL: repeats are sent */
	struct distinct *count; /* by key, an estimate */
	/* With one pool and hold-off, as almost always, `seen` has the number too, and exactly. */
	uint64_t first_context;
	bool has_contexts;
	struct targets_answer to;
	struct select_place from;
	struct buf from_file, from_gtid;
	bool has_from, is_skipping;

	/* the transaction, and its place */
	struct buf file, gtid, pool;
	struct select_place place;
	struct select_place txn; /* of the one under way; `place` follows key by key */
	uint32_t holdoff_ms;
	bool has_txn_counted;
	uint64_t context; /* hash of pool and hold-off */

	uint64_t before, keys, sent, txns, first_us, last_us;
	struct err_detail why;
};

struct select *
select_create(const struct select_options *opt)
{
	struct select *s = MEM_NEW(struct select);

	s->opt = *opt;
	s->seen = opt->remember > 0 ? distinct_create(opt->remember) : NULL;
	s->count = distinct_create(0);
	if (opt->from != NULL) {
		s->from = *opt->from;
		buf_put_span(&s->from_file, opt->from->mark.file);
		buf_put_span(&s->from_gtid, opt->from->gtid);
		s->from.mark.file = buf_span(&s->from_file);
		s->from.gtid = buf_span(&s->from_gtid);
		s->has_from = s->is_skipping = true;
		s->before = opt->from->keys;
	}
	return s;
}

void
select_destroy(struct select **sp)
{
	struct select *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	distinct_destroy(&s->seen);
	distinct_destroy(&s->count);
	targets_answer_fini(&s->to);
	buf_fini(&s->from_file);
	buf_fini(&s->from_gtid);
	buf_fini(&s->file);
	buf_fini(&s->gtid);
	buf_fini(&s->pool);
	free(s);
}

static void
set(struct buf *b, struct span s)
{
	buf_clear(b);
	buf_put_span(b, s);
}

static bool
is_over(const struct select *s)
{
	return s->opt.until_keys > 0 && s->before + s->keys >= s->opt.until_keys;
}

static enum tape_answer
on_txn(void *arg, const struct tape_txn *t)
{
	struct select *s = arg;

	if (is_over(s))
		return TAPE_STOP;
	if (!s->has_from)
		s->is_skipping = false;
	/* The first one that comes is the one where the last run ended, which may be done in part. */
	if (s->has_from && !span_eq(t->gtid, s->from.gtid)) {
		err_set(&s->why, ERR_NOT_FOUND,
			"where the job stopped there was transaction %.*s, and now there is %.*s: this is "
			"not what "
			"the plan was made from; make a new plan",
			SPAN_FMT(s->from.gtid), SPAN_FMT(t->gtid));
		return TAPE_STOP;
	}
	s->has_from = false;
	if (!filter_txn(s->opt.filter, t)) {
		s->is_skipping = false;
		return TAPE_SKIP;
	}
	/* Lists have a transaction per key: what stays the same is not copied again. */
	if (!span_eq(buf_span(&s->file), t->mark.file))
		set(&s->file, t->mark.file);
	set(&s->gtid, t->gtid);
	set(&s->pool, t->pool);
	s->txn = (struct select_place){.mark = t->mark, .commit_us = t->commit_us};
	s->txn.mark.file = buf_span(&s->file);
	s->txn.gtid = buf_span(&s->gtid);
	s->holdoff_ms = t->holdoff_ms;
	s->context = hash_span(t->pool, s->opt.seed + t->holdoff_ms);
	if (s->first_context == 0)
		s->first_context = s->context;
	s->has_contexts = s->has_contexts || s->context != s->first_context;
	s->has_txn_counted = false;
	return TAPE_TAKE;
}

static void
count_txn(struct select *s)
{
	uint64_t us = s->txn.commit_us;

	s->has_txn_counted = true;
	s->txns++;
	if (us == 0)
		return;
	if (s->first_us == 0 || us < s->first_us)
		s->first_us = us;
	if (us > s->last_us)
		s->last_us = us;
}

static bool
on_key(void *arg, struct span key)
{
	struct select *s = arg;
	struct distinct_hash h;
	bool is_new;

	if (is_over(s))
		return false;
	s->txn.keys_in++;
	if (s->is_skipping) {
		if (s->txn.keys_in <= s->from.keys_in)
			return true;
		s->is_skipping = false;
	}
	if (!filter_key(s->opt.filter, key))
		return true;
	if (!s->has_txn_counted)
		count_txn(s);
	s->keys++;
	s->place = s->txn;
	s->place.keys = s->before + s->keys;
	h = (struct distinct_hash){hash_span(key, s->opt.seed), hash_span(key, ~s->opt.seed)};
	distinct_add(s->count, h);
	h.a ^= s->context;
	h.b += s->context;
	is_new = s->seen == NULL || distinct_add(s->seen, h);
	if (!is_new) {
		s->to.n = 0;
		return s->opt.key(s->opt.arg, key, &s->to);
	}
	s->sent++;
	targets_route(s->opt.targets, key, buf_span(&s->pool), s->holdoff_ms, &s->to);
	return s->opt.key(s->opt.arg, key, &s->to);
}

err_t
select_run(struct select *s, struct tape *tape, struct err_detail *why)
{
	const struct tape_sink sink = {on_txn, on_key, s};
	err_t err = tape_run(tape, s->has_from ? &s->from.mark : NULL, &sink, why);

	if (s->why.code != ERR_OK)
		return err_set(why, s->why.code, "%s", err_why(&s->why));
	return err;
}

const struct select_place *
select_place(const struct select *s)
{
	return &s->place;
}

uint64_t
select_keys(const struct select *s)
{
	return s->keys;
}

uint64_t
select_sent_keys(const struct select *s)
{
	return s->sent;
}

bool
select_distinct_is_exact(const struct select *s)
{
	return s->seen != NULL && !s->has_contexts && distinct_is_exact(s->seen);
}

uint64_t
select_distinct(const struct select *s)
{
	return distinct_count(select_distinct_is_exact(s) ? s->seen : s->count);
}

uint64_t
select_txns(const struct select *s)
{
	return s->txns;
}

uint64_t
select_first_us(const struct select *s)
{
	return s->first_us;
}

uint64_t
select_last_us(const struct select *s)
{
	return s->last_us;
}
