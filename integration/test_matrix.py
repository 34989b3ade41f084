"""Every binlog setting that a server may have, in pairs: what is committed is delivered, what is rolled back is not,
and kill -9 of squeal in the middle loses nothing.

A cell is one choice of settings.  One server takes the cells one after the other, by SET GLOBAL while squeal reads, so
that formats, compression, checksums and GTIDs are switched on the fly as well.  Each pair of choices is in some cell;
`pytest -m soak` takes all of them.
"""

import itertools
import os

import pytest

from conftest import need
from harness import Certificates, Pipeline, oracle_build, run_dir, show_logs, wait_until

SERVERS = [("mariadb", "libmariadb"), ("mariadb-new", "libmariadb"), ("mysql", "libmariadb"), ("mysql", "libmysqlclient")]
GTID_MODES = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]
FACTORS = {
    "gtid": ["OFF", "ON_PERMISSIVE", "ON"],  # MariaDB always has them
    "format": ["ROW", "MIXED", "STATEMENT"],
    "texts": [True, False],
    "compression": [False, True],
    "checksum": ["CRC32", "NONE"],
    "image": ["FULL", "MINIMAL"],
    "rules": [False, True],
    "way": ["socket", "tls"],
}
RULES = """
rules:
  - table: demo.m
    keys: ["k:row:{id}"]
  - table: demo.held
    keys: ["k:row:{id}"]
  - table: demo.plain
    keys: ["k:row:{id}"]
"""


# --- which cells there are ------------------------------------------------------------------------------------

def makes_sense(cell):
    """Texts left out of row changes, and rules without rows, are refused: tests of their own."""
    return (cell["texts"] or cell["format"] == "STATEMENT") and (not cell["rules"] or cell["format"] == "ROW")


def product(factors):
    cells = [dict(zip(factors, values)) for values in itertools.product(*factors.values())]
    return [cell for cell in cells if makes_sense(cell)]


def pairs_of(cell):
    return set(itertools.combinations(sorted(cell.items(), key=str), 2))


def pairwise(cells):
    """Some of the cells that have every pair of choices which any of them has."""
    todo = set().union(*(pairs_of(cell) for cell in cells))
    chosen = []
    while todo:
        best = max(cells, key=lambda cell: len(pairs_of(cell) & todo))
        todo -= pairs_of(best)
        chosen.append(best)
    return chosen


def cells_of(server):
    cells = product(dict(FACTORS, gtid=["ON"] if server[0] != "mysql" else FACTORS["gtid"]))
    chosen = pairwise(cells)
    # GTIDs are switched on once, not off and on for each cell.
    for cell in sorted(cells, key=lambda cell: (cell not in chosen, GTID_MODES.index(cell["gtid"]))):
        name = "-".join([*server, cell["gtid"], cell["format"]] +
                        [word for word in ("texts", "compression", "rules") if cell[word]] +
                        [cell["checksum"], cell["image"], cell["way"]])
        yield pytest.param(server, cell, id=name, marks=() if cell in chosen else pytest.mark.soak)


CELLS = [param for server in SERVERS for param in cells_of(server)]
# As the server comes back from its arguments.
RESTART = {"gtid": "ON", "format": "ROW", "texts": True, "compression": False, "checksum": "CRC32", "image": "FULL",
           "rules": True, "way": "socket"}


def test_the_chosen_cells_have_every_pair():
    for server in SERVERS:
        everything = [param.values[1] for param in CELLS if param.values[0] == server]
        chosen = [param.values[1] for param in CELLS if param.values[0] == server and not param.marks]
        assert set().union(*map(pairs_of, chosen)) == set().union(*map(pairs_of, everything))
        assert len(chosen) < len(everything) / 5


# --- one server that takes them -------------------------------------------------------------------------------

class Bench:
    def __init__(self, flavour, library):
        self.server = (flavour, library)
        self.flavour = flavour
        self.mysql = flavour == "mysql"
        dir = run_dir("test_matrix_%s_%s" % (flavour, library))
        self.tls = Certificates(dir)
        options = dict({"gtid": "OFF"} if self.mysql else {}, binlog_format="ROW", row_metadata="FULL", tls=self.tls,
                       options=["--local-infile=ON"])
        self.p = Pipeline(dir, db=flavour, library=library, clusters=("east", "west"), servers=1, db_options=options)
        self.numbers = itertools.count(1)
        self.starts = itertools.count(1)
        self.cell = None
        self.rules = os.path.join(dir, "rules.yaml")
        with open(self.rules, "w") as f:
            f.write(RULES)
        self.lines = os.path.join(dir, "lines")

    def start(self):
        self.p.start_servers()
        self.p.db.create_replication_user("safe", dir=self.p.dir, auth={"mysql": "caching_sha2_password",
                                          "mariadb": "ed25519"}.get(self.flavour))
        self.p.db.sql("ALTER USER 'safe'@'%' REQUIRE X509; CREATE TABLE demo.m (id INT PRIMARY KEY, v LONGTEXT);"
                      "CREATE TABLE demo.held LIKE demo.m;"
                      "CREATE TABLE demo.plain (id INT PRIMARY KEY, v TEXT) ENGINE=MyISAM")
        if self.mysql:
            self.p.db.sql("SET GLOBAL enforce_gtid_consistency = ON")
        for router in self.p.routers.values():
            router.start(wait=False)
        return self

    # --- settings

    def set_gtid_mode(self, mode):
        """Step by step.  Back again is a new beginning for squeal, whose checkpoint is a set of ids by then."""
        at = GTID_MODES.index(self.p.db.sql("SELECT @@GLOBAL.gtid_mode"))
        to = GTID_MODES.index(mode)
        for step in range(at + 1, to + 1) if to > at else range(at - 1, to - 1, -1):
            self.p.db.sql("SET GLOBAL gtid_mode = " + GTID_MODES[step])
        return to >= at

    def set_server(self, cell):
        names = {"binlog_format": cell["format"], "binlog_row_image": cell["image"]}
        names["binlog_rows_query_log_events" if self.mysql else "binlog_annotate_row_events"] = cell["texts"]
        names["binlog_transaction_compression" if self.mysql else "log_bin_compress"] = cell["compression"]
        if not self.mysql:
            names["log_bin_compress_min_len"] = 10
        # It begins a new file each time.
        if self.p.db.sql("SELECT @@GLOBAL.binlog_checksum") != cell["checksum"]:
            names["binlog_checksum"] = "'%s'" % cell["checksum"]
        self.p.db.sql("".join("SET GLOBAL %s = %s;" % item for item in names.items()))

    def set_squeal(self, cell):
        source = self.p.db.tcp() if cell["way"] == "tls" else {"socket": self.p.db.socket}
        if cell["way"] == "tls":
            source.update(user="safe", tls="verify", tls_ca=self.tls.ca, tls_cert=self.tls.client_cert,
                          tls_key=self.tls.client_key)
        source["name"] = "s%d" % self.start_number
        self.p.extra = {"source": source}
        if cell["rules"]:
            self.p.extra["markers"] = {"rules": self.rules}
        self.p.write_configs()

    def take(self, cell, wait=True):
        """The server while squeal reads, then squeal, where it has other settings too."""
        goes_on = not self.mysql or self.set_gtid_mode(cell["gtid"])
        if self.cell is None or not goes_on:
            self.start_number = next(self.starts)
            self.p.squeal.kill()
        self.set_server(cell)
        same = self.cell and all(self.cell[word] == cell[word] for word in ("rules", "way"))
        self.set_squeal(cell)
        if not same:
            self.p.squeal.stop()
        self.cell = cell
        if not self.p.squeal.process.running:
            self.p.squeal.start(wait=wait)

    def restart_server(self, crash=False):
        if crash:
            self.p.db.kill()
        else:
            self.p.db.stop()
        if self.mysql:
            self.p.db.process.argv += ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        self.p.db.start()

    # --- transactions

    def work(self):
        return Work(self)

    def check(self, works):
        """All that was committed is acknowledged everywhere, and nothing else was."""
        kept = set().union(*(w.kept for w in works))
        dropped = set().union(*(w.dropped for w in works))
        assert kept and dropped and not kept & dropped
        self.p.wait_deleted(kept)
        self.p.barrier()
        for cluster in self.p.cluster_names:
            assert not dropped & self.p.deleted(cluster)


class Work:
    """One of each shape of transaction; `kept` and `dropped` are the keys that must and must not be deleted."""

    def __init__(self, bench):
        self.bench = bench
        self.cell = bench.cell
        self.kept, self.dropped = set(), set()
        self.db = bench.p.db.connect(autocommit=True, database="demo", local_infile=True)
        self.cursor = self.db.cursor()
        self.open = None

    def run(self, *statements):
        for sql in statements:
            self.cursor.execute(sql)

    def key(self, kept, row=None):
        key = "k:%d" % next(self.bench.numbers)
        keys = self.kept if kept else self.dropped
        keys.add(key)
        if row is not None and self.cell["rules"]:
            keys.add("k:row:%d" % row)
        return "/*inv='%s'*/" % key

    def insert(self, kept=True, value="x", table="m"):
        row = next(self.bench.numbers)
        return "INSERT INTO " + table + " (id, v) VALUES (%d, '%s') %s" % (row, value, self.key(kept, row))

    def single(self):
        self.run(self.insert())

    def several(self):
        row = next(self.bench.numbers)
        self.run("BEGIN", self.insert(), "INSERT INTO m (id, v) VALUES (%d, 'y') %s" % (row, self.key(True, row)),
                 "UPDATE m SET v = 'z' WHERE id = %d %s" % (row, self.key(True, row)),
                 "DELETE FROM m WHERE id = %d %s" % (row, self.key(True, row)), "COMMIT")

    def savepoint(self):
        self.run("BEGIN", self.insert(), "SAVEPOINT s", self.insert(False), "ROLLBACK TO SAVEPOINT s", self.insert(),
                 "COMMIT")

    def rolled_back(self):
        self.run("BEGIN", self.insert(False), self.insert(False), "ROLLBACK")

    def without_transaction(self):
        self.run(self.insert(table="plain"))

    def ddl(self):
        # The first commits what is open.
        self.run("BEGIN", self.insert(), "ALTER TABLE m ADD COLUMN w INT FIRST " + self.key(True), self.insert(),
                 "ALTER TABLE m DROP COLUMN w " + self.key(True), self.insert())

    def load_data(self):
        # In statement format the server writes it without its comment.
        if self.cell["format"] == "STATEMENT":
            return
        rows = [next(self.bench.numbers) for _ in range(3)]
        with open(self.bench.lines, "w") as f:
            f.writelines("%d\tloaded\n" % row for row in rows)
        comment = self.key(True)
        if self.cell["rules"]:
            self.kept.update("k:row:%d" % row for row in rows)
        self.run("LOAD DATA LOCAL INFILE '%s' INTO TABLE m (id, v) %s" % (self.bench.lines, comment))

    def large(self):
        self.run(self.insert(value="".join(str(n) for n in range(50000))))

    def xa(self, end, table="m"):
        xid = "'x%d'" % next(self.bench.numbers)
        self.run("XA START " + xid, self.insert(end != "XA ROLLBACK %s", table=table), "XA END " + xid)
        if "ONE PHASE" not in end:
            self.run("XA PREPARE " + xid)
        if end:
            self.run(end % xid)
        return xid

    def xas(self):
        for end in ("XA COMMIT %s", "XA ROLLBACK %s", "XA COMMIT %s ONE PHASE"):
            self.xa(end)

    def shapes(self):
        for shape in (self.single, self.several, self.savepoint, self.rolled_back, self.without_transaction, self.ddl,
                      self.load_data, self.large, self.xas, self.single):
            shape()
        return self

    def prepare(self):
        # It keeps its table from ALTER.  MariaDB lets another connection end it when this one is gone.
        self.open = self.xa("", table="held")
        self.close()
        return self

    def commit_prepared(self):
        def done():
            return self.bench.p.db.sql("XA COMMIT " + self.open, check=False) is not None
        wait_until(done, 10, "XA COMMIT " + self.open)

    def close(self):
        self.db.close()


@pytest.fixture(scope="module")
def benches():
    """Gives the Bench of a server.  One is up at a time: the cells of a server come one after the other."""
    up = []

    def get(server):
        if not up or up[0].server != server:
            while up:
                up.pop().p.stop()
            flavour, library = server
            need(flavour)
            if library == "libmysqlclient":
                oracle_build()
            up.append(Bench(*server))
            up[0].start()
        return up[0]
    yield get
    for bench in up:
        bench.p.stop()


@pytest.fixture
def bench(benches, server, request):
    made = benches(server)
    yield made
    if getattr(request.node, "failed_call", False):
        show_logs(made.p.dir)


def check_events(bench, cell):
    """The settings were those of the cell: what came by since squeal's last start says so."""
    metrics = bench.p.squeal.metrics()

    def seen(name):
        return metrics.total("squeal_binlog_%s_total" % name) > 0
    # In mixed format LOAD DATA comes as rows.
    assert seen("rows") == seen("rows_text") == (cell["format"] != "STATEMENT")
    # MySQL compresses transactions of rows only.
    compressed = cell["compression"] and not (bench.mysql and cell["format"] == "STATEMENT")
    assert seen("uncompressed") == compressed
    assert seen("payload") == (bench.mysql and compressed)
    assert not seen("rows_no_text") and not seen("checksum_failure") and not seen("bad")
    # With ON a place in a file becomes a set of ids when the next file begins: test_mysql_setup.py.
    started = bench.p.squeal.status()["source"]["started_at"]
    assert cell["gtid"] == "ON" or started.startswith("file:"), started


@pytest.mark.parametrize("server, cell", CELLS)
def test_nothing_is_lost_and_nothing_invented(bench, cell):
    bench.take(cell)
    before = bench.work().shapes()
    prepared = bench.work().prepare()
    # Killed where it has read some of it: inside of a file, for all that it knows inside of a transaction.
    bench.p.wait_deleted(sorted(before.kept)[:1])
    bench.p.squeal.kill()
    meanwhile = bench.work().shapes()
    bench.p.db.sql("FLUSH BINARY LOGS")
    after = bench.work().shapes()
    prepared.commit_prepared()
    bench.p.squeal.start()
    bench.check([before, prepared, meanwhile, after])
    for work in (before, meanwhile, after):
        work.close()
    check_events(bench, cell)


@pytest.mark.parametrize("server", SERVERS, ids="-".join)
def test_a_server_that_is_restarted_and_killed(bench):
    bench.take(RESTART)
    process = bench.p.squeal.process.pid
    works = []
    for crash in (False, True):
        works += [bench.work().shapes(), bench.work().prepare()]
        works[-2].close()
        bench.restart_server(crash)
        works[-1].commit_prepared()
    works.append(bench.work().shapes())
    bench.check(works)
    works[-1].close()
    assert bench.p.squeal.process.pid == process
