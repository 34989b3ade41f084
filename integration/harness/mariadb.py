"""A private MariaDB, as Debian packages it."""

import subprocess

from .database import Database, find_program, on_off, template, user_argv
from .process import Failure


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

    def _server_argv(self):
        argv = [find_program("mariadbd"), "--no-defaults", "--innodb-log-file-size=16M", "--skip-log-warnings",
                "--secure-file-priv=", "--log-slave-updates",
                # The server's half is in Debian's mariadb-server, the client's in libmariadb3.
                "--plugin-load-add=auth_ed25519"]
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
