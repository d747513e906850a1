"""kvstore-bench against the real server: it counts what the server has seen. And the servers that
it is compared with: they answer each call with an empty message."""
import concurrent.futures
import csv
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import grpc

import harness
from harness import BIN, PATIENCE, ROOT, data, environment, kv, kv_grpc

sys.path.insert(0, os.path.join(ROOT, "bench"))
from reporting.http2 import (  # noqa: E402  pylint: disable=wrong-import-position
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, Client, frame)

BENCH = os.path.join(BIN, "kvstore-bench")
EMPTY = os.path.join(BIN, "kvstore-empty-server")


WIRES = ("grpc", "http2")

POST = bytes([0x83, 0x84, 0x86]) + b"\1\1a"  # :method POST, :path /, :scheme http, :authority a


def send_requests_until_blocked(client):
    """Reads nothing; returns how many requests the connection took as a whole."""
    client.setblocking(False)
    requests, left = 0, b""
    try:
        while True:
            left = left or frame(HEADERS, POST, END_STREAM | END_HEADERS, 2 * requests + 1)
            left = left[client.send(left):]
            requests += not left
    except BlockingIOError:
        return requests


def count_ended_streams(client):
    """Reads frames up to the end of the connection."""
    with client.makefile("rb") as file:
        ended = 0
        while head := file.read(9):
            length = int.from_bytes(head[:3], "big")
            file.read(length)
            ended += head[3] == HEADERS and head[4] & END_STREAM
        return ended


def connect(address):
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


class Bench(harness.Case):
    def bench(self, *flags, code=0, address=None):
        """Runs it; returns the completed process."""
        done = subprocess.run(
            [BENCH, "-a", address or self.server.address, "-c", "2", "-s", "4", *flags],
            capture_output=True, text=True, timeout=PATIENCE, env=environment())
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def json(self, *flags, code=0):
        return json.loads(self.bench("--json", *flags, code=code).stdout)

    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def test_every_set_counted_was_seen_by_the_server(self):
        result = self.json("--requests", "500", "--mix", "set=1", "--keys", "50")
        self.assertEqual(result["calls"], 500)
        self.assertEqual(result["operations"], 500)
        self.assertEqual(result["errors"], {})
        status = self.server.status()
        self.assertEqual(status.version, 500)
        self.assertLessEqual(status.keys, 50)
        latency = result["latency_us"]
        self.assertLess(0, latency["p50"])
        self.assertLessEqual(latency["p50"], latency["p99"])
        self.assertLessEqual(latency["p99"], latency["max"])

    def test_a_fill_sets_every_key_once_with_values_of_the_size(self):
        self.bench("--fill", "--requests", "0", "--keys", "3210", "--value-size", "10-20")
        status = self.server.status()
        self.assertEqual((status.keys, status.version), (3210, 3210))
        entries = self.server.scan()
        self.assertEqual([key for key, _ in entries], ["key:%012d" % i for i in range(3210)])
        sizes = {len(value) for _, value in entries}
        self.assertEqual(sizes, set(range(10, 21)))

    def test_a_batch_counts_its_operations_and_what_was_not_found(self):
        result = self.json("--requests", "20", "--batch", "30", "--mix", "get=1", "--keys", "50")
        self.assertEqual((result["calls"], result["operations"]), (20, 600))
        self.assertEqual(result["not_found"], 600)
        result = self.json("--requests", "20", "--batch", "30", "--mix", "set=1", "--keys", "50")
        self.assertEqual(self.server.status().version, 600)
        result = self.json("--fill", "--requests", "100", "--mix", "get=1", "--keys", "50")
        self.assertEqual((result["operations"], result["not_found"]), (100, 0))

    def test_dels_empty_the_store(self):
        result = self.json("--fill", "--requests", "60", "--keys", "40", "--mix", "del=1",
                           "--distribution", "sequential")
        self.assertEqual((result["operations"], result["not_found"]), (60, 20))
        self.assertEqual(self.server.status().keys, 0)

    def test_counters_are_keys_of_their_own(self):
        result = self.json("--fill", "--requests", "60", "--keys", "1", "--mix", "incr=1,set=1")
        self.assertEqual((result["errors"], self.server.status().version), ({}, 61))
        entries = dict(self.server.scan())
        self.assertEqual(list(entries), ["key:000000000000", "num:000000000000"])
        self.assertLess(0, int(entries["num:000000000000"]))

    def test_a_transaction_counts_its_operations(self):
        result = self.json("--requests", "20", "--transaction", "30", "--mix", "set=1")
        self.assertEqual((result["calls"], result["operations"]), (20, 600))
        self.assertEqual(self.server.status().version, 600)
        result = self.json("--requests", "20", "--transaction", "30", "--mix", "get=1,del=1",
                           "--keys", "1000000")
        self.assertEqual(result["operations"], 600)
        self.assertLess(0, result["not_found"])

    def test_a_lone_cas_never_meets_a_conflict_and_many_on_one_key_do(self):
        flags = ("--mix", "cas=1", "--requests", "300")
        alone = self.json(*flags, "-c", "1", "-s", "1", "--keys", "10")
        self.assertEqual((alone["conflicts"], alone["errors"]), (0, {}))
        # All keys were missing: the first call of each was a get that found nothing.
        self.assertEqual(alone["not_found"], 10)
        self.assertEqual(self.server.status().version, 290)
        # Each call does one thing: it sees the version, or sets, or fails to.
        together = self.json(*flags, "-c", "4", "-s", "16", "--keys", "1")
        self.assertLess(0, together["conflicts"])
        self.assertEqual((together["operations"], together["errors"]), (300, {}))
        changed = self.server.status().version - 290
        self.assertLessEqual(changed, 300 - together["conflicts"])
        self.assertLess(0, changed)

    def test_what_is_set_with_a_ttl_expires(self):
        self.bench("--fill", "--requests", "0", "--keys", "1000", "--ttl", "0.001-0.002")
        give_up = time.monotonic() + PATIENCE
        while self.server.status().keys:
            self.assertLess(time.monotonic(), give_up)
            time.sleep(0.01)
        self.bench("--fill", "--requests", "0", "--keys", "1000", "--ttl", "1e9")
        self.assertEqual(self.server.status().keys, 1000)
        for ttl, low, high in (("1h30m", 5400, 5400), ("10m-1h", 600, 3600), ("90", 90, 90)):
            self.bench("--fill", "--requests", "0", "--keys", "1", "--ttl", ttl)
            (key,) = (key for key in self.server.keys() if key.endswith("0" * 12))
            entry = self.server.keyvalue.Get(harness.data.GetRequest(key=key)).entry
            self.assertTrue(low - PATIENCE < entry.expire_time_ms / 1000 - time.time() <= high, ttl)
        for ttl in ("10x", "0", "1h-1m", "5s-", "", "1h-2h-3h", "2e10"):
            self.assertIn("is not of the form DURATION", self.bench("--ttl", ttl, code=2).stderr)

    def test_scans_in_a_mix_begin_at_a_key_and_end_at_their_limit(self):
        result = self.json("--fill", "--requests", "20", "--keys", "1000", "--mix", "scan=1",
                           "--distribution", "sequential", "--scan-limit", "300")
        self.assertEqual((result["calls"], result["operations"]), (20, 20 * 300))
        result = self.json("--requests", "20", "--keys", "1000", "--mix", "scan=1", "--reverse",
                           "--distribution", "sequential", "--scan-limit", "300")
        # Backwards from key i there are i + 1.
        self.assertEqual(result["operations"], sum(range(1, 21)))
        result = self.json("--requests", "5", "--keys", "1000", "--scan", "--reverse")
        self.assertEqual(result["operations"], 5 * 1000)

    def test_watchers_see_every_change_of_the_run_and_tell_its_delay(self):
        result = self.json("--requests", "500", "--mix", "set=1", "--keys", "50", "--watchers", "3")
        self.assertEqual((result["watchers"], result["events"], result["errors"]), (3, 1500, {}))
        # Each event has a delay: the answer to its write has come, too.
        self.assertEqual(result["delays"], 1500)
        self.assertLess(0, result["delay_us"]["max"])
        for flag in ("--batch", "--transaction"):
            result = self.json("--requests", "20", flag, "30", "--mix", "set=1", "--watchers", "1")
            self.assertEqual((result["events"], result["delays"]), (600, 600))
        self.assertIn("events", self.bench("--requests", "10", "--watchers", "1").stdout)

    def test_watchers_of_some_keys_see_those_alone(self):
        flags = ("--requests", "100", "--mix", "set=1", "--keys", "100", "--distribution",
                 "sequential")
        # Ten of ten keys each see all between them; then two have the same ten; more than one
        # connection carries them.
        for watchers, events in (("10", 100), ("1", 10), ("11", 110), ("1100", 11000)):
            with self.subTest(watchers):
                result = self.json(*flags, "--watchers", watchers, "--watch-keys", "10")
                self.assertEqual((result["events"], result["errors"]), (events, {}))

    def test_a_watch_that_ends_is_an_error(self):
        measuring = threading.Event()

        def set_key(_, context):
            del context
            measuring.set()
            return data.SetResponse(version=5)

        def watch(_, context):
            yield data.WatchResponse(created=data.WatchResponse.Created())
            measuring.wait(PATIENCE)  # one that ends before would be no part of the measurement
            yield data.WatchResponse(ended=data.WatchResponse.Ended(code=8, message="too slow"))

        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "kvstore.v1.KeyValueService", {
                "Set": grpc.unary_unary_rpc_method_handler(
                    set_key, data.SetRequest.FromString, data.SetResponse.SerializeToString),
                "Watch": grpc.stream_stream_rpc_method_handler(
                    watch, data.WatchRequest.FromString, data.WatchResponse.SerializeToString)})])
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        self.addCleanup(server.stop, None)
        result = json.loads(self.bench("--requests", "5", "--mix", "set=1", "--watchers", "1",
                                       "--json", address=address, code=1).stdout)
        self.assertEqual(result["operations"], 5)
        self.assertIn("a watch has ended: too slow",
                      result["errors"]["RESOURCE_EXHAUSTED"]["first"])

    def test_without_an_answer_to_a_watch_nothing_is_measured(self):
        users = os.path.join(self.folder, "users")
        with open(users, "w", encoding="utf-8") as file:
            file.write(f"bench write:key: uid={os.getuid()}\n")
        self.start("guarded", mode="none", listen=f"unix:{self.folder}/socket",
                   flags=("--users", users))
        done = self.bench("--requests", "5", "--mix", "set=1", "--watchers", "1", code=1,
                          address=f"unix:{self.folder}/socket")
        self.assertIn("a watch has ended: ", done.stderr)
        self.assertIn("bench", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_the_frozen_service_can_be_measured_as_another_server(self):
        flags = ("--set-method", "/kvstore.KeyValueStore/Set", "--get-method",
                 "/kvstore.KeyValueStore/Get", "--requests", "100", "--keys", "1000")
        result = self.json(*flags, "--mix", "get=1")
        self.assertEqual((result["operations"], result["not_found"]), (100, 100))
        result = self.json("--fill", *flags)
        self.assertEqual((result["operations"], result["not_found"]), (100, 0))

    def test_a_scan_counts_the_entries(self):
        for flag in ("--scan", "--scan=keys"):
            with self.subTest(flag):
                result = self.json("--fill", "--requests", "5", "--keys", "2500", flag)
                self.assertEqual((result["calls"], result["operations"]), (5, 5 * 2500))

    def test_an_open_loop_sends_what_its_rate_says(self):
        result = self.json("--requests", "100", "--rate", "1000", "--mix", "set=1")
        self.assertEqual(result["calls"], 100)
        self.assertGreaterEqual(result["seconds"], 0.098)
        self.assertEqual(self.server.status().version, 100)

    def test_in_an_open_loop_calls_that_had_to_wait_count_from_when_they_were_due(self):
        # Far more than one call at a time can achieve: the last is due long before it can be sent.
        result = self.json("-c", "1", "-s", "1", "--rate", "10000000", "--requests", "2000")
        last_due = 2000 / 10000000
        self.assertGreater(result["seconds"], last_due)
        self.assertGreaterEqual(result["latency_us"]["max"] / 1e6,
                                0.9 * (result["seconds"] - last_due))

    def test_the_rows_of_the_csv_add_up_to_the_result(self):
        path = os.path.join(self.folder, "rows.csv")
        result = self.json("--duration", "0.5", "--interval", "0.1", "--csv", path)
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertGreaterEqual(len(rows), 5)
        self.assertEqual(sum(int(row["calls"]) for row in rows), result["calls"])
        for before, after in zip(rows, rows[1:]):
            self.assertEqual(before["to_s"], after["from_s"])

    def test_the_warm_up_does_not_count(self):
        result = self.json("--requests", "100", "--warm-up", "0.2", "--mix", "set=1")
        self.assertEqual(result["calls"], 100)
        self.assertGreater(self.server.status().version, 100)

    def test_errors_are_counted_by_status_and_end_with_1(self):
        small = self.start("small", mode="none", flags=("--max-value-size", "10"))
        flags = ("--requests", "8", "--mix", "set=1", "--value-size", "11", "--json")
        done = self.bench(*flags, address=small.address, code=1)
        error = json.loads(done.stdout)["errors"]["INVALID_ARGUMENT"]
        self.assertEqual(error["count"], 8)
        self.assertIn("11", error["first"])
        done = self.bench("--requests", "8", "--mix", "set=1", "--value-size", "11", code=1,
                          address=small.address)
        self.assertIn("INVALID_ARGUMENT 8", done.stdout)
        self.bench("--fill", "--requests", "0", "--value-size", "11", code=1,
                   address=small.address)

    def test_the_failed_operations_of_a_batch_are_counted_each(self):
        full = self.start("full", mode="none", flags=("--max-memory", "100"))
        done = self.bench("--requests", "8", "--batch", "5", "--mix", "set=1", "--json", code=1,
                          address=full.address)
        self.assertEqual(json.loads(done.stdout)["errors"]["RESOURCE_EXHAUSTED"]["count"], 40)

    def test_without_a_server_it_says_so(self):
        done = self.bench(code=1, address=f"unix:{self.folder}/nobody")
        self.assertIn("cannot connect to", done.stderr)
        for address, text in (("http://a:1", "has a scheme"), ("a:99999", "from 1 to 65535"),
                              ("a:1,b:2", "names several servers")):
            self.assertIn(text, self.bench(code=2, address=address).stderr)

    def test_wrong_use_is_refused_with_2(self):
        for flags in (["--mix", "set"], ["--mix", "set=0"], ["--keys", "0"], ["--rate", "-1"],
                      ["--distribution", "even"], ["--value-size", "9-3"], ["--batch", "x"],
                      ["--batch", "100001"], ["--transaction", "10001"], ["--ttl", "0"],
                      ["--ttl", "5-1"], ["--ttl", "1x"], ["--mix", "cas"], ["--mix", "ca=1"],
                      ["--batch", "5", "--mix", "cas=1"], ["--transaction", "5", "--scan"],
                      ["--mix", "cas=1", "--keys", "100000001"], ["--watch-keys", "5"],
                      ["--watchers", "0"],
                      ["--requests", "0"], ["--requests"], ["--nonsense"], ["extra"],
                      ["--streams", "100001"], ["-a", "localhost"]):
            with self.subTest(flags):
                self.assertIn("error: ", self.bench(*flags, code=2).stderr)

    def test_an_interrupt_ends_it_with_what_there_is(self):
        path = os.path.join(self.folder, "rows.csv")
        bench = subprocess.Popen(
            [BENCH, "-a", self.server.address, "--duration", "3600", "--interval", "0.05", "--csv",
             path, "--json"], stdout=subprocess.PIPE, text=True, env=environment())
        while self.server.status().version == 0:
            self.assertIsNone(bench.poll())
        bench.send_signal(signal.SIGINT)
        result = json.loads(bench.communicate(timeout=PATIENCE)[0])
        self.assertEqual(bench.returncode, 0)
        self.assertGreater(result["calls"], 0)
        self.assertLess(result["seconds"], PATIENCE)


class EmptyServer(harness.Case):
    """What a benchmark takes as the ceiling must be what clients would call a server."""

    def run_empty(self, *arguments):
        """Runs it; returns the process and its address."""
        server = subprocess.Popen([EMPTY, *arguments], stdout=subprocess.PIPE, text=True,
                                  env=environment())
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server, f"127.0.0.1:{int(server.stdout.readline())}"

    def test_it_answers_the_calls_of_a_benchmark_on_each_wire(self):
        for wire in WIRES:
            with self.subTest(wire):
                server, address = self.run_empty("--wire", wire, "127.0.0.1:0", "2")
                done = subprocess.run(
                    [BENCH, "-a", address, "-c", "5", "-s", "16", "--requests", "5000", "--json"],
                    capture_output=True, text=True, timeout=PATIENCE, env=environment())
                self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
                result = json.loads(done.stdout)
                self.assertEqual((result["calls"], result["errors"]), (5000, {}))
                server.terminate()
                self.assertEqual(server.wait(PATIENCE), 0)

    def test_it_answers_a_grpc_client_with_an_empty_message_on_each_wire(self):
        for wire in WIRES:
            with self.subTest(wire):
                server, address = self.run_empty("--wire", wire)
                with grpc.insecure_channel(address) as channel:
                    stub = kv_grpc.KeyValueStoreStub(channel)
                    # More than a window, so that the client needs to be given more.
                    for size in (1, 300000):
                        reply = stub.Set(kv.SetRequest(key="k", value=b"v" * size),
                                         timeout=PATIENCE)
                        self.assertEqual(reply.ByteSize(), 0)
                    self.assertEqual(stub.Get(kv.GetRequest(key="k"), timeout=PATIENCE),
                                     kv.GetResponse())
                    server.terminate()  # with a connection open
                    self.assertEqual(server.wait(PATIENCE), 0)

    def test_on_http2_it_goes_on_after_clients_that_break_off(self):
        server, address = self.run_empty("--wire", "http2")
        for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", PREFACE[:10], PREFACE + frame(99, b"")[:5]):
            with connect(address) as client:
                client.sendall(sent)
        self.assert_answers(address)
        server.terminate()
        self.assertEqual(server.wait(PATIENCE), 0)

    def test_on_http2_a_client_that_does_not_read_holds_up_nobody_and_gets_all_once_it_does(self):
        server, address = self.run_empty("--wire", "http2", "127.0.0.1:0", "1")
        with connect(address) as client:
            client.sendall(PREFACE + frame(SETTINGS, b"") +
                           frame(WINDOW_UPDATE, struct.pack(">I", 1 << 30)))
            requests = send_requests_until_blocked(client)
            self.assert_answers(address)
            client.settimeout(PATIENCE)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(count_ended_streams(client), requests)
        server.terminate()
        self.assertEqual(server.wait(PATIENCE), 0)

    def assert_answers(self, address):
        with grpc.insecure_channel(address) as channel:
            kv_grpc.KeyValueStoreStub(channel).Get(kv.GetRequest(key="k"), timeout=PATIENCE)

    def test_the_client_of_the_report_gets_its_answer_on_each_wire(self):
        for wire in WIRES:
            with self.subTest(wire):
                _, address = self.run_empty("--wire", wire)
                client = Client(int(address.rsplit(":", 1)[1]), wide=True)
                self.addCleanup(client.close)
                client.ask("k", streams=(1, 3))
                client.settle()

    def test_wrong_use_is_refused_with_2(self):
        for arguments in (["--wire", "http3"], ["--nonsense"], ["127.0.0.1:0", "0"],
                          ["127.0.0.1:0", "65"], ["127.0.0.1:0", "1", "extra"]):
            with self.subTest(arguments):
                done = subprocess.run([EMPTY, *arguments], capture_output=True, text=True,
                                      timeout=PATIENCE, env=environment())
                self.assertEqual(done.returncode, 2)
                self.assertIn("usage: ", done.stderr)

    def test_an_address_that_is_taken_ends_it_with_1_on_each_wire(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for wire in WIRES:
                with self.subTest(wire):
                    done = subprocess.run([EMPTY, "--wire", wire, address], capture_output=True,
                                          text=True, timeout=PATIENCE, env=environment())
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(address, done.stderr)


if __name__ == "__main__":
    harness.main()
