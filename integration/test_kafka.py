"""Kafka as the log: the topic, its records and settings, lost state, groups, TLS and passwords.

What brokers do wrong is in test_kafka_faults.py.
"""

import glob
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import ROOT, Failure, Kafka, Load, kafka_dist, wait_until
from harness.kafka import batch
from harness.root import NoServer

pytest.importorskip("confluent_kafka")

GROUP = "squeal.a"


@pytest.fixture(autouse=True, scope="module")
def there_is_a_kafka():
    try:
        kafka_dist()
    except NoServer as e:
        pytest.skip(str(e))


def insert(p, keys, value=1):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/" % (value, ",".join(keys)))


def complaints(daemon, *words):
    """The log lines of level NOTICE or worse that hold all the words."""
    return [line for line in daemon.process.log_text().splitlines()
            if line.split()[1:2] and line.split()[1] in ("NOTICE", "WARN", "ERROR", "CRIT")
            and all(re.search(w, line, re.I) for w in words)]


def wait_complaint(daemon, *words, timeout=20):
    try:
        wait_until(lambda: complaints(daemon, *words), timeout, "")
    except Failure:
        raise Failure("%s did not log a warning with %s; its log ends:\n%s"
                      % (daemon.name, words, "\n".join(daemon.process.log_text().splitlines()[-8:])))
    return complaints(daemon, *words)[0]


def says_not_ready(daemon):
    try:
        return daemon.get("/readyz")[0] == 503
    except OSError:
        daemon.process.check_running()
        return False


def leaves_if_it_said_so(daemon, line):
    """A line of level CRIT is a daemon's last, and is written before it has ended."""
    if line.split()[1] == "CRIT":
        wait_until(lambda: not daemon.process.running, 20, "%s to end after: %s" % (daemon.name, line))


def supervised(p, cond):
    """The condition; whoever has left is started again first, as a supervisor would."""
    for daemon in p.daemons():
        if not daemon.process.running and daemon.process.popen is not None:
            daemon.start(wait=False)
    return cond()


def remove_state(p):
    files = glob.glob(p.state_path + "*")
    assert files, "squeal kept no state in %s" % p.state_path
    for path in files:
        os.unlink(path)


def decode(value):
    """What protoc, which shares no code with ours, reads in a record."""
    done = subprocess.run(["protoc", "--decode=squeal.v1.InvalidationBatch", "--proto_path=" + os.path.join(ROOT, "schemas"),
                           "invalidation.proto"], input=value, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def clean(load, p, wait=30):
    """The load ends; the checker finds nothing lost, nothing stale."""
    load.finish()
    verdict = load.check(wait=wait)
    assert verdict.clean, "%s\n%s" % (verdict, verdict.log)
    return verdict


# --- records ------------------------------------------------------------------------------------------------


def test_every_committed_key_goes_through_the_topic_to_every_cluster(pipeline):
    p = pipeline(kafka=True, trace_prefix="demo:")
    load = Load(p, rate=500, seconds=5, writers=4, readers=2, reads=1000, items=500).start()
    load.wait()
    verdict = clean(load, p)
    assert verdict["commits"] > 1000
    low, high = p.kafka.bounds("squeal")
    assert high > 0
    # Nothing else is written on the way: no log file, no cursors but the group's.
    assert not os.path.exists(p.log_path)


def test_a_record_is_a_protobuf_batch_under_the_name_of_its_source(pipeline):
    p = pipeline(kafka=True, clusters=["a"], config={"source": {"name": "shop"}})
    insert(p, ["k:1", "k:2"])
    p.wait_deleted(["k:1", "k:2"])
    messages = [m for m in p.kafka.records("squeal") if b"k:1" in m.value()]
    assert len(messages) == 1
    assert messages[0].key() == b"shop"
    text = decode(messages[0].value())
    assert 'source: "shop"' in text and 'keys: "k:1"' in text and 'keys: "k:2"' in text
    # The position rides in the record.
    position = re.search(r'^position: "(.*)"$', text, re.M).group(1)
    assert re.fullmatch(r"gtid:\d+-\d+-\d+(,\d+-\d+-\d+)*", position), position


def test_records_that_anybody_wrote_in_the_format_are_delivered(pipeline):
    """The topic is an interface: the router needs the format, not our program."""
    p = pipeline(kafka=True, clusters=["a"])
    p.kafka.produce("squeal", b"billing", batch("billing", ["k:invoice:1"]))
    p.wait_deleted(["k:invoice:1"])


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_compression_is_what_the_properties_say(pipeline, codec):
    p = pipeline(kafka=True, clusters=["a"], config={"log": {"properties": {"compression.type": codec}}})
    keys = ["k:%s:%d" % ("x" * 60, i) for i in range(900)]
    insert(p, keys)
    p.wait_deleted(keys)
    said = p.kafka.tool("kafka.tools.DumpLogSegments", "--files", *glob.glob(
        os.path.join(p.kafka.brokers[0].data, "squeal-0", "*.log")))
    assert codec in re.findall(r"compresscodec: (\w+)", said), said


# --- state and positions ------------------------------------------------------------------------------------


def test_lost_state_is_made_again_from_the_topic(pipeline):
    p = pipeline(kafka=True, trace_prefix="demo:")
    load = Load(p, rate=300, seconds=1000, writers=4, readers=2, reads=500, items=500).start()
    for _ in range(3):
        time.sleep(1)
        p.squeal.kill()
        remove_state(p)
        time.sleep(0.5)
        p.squeal.start()
    verdict = clean(load, p)
    assert verdict["commits"] > 500


def test_state_restored_from_an_old_backup_costs_repeats_only(pipeline):
    p = pipeline(kafka=True, clusters=["a"])
    insert(p, ["k:old"])
    p.wait_deleted(["k:old"])
    assert p.squeal.stop() == 0
    backup = {path: path + ".backup" for path in glob.glob(p.state_path + "*")}
    for path, copy in backup.items():
        shutil.copy(path, copy)
    p.squeal.start()
    insert(p, ["k:new"])
    p.wait_deleted(["k:new"])
    p.squeal.kill()
    remaining = [path for path in glob.glob(p.state_path + "*") if not path.endswith(".backup")]
    for path in remaining:
        os.unlink(path)
    for path, copy in backup.items():
        shutil.move(copy, path)
    insert(p, ["k:while-dead"])
    p.squeal.start()
    p.wait_deleted(["k:while-dead"])


def test_a_topic_that_was_made_anew_while_squeal_was_away_is_noticed(pipeline):
    """The state knows that it had more.  What was not in it is read from the source."""
    p = pipeline(kafka=True, clusters=["a"])
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    p.squeal.stop()
    p.routers["a"].stop()
    p.kafka.delete_topic("squeal")
    p.kafka.create_topic("squeal")
    insert(p, ["k:meanwhile"])
    p.squeal.start(wait=False)
    p.routers["a"].start(wait=False)
    p.wait_deleted(["k:meanwhile"])
    wait_complaint(p.squeal, "topic", "lost", "acknowledged")


def test_an_xa_transaction_outlives_squeal_with_its_state(pipeline):
    p = pipeline(kafka=True, clusters=["a"])
    p.db.sql("CREATE TABLE demo.t (id INT)")
    c = p.db.connect(database="demo")
    with c.cursor() as cur:
        cur.execute("XA START 'x'")
        cur.execute("INSERT INTO t VALUES (1) /*inv='k:xa'*/")
        cur.execute("XA END 'x'")
        cur.execute("XA PREPARE 'x'")
    insert(p, ["k:barrier"])
    p.wait_deleted(["k:barrier"])
    p.squeal.kill()
    p.squeal.start()
    with c.cursor() as cur:
        cur.execute("XA COMMIT 'x'")
    c.close()
    p.wait_deleted(["k:xa"])


# --- the topic's settings -----------------------------------------------------------------------------------


def test_a_topic_that_is_missing_is_named_and_waited_for(pipeline):
    p = pipeline(start=False, kafka=True, topic=None, clusters=["a"])
    p.squeal.start(wait=False)
    p.routers["a"].start(wait=False)
    line = wait_complaint(p.squeal, "topic", "squeal", "create")
    leaves_if_it_said_so(p.squeal, line)
    assert "squeal" not in p.kafka.topics()
    p.kafka.create_topic("squeal")
    wait_until(lambda: supervised(p, p.squeal.ready), 30, "squeal to be ready")
    p.routers["a"].wait_ready()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


def test_squeal_creates_the_topic_where_it_may(pipeline):
    p = pipeline(kafka=3, topic=None, clusters=["a"],
                 config={"log": {"create": True, "partitions": 2, "replication": 3, "retention": "2d"}})
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    found = p.kafka.metadata("squeal").topics["squeal"].partitions
    assert len(found) == 2 and all(len(part.replicas) == 3 for part in found.values())
    config = p.kafka.topic_config("squeal")
    assert config["min.insync.replicas"] == "2"
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == str(2 * 86400 * 1000)


def test_a_compacted_topic_is_refused(pipeline):
    """Compaction keeps one record of each source: everything else would be lost."""
    p = pipeline(start=False, kafka=True, topic={"cleanup.policy": "compact"}, clusters=["a"])
    p.squeal.start(wait=False)
    line = wait_complaint(p.squeal, "compact", "cleanup.policy")
    assert not p.squeal.ready(), line
    leaves_if_it_said_so(p.squeal, line)
    p.kafka.configure_topic("squeal", cleanup_policy="delete")
    wait_until(lambda: supervised(p, p.squeal.ready), 30, "squeal to be ready")
    p.routers["a"].start()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


@pytest.mark.parametrize("brokers,topic,words", [
    (3, {"replicas": 3, "min.insync.replicas": 1}, ["min.insync.replicas"]),
    (3, {"replicas": 3, "min.insync.replicas": 3}, ["min.insync.replicas"]),
    (1, {"retention.ms": 60000}, ["retention"]),
    (1, {"retention.bytes": 1000000}, ["retention.bytes"]),
    (3, {"replicas": 3, "min.insync.replicas": 2, "unclean.leader.election.enable": "true"}, ["unclean"]),
], ids=["min.insync.replicas-1", "min.insync.replicas-all", "retention.ms", "retention.bytes", "unclean"])
def test_a_topic_that_may_lose_records_is_complained_about(pipeline, brokers, topic, words):
    p = pipeline(start=False, kafka=brokers, topic=topic, clusters=["a"])
    p.squeal.start(wait=False)
    wait_complaint(p.squeal, "topic", *words)
    p.squeal.wait_ready()
    p.routers["a"].start()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


def test_a_good_topic_is_not_complained_about(pipeline):
    p = pipeline(kafka=3, topic={"replicas": 3, "min.insync.replicas": 2, "retention.ms": 172800000}, clusters=["a"])
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    assert complaints(p.squeal, "topic") == []


def test_a_property_that_librdkafka_does_not_know_is_named(pipeline):
    p = pipeline(start=False, kafka=True, clusters=["a"], config={"log": {"properties": {"lingr.ms": 5}}})
    for daemon in (p.squeal, p.routers["a"]):
        daemon.start(wait=False)
        assert daemon.process.wait(15) != 0
        assert "lingr.ms" in daemon.process.log_text()


# --- brokers that are away at the start ----------------------------------------------------------------------


def test_brokers_that_cannot_be_reached_are_named_and_waited_for(pipeline):
    p = pipeline(start=False, kafka=True, clusters=["a"])
    broker = p.kafka.brokers[0]
    broker.kill()
    insert(p, ["k:before"])
    p.squeal.start(wait=False)
    p.routers["a"].start(wait=False)
    wait_complaint(p.squeal, re.escape(broker.address))
    wait_until(lambda: says_not_ready(p.routers["a"]), 20, "the router to wait")
    assert not p.squeal.ready()
    broker.start()
    p.squeal.wait_ready()
    p.routers["a"].wait_ready()
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"])


# --- groups -------------------------------------------------------------------------------------------------


def test_ordinary_tools_see_the_group_and_its_lag(pipeline):
    p = pipeline(kafka=True, clusters=["a"], instances=["one"])
    insert(p, ["k:%d" % i for i in range(100)])
    p.barrier()
    end = p.kafka.bounds("squeal")[1]
    wait_until(lambda: p.kafka.committed(GROUP)[0] == end, 10, "the group's committed offset to be %d" % end)
    assert p.kafka.lag(GROUP) == {("squeal", 0): 0}
    assert p.kafka.members(GROUP) == {"one": [("squeal", 0)]}
    # The group's offset is that of the server that is furthest behind.
    p.caches["a"][0].kill()
    for i in range(20):
        insert(p, ["k:%d:%d" % (i, j) for j in range(20)])
    wait_until(lambda: p.kafka.lag(GROUP)[("squeal", 0)] >= 15, 15, "the lag")
    p.caches["a"][0].start()
    wait_until(lambda: p.kafka.lag(GROUP)[("squeal", 0)] == 0, 15, "no lag")


def test_a_killed_router_goes_on_from_the_committed_offsets(pipeline):
    p = pipeline(kafka=True, clusters=["a"], instances=["one"])
    insert(p, ["k:before:%d" % i for i in range(100)])
    p.barrier()
    end = p.kafka.bounds("squeal")[1]
    wait_until(lambda: p.kafka.committed(GROUP)[0] == end, 10, "the group's committed offset")
    router = p.routers["a"]
    router.kill()
    lines = len(p.trace("a"))
    keys = ["k:dead:%d" % i for i in range(100)]
    insert(p, keys)
    router.start(wait=False)
    p.wait_deleted(keys)
    assert not {key for _, _, _, key in p.trace("a")[lines:] if key.startswith("k:before:")}, "they were committed"


def test_one_server_away_is_remembered_over_a_restart_of_the_router(pipeline):
    """Each server has its own cursor, although the group has one offset."""
    p = pipeline(kafka=True, clusters=["a"], servers=2, instances=["one"])
    insert(p, ["k:first:%d" % i for i in range(50)])
    p.barrier()
    away, here = p.caches["a"]
    away.kill()
    keys = ["k:%d" % i for i in range(200)]
    saves = p.routers["a"].metrics().total("squeal_router_cursor_saves_total")
    insert(p, keys)
    wait_until(lambda: any(key in p.deleted("a") for key in keys), 10, "the other server")
    missed = set(keys) - p.deleted("a")
    wait_until(lambda: p.routers["a"].metrics().total("squeal_router_cursor_saves_total") > saves, 10, "the cursors")
    p.routers["a"].kill()
    p.routers["a"].start(wait=False)
    away.start()
    p.wait_deleted(keys)
    assert missed


def test_committed_offsets_that_are_lost_cost_repeats_and_lose_nothing(pipeline):
    p = pipeline(kafka=True, clusters=["a"], instances=["one"])
    insert(p, ["k:1"])
    p.barrier()
    p.routers["a"].stop()

    def gone():
        # A group is deleted only when the session of its static member has passed; the tool's status is 0 in any case.
        p.kafka.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", p.kafka.inner,
                     "--delete", "--group", GROUP)
        return p.kafka.committed(GROUP)[0] is None
    wait_until(gone, 30, "the group to be deleted")
    insert(p, ["k:meanwhile"])
    lines = len(p.trace("a"))
    p.routers["a"].start(wait=False)
    wait_until(lambda: {"k:1", "k:meanwhile"} <= {key for _, _, _, key in p.trace("a")[lines:]}, 15, "the log from its beginning")


# --- TLS and passwords --------------------------------------------------------------------------------------


def test_tls_and_a_password_are_librdkafkas_properties(pipeline, certificates, rundir):
    kafka = Kafka(rundir, tls=certificates, users={"squeal": "secret"})
    good = {"security.protocol": "sasl_ssl", "ssl.ca.location": certificates.ca, "sasl.mechanism": "PLAIN",
            "sasl.username": "squeal", "sasl.password": "secret"}
    p = pipeline(kafka=kafka, clusters=["a"], config={"log": {"properties": good}})
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    assert "secret" not in p.squeal.process.log_text()
    for changed, word in (({"sasl.password": "wrong"}, "authenticat"), ({"ssl.ca.location": certificates.other_ca}, "certificate")):
        p.squeal.stop()
        p.extra = {"log": {"properties": dict(good, **changed)}}
        p.write_configs()
        insert(p, ["k:" + word])
        p.squeal.start(wait=False)
        wait_complaint(p.squeal, word)
        assert not p.squeal.ready()
        p.squeal.stop()
        p.extra = {"log": {"properties": good}}
        p.write_configs()
        p.squeal.start()
        p.wait_deleted(["k:" + word])
