#include "squeal/doctor/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/broker/broker.h"
#include "lib/conf/endpoint.h"
#include "squeal/binlog/source_mysql.h"
#include "squeal/doctor/doctor_rows.h"
#include "squeal/doctor/probe.h"
#include "squeal/doctor/questions.h"

enum { RESUME_MS = 30000 }; /* patience for the server's search of the checkpoint; squeal run has more */

/* --- squeal's side ----------------------------------------------------------------------------------------
 */

bool
survey_is_network(const struct source_options *opt)
{
	struct endpoints all;

	endpoints_of(opt, &all);
	for (size_t i = 0; i < all.n; i++) {
		const char *h = all.at[i].host;

		if (all.at[i].socket[0] == '\0' && strncmp(h, "127.", 4) != 0 &&
		    strcmp(h, "localhost") != 0 && strcmp(h, "::1") != 0)
			return true;
	}
	return false;
}

static void
look_at_password_file(const char *path, struct doctor_facts *f)
{
	struct stat st;
	char why[700];

	doctor_fact_printf(f, "our.password_file", "%s", path);
	if (path[0] == '\0')
		return;
	if (stat(path, &st) == 0) {
		doctor_fact_printf(f, "our.password_mode", "%03o", (unsigned)(st.st_mode & 0777));
		return;
	}
	snprintf(why, sizeof(why),
		 "%.300s: %s; write the password into it (umask 077; echo PASSWORD > %.200s), or correct "
		 "source.password_file",
		 path, strerror(errno), path);
	doctor_fact_failed(f, "our.password_mode", why, NULL);
}

/* What is wrong, and what mends it, each in one line. */
struct log_findings {
	struct buf what, mends;
};

static void
add_finding(void *arg, const char *sentence)
{
	struct log_findings *all = arg;
	struct span what, mend;

	doctor_split(sentence, &what, &mend);
	if (all->what.len > 0) {
		buf_put_str(&all->what, "; ");
		buf_put_str(&all->mends, "; ");
	}
	buf_put_span(&all->what, what);
	buf_put_span(&all->mends, mend);
}

static void
look_at_log(const struct topology *topo, const struct clock *clock, struct doctor_facts *f)
{
	struct broker_metrics metrics = {0};
	const struct broker_context context = {clock, NULL, &metrics};
	struct broker_reader *reader = NULL;
	struct buf checkpoint = BUF_INIT, path = BUF_INIT;
	struct log_findings findings = {BUF_INIT, BUF_INIT};
	struct err_detail why = {0};
	err_t err, missing;

	err = broker_check(&topo->log, topo->squeal.batch_bytes, &context, add_finding, &findings, &why);
	/* A topic that squeal may not create is not a log that is yet to come. */
	missing = err == ERR_NOT_FOUND && !topo->log.create ? ERR_CONFIG : ERR_NOT_FOUND;
	if (err == ERR_OK)
		err = broker_reader_open_source(&reader, &topo->log, topo->source.name, &context, &why);
	if (err == ERR_OK)
		err = broker_reader_checkpoint(reader, topo->source.name, &checkpoint, &why);
	broker_describe(&topo->log, &path);
	doctor_fact_printf(f, "log.path", "%s", buf_str(&path));
	doctor_fact_printf(f, "log.code", "%s", err_name(err == ERR_NOT_FOUND ? missing : err));
	doctor_fact_put(f, "log.findings", buf_span(&findings.what));
	doctor_fact_put(f, "log.mends", buf_span(&findings.mends));
	doctor_fact_sentence(f, "log.error", err == ERR_OK ? "" : err_why(&why));
	doctor_fact_put(f, "checkpoint", buf_span(&checkpoint));
	doctor_fact_printf(f, "log.text", "%s%s", checkpoint.len > 0 ? "checkpoint " : "no checkpoint yet",
			   buf_str(&checkpoint));
	broker_reader_close(&reader);
	buf_fini(&checkpoint);
	buf_fini(&findings.what);
	buf_fini(&findings.mends);
	buf_fini(&path);
}

void
survey_config(const struct topology *topo, const struct source_options *opt, const char *config,
	      const struct clock *clock, struct doctor_facts *f)
{
	struct endpoints all;

	endpoints_of(opt, &all);
	doctor_fact_printf(f, "our.address", "%s", endpoint_text(&all.at[0]).text);
	doctor_fact_printf(f, "our.config", "%s", config);
	doctor_fact_printf(f, "our.user", "%s", opt->user);
	doctor_fact_printf(f, "our.network", "%d", survey_is_network(opt));
	doctor_fact_printf(f, "our.tls", "%s", opt->tls);
	doctor_fact_printf(f, "our.start", "%s", opt->start);
	doctor_fact_printf(f, "our.visibility", "%s", opt->visibility);
	doctor_fact_printf(f, "our.patience_ms", "%llu", (unsigned long long)opt->visibility_patience);
	doctor_fact_printf(f, "our.max_event", "%llu", (unsigned long long)opt->max_event);
	doctor_fact_printf(f, "our.server_id", "%u", source_mysql_server_id(opt, topo->region.region));
	doctor_fact_printf(f, "our.rules", "%s", topo->markers.rules);
	doctor_fact_printf(f, "our.rules_only", "%s", topo->markers.rules_only ? "ON" : "OFF");
	look_at_password_file(opt->password_file, f);
	look_at_log(topo, clock, f);
}

/* --- can it go on where the checkpoint is? -----------------------------------------------------------------
 */

/* The time of the first transaction behind the start; 0 when there is none. */
static err_t
first_behind(struct source *src, const struct topology *topo, uint32_t *at, struct err_detail *why)
{
	struct binlog_metrics metrics = {0};
	struct binlog_decoder decoder;
	err_t err;

	*at = 0;
	binlog_decoder_init(&decoder, topo->source.max_event, &metrics);
	binlog_decoder_start(&decoder, src->info.file, src->info.pos, src->info.checksum);
	while (*at == 0) {
		struct binlog_event ev;
		struct span bytes;

		err = source_next(src, &bytes, why);
		if (err != ERR_OK || bytes.len == 0)
			break;
		err = binlog_decode(&decoder, bytes, &ev, why);
		if (err != ERR_OK)
			break;
		if (ev.kind == BINLOG_GTID)
			*at = ev.timestamp;
	}
	binlog_decoder_fini(&decoder);
	return err;
}

/* Follows the binlog from `from` on for a moment. */
static err_t
look_behind(const struct topology *topo, const struct source_options *opt, const struct clock *clock,
	    const char *from, uint32_t *at, struct err_detail *why)
{
	struct source_options options = *opt;
	struct source *src;
	char region[60];
	err_t err;

	*at = 0;
	/* Not the daemon's id, or the two would throw each other out. */
	options.server_id = 0;
	options.gap_patience = 0;
	if (options.first_event > RESUME_MS)
		options.first_event = RESUME_MS;
	snprintf(region, sizeof(region), "doctor %llx %d", (unsigned long long)clock_real_us(clock),
		 (int)getpid());
	src = source_mysql_create(&options, region);
	source_mysql_stop_at_end(src);
	err = source_open(src, span_of(from), why);
	if (err == ERR_OK)
		err = first_behind(src, topo, at, why);
	source_destroy(&src);
	return err;
}

static uint64_t
age_s(const struct clock *clock, uint32_t at)
{
	uint64_t now_s = clock_real_us(clock) / 1000000;

	return at != 0 && now_s > at ? now_s - at : 0;
}

/* Where squeal run would start. */
static const char *
start_of(const struct topology *topo, const struct doctor_facts *f)
{
	const char *checkpoint = doctor_fact(f, "checkpoint");

	if (strcmp(topo->source.start, "checkpoint") != 0)
		return topo->source.start;
	return checkpoint != NULL && checkpoint[0] != '\0' ? checkpoint : "now";
}

static void
try_to_resume(const struct topology *topo, const struct source_options *opt, const struct clock *clock,
	      struct doctor_facts *f)
{
	struct buf from = BUF_INIT;
	struct err_detail why = {0};
	uint32_t at, oldest;
	uint64_t age;
	err_t err;

	buf_put_str(&from, start_of(topo, f));
	err = look_behind(topo, opt, clock, buf_str(&from), &at, &why);
	age = age_s(clock, at);
	doctor_fact_printf(f, "resume.code", "%s", err_name(err));
	doctor_fact_sentence(f, "resume.error", err == ERR_OK ? "" : err_why(&why));
	doctor_fact_printf(f, "resume.age_s", "%llu", (unsigned long long)age);
	if (at == 0)
		doctor_fact_printf(f, "resume.text", "the server has what follows %s: nothing yet",
				   buf_str(&from));
	else
		doctor_fact_printf(f, "resume.text", "the server has what follows %s, from %llu s ago on",
				   buf_str(&from), (unsigned long long)age);
	/* What keeps the stream from opening was said above. */
	if (look_behind(topo, opt, clock, "earliest", &oldest, &why) == ERR_OK && oldest != 0)
		doctor_fact_printf(f, "reach.s", "%llu", (unsigned long long)age_s(clock, oldest));
	buf_fini(&from);
}

/* --- all of it ---------------------------------------------------------------------------------------------
 */

bool
survey_server(const struct topology *topo, const struct source_options *opt, const struct clock *clock,
	      struct doctor_facts *f)
{
	struct conn *c = conn_create(opt);
	struct err_detail why = {0};
	err_t err;

	err = conn_open(c, &why);
	doctor_fact_printf(f, "connect.code", "%s", err_name(err));
	doctor_fact_printf(f, "connect.error", "%s", err == ERR_OK ? "" : err_why(&why));
	if (err == ERR_OK) {
		questions_ask(c, clock, start_of(topo, f), f);
		if (doctor_fact(f, "log_bin") != NULL && strcmp(doctor_fact(f, "log_bin"), "ON") == 0)
			try_to_resume(topo, opt, clock, f);
		doctor_derive(f);
	}
	conn_destroy(&c);
	return err == ERR_OK;
}

/* Both are known, and the same. */
static bool
same(const struct doctor_facts *a, const struct doctor_facts *b, const char *name)
{
	const char *x = doctor_fact(a, name), *y = doctor_fact(b, name);

	return x != NULL && y != NULL && strcmp(x, y) == 0;
}

void
survey_compare(struct doctor_facts **f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (n > 1 && doctor_fact(f[i], "server_id") != NULL) {
			doctor_fact_printf(f[i], "twin.server", "%s", "");
			doctor_fact_printf(f[i], "twin.id", "%s", "");
			doctor_fact_printf(f[i], "twin.uuid", "%s", "");
		}
		for (size_t k = 0; k < n; k++) {
			const char *at = doctor_fact(f[k], "our.address");

			if (k == i)
				continue;
			if (same(f[i], f[k], "hostname") && same(f[i], f[k], "port") &&
			    same(f[i], f[k], "datadir"))
				doctor_fact_printf(f[i], "twin.server", "%s", at);
			else if (same(f[i], f[k], "server_uuid"))
				doctor_fact_printf(f[i], "twin.uuid", "%s", at);
			else if (same(f[i], f[k], "server_id"))
				doctor_fact_printf(f[i], "twin.id", "%s", at);
		}
	}
}

void
survey_cache(const struct topology *topo, const struct cluster *cluster, const char *address,
	     const struct clock *clock, struct doctor_facts *f)
{
	struct probe_answer answer;
	struct err_detail why = {0};
	err_t err = probe_memcached(address, topo->router.connect_timeout + topo->router.ack_timeout, clock,
				    &answer, &why);

	doctor_fact_printf(f, "cache.cluster", "%s", cluster->opt.name);
	doctor_fact_printf(f, "cache.code", "%s", err_name(err));
	doctor_fact_printf(f, "cache.error", "%s", err == ERR_OK ? "" : err_why(&why));
	if (err != ERR_OK)
		return;
	doctor_fact_printf(f, "cache.version", "%s", answer.version);
	doctor_fact_printf(f, "cache.meta", "%d", answer.meta);
	doctor_fact_printf(f, "cache.ms", "%.1f", (double)answer.took_us / 1e3);
}
