/*
 * certs - certificates for tests, made by OpenSSL's library, and written as PEM files.
 */
#ifndef SQUEAL_LIB_NET_TEST_CERTS_H
#define SQUEAL_LIB_NET_TEST_CERTS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct cert {
	EVP_PKEY *key;
	X509 *x;
	char pem[200], key_pem[200]; /* paths */
};

static inline void
cert_extend(struct cert *c, const struct cert *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer->x, c->x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (e == NULL || X509_add_ext(c->x, e, -1) != 1)
		abort();
	X509_EXTENSION_free(e);
}

/* `names`: "DNS:cache.example,IP:127.0.0.1"; NULL for an authority.  `issuer` NULL: signed by itself.  Valid
 * from yesterday for so many days; 0: it has just expired. */
static inline void
cert_make(struct cert *c, const char *dir, const char *file, const char *names, const struct cert *issuer,
	  long days)
{
	static long serial = 1;
	X509_NAME *subject;
	FILE *out;

	c->key = EVP_EC_gen("P-256");
	c->x = X509_new();
	if (issuer == NULL)
		issuer = c;
	X509_set_version(c->x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -86400 * 2);
	X509_gmtime_adj(X509_getm_notAfter(c->x), days > 0 ? 86400 * days : -60);
	X509_set_pubkey(c->x, c->key);
	subject = X509_get_subject_name(c->x);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)file, -1, -1, 0);
	X509_set_issuer_name(c->x, X509_get_subject_name(issuer->x));
	cert_extend(c, issuer, NID_basic_constraints, names == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (names != NULL)
		cert_extend(c, issuer, NID_subject_alt_name, names);
	if (X509_sign(c->x, issuer->key, EVP_sha256()) == 0)
		abort();
	snprintf(c->pem, sizeof(c->pem), "%s/%s.pem", dir, file);
	snprintf(c->key_pem, sizeof(c->key_pem), "%s/%s-key.pem", dir, file);
	out = fopen(c->pem, "w");
	if (out == NULL || PEM_write_X509(out, c->x) != 1 || fclose(out) != 0)
		abort();
	out = fopen(c->key_pem, "w");
	if (out == NULL || PEM_write_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    fclose(out) != 0)
		abort();
}

static inline void
cert_free(struct cert *c)
{
	remove(c->pem);
	remove(c->key_pem);
	EVP_PKEY_free(c->key);
	X509_free(c->x);
}

#endif
