"""The router tells which process answers under a server's address: the same, restarted, or another."""

import os
import time

import pytest

from harness import Memcached, Router, free_port, run_dir, wait_until
from harness.memcached import SquealCache

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
