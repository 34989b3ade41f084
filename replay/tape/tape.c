#include "replay/tape/tape.h"

#include "markers/key.h"

bool
tape_mark_same(const struct tape_mark *a, const struct tape_mark *b)
{
	return a->at == b->at && a->part == b->part && span_eq(a->file, b->file);
}

void
tape_mark_format(const struct tape_mark *m, struct buf *out)
{
	buf_put_span(out, m->file);
	buf_putc(out, ':');
	buf_put_u64(out, m->at);
	if (m->part > 0) {
		buf_putc(out, '/');
		buf_put_u64(out, m->part);
	}
}

bool
tape_mark_parse(struct span text, struct tape_mark *out)
{
	size_t colon = text.len;
	struct span at, part;
	uint64_t number = 0;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return false;
	*out = (struct tape_mark){.file = span_first(text, colon - 1)};
	part = span_from(text, colon);
	at = span_cut(&part, '/');
	if (!span_u64(at, &out->at))
		return false;
	if (at.len + colon < text.len && (!span_u64(part, &number) || number == 0 || number > UINT32_MAX))
		return false;
	out->part = (uint32_t)number;
	return true;
}

err_t
tape_run(struct tape *t, const struct tape_mark *from, const struct tape_sink *sink, struct err_detail *why)
{
	t->counts = (struct tape_counts){0};
	atomic_store(&t->done, 0);
	return t->ops->run(t, from, sink, why);
}

void
tape_stop(struct tape *t)
{
	atomic_store(&t->stopping, true);
	if (t->ops->stop != NULL)
		t->ops->stop(t);
}

void
tape_destroy(struct tape **t)
{
	if (*t != NULL)
		(*t)->ops->destroy(*t);
	*t = NULL;
}

bool
tape_give_key(struct tape *t, const struct tape_sink *sink, struct span key)
{
	if (key_fault(key) != KEY_OK) {
		t->counts.bad_keys++;
		return true;
	}
	return sink->key(sink->arg, key);
}
