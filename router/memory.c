#include "router/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/file.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/core/option.h"
#include "lib/core/sealed.h"

/*
 * The file, by lines; names have no line ends:
 *
 *     squeal-memory 1
 *     cluster front1
 *     mode cold warm		(what was said, what squeal.yaml said then)
 *     all paused
 *     but 10.0.0.1:11211	(it is paused; where all are: it is not)
 *     server 4711 1700000000 0 17 1700000100000000 360000 10.0.0.1:11211
 *				(pid, born, start, connections; last heard in microseconds since 1970 and in
 *				milliseconds of the machine's uptime, 0 0 where that is not known; the name)
 *     sum 0123456789abcdef	(of everything above)
 *
 * The file of memory_heard(), in one line: microseconds since 1970, milliseconds of uptime, sum.
 */
#define FIRST_LINE "squeal-memory 1"
#define HEARD_LINE "%020" PRIu64 " %020" PRIu64 " "

enum { FILE_MAX = 16 << 20, SUM_SEED = 0, BORN_JITTER_S = 2, SAME_CLOCK_MS = 1000 };

enum said { SAID_NOTHING, SAID_WARM, SAID_COLD };

struct known {
	char *name;
	struct server_past past;
};

struct memory {
	char *path; /* "" for none */
	char *cluster;
	const struct clock *clock;
	bool all;   /* are paused */
	char **but; /* those of which the opposite is true */
	size_t nbut;
	enum said said;
	bool configured; /* cold, when that was said */
	struct known *known;
	size_t nknown;
	bool own, stopped, changed;
	int heard_fd;	   /* of the file of memory_heard(); -1: there is none */
	int64_t heard_ms;  /* by all of them at the latest, before this start */
	bool lost;	   /* the trouble is the damaged file */
	char trouble[600]; /* "" for none */
};

/* --- when anybody was heard -------------------------------------------------------------------------------
 */

static void
heard_path(const struct memory *m, struct buf *out)
{
	buf_printf(out, "%s.heard", m->path);
}

void
memory_heard(struct memory *m)
{
	char line[80];
	int n;

	if (m->heard_fd < 0)
		return;
	n = snprintf(line, sizeof(line), HEARD_LINE, clock_real_us(m->clock), clock_mono_ms(m->clock));
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%016" PRIx64 "\n",
		      hash_span(span_make(line, (size_t)n), SUM_SEED));
	if (pwrite(m->heard_fd, line, (size_t)n, 0) == n)
		return;
	/* What it says is too early from now on. */
	if (ftruncate(m->heard_fd, 0) == 0) {
		close(m->heard_fd);
		m->heard_fd = -1;
	}
}

/* Now where it is not known, or where the machine, or its clock, is not the one of then. */
static int64_t
load_heard(const struct memory *m)
{
	uint64_t now_us = clock_real_us(m->clock), now_ms = clock_mono_ms(m->clock), us, ms, ago_us, ago_ms;
	struct buf path = BUF_INIT, text = BUF_INIT;
	struct err_detail why = {0};
	int64_t at = (int64_t)now_ms;
	char line[80], sum[32];
	struct span rest;

	heard_path(m, &path);
	if (m->path[0] == '\0' || file_read(buf_str(&path), sizeof(line), &text, &why) != ERR_OK)
		goto done;
	rest = buf_span(&text);
	if (!span_u64(span_cut(&rest, ' '), &us) || !span_u64(span_cut(&rest, ' '), &ms))
		goto done;
	snprintf(line, sizeof(line), HEARD_LINE, us, ms);
	snprintf(sum, sizeof(sum), "%016" PRIx64 "\n", hash_span(span_of(line), SUM_SEED));
	if (!span_is(rest, sum) || us > now_us || ms > now_ms)
		goto done;
	ago_us = now_us - us;
	ago_ms = now_ms - ms;
	if (ago_us / 1000 > ago_ms + SAME_CLOCK_MS || ago_ms > ago_us / 1000 + SAME_CLOCK_MS)
		goto done;
	at = (int64_t)ms;
done:
	buf_fini(&path);
	buf_fini(&text);
	return at;
}

/* --- servers by name --------------------------------------------------------------------------------------
 */

static bool
find_but(const struct memory *m, const char *server, size_t *i)
{
	for (*i = 0; *i < m->nbut; ++*i) {
		if (strcmp(m->but[*i], server) == 0)
			return true;
	}
	return false;
}

static void
set_but(struct memory *m, const char *server, bool is)
{
	size_t i;

	if (find_but(m, server, &i) == is)
		return;
	m->changed = true;
	if (is) {
		m->but = mem_realloc(m->but, (m->nbut + 1) * sizeof(m->but[0]));
		m->but[m->nbut++] = mem_strdup(server);
		return;
	}
	free(m->but[i]);
	m->but[i] = m->but[--m->nbut];
}

static void
clear_but(struct memory *m)
{
	while (m->nbut > 0)
		free(m->but[--m->nbut]);
}

static struct known *
find_known(const struct memory *m, const char *server)
{
	for (size_t i = 0; i < m->nknown; i++) {
		if (strcmp(m->known[i].name, server) == 0)
			return &m->known[i];
	}
	return NULL;
}

static struct known *
add_known(struct memory *m, const char *server)
{
	m->known = mem_realloc(m->known, (m->nknown + 1) * sizeof(m->known[0]));
	m->known[m->nknown] = (struct known){.name = mem_strdup(server)};
	return &m->known[m->nknown++];
}

static void
drop_known(struct memory *m, struct known *k)
{
	free(k->name);
	*k = m->known[--m->nknown];
}

/* Forgets everything that a file can say. */
static void
clear(struct memory *m)
{
	clear_but(m);
	while (m->nknown > 0)
		drop_known(m, &m->known[m->nknown - 1]);
	m->all = false;
	m->said = SAID_NOTHING;
}

/* --- the file ---------------------------------------------------------------------------------------------
 */

static void
put_known(const struct memory *m, const struct known *k, struct buf *text)
{
	const struct server_past *p = &k->past;
	uint64_t heard_us = 0, uptime_ms = 0;

	if (m->stopped) {
		int64_t ago_ms = (int64_t)clock_mono_ms(m->clock) - p->heard_ms;

		heard_us = clock_real_us(m->clock) - (uint64_t)(ago_ms > 0 ? ago_ms : 0) * 1000;
		uptime_ms = p->heard_ms > 0 ? (uint64_t)p->heard_ms : 0;
	}
	buf_printf(text,
		   "server %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
		   p->pid, p->born_s, p->started_us, p->connections, heard_us, uptime_ms, k->name);
}

err_t
memory_save(struct memory *m, struct err_detail *why)
{
	static const char *const modes[] = {"", "warm", "cold"};
	struct buf text = BUF_INIT;
	err_t err;

	if (!m->changed || !m->own || m->path[0] == '\0')
		return ERR_OK;
	buf_printf(&text, FIRST_LINE "\ncluster %s\n", m->cluster);
	if (m->said != SAID_NOTHING)
		buf_printf(&text, "mode %s %s\n", modes[m->said], m->configured ? "cold" : "warm");
	if (m->all)
		buf_put_str(&text, "all paused\n");
	for (size_t i = 0; i < m->nbut; i++)
		buf_printf(&text, "but %s\n", m->but[i]);
	for (size_t i = 0; i < m->nknown; i++)
		put_known(m, &m->known[i], &text);
	sealed_end(&text, 0);
	err = file_replace(m->path, buf_span(&text), why);
	m->changed = err != ERR_OK;
	if (err != ERR_OK && !m->lost)
		snprintf(m->trouble, sizeof(m->trouble),
			 "what a restart must not forget cannot be written, and is tried again: %s",
			 err_why(why));
	else if (!m->lost)
		m->trouble[0] = '\0';
	buf_fini(&text);
	return err;
}

err_t
memory_stop(struct memory *m, struct err_detail *why)
{
	m->stopped = m->changed = true;
	return memory_save(m, why);
}

void
memory_own(struct memory *m)
{
	struct buf path = BUF_INIT;

	/* When servers were heard is written at the end only. */
	m->own = m->changed = true;
	if (m->path[0] == '\0' || m->heard_fd >= 0)
		return;
	heard_path(m, &path);
	m->heard_fd = open(buf_str(&path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	/* What is not kept up says nothing. */
	if (m->heard_fd < 0)
		unlink(buf_str(&path));
	buf_fini(&path);
}

static err_t
damaged(const char *what, struct err_detail *why)
{
	return err_set(why, ERR_CORRUPT, "%s", what);
}

/* By our clock, and rather too late than too early: what began after it did not run before it. */
static int64_t
heard_ms(const struct memory *m, uint64_t heard_us, uint64_t uptime_ms)
{
	uint64_t now_us = clock_real_us(m->clock), now_ms = clock_mono_ms(m->clock);
	uint64_t ago_ms;

	if (heard_us == 0)
		return m->heard_ms;
	ago_ms = now_us > heard_us ? (now_us - heard_us) / 1000 : 0;

	if (uptime_ms != 0 && now_ms >= uptime_ms && now_ms - uptime_ms < ago_ms)
		ago_ms = now_ms - uptime_ms;
	return (int64_t)now_ms - (int64_t)ago_ms;
}

static err_t
load_server(struct memory *m, struct span rest, struct err_detail *why)
{
	uint64_t number[6];
	struct known *k;
	char *name;

	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
		if (!span_u64(span_cut(&rest, ' '), &number[i]))
			return damaged("a line that this program did not write", why);
	}
	name = span_dup(rest);
	k = add_known(m, name);
	free(name);
	k->past = (struct server_past){.pid = number[0],
				       .born_s = number[1],
				       .started_us = number[2],
				       .connections = number[3],
				       .heard_ms = heard_ms(m, number[4], number[5])};
	return ERR_OK;
}

static err_t
load_line(struct memory *m, struct span line, struct err_detail *why)
{
	struct span rest;

	if (sealed_line_is(line, "cluster", &rest)) {
		if (!span_is(rest, m->cluster))
			return err_set(
			    why, ERR_CONFIG,
			    "%s is the file of cluster \"%.*s\", not of \"%s\"; give each cluster cursors of "
			    "its own",
			    m->path, SPAN_FMT(span_first(rest, 64)), m->cluster);
	} else if (sealed_line_is(line, "mode", &rest)) {
		m->said = span_is(span_cut(&rest, ' '), "cold") ? SAID_COLD : SAID_WARM;
		m->configured = span_is(rest, "cold");
	} else if (span_is(line, "all paused")) {
		m->all = true;
	} else if (sealed_line_is(line, "but", &rest)) {
		char *name = span_dup(rest);

		set_but(m, name, true);
		free(name);
	} else if (sealed_line_is(line, "server", &rest)) {
		return load_server(m, rest, why);
	} else {
		return damaged("a line that is none of this file's", why);
	}
	return ERR_OK;
}

static err_t
load_text(struct memory *m, struct span text, struct err_detail *why)
{
	struct span rest, line;
	const char *wrong = sealed_lines(text, FIRST_LINE, &rest);
	err_t err = ERR_OK;

	if (wrong != NULL)
		return damaged(wrong, why);
	while (err == ERR_OK && option_line(&rest, &line))
		err = load_line(m, line, why);
	return err;
}

/* It goes on without what the file said, which is kept for whoever wants to look. */
static void
put_aside(struct memory *m, const struct err_detail *why)
{
	struct buf aside = BUF_INIT;

	clear(m);
	m->lost = true;
	buf_printf(&aside, "%s.damaged", m->path);
	if (rename(m->path, buf_str(&aside)) != 0)
		buf_clear(&aside);
	snprintf(m->trouble, sizeof(m->trouble),
		 "%s is damaged (%s)%s%s.  What squealctl said before this start is forgotten: pause again "
		 "what has to be paused, and set the mode (squealctl resume or mode ends this message).  A "
		 "server that was replaced while the router was down is not noticed: flush such a one",
		 m->path, err_why(why), aside.len > 0 ? " and was moved to " : "",
		 aside.len > 0 ? buf_str(&aside) : "");
	buf_fini(&aside);
}

err_t
memory_load(struct memory **out, const char *path, const char *cluster, const struct clock *clock,
	    struct err_detail *why)
{
	struct memory *m = MEM_NEW(struct memory);
	struct buf text = BUF_INIT;
	err_t err = ERR_OK;

	*out = NULL;
	m->path = mem_strdup(path);
	m->cluster = mem_strdup(cluster);
	m->clock = clock;
	m->heard_fd = -1;
	m->heard_ms = load_heard(m);
	if (path[0] != '\0' && (access(path, F_OK) == 0 || errno != ENOENT)) {
		err = file_read(path, FILE_MAX, &text, why);
		if (err == ERR_OK)
			err = load_text(m, buf_span(&text), why);
	}
	if (err == ERR_CORRUPT || err == ERR_TOO_LONG) {
		put_aside(m, why);
		err = ERR_OK;
	}
	if (err == ERR_OK) {
		*out = m;
		m = NULL;
	}
	memory_destroy(&m);
	buf_fini(&text);
	return err;
}

void
memory_destroy(struct memory **mp)
{
	struct memory *m = *mp;

	if (m == NULL)
		return;
	clear(m);
	if (m->heard_fd >= 0)
		close(m->heard_fd);
	free(m->but);
	free(m->known);
	free(m->path);
	free(m->cluster);
	free(m);
	*mp = NULL;
}

/* --- what squealctl said ----------------------------------------------------------------------------------
 */

/* Whoever speaks knows by now what was lost. */
static void
heard_squealctl(struct memory *m)
{
	m->lost = false;
	m->trouble[0] = '\0';
}

void
memory_pause(struct memory *m, const char *server, bool paused)
{
	heard_squealctl(m);
	if (server != NULL) {
		set_but(m, server, paused != m->all);
		return;
	}
	m->changed |= m->all != paused || m->nbut > 0;
	m->all = paused;
	clear_but(m);
}

bool
memory_is_paused(const struct memory *m, const char *server)
{
	size_t i;

	return m->all != find_but(m, server, &i);
}

bool
memory_has_pause(const struct memory *m)
{
	return m->all || m->nbut > 0;
}

void
memory_mode(struct memory *m, bool cold, bool configured)
{
	heard_squealctl(m);
	m->said = cold == configured ? SAID_NOTHING : cold ? SAID_COLD : SAID_WARM;
	m->configured = configured;
	m->changed = true;
}

bool
memory_is_cold(struct memory *m, bool configured)
{
	if (m->said != SAID_NOTHING && m->configured != configured) {
		m->said = SAID_NOTHING;
		m->changed = true;
	}
	return m->said == SAID_NOTHING ? configured : m->said == SAID_COLD;
}

/* --- servers ----------------------------------------------------------------------------------------------
 */

static bool
is_same(const struct server_past *a, const struct server_past *b)
{
	uint64_t apart = a->born_s > b->born_s ? a->born_s - b->born_s : b->born_s - a->born_s;

	return a->pid == b->pid && a->started_us == b->started_us && apart <= BORN_JITTER_S;
}

void
memory_learn(struct memory *m, const char *server, const struct server_past *past)
{
	struct known *k = find_known(m, server);

	if (past == NULL) {
		m->changed |= k != NULL;
		if (k != NULL)
			drop_known(m, k);
		return;
	}
	if (k != NULL && k->past.heard_ms > past->heard_ms)
		return;
	m->changed |= k == NULL || !is_same(&k->past, past) || past->connections < k->past.connections;
	if (k == NULL)
		k = add_known(m, server);
	k->past = *past;
}

bool
memory_past(const struct memory *m, const char *server, struct server_past *out)
{
	const struct known *k = find_known(m, server);

	if (k != NULL)
		*out = k->past;
	return k != NULL;
}

void
memory_keep(struct memory *m, bool (*is_server)(void *arg, const char *server), void *arg)
{
	for (size_t i = m->nbut; i > 0; i--) {
		if (!is_server(arg, m->but[i - 1]))
			set_but(m, m->but[i - 1], false);
	}
	for (size_t i = m->nknown; i > 0; i--) {
		if (is_server(arg, m->known[i - 1].name))
			continue;
		drop_known(m, &m->known[i - 1]);
		m->changed = true;
	}
}

/* --- looking ----------------------------------------------------------------------------------------------
 */

const char *
memory_file(const struct memory *m)
{
	return m->path[0] != '\0' ? m->path : NULL;
}

const char *
memory_trouble(const struct memory *m)
{
	return m->trouble;
}

static void
status_names(const struct memory *m, const char *name, bool shown, struct json *j)
{
	json_name(j, name);
	json_array(j);
	for (size_t i = 0; i < m->nbut && shown; i++)
		json_str(j, m->but[i]);
	json_array_end(j);
}

void
memory_status(const struct memory *m, struct json *j)
{
	json_name(j, "memory");
	json_object(j);
	json_kv_str(j, "file", memory_file(m));
	json_kv_str(j, "trouble", m->trouble);
	json_kv_bool(j, "all_paused", m->all);
	status_names(m, "paused", !m->all, j);
	status_names(m, "running", m->all, j);
	json_kv_u64(j, "processes", m->nknown);
	json_object_end(j);
}
