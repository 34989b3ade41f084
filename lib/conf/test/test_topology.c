#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf/topology.h"
#include "lib/core/test/files.h"

#define DATA "lib/conf/test/data"

static struct topology *
parse(const char *text)
{
	struct topology *t;
	struct err_detail why = {0};

	if (topology_parse(&t, span_of(text), "t.yaml", &why) != ERR_OK)
		fail_msg("%s", why.text);
	return t;
}

static err_t
refuse(struct span text, struct err_detail *why)
{
	struct topology *t;
	err_t err = topology_parse(&t, text, "squeal.yaml", why);

	assert_null(t);
	assert_null(strchr(why->text, '\n'));
	return err;
}

static void
every_bad_file_says_where_what_and_what_would_be_right(void **state)
{
	files_assert_bad(DATA, 121, refuse);
}

static err_t
take(const char *path, struct err_detail *why)
{
	struct topology *t;
	err_t err = topology_load(&t, path, why);

	if (err != ERR_OK)
		return err;
	assert_true(t->log.path[0] != '\0');
	topology_destroy(&t);
	assert_null(t);
	return ERR_OK;
}

static void
every_good_file_is_taken(void **state)
{
	files_assert_good(DATA, 9, take);
}

static void
what_is_left_out_is_the_default(void **state)
{
	struct topology *t = parse("log: {path: /l}");

	assert_string_equal(t->region.region, "default");
	assert_string_equal(t->log.type, "sqlite");
	assert_int_equal(t->log.retention, 86400);
	assert_int_equal(t->log.max_size, 10ull << 30);
	assert_string_equal(t->source.host, "127.0.0.1");
	assert_int_equal(t->source.heartbeat, 1000);
	assert_string_equal(t->markers.tag, "inv");
	assert_false(t->markers.anywhere);
	assert_int_equal(t->squeal.queue_bytes, 8 << 20);
	assert_int_equal(t->router.window_keys, 500);
	assert_int_equal(t->nclusters, 0);
	topology_destroy(&t);
	topology_destroy(&t);
}

static void
the_full_file_is_read_to_the_last_value(void **state)
{
	struct topology *t;
	struct err_detail why = {0};
	const struct cluster *c;
	struct buf address = BUF_INIT;

	assert_int_equal(topology_load(&t, DATA "/good.full.yaml", &why), ERR_OK);
	assert_string_equal(t->region.region, "eu");
	assert_int_equal(t->log.retention, 7 * 86400);
	assert_int_equal(t->log.max_size, 1 << 30);
	assert_string_equal(t->log.sync, "normal");
	assert_string_equal(t->source.name, "users-db");
	assert_int_equal(t->source.port, 3307);
	assert_string_equal(t->source.tls, "verify");
	assert_int_equal(t->source.server_id, 4294967295);
	assert_string_equal(t->source.start, "gtid:0-1-100,2-3-400");
	assert_int_equal(t->source.heartbeat, 500);
	assert_int_equal(t->source.dead_after, 2000);
	assert_true(t->markers.anywhere);
	assert_string_equal(t->squeal.admin, "[::1]:9401");
	assert_string_equal(t->squeal.log_level, "debug");
	assert_int_equal(t->squeal.linger, 1);
	assert_int_equal(t->router.window_keys, 100);
	assert_int_equal(t->nclusters, 3);

	c = topology_cluster(t, "front1");
	assert_non_null(c);
	assert_string_equal(c->opt.admin, "127.0.0.1:9411");
	assert_string_equal(c->opt.distribution, "ketama");
	assert_string_equal(c->opt.namespace, "app:");
	assert_int_equal(c->nservers, 4);
	assert_string_equal(c->servers[0].host, "10.0.0.1");
	assert_int_equal(c->servers[0].port, 11211);
	assert_int_equal(c->servers[0].weight, 1);
	assert_string_equal(c->servers[1].host, "2001:db8::7");
	assert_int_equal(c->servers[1].port, 11212);
	assert_string_equal(c->servers[2].host, "/run/memcached.sock");
	assert_int_equal(c->servers[2].port, 0);
	assert_string_equal(c->servers[3].host, "cache4");
	assert_int_equal(c->servers[3].port, 11211);
	for (size_t i = 0; i < 4; i++) {
		topology_server_address(&c->servers[i], &address);
		buf_putc(&address, ' ');
	}
	assert_string_equal(buf_str(&address),
			    "10.0.0.1:11211 [2001:db8::7]:11212 /run/memcached.sock 127.0.0.1:21211 ");

	c = topology_cluster(t, "front2");
	assert_string_equal(c->opt.admin, "");
	assert_int_equal(c->servers[0].weight, 2);
	assert_string_equal(c->servers[1].host, "/run/m.sock");
	assert_int_equal(c->servers[1].port, 0);
	assert_int_equal(c->servers[1].weight, 3);
	c = topology_cluster(t, "front3");
	assert_string_equal(c->opt.hash, "crc");
	assert_string_equal(c->servers[0].host, "b"); /* the file's order */
	assert_string_equal(c->servers[1].host, "a");
	assert_null(topology_cluster(t, "front4"));
	buf_fini(&address);
	topology_destroy(&t);
}

static void
relative_paths_begin_at_the_files_folder(void **state)
{
	struct topology *t;
	struct err_detail why = {0};
	struct buf text = BUF_INIT;

	assert_int_equal(topology_load(&t, DATA "/good.full.yaml", &why), ERR_OK);
	assert_string_equal(t->log.path, DATA "/log.db");
	assert_string_equal(t->source.password_file, DATA "/secret/password");
	assert_string_equal(t->source.tls_ca, "/etc/ssl/ca.pem");
	assert_string_equal(t->source.tls_cert, DATA "/cert.pem");
	assert_string_equal(t->source.tls_key, DATA "/key.pem");
	assert_string_equal(t->source.socket, "");
	assert_string_equal(t->markers.rules, DATA "/rules.yaml");
	assert_string_equal(t->squeal.spill_dir, DATA "/spill");
	assert_string_equal(t->router.trace_file, DATA "/trace.log");
	assert_string_equal(topology_cluster(t, "front1")->opt.cursors, DATA "/front1.db");
	assert_string_equal(topology_cluster(t, "front2")->opt.cursors, "");
	topology_destroy(&t);
	/* Text has no folder. */
	files_read(DATA "/good.full.yaml", &text);
	t = parse(buf_str(&text));
	assert_string_equal(t->log.path, "log.db");
	topology_destroy(&t);
	buf_fini(&text);
}

static void
a_file_that_is_not_there_is_named(void **state)
{
	struct topology *t;
	struct err_detail why = {0};

	assert_int_equal(topology_load(&t, "/nowhere/squeal.yaml", &why), ERR_NOT_FOUND);
	assert_null(t);
	assert_non_null(strstr(why.text, "/nowhere/squeal.yaml"));
	err_clear(&why);
	assert_int_equal(topology_load(&t, DATA, &why), ERR_IO); /* a folder */
	assert_non_null(strstr(why.text, DATA));
}

static void
note_change(void *arg, const char *section, const char *name, bool taken)
{
	buf_printf(arg, "%s.%s%s ", section, name, taken ? "+" : "-");
}

static void
reload_takes_what_can_be_taken_and_tells_the_rest(void **state)
{
	struct topology *t =
	    parse("log: {path: /l, retention: 1h}\n"
		  "source: {host: a}\n"
		  "squeal: {log_level: info, linger: 1ms}\n"
		  "clusters: [{name: a, servers: [h:1, h:2]}, {name: b, servers: [h:1]}, {name: c, "
		  "servers: [h:3]}]\n");
	struct topology *fresh =
	    parse("log: {path: /other, retention: 2h}\n"
		  "source: {host: b}\n"
		  "squeal: {log_level: debug, linger: 1ms}\n"
		  "clusters: [{name: a, hash: md5, servers: [h:2, h:1]}, {name: d, servers: "
		  "[h:1]}, {name: c, servers: [h:3]}]\n");
	struct buf seen = BUF_INIT;

	topology_reload(t, fresh, note_change, &seen);
	assert_string_equal(buf_str(&seen), "log.path- log.retention+ source.host- squeal.log_level+ "
					    "clusters[a].hash+ clusters[a].pools[default].hash+ "
					    "clusters[a].pools[default].servers+ clusters.d- clusters.b- ");
	assert_int_equal(t->log.retention, 7200);
	assert_string_equal(t->log.path, "/l");
	assert_string_equal(t->squeal.log_level, "debug");
	assert_string_equal(t->source.host, "a");
	assert_int_equal(t->nclusters, 3);
	buf_clear(&seen);
	topology_reload(t, t, note_change, &seen);
	assert_int_equal(seen.len, 0);
	buf_fini(&seen);
	topology_destroy(&fresh);
	assert_string_equal(t->squeal.log_level, "debug"); /* a copy */
	topology_destroy(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_bad_file_says_where_what_and_what_would_be_right),
	    cmocka_unit_test(every_good_file_is_taken),
	    cmocka_unit_test(what_is_left_out_is_the_default),
	    cmocka_unit_test(the_full_file_is_read_to_the_last_value),
	    cmocka_unit_test(relative_paths_begin_at_the_files_folder),
	    cmocka_unit_test(a_file_that_is_not_there_is_named),
	    cmocka_unit_test(reload_takes_what_can_be_taken_and_tells_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
