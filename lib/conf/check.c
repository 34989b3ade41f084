#include "lib/conf/check.h"

#include <inttypes.h>
#include <string.h>

#include "lib/conf/algorithm.h"
#include "lib/conf/endpoint.h"
#include "lib/conf/host.h"

enum { MAX_NAME = 64, MAX_KEY = 250, MAX_SOCKET_PATH = 107, MAX_SALT = 512, MAX_HASHED_NAME = 255 };

static bool
is_word(struct span text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_is(text, words[i]))
			return true;
	}
	return false;
}

/* Names become parts of file names, metric labels and record fields. */
static bool
is_name(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || (c == '.' && i > 0)))
			return false;
	}
	return n > 0 && n <= MAX_NAME;
}

static err_t
check_name(const struct section_file *r, const struct section *f, const char *option, const char *value)
{
	if (is_name(value))
		return ERR_OK;
	return section_bad(r, section_place(f, option),
			   "%s in %s must be 1 to 64 letters, digits, \"-\", \"_\" or \".\", not \"%.80s\"",
			   option, f->path, value);
}

static err_t
check_address(const struct section_file *r, const struct section *f, const char *option, const char *value,
	      bool socket)
{
	struct span host, port;

	if (host_split(span_of(value), &host, &port) ||
	    (socket && value[0] == '/' && strlen(value) <= MAX_SOCKET_PATH))
		return ERR_OK;
	return section_bad(r, section_place(f, option),
			   "%s in %s must be host:port or [::1]:port%s, not \"%.80s\"", option, f->path,
			   socket ? " or /path/of/a/socket" : "", value);
}

err_t
check_region(const struct section_file *r, const struct section *f, const struct region_options *o)
{
	return check_name(r, f, "region", o->region);
}

/* "kafka1:9092", "kafka1" or "ssl://kafka1:9092". */
static bool
is_broker(struct span text)
{
	ptrdiff_t proto = span_find(text, SPAN_LIT("://"));
	struct span host, port;

	if (proto >= 0)
		text = span_from(text, (size_t)proto + 3);
	return host_split(text, &host, &port) || host_is(text);
}

static err_t
check_brokers(const struct section_file *r, const struct section *f, const char *brokers)
{
	struct span rest = span_of(brokers);

	while (rest.len > 0) {
		struct span broker = span_trim(span_cut(&rest, ','));

		if (!is_broker(broker))
			return section_bad(r, section_place(f, "brokers"),
					   "brokers in log must be host:port, with \",\" between them, as in "
					   "kafka1:9092,kafka2:9092, not \"%.*s\"",
					   SPAN_FMT(span_first(broker, 80)));
	}
	return ERR_OK;
}

/* As Kafka has them. */
static bool
is_topic(const char *s)
{
	enum { MAX_TOPIC = 249 };
	size_t n = strlen(s);

	return n <= MAX_TOPIC && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

err_t
check_log(const struct section_file *r, const struct section *f, const struct log_options *o)
{
	if (strcmp(o->type, "kafka") == 0) {
		if (o->brokers[0] == '\0')
			return section_bad(
			    r, section_place(f, "brokers"),
			    "brokers in log is missing; name the brokers, as in "
			    "\"log: {type: kafka, brokers: \"kafka1:9092,kafka2:9092\", topic: squeal}\"");
		if (o->topic[0] == '\0')
			return section_bad(r, section_place(f, "topic"),
					   "topic in log is empty; name the topic");
		if (!is_topic(o->topic))
			return section_bad(
			    r, section_place(f, "topic"),
			    "topic in log must be at most 249 letters, digits, \".\", \"_\" or "
			    "\"-\", not \"%.80s\"",
			    o->topic);
		return check_brokers(r, f, o->brokers);
	}
	if (o->brokers[0] != '\0' || o->properties[0] != '\0')
		return section_bad(
		    r, section_place(f, o->brokers[0] != '\0' ? "brokers" : "properties"),
		    "%s in log has no effect with type: sqlite; set type: kafka, or take it out",
		    o->brokers[0] != '\0' ? "brokers" : "properties");
	if (o->path[0] == '\0')
		return section_bad(r, section_place(f, "path"),
				   "path in log is missing; name the file of the log, as in "
				   "\"log: {path: /var/lib/squeal/log.db}\"");
	return ERR_OK;
}

static err_t
check_start(const struct section_file *r, const struct section *f, const char *start)
{
	static const char *const words[] = {"checkpoint", "now", "earliest"};

	if (is_word(span_of(start), words, 3) || (strncmp(start, "gtid:", 5) == 0 && start[5] != '\0') ||
	    (strncmp(start, "file:", 5) == 0 && start[5] != '\0'))
		return ERR_OK;
	return section_bad(r, section_place(f, "start"),
			   "start: \"%.80s\" is not one of checkpoint, now, earliest, gtid:POSITION, as in "
			   "gtid:0-1-100, or file:NAME:POSITION (in source)",
			   start);
}

err_t
check_source(const struct section_file *r, const struct section *f, const struct source_options *o)
{
	err_t err = check_name(r, f, "name", o->name);

	if (err == ERR_OK)
		err = check_start(r, f, o->start);
	if (err != ERR_OK)
		return err;
	if (o->host[0] == '\0' && o->socket[0] == '\0')
		return section_bad(r, section_place(f, "host"),
				   "host in source is empty; name the database's host or its socket");
	if (o->endpoints[0] != '\0') {
		struct err_detail why = {0};
		struct endpoints all;

		if (endpoints_parse(span_of(o->endpoints), (uint16_t)o->port, &all, &why) != ERR_OK)
			return section_bad(r, section_place(f, "endpoints"), "endpoints in source: %s",
					   err_why(&why));
	}
	if (o->user[0] == '\0')
		return section_bad(r, section_place(f, "user"),
				   "user in source is empty; name the account to connect with");
	if (o->dead_after < 3 * o->heartbeat)
		return section_bad(
		    r, section_place(f, section_has(f, "dead_after") ? "dead_after" : "heartbeat"),
		    "dead_after (%" PRIu64 "ms) in source must be at least three heartbeats (%" PRIu64
		    "ms), or a link that lives is taken for dead",
		    o->dead_after, 3 * o->heartbeat);
	if ((o->tls_cert[0] != '\0') != (o->tls_key[0] != '\0'))
		return section_bad(r, section_place(f, o->tls_cert[0] != '\0' ? "tls_cert" : "tls_key"),
				   "tls_cert and tls_key in source belong together; set both or none");
	if (strcmp(o->tls, "off") == 0 && (o->tls_ca[0] != '\0' || o->tls_cert[0] != '\0'))
		return section_bad(
		    r, section_place(f, "tls"),
		    "tls in source is off, but certificates are set; use tls: verify or take them out");
	return ERR_OK;
}

err_t
check_markers(const struct section_file *r, const struct section *f, const struct markers_options *o)
{
	size_t n = strlen(o->tag);

	for (size_t i = 0; i < n; i++) {
		char c = o->tag[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
			n = 0;
	}
	if (n == 0 || n > MAX_NAME)
		return section_bad(r, section_place(f, "tag"),
				   "tag in markers must be a letter and then letters, digits or \"_\", 64 at "
				   "most, not \"%.80s\"",
				   o->tag);
	if (o->rules_only && o->rules[0] == '\0')
		return section_bad(
		    r, section_place(f, "rules_only"),
		    "rules_only in markers needs rules: without them there would be no keys at all");
	return ERR_OK;
}

err_t
check_squeal(const struct section_file *r, const struct section *f, const struct squeal_options *o)
{
	if (o->batch_bytes > o->queue_bytes)
		return section_bad(
		    r, section_place(f, section_has(f, "batch_bytes") ? "batch_bytes" : "queue_bytes"),
		    "batch_bytes in squeal is larger than queue_bytes: a full batch would never fit; lower "
		    "the one or "
		    "raise the other");
	return o->admin[0] == '\0' ? ERR_OK : check_address(r, f, "admin", o->admin, false);
}

err_t
check_router(const struct section_file *r, const struct section *f, const struct router_options *o)
{
	if ((o->trace_prefix[0] != '\0') != (o->trace_file[0] != '\0'))
		return section_bad(
		    r, section_place(f, o->trace_prefix[0] != '\0' ? "trace_prefix" : "trace_file"),
		    "trace_prefix and trace_file in router belong together; set both or none");
	return ERR_OK;
}

/* What may stand in a key. */
static bool
is_key_text(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

static err_t
check_namespace(const struct section_file *r, const struct section *f, const char *value)
{
	if (!is_key_text(value))
		return section_bad(r, section_place(f, "namespace"),
				   "namespace in %s holds a space or a control character, which no "
				   "cache key can have",
				   f->path);
	if (strlen(value) >= MAX_KEY)
		return section_bad(r, section_place(f, "namespace"),
				   "namespace in %s leaves no room: a whole key has at most 250 bytes",
				   f->path);
	return ERR_OK;
}

static err_t
check_hash_tag(const struct section_file *r, const struct section *f, const char *value)
{
	if (value[0] == '\0' || strlen(value) == 2)
		return ERR_OK;
	return section_bad(r, section_place(f, "hash_tag"),
			   "hash_tag in %s must be two characters, as in \"{}\", not \"%.40s\"", f->path,
			   value);
}

static err_t
check_server_tls(const struct section_file *r, const struct section *f, const char *tls, const char *ca,
		 const char *cert, const char *key)
{
	const struct {
		const char *name, *value;
	} with[] = {{"tls_ca", ca}, {"tls_cert", cert}, {"tls_key", key}};

	if ((cert[0] != '\0') != (key[0] != '\0'))
		return section_bad(r, section_place(f, cert[0] != '\0' ? "tls_cert" : "tls_key"),
				   "tls_cert and tls_key in %s belong together; set both or none", f->path);
	for (size_t i = 0; i < 3 && strcmp(tls, "off") == 0; i++) {
		if (section_has(f, with[i].name) && with[i].value[0] != '\0')
			return section_bad(r, section_place(f, with[i].name),
					   "tls in %s is off, but %s is set; use tls: verify or take it out",
					   f->path, with[i].name);
	}
	return ERR_OK;
}

/* "/region/cluster/" */
static err_t
check_mcrouter_prefix(const struct section_file *r, const struct section *f, const char *value)
{
	struct span s = span_of(value), region, cluster;

	if (value[0] == '\0')
		return ERR_OK;
	s = span_from(s, s.p[0] == '/' ? 1 : 0);
	region = span_cut(&s, '/');
	cluster = span_cut(&s, '/');
	if (value[0] == '/' && value[strlen(value) - 1] == '/' && s.len == 0 && region.len > 0 &&
	    cluster.len > 0 && is_key_text(value) && strchr(value, '*') == NULL)
		return ERR_OK;
	return section_bad(
	    r, section_place(f, "mcrouter_prefix"),
	    "mcrouter_prefix in %s must be the region and cluster of this cluster between slashes, as "
	    "in /east/front1/, not \"%.80s\"",
	    f->path, value);
}

err_t
check_cluster(const struct section_file *r, const struct section *f, const struct cluster_options *o)
{
	err_t err;

	if (o->name[0] == '\0')
		return section_bad(r, section_place(f, "name"),
				   "name in %s is missing: give every cluster a name", f->path);
	err = check_name(r, f, "name", o->name);
	if (err == ERR_OK && o->admin[0] != '\0')
		err = check_address(r, f, "admin", o->admin, false);
	if (err == ERR_OK)
		err = check_namespace(r, f, o->namespace);
	if (err == ERR_OK)
		err = check_hash_tag(r, f, o->hash_tag);
	if (err == ERR_OK)
		err = check_mcrouter_prefix(r, f, o->mcrouter_prefix);
	return err == ERR_OK ? check_server_tls(r, f, o->tls, o->tls_ca, o->tls_cert, o->tls_key) : err;
}

/* A setting that is written down and does nothing was meant to do something. */
static err_t
check_pool_words(const struct section_file *r, const struct section *f, const struct pool_options *o)
{
	const struct algorithm *a = algorithm_find(o->distribution);
	bool has_keys = strcmp(o->role, "main") == 0 || strcmp(o->role, "regional") == 0;
	const struct {
		bool fits;
		const char *name, *where;
	} words[] = {
	    {a->hashes[0] != '\0', "hash", "a distribution whose hash can be chosen"},
	    {algorithm_takes(a, 'T'), "hash_tag", "twemproxy's distributions"},
	    {algorithm_takes(a, 'S'), "salt", "mcrouter's distributions"},
	    {has_keys, "prefixes",
	     "role main or regional; use stands_for to name the pools whose deletes it gets"},
	    {!has_keys, "stands_for", "role gutter or shadow"},
	    {strcmp(o->action, "holdoff") == 0, "holdoff", "action: holdoff"},
	    {strcmp(o->action, "stale") == 0, "stale_for", "action: stale"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!words[i].fits && section_has(f, words[i].name))
			return section_bad(r, section_place(f, words[i].name),
					   "%s in %s has no effect here; it goes with %s", words[i].name,
					   f->path, words[i].where);
	}
	if (a->hashes[0] != '\0' && !algorithm_has_hash(a, o->hash))
		return section_bad(r, section_place(f, "hash"),
				   "hash in %s: distribution: %s has no hash \"%s\"; it has %s", f->path,
				   o->distribution, o->hash, a->hashes);
	return ERR_OK;
}

static err_t
check_prefix_texts(const struct section_file *r, const struct section *f, const char *lines)
{
	struct span rest = span_of(lines), line;

	while (option_line(&rest, &line)) {
		char text[MAX_KEY + 1];
		bool fits = line.len > 0 && line.len < sizeof(text);

		if (fits) {
			memcpy(text, line.p, line.len);
			text[line.len] = '\0';
		}
		if (!fits || !is_key_text(text))
			return section_bad(
			    r, section_place(f, "prefixes"),
			    "prefixes in %s: \"%.*s\" is not how a key can begin: 1 to 250 bytes, no "
			    "space, no control character%s",
			    f->path, SPAN_FMT(span_first(line, 60)),
			    line.len == 0 ? "; leave prefixes out to take all other keys" : "");
	}
	return ERR_OK;
}

err_t
check_pool(const struct section_file *r, const struct section *f, const struct pool_options *o)
{
	err_t err;

	if (o->name[0] == '\0')
		return section_bad(r, section_place(f, "name"),
				   "name in %s is missing: give every pool a name", f->path);
	err = check_name(r, f, "name", o->name);
	if (err == ERR_OK)
		err = check_namespace(r, f, o->namespace);
	if (err == ERR_OK)
		err = check_hash_tag(r, f, o->hash_tag);
	if (err == ERR_OK)
		err = check_prefix_texts(r, f, o->prefixes);
	if (err == ERR_OK)
		err = check_pool_words(r, f, o);
	if (err == ERR_OK && strlen(o->salt) > MAX_SALT)
		err =
		    section_bad(r, section_place(f, "salt"),
				"salt in %s has more than %d bytes; this cannot be meant", f->path, MAX_SALT);
	if (err == ERR_OK && o->stale_for % 1000 != 0)
		err = section_bad(r, section_place(f, "stale_for"),
				  "stale_for in %s must be whole seconds: memcached knows no parts of one",
				  f->path);
	return err == ERR_OK ? check_server_tls(r, f, o->tls, o->tls_ca, o->tls_cert, o->tls_key) : err;
}

static err_t
check_weight(const struct section_file *r, const struct section *f, double weight, const char *distribution)
{
	const struct algorithm *a = algorithm_find(distribution);

	if (a->weight == ALGORITHM_WEIGHT_NONE && (weight < 1 || weight > 1))
		return section_bad(
		    r, section_place(f, "weight"),
		    "weight in %s has no effect with distribution: %s; use one with weights if "
		    "clients do, such as ketama_weighted, or leave it out",
		    f->path, distribution);
	if (a->weight == ALGORITHM_WEIGHT_WHOLE && (weight < 1 || weight > (double)(uint64_t)weight))
		return section_bad(r, section_place(f, "weight"),
				   "weight in %s must be a whole number from 1 up with distribution: %s",
				   f->path, distribution);
	if (a->weight == ALGORITHM_WEIGHT_FRACTION && !section_has(f, "weight"))
		return section_bad(
		    r, f->node->at,
		    "a server in %s has no weight, and distribution: %s needs one of every server "
		    "(mcrouter takes 0.5 where its list has none)",
		    f->path, distribution);
	if (a->weight == ALGORITHM_WEIGHT_FRACTION && weight > 1)
		return section_bad(r, section_place(f, "weight"),
				   "weight in %s must be 0 to 1 with distribution: %s", f->path,
				   distribution);
	return ERR_OK;
}

err_t
check_server(const struct section_file *r, const struct section *f, struct server_options *o,
	     const char *distribution)
{
	bool socket = o->host[0] == '/';
	size_t n = strlen(o->host);
	err_t err;

	if (n == 0)
		return section_bad(r, section_place(f, "host"),
				   "host in %s is missing; write it as clients do", f->path);
	if (socket && section_has(f, "port"))
		return section_bad(r, section_place(f, "port"),
				   "port in %s: a socket in the file system has none; leave it out", f->path);
	if (socket)
		o->port = 0;
	if (socket ? n > MAX_SOCKET_PATH : !host_is(span_of(o->host)) && !host_is_ipv6(span_of(o->host)))
		return section_bad(r, section_place(f, "host"),
				   "host in %s must be a name, an IP address without brackets or "
				   "/path/of/a/socket, not \"%.80s\"",
				   f->path, o->host);
	err = check_weight(r, f, o->weight, distribution);
	if (err != ERR_OK)
		return err;
	if (o->name[0] != '\0' && !algorithm_takes(algorithm_find(distribution), 'N'))
		return section_bad(
		    r, section_place(f, "name"),
		    "name in %s has no effect with distribution: %s, which hashes no names; leave it out",
		    f->path, distribution);
	if (strlen(o->name) > MAX_HASHED_NAME)
		return section_bad(r, section_place(f, "name"), "name in %s has more than %d bytes", f->path,
				   MAX_HASHED_NAME);
	return o->connect[0] == '\0' ? ERR_OK : check_address(r, f, "connect", o->connect, true);
}
