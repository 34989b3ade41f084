"""The rules by which peers choose a server, once more and by other hands: what judges lib/route where no peer is installed.

Written from what the peers' documents and sources say, not from lib/route.  Slow and plain on purpose.  Keys are bytes;
a server is (host, port, weight, name).
"""

import bisect
import hashlib
import math
import struct
import zlib

M32 = 0xffffffff
M64 = 0xffffffffffffffff


def f32(x):
    """Rounded to single precision."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def rotl(x, by, bits):
    x &= (1 << bits) - 1
    return (x << by | x >> (bits - by)) & ((1 << bits) - 1)


# --- hashes ----------------------------------------------------------------------------------------------------------

def signed(key):
    """Bytes as C's signed char, widened to 64 bits."""
    return [b if b < 128 else (b - 256) & M64 for b in key]


def murmur64a(key, seed):
    m, r = 0xc6a4a7935bd1e995, 47
    h = (seed ^ len(key) * m) & M64
    whole = len(key) // 8 * 8
    for (k,) in struct.iter_unpack("<Q", key[:whole]):
        k = k * m & M64
        k ^= k >> r
        h = (h ^ k * m & M64) * m & M64
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & M64
    h = (h ^ h >> r) * m & M64
    return h ^ h >> r


def murmur2(key):
    m = 0x5bd1e995
    h = (0xdeadbeef * len(key) ^ len(key)) & M32
    whole = len(key) // 4 * 4
    for (k,) in struct.iter_unpack("<I", key[:whole]):
        k = k * m & M32
        k = (k ^ k >> 24) * m & M32
        h = h * m & M32 ^ k
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & M32
    h = (h ^ h >> 13) * m & M32
    return h ^ h >> 15


def one_at_a_time(key):
    h = 0
    for b in signed(key):
        h = (h + b) & M32
        h = (h + (h << 10)) & M32
        h ^= h >> 6
    h = (h + (h << 3)) & M32
    h ^= h >> 11
    return (h + (h << 15)) & M32


def fnv(key, start, prime, bits, a):
    h, mask = start, (1 << bits) - 1
    for b in signed(key):
        h = (h ^ b) * prime & mask if a else (h * prime ^ b) & mask
    return h & M32


def crc16(key):
    """CRC-16 with polynomial 0x1021 bit by bit, in a register of 32 bits that keeps what was shifted out."""
    register = 0
    for b in key:
        low = (register >> 8 ^ b) & 0xff
        part = low << 8
        for _ in range(8):
            part = (part << 1 ^ 0x1021) & 0xffff if part & 0x8000 else part << 1 & 0xffff
        register = (register << 8 ^ part) & M32
    return register


def hsieh(key):
    h = 0
    whole = len(key) // 4 * 4
    for low, high in struct.iter_unpack("<HH", key[:whole]):
        h = (h + low) & M32
        h = (h << 16 ^ high << 11 ^ h) & M32
        h = (h + (h >> 11)) & M32
    rest = key[whole:]
    if len(rest) == 3:
        h = (h + int.from_bytes(rest[:2], "little")) & M32
        h = (h ^ h << 16) & M32
        h = (h ^ signed(rest)[2] << 18) & M32
        h = (h + (h >> 11)) & M32
    elif len(rest) == 2:
        h = (h + int.from_bytes(rest, "little")) & M32
        h = (h ^ h << 11) & M32
        h = (h + (h >> 17)) & M32
    elif len(rest) == 1:
        h = (h + rest[0]) & M32
        h = (h ^ h << 10) & M32
        h = (h + (h >> 1)) & M32
    for left, right in ((3, 5), (4, 17), (25, 6)):
        h = (h ^ h << left) & M32
        h = (h + (h >> right)) & M32
    return h


def jenkins(key):
    """lookup3's hashlittle with initval 13."""
    a = b = c = (0xdeadbeef + len(key) + 13) & M32
    if not key:
        return c
    at = 0
    while len(key) - at > 12:
        x, y, z = struct.unpack_from("<III", key, at)
        a, b, c = a + x & M32, b + y & M32, c + z & M32
        a = (a - c ^ rotl(c, 4, 32)) & M32
        c = c + b & M32
        b = (b - a ^ rotl(a, 6, 32)) & M32
        a = a + c & M32
        c = (c - b ^ rotl(b, 8, 32)) & M32
        b = b + a & M32
        a = (a - c ^ rotl(c, 16, 32)) & M32
        c = c + b & M32
        b = (b - a ^ rotl(a, 19, 32)) & M32
        a = a + c & M32
        c = (c - b ^ rotl(b, 4, 32)) & M32
        b = b + a & M32
        at += 12
    x, y, z = struct.unpack("<III", key[at:].ljust(12, b"\0"))
    h = [a + x & M32, b + y & M32, c + z & M32]
    for i, by in enumerate((14, 11, 25, 16, 4, 14, 24)):  # c by b, a by c, b by a, and round again
        into, of = (i + 2) % 3, (i + 1) % 3
        h[into] = ((h[into] ^ h[of]) - rotl(h[of], by, 32)) & M32
    return h[2]


TWEMPROXY_HASHES = {
    "one_at_a_time": one_at_a_time,
    "md5": lambda key: int.from_bytes(hashlib.md5(key).digest()[:4], "little"),
    "crc16": crc16,
    "crc32": lambda key: zlib.crc32(key) >> 16 & 0x7fff,
    "crc32a": zlib.crc32,
    "fnv1_64": lambda key: fnv(key, 0xcbf29ce484222325, 0x100000001b3, 64, False),
    "fnv1a_64": lambda key: fnv(key, 0x84222325, 0x1b3, 32, True),
    "fnv1_32": lambda key: fnv(key, 2166136261, 16777619, 32, False),
    "fnv1a_32": lambda key: fnv(key, 2166136261, 16777619, 32, True),
    "hsieh": hsieh,
    "murmur": murmur2,
    "jenkins": jenkins,
}


def fnv_64(key, a):
    h = 0xcbf29ce484222325
    for b in key:
        h = (h ^ b) * 0x100000001b3 & M64 if a else h * 0x100000001b3 & M64 ^ b
    return h


def crc64(key):
    """CRC-64 of ECMA-182, reflected, bit by bit."""
    crc = M64
    for b in key:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0xc96c5795d7870f42 if crc & 1 else 0)
    return crc ^ M64


def xxh64(key):
    p1, p2, p3, p4, p5 = (0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63,
                          0x27d4eb2f165667c5)

    def lane(acc, word):
        return rotl(acc + word * p2, 31, 64) * p1 & M64

    at = 0
    if len(key) >= 32:
        lanes = [p1 + p2 & M64, p2, 0, -p1 & M64]
        while at + 32 <= len(key):
            lanes = [lane(a, w) for a, w in zip(lanes, struct.unpack_from("<4Q", key, at))]
            at += 32
        h = sum(rotl(a, by, 64) for a, by in zip(lanes, (1, 7, 12, 18))) & M64
        for a in lanes:
            h = ((h ^ lane(0, a)) * p1 + p4) & M64
    else:
        h = p5
    h = h + len(key) & M64
    while at + 8 <= len(key):
        h = (rotl(h ^ lane(0, struct.unpack_from("<Q", key, at)[0]), 27, 64) * p1 + p4) & M64
        at += 8
    if at + 4 <= len(key):
        h = (rotl(h ^ struct.unpack_from("<I", key, at)[0] * p1, 23, 64) * p2 + p3) & M64
        at += 4
    for b in key[at:]:
        h = rotl(h ^ b * p5, 11, 64) * p1 & M64
    h = (h ^ h >> 33) * p2 & M64
    h = (h ^ h >> 29) * p3 & M64
    return h ^ h >> 32


JUMP_HASHES = {
    "fnv1a_64": lambda key: fnv_64(key, True),
    "fnv1_64": lambda key: fnv_64(key, False),
    "xxh64": xxh64,
    "murmur64a": lambda key: murmur64a(key, 0),
    "crc64": crc64,
    "crc32": zlib.crc32,
}


# --- mcrouter --------------------------------------------------------------------------------------------------------

def ch3(key, n):
    """Bits of a stream of MurmurHash64A of MurmurHash64A of ...; each 23 further than the one before."""
    if n <= 1:
        return 0
    words = [murmur64a(key, 4193360111)]

    def bit(at):
        while len(words) <= at // 64:
            words.append(murmur64a(struct.pack("<Q", words[-1]), 4193360111))
        return words[at // 64] >> at % 64 & 1

    depth = (n - 1).bit_length()
    at = depth
    for _ in range(32):
        while not bit(at):
            depth -= 1
            if depth == 0:
                return 0
            at = depth
        bits = "1"
        for _ in range(depth - 1):
            at += 23
            bits += str(bit(at))
        at += 23
        if int(bits, 2) < n:
            return int(bits, 2)
    return 0


def spooky32(key, seed):
    """SpookyHash V2, below 192 bytes."""
    assert len(key) < 192
    filler = 0xdeadbeefdeadbeef
    a = b = seed
    c = d = filler

    def mix(a, b, c, d):
        for by in ((50, 52, 30, 41), (54, 48, 38, 37), (62, 34, 5, 36)):
            c = rotl(c, by[0], 64) + d & M64
            a ^= c
            d = rotl(d, by[1], 64) + a & M64
            b ^= d
            a = rotl(a, by[2], 64) + b & M64
            c ^= a
            b = rotl(b, by[3], 64) + c & M64
            d ^= b
        return a, b, c, d

    at = 0
    while len(key) - at >= 32:
        w = struct.unpack_from("<4Q", key, at)
        a, b, c, d = mix(a, b, c + w[0] & M64, d + w[1] & M64)
        a, b = a + w[2] & M64, b + w[3] & M64
        at += 32
    if len(key) - at >= 16:
        w = struct.unpack_from("<2Q", key, at)
        a, b, c, d = mix(a, b, c + w[0] & M64, d + w[1] & M64)
        at += 16
    d = d + (len(key) << 56) & M64
    if at == len(key):
        c, d = c + filler & M64, d + filler & M64
    else:
        w = struct.unpack("<2Q", key[at:].ljust(16, b"\0"))
        c, d = c + w[0] & M64, d + w[1] & M64
    h = [a, b, c, d]
    for i, by in enumerate((15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63)):
        x, y = (i + 3) % 4, (i + 2) % 4
        h[x] ^= h[y]
        h[y] = rotl(h[y], by, 64)
        h[x] = h[x] + h[y] & M64
    return h[0] & M32


def wch3(key, weights):
    text = key
    for salt in range(32):
        index = ch3(text, len(weights))
        if spooky32(text, 0xface2014) < int(weights[index] * M32):
            return index
        text = key + str(salt)[::-1].encode()
    return index


def mixed(server, key):
    m = 0x9ddfea08eb382d69
    a = (key ^ server) * m & M64
    a ^= a >> 47
    b = (server ^ a) * m & M64
    b ^= b >> 47
    return b * m & M64


def rendezvous(key, tags):
    """The highest score, as a double; of equal ones the last."""
    k = murmur64a(key, 2718281828)
    return max(range(len(tags)), key=lambda i: (float(mixed(murmur64a(tags[i], 4193360111), k)), i))


def weighted_rendezvous(key, tags, weights):
    k = murmur64a(key, 2718281828)
    best, winner = 0.0, 0
    for i, tag in enumerate(tags):
        part = (mixed(murmur64a(tag, 4193360111), k) & (1 << 53) - 1) / 2.0 ** 53
        score = weights[i] * (1.0 / -math.log(part)) if part else 0.0
        if score > best:
            best, winner = score, i
    return winner


def crc32(key, n):
    return (zlib.crc32(key) & 0x7fffffff) % n


# --- twemproxy -------------------------------------------------------------------------------------------------------

def tagged(key, tag):
    if tag:
        start = key.find(tag[:1])
        end = key.find(tag[1:], start + 1) if start >= 0 else -1
        if end > start + 1:
            return key[start + 1:end]
    return key


class TwemproxyKetama:
    def __init__(self, servers, hash_name, tag=b""):
        self.hash, self.tag, self.n = TWEMPROXY_HASHES[hash_name], tag, len(servers)
        total = sum(weight for _, _, weight, _ in servers)
        points = []
        for i, (host, port, weight, name) in enumerate(servers):
            if not name:
                name = host + ":" if host.startswith("/") else host if port == 11211 else "%s:%d" % (host, port)
            share = f32(f32(weight) / f32(total))
            for factor in (160.0, 0.25, float(len(servers))):
                share = f32(share * factor)
            for n in range(math.floor(f32(share + 0.0000000001))):
                digest = hashlib.md5(b"%s-%d" % (name.encode(), n)).digest()
                points += [(value, i) for value in struct.unpack("<4I", digest)]
        self.points = sorted(points)
        self.values = [value for value, _ in self.points]

    def route(self, key):
        if self.n == 1:
            return 0
        key = tagged(key, self.tag)
        return self.points[bisect.bisect_left(self.values, self.hash(key) if key else 0) % len(self.points)][1]


class TwemproxyModula:
    def __init__(self, servers, hash_name, tag=b""):
        self.hash, self.tag = TWEMPROXY_HASHES[hash_name], tag
        self.wheel = [i for i, server in enumerate(servers) for _ in range(server[2])]

    def route(self, key):
        key = tagged(key, self.tag)
        return self.wheel[(self.hash(key) if key else 0) % len(self.wheel)]


# --- jump ------------------------------------------------------------------------------------------------------------

def jump(number, n):
    b, j = -1, 0
    while j < n:
        b = j
        number = number * 2862933555777941757 + 1 & M64
        j = int(float(b + 1) * (float(1 << 31) / float((number >> 33) + 1)))
    return b


# --- spymemcached, Dalli, gomemcache, python-memcached ---------------------------------------------------------------

def units(key):
    """The chars of Java's String of these bytes, or the bytes where they are no UTF-8."""
    try:
        text = key.decode("utf-8").encode("utf-16-le")
    except UnicodeDecodeError:
        return list(key)
    return [unit for (unit,) in struct.iter_unpack("<H", text)]


def java_hash(key):
    h = 0
    for unit in units(key):
        h = (31 * h + unit) & M32
    return h


def java_fnv(key, start, prime, a):
    h = start
    for unit in units(key):
        h = (h ^ unit) * prime & M64 if a else h * prime & M64 ^ unit
    return h & M32


SPYMEMCACHED_HASHES = {
    "java": java_hash,
    "crc": lambda key: zlib.crc32(key) >> 16 & 0x7fff,
    "fnv1_64": lambda key: java_fnv(key, 0xcbf29ce484222325, 0x100000001b3, False),
    "fnv1a_64": lambda key: java_fnv(key, 0xcbf29ce484222325, 0x100000001b3, True),
    "fnv1_32": lambda key: java_fnv(key, 2166136261, 16777619, False),
    "fnv1a_32": lambda key: java_fnv(key, 2166136261, 16777619, True),
    "ketama": TWEMPROXY_HASHES["md5"],
}


class Spymemcached:
    def __init__(self, servers):
        weights = [weight for _, _, weight, _ in servers]
        positions = {}  # a map: what is put in later replaces what is there
        for i, (host, port, weight, name) in enumerate(servers):
            digests = 40
            if max(weights) > 1:
                share = f32(f32(weight) / f32(sum(weights)))
                for factor in (160.0, 0.25, float(len(servers))):
                    share = f32(share * factor)
                digests = math.floor(f32(share + 0.0000000001))
            for n in range(digests):
                digest = hashlib.md5(b"%s-%d" % ((name or "%s:%d" % (host, port)).encode(), n)).digest()
                for position in struct.unpack("<4I", digest):
                    positions[position] = i
        self.positions, self.servers = sorted(positions), positions

    def route(self, key):
        at = bisect.bisect_left(self.positions, TWEMPROXY_HASHES["md5"](key))
        return self.servers[self.positions[at % len(self.positions)]]


class Dalli:
    def __init__(self, servers):
        total = sum(weight for _, _, weight, _ in servers)
        self.points = []
        for i, (host, port, weight, _) in enumerate(servers):
            name = host if host.startswith("/") else "%s:%d" % (host, port)
            for n in range(math.floor(len(servers) * 160 * weight / float(total))):
                self.points.append((int(hashlib.sha1(b"%s:%d" % (name.encode(), n)).hexdigest()[:8], 16), i))
        self.points.sort()
        self.values = [value for value, _ in self.points]

    def route(self, key):
        return self.points[bisect.bisect_right(self.values, zlib.crc32(key)) - 1][1]


def gomemcache(key, n):
    return zlib.crc32(key) % n


def python_memcached(key, weights):
    buckets = [i for i, weight in enumerate(weights) for _ in range(weight)]
    return buckets[(zlib.crc32(key) >> 16 & 0x7fff or 1) % len(buckets)]
