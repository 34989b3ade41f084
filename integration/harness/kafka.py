"""Apache Kafka (KRaft) on loopback: brokers that are also the controllers, and what tests ask them.

integration/kafka-dist fetches it.  Every broker is a JVM of its own and about half a second away: its classes are in an
archive that is made once per build folder, and nothing has to be formatted.  The client is librdkafka by way of
Debian's python3-confluent-kafka; what that version cannot do, Kafka's own tools do (tool()).

    with Kafka(dir, brokers=3) as k:
        k.start()
        k.create_topic("squeal", partitions=2, replicas=3, config={"min.insync.replicas": "2"})
        k.brokers[0].kill()
"""

import functools
import glob
import logging
import os
import re
import shutil
import socket
import subprocess
import uuid

from .database import template
from .process import ROOT, Failure, Process, free_port, wait_until
from .proxy import Proxy
from .root import NoServer

# What JVMs say when there is nothing to say, a fixed cluster, and what keeps a broker small.
CLUSTER_ID = "c3F1ZWFsLXNxdWVhbC1zcQ"
_OPTIONS = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-Dorg.slf4j.simpleLogger.showShortLogName=true"]
_PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKERS",
    # Nothing comes into being by being named.
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    # Groups: the first member need not wait for a second one, and a dead one is missed soon.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    # Brokers that are gone are missed soon; the defaults are for data centres.
    "broker.heartbeat.interval.ms": "300",
    "broker.session.timeout.ms": "2000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.backoff.max.ms": "200",
    "replica.lag.time.max.ms": "3000",
    "controlled.shutdown.enable": "true",
    # Retention is looked at often, and what it removes is gone at once.
    "log.initial.task.delay.ms": "200",
    "log.retention.check.interval.ms": "200",
    "log.segment.delete.delay.ms": "100",
    # Small machines.
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.index.size.max.bytes": "1048576",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "group.coordinator.threads": "1",
    "socket.receive.buffer.bytes": "-1",
    "socket.send.buffer.bytes": "-1",
}


@functools.lru_cache(maxsize=None)
def kafka_dist():
    """The folder of the jars; fetched where it is missing.  NoServer where nothing can be fetched from here."""
    done = subprocess.run([os.path.join(ROOT, "integration", "kafka-dist")], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    if done.returncode == 3:
        raise NoServer(done.stdout.strip())
    if done.returncode != 0:
        raise Failure("integration/kafka-dist failed:\n%s" % done.stdout.strip())
    return os.path.realpath(os.environ.get("SQUEAL_KAFKA") or os.path.join(ROOT, "build", "kafka"))


@functools.lru_cache(maxsize=None)
def _java():
    """(program, its version)"""
    path = shutil.which("java")
    if not path:
        raise Failure("java is not installed; run integration/packages")
    said = subprocess.run([path, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    match = re.search(r'version "((\d+)[^"]*)"', said)
    if not match or int(match.group(2)) < 17:
        raise Failure("%s is %s, Kafka needs Java 17; run integration/packages" % (path, said.splitlines()[:1]))
    return path, match.group(1)


def _class_path():
    # In the order in which the archive was made.
    return ":".join(sorted(glob.glob(os.path.join(kafka_dist(), "lib", "*.jar"))))


def _version():
    return re.search(r"kafka-clients-([0-9][^/]*)\.jar", _class_path()).group(1)


def _archive():
    """The JVM's archive of the classes of a broker that has done what brokers do."""
    def make(path):
        with Kafka(path, archive=None, options=["-XX:ArchiveClassesAtExit=" + os.path.join(path, "classes.jsa"),
                                                "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]) as k:
            k.start()
            k.create_topic("t")
            k.produce("t", b"key", b"value")
            k.records("t")
            k.committed("g", "t")
            if k.brokers[0].process.stop(60) not in (0, 143):
                raise Failure("the first broker ended badly; its log is %s" % k.brokers[0].process.log)
    path = template("kafka-%s-java-%s" % (_version(), _java()[1]), make)
    return os.path.join(path, "classes.jsa")


def _quiet():
    """librdkafka reports every broker that it cannot reach; in a test that is the point."""
    log = logging.getLogger("squeal.kafka")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    return log


def _varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def batch(source, keys, position="0-1-1", commit_us=0):
    """An InvalidationBatch of one transaction, as squeal would write it (schemas/invalidation.proto)."""
    txn = _field(1, position) + (_field(2, commit_us) if commit_us else b"") + b"".join(_field(6, k) for k in keys)
    return _field(1, 1) + _field(2, source) + _field(3, position) + _field(5, txn)


class Broker:
    """One JVM: a broker and a controller.  It keeps its ports and data over restarts."""

    def __init__(self, kafka, id):
        self.kafka = kafka
        self.id = id
        self.port = free_port()
        self.inner_port = free_port()
        self.controller_port = free_port()
        self.proxy = Proxy(self.port) if kafka.proxies else None
        self.name = "%s-%d" % (kafka.name, id)
        self.dir = os.path.join(kafka.dir, self.name)
        self.data = os.path.join(self.dir, "data")
        self.config = os.path.join(self.dir, "server.properties")
        self.process = None

    @property
    def address(self):
        return "127.0.0.1:%d" % (self.proxy.port if self.proxy else self.port)

    def prepare(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.data)
        # What `kafka-storage format` would write.
        with open(os.path.join(self.data, "meta.properties"), "w") as f:
            f.write("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n" % (
                CLUSTER_ID, self.id, _uuid()))
        self.write_config()
        java, _ = _java()
        argv = [java] + _OPTIONS + self.kafka.options
        if self.kafka.archive:
            argv += ["-XX:SharedArchiveFile=" + self.kafka.archive]
        self.process = Process(self.name, argv + ["-cp", _class_path(), "kafka.Kafka", self.config], self.kafka.dir,
                               keep=self.kafka.keep)

    def write_config(self):
        all = self.kafka.brokers
        n = min(3, len(all))
        mine = dict(_PROPERTIES)
        mine.update({
            "node.id": self.id,
            "controller.quorum.voters": ",".join("%d@127.0.0.1:%d" % (b.id, b.controller_port) for b in all),
            "listeners": "CLIENTS://127.0.0.1:%d,BROKERS://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d"
                         % (self.port, self.inner_port, self.controller_port),
            "advertised.listeners": "CLIENTS://%s,BROKERS://127.0.0.1:%d" % (self.address, self.inner_port),
            "listener.security.protocol.map": "CLIENTS:%s,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT"
                                              % self.kafka.protocol,
            "log.dirs": self.data,
            "offsets.topic.replication.factor": n,
            "transaction.state.log.replication.factor": n,
            "default.replication.factor": n,
        })
        if self.kafka.tls:
            mine.update({"ssl.keystore.type": "PEM", "ssl.keystore.location": self.keystore()})
        if self.kafka.users:
            users = " ".join('user_%s="%s"' % user for user in self.kafka.users.items())
            mine.update({"sasl.enabled.mechanisms": "PLAIN", "listener.name.clients.plain.sasl.jaas.config":
                         "org.apache.kafka.common.security.plain.PlainLoginModule required %s;" % users})
        mine.update(self.kafka.properties)
        with open(self.config, "w") as f:
            for name, value in mine.items():
                f.write("%s=%s\n" % (name, value))

    def keystore(self):
        path = os.path.join(self.dir, "server.pem")
        with open(path, "w") as out:
            for name in (self.kafka.tls.server_key, self.kafka.tls.server_cert):
                with open(name) as f:
                    out.write(f.read())
        return path

    def start(self, wait=True):
        self.process.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=60):
        """It takes connections, and its cluster knows that it does."""
        def listens():
            self.process.check_running()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                return False
        wait_until(listens, timeout, "%s to listen; its log is %s" % (self.name, self.process.log))
        wait_until(lambda: self.id in self.kafka.alive(), timeout, "%s to be part of its cluster" % self.name)

    def kill(self):
        self.process.kill()

    def stop(self):
        """In good order: it hands its partitions over first."""
        return self.process.stop(timeout=60)

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()


def _uuid():
    import base64
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


class Kafka:
    """A cluster of brokers with the ids 1, 2, ...

    properties  settings of every broker; they win over those that are usual here
    options     of the JVM; the usual ones are for a start that is fast, not for a load that is heavy
    tls         a Certificates: `bootstrap` speaks TLS
    users       {name: password}: `bootstrap` wants SASL PLAIN
    proxies     `bootstrap` leads through a Proxy each: broker.proxy

    bootstrap is for programs under test; the harness itself and the brokers among themselves use `inner`, plain.
    """

    def __init__(self, dir, brokers=1, name="kafka", properties=None, options=("-XX:TieredStopAtLevel=1",), keep=False,
                 archive=True, tls=None, users=None,
                 proxies=False):
        kafka_dist()
        self.dir = dir
        self.name = name
        self.keep = keep
        self.properties = dict(properties or {})
        self.options = list(options)
        self.tls = tls
        self.users = dict(users or {})
        self.proxies = proxies
        self.protocol = "%s%s" % ("SASL_" if users else "", "SSL" if tls else "PLAINTEXT")
        self.archive = _archive() if archive is True else archive
        self.brokers = []
        for id in range(1, brokers + 1):
            self.brokers.append(Broker(self, id))
        for broker in self.brokers:
            broker.prepare()
        self._admin = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def bootstrap(self):
        return ",".join(b.address for b in self.brokers)

    @property
    def inner(self):
        return ",".join("127.0.0.1:%d" % b.inner_port for b in self.brokers)

    def start(self):
        for broker in self.brokers:
            broker.start(wait=False)
        for broker in self.brokers:
            broker.wait_ready()
        return self

    def stop(self):
        """The end of it; its data is of no more use."""
        self._admin = None
        if self.keep:
            return
        for broker in self.brokers:
            broker.process.kill()
            if broker.proxy:
                broker.proxy.close()
                broker.proxy = None
            shutil.rmtree(broker.data, ignore_errors=True)

    # --- clients ------------------------------------------------------------------------------------------

    def _client_config(self, **more):
        config = {"bootstrap.servers": self.inner, "logger": _quiet(), "broker.address.family": "v4",
                  "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.interval.ms": 1000, "socket.timeout.ms": 10000}
        config.update({k.replace("_", "."): v for k, v in more.items()})
        return config

    def admin(self):
        from confluent_kafka.admin import AdminClient
        if self._admin is None:
            self._admin = AdminClient(self._client_config())
        return self._admin

    def consumer(self, group="squeal-harness", **more):
        """A confluent_kafka.Consumer that commits nothing by itself; close it."""
        from confluent_kafka import Consumer
        return Consumer(self._client_config(group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                                            enable_partition_eof=True, **more))

    def tool(self, main, *args, check=True, timeout=60):
        """Runs a class of Kafka's own tools, say "org.apache.kafka.tools.GetOffsetShell"; what it printed."""
        argv = [_java()[0], "-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
        if self.archive:
            argv += ["-XX:SharedArchiveFile=" + self.archive]
        done = subprocess.run(argv + ["-cp", _class_path(), main] + list(args), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise Failure("%s failed: %s" % (main, (done.stdout + done.stderr)[-1500:]))
        return done.stdout

    # --- the cluster --------------------------------------------------------------------------------------

    def metadata(self, topic=None, timeout=5):
        from confluent_kafka import KafkaException
        try:
            return self.admin().list_topics(topic, timeout) if topic else self.admin().list_topics(timeout=timeout)
        except KafkaException as e:
            raise Failure("Kafka does not answer: %s" % e)

    def alive(self):
        """The ids of the brokers that the cluster counts in."""
        try:
            return set(self.metadata(timeout=2).brokers)
        except Failure:
            return set()

    def broker(self, id):
        return self.brokers[id - 1]

    def leader(self, topic, partition=0, timeout=20):
        """The Broker that leads the partition, by those that run."""
        def led():
            try:
                return self.metadata(topic, 2).topics[topic].partitions[partition].leader
            except (Failure, KeyError):
                return -1
        id = wait_until(lambda: max(led(), 0), timeout, "a leader of %s-%d" % (topic, partition))
        return self.broker(id)

    def wait_leader_other_than(self, broker, topic, partition=0, timeout=30):
        wait_until(lambda: self.leader(topic, partition).id != broker.id, timeout,
                   "another leader of %s-%d than broker %d" % (topic, partition, broker.id))
        return self.leader(topic, partition)

    def wait_in_sync(self, topic, partition=0, replicas=None, timeout=30):
        n = replicas or len(self.brokers)

        def cond():
            try:
                return len(self.metadata(topic, 2).topics[topic].partitions[partition].isrs) >= n
            except (Failure, KeyError):
                return False
        wait_until(cond, timeout, "%d in-sync replicas of %s-%d" % (n, topic, partition))

    # --- topics -------------------------------------------------------------------------------------------

    def create_topic(self, topic="squeal", partitions=1, replicas=None, config=None):
        from confluent_kafka.admin import NewTopic
        new = NewTopic(topic, partitions, replicas or min(3, len(self.brokers)),
                       config={k: str(v) for k, v in (config or {}).items()})
        self.admin().create_topics([new], request_timeout=20)[topic].result(20)
        for partition in range(partitions):
            self.leader(topic, partition)

    def topics(self):
        return sorted(self.metadata().topics)

    def delete_topic(self, topic):
        self.admin().delete_topics([topic], request_timeout=20)[topic].result(20)
        wait_until(lambda: topic not in self.metadata().topics, 20, "topic %s to be gone" % topic)

    def topic_config(self, topic):
        """{setting: value}, defaults too."""
        from confluent_kafka.admin import ConfigResource
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self.admin().describe_configs([resource], request_timeout=10)[resource].result(10)
        return {name: entry.value for name, entry in found.items()}

    def configure_topic(self, topic, **settings):
        """configure_topic("squeal", retention_ms=1000); None: back to the default.  The others stay as they are."""
        add = ",".join("%s=%s" % (k.replace("_", "."), "[%s]" % v if "," in str(v) else v)
                       for k, v in settings.items() if v is not None)
        drop = ",".join(k.replace("_", ".") for k, v in settings.items() if v is None)
        self.tool("kafka.admin.ConfigCommand", "--bootstrap-server", self.inner, "--alter", "--entity-type", "topics",
                  "--entity-name", topic, *((["--add-config", add] if add else []) +
                                            (["--delete-config", drop] if drop else [])))

    def bounds(self, topic, partition=0):
        """(offset of the first record that is still there, offset of the next one)"""
        from confluent_kafka import TopicPartition
        consumer = self.consumer()
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        finally:
            consumer.close()

    def delete_records(self, topic, partition=0, before=-1):
        """Removes what is before the offset, as retention does; -1: everything."""
        path = os.path.join(self.dir, "delete-records.json")
        with open(path, "w") as f:
            f.write('{"partitions": [{"topic": "%s", "partition": %d, "offset": %d}], "version": 1}'
                    % (topic, partition, before))
        self.tool("org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", self.inner,
                  "--offset-json-file", path)

    def expire(self, topic, partition=0, timeout=30):
        """Retention passes for everything that is in the partition now, by the broker's own retention."""
        _, end = self.bounds(topic, partition)
        before = self.topic_config(topic)
        self.configure_topic(topic, retention_ms=1, segment_ms=100)
        # A segment that is still written to stays; one record more makes it old.
        wait_until(lambda: self.bounds(topic, partition)[0] >= end, timeout, "retention of %s-%d to pass" % (topic, partition))
        self.configure_topic(topic, retention_ms=before["retention.ms"], segment_ms=before["segment.ms"])

    # --- records and groups -------------------------------------------------------------------------------

    def producer(self, **more):
        from confluent_kafka import Producer
        return Producer(self._client_config(acks="all", linger_ms=0, **more))

    def produce(self, topic, key, value, partition=0):
        producer, failed = self.producer(), []
        producer.produce(topic, value, key, partition=partition,
                         on_delivery=lambda error, _: failed.append(error) if error else None)
        if producer.flush(20) or failed:
            raise Failure("Kafka did not take the record: %s" % failed)

    def records(self, topic, partition=0, start=None, timeout=30):
        """[confluent_kafka.Message] of all that is in the partition, or from offset `start` on."""
        from confluent_kafka import KafkaError, TopicPartition
        consumer, out = self.consumer(), []
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, low if start is None else start)])

            def read():
                message = consumer.poll(0.1)
                if message is None:
                    return False
                if message.error():
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        return message.offset() >= high
                    raise Failure("reading %s-%d: %s" % (topic, partition, message.error()))
                out.append(message)
                return False
            wait_until(read, timeout, "the end of %s-%d" % (topic, partition))
        finally:
            consumer.close()
        return out

    def committed(self, group, topic="squeal", partitions=1):
        """{partition: committed offset} of the group; None where there is none."""
        from confluent_kafka import TopicPartition
        consumer = self.consumer(group)
        try:
            found = consumer.committed([TopicPartition(topic, p) for p in range(partitions)], timeout=10)
            return {f.partition: f.offset if f.offset >= 0 else None for f in found}
        finally:
            consumer.close()

    def members(self, group):
        """{group.instance.id: [(topic, partition)]} of static members, by kafka-consumer-groups.sh."""
        out, header = {}, None
        for row in self._groups("--describe", "--members", "--verbose", "--group", group):
            if "GROUP-INSTANCE-ID" in row:
                header = row
            if header is None or not row or row[0] != group:
                continue
            got = dict(zip(header, row))
            # "squeal:0,1;other:0", or "-".
            out[got["GROUP-INSTANCE-ID"]] = sorted(
                (topic, int(p)) for topic, ps in re.findall(r"([^:;]+):([0-9,]+)", got["CURRENT-ASSIGNMENT"])
                for p in ps.split(","))
        return out

    def lag(self, group):
        """{(topic, partition): lag}, as kafka-consumer-groups.sh shows it."""
        out, header = {}, None
        for row in self._groups("--describe", "--offsets", "--group", group):
            if "LAG" in row:
                header = row
            elif header and row and row[0] == group:
                got = dict(zip(header, row))
                if got["LAG"] != "-":
                    out[(got["TOPIC"], int(got["PARTITION"]))] = int(got["LAG"])
        return out

    def _groups(self, *args):
        # It has no status for a group that is not there yet; then it prints no table.
        said = self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", self.inner,
                         *args, check=False)
        return [line.split() for line in said.splitlines()]
