#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "lib/net/test/certs.h"
#include "lib/net/tls_client.h"

struct fixture {
	char dir[64];
	struct cert ca, other_ca, good, expired, client;
	SSL_CTX *server_ctx;
	SSL *server;
	BIO *server_in, *server_out;
	struct tls_client *client_ctx;
	struct tls_link *link;
	struct buf plain, out;
	struct err_detail why;
	err_t err;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_tls_client.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	cert_make(&f->ca, f->dir, "ca", NULL, NULL, 2);
	cert_make(&f->other_ca, f->dir, "other-ca", NULL, NULL, 2);
	cert_make(&f->good, f->dir, "good", "DNS:cache.example,IP:127.0.0.1", &f->ca, 2);
	cert_make(&f->expired, f->dir, "expired", "DNS:cache.example", &f->ca, 0);
	cert_make(&f->client, f->dir, "client", "DNS:router.example", &f->ca, 2);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tls_link_destroy(&f->link);
	tls_client_destroy(&f->client_ctx);
	SSL_free(f->server);
	SSL_CTX_free(f->server_ctx);
	buf_fini(&f->plain);
	buf_fini(&f->out);
	cert_free(&f->ca);
	cert_free(&f->other_ca);
	cert_free(&f->good);
	cert_free(&f->expired);
	cert_free(&f->client);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
serve(struct fixture *f, const struct cert *c, bool wants_client)
{
	f->server_ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(f->server_ctx, c->x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(f->server_ctx, c->key), 1);
	if (wants_client) {
		assert_int_equal(SSL_CTX_load_verify_locations(f->server_ctx, f->ca.pem, NULL), 1);
		SSL_CTX_set_verify(f->server_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	f->server = SSL_new(f->server_ctx);
	f->server_in = BIO_new(BIO_s_mem());
	f->server_out = BIO_new(BIO_s_mem());
	SSL_set_bio(f->server, f->server_in, f->server_out);
	SSL_set_accept_state(f->server);
}

/* Carries bytes to and fro, `piece` at a time, until nothing moves. */
static void
carry(struct fixture *f, size_t piece)
{
	char bytes[20000];
	bool moved = true;

	if (!tls_link_is_open(f->link))
		f->err = tls_link_take(f->link, SPAN_LIT(""), &f->plain, &f->out, &f->why);
	while (moved && f->err == ERR_OK) {
		int n;

		moved = false;
		while (f->out.len > 0) {
			assert_int_equal(BIO_write(f->server_in, f->out.p, (int)f->out.len), f->out.len);
			buf_clear(&f->out);
			moved = true;
		}
		if (!SSL_is_init_finished(f->server))
			SSL_do_handshake(f->server);
		while (f->err == ERR_OK && (n = BIO_read(f->server_out, bytes, (int)piece)) > 0) {
			f->err =
			    tls_link_take(f->link, span_make(bytes, (size_t)n), &f->plain, &f->out, &f->why);
			moved = true;
		}
	}
}

static void
link_up(struct fixture *f, bool verify, const char *ca, const char *name, size_t piece)
{
	struct tls_client_options opt = {.verify = verify, .ca = ca};

	assert_int_equal(tls_client_create(&f->client_ctx, &opt, &f->why), ERR_OK);
	f->link = tls_link_create(f->client_ctx, name);
	carry(f, piece);
}

static void
assert_refused(struct fixture *f, const char *reason)
{
	assert_int_equal(f->err, ERR_CONN);
	assert_false(tls_link_is_open(f->link));
	if (strstr(err_why(&f->why), reason) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", reason, err_why(&f->why));
}

static void
bytes_pass_both_ways_however_they_are_cut(void **state)
{
	struct fixture *f = *state;
	char big[100000], got[sizeof(big)];
	size_t at = 0;

	serve(f, &f->good, false);
	link_up(f, true, f->ca.pem, "cache.example", 1);
	assert_int_equal(f->err, ERR_OK);
	assert_true(tls_link_is_open(f->link));
	assert_string_equal(SSL_get_servername(f->server, TLSEXT_NAMETYPE_host_name), "cache.example");
	memset(big, 'x', sizeof(big));
	assert_true(tls_link_put(f->link, span_make(big, sizeof(big)), &f->out));
	carry(f, 1000);
	while (at < sizeof(got)) {
		int n = SSL_read(f->server, got + at, (int)(sizeof(got) - at));

		assert_true(n > 0);
		at += (size_t)n;
	}
	assert_memory_equal(big, got, sizeof(big));
	assert_int_equal(SSL_write(f->server, big, sizeof(big)), sizeof(big));
	carry(f, 777);
	assert_int_equal(f->plain.len, sizeof(big));
	SSL_shutdown(f->server);
	assert_false(tls_link_is_closed(f->link));
	carry(f, 1);
	assert_true(tls_link_is_closed(f->link));
}

static void
an_ip_address_is_verified_as_one(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, false);
	link_up(f, true, f->ca.pem, "127.0.0.1", 5000);
	assert_int_equal(f->err, ERR_OK);
	assert_true(tls_link_is_open(f->link));
}

static void
another_ip_address_is_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, false);
	link_up(f, true, f->ca.pem, "127.0.0.2", 5000);
	assert_refused(f, "IP address mismatch");
}

static void
another_name_is_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, false);
	link_up(f, true, f->ca.pem, "other.example", 5000);
	assert_refused(f, "hostname mismatch");
	assert_true(f->out.len > 0); /* the alert, so that the server's log says why */
}

static void
an_authority_that_is_not_trusted_is_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, false);
	link_up(f, true, f->other_ca.pem, "cache.example", 5000);
	assert_refused(f, "its certificate is not good: unable to get local issuer certificate");
}

static void
a_certificate_of_the_past_is_refused(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->expired, false);
	link_up(f, true, f->ca.pem, "cache.example", 5000);
	assert_refused(f, "certificate has expired");
}

static void
without_verify_anybody_is_taken(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->expired, false);
	link_up(f, false, NULL, "other.example", 5000);
	assert_int_equal(f->err, ERR_OK);
	assert_true(tls_link_is_open(f->link));
}

static void
a_name_is_not_needed_for_a_socket_but_the_authority_is(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, false);
	link_up(f, true, f->ca.pem, "", 5000);
	assert_int_equal(f->err, ERR_OK);
}

static void
what_is_no_tls_is_refused(void **state)
{
	struct fixture *f = *state;
	struct tls_client_options opt = {.verify = false};

	assert_int_equal(tls_client_create(&f->client_ctx, &opt, &f->why), ERR_OK);
	f->link = tls_link_create(f->client_ctx, "cache.example");
	f->err = tls_link_take(f->link, SPAN_LIT("VERSION 1.6.18\r\n"), &f->plain, &f->out, &f->why);
	assert_refused(f, "TLS failed: wrong version number");
}

static void
our_certificate_is_shown_to_who_asks(void **state)
{
	struct fixture *f = *state;
	struct tls_client_options opt = {
	    .verify = true, .ca = f->ca.pem, .cert = f->client.pem, .key = f->client.key_pem};

	serve(f, &f->good, true);
	assert_int_equal(tls_client_create(&f->client_ctx, &opt, &f->why), ERR_OK);
	f->link = tls_link_create(f->client_ctx, "cache.example");
	carry(f, 5000);
	assert_int_equal(f->err, ERR_OK);
	assert_true(SSL_is_init_finished(f->server));
}

static void
without_our_certificate_the_servers_no_is_told(void **state)
{
	struct fixture *f = *state;

	serve(f, &f->good, true);
	link_up(f, true, f->ca.pem, "cache.example", 5000);
	assert_int_equal(f->err, ERR_CONN);
	assert_non_null(strstr(err_why(&f->why), "certificate required"));
}

static void
files_that_cannot_be_used_are_named(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *says;
		struct tls_client_options opt;
	} bad[] = {
	    {"tls_ca: /nowhere/ca.pem cannot be used", {.verify = true, .ca = "/nowhere/ca.pem"}},
	    {"tls_cert: /nowhere/a.pem cannot be used", {.cert = "/nowhere/a.pem", .key = "/nowhere/b.pem"}},
	    {"belong together", {.cert = "/nowhere/a.pem"}},
	};
	struct tls_client_options mixed = {.cert = f->good.pem, .key = f->client.key_pem};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tls_client_create(&f->client_ctx, &bad[i].opt, &f->why), ERR_CONFIG);
		assert_null(f->client_ctx);
		assert_non_null(strstr(err_why(&f->why), bad[i].says));
		err_clear(&f->why);
	}
	assert_int_equal(tls_client_create(&f->client_ctx, &mixed, &f->why), ERR_CONFIG);
	assert_non_null(strstr(err_why(&f->why), "tls_key: "));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(bytes_pass_both_ways_however_they_are_cut),
	    TEST(an_ip_address_is_verified_as_one),
	    TEST(another_ip_address_is_refused),
	    TEST(another_name_is_refused),
	    TEST(an_authority_that_is_not_trusted_is_refused),
	    TEST(a_certificate_of_the_past_is_refused),
	    TEST(without_verify_anybody_is_taken),
	    TEST(a_name_is_not_needed_for_a_socket_but_the_authority_is),
	    TEST(what_is_no_tls_is_refused),
	    TEST(our_certificate_is_shown_to_who_asks),
	    TEST(without_our_certificate_the_servers_no_is_told),
	    TEST(files_that_cannot_be_used_are_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
