"""The system of docker-compose.yml without containers: its commands, its squeal.yaml, its names, its health checks.

Every service is a process in a network namespace of the test, with an address of its own in 127.0.1.0/24, and in a mount
namespace where /etc/hosts knows the others and where /etc/squeal, /run/secrets and /var/lib/squeal are what the
compose file says.  Services of this repository run as the accounts of the image.  What differs from containers: caches
listen on their own address instead of on all.  Needs root.
"""

import os
import re
import shutil
import subprocess

import pytest

from conftest import need
from harness import ROOT, NoServer, Process, run_dir, show_logs, wait_until
from harness.netns import FarClient, Network, NotPermitted
from harness.pipeline import program
from harness.process import BUILD
from test_compose import COMPOSE, check_compose, make_secrets, source_script, start_server

kafka = pytest.importorskip("harness.kafka")

USERS = {"squeal": "10001", "squeal-cache": "10002"}

WORLD = r"""
set -e
mount --make-rprivate /
mount --bind "$ETC" /etc
echo "$0" >/proc/sys/kernel/hostname
if [ -n "$AS" ]; then
	mount -t tmpfs none /run
	mkdir /run/secrets
	mount -t tmpfs none /usr/local/bin
	cp $PROGRAMS /usr/local/bin
	mount -t tmpfs none /var/lib
	mkdir /var/lib/squeal /var/lib/squeal-cache
	chmod 755 /run /run/secrets /usr/local/bin /var/lib
	[ -z "$SECRETS" ] || mount --bind "$SECRETS" /run/secrets
	[ -z "$STATE" ] || mount --bind "$STATE" "$STATE_AT"
	cd /
	exec setpriv --reuid="$AS" --regid="$AS" --clear-groups --no-new-privs --bounding-set=-all "$@"
fi
exec "$@"
"""


class System:
    def __init__(self, dir):
        self.dir = dir
        self.services = check_compose.Check(ROOT).read_yaml("docker-compose.yml")["services"]
        self.address = {name: "127.0.1.%d" % n for n, name in enumerate(sorted(self.services), 1)}
        self.processes = {}
        self.secrets = os.path.join(dir, "secrets")
        self.etc = os.path.join(dir, "etc")
        make_secrets(self.secrets)
        shutil.copytree("/etc", self.etc, symlinks=True, ignore_dangling_symlinks=True)
        os.makedirs(os.path.join(self.etc, "squeal"), exist_ok=True)
        shutil.copy(os.path.join(COMPOSE, "squeal.yaml"), os.path.join(self.etc, "squeal", "squeal.yaml"))
        with open(os.path.join(self.etc, "hosts"), "w") as f:
            f.write("127.0.0.1 localhost\n" + "".join("%s %s\n" % (a, n) for n, a in self.address.items()))

    def world(self, name, argv, ours=False):
        """The command line that runs `argv` as the service would."""
        env = {"ETC": self.etc, "AS": "", "SECRETS": "", "STATE": "", "STATE_AT": "", "PROGRAMS": ""}
        if ours:
            service = self.services[name]
            names = sorted(n for n in os.listdir(os.path.join(BUILD, "bin")) if n.startswith("squeal"))
            env["PROGRAMS"] = " ".join([os.path.join(BUILD, "bin", n) for n in names] + [os.path.join(COMPOSE, "readyz")])
            env["AS"] = USERS[service.get("user", "squeal")]
            for volume in service.get("volumes", []):
                source, target = volume.split(":")[:2]
                if target == "/run/secrets":
                    env["SECRETS"] = os.path.join(self.secrets, source.rsplit("-", 1)[0])
                else:
                    env["STATE"], env["STATE_AT"] = os.path.join(self.dir, "volume-" + source), target
                    os.makedirs(env["STATE"], exist_ok=True)
                    os.chown(env["STATE"], int(env["AS"]), int(env["AS"]))
        return ["env"] + ["%s=%s" % item for item in env.items()] + ["unshare", "-m", "-u", "sh", "-c", WORLD, name] + argv

    def start_ours(self, name):
        command = [self.address[name] if word == "0.0.0.0" else word for word in self.services[name]["command"]]
        self.processes[name] = Process(name, self.world(name, command, ours=True), self.dir).start()

    def start_memcached(self, name):
        argv = ["memcached", "-u", "root", "-l", self.address[name]] + self.services[name]["command"]
        self.processes[name] = Process(name, self.world(name, argv), self.dir).start()

    def start_kafka(self):
        jars = os.path.join(kafka.kafka_dist(), "lib", "*")
        properties = os.path.join(self.dir, "server.properties")
        environment = dict(self.services["kafka"]["environment"], KAFKA_LOG_DIRS=os.path.join(self.dir, "volume-kafka"))
        heap = environment.pop("KAFKA_HEAP_OPTS").split()
        with open(properties, "w") as f:
            for key, value in environment.items():
                f.write("%s=%s\n" % (key[len("KAFKA_"):].lower().replace("_", "."), value))

        def tool(name, *args):
            if "kafka" in self.processes:
                self.processes["kafka"].check_running()
            done = subprocess.run(self.world("kafka", ["java", "-Xmx128m", "-cp", jars, name] + list(args)), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=120)
            return done.returncode == 0 or done.stdout
        assert tool("kafka.tools.StorageTool", "format", "-t", "5L6g3nShT-eMCtK--X86sw", "-c", properties) is True
        self.processes["kafka"] = Process("kafka", self.world("kafka", ["java"] + heap + ["-cp", jars, "kafka.Kafka", properties]),
                                          self.dir).start()
        address = self.services["kafka"]["healthcheck"]["test"][2:]
        wait_until(lambda: tool("org.apache.kafka.tools.BrokerApiVersionsCommand", *address) is True, 60, "the broker")
        assert tool("org.apache.kafka.tools.TopicCommand", *self.services["kafka-topic"]["command"][1:]) is True

    def healthy(self, name):
        """What the service's health check says."""
        self.processes[name].check_running()
        test = self.services[name]["healthcheck"]["test"]
        done = subprocess.run(self.world(name, test[1:], ours=True), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode == 0

    def wait_healthy(self, *names):
        for name in names:
            wait_until(lambda: self.healthy(name), 60, "%s to be healthy; its log is %s" % (name, self.processes[name].log))

    def caches(self, cluster):
        return [FarClient(self.address[name], 11211, 5) for name in sorted(self.services)
                if name.startswith("cache-%s-" % cluster)]

    def fill(self, keys):
        for client in self.caches("east") + self.caches("west"):
            with client as c:
                for key in keys:
                    c.set(key, "old")

    def held(self, cluster, key):
        count = 0
        for client in self.caches(cluster):
            with client as c:
                count += c.get(key) is not None
        return count


@pytest.fixture
def system():
    need("mysql")
    if os.geteuid() != 0:
        pytest.skip("namespaces and accounts need root")
    if b"librdkafka" not in subprocess.run(["ldd", program("squeal")], stdout=subprocess.PIPE).stdout:
        pytest.skip("this squeal was built without Kafka")
    try:
        kafka.kafka_dist()
        dir = run_dir("test_compose_system")
        with Network(dir):
            s = System(dir)
            yield s
            for process in s.processes.values():
                process.kill()
    except (NoServer, NotPermitted) as e:
        pytest.skip(str(e))


def test_the_system_of_the_compose_file_works_and_goes_on_after_kills(system, database, request):
    s = system
    try:
        where = {name: ["--port=3306", "--bind-address=" + s.address[name]] for name in s.address}
        primary = start_server(database, "primary", where["mysql-primary"], lambda argv: s.world("mysql-primary", argv))
        source_script(primary, "primary.sh", os.path.join(s.secrets, "mysql"))
        replica = start_server(database, "replica", where["mysql-replica"], lambda argv: s.world("mysql-replica", argv))
        source_script(replica, "replica.sh", os.path.join(s.secrets, "mysql"))
        replica.kill()
        replica.start()
        s.start_kafka()
        ours = [name for name, service in s.services.items() if "build" in service and name != "secrets"]
        for name in ours:
            s.start_ours(name)
        for name in ("cache-west-1", "cache-west-2"):
            s.start_memcached(name)
        s.wait_healthy(*ours)

        keys = ["user:%d" % i for i in range(60)]
        s.fill(keys)

        def commit(some):
            primary.sql("INSERT INTO shop.users VALUES (%s, 'Ada') /*inv='%s'*/" % (some[0].split(":")[1], "%2C".join(some)))

        def wait_deleted(some):
            wait_until(lambda: all(s.held(cluster, key) == 1 for cluster in ("east", "west") for key in some), 30,
                       "each key to be deleted on its owner")
        commit(keys[:20])
        wait_deleted(keys[:20])
        assert all(s.held("east", key) == 2 for key in keys[20:])
        for name in ("squeal", "router-east", "router-west", "cache-east-1"):
            s.processes[name].kill()
        commit(keys[20:40])
        for name in ("squeal", "router-east", "router-west", "cache-east-1"):
            s.start_ours(name)
        s.wait_healthy(*ours)
        wait_deleted(keys[20:40])
        wait_until(lambda: replica.sql("SELECT COUNT(*) FROM shop.users") == "2", 20, "the rows on the replica")
        # The warm cache came back with what nobody deleted.
        assert all(s.held("east", key) == 2 for key in keys[40:])
    except BaseException:
        show_logs(s.dir)
        raise
    finally:
        shutil.rmtree(s.etc, ignore_errors=True)
        for name in os.listdir(s.dir):
            if re.match(r"volume-", name):
                shutil.rmtree(os.path.join(s.dir, name), ignore_errors=True)
