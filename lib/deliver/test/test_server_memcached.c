/* server against Debian's memcached: TLS, passwords, stale values, restarts and replacements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/core/json.h"
#include "lib/deliver/server.h"
#include "lib/deliver/test/peer.h"
#include "lib/net/test/certs.h"

struct fixture {
	char dir[64], address[100];
	struct buf logged;
	struct router_options opt;
	struct server_options server_opt;
	struct loop *loop;
	struct server_security *security;
	struct server *s;
	struct log *log;
	pid_t memcached;
	struct cert ca, other_ca, good, expired, client;
	struct err_detail why;
};

static void
on_progress(void *arg, struct server *s)
{
	(void)arg;
	(void)s;
}

static unsigned
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

/* "/path" or "127.0.0.1:port"; -1 when nobody is there. */
static int
connect_to(const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	bool is_path = address[0] == '/';
	int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0), rc;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", address);
	if (!is_path)
		in.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
	rc = is_path ? connect(fd, (struct sockaddr *)&un, sizeof(un))
		     : connect(fd, (struct sockaddr *)&in, sizeof(in));
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_create(&f->loop, clock_system(), &f->why), ERR_OK);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_server_memcached.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	cert_make(&f->ca, f->dir, "ca", NULL, NULL, 2);
	cert_make(&f->other_ca, f->dir, "other-ca", NULL, NULL, 2);
	cert_make(&f->good, f->dir, "good", "DNS:cache.example", &f->ca, 2);
	cert_make(&f->expired, f->dir, "expired", "DNS:cache.example", &f->ca, 0);
	cert_make(&f->client, f->dir, "client", "DNS:router.example", &f->ca, 2);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", free_port());
	f->opt.window_keys = 10;
	f->opt.windows = 2;
	f->opt.connect_timeout = 5000;
	f->opt.ack_timeout = 5000;
	f->opt.backoff_max = 40;
	f->server_opt.host = (char *)"cache.example";
	f->server_opt.port = 11211;
	f->server_opt.weight = 1;
	f->server_opt.connect = f->address;
	*state = f;
	return 0;
}

static void
stop(struct fixture *f)
{
	if (f->memcached == 0)
		return;
	kill(f->memcached, SIGKILL);
	waitpid(f->memcached, NULL, 0);
	f->memcached = 0;
	unlink(f->address);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;
	char path[200];

	server_destroy(&f->s);
	server_security_destroy(&f->security);
	stop(f);
	loop_destroy(&f->loop);
	cert_free(&f->ca);
	cert_free(&f->other_ca);
	cert_free(&f->good);
	cert_free(&f->expired);
	cert_free(&f->client);
	snprintf(path, sizeof(path), "%s/auth", f->dir);
	unlink(path);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* A memcached at the address; `options` separated by blanks. */
static pid_t
memcached(const char *address, const char *options)
{
	char text[500];
	char *argv[40] = {(char *)"memcached", (char *)"-m", (char *)"16",  (char *)"-t",
			  (char *)"1",	       (char *)"-u", (char *)"root"};
	int n = 7;
	pid_t pid;

	argv[n++] = (char *)(address[0] == '/' ? "-s" : "-p");
	argv[n++] = (char *)(address[0] == '/' ? address : strchr(address, ':') + 1);
	if (address[0] != '/') {
		argv[n++] = (char *)"-l";
		argv[n++] = (char *)"127.0.0.1";
	}

	snprintf(text, sizeof(text), "%s", options);
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
		argv[n++] = word;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	for (int i = 0;; i++) {
		int fd = connect_to(address);

		if (fd >= 0) {
			close(fd);
			return pid;
		}
		if (i > 1000 || waitpid(pid, NULL, WNOHANG) == pid)
			fail_msg("memcached %s does not start; is it installed?", options);
		usleep(10000);
	}
}

static void
start(struct fixture *f, const char *options)
{
	f->memcached = memcached(f->address, options);
}

/* Also -Z, with this certificate. */
static void
start_tls(struct fixture *f, const struct cert *c, const char *options)
{
	char text[800];

	snprintf(text, sizeof(text), "-Z -o ssl_chain_cert=%s,ssl_key=%s%s", c->pem, c->key_pem, options);
	start(f, text);
}

static void
secure(struct fixture *f, struct server_security_options opt)
{
	assert_int_equal(server_security_create(&f->security, &opt, &f->why), ERR_OK);
}

static void
auth_file(struct fixture *f, const char *line, char path[200])
{
	FILE *out;

	snprintf(path, 200, "%s/auth", f->dir);
	unlink(path);
	out = fopen(path, "w");
	assert_non_null(out);
	fprintf(out, "%s\n", line);
	fclose(out);
	chmod(path, 0600);
}

static void
begin(struct fixture *f)
{
	struct server_context ctx = {.loop = f->loop,
				     .opt = &f->opt,
				     .seed = 7,
				     .log = f->log,
				     .security = f->security,
				     .on_progress = on_progress,
				     .arg = f};

	f->s = server_create(&f->server_opt, &ctx);
	server_start(f->s);
}

static void
put(struct fixture *f, uint64_t offset, struct outbox_key k)
{
	k.prefix = SPAN_LIT("");
	outbox_txn(server_outbox(f->s), offset, 0, 0);
	assert_int_equal(outbox_put(server_outbox(f->s), &k), ERR_OK);
	outbox_record_end(server_outbox(f->s), offset + 1);
	server_pump(f->s);
}

static uint64_t
acked(struct fixture *f)
{
	return outbox_acked(server_outbox(f->s));
}

/* Asks over a connection of its own; `until` ends the answer. */
static void
ask(struct fixture *f, const char *request, const char *until, char *answer, size_t max)
{
	int fd = connect_to(f->address);
	size_t n = 0;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	for (answer[0] = '\0'; strstr(answer, until) == NULL; answer[n] = '\0') {
		ssize_t got = read(fd, answer + n, max - n - 1);

		assert_true(got > 0);
		n += (size_t)got;
	}
	close(fd);
}

static void
wait_refused(struct fixture *f, const char *reason)
{
	WAIT_FOR(f->loop, server_last_error(f->s)[0] != '\0');
	if (strstr(server_last_error(f->s), reason) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", reason, server_last_error(f->s));
	assert_false(server_is_up(f->s));
}

static void
deletes_go_over_tls_to_a_server_whose_certificate_is_right(void **state)
{
	struct fixture *f = *state;

	start_tls(f, &f->good, "");
	secure(f, (struct server_security_options){.tls = "verify", .tls_ca = f->ca.pem});
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("a")});
	WAIT_FOR(f->loop, acked(f) == 2);
	for (uint64_t i = 2; i < 500; i++)
		put(f, i, (struct outbox_key){.key = i % 2 ? SPAN_LIT("b") : SPAN_LIT("c")});
	WAIT_FOR(f->loop, acked(f) == 500);
	assert_int_equal(metric_get(&server_metrics(f->s)->router_connects), 1);
}

static void
a_server_of_another_authority_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	start_tls(f, &f->good, "");
	secure(f, (struct server_security_options){.tls = "verify", .tls_ca = f->other_ca.pem});
	begin(f);
	wait_refused(f, "its certificate is not good: unable to get local issuer certificate");
	assert_true(metric_get(&server_metrics(f->s)->router_connect_errors) > 0);
}

static void
a_server_of_another_name_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	f->server_opt.host = (char *)"other.example";
	start_tls(f, &f->good, "");
	secure(f, (struct server_security_options){.tls = "verify", .tls_ca = f->ca.pem});
	begin(f);
	wait_refused(f, "hostname mismatch");
}

static void
a_server_with_a_certificate_of_the_past_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	start_tls(f, &f->expired, "");
	secure(f, (struct server_security_options){.tls = "verify", .tls_ca = f->ca.pem});
	begin(f);
	wait_refused(f, "certificate has expired");
}

static void
with_tls_on_the_certificate_is_not_looked_at(void **state)
{
	struct fixture *f = *state;

	start_tls(f, &f->expired, "");
	secure(f, (struct server_security_options){.tls = "on"});
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("a")});
	WAIT_FOR(f->loop, acked(f) == 2);
}

static void
a_server_that_asks_for_our_certificate_gets_it(void **state)
{
	struct fixture *f = *state;
	char options[300];

	snprintf(options, sizeof(options), ",ssl_verify_mode=2,ssl_ca_cert=%s", f->ca.pem);
	start_tls(f, &f->good, options);
	secure(f, (struct server_security_options){.tls = "verify",
						   .tls_ca = f->ca.pem,
						   .tls_cert = f->client.pem,
						   .tls_key = f->client.key_pem});
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("a")});
	WAIT_FOR(f->loop, acked(f) == 2);
}

static void
tls_to_a_server_without_it_is_refused_with_the_reason(void **state)
{
	struct fixture *f = *state;

	start(f, "");
	secure(f, (struct server_security_options){.tls = "on"});
	begin(f);
	WAIT_FOR(f->loop, server_last_error(f->s)[0] != '\0');
	assert_non_null(strstr(server_last_error(f->s), "TLS"));
}

static void
the_right_password_lets_us_in(void **state)
{
	struct fixture *f = *state;
	char path[200], options[230];

	auth_file(f, "router:sesame", path);
	snprintf(options, sizeof(options), "-Y %s", path);
	start(f, options);
	secure(f, (struct server_security_options){.auth_file = path});
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("a")});
	WAIT_FOR(f->loop, acked(f) == 2);
	assert_true(server_identity(f->s)->known);
}

static void
note_line(void *arg, enum log_level level, struct span line)
{
	struct fixture *f = arg;

	(void)level;
	buf_put_span(&f->logged, line);
}

static void
a_refused_password_is_told_and_never_shown(void **state)
{
	struct fixture *f = *state;
	char path[200], options[230];
	struct buf text = BUF_INIT;
	struct json j;

	f->log = log_create("test", LOG_DEBUG, clock_system(), note_line, f);
	auth_file(f, "router:right", path);
	snprintf(options, sizeof(options), "-Y %s", path);
	start(f, options);
	auth_file(f, "router:wr0ng", path);
	secure(f, (struct server_security_options){.auth_file = path});
	begin(f);
	wait_refused(f, "refuses the user or the password of auth_file");
	WAIT_FOR(f->loop, metric_get(&server_metrics(f->s)->router_auth_errors) >= 3);
	assert_int_equal(metric_get(&server_metrics(f->s)->router_garbage), 0);
	json_init(&j, &text);
	json_object(&j);
	server_status(f->s, &j);
	json_object_end(&j);
	assert_null(strstr(buf_str(&text), "wr0ng"));
	assert_non_null(strstr(buf_str(&text), "\"auth\":true"));
	assert_non_null(strstr(buf_str(&f->logged), "auth_file"));
	assert_null(strstr(buf_str(&f->logged), "wr0ng"));
	server_destroy(&f->s);
	log_destroy(&f->log);
	buf_fini(&f->logged);
	buf_fini(&text);
}

static void
a_server_that_wants_a_password_we_do_not_have_says_so(void **state)
{
	struct fixture *f = *state;
	char path[200], options[230];

	auth_file(f, "router:right", path);
	snprintf(options, sizeof(options), "-Y %s", path);
	start(f, options);
	begin(f);
	wait_refused(f, "set auth_file");
}

static void
a_stale_value_is_a_hit_for_get_and_marked_for_mg(void **state)
{
	struct fixture *f = *state;
	char answer[200];

	start(f, "");
	ask(f, "set a 0 0 5\r\nalice\r\n", "STORED\r\n", answer, sizeof(answer));
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("a"), .action = OUTBOX_STALE, .stale_ms = 30000});
	WAIT_FOR(f->loop, acked(f) == 2);
	ask(f, "get a\r\n", "END\r\n", answer, sizeof(answer));
	assert_non_null(strstr(answer, "alice"));
	ask(f, "mg a v t\r\n", "\r\n", answer, sizeof(answer));
	if (strstr(answer, "VA 5") == NULL || strstr(answer, " X W") == NULL)
		fail_msg("%s", answer);
	assert_true(strstr(answer, " t30") != NULL || strstr(answer, " t29") != NULL);
	put(f, 2, (struct outbox_key){.key = SPAN_LIT("a")});
	WAIT_FOR(f->loop, acked(f) == 3);
	ask(f, "get a\r\n", "END\r\n", answer, sizeof(answer));
	assert_string_equal(answer, "END\r\n");
}

static void
samples_tell_hits_from_misses(void **state)
{
	struct fixture *f = *state;
	char answer[200];

	f->opt.sample_hits = 1;
	start(f, "");
	ask(f, "set there 0 0 1\r\nx\r\n", "STORED\r\n", answer, sizeof(answer));
	begin(f);
	put(f, 1, (struct outbox_key){.key = SPAN_LIT("there")});
	put(f, 2, (struct outbox_key){.key = SPAN_LIT("gone")});
	WAIT_FOR(f->loop, acked(f) == 3);
	assert_int_equal(metric_get(&server_outbox_metrics(f->s)->router_delete_hits), 1);
	assert_int_equal(metric_get(&server_outbox_metrics(f->s)->router_delete_misses), 1);
}

static void
a_lost_connection_to_the_same_process_is_the_same(void **state)
{
	struct fixture *f = *state;

	start(f, "");
	begin(f);
	WAIT_FOR(f->loop, server_greetings(f->s) == 1);
	assert_int_equal(server_identity(f->s)->changed, SERVER_SAME);
	assert_true(server_identity(f->s)->known);
	assert_int_equal(server_identity(f->s)->pid, f->memcached);
	server_reconnect(f->s, "test");
	WAIT_FOR(f->loop, server_greetings(f->s) == 2);
	assert_int_equal(server_identity(f->s)->changed, SERVER_SAME);
}

/* The start of memcached is known to a few seconds: one that restarts at once is not told from another. */
static void
a_process_that_restarts_at_once_may_be_another(void **state)
{
	struct fixture *f = *state;

	start(f, "");
	begin(f);
	WAIT_FOR(f->loop, server_greetings(f->s) == 1);
	stop(f);
	start(f, "");
	WAIT_FOR(f->loop, server_greetings(f->s) == 2);
	assert_int_equal(server_identity(f->s)->changed, SERVER_OTHER);
	assert_int_equal(server_identity(f->s)->pid, f->memcached);
}

static void
a_process_that_restarts_some_seconds_later_is_a_restart(void **state)
{
	struct fixture *f = *state;
	uint64_t lost;

	f->opt.backoff_max = 500;
	start(f, "");
	begin(f);
	WAIT_FOR(f->loop, server_greetings(f->s) == 1);
	stop(f);
	WAIT_FOR(f->loop, !server_is_up(f->s));
	lost = clock_mono_ms(clock_system());
	WAIT_FOR(f->loop, clock_mono_ms(clock_system()) > lost + 6000);
	start(f, "");
	WAIT_FOR(f->loop, server_greetings(f->s) == 2);
	assert_int_equal(server_identity(f->s)->changed, SERVER_RESTARTED);
}

/* As when a name or a virtual address moves to another machine. */
static void
a_server_that_ran_all_the_time_and_takes_over_the_address_is_another(void **state)
{
	struct fixture *f = *state;
	char first[100], second[100], link[200];
	pid_t other;

	snprintf(first, sizeof(first), "%s/first", f->dir);
	snprintf(f->address, sizeof(f->address), "%s", first);
	snprintf(second, sizeof(second), "%s/second", f->dir);
	snprintf(link, sizeof(link), "%s/link", f->dir);
	start(f, "");
	other = memcached(second, "");
	assert_int_equal(symlink(first, link), 0);
	f->server_opt.connect = link;
	begin(f);
	WAIT_FOR(f->loop, server_greetings(f->s) == 1);
	unlink(link);
	assert_int_equal(symlink(second, link), 0);
	server_reconnect(f->s, "test");
	WAIT_FOR(f->loop, server_greetings(f->s) == 2);
	assert_int_equal(server_identity(f->s)->changed, SERVER_OTHER);
	assert_int_equal(server_identity(f->s)->pid, other);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	unlink(second);
	unlink(link);
}

static void
settings_that_cannot_be_used_are_named(void **state)
{
	struct fixture *f = *state;
	struct server_security *s = NULL;
	char path[200];

	assert_int_equal(server_security_create(&s, &(struct server_security_options){.tls = "off"}, &f->why),
			 ERR_OK);
	assert_null(s);
	assert_string_equal(server_security_tls_mode(NULL), "off");
	assert_int_equal(
	    server_security_create(&s, &(struct server_security_options){.tls = "maybe"}, &f->why),
	    ERR_CONFIG);
	err_clear(&f->why);
	auth_file(f, "nocolon", path);
	assert_int_equal(
	    server_security_create(&s, &(struct server_security_options){.auth_file = path}, &f->why),
	    ERR_CONFIG);
	assert_non_null(strstr(err_why(&f->why), "user:password"));
	assert_null(strstr(err_why(&f->why), "nocolon"));
	err_clear(&f->why);
	auth_file(f, "a:b", path);
	chmod(path, 0644);
	assert_int_not_equal(
	    server_security_create(&s, &(struct server_security_options){.auth_file = path}, &f->why),
	    ERR_OK);
	assert_null(s);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(deletes_go_over_tls_to_a_server_whose_certificate_is_right),
	    TEST(a_server_of_another_authority_is_refused_with_the_reason),
	    TEST(a_server_of_another_name_is_refused_with_the_reason),
	    TEST(a_server_with_a_certificate_of_the_past_is_refused_with_the_reason),
	    TEST(with_tls_on_the_certificate_is_not_looked_at),
	    TEST(a_server_that_asks_for_our_certificate_gets_it),
	    TEST(tls_to_a_server_without_it_is_refused_with_the_reason),
	    TEST(the_right_password_lets_us_in),
	    TEST(a_refused_password_is_told_and_never_shown),
	    TEST(a_server_that_wants_a_password_we_do_not_have_says_so),
	    TEST(a_stale_value_is_a_hit_for_get_and_marked_for_mg),
	    TEST(samples_tell_hits_from_misses),
	    TEST(a_lost_connection_to_the_same_process_is_the_same),
	    TEST(a_process_that_restarts_at_once_may_be_another),
	    TEST(a_process_that_restarts_some_seconds_later_is_a_restart),
	    TEST(a_server_that_ran_all_the_time_and_takes_over_the_address_is_another),
	    TEST(settings_that_cannot_be_used_are_named),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
