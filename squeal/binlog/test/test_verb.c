#include "squeal/binlog/verb.h"

#include <string.h>

#include "lib/core/test/test.h"

struct text {
	const char *sql;
	enum verb verb;
	const char *name; /* "": it is left as it was */
};

static void
assert_verbs(const struct text *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct span name = {"", 0};
		enum verb verb = verb_of(span_of(texts[i].sql), &name);

		if (verb != texts[i].verb || !span_is(name, texts[i].name))
			fail_msg("%s: verb %d, name \"%.*s\"", texts[i].sql, (int)verb, SPAN_FMT(name));
	}
}

#define ASSERT_VERBS(texts) assert_verbs(texts, sizeof(texts) / sizeof((texts)[0]))

static void
most_statements_are_just_that(void **state)
{
	static const struct text texts[] = {
	    {"", VERB_STATEMENT, ""},
	    {"update t set a=1", VERB_STATEMENT, ""},
	    {"INSERT INTO t VALUES (1)", VERB_STATEMENT, ""},
	    {"/* c */ delete from t", VERB_STATEMENT, ""},
	    {"release savepoint x1", VERB_STATEMENT, ""},
	    {"(select 1)", VERB_STATEMENT, ""},
	};

	ASSERT_VERBS(texts);
}

static void
words_that_only_look_like_control_are_statements(void **state)
{
	static const struct text texts[] = {
	    {"BEGIN NOT ATOMIC insert into t values (1); END", VERB_STATEMENT, ""},
	    {"START SLAVE", VERB_STATEMENT, ""},
	    {"commit_log", VERB_STATEMENT, ""},
	    {"commit and chain", VERB_STATEMENT, ""},
	    {"rollbackx", VERB_STATEMENT, ""},
	    {"rollback and chain", VERB_STATEMENT, ""},
	    {"create table begin(a int)", VERB_STATEMENT, ""},
	    {"savepoints", VERB_STATEMENT, ""},
	    {"xa recover", VERB_STATEMENT, ""},
	};

	ASSERT_VERBS(texts);
}

static void
control_is_recognised_behind_comments_and_in_any_case(void **state)
{
	static const struct text texts[] = {
	    {"BEGIN", VERB_BEGIN, ""},
	    {"/*x*/ BEGIN", VERB_BEGIN, ""},
	    {"begin work", VERB_BEGIN, ""},
	    {"/*!50000 Begin */", VERB_BEGIN, ""},
	    {"/*M!100100 Begin */", VERB_BEGIN, ""},
	    {" \n# x\nBEGIN ;", VERB_BEGIN, ""},
	    {"START TRANSACTION", VERB_BEGIN, ""},
	    {"start /*y*/ transaction with consistent snapshot", VERB_BEGIN, ""},
	    {"COMMIT", VERB_COMMIT, ""},
	    {"/*x*/commit;", VERB_COMMIT, ""},
	    {"-- x\ncommit work", VERB_COMMIT, ""},
	    {"ROLLBACK", VERB_ROLLBACK, ""},
	    {"rollback work ;", VERB_ROLLBACK, ""},
	    {"# Dummy event replacing event type 160 that slave cannot handle.", VERB_NOTHING, ""},
	};

	ASSERT_VERBS(texts);
}

static void
savepoints_have_names_bare_or_quoted(void **state)
{
	static const struct text texts[] = {
	    {"SAVEPOINT `a b`", VERB_SAVEPOINT, "a b"},
	    {"savepoint x1", VERB_SAVEPOINT, "x1"},
	    {"/*c*/ Savepoint\t\"q\"\"r\"", VERB_SAVEPOINT, "q\"\"r"},
	    {"SAVEPOINT `not closed", VERB_SAVEPOINT, "not closed"},
	    {"savepoint", VERB_SAVEPOINT, ""},
	    {"ROLLBACK TO `a b`", VERB_ROLLBACK_TO, "a b"},
	    {"/* leading */ rollback /*d*/ work to savepoint x1", VERB_ROLLBACK_TO, "x1"},
	    {"-- text\n ROLLBACK TO SAVEPOINT `o``o` ;", VERB_ROLLBACK_TO, "o``o"},
	};

	ASSERT_VERBS(texts);
}

static void
xa_statements_leave_what_begins_with_the_id(void **state)
{
	static const struct text texts[] = {
	    {"XA START X'61',X'',1", VERB_BEGIN, " X'61',X'',1"},
	    {"xa begin 'a'", VERB_BEGIN, " 'a'"},
	    {"XA END X'61',X'',1", VERB_XA_END, " X'61',X'',1"},
	    {"XA /*c*/ PREPARE 'a'", VERB_XA_PREPARE, " 'a'"},
	    {"XA COMMIT 'a' ONE PHASE", VERB_XA_COMMIT, " 'a' ONE PHASE"},
	    {"xa rollback 'a'", VERB_XA_ROLLBACK, " 'a'"},
	};

	ASSERT_VERBS(texts);
	assert_true(verb_is_one_phase(span_of(" /*c*/ one phase")));
	assert_false(verb_is_one_phase(span_of("")));
	assert_false(verb_is_one_phase(span_of("onephase")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(most_statements_are_just_that),
	    cmocka_unit_test(words_that_only_look_like_control_are_statements),
	    cmocka_unit_test(control_is_recognised_behind_comments_and_in_any_case),
	    cmocka_unit_test(savepoints_have_names_bare_or_quoted),
	    cmocka_unit_test(xa_statements_leave_what_begins_with_the_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
