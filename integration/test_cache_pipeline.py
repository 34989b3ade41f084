"""The whole pipeline with squeal-cache as the cache servers: what it can do beyond memcached, end to end."""

import os
import signal

import pytest

from harness import wait_until
from harness.memcached import SquealCache


def warm(dir, name, keep=False):
    return SquealCache(dir, name, options=["-e", os.path.join(dir, name + ".memory")], keep=keep)


def insert(p, keys, holdoff_ms=None):
    extra = ",inv_h='%d'" % holdoff_ms if holdoff_ms else ""
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (1) /*inv='%s'%s*/" % ("%2C".join(keys), extra))


def value_and_flags(cache, key):
    """(value or None, return flags) for a client that takes stale values, too: those have X."""
    with cache.client() as c:
        reply = c.command(b"mg %s v R0" % key.encode())
        if reply == b"EN":
            return None, ()
        _, size, *flags = reply.split()
        return c.file.read(int(size) + 2)[:-2], tuple(flags)


def classic_get(cache, key):
    with cache.client() as c:
        line = c.command(b"get " + key.encode())
        if line == b"END":
            return None
        value = c.line()
        assert c.line() == b"END"
        return value


@pytest.mark.parametrize("database", ["mariadb", "mysql"])
def test_a_commit_deletes_its_keys_in_squeal_cache(pipeline, database):
    p = pipeline(db=database, clusters=["a"], servers=2, cache=SquealCache)
    keys = ["k:%d" % i for i in range(200)]
    p.fill(keys + ["other"])
    insert(p, keys)
    p.wait_deleted(keys)
    assert all(p.held("a", key) == 1 for key in keys), "each key is deleted on its owner, and on its owner only"
    assert p.held("a", "other") == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGUSR1], ids=["kill -9", "graceful"])
def test_a_restarted_cache_comes_back_warm_and_serves_nothing_that_was_deleted_meanwhile(pipeline, how):
    p = pipeline(clusters=["a"], servers=1, cache=warm)
    cache, router = p.caches["a"][0], p.routers["a"]
    keys = ["k:%d" % i for i in range(100)]
    p.fill(keys, "before")
    cache.process.signal(how)
    wait_until(lambda: not cache.process.running, 20, "the cache to end")
    insert(p, keys[:50])
    router.process.pause()
    cache.start()
    # Nobody has told it what it missed: nothing goes out unless it is marked as stale.
    for key in keys:
        assert classic_get(cache, key) is None
        value, flags = value_and_flags(cache, key)
        assert value == b"before" and b"X" in flags
    router.process.resume()
    wait_until(lambda: classic_get(cache, keys[99]) == b"before", 20, "the cache to serve what it kept")
    for key in keys[:50]:
        assert classic_get(cache, key) is None
    for key in keys[50:]:
        assert classic_get(cache, key) == b"before"
        value, flags = value_and_flags(cache, key)
        assert value == b"before" and b"X" not in flags
    wait_until(lambda: router.metrics().total("squeal_router_caught_up_total") >= 1, 10, "the router to count it")


def test_a_hold_off_of_a_transaction_keeps_late_fills_out(pipeline):
    p = pipeline(clusters=["a"], servers=1, cache=SquealCache)
    cache, router = p.caches["a"][0], p.routers["a"]
    insert(p, ["k:held"], holdoff_ms=600000)
    p.wait_deleted(["k:held"])
    with cache.client() as c:
        assert c.command(b"add k:held 0 0 3\r\nold") == b"NOT_STORED"
        assert c.command(b"add k:free 0 0 3\r\nold") == b"STORED"
        assert c.command(b"set k:held 0 0 3\r\nnew") == b"STORED"
    metrics = router.metrics()
    assert metrics.total("squeal_router_holdoffs_sent_total") == 1
    assert metrics.total("squeal_router_holdoff_unsupported_total") == 0
    assert router.status()["servers"][0]["holdoff_unsupported"] == 0
