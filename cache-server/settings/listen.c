#include "cache-server/settings/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "lib/conf/host.h"

enum { SHOWN = 80 }; /* bytes of an entry in a message */

const char *
listen_protocol_text(enum listen_protocol p)
{
	switch (p) {
	case LISTEN_ASCII:
		return "ascii";
	case LISTEN_BINARY:
		return "binary";
	case LISTEN_AUTO:
		break;
	}
	return "auto-negotiate";
}

static bool
take_word(struct span *rest, struct span word)
{
	if (!span_starts(*rest, word))
		return false;
	*rest = span_from(*rest, word.len);
	return true;
}

static err_t
take_tls(struct span entry, struct span *rest, const struct listen_defaults *d, struct listen *l,
	 struct err_detail *why)
{
	static const struct {
		struct span word;
		enum listen_tls tls;
	} words[] = {{SPAN_LIT("notls:"), LISTEN_PLAIN},
		     {SPAN_LIT("btls:"), LISTEN_TLS_BASIC},
		     {SPAN_LIT("mtls:"), LISTEN_TLS_PEER}};

	l->tls = d->tls ? LISTEN_TLS : LISTEN_PLAIN;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!take_word(rest, words[i].word))
			continue;
		if (!d->tls)
			return err_set(why, ERR_USAGE,
				       "-l %.*s: \"%.*s\" is for servers with TLS; add -Z or leave it out",
				       SPAN_FMT(span_first(entry, SHOWN)), SPAN_FMT(words[i].word));
		l->tls = words[i].tls;
		return ERR_OK;
	}
	return ERR_OK;
}

static err_t
take_protocol(struct span entry, struct span *rest, const struct listen_defaults *d, struct listen *l,
	      struct err_detail *why)
{
	struct span after = *rest, word;
	ptrdiff_t end;

	l->protocol = d->protocol;
	if (!take_word(&after, SPAN_LIT("proto[")))
		return ERR_OK;
	end = span_find(after, SPAN_LIT("]:"));
	if (end < 0)
		return err_set(why, ERR_USAGE,
			       "-l %.*s: proto[ needs a ] and a : behind it, as in proto[ascii]:127.0.0.1",
			       SPAN_FMT(span_first(entry, SHOWN)));
	word = span_first(after, (size_t)end);
	if (span_is(word, "ascii"))
		l->protocol = LISTEN_ASCII;
	else if (span_is(word, "binary"))
		l->protocol = LISTEN_BINARY;
	else if (span_is(word, "negotiating"))
		l->protocol = d->auth ? LISTEN_ASCII : LISTEN_AUTO; /* as memcached has it */
	else
		return err_set(why, ERR_USAGE, "-l %.*s: the protocol is ascii, binary or negotiating",
			       SPAN_FMT(span_first(entry, SHOWN)));
	if (d->auth && l->protocol == LISTEN_BINARY)
		return err_set(why, ERR_USAGE,
			       "-l %.*s: the binary protocol cannot authenticate (-Y); take proto[ascii]",
			       SPAN_FMT(span_first(entry, SHOWN)));
	*rest = span_from(after, (size_t)end + 2);
	return ERR_OK;
}

/* "tag[NAME]:" or "tag_NAME_:".  A host may begin with "tag" too. */
static err_t
take_tag(struct span entry, struct span *rest, struct listen *l, struct err_detail *why)
{
	struct span after = *rest, name;
	ptrdiff_t end;

	l->tag[0] = '\0';
	if (!take_word(&after, SPAN_LIT("tag")) || after.len == 0 || (after.p[0] != '[' && after.p[0] != '_'))
		return ERR_OK;
	end = span_find(span_from(after, 1), after.p[0] == '[' ? SPAN_LIT("]:") : SPAN_LIT("_:"));
	if (end < 1 || end > LISTEN_TAG_MAX)
		return err_set(why, ERR_USAGE,
			       "-l %.*s: a tag has 1 to 8 characters, as in tag[web]:127.0.0.1",
			       SPAN_FMT(span_first(entry, SHOWN)));
	name = span_first(span_from(after, 1), (size_t)end);
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return err_set(why, ERR_USAGE, "-l %.*s: a tag has printable ASCII characters only",
				       SPAN_FMT(span_first(entry, SHOWN)));
	}
	memcpy(l->tag, name.p, name.len);
	l->tag[name.len] = '\0';
	*rest = span_from(after, (size_t)end + 3);
	return ERR_OK;
}

static err_t
take_port(struct span entry, struct span text, struct listen *l, struct err_detail *why)
{
	uint64_t port;

	if (!span_u64(text, &port) || port > UINT16_MAX)
		return err_set(why, ERR_USAGE, "-l %.*s: \"%.*s\" is no port; it is a number from 1 to 65535",
			       SPAN_FMT(span_first(entry, SHOWN)), SPAN_FMT(span_first(text, 20)));
	l->port = (uint16_t)port;
	l->port_given = true;
	return ERR_OK;
}

/* An IPv6 address, maybe with the interface that it is on: fe80::1%eth0. */
static bool
is_ipv6(struct span host)
{
	ptrdiff_t scope = span_find(host, SPAN_LIT("%"));

	if (scope < 0)
		return host_is_ipv6(host);
	return host_is_ipv6(span_first(host, (size_t)scope)) && host_is(span_from(host, (size_t)scope + 1));
}

/* "*", a name or an address with or without a port, an IPv6 address in brackets, or one without and no port.
 */
static err_t
take_address(struct span entry, struct span rest, const struct listen_defaults *d, struct listen *l,
	     struct err_detail *why)
{
	struct span host = rest, port = {NULL, 0};
	ptrdiff_t at;
	bool ipv6 = false;
	err_t err = ERR_OK;

	if (rest.len > 0 && rest.p[0] == '[') {
		at = span_find(rest, SPAN_LIT("]"));
		if (at < 0)
			return err_set(why, ERR_USAGE, "-l %.*s: the \"[\" has no \"]\"",
				       SPAN_FMT(span_first(entry, SHOWN)));
		host = span_first(span_from(rest, 1), (size_t)at - 1);
		rest = span_from(rest, (size_t)at + 1);
		ipv6 = true;
		if (rest.len > 0 && rest.p[0] != ':')
			return err_set(why, ERR_USAGE, "-l %.*s: behind \"]\" comes :PORT or nothing",
				       SPAN_FMT(span_first(entry, SHOWN)));
		if (rest.len > 0)
			port = span_from(rest, 1);
	} else {
		at = span_find(rest, SPAN_LIT(":"));
		if (at >= 0 && span_find(span_from(rest, (size_t)at + 1), SPAN_LIT(":")) >= 0) {
			ipv6 = true; /* two colons: an address, all of it */
		} else if (at >= 0) {
			host = span_first(rest, (size_t)at);
			port = span_from(rest, (size_t)at + 1);
		}
	}
	l->port = d->port;
	l->port_given = false;
	if (port.p != NULL)
		err = take_port(entry, port, l, why);
	if (err != ERR_OK)
		return err;
	if (!ipv6 && span_is(host, "*"))
		host.len = 0;
	else if (ipv6 ? !is_ipv6(host) : !host_is(host))
		return err_set(
		    why, ERR_USAGE,
		    "-l %.*s: \"%.*s\" is no address; write 127.0.0.1, [::1]:11211, a host name or *",
		    SPAN_FMT(span_first(entry, SHOWN)), SPAN_FMT(span_first(host, SHOWN)));
	if (host.len > LISTEN_HOST_MAX)
		return err_set(why, ERR_USAGE, "-l: an address has at most 255 characters");
	memcpy(l->host, host.p, host.len);
	l->host[host.len] = '\0';
	return ERR_OK;
}

static bool
is_there(const struct listen_list *list, const struct listen *l)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->at[i].host, l->host) == 0 && list->at[i].port == l->port)
			return true;
	}
	return false;
}

err_t
listen_parse(struct span list, const struct listen_defaults *d, struct listen_list *out,
	     struct err_detail *why)
{
	struct listen l = {.port = 0};
	err_t err = ERR_OK;

	while (err == ERR_OK && list.len > 0) {
		size_t end = 0;
		struct span entry, rest;

		while (end < list.len && list.p[end] != ',' && list.p[end] != ';')
			end++;
		entry = span_trim(span_first(list, end));
		list = span_from(list, end + 1);
		rest = entry;
		if (entry.len == 0)
			continue;
		err = take_tls(entry, &rest, d, &l, why);
		if (err == ERR_OK)
			err = take_protocol(entry, &rest, d, &l, why);
		if (err == ERR_OK)
			err = take_tag(entry, &rest, &l, why);
		if (err == ERR_OK)
			err = take_address(entry, rest, d, &l, why);
		if (err != ERR_OK || is_there(out, &l))
			continue;
		if (out->n == LISTEN_MAX)
			return err_set(why, ERR_USAGE, "-l: more than %d addresses; * is all of them",
				       LISTEN_MAX);
		out->at[out->n++] = l;
	}
	return err;
}

void
listen_loopback(const struct listen_defaults *d, struct listen_list *out)
{
	static const char *const hosts[] = {"127.0.0.1", "::1"};

	for (size_t i = 0; i < 2 && out->n < LISTEN_MAX; i++) {
		struct listen l = {
		    .port = d->port, .tls = d->tls ? LISTEN_TLS : LISTEN_PLAIN, .protocol = d->protocol};

		memcpy(l.host, hosts[i], strlen(hosts[i]) + 1);
		if (!is_there(out, &l))
			out->at[out->n++] = l;
	}
}

bool
listen_is_local(struct span host)
{
	char text[LISTEN_HOST_MAX + 1];
	struct in6_addr v6;
	struct in_addr v4;

	if (host.len == 0 || host.len > LISTEN_HOST_MAX)
		return false;
	if (span_ieq(host, SPAN_LIT("localhost")) || span_ieq(host, SPAN_LIT("ip6-localhost")))
		return true;
	memcpy(text, host.p, host.len);
	text[host.len] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

void
listen_print(const struct listen *l, struct buf *out)
{
	bool ipv6 = strchr(l->host, ':') != NULL;

	buf_printf(out, "%s%s%s:%u", ipv6 ? "[" : "", l->host[0] != '\0' ? l->host : "*", ipv6 ? "]" : "",
		   l->port);
}
