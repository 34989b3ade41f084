/* Runs the public vectors, schemas/markers-vectors.json, through the parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/core/arena.h"
#include "lib/core/buf.h"
#include "markers/comment.h"
#include "markers/key.h"

struct part {
	struct span text;
	unsigned times;
};

/* `spans` said `times` times in a row. */
struct list {
	const struct span *spans;
	size_t n;
	size_t times;
};

struct vector {
	const char *name;
	bool anywhere;
	unsigned sql_mode;
	struct span tag;
	const struct part *parts;
	size_t nparts;
	struct list keys;
	struct list markers;
	struct span pool;
	uint32_t holdoff_ms;
	struct list issues; /* labels, sorted */
	size_t nlost;
};

#include "markers/vectors.h"

enum { NVECTORS = sizeof(vectors) / sizeof(vectors[0]) };

/* What came out, as lines of text, which compare and print well. */
struct seen {
	struct buf keys;
	struct buf markers;
	struct span pool;
	uint32_t holdoff_ms;
	const char *issues[64];
	size_t nissues;
	size_t nlost;
	struct arena arena;
};

static void
see_group(struct seen *seen, const struct comment_group *group)
{
	if (seen->pool.len == 0 && group->pool.len > 0)
		seen->pool = arena_copy(&seen->arena, group->pool);
	if (group->holdoff_ms > seen->holdoff_ms)
		seen->holdoff_ms = group->holdoff_ms;
}

static err_t
see_key(void *arg, struct span key, const struct comment_group *group)
{
	struct seen *seen = arg;

	assert_int_equal(key_fault(key), KEY_OK);
	buf_put_span(&seen->keys, key);
	buf_putc(&seen->keys, '\n');
	see_group(seen, group);
	return ERR_OK;
}

static err_t
see_marker(void *arg, struct span key, const struct comment_group *group)
{
	struct seen *seen = arg;

	assert_int_equal(key_fault(key), KEY_OK);
	buf_put_span(&seen->markers, key);
	buf_putc(&seen->markers, '\n');
	see_group(seen, group);
	return ERR_OK;
}

static void
see_issue(void *arg, const struct comment_issue *issue)
{
	struct seen *seen = arg;

	assert_true(issue->excerpt.len <= COMMENT_SHOWN);
	assert_true(seen->nissues < 64);
	seen->issues[seen->nissues++] = comment_reason_label(issue->reason);
	seen->nlost += comment_reason_lost(issue->reason);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
put_list(struct buf *out, const struct list *list)
{
	for (size_t t = 0; t < list->times; t++)
		for (size_t i = 0; i < list->n; i++) {
			buf_put_span(out, list->spans[i]);
			buf_putc(out, '\n');
		}
}

static void
assert_same(const struct vector *v, const char *what, struct span got, struct span want)
{
	if (!span_eq(got, want))
		fail_msg("%s (%s): %s: got \"%.*s\", want \"%.*s\"", v->name,
			 v->anywhere ? "anywhere" : "anchored", what, SPAN_FMT(got), SPAN_FMT(want));
}

static void
run(const struct vector *v)
{
	static const struct comment_ops ops = {see_key, see_marker, see_issue};
	struct seen seen = {.arena = ARENA_INIT};
	struct comment_counts counts;
	struct comment_parser parser;
	struct buf sql = BUF_INIT;
	struct buf want = BUF_INIT;
	struct buf issues = BUF_INIT;
	char *exact;

	for (size_t i = 0; i < v->nparts; i++)
		for (unsigned t = 0; t < v->parts[i].times; t++)
			buf_put_span(&sql, v->parts[i].text);
	/* A copy of the very size, so that a sanitizer sees one byte too far. */
	exact = malloc(sql.len > 0 ? sql.len : 1);
	assert_non_null(exact);
	if (sql.len > 0)
		memcpy(exact, sql.p, sql.len);
	assert_int_equal(comment_parser_init(&parser, v->tag, v->anywhere, NULL), ERR_OK);
	assert_int_equal(comment_parse(&parser, span_make(exact, sql.len), v->sql_mode, &ops, &seen, &counts),
			 ERR_OK);
	free(exact);

	put_list(&want, &v->keys);
	assert_same(v, "keys", buf_span(&seen.keys), buf_span(&want));
	buf_clear(&want);
	put_list(&want, &v->markers);
	assert_same(v, "markers", buf_span(&seen.markers), buf_span(&want));
	assert_same(v, "pool", seen.pool, v->pool);
	assert_int_equal(seen.holdoff_ms, v->holdoff_ms);
	qsort(seen.issues, seen.nissues, sizeof(seen.issues[0]), by_text);
	for (size_t i = 0; i < seen.nissues; i++) {
		buf_put_str(&issues, seen.issues[i]);
		buf_putc(&issues, '\n');
	}
	buf_clear(&want);
	put_list(&want, &v->issues);
	assert_same(v, "errors and notes", buf_span(&issues), buf_span(&want));
	assert_int_equal(seen.nlost, v->nlost);
	assert_int_equal(counts.issues, seen.nissues);
	assert_int_equal(counts.keys, v->keys.n * v->keys.times);
	assert_int_equal(counts.markers, v->markers.n);

	buf_fini(&sql);
	buf_fini(&want);
	buf_fini(&issues);
	buf_fini(&seen.keys);
	buf_fini(&seen.markers);
	arena_fini(&seen.arena);
}

/* Every vector in every mode that it is meant for. */
static void
every_public_vector_gives_what_it_says(void **state)
{
	for (size_t i = 0; i < NVECTORS; i++)
		run(&vectors[i]);
}

static void
there_are_at_least_eighty_vectors(void **state)
{
	assert_true(NVECTORS >= 80);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_public_vector_gives_what_it_says),
	    cmocka_unit_test(there_are_at_least_eighty_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
