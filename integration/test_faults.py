"""Clusters that are slow, networks that are cut or swallow everything: 0 lost, 0 stale.

Tests with a load end with the checker's verdict.  Processes that stand still are in test_standstill.py.
"""

import contextlib
import statistics
import time

import pytest

from harness import Load, Pipeline, run_dir, show_logs, wait_until
from harness.netns import FarMemcached, Network, NotPermitted, far_database
from harness.pipeline import make_database
from harness.proxy import Proxy


class FaultPipeline(Pipeline):
    """A pipeline whose routers reach some caches by another address (`via`: {cache: "host:port"}), and whose caches
    and database need not be on 127.0.0.1.  Clients, and so the hash, know a server by its own address."""

    def __init__(self, *args, tcp=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.via = {}
        self.tcp = tcp

    def config(self, *args, **kwargs):
        sections = super().config(*args, **kwargs)
        for c in sections["clusters"]:
            for server, cache in zip(c["servers"], self.caches[c["name"]]):
                server["host"] = cache.address.rsplit(":", 1)[0]
                if cache in self.via:
                    server["connect"] = self.via[cache]
        if self.tcp:
            sections["source"].update(self.db.tcp())
            del sections["source"]["socket"]
        return sections


@contextlib.contextmanager
def running(name, **kwargs):
    # A database that was made before has its data there.
    p = FaultPipeline(run_dir("test_faults." + name, fresh="db" not in kwargs), **kwargs)
    try:
        yield p
    except BaseException:
        show_logs(p.dir)
        raise
    finally:
        for cache in p.all_caches():
            cache.process.resume()
        p.db.process.resume()
        p.stop()


def verdict_of(load, least=1, **kwargs):
    load.finish()
    verdict = load.check(wait=60, **kwargs)
    print(verdict, flush=True)
    assert verdict.clean, "%s\n%s" % (verdict, verdict.log)
    assert verdict["commits"] >= least
    return verdict


# --- a slow cluster -----------------------------------------------------------------------------------------------


def latencies(p, load, cache, spans):
    """For each span of time, sorted: seconds from a commit's return to its first acknowledgement by this server."""
    cluster = next(name for name in p.cluster_names if cache in p.caches[name])
    acked = {}
    for at, server, _, key in p.trace(cluster):
        if key.startswith("demo:tx:") and server == cache.address:
            n = int(key.rsplit(":", 1)[1])
            acked[n] = min(at, acked.get(n, at))
    out = [[] for _ in spans]
    with open(load.journal) as f:
        for line in f:
            words = line.split()
            if words[0] == "C" and int(words[1]) in acked:
                for values, (begin, end) in zip(out, spans):
                    if begin <= int(words[2]) / 1e6 < end:
                        values.append(max(0.0, (acked[int(words[1])] - int(words[2])) / 1e6))
    return [sorted(values) for values in out]


def typical(spans, q):
    """The quantile's median over the spans: one that a busy machine has spoilt does not decide."""
    assert all(len(values) > 100 for values in spans), [len(values) for values in spans]
    return statistics.median(values[int(len(values) * q)] for values in spans)


def compare(what):
    """Seconds of the other one before and meanwhile, and of the one that is slow: lists of sorted values of three spans each."""
    with running("slow-" + what, trace_prefix="demo:", config={"router": {"ack_timeout": "5s"}}) as p, contextlib.ExitStack() as stack:
        victims = p.caches["east"][:2 if what == "cluster" else 1]
        proxies = [stack.enter_context(Proxy(cache.port)) for cache in victims]
        p.via = {cache: proxy.address for cache, proxy in zip(victims, proxies)}
        p.start()
        load = Load(p, rate=400, seconds=100000, after=1, writers=4, readers=2, reads=1000, items=1000).start()
        wait_until(lambda: load.progress().get("commits", 0) > 400, 20, "the load to be under way")
        normal, slowed = [], []
        for _ in range(3):
            for spans, delay, rate in ((normal, 0.0, None), (slowed, 0.025, 200_000)):
                for proxy in proxies:
                    proxy.delay, proxy.rate = delay, rate
                # What was slow a moment ago ends first.
                time.sleep(0.5)
                began = time.time()
                time.sleep(2.5)
                spans.append((began, time.time()))
        for proxy in proxies:
            proxy.delay, proxy.rate = 0.0, None
        verdict_of(load)
        assert all(proxy.passed > 10_000 for proxy in proxies), "the router did not go through the proxies"
        other = p.caches["west"][0] if what == "cluster" else p.caches["east"][1]
        return latencies(p, load, other, normal), latencies(p, load, other, slowed), latencies(p, load, victims[0], slowed)


@pytest.mark.parametrize("what", ["cluster", "server"])
def test_what_is_ten_times_slower_does_not_slow_the_others(what):
    """A cluster beside another one, and a server beside another one of the same router.  Three tries: what a machine that is busy
    with other things spoils comes and goes, what one server does to another one stays."""
    for _ in range(3):
        before, during, slow = compare(what)
        print("%s: the other one p50 %.2f p99 %.2f ms; while this one is slow p50 %.2f p99 %.2f ms; this one p50 %.2f p99 %.2f ms"
              % ((what,) + tuple(1000 * typical(v, q) for v in (before, during, slow) for q in (0.5, 0.99))), flush=True)
        if (typical(slow, 0.5) > 10 * typical(during, 0.5) and typical(during, 0.5) < 2 * typical(before, 0.5) + 0.002
                and typical(during, 0.99) < 3 * typical(before, 0.99) + 0.010):
            return
    assert typical(slow, 0.5) > 10 * typical(during, 0.5), "it was not ten times slower, so this shows nothing"
    # The same machine at the same load: what is left is noise, of which two busy cores have plenty.
    assert typical(during, 0.5) < 2 * typical(before, 0.5) + 0.002
    assert typical(during, 0.99) < 3 * typical(before, 0.99) + 0.010


# --- connections that are cut, or silent --------------------------------------------------------------------------


def insert(p, keys):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT); INSERT INTO demo.t VALUES (1) /*inv='%s'*/" % "%2C".join(keys))


def disconnects(router, cache):
    """Connections that the router has lost or given up."""
    metrics = router.metrics()
    return (metrics.total("squeal_router_disconnects_total", server=cache.address)
            + metrics.total("squeal_router_ack_timeouts_total", server=cache.address))


def up(router, cache):
    return router.metrics().total("squeal_router_server_up", server=cache.address)


@pytest.mark.parametrize("fault", ["refuse", "stall", "cut"])
def test_connections_to_a_cache_that_are_reset_or_stuck_under_load_lose_nothing(fault):
    with running("proxy-" + fault, trace_prefix="demo:") as p, contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(cache.port)) for cache in p.all_caches()]
        p.via = {cache: proxy.address for cache, proxy in zip(p.all_caches(), proxies)}
        p.start()
        load = Load(p, rate=500, seconds=100000, after=1, writers=4, readers=2, reads=1000, items=500).start()
        wait_until(lambda: load.progress().get("commits", 0) > 200, 20, "the load to be under way")
        for i in range(12 if fault == "stall" else 60):
            proxy = proxies[i % len(proxies)]
            router = p.routers["east" if i % len(proxies) < 2 else "west"]
            cache = p.all_caches()[i % len(proxies)]
            lost = disconnects(router, cache)
            getattr(proxy, fault)()
            wait_until(lambda: disconnects(router, cache) > lost, 10, "the router to notice")
            proxy.resume()
            wait_until(lambda: up(router, cache) == 1, 10, "the router to be back")
            commits = load.progress().get("commits", 0)
            wait_until(lambda: load.progress().get("commits", 0) > commits, 10, "commits in between")
        verdict_of(load, least=1000)


@contextlib.contextmanager
def network(name):
    try:
        with Network(run_dir("test_faults.net-" + name)) as net:
            yield net
    except NotPermitted as e:
        pytest.skip(str(e))


def noticed(cond, within, what):
    """Waits for it and returns how long it took."""
    began = time.monotonic()
    wait_until(cond, within, what)
    return time.monotonic() - began


@contextlib.contextmanager
def far_caches(name, net):
    """Cluster far: two memcached on the other side; cluster near: two on this one."""
    with running(name, clusters=["far", "near"]) as p:
        p.caches["far"] = [FarMemcached(net, p.dir, "cache-far-%d" % i) for i in range(2)]
        p.start()
        yield p


@pytest.mark.parametrize("fault", ["silence", "unplug"])
def test_a_network_between_router_and_cache_that_goes_away_is_noticed_and_made_up_for(fault):
    with network(fault) as net, far_caches("net-cache-" + fault, net) as p:
        keys = ["k:%d" % i for i in range(200)]
        p.fill(keys)
        insert(p, keys[:50])
        p.wait_deleted(keys[:50])
        getattr(net, fault)()
        insert(p, keys[50:100])
        took = noticed(lambda: all(up(p.routers["far"], c) == 0 for c in p.caches["far"]), 5, "the router to notice")
        print("%s: noticed in %.2f s with ack_timeout 0.5 s" % (fault, took), flush=True)
        insert(p, keys[100:])
        p.wait_deleted(keys, clusters=["near"])
        assert not set(keys[50:]) & p.deleted("far")
        net.heal()
        p.wait_deleted(keys, clusters=["far"], timeout=20)
        assert all(p.held(cluster, key) == 1 for key in keys for cluster in ("far", "near")), "deleted on its owner"


def test_a_cache_that_was_restarted_while_the_network_was_silent_leaves_no_half_open_connection():
    """Both ends think of different connections; the router's is reset when the network is back, or given up before."""
    with network("half-open") as net, far_caches("net-cache-half-open", net) as p:
        insert(p, ["k:first"])
        p.wait_deleted(["k:first"])
        # Nothing is in flight, so nobody notices the silence.
        net.silence()
        for cache in p.caches["far"]:
            cache.kill()
            cache.start(wait=False)
        net.heal()
        for cache in p.caches["far"]:
            cache.wait_ready()
        keys = ["k:%d" % i for i in range(100)]
        p.fill(keys)
        insert(p, keys)
        p.wait_deleted(keys)
        # Deleted on its owner.  A server that began so soon after the last word of the former may be flushed as well: from its
        # uptime, which has seconds, nobody can tell that it is not another one.
        assert all(p.held("far", key) <= 1 for key in keys)
        metrics = p.routers["far"].metrics()
        for cache in p.caches["far"]:
            assert metrics.total("squeal_router_reconnects_total", server=cache.address) >= 1


@pytest.mark.parametrize("flavour", ["mariadb", "mysql"])
@pytest.mark.parametrize("fault", ["silence", "unplug", "half-open"])
def test_a_network_between_squeal_and_database_that_goes_away_is_noticed_within_dead_after(fault, flavour):
    from conftest import need
    need(flavour)
    name = "net-db-%s-%s" % (fault, flavour)
    with network(name) as net:
        db = far_database(net, make_database(flavour, run_dir("test_faults." + name)))
        with running(name, clusters=["a"], db=db, tcp=True) as p:
            p.start()
            keys = ["k:%d" % i for i in range(100)]
            p.fill(keys)
            insert(p, keys[:10])
            p.wait_deleted(keys[:10])
            (net.unplug if fault == "unplug" else net.silence)()
            insert(p, keys[10:50])
            if fault == "half-open":
                # The server forgets its reader; the reader cannot be told.
                ids = p.db.sql("SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'").split()
                assert len(ids) == 1
                p.db.sql("KILL %s" % ids[0])
            took = noticed(lambda: p.squeal.metrics().total("squeal_source_up") == 0, 6, "squeal to notice")
            print("%s: noticed in %.2f s with dead_after 2 s" % (name, took), flush=True)
            assert took < 3.5
            insert(p, keys[50:])
            net.heal()
            p.wait_deleted(keys, timeout=30)
            p.squeal.wait_ready(30)
            assert p.squeal.metrics().total("squeal_source_gap") == 0
            assert all(p.held("a", key) == 1 for key in keys)
