"""mock_broker.py - a Kafka broker for tests that need no Java: librdkafka's own, in this process, by ctypes.
Not a test.

It keeps up to 5 MB of each partition and drops the oldest beyond; consumer groups and committed offsets work.
"""

import ctypes, ctypes.util

PRODUCER = 0


class MockBroker:
    """with MockBroker() as server: ... server is HOST:PORT; topics appear when somebody writes to them."""

    is_real = False

    def __init__(self, partitions=4):
        self.partitions = partitions

    def __enter__(self):
        lib = ctypes.CDLL(ctypes.util.find_library("rdkafka") or "librdkafka.so.1")
        for name, result, arguments in (
            ("rd_kafka_conf_new", ctypes.c_void_p, []),
            (
                "rd_kafka_conf_set",
                ctypes.c_int,
                [ctypes.c_void_p] + 2 * [ctypes.c_char_p] + [ctypes.c_void_p, ctypes.c_size_t],
            ),
            (
                "rd_kafka_new",
                ctypes.c_void_p,
                [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
            ),
            ("rd_kafka_mock_cluster_new", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
            ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [ctypes.c_void_p]),
            (
                "rd_kafka_mock_topic_create",
                ctypes.c_int,
                [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
            ),
            ("rd_kafka_mock_cluster_destroy", None, [ctypes.c_void_p]),
            ("rd_kafka_destroy", None, [ctypes.c_void_p]),
        ):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        why = ctypes.create_string_buffer(512)
        conf = lib.rd_kafka_conf_new()
        lib.rd_kafka_conf_set(
            conf, b"log_level", b"0", None, 0
        )  # it would warn that it has no servers: it is one
        self.lib, self.handle = lib, lib.rd_kafka_new(PRODUCER, conf, why, 512)
        if not self.handle:
            raise RuntimeError(why.value.decode())
        self.cluster = lib.rd_kafka_mock_cluster_new(self.handle, 1)
        self.server = lib.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()
        return self

    def topic(self, name):
        self.lib.rd_kafka_mock_topic_create(self.cluster, name.encode(), self.partitions, 1)

    def send(self, topic, messages):
        """messages: (value, key, headers); value and key are bytes or None, headers a list of (name, bytes).
        All go to partition 0."""
        c, lib = ctypes, self.lib
        for name, result in (
            ("rd_kafka_headers_new", c.c_void_p),
            ("rd_kafka_header_add", c.c_int),
            ("rd_kafka_producev", c.c_int),
            ("rd_kafka_flush", c.c_int),
        ):
            getattr(lib, name).restype = result
        conf, why = lib.rd_kafka_conf_new(), c.create_string_buffer(512)
        lib.rd_kafka_conf_set(
            c.c_void_p(conf), b"bootstrap.servers", self.server.encode(), why, c.c_size_t(512)
        )
        producer = c.c_void_p(lib.rd_kafka_new(PRODUCER, c.c_void_p(conf), why, 512))
        for value, key, headers in messages:
            # pairs of a tag (rd_kafka_vtype_t) and its values: topic, partition, flags (copy), value, key,
            # headers; 0 ends them
            a = [
                c.c_int(1),
                c.c_char_p(topic.encode()),
                c.c_int(3),
                c.c_int32(0),
                c.c_int(7),
                c.c_int(2),
                c.c_int(4),
                c.c_char_p(value),
                c.c_size_t(len(value or b"")),
            ]
            if key is not None:
                a += [c.c_int(5), c.c_char_p(key), c.c_size_t(len(key))]
            if headers:
                h = c.c_void_p(lib.rd_kafka_headers_new(c.c_size_t(len(headers))))
                for name, v in headers:
                    lib.rd_kafka_header_add(
                        h, c.c_char_p(name.encode()), c.c_ssize_t(-1), c.c_char_p(v), c.c_ssize_t(len(v))
                    )
                a += [c.c_int(10), h]
            if lib.rd_kafka_producev(producer, *a, c.c_int(0)):
                raise RuntimeError("not sent")
            lib.rd_kafka_flush(producer, 10000)  # one after the other: their order is the test's
        lib.rd_kafka_destroy(producer)

    def __exit__(self, *_):
        self.lib.rd_kafka_mock_cluster_destroy(self.cluster)
        self.lib.rd_kafka_destroy(self.handle)
