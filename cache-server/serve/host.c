#include "cache-server/serve/host.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache-server/serve/server.h"
#include "cache-server/serve/worker.h"

static struct server *
server_of(const struct conn *c)
{
	return c->worker->server;
}

/*
 * Reports, jobs and watchers are made of many small pieces of memory, and there is no half report: they begin
 * only where as much as they need can be had.
 */
static bool
has_room(void)
{
	enum { ROOM = 512 << 10 };
	void *p = malloc(ROOM);

	free(p);
	return p != NULL;
}

/* --- the operations ------------------------------------------------------------------------------------ */

static bool
stats(void *arg, struct cache *cache, struct span what, session_emit_fn *emit, void *emit_arg)
{
	struct conn *c = arg;

	atomic_store_explicit(&c->state, "conn_parse_cmd", memory_order_relaxed);
	if (!has_room())
		return false;
	if (span_is(what, "jobs"))
		return jobs_stats(server_of(c)->jobs, cache, emit, emit_arg);
	return report_stats(server_of(c)->report, cache, what, emit, emit_arg);
}

static bool
authenticate(void *arg, struct span user, struct span password)
{
	struct server *s = server_of(arg);
	/* Acquire: what it points to was filled before.  It is not freed while this worker is online. */
	struct server_auth *a = atomic_load_explicit(&s->auth, memory_order_acquire);

	return a && auth_file_allows(a->file, user, password);
}

static void
verbosity(void *arg, unsigned level)
{
	atomic_store_explicit(&server_of(arg)->verbose, level, memory_order_relaxed);
}

static void
stop(void *arg, bool graceful)
{
	server_stop(server_of(arg), graceful);
}

static bool
memory_limit(void *arg, struct cache *cache, uint64_t bytes)
{
	struct server *s = server_of(arg);

	if (!store_set_memory(cache_store(cache), bytes))
		return false;
	atomic_store_explicit(&s->memory[server_cache_index(s, cache)], bytes, memory_order_relaxed);
	return true;
}

/* The text lives as long as the thread. */
static const char *
refresh_certificates(void *arg)
{
	static _Thread_local char text[sizeof((struct err_detail *)0)->text];
	struct server *s = server_of(arg);
	struct err_detail why = {0};

	if (s->tls == NULL)
		return "Error TLS not enabled";
	if (tls_reload(s->tls, &why) == ERR_OK)
		return "";
	err_one_line(&why);
	snprintf(text, sizeof text, "%s", err_why(&why));
	return text;
}

static struct session_dump *
dump(void *arg, struct cache *cache, struct span command, const char **why)
{
	*why = "SERVER_ERROR out of memory";
	if (!has_room())
		return NULL;
	*why = NULL;
	if (span_is(command, "backup -"))
		return jobs_stream(server_of(arg)->jobs, cache, why);
	return report_dump(server_of(arg)->report, cache, command, why);
}

static bool
job(void *arg, struct cache *cache, struct span command, struct out *out)
{
	if (server_of(arg)->jobs && !has_room()) {
		OUT_LITERAL(out, "SERVER_ERROR out of memory");
		return true;
	}
	return jobs_command(server_of(arg)->jobs, cache, command, out);
}

static void
on_lines(void *arg)
{
	struct conn *c = arg;

	worker_wake(c->worker, c);
}

static bool
watch(void *arg, struct span text)
{
	struct conn *c = arg;
	struct server *s = server_of(c);
	unsigned kinds;

	if (!watch_parse(text, &kinds))
		return false;
	c->watcher = watch_add(s->watch, kinds, on_lines, c);
	if (c->watcher == NULL) {
		metric_bump(&c->worker->metrics.watch_failed, 1);
		return false;
	}
	server_watching(s);
	return true;
}

static void
log_line(void *arg, const struct session_log *l)
{
	struct conn *c = arg;

	watch_log(c->worker->ring, l, c->fd);
}

static enum latency_command
latency_of(int what)
{
	static const enum latency_command of[] = {
	    [SESSION_NOTE_GET] = LATENCY_GET,	    [SESSION_NOTE_SET] = LATENCY_SET,
	    [SESSION_NOTE_DELETE] = LATENCY_DELETE, [SESSION_NOTE_ARITH] = LATENCY_ARITH,
	    [SESSION_NOTE_TOUCH] = LATENCY_TOUCH,
	};

	return (size_t)what < sizeof of / sizeof of[0] ? of[what] : LATENCY_OTHER;
}

static void
note(void *arg, int what, struct span key, uint64_t hash, bool hit, size_t bytes)
{
	struct conn *c = arg;
	struct worker *w = c->worker;
	size_t container = c->port->container;

	if (report_detail(w->server->report)) {
		switch (what) {
		case SESSION_NOTE_GET:
			prefix_note(w->prefixes[container], key, hit ? PREFIX_HIT : PREFIX_MISS);
			break;
		case SESSION_NOTE_SET:
			prefix_note(w->prefixes[container], key, PREFIX_SET);
			break;
		case SESSION_NOTE_DELETE:
			prefix_note(w->prefixes[container], key, PREFIX_DELETE);
			break;
		default:
			break;
		}
	}
	if (!w->looking)
		return;
	if (w->hot_keys[container])
		topk_take(w->hot_keys[container], key, hash, 1);
	if (w->latency) {
		uint64_t now = clock_mono_ns(w->server->clock);

		latency_note(w->latency, latency_of(what), now - w->look_ns);
		w->look_ns = now;
	}
}

const struct session_host_ops *
host_ops(void)
{
	static const struct session_host_ops ops = {
	    .stats = stats,
	    .authenticate = authenticate,
	    .verbosity = verbosity,
	    .shutdown = stop,
	    .memory_limit = memory_limit,
	    .refresh_certificates = refresh_certificates,
	    .dump = dump,
	    .job = job,
	    .watch = watch,
	    .note = note,
	    .log = log_line,
	};

	return &ops;
}

const struct session_host_ops *
host_udp_ops(void)
{
	static const struct session_host_ops ops = {
	    .stats = stats,
	    .authenticate = authenticate,
	    .verbosity = verbosity,
	    .shutdown = stop,
	    .memory_limit = memory_limit,
	    .refresh_certificates = refresh_certificates,
	    .note = note,
	    .log = log_line,
	};

	return &ops;
}

/* --- connections come and go --------------------------------------------------------------------------- */

static const char *
transport(const struct port *p)
{
	return p->kind == PORT_UDP ? "udp" : p->kind == PORT_UNIX ? "local" : "tcp";
}

void
host_log_open(struct conn *c, const struct sockaddr_storage *peer)
{
	char host[64];
	unsigned port = port_host(peer, host, sizeof host);

	watch_log_open(server_of(c)->ring, host, port, transport(c->port), c->fd);
}

void
host_log_close(struct conn *c, enum watch_close reason)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	char host[64] = "unix";
	unsigned port = 0;

	if (getpeername(c->fd, (struct sockaddr *)&a, &len) == 0)
		port = port_host(&a, host, sizeof host);
	watch_log_close(c->worker->ring, host, port, transport(c->port), reason, c->fd);
}

void
host_say_new(struct server *s, int fd, const struct port *port)
{
	if (atomic_load_explicit(&s->verbose, memory_order_relaxed) > 1)
		fprintf(stderr, "<%d new %s client connection.\n", fd,
			port->protocol == LISTEN_AUTO ? "auto-negotiating"
						      : listen_protocol_text(port->protocol));
}

void
host_say(int fd, char way, struct span bytes)
{
	struct span left = span_first(bytes, HOST_SAY_MAX);
	struct buf out = BUF_INIT;

	while (left.len > 0) {
		struct span line = span_trim(span_cut(&left, '\n'));

		buf_printf(&out, "%c%d ", way, fd);
		for (size_t i = 0; i < line.len; i++)
			buf_putc(&out, (unsigned char)line.p[i] < ' ' || line.p[i] == 0x7f ? '?' : line.p[i]);
		buf_putc(&out, '\n');
	}
	fputs(buf_str(&out), stderr);
	buf_fini(&out);
}
