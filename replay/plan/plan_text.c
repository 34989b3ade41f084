#include <stdlib.h>

#include "lib/core/json.h"
#include "replay/plan/plan.h"
#include "replay/plan/words.h"

/* --- what somebody should know ----------------------------------------------------------------------------
 */

static void
note(struct buf *out, uint64_t n, const char *noun, const char *rest)
{
	if (n == 0)
		return;
	words_row("note", out);
	words_count(n, noun, out);
	buf_printf(out, " %s\n", rest);
}

/* A range without anything may be a wrong one, or its hour may be gone from there. */
static void
put_emptiness(const struct plan *p, struct buf *out)
{
	if (p->txns > 0)
		return;
	words_row("note", out);
	if (p->tape.left_out == 0) {
		buf_printf(out, "there is no %s at all: was the hour trimmed or purged here?\n", p->noun);
		return;
	}
	buf_put_str(out, "none of the ");
	words_count(p->tape.left_out, p->noun, out);
	buf_put_str(out, " there is in the range");
	if (p->tape.seen_first_us != 0) {
		buf_put_str(out, "; they were committed ");
		words_moment(p->tape.seen_first_us, out);
		buf_put_str(out, " to ");
		words_moment(p->tape.seen_last_us, out);
		buf_put_str(out, " (");
		words_zone(p->tape.seen_last_us, out);
		buf_putc(out, ')');
	}
	buf_putc(out, '\n');
}

static void
put_notes(const struct plan *p, struct buf *out)
{
	put_emptiness(p, out);
	if (p->tape.begins_inside) {
		words_row("note", out);
		buf_put_str(out,
			    "nothing older than the first of these transactions was there: if the hour began "
			    "before it, look for earlier files\n");
	}
	if (p->tape.bad > 0) {
		words_row("note", out);
		words_number(p->tape.bad, out);
		buf_printf(out, " %s could not be read and are left out\n", p->unit);
	}
	note(out, p->tape.bad_keys, "key", "cannot be keys of memcached and are left out");
	note(out, p->tape.xa_unknown, "XA transaction",
	     "were prepared before the range: their keys are not in it; begin earlier");
	note(out, p->tables_unknown, "transaction",
	     "changed more than rows, so their tables are not known; they are taken");
	note(out, p->filtered_txns, "transaction", "and their keys were filtered out");
	note(out, p->filtered_keys, "key", "were filtered out");
	note(out, p->foreign, "key", "belong to another region or cluster");
	note(out, p->homeless, "key", "belong to no pool");
	note(out, p->elsewhere, "key", "go to pools or servers that were not chosen");
}

/* --- the plan ---------------------------------------------------------------------------------------------
 */

static void
put_numbers(const struct plan *p, const struct plan_words *w, struct buf *out)
{
	words_row("from", out);
	buf_printf(out, "%s\n", w->what);
	if (p->first_us != 0) {
		words_row("committed", out);
		words_moment(p->first_us, out);
		buf_put_str(out, " to ");
		words_moment(p->last_us, out);
		buf_put_str(out, " (");
		words_zone(p->last_us, out);
		buf_put_str(out, ")\n");
	}
	words_row("keys", out);
	words_number(p->keys, out);
	buf_put_str(out, " in ");
	words_count(p->txns, p->noun, out);
	buf_put_str(out, p->distinct_is_exact ? ", " : ", about ");
	words_number(p->distinct, out);
	buf_put_str(out, " of them different\n");
	words_row("deletes", out);
	words_number(p->deletes, out);
	if (p->former_deletes > 0) {
		buf_put_str(out, ", ");
		words_number(p->former_deletes, out);
		buf_put_str(out, " of them to owners by rings of before");
	}
	if (p->repeats > 0) {
		buf_put_str(out, " (a key that comes again is deleted once: ");
		words_count(p->repeats, "repeat", out);
		buf_putc(out, ')');
	}
	buf_putc(out, '\n');
}

static void
put_servers(const struct plan *p, const struct targets *t, struct buf *out)
{
	for (size_t i = 0; i < p->nservers; i++) {
		if (p->by_server[i] == 0 && !targets_server_is_chosen(t, i))
			continue;
		words_row(targets_cluster(t, targets_server_cluster(t, i))->opt.name, out);
		buf_printf(out, "%-24s ", targets_server_name(t, i));
		words_count(p->by_server[i], "delete", out);
		if (targets_server_is_old(t, i))
			buf_put_str(out, ", only by a ring of before");
		buf_putc(out, '\n');
	}
}

static void
put_costs(const struct plan *p, const struct plan_words *w, struct buf *out)
{
	words_row("duration", out);
	if (w->rate == 0) {
		buf_put_str(out, "as fast as the servers take them (--rate 0)\n");
	} else {
		buf_put_str(out, "about ");
		words_duration(plan_seconds(p, w->rate) * 1000, out);
		buf_put_str(out, " at ");
		words_count(w->rate, "delete", out);
		buf_put_str(out, " a second (--rate)\n");
	}
	words_row("database", out);
	buf_put_str(out, "at most ");
	words_count(plan_reads(p, w->hit_percent), "read", out);
	buf_printf(out, ", if the caches hold %u %% of the keys (--hit-share)\n", w->hit_percent);
}

void
plan_text(const struct plan *p, const struct targets *t, const struct plan_words *w, struct buf *out)
{
	buf_put_str(out, "plan\n");
	put_numbers(p, w, out);
	if (p->deletes > 0)
		put_servers(p, t, out);
	buf_put_str(out, w->standing);
	if (p->deletes > 0)
		put_costs(p, w, out);
	put_notes(p, out);
}

void
plan_json(const struct plan *p, const struct targets *t, const struct plan_words *w, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object(&j);
	json_kv_str(&j, "event", "plan");
	json_kv_str(&j, "from", w->what);
	json_kv_u64(&j, "transactions", p->txns);
	json_kv_u64(&j, "keys", p->keys);
	json_kv_u64(&j, "distinct", p->distinct);
	json_kv_bool(&j, "distinct_is_exact", p->distinct_is_exact);
	json_kv_u64(&j, "repeats", p->repeats);
	json_kv_u64(&j, "deletes", p->deletes);
	json_kv_u64(&j, "former_deletes", p->former_deletes);
	json_kv_u64(&j, "first_us", p->first_us);
	json_kv_u64(&j, "last_us", p->last_us);
	json_kv_u64(&j, "rate", w->rate);
	json_kv_u64(&j, "seconds", plan_seconds(p, w->rate));
	json_kv_u64(&j, "hit_percent", w->hit_percent);
	json_kv_u64(&j, "database_reads", plan_reads(p, w->hit_percent));
	json_kv_u64(&j, "max_keys", w->max_deletes);
	json_name(&j, "servers");
	json_array(&j);
	for (size_t i = 0; i < p->nservers; i++) {
		if (p->by_server[i] == 0 && !targets_server_is_chosen(t, i))
			continue;
		json_object(&j);
		json_kv_str(&j, "cluster", targets_cluster(t, targets_server_cluster(t, i))->opt.name);
		json_kv_str(&j, "server", targets_server_name(t, i));
		json_kv_u64(&j, "deletes", p->by_server[i]);
		json_kv_bool(&j, "former", targets_server_is_old(t, i));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_name(&j, "clusters");
	buf_put_str(out, w->standing_json);
	j.comma = true;
	json_kv_bool(&j, "begins_inside", p->tape.begins_inside);
	json_kv_u64(&j, "outside", p->tape.left_out);
	json_kv_u64(&j, "seen_first_us", p->tape.seen_first_us);
	json_kv_u64(&j, "seen_last_us", p->tape.seen_last_us);
	json_kv_u64(&j, "bad", p->tape.bad);
	json_kv_u64(&j, "bad_keys", p->tape.bad_keys);
	json_kv_u64(&j, "xa_unknown", p->tape.xa_unknown);
	json_kv_u64(&j, "tables_unknown", p->tables_unknown);
	json_kv_u64(&j, "filtered_transactions", p->filtered_txns);
	json_kv_u64(&j, "filtered_keys", p->filtered_keys);
	json_kv_u64(&j, "foreign", p->foreign);
	json_kv_u64(&j, "homeless", p->homeless);
	json_kv_u64(&j, "elsewhere", p->elsewhere);
	json_object_end(&j);
	buf_putc(out, '\n');
}
