/*
 * squeal-cache-settings - what squeal-cache would say about a command line, without a server.
 *
 *     squeal-cache-settings --help | --man | --config-sample | --config-schema | --metrics
 *     squeal-cache-settings -m 1024 --container name=markers,port=11213,policy=marker
 *
 * Prints the text, or the containers that would be served, or says what is wrong and leaves with 64.  `make
 * docs` asks it for the man page, the schema and the table of metrics.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cache-server/report/report.h"
#include "cache-server/settings/settings.h"

static void
put_listeners(const struct listen_list *l, const char *what, struct buf *out)
{
	for (size_t i = 0; i < l->n; i++) {
		buf_printf(out, " %s ", what);
		listen_print(&l->at[i], out);
	}
}

static void
put_container(const struct container_settings *c, struct buf *out)
{
	buf_printf(out, "%s: %s, memory %llu", c->opt.name, c->opt.policy, (unsigned long long)c->opt.memory);
	put_listeners(&c->tcp, "tcp", out);
	put_listeners(&c->udp, "udp", out);
	if (c->opt.socket[0] != '\0')
		buf_printf(out, " socket %s", c->opt.socket);
	buf_putc(out, '\n');
}

int
main(int argc, char **argv)
{
	struct err_detail why = {0};
	struct buf text = BUF_INIT, shown = BUF_INIT;
	struct settings s;
	int rc = EX_OK;

	if (argc == 2 && strcmp(argv[1], "--metrics") == 0) {
		report_markdown(&text);
		fwrite(text.p, 1, text.len, stdout);
		buf_fini(&text);
		return EX_OK;
	}
	if (settings_parse(&s, argc, argv, &text, &why) != ERR_OK) {
		fprintf(stderr, "squeal-cache: %s\n", err_why(&why));
		rc = EX_USAGE;
		goto done;
	}
	if (s.action == SETTINGS_RUN) {
		fputs(buf_str(&text), stderr);
		for (size_t i = 0; i < s.containers.n; i++)
			put_container(&s.containers.at[i], &shown);
	} else {
		buf_put_span(&shown, buf_span(&text));
	}
	fputs(buf_str(&shown), stdout);
	settings_fini(&s);
done:
	buf_fini(&text);
	buf_fini(&shown);
	return rc;
}
