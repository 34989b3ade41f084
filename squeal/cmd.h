/*
 * cmd - the commands of the program squeal: one function each, which returns the exit code.
 *
 * Threads: the main one.   Blocks: as long as the command takes.
 */
#ifndef SQUEAL_CMD_H
#define SQUEAL_CMD_H

#include <getopt.h>

/* Exit codes, for scripts and service managers. */
enum {
	CMD_OK = 0,
	CMD_FAILED = 1,	 /* something went wrong while running */
	CMD_USAGE = 2,	 /* wrong command line */
	CMD_NOTHING = 3, /* keys: nothing is in the range */
	CMD_CONFIG = 78, /* wrong configuration; restarting does not help (EX_CONFIG) */
};

/* argv[0] is the command's own name. */
int cmd_run(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_grant(int argc, char **argv);

/* What getopt_long() has just refused, with `c`; returns CMD_USAGE. */
int cmd_refused(char **argv, const struct option *longs, int c);

/* Prints "squeal: why" and where to find help; returns CMD_USAGE. */
int cmd_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
