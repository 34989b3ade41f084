"""A private MariaDB.  Its empty data folder is made once and copied for every server."""

import fcntl
import os
import shutil
import subprocess
import time

from .process import BUILD, Failure, Process, free_port, wait_until


def _find(*names):
    for name in names:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
        if path:
            return path
    raise Failure("%s is not installed; run integration/packages" % names[0])


def _user_option():
    return ["--user=root"] if os.geteuid() == 0 else []


def _template():
    """A freshly installed data folder, shared by every server of this build folder."""
    path = os.path.join(BUILD, "run", "mariadb-template")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(os.path.join(path, "complete")):
            return path
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        # --force: a machine whose own name cannot be looked up is good enough for a server on loopback.
        done = subprocess.run([_find("mariadb-install-db"), "--no-defaults", "--datadir=" + path, "--skip-test-db",
                               "--force", "--skip-name-resolve", "--auth-root-authentication-method=normal",
                               "--innodb-log-file-size=16M"] + _user_option(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        if done.returncode != 0:
            raise Failure("mariadb-install-db failed:\n" + done.stdout[-2000:])
        with open(os.path.join(path, "complete"), "w"):
            pass
    return path


class Mariadb:
    """mariadbd with row-based or other binlog on a port and a socket of its own.

    By default a commit survives kill -9 but not power loss: enough for killing, and not at the mercy of the
    disk.  durable=True syncs every commit.
    """

    def __init__(self, dir, name="mariadb", options=(), binlog=True, binlog_format="MIXED", durable=False,
                 keep=False):
        self.dir = os.path.join(dir, name)
        self.data = os.path.join(self.dir, "data")
        os.makedirs(self.dir, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(_template(), self.data)
        self.port = free_port()
        # A socket's path is limited to 107 bytes, and a clone may live deep down.
        self.socket = os.path.join(self.dir, "sql.sock")
        if len(self.socket) > 100:
            self.socket = "/tmp/squeal-sql-%d-%d.sock" % (os.getpid(), self.port)
        argv = [_find("mariadbd"), "--no-defaults", "--datadir=" + self.data, "--socket=" + self.socket,
                "--port=%d" % self.port, "--bind-address=127.0.0.1", "--skip-name-resolve",
                "--pid-file=" + os.path.join(self.dir, "mariadb.pid"), "--server-id=1",
                "--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--performance-schema=OFF",
                "--max-connections=200", "--skip-log-warnings", "--secure-file-priv=",
                "--innodb-flush-log-at-trx-commit=%d" % (1 if durable else 2),
                "--sync-binlog=%d" % (1 if durable else 0)] + _user_option()
        if binlog:
            argv += ["--log-bin=binlog", "--binlog-format=" + binlog_format, "--binlog-annotate-row-events=ON"]
        else:
            argv += ["--skip-log-bin"]
        self.process = Process(name, argv + list(options), self.dir, keep=keep)

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=60):
        def ready():
            self.process.check_running()
            return self.sql("SELECT 1", check=False) == "1"
        wait_until(ready, timeout, "MariaDB to answer (log: %s)" % self.process.log)

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop(timeout=60)

    def client_argv(self, user="root", database=None):
        argv = [_find("mariadb"), "--no-defaults", "--comments", "-S", self.socket, "-u", user]
        return argv + ([database] if database else [])

    def sql(self, text, database=None, check=True, timeout=120):
        """Runs statements with the command line client; comments stay in them.  Returns rows, tab-separated."""
        done = subprocess.run(self.client_argv(database=database) + ["-N", "-B", "--connect-timeout=5"],
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout)
        if done.returncode != 0:
            if check:
                raise Failure("SQL failed: %s" % done.stderr.strip())
            return None
        return done.stdout.rstrip("\n")

    def create_replication_user(self, user="squeal", password="secret", dir=None):
        """The account that squeal needs, and the file with its password."""
        path = os.path.join(dir or self.dir, "%s.password" % user)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(password + "\n")
        self.sql("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';"
                 "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO '%s'@'%%';" % (user, password, user))
        return path

    def binlog_position(self):
        """(file, position) of the binlog's end."""
        row = self.sql("SHOW MASTER STATUS").split("\t")
        return row[0], int(row[1])

    def gtid(self):
        return self.sql("SELECT @@gtid_binlog_pos")

    def connect(self, **kwargs):
        """A PyMySQL connection, for tests that need a session of their own."""
        import pymysql
        deadline = time.monotonic() + 10
        while True:
            try:
                return pymysql.connect(unix_socket=self.socket, user="root", **kwargs)
            except pymysql.err.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
