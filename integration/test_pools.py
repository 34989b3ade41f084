"""Pools, routing prefixes and ring changes with real caches: who gets which delete."""

import json
import threading

import pytest

from harness import wait_until
from harness.pipeline import run_program

pylibmc = pytest.importorskip("pylibmc")


def insert(p, keys, value=1, hint=""):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT) /*inv='k'*/;"
             "INSERT INTO demo.t VALUES (%d) /*inv='%s'%s*/" % (value, ",".join(keys), hint))


def start(pipeline, servers, cluster, router=None, trace_prefix=""):
    """A pipeline whose cluster "a" is what cluster(addresses) says."""
    p = pipeline(start=False, clusters=["a"], servers=servers, trace_prefix=trace_prefix,
                 config={"clusters": cluster, "router": router or {}} if isinstance(cluster, dict) else None)
    if not isinstance(cluster, dict):
        p.extra = {"clusters": cluster([c.address for c in p.caches["a"]]), "router": router or {}}
        p.write_configs()
    p.squeal.start()
    p.routers["a"].start()
    return p


def holders(p, key):
    """Numbers of the caches that hold the key."""
    return {i for i, cache in enumerate(p.caches["a"]) if cache.get(key) is not None}


def explained(p, key, *args):
    done = run_program("squeal-router", "-c", p.cluster_config_path("a"), "--explain", key, "--json", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[0]


def said_to_go(p, key, *args):
    """Numbers of the caches that --explain names."""
    ports = [c.address for c in p.caches["a"]]
    return {ports.index(s["server"]) for s in explained(p, key, *args)["servers"]}


def assert_deleted_only(p, where):
    """`where`: key -> numbers of the caches that must lose it, of all that have it."""
    everywhere = set(range(len(p.caches["a"])))

    def done():
        return all(not holders(p, key) & gone for key, gone in where.items())
    wait_until(done, 15, "the deletes")
    for key, gone in where.items():
        assert holders(p, key) == everywhere - gone, key


def test_a_key_goes_to_the_pools_that_its_prefix_says_and_nowhere_else(pipeline):
    p = start(pipeline, 9, lambda a: {
        "servers": a[0:2],
        "pools": [
            {"name": "users", "prefixes": ["user:"], "distribution": "ch3", "servers": a[2:5]},
            {"name": "hot", "prefixes": ["user:hot:"], "kind": "replicated", "servers": a[5:7]},
            {"name": "spare", "role": "gutter", "servers": a[7:8]},
            {"name": "copy", "role": "shadow", "stands_for": ["users"], "servers": a[8:9]},
        ]})
    plain, users, hot = (["%s%d" % (prefix, i) for i in range(40)] for prefix in ("x:", "user:", "user:hot:"))
    p.fill(plain + users + hot)
    where = {}
    for keys, pool, always in ((plain, {0, 1}, {7}), (users, {2, 3, 4}, {7, 8}), (hot, set(), {5, 6, 7})):
        for key in keys:
            where[key] = said_to_go(p, key) if key.endswith("0") else None
            assert where[key] is None or (where[key] >= always and len(where[key] - always) == (1 if pool else 0)
                                          and where[key] - always <= pool)
    insert(p, plain + users + hot)

    def one_of_each():
        return (all(len({0, 1} - holders(p, k)) == 1 and 7 not in holders(p, k) for k in plain)
                and all(len({2, 3, 4} - holders(p, k)) == 1 and not {7, 8} & holders(p, k) for k in users)
                and all(not {5, 6, 7} & holders(p, k) for k in hot))
    wait_until(one_of_each, 20, "every key to be deleted in its pool")
    everywhere = set(range(9))
    for keys, count in ((plain, 2), (users, 3), (hot, 3)):
        for key in keys:
            gone = everywhere - holders(p, key)
            assert len(gone) == count, (key, gone)
            assert where[key] in (None, gone)
    # All of the default pool is where libmemcached would look for it.
    client = pylibmc.Client([c.address for c in p.caches["a"][:2]], behaviors={"ketama": True})
    assert client.get_multi(plain) == {}


def test_a_transaction_can_name_the_pool(pipeline):
    p = start(pipeline, 2, lambda a: {
        "servers": a[0:1], "pools": [{"name": "users", "prefixes": ["user:"], "servers": a[1:2]}]})
    p.fill(["x", "user:1", "y"])
    insert(p, ["x"], hint=",inv_p='users'")
    insert(p, ["user:1"], hint=",inv_p='default'")
    insert(p, ["y"], hint=",inv_p='nobody'")
    assert_deleted_only(p, {"x": {1}, "user:1": {0}, "y": {0}})
    assert said_to_go(p, "x", "--pool", "users") == {1}
    assert p.routers["a"].metrics().total("squeal_router_pool_unknown_total") == 1


# In a comment of SQL "*/" would end it: "*" is written %2A.
def test_mcrouters_keys_are_stripped_cut_and_kept_apart(pipeline):
    p = start(pipeline, 3, lambda a: {"servers": a, "distribution": "ch3", "mcrouter_prefix": "/east/a/"})
    keys = ["one", "two|#|tail", "three|#|tail", "four"]
    p.fill(keys)
    where = {key: said_to_go(p, key) for key in keys}
    assert where["two|#|tail"] == said_to_go(p, "two|#|other")
    insert(p, ["/east/a/one", "/%2A/%2A/two|#|tail", "three|#|tail", "/west/a/four"])
    assert_deleted_only(p, {key: where[key] for key in keys[:3]})
    assert holders(p, "four") == {0, 1, 2}
    assert p.routers["a"].metrics().total("squeal_router_keys_foreign_total") == 1


def change(p, cluster):
    """The router's file says something else; it is told."""
    p.extra["clusters"] = cluster
    p.write_configs()
    before = p.routers["a"].process.log_text().count("configuration reloaded")
    p.routers["a"].reload()
    wait_until(lambda: p.routers["a"].process.log_text().count("configuration reloaded") > before, 10,
               "the router to reload")


def test_pools_change_while_it_runs_and_a_wrong_file_changes_nothing(pipeline):
    p = start(pipeline, 3, lambda a: {"servers": a[0:1]})
    a = [c.address for c in p.caches["a"]]
    p.fill(["user:1", "x:1", "user:2", "x:2", "user:3", "x:3"])
    insert(p, ["user:1", "x:1"])
    assert_deleted_only(p, {"user:1": {0}, "x:1": {0}})
    change(p, {"servers": a[0:1], "pools": [{"name": "users", "prefixes": ["user:"], "servers": a[1:2]}]})
    insert(p, ["user:2", "x:2"])
    # The default pool was the users' pool before, and is not sealed.
    assert_deleted_only(p, {"user:2": {0, 1}, "x:2": {0}})
    # Two pools cannot both take the rest.
    p.extra["clusters"]["pools"] = [{"name": "users", "servers": a[2:3]}]
    p.write_configs()
    p.routers["a"].reload()
    wait_until(lambda: "only one can take what no other pool takes" in p.routers["a"].process.log_text(), 10,
               "the router to refuse the file")
    assert "the old one stays" in p.routers["a"].process.log_text()
    insert(p, ["user:3", "x:3"])
    assert_deleted_only(p, {"user:3": {0, 1}, "x:3": {0}})


def seal(p):
    done = run_program("squealctl", "-c", p.cluster_config_path("a"), "seal")
    assert done.returncode == 0, done.stdout + done.stderr


class Writer(threading.Thread):
    """Commits key after key.  Before each commit the key is put where clients of either ring would have it."""

    def __init__(self, p, rings):
        super().__init__()
        self.p = p
        self.clients = [pylibmc.Client(addresses, behaviors={"ketama": True}) for addresses in rings]
        self.keys = []
        self.over = threading.Event()
        self.broken = None

    def run(self):
        try:
            with self.p.db.connect() as db, db.cursor() as cursor:
                while not self.over.is_set():
                    key = "load:%d" % len(self.keys)
                    for client in self.clients:
                        client.set(key, "old")
                    cursor.execute("INSERT INTO demo.t VALUES (%d) /*inv='%s'*/" % (len(self.keys), key))
                    db.commit()
                    self.keys.append(key)
        except Exception as e:
            self.broken = e

    def count(self):
        if self.broken:
            raise self.broken
        return len(self.keys)


def test_a_ring_changes_under_load_and_both_owners_get_every_delete_until_it_is_sealed(pipeline):
    p = start(pipeline, 4, lambda a: {"servers": a[0:3]})
    a = [c.address for c in p.caches["a"]]
    old, new = a[0:3], a[0:2] + a[3:4]
    insert(p, ["first"])
    writer = Writer(p, [old])
    writer.start()
    wait_until(lambda: writer.count() > 200, 30, "load by the old ring")
    # First the router, then the clients.
    change(p, {"servers": new})
    writer.clients.append(pylibmc.Client(new, behaviors={"ketama": True}))
    at = writer.count()
    wait_until(lambda: writer.count() > at + 300, 30, "load by both rings")
    # Whatever happens to the router now, it knows the old ring.
    p.routers["a"].kill()
    at = writer.count()
    wait_until(lambda: writer.count() > at + 100, 30, "load without a router")
    p.routers["a"].start()
    writer.over.set()
    writer.join()
    assert writer.broken is None
    clients = [pylibmc.Client(ring, behaviors={"ketama": True}) for ring in (old, new)]

    def all_gone():
        return all(client.get_multi(writer.keys) == {} for client in clients)
    wait_until(all_gone, 20, "every key to be deleted at its old and new owner")
    status = p.routers["a"].status()
    assert len(status["rings"]["unsealed"]) == 1 and status["rings"]["sealed_out"] == []
    assert p.routers["a"].metrics().total("squeal_router_deletes_extra_total") > 0

    done = run_program("squealctl", "-c", p.cluster_config_path("a"), "status")
    assert "squealctl seal ends it" in done.stdout, done.stdout
    seal(p)
    status = p.routers["a"].status()
    assert status["rings"] == {"unsealed": [], "sealed_out": [a[2]]}
    keys = ["after:%d" % i for i in range(200)]
    p.fill(keys)
    insert(p, keys)
    wait_until(lambda: clients[1].get_multi(keys) == {}, 15, "the deletes by the new ring")
    # Each key is gone from one cache; the one that is out keeps all.
    assert all(p.caches["a"][2].get(key) == b"old" for key in keys)
    assert all(len(holders(p, key)) == 3 for key in keys)

    # What it still holds is not to be served when it comes back: it is flushed before it counts.
    p.caches["a"][2].set("stale", "old")
    change(p, {"servers": a})
    wait_until(lambda: p.caches["a"][2].get("stale") is None, 15, "the server that was out to be flushed")
    wait_until(lambda: p.routers["a"].status()["rings"]["sealed_out"] == [], 15, "the server to count as clean")


def test_a_ring_that_changed_while_the_router_was_down_is_not_sealed_either(pipeline):
    p = start(pipeline, 2, lambda a: {"servers": a[0:1]})
    a = [c.address for c in p.caches["a"]]
    insert(p, ["first"])
    wait_until(lambda: p.routers["a"].metrics().total("squeal_router_keys_total") > 0, 10, "the first key")
    assert p.routers["a"].stop() == 0
    p.extra["clusters"] = {"servers": a[1:2]}
    p.write_configs()
    p.routers["a"].start()
    p.fill(["x"])
    insert(p, ["x"])
    assert_deleted_only(p, {"x": {0, 1}})
    assert explained(p, "x")["servers"][1]["old_owner"]


def test_limits_hold_back_their_keys_and_no_others(pipeline):
    p = start(pipeline, 1, lambda a: {"servers": a, "limits": [{"prefix": "k:slow:", "rate": 20}]}, trace_prefix="k:")
    slow, fast = ["k:slow:%d" % i for i in range(60)], ["k:fast:%d" % i for i in range(60)]
    p.fill(slow + fast)
    insert(p, slow)
    insert(p, fast)
    wait_until(lambda: not any(holders(p, k) for k in fast), 10, "the keys without a limit")
    wait_until(lambda: not any(holders(p, k) for k in slow), 15, "the keys with one")
    # By the router's own times: looking from here may take as long as the limit does.
    p.wait_deleted(slow + fast)
    acked = {key: at for at, _, _, key in p.trace("a")}
    assert max(acked[k] for k in fast) < max(acked[k] for k in slow), "a key without a limit waited for those with one"
    assert max(acked[k] for k in slow) - min(acked[k] for k in slow) > 1e6, "nothing was held back"
    assert p.routers["a"].metrics().total("squeal_router_deletes_limited_total") > 0


def test_a_regional_pool_gets_its_deletes_from_every_cluster_that_names_it(pipeline):
    p = pipeline(start=False, clusters=["a", "b"], servers=2, trace_prefix="")
    shared = p.caches["a"][1]
    p.extra = {"clusters": {"servers": [p.caches["a"][0].address],
                            "pools": [{"name": "world", "role": "regional", "prefixes": ["w:"],
                                       "servers": [shared.address]}]}}
    p.write_configs()
    p.squeal.start()
    for router in p.routers.values():
        router.start()
    shared.set("w:1", "old")
    shared.set("x:1", "old")
    insert(p, ["w:1", "x:1"])
    for router in p.routers.values():
        wait_until(lambda: router.metrics().total("squeal_router_deletes_acked_total", server=shared.address) == 1, 15,
                   "the delete of %s" % router.name)
    assert shared.get("w:1") is None and shared.get("x:1") == b"old"


@pytest.mark.parametrize("bytes_keys", [False, True], ids=["str", "bytes"])
def test_what_pymemcache_stores_is_deleted_where_pymemcache_stored_it(pipeline, bytes_keys):
    hashing = pytest.importorskip("pymemcache.client.hash")
    p = start(pipeline, 4, lambda a: {
        "servers": a[0:1],
        "pools": [{"name": "py", "prefixes": ["py:"], "distribution": "pymemcache",
                   "hash": "bytes" if bytes_keys else "str", "servers": a[1:4]}]})
    client = hashing.HashClient([("127.0.0.1", c.port) for c in p.caches["a"][1:]])
    keys = ["py:%d" % i for i in range(200)]
    for key in keys:
        assert client.set(key.encode() if bytes_keys else key, "old")
    where = {key: holders(p, key) for key in keys}
    assert all(len(at) == 1 for at in where.values()) and len({tuple(at) for at in where.values()}) == 3
    for key in keys[:20]:
        assert said_to_go(p, key) == where[key]
    insert(p, keys)
    wait_until(lambda: not any(holders(p, key) for key in keys), 15, "every key to be deleted")
    client.close()
