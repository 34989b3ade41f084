"""Clients that applications use: pymemcache, and libmemcached by pylibmc in both protocols."""

import threading

import pylibmc
import pymemcache
import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError
from harness import Cache, wait_until


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    c = Cache(str(tmp_path_factory.mktemp("cache-clients")), memory=256, options=["-B", "auto"]).start()
    yield c
    c.stop()


@pytest.fixture
def client(cache):
    c = Client(("127.0.0.1", cache.port), timeout=20, connect_timeout=5, default_noreply=False)
    c.flush_all()
    yield c
    c.close()


@pytest.fixture(params=["text", "binary"])
def libmemcached(cache, request):
    """libmemcached, as pylibmc has it."""
    c = pylibmc.Client(["127.0.0.1:%d" % cache.port], binary=request.param == "binary", behaviors={"cas": True})
    c.flush_all()
    yield c
    c.disconnect_all()


def test_every_storage_command(client):
    assert client.set("k", b"1")
    assert not client.add("k", b"2")
    assert client.replace("k", b"2")
    assert not client.replace("absent", b"2")
    assert client.append("k", b"3") and client.prepend("k", b"1")
    assert client.get("k") == b"123"
    assert client.delete("k") and not client.delete("k")
    assert client.add("k", b"4") and client.get("k") == b"4"
    assert client.get("absent", default="none") == "none"


def test_flags_empty_values_and_every_byte(cache, client):
    value = bytes(range(256)) + b"\r\nEND\r\n"
    assert client.set("bytes", value, flags=0xFFFFFFFF) and client.set("empty", b"")
    assert client.get("bytes") == value and client.get("empty") == b""
    with cache.client() as c:
        assert c.command(b"mg bytes f") == b"HD f4294967295"


def test_counters(client):
    client.set("n", b"18446744073709551615")
    assert client.incr("n", 1) == 0
    assert client.incr("n", 41) == 41
    assert client.decr("n", 100) == 0
    assert client.incr("absent", 1) is None and client.decr("absent", 1) is None


def test_cas_by_many_loses_no_update(cache, client):
    """Eight clients count to 200 each by gets and cas; every success shows."""
    client.set("count", b"0")

    def work():
        c = Client(("127.0.0.1", cache.port), timeout=20)
        done = 0
        while done < 200:
            value, cas = c.gets("count")
            if c.cas("count", str(int(value) + 1), cas, noreply=False):
                done += 1
        c.close()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert client.get("count") == b"1600"
    assert client.cas("absent", b"x", b"1") is None
    _, cas = client.gets("count")
    client.set("count", b"0")
    assert client.cas("count", b"1", cas) is False


def test_noreply_keeps_the_order_of_replies(client):
    for i in range(3000):
        client.set("k:%d" % i, b"v%d" % i, noreply=True)
        client.incr("k:%d" % i, 1, noreply=True)  # its error is not to be seen either
        if i % 3 == 0:
            client.delete("k:%d" % i, noreply=True)
        if i % 5 == 0:
            client.touch("k:%d" % i, 0, noreply=True)
    assert client.get("k:2999") == b"v2999"
    found = client.get_many(["k:%d" % i for i in range(3000)])
    assert found == {"k:%d" % i: b"v%d" % i for i in range(3000) if i % 3}


def test_expiry_touch_and_get_and_touch(cache, client):
    for key in ("short", "touched", "gat", "never"):
        client.set(key, b"v", expire=0 if key == "never" else 1)
    assert client.touch("touched", 100) and not client.touch("absent", 100)
    with cache.client() as c:
        assert c.get_many([b"100", b"gat", b"absent"], b"gat") == {b"gat": b"v"}
        words = c.command(b"gats 100 gat").split()
        assert words[:4] == [b"VALUE", b"gat", b"0", b"1"] and c.data(1) == b"v" and c.line() == b"END"
    assert client.cas("gat", b"w", words[4], expire=100)
    wait_until(lambda: client.get("short") is None, 5, "the short TTL to pass")
    assert client.get("touched") == b"v" and client.get("gat") == b"w" and client.get("never") == b"v"
    client.set("past", b"v", expire=-1)
    assert client.get("past") is None
    client.touch("never", -1)
    assert client.get("never") is None


def test_ten_thousand_keys_in_one_get(client):
    pairs = {"many:%05d" % i: b"v" * (i % 50) + b"%d" % i for i in range(10000)}
    assert client.set_many(pairs) == []
    assert client.get_many(list(pairs)) == pairs
    assert client.get_many(["many:%05d" % i for i in range(5000, 15000)]) == {
        k: v for k, v in pairs.items() if k >= "many:05000"}
    got = client.gets_many(list(pairs))
    assert {k: v for k, (v, _) in got.items()} == pairs
    assert len({cas for _, cas in got.values()}) == 10000
    assert client.delete_many(list(pairs)) and client.get_many(list(pairs)) == {}


@pytest.mark.parametrize("size", [1000, 70000, 512 * 1024, 1000 * 1000])
def test_large_values_come_back_whole(client, size):
    value = (b"%08d" % size) * (size // 8)
    for i in range(5):
        assert client.set("large:%d" % i, value + b"%d" % i)
    for i in range(5):
        assert client.get("large:%d" % i) == value + b"%d" % i
        assert client.append("large:%d" % i, b"+") and client.get("large:%d" % i) == value + b"%d+" % i


def test_a_value_above_the_limit_is_refused_and_the_old_one_goes(client):
    client.set("big", b"old")
    with pytest.raises(MemcacheServerError, match="too large"):
        client.set("big", b"v" * 5000000)
    assert client.get("big") is None
    assert client.set("big", b"new") and client.get("big") == b"new"


def test_keys_of_250_bytes_and_of_all_that_is_allowed(client):
    long = "k" * 250
    assert client.set(long, b"v") and client.get(long) == b"v"
    with pytest.raises(pymemcache.MemcacheIllegalInputError):
        client.set(long + "k", b"v")
    odd = Client(client.server, timeout=5, allow_unicode_keys=True, default_noreply=False)
    assert odd.set("ключ", b"v") and odd.get("ключ") == b"v"
    odd.close()


def test_flush_all_and_its_delay(client):
    client.set("k", b"v")
    client.flush_all(delay=3)
    assert client.get("k") == b"v"
    wait_until(lambda: client.get("k") is None, 8, "the flush")
    # memcached's clock has seconds: what is set in the second of the flush goes with it.
    wait_until(lambda: client.set("k", b"w") and client.get("k") == b"w", 5, "sets to last again")


def test_stats_and_version(client):
    assert client.version()[:1].isdigit()
    before = client.stats()
    client.set("k", b"v"), client.get("k"), client.get("absent")
    after = client.stats()
    for name, by in ((b"cmd_set", 1), (b"cmd_get", 2), (b"get_hits", 1), (b"get_misses", 1)):
        assert after[name] - before[name] == by, name
    assert client.cache_memlimit(256)
    assert client.stats("settings")[b"maxconns"] == 1024


def test_libmemcached_every_command(libmemcached):
    c = libmemcached
    assert c.set("k", "1") and not c.add("k", "2") and c.replace("k", "2")
    try:
        assert not c.replace("absent", "2")
    except pylibmc.NotFound:
        pass  # so it says in the binary protocol
    assert c.append("k", "3") and c.prepend("k", "1")
    assert c.get("k") == "123"
    assert c.delete("k") and not c.delete("k") and c.get("k") is None
    assert c.set("n", 5) and c.incr("n", 3) == 8 and c.decr("n", 2) == 6
    assert c.touch("n", 100) and not c.touch("absent", 100)
    with pytest.raises(pylibmc.NotFound):
        c.incr("absent")
    assert c.flush_all() and c.get("n") is None


def test_libmemcached_cas(libmemcached):
    c = libmemcached
    c.set("k", "1")
    value, cas = c.gets("k")
    assert value == "1" and c.cas("k", "2", cas)
    assert not c.cas("k", "3", cas) and c.get("k") == "2"
    with pytest.raises(pylibmc.NotFound):
        c.cas("absent", "3", cas)


def test_libmemcached_many_keys(libmemcached):
    c = libmemcached
    pairs = {"many:%d" % i: "v" * (i % 300) + str(i) for i in range(10000)}
    assert c.set_multi(pairs) == []
    assert c.get_multi(list(pairs) + ["absent:%d" % i for i in range(1000)]) == pairs
    assert c.delete_multi(list(pairs)) and c.get_multi(list(pairs)) == {}


def test_libmemcached_large_and_compressed_values(libmemcached):
    c = libmemcached
    value = bytes(range(256)) * 3900
    assert c.set("large", value) and c.get("large") == value
    assert c.set("packed", value * 4, min_compress_len=1000) and c.get("packed") == value * 4
    with pytest.raises((pylibmc.TooBig, pylibmc.Error)):
        c.set("above", b"v" * 5000000)
    assert c.set("after", "fine") and c.get("after") == "fine"


def test_libmemcached_expiry(libmemcached):
    c = libmemcached
    c.set("short", "v", time=1), c.set("long", "v", time=100)
    wait_until(lambda: c.get("short") is None, 5, "the TTL to pass")
    assert c.get("long") == "v"


def test_libmemcached_no_reply(cache):
    c = pylibmc.Client(["127.0.0.1:%d" % cache.port], behaviors={"no_block": True, "_noreply": True})
    for i in range(2000):
        c.set("quiet:%d" % i, i)
    check = pylibmc.Client(["127.0.0.1:%d" % cache.port])
    keys = ["quiet:%d" % i for i in range(2000)]
    wait_until(lambda: len(check.get_multi(keys)) == 2000, 10, "the sets without replies")
    assert check.get_multi(keys) == {k: i for i, k in enumerate(keys)}
    c.disconnect_all(), check.disconnect_all()
