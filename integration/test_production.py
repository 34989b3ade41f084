"""What docs/production.md says and no other test shows: sizes, connections, rights, full disks, a region that is far away."""

import glob
import os
import re
import shlex
import shutil
import statistics
import subprocess
import time

import pytest

from harness import Kafka, Pipeline, show_logs, wait_until, write_config
from harness.pipeline import run_program
from harness.process import ROOT, free_port
from harness.proxy import Proxy
from test_bad_input import fill_disk, small_disk  # noqa: F401

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.usefixtures("there_is_a_kafka")
from test_kafka import insert, remove_state, says_not_ready, there_is_a_kafka, wait_complaint  # noqa: E402,F401


def page():
    with open(os.path.join(ROOT, "docs/production.md")) as f:
        return f.read()


# --- sizes --------------------------------------------------------------------------------------------------


def formula():
    """{name: bytes} of the page's table of sizes."""
    found = re.findall(r"^\| `(\w+)` \| (\d+) ", page(), re.M)
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


def connections(pid, ports):
    """How many connections the process has to these ports."""
    mine, found = set(), 0
    for fd in glob.glob("/proc/%d/fd/*" % pid):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(fd))
        except FileNotFoundError:
            continue
        if match:
            mine.add(match.group(1))
    with open("/proc/net/tcp") as f:
        for words in (line.split() for line in list(f)[1:]):
            found += words[9] in mine and words[3] == "01" and int(words[2].split(":")[1], 16) in ports
    return found


def test_the_connections_of_a_router_are_what_the_formula_says(pipeline):
    said = re.search(r"at most brokers × \((\d+) \+ (\d+) × its partitions\)", page())
    group, partition = int(said.group(1)), int(said.group(2))
    p = pipeline(kafka=3, topic={"partitions": 2, "replicas": 3, "min.insync.replicas": 2}, clusters=["a"], servers=3,
                 config={"router": {"queue_bytes": "64KiB"}})
    router, brokers = p.routers["a"], [b.port for b in p.kafka.brokers]
    p.barrier()
    for cache in p.caches["a"][:2]:
        # Servers at different places of the log: as many as are read for at a time.
        cache.kill()
        for i in range(12):
            insert(p, ["k:%d:%d:%d:%s" % (cache.port, i, j, "x" * 50) for j in range(300)])
        wait_until(lambda: router.metrics().total("squeal_router_behind", server=p.caches["a"][2].address) == 0, 20, "the one that is up")
    seen = []
    for cache in p.caches["a"][:2]:
        cache.start()

    def level():
        seen.append(connections(router.process.pid, brokers))
        return router.metrics().total("squeal_router_behind") == 0
    wait_until(level, 40, "every server to be level")
    wait_until(lambda: seen.append(connections(router.process.pid, brokers)) or len(seen) > 20, 10, "more looks")
    print("connections to 3 brokers, 2 partitions: at most %d seen" % max(seen))
    assert 2 < max(seen) <= 3 * (group + partition * 2)
    servers = [c.port for c in p.caches["a"]]
    # One partition has records.
    assert connections(router.process.pid, servers) <= len(servers) * 2


# --- rights -------------------------------------------------------------------------------------------------


class Rights(Pipeline):
    """squeal and the routers have accounts of their own."""

    def config(self, cluster=None, router=None, who=None):
        sections = super().config(cluster, router)
        who = who or ("router" if router or cluster else "squeal")
        sections["log"]["properties"].update({"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN",
                                              "sasl.username": who, "sasl.password": "of-" + who})
        return sections


def grants():
    """The page's kafka-acls.sh commands, as words behind the address."""
    text = page().split("### Rights")[1].replace("\\\n", " ")
    return [shlex.split(line)[3:] for line in text.splitlines() if line.strip().startswith("kafka-acls.sh ")]


def test_the_rights_of_the_page_are_enough_and_a_missing_one_is_named(rundir):
    kafka = Kafka(rundir, users={who: "of-" + who for who in ("squeal", "router", "replay")}, properties={
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Brokers among themselves, and the harness.
        "super.users": "User:ANONYMOUS"})
    p = Rights(rundir, kafka=kafka, clusters=["a"], instances=["one"])
    try:
        p.start_servers()
        p.squeal.start(wait=False)
        p.routers["a"].start(wait=False)
        # The topic cannot even be seen.
        for daemon in (p.squeal, p.routers["a"]):
            wait_complaint(daemon, "squeal", "authoriz|not allowed|denied|permission")
            wait_until(lambda: says_not_ready(daemon), 10, "%s not to be ready" % daemon.name)
        replay = os.path.join(rundir, "replay.yaml")
        write_config(replay, p.config(who="replay"))
        plan = ["squeal-replay", "-c", replay, "--state", os.path.join(rundir, "jobs"), "--from", "log", "--partition", "0"]
        assert run_program(*plan).returncode != 0
        commands = grants()
        assert len(commands) == 4
        for words in commands:
            kafka.tool("org.apache.kafka.tools.AclCommand", "--bootstrap-server", kafka.inner, *words)
        for daemon in (p.squeal, p.routers["a"]):
            daemon.wait_ready(60)
        insert(p, ["k:1"])
        p.wait_deleted(["k:1"], timeout=30)
        done = run_program(*plan)
        assert done.returncode == 0, done.stdout + done.stderr
        # Everything that a start asks for: the topic's settings could be read.
        p.squeal.stop()
        lines = len(p.squeal.process.log_text())
        for path in glob.glob(p.state_path + "*"):
            os.unlink(path)
        p.squeal.start()
        assert not re.search("authoriz|not allowed|denied", p.squeal.process.log_text()[lines:], re.I), p.squeal.process.log_text()[lines:]
        insert(p, ["k:2"])
        p.wait_deleted(["k:2"], timeout=30)
        wait_until(lambda: kafka.committed("squeal.a")[0] == kafka.bounds("squeal")[1], 20, "the group's commits to be taken")
        for daemon in p.daemons():
            assert "of-squeal" not in daemon.process.log_text() and "of-router" not in daemon.process.log_text()
    except BaseException:
        show_logs(rundir)
        raise
    finally:
        p.stop()


# --- partitions -----------------------------------------------------------------------------------------------


def test_a_source_stays_in_its_partition_when_the_topic_gets_more(pipeline):
    p = pipeline(kafka=True, clusters=["a"])
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    p.kafka.tool("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", p.kafka.inner, "--alter", "--topic", "squeal",
                 "--partitions", "7")
    for n, lost in enumerate((False, True)):
        p.squeal.stop()
        if lost:
            remove_state(p)
        p.squeal.start()
        insert(p, ["k:more:%d" % n])
        p.wait_deleted(["k:more:%d" % n], timeout=30)
        wait_complaint(p.squeal, "more partitions now; this source stays in its own")
    assert sum(p.kafka.bounds("squeal", n)[1] for n in range(1, 7)) == 0


# --- lost state ---------------------------------------------------------------------------------------------


def test_keys_of_a_prepared_transaction_that_went_with_the_state_are_a_gap(pipeline):
    p = pipeline(kafka=True, clusters=["a"])
    p.db.sql("CREATE TABLE demo.t (id INT); XA START 'x'; INSERT INTO demo.t VALUES (1) /*inv='k:xa'*/; XA END 'x'; XA PREPARE 'x'")
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    p.squeal.kill()
    remove_state(p)
    p.squeal.start()
    insert(p, ["k:2"])
    p.wait_deleted(["k:2"])
    p.db.sql("XA COMMIT 'x'")
    assert p.squeal.process.wait(20) == 20  # ERR_GAP's
    assert "whose keys were in the state file that is lost: flush the caches" in p.squeal.process.log_text()


# --- full disks ---------------------------------------------------------------------------------------------


def test_a_full_disk_of_the_state_costs_repeats_only(pipeline, small_disk):  # noqa: F811
    p = pipeline(start=False, kafka=True, clusters=["a"])
    p.state_path = os.path.join(small_disk, "state.db")
    p.write_configs()
    p.squeal.start()
    p.routers["a"].start()
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    filler = fill_disk(small_disk)
    keys = ["k:%d:%s" % (i, "x" * 200) for i in range(2000)]
    for i in range(0, len(keys), 200):
        insert(p, keys[i:i + 200])
    wait_complaint(p.squeal, "state.db", "full|no (space|room)")
    p.squeal.process.check_running()
    os.unlink(filler)
    p.wait_deleted(keys, timeout=30)
    p.squeal.wait_ready()
    p.squeal.kill()
    insert(p, ["k:after"])
    p.squeal.start()
    p.wait_deleted(["k:after"])


@pytest.fixture
def broker_disk(rundir):
    path = os.path.join(rundir, "broker-disk")
    os.makedirs(path)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", path],
                                           stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and a machine that allows it")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_of_a_broker_ends_the_broker_and_loses_nothing(pipeline, rundir, broker_disk):
    """Kafka gives up a folder that it cannot write to, and ends when it has no other."""
    kafka = Kafka(rundir, properties={"log.dirs": broker_disk})
    broker = kafka.brokers[0]
    shutil.copy(os.path.join(broker.data, "meta.properties"), broker_disk)
    p = pipeline(kafka=kafka, clusters=["a"])
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    filler = fill_disk(broker_disk)
    keys = ["k:%d:%s" % (i, "%032x" % (i * 7919)) for i in range(4000)]
    for i in range(0, len(keys), 200):
        insert(p, keys[i:i + 200])
    wait_until(lambda: not broker.process.running, 30, "the broker to end")
    wait_until(lambda: says_not_ready(p.squeal) and p.squeal.metrics().total("squeal_log_up") == 0, 30, "squeal to say so")
    assert "the log takes no records" in p.squeal.get("/readyz")[1]
    os.unlink(filler)
    broker.start()
    p.wait_deleted(keys, timeout=60)
    p.squeal.wait_ready()
    p.routers["a"].wait_ready()


# --- regions ------------------------------------------------------------------------------------------------


class Regions(Pipeline):
    """Cluster "far" reaches the brokers through a proxy, at an address that the broker advertises to it."""

    def config(self, cluster=None, router=None):
        sections = super().config(cluster, router)
        if router and router.cluster == "far":
            sections["log"]["brokers"] = self.far.address
        return sections


def latencies(p, cluster, keys, committed):
    acked = {key: at / 1e6 for at, _, _, key in reversed(p.trace(cluster))}
    return [acked[key] - committed[key] for key in keys]


def test_a_region_that_is_far_away_or_cut_off_is_late_alone(rundir):
    kafka = Kafka(rundir)
    broker, port = kafka.brokers[0], free_port()
    far = Proxy(port)
    kafka.properties.update({
        "listeners": "CLIENTS://127.0.0.1:%d,BROKERS://127.0.0.1:%d,FAR://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d"
                     % (broker.port, broker.inner_port, port, broker.controller_port),
        "advertised.listeners": "CLIENTS://%s,BROKERS://127.0.0.1:%d,FAR://%s" % (broker.address, broker.inner_port, far.address),
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT"})
    broker.write_config()
    p = Regions(rundir, kafka=kafka, clusters=["near", "far"])
    p.far = far
    try:
        far.delay = 0.08
        p.start()

        def some(name, n=40):
            committed = {}
            for i in range(n):
                key = "k:%s:%d" % (name, i)
                insert(p, [key])
                committed[key] = time.time()
            return committed
        # Both are level, and every connection is there.
        p.barrier()
        one = some("away")
        p.wait_deleted(one)
        near, late = (statistics.median(latencies(p, cluster, one, one)) for cluster in ("near", "far"))
        print("median: near %.1f ms, far %.1f ms, with 80 ms each way" % (1000 * near, 1000 * late))
        assert near < 0.08 < late < 1
        # Cut off: the others do not notice, and it catches up.
        far.stall()
        p.fill(["k:cut:%d" % i for i in range(40)])
        two = some("cut")
        p.wait_deleted(two, clusters=["near"])
        assert statistics.median(latencies(p, "near", two, two)) < 0.08
        assert not set(two) & p.deleted("far")
        assert p.routers["near"].ready()
        far.cut()
        far.resume()
        p.wait_deleted(two, clusters=["far"], timeout=60)
        assert all(p.held("far", key) == 1 for key in two)
    except BaseException:
        show_logs(rundir)
        raise
    finally:
        p.stop()
        far.close()
