#include "lib/broker/commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"
#include "lib/core/test/test.h"

static const char id[] = "0123456789abcdef0123456789abcdef";

static struct commit *
make(void)
{
	struct commit *c = MEM_NEW(struct commit);

	snprintf(c->log_id, sizeof(c->log_id), "%s", id);
	return c;
}

static void
add(struct commit *c, const char *server, uint64_t offset)
{
	c->servers[c->n++] = (struct commit_server){.name = commit_name(span_of(server)), .offset = offset};
}

static void
what_is_encoded_is_decoded(void **state)
{
	struct commit *c = make(), *d = make();
	struct buf text = BUF_INIT;

	c->has_witness = true;
	c->witness_offset = 41;
	c->witness = UINT64_C(0xfedcba9876543210);
	add(c, "10.0.0.1:11211", 100);
	add(c, "10.0.0.2:11211", 42);
	add(c, "10.0.0.3:11211", 100);
	c->servers[c->n++] = (struct commit_server){.name = commit_name(SPAN_LIT("gone")), .other_log = true};
	commit_encode(c, &text);
	assert_true(commit_decode(buf_span(&text), d));
	assert_string_equal(d->log_id, id);
	assert_true(d->has_witness);
	assert_int_equal(d->witness_offset, 41);
	assert_int_equal(d->witness, UINT64_C(0xfedcba9876543210));
	assert_int_equal(d->live, 100);
	assert_int_equal(d->n, 4);
	assert_false(d->others);
	assert_int_equal(commit_find(d, SPAN_LIT("10.0.0.1:11211"))->offset, 100);
	assert_int_equal(commit_find(d, SPAN_LIT("10.0.0.2:11211"))->offset, 42);
	assert_true(commit_find(d, SPAN_LIT("gone"))->other_log);
	assert_null(commit_find(d, SPAN_LIT("new")));
	buf_fini(&text);
	free(c);
	free(d);
}

static void
the_layout_is_the_one_that_is_documented(void **state)
{
	struct commit *c = make();
	struct buf text = BUF_INIT;

	c->servers[c->n++] = (struct commit_server){.name = 0, .offset = 7};
	c->servers[c->n++] = (struct commit_server){.name = 1, .offset = 10};
	commit_encode(c, &text);
	assert_string_equal(buf_str(&text), "1 0123456789abcdef0123456789abcdef - 10 AAAAAAAA:3 BAAAAAAA");
	buf_fini(&text);
	free(c);
}

static void
servers_that_do_not_fit_are_the_ones_farthest_ahead(void **state)
{
	struct commit *c = make(), *d = make();
	struct buf text = BUF_INIT;
	char name[32];

	for (unsigned i = 0; i < COMMIT_SERVERS; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		add(c, name, UINT64_C(1000000000) + i * 1000);
	}
	commit_encode(c, &text);
	assert_true(text.len <= COMMIT_MAX + 2);
	assert_true(commit_decode(buf_span(&text), d));
	assert_true(d->others);
	assert_true(d->n > 200);
	assert_int_equal(commit_find(d, SPAN_LIT("s0"))->offset, 1000000000);
	assert_null(commit_find(d, SPAN_LIT("s449")));
	buf_fini(&text);
	free(c);
	free(d);
}

static void
servers_of_the_same_letters_are_left_out(void **state)
{
	struct commit *c = make(), *d = make();
	struct buf text = BUF_INIT;

	add(c, "a", 1);
	add(c, "a", 2);
	add(c, "b", 3);
	commit_encode(c, &text);
	assert_true(commit_decode(buf_span(&text), d));
	assert_int_equal(d->n, 1);
	assert_true(d->others);
	buf_fini(&text);
	free(c);
	free(d);
}

static void
foreign_bytes_are_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "1",
	    "hello",
	    "2 0123456789abcdef0123456789abcdef - 10",
	    "1 0123456789abcdef0123456789abcde - 10",
	    "1 0123456789abcdef0123456789abcdeG - 10",
	    "1 0123456789abcdef0123456789abcdef 5 10",
	    "1 0123456789abcdef0123456789abcdef 5:12 10",
	    "1 0123456789abcdef0123456789abcdef - x",
	    "1 0123456789abcdef0123456789abcdef - 10 AAAAAAA",
	    "1 0123456789abcdef0123456789abcdef - 10 AAAAAAA=",
	    "1 0123456789abcdef0123456789abcdef - 10 AAAAAAAA:11",
	    "1 0123456789abcdef0123456789abcdef - 10 AAAAAAAA:",
	    "1 0123456789abcdef0123456789abcdef - 10 + AAAAAAAA",
	};
	struct commit *c = make();

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(commit_decode(span_of(bad[i]), c));
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_encoded_is_decoded),
	    cmocka_unit_test(the_layout_is_the_one_that_is_documented),
	    cmocka_unit_test(servers_that_do_not_fit_are_the_ones_farthest_ahead),
	    cmocka_unit_test(servers_of_the_same_letters_are_left_out),
	    cmocka_unit_test(foreign_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
