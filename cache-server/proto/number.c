#include "cache-server/proto/number.h"

#include <string.h>

static const char PAIRS[201] = "0001020304050607080910111213141516171819"
			       "2021222324252627282930313233343536373839"
			       "4041424344454647484950515253545556575859"
			       "6061626364656667686970717273747576777879"
			       "8081828384858687888990919293949596979899";

static inline unsigned
digits_of(uint64_t n)
{
	unsigned digits = 1;

	for (;;) {
		if (n < 10)
			return digits;
		if (n < 100)
			return digits + 1;
		if (n < 1000)
			return digits + 2;
		if (n < 10000)
			return digits + 3;
		n /= 10000;
		digits += 4;
	}
}

char *
number_put_long(char *to, uint64_t n)
{
	char *end = to + digits_of(n), *p = end;

	while (n >= 100) {
		p -= 2;
		memcpy(p, PAIRS + n % 100 * 2, 2);
		n /= 100;
	}
	if (n >= 10)
		memcpy(to, PAIRS + n * 2, 2);
	else
		*to = (char)('0' + n);
	return end;
}

char *
number_put_signed(char *to, int64_t n)
{
	if (n >= 0)
		return number_put(to, (uint64_t)n);
	*to = '-';
	return number_put(to + 1, 0 - (uint64_t)n);
}

static bool
read_unsigned(struct span text, uint64_t max, uint64_t *out)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned)(unsigned char)text.p[i] - '0';

		if (digit > 9 || sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*out = sum;
	return true;
}

static bool
read_signed(struct span text, uint64_t max, int64_t *out)
{
	bool minus = text.len > 0 && text.p[0] == '-';
	uint64_t n;

	if (!read_unsigned(span_from(text, minus), max + minus, &n))
		return false;
	*out = (int64_t)(minus ? 0 - n : n);
	return true;
}

bool
number_u32(struct span text, uint32_t *out)
{
	uint64_t n;

	if (text.len > 11 || !read_unsigned(text, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

bool
number_u64(struct span text, uint64_t *out)
{
	return text.len <= 22 && read_unsigned(text, UINT64_MAX, out);
}

bool
number_i32(struct span text, int32_t *out)
{
	int64_t n;

	if (text.len > 11 || !read_signed(text, INT32_MAX, &n))
		return false;
	*out = (int32_t)n;
	return true;
}

bool
number_i64(struct span text, int64_t *out)
{
	return text.len <= 22 && read_signed(text, INT64_MAX, out);
}

bool
number_flags(struct span text, uint32_t *out)
{
	uint64_t n;

	text = span_from(text, text.len > 0 && text.p[0] == '+');
	if (text.len == 0 || !read_unsigned(text, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

bool
number_exptime(struct span text, int64_t *out)
{
	if (text.len > 1 && text.p[0] == '+' && text.p[1] != '-')
		text = span_from(text, 1);
	return text.len > (text.len > 0 && text.p[0] == '-') && read_signed(text, INT64_MAX, out);
}
