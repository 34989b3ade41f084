#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-server/settings/container.h"
#include "lib/core/test/test.h"

static void
expect_bad_flag(const char *text, const char *sentence)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};

	assert_int_equal(container_list_flag(&l, span_of(text), &why), ERR_USAGE);
	assert_int_equal(l.n, 0);
	if (strstr(why.text, sentence) == NULL)
		fail_msg("\"%s\" is not in: %s", sentence, why.text);
	container_list_fini(&l);
}

static void
expect_bad_yaml(const char *text, const char *sentence)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};

	assert_int_equal(container_list_yaml(&l, span_of(text), "c.yaml", &why), ERR_CONFIG);
	assert_int_equal(l.n, 0);
	assert_string_equal(why.text, sentence);
	container_list_fini(&l);
}

static void
a_flag_makes_a_container(void **state)
{
	struct container_list l = {.n = 0};
	const struct container_settings *c;

	assert_int_equal(
	    container_list_flag(&l,
				SPAN_LIT("name=markers, port=11213,memory=1GiB,policy=marker,persist=/m,"
					 "max_ttl=1d,socket=/s,listen=127.0.0.1;[::1]:5,stale_ttl=30s,"
					 "lease_seconds=5,guard_memory=1MiB,udp_port=7,"),
				NULL),
	    ERR_OK);
	assert_int_equal(container_list_flag(&l, SPAN_LIT("name=b,port=2"), NULL), ERR_OK);
	assert_int_equal(l.n, 2);
	c = &l.at[0];
	assert_string_equal(c->opt.name, "markers");
	assert_int_equal(c->opt.port, 11213);
	assert_int_equal(c->opt.udp_port, 7);
	assert_int_equal(c->opt.memory, 1 << 30);
	assert_int_equal(c->policy, CONTAINER_MARKER);
	assert_string_equal(c->opt.persist, "/m");
	assert_int_equal(c->opt.max_ttl, 86400);
	assert_string_equal(c->opt.socket, "/s");
	assert_string_equal(c->opt.listen, "127.0.0.1;[::1]:5");
	assert_int_equal(c->opt.stale_ttl, 30);
	assert_int_equal(c->opt.lease_seconds, 5);
	assert_int_equal(c->opt.guard_memory, 1 << 20);
	assert_int_equal(l.at[1].policy, CONTAINER_EVICT);
	assert_int_equal(l.at[1].opt.memory, 64 << 20);
	assert_int_equal(l.at[1].opt.lease_seconds, 10);
	assert_int_equal(container_list_find(&l, SPAN_LIT("b")), 1);
	assert_int_equal(container_list_find(&l, SPAN_LIT("c")), -1);
	assert_int_equal(container_list_check(&l, NULL, NULL), ERR_OK);
	container_list_fini(&l);
}

static void
what_is_wrong_in_a_flag_is_named(void **state)
{
	expect_bad_flag("name=a,prot=1", "unknown setting \"prot\"; did you mean \"port\"?");
	expect_bad_flag("name=a,zzzzzzzz=1", "there are: name, port");
	expect_bad_flag("name=a,port", "\"port\" has no \"=\"");
	expect_bad_flag("name=a,port=1,port=2", "port comes twice");
	expect_bad_flag("port=x", "--container port=x: port: \"x\" is not a whole number");
	expect_bad_flag("port=65536", "out of range");
	expect_bad_flag("policy=lru", "\"lru\" is not one of evict|store|marker");
	expect_bad_flag("memory=1k", "out of range: 1MiB");
}

static void
a_file_makes_containers(void **state)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};

	if (container_list_yaml(&l,
				SPAN_LIT("containers:\n"
					 "  - name: default\n"
					 "    port: 11211\n"
					 "    memory: 1GiB\n"
					 "  - name: m\n"
					 "    socket: m.sock\n"
					 "    policy: store\n"),
				"c.yaml", &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.at[0].opt.memory, 1 << 30);
	assert_int_equal(l.at[1].policy, CONTAINER_STORE);
	assert_int_equal(l.at[1].at.line, 5);
	assert_string_equal(l.at[1].opt.socket, "m.sock");
	container_list_fini(&l);
}

static void
what_is_wrong_in_a_file_is_named_with_its_place(void **state)
{
	expect_bad_yaml("", "c.yaml:1:1: the file must have a list \"containers:\", not nothing");
	expect_bad_yaml("{}", "c.yaml:1:1: the file has no list \"containers:\"");
	expect_bad_yaml("container: []",
			"c.yaml:1:1: unknown key \"container\"; did you mean \"containers\"?");
	expect_bad_yaml("containers:\n  - {na\n\n      me}\n",
			"c.yaml:2:6: unknown key \"na?me\" in containers[]; did you mean \"name\"?");
	expect_bad_yaml("zzz: []", "c.yaml:1:1: unknown key \"zzz\"; there is: \"containers\"");
	expect_bad_yaml(
	    "containers: []",
	    "c.yaml:1:13: containers must be a list of mappings (\"- name: ...\"), not an empty one");
	expect_bad_yaml("containers: x",
			"c.yaml:1:13: containers must be a list of mappings (\"- name: ...\"), not text");
	expect_bad_yaml("containers: [x]",
			"c.yaml:1:14: a container must be a mapping (\"name: ...\" lines), not text");
	expect_bad_yaml("containers:\n  - name: a\n    prot: 1\n",
			"c.yaml:3:5: unknown key \"prot\" in containers[]; did you mean \"port\"?");
	expect_bad_yaml("containers:\n  - name: a\n    port: x\n",
			"c.yaml:3:11: port: \"x\" is not a whole number (in containers[])");
	expect_bad_yaml("containers:\n  - port: 1\n",
			"c.yaml:2:5: \"\" is no name; take 1 to 32 letters, digits, _ - and .");
	expect_bad_yaml("containers:\n  - {name: a b, port: 1}\n",
			"c.yaml:2:5: \"a b\" is no name; take 1 to 32 letters, digits, _ - and .");
	expect_bad_yaml("containers:\n  - name: a\n",
			"c.yaml:2:5: \"a\" has neither port nor socket, so nobody could use it; give it one");
	expect_bad_yaml("containers:\n  - {name: a, port: 1}\n  - {name: a, port: 2}\n",
			"c.yaml:3:5: there are two containers named \"a\"; rename one");
	expect_bad_yaml("containers:\n  - {name: a, port: 1}\n  - {name: b, port: 1}\n",
			"c.yaml:3:5: \"b\" has the port of another container; give it its own");
	expect_bad_yaml("containers:\n  - {name: a, udp_port: 1}\n  - {name: b, udp_port: 1}\n",
			"c.yaml:3:5: \"b\" has the UDP port of another container; give it its own");
	expect_bad_yaml("containers:\n  - {name: a, socket: s}\n  - {name: b, socket: s}\n",
			"c.yaml:3:5: \"b\" has the socket of another container; give it its own");
	expect_bad_yaml(
	    "containers:\n  - {name: a, port: 1, persist: f}\n  - {name: b, port: 2, persist: f}\n",
	    "c.yaml:3:5: \"b\" has the file of another container; give it its own");
}

static void
a_socket_that_cannot_be_bound_is_refused(void **state)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};
	char flag[200] = "name=a,socket=/";

	memset(flag + strlen(flag), 's', CONTAINER_SOCKET_MAX);
	assert_int_equal(container_list_flag(&l, span_of(flag), &why), ERR_OK);
	assert_int_equal(container_list_check(&l, NULL, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "container \"a\": the socket of \"a\" is longer than 107 bytes"));
	container_list_fini(&l);
}

static void
containers_with_lists_of_their_own_may_share_a_port(void **state)
{
	struct container_list l = {.n = 0};

	assert_int_equal(container_list_flag(&l, SPAN_LIT("name=a,port=1,listen=127.0.0.1"), NULL), ERR_OK);
	assert_int_equal(container_list_flag(&l, SPAN_LIT("name=b,port=1,listen=::1"), NULL), ERR_OK);
	assert_int_equal(container_list_check(&l, NULL, NULL), ERR_OK);
	container_list_fini(&l);
}

static void
more_containers_than_there_may_be_are_refused(void **state)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};
	char flag[60];

	for (int i = 0; i < CONTAINER_MAX; i++) {
		snprintf(flag, sizeof(flag), "name=c%d,port=%d", i, i + 1);
		assert_int_equal(container_list_flag(&l, span_of(flag), NULL), ERR_OK);
	}
	assert_int_equal(container_list_flag(&l, SPAN_LIT("name=x,port=100"), &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "more than 64"));
	container_list_fini(&l);
}

static void
relative_paths_begin_at_the_folder_of_the_file(void **state)
{
	char path[] = "/tmp/squeal_conf_XXXXXX";
	struct container_list l = {.n = 0};
	static const char text[] = "containers:\n  - {name: a, socket: a.sock, persist: /abs}\n";
	int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(container_list_load(&l, path, NULL), ERR_OK);
	assert_string_equal(l.at[0].opt.socket, "/tmp/a.sock");
	assert_string_equal(l.at[0].opt.persist, "/abs");
	unlink(path);
	assert_int_not_equal(container_list_load(&l, path, NULL), ERR_OK);
	assert_int_equal(l.n, 1);
	container_list_fini(&l);
}

static void
the_sample_is_a_file_that_can_be_read(void **state)
{
	struct container_list l = {.n = 0};
	struct err_detail why = {0};
	struct buf b = BUF_INIT;

	container_sample(&b);
	if (container_list_yaml(&l, buf_span(&b), "sample", &why) != ERR_OK)
		fail_msg("%s", why.text);
	assert_int_equal(l.n, 2);
	for (size_t i = 0; i < container_section()->nrows; i++)
		assert_true(span_find(buf_span(&b), span_of(container_section()->rows[i].name)) >= 0);
	container_list_fini(&l);
	buf_fini(&b);
}

static void
the_schema_names_every_setting(void **state)
{
	struct buf b = BUF_INIT, name = BUF_INIT;

	container_json_schema(&b);
	for (size_t i = 0; i < container_section()->nrows; i++) {
		buf_clear(&name);
		buf_printf(&name, "\"%s\": {", container_section()->rows[i].name);
		assert_true(span_find(buf_span(&b), buf_span(&name)) >= 0);
	}
	buf_fini(&name);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_flag_makes_a_container),
	    cmocka_unit_test(what_is_wrong_in_a_flag_is_named),
	    cmocka_unit_test(a_file_makes_containers),
	    cmocka_unit_test(what_is_wrong_in_a_file_is_named_with_its_place),
	    cmocka_unit_test(a_socket_that_cannot_be_bound_is_refused),
	    cmocka_unit_test(containers_with_lists_of_their_own_may_share_a_port),
	    cmocka_unit_test(more_containers_than_there_may_be_are_refused),
	    cmocka_unit_test(relative_paths_begin_at_the_folder_of_the_file),
	    cmocka_unit_test(the_sample_is_a_file_that_can_be_read),
	    cmocka_unit_test(the_schema_names_every_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
