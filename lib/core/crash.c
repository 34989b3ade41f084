#include "lib/core/crash.h"

#ifdef SQUEAL_CRASH_POINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern struct crash_point *const __start_squeal_crash[] __attribute__((weak));
extern struct crash_point *const __stop_squeal_crash[] __attribute__((weak));

void
crash_visit(struct crash_point *point)
{
	const char *at = getenv("SQUEAL_CRASH_AT");
	size_t n = strlen(point->name);
	unsigned visit = atomic_fetch_add(&point->seen, 1) + 1;
	unsigned wanted = 1;

	if (at == NULL || strncmp(at, point->name, n) != 0)
		return;
	if (at[n] == '#')
		wanted = (unsigned)strtoul(at + n + 1, NULL, 10);
	else if (at[n] != '\0')
		return;
	if (visit != wanted)
		return;
	dprintf(STDERR_FILENO, "crash point %s visit %u\n", point->name, visit);
	kill(getpid(), SIGKILL);
	pause();
}

void
crash_list(void)
{
	for (struct crash_point *const *p = __start_squeal_crash; p < __stop_squeal_crash; p++) {
		if (*p != NULL)
			puts((*p)->name);
	}
}

#else

void
crash_visit(struct crash_point *point)
{
	(void)point;
}

void
crash_list(void)
{
}

#endif
