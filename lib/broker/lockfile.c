#include "lib/broker/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static err_t
cannot_open(const char *path, const char *what, struct err_detail *why)
{
	switch (errno) {
	case EACCES:
	case EPERM:
	case EROFS:
		return err_set(
		    why, ERR_READ_ONLY,
		    "%s: cannot write %s: %s; give this user write permission on the file and on its folder",
		    what, path, strerror(errno));
	case ENOSPC:
	case EDQUOT:
		return err_set(why, ERR_FULL, "%s: cannot make %s: %s; free some space", what, path,
			       strerror(errno));
	case ENOENT:
		return err_set(why, ERR_SYS, "%s: the folder of %s does not exist; make it", what, path);
	default:
		return err_set(why, ERR_SYS, "%s: cannot open %s: %s", what, path, strerror(errno));
	}
}

/* The pid that the holder wrote; "another process" where it could not write one. */
static void
holder_of(int fd, char *out, size_t size)
{
	char pid[24];
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	if (pid[0] != '\0')
		snprintf(out, size, "process %s", pid);
	else
		snprintf(out, size, "another process");
}

err_t
lockfile_take(int *fd, const char *path, const char *what, struct err_detail *why)
{
	char holder[48], pid[24];
	bool noted;
	err_t err;
	int n;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (*fd < 0)
		return cannot_open(path, what, why);
	if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		holder_of(*fd, holder, sizeof(holder));
		err = errno == EWOULDBLOCK
			  ? err_set(why, ERR_IN_USE, "%s is in use by %s (%s); stop it first", what, holder,
				    path)
			  : err_set(why, ERR_SYS, "%s: cannot lock %s: %s", what, path, strerror(errno));
		lockfile_give_up(fd);
		return err;
	}
	/* Only for the message above; a disk too full for it must not keep us from working. */
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	noted = ftruncate(*fd, 0) == 0 && pwrite(*fd, pid, (size_t)n, 0) == n;
	(void)noted;
	return ERR_OK;
}

void
lockfile_give_up(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
