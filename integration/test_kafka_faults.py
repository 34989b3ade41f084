"""What brokers, topics and groups do wrong, under load: nothing is lost, nothing stays stale.

Where records themselves are gone (retention), deletes cannot be made up for: the servers are flushed.
"""

import random
import re
import threading
import time

import pytest

from harness import Load, wait_until
from harness.kafka import batch
from test_kafka import GROUP, clean, complaints, insert, remove_state, says_not_ready, supervised, there_is_a_kafka, \
    wait_complaint  # noqa: F401

pytest.importorskip("confluent_kafka")


def loaded(p, rate=400, **kwargs):
    """A load that runs until clean() ends it, and has begun."""
    settings = dict(rate=rate, seconds=100000, writers=4, readers=2, reads=800, items=500)
    settings.update(kwargs)
    load = Load(p, **settings).start()
    going_on(load)
    return load


def going_on(load, commits=200):
    """Waits for that many commits more."""
    before = load.progress().get("commits", 0)
    wait_until(lambda: load.progress().get("commits", 0) >= before + commits, 30, "%d commits" % commits)


def delivering(p, timeout=30):
    """What was committed before now, and something since, has arrived everywhere."""
    p.barrier(timeout=timeout)


def nothing_was_flushed(p):
    """Brokers that come and go are no reason to think that the log is another one, or has lost its end."""
    for router in p.routers.values():
        assert not complaints(router, "GAP|made anew|lost"), router.name


# --- brokers ------------------------------------------------------------------------------------------------


def test_a_broker_is_killed_and_started_again_under_load(pipeline):
    p = pipeline(kafka=True, trace_prefix="demo:")
    load = loaded(p)
    connects = p.squeal.metrics().total("squeal_source_connect_total")
    for pause in (0, 1, 4):
        p.kafka.brokers[0].kill()
        time.sleep(pause)
        p.kafka.brokers[0].start()
        going_on(load)
    delivering(p)
    clean(load, p)
    assert p.squeal.metrics().total("squeal_source_connect_total") == connects
    assert complaints(p.squeal, "broker")
    nothing_was_flushed(p)


@pytest.mark.parametrize("queue", ["64KiB", "8MiB"])
def test_a_broker_that_stands_still_holds_up_nothing_but_time(pipeline, queue):
    """With a small queue reading pauses: the database must not give the connection up meanwhile."""
    p = pipeline(kafka=True, trace_prefix="demo:", db_options={"options": ["--net-write-timeout=3"]},
                 config={"squeal": {"queue_bytes": queue, "batch_bytes": "32KiB"}})
    load = loaded(p, rate=1500)
    delivering(p)
    connects = p.squeal.metrics().total("squeal_source_connect_total")
    p.kafka.brokers[0].pause()
    try:
        if queue == "64KiB":
            wait_until(lambda: p.squeal.metrics().total("squeal_queue_full") == 1, 20, "the queue to fill")
        time.sleep(13)
        # It does not cost memory either, and it is said.
        assert p.squeal.metrics().total("squeal_queue_bytes") < 20 << 20
        assert p.squeal.process.running
    finally:
        p.kafka.brokers[0].resume()
    delivering(p, timeout=60)
    verdict = clean(load, p, wait=60)
    assert verdict["commits"] > 5000
    assert p.squeal.metrics().total("squeal_source_connect_total") == connects, "the binlog connection was lost"


def test_the_leader_changes_under_load(pipeline):
    """Three brokers, two of them needed: killed, stopped in good order, and both a second time."""
    p = pipeline(kafka=3, topic={"replicas": 3, "min.insync.replicas": 2}, trace_prefix="demo:")
    load = loaded(p, rate=300)
    for end in ("kill", "stop"):
        leader = p.kafka.leader("squeal")
        getattr(leader, end)()
        p.kafka.wait_leader_other_than(leader, "squeal")
        going_on(load)
        delivering(p)
        leader.start()
        p.kafka.wait_in_sync("squeal")
    clean(load, p)
    nothing_was_flushed(p)


def test_without_enough_replicas_squeal_waits_and_says_so(pipeline):
    """min.insync.replicas cannot be met: an append that one broker alone has is no append."""
    p = pipeline(kafka=3, topic={"replicas": 3, "min.insync.replicas": 2}, trace_prefix="demo:")
    load = loaded(p, rate=200)
    leader = p.kafka.leader("squeal")
    others = [b for b in p.kafka.brokers if b is not leader]
    for broker in others:
        broker.kill()
    wait_complaint(p.squeal, "replica|broker|leader|in.sync|time", timeout=40)
    going_on(load, 100)
    for broker in others:
        broker.start(wait=False)
    for broker in others:
        broker.wait_ready()
    delivering(p)
    clean(load, p, wait=60)


def test_a_router_without_its_broker_goes_on_when_it_is_back(pipeline):
    p = pipeline(kafka=True, clusters=["a"], instances=["one"])
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    p.kafka.brokers[0].kill()
    wait_until(lambda: says_not_ready(p.routers["a"]), 30, "the router not to be ready")
    assert complaints(p.routers["a"], "broker|kafka|reach")
    insert(p, ["k:2"])
    p.kafka.brokers[0].start()
    p.wait_deleted(["k:2"], timeout=30)
    p.routers["a"].wait_ready()


def longest_queue(p, seconds=2):
    """The most that squeal's queue has held within the next seconds."""
    end, longest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        longest = max(longest, p.squeal.metrics().total("squeal_queue_bytes"))
        time.sleep(0.02)
    return longest


def test_a_broker_that_is_far_away_costs_latency_and_no_throughput(pipeline):
    """A tenth of a second each way: many appends are under way at a time."""
    p = pipeline(kafka={"proxies": True}, trace_prefix="demo:")
    p.kafka.brokers[0].proxy.delay = 0.1
    load = loaded(p, rate=600)
    delivering(p)
    queued = longest_queue(p)
    before, began = load.progress()["commits"], time.monotonic()
    going_on(load, 3000)
    delivering(p)
    rate = (load.progress()["commits"] - before) / (time.monotonic() - began)
    assert rate > 300, "%d commits per second" % rate
    # It holds what is committed while an append or two are under way, and does not grow: the log keeps up.
    assert longest_queue(p) < 2 * queued
    verdict = clean(load, p)
    assert 100 < verdict["p50_ms"] < 1500, verdict


def test_connections_to_the_broker_break_and_stand_still(pipeline):
    p = pipeline(kafka={"proxies": True}, trace_prefix="demo:")
    proxy = p.kafka.brokers[0].proxy
    load = loaded(p)
    connects = p.squeal.metrics().total("squeal_source_connect_total")
    for _ in range(5):
        proxy.cut()
        time.sleep(random.random() * 0.5)
    delivering(p)
    # Half-open: what was under way may or may not have arrived.
    proxy.stall()
    time.sleep(8)
    proxy.cut()
    proxy.resume()
    delivering(p, timeout=60)
    clean(load, p, wait=60)
    assert p.squeal.metrics().total("squeal_source_connect_total") == connects


# --- what the topic refuses or no longer has ----------------------------------------------------------------


def test_a_message_that_is_too_large_for_the_topic(pipeline):
    """The limit is lowered below squeal's batches while it runs: they are written in parts, and it says so."""
    p = pipeline(kafka=True, clusters=["a"])
    insert(p, ["k:small"])
    p.wait_deleted(["k:small"])
    p.kafka.configure_topic("squeal", max_message_bytes=20000)
    keys = ["k:large:%06d:%s" % (i, "%032x" % random.Random(i).getrandbits(128) * 3) for i in range(2000)]
    p.db.sql("CREATE TABLE demo.large (id INT); BEGIN;" + ";".join(
        "INSERT INTO demo.large VALUES (%d) /*inv='%s'*/" % (i, ",".join(keys[i:i + 500])) for i in range(0, 2000, 500)) +
        "; COMMIT")
    p.wait_deleted(keys, timeout=40)
    wait_complaint(p.squeal, "max.message.bytes|too large|batch_bytes")
    assert len(p.kafka.records("squeal")) > 5
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"])
    p.squeal.wait_ready()


def test_retention_that_passes_while_a_router_is_away_flushes_its_servers(pipeline):
    p = pipeline(kafka=True, clusters=["a", "b"], instances=["one"])
    insert(p, ["k:%d" % i for i in range(50)])
    p.barrier()
    p.routers["a"].stop()
    p.fill(["k:gone", "k:other"])
    insert(p, ["k:gone"])
    p.barrier(clusters=["b"])
    p.kafka.expire("squeal")
    p.routers["a"].start(wait=False)
    wait_until(lambda: p.held("a", "k:gone") == 0, 20, "k:gone to be gone")
    # Both servers: nobody can say any more what the record named.
    wait_until(lambda: p.held("a", "k:other") == 0, 20, "the servers to be flushed")
    assert p.held("b", "k:other") == 2, "cluster b had missed nothing"
    router = p.routers["a"]
    assert router.metrics().total("squeal_router_flushes_total") == 2
    wait_complaint(router, "GAP")
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"])
    router.wait_ready()


def test_retention_that_passes_while_a_server_is_away_flushes_it_alone(pipeline):
    p = pipeline(kafka=True, clusters=["a"], instances=["one"])
    insert(p, ["k:%d" % i for i in range(50)])
    p.barrier()
    end = p.kafka.bounds("squeal")[1]
    wait_until(lambda: p.kafka.committed(GROUP)[0] == end, 10, "the group's committed offset to be %d" % end)
    away, here = p.caches["a"]
    p.fill(["k:other"])
    away.pause()
    insert(p, ["k:gone:%d" % i for i in range(100)])
    router = p.routers["a"]
    wait_until(lambda: router.metrics().total("squeal_router_behind", server=here.address) == 0, 20, "the other server")
    # What was read for it already needs no log: the router is killed too, once it has saved how far the other is.
    saves = router.metrics().total("squeal_router_cursor_saves_total")
    insert(p, ["k:here:%d" % i for i in range(50)])
    wait_until(lambda: router.metrics().total("squeal_router_cursor_saves_total") > saves and
               router.metrics().total("squeal_router_behind", server=here.address) == 0, 20, "the cursors")
    wait_until(lambda: p.kafka.committed(GROUP)[0] == end, 10, "the group's committed offset to stay %d" % end)
    router.kill()
    p.kafka.expire("squeal")
    router.start(wait=False)
    away.resume()
    insert(p, ["k:after:%d" % i for i in range(50)])
    p.wait_deleted(["k:after:%d" % i for i in range(50)], timeout=30)
    wait_until(lambda: away.get("k:other") is None, 20, "the server to be flushed")
    assert here.get("k:other") is not None, "the server that had missed nothing was flushed"
    assert router.metrics().total("squeal_router_flushes_total", server=away.address) == 1


def test_state_lost_and_retention_passed_is_no_silent_start(pipeline):
    """Nothing tells where squeal was: it is not the same as if it had just been installed, and it says so."""
    p = pipeline(kafka=True, clusters=["a"])
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    p.squeal.kill()
    remove_state(p)
    p.kafka.expire("squeal")
    p.fill(["k:meanwhile"])
    insert(p, ["k:meanwhile"])
    p.squeal.start(wait=False)
    line = wait_complaint(p.squeal, "checkpoint", "topic", "flush")
    assert line.split()[1] == "WARN"
    # A source that is new on a new topic has missed nothing, and is not warned about.
    p.squeal.stop()
    remove_state(p)
    p.kafka.delete_topic("squeal")
    p.kafka.create_topic("squeal")
    lines = len(complaints(p.squeal, "checkpoint", "topic", "flush"))
    p.squeal.start()
    assert len(complaints(p.squeal, "checkpoint", "topic", "flush")) == lines


def flushed_and_going_on(p, key):
    """What was deleted while there was no topic, or in the topic that is gone, is gone; later ones are delivered."""
    wait_until(lambda: supervised(p, lambda: p.held("a", key) == 0), 40, "%s to be gone" % key)
    insert(p, ["k:later"])
    wait_until(lambda: supervised(p, lambda: "k:later" in p.deleted("a")), 40, "k:later to be deleted")
    assert p.routers["a"].process.running
    assert complaints(p.routers["a"], "GAP"), "what was in the topic was missed, and no server was flushed"


@pytest.mark.parametrize("away", ["a-moment", "until-it-is-noticed"])
def test_a_topic_that_is_deleted_and_made_anew(pipeline, away):
    """What it had is gone with it: the servers are flushed, soon after the router's first records too."""
    p = pipeline(kafka=True, clusters=["a"])
    for i in range(50):
        insert(p, ["k:%d" % i])
    p.wait_deleted(["k:%d" % i for i in range(50)])
    p.fill(["k:between"])
    p.kafka.delete_topic("squeal")
    insert(p, ["k:between"])
    if away == "until-it-is-noticed":
        wait_complaint(p.squeal, "topic", "unknown|not there|leader|broker", timeout=40)
        wait_complaint(p.routers["a"], "cannot be read", timeout=40)
    p.kafka.create_topic("squeal")
    insert(p, ["k:after"])
    flushed_and_going_on(p, "k:between")


def test_a_topic_that_is_made_anew_behind_the_routers_place(pipeline):
    """A new log that is shorter: nothing of it may be passed over, and nothing comes before the place is given up."""
    p = pipeline(kafka=True, clusters=["a"])
    for i in range(100):
        p.kafka.produce("squeal", b"other", batch("other", ["k:%d" % i]))
    p.wait_deleted(["k:%d" % i for i in range(100)])
    p.fill(["k:lost"])
    p.squeal.stop()
    p.kafka.delete_topic("squeal")
    p.kafka.create_topic("squeal")
    # Nobody writes squeal's mark: the router alone can know.
    keys = ["k:new:%d" % i for i in range(5)]
    for key in keys:
        p.kafka.produce("squeal", b"other", batch("other", [key]))
    p.wait_deleted(keys, timeout=40)
    wait_until(lambda: p.held("a", "k:lost") == 0, 40, "the servers to be flushed")


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_topic_that_is_made_anew_and_has_passed_the_routers_place(pipeline, partitions):
    """Every offset that the router knows is there, and is another record."""
    p = pipeline(kafka=True, clusters=["a"], topic={"partitions": partitions})
    p.squeal.stop()
    old = ["k:%d:%d" % (part, i) for part in range(partitions) for i in range(20)]
    new = ["k:new:%d:%d" % (part, i) for part in range(partitions) for i in range(500)]

    def write(keys, per_partition):
        producer = p.kafka.producer()
        for i, key in enumerate(keys):
            part = i // per_partition
            producer.produce("squeal", batch("s%d" % part, [key]), b"s%d" % part, partition=part)
        assert producer.flush(20) == 0
    write(old, 20)
    p.wait_deleted(old, timeout=20)
    p.fill(["k:lost"])
    p.kafka.delete_topic("squeal")
    p.kafka.create_topic("squeal", partitions)
    write(new, 500)
    # From the beginning of each partition, and nobody's mark says that it is to be.
    p.wait_deleted(new, timeout=40)
    wait_until(lambda: p.held("a", "k:lost") == 0, 40, "the servers to be flushed")
    assert len(complaints(p.routers["a"], "made anew")) >= partitions


# --- groups -------------------------------------------------------------------------------------------------


class Sources:
    """A source per partition, each writing 50 records a second: what squeal would, with the time in the key."""

    def __init__(self, kafka, partitions):
        self.kafka, self.partitions = kafka, partitions
        self.sent = {p: {} for p in range(partitions)}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        producer, n = self.kafka.producer(), 0
        while not self.ended.wait(0.02):
            for p in range(self.partitions):
                key = "k:%d:%d" % (p, n)
                producer.produce("squeal", batch("s%d" % p, [key]), b"s%d" % p, partition=p)
                self.sent[p][key] = time.time()
            producer.poll(0)
            n += 1
        producer.flush(20)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        if not self.ended.is_set():
            self.ended.set()
            self.thread.join()

    @staticmethod
    def acked(p, cluster):
        out = {}
        for us, _, _, key in p.trace(cluster):
            out.setdefault(key, us / 1e6)
        return out

    def written(self, partition, begin, end):
        return {key: at for key, at in self.sent[partition].items() if begin <= at < end}

    def latencies(self, p, partition, begin, end):
        """Seconds until the delete was acknowledged of what was written between the two moments."""
        acked = self.acked(p, "a")
        return [acked[key] - at for key, at in self.written(partition, begin, end).items()]

    def check_not_held_up(self, p, partitions, begin, end):
        """No delete of them came a second later than in cluster b, which reads the same records with routers of its own that
        nothing happens to.  A machine that is busy with other things delays both in the same moment."""
        a, b = self.acked(p, "a"), self.acked(p, "b")
        for partition in partitions:
            keys = self.written(partition, begin, end)
            assert len(keys) > 20
            worst = max(a[key] - b[key] for key in keys)
            assert worst < 1, "partition %d stayed, and stood still for %.2f s" % (partition, worst)


def assigned(p, n=4, group=GROUP):
    """{instance: partitions} when each of the `n` partitions has an owner; None before."""
    found = {name: {partition for _, partition in rows} for name, rows in p.kafka.members(group).items()}
    owned = [partition for rows in found.values() for partition in rows]
    return found if sorted(owned) == list(range(n)) else None


def settled(p, instances, timeout=30, group=GROUP):
    def cond():
        found = assigned(p, group=group)
        return found if found and set(found) == set(instances) and all(found.values()) else None
    return wait_until(cond, timeout, "every one of %s to have partitions" % instances)


def given_up(router):
    """The partitions that the group has ever taken away from the router."""
    return {int(n) for n in re.findall(r"group: a partition is no longer ours .*partition=(\d+)", router.process.log_text())}


@pytest.fixture
def group_of_two(pipeline):
    p = pipeline(kafka=True, topic={"partitions": 4}, clusters=["a", "b"], instances=["one", "two"])
    before = settled(p, ["one", "two"])
    settled(p, ["one", "two"], group="squeal.b")
    sources = Sources(p.kafka, 4).start()
    yield p, sources, before
    sources.stop()


def everything_arrived(p, sources):
    sources.stop()
    p.wait_deleted([key for sent in sources.sent.values() for key in sent], timeout=30)


def test_a_dead_instances_partitions_move_and_the_others_are_not_held_up(group_of_two):
    p, sources, before = group_of_two
    assert {len(v) for v in before.values()} == {2}
    time.sleep(2)
    begin = time.time()
    p.routers["a"].kill()
    wait_until(lambda: (assigned(p) or {}).get("two") == {0, 1, 2, 3}, 30, "the other instance to have all")
    time.sleep(1)
    moved = time.time()
    everything_arrived(p, sources)
    sources.check_not_held_up(p, before["two"], begin, moved)
    for partition in before["one"]:
        assert max(sources.latencies(p, partition, begin, moved)) < 15


def test_a_new_instance_takes_its_share_and_what_stays_is_not_held_up(group_of_two):
    p, sources, before = group_of_two
    time.sleep(2)
    begin = time.time()
    p.add_router("a", "three")
    after = settled(p, ["one", "two", "three"])
    time.sleep(1)
    moved = time.time()
    everything_arrived(p, sources)
    # One has to move.  A commit that crosses the rebalance may make librdkafka move one more, or take one away and give it back.
    stayed = [part for router in p.instances("a")[:2] for part in before[router.instance] - given_up(router)]
    assert stayed, "%s became %s" % (before, after)
    sources.check_not_held_up(p, stayed, begin, moved)
    for partition in set(range(4)) - set(stayed):
        assert max(sources.latencies(p, partition, begin, moved)) < 5


def test_an_instance_that_leaves_in_good_order_hands_its_partitions_over(group_of_two):
    p, sources, before = group_of_two
    time.sleep(2)
    begin = time.time()
    assert p.routers["a"].stop() == 0
    wait_until(lambda: (assigned(p) or {}).get("two") == {0, 1, 2, 3}, 30, "the other instance to have all")
    time.sleep(1)
    moved = time.time()
    everything_arrived(p, sources)
    sources.check_not_held_up(p, before["two"], begin, moved)


def test_an_instance_that_is_back_at_once_gets_what_it_had_without_a_rebalance(group_of_two):
    """Static membership: a restart is no reason to move anything."""
    p, sources, before = group_of_two
    time.sleep(2)
    begin = time.time()
    p.routers["a"].kill()
    p.routers["a"].start(wait=False)
    time.sleep(4)
    p.routers["a"].wait_ready()
    assert settled(p, ["one", "two"]) == before
    moved = time.time()
    everything_arrived(p, sources)
    sources.check_not_held_up(p, before["two"], begin, moved)


def test_rebalances_under_load_lose_nothing(pipeline):
    p = pipeline(kafka=True, topic={"partitions": 2}, trace_prefix="demo:", instances=["one", "two"])
    load = loaded(p)
    for _ in range(2):
        for cluster in p.cluster_names:
            for router in p.instances(cluster):
                router.kill()
                time.sleep(random.random() * 2)
                router.start(wait=False)
                time.sleep(random.random() * 2)
    for cluster in p.cluster_names:
        p.add_router(cluster, "three", start=False).start(wait=False)
    going_on(load)
    for router in p.routers.values():
        router.wait_ready()
    clean(load, p, wait=60)


def test_a_router_that_is_stopped_while_it_joins_ends_in_order(pipeline):
    p = pipeline(clusters=["a"], kafka=True, topic={"partitions": 2}, instances=["one"])
    # At every stage of the group's taking it in: the first assignment comes within a few seconds.
    for i in range(16):
        router = p.add_router("a", "late%d" % i, start=False)
        router.process.start()
        wait_until(lambda: "admin port is open" in router.process.log_text(), 10, "the router to run")
        time.sleep(i * 0.25)
        assert router.stop() == 0, router.process.log_text()[-2000:]
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"])


def test_two_routers_of_one_name_take_turns_and_lose_nothing(pipeline):
    """Static membership gives the place to the one that came last; the other one says so, and has it again afterwards."""
    p = pipeline(clusters=["a"], kafka=True, instances=["one"], topic={"partitions": 2})
    elder = p.routers["a"]
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    younger = p.add_router("a", "two", start=False)
    argv = younger.process.argv
    argv[argv.index("two")] = "one"
    younger.start(wait=False)
    wait_complaint(elder, "place", "taken", "joining again", timeout=30)
    wait_until(lambda: "a partition is ours" in younger.process.log_text(), 30, "the younger one to have the place")
    keys = ["k:while-two:%d" % i for i in range(50)]
    for key in keys:
        insert(p, [key])
        time.sleep(0.02)
    p.wait_deleted(keys, timeout=30)
    # The one that is out says why, until it has the place again.
    wait_until(lambda: any(names_the_other(r) for r in (elder, younger)), 60, "one of them to say that the other has its name")
    out, holder = (elder, younger) if names_the_other(elder) else (younger, elder)
    assert holder.stop() == 0
    before = len(complaints(out, "place", "taken"))
    insert(p, ["k:alone"])
    p.wait_deleted(["k:alone"], timeout=60)
    out.wait_ready(timeout=60)
    wait_until(lambda: assigned_to(p, "one", 2), 30, "the group to have one member with everything")
    assert len(complaints(out, "place", "taken")) == before
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"])


def names_the_other(router):
    """Whether /readyz says that another router has its name."""
    try:
        status, body = router.get("/readyz")
    except OSError:
        router.process.check_running()
        return False
    return status == 503 and "same name" in body


def assigned_to(p, instance, n):
    return p.kafka.members(GROUP) == {instance: [("squeal", i) for i in range(n)]}
