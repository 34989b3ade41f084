#include "lib/net/http.h"

#include <string.h>

static bool
is_token(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			return false;
	}
	return s.len > 0;
}

static bool
has_controls(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

/* The next line without its end; false when there is none yet. */
static bool
next_line(struct span *rest, struct span *line)
{
	ptrdiff_t at = span_find(*rest, SPAN_LIT("\n"));

	if (at < 0)
		return false;
	*line = span_first(*rest, (size_t)at);
	if (line->len > 0 && line->p[line->len - 1] == '\r')
		line->len--;
	*rest = span_from(*rest, (size_t)at + 1);
	return true;
}

/* "[::1]:80" → "::1", "localhost:80" → "localhost"; false when it is neither form. */
static bool
host_of(struct span text, struct span *host)
{
	struct span port;
	ptrdiff_t at;

	if (text.len > 0 && text.p[0] == '[') {
		at = span_find(text, SPAN_LIT("]"));
		if (at < 0)
			return false;
		*host = span_from(span_first(text, (size_t)at), 1);
		port = span_from(text, (size_t)at + 1);
	} else {
		at = span_find(text, SPAN_LIT(":"));
		*host = at < 0 ? text : span_first(text, (size_t)at);
		port = span_from(text, host->len);
	}
	if (port.len > 0 && port.p[0] != ':')
		return false;
	for (size_t i = 1; i < port.len; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
	}
	return true;
}

/* "GET /path?query HTTP/1.1"; *minor is the digit behind "1.". */
static int
parse_request_line(struct span line, struct http_request *out, char *minor)
{
	struct span target, version;
	ptrdiff_t at = span_find(line, SPAN_LIT(" "));

	if (at < 0 || has_controls(line))
		return 400;
	out->method = span_first(line, (size_t)at);
	target = span_from(line, (size_t)at + 1);
	at = span_find(target, SPAN_LIT(" "));
	if (at < 0 || !is_token(out->method))
		return 400;
	version = span_from(target, (size_t)at + 1);
	target = span_first(target, (size_t)at);
	if (!span_starts(version, SPAN_LIT("HTTP/")))
		return 400;
	if (version.len != 8 || !span_starts(version, SPAN_LIT("HTTP/1.")) || version.p[7] < '0' ||
	    version.p[7] > '9')
		return 505;
	*minor = version.p[7];
	if (span_starts(target, SPAN_LIT("http://"))) {
		target = span_from(target, 7);
		at = span_find(target, SPAN_LIT("/"));
		if (at < 0 || !host_of(span_first(target, (size_t)at), &out->host) || out->host.len == 0)
			return 400;
		target = span_from(target, (size_t)at);
	}
	if (target.len == 0 || target.p[0] != '/')
		return 400;
	at = span_find(target, SPAN_LIT("?"));
	out->path = at < 0 ? target : span_first(target, (size_t)at);
	out->query = at < 0 ? span_from(target, target.len) : span_from(target, (size_t)at + 1);
	return 200;
}

int
http_request_parse(struct span in, struct http_request *out)
{
	struct span line, name, value, host;
	unsigned hosts = 0;
	bool body = false;
	char minor = '0';
	ptrdiff_t at;
	int status;

	memset(out, 0, sizeof(*out));
	out->method = out->path = out->query = out->host = span_first(in, 0);
	if (!next_line(&in, &line))
		return 0;
	status = parse_request_line(line, out, &minor);
	if (status != 200)
		return status;
	for (;;) {
		if (!next_line(&in, &line))
			return 0;
		if (line.len == 0)
			break;
		at = span_find(line, SPAN_LIT(":"));
		if (at < 0 || has_controls(line))
			return 400;
		name = span_first(line, (size_t)at);
		value = span_trim(span_from(line, (size_t)at + 1));
		if (!is_token(name))
			return 400;
		if (span_ieq(name, SPAN_LIT("host"))) {
			hosts++;
			if (!host_of(value, &host))
				return 400;
			if (out->host.len == 0) /* a host in the request line counts more */
				out->host = host;
		} else if (span_ieq(name, SPAN_LIT("x-squeal"))) {
			out->marked = true;
		} else if (span_ieq(name, SPAN_LIT("transfer-encoding")) ||
			   (span_ieq(name, SPAN_LIT("content-length")) && !span_is(value, "0"))) {
			body = true;
		}
	}
	if (hosts > 1 || (hosts == 0 && minor != '0'))
		return 400;
	return body ? 413 : 200;
}

const char *
http_reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return status < 400 ? "OK" : status < 500 ? "Client Error" : "Server Error";
	}
}

void
http_head(struct buf *out, int status, const char *type, size_t length, const char *extra)
{
	buf_printf(out,
		   "HTTP/1.1 %d %s\r\n"
		   "Content-Type: %s\r\n"
		   "Content-Length: %zu\r\n"
		   "Cache-Control: no-store\r\n"
		   "X-Content-Type-Options: nosniff\r\n"
		   "%s"
		   "Connection: close\r\n"
		   "\r\n",
		   status, http_reason(status), type, length, extra);
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
http_decode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.p[i] == '+') {
			buf_putc(out, ' ');
		} else if (in.p[i] == '%') {
			int high = i + 1 < in.len ? hex(in.p[i + 1]) : -1;
			int low = i + 2 < in.len ? hex(in.p[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return false;
			buf_putc(out, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_putc(out, in.p[i]);
		}
	}
	return true;
}
