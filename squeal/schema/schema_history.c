#include "squeal/schema/schema_history.h"

#include <stdlib.h>

#include "lib/core/mem.h"

struct schema_history *
schema_history_create(struct span db, struct span name)
{
	struct schema_history *h = MEM_NEW(struct schema_history);

	h->db = span_dup(db);
	h->name = span_dup(name);
	return h;
}

void
schema_history_destroy(struct schema_history *h)
{
	while (h->oldest != NULL) {
		struct schema_version *v = h->oldest;

		h->oldest = v->next;
		schema_version_destroy(v);
	}
	free(h->db);
	free(h->name);
	free(h);
}

void
schema_version_destroy(struct schema_version *v)
{
	schema_def_destroy(&v->def);
	position_fini(&v->from);
	position_fini(&v->asked);
	buf_fini(&v->end.file);
	free(v);
}

void
schema_history_add(struct schema_history *h, struct schema_version *v)
{
	struct schema_version **at = &h->oldest;

	while (*at != NULL)
		at = &(*at)->next;
	*at = v;
}

struct schema_version *
schema_history_find(struct schema_history *h, const struct position *at)
{
	struct schema_version *found = NULL;

	for (struct schema_version *v = h->oldest; v != NULL; v = v->next) {
		if (schema_place_covers(at, &v->from) &&
		    !(v->has_end && schema_place_has(at, &v->end) != SCHEMA_NO))
			found = v;
	}
	return found;
}

void
schema_history_write_def(const struct schema_history *h, const struct schema_version *v, struct buf *line)
{
	struct buf text = BUF_INIT;

	buf_clear(line);
	schema_word_put(line, SPAN_LIT("def"));
	schema_word_put(line, span_of(h->db));
	schema_word_put(line, span_of(h->name));
	position_format(&v->from, &text);
	schema_word_put(line, buf_span(&text));
	buf_clear(&text);
	position_format(&v->asked, &text);
	schema_word_put(line, buf_span(&text));
	schema_def_write(v->def, line);
	buf_fini(&text);
}

void
schema_history_write_end(const struct schema_history *h, const struct schema_place *end, struct buf *line)
{
	struct buf text = BUF_INIT;

	buf_clear(line);
	schema_word_put(line, SPAN_LIT("end"));
	schema_word_put(line, span_of(h->db));
	schema_word_put(line, span_of(h->name));
	gtid_format(&end->gtid, &text);
	schema_word_put(line, buf_span(&text));
	schema_word_put(line, buf_span(&end->file));
	buf_clear(&text);
	buf_put_u64(&text, end->pos);
	schema_word_put(line, buf_span(&text));
	buf_fini(&text);
}

err_t
schema_history_read_def(struct schema_history *h, struct span rest, struct err_detail *why)
{
	struct schema_version *v = MEM_NEW(struct schema_version);
	struct buf word = BUF_INIT;
	err_t err = ERR_CORRUPT;

	if (!schema_word_take(&rest, &word) || position_parse(buf_span(&word), &v->from, why) != ERR_OK ||
	    !schema_word_take(&rest, &word) || position_parse(buf_span(&word), &v->asked, why) != ERR_OK)
		goto done;
	err = schema_def_read(&v->def, rest, why);
	if (err != ERR_OK)
		goto done;
	schema_history_add(h, v);
	v = NULL;
done:
	if (v != NULL)
		schema_version_destroy(v);
	buf_fini(&word);
	return err;
}

static void
end_versions(struct schema_history *h, const struct schema_place *end)
{
	for (struct schema_version *v = h->oldest; v != NULL; v = v->next) {
		if (v->has_end || schema_place_has(&v->from, end) == SCHEMA_YES)
			continue;
		v->has_end = true;
		v->end.gtid = end->gtid;
		v->end.pos = end->pos;
		buf_put_span(&v->end.file, buf_span(&end->file));
	}
}

err_t
schema_history_read_end(struct schema_history *h, struct span rest, struct err_detail *why)
{
	struct schema_place end = {.gtid = {.kind = GTID_NONE}};
	struct buf word = BUF_INIT;
	err_t err = ERR_CORRUPT;

	if (!schema_word_take(&rest, &word))
		goto done;
	if (word.len > 0 && gtid_parse(buf_span(&word), &end.gtid, why) != ERR_OK)
		goto done;
	if (!schema_word_take(&rest, &end.file) || !schema_word_take(&rest, &word) ||
	    !span_u64(buf_span(&word), &end.pos))
		goto done;
	end_versions(h, &end);
	err = ERR_OK;
done:
	buf_fini(&word);
	buf_fini(&end.file);
	return err;
}
