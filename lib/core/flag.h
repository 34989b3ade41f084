/*
 * flag - why a command line was refused, in one sentence.
 *
 * For programs that read it with getopt_long(), with opterr = 0 and a format that begins with ":" (behind
 * "+", if it has one), so that getopt_long() itself prints nothing.
 *
 * Threads: the one that calls getopt_long(), whose variables it reads.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_FLAG_H
#define SQUEAL_LIB_CORE_FLAG_H

#include <getopt.h>

#include "lib/core/err.h"

/*
 * getopt_long() has just returned `c`, '?' or ':'.  Returns ERR_USAGE, and in *why "there is no option
 * --confg; did you mean --config?", "--config needs a value" or "--json takes no value".
 */
err_t flag_refused(char **argv, const struct option *longs, int c, struct err_detail *why);

#endif
