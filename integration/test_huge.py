"""I12: a transaction of very many rows, each with a key by rule, costs disk and time, never memory.

make check has a million rows, make soak ten million (SQUEAL_HUGE_ROWS says otherwise).
"""

import os

import pytest

from harness import Failure

RULES = 'rules:\n  - table: demo.big\n    keys: ["row:{id}"]\n'
MIB = 1 << 20
CHECK_ROWS, SOAK_ROWS = 1000000, 10000000


def peak_memory(process):
    with open("/proc/%d/status" % process.pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise Failure("no VmHWM of %s" % process.name)


def fill_in_one_transaction(db, rows):
    """Doubles a table until it has so many rows, in a single transaction that both flavours can do."""
    sql = ["CREATE TABLE demo.big (id BIGINT UNSIGNED PRIMARY KEY, v INT) ENGINE=InnoDB", "BEGIN",
           "INSERT INTO demo.big VALUES (1, 0)"]
    have = 1
    while have < rows:
        more = min(have, rows - have)
        sql.append("INSERT INTO demo.big SELECT id + %d, 0 FROM demo.big WHERE id <= %d" % (have, more))
        have += more
    db.sql(";\n".join(sql + ["COMMIT"]), timeout=1800)


def run(pipeline, rows, flavour, **db_options):
    p = pipeline(start=False, clusters=["a"], db=flavour, trace_prefix="t:",
                 db_options=dict(binlog_format="ROW", row_metadata="FULL", **db_options))
    rules = os.path.join(p.dir, "rules.yaml")
    with open(rules, "w") as f:
        f.write(RULES)
    p.extra = {"markers": {"rules": rules}}
    p.write_configs()
    p.squeal.start()
    for router in p.routers.values():
        router.start()
    sample = ["row:%d" % (1 + i * (rows - 1) // 99) for i in range(100)]
    p.fill(sample + ["row:%d" % (rows + 1)])
    fill_in_one_transaction(p.db, rows)
    p.barrier(timeout=60 + rows // 10000)
    # Every server got a copy, and a delete goes to the key's own server.
    assert [key for key in sample if p.held("a", key) != 1] == []
    assert p.held("a", "row:%d" % (rows + 1)) == 2
    m = p.squeal.metrics()
    assert m.total("squeal_rule_key_total") >= rows
    assert m.total("squeal_spill_bytes_total") > 0
    # queue_bytes and txn_memory, 8 MiB each, and a record with its copy.
    assert peak_memory(p.squeal.process) <= (64 + 8 + 8 + 1) * MIB
    assert peak_memory(p.routers["a"].process) <= (64 + 1 * 2) * MIB


def rows_of(default):
    return int(os.environ.get("SQUEAL_HUGE_ROWS", default))


def test_a_mariadb_transaction_of_many_rows(pipeline):
    run(pipeline, rows_of(CHECK_ROWS), "mariadb")


def test_a_mysql_transaction_of_many_rows(pipeline):
    run(pipeline, rows_of(CHECK_ROWS), "mysql")


def test_a_compressed_mysql_transaction_of_many_rows(pipeline):
    run(pipeline, rows_of(CHECK_ROWS), "mysql", compression=True)


@pytest.mark.soak
@pytest.mark.parametrize("compression", [False, True])
@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
def test_a_transaction_of_ten_million_rows(pipeline, flavour, compression):
    run(pipeline, rows_of(SOAK_ROWS), flavour, compression=compression)
