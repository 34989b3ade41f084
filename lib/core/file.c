#include "lib/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

err_t
file_read(const char *path, size_t limit, struct buf *out, struct err_detail *why)
{
	size_t before = out->len;
	err_t err = ERR_OK;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = err_set(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYS, "cannot open %s: %s", path,
			      strerror(errno));
		goto done;
	}
	for (;;) {
		ssize_t n = read(fd, buf_room(out, 65536), 65536);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = err_set(why, ERR_IO, "cannot read %s: %s", path, strerror(errno));
			goto done;
		}
		if (n == 0)
			break;
		buf_added(out, (size_t)n);
		if (out->len - before > limit) {
			err = err_set(why, ERR_TOO_LONG, "%s is larger than %zu bytes", path, limit);
			goto done;
		}
	}
done:
	if (fd >= 0)
		close(fd);
	return err;
}

err_t
file_read_secret(const char *path, struct buf *out, struct err_detail *why)
{
	struct buf text = BUF_INIT;
	struct stat st;
	const char *end;
	err_t err;

	if (stat(path, &st) != 0) {
		err = err_set(why, ERR_CONFIG, "cannot read the password file %s: %s", path, strerror(errno));
		goto done;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0 && S_ISREG(st.st_mode)) {
		err = err_set(why, ERR_CONFIG,
			      "the password file %s can be read by others (mode %03o): run chmod 600 %s",
			      path, (unsigned)(st.st_mode & 0777), path);
		goto done;
	}
	err = file_read(path, 4096, &text, why);
	if (err != ERR_OK)
		goto done;
	end = text.len > 0 ? memchr(text.p, '\n', text.len) : NULL;
	if (end != NULL)
		text.len = (size_t)(end - text.p);
	if (text.len > 0 && text.p[text.len - 1] == '\r')
		text.len--;
	if (text.len == 0) {
		err = err_set(why, ERR_CONFIG,
			      "the password file %s has an empty first line: put the password there", path);
		goto done;
	}
	buf_put(out, text.p, text.len);
done:
	if (text.base != NULL)
		explicit_bzero(text.base, text.cap);
	buf_fini(&text);
	return err;
}

static err_t
sync_folder_of(const char *path, struct err_detail *why)
{
	char copy[PATH_MAX];
	err_t err = ERR_OK;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		err = err_set(why, ERR_IO, "cannot sync the folder of %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

err_t
file_replace(const char *path, struct span bytes, struct err_detail *why)
{
	char temp[PATH_MAX];
	err_t err = ERR_OK;
	size_t at = 0;
	int fd = -1;

	if (snprintf(temp, sizeof(temp), "%s.new", path) >= (int)sizeof(temp)) {
		err = err_set(why, ERR_CONFIG, "the path %s is too long", path);
		goto done;
	}
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		err = err_set(why, errno == ENOSPC ? ERR_FULL : ERR_SYS, "cannot create %s: %s", temp,
			      strerror(errno));
		goto done;
	}
	while (at < bytes.len) {
		ssize_t n = write(fd, bytes.p + at, bytes.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = err_set(why, errno == ENOSPC ? ERR_FULL : ERR_IO, "cannot write %s: %s", temp,
				      strerror(errno));
			goto done;
		}
		at += (size_t)n;
	}
	if (fsync(fd) != 0 || rename(temp, path) != 0) {
		err = err_set(why, ERR_IO, "cannot replace %s: %s", path, strerror(errno));
		goto done;
	}
	err = sync_folder_of(path, why);
done:
	if (fd >= 0)
		close(fd);
	return err;
}
