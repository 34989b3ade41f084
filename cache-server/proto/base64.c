#include "cache-server/proto/base64.h"

#include <stdint.h>

static const char DIGITS[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_put(char *to, struct span in)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t left = in.len;

	for (; left >= 3; left -= 3, p += 3) {
		*to++ = DIGITS[p[0] >> 2];
		*to++ = DIGITS[(p[0] & 3) << 4 | p[1] >> 4];
		*to++ = DIGITS[(p[1] & 15) << 2 | p[2] >> 6];
		*to++ = DIGITS[p[2] & 63];
	}
	if (left > 0) {
		unsigned second = left == 2 ? p[1] : 0;

		*to++ = DIGITS[p[0] >> 2];
		*to++ = DIGITS[(p[0] & 3) << 4 | second >> 4];
		*to++ = '=';
		if (left == 2)
			to[-1] = DIGITS[(second & 15) << 2];
		*to++ = '=';
	}
	return to;
}

/* 0 to 63; 64: padding; -1: not of the alphabet. */
static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? 64 : -1;
}

size_t
base64_get(struct span text, char *out)
{
	size_t known = 0, n = 0;
	unsigned have = 0, padding = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < text.len; i++)
		known += value_of((unsigned char)text.p[i]) >= 0;
	if (known == 0 || known % 4 != 0)
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		int v = value_of((unsigned char)text.p[i]);

		if (v < 0)
			continue;
		padding += v == 64;
		bits = bits << 6 | (uint32_t)(v & 63);
		if (++have < 4)
			continue;
		if (padding > 2)
			return 0;
		out[n++] = (char)(bits >> 16);
		if (padding < 2)
			out[n++] = (char)(bits >> 8);
		if (padding < 1)
			out[n++] = (char)bits;
		if (padding)
			break;
		have = 0;
		bits = 0;
	}
	return n;
}
