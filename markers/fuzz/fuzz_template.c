/*
 * A template, a newline, a value: what is parsed and written out again is the same template, a key never
 * grows beyond its limit, and hex and url can be undone.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "markers/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
write_doubled(struct buf *out, struct span s, const char *doubled)
{
	for (size_t i = 0; i < s.len; i++) {
		if (strchr(doubled, s.p[i]) != NULL && s.p[i] != '\0')
			buf_putc(out, s.p[i]);
		buf_putc(out, s.p[i]);
	}
}

static void
write_part(struct buf *out, const struct template_part *p)
{
	static const char *const words[] = {"lower", "upper", "hex", "url", "or:"};

	if (p->source == TEMPLATE_LITERAL) {
		write_doubled(out, p->text, "{}");
		return;
	}
	buf_putc(out, '{');
	if (p->source == TEMPLATE_DB || p->source == TEMPLATE_TABLE) {
		buf_put_span(out, p->text);
	} else {
		buf_put_str(out, p->source == TEMPLATE_OLD   ? "old.`"
				 : p->source == TEMPLATE_NEW ? "new.`"
							     : "`");
		write_doubled(out, p->text, "`");
		buf_putc(out, '`');
	}
	for (size_t i = 0; i < p->nsteps; i++) {
		buf_printf(out, "|%s", words[p->steps[i].verb]);
		buf_put_span(out, p->steps[i].text);
	}
	buf_putc(out, '}');
}

static void
same_again(const struct template *t, struct arena *arena)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct template again;

	for (size_t i = 0; i < t->n; i++)
		write_part(&text, &t->parts[i]);
	/* Quotes may have made it longer than templates may be. */
	if (text.len > TEMPLATE_MAX) {
		buf_fini(&text);
		return;
	}
	if (template_parse(&again, buf_span(&text), arena, &why) != ERR_OK || again.n != t->n)
		abort();
	for (size_t i = 0; i < t->n; i++) {
		const struct template_part *a = &t->parts[i], *b = &again.parts[i];

		if (a->source != b->source || !span_eq(a->text, b->text) || a->nsteps != b->nsteps)
			abort();
		for (size_t k = 0; k < a->nsteps; k++) {
			if (a->steps[k].verb != b->steps[k].verb ||
			    !span_eq(a->steps[k].text, b->steps[k].text))
				abort();
		}
	}
	buf_fini(&text);
}

static int
digit(char c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The value through hex or url and back. */
static void
undo(enum template_verb verb, struct span value)
{
	struct template_step step = {.verb = verb};
	struct template_part part = {.source = TEMPLATE_ROW, .nsteps = 1, .steps = &step};
	struct template_out o;
	char back[KEY_MAX];
	size_t n = 0;

	template_out_clear(&o);
	if (!template_out_value(&o, &part, value, false))
		abort();
	if (o.too_long) {
		if (value.len * 3 <= KEY_MAX)
			abort();
		return;
	}
	for (size_t i = 0; i < o.len;) {
		if (verb == TEMPLATE_HEX || o.bytes[i] == '%') {
			i += verb == TEMPLATE_URL;
			back[n++] = (char)(digit(o.bytes[i]) * 16 + digit(o.bytes[i + 1]));
			i += 2;
		} else {
			back[n++] = o.bytes[i++];
		}
	}
	if (!span_eq(span_make(back, n), value) ||
	    (o.len > 0 && key_fault(span_make(o.bytes, o.len)) != KEY_OK))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT;
	struct span all = span_make(data, size);
	ptrdiff_t line = span_find(all, SPAN_LIT("\n"));
	struct span text = span_first(all, line < 0 ? size : (size_t)line),
		    value = span_from(all, text.len + 1);
	struct err_detail why = {0};
	struct template_out o;
	struct template t;

	undo(TEMPLATE_HEX, value);
	undo(TEMPLATE_URL, value);
	if (template_parse(&t, text, &arena, &why) != ERR_OK) {
		if (why.code != ERR_CONFIG || why.text[0] == '\0')
			abort();
		goto done;
	}
	same_again(&t, &arena);
	for (int null = 0; null < 2; null++) {
		template_out_clear(&o);
		for (size_t i = 0; i < t.n; i++) {
			if (t.parts[i].source == TEMPLATE_LITERAL)
				template_out_put(&o, t.parts[i].text);
			else
				template_out_value(&o, &t.parts[i], value, null != 0);
		}
		if (o.len > KEY_MAX)
			abort();
	}
done:
	arena_fini(&arena);
	return 0;
}
