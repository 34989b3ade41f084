#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache-server/settings/settings.h"
#include "lib/core/test/test.h"

enum { WORDS_MAX = 64 };

/* The command line of `text`, which is cut at its spaces, as the shell would do it. */
static err_t
parse(struct settings *s, const char *text, struct buf *out, struct err_detail *why)
{
	char *copy = strdup(text), *words[WORDS_MAX] = {"squeal-cache"}, *rest = copy, *word;
	int n = 1;
	err_t err;

	while ((word = strsep(&rest, " ")) != NULL && n < WORDS_MAX) {
		if (word[0] != '\0')
			words[n++] = word;
	}
	err = settings_parse(s, n, words, out, why);
	memset(copy, 'x', strlen(text)); /* it copies what it keeps */
	free(copy);
	return err;
}

/* With `out` NULL there must be no notices. */
static struct settings
good(const char *text, struct buf *out)
{
	struct settings s;
	struct err_detail why = {0};
	struct buf none = BUF_INIT;

	if (parse(&s, text, out != NULL ? out : &none, &why) != ERR_OK)
		fail_msg("%s: %s", text, why.text);
	assert_string_equal(buf_str(&none), "");
	buf_fini(&none);
	return s;
}

static void
bad(const char *text, const char *sentence)
{
	struct settings s;
	struct err_detail why = {0};
	struct buf out = BUF_INIT;

	if (parse(&s, text, &out, &why) == ERR_OK)
		fail_msg("%s was taken", text);
	if (strstr(why.text, sentence) == NULL)
		fail_msg("%s: \"%s\" is not in: %s", text, sentence, why.text);
	assert_null(strchr(why.text, '\n'));
	buf_fini(&out);
}

/* The listeners of all containers, "name:tcp 127.0.0.1:1 udp 127.0.0.1:2". */
static void
expect_listeners(const char *text, const char *expected)
{
	struct settings s = good(text, NULL);
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < s.containers.n; i++) {
		const struct container_settings *c = &s.containers.at[i];

		buf_printf(&b, "%s%s", i > 0 ? "; " : "", c->opt.name);
		for (size_t j = 0; j < c->tcp.n; j++) {
			buf_put_str(&b, " tcp ");
			listen_print(&c->tcp.at[j], &b);
		}
		for (size_t j = 0; j < c->udp.n; j++) {
			buf_put_str(&b, " udp ");
			listen_print(&c->udp.at[j], &b);
		}
		if (c->opt.socket[0] != '\0')
			buf_printf(&b, " %s", c->opt.socket);
	}
	assert_string_equal(buf_str(&b), expected);
	buf_fini(&b);
	settings_fini(&s);
}

static void
without_flags_everything_has_memcacheds_default_but_the_addresses(void **state)
{
	struct settings s = good("", NULL);
	const struct container_settings *c = &s.containers.at[0];

	assert_int_equal(s.action, SETTINGS_RUN);
	assert_int_equal(s.port, 11211);
	assert_int_equal(s.udp_port, 0);
	assert_int_equal(s.memory, 64 << 20);
	assert_int_equal(s.maxconns, 1024);
	assert_int_equal(s.threads, 4);
	assert_int_equal(s.backlog, 1024);
	assert_int_equal(s.reqs_per_event, 20);
	assert_int_equal(s.item_size_max, 1 << 20);
	assert_int_equal(s.unix_mask, 0700);
	assert_int_equal(s.prefix_delimiter, ':');
	assert_int_equal(s.protocol, LISTEN_AUTO);
	assert_int_equal(s.lease_seconds, 10);
	assert_int_equal(s.stale_ttl, 0);
	assert_true(s.maxconns_fast);
	assert_false(s.detail_enabled);
	assert_string_equal(s.unix_socket, "");
	assert_int_equal(s.containers.n, 1);
	assert_string_equal(c->opt.name, "default");
	assert_int_equal(c->policy, CONTAINER_EVICT);
	assert_int_equal(c->opt.memory, 64 << 20);
	assert_int_equal(c->tcp.n, 2);
	assert_string_equal(c->tcp.at[0].host, "127.0.0.1");
	assert_string_equal(c->tcp.at[1].host, "::1");
	assert_int_equal(c->udp.n, 0);
	settings_fini(&s);
}

static void
ports_may_be_any_free_one_or_none(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s;

	expect_listeners("-p -1 -l 127.0.0.1", "default tcp 127.0.0.1:0");
	expect_listeners("-U -1 -l 127.0.0.1", "default tcp 127.0.0.1:0 udp 127.0.0.1:0");
	expect_listeners("-p 7 -U -1 -l 127.0.0.1", "default tcp 127.0.0.1:7 udp 127.0.0.1:0");
	expect_listeners("-p -1 -U 7 -l 127.0.0.1", "default tcp 127.0.0.1:0 udp 127.0.0.1:7");
	expect_listeners("-U 7 -l 127.0.0.1", "default tcp 127.0.0.1:7 udp 127.0.0.1:7");
	s = good("-p 0", &out);
	assert_string_equal(buf_str(&out),
			    "squeal-cache: notice: with -p 0 and neither -U nor -s nobody can connect\n");
	assert_int_equal(s.containers.at[0].tcp.n + s.containers.at[0].udp.n, 0);
	settings_fini(&s);
	buf_fini(&out);
	bad("-U -2", "-U: \"-2\"");
}

static void
each_short_flag_reaches_its_field(void **state)
{
	struct settings s =
	    good("-p 1 -U 2 -a 777 -A -l 127.0.0.1 -d -r -u nobody -m 128 -M -c 9 -k -vvv -P /p -D / "
		 "-t 2 -R 7 -C -b 8675 -B ascii -I 2m -F -X -W -e /mem",
		 NULL);

	assert_int_equal(s.port, 1);
	assert_int_equal(s.udp_port, 2);
	assert_int_equal(s.unix_mask, 0777);
	assert_true(s.shutdown_command && s.daemonize && s.coredumps && s.disable_evictions && s.lock_memory);
	assert_true(s.disable_cas && s.disable_flush_all && s.disable_dumping && s.disable_watch);
	assert_string_equal(s.listen, "127.0.0.1");
	assert_string_equal(s.user, "nobody");
	assert_int_equal(s.memory, 128 << 20);
	assert_int_equal(s.maxconns, 9);
	assert_int_equal(s.verbose, 3);
	assert_string_equal(s.pid_file, "/p");
	assert_int_equal(s.prefix_delimiter, '/');
	assert_true(s.detail_enabled);
	assert_int_equal(s.threads, 2);
	assert_int_equal(s.reqs_per_event, 7);
	assert_int_equal(s.backlog, 8675);
	assert_int_equal(s.protocol, LISTEN_ASCII);
	assert_int_equal(s.item_size_max, 2 << 20);
	assert_string_equal(s.memory_file, "/mem");
	assert_int_equal(s.containers.at[0].policy, CONTAINER_STORE);
	assert_string_equal(s.containers.at[0].opt.persist, "/mem");
	settings_fini(&s);
}

static void
each_long_name_of_memcached_is_taken(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s = good(
	    "--port=1 --udp-port 2 --unix-mask=777 --enable-shutdown --listen=127.0.0.1 --daemon "
	    "--enable-coredumps --user=nobody --memory-limit=128 --disable-evictions --conn-limit=9 "
	    "--lock-memory --verbose --verbose=x --pidfile=/p --slab-growth-factor=1.5 --slab-min-size=64 "
	    "--threads=2 --enable-largepages --max-reqs-per-event=7 --disable-cas --listen-backlog=3 "
	    "--protocol=binary --max-item-size=64k --disable-flush-all --disable-dumping --disable-watch "
	    "--memory-file=/m --extended=idle_timeout=4 --napi-ids=1",
	    &out);

	assert_int_equal(s.port, 1);
	assert_int_equal(s.verbose, 2);
	assert_int_equal(s.item_size_max, 64 << 10);
	assert_int_equal(s.idle_timeout, 4);
	assert_int_equal(s.napi_ids, 1);
	assert_true(s.growth_factor == 1.5 && s.chunk_size == 64 && s.large_pages);
	assert_non_null(
	    strstr(buf_str(&out), "--slab-growth-factor, --slab-min-size, --enable-largepages, --napi-ids"));
	settings_fini(&s);
	buf_fini(&out);
}

static void
a_value_stands_behind_its_letter_or_is_the_next_word(void **state)
{
	struct settings s = good("-vp1 -t2 -kFm 128 -l127.0.0.1", NULL);

	assert_int_equal(s.port, 1);
	assert_int_equal(s.threads, 2);
	assert_int_equal(s.memory, 128 << 20);
	assert_true(s.lock_memory && s.disable_flush_all);
	settings_fini(&s);
}

static void
white_space_around_a_value_means_nothing(void **state)
{
	char *words[] = {"x", "-p", " 1", "-m", " 128 ", "-D", " "};
	struct settings s;
	struct buf out = BUF_INIT;

	assert_int_equal(settings_parse(&s, 7, words, &out, NULL), ERR_OK);
	assert_int_equal(s.port, 1);
	assert_int_equal(s.memory, 128 << 20);
	assert_int_equal(s.prefix_delimiter, ' ');
	settings_fini(&s);
	buf_fini(&out);
}

static void
a_unique_beginning_of_a_long_name_is_enough(void **state)
{
	struct settings s = good("--memory-l=128 --th 2 --disable-f", NULL);

	assert_int_equal(s.threads, 2);
	assert_true(s.disable_flush_all);
	settings_fini(&s);
	bad("--disable", "--disable may be --disable-evictions or ");
	bad("--mem=128", "--mem may be --memory-limit or --memory-file");
}

static void
numbers_that_are_none_or_out_of_range_are_refused(void **state)
{
	bad("-p x", "-p: \"x\" is not a whole number");
	bad("-p 65536", "-p: 65536 is out of range: 0 to 65535");
	bad("-p -2", "-p: \"-2\" is not");
	bad("-c 0", "-c: 0 is out of range: 1 to");
	bad("-c -1", "-c: \"-1\" is not");
	bad("-t 0", "-t: 0 is out of range");
	bad("-R 0", "-R: 0 is out of range");
	bad("-m 0", "out of range: 1 to 67108864 megabytes");
	bad("-m 18446744073709551615", "is not a number of megabytes");
	bad("-m 1.5", "is not a number of megabytes");
	bad("-I 1000", "-I: 1000 is out of range: 1024 to 1073741824");
	bad("-I 2g", "out of range");
	bad("-I 1x", "is not a number of bytes");
	bad("-a 8", "is not an octal number");
	bad("-a 10000", "out of range: 0 to 7777");
	bad("-f 1", "-f: 1 is out of range: 1.01 to");
	bad("-f x", "is not a number such as");
	bad("-B http", "-B: \"http\" is not one of ascii, binary and auto");
	bad("-b x", "-b: ");
	bad("-o ssl_verify_mode=4", "out of range: 0 to 3");
	bad("-o watcher_logbuf_size=0", "out of range: 1 to 1048576 kilobytes");
	bad("--stale-ttl=1y", "is not a number of seconds");
	bad("-p", "-p needs a value: <num>");
	bad("--port", "--port needs a value");
	bad("-D ", "-D needs a value");
	bad("--daemon=yes", "--daemon takes no value");
}

static void
sizes_and_times_may_have_units(void **state)
{
	struct settings s = good("-m 1g -I 1M --guard-memory=1MiB --stale-ttl 10m --max-ttl 1d "
				 "-o idle_timeout=2h,watcher_logbuf_size=1m",
				 NULL);

	assert_int_equal(s.memory, 1 << 30);
	assert_int_equal(s.item_size_max, 1 << 20);
	assert_int_equal(s.guard_memory, 1 << 20);
	assert_int_equal(s.stale_ttl, 600);
	assert_int_equal(s.max_ttl, 86400);
	assert_int_equal(s.idle_timeout, 7200);
	assert_int_equal(s.watcher_logbuf_size, 1 << 20);
	assert_int_equal(s.containers.at[0].opt.stale_ttl, 600);
	assert_int_equal(s.containers.at[0].opt.max_ttl, 86400);
	assert_int_equal(s.containers.at[0].opt.guard_memory, 1 << 20);
	settings_fini(&s);
}

static void
what_nobody_knows_is_an_error_with_a_suggestion(void **state)
{
	bad("-q", "unknown flag -q");
	bad("--a\r\nb", "unknown option --a??b");
	bad("--udp-prot 5", "unknown option --udp-prot; did you mean --udp-port?");
	bad("--zzzzzzzzzzzzzzzzz", "squeal-cache --help names them all");
	bad("--=1", "unknown option --");
	bad("-o idletimeout=4", "unknown option -o idletimeout; did you mean -o idle_timeout?");
	bad("-o no_maxcons_fast", "did you mean -o no_maxconns_fast?");
	bad("-o no_idle_timeout", "unknown option -o no_");
	bad("-o zzzzzzzzzzzzzzzzz", "unknown option -o zzzzzzzzzzzzzzzzz");
	bad("-o =4", "unknown option");
	bad("-o idle_timeout", "-o idle_timeout needs a value, as in -o idle_timeout=seconds");
	bad("-o no_slab_automove=1", "takes no value");
	bad("-o maxconns_fast=maybe", "is not yes or no");
	bad("-S", "no SASL");
	bad("-o proxy_config=x.lua", "no proxy");
}

static void
options_of_the_engine_are_named_in_one_notice_and_kept(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s =
	    good("-f 1.1 -n 5 -L -o slab_reassign,slab_automove=2,no_slab_reassign,lru_crawler,"
		 "hash_algorithm=xxh3,ext_path=/x:1G,hot_lru_pct=30,slab_chunk_max=16,"
		 "relaxed_privileges,slab_automove,hashpower=20,resp_obj_mem_limit",
		 &out);

	assert_string_equal(
	    buf_str(&out),
	    "squeal-cache: notice: without effect, memcached's storage engine is not here: -f, -n, -L, "
	    "-o slab_reassign, -o slab_automove, -o no_slab_reassign, -o lru_crawler, -o hash_algorithm, "
	    "-o ext_path, -o hot_lru_pct, -o slab_chunk_max, -o relaxed_privileges, -o hashpower, "
	    "-o resp_obj_mem_limit\n");
	assert_false(s.slab_reassign);
	assert_int_equal(s.slab_automove, 1);
	assert_int_equal(s.slab_chunk_max, 16 << 10);
	assert_string_equal(s.hash_algorithm, "xxh3");
	settings_fini(&s);
	buf_fini(&out);
}

static void
no_modern_has_the_defaults_of_before_and_what_follows_counts(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s = good("-o no_modern,lru_crawler", &out);

	assert_false(s.maxconns_fast);
	assert_false(s.lru_maintainer);
	assert_true(s.lru_crawler);
	settings_fini(&s);
	buf_fini(&out);
}

static void
words_that_are_no_flags_are_named_and_not_used(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s = good("foo -p 1 - bar\x01 -- -p 2", &out);

	assert_int_equal(s.port, 1);
	assert_string_equal(buf_str(&out),
			    "squeal-cache: notice: not understood and not used: foo, -, bar?, -p, 2\n");
	settings_fini(&s);
	buf_fini(&out);
}

/* What memcached does with -U and no -p, with -s, and with -l that is repeated. */
static void
ports_and_sockets_follow_memcacheds_rules(void **state)
{
	expect_listeners("-U 5", "default tcp 127.0.0.1:5 tcp [::1]:5 udp 127.0.0.1:5 udp [::1]:5");
	expect_listeners("-U 5 -p 6 -l 127.0.0.1", "default tcp 127.0.0.1:6 udp 127.0.0.1:5");
	expect_listeners("-U 0 -l 127.0.0.1", "default tcp 127.0.0.1:11211");
	expect_listeners("-s /s", "default /s");
	expect_listeners("-s /s -p 5 -U 6", "default /s");
	expect_listeners("-s /s -l 0.0.0.0", "default /s");
	expect_listeners("-l 127.0.0.1 -l ::1 -l 127.0.0.1 -p 7", "default tcp 127.0.0.1:7 tcp [::1]:7");
	expect_listeners("-l 127.0.0.1,127.0.0.1:8 -p 7", "default tcp 127.0.0.1:7 tcp 127.0.0.1:8");
	expect_listeners("-p -1 -l 127.0.0.1", "default tcp 127.0.0.1:0");
}

static void
an_address_that_others_reach_needs_tls_passwords_or_permission(void **state)
{
	struct settings s;

	bad("-l 0.0.0.0", "refusing to bind 0.0.0.0:11211: anyone who reaches it");
	bad("-l *", "refusing to bind *:11211");
	bad("-l 127.0.0.1,::", "refusing to bind [::]:11211");
	bad("-l 10.0.0.1", "use TLS (-Z), passwords (-Y) or a loopback address");
	bad("-l fooble", "refusing to bind fooble:11211");
	bad("-Z -o ssl_chain_cert=c -l notls:10.0.0.1", "refusing to bind 10.0.0.1:11211");
	bad("-Z -o ssl_chain_cert=c -l 10.0.0.1 -U 5", "refusing to bind UDP 10.0.0.1:5");
	bad("--container name=a,port=1,listen=*", "refusing to bind *:1");
	s = good("-l 0.0.0.0 -U 5 --allow-wildcard", NULL);
	settings_fini(&s);
	s = good("-l 0.0.0.0 -o allow_wildcard", NULL);
	settings_fini(&s);
	s = good("-l 0.0.0.0 -Y /auth", NULL);
	settings_fini(&s);
	s = good("-l 0.0.0.0 -Z -o ssl_chain_cert=c", NULL);
	assert_int_equal(s.containers.at[0].tcp.at[0].tls, LISTEN_TLS);
	settings_fini(&s);
	s = good("-l notls:127.0.0.1,0.0.0.0 -U 5 -p 6 -Z -o ssl_chain_cert=c,allow_wildcard", NULL);
	assert_int_equal(s.containers.at[0].tcp.at[0].tls, LISTEN_PLAIN);
	assert_int_equal(s.containers.at[0].udp.at[1].tls, LISTEN_PLAIN);
	settings_fini(&s);
}

static void
passwords_go_with_the_ascii_protocol_only(void **state)
{
	struct settings s = good("-Y /auth", NULL);

	assert_int_equal(s.protocol, LISTEN_ASCII);
	assert_int_equal(s.containers.at[0].tcp.at[0].protocol, LISTEN_ASCII);
	settings_fini(&s);
	s = good("-Y /auth -B ascii", NULL);
	settings_fini(&s);
	bad("-Y /auth -B auto", "only the ASCII protocol can authenticate");
	bad("-Y /auth -B binary", "only the ASCII protocol can authenticate");
	bad("-Y /auth -U 5", "UDP cannot authenticate");
	bad("-Y /auth -l proto[binary]:127.0.0.1", "cannot authenticate");
}

static void
settings_that_do_not_fit_together_are_refused(void **state)
{
	struct settings s;

	bad("-I 256m", "half of the memory");
	bad("-m 1", "half of the memory");
	bad("-Z", "there is no certificate");
	bad("-Z -s /s -o ssl_chain_cert=c", "TLS needs a TCP port");
	bad("-l notls:127.0.0.1", "add -Z");
	bad("--admin 9403", "\"9403\" is not HOST:PORT");
	s = good("-m 2 --admin 127.0.0.1:9403", NULL);
	settings_fini(&s);
	s = good("-m 256 -I 32m", NULL);
	settings_fini(&s);
}

static void
more_containers_come_beside_the_one_of_the_flags(void **state)
{
	expect_listeners("-p 5 --container name=m,port=6,policy=marker --container name=s,socket=/s",
			 "default tcp 127.0.0.1:5 tcp [::1]:5; m tcp 127.0.0.1:6 tcp [::1]:6; s /s");
	expect_listeners(
	    "-l 127.0.0.1,127.0.0.1:8,[::1]:9 --container name=m,port=6",
	    "default tcp 127.0.0.1:11211 tcp 127.0.0.1:8 tcp [::1]:9; m tcp 127.0.0.1:6 tcp [::1]:6");
	expect_listeners("--container name=m,port=6,listen=127.0.0.1;127.0.0.2:7,udp_port=8",
			 "default tcp 127.0.0.1:11211 tcp [::1]:11211; m tcp 127.0.0.1:6 tcp 127.0.0.2:7 udp "
			 "127.0.0.1:8 udp 127.0.0.2:7");
	expect_listeners("-p 0 --container name=m,port=6", "m tcp 127.0.0.1:6 tcp [::1]:6");
	bad("--container name=default,port=6", "two containers named \"default\"");
	bad("--container name=m,port=11211", "\"m\" has the port of another container");
	bad("--container name=m,prot=6", "did you mean \"port\"?");
	bad("--container name=m,port=6,listen=a:b:", "container \"m\": -l a:b:");
}

static void
a_file_has_all_containers(void **state)
{
	char path[] = "/tmp/squeal_conf_XXXXXX", line[200];
	static const char text[] = "containers:\n  - {name: a, port: 5, memory: 1GiB, policy: store}\n"
				   "  - {name: b, port: 6}\n";
	int fd = mkstemp(path);
	struct settings s;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(line, sizeof(line), "--config %s -l 127.0.0.1", path);
	expect_listeners(line, "a tcp 127.0.0.1:5; b tcp 127.0.0.1:6");
	s = good(line, NULL);
	assert_int_equal(s.port, 5);
	assert_int_equal(s.memory, 1 << 30);
	assert_true(s.disable_evictions);
	settings_fini(&s);
	snprintf(line, sizeof(line), "--config %s --container name=c,port=7 -l ::1", path);
	expect_listeners(line, "a tcp [::1]:5; b tcp [::1]:6; c tcp [::1]:7");
	snprintf(line, sizeof(line), "-p 5 --config %s", path);
	bad(line, "-p and --config");
	snprintf(line, sizeof(line), "--stale-ttl 5 --config %s", path);
	bad(line, "--stale-ttl and --config");
	snprintf(line, sizeof(line), "-l 127.0.0.1:5 --config %s", path);
	bad(line, "-l and --config: ports stand in the file");
	snprintf(line, sizeof(line), "--config %s", path);
	unlink(path);
	bad(line, path);
}

static void
help_and_version_are_handed_back_and_not_printed(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s = good("-h", &out);

	assert_int_equal(s.action, SETTINGS_SHOW);
	assert_non_null(strstr(buf_str(&out), "-p, --port=<num>"));
	settings_fini(&s);
	buf_clear(&out);
	s = good("-p 1 --version", &out);
	assert_int_equal(s.action, SETTINGS_SHOW);
	assert_string_equal(buf_str(&out), "squeal-cache " SQUEAL_VERSION "\n");
	settings_fini(&s);
	buf_clear(&out);
	s = good("-i", &out);
	assert_non_null(strstr(buf_str(&out), "Apache License"));
	settings_fini(&s);
	buf_clear(&out);
	s = good("--config-schema", &out);
	assert_non_null(strstr(buf_str(&out), "json-schema.org"));
	settings_fini(&s);
	buf_clear(&out);
	s = good("--config-sample", &out);
	assert_non_null(strstr(buf_str(&out), "containers:"));
	settings_fini(&s);
	buf_fini(&out);
	bad("-h -q", "unknown flag -q");
}

static void
root_must_name_a_user(void **state)
{
	struct settings s = good("", NULL);
	struct err_detail why = {0};

	assert_int_equal(settings_check_user(&s, false, &why), ERR_OK);
	assert_int_equal(settings_check_user(&s, true, &why), ERR_USAGE);
	assert_non_null(strstr(why.text, "must add '-u root' to start as root"));
	settings_fini(&s);
	s = good("-u root", NULL);
	assert_int_equal(settings_check_user(&s, true, NULL), ERR_OK);
	settings_fini(&s);
}

static void
a_pid_file_without_d_is_noticed(void **state)
{
	struct buf out = BUF_INIT;
	struct settings s = good("-P /p", &out);

	assert_string_equal(buf_str(&out), "squeal-cache: notice: -P is only used with -d\n");
	settings_fini(&s);
	buf_fini(&out);
}

/* Command lines of memcached's own tests; the last words are what their library adds. */
static void
command_lines_of_memcacheds_tests_are_taken(void **state)
{
	static const char *const lines[] = {
	    "-l 127.0.0.1 -u root -o relaxed_privileges -p 5 -U 6",
	    "-o no_modern,slab_chunk_max=4 -u root -o relaxed_privileges -s /tmp/x",
	    "-m 48 -o slab_chunk_max=16 -s /tmp/x",
	    "-o read_buf_mem_limit=1 -t 32 -R 500 -s /tmp/x",
	    "-d -P /tmp/p -s /tmp/x",
	    "-M -m 2 -s /tmp/x",
	    "-m 3 -o modern,slab_automove_window=3 -s /tmp/x",
	    "-o idle_timeout=3 -l 127.0.0.1 -p 5",
	    "-I 1024 -o slab_chunk_max=1 -s /tmp/x",
	    "-I 2097152 -s /tmp/x",
	    "-I 512k -o slab_chunk_max=16 -s /tmp/x",
	    "-m 6 -o lru_maintainer,lru_crawler -l 127.0.0.1",
	    "-m 2 -o lru_maintainer,lru_crawler,temporary_ttl=61 -I 1m",
	    "-m 128 -e /dev/shm/x -I 2m -o temporary_ttl=240",
	    "-o slab_reassign,no_slab_automove -m 8",
	    "-m 60 -o watcher_logbuf_size=8 -W",
	    "-l notls:127.0.0.1:1,127.0.0.1:2,mtls:127.0.0.1:3 -p 2 -Z -o ssl_chain_cert=c -o ssl_key=k",
	    "-o ssl_min_version=3,ssl_session_cache,ssl_wbuf_size=64 -Z -o ssl_chain_cert=c",
	    "-Y /x/authfile -U 0 -s /tmp/x",
	    "-vv -B auto",
	    "-m 4098 -M -s /tmp/x",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct buf out = BUF_INIT;
		struct settings s = good(lines[i], &out);

		assert_int_equal(s.action, SETTINGS_RUN);
		settings_fini(&s);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_flags_everything_has_memcacheds_default_but_the_addresses),
	    cmocka_unit_test(ports_may_be_any_free_one_or_none),
	    cmocka_unit_test(each_short_flag_reaches_its_field),
	    cmocka_unit_test(each_long_name_of_memcached_is_taken),
	    cmocka_unit_test(a_value_stands_behind_its_letter_or_is_the_next_word),
	    cmocka_unit_test(white_space_around_a_value_means_nothing),
	    cmocka_unit_test(a_unique_beginning_of_a_long_name_is_enough),
	    cmocka_unit_test(numbers_that_are_none_or_out_of_range_are_refused),
	    cmocka_unit_test(sizes_and_times_may_have_units),
	    cmocka_unit_test(what_nobody_knows_is_an_error_with_a_suggestion),
	    cmocka_unit_test(options_of_the_engine_are_named_in_one_notice_and_kept),
	    cmocka_unit_test(no_modern_has_the_defaults_of_before_and_what_follows_counts),
	    cmocka_unit_test(words_that_are_no_flags_are_named_and_not_used),
	    cmocka_unit_test(ports_and_sockets_follow_memcacheds_rules),
	    cmocka_unit_test(an_address_that_others_reach_needs_tls_passwords_or_permission),
	    cmocka_unit_test(passwords_go_with_the_ascii_protocol_only),
	    cmocka_unit_test(settings_that_do_not_fit_together_are_refused),
	    cmocka_unit_test(more_containers_come_beside_the_one_of_the_flags),
	    cmocka_unit_test(a_file_has_all_containers),
	    cmocka_unit_test(help_and_version_are_handed_back_and_not_printed),
	    cmocka_unit_test(root_must_name_a_user),
	    cmocka_unit_test(a_pid_file_without_d_is_noticed),
	    cmocka_unit_test(command_lines_of_memcacheds_tests_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
