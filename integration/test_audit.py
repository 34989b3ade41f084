"""squeal-audit: what it finds in real caches, and what it must not take for stale."""

import json
import os
import signal
import socket
import ssl

import pytest

from harness import Certificates, Load, Memcached, Process, free_port, kafka_dist, wait_until
from harness.kafka import batch
from harness.pipeline import http_get, parse_metrics, program, run_program, write_config
from harness.root import NoServer


class Audit:
    """squeal-audit of one cluster, with all keys sampled unless told otherwise."""

    def __init__(self, p, cluster="a", args=(), after="1s,3s", sample=1):
        self.port = free_port()
        self.process = Process("audit", [program("squeal-audit"), "-c", p.cluster_config_path(cluster), "--cluster",
                                         cluster, "--sample", str(sample), "--after", after, "--json", "--admin",
                                         "127.0.0.1:%d" % self.port] + list(args), p.dir)

    def start(self):
        self.process.start()
        wait_until(self.ready, 15, "the audit to know its servers and the log")
        return self

    def ready(self):
        self.process.check_running()
        try:
            return http_get(self.port, "/readyz")[0] == 200 and self.least("squeal_audit_probes_total") >= 1
        except OSError:
            return False

    def metrics(self):
        return parse_metrics(http_get(self.port, "/metrics")[1])

    def total(self, name, **labels):
        return self.metrics().total(name, **labels)

    def least(self, name):
        """The least value among the servers."""
        return min(v for (n, _), v in self.metrics().items() if n == name)

    def learn(self):
        """Returns when what is stored now is more than a second older than what is committed afterwards."""
        before = {k: v for k, v in self.metrics().items() if k[0] == "squeal_audit_probes_total"}
        wait_until(lambda: all(self.metrics()[k] >= v + 4 for k, v in before.items()), 20, "probes")

    def lines(self):
        # A line without an end is still being written.
        return [json.loads(line) for line in self.process.log_text().split("\n")[:-1] if line.startswith("{")]

    def findings(self, what="stale"):
        return [line for line in self.lines() if line.get("finding") == what]

    def stale(self):
        return {(line["key"], line["server"]) for line in self.findings()}

    def wait_checked(self, n, after):
        """n keys have been looked for after the delay, all of them with a verdict."""
        rows = ["gone", "refilled", "near", "unasked", "unknown", "stale"]
        wait_until(lambda: sum(self.total("squeal_audit_%s_total" % r, after=after) for r in rows) >= n, 20,
                   "%d looks after %s" % (n, after))

    def summary(self, after):
        return [line for line in self.lines() if line.get("summary") == after][-1]

    def stop(self):
        return self.process.stop()


@pytest.fixture
def audit():
    made = []

    def make(p, **kwargs):
        made.append(Audit(p, **kwargs))
        return made[-1].start()
    yield make
    for a in made:
        a.process.kill()


def insert(p, keys):
    p.db.sql("CREATE TABLE IF NOT EXISTS demo.t (id INT);"
             "INSERT INTO demo.t VALUES (1) /*inv='%s'*/" % ",".join(keys))


def owner(p, key):
    done = run_program("squeal-router", "-c", p.config_path, "--cluster", "a", "--explain", key)
    address = [line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.startswith("server:")][0]
    return [c for c in p.caches["a"] if c.address == address][0]


def other(p, key):
    return [c for c in p.caches["a"] if c is not owner(p, key)][0]


def test_a_healthy_pipeline_under_load_has_nothing_stale(pipeline, audit):
    p = pipeline(clusters=["a"], trace_prefix="demo:")
    a = audit(p, after="2s,4s", args=["--for", "8s"])
    load = Load(p, rate=300, seconds=6, after=0.5, writers=4, readers=4, reads=1000, items=300).start()
    load.wait()
    assert a.process.wait(60) == 0
    for after in ("2s", "4s"):
        s = a.summary(after)
        assert s["asked"] > 300
        assert s["stale"] == 0 and s["misrouted"] == 0 and s["unasked"] == 0
        assert s["refilled"] > 0, "the load does not fill the cache"
        assert s["asked"] == s["gone"] + s["refilled"] + s["near"] + s["unknown"]
    log = a.summary("log")
    assert log["keys"] == log["sampled"] == a.summary("4s")["asked"]
    assert log["dropped"] == log["pending"] == log["log_gaps"] == 0
    assert a.findings() == []


def test_a_router_that_stands_still_is_found_and_forgiven_when_it_goes_on(pipeline, audit):
    p = pipeline(clusters=["a"], servers=2)
    a = audit(p, after="1s,30s")
    keys = ["k:%d" % i for i in range(20)]
    held = {(key, owner(p, key).address) for key in keys}
    for key in keys:
        owner(p, key).set(key, "old")
    a.learn()
    p.routers["a"].process.pause()
    try:
        insert(p, keys)
        wait_until(lambda: a.stale() == held, 10, "every key to be found stale on its server")
    finally:
        p.routers["a"].process.resume()
    finding = a.findings()[0]
    assert finding["after"] == "1s" and finding["offset"] > 0 and finding["age_ms"] > 1000
    assert finding["gtid"].startswith("0-1-")
    p.wait_deleted(keys)
    fresh = ["k:fresh:%d" % i for i in range(20)]
    for key in fresh:
        owner(p, key).set(key, "old")
    a.learn()
    before = a.total("squeal_audit_asked_total", after="1s")
    insert(p, fresh)
    a.wait_checked(before + len(fresh), "1s")
    assert a.stale() == held
    assert a.total("squeal_audit_stale_total", after="1s") == len(keys)
    assert a.stop() == 1
    assert a.summary("1s")["stale"] == len(keys)


def test_a_key_on_another_server_than_the_routers_is_found_there(pipeline, audit):
    p = pipeline(clusters=["a"], servers=2)
    a = audit(p, after="1s,4s")
    lost, twice = "k:lost", "k:twice"
    right, wrong = owner(p, twice), other(p, twice)
    other(p, lost).set(lost, "old")
    right.set(twice, "old")
    wrong.set(twice, "old")
    a.learn()
    insert(p, [lost, twice])
    p.wait_deleted([lost, twice])
    right.set(twice, "new")
    wait_until(lambda: (lost, other(p, lost).address) in a.stale(), 10, "the lost key")
    a.wait_checked(2, "4s")
    assert a.stale() == {(lost, other(p, lost).address), (twice, wrong.address)}
    both = {(line["key"], line["server"]) for line in a.findings("misrouted")}
    assert both == {(twice, right.address), (twice, wrong.address)}
    assert a.stop() == 1


def test_a_restarted_memcached_is_unknown_and_no_false_alarm(pipeline, audit):
    p = pipeline(clusters=["a"], servers=1)
    cache = p.caches["a"][0]
    a = audit(p, after="6s")
    for i in range(1000):  # ids far above those of the next life
        cache.set("k:fill", str(i))
    a.learn()
    keys = ["k:%d" % i for i in range(5)]
    sampled = a.total("squeal_audit_sampled_total")
    p.routers["a"].process.pause()
    try:
        insert(p, keys)
        wait_until(lambda: a.total("squeal_audit_sampled_total") >= sampled + len(keys), 10, "the keys in the log")
        a.process.pause()
        cache.kill()
        cache.start()
        for key in keys:
            cache.set(key, "of the next life")
        a.process.resume()
        a.wait_checked(len(keys), "6s")
    finally:
        p.routers["a"].process.resume()
    assert a.total("squeal_audit_unknown_total", after="6s") == len(keys)
    assert a.total("squeal_audit_forgotten_total") == 1
    assert a.findings() == []
    # It learns the ages of the next life.
    p.wait_deleted(keys)
    cache.set("k:again", "old")
    a.learn()
    p.routers["a"].process.pause()
    try:
        insert(p, ["k:again"])
        wait_until(lambda: a.stale() == {("k:again", cache.address)}, 15, "a stale key after the restart")
    finally:
        p.routers["a"].process.resume()


def test_a_refill_right_after_the_delete_is_no_false_alarm(pipeline, audit):
    p = pipeline(clusters=["a"], servers=1)
    cache = p.caches["a"][0]
    a = audit(p, after="1s,4s")
    keys = ["k:%d" % i for i in range(50)]
    for key in keys:
        cache.set(key, "old")
    a.learn()
    insert(p, keys)
    p.wait_deleted(keys)
    for key in keys:
        cache.set(key, "new")
    a.wait_checked(len(keys), "4s")
    near, refilled = (a.total("squeal_audit_%s_total" % row, after="4s") for row in ("near", "refilled"))
    assert near + refilled == len(keys)
    assert a.findings() == a.findings("misrouted") == []
    assert all(cache.get(key) == b"new" for key in keys), "the audit deletes nothing"
    assert a.stop() == 0


def test_a_server_that_stands_still_is_unasked(pipeline, audit):
    p = pipeline(clusters=["a"], servers=2)
    a = audit(p, after="1s")
    still = p.caches["a"][0]
    still.pause()
    try:
        wait_until(lambda: a.total("squeal_audit_server_up", server=still.address) == 0, 10, "it to be away")
        insert(p, ["k:1"])
        a.wait_checked(1, "1s")
        assert a.total("squeal_audit_unasked_total", after="1s") >= 1
        assert a.total("squeal_audit_gone_total", after="1s") == 0
        assert a.total("squeal_audit_no_answer_total", server=still.address) >= 1
    finally:
        still.resume()
    wait_until(lambda: a.total("squeal_audit_server_up", server=still.address) == 1, 10, "it to be back")


def test_a_flushed_server_holds_nothing(pipeline, audit):
    p = pipeline(clusters=["a"], servers=1)
    cache = p.caches["a"][0]
    a = audit(p, after="2s")
    cache.set("k:1", "old")
    a.learn()
    p.routers["a"].process.pause()
    try:
        insert(p, ["k:1"])
        with cache.client() as c:
            assert c.command(b"flush_all") == b"OK"
        a.wait_checked(1, "2s")
    finally:
        p.routers["a"].process.resume()
    assert a.findings() == []


def test_memcached_without_cas_cannot_be_audited_and_says_so(pipeline):
    p = pipeline(clusters=["a"], servers=1)
    cache = p.caches["a"][0]
    cache.kill()
    cache.process.argv.append("-C")
    cache.start()
    done = run_program("squeal-audit", "-c", p.config_path, "--cluster", "a", "--for", "10s")
    assert done.returncode == 78
    assert "without -C" in done.stderr and cache.address in done.stderr


def test_sigusr1_prints_a_summary(pipeline, audit):
    p = pipeline(clusters=["a"], servers=1)
    a = audit(p)
    assert a.lines() == []
    a.process.signal(signal.SIGUSR1)
    wait_until(lambda: [line["summary"] for line in a.lines()] == ["1s", "3s", "log"], 5, "the summary")


def test_exit_codes_tell_a_wrong_call_a_wrong_file_and_no_log(rundir):
    config = rundir + "/squeal.yaml"
    with open(config, "w") as f:
        f.write("log:\n  path: %s/log.db\nclusters:\n  - name: a\n    servers:\n      - 127.0.0.1:%d\n"
                % (rundir, free_port()))
    assert run_program("squeal-audit").returncode == 2
    for wrong in (["--after", "2s,1s"], ["--after", ""], ["--sample", "0"], ["--for", "soon"], ["more"],
                  ["--cluster", "b"], ["--after", "1s,2s,3s,4s,5s,6s,7s,8s,9s"]):
        done = run_program("squeal-audit", "-c", config, *wrong)
        assert done.returncode == 2, (wrong, done.stderr)
    assert run_program("squeal-audit", "-c", config, "--probe-key", "a b").returncode == 78
    assert run_program("squeal-audit", "-c", rundir + "/none.yaml").returncode == 78
    done = run_program("squeal-audit", "-c", config, "--for", "1s")
    assert done.returncode == 69
    assert "nothing was audited" in done.stderr
    with open(config, "w") as f:
        f.write("log:\n  type: kafka\n  brokers: 127.0.0.1:%d\n  properties:\n    no.such.thing: 1\n"
                "clusters:\n  - name: a\n    servers:\n      - 127.0.0.1:%d\n" % (free_port(), free_port()))
    done = run_program("squeal-audit", "-c", config, "--for", "1s")
    assert done.returncode == 78
    assert "no.such.thing" in done.stderr


# --- a topic of Kafka ---------------------------------------------------------------------------------------


def kafka_or_skip():
    try:
        kafka_dist()
    except NoServer as e:
        pytest.skip(str(e))


def test_every_partition_of_a_topic_is_followed(pipeline, audit):
    kafka_or_skip()
    p = pipeline(clusters=["a"], kafka=True, topic={"partitions": 3})
    # What is there before the audit begins is not looked for.
    p.kafka.produce("squeal", b"before", batch("before", ["k:before"]), partition=1)
    a = audit(p)
    wait_until(lambda: json.loads(http_get(a.port, "/status")[1])["log_partitions"] == 3, 20, "the partitions")
    keys = ["k:part:%d" % i for i in range(3)] + ["k:own"]
    held = {(key, owner(p, key).address) for key in keys}
    p.fill(keys)
    a.learn()
    p.routers["a"].process.pause()
    try:
        for i in range(3):
            p.kafka.produce("squeal", b"billing", batch("billing", ["k:part:%d" % i]), partition=i)
        insert(p, ["k:own"])
        wait_until(lambda: held <= a.stale(), 20, "every key to be found stale on its server")
    finally:
        p.routers["a"].process.resume()
    assert {f["partition"] for f in a.findings()} == {0, 1, 2}
    assert not any("before" in key for key, _ in a.stale())
    # A partition that the topic is given now is found, and followed from its beginning.
    from confluent_kafka.admin import NewPartitions
    p.kafka.admin().create_partitions([NewPartitions("squeal", 4)])["squeal"].result(20)
    wait_until(lambda: "squeal" in p.kafka.topics() and len(p.kafka.metadata("squeal").topics["squeal"].partitions) == 4,
               20, "the partition")
    p.kafka.produce("squeal", b"late", batch("late", ["k:late"]), partition=3)
    before = a.total("squeal_audit_keys_total")
    wait_until(lambda: a.total("squeal_audit_keys_total") > before, 45, "the key of the new partition")
    assert a.stop() == 1


def test_an_audit_of_a_topic_under_load_has_nothing_stale(pipeline, audit):
    kafka_or_skip()
    p = pipeline(clusters=["a"], kafka=True, topic={"partitions": 2}, trace_prefix="demo:")
    a = audit(p, after="2s,4s", args=["--for", "8s"])
    load = Load(p, rate=200, seconds=6, after=0.5, writers=4, readers=4, reads=500, items=300).start()
    load.wait()
    assert a.process.wait(60) == 0, a.process.log_text()[-2000:]
    s = a.summary("4s")
    assert s["asked"] > 200 and s["stale"] == 0 and s["unasked"] == 0 and s["refilled"] > 0
    # Ages are told from a topic, too: most of what readers filled is known to be newer.
    assert s["unknown"] + s["near"] < s["asked"] / 2


def test_brokers_that_cannot_be_reached_are_named(rundir):
    config = rundir + "/squeal.yaml"
    with open(config, "w") as f:
        f.write("log: {type: kafka, brokers: 127.0.0.1:%d, topic: t, state: %s/state.db}\n"
                "clusters: [{name: a, cursors: %s/c, servers: [127.0.0.1:%d]}]\n"
                % (free_port(), rundir, rundir, free_port()))
    done = run_program("squeal-audit", "-c", config, "--for", "1s", timeout=60)
    assert done.returncode == 69 and "nothing was audited" in done.stderr and "topic t" in done.stderr, done.stderr


# --- TLS and passwords --------------------------------------------------------------------------------------


class Secured(Memcached):
    """A memcached that the plain client of the harness cannot ask whether it is ready."""

    def wait_ready(self, timeout=20):
        wait_until(lambda: "server listening" in self.process.log_text() or not self.process.running, timeout,
                   "memcached")
        self.process.check_running()


def say(port, certs, *lines):
    """Over TLS; the answers."""
    context = ssl.create_default_context(cafile=certs.ca)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as s:
            f = s.makefile("rwb")
            out = []
            for line in lines:
                f.write(line)
                f.flush()
                out.append(f.readline())
            return out


@pytest.fixture
def secured(pipeline):
    """A pipeline, and an audit's configuration whose only server wants TLS and a password, and gets no deletes."""
    p = pipeline(clusters=["a"], servers=1)
    certs = Certificates(p.dir)
    auth = os.path.join(p.dir, "auth")
    with open(auth, "w") as f:
        f.write("router:sesame\n")
    os.chmod(auth, 0o600)
    cache = Secured(p.dir, "secured", options=["-v", "-v", "-Y", auth, "-Z", "-o", "ssl_chain_cert=%s,ssl_key=%s" % (
        certs.server_cert, certs.server_key)]).start()

    def configure(**settings):
        config = p.config("a")
        config["clusters"] = [dict(config["clusters"][0], servers=[
            {"host": "localhost", "port": cache.port, "connect": "127.0.0.1:%d" % cache.port}], **settings)]
        write_config(p.cluster_config_path("a"), config)
    yield p, cache, certs, auth, configure
    cache.kill()


def test_a_server_with_tls_and_a_password_is_audited(secured, audit):
    p, cache, certs, auth, configure = secured
    configure(tls="verify", tls_ca=certs.ca, auth_file=auth)
    a = audit(p)
    assert say(cache.port, certs, b"set auth 0 0 13\r\nrouter sesame\r\n", b"set k:1 0 0 3\r\nold\r\n") == [
        b"STORED\r\n", b"STORED\r\n"]
    a.learn()
    insert(p, ["k:1"])
    wait_until(lambda: ("k:1", "localhost:%d" % cache.port) in a.stale(), 10, "the key to be found stale")
    assert a.stop() == 1


@pytest.mark.parametrize("settings, says", [
    ({"tls": "off"}, "is not asked"),
    ({"tls": "verify", "tls_ca": "other"}, "certificate is not good"),
    ({"tls": "on"}, "wants a password"),
    ({"tls": "on", "auth_file": "wrong"}, "refuses the user or the password"),
])
def test_a_server_that_does_not_let_the_audit_in_is_named(secured, settings, says):
    p, cache, certs, auth, configure = secured
    wrong = os.path.join(p.dir, "wrong")
    with open(wrong, "w") as f:
        f.write("router:tahini\n")
    os.chmod(wrong, 0o600)
    configure(**{k: {"other": certs.other_ca, "wrong": wrong}.get(v, v) for k, v in settings.items()})
    done = run_program("squeal-audit", "-c", p.cluster_config_path("a"), "--cluster", "a", "--for", "2s", "--after", "1s",
                       "--sample", "1")
    assert says in done.stderr and "tahini" not in done.stderr, done.stderr
    assert done.returncode == 69 and "no server answered" in done.stderr


def test_a_password_that_others_can_read_is_refused(secured):
    p, cache, certs, auth, configure = secured
    os.chmod(auth, 0o644)
    configure(tls="verify", tls_ca=certs.ca, auth_file=auth)
    done = run_program("squeal-audit", "-c", p.cluster_config_path("a"), "--cluster", "a", "--for", "1s")
    assert done.returncode == 78 and auth in done.stderr, done.stderr


def test_brokers_that_go_away_do_not_make_the_audit_forget_its_servers(pipeline, audit):
    kafka_or_skip()
    p = pipeline(clusters=["a"], kafka=True)
    a = audit(p)
    wait_until(lambda: json.loads(http_get(a.port, "/status")[1])["log_partitions"] == 1, 20, "the partition")
    before = a.total("squeal_audit_probes_total")
    for broker in p.kafka.brokers:
        broker.pause()
    try:
        # Longer than one look for a partition more, which nobody answers.
        wait_until(lambda: a.total("squeal_audit_probes_total") >= before + 2 * 40, 90, "probes")
    finally:
        for broker in p.kafka.brokers:
            broker.resume()
    assert a.total("squeal_audit_forgotten_total") == 0
    insert(p, ["k:1"])
    wait_until(lambda: a.total("squeal_audit_keys_total") > 0, 30, "a key")
