#include "cache-server/settings/settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "cache-server/settings/settings_row.h"
#include "lib/conf/host.h"
#include "lib/core/mem.h"

enum {
	SHOWN = 60,
	NAMES_MAX = SETTINGS_NROWS * 2 + 32, /* every name that a suggestion may come from */
};

/* memcached's options of parts that are not here at all: without effect, or an error. */
static const char *const ext_words[] = {
    "ext_page_size",  "ext_wbuf_size", "ext_threads",  "ext_io_depth",	   "ext_path",
    "ext_item_size",  "ext_item_age",  "ext_low_ttl",  "ext_recache_rate", "ext_compact_under",
    "ext_drop_under", "ext_max_sleep", "ext_max_frag", "ext_drop_unread"};
static const char *const proxy_words[] = {"proxy_config", "proxy_arg", "proxy_uring", "proxy_memprofile"};

enum {
	EXT_NWORDS = sizeof(ext_words) / sizeof(ext_words[0]),
	PROXY_NWORDS = sizeof(proxy_words) / sizeof(proxy_words[0]),
};

struct parser {
	struct settings *s;
	struct err_detail *why;
	int argc;
	char *const *argv;
	int at; /* the word that comes next */
	bool given[SETTINGS_NROWS];
	struct span containers[CONTAINER_MAX]; /* --container, in order; they are read when all flags are */
	size_t ncontainers;
	struct buf engine; /* names of what has no effect */
	struct buf stray;  /* words that are no flags */
	const struct settings_row *show;
};

static const struct settings_row *
row_of_letter(char letter)
{
	for (size_t i = 0; letter != 0 && i < SETTINGS_NROWS; i++) {
		if (settings_rows[i].letter == letter)
			return &settings_rows[i];
	}
	return NULL;
}

static const struct settings_row *
row_of_sub(struct span sub)
{
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (settings_rows[i].sub != NULL && span_is(sub, settings_rows[i].sub))
			return &settings_rows[i];
	}
	return NULL;
}

/* Joined with ", ", each name once. */
static void
add_name(struct buf *list, struct span name)
{
	if (list->len > 0 && span_find(buf_span(list), name) >= 0)
		return;
	if (list->len > 600)
		return;
	if (list->len > 0)
		buf_put_str(list, ", ");
	for (size_t i = 0; i < name.len && i < SHOWN; i++)
		buf_putc(list, name.p[i] >= ' ' && name.p[i] < 0x7f ? name.p[i] : '?');
}

/* --- one option ------------------------------------------------------------------------------------ */

/* What memcached's no_modern stands for: the defaults of the version before. */
static void
set_old_defaults(struct settings *s)
{
	s->maxconns_fast = false;
	s->slab_reassign = false;
	s->slab_automove = 0;
	s->lru_crawler = false;
	s->lru_maintainer = false;
}

static err_t take_extended(struct parser *p, struct span text);

static err_t
take_container(struct parser *p, struct span text)
{
	if (p->ncontainers == CONTAINER_MAX)
		return err_set(p->why, ERR_USAGE, "--container: more than %d containers", CONTAINER_MAX);
	p->containers[p->ncontainers++] = text;
	return ERR_OK;
}

/* `as` is how the option was written. */
static err_t
take(struct parser *p, const struct settings_row *row, struct span value, const char *as)
{
	size_t id = (size_t)(row - settings_rows);
	err_t err;

	p->given[id] = true;
	if (row->use == SETTINGS_ENGINE)
		add_name(&p->engine, span_of(as));
	switch (row->kind) {
	case SETTINGS_NOT_HERE:
		return err_set(p->why, ERR_USAGE, "%s: %s", as, row->help);
	case SETTINGS_SHOW_TEXT:
		if (p->show == NULL)
			p->show = row;
		return ERR_OK;
	case SETTINGS_EACH:
		return id == SETTINGS_ROW_container ? take_container(p, value) : take_extended(p, value);
	case SETTINGS_COUNT:
		p->s->verbose++;
		return ERR_OK;
	default:
		break;
	}
	err = settings_row_set(row, p->s, value, as, p->why);
	if (err == ERR_OK && id == SETTINGS_ROW_modern && !p->s->modern)
		set_old_defaults(p->s);
	return err;
}

static err_t
unknown(struct parser *p, const char *what, struct span name, const char *const *names, size_t n,
	const char *dashes)
{
	const char *near = option_nearest_word(names, n, name);

	if (near != NULL)
		return err_set(p->why, ERR_USAGE, "unknown %s %s%.*s; did you mean %s%s?", what, dashes,
			       SPAN_FMT(span_first(name, SHOWN)), dashes, near);
	return err_set(p->why, ERR_USAGE, "unknown %s %s%.*s; squeal-cache --help names them all", what,
		       dashes, SPAN_FMT(span_first(name, SHOWN)));
}

/* --- -o -------------------------------------------------------------------------------------------- */

static bool
is_word(struct span name, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_is(name, words[i]))
			return true;
	}
	return false;
}

static err_t
no_such_extended(struct parser *p, struct span name)
{
	const char *names[NAMES_MAX];
	size_t n = 0;

	if (is_word(name, ext_words, EXT_NWORDS)) {
		struct buf as = BUF_INIT;

		buf_printf(&as, "-o %.*s", SPAN_FMT(name));
		add_name(&p->engine, buf_span(&as));
		buf_fini(&as);
		return ERR_OK;
	}
	if (is_word(name, proxy_words, PROXY_NWORDS))
		return err_set(
		    p->why, ERR_USAGE,
		    "-o %.*s: squeal-cache is no proxy; leave it out and put a router before the servers",
		    SPAN_FMT(name));
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (settings_rows[i].sub != NULL && settings_rows[i].use != SETTINGS_QUIET)
			names[n++] = settings_rows[i].sub;
	}
	if (span_starts(name, SPAN_LIT("no_")))
		return unknown(p, "option", span_from(name, 3), names, n, "-o no_");
	return unknown(p, "option", name, names, n, "-o ");
}

static err_t
take_one_extended(struct parser *p, struct span text)
{
	bool valued = span_find(text, SPAN_LIT("=")) >= 0, off = false;
	struct span name = span_trim(span_cut(&text, '='));
	const struct settings_row *row = row_of_sub(name);
	char as[SHOWN + 4];

	text = span_trim(text);
	if (row == NULL && span_starts(name, SPAN_LIT("no_"))) {
		row = row_of_sub(span_from(name, 3));
		off = row != NULL && (row->kind == SETTINGS_BOOL || row->kind == SETTINGS_OPTUINT);
		row = off ? row : NULL;
	}
	if (row == NULL)
		return no_such_extended(p, name);
	snprintf(as, sizeof(as), "-o %.*s", SPAN_FMT(span_first(name, SHOWN)));
	if (off && valued)
		return err_set(p->why, ERR_USAGE, "%s takes no value", as);
	if (off)
		return take(p, row, row->kind == SETTINGS_BOOL ? SPAN_LIT("no") : SPAN_LIT("0"), as);
	if (!valued && row->kind != SETTINGS_BOOL && row->kind != SETTINGS_OPTUINT)
		return row->use == SETTINGS_ENGINE && row == &settings_rows[SETTINGS_ROW_resp_obj_mem_limit]
			   ? take(p, row, SPAN_LIT("0"), as)
			   : err_set(p->why, ERR_USAGE, "%s needs a value, as in %s=%s", as, as, row->arg);
	if (!valued)
		text = row->kind == SETTINGS_BOOL ? SPAN_LIT("yes") : SPAN_LIT("1");
	return take(p, row, text, as);
}

static err_t
take_extended(struct parser *p, struct span text)
{
	err_t err = ERR_OK;

	while (err == ERR_OK && text.len > 0) {
		struct span one = span_trim(span_cut(&text, ','));

		if (one.len > 0)
			err = take_one_extended(p, one);
	}
	return err;
}

/* --- the words of the command line ----------------------------------------------------------------- */

/* The value of an option that takes one: what stands behind it, or the next word. */
static err_t
value_of(struct parser *p, const struct settings_row *row, const char *as, const char *behind,
	 struct span *value)
{
	const char *text = behind;

	if (text == NULL && p->at < p->argc)
		text = p->argv[p->at++];
	if (text == NULL)
		return err_set(p->why, ERR_USAGE, "%s needs a value: <%s>", as, row->arg);
	/* memcached takes no notice of leading white space either; at the end it means nothing. */
	*value = row->kind == SETTINGS_CHAR ? span_of(text) : span_trim(span_of(text));
	return ERR_OK;
}

/* "-vvk", "-p11211", "-p", "11211" */
static err_t
take_letters(struct parser *p, const char *letters)
{
	static const char *const none[] = {""};
	err_t err = ERR_OK;

	while (err == ERR_OK && *letters != '\0') {
		const struct settings_row *row = row_of_letter(*letters);
		char as[3] = {'-', *letters, '\0'};
		struct span value = SPAN_LIT("yes");

		letters++;
		if (row == NULL) {
			if (as[1] < ' ' || as[1] > '~')
				as[1] = '?';
			return unknown(p, "flag", span_of(as), none, 0, "");
		}
		if (row->arg != NULL) {
			err = value_of(p, row, as, *letters != '\0' ? letters : NULL, &value);
			letters = "";
		}
		if (err == ERR_OK)
			err = take(p, row, value, as);
	}
	return err;
}

/* The row of the name, or of the only one that begins with it, as getopt_long() has it. */
static err_t
row_of_name(struct parser *p, struct span name, const struct settings_row **out)
{
	const struct settings_row *found = NULL, *second = NULL;
	const char *names[NAMES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		const struct settings_row *row = &settings_rows[i];

		if (row->name == NULL)
			continue;
		if (span_is(name, row->name)) {
			*out = row;
			return ERR_OK;
		}
		if (row->use != SETTINGS_QUIET)
			names[n++] = row->name;
		if (name.len == 0 || !span_starts(span_of(row->name), name))
			continue;
		if (found == NULL)
			found = row;
		else
			second = row;
	}
	if (second != NULL)
		return err_set(p->why, ERR_USAGE, "--%.*s may be --%s or --%s; write more of it",
			       SPAN_FMT(span_first(name, SHOWN)), found->name, second->name);
	*out = found;
	return found != NULL ? ERR_OK : unknown(p, "option", name, names, n, "--");
}

/* "--port=11211", "--port", "11211", "--verbose" */
static err_t
take_name(struct parser *p, const char *word)
{
	struct span name = span_first(span_of(word), strcspn(word, "="));
	const char *behind = word[name.len] == '=' ? word + name.len + 1 : NULL;
	const struct settings_row *row = NULL;
	struct span value = SPAN_LIT("yes");
	char as[SHOWN + 3];
	err_t err;

	err = row_of_name(p, name, &row);
	if (err != ERR_OK)
		return err;
	snprintf(as, sizeof(as), "--%s", row->name);
	if (row->arg != NULL)
		err = value_of(p, row, as, behind, &value);
	else if (behind != NULL && row->kind != SETTINGS_COUNT) /* memcached lets --verbose have one */
		err = err_set(p->why, ERR_USAGE, "%s takes no value", as);
	return err == ERR_OK ? take(p, row, value, as) : err;
}

static err_t
take_words(struct parser *p)
{
	err_t err = ERR_OK;

	for (p->at = 1; err == ERR_OK && p->at < p->argc;) {
		const char *word = p->argv[p->at++];

		if (strcmp(word, "--") == 0) {
			while (p->at < p->argc)
				add_name(&p->stray, span_of(p->argv[p->at++]));
		} else if (strncmp(word, "--", 2) == 0) {
			err = take_name(p, word + 2);
		} else if (word[0] == '-' && word[1] != '\0') {
			err = take_letters(p, word + 1);
		} else {
			add_name(&p->stray, span_of(word));
		}
	}
	return err;
}

/* --- what the flags make together ------------------------------------------------------------------ */

static void
replace(char **text, const char *with)
{
	free(*text);
	*text = mem_strdup(with);
}

/* The container of memcached's own flags. */
static void
add_default(struct settings *s)
{
	struct container_settings *c = container_list_add(&s->containers);

	c->policy = s->disable_evictions ? CONTAINER_STORE : CONTAINER_EVICT;
	c->any_port = s->unix_socket[0] == '\0' && s->port < 0;
	c->any_udp_port = s->unix_socket[0] == '\0' && s->udp_port < 0;
	c->no_address = s->unix_socket[0] == '\0' && s->port == 0 && s->udp_port == 0;
	replace(&c->opt.name, "default");
	replace(&c->opt.policy, s->disable_evictions ? "store" : "evict");
	replace(&c->opt.socket, s->unix_socket);
	replace(&c->opt.persist, s->memory_file);
	if (s->unix_socket[0] == '\0') {
		c->opt.port = s->port > 0 ? (uint64_t)s->port : 0;
		c->opt.udp_port = s->udp_port > 0 ? (uint64_t)s->udp_port : 0;
	}
	c->opt.memory = s->memory;
	c->opt.max_ttl = s->max_ttl;
	c->opt.stale_ttl = s->stale_ttl;
	c->opt.lease_seconds = s->lease_seconds;
	c->opt.guard_memory = s->guard_memory;
}

/* With --config the containers' settings stand in the file. */
static err_t
load_containers(struct parser *p)
{
	static const int theirs[] = {
	    SETTINGS_ROW_port,	    SETTINGS_ROW_udp_port,	    SETTINGS_ROW_unix_socket,
	    SETTINGS_ROW_memory,    SETTINGS_ROW_disable_evictions, SETTINGS_ROW_memory_file,
	    SETTINGS_ROW_stale_ttl, SETTINGS_ROW_lease_seconds,	    SETTINGS_ROW_guard_memory,
	    SETTINGS_ROW_max_ttl};
	struct settings *s = p->s;
	const struct container_options *first;
	struct buf name = BUF_INIT;
	err_t err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < sizeof(theirs) / sizeof(theirs[0]); i++) {
		if (!p->given[theirs[i]])
			continue;
		settings_row_put_name(&settings_rows[theirs[i]], &name);
		err = err_set(p->why, ERR_USAGE,
			      "%s and --config: with a file this stands in its containers; move it there",
			      buf_str(&name));
	}
	if (err == ERR_OK)
		err = container_list_load(&s->containers, s->config, p->why);
	if (err == ERR_OK) { /* what `stats settings` shows is the first one */
		first = &s->containers.at[0].opt;
		s->port = (int64_t)first->port;
		s->udp_port = (int64_t)first->udp_port;
		s->memory = first->memory;
		s->disable_evictions = s->containers.at[0].policy != CONTAINER_EVICT;
		s->stale_ttl = first->stale_ttl;
		s->lease_seconds = first->lease_seconds;
		s->guard_memory = first->guard_memory;
		s->max_ttl = first->max_ttl;
		replace(&s->unix_socket, first->socket);
		replace(&s->memory_file, first->persist);
	}
	buf_fini(&name);
	return err;
}

static err_t
make_containers(struct parser *p)
{
	struct settings *s = p->s;
	err_t err = ERR_OK;

	if (s->config[0] != '\0')
		err = load_containers(p);
	else if (p->ncontainers == 0 || s->port != 0 || s->udp_port != 0 || s->unix_socket[0] != '\0')
		add_default(s); /* with -p 0 and others there is none */
	for (size_t i = 0; err == ERR_OK && i < p->ncontainers; i++)
		err = container_list_flag(&s->containers, p->containers[i], p->why);
	return err == ERR_OK ? container_list_check(&s->containers, s->config, p->why) : err;
}

/* The hosts of -l with the port of a container that is not memcached's own. */
static void
take_hosts(struct listen_list *l, uint16_t port)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		bool there = false;

		for (size_t j = 0; j < n; j++)
			there = there || strcmp(l->at[j].host, l->at[i].host) == 0;
		if (there)
			continue;
		l->at[n] = l->at[i];
		l->at[n].port = port;
		l->at[n++].port_given = false;
	}
	l->n = n;
}

/* Where `c` listens with this port; `own`: it is memcached's, so that ports in -l are meant for it. */
static err_t
make_listeners(const struct settings *s, const struct container_settings *c, bool own, uint16_t port,
	       bool udp, struct listen_list *out, struct err_detail *why)
{
	struct listen_defaults d = {
	    .port = port, .tls = s->tls, .auth = s->auth_file[0] != '\0', .protocol = s->protocol};
	struct span text = span_of(c->opt.listen[0] != '\0' ? c->opt.listen : s->listen);
	err_t err;

	out->n = 0;
	err = listen_parse(text, &d, out, why);
	if (err != ERR_OK) {
		if (c->opt.listen[0] != '\0')
			err_wrap(why, "container \"%.40s\"", c->opt.name);
		return err;
	}
	for (size_t i = 0; s->config[0] != '\0' && c->opt.listen[0] == '\0' && i < out->n; i++) {
		if (out->at[i].port_given)
			return err_set(
			    why, ERR_USAGE,
			    "-l and --config: ports stand in the file; name addresses without ports, or move "
			    "them to listen: of a container");
	}
	if (out->n == 0)
		listen_loopback(&d, out);
	else if (!own && c->opt.listen[0] == '\0')
		take_hosts(out, port);
	for (size_t i = 0; udp && i < out->n; i++)
		out->at[i].tls = LISTEN_PLAIN; /* UDP has none, but the words for it may stand in the list */
	return ERR_OK;
}

static err_t
make_all_listeners(struct settings *s, struct err_detail *why)
{
	err_t err = ERR_OK;

	for (size_t i = 0; err == ERR_OK && i < s->containers.n; i++) {
		struct container_settings *c = &s->containers.at[i];
		bool own = i == 0 && s->config[0] == '\0' && strcmp(c->opt.name, "default") == 0;

		if (c->opt.port != 0 || c->any_port)
			err = make_listeners(s, c, own, (uint16_t)c->opt.port, false, &c->tcp, why);
		if (err == ERR_OK && (c->opt.udp_port != 0 || c->any_udp_port))
			err = make_listeners(s, c, own, (uint16_t)c->opt.udp_port, true, &c->udp, why);
	}
	return err;
}

static bool
uses(const struct settings *s, bool udp)
{
	for (size_t i = 0; i < s->containers.n; i++) {
		if ((udp ? s->containers.at[i].udp.n : s->containers.at[i].tcp.n) > 0)
			return true;
	}
	return false;
}

static err_t
check_together(struct parser *p)
{
	struct settings *s = p->s;
	struct span host, port;

	if (s->config[0] == '\0' && s->item_size_max > s->memory / 2)
		return err_set(p->why, ERR_USAGE,
			       "-I: the largest item may have half of the memory (-m); raise -m or lower -I");
	if (s->auth_file[0] != '\0' && uses(s, true))
		return err_set(p->why, ERR_USAGE,
			       "-U and -Y: UDP cannot authenticate; leave -U out or set it to 0");
	if (s->tls && !uses(s, false))
		return err_set(p->why, ERR_USAGE, "-Z: TLS needs a TCP port; give one with -p");
	if (s->tls && s->ssl_chain_cert[0] == '\0')
		return err_set(p->why, ERR_USAGE,
			       "-Z: there is no certificate; name its file with -o ssl_chain_cert=FILE");
	if (s->admin[0] != '\0' && !host_split(span_of(s->admin), &host, &port))
		return err_set(p->why, ERR_USAGE,
			       "--admin: \"%.60s\" is not HOST:PORT, such as 127.0.0.1:9403", s->admin);
	return settings_check_open(s, p->why);
}

static err_t
finish(struct parser *p)
{
	struct settings *s = p->s;
	err_t err;

	s->detail_enabled = p->given[SETTINGS_ROW_prefix_delimiter];
	s->temp_lru = p->given[SETTINGS_ROW_temporary_ttl];
	s->threads_per_udp = strchr(s->listen, ',') != NULL ? 1 : s->threads;
	if (s->auth_file[0] != '\0') {
		if (p->given[SETTINGS_ROW_protocol] && s->protocol != LISTEN_ASCII)
			return err_set(p->why, ERR_USAGE,
				       "-B and -Y: only the ASCII protocol can authenticate; leave -B out or "
				       "take -B ascii");
		s->protocol = LISTEN_ASCII;
	}
	if (s->udp_port != 0 && !p->given[SETTINGS_ROW_port])
		s->port = s->udp_port;
	err = make_containers(p);
	if (err == ERR_OK)
		err = make_all_listeners(s, p->why);
	return err == ERR_OK ? check_together(p) : err;
}

/* --- what is printed ------------------------------------------------------------------------------- */

static void
show(const struct settings_row *row, struct buf *out)
{
	switch (row - settings_rows) {
	case SETTINGS_ROW_help:
		settings_help(out);
		break;
	case SETTINGS_ROW_license:
		buf_put_str(out, "squeal-cache is part of Squeal, under the Apache License, Version 2.0.\n"
				 "There is no warranty; the text of the license comes with the source.\n");
		break;
	case SETTINGS_ROW_version:
		buf_put_str(out, "squeal-cache " SQUEAL_VERSION "\n");
		break;
	case SETTINGS_ROW_man:
		settings_man(out);
		break;
	case SETTINGS_ROW_config_sample:
		container_sample(out);
		break;
	case SETTINGS_ROW_config_schema:
		container_json_schema(out);
		break;
	default:
		break;
	}
}

static void
put_notices(struct parser *p, struct buf *out)
{
	if (p->engine.len > 0)
		buf_printf(
		    out, "squeal-cache: notice: without effect, memcached's storage engine is not here: %s\n",
		    buf_str(&p->engine));
	if (p->stray.len > 0)
		buf_printf(out, "squeal-cache: notice: not understood and not used: %s\n",
			   buf_str(&p->stray));
	if (p->s->pid_file[0] != '\0' && !p->s->daemonize)
		buf_put_str(out, "squeal-cache: notice: -P is only used with -d\n");
	if (p->s->containers.at[0].no_address)
		buf_put_str(out,
			    "squeal-cache: notice: with -p 0 and neither -U nor -s nobody can connect\n");
}

err_t
settings_parse(struct settings *s, int argc, char *const argv[], struct buf *text, struct err_detail *why)
{
	struct parser p = {.s = s, .why = why, .argc = argc, .argv = argv};
	err_t err;

	settings_row_defaults(s);
	err = take_words(&p);
	if (err == ERR_OK && p.show == NULL)
		err = finish(&p);
	if (err == ERR_OK && p.show != NULL) {
		s->action = SETTINGS_SHOW;
		show(p.show, text);
	} else if (err == ERR_OK) {
		s->action = SETTINGS_RUN;
		put_notices(&p, text);
	}
	buf_fini(&p.engine);
	buf_fini(&p.stray);
	if (err != ERR_OK) {
		err_one_line(why);
		settings_fini(s);
	}
	return err;
}

void
settings_fini(struct settings *s)
{
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		char **text = (char **)((char *)s + settings_rows[i].offset);

		if (settings_rows[i].kind != SETTINGS_TEXT && settings_rows[i].kind != SETTINGS_LIST)
			continue;
		free(*text);
		*text = NULL;
	}
	container_list_fini(&s->containers);
}

/* --- rules ----------------------------------------------------------------------------------------- */

err_t
settings_check_user(const struct settings *s, bool root, struct err_detail *why)
{
	if (root && s->user[0] == '\0')
		return err_set(why, ERR_USAGE,
			       "must add '-u root' to start as root; better, name another user");
	return ERR_OK;
}

err_t
settings_check_open(const struct settings *s, struct err_detail *why)
{
	struct buf address = BUF_INIT;
	err_t err = ERR_OK;

	for (size_t i = 0; !s->allow_wildcard && err == ERR_OK && i < s->containers.n; i++) {
		const struct container_settings *c = &s->containers.at[i];

		for (size_t j = 0; err == ERR_OK && j < c->tcp.n + c->udp.n; j++) {
			bool udp = j >= c->tcp.n;
			const struct listen *l = udp ? &c->udp.at[j - c->tcp.n] : &c->tcp.at[j];

			if (listen_is_local(span_of(l->host)) || l->tls != LISTEN_PLAIN ||
			    (!udp && s->auth_file[0] != '\0'))
				continue;
			listen_print(l, &address);
			err = err_set(
			    why, ERR_USAGE,
			    "refusing to bind %s%s: anyone who reaches it could read and change the cache; "
			    "%s, or add --allow-wildcard where a firewall guards it",
			    udp ? "UDP " : "", buf_str(&address),
			    udp ? "leave -U out (UDP has neither TLS nor passwords)"
				: "use TLS (-Z), passwords (-Y) or a loopback address (-l 127.0.0.1)");
		}
	}
	buf_fini(&address);
	return err;
}
