#include "replay/send/screen.h"

bool
screen_is_due(const struct screen *s)
{
	return s->shown_ms == 0 || clock_mono_ms(s->clock) - s->shown_ms >= s->every_ms;
}

void
screen_clear(struct screen *s)
{
	if (s->bar > 0)
		fprintf(s->out, "\r%*s\r", (int)s->bar, "");
	s->bar = 0;
	fflush(s->out);
}

void
screen_progress(struct screen *s, const struct progress *p)
{
	size_t len;

	s->shown_ms = clock_mono_ms(s->clock);
	buf_clear(&s->line);
	progress_put(p, s->form, s->width, &s->line);
	len = s->line.len;
	if (s->form != PROGRESS_BAR) {
		buf_putc(&s->line, '\n');
		fwrite(s->line.p, 1, s->line.len, s->out);
	} else {
		fprintf(s->out, "\r%.*s%*s", (int)len, s->line.p, s->bar > len ? (int)(s->bar - len) : 0, "");
		s->bar = len;
	}
	fflush(s->out);
}

void
screen_text(struct screen *s, struct span text)
{
	screen_clear(s);
	fwrite(text.p, 1, text.len, s->out);
	fflush(s->out);
}

void
screen_fini(struct screen *s)
{
	screen_clear(s);
	buf_fini(&s->line);
}
