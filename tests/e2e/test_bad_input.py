"""Bad input is refused with a helpful text and changes nothing, and the server goes on without
leaks."""
import contextlib
import os
import random
import re
import select
import signal
import socket
import subprocess
import time

import grpc

import harness
import http2
from harness import PATIENCE, PLUGINS, BAD_PLUGINS, admin, kv

Code = grpc.StatusCode
BOTH = f"{PLUGINS}:{BAD_PLUGINS}"
ADMIN_METHODS = admin.DESCRIPTOR.services_by_name["AdminService"].methods_by_name


def field(number, content):
    """A length-delimited field, as the wire has it."""
    size = len(content)
    length = b""
    while size >= 0x80:
        length += bytes([size & 0x7f | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


class Requests(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none", flags=["--max-value-size", "100000",
                                                     "--max-message-size", "400000"])
        self.server.set("kept", b"value")
        self.before = self.server.status()

    def check_unchanged(self):
        after = self.server.status()
        for name in ("plugin", "generation", "version", "keys", "bytes", "last_error"):
            self.assertEqual(getattr(after, name), getattr(self.before, name), name)
        self.assertEqual(self.server.get("kept"), b"value")

    def raw(self, method, request):
        service = http2.ADMIN if method in ADMIN_METHODS else http2.SERVICE
        call = self.server.channel.unary_unary(
            method if method.startswith("/") else service + method)
        return call(request, timeout=PATIENCE)

    def test_an_empty_key_is_refused(self):
        for method in (lambda: self.server.set("", b"v"), lambda: self.server.get(""),
                       lambda: self.server.delete("")):
            self.assertFails(Code.INVALID_ARGUMENT, method, "key", "empty", "65536")
        self.check_unchanged()

    def test_a_key_above_the_limit_is_refused_and_one_at_the_limit_is_accepted(self):
        for method in (lambda: self.server.set("k" * 65537, b"v"),
                       lambda: self.server.get("k" * 65537),
                       lambda: self.server.delete("k" * 65537)):
            self.assertFails(Code.INVALID_ARGUMENT, method, "key", "65536", "65537")
        self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.scan(prefix="k" * 65537),
                         "range.prefix", "65536", "65537")
        self.check_unchanged()
        self.server.set("k" * 65536, b"v")
        self.assertEqual(self.server.get("k" * 65536), b"v")

    def test_a_value_above_the_limit_is_refused_and_one_at_the_limit_is_taken(self):
        self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.set("k", b"v" * 100001),
                         "value", "100000", "100001")
        self.check_unchanged()
        self.server.set("k", b"v" * 100000)
        self.assertEqual(len(self.server.get("k")), 100000)

    def test_a_message_above_the_receive_limit_is_refused(self):
        self.assertFails(Code.RESOURCE_EXHAUSTED, lambda: self.server.set("k", b"v" * 500000),
                         "400000")
        self.check_unchanged()

    def test_the_default_limit_of_a_value_is_64_mib(self):
        server = self.start(data="large", mode="none")
        self.assertFails(Code.INVALID_ARGUMENT, lambda: server.set("k", bytes((64 << 20) + 1)),
                         "value", str(64 << 20), str((64 << 20) + 1))
        self.assertEqual(server.keys(), [])
        server.set("k", bytes(64 << 20))
        self.assertEqual(len(server.get("k")), 64 << 20)

    def test_a_key_that_is_no_utf8_or_holds_nul_is_refused(self):
        for key, offset in ((b"ab\xff", 2), (b"\xc0\xaf", 0), (b"a\x00b", 1), (b"\xed\xa0\x80", 0),
                            (b"\xf4\x90\x80\x80", 0), (b"abc\xc3", 3)):
            for method in ("Set", "Get", "Del"):
                with self.subTest(key=key, method=method):
                    self.assertFails(Code.INVALID_ARGUMENT,
                                     lambda: self.raw(method, field(1, key)),
                                     "key", f"0x{key[offset]:02x}", f"offset {offset}", "UTF-8")
        self.check_unchanged()

    def test_a_message_that_cannot_be_decoded_is_refused(self):
        for method in ("Set", "Get", "Del", "Keys", "Config", "Configure", "ListPlugins", "Save",
                       "GetStatus", http2.KEYVALUE + "Batch", http2.KEYVALUE + "Transaction"):
            with self.subTest(method=method):
                self.assertFails(Code.INVALID_ARGUMENT, lambda: self.raw(method, b"\x0a\xff\xff"))
        self.check_unchanged()

    def test_an_unknown_mode_is_refused(self):
        for mode in (4, 99, -1, 2147483647, -2147483648):
            self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.stub.Config(
                kv.ConfigRequest(storage_mode=mode), timeout=PATIENCE),
                "storage_mode", str(mode), "NON_PERSISTENT")
        self.check_unchanged()

    def test_negative_numbers_are_refused_where_the_mode_uses_them(self):
        for name, number in (("snapshot_interval", -1), ("max_snapshots", -5), ("aof_max_size", -1),
                             ("snapshot_interval", -2147483648), ("aof_max_size", -(1 << 63))):
            with self.subTest(name=name, number=number):
                self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.stub.Config(
                    kv.ConfigRequest(storage_mode=kv.HYBRID, **{name: number}), timeout=PATIENCE),
                    name, str(number))
        self.check_unchanged()

    def test_an_option_that_is_unknown_or_out_of_range_is_refused(self):
        for plugin, options, texts in (
                ("hybrid", {"speed": "1"}, ["speed", "fsync", "max_snapshots"]),
                ("hybrid", {"fsync": "sometimes"}, ["fsync", "always|everysec|no", "sometimes"]),
                ("aof", {"max_snapshots": "3"}, ["max_snapshots", "aof_max_size"]),
                ("snapshot", {"max_snapshots": "0"}, ["max_snapshots", "from 1", '"0"']),
                ("snapshot", {"max_snapshots": "many"}, ["max_snapshots", "many"]),
                ("snapshot", {"snapshot_interval": ""}, ["snapshot_interval"]),
                ("aof", {"aof_max_size": "10X"}, ["aof_max_size", "10X"]),
                ("aof", {"aof_max_size": "99999999999999999999"}, ["aof_max_size", "9999999999"]),
                ("none", {"fsync": "always"}, ["fsync", "none"])):
            with self.subTest(plugin=plugin, options=options):
                self.assertFails(Code.INVALID_ARGUMENT,
                                 lambda: self.server.configure(plugin, options), *texts)
        self.check_unchanged()

    def test_a_plugin_name_that_is_a_path_is_refused(self):
        self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.configure(""), "plugin")
        for name in ("../aof", "/tmp/aof", "aof.so", "AOF", "a" * 300):
            self.assertFails(Code.INVALID_ARGUMENT, lambda: self.server.configure(name), "name")
        self.check_unchanged()

    def test_a_write_above_the_memory_limit_is_refused(self):
        server = self.start(data="small", mode="none", flags=["--max-memory", "1000"])
        server.set("a", b"x" * 500)
        self.assertFails(Code.RESOURCE_EXHAUSTED, lambda: server.set("b", b"x" * 600),
                         "1000", "max-memory")
        self.assertFails(Code.RESOURCE_EXHAUSTED, lambda: server.set("a", b"x" * 1100), "1000")
        self.assertEqual(server.keys(), ["a"])
        self.assertEqual(server.get("a"), b"x" * 500)
        server.delete("a")
        server.set("b", b"x" * 600)


class Plugins(harness.Case):
    FAULTS = [
        ("nowhere", {}, Code.NOT_FOUND, ["nowhere", "hybrid"]),
        ("other_abi", {}, Code.FAILED_PRECONDITION, ["other_abi", "ABI 99", "ABI 1"]),
        ("missing_hook", {}, Code.FAILED_PRECONDITION, ["missing_hook", "on_write"]),
        ("no_load", {}, Code.FAILED_PRECONDITION, ["no_load", "on_load"]),
        ("no_tick", {}, Code.FAILED_PRECONDITION, ["no_tick", "on_tick"]),
        ("no_symbol", {}, Code.FAILED_PRECONDITION, ["no_symbol", "kvstore_plugin"]),
        ("other_name", {}, Code.FAILED_PRECONDITION, ["other_name", "elsewhere"]),
        ("faulty", {"open": "invalid"}, None, ["faulty", "told to fail"]),
        ("faulty", {"open": "io"}, None, ["faulty", "told to fail"]),
        ("faulty", {"load": "corrupt"}, None, ["faulty", "told to fail"]),
    ]

    def test_a_plugin_that_cannot_be_used_is_named_and_the_old_mode_goes_on(self):
        server = self.start(mode="aof", plugins=BOTH)
        server.set("k", b"v")
        before = server.status()
        faults = [*self.FAULTS, ("faulty", {"tick": "io"}, None, ["faulty", "told to fail"]),
                  ("faulty", {"tick": "no_space"}, None, ["faulty", "told to fail"])]
        for plugin, options, code, texts in faults:
            with self.subTest(plugin=plugin, options=options):
                with self.assertRaises(grpc.RpcError) as caught:
                    server.configure(plugin, options)
                if code:
                    self.assertEqual(caught.exception.code(), code)
                for text in texts:
                    self.assertIn(text, caught.exception.details())
                after = server.status()
                self.assertEqual((after.plugin, after.generation, after.read_only),
                                 ("aof", before.generation, False))
        server.set("k2", b"v2")
        server.kill9()
        again = self.start(plugins=BOTH)
        self.assertEqual(again.scan(), [("k", b"v"), ("k2", b"v2")])
        generations = [name for name in os.listdir(again.data) if name.startswith("gen-")]
        self.assertEqual(len(generations), 1, generations)

    def test_what_could_hide_or_turn_text_reaches_neither_an_answer_nor_the_log(self):
        """Line ends, escapes, and the override that shows `gpj.exe` as `exe.jpg`."""
        bad = "a\n\x1b[2J\u202eb\u200b\u2028\u2066\u00ad\ufeff\x9b"
        server = self.start(mode="none", plugins=BOTH)
        for plugin, options in ((bad, {}), ("aof", {bad: "1"}), ("aof", {"fsync": bad}),
                                ("faulty", {"open": "invalid", "text": bad})):
            text = self.assertFails(Code.INVALID_ARGUMENT,
                                    lambda: server.configure(plugin, options))
            self.assertTrue(text.isprintable(), ascii(text))
        server.stop()
        self.assertIn("stopped", server.log.text())
        for line in server.log.lines:
            self.assertTrue(line.isprintable(), ascii(line))

    def test_at_the_start_the_same_faults_stop_the_server(self):
        for plugin, options, _, texts in self.FAULTS:
            with self.subTest(plugin=plugin, options=options):
                self.assertRefusesToStart(
                    *texts, data=plugin, mode=plugin, plugins=BOTH,
                    options=[f"{name}={value}" for name, value in options.items()])
        self.assertRefusesToStart("speed", "fsync", data="option", options=["speed=1"])

    def test_a_start_that_was_refused_leaves_the_directory_usable(self):
        self.assertRefusesToStart("nowhere", mode="nowhere")
        self.start().set("k", b"v")

    def test_a_recorded_mode_whose_plugin_is_missing_stops_the_start_and_keeps_the_data(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        server.stop()
        self.assertRefusesToStart("aof", plugins=BAD_PLUGINS)
        self.assertEqual(self.start().get("k"), b"v")


class Flags(harness.Case):
    def test_a_flag_that_is_wrong_is_refused_and_named(self):
        for flags, texts in ((["--colour", "red"], ["--colour"]),
                             (["--max-value-size", "huge"], ["max-value-size", "huge"]),
                             (["--log-level", "loud"], ["log-level", "loud", "debug"]),
                             (["--listen", "nonsense"], ["nonsense"]),
                             (["--listen", "127.0.0.1:99999"], ["99999"]),
                             (["--option", "fsync"], ["fsync", "NAME=VALUE"]),
                             (["--config", "/nonexistent/file"], ["/nonexistent/file"]),
                             (["--plugin-dir", "/nonexistent/dir"], ["/nonexistent/dir"]),
                             (["stray"], ["stray"])):
            with self.subTest(flags=flags):
                self.assertRefusesToStart(*texts, flags=flags)


    def test_every_program_tells_its_usage_when_asked_by_one_letter(self):
        for program in ("server", "cli", "check", "bench", "plugin-check"):
            answers = [subprocess.run([os.path.join(harness.BIN, f"kvstore-{program}"), flag],
                                      capture_output=True, text=True, timeout=PATIENCE,
                                      stdin=subprocess.DEVNULL, env=harness.environment())
                       for flag in ("-h", "--help")]
            with self.subTest(program=program):
                self.assertEqual([answer.returncode for answer in answers], [0, 0])
                self.assertEqual(answers[0].stdout, answers[1].stdout)
                self.assertIn("sage: kvstore-" + program, answers[0].stdout)

    def test_the_readme_has_the_settings_that_the_help_has(self):
        usage = self.run_server("--help").stdout
        with open(os.path.join(harness.ROOT, "README.md"), encoding="utf-8") as file:
            readme = file.read()
        rows = re.findall(r"^  --([a-z-]+) (\S+) +(.+?)(?: \(default (\S+)\))?$", usage, re.MULTILINE)
        self.assertGreater(len(rows), 10)
        for name, argument, text, default in rows:
            if name in ("plugin-dir", "config"):  # phrased differently there
                continue
            variable = "KVSTORE_" + name.upper().replace("-", "_")
            self.assertIn(f"| `--{name} {argument}` | `{variable}` | "
                          f"{default and f'`{default}`'} | {text} |", readme)

    def run_server(self, *flags, **settings):
        return subprocess.run([harness.SERVER, "--plugin-dir", PLUGINS, *flags],
                              capture_output=True, text=True, timeout=PATIENCE,
                              env=harness.environment(**settings))

    def test_a_configuration_can_be_checked_without_a_start(self):
        data = os.path.join(self.folder, "data")
        good = self.run_server("--check-config", "--mode", "aof", "--data-dir", data)
        self.assertEqual(good.returncode, 0, good.stderr)
        for flags in (["--mode", "nowhere"], ["--mode", "aof", "--option", "speed=1"],
                      ["--workers", "0"]):
            bad = self.run_server("--check-config", "--data-dir", data, *flags)
            self.assertEqual(bad.returncode, 2, flags)
            self.assertIn(flags[-1].split("=")[0], bad.stderr)
        self.assertFalse(os.path.exists(data))

    def test_what_a_start_refuses_the_check_refuses_in_the_same_words(self):
        recorded = self.start(data="recorded", mode="aof", options=["fsync=no"])
        busy = recorded.address
        damaged = self.start(data="damaged", mode="none")
        damaged.stop()
        with open(os.path.join(damaged.data, "ACTIVE"), "r+b") as file:
            file.write(b"x")
        shared = os.path.join(self.folder, "shared")
        os.mkdir(shared)
        os.chmod(shared, 0o777)
        unused = os.path.join(self.folder, "unused")
        cases = [
            ["--data-dir", unused, "--listen", "nonsense"],
            ["--data-dir", unused, "--listen", "192.0.2.1:0"],
            ["--data-dir", unused, "--listen", "no.such.host.invalid:1"],
            ["--data-dir", unused, "--listen", busy],
            ["--data-dir", unused, "--listen", f"unix:{self.folder}/missing/socket"],
            ["--data-dir", unused, "--option", "fsync=sometimes"],
            ["--data-dir", unused, "--mode", "nowhere"],
            ["--data-dir", unused, "--mode", "encrypt", "--option", "key_file=/nonexistent"],
            ["--data-dir", "/dev/null"],
            ["--data-dir", os.path.join(self.folder, "missing", "data")],
            ["--data-dir", shared],
            ["--data-dir", recorded.data],
            ["--data-dir", damaged.data],
        ]
        self.compare_checks_and_starts(cases)
        recorded.stop()
        self.compare_checks_and_starts([["--data-dir", recorded.data, *flags] for flags in (
            ["--mode", "hybrid"], ["--option", "fsync=always"], ["--option", "speed=1"])])
        good = self.run_server("--check-config", "--data-dir", recorded.data, "--mode", "aof",
                               "--option", "fsync=no", "--listen", "127.0.0.1:0")
        self.assertEqual((good.returncode, good.stdout), (0, "the configuration is valid\n"),
                         good.stderr)

    def compare_checks_and_starts(self, cases):
        def files():
            return [entry for entry in os.walk(self.folder)]
        def errors(answer):
            """The text without its times."""
            return [line.split(" ", 1)[1] for line in answer.stderr.splitlines() if " error " in line]
        cases = [flags if "--listen" in flags else ["--listen", "127.0.0.1:0", *flags]
                 for flags in cases]
        before = files()
        checks = [self.run_server("--check-config", *flags) for flags in cases]
        self.assertEqual(files(), before, "a check leaves something behind")
        for flags, checked in zip(cases, checks):
            with self.subTest(flags=flags):
                self.assertEqual(checked.returncode, 2, checked.stderr)
                started = self.run_server(*flags)
                self.assertNotEqual(started.returncode, 0)
                self.assertTrue(errors(checked), checked.stderr)
                self.assertEqual(errors(checked), errors(started))

    def test_the_environment_and_a_file_are_checked_as_flags_are(self):
        bad = self.run_server("--check-config", KVSTORE_LOG_LEVEL="loud")
        self.assertEqual(bad.returncode, 2)
        self.assertIn("environment", bad.stderr)
        self.assertIn("loud", bad.stderr)
        path = os.path.join(self.folder, "kvstore.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write("log-level = debug\ncolour = red\n")
        bad = self.run_server("--check-config", "--config", path)
        self.assertEqual(bad.returncode, 2)
        self.assertIn(path, bad.stderr)
        self.assertIn("colour", bad.stderr)


class Strangers(harness.Case):
    def test_a_client_does_not_learn_where_the_data_is(self):
        os.mkdir(os.path.join(self.folder, "real"), 0o700)
        os.symlink("real", os.path.join(self.folder, "data"))
        server = self.start(mode="aof")
        server.set("k", b"v")
        os.rename(server.data, server.data + "-elsewhere")
        self.assertTrue(server.log.wait_for(f"{server.data} is no longer there"))
        for call in (lambda: server.set("k", b"w"), server.save, lambda: server.configure("hybrid")):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertIn("DATA_DIR", caught.exception.details())
            self.assertNotIn(self.folder, caught.exception.details())
        status = server.status()
        self.assertIn("DATA_DIR", status.last_error)
        self.assertNotIn(self.folder, str(status))
        os.rename(server.data + "-elsewhere", server.data)


class Second(harness.Case):
    def test_a_second_server_on_the_data_directory_names_the_first(self):
        first = self.start(mode="aof")
        self.assertRefusesToStart(first.data, str(first.pid))
        first.set("k", b"v")
        first.kill9()
        self.assertEqual(self.start().get("k"), b"v")

    def test_a_second_server_on_the_port_says_how_to_find_the_first(self):
        first = self.start(mode="none")
        self.assertRefusesToStart(first.address, "ss -ltnp", data="other",
                                  listen=first.address)
        first.set("k", b"v")


def descriptors(pid):
    """What each open descriptor of a process refers to, by its number."""
    folder, found = f"/proc/{pid}/fd", {}
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(os.path.join(folder, name))
    return found


class Connections(harness.Case):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("KVSTORE_TEST_SEED", time.time_ns() & 0xffffffff))
        self.random = random.Random(self.seed)
        print(f"KVSTORE_TEST_SEED={self.seed}")
        self.server = self.start(mode="none")
        self.server.fill((f"k{i:04}", b"v" * 10000) for i in range(1000))
        # A plug-in's private copy stays open from its first use.
        self.server.admin.ListPlugins(admin.ListPluginsRequest(), timeout=PATIENCE)
        self.before = descriptors(self.server.pid)

    def check_recovered(self):
        """Waits until the descriptors are closed: /proc has no event for that."""
        self.assertEqual(self.server.get("k0000"), b"v" * 10000)
        deadline = time.monotonic() + PATIENCE
        while len(now := descriptors(self.server.pid)) > len(self.before):
            if time.monotonic() > deadline:
                self.fail(f"before: {self.before}\nmore now: {dict(now.items() - self.before.items())}")
            select.select([], [], [], 0.02)
        self.server.stop()

    def garbage(self, data):
        """Sends it, closes this side, and reads until the server has closed the connection."""
        connection = harness.raw_connection(self.server.port)
        with connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except TimeoutError:
                self.fail("the server keeps a connection that its client has closed")
            except OSError:
                pass

    def test_garbage_on_the_port_does_no_harm(self):
        for data in (b"", b"\x00" * 1000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 100000,
                     b"*3\r\n$3\r\nSET\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                     http2.PREFACE + self.random.randbytes(1000),
                     *(self.random.randbytes(self.random.randrange(1, 5000)) for _ in range(20)),
                     *(http2.PREFACE + http2.settings() + self.random.randbytes(self.random.randrange(1, 3000))
                       for _ in range(20))):
            self.garbage(data)
        self.check_recovered()

    def test_half_requests_do_no_harm(self):
        message = http2.message(b"\x0a\x01k", length=4096)
        whole = http2.PREFACE + http2.settings() + http2.call(1, "Set", message, flags=0)
        for end in range(1, len(whole) + 1, 3):
            with harness.raw_connection(self.server.port) as connection:
                connection.sendall(whole[:end])
        self.garbage(whole)
        self.assertEqual(self.server.status().keys, 1000)
        self.check_recovered()

    def test_clients_that_vanish_in_the_middle_of_a_call_do_no_harm(self):
        write = (http2.SERVICE + "Set", kv.SetRequest(key="k0001", value=b"w" * 10000))
        gets = harness.data.BatchRequest(
            operations=[harness.getting(f"k{i:04}") for i in range(1000)])
        calls = [
            [(http2.KEYVALUE + "Scan", harness.data.ScanRequest()), write, write, write],
            [(http2.KEYVALUE + "Batch", gets), (http2.SERVICE + "Keys", kv.KeysRequest()), write],
            [(http2.ADMIN + "Configure", admin.ConfigureRequest(plugin="aof")),
             (http2.ADMIN + "Configure", admin.ConfigureRequest(plugin="none")),
             (http2.ADMIN + "Save", admin.SaveRequest()), write],
            [("/grpc.health.v1.Health/Watch", harness.health.HealthCheckRequest()), write,
             ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
              harness.reflection.ServerReflectionRequest(list_services="*"))],
        ]
        clients = [self.vanishing(several) for several in calls * 2]
        for client in clients:
            _, error = client.communicate(timeout=PATIENCE)
            self.assertEqual(client.returncode, -signal.SIGKILL, error)
        self.server.configure("none")
        self.check_recovered()

    def vanishing(self, calls):
        words = [f"{path}={request.SerializeToString().hex()}" for path, request in calls]
        client = subprocess.Popen(
            ["/usr/bin/python3", "-B",
             os.path.join(harness.ROOT, "tests", "e2e", "vanishing_client.py"),
             self.server.address, "10", *words], stderr=subprocess.PIPE, env=harness.environment())
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        return client

    def test_calls_that_are_cancelled_do_no_harm(self):
        for i in range(100):
            scan = self.server.keyvalue.Scan(harness.data.ScanRequest())
            if i % 2:
                next(scan)
            scan.cancel()
            write = self.server.stub.Set.future(kv.SetRequest(key="k0001", value=b"w"))
            write.cancel()
        self.check_recovered()


if __name__ == "__main__":
    harness.main()
