#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache-server/proto/test/talk.h"
#include "cache-server/report/report.h"
#include "lib/core/json.h"

enum { MAX_WORDS = 64 };

struct fixture {
	struct talk talk;
	struct settings settings;
	struct report_container container;
	struct serve_metrics serve[2];
	struct serve_metrics *serves[2];
	struct topk *hot;
	struct prefix *prefix;
	struct latency *latency;
	struct watch *watch;
	struct report *report;
	struct session_host_ops ops;
	bool caught;
};

static void
two_connections(void *arg, report_connection_fn *fn, void *fn_arg)
{
	fn(fn_arg, &(struct report_connection){.fd = 26,
					       .listening = true,
					       .address = "tcp:127.0.0.1:11211",
					       .state = "conn_listening",
					       .idle_s = 3});
	fn(fn_arg, &(struct report_connection){.fd = 30,
					       .udp = true,
					       .address = "unix:/run/a b",
					       .listen_address = "unix:/run/a b",
					       .state = "conn_nread",
					       .idle_s = 1});
}

static bool
ask_report(void *arg, struct cache *c, struct span what, session_emit_fn *emit, void *emit_arg)
{
	return report_stats(((struct fixture *)arg)->report, c, what, emit, emit_arg);
}

static struct session_dump *
ask_dump(void *arg, struct cache *c, struct span command, const char **why)
{
	return report_dump(((struct fixture *)arg)->report, c, command, why);
}

/* `line` is the command line behind the program's name. */
static void
begin(struct fixture *f, const char *line)
{
	char *argv[MAX_WORDS] = {"squeal-cache"}, *copy = strdup(line);
	struct err_detail why = {0};
	struct buf text = BUF_INIT;
	int argc = 1;

	memset(f, 0, sizeof *f);
	for (char *p = strtok(copy, " "); p; p = strtok(NULL, " "))
		argv[argc++] = p;
	if (settings_parse(&f->settings, argc, argv, &text, &why) != ERR_OK)
		fail_msg("%s", why.text);
	buf_fini(&text);
	free(copy);
	talk_begin(&f->talk, NULL);
	f->talk.limits.max_requests = 20;
	f->ops = TALK_OPS;
	f->ops.stats = ask_report;
	f->ops.dump = ask_dump;
	f->talk.host.ops = &f->ops;
	f->talk.host.arg = f;
	talk_reconnect(&f->talk);
	f->serves[0] = &f->serve[0];
	f->serves[1] = &f->serve[1];
	f->hot = topk_create(8, 1, 1);
	f->prefix = prefix_create(':', 16);
	f->latency = latency_create(1, 1);
	f->container = (struct report_container){.cache = f->talk.cache,
						 .settings = &f->settings.containers.at[0],
						 .hot_keys = &f->hot,
						 .prefixes = &f->prefix};
	assert_int_equal(
	    watch_create(&f->watch, &(struct watch_options){.clock = &f->talk.clock.clock}, NULL), ERR_OK);
	assert_int_equal(report_create(&f->report,
				       &(struct report_sources){.settings = &f->settings,
								.containers = &f->container,
								.ncontainers = 1,
								.nthreads = 1,
								.hot_clients = &f->hot,
								.latencies = &f->latency,
								.serve = f->serves,
								.nserve = 2,
								.watch = f->watch,
								.clock = &f->talk.clock.clock,
								.connections = two_connections},
				       &why),
			 ERR_OK);
}

static void
end(struct fixture *f)
{
	report_destroy(&f->report);
	watch_destroy(&f->watch);
	topk_destroy(&f->hot);
	prefix_destroy(&f->prefix);
	latency_destroy(&f->latency);
	talk_end(&f->talk);
	settings_fini(&f->settings);
}

static int
setup(void **state)
{
	begin(*state = malloc(sizeof(struct fixture)), "-u nobody");
	return 0;
}

static int
teardown(void **state)
{
	end(*state);
	free(*state);
	return 0;
}

static const char *
ask(struct fixture *f, const char *request)
{
	talk_clear(&f->talk);
	talk_say(&f->talk, request, strlen(request));
	return buf_str(&f->talk.replies);
}

/* The names of "STAT name value" lines with a space behind each. */
static const char *
names(const char *reply)
{
	static struct buf out;
	struct span rest = span_of(reply);

	buf_clear(&out);
	while (rest.len > 0) {
		struct span line = span_cut(&rest, '\n');

		if (span_is(span_cut(&line, ' '), "STAT")) {
			buf_put_span(&out, span_cut(&line, ' '));
			buf_putc(&out, ' ');
		}
	}
	return buf_str(&out);
}

/* A long text differs in the middle: shows where. */
static void
same_names(const char *got, const char *want)
{
	size_t i = 0;

	while (got[i] != '\0' && got[i] == want[i])
		i++;
	if (got[i] != want[i])
		fail_msg("\"%.60s\" instead of \"%.60s\"", got + i, want + i);
}

static bool
value_is(const char *reply, const char *name, const char *value)
{
	char line[256];

	snprintf(line, sizeof line, "STAT %s %s\r\n", name, value);
	return strstr(reply, line) != NULL;
}

#define KEYS_A                                                                                               \
	"pid uptime time version libevent pointer_size rusage_user rusage_system max_connections "           \
	"curr_connections total_connections rejected_connections connection_structures response_obj_oom "    \
	"response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free "           \
	"read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta get_hits get_misses "        \
	"get_expired get_flushed delete_misses delete_hits incr_misses incr_hits decr_misses decr_hits "     \
	"cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large store_no_memory auth_cmds "  \
	"auth_errors "
#define KEYS_B                                                                                               \
	"bytes_read bytes_written limit_maxbytes accepting_conns listen_disabled_num "                       \
	"time_in_listen_disabled_us threads conn_yields hash_power_level hash_bytes hash_is_expanding "      \
	"slab_reassign_rescues slab_reassign_chunk_rescues slab_reassign_inline_reclaim "                    \
	"slab_reassign_busy_items slab_reassign_busy_deletes slab_reassign_busy_nomem "                      \
	"slab_reassign_last_busy_status slab_reassign_running slabs_moved "
#define KEYS_C                                                                                               \
	"malloc_fails log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent "           \
	"log_watchers unexpected_napi_ids round_robin_fallback bytes curr_items total_items "                \
	"slab_global_page_pool expired_unfetched evicted_unfetched "
#define KEYS_D "evictions reclaimed crawler_reclaimed crawler_items_checked lrutail_reflocked "

/* memcached's t/stats.t: 84 keys for these options, in this order. */
static void
general_report_has_memcached_s_84_keys(void **state)
{
	struct fixture f;
	size_t n = 0;

	begin(&f, "-u nobody -I 1024 -o slab_chunk_max=1,no_lru_crawler,no_lru_maintainer");
	same_names(names(ask(&f, "stats\r\n")), KEYS_A KEYS_B KEYS_C KEYS_D);
	for (const char *p = KEYS_A KEYS_B KEYS_C KEYS_D; *p; p++)
		n += *p == ' ';
	assert_int_equal(n, 84);
	end(&f);
}

static void
defaults_add_the_keys_of_crawler_and_maintainer(void **state)
{
	struct fixture *f = *state;

	same_names(names(ask(f, "stats\r\n")),
		   KEYS_A KEYS_B "lru_crawler_running lru_crawler_starts lru_maintainer_juggles " KEYS_C
				 "evicted_active " KEYS_D "moves_to_cold moves_to_warm "
				 "moves_within_lru direct_reclaims lru_bumps_dropped ");
}

static void
idle_timeout_adds_its_key(void **state)
{
	struct fixture f;

	begin(&f, "-u nobody -o idle_timeout=5,no_lru_crawler,no_lru_maintainer");
	same_names(names(ask(&f, "stats\r\n")), KEYS_A "idle_kicks " KEYS_B KEYS_C KEYS_D);
	end(&f);
}

static void
values_are_what_happened(void **state)
{
	struct fixture *f = *state;
	const char *got;

	metric_bump(&f->serve[0].total_connections, 3);
	metric_bump(&f->serve[1].total_connections, 4);
	metric_bump(&f->serve[1].curr_connections, 2);
	ask(f, "set a 0 0 3\r\none\r\nget a\r\nget b\r\ndelete b\r\n");
	got = ask(f, "stats\r\n");
	assert_true(value_is(got, "version", "1.6.45"));
	assert_true(value_is(got, "pointer_size", "64"));
	assert_true(value_is(got, "cmd_set", "1"));
	assert_true(value_is(got, "get_hits", "1"));
	assert_true(value_is(got, "get_misses", "1"));
	assert_true(value_is(got, "delete_misses", "1"));
	assert_true(value_is(got, "curr_items", "1"));
	assert_true(value_is(got, "total_connections", "7"));
	assert_true(value_is(got, "curr_connections", "2"));
	assert_true(value_is(got, "limit_maxbytes", "67108864"));
	assert_true(value_is(got, "accepting_conns", "1"));
}

static void
reset_zeroes_counters_and_keeps_gauges(void **state)
{
	struct fixture *f = *state;
	const char *got;

	metric_bump(&f->serve[0].total_connections, 3);
	metric_bump(&f->serve[0].curr_connections, 2);
	ask(f, "set a 0 0 3\r\none\r\nget a\r\n");
	assert_string_equal(ask(f, "stats reset\r\n"), "RESET\r\n");
	metric_bump(&f->serve[0].total_connections, 1);
	got = ask(f, "stats\r\n");
	assert_true(value_is(got, "cmd_get", "0"));
	assert_true(value_is(got, "total_connections", "1"));
	assert_true(value_is(got, "curr_connections", "2"));
	assert_true(value_is(got, "curr_items", "1"));
}

/* What prometheus/memcached_exporter 0.16 demands: three words a line; what is before a first ":" is a
 * number, or "items" and a number. */
static void
check_exporter(const char *reply)
{
	struct span rest = span_of(reply);
	size_t lines = 0;

	for (; rest.len > 0; lines++) {
		struct span line = span_cut(&rest, '\n'), name, value, part;
		uint64_t n;

		assert_true(line.len > 0 && line.p[line.len - 1] == '\r');
		line.len--;
		if (span_is(line, "END")) {
			assert_int_equal(rest.len, 0);
			break;
		}
		assert_true(span_is(span_cut(&line, ' '), "STAT"));
		name = span_cut(&line, ' ');
		value = line;
		assert_true(name.len > 0 && value.len > 0);
		assert_int_equal(span_find(value, SPAN_LIT(" ")), -1);
		if (span_find(name, SPAN_LIT(":")) < 0)
			continue;
		part = span_cut(&name, ':');
		if (span_is(part, "items"))
			part = span_cut(&name, ':');
		assert_true(span_u64(part, &n));
		assert_int_equal(span_find(name, SPAN_LIT(":")), -1);
	}
	assert_true(lines > 0);
}

static void
every_report_fits_the_exporter(void **state)
{
	static const char *const reports[] = {
	    "stats\r\n",	  "stats settings\r\n", "stats items\r\n",	"stats slabs\r\n",
	    "stats conns\r\n",	  "stats sizes\r\n",	"stats leases\r\n",	"stats containers\r\n",
	    "stats segments\r\n", "stats hotkeys\r\n",	"stats hotclients\r\n", "stats restart\r\n",
	    "stats prefixes\r\n", "stats latency\r\n"};
	struct fixture *f = *state;

	topk_note(f->hot, SPAN_LIT("a key"), 1, 1);
	prefix_note(f->prefix, SPAN_LIT("user x:1"), PREFIX_HIT);
	latency_note(f->latency, LATENCY_GET, 1000);
	ask(f, "set a 0 0 3\r\none\r\nset b 0 100 3\r\none\r\nset c 0 9999 3\r\none\r\n");
	for (size_t i = 0; i < sizeof reports / sizeof *reports; i++)
		check_exporter(ask(f, reports[i]));
	assert_string_equal(ask(f, "stats nothing\r\n"), "ERROR\r\n");
}

static void
the_exporter_s_mandatory_keys_are_there_once_per_slab(void **state)
{
	struct fixture *f = *state;
	const char *got;

	ask(f, "set a 0 0 3\r\none\r\n");
	got = ask(f, "stats slabs\r\n");
	assert_true(value_is(got, "1:cmd_set", "1"));
	assert_true(value_is(got, "1:cas_hits", "0"));
	assert_true(value_is(got, "1:cas_badval", "0"));
	assert_true(value_is(got, "active_slabs", "1"));
	got = ask(f, "stats items\r\n");
	assert_true(value_is(got, "items:1:number", "1"));
}

static void
connections_are_listed_as_memcached_does(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "stats conns\r\n"), "STAT 26:addr tcp:127.0.0.1:11211\r\n"
						       "STAT 26:state conn_listening\r\n"
						       "STAT 26:secs_since_last_cmd 3\r\n"
						       "STAT 30:UDP UDP\r\n"
						       "STAT 30:addr unix:/run/a%20b\r\n"
						       "STAT 30:listen_addr unix:/run/a%20b\r\n"
						       "STAT 30:state conn_nread\r\n"
						       "STAT 30:secs_since_last_cmd 1\r\n"
						       "END\r\n");
}

static void
detail_is_switched_and_dumped(void **state)
{
	struct fixture *f = *state;

	assert_false(report_detail(f->report));
	assert_string_equal(ask(f, "stats detail dump\r\n"), "END\r\n");
	assert_string_equal(ask(f, "stats detail on\r\n"), "OK\r\n");
	assert_true(report_detail(f->report));
	prefix_note(f->prefix, SPAN_LIT("foo:1"), PREFIX_SET);
	prefix_note(f->prefix, SPAN_LIT("foo:1"), PREFIX_HIT);
	assert_string_equal(ask(f, "stats detail dump\r\n"), "PREFIX foo get 1 hit 1 set 1 del 0\r\nEND\r\n");
	assert_true(value_is(ask(f, "stats prefixes\r\n"), "1:prefix", "foo"));
	assert_string_equal(ask(f, "stats reset\r\n"), "RESET\r\n");
	assert_string_equal(ask(f, "stats detail dump\r\n"), "END\r\n");
	assert_string_equal(ask(f, "stats detail off\r\n"), "OK\r\n");
	assert_false(report_detail(f->report));
}

static void
hot_keys_come_with_their_share(void **state)
{
	struct fixture *f = *state;
	const char *got;

	topk_take(f->hot, SPAN_LIT("hot key"), 1, 3);
	topk_take(f->hot, SPAN_LIT("cold"), 2, 1);
	got = ask(f, "stats hotkeys\r\n");
	assert_true(value_is(got, "1:key", "hot%20key"));
	assert_true(value_is(got, "1:share", "0.7500"));
	assert_true(value_is(got, "2:key", "cold"));
}

/* Lines of 1.6.45's crawler.c. */
static void
dumps_are_memcached_s(void **state)
{
	struct fixture *f = *state;
	const char *got;

	assert_string_equal(ask(f, "lru_crawler metadump all\r\n"), "NOTSTARTED no items to crawl\r\n");
	ask(f, "set a/b 5 0 3\r\none\r\n");
	got = ask(f, "lru_crawler metadump all\r\n");
	assert_int_equal(strncmp(got, "OK\r\nkey=a%2Fb exp=-1 la=17", 25), 0);
	assert_non_null(strstr(got, " fetch=no cls=1 size="));
	assert_non_null(strstr(got, " flags=5 \nEND\r\n"));
	assert_string_equal(ask(f, "lru_crawler mgdump hash\r\n"), "OK\r\nmg a/b\r\nEN\r\n");
	assert_string_equal(ask(f, "lru_crawler mgdump 2\r\n"), "OK\r\nEN\r\n");
	assert_string_equal(ask(f, "lru_crawler mgdump 0\r\n"), "BADCLASS invalid class id\r\n");
	assert_string_equal(ask(f, "lru_crawler mgdump 1,x\r\n"), "BADCLASS invalid class id\r\n");
	assert_string_equal(ask(f, "lru_crawler mgdump 64\r\n"), "BADCLASS invalid class id\r\n");
	assert_string_equal(ask(f, "stats cachedump 1 10\r\n"), "ITEM a/b [3 b; 0 s]\r\nEND\r\n");
	assert_string_equal(ask(f, "stats cachedump 2 10\r\n"), "END\r\n");
	ask(f, "ms AQIg 3 b\r\ntwo\r\n");
	assert_non_null(strstr(ask(f, "lru_crawler mgdump all\r\n"), "mg AQIg b\r\n"));
}

static void
a_dump_that_shows_nothing_takes_turns_too(void **state)
{
	struct fixture *f = *state;
	char value[1001], line[1100];
	size_t before;

	memset(value, 'x', 1000);
	value[1000] = '\0';
	for (int i = 0; i < 8000; i++) {
		snprintf(line, sizeof line, "set key%d 0 0 1000\r\n%s\r\n", i, value);
		assert_string_equal(ask(f, line), "STORED\r\n");
	}
	before = f->talk.feeds;
	assert_string_equal(ask(f, "lru_crawler mgdump 2\r\n"), "OK\r\nEN\r\n");
	assert_true(f->talk.feeds - before > 2);
}

static void
ignore_wake(void *arg)
{
}

/* More than fits: each item that had to go is a line for whoever watches. */
static void
evictions_are_told_to_watchers(void **state)
{
	struct fixture *f = *state;
	struct watcher *wr = watch_add(f->watch, WATCH_EVICTIONS, ignore_wake, NULL);
	char *value = malloc(10001), line[8192];

	memset(value, 'x', 10000);
	value[10000] = '\0';
	for (int i = 0; i < 3000; i++) {
		char set[64];

		snprintf(set, sizeof set, "set key%d 0 100 10000 noreply\r\n", i);
		ask(f, set);
		ask(f, value);
		ask(f, "\r\n");
	}
	assert_true(watch_collect(f->watch));
	line[watcher_take(wr, line, sizeof line - 1)] = '\0';
	assert_non_null(strstr(line, " type=eviction key=key"));
	assert_non_null(strstr(line, " fetch=no ttl=100 la=0 clsid=15 size=10000\n"));
	watch_remove(f->watch, &wr);
	free(value);
}

static void
a_dump_of_many_items_has_each_of_them(void **state)
{
	struct fixture *f = *state;
	const char *got;

	for (int i = 0; i < 3000; i++) {
		char set[64];

		snprintf(set, sizeof set, "set key%d 0 0 1\r\nx\r\n", i);
		ask(f, set);
	}
	got = ask(f, "lru_crawler mgdump all\r\n");
	for (int i = 0; i < 3000; i++) {
		char line[64];

		snprintf(line, sizeof line, "mg key%d\r\n", i);
		assert_non_null(strstr(got, line));
	}
	got = ask(f, "stats cachedump 1 7\r\n");
	for (int i = 0; i < 7; i++)
		got = strstr(got, "ITEM ") + 1;
	assert_null(strstr(got, "ITEM "));
}

/* Each family once, and every line "name{labels} number". */
static void
prometheus_text_is_well_formed(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct span rest;

	ask(f, "set a 0 0 3\r\none\r\nget a\r\n");
	report_metrics(f->report, &text);
	assert_non_null(strstr(buf_str(&text), "squeal_cache_get_hits_total{container=\"default\"} 1\n"));
	rest = buf_span(&text);
	while (rest.len > 0) {
		struct span line = span_cut(&rest, '\n'), name;
		char help[256];
		const char *first;

		if (span_starts(line, SPAN_LIT("# HELP "))) {
			line = span_from(line, 7);
			name = span_cut(&line, ' ');
			snprintf(help, sizeof help, "# HELP %.*s ", SPAN_FMT(name));
			first = strstr(buf_str(&text), help);
			if (strstr(first + 1, help))
				fail_msg("%s comes twice", help);
		} else if (!span_starts(line, SPAN_LIT("#"))) {
			assert_true(line.len > 0 && isdigit((unsigned char)line.p[line.len - 1]));
			assert_true(span_starts(line, SPAN_LIT("squeal_cache_")));
		}
	}
	buf_fini(&text);
}

static void
status_is_an_object_with_the_containers(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct json j;

	ask(f, "set a 0 0 3\r\none\r\n");
	json_init(&j, &text);
	json_object(&j);
	report_status(f->report, &j);
	json_object_end(&j);
	assert_non_null(strstr(buf_str(&text), "\"containers\":[{\"name\":\"default\",\"policy\":\"evict\""));
	assert_non_null(strstr(buf_str(&text), "\"cmd_set\":1"));
	assert_non_null(strstr(buf_str(&text), "\"segments\":["));
	buf_fini(&text);
}

static void
tables_of_metrics_can_be_had_as_text(void **state)
{
	struct buf text = BUF_INIT;

	report_markdown(&text);
	assert_non_null(strstr(buf_str(&text), "cache_lease_given"));
	assert_non_null(strstr(buf_str(&text), "cache_curr_connections"));
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(general_report_has_memcached_s_84_keys),
	    cmocka_unit_test_setup_teardown(defaults_add_the_keys_of_crawler_and_maintainer, setup, teardown),
	    cmocka_unit_test(idle_timeout_adds_its_key),
	    cmocka_unit_test_setup_teardown(values_are_what_happened, setup, teardown),
	    cmocka_unit_test_setup_teardown(reset_zeroes_counters_and_keeps_gauges, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_report_fits_the_exporter, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_exporter_s_mandatory_keys_are_there_once_per_slab, setup,
					    teardown),
	    cmocka_unit_test_setup_teardown(connections_are_listed_as_memcached_does, setup, teardown),
	    cmocka_unit_test_setup_teardown(detail_is_switched_and_dumped, setup, teardown),
	    cmocka_unit_test_setup_teardown(hot_keys_come_with_their_share, setup, teardown),
	    cmocka_unit_test_setup_teardown(dumps_are_memcached_s, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_dump_that_shows_nothing_takes_turns_too, setup, teardown),
	    cmocka_unit_test_setup_teardown(evictions_are_told_to_watchers, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_dump_of_many_items_has_each_of_them, setup, teardown),
	    cmocka_unit_test_setup_teardown(prometheus_text_is_well_formed, setup, teardown),
	    cmocka_unit_test_setup_teardown(status_is_an_object_with_the_containers, setup, teardown),
	    cmocka_unit_test(tables_of_metrics_can_be_had_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
