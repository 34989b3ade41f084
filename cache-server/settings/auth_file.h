/*
 * auth_file - who may use the cache: memcached's -Y file.
 *
 * One "user:password" per line, as memcached 1.6.45 has it (authfile.c): at most AUTH_FILE_MAX_ENTRIES lines
 * of at most AUTH_FILE_MAX_LINE bytes.  Where memcached cuts a longer line or forgets the ninth one, the file
 * is refused.  A password may stand there as a salted SHA-256 instead:
 *
 *     user:$sha256$SALT$HEX        HEX = SHA-256 of SALT followed by the password, in 64 hexadecimal digits
 *
 * made by   printf '%s%s' "$salt" "$password" | sha256sum.   A slow hash (crypt(3)) would let anyone who can
 * connect stall a worker thread; so take long random passwords, for which a fast hash is as good.
 *
 * In memory only salted digests are kept.  A check takes the same time whichever entry, byte or length is
 * wrong.
 *
 * An auth_file never changes: to reload, load a new one, hand it to the worker threads, destroy the old one
 * when no thread uses it any more; when loading fails the old one stays in force.
 *
 * Threads: any may check.   Blocks: auth_file_load() on the file.   Randomness: passed in.
 */
#ifndef SQUEAL_CACHE_SERVER_SETTINGS_AUTH_FILE_H
#define SQUEAL_CACHE_SERVER_SETTINGS_AUTH_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/err.h"
#include "lib/core/span.h"

enum { AUTH_FILE_MAX_ENTRIES = 8, AUTH_FILE_MAX_LINE = 256, AUTH_FILE_MAX_BYTES = 16 << 10 };

struct auth_file; /* opaque */

/* On error *out is NULL and *why reads "NAME:LINE: what is wrong; what would be right".  No password is ever
 * part of a message.  `seed` salts passwords that stand there in plain: hash_seed(). */
err_t auth_file_parse(struct auth_file **out, struct span text, const char *name, uint64_t seed,
		      struct err_detail *why) MUST_CHECK;

err_t auth_file_load(struct auth_file **out, const char *path, uint64_t seed,
		     struct err_detail *why) MUST_CHECK;

/* NULL is fine. */
void auth_file_destroy(struct auth_file **a);

/* Whether an entry has this user and this password.  A few microseconds. */
bool auth_file_allows(const struct auth_file *a, struct span user, struct span password);

size_t auth_file_entries(const struct auth_file *a);

#endif
