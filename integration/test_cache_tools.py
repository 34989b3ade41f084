"""memccapable, memcached-tool and memcached's exporter: the tools that people point at a memcached work."""

import os
import re
import subprocess

import pytest
from harness import Cache, NoServer, server_root

ASCII = ("get,gets,mget,set,set noreply,add,add noreply,replace,replace noreply,cas,cas noreply,delete,delete noreply,"
         "incr,incr noreply,decr,decr noreply,append,append noreply,prepend,prepend noreply,stat,flush,flush noreply,"
         "verbosity,version,quit").split(",")
BINARY = ("add,addq,append,appendq,decr,decrq,delete,deleteq,flush,flushq,get,getk,getq,getkq,incr,incrq,noop,prepend,"
          "prependq,quit,quitq,replace,replaceq,set,setq,stat,version").split(",")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    # As memcached's default: a connection's first byte tells the protocol.
    c = Cache(str(tmp_path_factory.mktemp("cache-tools")), options=["-B", "auto"]).start()
    yield c
    c.stop()


@pytest.fixture(scope="module")
def capable(cache):
    """{test: whether it passed}.  One run: "ascii quit" goes by what "ascii version" saw."""
    said = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(cache.port), "-t", "20"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
    # What fails is said on standard error.
    return {name: passed == "[pass]" for name, passed in re.findall(r"((?:ascii|binary) [a-z ]+?)  +(\[pass\])?", said.stdout)}


@pytest.mark.parametrize("name", ["ascii " + n for n in ASCII] + ["binary " + n for n in BINARY])
def test_memccapable(capable, name):
    assert capable[name]


def test_memccapable_has_no_other_tests(capable):
    assert sorted(capable) == sorted(["ascii " + n for n in ASCII] + ["binary " + n for n in BINARY])
    assert len(capable) == 54


@pytest.fixture(scope="module")
def memcached_tool(tmp_path_factory):
    """The script, out of memcached's own source."""
    try:
        root = server_root("memcached")
    except NoServer as e:
        pytest.skip(str(e))
    source, = [os.path.join(root, "usr/src", f) for f in os.listdir(os.path.join(root, "usr/src")) if ".orig.tar." in f]
    dir = str(tmp_path_factory.mktemp("memcached-tool"))
    subprocess.run(["tar", "-xf", source, "-C", dir, "--strip-components=1", "--wildcards", "*/scripts/memcached-tool"],
                   check=True)
    return os.path.join(dir, "scripts", "memcached-tool")


def tool(memcached_tool, cache, mode):
    done = subprocess.run(["perl", memcached_tool, "127.0.0.1:%d" % cache.port] + mode.split(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_memcached_tool_shows_stats_settings_and_sizes(memcached_tool, cache):
    with cache.client() as c:
        for i in range(100):
            c.set("tool:%d" % i, b"v" * i)
    stats = tool(memcached_tool, cache, "stats")
    assert re.search(r"^ +curr_items +\d+\s*$", stats, re.M) and re.search(r"^ +version +\S+", stats, re.M)
    settings = tool(memcached_tool, cache, "settings")
    assert re.search(r"^ +maxconns +1024", settings, re.M)
    display = tool(memcached_tool, cache, "display")
    counted = sum(int(line.split()[4]) for line in display.splitlines()[1:] if len(line.split()) >= 8)
    assert counted >= 100, display
    tool(memcached_tool, cache, "sizes")


def test_memcached_tool_dumps_what_was_set(memcached_tool, cache):
    with cache.client() as c:
        c.command(b"flush_all")
        for i in range(50):
            c.set("dump:%d" % i, b"value %d" % i)
    dump = tool(memcached_tool, cache, "dump")
    assert sorted(re.findall(r"^add (dump:\d+) 0 \d+ \d+\r?\nvalue \d+", dump, re.M)) == sorted(
        "dump:%d" % i for i in range(50))
    keys = tool(memcached_tool, cache, "keys")
    assert len(re.findall(r"key=dump%3A\d+ ", keys)) == 50


# --- prometheus/memcached_exporter 0.16.0: how it reads, written anew from what it demands ---------------------------

def exporter_lines(client, *words):
    """Each line is exactly three words; the first scrape that has another shape fails as a whole."""
    client.send(b" ".join([b"stats"] + [w.encode() for w in words]) + b"\r\n")
    rows = []
    while True:
        line = client.line().decode()
        if line == "END":
            return rows
        words_of = line.split(" ")
        assert len(words_of) == 3 and words_of[0] == "STAT", line
        rows.append(tuple(words_of[1:]))


def exporter_scrape(client):
    """(general, {slab: {}}, {item class: {}}, settings) as the exporter files them by the colons of their names."""
    general, slabs, items = {}, {}, {}
    for words in ((), ("slabs",), ("items",)):
        for key, value in exporter_lines(client, *words):
            parts = key.split(":")
            if len(parts) == 1:
                general[key] = value
            elif len(parts) == 2:
                slabs.setdefault(int(parts[0]), {})[parts[1]] = value
            else:
                assert len(parts) == 3 and parts[0] == "items", key
                items.setdefault(int(parts[1]), {})[parts[2]] = value
    return general, slabs, items, dict(exporter_lines(client, "settings"))


NUMBERS = """uptime time cmd_get cmd_set get_hits get_misses delete_hits delete_misses incr_hits incr_misses decr_hits decr_misses
cas_hits cas_misses cas_badval touch_hits touch_misses cmd_flush bytes limit_maxbytes curr_items total_items bytes_read
bytes_written curr_connections total_connections rejected_connections conn_yields listen_disabled_num evictions reclaimed
store_too_large store_no_memory accepting_conns crawler_items_checked crawler_reclaimed direct_reclaims lru_crawler_starts
moves_to_cold moves_to_warm moves_within_lru total_malloced""".split()


def test_the_exporter_can_scrape(cache):
    with cache.client() as c:
        for i in range(1000):
            c.set("exporter:%d" % i, b"v" * (i * 7 % 3000))
            assert c.get("exporter:%d" % i) is not None
        c.command(b"cas exporter:1 0 0 1 1\r\nx")
        general, slabs, items, settings = exporter_scrape(c)
        plain = dict(exporter_lines(c))
    assert re.match(r"\d", general["version"])
    for name in NUMBERS:
        float(general[name])
    for name in ("rusage_user", "rusage_system"):
        assert re.match(r"^\d+\.\d{6}$", general[name]), general[name]
    assert int(general["curr_items"]) >= 1000 and int(general["cas_badval"]) >= 1
    assert slabs and items
    for slab in slabs.values():
        for name in "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end get_hits " \
                    "cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits".split():
            int(slab[name])
    for item in items.values():
        for name in "number age evicted evicted_nonzero evicted_time evicted_unfetched expired_unfetched outofmemory " \
                    "reclaimed tailrepairs crawler_reclaimed".split():
            int(item[name])
    assert sum(int(item["number"]) for item in items.values()) == int(plain["curr_items"])
    assert int(general["active_slabs"]) == len(slabs)
    assert int(settings["maxconns"]) == 1024
    if settings["lru_crawler"] == "yes":
        for name in "lru_crawler_sleep lru_crawler_tocrawl hot_lru_pct warm_lru_pct hot_max_factor warm_max_factor".split():
            float(settings[name])
        assert settings["lru_maintainer_thread"] in ("yes", "no")


def test_the_exporter_can_scrape_a_server_that_holds_nothing(tmp_path):
    c = Cache(str(tmp_path)).start()
    try:
        with c.client() as client:
            general, _, _, _ = exporter_scrape(client)
            assert int(general["curr_items"]) == 0
    finally:
        c.stop()
