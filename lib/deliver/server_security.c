#include "lib/deliver/server_security.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"

struct server_security {
	struct tls_client *tls;
	const char *mode;
	struct buf login;
};

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static err_t
read_tls(struct server_security *s, const struct server_security_options *opt, struct err_detail *why)
{
	struct tls_client_options tls = {.ca = opt->tls_ca, .cert = opt->tls_cert, .key = opt->tls_key};

	if (!is_set(opt->tls) || strcmp(opt->tls, "off") == 0)
		return ERR_OK;
	tls.verify = strcmp(opt->tls, "verify") == 0;
	if (!tls.verify && strcmp(opt->tls, "on") != 0)
		return err_set(why, ERR_CONFIG, "tls: \"%s\" is not off, on or verify", opt->tls);
	s->mode = tls.verify ? "verify" : "on";
	return tls_client_create(&s->tls, &tls, why);
}

/* user:password becomes what is sent. */
static err_t
read_login(struct server_security *s, const char *file, struct err_detail *why)
{
	char *colon, *blank;
	err_t err;

	if (!is_set(file))
		return ERR_OK;
	err = file_read_secret(file, &s->login, why);
	if (err != ERR_OK)
		return err;
	colon = memchr(s->login.p, ':', s->login.len);
	if (colon == NULL || colon == s->login.p)
		return err_set(why, ERR_CONFIG, "auth_file: the first line of %s must be user:password",
			       file);
	blank = memchr(s->login.p, ' ', (size_t)(colon - s->login.p));
	if (blank != NULL)
		return err_set(why, ERR_CONFIG, "auth_file: the user in %s must not have a space in it",
			       file);
	*colon = ' ';
	return ERR_OK;
}

err_t
server_security_create(struct server_security **out, const struct server_security_options *opt,
		       struct err_detail *why)
{
	struct server_security *s = MEM_NEW(struct server_security);
	err_t err;

	*out = NULL;
	s->mode = "off";
	err = read_tls(s, opt, why);
	if (err == ERR_OK)
		err = read_login(s, opt->auth_file, why);
	if (err == ERR_OK && (s->tls != NULL || s->login.len > 0)) {
		*out = s;
		s = NULL;
	}
	server_security_destroy(&s);
	return err;
}

void
server_security_destroy(struct server_security **s)
{
	if (*s == NULL)
		return;
	tls_client_destroy(&(*s)->tls);
	if ((*s)->login.base != NULL)
		explicit_bzero((*s)->login.base, (*s)->login.cap);
	buf_fini(&(*s)->login);
	free(*s);
	*s = NULL;
}

const struct tls_client *
server_security_tls(const struct server_security *s)
{
	return s != NULL ? s->tls : NULL;
}

struct span
server_security_login(const struct server_security *s)
{
	return s != NULL ? buf_span(&s->login) : (struct span){"", 0};
}

char *
server_security_name(const struct server_options *opt)
{
	struct span host = span_of(opt->host);

	if (host.len > 0 && host.p[0] == '/')
		host.len = 0;
	if (host.len > 2 && host.p[0] == '[')
		host = span_make(host.p + 1, host.len - 2);
	return span_dup(host);
}

err_t
server_security_taken(const struct mc_reply *reply, struct err_detail *why)
{
	if (reply->kind == MC_REPLY_STORED)
		return ERR_OK;
	if (!mc_reply_is_error(reply->kind))
		return err_set(why, ERR_PROTOCOL, "%s answers the password", mc_reply_name(reply->kind));
	return err_set(
	    why, ERR_AUTH,
	    "the server refuses the user or the password of auth_file (%s %.*s); check it against the "
	    "server's -Y file",
	    mc_reply_name(reply->kind), SPAN_FMT(span_first(reply->text, 80)));
}

bool
server_security_lacks(const struct mc_reply *reply, struct err_detail *why)
{
	if (reply->kind != MC_REPLY_CLIENT_ERROR || !span_is(reply->text, "unauthenticated"))
		return false;
	err_set(why, ERR_AUTH,
		"the server wants a password; set auth_file in squeal.yaml to a file with the line "
		"user:password");
	return true;
}

const char *
server_security_tls_mode(const struct server_security *s)
{
	return s != NULL ? s->mode : "off";
}
