"""What the private MariaDB and the private MySQL have in common: start, SQL, accounts, TLS, replicas.

A test that wants both says database("mariadb", ...) or database("mysql", ...) with the same options; harness/mariadb.py
and harness/mysql.py know how each of them calls things.
"""

import fcntl
import os
import shutil
import subprocess
import time

from .process import BUILD, Failure, Process, free_port, wait_until


def find_program(*names):
    for name in names:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin")
        if path:
            return path
    raise Failure("%s is not installed; run integration/packages" % names[0])


def user_argv():
    """Both refuse to run as root unless they are told to."""
    return ["--user=root"] if os.geteuid() == 0 else []


def on_off(value):
    """Options are True and False, or the server's own word."""
    return {True: "ON", False: "OFF"}.get(value, value)


def template(name, make):
    """A freshly installed data folder, made by make(path) once for this build folder and copied for every server."""
    path = os.path.join(BUILD, "run", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path + ".complete"):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
            make(path)
            with open(path + ".complete", "w"):
                pass
    return path


class Database:
    """A server on a loopback port and a socket of its own.  Both flavours take these options:

    name          folder and log within `dir`
    options       more arguments of the server; the last one wins
    binlog        False: none at all
    binlog_format STATEMENT, MIXED or ROW
    rows_query    row events come with the statement's text (binlog_annotate_row_events, binlog_rows_query_log_events)
    compression   log_bin_compress of events, or binlog_transaction_compression
    checksum      CRC32 or NONE
    row_image     FULL, MINIMAL, NOBLOB
    row_metadata  NO_LOG (MariaDB only), MINIMAL or FULL; None: the server's default
    gtid          MySQL only: gtid_mode as a word, or True and False; MariaDB always has GTIDs
    max_binlog_size  bytes at which the binlog rotates (4096 is the least)
    server_id     1 unless told; replicas get the next ones
    tls           a Certificates: the server has those, and clients trust them by tls.ca
    semi_sync     a commit waits (1 s at most) until a replica has the transaction, where there is one
    durable       every commit is synced; without it a commit survives kill -9 but not power loss
    keep          outlives us (DEMO_KEEP)

    db.process is its Process; db.socket, db.host, db.port say where it is.
    """

    flavour = None  # "mariadb" or "mysql"
    host = "127.0.0.1"

    def __init__(self, dir, name=None, options=(), binlog=True, binlog_format="MIXED", rows_query=True,
                 compression=False, checksum="CRC32", row_image="FULL", row_metadata=None, gtid=True,
                 max_binlog_size=None, server_id=1, tls=None, semi_sync=False, durable=False, keep=False):
        self.settings = dict(options=list(options), binlog=binlog, binlog_format=binlog_format,
                             rows_query=rows_query, compression=compression, checksum=checksum,
                             row_image=row_image, row_metadata=row_metadata, gtid=gtid,
                             max_binlog_size=max_binlog_size, tls=tls, semi_sync=semi_sync, durable=durable,
                             keep=keep)
        self.parent_dir = dir
        self.name = name or self.flavour
        self.server_id = server_id
        self.gtid_on = gtid not in (False, "OFF", "OFF_PERMISSIVE")
        self.tls = tls
        self.replicas = []
        self.primary = None
        self.dir = os.path.join(dir, self.name)
        self.data = os.path.join(self.dir, "data")
        # A server that starts removes what it takes for its own leftovers, another server's tables too.
        tmp = os.path.join(self.dir, "tmp")
        os.makedirs(tmp, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)
        # cp shares the blocks where the file system can.
        subprocess.run(["cp", "-a", "--reflink=auto", self._template(), self.data], check=True)
        self.port = free_port()
        # A socket's path is limited to 107 bytes, and a clone may live deep down.
        self.socket = os.path.join(self.dir, "sql.sock")
        if len(self.socket) > 100:
            self.socket = "/tmp/squeal-sql-%d-%d.sock" % (os.getpid(), self.port)
        argv = self._server_argv() + [
            "--datadir=" + self.data, "--tmpdir=" + tmp, "--socket=" + self.socket, "--port=%d" % self.port,
            "--bind-address=127.0.0.1", "--skip-name-resolve",
            "--pid-file=" + os.path.join(self.dir, self.name + ".pid"), "--server-id=%d" % server_id,
            "--innodb-buffer-pool-size=64M", "--performance-schema=OFF", "--max-connections=200",
            "--innodb-flush-log-at-trx-commit=%d" % (1 if durable else 2),
            "--sync-binlog=%d" % (1 if durable else 0), "--relay-log=relay"]
        argv += user_argv()
        if binlog:
            argv += ["--log-bin=binlog", "--binlog-format=" + binlog_format, "--binlog-checksum=" + checksum,
                     "--binlog-row-image=" + row_image]
            if row_metadata:
                argv += ["--binlog-row-metadata=" + row_metadata]
            if max_binlog_size:
                argv += ["--max-binlog-size=%d" % max_binlog_size]
            argv += self._binlog_argv()
        else:
            argv += ["--skip-log-bin"]
        if tls:
            argv += ["--ssl-ca=" + tls.ca, "--ssl-cert=" + tls.server_cert, "--ssl-key=" + tls.server_key]
        self.process = Process(self.name, argv + list(options), self.dir, keep=keep)

    # --- what the flavours say ----------------------------------------------------------------------------

    def _template(self):
        raise NotImplementedError

    def _server_argv(self):
        raise NotImplementedError

    def _binlog_argv(self):
        raise NotImplementedError

    def client_argv(self, user="root", database=None):
        raise NotImplementedError

    def binlog_tool_argv(self):
        """The flavour's own reader of binlogs."""
        raise NotImplementedError

    def binlog_position(self):
        """(file, position) of the binlog's end."""
        raise NotImplementedError

    def gtid(self):
        """What has been executed here, as the flavour writes it."""
        raise NotImplementedError

    # --- life ---------------------------------------------------------------------------------------------

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=60):
        def ready():
            self.process.check_running()
            return self.sql("SELECT 1", check=False) == "1"
        wait_until(ready, timeout, "%s to answer (log: %s)" % (self.name, self.process.log))

    def kill(self):
        self.process.kill()

    def stop(self):
        return self.process.stop(timeout=60)

    def restart(self, options=()):
        """Stops it in good order and starts it again, from now on with these arguments too."""
        self.stop()
        self.process.argv += list(options)
        return self.start()

    def discard(self):
        """The end of it and its replicas; the data is of no more use."""
        for replica in self.replicas:
            replica.discard()
        self.process.kill()
        if self.socket.startswith("/tmp/") and os.path.exists(self.socket):
            os.unlink(self.socket)

    # --- SQL ----------------------------------------------------------------------------------------------

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

    def row(self, text, **kwargs):
        """The first row as {column: value}: for the SHOW statements that have dozens of columns."""
        done = subprocess.run(self.client_argv() + ["-B"], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure("SQL failed: %s" % done.stderr.strip())
        lines = done.stdout.splitlines()
        return dict(zip(lines[0].split("\t"), lines[1].split("\t"))) if len(lines) > 1 else {}

    def connect(self, **kwargs):
        """A PyMySQL connection, for tests that need a session of their own.  host="127.0.0.1" goes by TCP."""
        import pymysql
        where = {"user": "root"}
        if "host" in kwargs:
            where["port"] = self.port
        else:
            where["unix_socket"] = self.socket
        where.update(kwargs)
        deadline = time.monotonic() + 10
        while True:
            try:
                return pymysql.connect(**where)
            except pymysql.err.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    # --- the binlog ---------------------------------------------------------------------------------------

    def binlog_files(self):
        """Paths, oldest first."""
        with open(os.path.join(self.data, "binlog.index")) as f:
            return [os.path.normpath(os.path.join(self.data, line.strip())) for line in f if line.strip()]

    def binlog_text(self, *args, files=None):
        """What the flavour's own tool prints of the files (all of them unless told)."""
        done = subprocess.run(self.binlog_tool_argv() + list(args) + list(files or self.binlog_files()),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        if done.returncode != 0:
            raise Failure("%s failed: %s" % (self.binlog_tool_argv()[-1], done.stderr.decode(errors="replace").strip()))
        return done.stdout.decode(errors="surrogateescape")

    # --- accounts -----------------------------------------------------------------------------------------

    def _identified(self, password, auth):
        """IDENTIFIED ... of CREATE USER for an authentication plugin; None: the server's default."""
        raise NotImplementedError

    _replication_privileges = None

    def create_user(self, user, password, grants=(), auth=None, require_ssl=False):
        """grants: such as "SELECT ON demo.*"."""
        self.sql("CREATE USER IF NOT EXISTS '%s'@'%%' %s%s" % (user, self._identified(password, auth),
                                                               " REQUIRE SSL" if require_ssl else ""))
        for grant in grants:
            self.sql("GRANT %s TO '%s'@'%%'" % (grant, user))

    def create_replication_user(self, user="squeal", password="secret", dir=None, auth=None, require_ssl=False):
        """The account that squeal needs; returns the file with its password."""
        path = os.path.join(dir or self.dir, "%s.password" % user)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(password + "\n")
        self.create_user(user, password, ["%s ON *.*" % self._replication_privileges], auth, require_ssl)
        return path

    def tcp(self):
        """The source section's settings that lead here by TCP instead of the socket."""
        return {"socket": "", "host": self.host, "port": self.port}

    # --- replicas -----------------------------------------------------------------------------------------

    _read_only_argv = ()  # of a replica, over restarts too
    _relay_words = ()     # SHOW REPLICA STATUS: columns of io running, sql running, io error, sql error, its state

    def add_replica(self, wait=True, **settings):
        """A started read-only replica that applies this one's whole binlog, so it must not have been purged.

        It has this one's settings and its own changes of them.  With GTIDs it finds its position by them, else
        it starts at the first file.
        """
        root = self
        while root.primary:
            root = root.primary
        n = len(root.replicas) + 1
        merged = dict(self.settings, server_id=root.server_id + n, name="%s-replica-%d" % (root.name, n))
        merged.update(settings)
        replica = type(self)(self.parent_dir, **merged)
        root.replicas.append(replica)
        replica.start()
        replica.follow(self)
        if wait:
            replica.wait_caught_up()
        return replica

    def follow(self, primary):
        """Becomes, or goes on as, a read-only replica of `primary`."""
        primary.sql("CREATE USER IF NOT EXISTS 'repl'@'%%' %s;GRANT REPLICATION SLAVE ON *.* TO 'repl'@'%%'"
                    % primary._identified("secret", None))
        self._follow(primary)
        self.primary = primary
        self.process.argv = [arg for arg in self.process.argv if arg not in self._read_only_argv]
        self.process.argv += self._read_only_argv

    def _follow(self, primary):
        raise NotImplementedError

    def replica_status(self):
        raise NotImplementedError

    def _check_replication(self, receiving=True):
        self.process.check_running()
        io, sql, io_error, sql_error, _ = self._relay_words
        status = self.replica_status()
        if not status:
            raise Failure("%s is not a replica" % self.name)
        for running, error in ((io, io_error), (sql, sql_error))[0 if receiving else 1:]:
            if status[running] == "No" and status[error]:
                raise Failure("%s does not replicate: %s" % (self.name, status[error]))
        return status

    def wait_caught_up(self, timeout=30):
        """Returns when everything that the primary has committed by now is committed here too."""
        target = self.primary.gtid() if self.gtid_on else self.primary.binlog_position()

        def caught_up():
            self._check_replication()
            return self._has(target)
        wait_until(caught_up, timeout, "%s to catch up with %s at %s" % (self.name, self.primary.name, target))

    def _has(self, target):
        raise NotImplementedError

    def promote(self, timeout=30):
        """Applies what it has received, then is a primary that can be written to.  The old one may be dead."""
        self._stop_receiving()
        sql, state = self._relay_words[1], self._relay_words[4]

        def drained():
            status = self._check_replication(receiving=False)
            if status[sql] != "Yes":
                raise Failure("%s does not apply: %s" % (self.name, status))
            return "has read all relay log" in status[state]
        wait_until(drained, timeout, "%s to apply its relay log" % self.name)
        self._stop_replicating()
        self.primary = None
        self.process.argv = [arg for arg in self.process.argv if arg not in self._read_only_argv]
        return self

    def _stop_receiving(self):
        raise NotImplementedError

    def _stop_replicating(self):
        raise NotImplementedError
