"""What changes under a router: servers that are paused, replaced, added or removed, partitions, parts of the log."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request

import pytest

from harness import Failure, wait_until
from harness.memcached import Memcached, SquealCache
from harness.pipeline import explained_owners, write_config
from harness.proxy import Proxy


def insert(p, keys, value=1):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/" % (value, ",".join(keys)))


def act(router, path):
    """POST to the admin port, as squealctl does: (status, answer)."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (router.admin_port, path), data=b"", method="POST",
                                     headers={"X-Squeal": "1"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def server(router, address):
    """The server's object in /status; None when it is not there."""
    for s in router.status()["servers"]:
        if s["server"] == address:
            return s
    return None


class Inserts(threading.Thread):
    """Inserts ten keys at a time until it is stopped; `keys` has all that were committed."""

    def __init__(self, p, name):
        super().__init__(daemon=True)
        self.p, self.prefix, self.keys = p, "k:%s:" % name, []
        self.over, self.error = threading.Event(), None
        p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT)")

    def __enter__(self):
        self.start()
        return self

    def run(self):
        try:
            while not self.over.is_set():
                some = ["%s%d" % (self.prefix, len(self.keys) + i) for i in range(10)]
                insert(self.p, some)
                self.keys += some
        except Exception as e:  # shown by the test
            self.error = e

    def more(self, n=50):
        """Waits for n more keys."""
        have = len(self.keys)
        wait_until(lambda: self.error or len(self.keys) >= have + n, 30, "more inserts")

    def __exit__(self, *_):
        self.over.set()
        self.join()
        if self.error:
            raise self.error


def test_a_paused_server_falls_behind_alone_and_catches_up(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    router, paused = p.routers["a"], p.caches["a"][0].address
    other = p.caches["a"][1].address
    assert act(router, "/pause?server=nobody:1")[0] != 200
    with Inserts(p, "load") as load:
        load.more()
        assert act(router, "/pause?server=" + paused)[0] == 200
        wait_until(lambda: server(router, paused)["paused"], 5, "the pause")
        deleted = server(router, paused)["deletes_acked"]
        load.more(200)
        keys = list(load.keys)
        wait_until(lambda: server(router, other)["behind_records"] < 5, 10, "the other server")
        assert server(router, paused)["behind_records"] > 5
        # What was in flight was awaited, and nothing more was sent.
        assert server(router, paused)["deletes_acked"] <= deleted + 100
        assert router.ready(), "a pause is no trouble"
        assert act(router, "/resume?server=" + paused)[0] == 200
        p.wait_deleted(keys)
    p.wait_deleted(load.keys)
    assert not server(router, paused)["paused"]


def test_a_server_that_returns_with_what_it_held_gets_what_it_missed_before_it_counts_as_caught_up(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    router, away = p.routers["a"], p.caches["a"][0]
    keys = ["k:%d" % i for i in range(200)]
    p.fill(keys, "old")
    away.pause()
    insert(p, keys)
    wait_until(lambda: server(router, away.address)["state"] != "up", 20, "the router to notice")
    wait_until(lambda: server(router, p.caches["a"][1].address)["behind_records"] == 0, 10, "the other server")
    assert not server(router, away.address)["caught_up"]
    away.resume()
    wait_until(lambda: server(router, away.address)["caught_up"], 10, "the server to catch up")
    # Each key is gone from its owner, and everybody has his deletes.
    assert all(p.held("a", key) == 1 for key in keys)
    assert router.metrics().total("squeal_router_gaps_total") == 0


def test_another_process_behind_the_same_address_is_flushed_before_it_counts(pipeline, rundir):
    p = pipeline(start=False, clusters=["a"], servers=1)
    first = p.caches["a"][0]
    other = Memcached(rundir, "other").start()
    way = Proxy(first.port)
    try:
        config = p.config("a")
        config["clusters"][0]["servers"][0]["connect"] = "127.0.0.1:%d" % way.port
        write_config(p.cluster_config_path("a"), config)
        p.squeal.start()
        router = p.routers["a"].start()
        insert(p, ["k:1"])
        p.wait_deleted(["k:1"])
        # The former one goes; the other has run all the time, and holds what was deleted meanwhile.
        other.set("k:1", "old")
        # The same one over a new connection is the same: nothing is flushed.
        way.cut()
        insert(p, ["k:2"])
        p.wait_deleted(["k:2"])
        assert router.metrics().total("squeal_router_gaps_total") == 0
        way.target = ("127.0.0.1", other.port)
        way.cut()
        wait_until(lambda: other.get("k:1") is None, 15, "the other server to be flushed")
        insert(p, ["k:3"])
        p.wait_deleted(["k:3"])
        wait_until(lambda: not server(router, first.address)["in_gap"], 10, "the gap to end")
        assert server(router, first.address)["identity"]["changed"] == "other"
        assert "another server" in server(router, first.address)["last_gap"]["reason"]
    finally:
        way.close()
        other.process.kill()


def test_a_ring_that_changes_under_load_delivers_to_old_and_new_owners_until_it_is_sealed(pipeline, rundir):
    p = pipeline(clusters=["a"], servers=2)
    router = p.routers["a"]
    third = Memcached(rundir, "third").start()
    try:
        with Inserts(p, "load") as load:
            load.more()
            config = p.config("a")
            config["clusters"][0]["servers"].append({"host": "127.0.0.1", "port": third.port})
            write_config(p.cluster_config_path("a"), config)
            router.reload()
            wait_until(lambda: server(router, third.address), 10, "the third server")
            load.more()
            keys = ["k:moved:%d" % i for i in range(300)]
            p.fill(keys, "old")
            with third.client() as c:
                for key in keys:
                    c.set(key, "old")
            insert(p, keys)
            p.wait_deleted(keys)
            p.barrier()
            # Clients use either ring: the key must be gone where the old one has it, and where the new one has it.
            both = explained_owners(p.cluster_config_path("a"), keys[:20])
            assert any(len(addresses) == 2 for addresses in both.values()), "no key changed its owner"
            by_address = {c.address: c for c in p.caches["a"] + [third]}
            for key in keys[:20]:
                for address in both[key]:
                    wait_until(lambda: by_address[address].get(key) is None, 10, "%s to go from %s" % (key, address))
            assert len(router.status()["rings"]["unsealed"]) == 1
            status, answer = act(router, "/seal")
            assert status == 200, answer
            assert router.status()["rings"]["unsealed"] == []
            load.more()
        p.wait_deleted(load.keys)
        # The first server leaves; sealed, it is gone from everywhere.
        first = p.caches["a"][0].address
        del config["clusters"][0]["servers"][0]
        write_config(p.cluster_config_path("a"), config)
        router.reload()
        wait_until(lambda: len(router.status()["rings"]["unsealed"]) == 1, 10, "the ring to change")
        assert server(router, first), "it is an owner by the ring of before"
        assert act(router, "/seal")[0] == 200
        assert server(router, first) is None
        with pytest.raises(Failure):
            router.metrics().total("squeal_router_server_up", server=first)
        # It comes back: what it held meanwhile is older than the log can tell, so it is flushed.
        p.caches["a"][0].set("k:asleep", "old")
        config["clusters"][0]["servers"].insert(0, {"host": "127.0.0.1", "port": p.caches["a"][0].port})
        write_config(p.cluster_config_path("a"), config)
        router.reload()
        wait_until(lambda: p.caches["a"][0].get("k:asleep") is None, 10, "the server to be flushed")
        wait_until(lambda: router.status()["rings"]["sealed_out"] == [], 10, "the router to trust it again")
        insert(p, ["k:end:%d" % i for i in range(50)])
        p.wait_deleted(["k:end:%d" % i for i in range(50)])
    finally:
        third.process.kill()


def test_a_reload_that_fails_at_a_later_step_changes_nothing(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    router = p.routers["a"]
    before = [s["server"] for s in router.status()["servers"]]
    config = p.config("a")
    config["router"]["window_keys"] = 7
    config["clusters"][0]["servers"].append({"host": "127.0.0.1", "port": 1})
    config["clusters"][0]["auth_file"] = "/nowhere/at/all"
    write_config(p.cluster_config_path("a"), config)
    router.reload()
    wait_until(lambda: "was not reloaded" in router.process.log_text(), 10, "the router to refuse it")
    assert "window_keys" not in router.process.log_text()
    assert [s["server"] for s in router.status()["servers"]] == before
    assert router.status()["rings"]["unsealed"] == []
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


# --- parts of the log ----------------------------------------------------------------------------------------


def warm(dir, name, keep=False):
    return SquealCache(dir, name, options=["-e", os.path.join(dir, name + ".memory")], keep=keep)


def classic_get(cache, key):
    with cache.client() as c:
        line = c.command(b"get " + key.encode())
        if line == b"END":
            return None
        value = c.line()
        assert c.line() == b"END"
        return value


def test_a_cache_opens_when_every_part_of_the_log_has_been_delivered(rundir):
    cache = warm(rundir, "cache").start()
    try:
        cache.set("k", "kept")
        cache.process.signal(signal.SIGUSR1)
        wait_until(lambda: not cache.process.running, 20, "the cache to end")
        cache.start()

        def say(line):
            with cache.client() as c:
                return c.command(line)
        assert say(b"caughtup 1/3") == b"OK"
        assert say(b"caughtup 0/3") == b"OK"
        assert say(b"caughtup 0/3") == b"OK"
        assert classic_get(cache, "k") is None
        assert say(b"caughtup 3/3").startswith(b"CLIENT_ERROR")
        assert say(b"caughtup 2/3") == b"OK"
        assert classic_get(cache, "k") == b"kept"
        # A restart begins anew.
        cache.process.signal(signal.SIGUSR1)
        wait_until(lambda: not cache.process.running, 20, "the cache to end")
        cache.start()
        assert say(b"caughtup 2/3") == b"OK"
        assert classic_get(cache, "k") is None
        # One that knows all of the log says it for all.
        assert say(b"caughtup") == b"OK"
        assert classic_get(cache, "k") == b"kept"
    finally:
        cache.process.kill()


@pytest.mark.parametrize("instances", [None, ["one", "two"]], ids=["one router", "two routers"])
def test_two_caches_and_a_log_of_three_partitions(pipeline, instances):
    p = pipeline(clusters=["a"], servers=2, cache=warm, kafka=True, topic={"partitions": 3}, instances=instances,
                 config={"log": {"properties": {"session.timeout.ms": 30000}}})
    routers = p.instances("a")

    def shared():
        return sorted(part["partition"] for r in routers for part in r.status()["partitions"]) == [0, 1, 2]
    wait_until(shared, 30, "the partitions to be shared out")
    keys = ["k:%d" % i for i in range(100)]
    insert(p, keys)
    p.wait_deleted(keys, timeout=30)
    # Only one partition has a source; with stock servers the empty ones would have no connection at all.
    p.fill(["stay:%d" % i for i in range(20)], "kept")
    cache = p.caches["a"][0]
    for r in routers:
        r.process.pause()
    cache.process.signal(signal.SIGUSR1)
    wait_until(lambda: not cache.process.running, 20, "the cache to end")
    cache.start()
    assert classic_get(cache, "stay:1") is None
    routers[0].process.resume()
    if instances:
        # The partitions of the other one are missing still.  (Paused for longer than its session, it would lose them.)
        assert classic_get(cache, "stay:1") is None
        routers[1].process.resume()
    wait_until(lambda: classic_get(cache, "stay:1") == b"kept", 30, "the cache to serve what it kept")
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"], timeout=30)


def test_servers_that_are_behind_at_different_places_catch_up_from_a_topic_beside_the_live_feed(pipeline):
    """More places than the reader follows at a time, and more for each than a queue takes."""
    p = pipeline(clusters=["a"], servers=4, kafka=True, config={"router": {"queue_bytes": "64KiB"}})
    router, caches = p.routers["a"], p.caches["a"]
    keys = ["k:first"]
    insert(p, keys)
    p.wait_deleted(keys, timeout=30)
    for cache in caches[:3]:
        cache.kill()
        for i in range(12):
            some = ["k:%s:%d:%d:%s" % (cache.port, i, j, "x" * 50) for j in range(300)]
            keys += some
            insert(p, some)
        wait_until(lambda: router.metrics().total("squeal_router_behind", server=caches[3].address) == 0, 20,
                   "the server that is up")
    assert all(router.metrics().total("squeal_router_behind", server=c.address) > 0 for c in caches[:3])
    with Inserts(p, "live") as load:
        load.more()
        for cache in caches[:3]:
            cache.start()
        p.wait_deleted(keys, timeout=60)
    p.wait_deleted(load.keys)
    assert router.metrics().total("squeal_router_gaps_total") <= 3, "only for how fast they were back"


def test_a_pause_that_every_router_was_told_holds_for_partitions_that_move(pipeline):
    p = pipeline(clusters=["a"], servers=2, kafka=True, topic={"partitions": 3}, instances=["one", "two"])
    routers, (paused, other) = p.instances("a"), [c.address for c in p.caches["a"]]

    def parts(router):
        return {part["partition"]: part for part in router.status()["partitions"]}
    wait_until(lambda: all(parts(r) for r in routers) and sorted(n for r in routers for n in parts(r)) == [0, 1, 2],
               30, "the partitions to be shared out")
    for r in routers:
        code, said = act(r, "/pause?server=" + paused)
        assert code == 200 and "tell the other routers" in said["done"]
    gone, left = routers
    gone.kill()
    wait_until(lambda: sorted(parts(left)) == [0, 1, 2], 60, "the partitions to move")
    insert(p, ["k:%d" % i for i in range(100)])
    wait_until(lambda: left.metrics().total("squeal_router_deletes_acked_total", server=other) > 0, 30, "deletes")
    for part in parts(left).values():
        assert {s["server"]: s["paused"] for s in part["servers"]} == {paused: True, other: False}
    assert left.metrics().total("squeal_router_deletes_acked_total", server=paused) == 0
    assert act(left, "/resume?server=" + paused)[0] == 200
    p.wait_deleted(["k:%d" % i for i in range(100)], timeout=30)


def test_an_empty_partition_costs_no_connection(pipeline):
    p = pipeline(clusters=["a"], servers=2, kafka=True, topic={"partitions": 4})
    router = p.routers["a"]
    wait_until(lambda: len(router.status()["partitions"]) == 4, 30, "the partitions")
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"], timeout=30)
    states = [{s["state"] for s in part["servers"]} for part in router.status()["partitions"]]
    # The first one that came is connected in any case, so that /status knows the servers.
    assert states.count({"up"}) <= 2 and states.count({"away"}) >= 2, states
