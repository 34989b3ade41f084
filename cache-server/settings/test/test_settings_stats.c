#include <string.h>

#include "cache-server/settings/settings.h"
#include "lib/core/test/test.h"

static void
add(void *arg, struct span key, struct span value)
{
	struct buf *out = arg;

	assert_true(span_find(value, SPAN_LIT(" ")) < 0);
	assert_true(value.len > 0);
	buf_printf(out, "%.*s %.*s\n", SPAN_FMT(key), SPAN_FMT(value));
}

/* The keys and values of the line. */
static void
stats_of(char *const *words, int n, const struct settings_now *now, struct buf *out)
{
	struct settings s;
	struct settings_now start;
	struct err_detail why = {0};
	struct buf notices = BUF_INIT;

	if (settings_parse(&s, n, words, &notices, &why) != ERR_OK)
		fail_msg("%s", why.text);
	start = settings_now(&s);
	settings_stats(&s, now != NULL ? now : &start, add, out);
	settings_fini(&s);
	buf_fini(&notices);
}

static void
has(struct buf *out, const char *line)
{
	if (strstr(buf_str(out), line) == NULL)
		fail_msg("\"%s\" is not in:\n%s", line, buf_str(out));
}

/* What memcached 1.6.45 answers when it is started without flags, but for its own numbers. */
static const char *const plain[] = {
    "maxbytes 67108864\nmaxconns 1024\ntcpport 11211\nudpport 0\ninter NULL\n"
    "verbosity 0\noldest 0\nevictions on\ndomain_socket NULL\numask 700\n"
    "shutdown_command no\ngrowth_factor 1.25\nchunk_size 48\nnum_threads 4\n"
    "num_threads_per_udp 4\nstat_key_prefix :\ndetail_enabled no\n"
    "reqs_per_event 20\ncas_enabled yes\ntcp_backlog 1024\n"
    "binding_protocol auto-negotiate\nauth_enabled_sasl no\n"
    "auth_enabled_ascii no\nitem_size_max 1048576\nmaxconns_fast yes\n"
    "hashpower_init 0\nslab_reassign yes\nslab_automove 1\n"
    "slab_automove_ratio 0.80\nslab_automove_window 10\n"
    "slab_chunk_max 524288\nlru_crawler yes\nlru_crawler_sleep 100\n"
    "lru_crawler_tocrawl 0\ntail_repair_time 0\nflush_enabled yes\n"
    "dump_enabled yes\nhash_algorithm murmur3\nlru_maintainer_thread yes\n"
    "lru_segmented yes\nhot_lru_pct 20\nwarm_lru_pct 40\nhot_max_factor 0.20\n"
    "warm_max_factor 2.00\ntemp_lru no\ntemporary_ttl 61\nidle_timeout 0\n"
    "watcher_logbuf_size 262144\nworker_logbuf_size 65536\n"
    "read_buf_mem_limit 0\ntrack_sizes no\ninline_ascii_response no\n"
    "drop_privileges no\n",
    "ssl_enabled no\nssl_chain_cert NULL\nssl_key NULL\nssl_verify_mode 0\n"
    "ssl_keyformat 1\nssl_ciphers NULL\nssl_ca_cert NULL\nssl_wbuf_size 16384\n"
    "ssl_session_cache no\nssl_kernel_tls no\nssl_min_version tlsv1.2\n"
    "num_napi_ids 0\nmemory_file NULL\nclient_flags_size 4\n"};

static void
keys_and_values_are_memcacheds_in_its_order(void **state)
{
	char *words[] = {"x"};
	struct buf out = BUF_INIT, expected = BUF_INIT;

	stats_of(words, 1, NULL, &out);
	buf_printf(&expected, "%s%s", plain[0], plain[1]);
	assert_string_equal(buf_str(&out), buf_str(&expected));
	buf_fini(&out);
	buf_fini(&expected);
}

static void
flags_show_in_the_words_of_memcached(void **state)
{
	char *words[] = {
	    "x",  "-C",
	    "-M", "-F",
	    "-X", "-A",
	    "-D", "/",
	    "-l", "127.0.0.1,::1",
	    "-Y", "/a b",
	    "-o", "no_lru_crawler,temporary_ttl=5,ssl_min_version=3,ssl_wbuf_size=64,hot_max_factor=0.5",
	    "-p", "-1",
	    "-e", "/dev/shm/x"};
	struct buf out = BUF_INIT;

	stats_of(words, sizeof(words) / sizeof(words[0]), NULL, &out);
	has(&out, "\ncas_enabled no\n");
	has(&out, "\nevictions off\n");
	has(&out, "\nflush_enabled no\n");
	has(&out, "\ndump_enabled no\n");
	has(&out, "\nshutdown_command yes\n");
	has(&out, "\nstat_key_prefix /\ndetail_enabled yes\n");
	has(&out, "\ninter 127.0.0.1,::1\n");
	has(&out, "\nnum_threads_per_udp 1\n");
	has(&out, "\nauth_enabled_ascii /a%20b\n");
	has(&out, "\nbinding_protocol ascii\n");
	has(&out, "\nlru_crawler no\n");
	has(&out, "\ntemp_lru yes\ntemporary_ttl 5\n");
	has(&out, "\nssl_min_version tlsv1.3\n");
	has(&out, "\nssl_wbuf_size 65536\n");
	has(&out, "\nhot_max_factor 0.50\n");
	has(&out, "\ntcpport -1\n");
	has(&out, "\nmemory_file /dev/shm/x\n");
	buf_fini(&out);
}

static void
what_commands_changed_shows(void **state)
{
	char *words[] = {"x"};
	struct settings_now now = {.memory = 5,
				   .verbose = 2,
				   .oldest = 7,
				   .detail = true,
				   .slab_automove = 2,
				   .lru_crawler = false,
				   .lru_crawler_sleep = 9,
				   .lru_crawler_tocrawl = 11};
	struct buf out = BUF_INIT;

	stats_of(words, 1, &now, &out);
	has(&out, "maxbytes 5\n");
	has(&out, "\nverbosity 2\noldest 7\n");
	has(&out, "\ndetail_enabled yes\n");
	has(&out, "\nslab_automove 2\n");
	has(&out, "\nlru_crawler no\nlru_crawler_sleep 9\nlru_crawler_tocrawl 11\n");
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_and_values_are_memcacheds_in_its_order),
	    cmocka_unit_test(flags_show_in_the_words_of_memcached),
	    cmocka_unit_test(what_commands_changed_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
