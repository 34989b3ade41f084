/*
 * Any words as a command line, one in a line: settings, or one sentence.  The first byte says what the rest
 * is: words, the text of -o, or a list for -l.
 */
#include <stdlib.h>
#include <string.h>

#include "cache-server/settings/settings.h"

enum { WORDS_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(void *arg, struct span key, struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		if ((unsigned char)value.p[i] <= ' ')
			abort(); /* it would be another word or line of the protocol */
	}
	if (value.len == 0)
		abort();
}

/* What was taken must hold together. */
static void
check(const struct settings *s)
{
	struct settings_now now = settings_now(s);
	struct buf text = BUF_INIT;

	settings_stats(s, &now, use, NULL);
	if (s->action == SETTINGS_RUN && s->containers.n == 0)
		abort();
	for (size_t i = 0; i < s->containers.n; i++) {
		const struct container_settings *c = &s->containers.at[i];

		if (!c->no_address && c->tcp.n + c->udp.n == 0 && c->opt.socket[0] == '\0')
			abort();
		for (size_t j = 0; j < c->tcp.n; j++) {
			const struct listen *l = &c->tcp.at[j];

			listen_print(l, &text);
			if (l->tls == LISTEN_PLAIN && s->auth_file[0] == '\0' && !s->allow_wildcard &&
			    !listen_is_local(span_of(l->host)))
				abort();
		}
	}
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const before[] = {NULL, "-o", "-l", "--container"};
	struct err_detail why = {0};
	struct buf out = BUF_INIT;
	struct span rest;
	struct settings s;
	char *words[WORDS_MAX + 2] = {"squeal-cache"};
	int n = 1, kept = 1;
	uint8_t kind;

	if (size == 0)
		return 0;
	kind = data[0] % 4;
	rest = span_make(data + 1, size - 1);
	if (kind != 0) {
		words[n++] = (char *)before[kind];
		kept = n;
		words[n++] = span_dup(rest);
	}
	while (kind == 0 && rest.len > 0 && n < WORDS_MAX)
		words[n++] = span_dup(span_cut(&rest, '\n'));
	for (int i = kept; i < n; i++) {
		if (strncmp(words[i], "--config", 8) == 0)
			words[i][0] = 'x'; /* it would read a file */
	}
	if (settings_parse(&s, n, words, &out, &why) == ERR_OK) {
		check(&s);
		settings_fini(&s);
	} else if (why.text[0] == '\0' || strchr(why.text, '\n') != NULL) {
		abort();
	}
	buf_fini(&out);
	while (n > kept)
		free(words[--n]);
	return 0;
}
