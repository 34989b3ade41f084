#include "cache-server/serve/job_command.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *
job_kind_text(enum job_kind kind)
{
	static const char *const text[] = {
	    [JOB_BACKUP] = "backup", [JOB_STREAM] = "stream", [JOB_RESTORE] = "restore",
	    [JOB_CLONE] = "clone",   [JOB_STOP] = "stop",     [JOB_LIST] = "list"};

	return text[kind];
}

err_t
job_name_check(struct span name, struct err_detail *why)
{
	static const char PART[] = ".part";
	size_t n = sizeof PART - 1;

	if (name.len == 0 || name.len > JOB_MAX_NAME)
		return err_set(why, ERR_USAGE, "a file name has 1 to %d bytes", JOB_MAX_NAME);
	if (name.p[0] == '.' || name.p[0] == '-')
		return err_set(why, ERR_USAGE, "a file name does not begin with \".\" or \"-\"");
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] == '/' || (unsigned char)name.p[i] <= 0x20 || name.p[i] == 0x7f)
			return err_set(why, ERR_USAGE,
				       "a file is in the folder of --job-dir; give its name without \"/\"");
	if (name.len >= n && memcmp(name.p + name.len - n, PART, n) == 0)
		return err_set(why, ERR_USAGE,
			       "\".part\" is for backups that are not finished; choose another "
			       "name");
	return ERR_OK;
}

err_t
job_address_parse(struct span text, struct job_address *out, struct err_detail *why)
{
	struct span host = text, port = {"", 0};
	uint64_t number = 0;

	if (text.len > 0 && text.p[0] == '[') {
		const char *end = memchr(text.p, ']', text.len);

		if (end) {
			host = span_make(text.p + 1, (size_t)(end - text.p) - 1);
			port = span_make(end + 1, (size_t)(text.p + text.len - end) - 1);
			if (port.len > 0 && port.p[0] == ':')
				port = span_make(port.p + 1, port.len - 1);
			else
				port.len = 0;
		}
	} else {
		port = text;
		host = span_cut(&port, ':');
	}
	if (host.len == 0 || host.len >= sizeof out->host || !span_u64(port, &number) || number == 0 ||
	    number > 65535)
		return err_set(why, ERR_USAGE, "give the source as host:port or [address]:port");
	memcpy(out->host, host.p, host.len);
	out->host[host.len] = '\0';
	snprintf(out->port, sizeof out->port, "%u", (unsigned)number);
	return ERR_OK;
}

static struct span
next_word(struct span *rest)
{
	*rest = span_trim(*rest);
	return span_cut(rest, ' ');
}

static void
parse_backup(struct span rest, struct job_command *out, struct err_detail *why)
{
	struct span name = next_word(&rest), since = next_word(&rest), base = next_word(&rest);

	if (span_is(name, "-") && since.len == 0) {
		out->kind = JOB_STREAM;
		return;
	}
	out->files[out->nfiles++] = name;
	if (since.len > 0)
		out->files[out->nfiles++] = base;
	if (name.len == 0 || (since.len > 0 && (!span_is(since, "since") || base.len == 0)) ||
	    span_trim(rest).len > 0)
		(void)err_set(why, ERR_USAGE, "usage: backup <file>[ since <file>]");
}

static void
parse_restore(struct span rest, struct job_command *out, struct err_detail *why)
{
	struct span name;

	while ((name = next_word(&rest)).len > 0) {
		if (out->nfiles == JOB_MAX_FILES) {
			(void)err_set(why, ERR_USAGE, "at most %d files; make a full backup now and then",
				      JOB_MAX_FILES);
			return;
		}
		out->files[out->nfiles++] = name;
	}
	if (out->nfiles == 0)
		(void)err_set(why, ERR_USAGE, "usage: restore <file>[ <file>...], the newest backup first");
}

bool
job_command_parse(struct span text, struct job_command *out, struct err_detail *why)
{
	struct span rest = text, word = next_word(&rest), address;

	*out = (struct job_command){0};
	if (span_is(word, "backup")) {
		out->kind = JOB_BACKUP;
		parse_backup(rest, out, why);
	} else if (span_is(word, "restore")) {
		out->kind = JOB_RESTORE;
		parse_restore(rest, out, why);
	} else if (span_is(word, "clone")) {
		struct job_address a;

		out->kind = JOB_CLONE;
		address = next_word(&rest);
		out->files[out->nfiles++] = address;
		if (job_address_parse(address, &a, why) == ERR_OK && span_trim(rest).len > 0)
			(void)err_set(why, ERR_USAGE, "usage: clone <host:port>");
		return true;
	} else if (span_is(word, "job")) {
		out->kind = JOB_STOP;
		if (!span_is(span_trim(rest), "stop"))
			(void)err_set(why, ERR_USAGE, "usage: job stop");
		return true;
	} else if (span_is(word, "jobs") && span_trim(rest).len == 0) {
		out->kind = JOB_LIST;
		return true;
	} else
		return false;
	for (size_t i = 0; i < out->nfiles && why->code == ERR_OK; i++)
		if (job_name_check(out->files[i], why) != ERR_OK)
			break;
	return true;
}
