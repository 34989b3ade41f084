/*
 * squealctl - asks the admin ports of squeal and its routers, and steers routers.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "lib/conf/topology.h"
#include "lib/core/clock.h"
#include "lib/core/flag.h"
#include "lib/core/option.h"

enum { MAX_COMMANDS = 32, MAX_ADMIN = 64 };

static const char help_begin[] =
    "squealctl asks squeal and its routers how they are, and steers routers, over their admin ports.\n"
    "\n"
    "  squealctl [-c squeal.yaml] [--cluster NAME] [--admin HOST:PORT]... [--json] COMMAND\n"
    "\n";

static const char help_end[] =
    "\n"
    "  -c FILE            squeal.yaml, which says where the admin ports are (squeal.yaml; then "
    "/etc/squeal/squeal.yaml)\n"
    "  --cluster NAME     only this cluster's router\n"
    "  --admin HOST:PORT  this port instead; several may be given, as for the instances of a cluster\n"
    "  -n ROWS            of trace and top (10)\n"
    "  --timeout MS       patience with each port (3000)\n"
    "  --json             print all that was answered\n"
    "\n"
    "Commands that change something must be given on the machine where the router runs.\n"
    "\n"
    "Exit codes: 0 ok; 1 a port did not answer, refused, or its program is not ready; 2 wrong usage; 78 "
    "wrong\n"
    "configuration.\n"
    "Manual: man squealctl\n";

struct arguments {
	const char *config;
	struct place_choice choice;
	const char *admin[MAX_ADMIN];
	bool json;
	uint64_t rows, timeout_ms;
	const struct command *command;
};

static int
usage(const char *what)
{
	fprintf(stderr, "squealctl: %s; squealctl --help shows how\n", what);
	return COMMAND_USAGE;
}

static int
print_help(void)
{
	fputs(help_begin, stdout);
	for (size_t i = 0; i < ncommands; i++)
		printf("  %-8s %-10s %s\n", commands[i].name, commands[i].words, commands[i].help);
	fputs(help_end, stdout);
	return COMMAND_OK;
}

static bool
take_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	return span_u64(span_of(text), out) && *out >= min && *out <= max;
}

/* The command and its words. */
static int
take_command(struct arguments *a, char **words, int n)
{
	if (n < 1)
		return usage("a command is needed");
	for (size_t i = 0; i < ncommands; i++) {
		if (strcmp(commands[i].name, words[0]) == 0)
			a->command = &commands[i];
	}
	if (a->command == NULL) {
		const char *names[MAX_COMMANDS], *near;

		size_t known = 0;

		for (; known < ncommands && known < MAX_COMMANDS; known++)
			names[known] = commands[known].name;
		near = option_nearest_word(names, known, span_of(words[0]));
		fprintf(stderr,
			"squealctl: there is no such command as \"%s\"%s%s%s; squealctl --help shows how\n",
			words[0], near != NULL ? "; did you mean " : "", near != NULL ? near : "",
			near != NULL ? "?" : "");
		return COMMAND_USAGE;
	}
	if ((size_t)n - 1 < a->command->min || (size_t)n - 1 > a->command->max) {
		fprintf(stderr, "squealctl: it is: squealctl %s%s%s\n", a->command->name,
			a->command->words[0] != '\0' ? " " : "", a->command->words);
		return COMMAND_USAGE;
	}
	return -1;
}

/* Returns -1 to go on, or the exit code. */
static int
parse(int argc, char **argv, struct arguments *a)
{
	enum { OPT_CLUSTER = 256, OPT_ADMIN, OPT_TIMEOUT, OPT_JSON };
	static const struct option longs[] = {
	    {"config", required_argument, NULL, 'c'},	   {"cluster", required_argument, NULL, OPT_CLUSTER},
	    {"admin", required_argument, NULL, OPT_ADMIN}, {"timeout", required_argument, NULL, OPT_TIMEOUT},
	    {"json", no_argument, NULL, OPT_JSON},	   {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},	   {NULL, 0, NULL, 0},
	};
	struct err_detail why = {0};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:n:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->config = optarg;
			break;
		case 'n':
			if (!take_number(optarg, 1, 100, &a->rows))
				return usage("-n takes a number from 1 to 100");
			break;
		case OPT_CLUSTER:
			a->choice.cluster = optarg;
			break;
		case OPT_ADMIN:
			if (a->choice.nadmin == MAX_ADMIN)
				return usage("--admin was given more than 64 times");
			a->admin[a->choice.nadmin++] = optarg;
			break;
		case OPT_TIMEOUT:
			if (!take_number(optarg, 1, 3600000, &a->timeout_ms))
				return usage("--timeout takes milliseconds, from 1 to 3600000");
			break;
		case OPT_JSON:
			a->json = true;
			break;
		case 'h':
			return print_help();
		case 'V':
			puts("squealctl " SQUEAL_VERSION);
			return COMMAND_OK;
		default:
			(void)flag_refused(argv, longs, c, &why);
			return usage(err_why(&why));
		}
	}
	return take_command(a, argv + optind, argc - optind);
}

static err_t
load(const struct arguments *a, struct topology **t, struct err_detail *why)
{
	err_t err;

	if (a->config != NULL)
		return topology_load(t, a->config, why);
	err = topology_load(t, "squeal.yaml", why);
	if (err == ERR_NOT_FOUND)
		err = topology_load(t, "/etc/squeal/squeal.yaml", why);
	return err;
}

int
main(int argc, char **argv)
{
	struct arguments a = {.rows = 10, .timeout_ms = 3000};
	struct buf out = BUF_INIT, err = BUF_INIT;
	struct command_context ctx = {0};
	struct err_detail why = {0};
	struct topology *t = NULL;
	struct places places = {0};
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	a.choice.admin = a.admin;
	a.choice.with_squeal = a.command->with_squeal;
	if ((a.choice.nadmin == 0 && load(&a, &t, &why) != ERR_OK) ||
	    places_find(&places, t, &a.choice, &why) != ERR_OK) {
		fprintf(stderr, "squealctl: %s\n", err_why(&why));
		code = COMMAND_CONFIG;
		goto done;
	}
	ctx.places = &places;
	ctx.clock = clock_system();
	ctx.words = (const char *const *)argv + optind + 1;
	ctx.nwords = (size_t)(argc - optind - 1);
	ctx.json = a.json;
	ctx.rows = a.rows;
	ctx.timeout_ms = a.timeout_ms;
	ctx.out = &out;
	ctx.err = &err;
	code = a.command->run(&ctx);
	fputs(buf_str(&out), stdout);
	fputs(buf_str(&err), stderr);
	if (fflush(stdout) != 0)
		code = COMMAND_BAD;
done:
	places_fini(&places);
	topology_destroy(&t);
	buf_fini(&out);
	buf_fini(&err);
	return code;
}
