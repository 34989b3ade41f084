#include "replay/send/jobfile.h"

#include <stdlib.h>

#include "lib/core/file.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"

static const char *const number_names[] = {
#define JOBFILE_NAME(name, what) #name,
    JOBFILE_NUMBERS(JOBFILE_NAME)
#undef JOBFILE_NAME
};
static const char *const states[] = {"running", "stopped", "done"};
static const char title[] = "squeal-replay job 1";

const char *
jobfile_state_name(enum jobfile_state s)
{
	return states[s];
}

const char *
jobfile_number_name(enum jobfile_number n)
{
	return number_names[n];
}

void
jobfile_fini(struct jobfile *j)
{
	for (size_t i = 0; i < j->nargs; i++)
		free(j->args[i]);
	free(j->args);
	buf_fini(&j->file);
	buf_fini(&j->gtid);
	*j = (struct jobfile){0};
}

void
jobfile_add_arg(struct jobfile *j, const char *arg)
{
	j->args = mem_realloc(j->args, (j->nargs + 1) * sizeof(*j->args));
	j->args[j->nargs++] = mem_strdup(arg);
}

void
jobfile_set_place(struct jobfile *j, const struct select_place *place)
{
	buf_clear(&j->file);
	buf_put_span(&j->file, place->mark.file);
	buf_clear(&j->gtid);
	buf_put_span(&j->gtid, place->gtid);
	j->place = *place;
	j->place.mark.file = buf_span(&j->file);
	j->place.gtid = buf_span(&j->gtid);
	j->has_place = true;
}

/* --- text -------------------------------------------------------------------------------------------------
 */

static void
put_text(struct buf *out, const char *name, struct span value)
{
	buf_printf(out, "%s ", name);
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c < 0x20 || c == 0x7f || c == '\\')
			buf_printf(out, "\\x%02x", c);
		else
			buf_putc(out, (char)c);
	}
	buf_putc(out, '\n');
}

static void
put_check(struct buf *out, struct span text)
{
	buf_printf(out, "check %016llx\n", (unsigned long long)hash_span(text, 0));
}

void
jobfile_format(const struct jobfile *j, struct buf *out)
{
	struct buf mark = BUF_INIT;
	size_t from = out->len;

	buf_printf(out, "%s\nstate %s\n", title, states[j->state]);
	for (size_t i = 0; i < j->nargs; i++)
		put_text(out, "arg", span_of(j->args[i]));
	for (size_t i = 0; i < JOBFILE_NNUMBERS; i++)
		buf_printf(out, "%s %llu\n", number_names[i], (unsigned long long)j->numbers[i]);
	if (j->has_place) {
		tape_mark_format(&j->place.mark, &mark);
		put_text(out, "mark", buf_span(&mark));
		put_text(out, "gtid", j->place.gtid);
		buf_printf(out, "keys_in %llu\n", (unsigned long long)j->place.keys_in);
	}
	put_check(out, span_make(out->p + from, out->len - from));
	buf_fini(&mark);
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
take_text(struct span value, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < value.len; i++) {
		int high, low;

		if (value.p[i] != '\\') {
			buf_putc(out, value.p[i]);
			continue;
		}
		if (i + 3 >= value.len || value.p[i + 1] != 'x')
			return false;
		high = hex(value.p[i + 2]);
		low = hex(value.p[i + 3]);
		if (high < 0 || low < 0)
			return false;
		buf_putc(out, (char)(high << 4 | low));
		i += 3;
	}
	return true;
}

static bool
take_number(struct jobfile *j, struct span name, struct span value)
{
	for (size_t i = 0; i < JOBFILE_NNUMBERS; i++) {
		if (span_is(name, number_names[i]))
			return span_u64(value, &j->numbers[i]);
	}
	return false;
}

static bool
take_state(struct jobfile *j, struct span value)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (span_is(value, states[i])) {
			j->state = (enum jobfile_state)i;
			return true;
		}
	}
	return false;
}

static bool
take_line(struct jobfile *j, struct span name, struct span value, struct buf *text)
{
	struct tape_mark mark;

	if (span_is(name, "state"))
		return take_state(j, value);
	if (span_is(name, "keys_in"))
		return span_u64(value, &j->place.keys_in);
	if (!span_is(name, "arg") && !span_is(name, "mark") && !span_is(name, "gtid"))
		return take_number(j, name, value);
	if (!take_text(value, text))
		return false;
	if (span_is(name, "arg")) {
		if (memchr(text->p, '\0', text->len) != NULL)
			return false;
		jobfile_add_arg(j, buf_str(text));
		return true;
	}
	if (span_is(name, "gtid")) {
		buf_clear(&j->gtid);
		buf_put_span(&j->gtid, buf_span(text));
		return true;
	}
	if (!tape_mark_parse(buf_span(text), &mark))
		return false;
	buf_clear(&j->file);
	buf_put_span(&j->file, mark.file);
	j->place.mark = mark;
	j->has_place = true;
	return true;
}

err_t
jobfile_parse(struct jobfile *j, struct span text, struct err_detail *why)
{
	struct span rest = text, check = {"", 0}, line;
	struct buf scratch = BUF_INIT, wanted = BUF_INIT;
	bool ok = true;

	/* The last line is the checksum over all before it. */
	for (size_t at = text.len; at-- > 1 && check.len == 0;) {
		if (text.p[at - 1] == '\n')
			check = span_from(text, at);
	}
	put_check(&wanted, span_first(text, text.len - check.len));
	if (!span_eq(check, buf_span(&wanted))) {
		ok = false;
		goto done;
	}
	rest = span_first(text, text.len - check.len);
	ok = span_is(span_cut(&rest, '\n'), title);
	while (ok && rest.len > 0) {
		line = span_cut(&rest, '\n');
		ok = take_line(j, span_cut(&line, ' '), line, &scratch);
	}
	j->place.mark.file = buf_span(&j->file);
	j->place.gtid = buf_span(&j->gtid);
	j->place.keys = j->numbers[JOBFILE_done_keys];
done:
	buf_fini(&scratch);
	buf_fini(&wanted);
	return ok ? ERR_OK
		  : err_set(why, ERR_CORRUPT,
			    "it is no job of this program, or was damaged; make a new plan");
}

/* --- files ------------------------------------------------------------------------------------------------
 */

err_t
jobfile_write(const struct jobfile *j, const char *path, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err;

	jobfile_format(j, &text);
	err = file_replace(path, buf_span(&text), why);
	buf_fini(&text);
	return err;
}

err_t
jobfile_read(struct jobfile *j, const char *path, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	err_t err = file_read(path, JOBFILE_MAX, &text, why);

	if (err == ERR_OK) {
		err = jobfile_parse(j, buf_span(&text), why);
		if (err != ERR_OK)
			err_wrap(why, "%s", path);
	}
	buf_fini(&text);
	return err;
}
