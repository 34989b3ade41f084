"""docker-compose.yml without an engine: check-compose can fail, and what of the containers runs without one does its work."""

import importlib.machinery
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest
import yaml

from harness import ROOT, NoServer, Process, free_port, wait_until
from harness.memcached import Memcached, SquealCache
from harness.pipeline import http_get, parse_metrics, program, run_program, write_config

COMPOSE = os.path.join(ROOT, "packaging", "compose")


def load():
    loader = importlib.machinery.SourceFileLoader("check_compose", os.path.join(ROOT, "integration", "check-compose"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


check_compose = load()


@pytest.fixture
def tree(tmp_path):
    """A copy of what the check reads; the rest of the tree is linked, and must not be changed."""
    for name in os.listdir(ROOT):
        if name in (".git", "build"):
            continue
        source, to = os.path.join(ROOT, name), str(tmp_path / name)
        if name == "packaging":
            shutil.copytree(source, to)
        elif os.path.isfile(source):
            shutil.copy(source, to)
        else:
            os.symlink(source, to)
    return tmp_path


def problems(tree):
    return check_compose.Check(str(tree), squeal=program("squeal")).run().problems


def test_the_tree_as_it_is_has_no_problem(tree):
    assert problems(tree) == []


MON = "packaging/monitoring/"
BREAKS = [
    ("docker-compose.yml", "restart: unless-stopped", "restrat: unless-stopped", "unknown key 'restrat'"),
    ("docker-compose.yml", "image: mysql:9.7.1", "image: mysql:latest", "not pinned"),
    ("docker-compose.yml", "image: grafana/grafana:12.3.1", "image: grafana/grafana", "not pinned"),
    ("docker-compose.yml", "kafka: {condition: service_healthy}", "kafak: {condition: service_healthy}", "kafak, which there is not"),
    ("docker-compose.yml", "mysql-primary: {condition: service_healthy}", "mysql-primary: {condition: healthy}", "must be one of"),
    ("docker-compose.yml", "restart: on-failure", "restart: always", "always started again"),
    ("docker-compose.yml", "interval: 5s", "interval: 5 seconds", "must be a duration"),
    ("docker-compose.yml", '"127.0.0.1:3000:3000"', '"3000:3000"', "open to other machines"),
    ("docker-compose.yml", '"127.0.0.1:3000:3000"', '"127.0.0.1:9090:3000"', "is that of prometheus"),
    ("docker-compose.yml", "  prometheus:\n  grafana:\n", "  grafana:\n", "volume prometheus is not declared"),
    ("docker-compose.yml", "  prometheus:\n  grafana:\n", "  prometheus:\n  grafana:\n  more:\n", "nothing uses more"),
    ("docker-compose.yml", "compose/mysql/primary.sh}", "compose/mysql/first.sh}", "there is no file"),
    ("docker-compose.yml", "MYSQL_ROOT_PASSWORD_FILE: /run/secrets/root", "MYSQL_ROOT_PASSWORD: hunter2", "is in the environment"),
    ("docker-compose.yml", '["CMD", "readyz", "squeal:9401"]', '["CMD", "curl", "squeal:9401"]', "no program curl"),
    ("docker-compose.yml", '["CMD", "readyz", "squeal:9401"]', '["CMD", "readyz", "127.0.0.1:9401"]', "the admin port is squeal:9401"),
    ("docker-compose.yml", '"router-west:9402"', '"router-east:9402"', "the admin port is router-west:9402"),
    ("docker-compose.yml", '["squeal-router", "-c", "/etc/squeal/squeal.yaml", "--cluster", "west"]',
     '["squeal-routre", "-c", "/etc/squeal/squeal.yaml", "--cluster", "west"]', "no program squeal-routre"),
    ("docker-compose.yml", "$$line", "$line", "$line would be taken for a variable"),
    ("docker-compose.yml", "image: squeal:0", "image: squeal:9", "the file VERSION says"),
    ("docker-compose.yml", "--topic=squeal", "--topic=other", "the compose file creates other"),
    ("docker-compose.yml", "    hostname: kafka\n", "    hostname: kafka\n    hostname: broker\n", "stands twice"),
    ("docker-compose.yml", "prometheus.yml:/etc/prometheus/prometheus.yml:ro", "prometheus.yml:/etc/prometheus/prometheus.yml", "for writing"),
    ("docker-compose.yml", "hostname: cache-east-2", "hostname: cache-east-1", "its hostname is cache-east-1"),
    ("Dockerfile", "debian:12.12-slim\n", "debian:latest\n", "not pinned"),
    ("Dockerfile", "--from=builder", "--from=build", "no earlier stage"),
    ("Dockerfile", "COPY packaging/compose/readyz", "COPY packaging/compose/ready", "not in the tree"),
    ("Dockerfile", "USER squeal", "USER root", "runs as root"),
    ("Dockerfile", "integration/packages image", "integration/packages images", "no group images"),
    ("Dockerfile", "./squeal_*.deb", "./squeal_*.deb curl", "curl is not in packages.txt"),
    ("Dockerfile", " && apt-get update", " && && apt-get update", "not a shell's command"),
    ("Dockerfile", "image.version", "image.revision", "has no label"),
    ("Dockerfile", "HEALTHCHECK", "HEALTHCHEK", "unknown instruction"),
    ("Dockerfile", 'CMD ["squeal", ', 'CMD ["squeal" ', "neither JSON"),
    ("VERSION", ".", ".9.", "the file VERSION says"),
    ("packages.txt", "\nbuild ", "\n=======\nbuild ", "cannot read ======="),
    (".dockerignore", "build\n", "build\npackages.txt\n", "kept out by .dockerignore"),
    ("packaging/compose/squeal.yaml", "topic: squeal", "topci: squeal", 'unknown key "topci"'),
    ("packaging/compose/squeal.yaml", "cache-west-2:11211", "cache-west-3:11211", "cache-west-3 is no service"),
    ("packaging/compose/squeal.yaml", "name: west", "name: south", "no service is the router of cluster south"),
    ("packaging/compose/mysql/replica.sh", "<<-EOSQL", "<<-EOSQL2", "here-document"),
    (MON + "prometheus.yml", "router-west:9402", "router-west:9401", "is no admin port"),
    (MON + "prometheus.yml", '      - targets: ["squeal:9401"]', "      - targets: []", "nothing scrapes squeal:9401"),
    (MON + "alerts.yml", "squeal_source_gap ==", "squeal_source_gaps ==", "exports the metric squeal_source_gaps"),
    (MON + "alerts.yml", "increase(squeal_key_bad_total[", "increase(squeal_queue_bytes[", "which is a gauge"),
    (MON + "alerts.yml", "increase(squeal_key_bad_total[15m])", "increase(squeal_key_bad_total[15m]", "do not match"),
    (MON + "alerts.yml", "{severity: page}", "{severity: panic}", "severity must be"),
    (MON + "alerts.yml", "    rules:\n      - alert: SquealGap", "    ruless:\n      - alert: SquealGap", "unknown key 'ruless'"),
    (MON + "alerts.yml", "alert: SquealSilent", "alert: SquealGap", "two alerts"),
    (MON + "grafana/dashboards/squeal.json", "squeal_router_behind", "squeal_router_behnid", "squeal_router_behnid"),
    (MON + "grafana/dashboards/squeal.json", '"uid": "prometheus"', '"uid": "graphite"', "not provisioned"),
    (MON + "grafana/dashboards/squeal.json", '"x": 12,', '"x": 11,', "lies over"),
]


@pytest.mark.parametrize("file,old,new,says", BREAKS, ids=lambda v: None)
def test_a_mistake_is_found(tree, file, old, new, says):
    text = (tree / file).read_text()
    assert old in text, "the test is older than %s" % file
    (tree / file).write_text(text.replace(old, new, 1))
    found = problems(tree)
    assert any(says in p for p in found), "said of %r for %r: %s" % (new, old, found)


def test_a_script_that_is_not_executable_is_found(tree):
    os.chmod(tree / "packaging/compose/readyz", 0o644)
    os.chmod(tree / "packaging/compose/secrets", 0o644)
    found = problems(tree)
    assert any(p.startswith("Dockerfile") and "is not executable" in p for p in found)
    assert any("/usr/local/bin/secrets is to be run" in p for p in found)


def test_without_squeal_and_promtool_it_says_what_was_skipped(tree, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.delenv("PROMTOOL", raising=False)
    check = check_compose.Check(str(tree), squeal="/nowhere/squeal").run()
    assert check.problems == []
    assert len(check.skipped) == 2 and "squeal is not built" in check.skipped[0] and "promtool" in check.skipped[1]


@pytest.mark.skipif(not check_compose.Check(ROOT).promtool, reason="promtool is not installed (Debian's package prometheus)")
def test_an_alert_that_does_not_fire_is_found(tree):
    rules = tree / "packaging/monitoring/alerts.yml"
    rules.write_text(rules.read_text().replace("squeal_router_server_up == 0", "squeal_router_server_up == 2"))
    assert any("promtool test rules" in p and "RouterServerDown" in p for p in problems(tree))


# --- what the containers run, run here ------------------------------------------------------------------------------


def exprs():
    """(where, expression) of every panel."""
    for panel in json.loads(check_compose.Check(ROOT).read("packaging/monitoring/grafana/dashboards/squeal.json"))["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def exported(texts):
    """{metric: its labels} of what the programs say at /metrics."""
    out = {}
    for text in texts:
        for (name, labels), _ in parse_metrics(text).items():
            out.setdefault(name, set()).update(label for label, _ in labels)
    return out


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed; run integration/packages")
def test_a_real_prometheus_scrapes_the_programs_and_every_alert_and_panel_has_something_to_say(pipeline, rundir):
    port, web = free_port(), free_port()
    p = pipeline(clusters=["a"], servers=1,
                 cache=lambda d, n, keep=False: SquealCache(d, n, options=["--admin", "127.0.0.1:%d" % port]))
    p.barrier()
    check = check_compose.Check(ROOT)
    config = check.read_yaml("packaging/monitoring/prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    here = {"squeal": p.squeal_port, "squeal-router": p.admin_ports["a"], "squeal-cache": port}
    assert [job["job_name"] for job in config["scrape_configs"]] == list(here)
    for job in config["scrape_configs"]:
        job["static_configs"] = [dict(job["static_configs"][0], targets=["127.0.0.1:%d" % here[job["job_name"]]])]
    with open(os.path.join(rundir, "prometheus.yml"), "w") as f:
        yaml.safe_dump(config, f)
    shutil.copy(check.path("packaging/monitoring/alerts.yml"), rundir)
    server = Process("prometheus", ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=" + os.path.join(rundir, "tsdb"),
                                    "--web.listen-address=127.0.0.1:%d" % web], rundir).start()

    def ask(path, **query):
        status, text = http_get(web, path + "?" + urllib.parse.urlencode(query), timeout=10)
        assert status == 200, text
        return json.loads(text)["data"]

    def all_up():
        server.check_running()
        try:
            return len(ask("/api/v1/query", query="up == 1")["result"]) == len(here)
        except (OSError, AssertionError):
            return False
    wait_until(all_up, 20, "Prometheus to reach the programs")

    def silent():
        return [where for where, expr, _ in exprs() if not ask("/api/v1/query", query=expr)["result"]]
    # A rate needs two looks.
    wait_until(lambda: not silent(), 15, "every panel to have something to show")

    def rules():
        return [rule for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), 15, "every rule to be evaluated")
    assert [(r["name"], r.get("lastError")) for r in rules() if r["health"] != "ok"] == []
    # A scrape that a busy machine has missed passes.
    wait_until(lambda: not [r["name"] for r in rules() if r["alerts"]], 15, "no alert, for nothing is wrong")
    # What the alerts watch is there, and has the labels that they and the panels name.
    labels = exported(http_get(n, "/metrics")[1] for n in here.values())
    watched = [(r["name"], r["query"], json.dumps(r["annotations"])) for r in rules()] + list(exprs())
    for where, expr, texts in watched:
        named = set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", texts)) - {"cluster", "job", "instance"}
        for name in re.findall(r"\bsqueal_\w+", expr):
            assert name in labels, "%s: nobody exports %s" % (where, name)
            assert named <= labels[name], "%s: %s has no label %s" % (where, name, named - labels[name])
    # And one of them fires.
    p.caches["a"][0].kill()
    wait_until(lambda: any(r["name"] == "RouterServerDown" and r["alerts"] for r in rules()), 20, "RouterServerDown to be pending")


def readyz(address, env=None):
    return subprocess.run([os.path.join(COMPOSE, "readyz")] + ([address] if address else []), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20, env=dict(os.environ, **(env or {})))


def test_readyz_tells_ready_from_not_ready_from_nobody(pipeline):
    p = pipeline(clusters=["a"])
    address = "127.0.0.1:%d" % p.admin_ports["a"]
    assert readyz(address).returncode == 0
    assert readyz("localhost:%d" % p.squeal_port).returncode == 0
    assert readyz(None, {"ADMIN": address}).returncode == 0
    p.db.kill()
    wait_until(lambda: not p.squeal.ready(), 20, "squeal to be not ready")
    done = readyz("127.0.0.1:%d" % p.squeal_port)
    assert done.returncode == 1 and "reasons" in done.stdout
    p.routers["a"].kill()
    done = readyz(address)
    assert done.returncode == 1 and done.stdout == "readyz: nothing listens on %s\n" % address


def test_readyz_gives_up_on_a_port_that_does_not_answer():
    # The kernel takes the connection, nobody else does.
    with socket.create_server(("127.0.0.1", 0)) as server:
        took = []
        while not took or took[-1] >= 3 and len(took) < 3:  # the machine may be busy
            began = time.monotonic()
            done = readyz("127.0.0.1:%d" % server.getsockname()[1])
            took.append(time.monotonic() - began)
            assert done.returncode == 1 and "did not answer in time" in done.stdout
        # The health check's timeout is 3 s.
        assert took[-1] < 3, took


def test_the_health_check_of_memcached_tells_one_that_answers_from_one_that_does_not(tmp_path):
    words = check_compose.Check(ROOT).read_yaml("docker-compose.yml")["services"]["cache-west-1"]["healthcheck"]["test"]
    cache = Memcached(str(tmp_path))
    # Compose makes one dollar of two.
    argv = [word.replace("$$", "$").replace("11211", str(cache.port)) for word in words[1:]]
    assert words[0] == "CMD" and argv != words[1:]
    assert subprocess.run(argv, stderr=subprocess.DEVNULL).returncode != 0
    cache.start()
    assert subprocess.run(argv).returncode == 0
    cache.pause()
    assert subprocess.run(argv, timeout=10).returncode != 0
    cache.kill()


def make_secrets(folder):
    for name in ("mysql", "squeal", "grafana"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    subprocess.run([os.path.join(COMPOSE, "secrets")], env=dict(os.environ, FOLDER=folder), check=True)
    out = {}
    for top, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(top, name)
            assert os.stat(path).st_mode & 0o777 == 0o400
            with open(path) as f:
                out[os.path.relpath(path, folder)] = f.read().strip()
    return out


def test_secrets_are_made_once_and_squeal_takes_its_own(tmp_path):
    first = make_secrets(str(tmp_path))
    assert sorted(first) == ["grafana/admin", "mysql/replication", "mysql/root", "mysql/squeal", "squeal/password"]
    assert all(re.fullmatch(r"[0-9a-f]{32}", value) for value in first.values())
    assert first["squeal/password"] == first["mysql/squeal"]
    assert len(set(first.values())) == 4
    assert make_secrets(str(tmp_path)) == first


def start_server(database, name, more=(), world=lambda argv: argv):
    """mysqld with NAME.cnf, whose settings win over those of the harness; world(argv) is what runs it."""
    path = os.path.join(COMPOSE, "mysql", name + ".cnf")
    with open(path) as f:
        lines = [line.split("#")[0].strip() for line in f]
    options = ["--%s=%s" % tuple(word.strip() for word in line.split("=", 1)) for line in lines if "=" in line]
    db = database("mysql", start=False, name=name, options=options + list(more))
    db.process.argv = world(["--defaults-file=" + path if word == "--no-defaults" else word for word in db.process.argv])
    return db.start()


def source_script(db, script, secrets, **env):
    """Does what the image's entry point does with a script of /docker-entrypoint-initdb.d."""
    client = " ".join(shlex.quote(w) for w in db.client_argv())
    done = subprocess.run(["bash", "-eo", "pipefail", "-c",
                           "docker_process_sql() { %s \"$@\"; }; . %s" % (client, shlex.quote(os.path.join(COMPOSE, "mysql", script)))],
                          env=dict(os.environ, SECRETS=secrets, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_the_servers_of_the_compose_file_replicate_and_doctor_finds_nothing_to_mend(database, rundir):
    """A real MySQL with primary.cnf and primary.sh, another with replica.cnf and replica.sh, and squeal beside them."""
    folder = os.path.join(rundir, "secrets")
    make_secrets(folder)
    secrets = os.path.join(folder, "mysql")
    primary = start_server(database, "primary")
    source_script(primary, "primary.sh", secrets)
    # It has transactions of its own from its set-up, which must go.
    replica = start_server(database, "replica")
    replica.sql("CREATE DATABASE of_the_set_up; DROP DATABASE of_the_set_up")
    source_script(replica, "replica.sh", secrets, PRIMARY_HOST=primary.host, PRIMARY_PORT=str(primary.port))
    # The entry point starts the server anew, and replication with it.
    replica.kill()
    replica.start()
    healthy = [os.path.join(COMPOSE, "mysql", "replica-healthy")] + replica.client_argv()
    wait_until(lambda: subprocess.run(healthy, stdout=subprocess.DEVNULL).returncode == 0, 30, "the replication to run")
    primary.sql("INSERT INTO shop.users VALUES (42, 'Ada') /*inv='user:42'*/")
    wait_until(lambda: replica.sql("SELECT COUNT(*) FROM shop.users") == "1", 20, "the row on the replica")
    assert replica.sql("SELECT @@super_read_only") == "1"
    assert primary.sql("SELECT GTID_SUBSET('%s', @@GLOBAL.gtid_executed)" % replica.gtid()) == "1"
    replica.sql("STOP REPLICA")
    assert subprocess.run(healthy, stdout=subprocess.DEVNULL).returncode == 1
    replica.sql("START REPLICA")

    config = os.path.join(rundir, "squeal.yaml")
    write_config(config, {
        "log": {"path": os.path.join(rundir, "log.db")},
        "source": {"endpoints": "127.0.0.1:%d, 127.0.0.1:%d" % (primary.port, replica.port), "user": "squeal", "tls": "required",
                   "password_file": os.path.join(folder, "squeal", "password")},
        "squeal": {"admin": ""},
        "clusters": [{"name": "a", "admin": "", "servers": [{"host": "127.0.0.1", "port": 1}]}]})
    done = run_program("squeal", "doctor", "-c", config, "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"connect", "gtid_mode", "rows_query", "sync_binlog", "account"} <= {f["check"].split(":")[-1] for f in findings}, findings
    # There are no caches here, and both servers are on one machine.
    assert [f for f in findings if f["level"] in ("danger", "broken") and f["check"] != "cache"] == []


def test_the_broker_of_the_compose_file_starts_and_its_topic_is_made(rundir):
    """A real Kafka with the settings that the image makes of the service's environment, and the service kafka-topic's command."""
    kafka = pytest.importorskip("harness.kafka")
    try:
        jars = os.path.join(kafka.kafka_dist(), "lib", "*")
    except NoServer as e:
        pytest.skip(str(e))
    services = check_compose.Check(ROOT).read_yaml("docker-compose.yml")["services"]
    ports = {"9092": str(free_port()), "9093": str(free_port())}

    def here(text):
        text = re.sub(r"\b(9092|9093)\b", lambda m: ports[m.group(1)], text)
        return text.replace("kafka:", "127.0.0.1:").replace("//:", "//127.0.0.1:")
    data = os.path.join(rundir, "data")
    with open(os.path.join(rundir, "server.properties"), "w") as f:
        for name, value in services["kafka"]["environment"].items():
            if name.startswith("KAFKA_") and name not in ("KAFKA_HEAP_OPTS",):
                f.write("%s=%s\n" % (name[6:].lower().replace("_", "."), data if name == "KAFKA_LOG_DIRS" else here(value)))
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in services["kafka"]["volumes"][0]

    def tool(name, *args):
        return subprocess.run(["java", "-Xmx128m", "-cp", jars, name] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120)
    properties = os.path.join(rundir, "server.properties")
    # As the image does it before the start.
    done = tool("kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw", "-c", properties)
    assert done.returncode == 0, done.stdout
    broker = Process("kafka", ["java"] + services["kafka"]["environment"]["KAFKA_HEAP_OPTS"].split()
                     + ["-cp", jars, "kafka.Kafka", properties], rundir).start()
    try:
        create = services["kafka-topic"]["command"]
        assert create[0] == "/opt/kafka/bin/kafka-topics.sh"
        address = "--bootstrap-server=127.0.0.1:" + ports["9092"]

        def answers():
            broker.check_running()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", int(ports["9092"]))) == 0
        wait_until(answers, 60, "the broker")
        # The second time is the next `docker compose up`.
        for _ in range(2):
            done = tool("org.apache.kafka.tools.TopicCommand", *[here(word) for word in create[1:]])
            assert done.returncode == 0, done.stdout
        done = tool("org.apache.kafka.tools.TopicCommand", address, "--describe", "--topic=squeal")
        assert "PartitionCount: 1" in done.stdout and "ReplicationFactor: 1" in done.stdout, done.stdout
        for setting in ("cleanup.policy=delete", "retention.ms=259200000", "min.insync.replicas=1", "max.message.bytes=16777216",
                        "unclean.leader.election.enable=false"):
            assert setting in done.stdout, done.stdout
        done = tool("org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", "127.0.0.1:" + ports["9092"])
        assert done.returncode == 0, done.stdout
    finally:
        broker.kill()
