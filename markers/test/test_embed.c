#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/core/buf.h"
#include "markers/comment.h"
#include "markers/embed.h"

enum { MANY = 64 };

/* Random keys of all legal bytes, with what they are made of. */
struct keys {
	struct squeal_keys what;
	struct squeal_bytes keys[MANY];
	struct squeal_bytes markers[MANY];
	char bytes[2 * MANY + 1][SQUEAL_KEY_MAX];
};

static struct embed
embed_of(struct span sql, const struct squeal_keys *keys)
{
	struct embed e = {.sql = sql, .keys = keys};

	assert_true(pair_tag_init(&e.tag, SPAN_LIT("inv")));
	return e;
}

/* The result in memory of the very size; the caller frees it. */
static struct span
write_exact(const struct embed *e)
{
	size_t len = embed_write(e, NULL, 0);
	char *out = malloc(len + 1);

	assert_non_null(out);
	memset(out, '#', len + 1);
	assert_int_equal(embed_write(e, out, len), len);
	assert_int_equal(out[len], '#');
	return span_make(out, len);
}

static void
assert_embeds(const char *sql, const struct squeal_keys *keys, bool leading, const char *want)
{
	struct embed e = embed_of(span_of(sql), keys);
	struct span got;

	e.leading = leading;
	assert_int_equal(embed_check(&e), SQUEAL_OK);
	got = write_exact(&e);
	if (!span_is(got, want))
		fail_msg("%s: got\n%.*s, want\n%s", sql, SPAN_FMT(got), want);
	free((char *)got.p);
}

static const struct squeal_bytes two_keys[] = {SQUEAL_BYTES("user:42"), SQUEAL_BYTES("feed:42")};
static const struct squeal_keys two = {.keys = two_keys, .nkeys = 2};

#define TWO "inv='user%3A42%2Cfeed%3A42'"

static void
the_comment_goes_to_the_end_before_a_semicolon(void **state)
{
	assert_embeds("UPDATE t SET a=1", &two, false, "UPDATE t SET a=1 /*" TWO "*/");
	assert_embeds("UPDATE t SET a=1;", &two, false, "UPDATE t SET a=1 /*" TWO "*/;");
	assert_embeds("UPDATE t SET a=1 ; \n", &two, false, "UPDATE t SET a=1 /*" TWO "*/ ; \n");
	assert_embeds("UPDATE t SET a=1; /* c */", &two, false, "UPDATE t SET a=1 /*" TWO "*/; /* c */");
	assert_embeds("UPDATE t SET a=1 /* c */;", &two, false, "UPDATE t SET a=1 /* c */ /*" TWO "*/;");
}

static void
a_line_comment_at_the_end_is_ended_first(void **state)
{
	assert_embeds("SELECT 1 -- c", &two, false, "SELECT 1 -- c\n/*" TWO "*/");
	assert_embeds("SELECT 1 # c;", &two, false, "SELECT 1 # c\n/*" TWO "*/;");
	assert_embeds("SELECT 1 -- c\n+1", &two, false, "SELECT 1 -- c\n+1 /*" TWO "*/");
	assert_embeds("SELECT 1 -- /*x='y'*/", &two, false, "SELECT 1 -- /*x='y'*/\n/*" TWO "*/");
}

static void
a_comment_of_sqlcommenter_pairs_takes_ours_in_sorted(void **state)
{
	assert_embeds("S /*action='a',route='b'*/", &two, false, "S /*action='a'," TWO ",route='b'*/");
	assert_embeds("S /*route='b'*/;", &two, false, "S /*" TWO ",route='b'*/;");
	assert_embeds("S /* action='a' */", &two, false, "S /* action='a' ," TWO "*/");
	assert_embeds("S /*action='it\\'s'*/", &two, false, "S /*action='it\\'s'," TWO "*/");
}

static void
what_is_not_certainly_such_a_comment_is_left_alone(void **state)
{
	assert_embeds("S /*prose*/", &two, false, "S /*prose*/ /*" TWO "*/");
	assert_embeds("S /*a='b' prose*/", &two, false, "S /*a='b' prose*/ /*" TWO "*/");
	assert_embeds("S /*a='it's'*/", &two, false, "S /*a='it's'*/ /*" TWO "*/");
	assert_embeds("S /*+ a='b'*/", &two, false, "S /*+ a='b'*/ /*" TWO "*/");
	assert_embeds("S /*!1 a='b'*/", &two, false, "S /*!1 a='b'*/ /*" TWO "*/");
	assert_embeds("/*!1 S \"/*a='b'*/", &two, false, "/*!1 S \"/*a='b'*/ /*" TWO "*/");
	assert_embeds("S /**/", &two, false, "S /**/ /*" TWO "*/");
	assert_embeds("S '/*a=''b''*/'", &two, false, "S '/*a=''b''*/' /*" TWO "*/");
}

/* A pool speaks for all keys of its comment, so comments of ours are never mixed. */
static void
keys_that_are_there_already_stay_in_a_comment_of_their_own(void **state)
{
	assert_embeds("S /*inv='a',inv_p='eu'*/", &two, false, "S /*inv='a',inv_p='eu'*/ /*" TWO "*/");
	assert_embeds("S /*inv_x='a'*/", &two, false, "S /*inv_x='a'*/ /*" TWO "*/");
}

static void
leading_goes_behind_comments_that_are_there(void **state)
{
	assert_embeds("SELECT 1", &two, true, "/*" TWO "*/ SELECT 1");
	assert_embeds("/* hostgroup=1 */ SELECT 1;", &two, true, "/* hostgroup=1 */ /*" TWO "*/  SELECT 1;");
	assert_embeds("/*!1 SELECT */ 1", &two, true, "/*" TWO "*/ /*!1 SELECT */ 1");
}

static void
pool_holdoff_and_markers_are_written_in_order(void **state)
{
	static const struct squeal_bytes marker[] = {SQUEAL_BYTES("r:1")};
	struct squeal_keys all = two;

	all.markers = marker;
	all.nmarkers = 1;
	all.pool = (struct squeal_bytes)SQUEAL_BYTES("/eu/");
	all.holdoff_ms = UINT32_MAX;
	assert_embeds("S", &all, false, "S /*" TWO ",inv_h='4294967295',inv_m='r%3A1',inv_p='%2Feu%2F'*/");
	all.nkeys = 0;
	assert_embeds("S", &all, false, "S /*inv_h='4294967295',inv_m='r%3A1',inv_p='%2Feu%2F'*/");
}

static void
nothing_to_say_leaves_the_statement_as_it_is(void **state)
{
	struct squeal_keys none = {.holdoff_ms = 5, .pool = SQUEAL_BYTES("eu")};

	assert_embeds("S;", &none, false, "S;");
}

/* Whatever the key: no quote, star, slash, semicolon, question mark, colon, backslash or comma is left raw.
 */
static void
no_byte_of_a_key_means_anything_on_the_way(void **state)
{
	for (unsigned c = 0x21; c < 256; c++) {
		char byte = (char)c;
		struct squeal_bytes key = {&byte, 1};
		struct squeal_keys keys = {.keys = &key, .nkeys = 1};
		struct embed e = embed_of(SPAN_LIT("S"), &keys);
		struct span got;

		if (c == 0x7F)
			continue;
		got = write_exact(&e);
		for (size_t i = 9; i + 3 < got.len; i++) {
			char g = got.p[i];

			assert_true((g >= '0' && g <= '9') || (g >= 'A' && g <= 'Z') ||
				    (g >= 'a' && g <= 'z') || (g != '\0' && strchr("%-_.~", g) != NULL));
		}
		free((char *)got.p);
	}
}

static void
what_cannot_be_written_is_refused(void **state)
{
	static const struct squeal_bytes bad[] = {SQUEAL_BYTES("a"), SQUEAL_BYTES("b c")};
	static const struct squeal_bytes empty[] = {{NULL, 0}};
	struct squeal_keys keys = {.keys = bad, .nkeys = 2};
	struct embed e = embed_of(SPAN_LIT("S"), &keys);

	assert_int_equal(embed_check(&e), SQUEAL_E_KEY_CONTROL);
	keys = (struct squeal_keys){.markers = empty, .nmarkers = 1};
	assert_int_equal(embed_check(&e), SQUEAL_E_KEY_EMPTY);
	keys = (struct squeal_keys){.nkeys = 1};
	assert_int_equal(embed_check(&e), SQUEAL_E_ARGUMENT);
	keys = two;
	keys.pool = (struct squeal_bytes)SQUEAL_BYTES("a b");
	assert_int_equal(embed_check(&e), SQUEAL_E_POOL);
	e = embed_of(SPAN_LIT(" ; /*c*/ ;"), &two);
	assert_int_equal(embed_check(&e), SQUEAL_E_SQL_EMPTY);
	e = embed_of(SPAN_LIT("/* S"), &two);
	assert_int_equal(embed_check(&e), SQUEAL_E_SQL_OPEN);
}

/* --- inverses ------------------------------------------------------------------------------------- */

static size_t
below(unsigned *seed, size_t n)
{
	return (size_t)rand_r(seed) % n;
}

static struct squeal_bytes
random_key(unsigned *seed, char *bytes)
{
	static const char special[] = "%,'\\*/?;:=\"`#-+!2C5";
	size_t len = 1 + (below(seed, 8) == 0 ? below(seed, SQUEAL_KEY_MAX) : below(seed, 12));

	for (size_t i = 0; i < len; i++) {
		size_t c = below(seed, 2) ? 0x21 + below(seed, 256 - 0x21)
					  : (size_t)special[below(seed, sizeof(special) - 1)];

		bytes[i] = (char)(c == 0x7F ? 'x' : c);
	}
	return (struct squeal_bytes){bytes, len};
}

static void
random_keys(unsigned *seed, struct keys *k)
{
	k->what = (struct squeal_keys){.keys = k->keys, .markers = k->markers};
	k->what.nkeys = below(seed, 4) ? below(seed, 5) : below(seed, MANY);
	k->what.nmarkers = below(seed, 4) ? below(seed, 2) : below(seed, MANY);
	for (size_t i = 0; i < k->what.nkeys; i++)
		k->keys[i] = random_key(seed, k->bytes[i]);
	for (size_t i = 0; i < k->what.nmarkers; i++)
		k->markers[i] = random_key(seed, k->bytes[MANY + i]);
	if (below(seed, 3) == 0)
		k->what.pool = random_key(seed, k->bytes[2 * MANY]);
	if (below(seed, 3) == 0)
		k->what.holdoff_ms = (uint32_t)rand_r(seed);
}

struct expect {
	const struct squeal_keys *what;
	size_t keys;
	size_t markers;
};

static void
assert_group(const struct squeal_keys *what, const struct comment_group *group)
{
	assert_int_equal(group->holdoff_ms, what->holdoff_ms);
	assert_true(span_eq(group->pool, span_make(what->pool.p, what->pool.len)));
}

static err_t
expect_key(void *arg, struct span key, const struct comment_group *group)
{
	struct expect *x = arg;

	assert_true(x->keys < x->what->nkeys);
	assert_true(span_eq(key, span_make(x->what->keys[x->keys].p, x->what->keys[x->keys].len)));
	x->keys++;
	assert_group(x->what, group);
	return ERR_OK;
}

static err_t
expect_marker(void *arg, struct span key, const struct comment_group *group)
{
	struct expect *x = arg;

	assert_true(x->markers < x->what->nmarkers);
	assert_true(
	    span_eq(key, span_make(x->what->markers[x->markers].p, x->what->markers[x->markers].len)));
	x->markers++;
	assert_group(x->what, group);
	return ERR_OK;
}

static void
expect_no_issue(void *arg, const struct comment_issue *issue)
{
	fail_msg("%s: %.*s", comment_reason_label(issue->reason), SPAN_FMT(issue->excerpt));
}

static size_t
assert_inverse(struct span sql, const struct squeal_keys *what, bool leading, bool anywhere)
{
	static const struct comment_ops ops = {expect_key, expect_marker, expect_no_issue};
	struct expect x = {.what = what};
	struct embed e = embed_of(sql, what);
	struct comment_parser parser;
	struct comment_counts counts;
	struct span got;

	e.leading = leading;
	assert_int_equal(embed_check(&e), SQUEAL_OK);
	got = write_exact(&e);
	assert_int_equal(comment_parser_init(&parser, SPAN_LIT("inv"), anywhere, NULL), ERR_OK);
	assert_int_equal(comment_parse(&parser, got, 0, &ops, &x, &counts), ERR_OK);
	assert_int_equal(x.keys, what->nkeys);
	assert_int_equal(x.markers, what->nmarkers);
	free((char *)got.p);
	return counts.comments;
}

static void
parse_gives_back_exactly_what_embed_was_given(void **state)
{
	static const char *const sqls[] = {
	    "UPDATE t SET a='it''s' WHERE b=\"x\\\"\";",
	    "S /*action='a',route='b'*/",
	    "S /*z='it\\'s'*/ ; /* prose */",
	    "/* hostgroup=1 */ S -- c",
	    "/*!50000 S */",
	    "S '/*inv=''v''*/'",
	};
	struct keys *k = malloc(sizeof(*k));
	unsigned seed = 42;

	assert_non_null(k);
	for (int round = 0; round < 20000; round++) {
		struct span sql = span_of(sqls[below(&seed, sizeof(sqls) / sizeof(sqls[0]))]);

		random_keys(&seed, k);
		assert_inverse(sql, &k->what, below(&seed, 2), below(&seed, 2));
	}
	free(k);
}

static void
keys_beyond_64_kib_go_to_several_comments(void **state)
{
	enum { N = 5000 };
	static char bytes[N][SQUEAL_KEY_MAX];
	static struct squeal_bytes keys[N];
	unsigned seed = 3;
	struct squeal_keys what = {.keys = keys, .nkeys = N, .markers = keys, .nmarkers = N, .holdoff_ms = 7};

	for (size_t i = 0; i < N; i++)
		keys[i] = random_key(&seed, bytes[i]);
	what.pool = keys[0];
	assert_true(assert_inverse(SPAN_LIT("S"), &what, false, false) > 1);
	assert_true(assert_inverse(SPAN_LIT("S /*a='b'*/"), &what, true, true) > 1);
	/* The longest possible key fills comments up to the last byte. */
	memset(bytes[0], '%', SQUEAL_KEY_MAX);
	for (size_t i = 0; i < N; i++)
		keys[i] = (struct squeal_bytes){bytes[0], SQUEAL_KEY_MAX - i % 3};
	what.pool = (struct squeal_bytes){NULL, 0};
	what.nmarkers = 0;
	assert_true(assert_inverse(SPAN_LIT("S"), &what, false, false) > 1);
}

/* A comment that has just room for our pairs, and one that has not. */
static void
a_merged_comment_never_grows_beyond_64_kib(void **state)
{
	struct buf sql = BUF_INIT;

	for (size_t fill = 64000; fill < 65536; fill++) {
		buf_clear(&sql);
		buf_put_str(&sql, "S /*a='");
		memset(buf_room(&sql, fill), 'x', fill);
		buf_added(&sql, fill);
		buf_put_str(&sql, "'*/");
		assert_inverse(buf_span(&sql), &two, false, false);
	}
	buf_fini(&sql);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_comment_goes_to_the_end_before_a_semicolon),
	    cmocka_unit_test(a_line_comment_at_the_end_is_ended_first),
	    cmocka_unit_test(a_comment_of_sqlcommenter_pairs_takes_ours_in_sorted),
	    cmocka_unit_test(what_is_not_certainly_such_a_comment_is_left_alone),
	    cmocka_unit_test(keys_that_are_there_already_stay_in_a_comment_of_their_own),
	    cmocka_unit_test(leading_goes_behind_comments_that_are_there),
	    cmocka_unit_test(pool_holdoff_and_markers_are_written_in_order),
	    cmocka_unit_test(nothing_to_say_leaves_the_statement_as_it_is),
	    cmocka_unit_test(no_byte_of_a_key_means_anything_on_the_way),
	    cmocka_unit_test(what_cannot_be_written_is_refused),
	    cmocka_unit_test(parse_gives_back_exactly_what_embed_was_given),
	    cmocka_unit_test(keys_beyond_64_kib_go_to_several_comments),
	    cmocka_unit_test(a_merged_comment_never_grows_beyond_64_kib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
