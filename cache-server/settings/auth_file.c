#include "cache-server/settings/auth_file.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "lib/core/buf.h"
#include "lib/core/file.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

enum { USER_BYTES = AUTH_FILE_MAX_LINE, SALT_BYTES = AUTH_FILE_MAX_LINE };

/* All entries are there, used or not, so that a check does the same work for any of them. */
struct entry {
	unsigned char user[USER_BYTES]; /* zeros behind it */
	size_t user_len;
	unsigned char salt[SALT_BYTES];
	size_t salt_len;
	unsigned char digest[SHA256_DIGEST_LENGTH]; /* of salt and password */
};

struct auth_file {
	struct entry at[AUTH_FILE_MAX_ENTRIES];
	size_t n;
};

static void
digest_of(const struct entry *e, struct span password, unsigned char out[SHA256_DIGEST_LENGTH])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(ctx, e->salt, e->salt_len) == 1 &&
		  EVP_DigestUpdate(ctx, password.p, password.len) == 1 &&
		  EVP_DigestFinal_ex(ctx, out, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok)
		abort(); /* out of memory: see mem.h */
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static bool
take_hex(struct span text, unsigned char out[SHA256_DIGEST_LENGTH])
{
	if (text.len != 2 * SHA256_DIGEST_LENGTH)
		return false;
	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* "$sha256$SALT$HEX", without the first word. */
static bool
take_hashed(struct entry *e, struct span text)
{
	ptrdiff_t end = span_find(text, SPAN_LIT("$"));

	if (end < 1)
		return false;
	memcpy(e->salt, text.p, (size_t)end);
	e->salt_len = (size_t)end;
	return take_hex(span_from(text, (size_t)end + 1), e->digest);
}

static void
take_plain(struct entry *e, struct span password, uint64_t seed)
{
	uint64_t salt[2] = {hash_span(span_make(e->user, e->user_len), seed), seed};

	memcpy(e->salt, salt, sizeof(salt));
	e->salt_len = sizeof(salt);
	digest_of(e, password, e->digest);
}

static err_t
bad(struct err_detail *why, const char *name, unsigned line, const char *text)
{
	return err_set(why, ERR_CONFIG, "%s:%u: %s", name, line, text);
}

static err_t
take_line(struct auth_file *a, struct span line, const char *name, unsigned number, uint64_t seed,
	  struct err_detail *why)
{
	struct entry *e = &a->at[a->n];
	struct span user, password = line;

	if (line.len > AUTH_FILE_MAX_LINE)
		return bad(why, name, number, "the line is longer than 256 bytes; shorten user or password");
	if (memchr(line.p, '\0', line.len) != NULL)
		return bad(why, name, number, "the line holds a NUL byte; write user:password as text");
	if (memchr(line.p, ':', line.len) == NULL)
		return bad(why, name, number, "the line has no \":\"; write user:password");
	user = span_cut(&password, ':');
	if (user.len == 0 || memchr(user.p, ' ', user.len) != NULL)
		return bad(
		    why, name, number,
		    "a user's name may not be empty or hold a space, for clients write \"user password\"");
	if (password.len == 0)
		return bad(why, name, number, "there is no password behind the \":\"; add one");
	if (a->n == AUTH_FILE_MAX_ENTRIES)
		return bad(why, name, number,
			   "more than 8 entries; this is no place for many users, remove some");
	memset(e, 0, sizeof(*e));
	memcpy(e->user, user.p, user.len);
	e->user_len = user.len;
	if (!span_starts(password, SPAN_LIT("$sha256$")))
		take_plain(e, password, seed);
	else if (!take_hashed(e, span_from(password, 8)))
		return bad(why, name, number,
			   "\"$sha256$\" must be followed by a salt, \"$\" and 64 hexadecimal digits; see "
			   "squeal-cache(1)");
	a->n++;
	return ERR_OK;
}

err_t
auth_file_parse(struct auth_file **out, struct span text, const char *name, uint64_t seed,
		struct err_detail *why)
{
	struct auth_file *a = MEM_NEW(struct auth_file);
	unsigned number = 0;
	err_t err = ERR_OK;

	*out = NULL;
	while (err == ERR_OK && text.len > 0) {
		struct span line = span_cut(&text, '\n');

		number++;
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (line.len > 0)
			err = take_line(a, line, name, number, seed, why);
	}
	if (err == ERR_OK && a->n == 0)
		err = err_set(why, ERR_CONFIG, "%s: there is no entry; write one user:password in a line",
			      name);
	if (err == ERR_OK) {
		*out = a;
		a = NULL;
	}
	auth_file_destroy(&a);
	return err;
}

err_t
auth_file_load(struct auth_file **out, const char *path, uint64_t seed, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	*out = NULL;
	err = file_read(path, AUTH_FILE_MAX_BYTES, &text, why);
	if (err == ERR_OK)
		err = auth_file_parse(out, buf_span(&text), path, seed, why);
	if (text.base != NULL)
		OPENSSL_cleanse(text.base, text.cap);
	buf_fini(&text);
	return err;
}

void
auth_file_destroy(struct auth_file **ap)
{
	struct auth_file *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}

bool
auth_file_allows(const struct auth_file *a, struct span user, struct span password)
{
	unsigned char padded[USER_BYTES] = {0};
	unsigned allowed = 0;

	/* The length of what the client sent is no secret; that of an entry is. */
	if (user.len > 0)
		memcpy(padded, user.p, user.len < USER_BYTES ? user.len : USER_BYTES);
	for (size_t i = 0; i < AUTH_FILE_MAX_ENTRIES; i++) {
		const struct entry *e = &a->at[i];
		unsigned char digest[SHA256_DIGEST_LENGTH];
		unsigned same;

		digest_of(e, password, digest);
		same = (unsigned)(i < a->n) & (unsigned)(user.len == e->user_len);
		same &= (unsigned)(CRYPTO_memcmp(padded, e->user, USER_BYTES) == 0);
		same &= (unsigned)(CRYPTO_memcmp(digest, e->digest, sizeof(digest)) == 0);
		allowed |= same;
	}
	return allowed != 0;
}

size_t
auth_file_entries(const struct auth_file *a)
{
	return a->n;
}
