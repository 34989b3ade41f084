"""What docs/production.md says about sizes is what is on the disk of a broker."""

import glob
import os
import re

import pytest

from harness import wait_until
from harness.process import ROOT

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.usefixtures("there_is_a_kafka")
from test_kafka import there_is_a_kafka  # noqa: E402,F401


def formula():
    """{name: bytes} of the page's table of sizes."""
    with open(os.path.join(ROOT, "docs/production.md")) as f:
        found = re.findall(r"^\| `(\w+)` \| (\d+) ", f.read(), re.M)
    return {name: int(value) for name, value in found}


def on_disk(p):
    files = glob.glob(os.path.join(p.kafka.brokers[0].data, "squeal-0", "*.log"))
    assert files
    return sum(os.path.getsize(path) for path in files)


def grown(p, transactions, keys, alone):
    """Bytes that the log grew by, uncompressed; one record each when `alone`, as few as it takes otherwise."""
    statements = ["BEGIN; INSERT INTO demo.sized VALUES (1) /*inv='%s'*/; COMMIT"
                  % "%2C".join("k:%09d:%d" % (i, j) for j in range(keys)) for i in range(transactions)]
    p.barrier()
    before, records = on_disk(p), p.kafka.bounds("squeal")[1]
    if alone:
        for statement in statements:
            end = p.kafka.bounds("squeal")[1]
            p.db.sql(statement)
            wait_until(lambda: p.kafka.bounds("squeal")[1] > end, 10, "the record")
    else:
        p.db.sql(";".join(statements))
    last = "k:%09d:%d" % (transactions - 1, keys - 1)
    p.wait_deleted([last])
    return on_disk(p) - before, p.kafka.bounds("squeal")[1] - records


@pytest.mark.parametrize("keys", [1, 5])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "together"])
def test_the_bytes_of_the_log_are_what_the_formula_says(pipeline, keys, alone):
    p = pipeline(kafka=True, clusters=["a"], servers=1, config={
        "log": {"properties": {"compression.type": "none"}}, "squeal": {"linger": "0ms" if alone else "200ms"}})
    p.db.sql("CREATE TABLE demo.sized (id INT)")
    transactions = 40 if alone else 2000
    found, records = grown(p, transactions, keys, alone)
    f = formula()
    said = records * f["record"] + transactions * (f["transaction"] + keys * (f["key"] + 13))
    print("%d keys, %s: %.1f bytes per transaction, %d records, the formula says %.1f"
          % (keys, "alone" if alone else "together", found / transactions, records, said / transactions))
    assert 0.85 * said < found < 1.15 * said
