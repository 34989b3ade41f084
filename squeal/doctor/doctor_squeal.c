#include "squeal/doctor/doctor_rows.h"

#include <stdlib.h>

/* clang-format off */

JUDGE(password_readable, (strtoul(TEXT("our.password_mode"), NULL, 8) & 077) != 0)
JUDGE(no_password, !HAS("our.password_file") && ON("our.network"))
JUDGE(visibility_off, IS("our.visibility", "off"))
JUDGE(log_missing, IS("log.code", "ERR_NOT_FOUND"))
JUDGE(log_broken, HAS("log.error"))
JUDGE(log_unsafe, HAS("log.findings"))
JUDGE(cache_no_memcached, IS("cache.code", "ERR_PROTOCOL"))
JUDGE(cache_away, HAS("cache.error"))
JUDGE(cache_no_meta, OFF("cache.meta"))
JUDGE(command_failed, HAS("canary.command_error"))
JUDGE(stream_failed, HAS("canary.stream_error"))
JUDGE(arrived, IS("canary.result", "arrived"))
JUDGE(rolled_back, IS("canary.result", "rolled_back"))
JUDGE(in_the_middle, IS("canary.result", "in_the_middle"))
JUDGE(stripped, IS("canary.result", "stripped"))
JUDGE(stripped_by_cli, stripped(f) && OFF("path.comment") && ON("command.cli") && OFF("command.comments"))
JUDGE(stripped_on_the_way, stripped(f) && OFF("path.comment"))
JUDGE(stripped_at_server, stripped(f) && ON("path.comment"))
JUDGE(nothing, IS("canary.result", "nothing"))
JUDGE(nothing_other_server, nothing(f) && OFF("path.same_server"))
JUDGE(nothing_log_bin, nothing(f) && OFF("path.sql_log_bin"))
JUDGE(nothing_no_text, nothing(f) && NUM("canary.rows_without_text") > 0)
JUDGE(canary_left, HAS("canary.left"))
JUDGE(nothing_filter, nothing(f) && (HAS("binlog.do_db") || HAS("binlog.ignore_db")))

static const struct doctor_row rows[] = {
    /* squeal's side */
    ROW("password_file", CONFIG, BROKEN, "our.password_mode", password_readable,
	"{our.password_file} has mode {our.password_mode}",
	"Others on this machine can read the password of an account that sees every row, and squeal refuses the file.",
	SHELL, "chmod 600 {our.password_file}")
    ROW("password_file", CONFIG, NOTE, "our.password_file", no_password,
	"no source.password_file, and the database is across a network",
	"Whoever reaches the database as {our.user} reads every change of every table.", YAML,
	"source.password_file: /etc/squeal/password")
    FINE("password_file", CONFIG, "our.password_mode", "{our.password_file} is for its owner only")
    FINE("password_file", CONFIG, "our.password_file", "none configured; the database is on this machine")
    ROW("visibility", CONFIG, DANGER, "our.visibility", visibility_off, "source.visibility is off",
	"A delete can come before readers see its commit, and a reader in between fills the cache with the old value for good.",
	YAML, "source.visibility: gate")
    FINE("visibility", CONFIG, "our.visibility", "keys wait until their commit can be seen (gate)")
    ROW("log", CONFIG, NOTE, "log.error", log_missing, "{log.path} does not exist yet",
	"Nothing yet: squeal makes it at its first start, and what was committed before that start is not deleted.",
	SHELL, "squeal run -c {our.config}")
    ROW("log", CONFIG, BROKEN, "log.error", log_broken, "{log.error}",
	"squeal cannot go on without its log.", ADVICE, "{log.error.mend}")
    ROW("log", CONFIG, DANGER, "log.findings", log_unsafe, "{log.path}: {log.findings}",
	"Records can be lost that brokers have acknowledged, or are gone before every cache server has had them.", ADVICE,
	"{log.mends}")
    FINE("log", CONFIG, "log.error", "{log.path}, {log.text}")

    /* each memcached */
    ROW("cache", CACHE, BROKEN, "cache.error", cache_no_memcached, "{cache.error}",
	"Deletes that are sent there reach no cache.", YAML, "clusters: the right host and port of this server")
    ROW("cache", CACHE, DANGER, "cache.error", cache_away, "{cache.error}",
	"Its deletes wait in the log, and when they wait longer than log.retention the server is flushed.", ADVICE,
	"start it, or correct its address in cluster {cache.cluster}")
    ROW("cache", CACHE, NOTE, "cache.meta", cache_no_meta, "memcached {cache.version} does not know meta commands",
	"The router uses classic deletes, and clients cannot fill the cache so that a delete in between wins.", ADVICE,
	"upgrade memcached to 1.6 or later")
    FINE("cache", CACHE, "cache.error", "memcached {cache.version} answers md and mn, {cache.ms} ms")

    /* end to end */
    ROW("end_to_end", CANARY, BROKEN, "canary.command_error", command_failed, "{canary.command_error}",
	"The canary was not written, so nothing is known about the application's path.", ADVICE,
	"make the command run SQL from its standard input, in a database where it may create a table, or give --canary-sql")
    ROW("end_to_end", CANARY, BROKEN, "canary.stream_error", stream_failed, "{canary.stream_error}",
	"The binlog could not be followed, so nothing is known about the application's path.", ADVICE, "{canary.stream_error.mend}")
    ROW("end_to_end", CANARY, OK, "canary.result", arrived, "key {canary.key} arrived in the binlog {canary.ms} ms after the command began", "",
	NOWHERE, "")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", rolled_back, "the canary's transaction was rolled back",
	"Keys of a transaction that does not commit are not delivered.", ADVICE, "make the command commit")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", in_the_middle,
	"the comment arrived, but not at an end of the statement: {canary.seen}",
	"A comment inside of the statement is not read, because a string could pose as one, and its keys are lost.", YAML,
	"markers.anywhere: true")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_by_cli,
	"{command.name} strips comments: the server got {canary.seen}",
	"Every key that is written through this client is lost.", SHELL, "{command.name} --comments")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_on_the_way,
	"the comment is gone before the statement reaches the server{own.text}: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look at {command.name} and at every proxy between it and the server: turn off comment stripping and query rewriting")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped_at_server,
	"the comment reaches the server, but its binlog has the statement without it: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look for what rewrites statements inside of the server: a trigger, a procedure, an event, an audit or rewrite plugin")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", stripped,
	"the canary's transaction arrived without its comment{own.text}: {canary.seen}",
	"Every key that is written this way is lost.", ADVICE,
	"look at {command.name} and at every proxy between it and the server: turn off comment stripping and query rewriting")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_other_server,
	"nothing arrived: the command talks to another server ({path.server}), not to {our.address}",
	"squeal reads the binlog of a server that these writes do not go to.", YAML,
	"source.host and source.port of the server that the application writes to")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_log_bin,
	"nothing arrived: the command's session has sql_log_bin=0",
	"Nothing that such a session writes is in the binlog.", SQL, "SET SESSION sql_log_bin=1")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_no_text,
	"changed rows arrived without the text of their statement",
	"The session that writes has {text.variable}=OFF, and all of its keys are lost.", SQL,
	"{set} {text.variable}=ON")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing_filter,
	"nothing arrived, and the binlog has filters (do: {binlog.do_db}; ignore: {binlog.ignore_db})",
	"Writes in databases that are filtered out are lost.", SERVER_CNF, "# remove every binlog_do_db and binlog_ignore_db line")
    ROW("end_to_end", CANARY, BROKEN, "canary.result", nothing,
	"nothing of the canary arrived within {canary.timeout_ms} ms",
	"Writes of this command are not in the binlog that squeal reads.", ADVICE,
	"check that the command commits, writes to {our.address}, and has sql_log_bin=1")
    ROW("cleanup", CANARY, NOTE, "canary.left", canary_left, "table {canary.table}, if it was made, could not be removed: {canary.left}",
	"It is in nobody's way, but nobody needs it.", SQL, "DROP TABLE {canary.table}")
    FINE("cleanup", CANARY, "canary.left", "table {canary.table} was made for this and is gone again")
};
/* clang-format on */

const struct doctor_theme doctor_squeal = {rows, sizeof(rows) / sizeof(rows[0])};
