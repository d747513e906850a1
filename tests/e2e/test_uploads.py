"""Requests that want memory: they wait for it, as long as others are going to give it back."""
import threading
import time
import urllib.parse

import grpc
import harness
import http2
from harness import kv

MIB = 1 << 20
RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE = 8, 10, 14


class Uploads(harness.Case):
    def start_http2(self, *flags):
        return self.start(mode="none", wire="http2", flags=list(flags))

    def halt(self, server, size, sent):
        """Begins a Set of `size` bytes, and sends so many of them."""
        connection = http2.Connection(server.port)
        self.addCleanup(connection.close)
        connection.send(http2.headers(1, http2.block(http2.SERVICE + "Set")) +
                        http2.frame(http2.DATA, 0, 1, http2.message(bytes(sent), length=size)))
        return connection

    def assertEndedWith(self, connection, code, text):
        self.assertEqual(connection.outcome(1), code)
        fields = dict([fields for kind, _, stream, fields in connection.frames
                       if kind == http2.HEADERS and stream == 1][-1])
        self.assertIn(text, urllib.parse.unquote(fields["grpc-message"]))

    def test_a_request_that_stands_still_is_ended(self):
        server = self.start_http2("--reader-timeout", "1")
        connection = self.halt(server, 1000, 500)
        self.assertEndedWith(connection, ABORTED, "sent the rest of its request")

    def test_requests_that_want_more_than_there_is_wait_for_one_another(self):
        server = self.start_http2("--max-wire-memory", "128M")
        value = bytes(40 * MIB)
        deadline = time.monotonic() + harness.PATIENCE

        def upload(index):
            with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = harness.kv_grpc.KeyValueStoreStub(channel)
                while time.monotonic() < deadline:
                    try:
                        stub.Set(kv.SetRequest(key=f"key{index}", value=value), timeout=harness.PATIENCE)
                        return
                    except grpc.RpcError as error:  # it stood still for too long beside the others
                        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                            raise
        threads = [threading.Thread(target=upload, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(server.keys()), [f"key{i}" for i in range(8)])

    def test_a_request_that_stands_still_makes_way_for_others(self):
        server = self.start_http2("--max-wire-memory", "128M")
        halted = [self.halt(server, 60 * MIB, 1000) for _ in range(3)]
        server.stub.Set(kv.SetRequest(key="key", value=bytes(60 * MIB)), timeout=harness.PATIENCE)
        outcomes = [connection.outcome(1) for connection in halted[:1]]
        self.assertEqual(outcomes, [RESOURCE_EXHAUSTED])

    def test_half_a_request_does_not_hold_up_a_stop(self):
        server = self.start_http2("--shutdown-grace-ms", "3600000")
        connection = self.halt(server, 1000, 500)
        connection.round_trip()
        server.process.terminate()
        self.assertEndedWith(connection, UNAVAILABLE, "the server is stopping")
        self.assertEqual(server.wait_exit(), 0, server.log.text())


if __name__ == "__main__":
    harness.main()
