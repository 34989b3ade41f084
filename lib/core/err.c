#include "lib/core/err.h"

#include <stdio.h>
#include <string.h>

struct err_row {
	const char *name;
	enum err_action action;
	const char *text;
};

static const struct err_row err_rows[] = {
#define ERR_ROW(name, action, text) [name] = {#name, action, text},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

static const struct err_row *
row_of(err_t err)
{
	static const struct err_row unknown = {"ERR_?", ERR_DO_STOP, "unknown error"};

	if ((unsigned)err >= sizeof(err_rows) / sizeof(err_rows[0]))
		return &unknown;
	return &err_rows[err];
}

const char *
err_name(err_t err)
{
	return row_of(err)->name;
}

const char *
err_text(err_t err)
{
	return row_of(err)->text;
}

enum err_action
err_action(err_t err)
{
	return row_of(err)->action;
}

err_t
err_set(struct err_detail *why, err_t err, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL || why->code != ERR_OK)
		return err;
	why->code = err;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}

void
err_wrap(struct err_detail *why, const char *fmt, ...)
{
	char old[sizeof(why->text)];
	va_list ap;
	int n;

	if (why == NULL)
		return;
	memcpy(old, why->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(why->text))
		return;
	snprintf(why->text + n, sizeof(why->text) - (size_t)n, ": %s", old);
}

void
err_one_line(struct err_detail *why)
{
	for (char *c = why != NULL ? why->text : NULL; c != NULL && *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
}

const char *
err_why(const struct err_detail *why)
{
	return why->text[0] != '\0' ? why->text : err_text(why->code);
}
