"""MariaDB 11.8, out of its private root: what its binlog has that 10.11's has not.

Since 11.4 events inside of a transaction say end_log_pos 0; since 11.7 a large transaction is written to a file of its
own, which then becomes the next binlog file.  The settings that both have are in test_matrix.py.
"""

import json
import re
import struct

from harness.pipeline import run_program

LARGE = {"binlog_format": "ROW",
         "options": ["--binlog-large-commit-threshold=10485760", "--max-allowed-packet=64M"]}
GTID, XID = 162, 16


def events(path):
    """[(begin, end, type, end_log_pos)] of a binlog file."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:4] == b"\xfebin"
    out, at = [], 4
    while at < len(data):
        _, kind, _, size, end_log_pos, _ = struct.unpack_from("<IBIIIH", data, at)
        out.append((at, at + size, kind, end_log_pos))
        at += size
    return out


def large_transaction(p, keys):
    p.db.sql("BEGIN;" + "".join("INSERT INTO demo.t VALUES (%d, REPEAT('x', 3000000)) /*inv='%s'*/;" % (100 + n, key)
                                for n, key in enumerate(keys)) + "COMMIT")


def test_end_log_pos_0_and_a_file_that_is_one_transaction(pipeline):
    p = pipeline(db="mariadb-new", clusters=["a"], db_options=LARGE)
    p.db.sql("CREATE TABLE demo.t (id INT PRIMARY KEY, v LONGTEXT);"
             "BEGIN; INSERT INTO demo.t VALUES (1, 'x') /*inv='k:1'*/; INSERT INTO demo.t VALUES (2, 'x') /*inv='k:2'*/;"
             "COMMIT; INSERT INTO demo.t VALUES (3, 'x') /*inv='k:3'*/")
    p.wait_deleted(["k:1", "k:2", "k:3"])
    # What is in the middle of a file is behind events without a place.
    p.squeal.kill()
    p.db.sql("INSERT INTO demo.t VALUES (4, 'x') /*inv='k:4'*/")
    p.squeal.start()
    p.wait_deleted(["k:4"])
    large = ["k:large:%d" % n for n in range(6)]
    large_transaction(p, large)
    p.db.sql("INSERT INTO demo.t VALUES (5, 'x') /*inv='k:5'*/")
    p.wait_deleted(large + ["k:5"])
    p.squeal.kill()
    p.db.sql("INSERT INTO demo.t VALUES (6, 'x') /*inv='k:6'*/; DELETE FROM demo.t WHERE id >= 100")
    large_transaction(p, [key + ":again" for key in large])
    p.squeal.start()
    p.wait_deleted(["k:6"] + [key + ":again" for key in large])

    files = p.db.binlog_files()
    seen = [events(path) for path in files]
    assert any(end_log_pos == 0 for of_file in seen for _, _, _, end_log_pos in of_file)
    # The large ones begin their files, with an event that fills the room left for it.
    padded = [end - begin for of_file in seen for begin, end, kind, _ in of_file if kind == GTID and end - begin > 1000]
    assert len(padded) == 3  # the DELETE has the old rows

    done = run_program("squeal", "keys", *files)
    assert done.returncode == 0, done.stderr
    offline = [json.loads(line) for line in done.stdout.splitlines()]
    keys = {key for line in offline for key in line["keys"]}
    assert {"k:%d" % n for n in range(1, 7)} | set(large) | {key + ":again" for key in large} <= keys
    # The place of each is where its last event ends.
    ends = {(path.rsplit("/", 1)[1], end) for path, of_file in zip(files, seen) for _, end, kind, _ in of_file if kind == XID}
    assert ends <= {(line["file"], line["pos"]) for line in offline}


def test_what_the_gate_lets_through_is_visible(database):
    db = database("mariadb-new", durable=True)
    done = run_program("bench_gate", db.socket, "gate", "2", "8", "10", timeout=120)
    assert done.stdout, done.stderr
    got = {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert got["checked"] > 5 and got["too_early"] == 0, got
    assert got["query"] > 0, got


def test_the_gate_counts_a_large_transaction_like_any_other(pipeline):
    """It is written without the group commit that the gate's count follows."""
    p = pipeline(db="mariadb-new", clusters=["a"], db_options=LARGE)
    p.db.sql("CREATE TABLE demo.t (id INT PRIMARY KEY, v LONGTEXT); INSERT INTO demo.t VALUES (1, 'x') /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    p.barrier()
    before = p.squeal.metrics()
    for n in range(2):
        large_transaction(p, ["k:large:%d:%d" % (n, i) for i in range(5)])
        p.wait_deleted(["k:large:%d:%d" % (n, i) for i in range(5)])
        p.db.sql("DELETE FROM demo.t WHERE id >= 100 /*inv='k:%d'*/" % (n + 2))
        p.wait_deleted(["k:%d" % (n + 2)], timeout=5)
    after = p.squeal.metrics()
    for name in ("squeal_gate_calibrated_total", "squeal_gate_held_total", "squeal_visibility_gave_up_total"):
        assert after.total(name) == before.total(name)
