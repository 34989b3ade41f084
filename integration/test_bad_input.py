"""What people, disks and servers do wrong: a line that says what to do, a counter, and nothing else lost."""

import glob
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import threading

import pytest
import yaml

from harness import Failure, Mariadb, wait_until, write_config
from harness.pipeline import run_program
from harness.process import free_port

LEVELS = ("NOTICE", "WARN", "ERROR", "CRIT")


def insert(p, keys, value=1):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (%d) /*inv='%s'*/" % (value, ",".join(keys)))


def complaints(daemon, *words):
    """The log lines of level NOTICE or worse that hold all the words."""
    return [line for line in daemon.process.log_text().splitlines()
            if line.split()[1:2] and line.split()[1] in LEVELS and all(re.search(w, line, re.I) for w in words)]


def wait_complaint(daemon, *words, timeout=15):
    try:
        wait_until(lambda: complaints(daemon, *words), timeout, "")
    except Failure:
        raise Failure("%s did not log a warning with %s; its log ends:\n%s"
                      % (daemon.name, words, "\n".join(daemon.process.log_text().splitlines()[-8:])))
    return complaints(daemon, *words)[0]


def wait_counter(daemon, name, least=1, timeout=15, **labels):
    def enough():
        try:
            return daemon.metrics().total(name, **labels) >= least
        except OSError:
            return False
    wait_until(enough, timeout, "%s >= %d of %s" % (name, least, daemon.name))


def not_ready(daemon):
    """Waits: a line of the log and /readyz are not written at the same moment."""
    wait_until(lambda: daemon.get("/readyz")[0] == 503, 10, "%s not to be ready" % daemon.name)


# --- the database ---------------------------------------------------------------------------------------------


def test_a_wrong_password(pipeline):
    p = pipeline(clusters=["a"])
    p.squeal.stop()
    p.db.sql("ALTER USER 'squeal'@'%' IDENTIFIED BY 'changed'")
    insert(p, ["k:meanwhile"])
    p.squeal.start(wait=False)
    line = wait_complaint(p.squeal, "password", "squeal")
    assert "secret" not in line.replace("squeal.password", "")
    wait_counter(p.squeal, "squeal_source_error_auth_total")
    not_ready(p.squeal)
    p.db.sql("ALTER USER 'squeal'@'%' IDENTIFIED BY 'secret'")
    p.wait_deleted(["k:meanwhile"])
    p.squeal.wait_ready()


def test_a_password_file_that_others_can_read(pipeline):
    p = pipeline(start=False, clusters=["a"])
    os.chmod(p.password_file, 0o644)
    p.squeal.start(wait=False)
    wait_until(lambda: re.search(r"(chmod|owner|0?600)", p.squeal.process.log_text()), 10, "a complaint")


@pytest.mark.parametrize("privilege", ["REPLICATION SLAVE", "BINLOG MONITOR"])
def test_a_missing_privilege(pipeline, privilege):
    p = pipeline(clusters=["a"])
    p.squeal.stop()
    p.db.sql("REVOKE %s ON *.* FROM 'squeal'@'%%'" % privilege)
    insert(p, ["k:meanwhile"])
    p.squeal.start(wait=False)
    line = wait_complaint(p.squeal, "GRANT", privilege)
    assert "squeal" in line
    wait_until(lambda: p.squeal.metrics().total("squeal_source_error_privilege_total")
               + p.squeal.metrics().total("squeal_gate_error_total") > 0, 10, "the counter")
    wait_until(lambda: not p.squeal.ready(), 10, "/readyz to fail")
    p.db.sql("GRANT %s ON *.* TO 'squeal'@'%%'" % privilege)
    p.wait_deleted(["k:meanwhile"])


def test_the_binlog_switched_off(rundir, pipeline):
    p = pipeline(start=False, clusters=["a"], db=Mariadb(rundir, binlog=False))
    p.squeal.start(wait=False)
    wait_complaint(p.squeal, "log.bin")
    wait_counter(p.squeal, "squeal_source_error_setup_total")
    not_ready(p.squeal)


def test_row_format_without_annotate_events(pipeline):
    p = pipeline(clusters=["a"], db_options={"binlog_format": "ROW"})
    p.squeal.stop()
    insert(p, ["k:meanwhile"])
    p.db.sql("SET GLOBAL binlog_annotate_row_events = OFF")
    p.squeal.start(wait=False)
    wait_complaint(p.squeal, "binlog_annotate_row_events")
    wait_counter(p.squeal, "squeal_source_error_setup_total")
    not_ready(p.squeal)
    p.db.sql("SET GLOBAL binlog_annotate_row_events = ON")
    p.wait_deleted(["k:meanwhile"])


def test_one_session_that_switches_annotate_events_off(pipeline):
    p = pipeline(clusters=["a"], db_options={"binlog_format": "ROW"})
    insert(p, ["k:before"])
    p.db.sql("SET SESSION binlog_annotate_row_events = OFF; INSERT INTO demo.t VALUES (2) /*inv='k:hidden'*/")
    insert(p, ["k:after"])
    p.wait_deleted(["k:before", "k:after"])
    wait_counter(p.squeal, "squeal_binlog_txn_no_text_total")
    wait_complaint(p.squeal, "text")


def test_the_database_goes_away_and_comes_back(pipeline):
    p = pipeline(clusters=["a"])
    insert(p, ["k:before"])
    p.db.kill()
    wait_counter(p.squeal, "squeal_source_error_conn_total")
    wait_complaint(p.squeal, "connect|lost|gone")
    p.db.start()
    insert(p, ["k:after"])
    p.wait_deleted(["k:before", "k:after"])


def test_two_squeals_with_one_server_id(pipeline, rundir):
    p = pipeline(clusters=["a"], config={"source": {"server_id": 4711}})
    from harness import Squeal
    config = p.config()
    config["log"]["path"] = os.path.join(rundir, "other.db")
    other_port = free_port()
    config["squeal"]["admin"] = "127.0.0.1:%d" % other_port
    path = os.path.join(rundir, "other.yaml")
    write_config(path, config)
    other = Squeal(rundir, path, other_port)
    other.process.name = "squeal-other"
    other.process.log = os.path.join(rundir, "squeal-other.log")
    other.start(wait=False)
    try:
        wait_until(lambda: complaints(p.squeal, "server_id") or complaints(other, "server_id")
                   or "server_id" in other.process.log_text(), 20, "one of them to name server_id")
    finally:
        other.kill()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"], timeout=30)


# --- the configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["squeal", "run", "-c"], ["squeal", "check-config", "-c"],
                                  ["squeal-router", "--cluster", "a", "-c"]], ids=lambda a: "-".join(a[:2]))
def test_an_unknown_key_in_the_configuration(rundir, argv):
    path = os.path.join(rundir, "squeal.yaml")
    with open(path, "w") as f:
        f.write("log:\n  path: log.db\nsource:\n  pasword_file: x\nclusters:\n"
                "  - name: a\n    servers:\n      - host: 127.0.0.1\n")
    done = run_program(argv[0], *argv[1:], path)
    assert done.returncode not in (0, -6, -11)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert ":4:3:" in lines[0] and '"pasword_file"' in lines[0] and '"password_file"' in lines[0]


@pytest.mark.parametrize("text,words", [
    ("log: [", ["squeal.yaml:"]),
    ("log:\n  path: x\n  sync: sometimes\n", ["squeal.yaml:3", "full", "normal"]),
    ("log:\n  path: x\nrouter:\n  windows: 65\n", ["squeal.yaml:4", "64"]),
    ("log:\n  path: x\nrouter:\n  ack_timeout: soon\n", ["squeal.yaml:4", "ms"]),
    ("source:\n  host: a\n", ["path"]),
    ("\x00\xff", ["squeal.yaml"]),
], ids=["yaml", "choice", "range", "unit", "required", "bytes"])
def test_other_mistakes_in_the_configuration(rundir, text, words):
    path = os.path.join(rundir, "squeal.yaml")
    with open(path, "w", encoding="latin-1") as f:
        f.write(text)
    done = run_program("squeal", "check-config", "-c", path)
    assert done.returncode not in (0, -6, -11)
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("mode,says", [(0o600, ""), (0o644, "chmod 600"), (None, "No such file")])
def test_a_password_file_that_squeal_could_not_use_is_noted(rundir, mode, says):
    password = os.path.join(rundir, "password")
    if mode:
        with open(password, "w") as f:
            f.write("secret\n")
        os.chmod(password, mode)
    path = os.path.join(rundir, "squeal.yaml")
    with open(path, "w") as f:
        f.write("log: {path: log.db}\nsource: {password_file: password}\n")
    done = run_program("squeal", "check-config", "-c", path)
    notes = [line for line in done.stdout.splitlines() if ": note: " in line]
    assert done.returncode == 0 and "secret" not in done.stdout
    assert len(notes) == (1 if says else 0) and all(says in line for line in notes), done.stdout


def kafka_config(rundir, properties, **log):
    path = os.path.join(rundir, "squeal.yaml")
    settings = {"type": "kafka", "brokers": "127.0.0.1:1", "state": os.path.join(rundir, "state.db"),
                "properties": properties}
    settings.update(log)
    with open(path, "w") as f:
        yaml.safe_dump({"log": settings, "clusters": [{"name": "a", "servers": ["127.0.0.1:1"]}]}, f)
    return path


REFUSED = [
    ({"sasl.usernam": "x"}, ['"sasl.usernam"', 'did you mean "sasl.username"?']),
    ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN"}, ["sasl.password", "set both in log.properties"]),
    ({"security.protocol": "sasl_plaintext"}, ["GSSAPI", "sasl.mechanisms: SCRAM-SHA-512"]),
    ({"security.protocol": "ssl", "ssl.ca.location": "/nonexistent/ca.pem"},
     ["ssl.ca.location", "/nonexistent/ca.pem", "No such file", "name a file"]),
    ({"sasl.username": "x", "sasl.password": "y"}, ["sasl.password has no effect", "security.protocol: sasl_ssl"]),
    ({"acks": 1}, ["acks cannot be set", "must survive"]),
    ({"max.in.flight": 6}, ["max.in.flight cannot be set", "order"]),
    ({"message.max.bytes": 1}, ["message.max.bytes", "1000..1000000000", "another value"]),
    ({"compression.type": "brotli"}, ["compression.type", "brotli", "another value"]),
    ({"receive.message.max.bytes": 1000}, ["receive.message.max.bytes", "fetch.max.bytes", "change one of the two"]),
]


@pytest.mark.parametrize("properties,words", REFUSED, ids=lambda x: ",".join(x) if isinstance(x, dict) else "")
def test_kafka_settings_that_do_not_go_together(rundir, properties, words):
    """Found without a broker, by the check of the configuration and by each program that would use it."""
    path = kafka_config(rundir, properties)
    for argv in (["squeal", "check-config", "-c", path], ["squeal-router", "-c", path, "--instance", "i"],
                 ["squeal", "run", "-c", path], ["squeal-replay", "-c", path, "--from", "log", "--state", rundir]):
        done = run_program(*argv)
        said = done.stderr.strip().splitlines()
        assert done.returncode == 78, (argv, done)
        assert "log.properties" in said[-1] and all(word in said[-1].replace('\\"', '"') for word in words), (argv, said)
    done = run_program("squeal", "doctor", "--json", "-c", path)
    finding = [f for f in map(json.loads, done.stdout.splitlines()) if f["check"] == "log"][0]
    assert finding["level"] == "broken" and finding["mend"] != "" and "see the finding" not in finding["mend"]
    assert all(word in finding["what"] + "; " + finding["mend"] for word in words), finding


def test_kafka_settings_that_go_together_are_ok(rundir):
    path = kafka_config(rundir, {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN",
                                 "sasl.username": "x", "sasl.password": "secret", "compression.type": "zstd"})
    done = run_program("squeal", "check-config", "-c", path)
    assert (done.returncode, done.stderr) == (0, "") and ": ok:" in done.stdout and "secret" not in done.stdout


def test_a_cluster_that_is_not_in_the_file(pipeline):
    p = pipeline(start=False, clusters=["a"])
    done = run_program("squeal-router", "-c", p.config_path, "--cluster", "aa")
    assert done.returncode not in (0, -6, -11) and len(done.stderr.strip().splitlines()) == 1
    assert '"aa"' in done.stderr


@pytest.mark.parametrize("how,says,not_says", [("kill", "error 20", "nothing heard"),
                                               ("pause", "nothing heard", "error 20")])
@pytest.mark.parametrize("link", ["socket", "tcp", "tls"])
def test_a_database_that_died_is_told_from_one_that_is_silent(pipeline, certificates, link, how, says, not_says):
    p = pipeline(start=False, clusters=["a"], db_options={"tls": certificates} if link == "tls" else {})
    if link != "socket":
        p.extra.setdefault("source", {}).update(p.db.tcp(), tls="required" if link == "tls" else "off")
        p.write_configs()
    for daemon in (p.squeal, p.routers["a"]):
        daemon.start()
    insert(p, ["k:1"])
    p.wait_deleted(["k:1"])
    getattr(p.db.process, how)()
    try:
        lines = wait_until(lambda: complaints(p.squeal, "no stream from the source"), 10, "squeal to notice")
        assert says in lines[0] and not_says not in lines[0], lines[0]
    finally:
        if how == "pause":
            p.db.process.resume()


@pytest.mark.parametrize("which", ["squeal", "router"])
def test_a_port_in_use(pipeline, which):
    p = pipeline(start=False, clusters=["a"])
    daemon = p.squeal if which == "squeal" else p.routers["a"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", daemon.admin_port))
        taken.listen()
        daemon.start(wait=False)
        assert daemon.process.wait(10) != 0
    line = [li for li in daemon.process.log_text().splitlines() if "use" in li]
    assert line and "admin" in line[-1] and str(daemon.admin_port) in line[-1]


# --- the disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(rundir):
    """A file system of 2 MiB, for root."""
    path = os.path.join(rundir, "disk")
    os.makedirs(path)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path],
                                           stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root and a machine that allows it")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill_disk(path):
    name = os.path.join(path, "filler")
    with open(name, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass
    return name


def test_a_full_disk(pipeline, small_disk):
    p = pipeline(start=False, clusters=["a"])
    p.extra = {"log": {"path": os.path.join(small_disk, "log.db")}}
    p.write_configs()
    p.squeal.start()
    p.routers["a"].start()
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    filler = fill_disk(small_disk)
    keys = ["k:%d:%s" % (i, "x" * 200) for i in range(2000)]
    for i in range(0, len(keys), 200):
        insert(p, keys[i:i + 200])
    wait_complaint(p.squeal, "full|no (space|room)")
    wait_counter(p.squeal, "squeal_log_retry_total")
    not_ready(p.squeal)
    p.squeal.process.check_running()
    os.unlink(filler)
    p.wait_deleted(keys, timeout=30)
    p.squeal.wait_ready()


def test_a_limit_on_the_size_of_files(pipeline):
    """The same for everybody: the kernel refuses to let the log grow."""
    p = pipeline(clusters=["a"])
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    pid = str(p.squeal.process.pid)
    subprocess.run(["prlimit", "--pid", pid, "--fsize=4096:"], check=True)
    keys = ["k:%d" % i for i in range(100)]
    insert(p, keys)
    wait_complaint(p.squeal, "full|no (space|room)|too large|limit")
    wait_counter(p.squeal, "squeal_log_retry_total")
    not_ready(p.squeal)
    p.squeal.process.check_running()
    subprocess.run(["prlimit", "--pid", pid, "--fsize=unlimited:"], check=True)
    p.wait_deleted(keys, timeout=30)


def test_a_read_only_log_file(pipeline, rundir):
    p = pipeline(clusters=["a"])
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    p.squeal.stop()
    p.routers["a"].stop()
    folder = os.path.join(rundir, "readonly")
    os.makedirs(folder)
    for f in glob.glob(p.log_path + "*"):
        shutil.move(f, folder)
    p.extra = {"log": {"path": os.path.join(folder, "log.db")}}
    p.write_configs()
    insert(p, ["k:meanwhile"])
    if os.geteuid() == 0:
        # Root may write to any file, but not to a read-only mount.
        if subprocess.run(["mount", "--bind", folder, folder], stderr=subprocess.DEVNULL).returncode != 0:
            pytest.skip("a read-only mount is not allowed here")
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    else:
        for f in os.listdir(folder):
            os.chmod(os.path.join(folder, f), 0o444)
        os.chmod(folder, 0o555)
    try:
        p.squeal.start(wait=False)
        assert p.squeal.process.wait(10) != 0
        wait_until(lambda: complaints(p.squeal, "log.db", "read-only|written|permission"), 1, "the complaint")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", folder], check=True)
        else:
            os.chmod(folder, 0o755)
            for f in os.listdir(folder):
                os.chmod(os.path.join(folder, f), 0o644)
    p.squeal.start()
    p.routers["a"].start()
    p.wait_deleted(["k:before", "k:meanwhile"])


def damage(path):
    """Writes noise over the middle of a file, where its pages are, and over its header."""
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for at in [20] + list(range(4096, size, 4096)):
            f.seek(at)
            f.write(random.Random(at).randbytes(min(300, size - at)))


def test_a_corrupt_log_file(pipeline):
    p = pipeline(clusters=["a"])
    insert(p, ["k:%d" % i for i in range(2000)])
    p.wait_deleted(["k:0"])
    p.squeal.stop()
    p.routers["a"].stop()
    for f in glob.glob(p.log_path + "-*"):
        os.unlink(f)
    damage(p.log_path)
    p.fill(["k:lost"])
    insert(p, ["k:lost"])
    p.squeal.start(wait=False)
    assert p.squeal.process.wait(10) != 0
    assert complaints(p.squeal, "log.db", "damaged|corrupt|not a (database|log)|malformed")
    # What the line says: move it away.  The checkpoint is gone with it, so the routers flush.
    os.rename(p.log_path, p.log_path + ".damaged")
    p.squeal.start()
    p.routers["a"].start()
    insert(p, ["k:again"])
    p.wait_deleted(["k:again"])
    # The other server's flush may still be under way.
    wait_until(lambda: p.held("a", "k:lost") == 0, 10, "both servers to be flushed")
    wait_counter(p.routers["a"], "squeal_router_flushes_total")


def test_a_damaged_record_flushes_what_it_may_have_named_and_stops_nothing(pipeline):
    p = pipeline(clusters=["a"])
    p.routers["a"].stop()
    p.fill(["k:in-it", "k:other"])
    insert(p, ["k:in-it"])
    wait_until(lambda: p.squeal.metrics().total("squeal_log_record_total") >= 1, 10, "the record")
    with sqlite3.connect(p.log_path, timeout=10) as db:
        assert db.execute("UPDATE records SET bytes = x'00ff' || substr(bytes, 3)").rowcount >= 1
    db.close()
    insert(p, ["k:after"])
    p.routers["a"].start(wait=False)
    p.wait_deleted(["k:after"])
    wait_counter(p.routers["a"], "squeal_router_bad_records_total")
    wait_complaint(p.routers["a"], "record")
    wait_until(lambda: p.held("a", "k:in-it") == 0, 10, "every server to be flushed")


def test_a_torn_checkpoint(pipeline):
    p = pipeline(clusters=["a"])
    insert(p, ["k:before"])
    p.wait_deleted(["k:before"])
    p.squeal.stop()
    with sqlite3.connect(p.log_path) as db:
        assert db.execute("UPDATE checkpoints SET text = substr(text, 1, length(text) / 2)").rowcount == 1
    db.close()
    insert(p, ["k:meanwhile"])
    p.squeal.start(wait=False)
    # It must not go on from a guess: it says what is wrong, and what to do.
    wait_until(lambda: complaints(p.squeal, "checkpoint"), 10, "a complaint about the checkpoint")
    assert not p.squeal.ready()


# --- statements and keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["STATEMENT", "ROW"])
def test_a_statement_of_5_mb(pipeline, format):
    p = pipeline(clusters=["a"], db_options={"binlog_format": format,
                                                  "options": ["--max-allowed-packet=64M"]})
    p.db.sql("CREATE TABLE demo.big (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)")
    db = p.db.connect(database="demo", autocommit=True, max_allowed_packet=64 << 20)
    with db.cursor() as c:
        c.execute("INSERT INTO big (v) VALUES ('%s') /*inv='k:big'*/" % ("it''s /*inv=\\'k:no\\'*/ " * 200000))
        c.execute("/*inv='k:leading'*/ INSERT INTO big (v) VALUES ('%s')" % ("x" * 5_000_000))
    db.close()
    insert(p, ["k:after"])
    p.wait_deleted(["k:big", "k:leading", "k:after"])
    assert "k:no" not in p.deleted("a")


def test_100000_keys_in_one_transaction(pipeline):
    p = pipeline(clusters=["a", "b"], config={"squeal": {"txn_memory": "256KiB"}})
    p.db.sql("CREATE TABLE demo.n (id INT)")
    keys = ["k:%d" % i for i in range(100000)]
    db = p.db.connect(database="demo")
    with db.cursor() as c:
        for i in range(0, len(keys), 1000):
            c.execute("INSERT INTO n VALUES (%d) /*inv='%s'*/" % (i, ",".join(keys[i:i + 1000])))
    db.commit()
    db.close()
    insert(p, ["k:after"])
    p.wait_deleted(["k:after"] + keys, timeout=30)
    assert p.squeal.metrics().total("squeal_spill_bytes_total") > 0


BAD_KEYS = {"space": "k%2520bad", "newline": "k%250Abad", "nul": "k%2500bad", "cr": "k%250D%250Adelete%2520k:x",
            "del": "k%257Fbad", "long": "k" * 251}


@pytest.mark.parametrize("bad", sorted(BAD_KEYS))
def test_keys_that_memcached_could_not_take(pipeline, bad):
    p = pipeline(clusters=["a"])
    p.fill(["k:x", "k:1", "k:2"])
    insert(p, ["k:1", BAD_KEYS[bad], "k:2"])
    insert(p, ["k:after"])
    p.wait_deleted(["k:1", "k:2", "k:after"])
    wait_counter(p.squeal, "squeal_key_bad_total")
    wait_complaint(p.squeal, "key")
    assert p.held("a", "k:x") == 2
    assert p.routers["a"].metrics().total("squeal_router_garbage_total") == 0


def test_a_key_of_250_bytes_and_keys_of_odd_bytes_are_fine(pipeline):
    p = pipeline(clusters=["a"])
    long = "k" * 250
    p.fill([long, "k\u00e9\u4e2d", "k:a,b'c"])
    insert(p, [long, "k\u00e9\u4e2d", "k:a%252Cb%2527c"])
    p.wait_deleted([long, "k\u00e9\u4e2d", "k:a,b'c"])
    assert p.held("a", long) == 1 and p.held("a", "k\u00e9\u4e2d") == 1 and p.held("a", "k:a,b'c") == 1


@pytest.mark.parametrize("comment", ["inv='k:a", "inv=k:a", "inv='%zz'", "inv_x='1'",
                                     "inv=''", "inv_h='soon',inv='k:a'"])
def test_malformed_comments_are_counted_and_hurt_nobody(pipeline, comment):
    p = pipeline(clusters=["a"])
    insert(p, ["k:before"])
    p.db.sql("INSERT INTO demo.t VALUES (7) /*%s*/" % comment)
    insert(p, ["k:after"])
    p.wait_deleted(["k:before", "k:after"])

    def counted():
        m = p.squeal.metrics()
        return m.total("squeal_marker_bad_total") + m.total("squeal_key_bad_total") > 0
    wait_until(counted, 10, "the counter")


# --- memcached --------------------------------------------------------------------------------------------------


class FakeMemcached:
    """Listens where a memcached should, and answers as it is told: answer(bytes) -> bytes, None to hang up."""

    def __init__(self, answer):
        self.answer = answer
        self.port = free_port()
        self.process = self
        self.name = "fake"
        self.served = 0

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def start(self, wait=True):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            try:
                while True:
                    data = peer.recv(65536)
                    if not data:
                        return
                    self.served += 1
                    reply = self.answer(data)
                    if reply is None:
                        return
                    peer.sendall(reply)
            except OSError:
                pass

    def wait_ready(self, timeout=0):
        pass

    def kill(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def client(self):
        raise OSError("a fake holds nothing")


def greeting(data, then):
    """Behaves until the first delete comes."""
    if data.startswith(b"version"):
        return b"VERSION 1.6.18\r\n" + (b"MN\r\n" if b"mn" in data else b"")
    return then


GARBAGE = {
    "noise": lambda d: random.Random(1).randbytes(300),
    "noise after a greeting": lambda d: greeting(d, random.Random(2).randbytes(300) + b"\r\n"),
    "another protocol": lambda d: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a line without end": lambda d: b"x" * 100000,
    "values nobody asked for": lambda d: greeting(d, b"VALUE k:1 0 5\r\nhello\r\nEND\r\n"),
}
# It says that it has done what it was told, and then some: what it confirmed is not sent again.
LYING = {"too many answers": lambda d: greeting(d, b"HD\r\n" * 50 + b"MN\r\n" * 50)}
BROKEN = {
    "hangs up": lambda d: None,
    "hangs up after a greeting": lambda d: greeting(d, None),
    "says nothing": lambda d: b"",
    "says nothing after a greeting": lambda d: greeting(d, b""),
    "out of memory": lambda d: greeting(d, b"SERVER_ERROR out of memory\r\n"),
}


@pytest.mark.parametrize("how", sorted(GARBAGE) + sorted(BROKEN) + sorted(LYING))
def test_a_memcached_that_answers_garbage(pipeline, how):
    p = pipeline(start=False, clusters=["a"])
    fake = FakeMemcached({**GARBAGE, **BROKEN, **LYING}[how])
    fake.start()
    p.caches["a"].append(fake)
    try:
        p.write_configs()
        p.squeal.start()
        router = p.routers["a"]
        router.start(wait=False)
        keys = ["k:%d" % i for i in range(200)]
        insert(p, keys)
        # Whatever belongs to the two real servers is deleted there; nothing is taken for an acknowledgement.
        wait_until(lambda: len(p.deleted("a")) >= 60, 15, "deletes on the others")
        if how not in BROKEN:
            wait_counter(router, "squeal_router_garbage_total")
        wait_complaint(router, fake.address)
        router.process.check_running()
        if how not in LYING:
            assert len(set(keys) - p.deleted("a")) > 20
            assert fake.address not in {server for _, server, _, _ in p.trace("a")}
        # A real one takes its place, and gets everything.
        fake.kill()
        from harness import Memcached
        real = Memcached(p.dir, "memcached-real", port=fake.port)
        real.start()
        p.caches["a"][-1] = real
        p.wait_deleted(keys, timeout=20)
    finally:
        fake.kill()


def test_a_kafka_log_without_a_state_file_is_found_before_the_start(tmp_path):
    path = tmp_path / "squeal.yaml"
    path.write_text("log: {type: kafka, brokers: 'k:9092'}\nclusters: [{name: a, servers: [h:1]}]\n")
    done = run_program("squeal", "check-config", "-c", str(path))
    assert done.returncode == 78 and "state in log is missing" in done.stderr
