"""Rules on a source whose binlog has no column names: they come from information_schema, and stay right across DDL.

Columns have the same type wherever that makes it harder: with the wrong names the keys would come out wrong, and
nothing else would show it.
"""

import os
import threading
import time

import pytest

from harness import wait_until

RULES = """
rules:
  - table: shop.t
    keys: ["k:{id}:{a}:{b}"]
"""

# (flavour, binlog_row_metadata)
SOURCES = [("mariadb", "NO_LOG"), ("mariadb", "MINIMAL"), ("mysql", "MINIMAL")]


@pytest.fixture(params=SOURCES, ids="-".join)
def source(request):
    return request.param


@pytest.fixture
def shop(pipeline, rundir, source):
    """Makes a pipeline whose squeal has rules, and whose database has shop.t (id, a, b)."""
    def make(rules=RULES, start=True, grant=True, **config):
        path = os.path.join(rundir, "rules.yaml")
        with open(path, "w") as f:
            f.write(rules)
        config = {"markers": {"rules": path}, **config}
        p = pipeline(start=False, clusters=["c"], config=config, db=source[0],
                     db_options={"binlog_format": "ROW", "row_metadata": source[1]})
        if grant:
            p.db.sql("GRANT REFERENCES ON *.* TO 'squeal'@'%'")
        p.db.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, a INT, b INT)")
        if start:
            p.squeal.start()
            p.routers["c"].start()
        return p
    return make


def keys(p):
    return {key for key in p.deleted("c") if not key.startswith("kbarrier")}


def wait_gap(p):
    """What /readyz says in the end, of a squeal that may still be starting."""
    def gap():
        try:
            return p.squeal.metrics().total("squeal_source_gap") == 1
        except OSError:
            return False
    wait_until(gap, 15, "the GAP")
    return p.squeal.get("/readyz")[1]


def insert(p, id, a, b):
    p.db.sql("INSERT INTO shop.t (id, a, b) VALUES (%d, %d, %d)" % (id, a, b))
    return "k:%d:%d:%d" % (id, a, b)


DDL = [
    "ALTER TABLE shop.t ADD COLUMN c INT FIRST",
    "ALTER TABLE shop.t MODIFY a INT AFTER b",
    "USE shop; ALTER TABLE t MODIFY id INT AFTER b",
    "ALTER TABLE shop.t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
    "ALTER TABLE shop.t DROP COLUMN c",
    "ALTER TABLE shop.t DROP COLUMN a; ALTER TABLE shop.t ADD COLUMN a INT FIRST",
    "CREATE TABLE shop._new (b INT, a INT, id INT PRIMARY KEY); RENAME TABLE shop.t TO shop._old, shop._new TO shop.t",
    "RENAME TABLE shop.t TO shop._new, shop._old TO shop.t",
    "DROP TABLE shop.t; CREATE TABLE shop.t (b INT, id INT PRIMARY KEY, a INT)",
    "CREATE TABLE shop.u (a INT, b INT, id INT PRIMARY KEY); DROP TABLE shop.t; ALTER TABLE shop.u RENAME shop.t",
    "DROP DATABASE shop; CREATE DATABASE shop; CREATE TABLE shop.t (id INT, b INT, a INT) PARTITION BY HASH (id) PARTITIONS 3",
    "ALTER TABLE shop.t TRUNCATE PARTITION ALL",
    "TRUNCATE TABLE shop.t",
    "USE shop; ALTER /* a */ TABLE `t` /*!50000 ADD COLUMN c INT FIRST */",
    "CREATE TEMPORARY TABLE shop.t (b INT, c INT, id INT, a INT); DROP TEMPORARY TABLE shop.t",
]


def test_keys_are_right_across_ddl_while_squeal_runs(shop):
    p = shop()
    want = {insert(p, 1, 10, 11)}
    # A table that changes before squeal has seen its first row is another test.
    p.wait_deleted(want)
    for i, ddl in enumerate(DDL):
        p.db.sql(ddl)
        want.add(insert(p, 100 + i, 1000 + i, 2000 + i))
        p.wait_deleted(want)
    assert keys(p) == want
    p.squeal.wait_ready()
    assert p.squeal.metrics().total("squeal_schema_dropped_total") >= 10


def test_keys_are_right_under_concurrent_writes(shop):
    p = shop()
    want, stop, broken = set(), threading.Event(), []

    def write(worker):
        try:
            with p.db.connect(autocommit=True) as db, db.cursor() as c:
                n = 0
                while not stop.is_set():
                    n += 1
                    id = worker * 1000000 + n
                    c.execute("INSERT INTO shop.t (id, a, b) VALUES (%d, %d, %d)" % (id, id + 1, id + 2))
                    want.add("k:%d:%d:%d" % (id, id + 1, id + 2))
                    time.sleep(0.001)
        except Exception as e:  # shown by the assert below
            broken.append(e)
    workers = [threading.Thread(target=write, args=(n,)) for n in (1, 2, 3)]
    for worker in workers:
        worker.start()
    try:
        # A table that changes before its first row was read is another test.
        wait_until(lambda: p.squeal.metrics().total("squeal_schema_fetch_total") > 0, 10, "the first row")
        for i in range(6):
            for ddl in ("ADD COLUMN c INT FIRST", "MODIFY b INT AFTER id", "MODIFY a INT AFTER id", "DROP COLUMN c"):
                fetched = p.squeal.metrics().total("squeal_schema_fetch_total")
                p.db.sql("ALTER TABLE shop.t " + ddl)
                # The next one comes when the columns were read again: two at once are another test.
                wait_until(lambda: p.squeal.metrics().total("squeal_schema_fetch_total") > fetched or
                           not p.squeal.ready(), 10, "the columns")
                p.barrier()
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not broken
    p.wait_deleted(want)
    assert keys(p) == want
    p.squeal.wait_ready()


def test_a_change_while_squeal_was_stopped_is_followed(shop):
    p = shop()
    want = {insert(p, 1, 10, 11)}
    p.wait_deleted(want)
    p.squeal.stop()
    want.add(insert(p, 2, 20, 21))
    p.db.sql("ALTER TABLE shop.t RENAME COLUMN a TO b, RENAME COLUMN b TO a")
    want.add(insert(p, 3, 30, 31))
    p.squeal.start(wait=False)
    p.wait_deleted(want)
    want.add(insert(p, 4, 40, 41))
    p.wait_deleted(want)
    assert keys(p) == want
    p.squeal.wait_ready()


def test_two_changes_while_squeal_was_stopped_are_right_or_a_gap(shop):
    p = shop()
    want = {insert(p, 1, 10, 11)}
    p.wait_deleted(want)
    p.squeal.stop()
    swap = "ALTER TABLE shop.t RENAME COLUMN a TO b, RENAME COLUMN b TO a"
    want.add(insert(p, 2, 20, 21))
    p.db.sql(swap)
    between = insert(p, 3, 30, 31)
    p.db.sql(swap)
    behind = insert(p, 4, 40, 41)
    p.squeal.start(wait=False)
    text = wait_gap(p)
    assert "shop.t changed at" in text and "SET GLOBAL binlog_row_metadata=FULL" in text
    p.wait_deleted(want)
    assert behind not in keys(p)
    # What nobody can know is said, again after a restart, and the checkpoint stays before it.
    p.squeal.kill()
    p.squeal.start(wait=False)
    assert "shop.t changed at" in wait_gap(p)
    # The operator has flushed the caches.
    p.squeal.stop()
    p.squeal.process.argv += ["--start", "now"]
    p.squeal.start()
    want.add(insert(p, 5, 50, 51))
    p.wait_deleted(want)
    assert keys(p) - want <= {between, "k:3:31:30"}


def test_two_changes_without_rows_in_between_are_followed(shop):
    p = shop()
    want = {insert(p, 1, 10, 11)}
    p.wait_deleted(want)
    p.squeal.stop()
    want.add(insert(p, 2, 20, 21))
    p.db.sql("ALTER TABLE shop.t ADD COLUMN c INT FIRST; ALTER TABLE shop.t RENAME COLUMN a TO b, "
             "RENAME COLUMN b TO a")
    want.add(insert(p, 3, 30, 31))
    p.squeal.start(wait=False)
    p.wait_deleted(want)
    assert keys(p) == want
    p.squeal.wait_ready()


def test_columns_of_another_number_are_a_gap_before_a_key_is_made(shop):
    p = shop(start=False, source={"start": "earliest"})
    insert(p, 1, 10, 11)
    p.db.sql("ALTER TABLE shop.t ADD COLUMN c INT FIRST")
    p.squeal.start(wait=False)
    text = wait_gap(p)
    assert "it has 4 columns now and 3 in the binlog" in text
    p.routers["c"].start()
    assert not keys(p)


def test_a_table_that_is_gone_is_a_gap(shop):
    p = shop(start=False, source={"start": "earliest"})
    insert(p, 1, 10, 11)
    p.db.sql("DROP TABLE shop.t")
    p.squeal.start(wait=False)
    assert "the table is not there any more" in wait_gap(p)


def test_a_missing_privilege_is_named_and_mended(shop):
    p = shop(grant=False)
    want = {insert(p, 1, 10, 11)}
    wait_until(lambda: "GRANT REFERENCES ON `shop`.* TO 'squeal'@'%'" in p.squeal.process.log_text(), 15,
               "the complaint")
    wait_until(lambda: any(words in p.squeal.get("/readyz")[1] for words in ("a privilege is missing", "REFERENCES")), 10,
               "/readyz to say so")
    p.db.sql("GRANT REFERENCES ON `shop`.* TO 'squeal'@'%'")
    p.wait_deleted(want)
    assert keys(p) == want


TYPES = {
    "tu": ("TINYINT UNSIGNED", "255", "255"),
    "bu": ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551615"),
    "neg": ("INT", "-5", "-5"),
    "z": ("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    "e": ("ENUM('x','it''s','back\\\\slash','c,d')", "'it''s'", "it%27s"),
    "e2": ("ENUM('x','it''s','back\\\\slash','c,d')", "'back\\\\slash'", "back%5Cslash"),
    "s": ("SET('r','s','t')", "'r,t'", "r%2Ct"),
    "d": ("DECIMAL(10,2)", "-12.5", "-12.50"),
    "t": ("TIME(3)", "'10:11:12.5'", "10%3A11%3A12.500"),
    "dt": ("DATETIME", "'2026-01-02 03:04:05'", "2026-01-02%2003%3A04%3A05"),
    "y": ("YEAR", "2026", "2026"),
    "bi": ("BIT(12)", "b'100000000001'", "2049"),
    "fixed": ("BINARY(4)", "'ab'", "ab%00%00"),
    "vb": ("VARBINARY(300)", "'ab'", "ab"),
    "c": ("CHAR(10) CHARACTER SET utf8mb4", "'abc'", "abc"),
    "v": ("VARCHAR(300) CHARACTER SET latin1", "'abc'", "abc"),
    "tx": ("MEDIUMTEXT", "'long'", "long"),
    "inv": ("INT INVISIBLE", "7", "7"),
}


def test_every_type_makes_the_text_that_the_application_has(shop):
    p = shop(rules="rules:\n  - table: shop.types\n    keys: [%s]\n"
                   % ", ".join('"k:%s:{%s|url}"' % (name, name) for name in list(TYPES) + ["gv", "gs"]))
    p.db.sql("CREATE TABLE shop.types (id INT PRIMARY KEY, gv INT AS (id + 1) VIRTUAL, gs INT AS (id + 2) STORED, %s)"
             % ", ".join("%s %s" % (name, kind) for name, (kind, _, _) in TYPES.items()))
    p.db.sql("INSERT INTO shop.types (id, %s) VALUES (40, %s)"
             % (", ".join(TYPES), ", ".join(value for _, value, _ in TYPES.values())))
    p.wait_deleted(["k:%s:%s" % (name, text) for name, (_, _, text) in TYPES.items()] + ["k:gv:41", "k:gs:42"])


def test_a_text_of_an_enum_whose_bytes_are_not_known_is_a_gap(shop):
    p = shop(rules="rules:\n  - table: shop.e\n    keys: ['k:{e|url}']\n")
    p.db.sql("CREATE TABLE shop.e (e ENUM('\u00e4') CHARACTER SET latin1); SET NAMES utf8mb4;"
             "INSERT INTO shop.e VALUES (1)")
    assert "of table shop.e cannot be known" in wait_gap(p)


def test_columns_that_nobody_shows_do_not_confuse(shop, source):
    if source[0] != "mariadb":
        pytest.skip("system versioning and hashed unique keys are MariaDB's")
    p = shop()
    p.db.sql("DROP TABLE shop.t; CREATE TABLE shop.t (a INT, id INT, b INT, x TEXT, UNIQUE (x) USING HASH)"
             " WITH SYSTEM VERSIONING")
    want = {insert(p, 1, 10, 11)}
    p.db.sql("SET system_versioning_alter_history = KEEP; ALTER TABLE shop.t ADD c INT")
    want.add(insert(p, 2, 20, 21))
    p.wait_deleted(want)
    assert keys(p) == want


def test_a_restart_needs_no_server_for_what_it_knows(shop):
    p = shop()
    want = {insert(p, 1, 10, 11)}
    p.wait_deleted(want)
    p.squeal.kill()
    p.squeal.start()
    want.add(insert(p, 2, 20, 21))
    p.wait_deleted(want)
    assert p.squeal.metrics().total("squeal_schema_fetch_total") == 0
