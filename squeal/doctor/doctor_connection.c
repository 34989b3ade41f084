#include "squeal/doctor/doctor_rows.h"

#include <math.h>

/* clang-format off */

JUDGE(refused, IS("connect.code", "ERR_AUTH"))
JUDGE(secret_unreadable, IS("connect.code", "ERR_CONFIG"))
JUDGE(wants_tls, CONTAINS("connect.error", "require_secure_transport") || CONTAINS("connect.error", "requires secure connection"))
JUDGE(unreachable, HAS("connect.error"))
JUDGE(old_mariadb, MARIADB && NUM("server.number") < 100300)
JUDGE(old_mysql, MYSQL && NUM("server.number") < 50700)
JUDGE(may_not_replicate, !MAY("REPLICATION SLAVE"))
JUDGE(may_not_monitor, !MAY(TEXT("needed.monitor")) && !MAY("REPLICATION CLIENT") && !(NUM("server.number") < 100502 && MAY("SUPER")))
JUDGE(may_too_much, doctor_may_more(f))
JUDGE(password_expires, ON("account.expires"))
JUDGE(native_password, MYSQL && NUM("server.number") >= 80000 && IS("account.plugin", "mysql_native_password"))
JUDGE(tls_not_demanded, ON("our.network") && HAS("cipher") && IS("account.require", "NONE"))
JUDGE(sha2_in_clear, ON("our.network") && !HAS("cipher") && CONTAINS("account.plugin", "sha2"))
JUDGE(no_tls, ON("our.network") && !HAS("cipher"))
JUDGE(tls_unverified, ON("our.network") && !IS("our.tls", "verify"))
JUDGE(clock_off, fabs(NUM("clock.skew_ms")) > 500 + NUM("clock.rtt_ms"))

static const struct doctor_row rows[] = {
    /* the connection */
    ROW("connect", SERVER, BROKEN, "connect.error", secret_unreadable, "{connect.error}",
	"squeal cannot log in, and nothing is invalidated.", YAML, "source.password_file: FILE, readable by squeal's user only")
    ROW("connect", SERVER, BROKEN, "connect.error", wants_tls, "{connect.error}",
	"The server lets nobody in without TLS, and nothing is invalidated.", YAML, "source.tls: required")
    ROW("connect", SERVER, BROKEN, "connect.error", refused, "{connect.error}",
	"squeal cannot log in, and nothing is invalidated; where there is no such account yet, squeal grant -c {our.config} prints it.", SQL,
	"ALTER USER '{our.user}'@'HOST' IDENTIFIED BY 'the first line of source.password_file'")
    ROW("connect", SERVER, BROKEN, "connect.error", unreachable, "{connect.error}",
	"squeal cannot read the binlog, and nothing is invalidated.", ADVICE,
	"start the database, or correct source.host and source.port (or source.socket): {our.address}")
    FINE("connect", SERVER, "connect.error", "{our.address} answers as {account}, {clock.rtt_ms} ms")
    ROW("version", SERVER, DANGER, "server.version", old_mariadb, "MariaDB {server.version} is older than 10.3",
	"Nobody has tried squeal with it.", ADVICE, "upgrade MariaDB to 10.3 or later")
    ROW("version", SERVER, DANGER, "server.version", old_mysql, "MySQL {server.version} is older than 5.7",
	"Nobody has tried squeal with it.", ADVICE, "upgrade MySQL to 5.7 or later")
    FINE("version", SERVER, "server.version", "{server.name} {server.version}")
    ROW("privileges", SERVER, BROKEN, "grants", may_not_replicate, "{account} lacks REPLICATION SLAVE",
	"The server gives it no binlog, and nothing is invalidated.", SQL,
	"GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    ROW("privileges", SERVER, DANGER, "grants", may_not_monitor, "{account} lacks {needed.monitor}",
	"squeal cannot list the binlog files, so it cannot start at the earliest one after a gap.", SQL,
	"GRANT {needed.monitor} ON *.* TO {account}")
    ROW("privileges", SERVER, NOTE, "grants", may_too_much, "{account} may do more than squeal needs",
	"Whoever gets its password can change data, not only read it.", SQL,
	"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}; GRANT REPLICATION SLAVE, {needed.monitor} ON *.* TO {account}")
    FINE("privileges", SERVER, "grants", "{account} has REPLICATION SLAVE and {needed.monitor}, and nothing more")
    ROW("account", SERVER, DANGER, "account.expires", password_expires, "the password of {account} expires",
	"When it has, squeal cannot log in, and nothing is invalidated.", SQL, "ALTER USER {account} PASSWORD EXPIRE NEVER")
    ROW("account", SERVER, NOTE, "account.plugin", native_password, "{account} logs in with mysql_native_password",
	"MySQL 9 does not have it any more, so squeal cannot log in after an upgrade.", SQL,
	"ALTER USER {account} IDENTIFIED WITH caching_sha2_password BY 'the first line of source.password_file'")
    ROW("account", SERVER, NOTE, "account.require", tls_not_demanded, "{account} may log in without TLS",
	"A squeal whose source.tls is changed to off still gets every changed row, in clear.", SQL,
	"ALTER USER {account} REQUIRE SSL")
    FINE("account", SERVER, "account.plugin", "{account.plugin}, REQUIRE {account.require}; the password does not expire")
    ROW("tls", SERVER, DANGER, "cipher", sha2_in_clear, "{account} logs in with {account.plugin} across a network without TLS",
	"Whoever can redirect the connection gets the password, because nobody verifies the key that it is encrypted with, and whoever is on the way reads every changed row.",
	YAML, "source.tls: verify, and source.tls_ca: FILE with the certificate that signed the server's")
    ROW("tls", SERVER, DANGER, "cipher", no_tls, "the connection to {our.address} crosses a network in clear",
	"Whoever is on the way reads every changed row, and can take keys out of the stream.", YAML,
	"source.tls: verify, and source.tls_ca: FILE with the certificate that signed the server's")
    ROW("tls", SERVER, NOTE, "cipher", tls_unverified, "TLS ({cipher}), but the server's certificate is not verified",
	"Whoever can redirect the connection can pose as the database, and take keys out of the stream.", YAML,
	"source.tls: verify, and source.tls_ca: FILE with the certificate that signed the server's")
    FINE("tls", SERVER, "cipher", "{tls.text}")
    ROW("clock", SERVER, NOTE, "clock.skew_ms", clock_off, "the server's clock differs from ours by {clock.skew_ms} ms",
	"Lag and latency figures, and times that you ask a replay for, are wrong by as much.", SHELL,
	"timedatectl set-ntp true   # on both machines")
    FINE("clock", SERVER, "clock.skew_ms", "the server's clock differs from ours by {clock.skew_ms} ms")

};
/* clang-format on */

const struct doctor_theme doctor_connection = {rows, sizeof(rows) / sizeof(rows[0])};
