#include "lib/broker/broker_sqlite.h"

#include "lib/broker/notes.h"
#include "lib/core/mem.h"

#define SCHEMA                                                                                               \
	"CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"                   \
	"CREATE TABLE records (offset INTEGER PRIMARY KEY, source TEXT NOT NULL, at_us INTEGER NOT NULL,"    \
	" sum INTEGER NOT NULL, bytes BLOB NOT NULL);"                                                       \
	"CREATE TABLE checkpoints (source TEXT PRIMARY KEY NOT NULL, text BLOB NOT NULL,"                    \
	" sum INTEGER NOT NULL) WITHOUT ROWID;" NOTES_SQL

const struct store_kind broker_store_kind = {
    .what = "log",
    .application_id = BROKER_APPLICATION_ID,
    .version = BROKER_TABLES_VERSION,
    .schema = SCHEMA,
    .when_corrupt =
	"stop squeal and move this file aside with its -wal and -shm: squeal makes a new log, "
	"routers flush their servers once, and source.start: gtid:POSITION resumes without a hole",
    .when_full = "free space on its file system; nothing is lost meanwhile, and it is tried again",
};

const struct store_kind broker_state_kind = {
    .what = "state file",
    .application_id = BROKER_STATE_APPLICATION_ID,
    .version = BROKER_TABLES_VERSION,
    .schema = SCHEMA,
    .when_corrupt =
	"stop squeal and move this file aside with its -wal and -shm: squeal makes a new one and takes the "
	"position from the last record of the topic",
    .when_full = "free space on its file system; nothing is lost meanwhile, and it is tried again",
};

char *
broker_wake_path(const char *path)
{
	struct buf b = BUF_INIT;
	char *s;

	buf_printf(&b, "%s.wake", path);
	s = span_dup(buf_span(&b));
	buf_fini(&b);
	return s;
}
