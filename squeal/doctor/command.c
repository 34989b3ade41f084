#include "squeal/doctor/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MAX = 64 * 1024, COMPLAINT_MAX = 300, NOT_STARTED = 127 };

static int
memory_file(struct span content)
{
	int fd = memfd_create("squeal", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (content.len > 0 && (pwrite(fd, content.p, content.len, 0) != (ssize_t)content.len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
become(char *const *argv, int in, int out, int err)
{
	/* A group of its own, so that what it starts can be killed with it. */
	setpgid(0, 0);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(NOT_STARTED);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s", argv[0], strerror(errno));
	_exit(NOT_STARTED);
}

err_t
command_start(struct command *c, char *const *argv, struct span input, struct err_detail *why)
{
	int in = memory_file(input);
	err_t err = ERR_OK;

	*c = COMMAND_INIT;
	c->out = memory_file((struct span){"", 0});
	c->err = memory_file((struct span){"", 0});
	if (in < 0 || c->out < 0 || c->err < 0) {
		err = err_set(why, ERR_SYS, "no memory file for %s: %s", argv[0], strerror(errno));
		goto done;
	}
	c->pid = fork();
	if (c->pid == 0)
		become(argv, in, c->out, c->err);
	if (c->pid < 0) {
		c->pid = 0;
		err = err_set(why, ERR_SYS, "%s cannot be started: %s", argv[0], strerror(errno));
	}
done:
	if (in >= 0)
		close(in);
	return err;
}

bool
command_ended(struct command *c)
{
	if (c->pid != 0 && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
		c->pid = 0;
	return c->pid == 0;
}

static void
kill_it(struct command *c)
{
	if (c->pid == 0)
		return;
	if (kill(-c->pid, SIGKILL) != 0)
		kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
}

void
command_wait(struct command *c, const struct clock *clock, uint64_t until_ms)
{
	const struct timespec step = {0, 5 * 1000000};

	while (!command_ended(c) && clock_mono_ms(clock) < until_ms)
		nanosleep(&step, NULL);
	kill_it(c);
}

static void
read_file(int fd, size_t max, struct buf *out)
{
	ssize_t n = fd >= 0 ? pread(fd, buf_room(out, max), max, 0) : 0;

	if (n > 0)
		buf_added(out, (size_t)n);
}

void
command_complaint(struct command *c, struct buf *out)
{
	struct buf said = BUF_INIT;
	struct span text;

	if (WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0)
		return;
	read_file(c->err, OUTPUT_MAX, &said);
	text = span_trim(buf_span(&said));
	if (text.len > COMPLAINT_MAX)
		text = span_from(text, text.len - COMPLAINT_MAX);
	if (WIFSIGNALED(c->status))
		buf_printf(out, "the command was ended by signal %d", WTERMSIG(c->status));
	else
		buf_printf(out, "the command ended with status %d", WEXITSTATUS(c->status));
	if (text.len > 0)
		buf_printf(out, ": %.*s", SPAN_FMT(text));
	buf_fini(&said);
}

void
command_output(struct command *c, struct buf *out)
{
	read_file(c->out, OUTPUT_MAX, out);
}

void
command_fini(struct command *c)
{
	kill_it(c);
	if (c->out >= 0)
		close(c->out);
	if (c->err >= 0)
		close(c->err);
	c->out = c->err = -1;
}
