"""squeal, its routers, and everything they stand between."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from .kafka import Kafka
from .mariadb import Mariadb, MariadbNew
from .mysql import Mysql
from .memcached import Memcached
from .process import BUILD, Failure, Process, free_port, wait_until


def _yaml_value(value):
    if isinstance(value, list):
        return "[%s]" % ", ".join(_yaml_value(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(str(value))


def _yaml(value, indent, out):
    pad = "  " * indent
    for key, item in value.items():
        if isinstance(item, dict):
            out.append("%s%s:" % (pad, key))
            _yaml(item, indent + 1, out)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            out.append("%s%s:" % (pad, key))
            for row in item:
                first = len(out)
                _yaml(row, indent + 2, out)
                out[first] = pad + "  - " + out[first].lstrip()
        else:
            out.append("%s%s: %s" % (pad, key, _yaml_value(item)))


def write_config(path, config):
    """Writes dicts, lists of dicts and scalars as YAML."""
    lines = []
    _yaml(config, 0, lines)
    tmp = path + ".tmp"
    with open(tmp, "w") as f:
        f.write("\n".join(lines) + "\n")
    os.rename(tmp, path)


_METRIC = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics(dict):
    """{(name, ((label, value), ...)): number}, with sums over label sets."""

    def total(self, name, **labels):
        """The sum over all label sets that contain `labels`; Failure when the program has no such metric."""
        found = [v for (n, have), v in self.items() if n == name and set(labels.items()) <= set(have)]
        if not found:
            raise Failure("no metric %s%s" % (name, labels or ""))
        return sum(found)

    def names(self):
        return sorted({name for name, _ in self})


def parse_metrics(text):
    out = Metrics()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _METRIC.match(line)
        if not match:
            raise Failure("not a Prometheus line: %r" % line)
        labels = tuple(sorted(_LABEL.findall(match.group(2) or "")))
        out[(match.group(1), labels)] = float(match.group(3))
    return out


def http_get(port, path, timeout=5):
    """(status, text) of the admin port."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open("http://127.0.0.1:%d%s" % (port, path), timeout=timeout) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class _Daemon:
    """What squeal and squeal-router have in common: an admin port and a way to be started."""

    def __init__(self, name, argv, dir, admin_port, keep=False):
        self.name = name
        self.admin_port = admin_port
        self.process = Process(name, argv, dir, keep=keep)

    def start(self, wait=True, env=None):
        self.process.start(extra_env=env)
        if wait:
            self.wait_ready()
        return self

    def get(self, path, timeout=5):
        return http_get(self.admin_port, path, timeout)

    def ready(self):
        try:
            return self.get("/readyz", timeout=2)[0] == 200
        except OSError:
            return False

    def wait_ready(self, timeout=30):
        def cond():
            self.process.check_running()
            return self.ready()
        try:
            wait_until(cond, timeout, "%s to be ready" % self.name)
        except Failure as e:
            raise Failure("%s; its log (%s) ends:\n%s" % (e, self.process.log,
                          "\n".join(self.process.log_text().splitlines()[-10:])))

    def metrics(self):
        return parse_metrics(self.get("/metrics")[1])

    def status(self):
        return json.loads(self.get("/status")[1])

    def kill(self):
        self.process.kill()

    def stop(self, timeout=15):
        return self.process.stop(timeout)

    def reload(self):
        self.process.signal(signal.SIGHUP)


def program(name, crash=False, library="libmariadb"):
    """library="libmysqlclient": squeal with Oracle's, by `make oracle`."""
    oracle = library == "libmysqlclient"
    path = os.path.join(BUILD, "oracle/bin" if oracle else "crash-bin" if crash else "bin", name)
    if not os.path.exists(path):
        raise Failure("%s is not built; run make%s" % (path, " oracle" if oracle else ""))
    return path


class Squeal(_Daemon):
    def __init__(self, dir, config, admin_port, keep=False, crash=False, args=(), library="libmariadb"):
        argv = [program("squeal", crash, library), "run", "-c", config] + list(args)
        super().__init__("squeal", argv, dir, admin_port, keep=keep)


class Router(_Daemon):
    """A cluster's router; `instance` where the cluster has several, which share the partitions of a Kafka log."""

    def __init__(self, dir, config, cluster, admin_port, keep=False, crash=False, instance=None):
        argv = [program("squeal-router", crash), "-c", config, "--cluster", cluster]
        if instance:
            argv += ["--instance", instance]
        self.cluster = cluster
        self.instance = instance
        self.tag = "%s-%s" % (cluster, instance) if instance else cluster
        super().__init__("router-" + self.tag, argv, dir, admin_port, keep=keep)


def read_trace(path):
    """[(unix_us, server, offset, key)] of the acknowledged deletes in a router's trace file."""
    out = []
    try:
        with open(path, "rb") as f:
            for line in f.read().split(b"\n")[:-1]:
                at, server, offset, key = line.split(b" ", 3)
                out.append((int(at), server.decode(), int(offset), key.decode(errors="surrogateescape")))
    except FileNotFoundError:
        pass
    return out


def make_database(flavour, dir, **options):
    """A server of the flavour "mariadb", "mariadb-new" or "mysql", not started; options are those of Database."""
    return {"mariadb": Mariadb, "mariadb-new": MariadbNew, "mysql": Mysql}[flavour](dir, **options)


class Pipeline:
    """A database, clusters of memcached, squeal and a router per cluster, in one folder.

        with Pipeline(run_dir("x"), db="mysql", db_options={"binlog_format": "ROW"}) as p:
            p.start()

    `db` is "mariadb", "mariadb-new", "mysql", or a server that was made but not started.  `library` is the client
    library that squeal uses: libmariadb or libmysqlclient.  `cache` makes a cache server: Memcached or SquealCache.

    `config` has extra settings by section: {"squeal": {"linger": "5ms"}}.  Every acknowledged delete whose key
    starts with `trace_prefix` is in p.trace(cluster).

    `kafka` makes the log a topic: True for a broker of its own, the number of brokers, Kafka's arguments, or a Kafka that
    was made but not started.  `topic` has the topic's "partitions", "replicas" and settings ("min.insync.replicas"); None: nobody makes
    it.  `instances` are the names of each cluster's routers; p.routers has the first one by the cluster's name, all
    are in p.instances(cluster), and p.add_router(cluster, name) makes one more.
    """

    def __init__(self, dir, clusters=("east", "west"), servers=2, db="mariadb", config=None, trace_prefix="k",
                 keep=False, crash=False, db_options=None, mariadb=None, mariadb_options=None,
                 library="libmariadb", cache=Memcached, kafka=None, topic=(), instances=None):
        self.dir = dir
        if kafka is not None and not isinstance(kafka, Kafka):
            kafka = Kafka(dir, keep=keep, **(kafka if isinstance(kafka, dict) else {"brokers": int(kafka)}))
        self.kafka = kafka
        self.topic = None if topic is None else dict(topic)
        self.state_path = os.path.join(dir, "writer-state.db")
        self.keep = keep
        self.crash = crash
        # The last two are what tests said before there was MySQL.
        db, db_options = mariadb or db, db_options or mariadb_options
        self.db = make_database(db, dir, keep=keep, **(db_options or {})) if isinstance(db, str) else db
        self.config_path = os.path.join(dir, "squeal.yaml")
        self.log_path = os.path.join(dir, "log.db")
        self.extra = config or {}
        self.cluster_names = list(clusters)
        self.caches = {c: [cache(dir, "cache-%s-%d" % (c, i), keep=keep) for i in range(servers)]
                       for c in clusters}
        self.admin_ports = {c: free_port() for c in clusters}
        self.trace_prefix = trace_prefix
        self.squeal_port = free_port()
        self.squeal = Squeal(dir, self.config_path, self.squeal_port, keep=keep, crash=crash,
                             library=library)
        self.routers = {}
        for c in clusters:
            for i, instance in enumerate(instances or [None]):
                self.routers[c if i == 0 else "%s/%s" % (c, instance)] = Router(
                    dir, self.config_path, c, free_port() if i else self.admin_ports[c], keep=keep, crash=crash,
                    instance=instance)
        self.password_file = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()

    def instances(self, cluster):
        """The cluster's routers."""
        return [router for router in self.routers.values() if router.cluster == cluster]

    def add_router(self, cluster, instance, start=True):
        """One more router of the cluster."""
        router = Router(self.dir, self.config_path, cluster, free_port(), keep=self.keep, crash=self.crash,
                        instance=instance)
        self.routers["%s/%s" % (cluster, instance)] = router
        self.write_configs()
        return router.start() if start else router

    # One trace file per router: two processes must not write one file.  The setting is in a section that all
    # routers share, so each router has a configuration file of its own.
    def trace_path(self, cluster):
        """The first router's."""
        return self.trace_paths(cluster)[0]

    def trace_paths(self, cluster):
        return [os.path.join(self.dir, "trace-%s" % router.tag) for router in self.instances(cluster)]

    def cluster_config_path(self, cluster):
        return self.router_config_path(self.routers[cluster])

    def router_config_path(self, router):
        return os.path.join(self.dir, "squeal-%s.yaml" % router.tag)

    def log_config(self):
        if self.kafka is None:
            return {"path": self.log_path}
        return {"type": "kafka", "brokers": self.kafka.bootstrap, "topic": "squeal", "state": self.state_path,
                "timeout": "5s",
                # A member or a broker that is gone is missed within seconds, for the tests' sake.
                "properties": {"linger.ms": 0, "session.timeout.ms": 3000, "heartbeat.interval.ms": 500,
                               "reconnect.backoff.max.ms": 500, "broker.address.family": "v4"}}

    def config(self, cluster=None, router=None):
        """squeal's configuration, or that of the cluster's first router, or of another one."""
        router = router or self.routers.get(cluster)
        sections = {
            "log": self.log_config(),
            "source": {"socket": self.db.socket, "user": "squeal", "heartbeat": "200ms", "dead_after": "2s",
                       "backoff_max": "200ms"},
            "squeal": {"admin": "127.0.0.1:%d" % self.squeal_port},
            "router": {"backoff_max": "100ms", "ack_timeout": "500ms"},
        }
        if self.password_file:
            sections["source"]["password_file"] = self.password_file
        if self.trace_prefix and router:
            sections["router"]["trace_prefix"] = self.trace_prefix
            sections["router"]["trace_file"] = os.path.join(self.dir, "trace-%s" % router.tag)
        clusters = []
        for name in self.cluster_names:
            clusters.append({
                "name": name,
                "admin": "127.0.0.1:%d" % self.admin_ports[name],
                "servers": [{"host": "127.0.0.1", "port": cache.port} for cache in self.caches[name]],
            })
            if self.kafka:
                clusters[-1]["cursors"] = os.path.join(self.dir, "cursors-%s.db" % name)
            if router and router.cluster == name:
                clusters[-1]["admin"] = "127.0.0.1:%d" % router.admin_port
                if self.kafka:
                    clusters[-1]["cursors"] = os.path.join(self.dir, "cursors-%s.db" % router.tag)
        sections["clusters"] = clusters
        for section, settings in self.extra.items():
            if section == "clusters":
                for c in clusters:
                    c.update(settings)
            else:
                mine = sections.setdefault(section, {})
                for key, value in settings.items():
                    if isinstance(value, dict) and isinstance(mine.get(key), dict):
                        mine[key].update(value)
                    else:
                        mine[key] = value
        return sections

    def write_configs(self):
        write_config(self.config_path, self.config())
        for router in self.routers.values():
            path = self.router_config_path(router)
            write_config(path, self.config(router=router))
            argv = router.process.argv
            argv[argv.index("-c") + 1] = path

    def start_servers(self):
        """The database with its accounts, the caches, and the brokers with their topic."""
        for broker in self.kafka.brokers if self.kafka else ():
            broker.start(wait=False)
        self.db.process.start()
        for cache in self.all_caches():
            cache.process.start()
        self.db.wait_ready()
        for cache in self.all_caches():
            cache.wait_ready()
        for broker in self.kafka.brokers if self.kafka else ():
            broker.wait_ready()
        if self.kafka and self.topic is not None:
            settings = dict(self.topic)
            self.kafka.create_topic("squeal", settings.pop("partitions", 1), settings.pop("replicas", None), settings)
        self.password_file = self.db.create_replication_user(dir=self.dir)
        self.db.sql("CREATE DATABASE IF NOT EXISTS demo")
        self.write_configs()
        return self

    def start(self):
        self.start_servers()
        self.squeal.start()
        for router in self.routers.values():
            router.process.start()
        for router in self.routers.values():
            router.wait_ready()
        return self

    def all_caches(self):
        return [cache for caches in self.caches.values() for cache in caches]

    def daemons(self):
        return [self.squeal] + list(self.routers.values())

    def stop(self):
        if self.keep:
            return
        broken = []
        for daemon in self.daemons():
            daemon.process.terminate()
        for daemon in self.daemons():
            daemon.stop()
            status = daemon.process.popen.returncode if daemon.process.popen else 0
            if status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL):
                broken.append("%s ended by signal %d (%s); its log is %s" % (
                    daemon.name, -status, signal.Signals(-status).name, daemon.process.log))
        for cache in self.all_caches():
            cache.process.kill()
        self.db.discard()
        if self.kafka:
            self.kafka.stop()
        if broken:
            raise Failure("; ".join(broken))

    # --- what happened ------------------------------------------------------------------------------------

    def trace(self, cluster):
        """Of all routers of the cluster, in the order of time."""
        traces = [read_trace(path) for path in self.trace_paths(cluster)]
        return traces[0] if len(traces) == 1 else sorted(line for trace in traces for line in trace)

    def deleted(self, cluster):
        """The set of traced keys whose delete was acknowledged in the cluster."""
        return {key for _, _, _, key in self.trace(cluster)}

    def wait_deleted(self, keys, clusters=None, timeout=15):
        keys = set(keys)
        for cluster in clusters or self.cluster_names:
            def cond():
                return keys <= self.deleted(cluster)
            try:
                wait_until(cond, timeout, "")
            except Failure:
                missing = sorted(keys - self.deleted(cluster))
                raise Failure("no acknowledged delete in cluster %s within %g s of %d of %d keys, such as %r"
                              % (cluster, timeout, len(missing), len(keys), missing[:5]))

    def barrier(self, clusters=None, timeout=20, n=[0]):
        """Returns when everything committed before has been delivered to every server: the barrier's own keys,
        some on each server, have been."""
        n[0] += 1
        keys = ["%sbarrier:%d:%d" % (self.trace_prefix, n[0], i) for i in range(64)]
        self.db.sql("CREATE TABLE IF NOT EXISTS demo.barrier (n INT) /*inv='%s'*/;"
                    "INSERT INTO demo.barrier VALUES (%d) /*inv='%s'*/" % (keys[0], n[0], ",".join(keys)))
        self.wait_deleted(keys, clusters, timeout)
        return keys

    def fill(self, keys, value="old"):
        """Puts the keys on every server, so that a delete can be seen wherever it goes."""
        for cache in self.all_caches():
            with cache.client() as c:
                for key in keys:
                    c.set(key, value)

    def held(self, cluster, key):
        """How many servers of the cluster still hold the key."""
        return sum(cache.get(key) is not None for cache in self.caches[cluster])


def run_program(name, *args, timeout=30, env=None, crash=False):
    """Runs one of ours to its end: CompletedProcess with text output."""
    full = dict(os.environ)
    full.update(env or {})
    return subprocess.run([program(name, crash)] + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, timeout=timeout, env=full)


def explained_owners(config, keys, cluster="a"):
    """{key: addresses} as the cluster's router routes, by every ring that is not sealed."""
    out = {}
    for key in keys:
        done = run_program("squeal-router", "-c", config, "--cluster", cluster, "--explain", key)
        assert done.returncode == 0, done.stderr
        out[key] = {line.split(":", 1)[1].split()[0] for line in done.stdout.splitlines()
                    if line.strip().startswith("server:")}
    return out


def copy_log(path, to):
    """The log's files as they are on disk."""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            shutil.copy(path + suffix, to + suffix)
