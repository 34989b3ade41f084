"""What `squeal keys --rows` says of binlog files, against what mariadb-binlog and MySQL's mysqlbinlog print of them.

For each file: the end, the GTID and the number of rows of every transaction.  Where two of them differ, DIFFERENCES and
MYSQL_DIFFERENCES say why, and what Squeal must say.
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
from harness.mysql import NoMysql, mysql_argv
from harness.pipeline import run_program

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUTSIDE = os.path.join(ROOT, "..", "shared", "binlogs")
FILES = sorted(glob.glob(os.path.join(ROOT, "squeal/binlog/test/data/*.binlog")) +
               [f for f in glob.glob(os.path.join(OUTSIDE, "*")) if not f.endswith(".md")])

# In place of a list: the tool says the first of what Squeal says, and then stops.
MORE = "more"
# The tool does not print all rows; what it says of ends and GTIDs is right.
NOT_ROWS = "not rows"

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
    "mysql_row.binlog": (STOPS + "GTID_TAGGED", MORE, None),
    "mysql_mixed.binlog": (STOPS + "GTID_TAGGED", MORE, None),
    "mysql_statement.binlog": (STOPS + "GTID_TAGGED", MORE, None),
    "mysql_payload.binlog": (STOPS + "TRANSACTION_PAYLOAD", MORE, None),
    "mysql_big_payload.binlog": (STOPS + "TRANSACTION_PAYLOAD", MORE, None),
    "mysql_rows_payload.binlog": (STOPS + "TRANSACTION_PAYLOAD", MORE, None),
    "mysql_images.binlog": (STOPS + "rows of a JSON column", MORE, None),
    "mysql_rows_full.binlog": (STOPS + "rows of a JSON column", MORE, None),
    "mysql_rows_minimal.binlog": (STOPS + "rows of a JSON column", MORE, None),
    "mysql_rows_noblob.binlog": (STOPS + "rows of a JSON column", MORE, None),
}


OLD_ROWS = "mysqlbinlog 9.7 does not know the row events of before MySQL 5.1.18, and stops at the first"
GEOMETRY = "mysqlbinlog prints nothing of a row event behind the first geometry in it"
MYSQL_DIFFERENCES = {
    "update-full-row.binlog": (OLD_ROWS, MORE, None),
    "update-partial-row.binlog": (OLD_ROWS, MORE, None),
    "write-full-row.binlog": (OLD_ROWS, MORE, None),
    "write-partial-row.binlog": (OLD_ROWS, MORE, None),
    "ver_5_1_23.001": (OLD_ROWS, MORE, None),
    "ver_5_1-wl2325_r.001": DIFFERENCES["ver_5_1-wl2325_r.001"],
    "ver_5_1-wl2325_s.001": (
        "mysqlbinlog 9.7 stops at the first event that a pre-release of MySQL 5.1 numbered differently", MORE, None),
    "bug40482-bin.000001": ("mysqlbinlog stops at the incident as at damage", None, "the server lost events"),
    "corrupt-relay-bin.000624": DIFFERENCES["corrupt-relay-bin.000624"],
    "mysql_rows_full.binlog": (GEOMETRY, NOT_ROWS, None),
    "mysql_rows_noblob.binlog": (GEOMETRY, NOT_ROWS, None),
    "mysql_rows_payload.binlog": (GEOMETRY, NOT_ROWS, None),
}


def is_of_mariadb(path):
    with open(path, "rb") as f:
        return b"MariaDB" in f.read(100)


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


def end_of(path, start):
    with open(path, "rb") as f:
        f.seek(start + 9)
        return start + struct.unpack("<I", f.read(4))[0]


def mysql_printed(path):
    """mysqlbinlog's text as (end, what, lines) of each event; those of a payload have its end."""
    try:
        argv = mysql_argv("mysqlbinlog")
    except NoMysql as why:
        pytest.skip(str(why))
    out = subprocess.run(argv + ["--no-defaults", "-v", "--base64-output=decode-rows",
                                 "--local-load=" + run_dir("differential"), path],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode("utf-8", "replace")
    found, at, is_inside = [], None, False
    for line in out.splitlines():
        head = re.match(r"#\d{6} +\d+:\d\d:\d\d server id .*?\t(.*)", line)
        if re.match(r"# at \d+$", line):
            at = int(line[5:])
        elif line == "# Start of compressed events.":
            is_inside = True
        elif line == "# End of compressed events.":
            is_inside = False
        elif head:
            found.append((at if is_inside else end_of(path, at), head.group(1), []))
        elif line.startswith("# End of log file"):
            break
        elif found and not line.endswith("/* added by mysqlbinlog */ /*!*/;"):
            found[-1][2].append(line)
    return found


def mysql_expected(path):
    """[(end, gtid, rows), ...] from mysqlbinlog's text."""
    found, gtid, is_open, has_begin, rows = [], None, False, False, 0

    for end, what, lines in mysql_printed(path):
        ends = False
        rows += sum(1 for line in lines if re.match(r"### (INSERT INTO|UPDATE|DELETE FROM) ", line))
        named = re.search(r"GTID_NEXT= '([^']*)'", "\n".join(lines))
        if named:
            gtid = named.group(1) if named.group(1) not in ("ANONYMOUS", "AUTOMATIC") else None
            is_open, has_begin, rows = True, False, 0
        elif what.startswith(("Query", "Execute_load_query")):
            sql = statement(["", *lines])
            if sql == "BEGIN" or sql.startswith("XA START"):
                is_open = has_begin = True
            elif sql in ("COMMIT", "ROLLBACK"):
                ends = is_open
            elif not sql.startswith("XA END"):
                ends = not has_begin
        elif what.startswith(("Xid", "XA PREPARE", "XA COMMIT")):
            ends = is_open
        elif "STMT_END_F" in what and not has_begin:
            ends = True
        elif what.startswith(("Start", "Stop", "Rotate")):
            gtid, is_open, has_begin, rows = None, False, False, 0
        if ends:
            found.append((end, gtid, rows))
            gtid, is_open, has_begin, rows = None, False, False, 0
    return found


def said(path):
    result = run_program("squeal", "keys", "--rows", path)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return [(x["pos"], x["gtid"], x["rows"]) for x in lines], result


def check(path, want, differences):
    got, result = said(path)
    error = None
    if os.path.basename(path) in differences:
        _, instead, error = differences[os.path.basename(path)]
        if instead == MORE:
            assert len(want) < len(got), "no difference any more"
            got = got[:len(want)]
        elif instead == NOT_ROWS:
            assert want != got and sum(x[2] for x in want) < sum(x[2] for x in got), "no difference any more"
            want = [(*w[:2], g[2]) for w, g in zip(want, got, strict=True)]
        elif instead is not None:
            assert instead != want, "no difference any more"
            want = instead
    assert got == want
    if error is None:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode != 0 and error in result.stderr


@pytest.mark.parametrize("path", FILES, ids=os.path.basename)
def test_transactions_gtids_and_rows_are_those_of_mariadb_binlog(path):
    check(path, expected(path), DIFFERENCES)


@pytest.mark.parametrize("path", [f for f in FILES if not is_of_mariadb(f)], ids=os.path.basename)
def test_transactions_gtids_and_rows_are_those_of_mysqlbinlog(path):
    check(path, mysql_expected(path), MYSQL_DIFFERENCES)


def test_files_of_other_servers_are_there():
    if not os.path.isdir(OUTSIDE):
        pytest.skip("skipped: ../shared/binlogs is not there")
    assert len(FILES) > 40


def test_the_sample_files_of_other_servers_are_among_them():
    if not os.path.isdir(OUTSIDE):
        pytest.skip("the sample files of other servers (../shared/binlogs) are not here")
    assert any(f.startswith(OUTSIDE) for f in FILES)
