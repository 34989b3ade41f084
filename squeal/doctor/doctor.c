#include "squeal/doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>

#include "squeal/doctor/doctor_rows.h"

/* In the order of a report. */
static const struct doctor_theme *const themes[] = {&doctor_squeal, &doctor_connection, &doctor_binlog,
						    &doctor_replication};
enum { NTHEMES = sizeof(themes) / sizeof(themes[0]) };

const struct doctor_row *
doctor_row(size_t i)
{
	for (size_t t = 0; t < NTHEMES; i -= themes[t++]->n) {
		if (i < themes[t]->n)
			return &themes[t]->rows[i];
	}
	return NULL;
}

/* --- judging ----------------------------------------------------------------------------------------------
 */

/* Replaces {name} by the fact, on one line. */
static const char *
expand(const struct doctor_facts *f, const char *template, struct buf *out)
{
	buf_clear(out);
	while (*template != '\0') {
		const char *end = *template == '{' ? strchr(template, '}') : NULL;
		char name[64];
		const char *value;

		if (end == NULL || (size_t)(end - template) >= sizeof(name)) {
			buf_putc(out, *template ++);
			continue;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(end - template - 1), template + 1);
		value = doctor_fact(f, name);
		for (const char *p = value != NULL ? value : "?"; *p != '\0'; p++)
			buf_putc(out, (unsigned char)*p < ' ' ? ' ' : *p);
		template = end + 1;
	}
	return buf_str(out);
}

/* The lines of the configuration that make a statement's SET GLOBALs last: the last value of each variable.
 */
static void
put_keep(struct span mend, struct buf *out)
{
	static const struct span set = SPAN_LIT("SET GLOBAL ");
	ptrdiff_t at;

	while ((at = span_find(mend, set)) >= 0) {
		struct span line, name;
		ptrdiff_t end, equals;

		mend = span_from(mend, (size_t)at + set.len);
		end = span_find(mend, SPAN_LIT(";"));
		line = span_first(mend, end >= 0 ? (size_t)end : mend.len);
		equals = span_find(line, SPAN_LIT("="));
		/* The same variable is set again: then this one is a step on the way. */
		name = span_first(line, equals >= 0 ? (size_t)equals + 1 : line.len);
		if (span_find(span_from(mend, line.len), name) >= 0)
			continue;
		if (out->len > 0)
			buf_put_str(out, ", ");
		buf_put_span(out, span_trim(line));
	}
}

static void
emit_row(const struct doctor_facts *f, const struct doctor_row *row, const char *subject,
	 doctor_emit_fn *emit, void *arg)
{
	struct buf what = BUF_INIT, danger = BUF_INIT, mend = BUF_INIT, keep = BUF_INIT;
	struct doctor_finding finding = {
	    .level = row->level,
	    .check = row->check,
	    .subject = subject,
	    .what = expand(f, row->what, &what),
	    .danger = expand(f, row->danger, &danger),
	    .place = row->place,
	    .mend = expand(f, row->mend, &mend),
	    .row = row,
	};

	put_keep(buf_span(&mend), &keep);
	finding.keep = buf_str(&keep);
	emit(arg, &finding);
	buf_fini(&what);
	buf_fini(&danger);
	buf_fini(&mend);
	buf_fini(&keep);
}

static void
emit_failed(const struct doctor_facts *f, const struct doctor_row *row, const char *subject,
	    doctor_emit_fn *emit, void *arg)
{
	struct buf what = BUF_INIT, advice = BUF_INIT;
	const char *statement, *why = doctor_fact_failure(f, row->fact, &statement);
	struct span happened, mend;
	struct doctor_finding finding = {
	    .level = DOCTOR_NOTE,
	    .check = row->check,
	    .subject = subject,
	    .danger = "What was not looked at may be wrong.",
	    .place = statement != NULL ? DOCTOR_SQL : DOCTOR_ADVICE,
	    .keep = "",
	};

	doctor_split(why, &happened, &mend);
	buf_printf(&what, "not checked: %.*s", SPAN_FMT(happened));
	buf_put_span(&advice, mend);
	finding.mend = statement != NULL ? statement : buf_str(&advice);
	finding.what = buf_str(&what);
	emit(arg, &finding);
	buf_fini(&what);
	buf_fini(&advice);
}

/* Judges the rows of one check; `n` of them. */
static void
judge(const struct doctor_facts *f, const struct doctor_row *rows, size_t n, const char *subject,
      doctor_emit_fn *emit, void *arg)
{
	const struct doctor_row *hit = NULL, *failed = NULL;
	const char *statement;

	for (size_t i = 0; i < n; i++) {
		if (failed == NULL && doctor_fact_failure(f, rows[i].fact, &statement) != NULL)
			failed = &rows[i];
		if (hit == NULL && doctor_fact(f, rows[i].fact) != NULL && rows[i].fires(f))
			hit = &rows[i];
	}
	/* What could not be looked at may be what is wrong. */
	if (hit != NULL && (hit->level != DOCTOR_OK || failed == NULL))
		emit_row(f, hit, subject, emit, arg);
	else if (failed != NULL)
		emit_failed(f, failed, subject, emit, arg);
}

void
doctor_judge(const struct doctor_facts *f, enum doctor_scope scope, const char *subject, doctor_emit_fn *emit,
	     void *arg)
{
	for (size_t i = 0; i < NTHEMES; i++) {
		const struct doctor_row *rows = themes[i]->rows;

		for (size_t from = 0, to; from < themes[i]->n; from = to) {
			to = from;
			while (to < themes[i]->n && strcmp(rows[to].check, rows[from].check) == 0)
				to++;
			if (rows[from].scope == scope)
				judge(f, rows + from, to - from, subject, emit, arg);
		}
	}
}

const char *
doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {"ok", "note", "danger", "broken"};

	return names[level];
}

const char *
doctor_place_name(enum doctor_place place)
{
	static const char *const names[] = {
	    "", "sql", "server configuration, then restart", "squeal.yaml", "shell", "advice"};

	return names[place];
}
