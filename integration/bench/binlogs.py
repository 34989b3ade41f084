"""Large binlog files for the benchmarks: what a real MariaDB wrote, repeated until a file is large enough.

    statement   one or two UPDATEs with a comment per transaction, as text
    row         the same in row format: one row per statement, with its text (ANNOTATE_ROWS)
    rows        UPDATEs of a hundred rows each, in row format

Each repetition continues positions and GTIDs and has checksums of its own, so a file is what a server that did the same
again and again would have written.  Files are made once and kept in build/bench-binlogs.
"""

import os
import random
import struct
import zlib

from harness import Mariadb, run_dir
from harness.process import BUILD

SEED_BYTES = 12 << 20
HEADER, CHECKSUM, GTID, FORMAT = 19, 4, 162, 15

TABLE = ("CREATE DATABASE shop; USE shop; CREATE TABLE shop.users (id INT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL, "
         "email VARCHAR(80) NOT NULL, city VARCHAR(40), karma BIGINT, seen DATETIME(3), visits INT, note VARCHAR(200)); "
         "INSERT INTO shop.users SELECT seq, CONCAT('user ', seq), CONCAT('user', seq, '@example.org'), 'Amsterdam', seq, "
         "NOW(3), seq, REPEAT('x', 60) FROM seq_1_to_20000")

RULES = ("rules:\n  - table: shop.users\n"
         "    keys: [\"user:{id}\", \"mail:{email}\"]\n")


def _small(rng):
    def update():
        user = rng.randrange(1, 20001)
        return ("UPDATE shop.users SET name='user %d of many', visits=visits+1, karma=%d, note='%s' WHERE id=%d "
                "/*inv='user:%d,feed:%d'*/" % (user, rng.randrange(1 << 40), "y" * rng.randrange(20, 100), user, user, user))
    while True:
        yield update() + ";" if rng.random() < 0.7 else "BEGIN; %s; %s; COMMIT;" % (update(), update())


def _bulk(rng):
    while True:
        first = rng.randrange(1, 19900)
        yield ("UPDATE shop.users SET visits=visits+1, karma=%d WHERE id BETWEEN %d AND %d /*inv='range:%d'*/;" %
               (rng.randrange(1 << 40), first, first + 99, first))


KINDS = {"statement": ("STATEMENT", _small), "row": ("ROW", _small), "rows": ("ROW", _bulk)}


def fill(db, kind, size):
    """Runs transactions of this kind until the binlog has grown by `size` bytes."""
    format, statements = KINDS[kind]
    source, begin = statements(random.Random(42)), db.binlog_position()[1]
    while db.binlog_position()[1] - begin < size:
        text = "\n".join(next(source) for _ in range(4000 if kind != "rows" else 100))
        db.sql("SET SESSION binlog_format=%s;\n%s" % (format, text), timeout=300)


def _record(kind):
    """The binlog that a server wrote, and where its repeatable part begins."""
    options = ["--max-binlog-size=1G", "--binlog-checksum=CRC32", "--binlog-row-metadata=FULL", "--log-bin=mariadb-bin"]
    db = Mariadb(run_dir("bench-binlogs"), options=options).start()
    try:
        db.sql(TABLE)
        begin = db.binlog_position()[1]
        fill(db, kind, SEED_BYTES)
        name = db.binlog_position()[0]
        db.sql("FLUSH BINARY LOGS")
        with open(os.path.join(db.data, name), "rb") as f:
            return f.read(), begin
    finally:
        db.stop()


def _events(data, at):
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 9)[0]
        yield at, data[at + 4], length
        at += length


def _repeat(data, begin, size, out):
    # Without the ROTATE at its end, and without IN_USE, which only the server's own file may have.
    events = [e for e in _events(data, begin) if e[1] != 4]
    head = bytearray(data[:begin])
    seqs = [struct.unpack_from("<Q", data, at + HEADER)[0] for at, kind, _ in events if kind == GTID]
    step = seqs[-1] - seqs[0] + 1
    out.write(head)
    pos, shift = begin, 0
    while pos < size:
        chunk = bytearray(data[begin:events[-1][0] + events[-1][2]])
        for at, kind, length in events:
            at -= begin
            pos += length
            struct.pack_into("<I", chunk, at + 13, pos & 0xffffffff)
            if kind == GTID:
                struct.pack_into("<Q", chunk, at + HEADER, struct.unpack_from("<Q", chunk, at + HEADER)[0] + shift)
            end = at + length - CHECKSUM
            struct.pack_into("<I", chunk, end, zlib.crc32(chunk[at:end]))
        out.write(chunk)
        shift += step


def binlog(kind, size=1 << 30):
    """The path of a file of at least `size` bytes; made when it is not there."""
    folder = os.path.join(BUILD, "bench-binlogs")
    path = os.path.join(folder, "%s-%d" % (kind, size), "mariadb-bin.000001")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data, begin = _record(kind)
        with open(path + ".new", "wb") as out:
            _repeat(data, begin, size, out)
        os.rename(path + ".new", path)
    return path


def rules_file():
    folder = os.path.join(BUILD, "bench-binlogs")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "rules.yaml")
    with open(path, "w") as f:
        f.write(RULES)
    return path
