#include "lib/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static err_t
bad(struct err_detail *why, struct span text, const char *what)
{
	return err_set(why, ERR_CONFIG,
		       "\"%.*s\" is not an address: %s; write host:port, [::1]:port or /path/of/a/socket",
		       SPAN_FMT(span_first(text, 120)), what);
}

static void
copy(char *to, struct span from)
{
	memcpy(to, from.p, from.len);
	to[from.len] = '\0';
}

static bool
plain_host(struct span host)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '_'))
			return false;
	}
	return host.len > 0;
}

err_t
address_parse(struct address *out, struct span text, struct err_detail *why)
{
	struct span host, port;
	uint64_t number;
	const char *colon;

	memset(out, 0, sizeof(*out));
	if (text.len == 0)
		return bad(why, text, "it is empty");
	if (memchr(text.p, '\0', text.len) != NULL)
		return bad(why, text, "it holds a NUL byte");
	if (text.p[0] == '/') {
		if (text.len >= sizeof(out->path))
			return bad(why, text, "the path of a socket can have 107 bytes at most");
		copy(out->path, text);
		return ERR_OK;
	}
	colon = memrchr(text.p, ':', text.len);
	if (colon == NULL)
		return bad(why, text, "the port is missing");
	host = span_first(text, (size_t)(colon - text.p));
	port = span_from(text, host.len + 1);
	if (!span_u64(port, &number) || number > 65535 || port.len > 5)
		return bad(why, text, "the port is not a number from 0 to 65535");
	if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']') {
		host = span_first(span_from(host, 1), host.len - 2);
		if (!address_is_ip(host) || memchr(host.p, ':', host.len) == NULL)
			return bad(why, text, "what is in brackets is not an IPv6 address");
	} else if (memchr(host.p, ':', host.len) != NULL) {
		return bad(why, text, "an IPv6 address needs brackets");
	} else if (!plain_host(host)) {
		return bad(why, text, "the host is missing or holds a byte that hosts cannot have");
	}
	if (host.len >= sizeof(out->host))
		return bad(why, text, "the host is longer than 255 bytes");
	copy(out->host, host);
	out->port = (unsigned)number;
	return ERR_OK;
}

bool
address_raw(const struct address *a, struct address_raw *out)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&out->u;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->u;

	memset(out, 0, sizeof(*out));
	if (a->path[0] != '\0') {
		out->u.un.sun_family = AF_UNIX;
		memcpy(out->u.un.sun_path, a->path, sizeof(a->path));
		out->len = sizeof(out->u.un);
		return true;
	}
	if (inet_pton(AF_INET, a->host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)a->port);
		out->len = sizeof(*in4);
		return true;
	}
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, a->host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)a->port);
		out->len = sizeof(*in6);
		return true;
	}
	return false;
}

bool
address_is_wildcard(const struct address *a)
{
	struct in6_addr v6;

	return strcmp(a->host, "0.0.0.0") == 0 ||
	       (inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

bool
address_is_ip(struct span host)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char raw[sizeof(struct in6_addr)];

	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	copy(text, host);
	return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}
