"""Processes that stand still (SIGSTOP) under load: squeal, a router, a cache, the database, a broker.

Whoever does not need it goes on meanwhile, and it is told; afterwards everything comes back by itself, and the checker finds nothing
lost and nothing stale.  For seconds in the usual run; with `-m soak` each for a minute, over the file and over Kafka.
"""

import contextlib
import os
import time

import pytest

from conftest import need
from harness import Load, wait_until
from harness.memcached import Memcached, SquealCache
from harness.pipeline import run_program
from test_faults import running, verdict_of

STAND_STILL = float(os.environ.get("STAND_STILL", "5"))
CACHES = {"memcached": Memcached, "squeal-cache": SquealCache}


@contextlib.contextmanager
def still(victim, seconds):
    """Stands still for that long; the block, which waits for what is true meanwhile, takes part of it."""
    victim.process.pause()
    try:
        began = time.monotonic()
        yield
        # Standing still is the fault: it takes its time.
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        victim.process.resume()


def commits(load):
    return load.progress().get("commits", 0)


def wait_moving(p, load, clusters, timeout, what):
    """Waits for more commits and, in each of the clusters, for more deletes that are acknowledged."""
    before, acks = commits(load), {cluster: len(p.trace(cluster)) for cluster in clusters}
    wait_until(lambda: commits(load) > before and all(len(p.trace(cluster)) > n for cluster, n in acks.items()), timeout, what)


def says(daemon, *words):
    """Whether it is not ready, for a reason that has all the words."""
    try:
        status, text = daemon.get("/readyz")
    except OSError:
        daemon.process.check_running()
        return False
    return status == 503 and all(word in text for word in words)


def squealctl_misses(p, daemon):
    """Whether `squealctl status` of everything fails, and says that this one gives no answer."""
    ports = [arg for d in p.daemons() for arg in ("--admin", "127.0.0.1:%d" % d.admin_port)]
    done = run_program("squealctl", "--timeout", "500", *ports, "status")
    return done.returncode == 1 and any(":%d" % daemon.admin_port in line and "no whole answer" in line
                                        for line in done.stdout.splitlines())


def owner(p, cluster):
    """The router that delivers what the load commits: of several instances the one that has the source's partition."""
    before = {path: os.path.getsize(path) for path in p.trace_paths(cluster) if os.path.exists(path)}

    def grows():
        for router, path in zip(p.instances(cluster), p.trace_paths(cluster)):
            if os.path.exists(path) and os.path.getsize(path) > before.get(path, 0):
                return router
    return wait_until(grows, 15, "a router of %s to deliver" % cluster)


def servers(router):
    return {row["server"]: row for row in router.status()["servers"]}


def wait_level(p):
    """The routers are ready, and have delivered what the log has."""
    for router in p.routers.values():
        wait_until(lambda: router.ready() and not any(row["behind_records"] for row in servers(router).values()), 20,
                   "%s to be level with the log" % router.name)


# Each makes one process stand still, and waits for what is to be seen meanwhile and afterwards.


def squeal_stands_still(p, load, seconds):
    with still(p.squeal, seconds):
        wait_level(p)
        assert squealctl_misses(p, p.squeal)


def router_stands_still(p, load, seconds):
    victim = owner(p, "east")
    with still(victim, seconds):
        wait_moving(p, load, ["west"], seconds, "the other cluster to go on")
        assert squealctl_misses(p, victim)
        if p.kafka:
            wait_moving(p, load, ["east"], seconds, "the other instance to take over, when the session has passed")
    if p.kafka:
        for router in p.instances("east"):
            wait_until(lambda: len(router.status()["partitions"]) == 1, 30, "%s to have its share again" % router.name)


def cache_stands_still(p, load, seconds):
    victim, other = p.caches["east"]
    router = owner(p, "east")
    with still(victim, seconds):
        wait_moving(p, load, ["west"], seconds, "the other cluster to go on")
        wait_until(lambda: servers(router)[victim.address]["state"] == "away", seconds, "the server to be given up")
        assert servers(router)[victim.address]["last_error"]
        assert router.metrics().total("squeal_router_ack_timeouts_total", server=victim.address) >= 1
        wait_until(lambda: servers(router)[other.address]["behind_records"] < 50, 10,
                   "the other server of the cluster, which need not wait")
    wait_until(lambda: servers(router)[victim.address]["state"] == "up", 20, "the server to be back")


def database_stands_still(p, load, seconds):
    with still(p.db, seconds):
        wait_until(lambda: says(p.squeal, "not connected to the source"), seconds, "squeal to say so")
        assert p.squeal.metrics().total("squeal_source_up") == 0
        wait_level(p)


def only_broker_stands_still(p, load, seconds):
    """The database's connection is kept meanwhile, and commits go on."""
    connects = p.squeal.metrics().total("squeal_source_connect_total")
    with still(p.kafka.brokers[0], seconds):
        wait_until(lambda: says(p.squeal, "the log takes no records"), 30, "squeal to say so")
        assert p.squeal.metrics().total("squeal_log_up") == 0
        for router in p.routers.values():
            wait_until(lambda: says(router), 30, "%s to say that it is not ready" % router.name)
        wait_moving(p, load, [], seconds, "commits to go on")
    wait_until(lambda: p.squeal.metrics().total("squeal_log_up") == 1, 30, "the log to take records")
    assert p.squeal.metrics().total("squeal_source_connect_total") == connects, "the binlog connection was lost"


def leading_broker_stands_still(p, load, seconds):
    """One of three: another one leads, and both clusters go on."""
    partition = next(n for n in range(2) if p.kafka.bounds("squeal", n)[1] > 0)
    victim = p.kafka.leader("squeal", partition)
    with still(victim, seconds):
        p.kafka.wait_leader_other_than(victim, "squeal", partition)
        wait_moving(p, load, ["east", "west"], 45, "both clusters to go on")  # librdkafka by itself takes a minute
    p.kafka.wait_in_sync("squeal", partition)


def stands_still(name, seconds, *cases, **options):
    with running("standstill-" + name, trace_prefix="demo:", **options) as p:
        p.start()
        load = Load(p, rate=500, seconds=100000, after=1, writers=4, readers=2, reads=1500, items=1000).start()
        wait_until(lambda: commits(load) > 500, 20, "the load to be under way")
        for case in cases:
            case(p, load, seconds)
            for daemon in p.daemons():
                daemon.wait_ready(60)
            wait_moving(p, load, p.cluster_names, 30, "commits and deletes to go on")
        verdict_of(load, least=500)


CASES = {"squeal": squeal_stands_still, "router": router_stands_still, "cache": cache_stands_still,
         "database": database_stands_still}


@pytest.mark.parametrize("who,cache", [("squeal", "memcached"), ("router", "memcached"), ("cache", "memcached"),
                                       ("cache", "squeal-cache"), ("database", "memcached")])
def test_a_process_that_stands_still_costs_time_and_nothing_else(who, cache):
    stands_still("%s-%s" % (who, cache), STAND_STILL, CASES[who], cache=CACHES[cache])


@pytest.mark.soak
@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("who", CASES)
def test_a_process_that_stands_still_for_a_minute_costs_time_and_nothing_else(who, cache):
    stands_still("minute-%s-%s" % (who, cache), 60, CASES[who], cache=CACHES[cache])


# --- over Kafka: two instances of each router, and brokers ----------------------------------------------------------


def over_kafka(name, seconds, *cases, brokers=1, properties=None, **options):
    """With log.timeout as it comes, which is longer than librdkafka's patience with one broker."""
    pytest.importorskip("confluent_kafka")
    need("mariadb", kafka=True)
    replicas = {"replicas": 3, "min.insync.replicas": 2} if brokers == 3 else {}
    stands_still("kafka-" + name, seconds, *cases, kafka=brokers, topic=dict(replicas, partitions=2), instances=["one", "two"],
                 config={"log": {"timeout": "30s", "properties": properties or {}}}, **options)


def test_over_kafka_processes_that_stand_still_cost_time_and_nothing_else():
    """One after the other; each for longer than the sessions of the group (3 s) and of the brokers (2 s)."""
    over_kafka("in-turn", 5, squeal_stands_still, router_stands_still, leading_broker_stands_still, cache_stands_still, brokers=3)


@pytest.mark.soak
@pytest.mark.parametrize("who,cache", [("squeal", "memcached"), ("squeal", "squeal-cache"), ("router", "memcached"),
                                       ("router", "squeal-cache"), ("cache", "memcached"), ("cache", "squeal-cache"),
                                       ("database", "memcached"), ("only broker", "memcached"), ("leading broker", "memcached")])
def test_over_kafka_a_process_that_stands_still_for_a_minute_costs_time_and_nothing_else(who, cache):
    """With the session that librdkafka has by itself: 45 s, so a router's partitions move and come back."""
    cases = dict(CASES, **{"only broker": only_broker_stands_still, "leading broker": leading_broker_stands_still})
    over_kafka("minute-%s-%s" % (who.replace(" ", "-"), cache), 60, cases[who], brokers=3 if who == "leading broker" else 1,
               cache=CACHES[cache], properties={"session.timeout.ms": 45000, "heartbeat.interval.ms": 3000})
