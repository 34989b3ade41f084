"""A private MySQL, out of the Debian unstable root that integration/server-root makes."""

import functools
import os
import subprocess

from .database import Database, on_off, template, user_argv
from .process import ROOT, Failure
from .root import NoServer, root_argv, server_root

NoMysql = NoServer


def mysql_root():
    return server_root("mysql")


def mysql_argv(program):
    """The start of a command line for one of the root's programs, such as "mysqlbinlog"."""
    return root_argv("mysql", program)


@functools.lru_cache(maxsize=None)
def oracle_build():
    """Makes squeal with Oracle's client library: a second when the rest is built."""
    mysql_root()
    done = subprocess.run(["make", "-s", "BUILD=" + os.environ.get("BUILD", "build"), "oracle"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failure("make oracle failed:\n" + done.stdout[-2000:])


def _places():
    share = os.path.join(mysql_root(), "usr/share/mysql")
    return ["--no-defaults", "--basedir=" + os.path.join(mysql_root(), "usr"), "--lc-messages-dir=" + share,
            "--character-sets-dir=" + os.path.join(share, "charsets"),
            "--plugin-dir=" + os.path.join(mysql_root(), "usr/lib/mysql/plugin"), "--mysqlx=OFF",
            "--innodb-redo-log-capacity=16M"]


def _install(path):
    argv = mysql_argv("mysqld") + _places() + user_argv() + ["--initialize-insecure", "--datadir=" + path,
                                                             "--skip-log-bin", "--secure-file-priv=NULL"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True)
    if done.returncode != 0:
        raise Failure("mysqld --initialize failed:\n" + done.stdout[-2000:])
    # Every copy takes a server_uuid of its own.
    os.unlink(os.path.join(path, "auto.cnf"))


class Mysql(Database):
    """mysqld.  Besides Database's options:

    json_partial  binlog_row_value_options=PARTIAL_JSON
    """

    flavour = "mysql"
    _replication_privileges = "REPLICATION SLAVE, REPLICATION CLIENT"
    _read_only_argv = ("--super-read-only=ON",)
    _relay_words = ("Replica_IO_Running", "Replica_SQL_Running", "Last_IO_Error", "Last_SQL_Error",
                    "Replica_SQL_Running_State")

    def __init__(self, dir, json_partial=False, **settings):
        self.json_partial = json_partial
        super().__init__(dir, **settings)
        self.settings["json_partial"] = json_partial

    def _template(self):
        # Another version is another template.
        version = os.stat(mysql_argv("mysqld")[-1])
        return template("mysql-template-%d-%d" % (version.st_size, int(version.st_mtime)), _install)

    def _server_argv(self):
        argv = mysql_argv("mysqld") + _places() + ["--secure-file-priv=NULL"]
        if self.settings["semi_sync"]:
            argv += ["--plugin-load-add=semisync_source.so", "--plugin-load-add=semisync_replica.so",
                     "--rpl-semi-sync-source-enabled=ON", "--rpl-semi-sync-replica-enabled=ON",
                     "--rpl-semi-sync-source-timeout=1000"]
        return argv

    def _binlog_argv(self):
        gtid = on_off(self.settings["gtid"])
        argv = ["--gtid-mode=" + gtid, "--enforce-gtid-consistency=" + ("ON" if gtid == "ON" else "OFF"),
                "--binlog-rows-query-log-events=" + on_off(self.settings["rows_query"]),
                "--binlog-transaction-compression=" + on_off(self.settings["compression"])]
        if self.json_partial:
            argv += ["--binlog-row-value-options=PARTIAL_JSON"]
        return argv

    def client_argv(self, user="root", database=None):
        argv = mysql_argv("mysql") + ["--no-defaults", "--comments", "-S", self.socket, "-u", user]
        return argv + ([database] if database else [])

    def binlog_tool_argv(self):
        return mysql_argv("mysqlbinlog") + ["--no-defaults"]

    def binlog_position(self):
        row = self.sql("SHOW BINARY LOG STATUS").split("\t")
        return row[0], int(row[1])

    def gtid(self):
        return self.sql("SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '')")

    def _identified(self, password, auth):
        return "IDENTIFIED WITH %s BY '%s'" % (auth or "caching_sha2_password", password)

    def replica_status(self):
        return self.row("SHOW REPLICA STATUS")

    def _follow(self, primary):
        if self.gtid_on and primary.gtid_on:
            where = "SOURCE_AUTO_POSITION=1"
        else:
            where = "SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE='binlog.000001', SOURCE_LOG_POS=4"
        self.sql("STOP REPLICA;"
                 "CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='repl',"
                 "SOURCE_PASSWORD='secret', SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=100000,"
                 "GET_SOURCE_PUBLIC_KEY=1, %s;"
                 "SET GLOBAL super_read_only = ON; START REPLICA" % (primary.host, primary.port, where))

    def _has(self, target):
        if isinstance(target, str):
            return self.sql("SELECT GTID_SUBSET('%s', @@GLOBAL.gtid_executed)" % target) == "1"
        status = self.replica_status()
        return (status["Relay_Source_Log_File"], int(status["Exec_Source_Log_Pos"])) >= target

    def _stop_receiving(self):
        self.sql("STOP REPLICA IO_THREAD")

    def _stop_replicating(self):
        self.sql("STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
