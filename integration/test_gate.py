"""The visibility gate on live servers: what it lets through can be seen by every reader (squeal/binlog/gate.h).

bench_gate writes rows with eight clients, reads the stream, and reads each row right after its commit has come by.
"""

import re

import pytest

from harness import NoMysql
from harness.pipeline import make_database, run_program

SECONDS = "2"
SERVERS = {
    "mariadb": ("mariadb", {}, None),
    "mysql": ("mysql", {}, None),
    "mysql-unordered": ("mysql", {}, "SET GLOBAL binlog_order_commits=OFF"),
    "mysql-semi-sync": ("mysql", {"semi_sync": True}, None),
    "mysql-without-gtids": ("mysql", {"gtid": "OFF"}, None),
}


@pytest.fixture
def server(rundir, request):
    flavour, options, sql = SERVERS[request.param]
    try:
        db = make_database(flavour, rundir, durable=True, **options)
    except NoMysql as why:
        pytest.skip("skipped: %s" % why)
    try:
        db.start()
        if sql:
            db.sql(sql)
        if options.get("semi_sync"):
            db.add_replica()
        yield db
    finally:
        db.discard()


def bench(db, mode, rotations):
    done = run_program("bench_gate", db.socket, mode, SECONDS, "8", str(rotations), timeout=120)
    assert done.stdout, done.stderr
    return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", done.stdout)}


@pytest.mark.parametrize("server", SERVERS, indirect=True)
def test_what_the_gate_lets_through_is_visible(server):
    got = bench(server, "gate", 10)
    assert got["checked"] > 5 and got["too_early"] == 0, got
    # Without ids there is nothing to ask, and every one is held.
    if server.gtid_on:
        assert got["query"] > 0 and got["rotations"] > 0, got
    else:
        assert got["held"] == got["checked"] and got["query"] == 0, got


@pytest.mark.parametrize("server", ["mysql-semi-sync"], indirect=True)
def test_without_the_gate_rows_are_read_too_early(server):
    """What the test above sees only if it can see anything: here most commits wait for the replica."""
    got = bench(server, "none", 0)
    assert got["too_early"] > got["checked"] // 20, got
