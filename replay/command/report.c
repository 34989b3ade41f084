#include "replay/command/report.h"

#include "lib/core/json.h"
#include "replay/plan/words.h"

static const char *
end_name(enum send_end end)
{
	static const char *const names[] = {"done", "stopped", "impatient", "hurried"};

	return names[end];
}

uint64_t
report_left_out(const struct report *r)
{
	return r->job->numbers[JOBFILE_given_up] + r->result->unsendable + r->tape->bad + r->tape->bad_keys;
}

static void
put_ms(struct buf *out, uint64_t us)
{
	if (us < 10000)
		buf_printf(out, "%.1f ms", (double)us / 1000);
	else
		buf_printf(out, "%llu ms", (unsigned long long)(us / 1000));
}

static void
put_servers(const struct report *r, struct buf *out)
{
	for (size_t i = 0; i < targets_nservers(r->targets); i++) {
		const struct send_server_result *s = &r->result->servers[i];

		if (s->acked + s->given_up == 0)
			continue;
		buf_printf(out, "  %-14s%-24s ",
			   targets_cluster(r->targets, targets_server_cluster(r->targets, i))->opt.name,
			   targets_server_name(r->targets, i));
		words_count(s->acked, "delete", out);
		if (s->hits + s->misses > 0)
			buf_printf(out, ", %.1f %% hit something",
				   (double)s->hits * 100 / (double)(s->hits + s->misses));
		buf_put_str(out, ", acks ");
		put_ms(out, s->ack_p50_us);
		buf_put_str(out, " (p99 ");
		put_ms(out, s->ack_p99_us);
		buf_putc(out, ')');
		if (s->given_up > 0) {
			buf_put_str(out, ", refused ");
			words_number(s->given_up, out);
		}
		if (s->unsupported > 0) {
			buf_put_str(out, ", plain because it knows no better ");
			words_number(s->unsupported, out);
		}
		buf_putc(out, '\n');
	}
}

static void
put_totals(const struct report *r, struct buf *out)
{
	const uint64_t *n = r->job->numbers;

	buf_put_str(out, "  keys          ");
	words_number(n[JOBFILE_done_keys], out);
	buf_put_str(out, " of ");
	words_number(n[JOBFILE_plan_keys], out);
	buf_put_str(out, "\n  deletes       ");
	words_number(n[JOBFILE_acked], out);
	buf_put_str(out, " acknowledged: ");
	words_number(n[JOBFILE_hits], out);
	buf_put_str(out, " hit something, ");
	words_number(n[JOBFILE_misses], out);
	buf_put_str(out, " found nothing\n");
}

static void
put_left_out(const struct report *r, struct buf *out)
{
	if (report_left_out(r) == 0)
		return;
	buf_put_str(out, "  left out      ");
	words_number(r->job->numbers[JOBFILE_given_up], out);
	buf_put_str(out, " refused by servers, ");
	words_number(r->result->unsendable + r->tape->bad_keys, out);
	buf_put_str(out, " keys that cannot be sent, ");
	words_number(r->tape->bad, out);
	buf_printf(out, " %s that cannot be read\n", r->unit);
}

void
report_text(const struct report *r, struct buf *out)
{
	const struct send_result *s = r->result;

	switch (s->end) {
	case SEND_DONE:
		buf_put_str(out, "done in ");
		break;
	case SEND_IMPATIENT:
		buf_printf(out, "stopped, because a server was away (%s); after ", s->away);
		break;
	case SEND_STOPPED:
		buf_put_str(out, "stopped after ");
		break;
	case SEND_HURRIED:
		buf_put_str(out, "stopped at once after ");
	}
	words_duration(s->ms, out);
	if (s->ms > 0) {
		buf_put_str(out, ", ");
		words_number(s->sent * 1000 / s->ms, out);
		buf_put_str(out, " deletes/s");
	}
	if (s->throttled > 0)
		buf_printf(out, ", throttled %.0f %% of the time", s->throttled * 100);
	buf_putc(out, '\n');
	put_totals(r, out);
	put_servers(r, out);
	put_left_out(r, out);
	if (r->resume[0] != '\0')
		buf_printf(out, "to go on: %s\n", r->resume);
}

void
report_json(const struct report *r, struct buf *out)
{
	const struct send_result *s = r->result;
	struct json j;

	json_init(&j, out);
	json_object(&j);
	json_kv_str(&j, "event", "report");
	json_kv_str(&j, "job", r->job_id);
	json_kv_str(&j, "end", end_name(s->end));
	json_kv_u64(&j, "ms", s->ms);
	for (size_t i = 0; i < JOBFILE_NNUMBERS; i++) {
		if (i != JOBFILE_seed && i != JOBFILE_plan_hash)
			json_kv_u64(&j, jobfile_number_name((enum jobfile_number)i), r->job->numbers[i]);
	}
	json_name(&j, "throttled");
	json_double(&j, s->throttled);
	json_kv_u64(&j, "left_out", report_left_out(r));
	json_kv_str(&j, "away", s->away);
	json_name(&j, "servers");
	json_array(&j);
	for (size_t i = 0; i < targets_nservers(r->targets); i++) {
		const struct send_server_result *one = &s->servers[i];

		if (one->acked + one->given_up == 0)
			continue;
		json_object(&j);
		json_kv_str(&j, "cluster",
			    targets_cluster(r->targets, targets_server_cluster(r->targets, i))->opt.name);
		json_kv_str(&j, "server", targets_server_name(r->targets, i));
		json_kv_u64(&j, "acked", one->acked);
		json_kv_u64(&j, "hits", one->hits);
		json_kv_u64(&j, "misses", one->misses);
		json_kv_u64(&j, "given_up", one->given_up);
		json_kv_u64(&j, "coalesced", one->coalesced);
		json_kv_u64(&j, "unsupported", one->unsupported);
		json_kv_u64(&j, "ack_p50_us", one->ack_p50_us);
		json_kv_u64(&j, "ack_p99_us", one->ack_p99_us);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_kv_str(&j, "resume", r->resume);
	json_object_end(&j);
	buf_putc(out, '\n');
}
