#include "replay/command/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/broker/lockfile.h"
#include "lib/core/buf.h"
#include "lib/core/hash.h"
#include "lib/core/mem.h"
#include "lib/core/span.h"

/* --- the folder -------------------------------------------------------------------------------------------
 */

static err_t
make_folder(const char *path, struct err_detail *why)
{
	char *copy = mem_strdup(path);
	err_t err = ERR_OK;

	for (char *slash = strchr(copy + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash != NULL)
			*slash = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
			err = err_set(
			    why, ERR_SYS,
			    "the folder for jobs %s cannot be made: %s; choose another one with --state",
			    copy, strerror(errno));
			break;
		}
		if (slash == NULL)
			break;
		*slash = '/';
	}
	free(copy);
	if (err == ERR_OK && access(path, W_OK | X_OK) != 0)
		err = err_set(why, ERR_SYS,
			      "nothing can be written to the folder for jobs %s: %s; choose another one with "
			      "--state, or be the user that it belongs to",
			      path, strerror(errno));
	return err;
}

err_t
folder_find(struct folder *f, const char *state, struct err_detail *why)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct buf path = BUF_INIT;

	if (state != NULL)
		buf_put_str(&path, state);
	else if (xdg != NULL && xdg[0] == '/')
		buf_printf(&path, "%s/squeal-replay", xdg);
	else if (home != NULL && home[0] == '/')
		buf_printf(&path, "%s/.local/state/squeal-replay", home);
	else
		return err_set(why, ERR_USAGE,
			       "there is no home folder to keep jobs in; choose a folder with --state");
	f->path = span_dup(buf_span(&path));
	buf_fini(&path);
	return make_folder(f->path, why);
}

static char *
path_of(const struct folder *f, const char *suffix)
{
	struct buf b = BUF_INIT;
	char *path;

	buf_printf(&b, "%s/%s.%s", f->path, f->id, suffix);
	path = span_dup(buf_span(&b));
	buf_fini(&b);
	return path;
}

/* --- one job ----------------------------------------------------------------------------------------------
 */

void
folder_name(struct folder *f, const struct clock *clock)
{
	time_t now = (time_t)(clock_real_us(clock) / 1000000);
	char day[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL)
		strftime(day, sizeof(day), "%Y%m%d-%H%M%S", &tm);
	snprintf(f->id, sizeof(f->id), "%s-%04x", day, (unsigned)(hash_seed() & 0xffff));
}

/* Appends the names of the jobs that are there, the latest ones. */
static void
list_jobs(const struct folder *f, struct buf *out)
{
	enum { SHOWN = 8 };
	struct dirent **entries;
	int n = scandir(f->path, &entries, NULL, alphasort);
	int shown = 0;

	for (int i = n - 1; i >= 0; i--) {
		size_t len = strlen(entries[i]->d_name);

		if (len > 4 && strcmp(entries[i]->d_name + len - 4, ".job") == 0 && shown++ < SHOWN)
			buf_printf(out, " %.*s", (int)len - 4, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

err_t
folder_choose(struct folder *f, const char *id, struct err_detail *why)
{
	struct buf jobs = BUF_INIT;
	err_t err = ERR_OK;
	char *path;

	if (strchr(id, '/') != NULL || snprintf(f->id, sizeof(f->id), "%s", id) >= (int)sizeof(f->id))
		return err_set(why, ERR_USAGE, "\"%.100s\" is no job", id);
	path = path_of(f, "job");
	if (access(path, F_OK) != 0) {
		list_jobs(f, &jobs);
		err = err_set(why, ERR_USAGE,
			      "there is no job %s in %s, where %s%.300s; --state says where jobs are", f->id,
			      f->path, jobs.len > 0 ? "there are:" : "there are none", buf_str(&jobs));
	}
	buf_fini(&jobs);
	free(path);
	return err;
}

err_t
folder_take(struct folder *f, struct err_detail *why)
{
	char *lock = path_of(f, "lock");
	err_t err;

	f->job_path = path_of(f, "job");
	f->list_path = path_of(f, "keys");
	err = lockfile_take(&f->lock, lock, "the job", why);
	free(lock);
	return err;
}

err_t
folder_copy_list(struct folder *f, FILE *from, struct err_detail *why)
{
	FILE *out = fopen(f->list_path, "w");
	char chunk[65536];
	bool bad = out == NULL;
	size_t n;

	while (!bad && (n = fread(chunk, 1, sizeof(chunk), from)) > 0)
		bad = fwrite(chunk, 1, n, out) != n;
	bad = bad || ferror(from) || fflush(out) != 0 || fsync(fileno(out)) != 0;
	if (out != NULL && fclose(out) != 0)
		bad = true;
	return bad ? err_set(why, ERR_IO, "standard input cannot be copied to %s: %s", f->list_path,
			     strerror(errno))
		   : ERR_OK;
}

void
folder_close(struct folder *f)
{
	lockfile_give_up(&f->lock);
	if (f->job_path != NULL && access(f->job_path, F_OK) != 0) {
		char *lock = path_of(f, "lock");

		unlink(lock);
		unlink(f->list_path);
		free(lock);
	}
	free(f->path);
	free(f->job_path);
	free(f->list_path);
	*f = FOLDER_INIT;
}
