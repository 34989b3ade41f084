"""A private MariaDB: the one that is installed, or a newer one out of the root that integration/server-root makes."""

import os
import subprocess

from .database import Database, find_program, on_off, template, user_argv
from .process import Failure
from .root import root_argv, server_root


def _install(path):
    # --force: a machine whose own name cannot be looked up is good enough for a server on loopback.
    done = subprocess.run([find_program("mariadb-install-db"), "--no-defaults", "--datadir=" + path,
                           "--skip-test-db", "--force", "--skip-name-resolve", "--auth-root-authentication-method=normal",
                           "--innodb-log-file-size=16M"] + user_argv(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        raise Failure("mariadb-install-db failed:\n" + done.stdout[-2000:])


class Mariadb(Database):
    """mariadbd.  Its options are Database's."""

    flavour = "mariadb"
    # What it needs for the dump, and for SHOW MASTER STATUS.
    _replication_privileges = "REPLICATION SLAVE, BINLOG MONITOR"
    _read_only_argv = ("--read-only=ON",)
    _relay_words = ("Slave_IO_Running", "Slave_SQL_Running", "Last_IO_Error", "Last_SQL_Error",
                    "Slave_SQL_Running_State")

    def __init__(self, dir, **settings):
        if settings.get("gtid", True) is not True:
            raise Failure("MariaDB has no switch for GTIDs: each of its transactions has one")
        super().__init__(dir, **settings)

    def _template(self):
        return template("mariadb-template", _install)

    # The server's half of ed25519 is in Debian's mariadb-server, the client's in libmariadb3.
    _plugins = ["--plugin-load-add=auth_ed25519"]

    def _program_argv(self):
        return [find_program("mariadbd"), "--no-defaults"]

    def _server_argv(self):
        argv = self._program_argv() + self._plugins + [
            "--innodb-log-file-size=16M", "--skip-log-warnings", "--secure-file-priv=", "--log-slave-updates"]
        if self.settings["semi_sync"]:
            argv += ["--rpl-semi-sync-master-enabled=ON", "--rpl-semi-sync-slave-enabled=ON",
                     "--rpl-semi-sync-master-timeout=1000", "--rpl-semi-sync-master-wait-point=AFTER_SYNC"]
        return argv

    def _binlog_argv(self):
        argv = ["--binlog-annotate-row-events=" + on_off(self.settings["rows_query"])]
        if self.settings["compression"]:
            # 10 is the least: events of the size that tests make are compressed too.
            argv += ["--log-bin-compress=ON", "--log-bin-compress-min-len=10"]
        return argv

    def client_argv(self, user="root", database=None):
        argv = [find_program("mariadb"), "--no-defaults", "--comments", "-S", self.socket, "-u", user]
        return argv + ([database] if database else [])

    def binlog_tool_argv(self):
        return [find_program("mariadb-binlog"), "--no-defaults"]

    def binlog_position(self):
        row = self.sql("SHOW MASTER STATUS").split("\t")
        return row[0], int(row[1])

    def gtid(self):
        return self.sql("SELECT @@gtid_binlog_pos")

    def _identified(self, password, auth):
        return "IDENTIFIED VIA %s USING PASSWORD('%s')" % (auth or "mysql_native_password", password)

    def replica_status(self):
        return self.row("SHOW SLAVE STATUS")

    def _follow(self, primary):
        # What it executed itself while it was a primary counts as received.
        self.sql("STOP SLAVE; SET GLOBAL gtid_slave_pos = @@gtid_current_pos;"
                 "CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='repl', MASTER_PASSWORD='secret',"
                 "MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; SET GLOBAL read_only = ON; START SLAVE"
                 % (primary.host, primary.port))

    def _has(self, gtid):
        return gtid == "" or self.sql("SELECT MASTER_GTID_WAIT('%s', 0)" % gtid) == "0"

    def _stop_receiving(self):
        self.sql("STOP SLAVE IO_THREAD")

    def _stop_replicating(self):
        self.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = OFF")


def _new_argv():
    share = os.path.join(server_root("mariadb"), "usr/share/mariadb")
    return root_argv("mariadb", "mariadbd") + [
        "--no-defaults", "--basedir=" + os.path.join(server_root("mariadb"), "usr"), "--lc-messages-dir=" + share,
        "--character-sets-dir=" + os.path.join(share, "charsets")]


def _install_new(path):
    # What mariadb-install-db does; the script itself would run the server without the root's loader.
    texts = ["CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"]
    for name in ("system_tables", "performance_tables", "system_tables_data", "sys_schema"):
        with open(os.path.join(server_root("mariadb"), "usr/share/mariadb/mariadb_%s.sql" % name)) as f:
            texts.append(f.read())
    done = subprocess.run(_new_argv() + user_argv() + ["--bootstrap", "--datadir=" + path, "--skip-log-bin",
                                                       "--innodb-log-file-size=16M", "--skip-name-resolve"],
                          input="\n".join(texts), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure("mariadbd --bootstrap failed:\n" + done.stdout[-2000:])


class MariadbNew(Mariadb):
    """mariadbd 11.8 or later; the tools are those of the installed one.  It has no ed25519."""

    _plugins = []

    def _template(self):
        version = os.stat(root_argv("mariadb", "mariadbd")[-1])
        return template("mariadb-new-template-%d-%d" % (version.st_size, int(version.st_mtime)), _install_new)

    def _program_argv(self):
        return _new_argv()
