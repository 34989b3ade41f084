#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/core/file.h"
#include "lib/rings/rings.h"
#include "lib/route/route.h"

struct fixture {
	char dir[64], path[96];
	struct rings *rings;
	struct err_detail why;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/squeal-rings-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/c.rings", f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char command[160];

	rings_destroy(&f->rings);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* A cluster of servers "h:1, h:2". */
static struct topology *
cluster_of(const char *servers)
{
	struct buf text = BUF_INIT;
	struct err_detail why = {0};
	struct topology *t;

	buf_printf(&text, "{log: {path: /l}, clusters: [{name: a, servers: [%s]}]}", servers);
	if (topology_parse(&t, buf_span(&text), "t.yaml", &why) != ERR_OK)
		fail_msg("%s", why.text);
	buf_fini(&text);
	return t;
}

static void
load(struct fixture *f)
{
	rings_destroy(&f->rings);
	if (rings_load(&f->rings, f->path, "a", &f->why) != ERR_OK)
		fail_msg("%s", f->why.text);
}

static err_t
take(struct fixture *f, const char *servers, bool *changed)
{
	struct topology *t = cluster_of(servers);
	err_t err = rings_take(f->rings, &t->clusters[0], 1000000, changed, &f->why);

	topology_destroy(&t);
	return err;
}

static void
must_take(struct fixture *f, const char *servers, bool wanted)
{
	bool changed;

	if (take(f, servers, &changed) != ERR_OK)
		fail_msg("%s", f->why.text);
	assert_int_equal(changed, wanted);
}

static void
must_seal(struct fixture *f, size_t wanted)
{
	size_t n;

	if (rings_seal(f->rings, 2000000, &n, &f->why) != ERR_OK)
		fail_msg("%s", f->why.text);
	assert_int_equal(n, wanted);
}

/* "h:1,h:2;h:3": the servers of each ring of before. */
static void
assert_before(struct fixture *f, const char *wanted)
{
	size_t n;
	const struct cluster *const *before = rings_before(f->rings, &n);
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(&text, ';');
		for (size_t s = 0; s < before[i]->nservers; s++)
			buf_printf(&text, "%s%s:%u", s > 0 ? "," : "", before[i]->servers[s].host,
				   (unsigned)before[i]->servers[s].port);
	}
	assert_string_equal(buf_str(&text), wanted);
	buf_fini(&text);
}

/* --- changes ----------------------------------------------------------------------------------------------
 */

static void
the_first_ring_is_no_change_and_a_new_one_keeps_the_old(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1, h:2", false);
	assert_before(f, "");
	must_take(f, "h:1, h:2", false);
	must_take(f, "h:1, h:3", true);
	assert_before(f, "h:1,h:2");
	must_take(f, "h:4", true);
	assert_before(f, "h:1,h:3;h:1,h:2");
}

static void
what_was_taken_is_there_after_a_restart(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1, h:2", false);
	must_take(f, "h:1, h:3", true);
	load(f);
	assert_before(f, "h:1,h:2");
	must_take(f, "h:1, h:3", false);
	assert_before(f, "h:1,h:2");
}

static void
a_ring_that_changed_while_the_router_was_down_is_noticed(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1, h:2", false);
	load(f);
	must_take(f, "h:1, h:3", true);
	assert_before(f, "h:1,h:2");
}

static void
a_plan_shows_what_would_be_and_writes_nothing(void **state)
{
	struct fixture *f = *state;
	struct topology *t = cluster_of("h:3");

	load(f);
	must_take(f, "h:1, h:2", false);
	load(f);
	assert_int_equal(rings_plan(f->rings, &t->clusters[0], &f->why), ERR_OK);
	assert_before(f, "h:1,h:2");
	load(f);
	assert_before(f, "");
	must_take(f, "h:1, h:2", false);
	topology_destroy(&t);
}

static void
a_ring_that_comes_back_is_not_kept_twice(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1", false);
	must_take(f, "h:2", true);
	must_take(f, "h:1", true);
	assert_before(f, "h:2");
	must_take(f, "h:2", true);
	assert_before(f, "h:1");
	must_take(f, "h:3", true);
	assert_before(f, "h:2;h:1");
}

static void
another_address_of_a_server_is_no_other_ring(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "{host: h, port: 1, connect: '10.0.0.1:1'}", false);
	must_take(f, "{host: h, port: 1, connect: '10.0.0.2:1'}", false);
	must_take(f, "h:2", true);
	load(f);
	assert_before(f, "h:1");
	{
		size_t n;

		assert_string_equal(rings_before(f->rings, &n)[0]->servers[0].connect, "10.0.0.2:1");
	}
}

static void
more_changes_than_are_kept_are_refused_until_they_are_sealed(void **state)
{
	struct fixture *f = *state;
	char servers[32];
	bool changed;

	load(f);
	for (int i = 0; i <= RINGS_MAX; i++) {
		snprintf(servers, sizeof(servers), "h:%d", i + 1);
		must_take(f, servers, i > 0);
	}
	assert_int_equal(take(f, "h:99", &changed), ERR_CONFIG);
	assert_false(changed);
	assert_non_null(strstr(f->why.text, "squealctl seal"));
	/* Nothing has changed. */
	must_take(f, servers, false);
	load(f);
	must_take(f, servers, false);
	must_seal(f, RINGS_MAX);
	must_take(f, "h:99", true);
}

static void
without_a_file_a_change_is_refused(void **state)
{
	struct fixture *f = *state;
	bool changed;

	f->path[0] = '\0';
	load(f);
	must_take(f, "h:1", false);
	assert_int_equal(take(f, "h:2", &changed), ERR_CONFIG);
	assert_non_null(strstr(f->why.text, "set cursors"));
	must_take(f, "h:1", false);
	assert_before(f, "");
}

static void
a_change_that_cannot_be_written_is_not_taken(void **state)
{
	struct fixture *f = *state;
	char blocked[128];
	bool changed;

	load(f);
	must_take(f, "h:1", false);
	snprintf(blocked, sizeof(blocked), "%s.new", f->path);
	assert_int_equal(mkdir(blocked, 0700), 0);
	assert_int_not_equal(take(f, "h:2", &changed), ERR_OK);
	assert_false(changed);
	assert_before(f, "");
	assert_int_equal(rmdir(blocked), 0);
	must_take(f, "h:2", true);
	assert_before(f, "h:1");
	assert_int_equal(mkdir(blocked, 0700), 0);
	{
		size_t n;

		assert_int_not_equal(rings_seal(f->rings, 1, &n, &f->why), ERR_OK);
	}
	assert_before(f, "h:1");
	assert_false(rings_was_out(f->rings, "h:1"));
}

/* --- sealing ----------------------------------------------------------------------------------------------
 */

static void
sealing_forgets_old_rings_and_notes_who_is_out(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1, h:2, h:3", false);
	must_take(f, "h:1, h:2", true);
	must_take(f, "h:1", true);
	assert_false(rings_was_out(f->rings, "h:3"));
	must_seal(f, 2);
	assert_before(f, "");
	for (int again = 0; again < 2; again++, load(f)) {
		assert_true(rings_was_out(f->rings, "h:2"));
		assert_true(rings_was_out(f->rings, "h:3"));
		assert_false(rings_was_out(f->rings, "h:1"));
	}
	must_seal(f, 0);
}

static void
a_server_that_was_out_is_so_until_it_is_flushed(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1, h:2", false);
	must_take(f, "h:1", true);
	must_seal(f, 1);
	must_take(f, "h:1, h:2", true);
	assert_true(rings_was_out(f->rings, "h:2"));
	load(f); /* the router dies before the flush is acknowledged */
	assert_true(rings_was_out(f->rings, "h:2"));
	assert_int_equal(rings_flushed(f->rings, "h:2", &f->why), ERR_OK);
	assert_false(rings_was_out(f->rings, "h:2"));
	load(f);
	assert_false(rings_was_out(f->rings, "h:2"));
	assert_int_equal(rings_flushed(f->rings, "h:1", &f->why), ERR_OK);
}

static void
status_names_what_is_not_sealed(void **state)
{
	struct fixture *f = *state;
	struct buf out = BUF_INIT;
	struct json j;

	load(f);
	must_take(f, "h:1, h:2", false);
	must_take(f, "h:1", true);
	must_seal(f, 1);
	must_take(f, "h:3", true);
	json_init(&j, &out);
	json_object(&j);
	rings_status(f->rings, &j);
	json_object_end(&j);
	assert_string_equal(
	    buf_str(&out),
	    "{\"unsealed_rings\":1,\"rings\":{\"unsealed\":[{\"until_us\":1000000,\"servers\":[\"h:1\"]}],"
	    "\"sealed_out\":[\"h:2\"]}}");
	buf_fini(&out);
}

/* --- the file ---------------------------------------------------------------------------------------------
 */

static void
a_damaged_file_is_refused_and_says_what_to_do(void **state)
{
	struct fixture *f = *state;
	struct buf whole = BUF_INIT, text = BUF_INIT;
	struct err_detail why = {0};

	load(f);
	must_take(f, "h:1", false);
	must_take(f, "h:2", true);
	rings_destroy(&f->rings);
	assert_int_equal(file_read(f->path, 1 << 20, &whole, &why), ERR_OK);
	for (size_t i = 0; i < whole.len; i++) {
		err_clear(&why);
		buf_clear(&text);
		buf_put_span(&text, buf_span(&whole));
		text.p[i] ^= 1;
		assert_int_equal(file_replace(f->path, buf_span(&text), &why), ERR_OK);
		assert_int_equal(rings_load(&f->rings, f->path, "a", &why), ERR_CORRUPT);
		assert_null(f->rings);
		assert_non_null(strstr(why.text, "flush"));
		/* Cut off. */
		err_clear(&why);
		assert_int_equal(file_replace(f->path, span_first(buf_span(&whole), i), &why), ERR_OK);
		assert_int_equal(rings_load(&f->rings, f->path, "a", &why), ERR_CORRUPT);
	}
	buf_fini(&whole);
	buf_fini(&text);
}

static void
its_text_is_read_elsewhere_and_has_no_file_there(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct rings *other = NULL;
	struct topology *t = cluster_of("h:3");
	struct err_detail why = {0};
	bool changed;
	size_t n;

	load(f);
	must_take(f, "h:1", false);
	must_take(f, "h:2", true);
	rings_text(f->rings, &text);
	assert_int_equal(rings_parse(&other, buf_span(&text), "what it says", "a", &why), ERR_OK);
	rings_before(other, &n);
	assert_int_equal(n, 1);
	/* The one in use there is one of before for whoever has yet another. */
	assert_int_equal(rings_plan(other, &t->clusters[0], &why), ERR_OK);
	rings_before(other, &n);
	assert_int_equal(n, 2);
	rings_destroy(&other);
	assert_int_equal(rings_parse(&other, buf_span(&text), "what it says", "a", &why), ERR_OK);
	assert_int_equal(rings_take(other, &t->clusters[0], 1, &changed, &why), ERR_CONFIG);
	rings_destroy(&other);
	assert_int_equal(rings_parse(&other, buf_span(&text), "what it says", "b", &why), ERR_CONFIG);
	assert_null(other);
	err_clear(&why);
	assert_int_equal(
	    rings_parse(&other, span_first(buf_span(&text), text.len - 1), "what it says", "a", &why),
	    ERR_CORRUPT);
	assert_null(other);
	assert_non_null(strstr(why.text, "what it says"));
	topology_destroy(&t);
	buf_fini(&text);
}

static void
another_clusters_file_is_refused(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1", false);
	rings_destroy(&f->rings);
	assert_int_equal(rings_load(&f->rings, f->path, "b", &f->why), ERR_CONFIG);
	assert_non_null(strstr(f->why.text, "cluster \"a\""));
}

/* Killed anywhere between the writing and the renaming: the file is the one of before or the one of after. */
static void
a_crash_while_writing_leaves_one_of_the_two(void **state)
{
	struct fixture *f = *state;

	load(f);
	must_take(f, "h:1", false);
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();
		size_t n;
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			for (;;) {
				bool changed;
				size_t sealed;

				if (take(f, "h:1, h:2", &changed) != ERR_OK ||
				    take(f, "h:1", &changed) != ERR_OK ||
				    rings_seal(f->rings, 3, &sealed, &f->why) != ERR_OK)
					_exit(1);
			}
		}
		usleep((useconds_t)(1000 + i * 137));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		load(f);
		rings_before(f->rings, &n);
		assert_in_range(n, 0, 1);
		/* With nothing before, the current ring is h:1: h:1, h:2 always has h:1 before it. */
		if (n == 0)
			must_take(f, "h:1", false);
	}
}

/* --- with routes ------------------------------------------------------------------------------------------
 */

static void
what_is_kept_makes_routes_with_old_owners(void **state)
{
	struct fixture *f = *state;
	struct topology *t = cluster_of("h:3");
	struct route *route;
	struct route_answer a = {0};
	const struct cluster *const *before;
	size_t n;
	bool changed;

	load(f);
	must_take(f, "h:1", false);
	must_take(f, "h:2", true);
	assert_int_equal(rings_take(f->rings, &t->clusters[0], 5, &changed, &f->why), ERR_OK);
	load(f);
	before = rings_before(f->rings, &n);
	assert_int_equal(route_create(&route, &t->clusters[0], before, n, &f->why), ERR_OK);
	route_key(route, SPAN_LIT("k"), SPAN_LIT(""), &a);
	assert_int_equal(a.n, 3);
	assert_string_equal(route_server_name(route, a.hops[0].server), "h:3");
	assert_string_equal(route_server_name(route, a.hops[1].server), "h:2");
	assert_string_equal(route_server_name(route, a.hops[2].server), "h:1");
	assert_true(!a.hops[0].old && a.hops[1].old && a.hops[2].old);
	route_answer_fini(&a);
	route_destroy(&route);
	topology_destroy(&t);
}

static void
rings_are_beside_the_cursors(void **state)
{
	static const struct {
		const char *text, *path;
	} cases[] = {
	    {"{log: {path: /l}, clusters: [{name: a, servers: [h:1]}]}", "/l.a.cursors.rings"},
	    {"{log: {path: /l}, clusters: [{name: a, cursors: /c, servers: [h:1]}]}", "/c.rings"},
	    {"{log: {type: kafka, brokers: 'k:1'}, clusters: [{name: a, cursors: /c, servers: [h:1]}]}",
	     "/c.rings"},
	    {"{log: {type: kafka, brokers: 'k:1'}, clusters: [{name: a, servers: [h:1]}]}", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf path = BUF_INIT;
		struct err_detail why = {0};
		struct topology *t;

		if (topology_parse(&t, span_of(cases[i].text), "t", &why) != ERR_OK)
			fail_msg("%s", why.text);
		rings_path(t, &t->clusters[0], &path);
		assert_string_equal(buf_str(&path), cases[i].path);
		topology_destroy(&t);
		buf_fini(&path);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(the_first_ring_is_no_change_and_a_new_one_keeps_the_old),
	    TEST(what_was_taken_is_there_after_a_restart),
	    TEST(a_ring_that_changed_while_the_router_was_down_is_noticed),
	    TEST(a_plan_shows_what_would_be_and_writes_nothing),
	    TEST(a_ring_that_comes_back_is_not_kept_twice),
	    TEST(another_address_of_a_server_is_no_other_ring),
	    TEST(more_changes_than_are_kept_are_refused_until_they_are_sealed),
	    TEST(without_a_file_a_change_is_refused),
	    TEST(a_change_that_cannot_be_written_is_not_taken),
	    TEST(sealing_forgets_old_rings_and_notes_who_is_out),
	    TEST(a_server_that_was_out_is_so_until_it_is_flushed),
	    TEST(status_names_what_is_not_sealed),
	    TEST(a_damaged_file_is_refused_and_says_what_to_do),
	    TEST(its_text_is_read_elsewhere_and_has_no_file_there),
	    TEST(another_clusters_file_is_refused),
	    TEST(a_crash_while_writing_leaves_one_of_the_two),
	    TEST(what_is_kept_makes_routes_with_old_owners),
	    TEST(rings_are_beside_the_cursors),
	};

	return cmocka_run_group_tests_name("rings", tests, NULL, NULL);
}
