"""cluster.py - several Kafka brokers on this machine; each can be killed, frozen, started again. Not a test.

The jars are those that tests/e2e/kafka-up fetches. Needs Java 17 and confluent-kafka (for the topics)."""

import atexit, base64, json, os, signal, subprocess, sys, time, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from tap import skip

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
UP = os.path.join(ROOT, "tests", "e2e", "kafka-up")
PORTS = os.path.join(ROOT, "tests", "e2e", "ports")
VERSION = "3.9.2"
READY_S = 180

CONFIG = """process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROL
inter.broker.listener.name=OPEN
listeners=OPEN://{address}:{port},CONTROL://{address}:{control}
advertised.listeners=OPEN://{address}:{port}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROL:PLAINTEXT
log.dirs={folder}/data
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
"""
LOG4J = """log4j.rootLogger=WARN,a
log4j.appender.a=org.apache.log4j.ConsoleAppender
log4j.appender.a.layout=org.apache.log4j.PatternLayout
log4j.appender.a.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


class NoKafka(Exception):
    """Java, Maven or the jars cannot be had here."""


def on_cluster(what, brokers, trial):
    """trial(cluster), with brokers that end after it; without Kafka, `what` is skipped by name."""
    try:
        c = Cluster("kafka", brokers)
    except NoKafka as why:
        return skip(what, str(why))
    try:
        trial(c)
    finally:
        c.end()


def write_figures(path, figures, **how):
    """The figures of the trial, as JSON, with the command; nothing without a path."""
    if not path:
        return
    command = " ".join(["tests/long/" + os.path.basename(sys.argv[0]), *sys.argv[1:]])
    figures["how"] = {"command": command, **how}
    with open(path, "w") as f:
        json.dump(figures, f, indent=1)
        f.write("\n")


def said(*words):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=True).stdout


class Cluster:
    def __init__(self, folder, n=3, address="127.0.0.1", heap_mb=384):
        self.folder, self.n, self.address, self.heap = os.path.abspath(folder), n, address, heap_mb
        r = subprocess.run([UP, "fetch"], capture_output=True, text=True)
        if r.returncode:
            raise NoKafka((r.stderr.strip().splitlines() or ["no jars"])[-1])
        kept = os.environ.get("NIGHTJAR_KAFKA_JARS", os.path.join(ROOT, "build", "kafka"))
        self.jars = os.path.join(kept, VERSION)
        self.archive = said(UP, "archive").split()
        self.process, self.client = {}, None
        atexit.register(self.end)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # of a time limit: brokers must not stay
        os.makedirs(self.folder)
        ports = [int(p) for p in said(PORTS, 2 * n, self.folder, address).split()]
        self.port = {i: ports[2 * i - 2] for i in self.nodes()}
        control = {i: ports[2 * i - 1] for i in self.nodes()}
        self.bootstrap = ",".join(f"{address}:{self.port[i]}" for i in self.nodes())
        with open(os.path.join(self.folder, "log4j.properties"), "w") as f:
            f.write(LOG4J)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "x")
        for i in self.nodes():
            os.makedirs(self.of(i))
            with open(os.path.join(self.of(i), "server.properties"), "w") as f:
                f.write(
                    CONFIG.format(
                        node=i,
                        voters=",".join(f"{k}@{address}:{control[k]}" for k in self.nodes()),
                        address=address,
                        port=self.port[i],
                        control=control[i],
                        folder=self.of(i),
                        copies=min(n, 3),
                        in_sync=1 if n < 3 else 2,
                    )
                )
            said(UP, "storage", f"{self.of(i)}/data", i, cluster_id)
        try:
            for i in self.nodes():
                self.begin(i)
            self.wait()
        except BaseException:
            self.end()
            raise

    def nodes(self):
        return range(1, self.n + 1)

    def of(self, node):
        return os.path.join(self.folder, f"node-{node}")

    def java(self, node, log, *args):
        """In a file, because a process list with three such command lines is no pleasure to read."""
        options = [
            *self.archive,
            "-Xms64m",
            f"-Xmx{self.heap}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ]
        options += [
            "-Djava.net.preferIPv4Stack=true",
            f"-Dlog4j.configuration=file:{self.folder}/log4j.properties",
        ]
        with open(os.path.join(self.of(node), f"{log}.args"), "w") as f:
            f.write("\n".join([*options, "-cp", self.jars + "/*", *args]) + "\n")
        with open(os.path.join(self.of(node), log), "a") as out:
            return subprocess.Popen(
                ["java", f"@{log}.args"], cwd=self.of(node), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def begin(self, node):
        self.process[node] = self.java(node, "log", "kafka.Kafka", "server.properties")

    def kill(self, node, how=signal.SIGKILL):
        p = self.process[node]
        p.send_signal(how)
        try:
            p.wait(60)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()

    def sees(self, address, node):
        """How many brokers this one knows of; 0: it does not answer."""
        from confluent_kafka.admin import AdminClient

        try:
            one = AdminClient({"bootstrap.servers": address, "log_level": 0, "socket.timeout.ms": 3000})
            found = one.list_topics(timeout=3).brokers
            return len(found) if node in found else 0
        except Exception:
            return 0

    def wait(self, seconds=READY_S):
        """Until every broker sees all that run."""
        until = time.time() + seconds
        running = [i for i in self.nodes() if self.process[i].poll() is None]
        for i in running:
            while self.sees(f"{self.address}:{self.port[i]}", i) < len(running):
                if self.process[i].poll() is not None or time.time() > until:
                    raise RuntimeError(f"broker {i} does not serve; see {self.of(i)}/log")
                time.sleep(0.2)

    def again(self, node):
        self.begin(node)
        self.wait()

    def admin(self):
        from confluent_kafka.admin import AdminClient

        if not self.client:
            self.client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return self.client

    def make(self, topic, partitions=6, **settings):
        from confluent_kafka.admin import NewTopic

        new = NewTopic(topic, partitions, min(self.n, 3), config=settings)
        list(self.admin().create_topics([new]).values())[0].result(60)
        until = time.time() + 30
        while time.time() < until and not all(self.knows(i, topic, partitions) for i in self.nodes()):
            time.sleep(0.1)

    def knows(self, node, topic, partitions):
        """Has this broker heard of all partitions? It hears of a new topic later than the controller."""
        from confluent_kafka.admin import AdminClient

        one = AdminClient({"bootstrap.servers": f"{self.address}:{self.port[node]}", "log_level": 0})
        t = one.list_topics(timeout=10).topics.get(topic)
        return t and len(t.partitions) == partitions and all(p.leader >= 0 for p in t.partitions.values())

    def delete(self, topic):
        list(self.admin().delete_topics([topic]).values())[0].result(60)
        until = time.time() + 30
        while time.time() < until and topic in self.admin().list_topics(timeout=10).topics:
            time.sleep(0.1)

    def add_partitions(self, topic, total):
        from confluent_kafka.admin import NewPartitions

        list(self.admin().create_partitions([NewPartitions(topic, total)]).values())[0].result(60)

    def in_sync(self, topic):
        """Has every partition all its copies?"""
        t = self.admin().list_topics(timeout=10).topics[topic]
        return all(len(p.isrs) == min(self.n, 3) for p in t.partitions.values())

    def wait_in_sync(self, topic, seconds=60):
        until = time.time() + seconds
        while time.time() < until:
            try:
                if self.in_sync(topic):
                    return True
            except Exception:
                pass
            time.sleep(0.2)
        return False

    def messages(self, topic, committed=False):
        """All that the topic has, as (key, value)."""
        import confluent_kafka as ck

        c = ck.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"reader-{uuid.uuid4()}",
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        n = len(self.admin().list_topics(topic, timeout=30).topics[topic].partitions)
        c.assign([ck.TopicPartition(topic, i, ck.OFFSET_BEGINNING) for i in range(n)])
        ends, until = set(), time.time() + 600
        while len(ends) < n and time.time() < until:
            m = c.poll(1)
            if m is not None and not m.error():
                yield m.key(), m.value()
            elif m is not None and m.error().code() == ck.KafkaError._PARTITION_EOF:
                ends.add(m.partition())
        c.close()
        if len(ends) < n:
            raise RuntimeError(f"{topic}: {len(ends)} of {n} partitions were read to their end")

    def end(self):
        for p in self.process.values():
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
            p.wait()
