#include "squeal/sources.h"

#include <stdlib.h>

#include "lib/core/json.h"
#include "lib/core/mem.h"

enum { WORD_MAX = 16 };

struct sources {
	struct buf text;
	uint64_t at;
	uint64_t statement;
	char kind[WORD_MAX + 1]; /* of the statement, in small letters */
	enum binlog_action action;
	const struct table *table; /* of the row event */
};

struct sources *
sources_create(void)
{
	return MEM_NEW(struct sources);
}

void
sources_destroy(struct sources **s)
{
	if (*s == NULL)
		return;
	buf_fini(&(*s)->text);
	free(*s);
	*s = NULL;
}

void
sources_enter_event(struct sources *s, uint64_t at)
{
	s->at = at;
}

void
sources_clear(struct sources *s)
{
	buf_clear(&s->text);
	s->statement = 0;
	s->kind[0] = '\0';
}

/* The first word, behind comments. */
void
sources_enter_statement(struct sources *s, struct span sql)
{
	size_t n = 0;

	s->statement++;
	sql = span_trim(sql);
	while (span_starts(sql, SPAN_LIT("/*")) && span_find(sql, SPAN_LIT("*/")) >= 0)
		sql = span_trim(span_from(sql, (size_t)span_find(sql, SPAN_LIT("*/")) + 2));
	while (n < sql.len && n < WORD_MAX && (sql.p[n] | 0x20) >= 'a' && (sql.p[n] | 0x20) <= 'z') {
		s->kind[n] = (char)(sql.p[n] | 0x20);
		n++;
	}
	s->kind[n] = '\0';
}

void
sources_enter_rows(struct sources *s, const struct binlog_event *ev, const struct table *t)
{
	s->action = ev->u.rows.action;
	s->table = t;
}

static void
begin(struct sources *s, struct json *j, struct span key, const char *from)
{
	if (s->text.len > 0)
		buf_putc(&s->text, ',');
	json_init(j, &s->text);
	json_object(j);
	json_kv_span(j, "key", key);
	json_kv_str(j, "from", from);
}

static void
end(struct sources *s, struct json *j)
{
	json_kv_u64(j, "statement", s->statement);
	if (s->kind[0] != '\0')
		json_kv_str(j, "kind", s->kind);
	json_kv_u64(j, "at", s->at);
	json_object_end(j);
}

void
sources_add_comment(struct sources *s, struct span key, bool is_marker)
{
	struct json j;

	begin(s, &j, key, "comment");
	if (is_marker)
		json_kv_bool(&j, "marker", true);
	end(s, &j);
}

void
sources_add_rule(struct sources *s, struct span key, const struct rule_group *group)
{
	static const char *const changes[] = {
	    [BINLOG_INSERT] = "insert", [BINLOG_UPDATE] = "update", [BINLOG_DELETE] = "delete"};
	struct buf name = BUF_INIT;
	struct json j;

	buf_put_span(&name, s->table->db);
	buf_putc(&name, '.');
	buf_put_span(&name, s->table->name);
	begin(s, &j, key, "rule");
	json_kv_span(&j, "rule", group->rule);
	json_kv_span(&j, "template", group->template);
	json_kv_span(&j, "table", buf_span(&name));
	json_kv_str(&j, "change", changes[s->action]);
	end(s, &j);
	buf_fini(&name);
}

size_t
sources_mark(const struct sources *s)
{
	return s->text.len;
}

void
sources_rollback(struct sources *s, size_t mark)
{
	if (mark < s->text.len)
		s->text.len = mark;
}

struct span
sources_text(const struct sources *s)
{
	return buf_span(&s->text);
}
