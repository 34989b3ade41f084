#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-server/settings/auth_file.h"
#include "lib/core/test/test.h"

static struct auth_file *
parse(const char *text)
{
	struct auth_file *a = NULL;
	struct err_detail why = {0};

	if (auth_file_parse(&a, span_of(text), "auth", 42, &why) != ERR_OK)
		fail_msg("%s", why.text);
	return a;
}

static bool
allows(const struct auth_file *a, const char *user, const char *password)
{
	return auth_file_allows(a, span_of(user), span_of(password));
}

static void
expect_bad(struct span text, const char *sentence)
{
	struct auth_file *a = (struct auth_file *)1;
	struct err_detail why = {0};

	assert_int_equal(auth_file_parse(&a, text, "auth", 42, &why), ERR_CONFIG);
	assert_null(a);
	if (strstr(why.text, sentence) == NULL)
		fail_msg("\"%s\" is not in: %s", sentence, why.text);
}

/* memcached's t/authfile and t/authfile2: two lines, and one line without a newline. */
static void
user_and_password_must_both_be_right(void **state)
{
	struct auth_file *a = parse("foo:bar\nbaaaz:quux\n");

	assert_int_equal(auth_file_entries(a), 2);
	assert_true(allows(a, "foo", "bar"));
	assert_true(allows(a, "baaaz", "quux"));
	assert_false(allows(a, "foo", "bab"));
	assert_false(allows(a, "foo", "quux"));
	assert_false(allows(a, "foo", "ba"));
	assert_false(allows(a, "foo", "barr"));
	assert_false(allows(a, "fo", "bar"));
	assert_false(allows(a, "fooo", "bar"));
	assert_false(allows(a, "", "bar"));
	assert_false(allows(a, "foo", ""));
	assert_false(allows(a, "", ""));
	assert_false(auth_file_allows(a, (struct span){NULL, 0}, (struct span){NULL, 0}));
	auth_file_destroy(&a);
	assert_null(a);
	a = parse("foo:bar");
	assert_true(allows(a, "foo", "bar"));
	auth_file_destroy(&a);
	auth_file_destroy(&a);
}

static void
a_password_may_hold_colons_and_spaces_and_line_ends_may_be_crlf(void **state)
{
	struct auth_file *a = parse("foo:b:a r\r\n\r\n\nx:y\r\n");

	assert_true(allows(a, "foo", "b:a r"));
	assert_true(allows(a, "x", "y"));
	assert_false(allows(a, "x", "y\r"));
	assert_int_equal(auth_file_entries(a), 2);
	auth_file_destroy(&a);
}

/* printf '%s%s' na-Cl secret | sha256sum */
#define HASHED	     "52e52ed5999b9cd886d056c22c09b626b2f1bb7367356d7db145b1ff936a992a"
#define HASHED_UPPER "52E52ED5999B9CD886D056C22C09B626B2F1BB7367356D7DB145B1FF936A992A"

static void
a_hashed_password_is_checked_with_its_salt(void **state)
{
	struct auth_file *a = parse("foo:$sha256$na-Cl$" HASHED "\nbar:$sha256$na-Cl$" HASHED_UPPER "\n");

	assert_true(allows(a, "foo", "secret"));
	assert_true(allows(a, "bar", "secret"));
	assert_false(allows(a, "foo", "secreT"));
	assert_false(allows(a, "foo", "$sha256$na-Cl$" HASHED));
	assert_false(allows(a, "foo", HASHED));
	auth_file_destroy(&a);
}

static void
a_user_who_is_there_twice_has_two_passwords(void **state)
{
	struct auth_file *a = parse("foo:old\nfoo:new\n");

	assert_true(allows(a, "foo", "old"));
	assert_true(allows(a, "foo", "new"));
	auth_file_destroy(&a);
}

static void
a_line_that_is_wrong_is_named_and_its_password_is_not_told(void **state)
{
	char line[400];

	expect_bad(SPAN_LIT(""), "no entry");
	expect_bad(SPAN_LIT("\n\n"), "no entry");
	expect_bad(SPAN_LIT("a:b\nsecret"), "auth:2: the line has no \":\"");
	expect_bad(SPAN_LIT(":b"), "auth:1: a user's name");
	expect_bad(SPAN_LIT("a b:c"), "hold a space");
	expect_bad(SPAN_LIT("a:"), "no password");
	expect_bad(SPAN_LIT("a:b\0c"), "NUL byte");
	expect_bad(SPAN_LIT("a:$sha256$"), "64 hexadecimal digits");
	expect_bad(SPAN_LIT("a:$sha256$$" HASHED), "64 hexadecimal digits");
	expect_bad(SPAN_LIT("a:$sha256$x$00"), "64 hexadecimal digits");
	expect_bad(SPAN_LIT("a:$sha256$x$" HASHED "0"), "64 hexadecimal digits");
	expect_bad(SPAN_LIT("a:$sha256$" HASHED), "64 hexadecimal digits");
	memset(line, 'x', sizeof(line));
	line[3] = ':';
	expect_bad(span_make(line, AUTH_FILE_MAX_LINE + 1), "longer than 256 bytes");
	expect_bad(SPAN_LIT("1:a\n2:a\n3:a\n4:a\n5:a\n6:a\n7:a\n8:a\n9:a\n"), "auth:9: more than 8 entries");
}

static void
the_longest_line_and_eight_entries_are_taken(void **state)
{
	char line[AUTH_FILE_MAX_LINE];
	struct auth_file *a = NULL;

	memset(line, 'x', sizeof(line));
	line[3] = ':';
	assert_int_equal(auth_file_parse(&a, span_make(line, sizeof(line)), "auth", 1, NULL), ERR_OK);
	assert_true(auth_file_allows(a, SPAN_LIT("xxx"), span_make(line + 4, sizeof(line) - 4)));
	assert_false(auth_file_allows(a, span_make(line, sizeof(line)), SPAN_LIT("x")));
	auth_file_destroy(&a);
	memset(line, 'u', sizeof(line));
	line[sizeof(line) - 2] = ':';
	assert_int_equal(auth_file_parse(&a, span_make(line, sizeof(line)), "auth", 1, NULL), ERR_OK);
	assert_true(auth_file_allows(a, span_make(line, sizeof(line) - 2), SPAN_LIT("u")));
	auth_file_destroy(&a);
	a = parse("1:a\n2:a\n3:a\n4:a\n5:a\n6:a\n7:a\n8:b");
	assert_int_equal(auth_file_entries(a), 8);
	assert_true(allows(a, "8", "b"));
	auth_file_destroy(&a);
}

static void
a_long_attempt_is_refused_without_harm(void **state)
{
	struct auth_file *a = parse("foo:bar");
	static char big[16384];

	memset(big, 'a', sizeof(big));
	assert_false(auth_file_allows(a, span_make(big, sizeof(big)), span_make(big, sizeof(big))));
	auth_file_destroy(&a);
}

static void
a_file_is_loaded_and_one_that_is_missing_is_named(void **state)
{
	char path[] = "/tmp/squeal_auth_XXXXXX";
	struct err_detail why = {0};
	struct auth_file *a = NULL;
	int fd = mkstemp(path);

	assert_int_equal(write(fd, "foo:bar\n", 8), 8);
	close(fd);
	assert_int_equal(auth_file_load(&a, path, 1, &why), ERR_OK);
	assert_true(allows(a, "foo", "bar"));
	auth_file_destroy(&a);
	unlink(path);
	assert_int_not_equal(auth_file_load(&a, path, 1, &why), ERR_OK);
	assert_null(a);
	assert_non_null(strstr(why.text, path));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(user_and_password_must_both_be_right),
	    cmocka_unit_test(a_password_may_hold_colons_and_spaces_and_line_ends_may_be_crlf),
	    cmocka_unit_test(a_hashed_password_is_checked_with_its_salt),
	    cmocka_unit_test(a_user_who_is_there_twice_has_two_passwords),
	    cmocka_unit_test(a_line_that_is_wrong_is_named_and_its_password_is_not_told),
	    cmocka_unit_test(the_longest_line_and_eight_entries_are_taken),
	    cmocka_unit_test(a_long_attempt_is_refused_without_harm),
	    cmocka_unit_test(a_file_is_loaded_and_one_that_is_missing_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
