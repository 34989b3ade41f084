#include "router/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/buf.h"
#include "lib/core/mem.h"

typedef struct trace_metrics metric_owner;
const struct metric_row trace_metric_rows[] = {METRIC_ROWS(TRACE_METRICS)};
const size_t trace_metric_nrows = sizeof(trace_metric_rows) / sizeof(trace_metric_rows[0]);

struct trace {
	const struct router_options *opt;
	const struct clock *clock;
	struct trace_metrics *metrics;
	struct log *log;
	int fd; /* -1: not open */
	struct buf lines;
	uint64_t nlines;
};

struct trace *
trace_create(const struct router_options *opt, const struct clock *clock, struct trace_metrics *metrics,
	     struct log *log)
{
	struct trace *t = MEM_NEW(struct trace);

	t->opt = opt;
	t->clock = clock;
	t->metrics = metrics;
	t->log = log;
	t->fd = -1;
	return t;
}

void
trace_destroy(struct trace **tp)
{
	struct trace *t = *tp;

	if (t == NULL)
		return;
	trace_flush(t);
	trace_reopen(t);
	buf_fini(&t->lines);
	free(t);
	*tp = NULL;
}

void
trace_delete(struct trace *t, const char *server, uint64_t offset, struct span key)
{
	if (t->opt->trace_file[0] == '\0' || !span_starts(key, span_of(t->opt->trace_prefix)))
		return;
	buf_put_u64(&t->lines, clock_real_us(t->clock));
	buf_putc(&t->lines, ' ');
	buf_put_str(&t->lines, server);
	buf_putc(&t->lines, ' ');
	buf_put_u64(&t->lines, offset);
	buf_putc(&t->lines, ' ');
	buf_put_span(&t->lines, key);
	buf_putc(&t->lines, '\n');
	t->nlines++;
}

/* false: errno says why */
static bool
write_lines(struct trace *t)
{
	if (t->fd < 0)
		t->fd = open(t->opt->trace_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (t->fd < 0)
		return false;
	while (t->lines.len > 0) {
		ssize_t n = write(t->fd, t->lines.p, t->lines.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		buf_take(&t->lines, (size_t)n);
	}
	return true;
}

void
trace_flush(struct trace *t)
{
	if (t->nlines == 0)
		return;
	if (write_lines(t)) {
		metric_add(&t->metrics->router_trace_lines, t->nlines);
	} else {
		metric_add(&t->metrics->router_trace_lost, t->nlines);
		log_error(t->log, "trace lines are lost: trace_file cannot be written",
			  F_STR("file", t->opt->trace_file), F_STR("reason", strerror(errno)));
		buf_clear(&t->lines);
		trace_reopen(t);
	}
	t->nlines = 0;
}

void
trace_reopen(struct trace *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}
