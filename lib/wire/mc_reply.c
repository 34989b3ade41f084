#include "lib/wire/mc_reply.h"

/* What may follow the first word: nothing; nothing or a space and flags; nothing or a space and any text. */
enum rest { NOTHING, FLAGS, TEXT };

struct reply_row {
	enum mc_reply_kind kind;
	struct span word;
	enum rest rest;
};

static const struct reply_row reply_rows[] = {
#define REPLY_ROW(name, word, rest) {name, {(word), sizeof(word) - 1}, rest},
    MC_REPLY_TABLE(REPLY_ROW)
#undef REPLY_ROW
};

enum { REPLY_NROWS = sizeof(reply_rows) / sizeof(reply_rows[0]) };

static err_t
refuse(struct span in, const char *what, struct err_detail *why)
{
	char shown[64];
	size_t n = 0;

	for (; n < in.len && n < sizeof(shown) - 1 && in.p[n] != '\r' && in.p[n] != '\n'; n++)
		shown[n] = in.p[n] > 0x20 && in.p[n] < 0x7f ? in.p[n] : in.p[n] == ' ' ? ' ' : '?';
	shown[n] = '\0';
	return err_set(why, ERR_PROTOCOL, "%s: \"%s\"; check that host and port are those of a memcached",
		       what, shown);
}

/* The row whose word is the line's first, NULL when there is none; *maybe when more bytes could still make it
 * one. */
static const struct reply_row *
row_of(struct span in, bool *maybe)
{
	size_t n = 0;

	*maybe = false;
	while (n < in.len && in.p[n] != ' ' && in.p[n] != '\r' && in.p[n] != '\n')
		n++;
	for (size_t i = 0; i < REPLY_NROWS; i++) {
		const struct reply_row *row = &reply_rows[i];

		if (n < in.len && span_eq(span_first(in, n), row->word))
			return row;
		if (n == in.len && span_starts(row->word, in))
			*maybe = true;
	}
	return NULL;
}

enum { QUICK_LEN = 4 };

/* The answers to nearly every delete are a word of two letters and the line's end: those are told by one
 * look; MC_REPLY_MORE when it is something else. */
static enum mc_reply_kind
quick_kind(struct span in)
{
	if (in.len < QUICK_LEN)
		return MC_REPLY_MORE;
	if (memcmp(in.p, "NF\r\n", QUICK_LEN) == 0)
		return MC_REPLY_NF;
	if (memcmp(in.p, "HD\r\n", QUICK_LEN) == 0)
		return MC_REPLY_HD;
	if (memcmp(in.p, "MN\r\n", QUICK_LEN) == 0)
		return MC_REPLY_MN;
	return MC_REPLY_MORE;
}

err_t
mc_reply_parse(struct span in, struct mc_reply *reply, struct err_detail *why)
{
	struct span line = span_first(in, MC_REPLY_LINE_MAX);
	const struct reply_row *row;
	const char *end, *nul;
	struct span rest;
	bool maybe;

	*reply = (struct mc_reply){.kind = MC_REPLY_MORE, .text = {"", 0}};
	if (in.len == 0)
		return ERR_OK;
	reply->kind = quick_kind(in);
	if (reply->kind != MC_REPLY_MORE) {
		reply->used = QUICK_LEN;
		return ERR_OK;
	}
	row = row_of(line, &maybe);
	if (row == NULL)
		return maybe ? ERR_OK : refuse(in, "the server sent what is no reply to a delete", why);
	end = memchr(line.p, '\n', line.len);
	nul = memchr(line.p, '\0', end != NULL ? (size_t)(end - line.p) : line.len);
	if (nul != NULL)
		return refuse(in, "the server sent a NUL in a reply", why);
	rest = span_from(line, row->word.len);
	if (row->rest == NOTHING && rest.p[0] == ' ')
		return refuse(in, "the server sent more than a reply has", why);
	if (end == NULL) {
		/* A lone CR may be the first half of the end; anything behind it is not. */
		const char *cr = memchr(rest.p, '\r', rest.len);

		if (cr != NULL && cr != line.p + line.len - 1)
			return refuse(in, "the server sent a line with a stray end", why);
		if (in.len >= MC_REPLY_LINE_MAX)
			return refuse(in, "the server sent a line without end", why);
		return ERR_OK;
	}
	rest.len = (size_t)(end - rest.p);
	if (rest.len == 0 || memchr(rest.p, '\r', rest.len) != end - 1)
		return refuse(in, "the server sent a line with a stray end", why);
	rest.len--;
	reply->kind = row->kind;
	reply->used = (size_t)(end - line.p) + 1;
	reply->text = rest.len > 0 ? span_from(rest, 1) : (struct span){"", 0};
	return ERR_OK;
}

bool
mc_reply_cas(const struct mc_reply *reply, uint64_t *cas)
{
	struct span word, rest = reply->text;
	struct span before = reply->kind == MC_REPLY_ME ? SPAN_LIT("cas=") : SPAN_LIT("c");
	bool first = true;

	if (reply->kind != MC_REPLY_HD && reply->kind != MC_REPLY_ME)
		return false;
	while (rest.len > 0) {
		const char *space = memchr(rest.p, ' ', rest.len);

		word = span_first(rest, space != NULL ? (size_t)(space - rest.p) : rest.len);
		rest = span_from(rest, word.len + 1);
		/* The first word of ME is the key, which may look like anything. */
		if (!(first && reply->kind == MC_REPLY_ME) && span_starts(word, before))
			return span_u64(span_from(word, before.len), cas);
		first = false;
	}
	return false;
}

bool
mc_reply_is_error(enum mc_reply_kind kind)
{
	return kind == MC_REPLY_ERROR || kind == MC_REPLY_CLIENT_ERROR || kind == MC_REPLY_SERVER_ERROR;
}

const char *
mc_reply_name(enum mc_reply_kind kind)
{
	for (size_t i = 0; i < REPLY_NROWS; i++) {
		if (reply_rows[i].kind == kind)
			return reply_rows[i].word.p;
	}
	return "MORE";
}
