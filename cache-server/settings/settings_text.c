/* What people read, made from the rows: --help and the man page. */
#include <string.h>

#include "cache-server/settings/settings_row.h"
#include "lib/core/buf.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 100 };

static bool
is_flag(size_t id)
{
	return settings_rows[id].letter != 0 || settings_rows[id].name != NULL;
}

/* A default that says something: numbers, but neither "no" nor nothing. */
static bool
has_default(const struct settings_row *row)
{
	return row->def != NULL && row->def[0] != '\0' && strcmp(row->def, "no") != 0 &&
	       row->kind != SETTINGS_COUNT;
}

static const char *
unit_of(const struct settings_row *row)
{
	if (strcmp(row->def, "0") == 0)
		return "";
	return row->kind == SETTINGS_MEGS ? "m" : row->kind == SETTINGS_KILOS ? "k" : "";
}

/* --- --help ---------------------------------------------------------------------------------------- */

/* The text from HELP_COLUMN on, broken between words. */
static void
put_wrapped(struct buf *out, size_t column, struct span text)
{
	bool first = true;

	if (column >= HELP_COLUMN) {
		buf_putc(out, '\n');
		column = 0;
	}
	while (text.len > 0) {
		struct span word = span_cut(&text, ' ');

		if (!first && column + 1 + word.len > HELP_WIDTH) {
			buf_putc(out, '\n');
			column = 0;
			first = true;
		}
		if (first)
			buf_printf(out, "%*s", (int)(HELP_COLUMN - column), "");
		else
			buf_putc(out, ' ');
		column = (first ? HELP_COLUMN : column + 1) + word.len;
		buf_put_span(out, word);
		first = false;
	}
	buf_putc(out, '\n');
}

static void
put_help_row(struct buf *out, const struct settings_row *row)
{
	struct buf names = BUF_INIT, text = BUF_INIT;

	if (row->letter != 0 && row->name != NULL)
		buf_printf(&names, "-%c, --%s", row->letter, row->name);
	else if (row->letter != 0)
		buf_printf(&names, "-%c", row->letter);
	else if (row->name != NULL)
		buf_printf(&names, "    --%s", row->name);
	else
		buf_printf(&names, "   - %s", row->sub);
	if (row->arg != NULL)
		buf_printf(&names, row->name != NULL || row->sub != NULL ? "=<%s>" : " <%s>", row->arg);
	buf_put_str(&text, row->help);
	if (has_default(row))
		buf_printf(&text, " (default: %s%s)", row->def, unit_of(row));
	buf_put_span(out, buf_span(&names));
	put_wrapped(out, names.len, buf_span(&text));
	buf_fini(&names);
	buf_fini(&text);
}

/* "-f, -n, -o no_hashexpand": what is taken for memcached's sake. */
static void
put_engine_names(struct buf *out, bool flags, const char *before, const char *after)
{
	const char *comma = "";

	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		const struct settings_row *row = &settings_rows[i];
		bool yes = row->kind == SETTINGS_BOOL && strcmp(row->def, "yes") == 0;

		if (row->use != SETTINGS_ENGINE || is_flag(i) != flags)
			continue;
		if (flags)
			buf_printf(out, "%s%s-%c, --%s%s", comma, before, row->letter, row->name, after);
		else if (i == SETTINGS_ROW_drop_privileges)
			buf_printf(out, "%s%s%s%s, %sno_%s%s", comma, before, row->sub, after, before,
				   row->sub, after);
		else
			buf_printf(out, "%s%s%s%s%s", comma, before, yes ? "no_" : "", row->sub, after);
		comma = ", ";
	}
}

void
settings_help(struct buf *out)
{
	struct buf names = BUF_INIT;

	buf_put_str(out, "squeal-cache " SQUEAL_VERSION ", a drop-in memcached\n");
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (is_flag(i) && settings_rows[i].use == SETTINGS_ACTS && i != SETTINGS_ROW_extended)
			put_help_row(out, &settings_rows[i]);
	}
	put_help_row(out, &settings_rows[SETTINGS_ROW_extended]);
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (!is_flag(i) && settings_rows[i].use == SETTINGS_ACTS)
			put_help_row(out, &settings_rows[i]);
	}
	buf_put_str(
	    out,
	    "\nA long name without a letter may stand in -o too, with \"_\" for \"-\".\n"
	    "Taken, named in a notice and without effect, because memcached's storage engine is not here:\n");
	put_engine_names(&names, true, "", "");
	put_wrapped(out, 0, buf_span(&names));
	buf_clear(&names);
	buf_put_str(&names, "-o ");
	put_engine_names(&names, false, "", "");
	put_wrapped(out, 0, buf_span(&names));
	buf_fini(&names);
}

/* --- man page -------------------------------------------------------------------------------------- */

/* Text for roff: "\", "-" and a leading "." or "'" mean themselves. */
static void
put_roff(struct buf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		buf_put_str(out, "\\&");
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			buf_put_str(out, "\\e");
		else if (*text == '-')
			buf_put_str(out, "\\-");
		else
			buf_putc(out, *text);
	}
}

static void
put_man_row(struct buf *out, const struct settings_row *row)
{
	buf_put_str(out, ".TP\n\\fB");
	if (row->letter != 0)
		buf_printf(out, "\\-%c%s", row->letter, row->name != NULL ? "\\fR, \\fB" : "");
	if (row->name != NULL) {
		buf_put_str(out, "\\-\\-");
		put_roff(out, row->name);
	}
	if (row->name == NULL && row->letter == 0)
		put_roff(out, row->sub);
	buf_put_str(out, "\\fR");
	if (row->arg != NULL)
		buf_printf(out, "%s\\fI%s\\fR", row->name == NULL && row->sub == NULL ? " " : "=", row->arg);
	buf_putc(out, '\n');
	put_roff(out, row->help);
	if (has_default(row)) {
		buf_put_str(out, " (default: ");
		put_roff(out, row->def);
		buf_printf(out, "%s)", unit_of(row));
	}
	if (row->name != NULL && row->sub != NULL)
		buf_printf(out, ".\nAlso \\fB\\-o %s\\fR", row->sub);
	buf_put_str(out, ".\n");
}

static void
put_man_containers(struct buf *out)
{
	const struct option_section *s = container_section();

	for (size_t i = 0; i < s->nrows; i++) {
		const struct option_row *row = &s->rows[i];

		buf_printf(out, ".TP\n.B %s\n", row->name);
		put_roff(out, row->help);
		if (row->type == OPTION_CHOICE || row->def[0] != '\0') {
			buf_put_str(out, " (default: ");
			put_roff(out, row->def);
			buf_putc(out, ')');
		}
		buf_put_str(out, ".\n");
	}
}

static const char man_head[] =
    ".TH SQUEAL\\-CACHE 1 \"\" \"Squeal\" \"User commands\"\n"
    ".SH NAME\n"
    "squeal\\-cache \\- a drop\\-in memcached that makes invalidation safe\n"
    ".SH SYNOPSIS\n"
    ".B squeal\\-cache\n"
    ".RI [ option ...]\n"
    ".SH DESCRIPTION\n"
    ".B squeal\\-cache\n"
    "keeps values under keys in memory and serves them over memcached's protocols.\n"
    "It takes the command line of memcached 1.6.45; what is new has long names.\n"
    "Flags of memcached that are about its storage engine are taken, named in a notice and have no effect;\n"
    "flags that neither has are errors.\n"
    ".PP\n"
    "Without\n"
    ".B \\-l\n"
    "it listens on 127.0.0.1 and ::1.\n"
    "An address that other machines can reach is refused unless clients must show who they are (\n"
    ".BR \\-Z ,\n"
    ".BR \\-Y )\n"
    "or\n"
    ".B \\-\\-allow\\-wildcard\n"
    "is there.\n"
    "UDP has neither TLS nor passwords.\n"
    "A host name other than localhost is not known to be local; write its address.\n"
    ".PP\n"
    "A unique beginning of a long name is enough.\n"
    "Sizes may be written 64k, 10m or 1g, times 30s, 10m, 2h or 1d.\n"
    ".SH OPTIONS\n";

static const char man_containers[] =
    ".SH CONTAINERS\n"
    "One process can have several stores, each with its own ports, memory and policy; the worker threads are "
    "shared.\n"
    "memcached's flags make one that is named default.\n"
    ".B \\-\\-container\n"
    "adds one, as in\n"
    ".PP\n"
    ".RS\n"
    "squeal\\-cache \\-m 1024 \\-\\-container name=markers,port=11213,memory=64MiB,policy=marker\n"
    ".RE\n"
    ".PP\n"
    "(inside\n"
    ".B listen\n"
    "addresses are separated by \\(dq;\\(dq), and\n"
    ".B \\-\\-config\n"
    "names a YAML file with all of them, a list\n"
    ".BR containers :\n"
    "whose entries have the same settings; unknown ones are errors with line, column and a suggestion.\n"
    "Relative paths in it begin at its folder.\n"
    ".B \\-l\n"
    "without ports counts for every container that has no\n"
    ".BR listen ;\n"
    "ports in it are meant for the container default.\n"
    "With\n"
    ".B \\-p 0\n"
    "and at least one\n"
    ".B \\-\\-container\n"
    "there is no container default.\n";

static const char man_tail[] =
    ".SH AUTHENTICATION\n"
    "The file of\n"
    ".B \\-Y\n"
    "has at most 8 lines user:password of at most 256 bytes.\n"
    "A client authenticates with\n"
    ".B set\n"
    "of any key with the value \\(dquser password\\(dq; before that every other command is refused.\n"
    "A password can be kept as a salted SHA\\-256, user:$sha256$SALT$HEX, where HEX is made by\n"
    ".PP\n"
    ".RS\n"
    "printf '%s%s' \\(dq$salt\\(dq \\(dq$password\\(dq | sha256sum\n"
    ".RE\n"
    ".PP\n"
    "The hash is a fast one: take long random passwords.\n"
    "SIGHUP reads the file again; with a mistake in it the old entries stay.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n"
    ".B MEMCACHED_PORT_FILENAME\n"
    "A file to which the ports are written, as memcached does it.\n"
    ".SH SEE ALSO\n"
    ".BR squeal (8),\n"
    ".BR squeal\\-router (8)\n";

void
settings_man(struct buf *out)
{
	buf_put_str(out, man_head);
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (is_flag(i) && settings_rows[i].use == SETTINGS_ACTS)
			put_man_row(out, &settings_rows[i]);
	}
	buf_put_str(out, ".SS Options in \\-o\n"
			 "An option that is on or off is turned off with no_ before its name.\n");
	for (size_t i = 0; i < SETTINGS_NROWS; i++) {
		if (!is_flag(i) && settings_rows[i].use == SETTINGS_ACTS)
			put_man_row(out, &settings_rows[i]);
	}
	buf_put_str(out, ".SS Options without effect\nTaken for memcached's sake: ");
	put_engine_names(out, true, "\\fB", "\\fR");
	buf_put_str(out, ";\nin \\-o ");
	put_engine_names(out, false, "\\fB", "\\fR");
	buf_put_str(out, ", and those that begin with ext_.\n");
	buf_put_str(out, man_containers);
	put_man_containers(out);
	buf_put_str(out, man_tail);
}
