#include "squeal/doctor/doctor_rows.h"

/* clang-format off */

JUDGE(binlog_off, OFF("log_bin"))
JUDGE(rules_without_rows, HAS("our.rules") && !IS("binlog_format", "ROW"))
JUDGE(format_statement, IS("binlog_format", "STATEMENT"))
JUDGE(annotate_off, OFF("binlog_annotate_row_events") && !ON("our.rules_only"))
JUDGE(annotate_off_rows, annotate_off(f) && !IS("binlog_format", "STATEMENT"))
JUDGE(annotate_anybody, MARIADB && NUM("server.number") < 100502)
JUDGE(rows_query_off, OFF("binlog_rows_query_log_events") && !ON("our.rules_only"))
JUDGE(rows_query_off_rows, rows_query_off(f) && !IS("binlog_format", "STATEMENT"))
JUDGE(rows_query_anybody, MYSQL && NUM("server.number") < 80000)
JUDGE(rules_without_image, HAS("our.rules") && !IS("binlog_row_image", "FULL"))
JUDGE(image_not_full, !IS("binlog_row_image", "FULL"))
JUDGE(rules_without_names, HAS("our.rules") && !IS("binlog_row_metadata", "FULL"))
JUDGE(metadata_not_full, !IS("binlog_row_metadata", "FULL"))
JUDGE(partial_json_rules, HAS("our.rules") && CONTAINS("binlog_row_value_options", "PARTIAL_JSON"))
JUDGE(partial_json, CONTAINS("binlog_row_value_options", "PARTIAL_JSON"))
JUDGE(sync_not_1, NUM("sync_binlog") != 1)
JUDGE(flush_not_durable, NUM("innodb_flush_log_at_trx_commit") != 1 && NUM("innodb_flush_log_at_trx_commit") != 3)
JUDGE(errors_ignored, IS("binlog_error_action", "IGNORE_ERROR"))
JUDGE(commits_unordered, OFF("binlog_order_commits"))
JUDGE(commits_unordered_unseen, commits_unordered(f) && (IS("our.visibility", "off") || !IS("gtid_mode", "ON")))
JUDGE(checksum_none, IS("binlog_checksum", "NONE"))
JUDGE(filter_do, HAS("binlog.do_db"))
JUDGE(filter_ignore, HAS("binlog.ignore_db"))
JUDGE(encrypted, ON("encrypt_binlog"))
JUDGE(encrypted_mysql, ON("binlog_encryption"))
JUDGE(compressed, ON("log_bin_compress"))
JUDGE(compressed_mysql, ON("binlog_transaction_compression"))
JUDGE(lost_at_restart, HAS("lost.names"))
JUDGE(expiry_close, NUM("expiry.s") > 0 && NUM("resume.age_s") * 2 > NUM("expiry.s"))
JUDGE(expiry_short, NUM("expiry.s") > 0 && NUM("expiry.s") < 86400)
JUDGE(reach_short, OFF("reach.whole") && NUM("reach.s") < 86400 && !expiry_short(f))
JUDGE(expiry_never, NUM("expiry.s") == 0)
JUDGE(total_size_bound, NUM("max_binlog_total_size") > 0)
JUDGE(resume_purged, HAS("resume.missing"))
JUDGE(resume_unknown, HAS("resume.unknown"))
JUDGE(resume_gap, IS("resume.code", "ERR_GAP") || IS("resume.code", "ERR_PURGED") || IS("resume.code", "ERR_BEHIND") || IS("resume.code", "ERR_OTHER_SERVER"))
JUDGE(resume_refused, IS("resume.code", "ERR_PRIVILEGE"))
JUDGE(resume_slow, IS("resume.code", "ERR_TIMEOUT"))
JUDGE(resume_failed, !IS("resume.code", "ERR_OK"))

static const struct doctor_row rows[] = {
    /* what is in the binlog */
    ROW("log_bin", SERVER, BROKEN, "log_bin", binlog_off, "log_bin is OFF",
	"The server writes no binlog, so there is nothing to read.", SERVER_CNF, "log_bin=binlog")
    FINE("log_bin", SERVER, "log_bin", "on; files: {binlog.files}, {binlog.bytes} bytes in all")
    ROW("binlog_format", SERVER, BROKEN, "binlog_format", rules_without_rows,
	"markers.rules is set, and binlog_format is {binlog_format}",
	"Rules make keys of changed rows, statements have none, and squeal refuses to read such a binlog.", SQL,
	"{set} binlog_format=ROW")
    ROW("binlog_format", SERVER, NOTE, "binlog_format", format_statement, "binlog_format is STATEMENT",
	"LOAD DATA is written to the binlog anew, without its comment, and its keys are lost.", SQL,
	"{set} binlog_format={format.better}")
    FINE("binlog_format", SERVER, "binlog_format", "{binlog_format}")
    ROW("annotate", SERVER, BROKEN, "binlog_annotate_row_events", annotate_off_rows,
	"binlog_annotate_row_events is OFF and binlog_format is {binlog_format}",
	"Changed rows are in the binlog without the text of their statement, and with it the keys; squeal refuses to read it.",
	SQL, "{set} binlog_annotate_row_events=ON")
    ROW("annotate", SERVER, DANGER, "binlog_annotate_row_events", annotate_off,
	"binlog_annotate_row_events is OFF; it does not matter while binlog_format is STATEMENT",
	"A session that changes its binlog_format writes rows without the text that holds the keys.", SQL,
	"{set} binlog_annotate_row_events=ON")
    ROW("annotate", SERVER, NOTE, "binlog_annotate_row_events", annotate_anybody,
	"binlog_annotate_row_events is ON, and before MariaDB 10.5 every session may switch it off for itself",
	"The keys of such a session are lost; squeal_binlog_rows_no_text_total counts it.", ADVICE,
	"watch squeal_binlog_rows_no_text_total, and upgrade to MariaDB 10.5 or later")
    FINE("annotate", SERVER, "binlog_annotate_row_events",
	 "ON; sessions with BINLOG ADMIN can switch it off for themselves (squeal_binlog_rows_no_text_total counts that)")
    ROW("rows_query", SERVER, BROKEN, "binlog_rows_query_log_events", rows_query_off_rows,
	"binlog_rows_query_log_events is OFF and binlog_format is {binlog_format}",
	"Changed rows are in the binlog without the text of their statement, and with it the keys; squeal refuses to read it.",
	SQL,
	"{set} binlog_rows_query_log_events=ON")
    ROW("rows_query", SERVER, DANGER, "binlog_rows_query_log_events", rows_query_off,
	"binlog_rows_query_log_events is OFF; it does not matter while binlog_format is STATEMENT",
	"A session that changes its binlog_format writes rows without the text that holds the keys.", SQL,
	"{set} binlog_rows_query_log_events=ON")
    ROW("rows_query", SERVER, NOTE, "binlog_rows_query_log_events", rows_query_anybody,
	"binlog_rows_query_log_events is ON, and before MySQL 8.0 every session may switch it off for itself",
	"The keys of such a session are lost; squeal_binlog_rows_no_text_total counts it.", ADVICE,
	"watch squeal_binlog_rows_no_text_total, and upgrade to MySQL 8.0 or later")
    FINE("rows_query", SERVER, "binlog_rows_query_log_events",
	 "ON; sessions with SESSION_VARIABLES_ADMIN can switch it off for themselves (squeal_binlog_rows_no_text_total counts that)")
    ROW("row_image", SERVER, DANGER, "binlog_row_image", rules_without_image,
	"markers.rules is set, and binlog_row_image is {binlog_row_image}",
	"A key whose column is not in the image cannot be made, and is lost.", SQL, "{set} binlog_row_image=FULL")
    ROW("row_image", SERVER, NOTE, "binlog_row_image", image_not_full, "binlog_row_image is {binlog_row_image}",
	"Keys in comments do not need it, but rules that make keys of columns see only the columns that are in the image.", SQL,
	"{set} binlog_row_image=FULL")
    FINE("row_image", SERVER, "binlog_row_image", "{binlog_row_image}")
    ROW("row_metadata", SERVER, BROKEN, "binlog_row_metadata", rules_without_names,
	"markers.rules is set, and binlog_row_metadata is {binlog_row_metadata}",
	"Rules name columns, the binlog has no names, and squeal refuses to read it.", SQL, "{set} binlog_row_metadata=FULL")
    ROW("row_metadata", SERVER, NOTE, "binlog_row_metadata", metadata_not_full,
	"binlog_row_metadata is {binlog_row_metadata}",
	"Keys in comments do not need it, but rules that name columns find no names in the binlog.", SQL,
	"{set} binlog_row_metadata=FULL")
    FINE("row_metadata", SERVER, "binlog_row_metadata", "{binlog_row_metadata}")
    ROW("row_values", SERVER, DANGER, "binlog_row_value_options", partial_json_rules,
	"markers.rules is set, and binlog_row_value_options is {binlog_row_value_options}",
	"An update has only the changed parts of a JSON column, so a rule cannot make a key of it.", SQL,
	"{set} binlog_row_value_options=''")
    ROW("row_values", SERVER, OK, "binlog_row_value_options", partial_json,
	"{binlog_row_value_options}; keys in comments do not need whole JSON columns", "", NOWHERE, "")
    FINE("row_values", SERVER, "binlog_row_value_options", "JSON columns are whole")
    ROW("sync_binlog", SERVER, DANGER, "sync_binlog", sync_not_1, "sync_binlog is {sync_binlog}",
	"When the operating system crashes, the binlog loses its end while InnoDB keeps the rows, and those invalidations never exist.",
	SQL, "{set} sync_binlog=1")
    FINE("sync_binlog", SERVER, "sync_binlog", "{sync_binlog}")
    ROW("flush_log", SERVER, DANGER, "innodb_flush_log_at_trx_commit", flush_not_durable,
	"innodb_flush_log_at_trx_commit is {innodb_flush_log_at_trx_commit}",
	"When the operating system crashes, InnoDB goes back behind commits whose values caches already hold, and nothing deletes those.",
	SQL, "{set} innodb_flush_log_at_trx_commit=1")
    FINE("flush_log", SERVER, "innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit is {innodb_flush_log_at_trx_commit}")
    ROW("error_action", SERVER, DANGER, "binlog_error_action", errors_ignored, "binlog_error_action is IGNORE_ERROR",
	"When the binlog cannot be written, as on a full disk, the server goes on without one, and those invalidations never exist.",
	SQL, "{set} binlog_error_action=ABORT_SERVER")
    FINE("error_action", SERVER, "binlog_error_action", "{binlog_error_action}")
    ROW("order_commits", SERVER, DANGER, "binlog_order_commits", commits_unordered_unseen,
	"binlog_order_commits is OFF, and commits are not waited for by their GTIDs",
	"Commits become visible in another order than they are in the binlog, so a delete can come before readers see its commit.",
	SQL, "{set} binlog_order_commits=ON")
    ROW("order_commits", SERVER, NOTE, "binlog_order_commits", commits_unordered,
	"binlog_order_commits is OFF; squeal waits for each commit by its GTID",
	"A commit can become visible later than those behind it in the binlog, and their keys wait for it.", SQL,
	"{set} binlog_order_commits=ON")
    FINE("order_commits", SERVER, "binlog_order_commits", "commits become visible in the binlog's order")
    ROW("checksum", SERVER, NOTE, "binlog_checksum", checksum_none, "binlog_checksum is NONE",
	"An event that is damaged on disk or on the way can be taken for a good one.", SQL, "{set} binlog_checksum=CRC32")
    FINE("checksum", SERVER, "binlog_checksum", "{binlog_checksum}")
    ROW("filters", SERVER, DANGER, "binlog.do_db", filter_do, "binlog_do_db limits the binlog to: {binlog.do_db}",
	"Writes in every other database are not in the binlog, and their keys are lost.", SERVER_CNF,
	"# remove every binlog_do_db line")
    ROW("filters", SERVER, DANGER, "binlog.ignore_db", filter_ignore, "binlog_ignore_db keeps out of the binlog: {binlog.ignore_db}",
	"Writes in those databases are not in the binlog, and their keys are lost.", SERVER_CNF,
	"# remove every binlog_ignore_db line")
    FINE("filters", SERVER, "binlog.do_db", "no database is kept out of the binlog")

    ROW("encrypt_binlog", SERVER, NOTE, "encrypt_binlog", encrypted, "encrypt_binlog is ON",
	"squeal run is not affected, but squeal keys cannot read the files on disk.", SHELL,
	"mariadb-binlog --read-from-remote-server --raw FILE   # then squeal keys FILE")
    ROW("encrypt_binlog", SERVER, NOTE, "binlog_encryption", encrypted_mysql, "binlog_encryption is ON",
	"squeal run is not affected, but squeal keys cannot read the files on disk.", SHELL,
	"mysqlbinlog --read-from-remote-server --raw FILE   # then squeal keys FILE")
    FINE("encrypt_binlog", SERVER, "encrypt_binlog", "OFF")
    FINE("encrypt_binlog", SERVER, "binlog_encryption", "OFF")
    ROW("compression", SERVER, OK, "log_bin_compress", compressed, "log_bin_compress is ON; squeal reads compressed statements", "",
	NOWHERE, "")
    ROW("compression", SERVER, OK, "binlog_transaction_compression", compressed_mysql,
	"binlog_transaction_compression is ON; squeal reads compressed transactions", "", NOWHERE, "")
    FINE("compression", SERVER, "log_bin_compress", "OFF")
    FINE("compression", SERVER, "binlog_transaction_compression", "OFF")
    ROW("lasting", SERVER, NOTE, "lost.names", lost_at_restart, "set since the server started, and not persisted: {lost.names}",
	"A restart of the server takes back what its configuration file does not say.", SQL, "{lost.mend}")
    FINE("lasting", SERVER, "lost.names", "what this report looks at is as it will be after a restart")

    /* how long it is there, and whether ours still is */
    ROW("expiry", SERVER, DANGER, "expiry.s", expiry_close,
	"squeal is {resume.age_s} s behind, and the binlog is purged after {expiry.s} s",
	"What is purged before it is read is a gap: every cache must be flushed.", SQL, "{expiry.mend}")
    ROW("expiry", SERVER, DANGER, "reach.s", reach_short,
	"the oldest binlog file is from {reach.s} s ago, and older ones were purged, by hand or by size",
	"An outage of squeal that lasts as long is a gap: every cache must be flushed.", ADVICE,
	"look for what purges: PURGE BINARY LOGS in a script, or max_binlog_total_size; let it keep a week")
    ROW("expiry", SERVER, DANGER, "expiry.s", expiry_short, "the binlog is purged after {expiry.s} s",
	"An outage of squeal that lasts as long is a gap: every cache must be flushed.", SQL, "{expiry.mend}")
    ROW("expiry", SERVER, NOTE, "expiry.s", expiry_never, "the binlog is never purged by age; {binlog.bytes} bytes now",
	"A full disk stops the database, and whoever purges by hand may purge what squeal has not read.", SQL, "{expiry.mend}")
    FINE("expiry", SERVER, "expiry.s", "the binlog is kept for {expiry.s} s; {binlog.bytes} bytes now{reach.text}")
    ROW("total_size", SERVER, NOTE, "max_binlog_total_size", total_size_bound,
	"max_binlog_total_size is {max_binlog_total_size} bytes",
	"A burst of writes during an outage of squeal purges what it has not read, whatever the age.", SQL,
	"{set} max_binlog_total_size=0")
    FINE("total_size", SERVER, "max_binlog_total_size", "the binlog is not purged by size")
    ROW("resume", SERVER, BROKEN, "resume.missing", resume_purged, "the server has purged {resume.missing}, which squeal has not read",
	"What was committed in these transactions cannot be known.", SHELL,
	"squeal run -c {our.config} --start now   # after flushing every memcached")
    ROW("resume", SERVER, BROKEN, "resume.unknown", resume_unknown, "squeal has read {resume.unknown}, and the server does not have them",
	"It lost commits, was restored, or is another server, and what caches hold of these commits cannot be known.", SHELL,
	"squeal run -c {our.config} --start now   # after flushing every memcached")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_gap, "{resume.error}",
	"What was committed since the checkpoint cannot be known.", SHELL,
	"squeal run -c {our.config} --start now   # after flushing every memcached")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_refused, "{resume.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", SQL,
	"GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    ROW("resume", SERVER, NOTE, "resume.code", resume_slow, "the server searches its binlog for the checkpoint for longer than 30 s",
	"squeal run waits for source.first_event, and gives up and begins again when that is too short.", YAML,
	"source.first_event: 30m")
    ROW("resume", SERVER, BROKEN, "resume.code", resume_failed, "{resume.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", ADVICE, "{resume.error.mend}")
    FINE("resume", SERVER, "resume.code", "{resume.text}")

};
/* clang-format on */

const struct doctor_theme doctor_binlog = {rows, sizeof(rows) / sizeof(rows[0])};
