/*
 * Any statement, both modes: every key is valid, issues show few bytes, and what was found can be embedded
 * again and comes back the same, into a plain statement and into the very statement that was parsed.
 */
#include <stdlib.h>

#include "lib/core/buf.h"
#include "markers/comment.h"
#include "markers/embed.h"
#include "markers/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                          \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			abort();                                                                             \
	} while (0)

enum { MAX_KEYS = 40000 };

/* Keys in the order in which they came; bytes are copied. */
struct found {
	struct squeal_bytes keys[MAX_KEYS];
	struct squeal_bytes markers[MAX_KEYS];
	size_t nkeys;
	size_t nmarkers;
	size_t nissues;
	size_t bytes_len;
	char bytes[4 << 20];
};

static void
add(struct found *f, struct squeal_bytes *list, size_t *n, struct span key)
{
	CHECK(key_fault(key) == KEY_OK);
	if (*n == MAX_KEYS || f->bytes_len + key.len > sizeof(f->bytes))
		return;
	memcpy(f->bytes + f->bytes_len, key.p, key.len);
	list[(*n)++] = (struct squeal_bytes){f->bytes + f->bytes_len, key.len};
	f->bytes_len += key.len;
}

static void
check_group(const struct comment_group *group)
{
	CHECK(group->pool.len == 0 || key_fault(group->pool) == KEY_OK);
}

static err_t
on_key(void *arg, struct span key, const struct comment_group *group)
{
	struct found *f = arg;

	check_group(group);
	add(f, f->keys, &f->nkeys, key);
	return ERR_OK;
}

static err_t
on_marker(void *arg, struct span key, const struct comment_group *group)
{
	struct found *f = arg;

	check_group(group);
	add(f, f->markers, &f->nmarkers, key);
	return ERR_OK;
}

static void
on_issue(void *arg, const struct comment_issue *issue)
{
	struct found *f = arg;

	CHECK(issue->reason < COMMENT_NREASONS);
	CHECK(issue->excerpt.len <= COMMENT_SHOWN);
	f->nissues++;
}

static void
parse(struct span sql, bool anywhere, unsigned sql_mode, struct found *f)
{
	static const struct comment_ops ops = {on_key, on_marker, on_issue};
	struct comment_parser parser;
	struct comment_counts counts;

	f->nkeys = f->nmarkers = f->nissues = f->bytes_len = 0;
	CHECK(comment_parser_init(&parser, SPAN_LIT("inv"), anywhere, NULL) == ERR_OK);
	CHECK(comment_parse(&parser, sql, sql_mode, &ops, f, &counts) == ERR_OK);
	CHECK(counts.keys == f->nkeys || f->nkeys == MAX_KEYS);
	CHECK(counts.issues == f->nissues);
}

static void
check_same(const struct squeal_bytes *got, const struct squeal_bytes *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(got[i].len == want[i].len && memcmp(got[i].p, want[i].p, want[i].len) == 0);
}

/* Embeds the keys of `want` into `sql`, parses that into `got` and returns false where embedding is refused.
 */
static bool
embed_and_parse(struct span sql, const struct found *want, bool leading, bool anywhere, struct found *got)
{
	struct squeal_keys keys = {
	    .keys = want->keys, .nkeys = want->nkeys, .markers = want->markers, .nmarkers = want->nmarkers};
	struct embed e = {.sql = sql, .keys = &keys, .leading = leading};
	enum squeal_error err;
	size_t len;
	char *out;

	CHECK(pair_tag_init(&e.tag, SPAN_LIT("inv")));
	err = embed_check(&e);
	CHECK(err == SQUEAL_OK || err == SQUEAL_E_SQL_EMPTY || err == SQUEAL_E_SQL_OPEN);
	if (err != SQUEAL_OK)
		return false;
	len = embed_write(&e, NULL, 0);
	out = malloc(len);
	CHECK(out != NULL || len == 0);
	CHECK(embed_write(&e, out, len) == len);
	parse(span_make(out, len), anywhere, 0, got);
	free(out);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct found anchored, anywhere, again;
	struct span sql = span_make(data, size);

	parse(sql, false, 0, &anchored);
	parse(sql, true, (unsigned)(size & 3), &anywhere);
	CHECK(anywhere.nkeys >= anchored.nkeys && anywhere.nmarkers >= anchored.nmarkers);

	/* Into a plain statement: exactly the same. */
	CHECK(embed_and_parse(SPAN_LIT("UPDATE t SET a=1;"), &anywhere, size & 1, false, &again));
	CHECK(again.nkeys == anywhere.nkeys && again.nmarkers == anywhere.nmarkers && again.nissues == 0);
	check_same(again.keys, anywhere.keys, anywhere.nkeys);
	check_same(again.markers, anywhere.markers, anywhere.nmarkers);

	/* Into the statement itself: they are there twice, and nothing else has become a key. */
	if (anchored.nkeys + anchored.nmarkers > 0 && embed_and_parse(sql, &anchored, false, false, &again)) {
		CHECK(again.nkeys == 2 * anchored.nkeys || again.nkeys == MAX_KEYS);
		CHECK(again.nmarkers == 2 * anchored.nmarkers || again.nmarkers == MAX_KEYS);
	}
	if (embed_and_parse(sql, &anchored, true, false, &again))
		CHECK(again.nkeys >= anchored.nkeys);
	/* A foreign key into it: found last, whatever the statement looks like. */
	anywhere.keys[0] = (struct squeal_bytes){"user:42", 7};
	anywhere.nkeys = 1;
	anywhere.nmarkers = 0;
	if (embed_and_parse(sql, &anywhere, false, false, &again)) {
		CHECK(again.nkeys == anchored.nkeys + 1 || again.nkeys == MAX_KEYS);
		CHECK(again.nmarkers == anchored.nmarkers);
	}
	return 0;
}
