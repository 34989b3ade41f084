"""How MySQL and MariaDB may be set up while squeal is beside them: refused with what mends it, switched on the fly,
purged, and reached by TLS.  test_matrix.py has the settings that squeal takes."""

import subprocess
import threading

import pytest

from harness import wait_until
from harness.pipeline import program

LIBRARIES = [("mariadb", "libmariadb"), ("mysql", "libmariadb"), ("mysql", "libmysqlclient")]
TEXTS = {"mariadb": "binlog_annotate_row_events", "mysql": "binlog_rows_query_log_events"}
COMPRESSION = {"mariadb": "log_bin_compress", "mysql": "binlog_transaction_compression"}


def make(pipeline, flavour, library="libmariadb", start=True, config=None, **db_options):
    db_options.setdefault("binlog_format", "ROW")
    p = pipeline(db=flavour, library=library, clusters=["a"], servers=1, start=False, db_options=db_options, config=config)
    p.db.sql("CREATE TABLE demo.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)")
    for router in p.routers.values():
        router.start(wait=False)
    if start:
        p.squeal.start()
    return p


def insert(p, key):
    p.db.sql("INSERT INTO demo.t (v) VALUES (1) /*inv='%s'*/" % key)


def source(p):
    return p.squeal.status()["source"]


def wait_reason(p, *words):
    def said():
        p.squeal.process.check_running()
        try:
            return all(word in (source(p)["reason"] or "") for word in words)
        except OSError:
            return False
    wait_until(said, 20, "a reason with %s" % (words,))


@pytest.fixture
def needs_library(request):
    """For tests that name a server together with a client library."""
    if request.getfixturevalue("client") == "libmysqlclient":
        from conftest import need
        from harness import oracle_build
        need("mysql")
        oracle_build()


def test_each_library_is_the_one_that_the_program_is_linked_with(library):
    done = subprocess.run(["readelf", "-d", program("squeal", library=library)], stdout=subprocess.PIPE, text=True,
                          check=True)
    linked = {name for name in ("libmariadb", "libmysqlclient") if "[%s.so" % name in done.stdout}
    assert linked == {library}


# --- settings -------------------------------------------------------------------------------------------------

def test_row_changes_without_their_texts_are_refused_and_statements_are_not(pipeline, flavour):
    p = make(pipeline, flavour, start=False, rows_query=False)
    p.squeal.start(wait=False)
    wait_reason(p, "binlog_format=ROW", TEXTS[flavour] + "=OFF", "run SET GLOBAL %s=ON" % TEXTS[flavour])
    assert not p.squeal.ready()
    p.db.sql("SET GLOBAL binlog_format = MIXED")
    wait_reason(p, "binlog_format=MIXED", "run SET GLOBAL %s=ON" % TEXTS[flavour])
    p.db.sql("SET GLOBAL binlog_format = STATEMENT")
    p.squeal.wait_ready()
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.db.sql("SET GLOBAL binlog_format = ROW")
    p.squeal.start(wait=False)
    wait_reason(p, "run SET GLOBAL %s=ON" % TEXTS[flavour])
    p.db.sql("SET GLOBAL %s = ON" % TEXTS[flavour])
    p.squeal.wait_ready()
    insert(p, "k:2")
    p.wait_deleted(["k:2"])


class Writer(threading.Thread):
    """Commits without a pause, each from a connection as old as the thread or as the transaction; rolls back as many."""

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.ended = threading.Event()
        self.count = 0
        self.failure = None

    def kept(self, count):
        return {"k:w:%d:%s" % (n, age) for n in range(count) for age in ("old", "new")}

    def run(self):
        try:
            with self.p.db.connect(autocommit=True) as old:
                while not self.ended.is_set():
                    with self.p.db.connect(autocommit=True) as new:
                        for age, db in (("old", old), ("new", new)):
                            with db.cursor() as c:
                                text = "INSERT INTO demo.t (v) VALUES (1) /*inv='k:%s:%d:%s'*/"
                                c.execute("BEGIN")
                                c.execute(text % ("not", self.count, age))
                                c.execute("ROLLBACK")
                                c.execute("BEGIN")
                                c.execute(text % ("w", self.count, age))
                                c.execute("COMMIT")
                    self.count += 1
        except Exception as e:
            self.failure = e

    def wait_more(self, n=3):
        target = self.count + n
        wait_until(lambda: self.failure or self.count >= target, 20, "more commits")
        if self.failure:
            raise self.failure

    def finish(self):
        self.ended.set()
        self.join()
        if self.failure:
            raise self.failure
        self.p.wait_deleted(self.kept(self.count))
        self.p.barrier()
        assert not [key for key in self.p.deleted("a") if key.startswith("k:not")]


@pytest.mark.parametrize("flavour, client", LIBRARIES)
def test_settings_are_switched_while_it_reads(pipeline, flavour, client, needs_library):
    p = make(pipeline, flavour, client, checksum="NONE",
             options=["--log-bin-compress-min-len=10"] if flavour == "mariadb" else [])
    started = p.squeal.process.pid
    writer = Writer(p)
    writer.start()
    try:
        for name, value in [("binlog_checksum", "CRC32"), (COMPRESSION[flavour], "ON"), ("binlog_checksum", "NONE"),
                            ("binlog_format", "STATEMENT"), (TEXTS[flavour], "OFF"), ("binlog_checksum", "CRC32"),
                            ("binlog_row_image", "MINIMAL"), (TEXTS[flavour], "ON"), ("binlog_format", "MIXED"),
                            (COMPRESSION[flavour], "OFF"), ("binlog_format", "ROW"), ("binlog_row_metadata", "FULL"),
                            ("max_binlog_size", "4096"), ("binlog_checksum", "NONE")]:
            writer.wait_more()
            p.db.sql("SET GLOBAL %s = %s" % (name, value))
        writer.wait_more()
        p.db.sql("FLUSH BINARY LOGS")
        writer.wait_more()
    finally:
        writer.ended.set()
    writer.finish()
    metrics = p.squeal.metrics()
    assert p.squeal.process.pid == started and source(p)["gap"] is None
    for name in ("checksum_failure", "bad", "rows_no_text", "txn_no_text"):
        assert metrics.total("squeal_binlog_%s_total" % name) == 0
    assert metrics.total("squeal_binlog_uncompressed_total") > 0


@pytest.mark.parametrize("client", ["libmariadb", "libmysqlclient"])
def test_gtids_are_switched_on_while_it_reads_and_the_place_becomes_a_set(pipeline, client, needs_library):
    p = make(pipeline, "mysql", client, gtid=False)
    writer = Writer(p)
    writer.start()
    try:
        for sql in ("enforce_gtid_consistency=ON", "gtid_mode=OFF_PERMISSIVE", "gtid_mode=ON_PERMISSIVE"):
            writer.wait_more()
            p.db.sql("SET GLOBAL " + sql)
        # The server's manual: ON when nobody has to read anything of before.
        wait_until(lambda: p.db.sql("SHOW STATUS LIKE 'Ongoing_anonymous_transaction_count'").endswith("\t0"), 20,
                   "the last transaction without an id")
        p.wait_deleted(writer.kept(writer.count))
        p.db.sql("SET GLOBAL gtid_mode=ON")
        writer.wait_more()
        p.db.sql("FLUSH BINARY LOGS")
        writer.wait_more()
        p.wait_deleted(writer.kept(writer.count))
        p.squeal.kill()
        writer.wait_more()
        p.squeal.start()
        assert source(p)["started_at"].startswith("gtid:" + p.db.sql("SELECT @@server_uuid"))
    finally:
        writer.ended.set()
    writer.finish()


# --- purged ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("client", ["libmariadb", "libmysqlclient"])
@pytest.mark.parametrize("flavour, gtid", [("mariadb", True), ("mariadb-new", True), ("mysql", True), ("mysql", False)])
def test_what_was_purged_is_named_and_squeal_leaves_with_21(pipeline, flavour, gtid, client, needs_library):
    if flavour != "mysql" and client == "libmysqlclient":
        return  # it has no plugin for MariaDB's accounts
    p = make(pipeline, flavour, client, gtid=gtid, config={"squeal": {"on_gap": "exit"}})
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    p.barrier()
    p.squeal.stop()
    read_file, _ = p.db.binlog_position()
    read = p.db.gtid()
    insert(p, "k:2")
    lost = p.db.gtid()
    p.db.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    insert(p, "k:3")
    last = p.db.binlog_position()[0]
    # A file goes only when the engine no longer needs it for its recovery.
    wait_until(lambda: p.db.sql("PURGE BINARY LOGS TO '%s'; SHOW BINARY LOGS" % last).count("\n") == 0, 20, "the purge")
    p.squeal.start(wait=False)
    assert p.squeal.process.wait(30) == 21
    crit = [line for line in p.squeal.process.log_text().splitlines() if " CRIT " in line]
    # Once when it stops reading, and once more as the last line, for those who look at that only.
    assert len(crit) == 2 and "GAP" in crit[0] and all("flush the caches" in line for line in crit)
    if flavour != "mysql":
        missing = read  # behind it; its server does not say what it had
    elif gtid:
        missing = "%s:%s" % (lost.split(":")[0], lost.split("-")[-1])
    else:
        missing = read_file
    assert missing in crit[0], (missing, crit[0])
    assert "k:3" not in p.deleted("a")


# --- TLS ------------------------------------------------------------------------------------------------------

AUTH = {"mariadb": "ed25519", "mysql": "caching_sha2_password"}


def safe(p, tls, **source):
    """By TCP as the account "safe", from the next start on."""
    p.extra["source"] = dict(p.db.tcp(), user="safe", tls="verify", **dict({"tls_ca": tls.ca}, **source))
    p.write_configs()


@pytest.mark.parametrize("flavour, client", LIBRARIES)
def test_only_the_right_authority_and_a_client_certificate_are_let_in(pipeline, certificates, flavour, client, needs_library):
    p = make(pipeline, flavour, client, start=False, tls=certificates)
    p.password_file = p.db.create_replication_user("safe", dir=p.dir, auth=AUTH[flavour])
    p.db.sql("ALTER USER 'safe'@'%' REQUIRE X509")
    ours = {"tls_cert": certificates.client_cert, "tls_key": certificates.client_key}

    safe(p, certificates, **dict(ours, tls_ca=certificates.other_ca))
    p.squeal.start(wait=False)
    wait_reason(p, "TLS", "source.tls_ca")
    p.squeal.kill()

    safe(p, certificates)
    p.squeal.start(wait=False)
    wait_reason(p, "denied")
    p.squeal.kill()

    safe(p, certificates, **ours)
    p.squeal.start()
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
    id = p.db.sql("SELECT id FROM information_schema.processlist WHERE user = 'safe' AND command LIKE 'Binlog Dump%'")
    assert id


@pytest.mark.parametrize("client", ["libmariadb", "libmysqlclient"])
def test_caching_sha2_password_without_tls(pipeline, certificates, client, needs_library):
    """The password goes by the server's RSA key, or as it is over the socket."""
    p = make(pipeline, "mysql", client, start=False)
    for n, way in enumerate([dict(p.db.tcp(), tls="off"), {"socket": p.db.socket, "tls": "off"}]):
        p.extra["source"] = way
        p.write_configs()
        # The server forgets whom it has let in, so the whole password has to be sent.
        p.db.sql("FLUSH PRIVILEGES")
        p.squeal.start()
        insert(p, "k:%d" % n)
        p.wait_deleted(["k:%d" % n])
        p.squeal.stop()


@pytest.mark.parametrize("client", ["libmariadb", "libmysqlclient"])
def test_without_tls_and_without_the_servers_key_it_says_what_would_do(pipeline, certificates, client, needs_library):
    # The names keep the server from making keys, and from finding those that it has.
    keys = ["--caching-sha2-password-%s-key-path=none.pem" % kind for kind in ("private", "public")]
    p = make(pipeline, "mysql", client, start=False, tls=certificates, options=keys)
    p.extra["source"] = dict(p.db.tcp(), tls="off")
    p.write_configs()
    p.db.sql("FLUSH PRIVILEGES")
    p.squeal.start(wait=False)
    # To Oracle's library the server says no more than that.
    wait_reason(p, *{"libmariadb": ["send the password over TLS or a unix socket only", "source.tls: required"],
                     "libmysqlclient": ["Access denied"]}[client])
    p.squeal.stop()
    p.extra["source"]["tls"] = "required"
    p.write_configs()
    p.squeal.start()
    insert(p, "k:1")
    p.wait_deleted(["k:1"])
