#include "replay/command/console.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/core/json.h"

enum { BAR_EVERY_MS = 200, NO_TERMINAL_WIDTH = 80 };

/* A line of the log must not stand behind the bar. */
static void
log_line(void *arg, enum log_level level, struct span line)
{
	const struct console *c = arg;

	(void)level;
	fprintf(stderr, "%s%.*s", c->is_terminal ? "\r\033[K" : "", SPAN_FMT(line));
}

void
console_open(struct console *c, const struct clock *clock, bool json, uint64_t every_ms, bool every_given)
{
	struct winsize size;

	*c = (struct console){.json = json, .is_terminal = !json && isatty(STDOUT_FILENO)};
	c->screen = (struct screen){
	    .out = stdout,
	    .clock = clock,
	    .form = json	     ? PROGRESS_JSON
		    : c->is_terminal ? PROGRESS_BAR
				     : PROGRESS_LINE,
	    .width = NO_TERMINAL_WIDTH,
	    .every_ms = c->is_terminal && !every_given ? BAR_EVERY_MS : every_ms,
	};
	if (c->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
		c->screen.width = size.ws_col - 1;
	c->log = log_create("replay", LOG_NOTICE, clock, log_line, c);
}

void
console_close(struct console *c)
{
	screen_fini(&c->screen);
	log_destroy(&c->log);
	buf_fini(&c->text);
}

void
console_say(struct console *c)
{
	screen_text(&c->screen, buf_span(&c->text));
	buf_clear(&c->text);
}

void
console_line(struct console *c, const char *fmt, ...)
{
	va_list ap;

	if (c->json)
		return;
	va_start(ap, fmt);
	buf_clear(&c->text);
	buf_vprintf(&c->text, fmt, ap);
	va_end(ap);
	buf_putc(&c->text, '\n');
	console_say(c);
}

void
console_error(struct console *c, const struct err_detail *why, bool is_usage)
{
	struct json j;

	screen_clear(&c->screen);
	fprintf(stderr, "squeal-replay: %s%s\n", err_why(why),
		is_usage ? "; squeal-replay --help shows how" : "");
	if (!c->json)
		return;
	buf_clear(&c->text);
	json_init(&j, &c->text);
	json_object(&j);
	json_kv_str(&j, "event", "error");
	json_kv_str(&j, "code", err_name(why->code));
	json_kv_str(&j, "why", err_why(why));
	json_object_end(&j);
	buf_putc(&c->text, '\n');
	console_say(c);
}
