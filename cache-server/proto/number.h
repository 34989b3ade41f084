/*
 * number - decimal numbers as memcached reads and writes them.
 *
 * Reading follows what memcached 1.6.45 does with each kind of argument, down to the longest text that it
 * looks at: a number with more digits than fit is refused even when they are zeros.
 *
 * Source: memcached 1.6.45, the behaviour of mcmc_token_get_*() and safe_strto*().
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_PROTO_NUMBER_H
#define SQUEAL_CACHE_SERVER_PROTO_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/span.h"

enum { NUMBER_MAX_TEXT = 20 }; /* bytes of the longest uint64_t */

/* Writes it, no terminator; returns behind the last digit.  At most NUMBER_MAX_TEXT bytes. */
char *number_put_long(char *to, uint64_t n);

/* Most numbers of the protocol are small: flags, lengths. */
static inline char *
number_put(char *to, uint64_t n)
{
	if (__builtin_expect(n < 10, 1)) {
		*to = (char)('0' + n);
		return to + 1;
	}
	return number_put_long(to, n);
}

char *number_put_signed(char *to, int64_t n);

/* False: *out is not touched.  At most 11 (32 bits) or 22 (64 bits) characters; an empty text is 0, and so is
 * "-" where signs are allowed. */
bool number_u32(struct span text, uint32_t *out);
bool number_u64(struct span text, uint64_t *out);
bool number_i32(struct span text, int32_t *out);
bool number_i64(struct span text, int64_t *out);

/* Client flags and exptime of the storage commands: a sign, "+" included, and any number of zeros in front
 * are fine; no digits are not. */
bool number_flags(struct span text, uint32_t *out);
bool number_exptime(struct span text, int64_t *out);

#endif
