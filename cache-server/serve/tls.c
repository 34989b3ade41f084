#include "cache-server/serve/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

struct tls {
	const struct settings *settings;
	const struct clock *clock;
	pthread_mutex_t lock;
	SSL_CTX *context;   /* under the lock */
	uint64_t loaded_ms; /* the same */
};

struct tls_session {
	SSL *ssl;
};

/* Contexts come and go with reloads, and sessions may outlive all of them: the process counts. */
static _Atomic uint64_t new_sessions;

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	atomic_fetch_add_explicit(&new_sessions, 1, memory_order_relaxed);
	return 0; /* OpenSSL keeps the reference */
}

static err_t
failed(struct err_detail *why, const char *what, const char *file)
{
	char reason[256] = "unknown reason";
	unsigned long code = ERR_get_error();

	if (code)
		ERR_error_string_n(code, reason, sizeof reason);
	ERR_clear_error();
	return err_set(why, ERR_CONFIG, "Error loading %s: %s : %s", what, file, reason);
}

static err_t
load_files(SSL_CTX *c, const struct settings *s, struct err_detail *why)
{
	const char *key = s->ssl_key[0] ? s->ssl_key : s->ssl_chain_cert;

	if (SSL_CTX_use_certificate_chain_file(c, s->ssl_chain_cert) != 1)
		return failed(why, "the certificate chain", s->ssl_chain_cert);
	if (SSL_CTX_use_PrivateKey_file(c, key,
					s->ssl_keyformat == 2 ? SSL_FILETYPE_ASN1 : SSL_FILETYPE_PEM) != 1)
		return failed(why, "the key", key);
	if (SSL_CTX_check_private_key(c) != 1)
		return failed(why, "the key, which does not fit the certificate", key);
	if (s->ssl_ca_cert[0]) {
		if (SSL_CTX_load_verify_locations(c, s->ssl_ca_cert, NULL) != 1)
			return failed(why, "the CA certificate", s->ssl_ca_cert);
		SSL_CTX_set_client_CA_list(c, SSL_load_client_CA_file(s->ssl_ca_cert));
	}
	return ERR_OK;
}

static int
verify_mode(const struct settings *s)
{
	static const int modes[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER,
				    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				    SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE};

	return modes[s->ssl_verify_mode & 3];
}

static err_t
make_context(SSL_CTX **out, const struct settings *s, struct err_detail *why)
{
	static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
	static const unsigned char id[] = "squeal-cache";
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	err_t err;

	*out = NULL;
	if (c == NULL)
		return failed(why, "OpenSSL", "SSL_CTX_new");
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION);
	if (s->ssl_kernel_tls)
		SSL_CTX_set_options(c, SSL_OP_ENABLE_KTLS);
	/* What could not be sent is given again from another place. */
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_min_proto_version(c, versions[s->ssl_min_version & 3]) != 1) {
		err = failed(why, "the least version of TLS", "ssl_min_version");
		goto done;
	}
	err = load_files(c, s, why);
	if (err != ERR_OK)
		goto done;
	SSL_CTX_set_verify(c, verify_mode(s), NULL);
	if (s->ssl_ciphers[0] && SSL_CTX_set_cipher_list(c, s->ssl_ciphers) != 1) {
		err = failed(why, "the list of ciphers", s->ssl_ciphers);
		goto done;
	}
	if (s->ssl_session_cache) {
		SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_SERVER);
		SSL_CTX_sess_set_new_cb(c, on_new_session);
		SSL_CTX_set_session_id_context(c, id, sizeof id - 1);
	} else {
		SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
	}
	*out = c;
	c = NULL;
done:
	SSL_CTX_free(c);
	return err;
}

err_t
tls_create(struct tls **out, const struct settings *s, const struct clock *clock, struct err_detail *why)
{
	struct tls *t = MEM_NEW(struct tls);
	err_t err;

	t->settings = s;
	t->clock = clock;
	pthread_mutex_init(&t->lock, NULL);
	err = make_context(&t->context, s, why);
	if (err != ERR_OK)
		tls_destroy(&t);
	else
		t->loaded_ms = clock_mono_ms(clock);
	*out = t;
	return err;
}

void
tls_destroy(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	SSL_CTX_free(t->context);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

err_t
tls_reload(struct tls *t, struct err_detail *why)
{
	SSL_CTX *fresh, *old;
	err_t err = make_context(&fresh, t->settings, why);

	if (err != ERR_OK)
		return err;
	pthread_mutex_lock(&t->lock);
	old = t->context;
	t->context = fresh;
	t->loaded_ms = clock_mono_ms(t->clock);
	pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old); /* sessions have references of their own */
	return ERR_OK;
}

uint64_t
tls_age_s(struct tls *t)
{
	uint64_t at;

	pthread_mutex_lock(&t->lock);
	at = t->loaded_ms;
	pthread_mutex_unlock(&t->lock);
	return (clock_mono_ms(t->clock) - at) / 1000;
}

uint64_t
tls_new_sessions(struct tls *t)
{
	return atomic_load_explicit(&new_sessions, memory_order_relaxed);
}

/* --- one connection ------------------------------------------------------------------------------------ */

struct tls_session *
tls_accept(struct tls *t, int fd, enum listen_tls mode)
{
	struct tls_session *s = malloc(sizeof *s);

	if (s == NULL)
		return NULL;
	pthread_mutex_lock(&t->lock);
	s->ssl = SSL_new(t->context);
	pthread_mutex_unlock(&t->lock);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1) {
		ERR_clear_error();
		SSL_free(s->ssl);
		free(s);
		return NULL;
	}
	if (mode == LISTEN_TLS_BASIC)
		SSL_set_verify(s->ssl, SSL_VERIFY_NONE, NULL);
	else if (mode == LISTEN_TLS_PEER)
		SSL_set_verify(s->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_set_accept_state(s->ssl);
	return s;
}

void
tls_close(struct tls_session **sp)
{
	struct tls_session *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	if (SSL_is_init_finished(s->ssl))
		(void)SSL_shutdown(s->ssl);
	ERR_clear_error();
	SSL_free(s->ssl);
	free(s);
}

static ssize_t
result(struct tls_session *s, int ret)
{
	int err = SSL_get_error(s->ssl, ret);

	/* What stays in OpenSSL's queue would be taken for the next connection's error. */
	ERR_clear_error();
	switch (err) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_END;
	default:
		return TLS_ERROR;
	}
}

ssize_t
tls_read(struct tls_session *s, void *to, size_t max)
{
	size_t got = 0;

	/* One record at a time comes out of OpenSSL. */
	while (got < max) {
		size_t room = max - got < INT32_MAX ? max - got : INT32_MAX;
		int n = SSL_read(s->ssl, (char *)to + got, (int)room);

		if (n <= 0) {
			ssize_t why = result(s, n);

			return got > 0 ? (ssize_t)got : why;
		}
		got += (size_t)n;
	}
	return (ssize_t)got;
}

ssize_t
tls_write(struct tls_session *s, const struct iovec *iov, int n, char *scratch, size_t wbuf)
{
	size_t len = 0;
	int done;

	for (int i = 0; i < n && len < wbuf; i++) {
		size_t some = iov[i].iov_len < wbuf - len ? iov[i].iov_len : wbuf - len;

		memcpy(scratch + len, iov[i].iov_base, some);
		len += some;
	}
	if (len == 0)
		return 0;
	done = SSL_write(s->ssl, scratch, (int)len);
	return done > 0 ? done : result(s, done);
}

bool
tls_has_more(const struct tls_session *s)
{
	return SSL_pending(s->ssl) > 0;
}

bool
tls_is_open(const struct tls_session *s)
{
	return SSL_is_init_finished(s->ssl);
}
