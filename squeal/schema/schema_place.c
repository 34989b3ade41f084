#include "squeal/schema/schema_place.h"

/* "mysql-bin.000007" into its name and 7.  False when it is no such name. */
static bool
split_file(struct span file, struct span *base, uint64_t *number)
{
	size_t dot = file.len;

	while (dot > 0 && file.p[dot - 1] != '.')
		dot--;
	*base = span_first(file, dot);
	return dot > 0 && span_u64(span_from(file, dot), number);
}

/* Whether file a at pa is not behind file b at pb. */
static enum schema_answer
not_behind(struct span a, uint64_t pa, struct span b, uint64_t pb)
{
	struct span base_a, base_b;
	uint64_t na, nb;

	if (a.len == 0 || b.len == 0 || !split_file(a, &base_a, &na) || !split_file(b, &base_b, &nb) ||
	    !span_eq(base_a, base_b))
		return SCHEMA_UNKNOWN;
	return na < nb || (na == nb && pa <= pb) ? SCHEMA_YES : SCHEMA_NO;
}

enum schema_answer
schema_place_has(const struct position *p, const struct schema_place *t)
{
	const struct gtid *last;

	switch (p->kind) {
	case POSITION_EMPTY:
		return t->gtid.kind == GTID_NONE ? SCHEMA_UNKNOWN : SCHEMA_NO;
	case POSITION_MARIADB:
		if (t->gtid.kind != GTID_MARIADB)
			return SCHEMA_UNKNOWN;
		last = gtid_pos_find(&p->mariadb, t->gtid.domain);
		return last != NULL && last->seq >= t->gtid.seq ? SCHEMA_YES : SCHEMA_NO;
	case POSITION_MYSQL:
		if (t->gtid.kind != GTID_MYSQL)
			return SCHEMA_UNKNOWN;
		return gtid_set_has(&p->mysql, &t->gtid) ? SCHEMA_YES : SCHEMA_NO;
	case POSITION_FILE:
		return not_behind(buf_span(&t->file), t->pos, buf_span(&p->file), p->pos);
	}
	return SCHEMA_UNKNOWN;
}

bool
schema_place_covers(const struct position *p, const struct position *part)
{
	if (part->kind == POSITION_EMPTY)
		return true;
	if (p->kind != part->kind)
		return false;
	switch (p->kind) {
	case POSITION_MARIADB:
		for (size_t i = 0; i < part->mariadb.n; i++) {
			const struct gtid *last = gtid_pos_find(&p->mariadb, part->mariadb.ids[i].domain);

			if (last == NULL || last->seq < part->mariadb.ids[i].seq)
				return false;
		}
		return true;
	case POSITION_MYSQL:
		return gtid_set_covers(&p->mysql, &part->mysql);
	case POSITION_FILE:
		return not_behind(buf_span(&part->file), part->pos, buf_span(&p->file), p->pos) == SCHEMA_YES;
	default:
		return false;
	}
}

void
schema_place_format(const struct schema_place *t, struct buf *out)
{
	if (t->gtid.kind != GTID_NONE)
		gtid_format(&t->gtid, out);
	else
		buf_printf(out, "%.*s:%llu", SPAN_FMT(buf_span(&t->file)), (unsigned long long)t->pos);
}

void
schema_place_show(const struct position *p, struct buf *out)
{
	struct buf text = BUF_INIT;

	position_format(p, &text);
	buf_put_span(out, span_first(buf_span(&text), 80));
	if (text.len > 80)
		buf_put_str(out, "...");
	buf_fini(&text);
}
