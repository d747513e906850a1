"""docs/errors.md: it lists every reason that the sources have, with its codes and metadata, and each is provoked
through the real server. On each engine."""
import glob
import hashlib
import os
import queue
import re
import secrets
import sys
import threading
import time
import unittest

import grpc

import harness
import http2
import reasons
from watching import Stream
from harness import PATIENCE, admin, data, health, health_grpc, kv

sys.path.insert(0, os.path.join(harness.ROOT, "docs", "api"))
import reference  # noqa: E402

PAGE = os.path.join(harness.ROOT, "docs", "errors.md")
CODES = {code.name for code in grpc.StatusCode}
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_, ]+) \| (.*?) ?\| \S.* \| \S.* \|$", re.MULTILINE)
BOTH = f"{harness.PLUGINS}:{harness.BAD_PLUGINS}"

# In the sources: a reason that is given to a failure, the macro of one, and a choice between two.
IN_SOURCES = (re.compile(r'kv_fail_reason\([^;"]*"([A-Z_]+)"'),
              re.compile(r'^#define KV_(?:REASON_)?([A-Z_]+) "\1"', re.MULTILINE),
              re.compile(r'^#define (?:KV_)?REASON_[A-Z_]+ "([A-Z_]+)"', re.MULTILINE),
              re.compile(r'[?:] "([A-Z]+_[A-Z_]+)"'))
IN_THESE_TESTS = re.compile(r'self\.assert(?:Reason|Ends|Trailers)\(\s*"([A-Z_]+)"')
BY_LIBRARY = "the library of engine grpc ends the call, without a reason"


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def reasons_of_page():
    """reason -> (codes, names of metadata)"""
    return {reason: (codes.split(", "), re.findall(r"`(\w+)`", metadata))
            for reason, codes, metadata in ROW.findall(page())}


def found_in(paths, patterns):
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for pattern in patterns:
            found.update(pattern.findall(text))
    return found


class Page(harness.Case):
    def test_it_lists_the_reasons_of_the_sources_and_no_others(self):
        paths = glob.glob(os.path.join(harness.ROOT, "core", "**", "*.[ch]"), recursive=True)
        sources = found_in(paths, IN_SOURCES)
        self.assertGreater(len(sources), 30, "the reasons were not found")
        self.assertEqual(sorted(sources), sorted(reasons_of_page()))

    def test_each_of_them_is_provoked_here(self):
        self.assertEqual(sorted(found_in([__file__], [IN_THESE_TESTS])), sorted(reasons_of_page()))

    def test_its_example_reads_a_reason(self):
        names = {}
        exec(re.search(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)[1], names)
        server = self.start(mode="none")
        with self.assertRaises(grpc.RpcError) as caught:
            server.keyvalue.Set(data.SetRequest(key="k", condition=data.Condition(exists=True)))
        self.assertEqual(names["reason_of"](caught.exception),
                         ("CONDITION_NOT_MET", {"current_version": "0"}))


def reasons_in(text):
    return [word for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)*\b", text) if word in reasons_of_page()]


def pairs_in(comment):
    """(reason, code) as it has them: "REASON, REASON (CODE" or "CODE (REASON)"."""
    for before, word in re.findall(r"([^()]*)\(([A-Z_]+)[);]", comment):
        if word in CODES:
            yield from ((reason, word) for reason in reasons_in(before))
        else:
            yield from ((word, code) for code in re.findall(r"[A-Z_]+", before)[-1:] if code in CODES)


class Proto(harness.Case):
    """What the comments of key_value.proto say of errors."""
    # Of other services, and of methods that are not in it.
    ELSEWHERE = {"SERVICE_UNKNOWN", "METHOD_MOVED"}

    def setUp(self):
        super().setUp()
        self.comments = list(reference.Reference(reference.read_proto()).comments.values())

    def test_it_names_no_reason_that_the_page_does_not_have(self):
        named = {word for comment in self.comments for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment)}
        values = {name for name in dir(data.ScanRequest) if name.isupper()}
        self.assertEqual(sorted(named - CODES - values - set(reasons_of_page())), [])

    def test_it_names_each_reason_that_its_methods_give(self):
        section = page().partition("## Administration")[0]
        of_data = {reason for reason, _, _ in ROW.findall(section)}
        self.assertGreater(len(of_data), 25)
        named = {reason for comment in self.comments for reason in reasons_in(comment)}
        self.assertEqual(sorted(of_data - self.ELSEWHERE - named), [])

    def test_it_gives_each_reason_one_of_its_codes(self):
        pairs = {pair for comment in self.comments for pair in pairs_in(comment)}
        self.assertGreater(len(pairs), 25)
        for reason, code in sorted(pairs):
            self.assertIn(code, reasons_of_page()[reason][0], reason)

    def test_each_method_says_what_its_errors_are(self):
        file = reference.read_proto()
        comments = reference.Reference(file).comments
        for i, method in enumerate(file.service[0].method):
            self.assertRegex(comments[(6, 0, 2, i)], "Errors|What ends", method.name)


def grpc_code(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


class ReasonCase(harness.Case):
    documented = reasons_of_page()

    def assertReason(self, reason, call, *texts):
        """That the call fails as the page says."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        found, metadata = reasons.reason_of(error)
        self.assertEqual(found, reason, error.details())
        codes, names = self.documented[reason]
        self.assertIn(error.code().name, codes)
        self.assertEqual(sorted(metadata), names)
        for text in texts:
            self.assertIn(text, error.details())

    def assertEnds(self, reason, answer):
        """That the server has ended a watch as the page says."""
        self.assertEqual(answer.ended.reason, reason, answer)
        self.assertIn(grpc_code(answer.ended.code), self.documented[reason][0])
        self.assertTrue(answer.ended.message)

    def assertTrailers(self, reason, connection):
        """That the first call of a connection of http2.py fails as the page says."""
        _, _, _, fields = connection.wait(
            lambda kind, flags, *_: kind == http2.HEADERS and flags & http2.END_STREAM)
        trailers = dict(fields)
        self.assertEqual(len(fields), len(trailers), fields)
        self.assertEqual(reasons.reason_in(trailers), reason, trailers)
        self.assertIn(grpc_code(int(trailers["grpc-status"])), self.documented[reason][0])

    def raw(self, server, path, request):
        return server.channel.unary_unary(path, request_serializer=bytes,
                                          response_deserializer=bytes)(request, timeout=PATIENCE)


class Requests(ReasonCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none", flags=["--max-message-size", "4M", "--max-value-size", "2M"])
        self.store = self.server.keyvalue

    def test_field_is_not_as_it_must_be(self):
        self.assertReason("FIELD_INVALID", lambda: self.store.Set(data.SetRequest()), "key: is empty")
        self.assertReason("FIELD_INVALID", lambda: self.server.set("", b""), "key: is empty")
        self.assertReason("FIELD_INVALID", lambda: self.server.configure(""), "plugin: is empty")
        self.assertReason("FIELD_INVALID", lambda: self.server.stub.Config(
            kv.ConfigRequest(snapshot_interval=-1), timeout=PATIENCE), "negative")

    def test_value_is_too_large(self):
        value = bytes((2 << 20) + 1)
        for call in (lambda: self.store.Set(data.SetRequest(key="k", value=value)),
                     lambda: self.server.set("k", value)):
            self.assertReason("VALUE_TOO_LARGE", call, "max-value-size")

    def test_bytes_are_no_message(self):
        self.assertReason("REQUEST_MALFORMED", lambda: self.raw(
            self.server, "/kvstore.v1.KeyValueService/Get", b"\xff\xff"))

    def test_message_has_too_many_parts(self):
        self.assertReason("TOO_MANY_PARTS", lambda: self.raw(
            self.server, "/kvstore.v1.KeyValueService/Batch", b"\x0a\x00" * 1500000))

    def test_values_are_too_large_for_one_answer(self):
        for key in "abc":
            self.server.set(key, bytes(1900000))
        gets = [data.Operation(get=data.GetRequest(key=key)) for key in "abc"]
        self.assertReason("ANSWER_TOO_LARGE", lambda: self.store.Transaction(
            data.TransactionRequest(success=gets), timeout=PATIENCE))
        results = self.store.Batch(data.BatchRequest(operations=gets), timeout=PATIENCE).results
        self.assertEqual(results[2].error.reason, "ANSWER_TOO_LARGE")

    def test_values_whose_expiry_is_set_are_too_large_together(self):
        for key in "abc":
            self.server.set(key, bytes(1900000))
        expiries = [data.Operation(set_expiry=data.SetExpiryRequest(key=key)) for key in "abc"]
        self.assertReason("REQUEST_TOO_LARGE", lambda: self.store.Transaction(
            data.TransactionRequest(success=expiries), timeout=PATIENCE))

    @unittest.skipIf(harness.WIRE == "grpc", BY_LIBRARY)
    def test_message_is_too_large(self):
        self.assertReason("REQUEST_TOO_LARGE", lambda: self.store.Set(
            data.SetRequest(key="k", value=bytes(5 << 20)), timeout=PATIENCE), "max-message-size")

    def test_message_is_too_large_when_it_is_decompressed(self):
        self.assertReason("REQUEST_TOO_LARGE", lambda: self.store.Set(
            data.SetRequest(key="k", value=bytes(5 << 20)), timeout=PATIENCE,
            compression=grpc.Compression.Gzip), "max-message-size")

    def test_page_token_is_of_another_request(self):
        for key in "ab":
            self.server.set(key, b"v")
        token = list(self.store.Scan(data.ScanRequest(limit=1), timeout=PATIENCE))[-1].next_page_token
        for wrong in (data.ScanRequest(page_token=token, descending=True), data.ScanRequest(page_token="x")):
            self.assertReason("PAGE_TOKEN_INVALID", lambda: list(self.store.Scan(wrong, timeout=PATIENCE)))

    def test_request_id_is_of_another_request(self):
        self.store.Set(data.SetRequest(key="k", value=b"1", request_id="id"), timeout=PATIENCE)
        self.assertReason("REQUEST_ID_REUSED", lambda: self.store.Set(
            data.SetRequest(key="k", value=b"2", request_id="id"), timeout=PATIENCE))

    def test_health_is_asked_about_another_service(self):
        self.assertReason("SERVICE_UNKNOWN", lambda: health_grpc.HealthStub(self.server.channel).Check(
            health.HealthCheckRequest(service="other"), timeout=PATIENCE))

    def test_method_is_none_that_the_server_knows(self):
        for _ in range(2):
            self.assertReason("METHOD_UNKNOWN", lambda: self.raw(
                self.server, "/kvstore.v1.KeyValueService/Other", b""), "Other")

    def test_method_has_another_name_by_now(self):
        self.assertReason("METHOD_MOVED", lambda: self.raw(
            self.server, "/kvstore.KeyValueStore/Save", b""), "kvstore.v1.AdminService/Save")


class Data(ReasonCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")
        self.store = self.server.keyvalue

    def test_condition_does_not_hold(self):
        version = self.store.Set(data.SetRequest(key="k", value=b"1"), timeout=PATIENCE).version
        write = data.SetRequest(key="k", condition=data.Condition(exists=False))
        self.assertReason("CONDITION_NOT_MET", lambda: self.store.Set(write, timeout=PATIENCE))
        error = self.store.Batch(data.BatchRequest(operations=[data.Operation(set=write)]),
                                 timeout=PATIENCE).results[0].error
        self.assertEqual((error.reason, error.current_version), ("CONDITION_NOT_MET", version))

    def test_key_that_is_to_expire_is_missing(self):
        self.assertReason("KEY_NOT_FOUND", lambda: self.store.SetExpiry(
            data.SetExpiryRequest(key="k", expiry=data.Expiry(ttl_ms=1)), timeout=PATIENCE))

    def test_value_to_increment_is_no_number_or_too_large(self):
        def increment():
            self.store.Increment(data.IncrementRequest(key="k", delta=1), timeout=PATIENCE)
        self.server.set("k", b"one")
        self.assertReason("NOT_AN_INTEGER", increment)
        self.server.set("k", b"%d" % (2**63 - 1))
        self.assertReason("INTEGER_OVERFLOW", increment)

    def test_mode_cannot_make_it_so_durable(self):
        for durability in (data.DURABILITY_WRITTEN, data.DURABILITY_SYNCED):
            self.assertReason("DURABILITY_NOT_OFFERED", lambda: self.store.Set(
                data.SetRequest(key="k", durability=durability), timeout=PATIENCE))
        self.assertReason("DURABILITY_NOT_OFFERED", lambda: self.store.WaitDurable(
            data.WaitDurableRequest(), timeout=PATIENCE))

    def test_version_to_wait_for_is_not_there_yet(self):
        self.assertReason("VERSION_NOT_REACHED", lambda: self.store.WaitDurable(
            data.WaitDurableRequest(version=1000), timeout=PATIENCE))


class State(ReasonCase):
    def test_server_reads_its_data(self):
        self.start(mode="gated", plugins=BOTH).stop()
        gate = os.path.join(self.folder, "data", "gen-000001", "gate")
        os.mkfifo(gate)
        server = self.start(plugins=BOTH, wait=False)
        server.open()
        with open(gate, "wb"):
            self.assertReason("LOADING", lambda: server.keyvalue.Get(
                data.GetRequest(key="k"), timeout=PATIENCE))
        server.wait_serving()

    def test_server_stops(self):
        server = self.start(mode="none")
        stream = server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE)
        server.get("k")
        next(stream)
        server.terminate()
        self.assertReason("STOPPING", lambda: list(stream))

    def failing(self, code):
        """A server whose plug-in fails the next write."""
        server = self.start(mode="none", plugins=BOTH, data=code)
        server.configure("faulty", {"write": code})
        return server

    def test_storage_has_failed(self):
        server = self.failing("io")
        # Without its directory the server cannot make a fresh generation by itself.
        os.rename(server.data, server.data + ".away")
        for _ in range(2):
            self.assertReason("READ_ONLY", lambda: server.keyvalue.Set(
                data.SetRequest(key="k"), timeout=PATIENCE))
        self.assertReason("READ_ONLY", lambda: server.set("k", b"v"))

    def test_write_that_meets_the_failure_has_its_code(self):
        for code in ("corrupt", "invalid", "unknown"):
            server = self.failing(code)
            self.assertReason("READ_ONLY", lambda: server.set("k", b"v"))

    def test_disk_is_full(self):
        server = self.failing("no_space")
        for _ in range(2):
            self.assertReason("STORAGE_FULL", lambda: server.keyvalue.Set(
                data.SetRequest(key="k"), timeout=PATIENCE))

    def test_data_has_reached_its_limit(self):
        server = self.start(mode="none", flags=["--max-memory", "1000"])
        for call in (lambda: server.keyvalue.Set(data.SetRequest(key="k", value=bytes(1000)),
                                                 timeout=PATIENCE),
                     lambda: server.set("k", bytes(1000))):
            self.assertReason("MEMORY_FULL", call, "max-memory")

    def test_calls_in_flight_hold_all_the_memory_for_them(self):
        server = self.start(mode="none", flags=[
            "--max-wire-memory", "16M", "--max-message-size", "8M", "--max-value-size", "4M",
            "--reader-timeout", "3600", "--workers", "1"])
        server.set("large", bytes(3 << 20))
        self.assertReason("WIRE_MEMORY_FULL", lambda: self.get_in_numbers(server), "max-wire-memory")

    @unittest.skipIf(harness.WIRE == "grpc", BY_LIBRARY)
    def test_client_reads_nothing(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        watch = data.WatchRequest(create=data.WatchRequest.Create(ranges=[data.KeyRange()]))
        # The second watch fails the stream, behind an answer that nobody reads.
        twice = 2 * http2.message(watch.SerializeToString())
        for method, requests in (("Scan", http2.message(b"")), ("Watch", twice)):
            connection = http2.Connection(server.port, http2.settings((http2.INITIAL_WINDOW, 0)))
            self.addCleanup(connection.close)
            connection.send(http2.call(1, http2.KEYVALUE + method, requests))
            self.assertTrailers("CLIENT_TOO_SLOW", connection)

    def test_client_of_a_restore_sends_nothing_more(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        ended = threading.Event()
        self.addCleanup(ended.set)

        def begun():
            yield admin.RestoreRequest(data=b"x")
            ended.wait(PATIENCE)
        self.assertReason("CLIENT_TOO_SLOW", lambda: server.admin.Restore(begun(), timeout=PATIENCE),
                          "nothing was changed")

    @staticmethod
    def get_in_numbers(server):
        """Until one of the calls that are in flight at a time fails."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            calls = [server.keyvalue.Get.future(data.GetRequest(key="large"), timeout=PATIENCE)
                     for _ in range(40)]
            for call in calls:
                call.result()


class WhoCalls(ReasonCase):
    def setUp(self):
        super().setUp()
        users = os.path.join(self.folder, "users")
        self.token = "kvs_" + secrets.token_urlsafe(32)
        with open(users, "w", encoding="ascii") as file:
            file.write(f"ann read:a/ token=sha256:{hashlib.sha256(self.token.encode()).hexdigest()}\n")
        self.server = self.start(mode="none", flags=["--users", users, "--workers", "1"])

    def get(self, key, token):
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return self.server.keyvalue.Get.future(data.GetRequest(key=key), metadata=metadata,
                                               timeout=PATIENCE)

    def test_call_says_not_who_makes_it(self):
        self.assertReason("UNAUTHENTICATED", lambda: self.get("a/", "").result())

    def test_token_is_nobodys_and_then_one_of_too_many(self):
        self.assertReason("TOKEN_UNKNOWN", lambda: self.get("a/", "kvs_" + "x" * 43).result())
        calls = [self.get("a/", "kvs_" + secrets.token_urlsafe(32)) for _ in range(200)]
        unseen = [call for call in calls if call.exception().code() == grpc.StatusCode.UNAVAILABLE]
        self.assertReason("TOO_MANY_UNKNOWN_TOKENS", unseen[0].result)

    def test_user_has_no_grant(self):
        self.get("a/", self.token).result()
        self.assertReason("PERMISSION_DENIED", lambda: self.get("b", self.token).result())


class Administration(ReasonCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none", plugins=BOTH)

    def test_configuration_is_another_one(self):
        self.assertReason("ETAG_MISMATCH", lambda: self.server.admin.Configure(
            admin.ConfigureRequest(plugin="aof", etag="other"), timeout=PATIENCE))

    def test_plugin_is_not_there_or_cannot_be_used(self):
        self.assertReason("PLUGIN_NOT_FOUND", lambda: self.server.configure("nowhere"))
        self.assertReason("PLUGIN_UNUSABLE", lambda: self.server.configure("other_abi"))

    def test_option_is_none_of_the_plugin_or_has_a_wrong_value(self):
        for options in ({"color": "red"}, {"fsync": "often"}):
            self.assertReason("OPTION_INVALID", lambda: self.server.configure("aof", options))
        self.assertReason("OPTION_INVALID", lambda: self.server.configure("none", {"fsync": "no"}))

    def test_plugin_fails(self):
        for options in ({"open": "io"}, {"open": "corrupt"}, {"open": "unknown"}, {"load": "corrupt"},
                        {"record": "good"}, {"tick": "io"}):
            with self.subTest(options):
                self.assertReason("PLUGIN_FAILED", lambda: self.server.configure("faulty", options),
                                  "faulty")
        for hook in ("open", "load", "tick"):
            with self.subTest(hook):
                self.assertReason("STORAGE_FULL",
                                  lambda: self.server.configure("faulty", {hook: "no_space"}), "faulty")

    def test_plugin_cannot_work_with_its_options(self):
        for hook in ("open", "load"):
            with self.subTest(hook):
                self.assertReason("OPTION_INVALID",
                                  lambda: self.server.configure("faulty", {hook: "invalid"}), "faulty")
        self.assertReason("OPTION_INVALID", lambda: self.server.configure(
            "encrypt", {"key_file": os.path.join(self.folder, "none")}), "encrypt")

    def test_mode_has_nothing_to_save(self):
        self.assertReason("MODE_KEEPS_NOTHING", self.server.save)

    def test_plugin_is_being_tried(self):
        run = self.server.shadow_call("aof", seconds=3600)
        self.assertLogs(self.server, "shadow run")
        self.assertReason("SHADOW_RUN_IN_PROGRESS", lambda: self.server.configure("aof"))
        run.cancel()

    def test_admin_calls_wait_in_numbers(self):
        self.server.configure("gated")
        for number in range(1, 5):
            os.mkfifo(os.path.join(self.server.data, "gen-000002", f"tick_gate_{number}"))
        save = self.server.admin.Save.future(admin.SaveRequest(), timeout=PATIENCE)
        self.assertLogs(self.server, "tick_gate")
        ended = queue.SimpleQueue()
        for i in range(40):  # each another one, as the same are merged
            self.server.admin.Configure.future(admin.ConfigureRequest(
                plugin="aof", options={"aof_max_size": f"{i + 1}M"}), timeout=PATIENCE) \
                .add_done_callback(ended.put)
        self.assertReason("CONTROL_QUEUE_FULL", ended.get(timeout=PATIENCE).result)
        self.server.kill9()
        self.assertTrue(save.exception())

    def backups(self):
        return self.server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE)

    def test_backups_are_made_in_numbers(self):
        for i in range(40):
            self.server.set(f"{i}", os.urandom(1 << 20))
        streams = [self.backups() for _ in range(4)]
        for stream in streams:
            next(stream)
        self.assertReason("TOO_MANY_BACKUPS", lambda: list(self.backups()))
        for stream in streams:
            stream.cancel()

    def test_monitors_follow_in_numbers(self):
        def follow():
            stream = self.server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE)
            self.addCleanup(stream.cancel)
            next(stream)
        for _ in range(8):
            follow()
        self.assertReason("TOO_MANY_MONITORS", follow)

    def restore(self, content, **questions):
        return self.server.admin.Restore(iter([admin.RestoreRequest(data=content, **questions)]),
                                         timeout=PATIENCE)

    def test_backup_would_replace_keys_or_is_none(self):
        self.server.set("k", b"v" * 1000)
        content = b"".join(message.data for message in self.backups())
        self.assertReason("STORE_NOT_EMPTY", lambda: self.restore(content), "replace_existing")
        flipped = content[:200] + bytes([content[200] ^ 1]) + content[201:]
        for damaged in (flipped, content[:-1], b"none" * 1000):
            self.assertReason("BACKUP_DAMAGED", lambda: self.restore(damaged, replace_existing=True))

    def test_second_restore_at_a_time(self):
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            yield admin.RestoreRequest(data=b"x", replace_existing=True)
            begun.set()
            go_on.wait(PATIENCE)
        first = self.server.admin.Restore.future(slow(), timeout=PATIENCE)
        self.addCleanup(go_on.set)
        begun.wait(PATIENCE)
        self.assertReason("RESTORE_IN_FLIGHT", self.until_in_flight)
        first.cancel()

    def until_in_flight(self):
        """The first one may arrive after the second; then that fails for its bytes, or is cancelled."""
        while True:
            try:
                self.restore(b"x", replace_existing=True)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise


class Watches(ReasonCase):
    def test_versions_that_the_server_does_not_have(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            self.assertEnds("VERSION_NOT_HELD", stream.create("", start_version=2))

    def test_client_that_does_not_read(self):
        server = self.start(mode="none", flags=["--watch-history", "1M"])
        with Stream(server, reads=False) as stream:
            stream.ask("")
            stream.await_created()
            for _ in range(300):
                server.set("k", bytes(60000))
            stream.read()
            self.assertEnds("WATCH_TOO_SLOW", stream.until_ended())

    def test_other_data_in_place_of_all(self):
        server = self.start(mode="none")
        backup = b"".join(part.data for part in server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE))
        with Stream(server) as stream:
            stream.create("")
            server.admin.Restore(iter([admin.RestoreRequest(data=backup, replace_existing=True)]),
                                 timeout=PATIENCE)
            self.assertEnds("STORE_REPLACED", stream.until_ended())

    def test_cancel_of_what_is_not_there(self):
        with Stream(self.start(mode="none")) as stream:
            stream.cancel(1)
            self.assertEnds("WATCH_NOT_FOUND", stream.until_ended())

    def test_more_watches_than_a_stream_may_have(self):
        with Stream(self.start(mode="none")) as stream:
            for watch_id in range(1000):
                stream.create("", watch_id=watch_id)
            self.assertEnds("TOO_MANY_WATCHES", stream.create("", watch_id=1000))


if __name__ == "__main__":
    harness.main()
