"""lib/route against the clients that are installed, and against the rules written down once more (harness/routing.py)."""

import os
import random
import subprocess

import pytest

from harness import routing
from harness.process import BUILD

KEYS = 10000
# Server lists: (host, port, weight, name).
PLAIN = [("10.0.0.%d" % i, 11211, 1, "") for i in range(1, 8)]
PORTS = [("127.0.0.1", 11211, 1, ""), ("127.0.0.1", 11212, 1, ""), ("cache3.example", 22122, 1, ""),
         ("/run/memcached/4.sock", 0, 1, "")]
WEIGHTS = [("a", 11211, 1, ""), ("b", 11211, 3, ""), ("c", 11311, 7, ""), ("d", 11211, 58, "")]
NAMED = [("10.0.0.1", 11211, 1, "server1"), ("10.0.0.2", 11311, 2, ""), ("10.0.0.3", 11311, 1, "server3")]
MANY = [("mc%03d.example" % i, 11211, 1, "") for i in range(150)]
ONE = [("10.0.0.1", 11211, 1, "")]


def keys(seed, n=KEYS, odd=True):
    """Keys as applications make them, and (odd) keys of any bytes that memcached takes."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        kind = i % 4 if odd else i % 3
        if kind == 0:
            out.append(b"user:%d" % rng.randrange(10 ** rng.randrange(1, 12)))
        elif kind == 1:
            out.append(b"%s:{%d}:%x" % (rng.choice([b"page", b"feed", b"a" * 40]), i, rng.getrandbits(64)))
        elif kind == 2:
            out.append(bytes(rng.choice(b"abcdefghijklmnop{}|#/") for _ in range(rng.randrange(1, 170))))
        else:
            out.append(bytes(rng.choice(ODD) for _ in range(rng.randrange(1, 60))))
    return out


ODD = bytes(b for b in range(0x21, 0x100) if b != 0x7f)


def ours(algorithm, servers, asked, hash_name=None, tag=None, salt=None, more=()):
    """What route-tool answers for each key."""
    args = [os.path.join(BUILD, "bin", "route-tool"), *more]
    for letter, value in (("-H", hash_name), ("-t", tag), ("-s", salt)):
        args += [letter, value] if value else []
    args += [algorithm] + ["%s\t%d\t%s\t%s" % server for server in servers]
    done = subprocess.run(args, input=b"".join(key + b"\n" for key in asked), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    answers = [int(line) for line in done.stdout.split()]
    assert len(answers) == len(asked)
    return answers


def agree(answers, asked, judge):
    differ = [(key, got, want) for key, got, want in zip(asked, answers, map(judge, asked)) if got != want]
    assert not differ, "%d of %d differ, the first: %r" % (len(differ), len(asked), differ[0])


# --- the rules, written once more ------------------------------------------------------------------------------------

@pytest.mark.parametrize("servers", [ONE, PLAIN, MANY], ids=["one", "plain", "many"])
def test_ch3(servers):
    asked = keys(1)
    agree(ours("ch3", servers, asked), asked, lambda key: routing.ch3(key, len(servers)))


def test_ch3_with_a_salt_and_mcrouters_keys():
    asked = keys(2, 3000, odd=False)
    agree(ours("ch3", PLAIN, asked, salt="pool-b"), asked, lambda key: routing.ch3(key + b"pool-b", len(PLAIN)))
    whole = [b"/region/cluster/" + key.replace(b"|#|", b"") + b"|#|" + key for key in asked if key[:1] != b"/"]
    agree(ours("ch3", PLAIN, whole, more=["-m"]), whole,
          lambda key: routing.ch3(key.split(b"/", 3)[3].split(b"|#|")[0], len(PLAIN)))


@pytest.mark.parametrize("weights", [[1, 1, 0.7], [0.25, 0.5, 0.75, 1], [0.01] * 20, [0, 1], [1] * 100],
                         ids=lambda w: "%d-servers" % len(w))
def test_wch3(weights):
    asked = keys(3)
    servers = [("mc%d" % i, 11211, repr(weight), "") for i, weight in enumerate(weights)]
    agree(ours("wch3", servers, asked), asked, lambda key: routing.wch3(key, weights))


@pytest.mark.parametrize("servers", [PLAIN, NAMED, MANY], ids=["plain", "named", "many"])
def test_rendezvous(servers):
    servers = [(host, port, 1, name) for host, port, _, name in servers]
    asked = keys(4, KEYS if len(servers) < 20 else 1000)
    tags = [(name or "%s:%d" % (host, port)).encode() for host, port, _, name in servers]
    agree(ours("rendezvous", servers, asked), asked, lambda key: routing.rendezvous(key, tags))


def test_weighted_rendezvous():
    weights = [1, 0.5, 0.25, 0, 0.9, 1]
    servers = [("mc%d" % i, 11211, repr(weight), "tag%d" % i) for i, weight in enumerate(weights)]
    tags = [server[3].encode() for server in servers]
    asked = keys(5)
    agree(ours("weighted_rendezvous", servers, asked), asked,
          lambda key: routing.weighted_rendezvous(key, tags, weights))


def test_crc32_of_mcrouter():
    asked = keys(6)
    agree(ours("crc32", PLAIN, asked), asked, lambda key: routing.crc32(key, len(PLAIN)))


@pytest.mark.parametrize("hash_name", sorted(routing.TWEMPROXY_HASHES))
def test_twemproxy_with_each_hash(hash_name):
    asked = keys(7)
    for servers in (PLAIN, WEIGHTS):
        agree(ours("twemproxy_ketama", servers, asked, hash_name), asked,
              routing.TwemproxyKetama(servers, hash_name).route)
        agree(ours("twemproxy_modula", servers, asked, hash_name), asked,
              routing.TwemproxyModula(servers, hash_name).route)


@pytest.mark.parametrize("servers", [ONE, PORTS, WEIGHTS, NAMED, MANY], ids=["one", "ports", "weights", "named", "many"])
@pytest.mark.parametrize("tag", [None, "{}", "||"])
def test_twemproxy_with_names_weights_and_tags(servers, tag):
    asked = keys(8)
    unnamed = [server[:3] + ("",) for server in servers]
    agree(ours("twemproxy_ketama", servers, asked, tag=tag), asked,
          routing.TwemproxyKetama(servers, "fnv1a_64", (tag or "").encode()).route)
    agree(ours("twemproxy_modula", unnamed, asked, tag=tag), asked,
          routing.TwemproxyModula(servers, "fnv1a_64", (tag or "").encode()).route)


@pytest.mark.parametrize("hash_name", sorted(routing.JUMP_HASHES))
def test_jump_with_each_hash(hash_name):
    asked = keys(9)
    for servers in (ONE, PLAIN, MANY):
        agree(ours("jump", servers, asked, hash_name), asked,
              lambda key: routing.jump(routing.JUMP_HASHES[hash_name](key), len(servers)))


@pytest.mark.parametrize("servers", [ONE, PLAIN, WEIGHTS, NAMED, MANY], ids=["one", "plain", "weights", "named", "many"])
def test_spymemcached(servers):
    asked = keys(13)
    agree(ours("spymemcached", servers, asked), asked, routing.Spymemcached(servers).route)


@pytest.mark.parametrize("hash_name", sorted(routing.SPYMEMCACHED_HASHES))
def test_spymemcached_modula_with_each_hash(hash_name):
    asked = keys(14, KEYS // 2) + ["".join(c for c in chr(0x20ac + i) + "a\U0001f600" * (i % 5)).encode()
                                   for i in range(KEYS // 2)]
    agree(ours("spymemcached_modula", PLAIN, asked, hash_name), asked,
          lambda key: routing.SPYMEMCACHED_HASHES[hash_name](key) % len(PLAIN))


@pytest.mark.parametrize("servers", [PLAIN, PORTS, WEIGHTS, MANY], ids=["plain", "ports", "weights", "many"])
def test_dalli(servers):
    asked = keys(15)
    agree(ours("dalli", servers, asked), asked, routing.Dalli(servers).route)


def test_gomemcache_and_python_memcached():
    asked = keys(16)
    agree(ours("gomemcache", PLAIN, asked), asked, lambda key: routing.gomemcache(key, len(PLAIN)))
    weights = [weight for _, _, weight, _ in WEIGHTS]
    agree(ours("python_memcached", WEIGHTS, asked), asked, lambda key: routing.python_memcached(key, weights))


# --- clients that are installed --------------------------------------------------------------------------------------

@pytest.mark.parametrize("servers", [ONE, PLAIN, PORTS, MANY[:40], MANY], ids=["one", "plain", "ports", "forty", "many"])
def test_pymemcache_itself(servers):
    client = pytest.importorskip("pymemcache.client.hash").HashClient(
        [host if host.startswith("/") else (host, port) for host, port, _, _ in servers], allow_unicode_keys=True)
    index = {host if host.startswith("/") else "%s:%d" % (host, port): i for i, (host, port, _, _) in enumerate(servers)}
    rng = random.Random(10)
    n = KEYS if len(servers) < 20 else 2000 if len(servers) < 100 else 400
    # str: also with characters whose code points have more than one byte.
    texts = [key.decode() for key in keys(10, n * 3 // 4, odd=False)]
    texts += ["".join(rng.choice("aß€😀ü:1") for _ in range(rng.randrange(1, 30))) for _ in range(n // 4)]
    asked = [text.encode() for text in texts]
    agree(ours("pymemcache", servers, asked), texts, lambda text: index[client.hasher.get_node(text)])
    # bytes: any of them.
    asked = keys(11, n) + [b"it's", b"\"", b"'\"", b"\\"]
    agree(ours("pymemcache", servers, asked, "bytes"), asked, lambda key: index[client.hasher.get_node(key)])


@pytest.mark.parametrize("algorithm,behaviors,hash_name", [
    ("ketama", {"ketama": True}, None), ("ketama", {"ketama": True, "hash": "murmur"}, "murmur"),
    ("ketama", {"ketama": True, "hash": "jenkins"}, "jenkins"), ("ketama_weighted", {"ketama_weighted": True}, None),
    ("modula", {"distribution": "modula"}, None), ("modula", {"distribution": "modula", "hash": "crc"}, "crc"),
    ("modula", {"distribution": "modula", "hash": "fnv1_64"}, "fnv1_64"),
    ("ketama_spy", {"ketama_weighted": True, "distribution": "consistent ketama spy"}, None),
], ids=lambda v: v if isinstance(v, str) else None)
@pytest.mark.parametrize("servers", [PLAIN, MANY[:100]], ids=["plain", "hundred"])
def test_pylibmc_itself(servers, algorithm, behaviors, hash_name):
    """pylibmc is libmemcached as Python's users have it; test_ring_libmemcached.c asks the library itself.

    With more than 100 servers on a circle libmemcached 1.1.4 ends the process (an assertion).
    """
    pylibmc = pytest.importorskip("pylibmc")
    client = pylibmc.Client(["%s:%d" % server[:2] for server in servers], behaviors=behaviors)
    asked = keys(12)
    agree(ours(algorithm, servers, asked, hash_name), asked, client.hash)


# --- what is refused -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("args,word", [
    (["ketamaa", "a", "b"], "weighted_rendezvous|crc32"), (["ch3", "a\t1\t0.5", "b"], "mean nothing"),
    (["-H", "crc32", "ketama", "a", "b"], "no hash"), (["-t", "{}", "ch3", "a", "b"], "no hash tag"),
    (["wch3", "a\t1\t1.5", "b"], "0 to 1"), (["ketama"], "servers"),
])
def test_what_means_nothing_is_refused(args, word):
    done = subprocess.run([os.path.join(BUILD, "bin", "route-tool"), *args], input=b"", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 1 and word in done.stderr.decode()
