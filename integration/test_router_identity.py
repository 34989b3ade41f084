"""The router tells which process answers under a server's address: the same, restarted, or another."""

import os
import time

import pytest

from harness import Memcached, Router, free_port, run_dir, wait_until
from harness.memcached import SquealCache
from harness.pipeline import write_config
from harness.proxy import Proxy

CONFIG = """
region: test
log: {type: sqlite, path: %(dir)s/test.log, sync: normal}
source: {name: test}
router: {ack_timeout: 300ms}
clusters:
  - name: a
    admin: 127.0.0.1:%(admin)d
    servers: ["127.0.0.1:%(port)d"]
"""


def status(router):
    try:
        return router.status()["servers"][0]
    except OSError:
        return {"state": "away", "identity": None}


def greeted(router, pid):
    """The router's word on a process once it is connected to it."""
    def there():
        s = status(router)
        return s["state"] == "up" and s["identity"] and s["identity"]["pid"] == pid and s["identity"]
    return wait_until(there, 20, "the router to be connected to process %d" % pid)


@pytest.fixture
def start():
    """start(kind) -> (cache, router), connected."""
    running = []

    def start(kind):
        dir = run_dir("test_router_identity")
        cache = kind(dir).start()
        running.append(cache)
        admin = free_port()
        config = os.path.join(dir, "squeal.yaml")
        with open(config, "w") as f:
            f.write(CONFIG % {"dir": dir, "admin": admin, "port": cache.port})
        router = Router(dir, config, "a", admin).start(wait=False)
        running.append(router)
        assert greeted(router, cache.process.pid)["changed"] == "same"
        return cache, router
    yield start
    for one in running:
        one.kill()


def test_a_squeal_cache_that_restarts_at_once_is_a_restart(start):
    cache, router = start(SquealCache)
    cache.kill()
    wait_until(lambda: status(router)["state"] != "up", 10, "the router to notice")
    cache.start()
    now = greeted(router, cache.process.pid)
    assert now["changed"] == "restarted"
    assert abs(now["started_us"] / 1e6 - time.time()) < 60


def test_a_memcached_that_restarts_at_once_and_holds_something_may_be_another(start):
    cache, router = start(Memcached)
    router.process.pause()
    cache.kill()
    cache.start()
    cache.set("k", "of whom?")
    router.process.resume()
    assert greeted(router, cache.process.pid)["changed"] == "other"


def test_a_memcached_that_restarts_at_once_and_is_empty_is_a_restart(start):
    cache, router = start(Memcached)
    cache.kill()
    cache.start()
    assert greeted(router, cache.process.pid)["changed"] == "restarted"


def test_a_process_that_was_stopped_until_the_router_left_it_is_the_same(pipeline):
    p = pipeline(clusters=["a"], servers=1, config={"router": {"ack_timeout": "200ms"}})
    cache, router = p.caches["a"][0], p.routers["a"]
    p.db.sql("CREATE TABLE demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    cache.pause()
    try:
        p.db.sql("INSERT INTO demo.t VALUES (2) /*inv='k:2'*/")
        wait_until(lambda: status(router)["state"] != "up", 10, "the router to leave the server")
        time.sleep(3)  # memcached's clock stands still meanwhile: longer than its rounding explains
    finally:
        cache.resume()
    assert greeted(router, cache.process.pid)["changed"] == "same"
    p.wait_deleted(["k:2"])


def test_the_status_says_what_a_memcached_cannot_do(start):
    cache, router = start(Memcached)
    s = status(router)
    assert s["deletes"] == "meta" and s["tls"] == "off" and s["auth"] is False
    said = " ".join(s["cannot"])
    assert "hold-off" in said and "readers must use mg" in said and "epochs" in said
    cache, router = start(SquealCache)
    assert not any("mg" in c or "hold-off" in c for c in status(router)["cannot"])


def learnt(router):
    """The router has written down who answers."""
    wait_until(lambda: router.status()["memory"]["processes"] == 1, 10, "the router to know the server")
    wait_until(lambda: b"\nserver " in open(router.status()["memory"]["file"], "rb").read(), 10,
               "the router to write it down")


def test_a_server_that_is_replaced_while_the_router_is_down_is_flushed(pipeline, rundir):
    p = pipeline(start=False, clusters=["a"], servers=1)
    other = Memcached(rundir, "other").start()
    way = Proxy(p.caches["a"][0].port)
    try:
        config = p.config("a")
        config["clusters"][0]["servers"][0]["connect"] = "127.0.0.1:%d" % way.port
        write_config(p.cluster_config_path("a"), config)
        p.squeal.start()
        router = p.routers["a"].start()
        p.db.sql("CREATE TABLE demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
        p.wait_deleted(["k:1"])
        learnt(router)
        # Its values are of before: nobody has deleted k:1 there.
        other.set("k:1", "old")
        router.kill()
        way.target = ("127.0.0.1", other.port)
        router.start(wait=False)
        wait_until(lambda: other.get("k:1") is None, 15, "the other server to be flushed")
        wait_until(lambda: status(router).get("in_gap") is False, 10, "the gap to end")
        assert status(router)["identity"]["changed"] == "other"
        assert router.metrics().total("squeal_router_gaps_total") == 1
        # It is the one that is known from now on, over another crash.
        wait_until(lambda: b"server %d " % other.process.pid in open(router.status()["memory"]["file"], "rb").read(),
                   10, "the router to write it down")
        other.set("k:2", "good")
        router.kill()
        router.start(wait=False)
        assert greeted(router, other.process.pid)["changed"] == "same"
        assert other.get("k:2") == b"good"
    finally:
        way.close()
        other.process.kill()


def test_a_killed_router_knows_the_server_again_and_does_not_flush_it(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    cache, router = p.caches["a"][0], p.routers["a"]
    learnt(router)
    cache.set("k", "good")
    router.kill()
    router.start(wait=False)
    assert greeted(router, cache.process.pid)["changed"] == "same"
    assert cache.get("k") == b"good"
    assert router.metrics().total("squeal_router_gaps_total") == 0


def test_a_server_that_restarts_while_the_router_is_stopped_keeps_what_it_was_filled_with(pipeline):
    p = pipeline(clusters=["a"], servers=1, cache=SquealCache)
    cache, router = p.caches["a"][0], p.routers["a"]
    learnt(router)
    router_memory = router.status()["memory"]["file"]
    router.stop()
    cache.kill()
    cache.start()
    cache.set("k", "good")
    router.start(wait=False)
    assert greeted(router, cache.process.pid)["changed"] == "restarted"
    assert router.metrics().total("squeal_router_gaps_total") == 0
    # After a crash, too: the cursors tell when the former one was last heard.
    learnt(router)
    p.db.sql("CREATE TABLE demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='k:1'*/")
    p.wait_deleted(["k:1"])
    wait_until(lambda: os.path.getsize(router.status()["memory"]["file"] + ".heard") > 0, 10, "the cursor to be saved")
    router.kill()
    cache.kill()
    cache.start()
    cache.set("k", "good")
    router.start(wait=False)
    assert greeted(router, cache.process.pid)["changed"] == "restarted"
    assert cache.get("k") == b"good"
    # Where that is not known it may be anybody.
    learnt(router)
    router.kill()
    os.unlink(router_memory + ".heard")
    cache.kill()
    cache.start()
    cache.set("k", "of whom?")
    router.start(wait=False)
    assert greeted(router, cache.process.pid)["changed"] == "other"
    wait_until(lambda: cache.get("k") is None, 10, "the server to be flushed")
