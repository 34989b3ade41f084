"""`squeal keys` on files that a real MariaDB wrote: ranges, index files, standard input, and where keys come from."""

import datetime
import json
import os
import shutil
import subprocess

import pytest

from harness import Mariadb, run_dir, show_logs
from harness.pipeline import program, run_program

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(ROOT, "squeal/binlog/test/data")
OK, FAILED, USAGE, NOTHING = 0, 1, 2, 3

RULES = """
rules:
  - name: people
    table: shop.users
    keys: ["user:{id}", "mail:{email}"]
"""


class Recorded:
    """Files of a server, what it wrote into them, and what `squeal keys` makes of all of it."""

    def __init__(self, dir):
        self.dir = dir
        db = Mariadb(dir, binlog_format="ROW", row_metadata="FULL")
        db.start()
        try:
            db.sql("CREATE DATABASE shop; CREATE TABLE shop.users (id INT PRIMARY KEY, email VARCHAR(60), n INT);"
                   "CREATE TABLE shop.words (w VARCHAR(20))")
            for n in range(1, 6):
                db.sql("INSERT INTO shop.users VALUES (%d, 'u%d@example.org', 0) /*inv='first:%d'*/" % (n, n, n))
            db.sql("FLUSH BINARY LOGS")
            # Another domain in between, as of a second application.
            db.sql("SET gtid_domain_id=7; INSERT INTO shop.words VALUES ('a') /*inv='other:1'*/")
            db.sql("BEGIN; UPDATE shop.users SET n=1 WHERE id=1 /*inv='user:1,extra:1'*/; SAVEPOINT s;"
                   "UPDATE shop.users SET n=1 WHERE id=2 /*inv='gone:2'*/; ROLLBACK TO s;"
                   "DELETE FROM shop.users WHERE id=3 /*inv_m='mark:3',inv='gone:3'*/; COMMIT")
            db.sql("SET SESSION binlog_format=STATEMENT;"
                   "UPDATE shop.words SET w='b' /*inv='word:b'*/; UPDATE shop.words SET w='c' /*inv='word:c'*/")
            db.sql("FLUSH BINARY LOGS")
            db.sql("SET gtid_domain_id=7; INSERT INTO shop.words VALUES ('z') /*inv='other:2'*/")
            db.sql("INSERT INTO shop.words VALUES ('y') /*inv='last:1'*/")
            self.names = [row.split("\t")[0] for row in db.sql("SHOW BINARY LOGS").splitlines()]
        finally:
            db.stop()
        self.index = os.path.join(dir, "mariadb", "data", "binlog.index")
        self.paths = [os.path.join(os.path.dirname(self.index), name) for name in self.names]
        self.rules = os.path.join(dir, "rules.yaml")
        with open(self.rules, "w") as f:
            f.write(RULES)
        self.all = self.lines()

    def run(self, *args, files=None, env=None):
        return run_program("squeal", "keys", *args, *(self.paths if files is None else files), env=env)

    def lines(self, *args, files=None, code=OK, env=None):
        result = self.run(*args, files=files, env=env)
        assert result.returncode == code, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def error(self, *args, code, files=None):
        """The one sentence of a run that prints nothing else."""
        result = self.run(*args, files=files)
        assert result.returncode == code, (result.returncode, result.stderr)
        assert result.stdout == ""
        return result.stderr

    def with_key(self, key):
        found = [x for x in self.all if key in x["keys"]]
        assert len(found) == 1
        return found[0]

    def behind(self, line):
        """All lines after this one, in the order of the files."""
        return self.all[self.all.index(line) + 1:]


@pytest.fixture(scope="module")
def rec():
    dir = run_dir("test_keys")
    try:
        yield Recorded(dir)
    except BaseException:
        show_logs(dir)
        raise
    shutil.rmtree(os.path.join(dir, "mariadb", "data"), ignore_errors=True)


def keys_of(lines):
    return [key for line in lines for key in line["keys"]]


def test_every_transaction_is_a_line_with_place_id_time_and_keys(rec):
    assert keys_of(rec.all) == ["first:1", "first:2", "first:3", "first:4", "first:5", "other:1", "user:1", "extra:1",
                                "gone:3", "word:b", "word:c", "other:2", "last:1"]
    assert [x["file"] for x in rec.all] == sorted(x["file"] for x in rec.all)
    assert {x["file"] for x in rec.all} == set(rec.names)
    assert all(x["gtid"] and x["pos"] > 4 for x in rec.all)
    now = datetime.datetime.now().timestamp() * 1e6
    assert all(now - 600e6 < x["time_us"] < now + 1e6 for x in rec.all)
    assert rec.with_key("extra:1")["markers"] == ["mark:3"]


# --- ranges ---------------------------------------------------------------------------------------------------------


def test_a_place_divides_the_transactions_and_loses_none(rec):
    for line in rec.all:
        place = "%s:%d" % (line["file"], line["pos"])
        if line != rec.all[-1]:
            assert rec.lines("--start", place) == rec.behind(line)
        upto = rec.lines("--stop", place)
        assert upto + rec.behind(line) == rec.all


def test_a_file_without_an_offset_is_its_start_or_its_end(rec):
    second = [x for x in rec.all if x["file"] == rec.names[1]]
    assert rec.lines("--start", rec.names[1], "--stop", rec.names[1]) == second
    # Folders are left aside, as in "pos" and in what a server says.
    assert rec.lines("--start", rec.paths[1], "--stop", rec.paths[1]) == second


def test_a_transaction_that_a_place_cuts_is_left_out_whole_and_named(rec):
    cut = rec.with_key("extra:1")
    before = rec.all[rec.all.index(cut) - 1]
    # Behind its first event, the GTID's.
    inside = "%s:%d" % (cut["file"], before["pos"] + 42)
    result = rec.run("--start", inside)
    assert [json.loads(x) for x in result.stdout.splitlines()] == rec.behind(cut)
    assert "left out" in result.stderr and cut["gtid"] in result.stderr
    result = rec.run("--stop", inside)
    assert [json.loads(x) for x in result.stdout.splitlines()][-1] == before
    assert "left out" in result.stderr and cut["gtid"] in result.stderr


def test_a_place_that_is_not_in_the_files_is_an_error(rec):
    name, size = rec.names[1], os.path.getsize(rec.paths[1])
    assert "none of the files that were given" in rec.error("--start", "nowhere.000001:4", code=FAILED)
    assert "none of the files that were given" in rec.error("--stop", rec.names[0], code=FAILED, files=rec.paths[1:])
    assert "ends at %d" % size in rec.error("--start", "%s:%d" % (name, size + 1), code=FAILED)
    wrong = "%s:%d" % (rec.names[0], rec.all[0]["pos"] + 7)
    assert "no event begins there" in rec.error("--start", wrong, code=FAILED)
    result = rec.run("--stop", "%s:%d" % (name, size + 1))
    assert result.returncode == FAILED and "the file ends before that" in result.stderr
    assert "--stop" in rec.error("--start", rec.names[1], "--stop", rec.names[0], code=USAGE)


def test_a_gtid_position_divides_the_transactions_and_loses_none(rec):
    seen = {}
    for line in rec.all[:-1]:
        domain, _, seq = line["gtid"].split("-")
        seen[domain] = line["gtid"]
        position = ",".join(seen.values())
        assert rec.lines("--start-gtid", position) == rec.behind(line)
        assert rec.lines("--stop-gtid", position) + rec.behind(line) == rec.all


def test_domains_that_a_start_does_not_name_come_whole_and_those_of_a_stop_not_at_all(rec):
    assert keys_of(rec.lines("--start-gtid", rec.with_key("word:c")["gtid"])) == ["other:1", "other:2", "last:1"]
    assert keys_of(rec.lines("--stop-gtid", rec.with_key("other:2")["gtid"])) == ["other:1", "other:2"]


def test_single_ids_are_picked_and_left_out(rec):
    ids = ",".join(rec.with_key(key)["gtid"] for key in ("word:b", "first:2"))
    assert keys_of(rec.lines("--gtid", ids)) == ["first:2", "word:b"]
    assert keys_of(rec.lines("--exclude-gtid", ids)) == [k for k in keys_of(rec.all) if k not in ("word:b", "first:2")]
    result = rec.run("--gtid", ids + ",0-1-999999")
    assert result.returncode == OK and "0-1-999999" in result.stderr


def test_ids_that_are_not_in_the_files_are_an_error(rec):
    late = rec.with_key("word:b")["gtid"].rsplit("-", 1)[0] + "-999999"
    # Whether it comes is known at the end only; the other domain has nothing to wait for.
    result = rec.run("--start-gtid", late)
    assert result.returncode == FAILED and "give the files behind them" in result.stderr
    assert keys_of(json.loads(x) for x in result.stdout.splitlines()) == ["other:1", "other:2"]
    result = rec.run("--stop-gtid", late)
    assert result.returncode == FAILED and "is not reached" in result.stderr
    assert [json.loads(x) for x in result.stdout.splitlines()] == [x for x in rec.all if not x["gtid"].startswith("7-")]
    early = rec.with_key("first:1")["gtid"]
    error = rec.error("--start-gtid", early, code=FAILED, files=rec.paths[1:])
    assert "give the files before it" in error


def test_mysql_ids_on_mariadb_files_are_refused(rec):
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    for bound in ("--start-gtid", "--stop-gtid", "--gtid", "--exclude-gtid"):
        assert "MariaDB's, whose ids look like 0-1-100" in rec.error(bound, uuid + ":5", code=USAGE)


def test_times_pick_transactions_by_their_commit(rec):
    us = sorted({x["time_us"] for x in rec.all})
    middle = us[len(us) // 2]
    assert rec.lines("--start-datetime", str(middle)) == [x for x in rec.all if x["time_us"] >= middle]
    if middle > us[0]:
        assert rec.lines("--stop-datetime", str(middle)) == [x for x in rec.all if x["time_us"] < middle]
    at = datetime.datetime.fromtimestamp(us[0] / 1e6, datetime.timezone.utc)
    tomorrow = at + datetime.timedelta(days=1)
    assert rec.lines("--start-datetime", at.isoformat(), "--stop-datetime", tomorrow.isoformat()) == rec.all
    assert rec.lines("--start-datetime", at.strftime("%Y-%m-%dT%H:%M:%SZ")) == rec.all
    local = (at + datetime.timedelta(hours=3)).strftime("%Y-%m-%d %H:%M:%S")
    assert rec.lines("--start-datetime", local, env={"TZ": "XXX-3"}) == rec.all
    assert rec.lines("--start-datetime", local, env={"TZ": "XXX-2"}, code=NOTHING) == []


def test_bounds_of_several_kinds_must_all_hold(rec):
    first = rec.with_key("other:1")
    got = rec.lines("--start", "%s:%d" % (first["file"], first["pos"]), "--stop-gtid", rec.with_key("word:b")["gtid"],
                    "--exclude-gtid", rec.with_key("extra:1")["gtid"], "--start-datetime", str(rec.all[0]["time_us"]))
    assert keys_of(got) == ["word:b"]


def test_a_range_that_matches_nothing_says_so(rec):
    assert "matches nothing" in rec.error("--start-datetime", "2090-01-01", code=NOTHING)
    assert "matches nothing" in rec.error("--gtid", "5-5-5", code=NOTHING)
    last = rec.all[-1]
    assert "matches nothing" in rec.error("--start", "%s:%d" % (last["file"], last["pos"]), code=NOTHING)


# --- files ----------------------------------------------------------------------------------------------------------


def test_an_index_file_stands_for_the_files_that_it_lists(rec, rundir):
    assert rec.lines(files=[rec.index]) == rec.all
    # A copied folder, whose index has the paths of where it was.
    for path in rec.paths:
        shutil.copy(path, rundir)
    index = os.path.join(rundir, "copy.index")
    with open(index, "w") as f:
        f.write("".join("/not/here/%s\n" % name for name in rec.names))
    assert rec.lines(files=[index]) == rec.all
    with open(index, "w") as f:
        f.write("\n")
    assert "lists no binlog file" in rec.error(files=[index], code=FAILED)
    with open(index, "w") as f:
        f.write("./binlog.999999\n")
    assert "binlog.999999" in rec.error(files=[index], code=FAILED)
    assert "gone.index" in rec.error(files=[os.path.join(rundir, "gone.index")], code=FAILED)


def test_standard_input_is_a_file(rec):
    with open(rec.paths[0], "rb") as f:
        out = subprocess.run([program("squeal"), "keys", "-"], stdin=f, stdout=subprocess.PIPE, check=True).stdout
    got = [json.loads(line) for line in out.splitlines()]
    want = [dict(x, file="-") for x in rec.all if x["file"] == rec.names[0]]
    assert got == want


def test_files_out_of_order_are_noticed(rec):
    assert "do not follow one another" in rec.run(files=[rec.paths[0], rec.paths[2]]).stderr
    assert rec.run().stderr == ""


def test_what_cannot_be_read_is_named(rec, rundir):
    gz = os.path.join(rundir, "packed.gz")
    subprocess.run(["gzip", "-c", rec.paths[0]], stdout=open(gz, "wb"), check=True)
    assert "zcat" in rec.error(files=[gz], code=FAILED)
    encrypted = os.path.join(rundir, "encrypted")
    with open(encrypted, "wb") as f:
        f.write(b"\xfdbin" + bytes(600))
    assert "encrypted" in rec.error(files=[encrypted], code=FAILED)
    text = os.path.join(rundir, "text")
    with open(text, "w") as f:
        f.write("./binlog.000001\n")
    assert "not a binlog file" in rec.error(files=[text], code=FAILED)


def test_an_encrypted_file_of_mariadb_is_refused_with_the_way_around(rundir):
    key = os.path.join(rundir, "keys.txt")
    with open(key, "w") as f:
        f.write("1;%s\n" % ("ab" * 32))
    db = Mariadb(rundir, options=["--plugin-load-add=file_key_management", "--file-key-management-filename=" + key,
                                  "--encrypt-binlog=ON"])
    db.start()
    try:
        db.sql("CREATE DATABASE shop")
        name = db.binlog_position()[0]
    finally:
        db.stop()
    result = run_program("squeal", "keys", os.path.join(db.data, name))
    assert result.returncode == FAILED and result.stdout == ""
    assert "encrypted (encrypt_binlog=ON)" in result.stderr


def test_a_damaged_byte_is_an_error_at_its_place_and_what_came_before_is_printed(rec, rundir):
    with open(rec.paths[0], "rb") as f:
        data = bytearray(f.read())
    line = rec.with_key("first:3")
    data[line["pos"] - 8] ^= 0x40
    path = os.path.join(rundir, rec.names[0])
    with open(path, "wb") as f:
        f.write(data)
    result = rec.run(files=[path])
    assert result.returncode == FAILED and "checksum" in result.stderr
    assert [json.loads(x) for x in result.stdout.splitlines()] == rec.all[:rec.all.index(line)]


def test_compressed_events_are_read(rundir):
    db = Mariadb(rundir, binlog_format="ROW", row_metadata="FULL", compression=True)
    db.start()
    try:
        db.sql("CREATE DATABASE shop; CREATE TABLE shop.users (id INT PRIMARY KEY, email VARCHAR(400));"
               "INSERT INTO shop.users VALUES (1, REPEAT('m', 100)) /*inv='big:1'*/")
        name = db.binlog_position()[0]
    finally:
        db.stop()
    path = os.path.join(rundir, "rules.yaml")
    with open(path, "w") as f:
        f.write(RULES)
    result = run_program("squeal", "keys", "--rules", path, os.path.join(db.data, name))
    assert result.returncode == OK, result.stderr
    keys = [k for x in result.stdout.splitlines() for k in json.loads(x)["keys"]]
    assert sorted(keys) == ["big:1", "mail:" + "m" * 100, "user:1"]


# --- where keys come from -------------------------------------------------------------------------------------------


def test_sources_name_the_statement_or_the_rule_of_each_key(rec):
    key = rec.with_key("extra:1")
    plain = [x for x in rec.lines("--rules", rec.rules) if x["gtid"] == key["gtid"]][0]
    line = [x for x in rec.lines("--rules", rec.rules, "--sources") if x["gtid"] == key["gtid"]][0]
    sources = line.pop("sources")
    assert line == plain
    places = [s.pop("at") for s in sources]
    assert places == sorted(places) and places[0] > rec.all[rec.all.index(key) - 1]["pos"]
    assert places[-1] < key["pos"]
    rule = {"from": "rule", "rule": "people", "table": "shop.users"}
    assert sources == [
        {"key": "user:1", "from": "comment", "statement": 1, "kind": "update"},
        {"key": "extra:1", "from": "comment", "statement": 1, "kind": "update"},
        dict(rule, key="user:1", template="user:{id}", change="update", statement=1, kind="update"),
        dict(rule, key="mail:u1@example.org", template="mail:{email}", change="update", statement=1, kind="update"),
        {"key": "mark:3", "from": "comment", "marker": True, "statement": 2, "kind": "delete"},
        {"key": "gone:3", "from": "comment", "statement": 2, "kind": "delete"},
        dict(rule, key="user:3", template="user:{id}", change="delete", statement=2, kind="delete"),
        dict(rule, key="mail:u3@example.org", template="mail:{email}", change="delete", statement=2, kind="delete"),
    ]
    assert {s["key"] for s in sources} == set(line["keys"]) | set(line["markers"])


def test_every_key_has_a_source_and_every_source_its_key(rec):
    for line in rec.lines("--rules", rec.rules, "--sources"):
        assert {s["key"] for s in line["sources"]} == set(line["keys"]) | set(line["markers"])


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args, says", [
    (["--start-position", "4"], "write --start FILE:POS"),
    (["--stop-position=4"], "write --stop FILE:POS"),
    (["--include-gtids", "x"], "write --gtid"),
    (["-v"], "write --rows or --sources"),
    (["--ruels", "x"], "did you mean --rules?"),
    (["--sources=1"], "--sources takes no value"),
    (["--start", "4711"], "write FILE:POS"),
    (["--start", "binlog.000001:12x"], "write FILE:POS"),
    (["--start", ":4"], "names no file"),
    (["--start-datetime", "yesterday"], "2026-11-20 21:38:00"),
    (["--start-datetime", "1795210680"], "six more zeros"),
    (["--start-datetime", "2026-02-30"], "no such day"),
    (["--start-datetime", "2026-02-02", "--stop-datetime", "2026-02-01"], "is not behind --start-datetime"),
    (["--start-gtid", "1-2"], "--start-gtid"),
    (["--start-gtid", ""], "write 0-1-100"),
    (["--gtid", "3e11fa47-71ca-11e1-9e33-c80aa9429562:x"], "--gtid"),
    (["--start", "a:4", "--start", "b:4"], "given twice"),
], ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_wrong_option_says_what_to_write(args, says):
    result = run_program("squeal", "keys", *args, "binlog.000001")
    assert result.returncode == USAGE and result.stdout == ""
    assert says in result.stderr


def test_an_option_without_its_value_and_a_command_without_files():
    assert "--start needs a value" in run_program("squeal", "keys", "--start").stderr
    result = run_program("squeal", "keys")
    assert result.returncode == USAGE and "at least one binlog file" in result.stderr


# --- MySQL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mysql_statement.binlog", "mysql_row.binlog", "mysql_payload.binlog"])
def test_mysql_ids_and_sets_select_transactions(rec, name):
    path = os.path.join(DATA, name)
    lines = rec.lines(files=[path])
    ids = [x["gtid"] for x in lines]
    uuid, n = ids[0].rsplit(":", 1)
    assert len(ids) > 10 and ids[:10] == ["%s:%d" % (uuid, int(n) + i) for i in range(10)]
    # What came before the file belongs to a position, with its tags.
    tagged = next(x for x in ids if ":tagged:" in x)
    upto = "%s:1-%d:tagged:1-%d" % (uuid, int(n) + 2, int(tagged.rsplit(":", 1)[1]) - 1)
    for position in (ids[2], upto, "gtid:" + upto):
        assert rec.lines("--start-gtid", position, files=[path]) == lines[3:]
        assert rec.lines("--stop-gtid", position, files=[path]) == lines[:3]
    some = "%s:%d-%d:%d" % (uuid, int(n) + 1, int(n) + 2, int(n) + 5)
    assert rec.lines("--gtid", some, files=[path]) == lines[1:3] + lines[5:6]
    assert rec.lines("--exclude-gtid", some, files=[path]) == [x for x in lines if x not in lines[1:3] + lines[5:6]]
    place = "%s:%d" % (name, lines[4]["pos"])
    assert rec.lines("--start", place, files=[path]) == lines[5:]
    assert rec.lines("--stop", place, files=[path]) == lines[:5]
    us = lines[4]["time_us"]
    assert rec.lines("--start-datetime", str(us), files=[path]) == [x for x in lines if x["time_us"] >= us]
    assert rec.lines("--gtid", tagged, files=[path]) == [x for x in lines if x["gtid"] == tagged]
    assert "MySQL's" in rec.error("--start-gtid", "0-1-100", files=[path], code=USAGE)


def test_mysql_ids_that_are_not_in_the_files_are_an_error(rec):
    path = os.path.join(DATA, "mysql_row.binlog")
    uuid, n = rec.lines(files=[path])[0]["gtid"].rsplit(":", 1)
    late, early = "%s:%d" % (uuid, int(n) + 5000), "%s:%d" % (uuid, int(n) - 2)
    assert "give the files behind them" in rec.error("--start-gtid", late, files=[path], code=FAILED)
    assert "give the files before it" in rec.error("--start-gtid", early, files=[path], code=FAILED)
    assert "give the files before it" in rec.error("--start-gtid", "%s:1-%d" % (uuid, int(n) - 2), files=[path], code=FAILED)
    assert "give the files before it" in rec.error("--stop-gtid", early, files=[path], code=FAILED)
    assert "matches nothing" in rec.error("--gtid", late, files=[path], code=NOTHING)


def test_transactions_without_ids_have_no_place_in_a_position(rec):
    path = os.path.join(DATA, "mysql_anonymous.binlog")
    assert "has no GTID; use --start FILE:POS" in rec.error("--start-gtid", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5",
                                                            files=[path], code=USAGE)


def test_the_range_is_asked_for_xa_rollback_itself(rundir):
    db = Mariadb(rundir, binlog_format="ROW")
    db.start()
    try:
        db.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); CREATE TABLE shop.m (id INT) ENGINE=MyISAM")
        db.sql("XA START 'x'; INSERT INTO shop.t VALUES (1) /*inv='x:1'*/; INSERT INTO shop.m VALUES (1) /*inv='x:2'*/;"
               "XA END 'x'; XA PREPARE 'x'")
        db.sql("INSERT INTO shop.t VALUES (2) /*inv='before:1'*/")
        before = db.gtid()
        db.sql("XA ROLLBACK 'x'")
        paths = [os.path.join(db.data, row.split("\t")[0]) for row in db.sql("SHOW BINARY LOGS").splitlines()]
    finally:
        db.stop()
    # Whether the transaction before it is wanted says nothing of it.
    for args in ([], ["--exclude-gtid", before]):
        lines = [json.loads(line) for line in run_program("squeal", "keys", *args, *paths).stdout.splitlines()]
        ends = [x for x in lines if x.get("xa") == "rollback"]
        assert [x["keys"] for x in ends] == [["x:1"]], args
