"""What connections may hold: a fair share each, for as long as they read."""
import concurrent.futures
import gzip
import threading
import time
import urllib.parse

import grpc
import harness
import http2
import reasons
from harness import admin, data, kv, setting

MIB = 1 << 20
ABORTED, RESOURCE_EXHAUSTED, INTERNAL = 10, 8, 13



def status_of(connection, stream=1):
    """The status that a call ended with, and its text."""
    answer = connection.wait(lambda kind, flags, number, _: number == stream and
                             kind == http2.HEADERS and flags & http2.END_STREAM)
    if not answer:
        raise AssertionError("the connection was closed")
    trailers = dict(answer[3])
    code, text = int(trailers["grpc-status"]), urllib.parse.unquote(trailers.get("grpc-message", ""))
    # The library of engine grpc sends none with a call that is ended from outside.
    if harness.WIRE != "grpc":
        assert reasons.reason_in(trailers) == reason_for(code, text), (trailers, text)
    return code, text


def reason_for(code, text):
    if code == ABORTED:
        return "CLIENT_TOO_SLOW"
    if code != RESOURCE_EXHAUSTED:
        return None
    return "REQUEST_TOO_LARGE" if "max-message-size" in text else "WIRE_MEMORY_FULL"


def get(key):
    return http2.message(kv.GetRequest(key=key).SerializeToString())


class MemoryTest(harness.Case):
    def fill(self, server, count, size, letter=b"v"):
        server.fill((f"key{i:06}", letter * size) for i in range(count))

    def connect(self, server, *first, **keywords):
        connection = http2.Connection(server.port, *first, **keywords)
        self.addCleanup(connection.close)
        return connection

    def reads_nothing(self, server):
        return self.connect(server, http2.settings((http2.INITIAL_WINDOW, 0)))

    # ---- Readers that stand still ----

    def test_a_scan_that_nobody_reads_is_ended_and_can_be_continued(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        self.fill(server, 1000, 2000)
        connection = self.reads_nothing(server)
        connection.send(http2.call(1, http2.KEYVALUE + "Scan", http2.message(b"")))
        code, text = status_of(connection)
        self.assertEqual(code, ABORTED, text)
        self.assertIn("reader-timeout", text)
        self.assertIn('continue with range.start = "key000000"', text)

    def test_the_key_to_go_on_with_is_the_first_that_did_not_arrive(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        self.fill(server, 1000, 2000)
        connection = self.connect(server, http2.settings((http2.INITIAL_WINDOW, 600000)),
                                  keeps_data=True)
        connection.send(http2.window_update(0, 1 << 30) +
                        http2.call(1, http2.KEYVALUE + "Scan", http2.message(b"")))
        code, text = status_of(connection)
        self.assertEqual(code, ABORTED, text)
        start = text.split('continue with range.start = "', 1)[1].split('"', 1)[0]
        arrived, received = [], bytes(connection.data[1])
        while len(received) >= 5 and len(received) >= 5 + int.from_bytes(received[1:5], "big"):
            size = int.from_bytes(received[1:5], "big")
            part = data.ScanResponse.FromString(received[5:5 + size])
            arrived += [entry.key for entry in part.entries]
            received = received[5 + size:]
        self.assertTrue(arrived)
        rest = [key for key, _ in server.scan(start=start)]
        self.assertEqual(arrived + rest, [f"key{i:06}" for i in range(1000)])

    def test_a_reply_that_nobody_reads_is_ended(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        server.set("large", bytes(MIB))
        server.set("small", bytes(100))
        connection = self.reads_nothing(server)
        for stream, key in ((1, "large"), (3, "small")):
            connection.send(http2.call(stream, "Get", get(key)))
        for stream in (1, 3):
            code, text = status_of(connection, stream)
            self.assertEqual(code, ABORTED, text)
            self.assertIn("1 s", text)
            self.assertIn("reader-timeout", text)

    def test_where_nobody_reads_that_a_call_took_effect_its_status_does_not_deny_it(self):
        server = self.start(mode="aof", flags=["--reader-timeout", "1"])
        connection = self.reads_nothing(server)
        for stream, name, request in (
                (1, "Set", kv.SetRequest(key="a", value=b"v")), (3, "Del", kv.DelRequest(key="a")),
                (5, http2.ADMIN + "Save", admin.SaveRequest()),
                (7, http2.KEYVALUE + "Batch", data.BatchRequest(operations=[setting("a", b"v")]))):
            connection.send(http2.call(stream, name, http2.message(request.SerializeToString())))
        for stream in (1, 3, 5, 7):
            code, text = status_of(connection, stream)
            self.assertEqual(code, INTERNAL, text)
            self.assertIn("has taken effect", text)

    def test_a_reader_that_is_slow_but_reads_is_not_ended(self):
        server = self.start(mode="none", flags=["--reader-timeout", "3"])
        size = 6 * MIB
        server.set("large", bytes(size))
        connection = self.connect(server, keeps_data=True)
        connection.send(http2.call(1, "Get", get("large")))
        taken = 0
        while len(connection.data[1]) < size and not any(
                kind == http2.HEADERS and flags & http2.END_STREAM
                for kind, flags, *_ in connection.frames):
            # Waits on purpose, in total longer than a reader may stall.
            time.sleep(0.1)
            connection.wait(lambda *_: True)
            connection._receive()
            arrived = len(connection.data[1])
            if arrived > taken:
                connection.send(http2.window_update(0, 160000) + http2.window_update(1, 160000))
                taken = arrived
        self.assertEqual(status_of(connection)[0], 0)

    # ---- Shares ----

    def test_one_connection_leaves_memory_for_all_others(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "64M", "--max-message-size", "16M", "--max-value-size", "8M",
            "--reader-timeout", "3600"])
        server.set("large", bytes(8 * MIB - 100))
        server.set("middle", bytes(100000))
        self.fill(server, 1000, 500)
        hog = self.reads_nothing(server)
        streams = range(1, 41, 2)
        hog.send(b"".join(http2.call(stream, "Get", get("large")) for stream in streams))
        refused = hog.wait(lambda kind, flags, *_: kind == http2.HEADERS and
                           flags & http2.END_STREAM)
        code, text = status_of(hog, refused[2])
        self.assertEqual(code, RESOURCE_EXHAUSTED)
        self.assertIn("max-wire-memory", text)
        for _ in range(10):
            self.assertEqual(len(server.get("middle")), 100000)
            self.assertEqual(len(server.get("large")), 8 * MIB - 100)
            self.assertEqual(len(server.scan(prefix="key")), 1000)
            self.assertEqual(len(server.keys()), 1002)

    def test_small_replies_count_too(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "16M", "--max-message-size", "8M", "--max-value-size", "4M",
            "--reader-timeout", "3600"])
        server.set("small", bytes(60000))
        hog = self.reads_nothing(server)
        hog.send(b"".join(http2.call(stream, "Get", get("small"))
                          for stream in range(1, 301, 2)))
        code, text = 0, ""
        while code != RESOURCE_EXHAUSTED:
            ended = hog.wait(lambda kind, flags, *_: kind == http2.HEADERS and
                             flags & http2.END_STREAM)
            code, text = status_of(hog, ended[2])
        self.assertIn("max-wire-memory", text)
        self.assertEqual(len(server.get("small")), 60000)

    def test_a_call_that_was_cancelled_before_holds_nothing(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "4M", "--max-message-size", "4M", "--max-value-size", "3M",
            "--workers", "1"])
        server.set("large", bytes(3 * MIB))
        window = 1 << 30
        connection = self.connect(server, http2.settings((http2.INITIAL_WINDOW, window)) +
                                  http2.window_update(0, window))
        watch = http2.headers(1, http2.block("/grpc.health.v1.Health/Watch")) + http2.frame(
            http2.DATA, http2.END_STREAM, 1, http2.message(b""))
        connection.send(watch)
        connection.wait(lambda kind, _, number, __: kind == http2.HEADERS and number == 1)
        # At once: only a call that is alone may have a reply of that size.
        connection.send(http2.reset(1) + http2.call(3, "Get", get("large")))
        self.assertEqual(status_of(connection, 3), (0, ""))

    def test_who_holds_the_most_is_ended_first_when_memory_is_short(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "16M", "--max-message-size", "8M", "--max-value-size", "4M",
            "--reader-timeout", "3600", "--workers", "1"])
        server.set("large", bytes(2 * MIB))
        worst, *others = [self.reads_nothing(server) for _ in range(4)]
        worst.send(b"".join(http2.call(stream, "Get", get("large")) for stream in (1, 3, 5)))
        for each in (1, 3, 5):  # a reply exists once its headers have arrived
            worst.wait(lambda kind, _, number, __: kind == http2.HEADERS and number == each)
        for other in others:
            other.send(http2.call(1, "Get", get("large")))
        for stream in (1, 3, 5):
            code, text = status_of(worst, stream)
            self.assertEqual(code, RESOURCE_EXHAUSTED)
            self.assertIn("max-wire-memory", text)
        for other in others:
            other.send(http2.window_update(0, 1 << 30) + http2.window_update(1, 1 << 30))
            self.assertEqual(status_of(other)[0], 0)

    # ---- Large requests ----

    def test_compressed_requests_wait_for_memory_to_unpack_them(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "64M", "--max-message-size", "20M", "--max-value-size", "16M"])
        packed = gzip.compress(kv.SetRequest(key="k", value=bytes(14 * MIB)).SerializeToString())
        connections = [self.connect(server) for _ in range(12)]
        for connection in connections:
            connection.send(http2.headers(1, http2.block(
                http2.SERVICE + "Set", extra=[("grpc-encoding", "gzip")])) +
                http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(packed, 1)))
        for connection in connections:
            self.assertEqual(status_of(connection), (0, ""))
        self.assertEqual(len(server.get("k")), 14 * MIB)

    def test_a_request_that_unpacks_to_more_than_there_is_says_so(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "12M", "--max-message-size", "12M", "--max-value-size", "10M",
            "--reader-timeout", "3600", "--workers", "1"])
        # Below what is short, so that nobody is ended; and too much for the first piece unpacked.
        hogs = [self.reads_nothing(server) for _ in range(3)]
        server.set("large", bytes(29 * MIB // 10))
        packed = gzip.compress(kv.SetRequest(key="k", value=bytes(8 * MIB)).SerializeToString())
        for hog in hogs:
            hog.send(http2.call(1, "Get", get("large")))
            hog.wait(lambda kind, *_: kind == http2.HEADERS)
        connection = self.connect(server)
        connection.send(http2.headers(1, http2.block(
            http2.SERVICE + "Set", extra=[("grpc-encoding", "gzip")])) +
            http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(packed, 1)))
        code, text = status_of(connection)
        self.assertEqual(code, RESOURCE_EXHAUSTED)
        self.assertIn("max-wire-memory", text)

    def test_a_streams_request_unpacks_to_a_mebibyte_at_most(self):
        server = self.start(mode="none")
        packed = gzip.compress(
            data.ScanRequest(range=data.KeyRange(prefix="x" * 2 * MIB)).SerializeToString())
        connection = self.connect(server)
        connection.send(http2.headers(1, http2.block(
            http2.KEYVALUE + "Scan", extra=[("grpc-encoding", "gzip")])) +
            http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(packed, 1)))
        code, text = status_of(connection)
        self.assertEqual(code, RESOURCE_EXHAUSTED)
        self.assertIn("decompresses to more than 1048576 bytes", text)

    def test_each_request_of_a_stream_is_let_go_of_before_the_next(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "8M", "--max-message-size", "4M", "--max-value-size", "2M"])
        other = self.reads_nothing(server)  # a single call could have all the memory
        server.set("large", bytes(MIB))
        other.send(http2.call(1, "Get", get("large")))
        other.wait(lambda kind, *_: kind == http2.HEADERS)
        count = 300
        requests = (harness.reflection.ServerReflectionRequest(list_services="x" * 3000)
                    for _ in range(count))
        answers = harness.reflection_grpc.ServerReflectionStub(
            server.connect()).ServerReflectionInfo(
                requests, timeout=harness.PATIENCE, compression=grpc.Compression.Gzip)
        self.assertEqual(sum(1 for _ in answers), count)

    def test_large_batches_wait_for_their_turn_and_small_writes_do_not(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "128M", "--max-message-size", "20M", "--max-value-size", "16M"])
        request = data.BatchRequest(operations=[setting(f"key{i}", b"v") for i in range(50000)])
        stubs = [harness.data_grpc.KeyValueServiceStub(server.connect()) for _ in range(2)]
        ended = threading.Event()

        def write_until_ended(stub):
            while True:
                reply = stub.Batch(request, timeout=harness.PATIENCE)
                self.assertEqual(len(reply.results), 50000)
                if ended.is_set():
                    return
        with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
            writers = [pool.submit(write_until_ended, stub) for stub in stubs * 4]
            try:
                for _ in range(20):
                    server.set("small", b"v")
            finally:
                ended.set()
            for writer in writers:
                writer.result()
        self.assertEqual(len(server.keys()), 50001)

    def test_a_batch_that_fails_for_lack_of_memory_has_changed_nothing(self):
        """Others hold all shared memory, so a batch's reply does not fit: too late to refuse the
        batch."""
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "16M", "--max-message-size", "8M", "--max-value-size", "4M",
            "--reader-timeout", "3600"])
        self.fill(server, 1, 100000)
        for _ in range(8):
            hoarder = self.reads_nothing(server)
            for stream in range(1, 200, 2):
                hoarder.send(http2.call(stream, "Get", get("key000000")))
            hoarder.wait(lambda kind, flags, *_: kind == http2.HEADERS and
                         flags & http2.END_STREAM)
        stub = harness.data_grpc.KeyValueServiceStub(server.connect())
        scan = stub.Scan(data.ScanRequest(), timeout=harness.PATIENCE)  # not read: holds memory
        self.addCleanup(scan.cancel)
        next(scan)
        committed = 0
        for size in range(2000, 40001, 2000):
            try:
                stub.Batch(data.BatchRequest(operations=[
                    setting(f"b{size}-{i}", b"v") for i in range(size)]), timeout=harness.PATIENCE)
                committed += size
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertEqual(server.admin.GetStatus(admin.GetStatusRequest()).keys, committed + 1)
        self.assertGreater(committed, 0)

    def test_a_batch_that_fails_midway_says_which_operations_were_done(self):
        server = self.start(mode="faulty", options=["write=no_space", "healthy_writes=1"],
                            plugins=harness.BAD_PLUGINS)
        results = server.batch(*(setting(f"key{i:06}", b"v") for i in range(10000)))
        self.assertEqual(len(results), 10000)
        kinds = [result.WhichOneof("kind") for result in results]
        done = kinds.count("set")
        self.assertEqual(kinds, ["set"] * done + ["error"] * (10000 - done))
        self.assertTrue(0 < done < 10000, done)
        self.assertEqual(results[-1].error.code, RESOURCE_EXHAUSTED)
        self.assertNotIn("max-memory", results[-1].error.message)
        self.assertEqual(sorted(server.keys()), [f"key{i:06}" for i in range(done)])

    # ---- Old versions ----

    def test_a_scan_whose_version_takes_too_much_is_ended(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "16M", "--max-message-size", "8M", "--max-value-size", "4M",
            "--reader-timeout", "3600"])
        self.fill(server, 2000, 10000)
        connection = self.reads_nothing(server)
        connection.send(http2.call(1, http2.KEYVALUE + "Scan", http2.message(b"")))
        connection.wait(lambda kind, *_: kind == http2.HEADERS)
        self.overwrite_until(server, lambda: self.has_ended(connection))
        code, text = status_of(connection)
        self.assertEqual(code, RESOURCE_EXHAUSTED, text)
        self.assertIn('continue with range.start = "key000000"', text)

    def has_ended(self, connection):
        connection.round_trip()
        return any(kind == http2.HEADERS and flags & http2.END_STREAM
                   for kind, flags, *_ in connection.frames)

    def overwrite_until(self, server, ended):
        """Writes, too, may find no memory until the server looks for who holds it."""
        while not ended():
            try:
                self.fill(server, 2000, 10000, b"w")
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED, error.details())

    def test_a_scan_that_is_read_goes_on_beside_writes(self):
        server = self.start(mode="none", flags=["--reader-timeout", "60"])
        self.fill(server, 2000, 10000)
        ended = threading.Event()

        def overwrite():
            while not ended.is_set():
                self.fill(server, 2000, 10000, b"w")
        writer = threading.Thread(target=overwrite)
        writer.start()
        try:
            for _ in range(10):
                keys = [key for key, _ in server.scan()]
                self.assertEqual(keys, [f"key{i:06}" for i in range(2000)])
        finally:
            ended.set()
            writer.join()

    # ---- Scan's start ----

    def test_a_scan_begins_at_its_start(self):
        server = self.start(mode="none")
        for key in ("a", "b1", "b2", "b3", "c"):
            server.set(key, b"")
        self.assertEqual([key for key, _ in server.scan(start="b2")], ["b2", "b3", "c"])
        self.assertEqual([key for key, _ in server.scan(prefix="b", start="b11")], ["b2", "b3"])
        self.assertEqual([key for key, _ in server.scan(prefix="b", start="a")],
                         ["b1", "b2", "b3"])
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT,
                         lambda: server.scan(prefix="b", start="c"), "no key can be in it")
        self.assertEqual([key for key, _ in server.scan(start="b2", limit=1)], ["b2"])
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT,
                         lambda: server.scan(start="x" * 70000), "start")


if __name__ == "__main__":
    harness.main()
