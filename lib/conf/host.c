#include "lib/conf/host.h"

#include <arpa/inet.h>
#include <string.h>

enum { MAX_HOST = 255 };

static bool
is_port(struct span text)
{
	uint64_t n;

	return text.len <= 5 && span_u64(text, &n) && n <= 65535;
}

bool
host_is_ipv6(struct span s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr raw;

	if (s.len >= sizeof(text))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	return inet_pton(AF_INET6, text, &raw) == 1;
}

bool
host_is(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '_'))
			return false;
	}
	return s.len > 0 && s.len <= MAX_HOST;
}

bool
host_split(struct span text, struct span *host, struct span *port)
{
	const char *colon = text.len > 0 ? memrchr(text.p, ':', text.len) : NULL;
	bool v6;

	if (colon == NULL)
		return false;
	*host = span_first(text, (size_t)(colon - text.p));
	*port = span_from(text, host->len + 1);
	v6 = host->len > 2 && host->p[0] == '[' && host->p[host->len - 1] == ']';
	if (v6)
		*host = span_from(span_first(*host, host->len - 1), 1);
	return (v6 ? host_is_ipv6(*host) : host_is(*host)) && is_port(*port);
}
