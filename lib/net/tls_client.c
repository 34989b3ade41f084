#include "lib/net/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "lib/core/mem.h"

struct tls_client {
	SSL_CTX *ctx;
	bool verify;
};

struct tls_link {
	SSL *ssl;
	BIO *in, *out; /* the link's; what came, and what must be sent */
	bool open, closed, failed;
};

/* The reason of OpenSSL's oldest error, which is the first that happened. */
static const char *
reason(void)
{
	unsigned long e = ERR_get_error();
	const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

static bool
is_set(const char *file)
{
	return file != NULL && file[0] != '\0';
}

static err_t
use_files(SSL_CTX *ctx, const struct tls_client_options *opt, struct err_detail *why)
{
	if (is_set(opt->ca) && SSL_CTX_load_verify_locations(ctx, opt->ca, NULL) != 1)
		return err_set(why, ERR_CONFIG, "tls_ca: %s cannot be used: %s", opt->ca, reason());
	if (!is_set(opt->ca) && opt->verify && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return err_set(why, ERR_CONFIG,
			       "the system's authorities cannot be read: %s; set tls_ca to a file", reason());
	if (is_set(opt->cert) != is_set(opt->key))
		return err_set(why, ERR_CONFIG, "tls_cert and tls_key belong together; set both or none");
	if (!is_set(opt->cert))
		return ERR_OK;
	if (SSL_CTX_use_certificate_chain_file(ctx, opt->cert) != 1)
		return err_set(why, ERR_CONFIG, "tls_cert: %s cannot be used: %s", opt->cert, reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, opt->key, SSL_FILETYPE_PEM) != 1)
		return err_set(why, ERR_CONFIG, "tls_key: %s cannot be used: %s", opt->key, reason());
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_set(why, ERR_CONFIG, "tls_key: %s is not the key of %s", opt->key, opt->cert);
	return ERR_OK;
}

err_t
tls_client_create(struct tls_client **out, const struct tls_client_options *opt, struct err_detail *why)
{
	struct tls_client *c = MEM_NEW(struct tls_client);
	err_t err = ERR_OK;

	*out = NULL;
	ERR_clear_error();
	c->verify = opt->verify;
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (c->ctx == NULL || SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION) != 1) {
		err = err_set(why, ERR_CONFIG, "OpenSSL cannot be used: %s", reason());
		goto done;
	}
	SSL_CTX_set_verify(c->ctx, opt->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION);
	err = use_files(c->ctx, opt, why);
	if (err != ERR_OK)
		goto done;
	*out = c;
	c = NULL;
done:
	tls_client_destroy(&c);
	return err;
}

void
tls_client_destroy(struct tls_client **c)
{
	if (*c == NULL)
		return;
	SSL_CTX_free((*c)->ctx);
	free(*c);
	*c = NULL;
}

static bool
is_ip(const char *name)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, name, raw) == 1 || inet_pton(AF_INET6, name, raw) == 1;
}

static bool
expect_name(SSL *ssl, const char *name, bool verify)
{
	if (name[0] == '\0')
		return true;
	if (is_ip(name))
		return !verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	if (SSL_set_tlsext_host_name(ssl, name) != 1)
		return false;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return !verify || SSL_set1_host(ssl, name) == 1;
}

struct tls_link *
tls_link_create(const struct tls_client *c, const char *name)
{
	struct tls_link *l = MEM_NEW(struct tls_link);

	l->ssl = SSL_new(c->ctx);
	l->in = BIO_new(BIO_s_mem());
	l->out = BIO_new(BIO_s_mem());
	if (l->ssl == NULL || l->in == NULL || l->out == NULL)
		abort();		   /* as everywhere when memory is out: lib/core/mem.h */
	BIO_set_mem_eof_return(l->in, -1); /* empty is not the end: more will come */
	SSL_set_bio(l->ssl, l->in, l->out);
	SSL_set_connect_state(l->ssl);
	/* A name that cannot be asked for must not pass unasked. */
	l->failed = !expect_name(l->ssl, name, c->verify);
	ERR_clear_error();
	return l;
}

void
tls_link_destroy(struct tls_link **l)
{
	if (*l == NULL)
		return;
	SSL_free((*l)->ssl);
	free(*l);
	*l = NULL;
}

static void
drain(struct tls_link *l, struct buf *out)
{
	char *p;
	long n = BIO_get_mem_data(l->out, &p);

	if (n <= 0)
		return;
	buf_put(out, p, (size_t)n);
	(void)BIO_reset(l->out);
}

static err_t
link_failed(struct tls_link *l, struct err_detail *why)
{
	long verdict = SSL_get_verify_result(l->ssl);

	l->failed = true;
	if (verdict != X509_V_OK && (SSL_get_verify_mode(l->ssl) & SSL_VERIFY_PEER)) {
		ERR_clear_error();
		return err_set(why, ERR_CONN, "its certificate is not good: %s",
			       X509_verify_cert_error_string(verdict));
	}
	return err_set(why, ERR_CONN, "TLS failed: %s", reason());
}

/* ERR_OK also when it has to wait for more. */
static err_t
link_read(struct tls_link *l, struct buf *plain, struct err_detail *why)
{
	enum { PIECE = 16384 }; /* a TLS record */
	int n;

	while ((n = SSL_read(l->ssl, buf_room(plain, PIECE), PIECE)) > 0)
		buf_added(plain, (size_t)n);
	switch (SSL_get_error(l->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return ERR_OK;
	case SSL_ERROR_ZERO_RETURN:
		l->closed = true;
		return ERR_OK;
	default:
		return link_failed(l, why);
	}
}

err_t
tls_link_take(struct tls_link *l, struct span bytes, struct buf *plain, struct buf *out,
	      struct err_detail *why)
{
	err_t err = ERR_OK;

	if (l->failed)
		return err_set(why, ERR_CONN, "TLS failed: the server's name cannot be asked for");
	ERR_clear_error();
	if (bytes.len > 0 && BIO_write(l->in, bytes.p, (int)bytes.len) != (int)bytes.len)
		abort();
	if (!l->open) {
		int rc = SSL_do_handshake(l->ssl);
		int what = SSL_get_error(l->ssl, rc);

		if (rc == 1)
			l->open = true;
		else if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE)
			err = link_failed(l, why);
	}
	if (err == ERR_OK && l->open && !l->closed)
		err = link_read(l, plain, why);
	drain(l, out);
	return err;
}

bool
tls_link_put(struct tls_link *l, struct span plain, struct buf *out)
{
	ERR_clear_error();
	while (plain.len > 0 && !l->failed) {
		int piece = plain.len < (1 << 20) ? (int)plain.len : 1 << 20;
		int n = SSL_write(l->ssl, plain.p, piece);

		if (n <= 0)
			l->failed = true;
		else
			plain = span_from(plain, (size_t)n);
	}
	drain(l, out);
	return !l->failed;
}

bool
tls_link_is_open(const struct tls_link *l)
{
	return l->open;
}

bool
tls_link_is_closed(const struct tls_link *l)
{
	return l->closed;
}
