"""mock_broker.py - a Kafka broker for tests that need no Java: librdkafka's own, in this process, by ctypes. Not a test.

It keeps up to 5 MB of each partition and drops the oldest beyond; consumer groups and committed offsets work."""
import ctypes, ctypes.util

PRODUCER = 0


class MockBroker:
    """with MockBroker() as server: ... server is HOST:PORT; topics appear when somebody writes to them."""

    def __init__(self, partitions=4):
        self.partitions = partitions

    def __enter__(self):
        lib = ctypes.CDLL(ctypes.util.find_library("rdkafka") or "librdkafka.so.1")
        for name, result, arguments in (("rd_kafka_conf_new", ctypes.c_void_p, []),
                                        ("rd_kafka_conf_set", ctypes.c_int, [ctypes.c_void_p] + 2 * [ctypes.c_char_p] + [ctypes.c_void_p, ctypes.c_size_t]),
                                        ("rd_kafka_new", ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
                                        ("rd_kafka_mock_cluster_new", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
                                        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [ctypes.c_void_p]),
                                        ("rd_kafka_mock_topic_create", ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
                                        ("rd_kafka_mock_cluster_destroy", None, [ctypes.c_void_p]),
                                        ("rd_kafka_destroy", None, [ctypes.c_void_p])):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        why = ctypes.create_string_buffer(512)
        conf = lib.rd_kafka_conf_new()
        lib.rd_kafka_conf_set(conf, b"log_level", b"0", None, 0)  # it would warn that it has no servers: it is one
        self.lib, self.handle = lib, lib.rd_kafka_new(PRODUCER, conf, why, 512)
        if not self.handle:
            raise RuntimeError(why.value.decode())
        self.cluster = lib.rd_kafka_mock_cluster_new(self.handle, 1)
        self.server = lib.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()
        return self

    def topic(self, name):
        self.lib.rd_kafka_mock_topic_create(self.cluster, name.encode(), self.partitions, 1)

    def __exit__(self, *_):
        self.lib.rd_kafka_mock_cluster_destroy(self.cluster)
        self.lib.rd_kafka_destroy(self.handle)
