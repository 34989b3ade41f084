#include "squeal/binlog/position.h"

#include <stdlib.h>

#include "lib/core/mem.h"

void
position_fini(struct position *p)
{
	gtid_pos_fini(&p->mariadb);
	gtid_set_fini(&p->mysql);
	buf_fini(&p->file);
	buf_fini(&p->uuid);
	*p = (struct position){0};
}

void
position_clear(struct position *p)
{
	p->kind = POSITION_EMPTY;
	gtid_pos_clear(&p->mariadb);
	gtid_set_clear(&p->mysql);
	buf_clear(&p->file);
	buf_clear(&p->uuid);
	p->pos = 0;
}

void
position_copy(struct position *to, const struct position *from)
{
	if (to == from)
		return;
	position_clear(to);
	to->kind = from->kind;
	gtid_pos_copy(&to->mariadb, &from->mariadb);
	gtid_set_copy(&to->mysql, &from->mysql);
	buf_put_span(&to->file, buf_span(&from->file));
	buf_put_span(&to->uuid, buf_span(&from->uuid));
	to->pos = from->pos;
}

static bool
same_mariadb(const struct gtid_pos *a, const struct gtid_pos *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (!gtid_same(&a->ids[i], &b->ids[i]))
			return false;
	}
	return true;
}

bool
position_same(const struct position *a, const struct position *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case POSITION_EMPTY:
		return true;
	case POSITION_MARIADB:
		return same_mariadb(&a->mariadb, &b->mariadb);
	case POSITION_MYSQL:
		return gtid_set_same(&a->mysql, &b->mysql);
	case POSITION_FILE:
		return a->pos == b->pos && span_eq(buf_span(&a->file), buf_span(&b->file)) &&
		       span_eq(buf_span(&a->uuid), buf_span(&b->uuid));
	}
	return false;
}

void
position_move(struct position *p, struct span file, uint64_t pos)
{
	if (p->kind != POSITION_FILE || pos == 0)
		return;
	if (file.len > 0 && !span_eq(buf_span(&p->file), file)) {
		buf_clear(&p->file);
		buf_put_span(&p->file, file);
	}
	p->pos = pos;
}

void
position_advance(struct position *p, const struct gtid *gtid, struct span file, uint64_t pos)
{
	if (p->kind == POSITION_EMPTY)
		p->kind = gtid->kind == GTID_MARIADB ? POSITION_MARIADB
			  : gtid->kind == GTID_MYSQL ? POSITION_MYSQL
						     : POSITION_EMPTY;
	switch (p->kind) {
	case POSITION_EMPTY:
		break;
	case POSITION_MARIADB:
		gtid_pos_advance(&p->mariadb, gtid);
		break;
	case POSITION_MYSQL:
		gtid_set_add(&p->mysql, gtid);
		break;
	case POSITION_FILE:
		position_move(p, file, pos);
		break;
	}
}

/* --- text -------------------------------------------------------------------------------------------------
 */

void
position_format(const struct position *p, struct buf *out)
{
	if (p->kind != POSITION_FILE) {
		buf_put_str(out, "gtid:");
		if (p->kind == POSITION_MARIADB)
			gtid_pos_format(&p->mariadb, out);
		if (p->kind == POSITION_MYSQL)
			gtid_set_format(&p->mysql, out);
		return;
	}
	buf_put_str(out, "file:");
	buf_put_span(out, buf_span(&p->file));
	buf_putc(out, ':');
	buf_put_u64(out, p->pos);
	if (p->uuid.len > 0) {
		buf_putc(out, '@');
		buf_put_span(out, buf_span(&p->uuid));
	}
}

/* Offset of the last `c`; -1 when there is none. */
static ptrdiff_t
find_last(struct span s, char c)
{
	const char *at = s.len > 0 ? memrchr(s.p, c, s.len) : NULL;

	return at != NULL ? at - s.p : -1;
}

/* A name that a server can have written: no path, nothing that needs quoting in SQL. */
static bool
is_file_name(struct span name)
{
	if (name.len == 0 || name.len > POSITION_FILE_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < ' ' || c == 0x7f || c == '\'' || c == '"' || c == '\\' || c == '/')
			return false;
	}
	return true;
}

static err_t
parse_file(struct span text, struct position *out, struct err_detail *why)
{
	struct span rest = text, uuid = {"", 0};
	struct gtid name = {0};
	ptrdiff_t at = find_last(rest, '@');
	ptrdiff_t colon;
	uint64_t pos;

	if (at >= 0 && gtid_parse_uuid(span_from(rest, (size_t)at + 1), &name)) {
		uuid = span_from(rest, (size_t)at + 1);
		rest = span_first(rest, (size_t)at);
	}
	colon = find_last(rest, ':');
	if (colon < 0 || !is_file_name(span_first(rest, (size_t)colon)) ||
	    !span_u64(span_from(rest, (size_t)colon + 1), &pos) || pos < 4)
		return err_set(why, ERR_USAGE,
			       "\"%.*s\" is no place in a binlog: write file:NAME:OFFSET, as in "
			       "file:mysql-bin.000007:4",
			       SPAN_FMT(span_first(text, 200)));
	position_clear(out);
	out->kind = POSITION_FILE;
	buf_put_span(&out->file, span_first(rest, (size_t)colon));
	out->pos = pos;
	if (uuid.len > 0)
		gtid_format_uuid(&name, &out->uuid);
	return ERR_OK;
}

err_t
position_parse(struct span text, struct position *out, struct err_detail *why)
{
	struct gtid_pos mariadb = {0};
	struct gtid_set mysql = {0};
	err_t err;

	text = span_trim(text);
	if (span_starts(text, SPAN_LIT("file:")))
		return parse_file(span_from(text, 5), out, why);
	if (span_starts(text, SPAN_LIT("gtid:")))
		text = span_trim(span_from(text, 5));
	/* Only MySQL's ids have colons. */
	if (span_find(text, SPAN_LIT(":")) >= 0)
		err = gtid_set_parse(text, &mysql, why);
	else
		err = gtid_pos_parse(text, &mariadb, why);
	if (err == ERR_OK) {
		position_clear(out);
		out->kind = mysql.n > 0 ? POSITION_MYSQL : mariadb.n > 0 ? POSITION_MARIADB : POSITION_EMPTY;
		gtid_pos_copy(&out->mariadb, &mariadb);
		gtid_set_copy(&out->mysql, &mysql);
	}
	gtid_pos_fini(&mariadb);
	gtid_set_fini(&mysql);
	return err;
}
