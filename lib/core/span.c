#include "lib/core/span.h"

#include "lib/core/mem.h"

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

struct span
span_trim(struct span a)
{
	while (a.len > 0 && is_space(a.p[0])) {
		a.p++;
		a.len--;
	}
	while (a.len > 0 && is_space(a.p[a.len - 1]))
		a.len--;
	return a;
}

bool
span_ieq(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

ptrdiff_t
span_find(struct span a, struct span needle)
{
	const char *at;

	if (needle.len == 0)
		return 0;
	if (a.len < needle.len)
		return -1;
	at = memmem(a.p, a.len, needle.p, needle.len);
	return at == NULL ? -1 : at - a.p;
}

struct span
span_cut(struct span *text, char stop)
{
	const char *at = text->len > 0 ? memchr(text->p, stop, text->len) : NULL;
	size_t n = at == NULL ? text->len : (size_t)(at - text->p);
	struct span part = span_first(*text, n);

	*text = span_from(*text, n + (at != NULL));
	return part;
}

bool
span_u64(struct span a, uint64_t *out)
{
	uint64_t v = 0;

	if (a.len == 0)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(a.p[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

char *
span_dup(struct span a)
{
	char *s = mem_alloc(a.len + 1);

	if (a.len > 0)
		memcpy(s, a.p, a.len);
	s[a.len] = '\0';
	return s;
}
