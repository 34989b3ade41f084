#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/wire/mc_reply.h"

static const struct known {
	const char *line;
	enum mc_reply_kind kind;
	const char *text;
} known[] = {
    {"HD\r\n", MC_REPLY_HD, ""},
    {"HD O123 kfoo\r\n", MC_REPLY_HD, "O123 kfoo"},
    {"NF\r\n", MC_REPLY_NF, ""},
    {"EX\r\n", MC_REPLY_EX, ""},
    {"NS\r\n", MC_REPLY_NS, ""},
    {"EN\r\n", MC_REPLY_EN, ""},
    {"ME k exp=-1 cas=3\r\n", MC_REPLY_ME, "k exp=-1 cas=3"},
    {"MN\r\n", MC_REPLY_MN, ""},
    {"DELETED\r\n", MC_REPLY_DELETED, ""},
    {"NOT_FOUND\r\n", MC_REPLY_NOT_FOUND, ""},
    {"OK\r\n", MC_REPLY_OK, ""},
    {"VERSION 1.6.18\r\n", MC_REPLY_VERSION, "1.6.18"},
    {"ERROR\r\n", MC_REPLY_ERROR, ""},
    {"ERROR unknown command\r\n", MC_REPLY_ERROR, "unknown command"},
    {"CLIENT_ERROR bad command line format\r\n", MC_REPLY_CLIENT_ERROR, "bad command line format"},
    {"SERVER_ERROR out of memory\r\n", MC_REPLY_SERVER_ERROR, "out of memory"},
};

enum { NKNOWN = sizeof(known) / sizeof(known[0]) };

/* The bytes in memory of exactly their size, so that a sanitizer sees a read beyond them. */
static err_t
parse(const char *bytes, size_t n, struct mc_reply *reply, struct err_detail *why)
{
	char *copy = malloc(n + 1);
	char *tight = realloc(memcpy(copy, bytes, n), n > 0 ? n : 1);
	err_t err = mc_reply_parse(span_make(tight, n), reply, why);

	free(tight);
	return err;
}

static void
every_known_reply_is_recognised(void **state)
{
	for (size_t i = 0; i < NKNOWN; i++) {
		struct span in = span_of(known[i].line);
		struct mc_reply reply;

		assert_int_equal(mc_reply_parse(in, &reply, NULL), ERR_OK);
		assert_int_equal(reply.kind, known[i].kind);
		assert_int_equal(reply.used, in.len);
		assert_true(span_is(reply.text, known[i].text));
		assert_int_equal(
		    strncmp(mc_reply_name(reply.kind), known[i].line, strlen(mc_reply_name(reply.kind))), 0);
	}
}

static void
a_line_may_come_byte_by_byte(void **state)
{
	for (size_t i = 0; i < NKNOWN; i++) {
		struct mc_reply reply;

		for (size_t n = 0; n < strlen(known[i].line); n++) {
			assert_int_equal(parse(known[i].line, n, &reply, NULL), ERR_OK);
			assert_int_equal(reply.kind, MC_REPLY_MORE);
			assert_int_equal(reply.used, 0);
		}
	}
}

static void
replies_behind_each_other_are_taken_one_by_one(void **state)
{
	struct span in = SPAN_LIT("NF\r\nNF\r\nCLIENT_ERROR x\r\nMN\r\nM");
	static const enum mc_reply_kind want[] = {MC_REPLY_NF, MC_REPLY_NF, MC_REPLY_CLIENT_ERROR,
						  MC_REPLY_MN, MC_REPLY_MORE};
	struct mc_reply reply;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(mc_reply_parse(in, &reply, NULL), ERR_OK);
		assert_int_equal(reply.kind, want[i]);
		in = span_from(in, reply.used);
	}
	assert_true(span_is(in, "M"));
}

static void
the_cas_id_is_found_where_it_stands(void **state)
{
	static const struct {
		const char *line;
		bool found;
		uint64_t cas;
	} lines[] = {
	    {"HD c7\r\n", true, 7},
	    {"HD X c18446744073709551615 W\r\n", true, UINT64_MAX},
	    {"HD c0\r\n", true, 0},
	    {"HD\r\n", false, 0},
	    {"HD c\r\n", false, 0},
	    {"HD c18446744073709551616\r\n", false, 0},
	    {"HD kc7\r\n", false, 0},
	    {"ME a exp=-1 la=0 cas=4 fetch=yes cls=1 size=61\r\n", true, 4},
	    {"ME cas=9 exp=-1 la=0 cas=4 fetch=yes cls=1 size=61\r\n", true, 4},
	    {"ME cas=9\r\n", false, 0},
	    {"ME a cas=x\r\n", false, 0},
	    {"OK\r\n", false, 0},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct mc_reply reply;
		uint64_t cas = 0;

		assert_int_equal(mc_reply_parse(span_of(lines[i].line), &reply, NULL), ERR_OK);
		assert_int_equal(mc_reply_cas(&reply, &cas), lines[i].found);
		assert_true(cas == lines[i].cas);
	}
}

static void
garbage_is_refused_at_its_first_wrong_byte(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
	    {"x", 1},
	    {"\r", 1},
	    {"\n", 1},
	    {" ", 1},
	    {"\0", 1},
	    {"HE", 2},
	    {"HD\n", 3},
	    {"HD\rx", 4},
	    {"HD a\rb\r\n", 8},
	    {"HD a\0b\r\n", 8},
	    {"MN x", 4},
	    {"OK \r\n", 5},
	    {"DELETEDX", 8},
	    {"hd\r\n", 4},
	    {"VALUE a 0 1", 11},
	    {"VA 1\r\n", 6},
	    {"END x\r\n", 7},
	    {"STORED 1\r\n", 10},
	    {"SSH-2.0-x", 9},
	    {"HTTP/1.1 400", 12},
	    {"\x16\x03\x01", 3},
	    {"EN x", 4},
	    {"VERSIO\r\n", 8},
	    {"ERRORS\r\n", 8},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err_detail why = {0};
		struct mc_reply reply;

		assert_int_equal(parse(bad[i].bytes, bad[i].n, &reply, &why), ERR_PROTOCOL);
		assert_int_equal(reply.kind, MC_REPLY_MORE);
		assert_int_equal(reply.used, 0);
		assert_non_null(strstr(why.text, "memcached"));
	}
}

static void
what_came_is_quoted_without_its_control_bytes(void **state)
{
	struct err_detail why = {0};
	struct mc_reply reply;

	assert_int_equal(parse("\033[31mHELLO there\r\n", 18, &reply, &why), ERR_PROTOCOL);
	assert_non_null(strstr(why.text, "\"?[31mHELLO there\""));
}

static void
the_longest_line_passes_and_one_byte_more_does_not(void **state)
{
	char line[MC_REPLY_LINE_MAX + 1];
	struct mc_reply reply;

	memset(line, 'x', sizeof(line));
	memcpy(line, "SERVER_ERROR ", 13);
	memcpy(line + MC_REPLY_LINE_MAX - 2, "\r\n", 2);
	assert_int_equal(parse(line, MC_REPLY_LINE_MAX, &reply, NULL), ERR_OK);
	assert_int_equal(reply.used, MC_REPLY_LINE_MAX);
	memcpy(line + MC_REPLY_LINE_MAX - 2, "x\r\n", 3);
	assert_int_equal(parse(line, MC_REPLY_LINE_MAX - 1, &reply, NULL), ERR_OK);
	assert_int_equal(reply.kind, MC_REPLY_MORE);
	assert_int_equal(parse(line, MC_REPLY_LINE_MAX, &reply, NULL), ERR_PROTOCOL);
	assert_int_equal(parse(line, MC_REPLY_LINE_MAX + 1, &reply, NULL), ERR_PROTOCOL);
}

static void
errors_are_told_from_answers(void **state)
{
	assert_true(mc_reply_is_error(MC_REPLY_ERROR));
	assert_true(mc_reply_is_error(MC_REPLY_CLIENT_ERROR));
	assert_true(mc_reply_is_error(MC_REPLY_SERVER_ERROR));
	assert_false(mc_reply_is_error(MC_REPLY_NF));
	assert_false(mc_reply_is_error(MC_REPLY_MN));
	assert_false(mc_reply_is_error(MC_REPLY_MORE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_known_reply_is_recognised),
	    cmocka_unit_test(a_line_may_come_byte_by_byte),
	    cmocka_unit_test(replies_behind_each_other_are_taken_one_by_one),
	    cmocka_unit_test(the_cas_id_is_found_where_it_stands),
	    cmocka_unit_test(garbage_is_refused_at_its_first_wrong_byte),
	    cmocka_unit_test(what_came_is_quoted_without_its_control_bytes),
	    cmocka_unit_test(the_longest_line_passes_and_one_byte_more_does_not),
	    cmocka_unit_test(errors_are_told_from_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
