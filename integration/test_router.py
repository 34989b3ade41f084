"""The router: routing as clients do it, servers that come and go, cursors, reload, drain."""

import signal

import pytest

from harness import wait_until
from harness.pipeline import run_program, write_config

pylibmc = pytest.importorskip("pylibmc")


def insert(p, keys, value=1):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT) /*inv='k'*/;"
             "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/" % (value, ",".join(keys)))


def owner(p, config, cluster, key):
    """The server that --explain names."""
    done = run_program("squeal-router", "-c", config, "--cluster", cluster, "--explain", key)
    assert done.returncode == 0, done.stderr
    server = [line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.strip().startswith("server:")]
    assert len(server) == 1, done.stdout
    return server[0].split()[0]


@pytest.mark.parametrize("settings,behaviors", [
    ({"distribution": "ketama"}, {"ketama": True}),
    ({"distribution": "ketama", "hash": "md5"}, {"ketama": True, "hash": "md5"}),
    ({"distribution": "ketama", "hash": "fnv1a_32"}, {"ketama": True, "hash": "fnv1a_32"}),
    ({"distribution": "ketama_weighted"}, {"ketama_weighted": True}),
    ({"distribution": "modula"}, {"distribution": "modula"}),
    ({"distribution": "modula", "hash": "crc"}, {"distribution": "modula", "hash": "crc"}),
], ids=lambda d: "-".join(str(v) for v in d.values()))
def test_what_pylibmc_stores_is_deleted_where_pylibmc_stored_it(pipeline, settings, behaviors):
    p = pipeline(clusters=["a"], servers=5, config={"clusters": settings})
    keys = ["k:%d" % i for i in range(500)] + ["k:user:%d:profile" % i for i in range(100)] + ["k\u00e9:%d" % i
                                                                                             for i in range(50)]
    client = pylibmc.Client([c.address for c in p.caches["a"]], binary=False, behaviors=behaviors)
    assert client.set_multi({key: "old" for key in keys}) == []
    where = {key: [c.address for c in p.caches["a"] if c.get(key) is not None] for key in keys[:60] + keys[-20:]}
    assert all(len(servers) == 1 for servers in where.values())
    # What it says ...
    for key in list(where)[:10] + list(where)[-5:]:
        assert owner(p, p.config_path, "a", key) == where[key][0]
    # ... and what it does.
    insert(p, keys)
    p.wait_deleted(keys)
    assert client.get_multi(keys) == {}
    assert all(int(c.stats()["curr_items"]) == 0 for c in p.caches["a"])


def test_one_server_away_does_not_hold_up_the_others_and_gets_what_it_missed(pipeline):
    p = pipeline(clusters=["a", "b"], servers=3)
    away = p.caches["a"][0]
    keys = ["k:%d" % i for i in range(300)]
    mine = {key for key in keys if owner_of(p, "a", key) == away.address}
    assert 0 < len(mine) < len(keys)
    away.kill()
    insert(p, keys)
    p.wait_deleted(set(keys) - mine, clusters=["a"])
    p.wait_deleted(keys, clusters=["b"])
    assert not mine & p.deleted("a")
    away.start()
    p.wait_deleted(mine, clusters=["a"])


def owner_of(p, cluster, key):
    """Where libmemcached puts the key: asked once per pipeline."""
    if not hasattr(p, "owners"):
        p.owners = {}
    if (cluster, key) not in p.owners:
        p.owners[(cluster, key)] = owner(p, p.config_path, cluster, key)
    return p.owners[(cluster, key)]


def test_a_server_that_stands_still_is_away_and_nothing_is_lost(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    still = p.caches["a"][1]
    first = ["k:first:%d" % i for i in range(50)]
    insert(p, first)
    p.wait_deleted(first)
    keys = ["k:%d" % i for i in range(100)]
    mine = {key for key in keys if owner_of(p, "a", key) == still.address}
    still.pause()
    try:
        insert(p, keys)
        p.wait_deleted(set(keys) - mine)
        wait_until(lambda: p.routers["a"].metrics().total("squeal_router_ack_timeouts_total") >= 1, 10,
                   "the router to notice")
    finally:
        still.resume()
    p.wait_deleted(keys)


def test_a_long_outage_is_made_up_for_from_the_log(pipeline):
    """More than queue_bytes waits for the server: it is served from the log when it is back."""
    p = pipeline(clusters=["a"], servers=2, config={"router": {"queue_bytes": "64KiB"}})
    away = p.caches["a"][0]
    away.kill()
    keys = []
    for i in range(20):
        some = ["k:%d:%d:%s" % (i, j, "x" * 60) for j in range(200)]
        keys += some
        insert(p, some)
    router = p.routers["a"]
    other = p.caches["a"][1].address
    wait_until(lambda: router.metrics().total("squeal_router_behind", server=other) == 0, 15, "the other server")
    assert router.metrics().total("squeal_router_behind", server=away.address) > 0
    assert router.metrics().total("squeal_router_queue_bytes", server=away.address) < 256 * 1024
    away.start()
    p.wait_deleted(keys, timeout=30)


def test_a_killed_router_goes_on_from_its_cursors(pipeline):
    p = pipeline(clusters=["a"], servers=2)
    before = ["k:before:%d" % i for i in range(100)]
    insert(p, before)
    p.barrier()
    router = p.routers["a"]
    saves = router.metrics().total("squeal_router_cursor_saves_total")
    wait_until(lambda: router.metrics().total("squeal_router_behind") == 0
               and router.metrics().total("squeal_router_cursor_saves_total") >= saves, 10, "the cursors")
    router.kill()
    lines = len(p.trace("a"))
    while_dead = ["k:dead:%d" % i for i in range(100)]
    insert(p, while_dead)
    router.start()
    p.wait_deleted(while_dead)
    p.barrier()
    repeated = [key for _, _, _, key in p.trace("a")[lines:] if key in before]
    assert len(repeated) <= len(before)


def test_lost_cursors_cost_repeats_and_lose_nothing(pipeline):
    p = pipeline(clusters=["a"], servers=2, config={"clusters": {"cursors": "cursors.db"}})
    before = ["k:before:%d" % i for i in range(20)]
    insert(p, before)
    p.wait_deleted(before)
    p.routers["a"].kill()
    import glob
    import os
    files = glob.glob(os.path.join(p.dir, "cursors.db*"))
    assert files
    for f in files:
        os.unlink(f)
    lines = len(p.trace("a"))
    p.routers["a"].start()
    p.barrier()
    assert set(before) <= {key for _, _, _, key in p.trace("a")[lines:]}


def test_a_router_started_before_the_log_exists_waits_for_it(pipeline):
    p = pipeline(start=False, clusters=["a"])
    p.routers["a"].start(wait=False)
    wait_until(lambda: "log" in p.routers["a"].get("/readyz")[1] if p.routers["a"].process.running
               and _answers(p.routers["a"]) else False, 10, "the router to say what it waits for")
    p.squeal.start()
    p.routers["a"].wait_ready()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


def _answers(daemon):
    try:
        return daemon.get("/healthz")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("which", ["squeal", "router"])
def test_sigterm_drains_and_a_restart_loses_nothing(pipeline, which):
    p = pipeline(clusters=["a"])
    daemon = p.squeal if which == "squeal" else p.routers["a"]
    keys = []
    for i in range(50):
        keys.append("k:%d" % i)
        insert(p, keys[-1:])
        if i == 25:
            assert daemon.stop() == 0
        if i == 40:
            daemon.start()
    p.wait_deleted(keys)
    log = daemon.process.log_text()
    assert "CRIT" not in log


def test_what_was_committed_before_sigterm_is_in_the_log_when_squeal_ends(pipeline):
    p = pipeline(clusters=["a"])
    p.routers["a"].stop()
    keys = ["k:%d" % i for i in range(2000)]
    insert(p, keys)
    # It has read them (its own metric says so) or will read them again at the next start.
    wait_until(lambda: p.squeal.metrics().total("squeal_key_found_total") >= len(keys), 10, "squeal to read the keys")
    assert p.squeal.stop() == 0
    p.routers["a"].start(wait=False)
    p.wait_deleted(keys)


def test_sighup_takes_what_can_be_reloaded_and_says_what_cannot(pipeline):
    p = pipeline(clusters=["a"])
    config = p.config("a")
    config["router"]["window_keys"] = 7
    config["squeal"]["linger"] = "3ms"
    config["source"]["port"] = 3399
    write_config(p.config_path, config)
    write_config(p.cluster_config_path("a"), config)
    for daemon, taken in ((p.squeal, "linger"), (p.routers["a"], "window_keys")):
        daemon.reload()
        wait_until(lambda: taken in daemon.process.log_text() and "port" in daemon.process.log_text()
                   and "restart" in daemon.process.log_text(), 10, "%s to reload" % daemon.name)
    keys = ["k:%d" % i for i in range(50)]
    insert(p, keys)
    p.wait_deleted(keys)


def test_a_reload_of_a_broken_file_keeps_the_old_settings(pipeline):
    p = pipeline(clusters=["a"])
    for path in (p.config_path, p.cluster_config_path("a")):
        with open(path, "a") as f:
            f.write("nonsense: 1\n")
    for daemon in (p.squeal, p.routers["a"]):
        daemon.reload()
        wait_until(lambda: "nonsense" in daemon.process.log_text(), 10, "%s to complain" % daemon.name)
        assert daemon.process.running
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])


def test_a_second_sigterm_ends_at_once(pipeline):
    p = pipeline(clusters=["a"])
    p.caches["a"][0].pause()
    insert(p, ["k:%d" % i for i in range(100)])
    router = p.routers["a"].process
    router.signal(signal.SIGTERM)
    # Two that come before it has looked are one.
    wait_until(lambda: "stopping" in router.log_text(), 10, "the first one to be heard")
    router.signal(signal.SIGTERM)
    router.wait(5, "to end")
    p.caches["a"][0].resume()


def test_the_namespace_is_put_before_every_key_and_not_hashed(pipeline):
    p = pipeline(clusters=["a"], servers=4, config={"clusters": {"namespace": "app:"}})
    client = pylibmc.Client([c.address for c in p.caches["a"]], behaviors={"ketama": True, "_namespace": "app:"}) \
        if "_namespace" in pylibmc.all_behaviors else None
    plain = pylibmc.Client([c.address for c in p.caches["a"]], behaviors={"ketama": True})
    keys = ["k:%d" % i for i in range(100)]
    if client:
        client.set_multi({key: "old" for key in keys})
    else:
        # Where libmemcached puts "k:1" it would put "app:k:1" with the namespace app: set.
        plain.set_multi({key: "old" for key in keys})
        for cache in p.caches["a"]:
            with cache.client() as c:
                for key in keys:
                    if c.get(key) is not None:
                        c.set("app:" + key, "old")
    insert(p, keys)
    p.wait_deleted(keys)
    for cache in p.caches["a"]:
        assert all(cache.get("app:" + key) is None for key in keys)
