#include "lib/conf/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf/host.h"

static void
copy(char *to, size_t size, struct span from)
{
	snprintf(to, size, "%.*s", SPAN_FMT(from));
}

err_t
endpoint_parse(struct span text, uint16_t port, struct endpoint *out, struct err_detail *why)
{
	struct span host, number;
	struct endpoint e = {.port = port};
	uint64_t n = 0;

	text = span_trim(text);
	if (text.len > 0 && text.p[0] == '/' && text.len <= ENDPOINT_SOCKET_MAX) {
		e.port = 0;
		copy(e.socket, sizeof(e.socket), text);
	} else if (host_split(text, &host, &number) && host.len <= ENDPOINT_HOST_MAX) {
		span_u64(number, &n);
		if (n == 0)
			goto bad;
		e.port = (uint16_t)n;
		copy(e.host, sizeof(e.host), host);
	} else if (host_is(text)) {
		copy(e.host, sizeof(e.host), text);
	} else {
		goto bad;
	}
	*out = e;
	return ERR_OK;
bad:
	return err_set(why, ERR_USAGE,
		       "\"%.*s\" is not an endpoint; write host, host:port, [::1]:port or /path/of/a/socket",
		       SPAN_FMT(span_first(text, 80)));
}

err_t
endpoints_parse(struct span list, uint16_t port, struct endpoints *out, struct err_detail *why)
{
	struct endpoints all = {.n = 0};
	err_t err;

	for (;;) {
		ptrdiff_t comma = span_find(list, SPAN_LIT(","));
		struct span one = comma >= 0 ? span_first(list, (size_t)comma) : list;
		struct endpoint e;

		err = endpoint_parse(one, port, &e, why);
		if (err != ERR_OK)
			return err;
		for (size_t i = 0; i < all.n; i++) {
			if (endpoint_same(&all.at[i], &e))
				return err_set(why, ERR_USAGE, "%s is there twice; keep it once",
					       endpoint_text(&e).text);
		}
		if (all.n == ENDPOINTS_MAX)
			return err_set(why, ERR_USAGE, "there are more than %d endpoints", ENDPOINTS_MAX);
		all.at[all.n++] = e;
		if (comma < 0)
			break;
		list = span_from(list, (size_t)comma + 1);
	}
	*out = all;
	return ERR_OK;
}

void
endpoints_of(const struct source_options *opt, struct endpoints *out)
{
	struct endpoint *e = &out->at[0];

	*out = (struct endpoints){.n = 1};
	if (opt->endpoints[0] != '\0') {
		if (endpoints_parse(span_of(opt->endpoints), (uint16_t)opt->port, out, NULL) != ERR_OK)
			abort(); /* check_source() has parsed it */
		return;
	}
	if (opt->socket[0] != '\0') {
		copy(e->socket, sizeof(e->socket), span_of(opt->socket));
		return;
	}
	copy(e->host, sizeof(e->host), span_of(opt->host));
	e->port = (uint16_t)opt->port;
}

struct endpoint_text
endpoint_text(const struct endpoint *e)
{
	struct endpoint_text t;

	if (e->socket[0] != '\0')
		snprintf(t.text, sizeof(t.text), "%s", e->socket);
	else
		snprintf(t.text, sizeof(t.text), strchr(e->host, ':') != NULL ? "[%s]:%u" : "%s:%u", e->host,
			 e->port);
	return t;
}

bool
endpoint_same(const struct endpoint *a, const struct endpoint *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->socket, b->socket) == 0 && a->port == b->port;
}
