#include "lib/net/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/mem.h"
#include "lib/net/address.h"
#include "lib/net/http.h"
#include "lib/net/listener.h"

enum { LINGER_MS = 1000, READ_BYTES = 4096 };

typedef struct admin_metrics {
	METRIC_FIELDS(ADMIN_METRICS)
} metric_owner;

static const struct metric_row admin_metric_rows[] = {METRIC_ROWS(ADMIN_METRICS)};

/* READING the head, WRITING the answer, LINGERING until the client has seen all of it. */
enum conn_state { READING, WRITING, LINGERING };

struct conn {
	struct admin *admin;
	struct conn *next;
	enum conn_state state;
	int fd;
	struct loop_fd watch;
	struct loop_timer timeout; /* of the whole connection */
	struct buf in, out;
};

struct hook {
	struct hook *next;
	const char *path, *type; /* of a page */
	union {
		admin_ready_fn *ready;
		admin_status_fn *status;
		admin_page_fn *page;
		admin_metrics_fn *metrics;
	} fn;
	void *arg;
};

struct admin {
	struct loop *loop;
	struct listener *listener;
	struct log *log;
	struct metric_registry *registry;
	struct admin_metrics metrics;
	struct conn *conns;
	size_t nconns;
	struct hook *ready, *status, *pages, *actions, *on_metrics;
	char *program;
	char *name; /* host that the port was bound by */
	uint64_t max_ms, since_ns, since_us;
};

struct admin_reasons {
	struct json *json;
	bool any;
};

/* --- pages --------------------------------------------------------------------------------------- */

static void
hook_add(struct hook **list, struct hook hook)
{
	struct hook *h = MEM_NEW(struct hook);

	while (*list != NULL)
		list = &(*list)->next;
	*h = hook;
	h->next = NULL;
	*list = h;
}

static void
hooks_free(struct hook **list)
{
	struct hook *h;

	while ((h = *list) != NULL) {
		*list = h->next;
		free(h);
	}
}

void
admin_on_ready(struct admin *a, admin_ready_fn *fn, void *arg)
{
	hook_add(&a->ready, (struct hook){.fn.ready = fn, .arg = arg});
}

void
admin_on_metrics(struct admin *a, admin_metrics_fn *fn, void *arg)
{
	hook_add(&a->on_metrics, (struct hook){.fn.metrics = fn, .arg = arg});
}

void
admin_on_status(struct admin *a, admin_status_fn *fn, void *arg)
{
	hook_add(&a->status, (struct hook){.fn.status = fn, .arg = arg});
}

void
admin_page(struct admin *a, const char *path, const char *type, admin_page_fn *fn, void *arg)
{
	hook_add(&a->pages, (struct hook){.path = path, .type = type, .fn.page = fn, .arg = arg});
}

void
admin_action(struct admin *a, const char *path, admin_page_fn *fn, void *arg)
{
	hook_add(&a->actions,
		 (struct hook){.path = path, .type = "application/json", .fn.page = fn, .arg = arg});
}

void
admin_not_ready(struct admin_reasons *r, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	json_span(r->json, buf_span(&text));
	r->any = true;
	buf_fini(&text);
}

/* What Prometheus' own client libraries say about every process. */
static void
put_process(struct admin *a, struct buf *out)
{
	struct rusage use;
	struct buf statm = BUF_INIT;
	unsigned long pages, resident;

	buf_printf(out,
		   "# HELP squeal_build_info what runs here\n# TYPE squeal_build_info gauge\n"
		   "squeal_build_info{program=\"%s\",version=\"%s\"} 1\n",
		   a->program, SQUEAL_VERSION);
	buf_printf(out,
		   "# HELP process_start_time_seconds when the process began to listen\n"
		   "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %" PRIu64
		   ".%06" PRIu64 "\n",
		   a->since_us / 1000000, a->since_us % 1000000);
	if (getrusage(RUSAGE_SELF, &use) == 0) {
		uint64_t us = (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
			      (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);

		buf_printf(out,
			   "# HELP process_cpu_seconds_total user and system time\n"
			   "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %" PRIu64
			   ".%06" PRIu64 "\n",
			   us / 1000000, us % 1000000);
	}
	if (file_read("/proc/self/statm", 4096, &statm, NULL) == ERR_OK &&
	    sscanf(buf_str(&statm), "%lu %lu", &pages, &resident) == 2)
		buf_printf(
		    out,
		    "# HELP process_resident_memory_bytes memory in use\n"
		    "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %" PRIu64 "\n",
		    (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE));
	buf_fini(&statm);
}

static void
put_metrics(struct admin *a, struct buf *out)
{
	if (a->registry != NULL)
		metric_registry_render(a->registry, out);
	for (struct hook *h = a->on_metrics; h != NULL; h = h->next)
		h->fn.metrics(h->arg, out);
	put_process(a, out);
}

static int
put_ready(struct admin *a, struct buf *out)
{
	struct buf list = BUF_INIT;
	struct json inner, j;
	struct admin_reasons reasons = {.json = &inner};

	json_init(&inner, &list);
	json_array(&inner);
	for (struct hook *h = a->ready; h != NULL; h = h->next)
		h->fn.ready(h->arg, &reasons);
	json_array_end(&inner);
	json_init(&j, out);
	json_object(&j);
	json_kv_bool(&j, "ready", !reasons.any);
	json_name(&j, "reasons");
	buf_put_span(out, buf_span(&list));
	json_object_end(&j);
	buf_putc(out, '\n');
	buf_fini(&list);
	return reasons.any ? 503 : 200;
}

static void
put_status(struct admin *a, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_object(&j);
	json_kv_str(&j, "program", a->program);
	json_kv_str(&j, "version", SQUEAL_VERSION);
	json_kv_u64(&j, "pid", (uint64_t)getpid());
	json_kv_u64(&j, "uptime_sec", (clock_mono_ns(loop_clock(a->loop)) - a->since_ns) / 1000000000u);
	for (struct hook *h = a->status; h != NULL; h = h->next)
		h->fn.status(h->arg, &j);
	json_object_end(&j);
	buf_putc(out, '\n');
}

static void
put_index(struct admin *a, struct buf *out)
{
	buf_put_str(out, "/metrics\n/healthz\n/readyz\n/status\n");
	for (struct hook *h = a->pages; h != NULL; h = h->next)
		buf_printf(out, "%s\n", h->path);
	for (struct hook *h = a->actions; h != NULL; h = h->next)
		buf_printf(out, "POST %s\n", h->path);
}

bool
admin_query(const char *query, const char *name, struct buf *out)
{
	struct span rest = span_of(query);
	size_t before = out->len;

	while (rest.len > 0) {
		ptrdiff_t amp = span_find(rest, SPAN_LIT("&"));
		struct span pair = amp < 0 ? rest : span_first(rest, (size_t)amp);
		ptrdiff_t eq = span_find(pair, SPAN_LIT("="));

		rest = span_from(rest, pair.len + 1);
		if (eq < 0 || !span_is(span_first(pair, (size_t)eq), name))
			continue;
		if (http_decode(span_from(pair, (size_t)eq + 1), out))
			return true;
		out->len = before;
		return false;
	}
	return false;
}

/* --- one request --------------------------------------------------------------------------------- */

static bool
host_allowed(const struct admin *a, struct span host)
{
	if (host.len == 0) /* HTTP/1.0 without Host: not a browser */
		return true;
	if (host.p[host.len - 1] == '.')
		host.len--;
	return address_is_ip(host) || span_ieq(host, SPAN_LIT("localhost")) ||
	       span_ieq(host, span_of(a->name));
}

static bool
is_local(int fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t len = sizeof(peer);
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&peer;
	const unsigned char *mapped = v6->sin6_addr.s6_addr;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
		return false;
	if (peer.ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return peer.ss_family == AF_INET6 && (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
					      (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && mapped[12] == 127));
}

static int
call_hook(const struct hook *h, const struct http_request *r, const char **type, struct buf *body)
{
	char *query = span_dup(r->query);
	int status = 200;

	*type = h->type;
	h->fn.page(h->arg, query, body, &status);
	free(query);
	return status;
}

static const struct hook *
find_hook(const struct hook *h, struct span path)
{
	while (h != NULL && !span_is(path, h->path))
		h = h->next;
	return h;
}

/* Does it, or says in *refused why not. */
static int
act(struct conn *c, const struct http_request *r, const char **type, struct buf *body, const char **refused)
{
	const struct hook *h = find_hook(c->admin->actions, r->path);

	if (h == NULL) {
		*refused = "no such action; / lists them";
		return 404;
	}
	if (!r->marked || !is_local(c->fd)) {
		*refused = "refused: an action must come from this machine and with the header X-Squeal; "
			   "use squealctl";
		return 403;
	}
	log_notice(c->admin->log, "asked to act by the admin port", F_SPAN("action", r->path),
		   F_SPAN("query", span_first(r->query, 300)));
	metric_inc(&c->admin->metrics.admin_acted);
	return call_hook(h, r, type, body);
}

static int
make_page(struct admin *a, const struct http_request *r, const char **type, struct buf *body)
{
	const struct hook *h;
	int status = 200;

	*type = "application/json";
	if (span_is(r->path, "/metrics")) {
		*type = "text/plain; version=0.0.4; charset=utf-8";
		put_metrics(a, body);
	} else if (span_is(r->path, "/healthz")) {
		buf_put_str(body, "{\"healthy\":true}\n");
	} else if (span_is(r->path, "/readyz")) {
		status = put_ready(a, body);
	} else if (span_is(r->path, "/status")) {
		put_status(a, body);
	} else if (span_is(r->path, "/")) {
		*type = "text/plain; charset=utf-8";
		put_index(a, body);
	} else {
		h = find_hook(a->pages, r->path);
		status = h != NULL ? call_hook(h, r, type, body) : 404;
	}
	return status;
}

static void
answer(struct conn *c, int status, const struct http_request *r)
{
	static const char refuse_type[] = "text/plain; charset=utf-8";
	struct admin *a = c->admin;
	struct buf body = BUF_INIT;
	const char *type = refuse_type, *text = NULL, *extra = "";
	bool head = status == 200 && span_is(r->method, "HEAD");
	bool posts = a->actions != NULL && span_is(r->method, "POST");

	if (status == 200 && !span_is(r->method, "GET") && !posts) {
		status = 405;
		extra = a->actions != NULL ? "Allow: GET, POST\r\n" : "Allow: GET\r\n";
		text = a->actions != NULL ? "this port only answers GET, and POST for actions"
					  : "this port only answers GET";
	} else if (status == 200 && !host_allowed(a, r->host)) {
		status = 403;
		text = "refused: the Host header is neither an IP address, nor localhost, nor the name that "
		       "this port is "
		       "bound by";
	} else if (status == 200 && posts) {
		status = act(c, r, &type, &body, &text);
	} else if (status == 200) {
		status = make_page(a, r, &type, &body);
		if (status == 404 && body.len == 0) {
			type = refuse_type;
			text = "no such page; / lists them";
		} else {
			metric_inc(&a->metrics.admin_request);
		}
	} else {
		text = status == 431   ? "the header is too large"
		       : status == 413 ? "this port takes no request body"
				       : "not a request that this port understands";
	}
	if (text != NULL) {
		metric_inc(&a->metrics.admin_refused);
		buf_printf(&body, "%s\n", text);
	}
	http_head(&c->out, status, type, body.len, extra);
	if (!head)
		buf_put_span(&c->out, buf_span(&body));
	buf_fini(&body);
}

/* --- connections ------------------------------------------------------------------------------- */

static void
conn_close(struct conn *c)
{
	struct admin *a = c->admin;

	for (struct conn **at = &a->conns; *at != NULL; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	a->nconns--;
	loop_timer_stop(&c->timeout);
	loop_fd_fini(&c->watch);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

/* False: the connection is gone. */
static bool
conn_send(struct conn *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			loop_fd_want(&c->watch, LOOP_WRITE);
			return true;
		}
		if (n < 0) {
			conn_close(c);
			return false;
		}
		buf_take(&c->out, (size_t)n);
	}
	/*
	 * Closing while bytes of the client are unread resets the connection, and a reset may overtake the
	 * answer: wait for the client to close.
	 */
	c->state = LINGERING;
	shutdown(c->fd, SHUT_WR);
	loop_timer_once(&c->timeout, LINGER_MS);
	loop_fd_want(&c->watch, LOOP_READ);
	return true;
}

static void
conn_read(struct conn *c)
{
	struct http_request request;
	ssize_t n;
	int status;

	do
		n = recv(c->fd, buf_room(&c->in, READ_BYTES), READ_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	if (c->state == LINGERING)
		return; /* dropped */
	buf_added(&c->in, (size_t)n);
	status = http_request_parse(buf_span(&c->in), &request);
	if (c->in.len > ADMIN_MAX_HEADERS)
		status = 431;
	if (status == 0)
		return;
	c->state = WRITING;
	answer(c, status, &request);
	conn_send(c);
}

static void
on_conn(void *arg, int what)
{
	struct conn *c = arg;

	if (what == LOOP_WRITE)
		conn_send(c);
	else
		conn_read(c);
}

static void
on_timeout(void *arg)
{
	struct conn *c = arg;

	if (c->state != LINGERING)
		metric_inc(&c->admin->metrics.admin_slow);
	conn_close(c);
}

static void
on_accept(void *arg, int fd)
{
	struct admin *a = arg;
	struct conn *c;

	if (a->nconns >= ADMIN_MAX_CONNECTIONS) {
		metric_inc(&a->metrics.admin_overload);
		log_notice(a->log, "admin port has too many connections, one is refused",
			   F_UINT("connections", a->nconns));
		close(fd);
		return;
	}
	c = MEM_NEW(struct conn);
	c->admin = a;
	c->fd = fd;
	c->next = a->conns;
	a->conns = c;
	a->nconns++;
	loop_timer_init(&c->timeout, a->loop, on_timeout, c);
	loop_timer_once(&c->timeout, a->max_ms);
	loop_fd_init(&c->watch, a->loop, fd, on_conn, c);
	loop_fd_want(&c->watch, LOOP_READ);
}

/* --- life ---------------------------------------------------------------------------------------- */

err_t
admin_open(struct admin **out, struct loop *l, const struct admin_options *opt, struct err_detail *why)
{
	struct admin *a = MEM_NEW(struct admin);
	const char *setting = opt->setting != NULL ? opt->setting : "the admin address";
	struct address bound;
	err_t err;

	*out = NULL;
	a->loop = l;
	a->log = opt->log;
	a->program = mem_strdup(opt->program != NULL ? opt->program : "squeal");
	a->max_ms = opt->max_ms > 0 ? opt->max_ms : ADMIN_MAX_SECONDS * 1000;
	a->since_ns = clock_mono_ns(loop_clock(l));
	a->since_us = clock_real_us(loop_clock(l));
	err = listener_open(&a->listener, l, opt->address, setting, opt->log, on_accept, a, why);
	if (err == ERR_OK)
		err = address_parse(&bound, span_of(opt->address), why);
	if (err != ERR_OK)
		goto done;
	a->name = mem_strdup(bound.host);
	if (address_is_wildcard(&bound))
		log_notice(a->log, "the admin port can be read from every network of this machine",
			   F_STR("address", opt->address), F_STR("setting", setting));
	if (opt->metrics != NULL) {
		a->registry = opt->metrics;
		metric_registry_add(a->registry, admin_metric_rows,
				    sizeof(admin_metric_rows) / sizeof(admin_metric_rows[0]), &a->metrics,
				    "");
	}
	*out = a;
	a = NULL;
done:
	admin_close(&a);
	return err;
}

void
admin_close(struct admin **ap)
{
	struct admin *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	listener_close(&a->listener);
	while (a->conns != NULL)
		conn_close(a->conns);
	if (a->registry != NULL)
		metric_registry_remove(a->registry, &a->metrics);
	hooks_free(&a->ready);
	hooks_free(&a->status);
	hooks_free(&a->pages);
	hooks_free(&a->actions);
	hooks_free(&a->on_metrics);
	free(a->program);
	free(a->name);
	free(a);
}

unsigned
admin_port(const struct admin *a)
{
	return listener_port(a->listener);
}
