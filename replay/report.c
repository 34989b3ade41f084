#include "replay/report.h"

#include <inttypes.h>
#include <string.h>

#include "lib/core/json.h"
#include "lib/core/log.h"

void
report_duration(uint64_t ms, struct buf *out)
{
	if (ms % 1000 != 0)
		buf_printf(out, "%" PRIu64 "ms", ms);
	else if (ms % 60000 != 0 || ms == 0)
		buf_printf(out, "%" PRIu64 "s", ms / 1000);
	else
		buf_printf(out, "%" PRIu64 "m", ms / 60000);
}

static const char *
what(const struct audit_finding *f)
{
	return f->misrouted ? "misrouted" : "stale";
}

static void
finding_json(const struct audit_finding *f, const char *server, struct buf *out)
{
	struct buf after = BUF_INIT;
	struct json j;

	report_duration(f->after_ms, &after);
	json_init(&j, out);
	json_object(&j);
	json_kv_str(&j, "finding", what(f));
	json_kv_span(&j, "key", f->key);
	json_kv_str(&j, "server", server);
	json_kv_span(&j, "gtid", f->gtid);
	json_kv_u64(&j, "partition", f->partition);
	json_kv_u64(&j, "offset", f->offset);
	json_kv_span(&j, "after", buf_span(&after));
	json_kv_u64(&j, "age_ms", f->least_age_ns / 1000000);
	json_object_end(&j);
	buf_fini(&after);
}

void
report_finding(const struct audit_finding *f, const char *server, bool json, struct buf *out)
{
	if (json) {
		finding_json(f, server, out);
	} else {
		buf_printf(out, "%s key=", what(f));
		log_escape(out, f->key);
		buf_put_str(out, " server=");
		log_escape(out, span_of(server));
		buf_put_str(out, " gtid=");
		log_escape(out, f->gtid);
		if (f->partition > 0)
			buf_printf(out, " partition=%" PRIu32, f->partition);
		buf_printf(out, " offset=%" PRIu64 " after=", f->offset);
		report_duration(f->after_ms, out);
		buf_printf(out, " age=%.1fs", (double)f->least_age_ns / 1e9);
	}
	buf_putc(out, '\n');
}

/* "audit_gone" is printed as "gone". */
static const char *
short_name(const struct metric_row *row)
{
	return strncmp(row->name, "audit_", 6) == 0 ? row->name + 6 : row->name;
}

static void
rows_text(const struct metric_row *rows, size_t n, const void *base, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, " %s=%" PRIu64, short_name(&rows[i]),
			   metric_get((const metric_t *)((const char *)base + rows[i].offset)));
}

static void
rows_json(const struct metric_row *rows, size_t n, const void *base, struct json *j)
{
	for (size_t i = 0; i < n; i++)
		json_kv_u64(j, short_name(&rows[i]),
			    metric_get((const metric_t *)((const char *)base + rows[i].offset)));
}

void
report_summary(const struct audit *a, const struct audit_options *opt, const struct follow_metrics *log,
	       bool json, struct buf *out)
{
	for (size_t i = 0; i < opt->ndelays; i++) {
		struct buf after = BUF_INIT;
		struct json j;

		report_duration(opt->delays_ms[i], &after);
		if (json) {
			json_init(&j, out);
			json_object(&j);
			json_kv_span(&j, "summary", buf_span(&after));
			rows_json(audit_check_metric_rows, audit_check_metric_nrows,
				  audit_check_metrics(a, i), &j);
			json_object_end(&j);
		} else {
			buf_printf(out, "summary after=%s", buf_str(&after));
			rows_text(audit_check_metric_rows, audit_check_metric_nrows,
				  audit_check_metrics(a, i), out);
		}
		buf_putc(out, '\n');
		buf_fini(&after);
	}
	if (json) {
		struct json j;

		json_init(&j, out);
		json_object(&j);
		json_kv_str(&j, "summary", "log");
		rows_json(follow_metric_rows, follow_metric_nrows, log, &j);
		rows_json(audit_metric_rows, audit_metric_nrows, audit_metrics(a), &j);
		json_object_end(&j);
	} else {
		buf_put_str(out, "summary log");
		rows_text(follow_metric_rows, follow_metric_nrows, log, out);
		rows_text(audit_metric_rows, audit_metric_nrows, audit_metrics(a), out);
	}
	buf_putc(out, '\n');
}
