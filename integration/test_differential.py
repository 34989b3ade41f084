"""What `squeal keys --rows` says of binlog files, against what mariadb-binlog prints of them.

For each file: the end, the GTID and the number of rows of every transaction.  Where the two differ, DIFFERENCES says
why, and what Squeal must say.
"""

import glob
import json
import os
import re
import struct
import subprocess
import uuid

import pytest

from harness import run_dir
from harness.pipeline import run_program

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUTSIDE = os.path.join(ROOT, "..", "shared", "binlogs")
FILES = sorted(glob.glob(os.path.join(ROOT, "squeal/binlog/test/data/*.binlog")) +
               [f for f in glob.glob(os.path.join(OUTSIDE, "*")) if not f.endswith(".md")])

TAGGED = "55778904-0299-11f1-b1b8-4ef0c4956feb:mytag:3"

# File: (why the two differ, what Squeal says: [(end, gtid, rows), ...], an error that it ends with or None).
STOPS = "mariadb-binlog stops at the first event that it does not know: "
DIFFERENCES = {
    "binlog_transaction_with_GTID_TAG.000001": (STOPS + "GTID_TAGGED", [(541, TAGGED, 1)], None),
    "transaction_compression.000001": (STOPS + "TRANSACTION_PAYLOAD", [(431, None, 1)], None),
    "json-opaque.binlog": (
        STOPS + "rows of a JSON column", [(340, None, 0), (529, None, 0), (1635, None, 8)], None),
    "json.binlog.000001": (
        STOPS + "rows of a JSON column; the last transaction are partial updates",
        [(491, None, 0), (845, None, 0), (1195, None, 1), (1545, None, 1), (1897, None, 1), (2389, None, 3),
         (3527, None, 6), (4011, None, 6)], None),
    "vector.binlog": (
        STOPS + "rows of a VECTOR column",
        [(356, None, 0), (580, None, 0), (851, None, 0), (1432, None, 4), (1610, None, 0), (1808, None, 0),
         (2032, None, 0), (2303, None, 0), (2884, None, 4), (3443, None, 2)], None),
    "ver_5_1-wl2325_r.001": (
        "a pre-release of MySQL 5.1 numbered its events differently, which mariadb-binlog does not know; its tables "
        "do not say how long columns are, so their rows cannot be read; without --rows all of it can",
        None, "without saying how long columns are"),
    "ver_5_1-wl2325_s.001": (
        "a pre-release of MySQL 5.1 numbered its events differently, which mariadb-binlog does not know",
        [(438, None, 0), (577, None, 0), (725, None, 0), (874, None, 0), (149777, None, 0)], None),
    "bug40482-bin.000001": ("an incident of which mariadb-binlog makes nothing", None, "the server lost events"),
    "rows_old_fractions.binlog": (
        "mariadb-binlog prints nonsense for fractions of times in the format before MariaDB 10.1; Squeal refuses them",
        None, "mysql56_temporal_format=ON"),
    "corrupt-relay-bin.000624": ("both stop at the damage; Squeal says so", None, "it is cut short"),
}


def events(path):
    """(start, end, type, body) of each whole event."""
    with open(path, "rb") as f:
        data = f.read()
    at, found = 4, []
    while at + 19 <= len(data):
        kind, length = data[at + 4], struct.unpack_from("<I", data, at + 9)[0]
        if length < 19 or at + length > len(data):
            break
        found.append((at, at + length, kind, data[at + 19:at + length]))
        at += length
    return found


def mysql_gtid(body):
    return "%s:%d" % (uuid.UUID(bytes=body[1:17]), struct.unpack_from("<Q", body, 17)[0])


def printed(path):
    """mariadb-binlog's text, cut into one piece per event: {start: lines}."""
    # It unpacks the files of LOAD DATA; not into everybody's /tmp.
    unpacked = run_dir("differential")
    out = subprocess.run(["mariadb-binlog", "--no-defaults", "-v", "--base64-output=decode-rows",
                          "--local-load=" + unpacked, path],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode("utf-8", "replace")
    starts, pieces = [], []
    for line in out.splitlines():
        if re.match(r"# at \d+$", line):
            starts.append(int(line[5:]))
        elif re.match(r"#\d{6} +\d+:\d\d:\d\d server id ", line):
            pieces.append([line])
        elif line.startswith("# End of log file"):
            break
        elif pieces:
            pieces[-1].append(line)
    return dict(zip(starts, pieces))


def statement(lines):
    """The text of a QUERY, without the SET statements before it."""
    text = []
    for line in lines[1:]:
        if line == "/*!*/;":
            break
        if not line.endswith("/*!*/;"):
            text.append(line)
    return "\n".join(text).strip()


def expected(path):
    """[(end, gtid, rows), ...] from mariadb-binlog's text."""
    found, text = [], printed(path)
    gtid, is_open, has_begin, rows = None, False, False, 0

    for start, end, kind, body in events(path):
        lines = text.get(start)
        if lines is None:
            break
        head, ends = lines[0], False
        rows += sum(1 for line in lines if re.match(r"### (INSERT INTO|UPDATE|DELETE FROM) ", line))
        named = re.search(r"\tGTID (\d+-\d+-\d+)", head)
        if named or kind in (33, 34):
            gtid = named.group(1) if named else mysql_gtid(body) if kind == 33 else None
            is_open, rows = True, 0
            has_begin = "START TRANSACTION" in lines or any(x.startswith("XA START") for x in lines)
        elif "\tQuery" in head or kind == 18:
            sql = statement(lines)
            if sql == "BEGIN" or sql.startswith("XA START"):
                is_open = has_begin = True
            elif sql in ("COMMIT", "ROLLBACK"):
                ends = is_open
            else:
                ends = not has_begin
        elif "\tXid" in head or kind == 38:
            # MySQL 5.0 ends a statement of its own with one, too.
            ends = is_open
        elif "STMT_END_F" in head and not has_begin:
            ends = True
        elif kind in (3, 4, 15):
            gtid, is_open, has_begin, rows = None, False, False, 0
        if ends:
            found.append((end, gtid, rows))
            gtid, is_open, has_begin, rows = None, False, False, 0
    return found


def said(path):
    result = run_program("squeal", "keys", "--rows", path)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [(x["pos"], x["gtid"], x["rows"]) for x in lines], result


@pytest.mark.parametrize("path", FILES, ids=os.path.basename)
def test_transactions_gtids_and_rows_are_those_of_mariadb_binlog(path):
    name = os.path.basename(path)
    got, result = said(path)
    want, error = expected(path), None
    if name in DIFFERENCES:
        _, instead, error = DIFFERENCES[name]
        if instead is not None:
            assert instead != want, "no difference any more"
            want = instead
    assert got == want
    if error is None:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0 and error in result.stderr


def test_files_of_other_servers_are_there():
    if not os.path.isdir(OUTSIDE):
        pytest.skip("skipped: ../shared/binlogs is not there")
    assert len(FILES) > 40


def test_the_sample_files_of_other_servers_are_among_them():
    if not os.path.isdir(OUTSIDE):
        pytest.skip("the sample files of other servers (../shared/binlogs) are not here")
    assert any(f.startswith(OUTSIDE) for f in FILES)
