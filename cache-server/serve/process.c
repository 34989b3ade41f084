#include "cache-server/serve/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OTHER_DESCRIPTORS = 64 /* beside those of clients and workers: files, listeners, the admin port */ };

/* To tell the parent; one process is one daemon. */
static int ready_fd = -1;

err_t
process_limits(const struct settings *s, struct err_detail *why)
{
	rlim_t need = s->maxconns + 2 * s->threads + OTHER_DESCRIPTORS;
	struct rlimit r;

	if (s->coredumps) {
		if (getrlimit(RLIMIT_CORE, &r) == 0) {
			struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

			if (setrlimit(RLIMIT_CORE, &all) < 0) {
				r.rlim_cur = r.rlim_max;
				(void)setrlimit(RLIMIT_CORE, &r);
			}
		}
		if (getrlimit(RLIMIT_CORE, &r) < 0 || r.rlim_cur == 0)
			return err_set(why, ERR_SYS, "failed to ensure corefile creation");
	}
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return err_set(why, ERR_SYS, "failed to getrlimit number of files");
	if (r.rlim_cur >= need)
		return ERR_OK;
	r.rlim_cur = need;
	if (r.rlim_max < need)
		r.rlim_max = need;
	if (setrlimit(RLIMIT_NOFILE, &r) == 0)
		return ERR_OK;
	/* Not root: what is allowed may do for -c itself. */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max > s->maxconns) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) == 0)
			return ERR_OK;
	}
	return err_set(why, ERR_SYS,
		       "failed to set rlimit for open files. Try starting as root or requesting smaller "
		       "maxconns value.");
}

err_t
process_become(const struct settings *s, struct err_detail *why)
{
	const struct passwd *pw;

	if (getuid() != 0 && geteuid() != 0)
		return ERR_OK;
	pw = getpwnam(s->user);
	if (pw == NULL)
		return err_set(why, ERR_NOT_FOUND, "can't find the user %s to switch to", s->user);
	/* EPERM: in a user namespace that may not. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_set(why, ERR_SYS, "failed to drop supplementary groups: %s", strerror(errno));
	if (setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		return err_set(why, ERR_SYS, "failed to assume identity of user %s: %s", s->user,
			       strerror(errno));
	return ERR_OK;
}

err_t
process_daemonize(struct err_detail *why)
{
	int fds[2], status;
	pid_t child;
	char byte;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(why, ERR_SYS, "failed to daemon() in order to daemonize: %s", strerror(errno));
	child = fork();
	if (child < 0) {
		close(fds[0]);
		close(fds[1]);
		return err_set(why, ERR_SYS, "failed to daemon() in order to daemonize: %s", strerror(errno));
	}
	if (child == 0) {
		close(fds[0]);
		ready_fd = fds[1];
		(void)setsid();
		return ERR_OK;
	}
	close(fds[1]);
	while ((n = read(fds[0], &byte, 1)) < 0 && errno == EINTR)
		;
	if (n == 1)
		_exit(EXIT_SUCCESS);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

void
process_ready(const struct settings *s)
{
	if (ready_fd < 0)
		return;
	if (!s->coredumps && chdir("/") < 0)
		perror("chdir");
	if (s->verbose == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0) {
			(void)dup2(null, STDIN_FILENO);
			(void)dup2(null, STDOUT_FILENO);
			(void)dup2(null, STDERR_FILENO);
			close(null);
		}
	}
	if (write(ready_fd, "", 1) < 0)
		perror("daemonize");
	close(ready_fd);
	ready_fd = -1;
}

bool
process_lock_memory(void)
{
	return mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
}

void
process_write_pid(const char *path)
{
	char text[32], beside[4096];
	FILE *f;

	f = fopen(path, "re");
	if (f) {
		long other = fgets(text, sizeof text, f) ? strtol(text, NULL, 10) : 0;

		if (other > 0 && kill((pid_t)other, 0) == 0 && other != getpid())
			fprintf(stderr, "WARNING: The pid file contained the following (running) pid: %ld\n",
				other);
		fclose(f);
	}
	if (snprintf(beside, sizeof beside, "%s.tmp", path) >= (int)sizeof beside)
		return;
	f = fopen(beside, "we");
	if (f == NULL) {
		fprintf(stderr, "Could not open the pid file %s for writing: %s\n", beside, strerror(errno));
		return;
	}
	fprintf(f, "%ld\n", (long)getpid());
	if (fclose(f) != 0)
		fprintf(stderr, "Could not close the pid file %s: %s\n", beside, strerror(errno));
	else if (rename(beside, path) != 0)
		fprintf(stderr, "Could not rename the pid file from %s to %s: %s\n", beside, path,
			strerror(errno));
}

void
process_remove_pid(const char *path)
{
	if (unlink(path) != 0)
		fprintf(stderr, "Could not remove the pid file %s: %s\n", path, strerror(errno));
}
