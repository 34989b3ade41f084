/*
 * crash - places where a test may kill the process.
 *
 * CRASH_POINT("name") is nothing in a normal build.  In a build with SQUEAL_CRASH_POINTS the process kills
 * itself with SIGKILL there when the environment says SQUEAL_CRASH_AT=name (or name#3: the third time it
 * comes by).  Every point of a program registers itself, so a test can list them and visit each one.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CORE_CRASH_H
#define SQUEAL_LIB_CORE_CRASH_H

#include <stdatomic.h>

struct crash_point {
	const char *name;
	_Atomic unsigned seen;
};

#ifdef SQUEAL_CRASH_POINTS
#define CRASH_POINT(point_name)                                                                              \
	do {                                                                                                 \
		static struct crash_point crash_here = {point_name, 0};                                      \
		static struct crash_point *const crash_ref __attribute__((used, section("squeal_crash"))) =  \
		    &crash_here;                                                                             \
		(void)crash_ref;                                                                             \
		crash_visit(&crash_here);                                                                    \
	} while (0)
#else
#define CRASH_POINT(point_name) ((void)0)
#endif

void crash_visit(struct crash_point *point);

/* Prints the names of this program's points, one a line; nothing in a normal build. */
void crash_list(void);

#endif
