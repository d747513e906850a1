"""Batches, ranges, administration, health and reflection, and what has moved."""
import concurrent.futures
import gzip
import os
import threading

import grpc
from google.protobuf import descriptor_pb2

import harness
import http2
from harness import (NOT_SERVING, PATIENCE, SERVING, admin, data, deleting, getting, health,
                     health_grpc, kv, reflection, reflection_grpc, reflection_v1alpha,
                     reflection_v1alpha_grpc, setting)
from reasons import reason_of

Code = grpc.StatusCode
MIB = 1 << 20


class Batch(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def lists(self):
        """The two ways to send several operations: each takes them and gives back the results."""
        return [("Batch", self.server.batch),
                ("Transaction", lambda *operations: self.server.transact(*operations).results)]

    def test_each_operation_is_answered_in_order_and_a_get_sees_what_stands_before_it(self):
        for name, run in self.lists():
            with self.subTest(name):
                key = f"k{name}"
                results = run(getting(key), setting(key, b"1"), getting(key), setting(key, b"2"),
                              getting(key), deleting(key), deleting(key), getting(key))
                self.assertEqual([result.WhichOneof("kind") for result in results],
                                 ["get", "set", "get", "set", "get", "delete", "delete", "get"])
                self.assertEqual([results[i].get.entry.value for i in (2, 4)], [b"1", b"2"])
                self.assertEqual([results[i].delete.deleted for i in (5, 6)], [True, False])
                for i in (0, 7):
                    self.assertFalse(results[i].get.HasField("entry"))

    def test_gets_alone_are_a_batch_too_and_nothing_at_all_is_none(self):
        self.server.set("a", b"1")
        results = self.server.batch(getting("a"), getting("b"))
        self.assertEqual([result.get.entry.value for result in results], [b"1", b""])
        self.assertFails(Code.INVALID_ARGUMENT, self.server.batch, "operations: 0 given")

    def test_many_operations_take_effect(self):
        results = self.server.batch(*(setting(f"k{i:05}", b"v" * 100) for i in range(20000)))
        self.assertEqual(len(results), 20000)
        self.assertEqual(self.server.status().keys, 20000)

    def test_one_bad_operation_refuses_the_whole_and_is_named(self):
        for (_, run), place in zip(self.lists(), ("operations", "success")):
            self.assertFails(Code.INVALID_ARGUMENT,
                             lambda: run(setting("a", b"1"), setting("", b"2")),
                             f"{place}[1].set.key", "65536")
            self.assertFails(Code.INVALID_ARGUMENT,
                             lambda: run(setting("a", b"1"), data.Operation()), f"{place}[1]")
        self.assertEqual(self.server.keys(), [])

    def test_the_values_got_by_a_batch_fit_into_one_message_together(self):
        server = self.start(data="small", mode="none", flags=["--max-message-size", "1M",
                                                              "--max-value-size", "512K"])
        for key in "abc":
            server.set(key, key.encode() * 400_000)
        gets = [getting(key) for key in "abc"]
        for operations in (gets, [*gets, setting("d", b"v")]):
            a, b, c = server.batch(*operations)[:3]
            self.assertEqual([len(one.get.entry.value) for one in (a, b)], [400_000, 400_000])
            self.assertEqual(c.error.code, grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
            self.assertEqual(c.error.reason, "ANSWER_TOO_LARGE")
            self.assertIn("too large for one answer", c.error.message)

    def test_readers_see_all_of_a_transaction_or_nothing(self):
        """The values of both keys are always equal, even while they change."""
        stop = threading.Event()

        def look():
            """Every pair that was seen."""
            seen = []
            while not stop.is_set():
                seen.append([value for _, value in self.server.scan(prefix="pair")])
            return seen

        with concurrent.futures.ThreadPoolExecutor() as pool:
            reader = pool.submit(look)
            try:
                for i in range(300):
                    value = str(i).encode()
                    self.server.transact(setting("pair1", value), setting("pair2", value))
            finally:
                stop.set()
        seen = reader.result()
        self.assertEqual([values for values in seen if len(set(values)) > 1], [])
        self.assertGreater(len({value for values in seen for value in values}), 1, "it saw no change")

    def test_a_transaction_above_the_memory_limit_changes_nothing(self):
        small = self.start(data="small", mode="none", flags=["--max-memory", "1000"])
        operations = [setting("a", b"x" * 600), setting("b", b"x" * 600)]
        self.assertFails(Code.RESOURCE_EXHAUSTED, lambda: small.transact(*operations), "1000")
        self.assertEqual(small.keys(), [])
        results = small.batch(*operations)
        self.assertEqual(results[0].WhichOneof("kind"), "set")
        self.assertEqual(results[1].error.code, Code.RESOURCE_EXHAUSTED.value[0])
        self.assertEqual(small.keys(), ["a"])


class Compressed(harness.Case):
    """Clients may compress their requests, whatever the method."""

    def call(self, path, request):
        connection = http2.Connection(self.server.port)
        self.addCleanup(connection.close)
        connection.send(http2.headers(1, http2.block(path, extra=[("grpc-encoding", "gzip")])) +
                        http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(
                            gzip.compress(request.SerializeToString()), 1)))
        return connection.outcome(1)

    def test_every_unary_method_takes_its_request_compressed(self):
        self.server = self.start(mode="snapshot")
        [put] = self.server.batch(setting("k", b"v"))
        wait = data.WaitDurableRequest(version=put.set.version)
        self.assertEqual(self.call(http2.KEYVALUE + "WaitDurable", wait), 0)
        answered = []
        for module in (kv, data, admin):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    if not method.client_streaming and not method.server_streaming:
                        request = getattr(module, method.input_type.name)()
                        outcome = self.call(f"/{service.full_name}/{method.name}", request)
                        self.assertIsInstance(outcome, int, method.full_name)
                        answered += [method.name] if outcome == 0 else []
        self.assertLessEqual({"Keys", "Save", "GetStatus", "ListPlugins"}, set(answered))
        self.assertEqual(self.server.get("k"), b"v")


class LargeValues(harness.Case):
    """They are sent straight from the store."""

    SIZE = MIB

    def ask_without_reading(self, *requests):
        """A connection on which the reply to each (method, request) has begun: only its head has
        arrived."""
        connection = http2.Connection(self.server.port, http2.settings((http2.INITIAL_WINDOW, 0)),
                                      keeps_data=True)
        self.addCleanup(connection.close)
        for i, (method, request) in enumerate(requests):
            stream = 2 * i + 1
            connection.send(http2.call(stream, method,
                                       http2.message(request.SerializeToString())))
            self.assertTrue(connection.wait(lambda kind, _, number, __:
                                            (kind, number) == (http2.HEADERS, stream)))
            self.assertEqual(connection.data[stream], b"")
        return connection

    def read(self, connection, count):
        """The replies to calls 1 to `count`, each of one message."""
        for stream in [0] + list(range(1, 2 * count, 2)):
            connection.send(http2.window_update(stream, 1 << 30))
        for stream in range(1, 2 * count, 2):
            self.assertEqual(connection.outcome(stream), 0)
            yield bytes(connection.data[stream][5:])

    def answers_read_late(self, *requests):
        """The replies to the requests, and the value that they ask for, which is replaced and
        deleted before the replies are read."""
        self.server = self.start(mode="none")
        value = os.urandom(self.SIZE)
        self.server.set("large", value)
        connection = self.ask_without_reading(*requests)
        for i in range(8):
            self.server.set("large", bytes([i]) * self.SIZE)
        self.server.delete("large")
        return value, *self.read(connection, len(requests))

    def test_a_value_on_its_way_stays_as_it_was_read_whatever_becomes_of_its_key(self):
        gets = [getting("none"), getting("large"), getting("large")]
        value, get, batch = self.answers_read_late(("Get", kv.GetRequest(key="large")),
                                                   (http2.KEYVALUE + "Batch",
                                                    data.BatchRequest(operations=gets)))
        self.assertTrue(kv.GetResponse.FromString(get) == kv.GetResponse(value=value, found=True))
        results = data.BatchResponse.FromString(batch).results
        self.assertTrue([result.get.entry.value for result in results] == [b"", value, value])

    def test_so_do_values_of_a_scan(self):
        value, scan = self.answers_read_late((http2.KEYVALUE + "Scan", data.ScanRequest()))
        entries = data.ScanResponse.FromString(scan).entries
        self.assertTrue([(entry.key, entry.value) for entry in entries] == [("large", value)])

    def test_values_of_all_sizes_around_the_limit_come_back_whole(self):
        self.server = self.start(mode="none")
        values = {f"k{size}": os.urandom(size)
                  for size in (65534, 65535, 65536, 65537, 131072, 300001)}
        for key, value in values.items():
            self.server.set(key, value)
        results = self.server.batch(*map(getting, values))
        self.assertEqual([result.get.entry.value for result in results], list(values.values()))
        self.assertEqual(dict(self.server.scan()), values)
        for key, value in values.items():
            self.assertEqual(self.server.get(key), value)

    def test_a_single_reply_may_be_larger_than_the_limit_on_all(self):
        server = self.start(mode="snapshot")
        values = {"large": os.urandom(3 * self.SIZE),
                  **{f"small{i:04}": os.urandom(1024) for i in range(1024)}}
        for key, value in values.items():
            server.set(key, value)
        server.stop()
        limit = str(4 * self.SIZE)  # the size of the values alone
        server = self.start(flags=["--max-value-size", str(3 * self.SIZE),
                                   "--max-message-size", limit, "--max-wire-memory", limit])
        results = server.batch(*map(getting, values))
        self.assertTrue([result.get.entry.value for result in results] == list(values.values()))

    def test_a_stop_waits_for_no_client_that_does_not_read(self):
        self.server = self.start(mode="none", flags=["--shutdown-grace-ms", "1"])
        self.server.set("large", bytes(self.SIZE))
        self.ask_without_reading(("Get", kv.GetRequest(key="large")))
        self.server.stop()


class Keys(harness.Case):
    def test_all_keys_come_whatever_their_number_and_size(self):
        server = self.start(mode="none")
        long = ["k" * size for size in (1, 127, 128, 16383, 16384, 65536)]
        many = [f"key{i:05}" for i in range(40000)]  # more than are looked up at once
        server.fill((key, b"v") for key in long + many)
        self.assertEqual(server.keys(), sorted(long + many))

    def processor_ticks(self, server):
        with open(f"/proc/{server.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def test_nothing_is_done_for_cancelled_calls(self):
        server = self.start(mode="none")
        server.fill((f"{i:08}", b"") for i in range(200000))
        begun = self.processor_ticks(server)
        for _ in range(10):
            server.keys()
        for_ten = self.processor_ticks(server) - begun
        large = 1 << 30
        with http2.Connection(server.port, http2.settings((http2.INITIAL_WINDOW, large)),
                              http2.window_update(0, large)) as connection:
            streams = range(1, 2000, 2)
            connection.send(b"".join(http2.call(stream, "Keys", http2.message(b""))
                                     for stream in streams))
            connection.reaction()  # they have arrived
            connection.send(b"".join(http2.reset(stream) for stream in streams))
            connection.send(http2.call(2001, "Keys", http2.message(b"")))  # waits behind them
            self.assertEqual(connection.outcome(2001), 0)
        for_all = self.processor_ticks(server) - begun - for_ten
        self.assertLess(for_all, 25 * for_ten, f"ten took {for_ten} ticks")


class Scan(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def test_entries_come_in_the_order_of_their_bytes(self):
        keys = ["b", "a", "ab", "Z", "ü", "a\x01", "~", "\U0001f600"]
        for key in keys:
            self.server.set(key, key.encode())
        ordered = sorted(keys, key=str.encode)
        self.assertEqual(self.server.scan(), [(key, key.encode()) for key in ordered])

    def test_prefix_limit_and_projection_narrow_the_answer(self):
        for key in ("a", "ab", "abc", "b"):
            self.server.set(key, b"v")
        self.assertEqual(self.server.scan(prefix="ab"), [("ab", b"v"), ("abc", b"v")])
        self.assertEqual(self.server.scan(limit=1), [("a", b"v")])
        self.assertEqual(self.server.scan(prefix="ab", limit=1), [("ab", b"v")])
        self.assertEqual(self.server.scan(prefix="x"), [])
        self.assertEqual(self.server.scan(projection=data.ScanRequest.PROJECTION_KEYS, limit=2),
                         [("a", b""), ("ab", b"")])

    def test_more_keys_than_a_client_accepts_in_one_message_arrive_in_parts(self):
        wanted = [f"{i:05}" + "k" * 1000 for i in range(5000)]
        self.server.fill((key, b"") for key in wanted)
        ordinary = grpc.insecure_channel(self.server.address)
        self.addCleanup(ordinary.close)
        parts = list(harness.data_grpc.KeyValueServiceStub(ordinary).Scan(
            data.ScanRequest(projection=data.ScanRequest.PROJECTION_KEYS), timeout=PATIENCE))
        keys = [entry.key for part in parts for entry in part.entries]
        self.assertEqual(keys, wanted)
        self.assertGreater(len(parts), 1)
        frozen = harness.kv_grpc.KeyValueStoreStub(ordinary)
        self.assertFails(Code.RESOURCE_EXHAUSTED, lambda: frozen.Keys(kv.KeysRequest()))

    def test_a_scan_shows_one_moment_whatever_is_written_meanwhile(self):
        self.server.fill((f"k{i:04}", b"old" * 1000) for i in range(2000))
        answer = self.server.keyvalue.Scan(data.ScanRequest(), timeout=PATIENCE)
        entries = list(next(answer).entries)
        self.server.set("k1999", b"new")
        self.server.delete("k1998")
        self.server.set("k9999", b"new")
        for part in answer:
            entries += part.entries
        self.assertEqual(len(entries), 2000)
        self.assertEqual({entry.value for entry in entries}, {b"old" * 1000})


class Administration(harness.Case):
    def test_status_tells_how_the_store_is(self):
        server = self.start(mode="snapshot", options=["max_snapshots=3"])
        first = server.status()
        self.assertEqual((first.plugin, first.options["max_snapshots"]), ("snapshot", "3"))
        self.assertEqual((first.keys, first.bytes, first.last_save_unix_ms), (0, 0, 0))
        self.assertRegex(first.store_id, r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertRegex(first.server_version, r"^\d+\.\d+\.\d+$")
        server.set("key", b"value")
        second = server.status()
        self.assertEqual((second.keys, second.bytes), (1, 8))
        self.assertEqual(second.version, first.version + 1)
        self.assertEqual((second.last_error, second.read_only), ("", False))

    def test_save_is_reported_as_the_last_save(self):
        for mode in ("snapshot", "aof", "hybrid"):
            with self.subTest(mode=mode):
                server = self.start(data=mode, mode=mode)
                server.set("k", b"v")
                sequence = server.save().version
                status = server.status()
                self.assertEqual(sequence, status.version)
                self.assertEqual(status.last_save_version, sequence)
                self.assertGreater(status.last_save_unix_ms, 0)

    def test_save_in_mode_none_is_refused_with_a_remedy(self):
        server = self.start(mode="none")
        self.assertFails(Code.FAILED_PRECONDITION, server.save, "none", "configure")

    def test_plugins_are_listed_with_their_options(self):
        server = self.start(mode="aof")
        plugins = {plugin.name: plugin for plugin in server.admin.ListPlugins(
            admin.ListPluginsRequest(), timeout=PATIENCE).plugins}
        self.assertEqual(sorted(plugins), ["aof", "encrypt", "hybrid", "none", "snapshot"])
        self.assertEqual([name for name, plugin in plugins.items() if plugin.active], ["aof"])
        self.assertEqual({name: plugin.promise for name, plugin in plugins.items()},
                         {"none": admin.Plugin.PROMISE_VOLATILE,
                          "snapshot": admin.Plugin.PROMISE_PERIODIC,
                          "aof": admin.Plugin.PROMISE_DURABLE, "hybrid": admin.Plugin.PROMISE_DURABLE,
                          "encrypt": admin.Plugin.PROMISE_DURABLE})
        self.assertEqual([plugin.error for plugin in plugins.values()], [""] * 5)
        options = {option.name: option for option in plugins["hybrid"].options}
        self.assertEqual(sorted(options),
                         ["aof_max_size", "fsync", "max_snapshots", "snapshot_interval",
                          "snapshot_rate"])
        self.assertEqual(list(options["fsync"].choices), ["always", "everysec", "no"])
        self.assertEqual((options["fsync"].type, options["fsync"].default_value),
                         ("choice", "always"))
        self.assertEqual(options["max_snapshots"].type, "integer")
        self.assertLessEqual(options["max_snapshots"].minimum, 1)
        self.assertEqual(options["aof_max_size"].type, "size")

    def test_a_plugin_that_cannot_be_loaded_is_listed_with_the_reason(self):
        server = self.start(plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}")
        plugins = {plugin.name: plugin for plugin in server.admin.ListPlugins(
            admin.ListPluginsRequest(), timeout=PATIENCE).plugins}
        self.assertIn("ABI 99", plugins["other_abi"].error)
        self.assertIn("on_write", plugins["missing_hook"].error)
        self.assertEqual(plugins["memory"].error, "")

    def test_configure_answers_what_is_in_force(self):
        server = self.start(mode="none")
        server.set("k", b"v")
        before = server.status()
        answer = server.configure("aof", {"fsync": "everysec", "aof_max_size": "2M"})
        self.assertEqual(answer.plugin, "aof")
        self.assertEqual(dict(answer.options), {"fsync": "everysec", "aof_max_size": str(2 << 20),
                                               "snapshot_rate": str(64 << 20)})
        self.assertGreater(answer.generation, before.generation)
        self.assertEqual(answer.version, before.version)
        self.assertEqual(server.get("k"), b"v")

    def test_validate_only_checks_and_changes_nothing(self):
        server = self.start(mode="none")
        before = server.status()
        answer = server.configure("snapshot", {"max_snapshots": "7"}, validate_only=True)
        self.assertEqual(answer.plugin, "snapshot")
        self.assertEqual(answer.options["max_snapshots"], "7")
        self.assertEqual(answer.options["snapshot_interval"], "300")
        self.assertFails(Code.INVALID_ARGUMENT,
                         lambda: server.configure("snapshot", {"max": "7"}, validate_only=True),
                         "max_snapshots")
        after = server.status()
        self.assertEqual((after.plugin, after.generation), (before.plugin, before.generation))

    def test_configure_with_what_is_in_force_changes_nothing(self):
        server = self.start(mode="aof")
        before = server.status()
        answer = server.configure("aof", {"fsync": "always"})
        self.assertEqual(answer.generation, before.generation)
        self.assertEqual(server.status().generation, before.generation)

    def test_an_unknown_method_is_unimplemented_at_once(self):
        server = self.start(mode="none")
        for path in ("/kvstore.KeyValueStore/Nothing", "/other.Service/Get", "/x"):
            call = server.channel.unary_unary(path)
            self.assertFails(Code.UNIMPLEMENTED, lambda: call(b"", timeout=PATIENCE))

    def test_a_method_that_has_moved_is_unimplemented_and_the_answer_names_the_new_one(self):
        server = self.start(mode="none")
        in_admin, in_data = ("AdminService", "admin.proto"), ("KeyValueService", "key_value.proto")
        for old, new, (service, proto) in (
                ("Batch", "Batch", in_data), ("Scan", "Scan", in_data),
                ("Configure", "Configure", in_admin), ("ListPlugins", "ListPlugins", in_admin),
                ("Save", "Save", in_admin), ("Status", "GetStatus", in_admin)):
            # As a client of before would: that of Scan expects a stream.
            kind = "unary_stream" if old == "Scan" else "unary_unary"
            call = getattr(server.channel, kind)(f"/kvstore.KeyValueStore/{old}")
            for request in (b"", b"\x0a\xff", b"\x0a\x05\x0a\x03\x0a\x01k", bytes(MIB)):
                with self.subTest(old=old, size=len(request)), \
                        self.assertRaises(grpc.RpcError) as caught:
                    list(call(request, timeout=PATIENCE))
                error = caught.exception
                self.assertEqual((error.code(), *reason_of(error)),
                                 (Code.UNIMPLEMENTED, "METHOD_MOVED", {}))
                self.assertEqual(
                    error.details(),
                    f"kvstore.KeyValueStore/{old} has become kvstore.v1.{service}/{new}; "
                    f"generate the client anew from kvstore/v1/{proto}")
        self.assertEqual(server.keys(), [])

    def test_a_unix_socket_serves_as_a_port_does(self):
        import tempfile
        with tempfile.TemporaryDirectory() as folder:  # a short path: sun_path has 108 bytes
            server = self.start(mode="none", listen=f"unix:{folder}/s")
            server.set("k", b"v")
            self.assertEqual(server.get("k"), b"v")
            server.stop()


class Health(harness.Case):
    def test_check_answers_for_the_server_and_the_service(self):
        server = self.start(mode="none")
        stub = health_grpc.HealthStub(server.channel)
        for service in ("", "kvstore.v1.KeyValueService", "kvstore.KeyValueStore"):
            answer = stub.Check(health.HealthCheckRequest(service=service), timeout=PATIENCE)
            self.assertEqual(answer.status, SERVING)
        self.assertFails(Code.NOT_FOUND, lambda: stub.Check(
            health.HealthCheckRequest(service="other"), timeout=PATIENCE))

    def test_watch_tells_of_an_unknown_service(self):
        server = self.start(mode="none")
        watch = health_grpc.HealthStub(server.channel).Watch(
            health.HealthCheckRequest(service="other"), timeout=PATIENCE)
        self.assertEqual(next(watch).status, health.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()

    def test_watch_tells_that_the_server_drains_and_then_ends(self):
        server = self.start(mode="hybrid")
        stub = health_grpc.HealthStub(server.channel)
        watches = [stub.Watch(health.HealthCheckRequest(service=service), timeout=PATIENCE)
                   for service in ("", "kvstore.v1.KeyValueService", "kvstore.KeyValueStore")]
        for watch in watches:
            self.assertEqual(next(watch).status, SERVING)
        server.terminate()
        for watch in watches:
            self.assertEqual(next(watch).status, NOT_SERVING)
            try:
                self.assertEqual(list(watch), [])
            except grpc.RpcError as error:
                self.assertNotEqual(error.code(), Code.DEADLINE_EXCEEDED)
        server.stop()

    def test_watchers_may_leave_in_any_order_and_the_others_see_changes(self):
        server = self.start(mode="none")
        stub = health_grpc.HealthStub(server.channel)
        for leaving in ((0,), (4,), (2, 1), (1, 3, 0), (4, 2, 3), (0, 1, 2, 3, 4)):
            watches = [stub.Watch(health.HealthCheckRequest(), timeout=PATIENCE) for _ in range(5)]
            self.assertEqual([next(watch).status for watch in watches], [SERVING] * 5)
            for number in leaving:
                watches[number].cancel()
                stub.Check(health.HealthCheckRequest(), timeout=PATIENCE)
        last = stub.Watch(health.HealthCheckRequest(), timeout=PATIENCE)
        self.assertEqual(next(last).status, SERVING)
        server.terminate()
        self.assertEqual(next(last).status, NOT_SERVING)
        server.stop()

    def watch_store(self, server):
        return health_grpc.HealthStub(server.channel).Watch(
            health.HealthCheckRequest(service="kvstore.KeyValueStore"), timeout=PATIENCE)

    def start_faulty(self):
        """A server whose plug-in fails the next write."""
        server = self.start(mode="none", plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}")
        server.set("k", b"v")
        server.configure("faulty", {"write": "io", "text": "the disk is gone"})
        return server

    def test_a_failed_store_is_not_serving_and_refuses_writes_while_reads_go_on(self):
        server = self.start_faulty()
        # Without its directory the server cannot make a fresh generation by itself.
        os.rename(server.data, server.data + ".away")
        watch = self.watch_store(server)
        self.assertEqual(next(watch).status, SERVING)
        self.assertFails(Code.UNAVAILABLE, lambda: server.set("k", b"w"), "the disk is gone")
        self.assertEqual(next(watch).status, NOT_SERVING)
        self.assertFails(Code.UNAVAILABLE, lambda: server.set("k", b"w"), "the disk is gone")
        self.assertEqual(server.get("k"), b"v")
        status = server.status()
        self.assertTrue(status.read_only)
        self.assertIn("the disk is gone", status.last_error)
        os.rename(server.data + ".away", server.data)
        server.configure("aof")
        self.assertEqual(next(watch).status, SERVING)
        server.set("k", b"w")
        self.assertEqual(server.get("k"), b"w")
        self.assertFalse(server.status().read_only)
        watch.cancel()

    def test_a_failed_store_helps_itself_with_a_fresh_generation(self):
        server = self.start_faulty()
        generation = server.status().generation
        watch = self.watch_store(server)
        self.assertEqual(next(watch).status, SERVING)
        self.assertFails(Code.UNAVAILABLE, lambda: server.set("k", b"w"), "the disk is gone")
        self.assertEqual([next(watch).status, next(watch).status], [NOT_SERVING, SERVING])
        server.save()  # waits for that switch to end
        self.assertGreater(server.status().generation, generation)
        self.assertEqual(server.get("k"), b"v")
        watch.cancel()


class Reflection(harness.Case):
    SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection", "kvstore.KeyValueStore",
                "kvstore.v1.AdminService", "kvstore.v1.KeyValueService"]
    VERSIONS = [(reflection, reflection_grpc), (reflection_v1alpha, reflection_v1alpha_grpc)]

    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def ask(self, version, *requests):
        messages, stubs = version
        stub = stubs.ServerReflectionStub(self.server.channel)
        return list(stub.ServerReflectionInfo(
            iter([messages.ServerReflectionRequest(**request) for request in requests]),
            timeout=PATIENCE))

    def files(self, answer):
        self.assertEqual(answer.WhichOneof("message_response"), "file_descriptor_response")
        files = [descriptor_pb2.FileDescriptorProto.FromString(file)
                 for file in answer.file_descriptor_response.file_descriptor_proto]
        return {file.name: file for file in files}

    def test_both_versions_list_the_services(self):
        for version in self.VERSIONS:
            answer, = self.ask(version, {"list_services": "*"})
            names = sorted(service.name for service in answer.list_services_response.service)
            self.assertEqual(names, self.SERVICES)
            self.assertEqual(answer.original_request.list_services, "*")

    def test_both_versions_describe_a_service_a_method_and_a_message(self):
        for version in self.VERSIONS:
            for symbol in ("kvstore.KeyValueStore", "kvstore.KeyValueStore.Set",
                           "kvstore.SetRequest", "kvstore.StorageMode"):
                answer, = self.ask(version, {"file_containing_symbol": symbol})
                files = self.files(answer)
                methods = [method.name for method in files["kvstore.proto"].service[0].method]
                self.assertEqual(methods, ["Set", "Get", "Del", "Keys", "Config"])
                self.assertIn("google/protobuf/empty.proto", files)

    def test_what_has_moved_is_described_at_its_old_place_no_longer(self):
        for version in self.VERSIONS:
            for symbol in ("KeyValueStore.Batch", "KeyValueStore.Scan", "BatchRequest", "Entry"):
                answer, = self.ask(version, {"file_containing_symbol": f"kvstore.{symbol}"})
                self.assertEqual(answer.error_response.error_code, Code.NOT_FOUND.value[0], symbol)

    def test_the_data_is_described_by_service_method_and_message(self):
        for symbol in ("kvstore.v1.KeyValueService", "kvstore.v1.KeyValueService.Watch",
                       "kvstore.v1.WatchRequest.Create", "kvstore.v1.Event.Kind"):
            answer, = self.ask(self.VERSIONS[0], {"file_containing_symbol": symbol})
            self.assertEqual(list(self.files(answer)), ["kvstore/v1/key_value.proto"], symbol)

    def test_the_administration_is_described_by_service_method_and_message(self):
        for symbol in ("kvstore.v1.AdminService", "kvstore.v1.AdminService.GetStatus",
                       "kvstore.v1.ShadowReport.Difference.Kind", "kvstore.v1.GetStatusResponse"):
            answer, = self.ask(self.VERSIONS[0], {"file_containing_symbol": symbol})
            self.assertEqual(list(self.files(answer)), ["kvstore/v1/admin.proto"], symbol)

    def test_what_is_described_is_what_the_proto_says(self):
        for name, messages in (("kvstore.proto", kv), ("kvstore/v1/admin.proto", admin),
                               ("kvstore/v1/key_value.proto", harness.data)):
            with self.subTest(name=name):
                self.check_described(name, messages)

    def check_described(self, name, messages):
        answer, = self.ask(self.VERSIONS[0], {"file_by_filename": name})
        wanted = descriptor_pb2.FileDescriptorProto()
        messages.DESCRIPTOR.CopyToProto(wanted)
        described = self.files(answer)[name]
        described.ClearField("source_code_info")
        for message in [*described.message_type, *wanted.message_type]:
            for field in message.field:
                field.ClearField("json_name")
            for nested in message.nested_type:
                for field in nested.field:
                    field.ClearField("json_name")
        self.assertEqual(described, wanted)

    def test_several_questions_are_answered_in_order_and_unknown_ones_with_an_error(self):
        for version in self.VERSIONS:
            answers = self.ask(version, {"file_containing_symbol": "no.such.Symbol"},
                               {"list_services": ""}, {"file_by_filename": "none.proto"})
            self.assertEqual([answer.WhichOneof("message_response") for answer in answers],
                             ["error_response", "list_services_response", "error_response"])
            self.assertEqual(answers[0].error_response.error_code, Code.NOT_FOUND.value[0])


if __name__ == "__main__":
    harness.main()
