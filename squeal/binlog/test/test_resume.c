#include <stdio.h>
#include <string.h>

#include "lib/core/test/test.h"
#include "squeal/binlog/resume.h"

#define A "3e11fa47-71ca-11e1-9e33-c80aa9429562"
#define B "4e11fa47-71ca-11e1-9e33-c80aa9429562"

/* A MySQL server with uuid A and a MariaDB server with server_id 1. */
static const struct {
	const char *what;
	const char *from;
	bool mariadb, logs_updates;
	const char *gtid_mode;
	const char *executed, *purged, *binlog;
	uint64_t size; /* of the file; 0: it is not there */
	enum resume verdict;
	err_t err;
	const char *text;
} cases[] = {
    {"it has all that we have", "gtid:" A ":1-5", false, true, "ON", A ":1-9", "", "", 0, RESUME_YES, ERR_OK,
     ""},
    {"nothing was purged before everything", "gtid:", false, true, "ON", A ":1-9", "", "", 0, RESUME_YES,
     ERR_OK, ""},
    {"something was purged before everything", "gtid:", false, true, "ON", A ":1-9", A ":1-2", "", 0,
     RESUME_NEVER, ERR_PURGED, A ":1-2"},
    {"what was purged we have", "gtid:" A ":1-5", false, true, "ON", A ":1-9", A ":1-5", "", 0, RESUME_YES,
     ERR_OK, ""},
    {"some of what was purged we lack", "gtid:" A ":1-5", false, true, "ON", A ":1-9", A ":1-7", "", 0,
     RESUME_NEVER, ERR_PURGED, A ":6-7"},
    {"a replica that does not log what it replicates", "gtid:" A ":1-5", false, false, "ON", A ":1-9",
     A ":1-7", "", 0, RESUME_NEVER, ERR_PURGED, "log_replica_updates=OFF"},
    {"it lost some of its own", "gtid:" A ":1-9", false, true, "ON", A ":1-7", "", "", 0, RESUME_NEVER,
     ERR_BEHIND, A ":8-9"},
    {"it was reset", "gtid:" A ":1-9", false, true, "ON", "", "", "", 0, RESUME_NEVER, ERR_BEHIND,
     "sync_binlog"},
    {"a replica that lags", "gtid:" A ":1-5," B ":1-9", false, true, "ON", A ":1-5," B ":1-7", "", "", 0,
     RESUME_REWIND, ERR_CONN, B ":8-9"},
    {"a replica that lacks tagged ones", "gtid:" A ":1-5," B ":1-9:tag:1-3", false, true, "ON",
     A ":1-5," B ":1-9:tag:1-2", "", "", 0, RESUME_REWIND, ERR_CONN, B ":tag:3"},
    {"one that lacks some, and has purged what we lack", "gtid:" A ":1-5," B ":1-9", false, true, "ON",
     A ":1-7," B ":1-7", A ":1-6", "", 0, RESUME_NEVER, ERR_PURGED, A ":6"},
    {"a replica that lags, and has lost some of its own", "gtid:" A ":1-5," B ":1-9", false, true, "ON",
     A ":1-4," B ":1-7", "", "", 0, RESUME_NEVER, ERR_BEHIND, A ":5"},
    {"transactions that only it has are no obstacle", "gtid:" B ":1-9", false, true, "ON", A ":1-2," B ":1-9",
     "", "", 0, RESUME_YES, ERR_OK, ""},
    {"tagged ones count", "gtid:" A ":1-5:tag:1-3", false, true, "ON", A ":1-5:tag:1-2", "", "", 0,
     RESUME_NEVER, ERR_BEHIND, A ":tag:3"},
    {"gtid_mode was switched off", "gtid:" A ":1-5", false, true, "ON_PERMISSIVE", "", "", "", 0,
     RESUME_SETUP, ERR_SOURCE_SETUP, "gtid_mode=ON_PERMISSIVE"},
    {"MariaDB where MySQL was", "gtid:" A ":1-5", true, true, "", "", "", "0-1-5", 0, RESUME_NEVER,
     ERR_OTHER_SERVER, "is MariaDB"},
    {"MySQL where MariaDB was", "gtid:0-1-5", false, true, "ON", A ":1-5", "", "", 0, RESUME_NEVER,
     ERR_OTHER_SERVER, "is MySQL"},

    {"a place in a file", "file:b.000007:1234@" A, false, true, "OFF", "", "", "", 2000, RESUME_YES, ERR_OK,
     ""},
    {"at the end of the file", "file:b.000007:1234@" A, false, true, "OFF", "", "", "", 1234, RESUME_YES,
     ERR_OK, ""},
    {"GTIDs were switched on since", "file:b.000007:1234@" A, false, true, "ON", A ":1-9", A ":1-3", "", 2000,
     RESUME_YES, ERR_OK, ""},
    {"whose server is not known", "file:b.000007:1234", false, true, "OFF", "", "", "", 2000, RESUME_YES,
     ERR_OK, ""},
    {"beyond the end of the file", "file:b.000007:1234@" A, false, true, "OFF", "", "", "", 1000,
     RESUME_NEVER, ERR_BEHIND, "ends at 1000"},
    {"the file is gone", "file:b.000007:1234@" A, false, true, "OFF", "", "", "", 0, RESUME_NEVER, ERR_PURGED,
     "b.000007"},
    {"of another server", "file:b.000007:1234@" B, false, true, "OFF", "", "", "", 2000, RESUME_NEVER,
     ERR_OTHER_SERVER, B},

    {"MariaDB has it", "gtid:0-1-5,1-2-7", true, true, "", "", "", "0-1-9,1-2-7", 0, RESUME_YES, ERR_OK, ""},
    {"MariaDB before everything", "gtid:", true, true, "", "", "", "0-1-9", 0, RESUME_YES, ERR_OK, ""},
    {"after a promotion", "gtid:0-2-5", true, true, "", "", "", "0-1-9", 0, RESUME_YES, ERR_OK, ""},
    {"MariaDB lost its own", "gtid:0-1-5", true, true, "", "", "", "0-1-4", 0, RESUME_NEVER, ERR_BEHIND,
     "0-1-5"},
    {"MariaDB was reset", "gtid:0-1-5", true, true, "", "", "", "", 0, RESUME_NEVER, ERR_BEHIND,
     "RESET MASTER"},
    {"MariaDB replica that lags", "gtid:0-2-5", true, true, "", "", "", "0-2-4", 0, RESUME_LATER, ERR_CONN,
     "0-2-5"},
    {"MariaDB replica that has got nothing yet", "gtid:0-1-5,1-2-7", true, true, "", "", "", "0-1-5", 0,
     RESUME_LATER, ERR_CONN, "1-2-7"},
    {"promoted with log_slave_updates=OFF", "gtid:0-2-5", true, false, "", "", "", "", 0, RESUME_NEVER,
     ERR_BEHIND, "log_slave_updates=OFF"},
};

static void
fill(struct resume_server *s, size_t i)
{
	*s = (struct resume_server){.at = "db1:3306",
				    .mariadb = cases[i].mariadb,
				    .logs_updates = cases[i].logs_updates,
				    .server_id = 1,
				    .has_gtids = strcmp(cases[i].gtid_mode, "ON") == 0,
				    .uuid = A,
				    .has_file = cases[i].size != 0,
				    .size = cases[i].size};
	snprintf(s->gtid_mode, sizeof(s->gtid_mode), "%s", cases[i].gtid_mode);
	assert_int_equal(gtid_set_parse(span_of(cases[i].executed), &s->executed, NULL), ERR_OK);
	assert_int_equal(gtid_set_parse(span_of(cases[i].purged), &s->purged, NULL), ERR_OK);
	assert_int_equal(gtid_pos_parse(span_of(cases[i].binlog), &s->binlog, NULL), ERR_OK);
}

static void
a_server_goes_on_only_where_it_can_prove_to(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct position from = {0};
		struct resume_server s;
		struct err_detail why = {0};
		enum resume verdict;

		fill(&s, i);
		assert_int_equal(position_parse(span_of(cases[i].from), &from, NULL), ERR_OK);
		verdict = resume_from(&from, &s, &why);
		if (verdict != cases[i].verdict || why.code != cases[i].err ||
		    strstr(why.text, cases[i].text) == NULL)
			fail_msg("%s: verdict %d, %s, %s", cases[i].what, (int)verdict, err_name(why.code),
				 why.text);
		assert_int_equal(resume_is_never(why.code), cases[i].verdict == RESUME_NEVER);
		position_fini(&from);
		resume_server_fini(&s);
	}
}

static void
expect_rewind(const char *from_text, const char *executed, const char *expected, const char *expected_lost)
{
	struct resume_server s = {.has_gtids = true};
	struct position from = {0}, to = {0};
	struct gtid_set lost = {0};
	struct buf text = BUF_INIT;

	assert_int_equal(position_parse(span_of(from_text), &from, NULL), ERR_OK);
	assert_int_equal(gtid_set_parse(span_of(executed), &s.executed, NULL), ERR_OK);
	resume_rewind(&from, &s, &to, &lost);
	position_format(&to, &text);
	assert_string_equal(buf_str(&text), expected);
	buf_clear(&text);
	gtid_set_format(&lost, &text);
	assert_string_equal(buf_str(&text), expected_lost);
	buf_fini(&text);
	gtid_set_fini(&lost);
	position_fini(&from);
	position_fini(&to);
	resume_server_fini(&s);
}

static void
a_server_goes_on_from_what_both_have(void **state)
{
	expect_rewind("gtid:" A ":1-9," B ":1-3", A ":1-7," B ":1-3", "gtid:" A ":1-7," B ":1-3", A ":8-9");
	/* Its own, that we have not read, come with the stream. */
	expect_rewind("gtid:" A ":1-9", A ":1-4:6," B ":1-3", "gtid:" A ":1-4:6", A ":5:7-9");
	expect_rewind("gtid:" A ":1-9", B ":1-3", "gtid:", A ":1-9");
	expect_rewind("gtid:" A ":1-9:tag:1-5", A ":1-9:tag:1-2", "gtid:" A ":1-9:tag:1-2", A ":tag:3-5");
}

static void
a_place_beyond_4_gib_is_read_from_the_beginning_of_its_file(void **state)
{
	struct position from = {0};

	assert_int_equal(position_parse(SPAN_LIT("file:b.1:4294967295"), &from, NULL), ERR_OK);
	assert_int_equal(resume_file_pos(&from), 4294967295u);
	assert_int_equal(position_parse(SPAN_LIT("file:b.1:4294967296"), &from, NULL), ERR_OK);
	assert_int_equal(resume_file_pos(&from), 4);
	position_fini(&from);
}

static void
expect_new(const char *from_text, const char *executed, const char *expected)
{
	struct resume_server s = {.has_gtids = true};
	struct position from = {0};
	struct buf out = BUF_INIT;

	assert_int_equal(position_parse(span_of(from_text), &from, NULL), ERR_OK);
	assert_int_equal(gtid_set_parse(span_of(executed), &s.executed, NULL), ERR_OK);
	resume_put_new_servers(&from, &s, &out);
	assert_string_equal(buf_str(&out), expected);
	buf_fini(&out);
	position_fini(&from);
	resume_server_fini(&s);
}

static void
transactions_of_servers_that_were_not_known_are_told(void **state)
{
	expect_new("gtid:" A ":1-5", A ":1-9", "");
	expect_new("gtid:" A ":1-5", A ":1-5," B ":1-2", B ":1-2");
	expect_new("gtid:" A ":1-5," B ":1", A ":1-5," B ":1-2", "");
	expect_new("gtid:", A ":1-5", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_server_goes_on_only_where_it_can_prove_to),
	    cmocka_unit_test(a_server_goes_on_from_what_both_have),
	    cmocka_unit_test(a_place_beyond_4_gib_is_read_from_the_beginning_of_its_file),
	    cmocka_unit_test(transactions_of_servers_that_were_not_known_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
