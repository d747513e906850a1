"""The client's commands for the data: versions, conditions, expiry, ranges, transactions, watches."""
import base64
import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import time

import grpc

import harness
from harness import CLI, PATIENCE, data
from terminal import Terminal

FAILED_PRECONDITION = 64 + grpc.StatusCode.FAILED_PRECONDITION.value[0]
INVALID_ARGUMENT = 64 + grpc.StatusCode.INVALID_ARGUMENT.value[0]
OUT_OF_RANGE = 64 + grpc.StatusCode.OUT_OF_RANGE.value[0]
UNAVAILABLE = 64 + grpc.StatusCode.UNAVAILABLE.value[0]
UNIMPLEMENTED = 64 + grpc.StatusCode.UNIMPLEMENTED.value[0]
NOT_MET = 5
HOUR_MS = 3600 * 1000


class ClientDataCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def run_cli(self, *words, stdin="", server=None):
        return subprocess.run([CLI, "-a", (server or self.server).address, *words], input=stdin,
                              capture_output=True, text=True, timeout=PATIENCE,
                              env=harness.environment())

    def check(self, *words, code=0, out=None, error="", **keywords):
        done = self.run_cli(*words, **keywords)
        self.assertEqual(done.returncode, code, done)
        if out is not None:
            self.assertEqual(done.stdout, out)
        self.assertIn(error, done.stderr)
        if not error:
            self.assertEqual(done.stderr, "")
        return done.stdout

    def entry(self, key):
        return self.server.keyvalue.Get(data.GetRequest(key=key)).entry

    def left_ms(self, key):
        return self.entry(key).expire_time_ms - time.time() * 1000

    def prompt(self, *options):
        terminal = Terminal([CLI, "-a", self.server.address, *options], KVSTORE_HISTORY="")
        self.addCleanup(terminal.close)
        return terminal


class Scripted:
    """A server whose KeyValueService answers as told; `asked` has the requests."""

    def __init__(self, case, **answers):
        self.asked = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(
            "kvstore.v1.KeyValueService",
            {name: self.handler(name, answer) for name, answer in answers.items()})])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        case.addCleanup(self.server.stop, None)

    def handler(self, name, answer):
        def unary(request, _context):
            self.asked.append(request)
            return answer(request)

        def stream(requests, context):
            self.asked.append(next(requests))
            yield from answer(self.asked[-1].create, context)

        words = [getattr(data, f"{name}Request").FromString,
                 lambda message: message.SerializeToString()]
        return (grpc.stream_stream_rpc_method_handler(stream, *words) if name == "Watch" else
                grpc.unary_unary_rpc_method_handler(unary, *words))


class OneKey(ClientDataCase):
    def test_a_version_is_shown_and_taken_as_a_condition(self):
        self.check("set", "k", "one")
        version = self.entry("k").version
        self.assertRegex(self.check("get", "k", "-v"), rf"(?m)^version +{version}$")
        self.assertRegex(self.check("get", "-v", "k"), r"(?m)^value +one$")
        self.check("set", "k", "two", "--if-version", str(version), out="OK\n")
        self.check("set", "k", "three", f"--if-version={version}", code=FAILED_PRECONDITION, out="",
                   error=str(self.entry("k").version))
        self.check("get", "k", out="two\n")
        self.check("del", "k", f"--if-version={version}", code=FAILED_PRECONDITION, out="",
                   error="FAILED_PRECONDITION")
        self.check("del", "k", f"--if-version={self.entry('k').version}", out="1\n")

    def test_a_key_is_set_only_where_it_is_absent_present_or_of_a_value(self):
        self.check("set", "k", "v", "--if-present", code=FAILED_PRECONDITION, error="missing")
        self.check("set", "k", "v", "--if-absent", out="OK\n")
        self.check("set", "k", "w", "--if-absent", code=FAILED_PRECONDITION,
                   error=str(self.entry("k").version))
        self.check("set", "k", "w", "--if-value", "other", code=FAILED_PRECONDITION,
                   error="FAILED_PRECONDITION")
        self.check("set", "k", "w", "--if-value", "v", out="OK\n")
        self.check("set", "k", "x", "--if-present", out="OK\n")
        self.check("get", "k", out="x\n")

    def test_what_was_there_before_is_shown_on_request(self):
        self.check("set", "k", "one", "--previous", error="(not found) k")
        self.check("set", "k", "two", "--previous", out="one\n")
        self.check("del", "k", "--previous", out="two\n")
        self.check("del", "k", "--previous", code=1, error="(not found) k")

    def test_a_key_expires_after_a_duration_or_at_a_time(self):
        for word, ms in (("90s", 90000), ("1h30m", 1.5 * HOUR_MS), ("2d", 48 * HOUR_MS),
                         ("120", 120000), ("3600000ms", HOUR_MS)):
            with self.subTest(word):
                self.check("set", "k", "v", "--ttl", word, out="OK\n")
                self.assertTrue(ms - PATIENCE * 1000 < self.left_ms("k") <= ms, self.left_ms("k"))
        self.check("set", "k", "v", "--expire-at", "2100-01-01T02:00:00.250+02:00")
        self.assertEqual(self.entry("k").expire_time_ms, 4102444800250)
        self.check("set", "k", "v", "--expire-at=4102444800001")
        self.assertEqual(self.entry("k").expire_time_ms, 4102444800001)
        self.check("set", "k", "v", "--ttl", "1ms")
        while "not found" not in self.run_cli("get", "k").stderr:
            pass

    def test_what_is_no_time_is_refused_with_what_would_be_one(self):
        for words in (["set", "k", "v", "--ttl", "10x"], ["set", "k", "v", "--ttl", "0"],
                      ["set", "k", "v", "--ttl", "-5s"], ["expire", "k", "soon"],
                      ["set", "k", "v", "--expire-at", "2100-01"],
                      ["set", "k", "v", "--ttl", "99999999999999999999s"]):
            with self.subTest(words):
                self.check(*words, code=2, out="", error=words[-1])

    def test_the_expiry_is_kept_cleared_and_changed_as_asked(self):
        self.check("set", "k", "v", "--ttl", "1h")
        self.check("set", "k", "w", "--keep-ttl")
        self.assertGreater(self.left_ms("k"), HOUR_MS / 2)
        self.assertIn("in 59m", self.check("get", "k", "-v"))
        self.assertTrue(HOUR_MS / 2 < int(self.check("ttl", "k")) <= HOUR_MS)
        self.check("set", "k", "x")
        self.check("ttl", "k", out="-1\n")
        self.check("expire", "k", "10m", out="OK\n")
        self.assertTrue(0 < int(self.check("ttl", "k")) <= 600000)
        self.check("persist", "k", out="OK\n")
        self.check("ttl", "k", out="-1\n")
        self.assertRegex(self.check("get", "k", "-v"), r"(?m)^expires +never$")
        self.check("expire", "k", "1ms", out="OK\n")
        while "not found" not in self.run_cli("get", "k").stderr:
            pass
        for words in (["get", "k"], ["ttl", "k"]):
            self.check(*words, code=1, out="", error="(not found) k")
        for words in (["expire", "k", "1s"], ["persist", "k"]):
            self.check(*words, code=1, out="", error="(not found) k")

    def test_counters_count(self):
        self.check("incr", "n", out="1\n")
        self.check("incr", "n", "41", out="42\n")
        self.check("decr", "n", out="41\n")
        self.check("decr", "n", "-9", out="50\n")
        self.check("incr", "m", "5", "--initial", "100", "--ttl", "1h", out="105\n")
        self.assertGreater(self.left_ms("m"), 0)
        self.check("incr", "n", "9223372036854775807", code=FAILED_PRECONDITION, out="",
                   error="FAILED_PRECONDITION")
        self.check("set", "n", "many")
        self.check("incr", "n", code=FAILED_PRECONDITION, error="decimal integer")
        self.check("incr", "n", "x", code=2, error='"x"')
        self.check("incrby", "m", "2", out="107\n")
        self.check("decrby", "m", "7", "--keep-ttl", out="100\n")
        self.check("txn", stdin="incrby m 5\ndecrby m 4\n", out="105\n101\n")

    def test_several_keys_are_read_at_once(self):
        self.check("set", "a", "1")
        self.check("set", "b", "two words")
        self.check("mget", "a", "b", out='a\t1\nb\t"two words"\n')
        self.check("mget", "a", "gone", "b", code=1, out='a\t1\nb\t"two words"\n',
                   error="(not found) gone")
        self.check("exists", "a", out="1\n")
        self.check("exists", "a", "gone", "b", "a", code=1, out="3\n", error="(not found) gone")
        self.check("exists", "gone", code=1, out="0\n", error="(not found) gone")

    def test_entries_come_as_json_for_programs(self):
        value = bytes(range(256))
        self.server.set('ü"', value)
        self.check("set", "k", "two words", "--expire-at", "2100-01-01", out="OK\n")
        wanted = [{"version": self.entry(key).version, "key": key, "expireTimeMs": time,
                   "value": base64.b64encode(bytes_).decode()}
                  for key, time, bytes_ in (("k", 4102444800000, b"two words"), ('ü"', 0, value))]

        def read(*words, **keywords):
            return [json.loads(line) for line in self.check(*words, **keywords).splitlines()]

        self.assertEqual(read("get", 'ü"', "--json"), wanted[1:])
        self.assertEqual(read("mget", "k", "--json", 'ü"'), wanted)
        self.assertEqual(read("mget", "gone", "k", "--json", code=1, error="(not found) gone"),
                         wanted[:1])
        self.assertEqual(read("scan", "--json"), wanted)
        self.assertEqual(read("txn", stdin="get k --json\n"), wanted[:1])
        for entry in wanted:
            del entry["value"]
        self.assertEqual(read("scan", "--json", "--keys-only"), wanted)
        wanted[1]["omittedValueSize"] = 256
        self.assertEqual(read("scan", "--json", "--value-max", "100", "--prefix", "\u00fc"),
                         wanted[1:])
        self.check("get", "gone", "--json", code=1, out="", error="(not found) gone")
        self.check("get", "k", "-v", "--json", code=2, out="", error="give one of them")
        self.check("mget", "--json", code=2, out="", error="usage")

    def test_at_a_terminal_each_of_several_keys_that_is_missing_is_named(self):
        self.server.set("a", b"1")
        terminal = self.prompt()
        for line, answer in (("mget a gone", "a\t1"), ("", "(not found) gone"),
                             ("del gone other", "(not found) gone"), ("", "(not found) other"),
                             ("exists gone a", "(not found) gone"), ("", "1\r\n"),
                             ("get gone", "(not found)\r\n"), ("expire gone 5m", "(not found)\r\n")):
            if line:
                terminal.await_text("kvstore> ")
                terminal.type(line + "\r")
                terminal.await_text(line + "\r\n")
            terminal.await_text(answer)

    def test_what_the_server_refuses_is_said_in_the_words_of_the_commands(self):
        self.check("set", "k", "v")
        self.check("set", "n", "many")
        version = self.entry("k").version
        for words, error in (
                (["set", "k", "w", "--if-absent"], "error: --if-absent: the key exists"),
                (["set", "gone", "w", "--if-present"], "error: --if-present: the key is missing"),
                (["set", "k", "w", "--if-version", "1234"], "error: --if-version: 1234 was asked"),
                (["set", "k", "w", "--if-value", "x"], "error: --if-value: is another"),
                (["set", "k", "w", "--durability", "synced"], "error: --durability: SYNCED"),
                (["set", "k", "w", "--ttl", "99999999d"], "error: --ttl: "),
                (["scan", "--page", "x"], "error: --page: "),
                (["scan", "b", "--start", "z"], "error: no key can be in this range"),
                (["watch", "--from", "9999"], "error: --from: is 9999"),
                (["wait", "9999"], "error: VERSION: 9999")):
            with self.subTest(words):
                done = self.run_cli(*words)
                self.assertGreater(done.returncode, 64, done)
                self.assertIn(error, done.stderr)
        for text, error in (("set a 1\n\nincr n\n", "line 3: incr: key: its value is no decimal"),
                            ("# x\nset k w --if-absent\n", "line 2: set: --if-absent: the key"),
                            ("exists k\nthen\nexpire gone 5m\n", "line 3: expire: key: is missing"),
                            ("exists gone\nelse\nset k w --if-version 9\n",
                             "line 3: set: --if-version: 9 was"),
                            ("missing ''\nthen\nset a 1\n", "line 1: missing: key: is empty")):
            with self.subTest(text):
                done = self.run_cli("txn", stdin=text)
                self.assertGreater(done.returncode, 64, done)
                self.assertIn("error: " + error, done.stderr)
                done = self.run_cli(stdin="get k\ntxn\n" + text + "commit\n")
                self.assertNotIn("[", done.stderr)
        self.assertEqual((self.entry("k").version, self.server.keys()), (version, ["k", "n"]))

    def test_a_write_is_as_durable_as_asked(self):
        server = self.start("durable", mode="aof", options=["fsync=no"])
        self.check("set", "k", "v", "--durability", "synced", out="OK\n", server=server)
        version = server.keyvalue.Get(data.GetRequest(key="k")).entry.version
        self.assertGreaterEqual(int(self.check("wait", server=server)), version)
        self.assertGreaterEqual(int(self.check("wait", str(version), "--durability=written",
                                               server=server)), version)
        self.check("set", "k", "v", "--durability", "synced", code=FAILED_PRECONDITION,
                   error="FAILED_PRECONDITION")
        self.check("set", "k", "v", "--durability", "sometimes", code=2, error="sometimes")

    def test_a_request_that_is_repeated_is_carried_out_once(self):
        self.check("incr", "n", "--request-id", "a", out="1\n")
        self.check("incr", "n", "--request-id", "a", out="1\n")
        self.check("incr", "n", "--request-id", "b", out="2\n")
        self.check("incr", "n", "7", "--request-id", "b", code=INVALID_ARGUMENT, out="",
                   error="error: --request-id: belongs to another request")
        self.check("incr", "n", "--request-id", "", code=2, out="", error="--request-id: is empty")
        self.check("txn", "--request-id=", stdin="incr n\n", code=2, error="--request-id: is empty")

    def test_an_option_that_is_unknown_or_lacks_its_value_is_named(self):
        for words in (["set", "k", "v", "--tll", "5s"], ["set", "k", "v", "--ttl"],
                      ["set", "k", "v", "w"], ["del", "k", "--if-value"], ["get", "k", "-w"],
                      ["incr", "k", "1", "2"], ["set", "k", "v", "--if-version", "x"],
                      ["ttl"], ["expire", "k"]):
            with self.subTest(words):
                self.check(*words, code=2, out="", error="error: ")
        self.assertEqual(self.server.keys(), [])

    def test_options_that_exclude_each_other_or_come_twice_are_refused(self):
        for words, error in (
                (["set", "k", "v", "--ttl", "10m", "--expire-at", "2100-01-01"], "--ttl and --exp"),
                (["set", "k", "v", "--keep-ttl", "--ttl=1s"], "--keep-ttl"),
                (["set", "k", "v", "--ttl", "100", "--ttl", "5"], "--ttl is given twice"),
                (["set", "k", "v", "--if-absent", "--if-present"],
                 "--if-absent and --if-present: give one of them"),
                (["set", "k", "v", "--if-absent", "--if-version", "3"], "give one of them"),
                (["set", "k", "v", "--previous", "--previous"], "twice"),
                (["set", "k", "v", "--request-id", "a", "--request-id", "b"], "twice"),
                (["incr", "k", "--ttl", "5", "--keep-ttl"], "give one of them"),
                (["incr", "k", "--initial", "5", "--initial", "6"], "twice"),
                (["del", "k", "--if-version", "1", "--if-value", "v"], "give one of them"),
                (["del", "--prefix", "a", "--prefix", "k", "--yes"], "twice"),
                (["del", "--prefix", "a", "--range", "k", "l", "--yes"], "give one of them"),
                (["expire", "k", "5m", "--if-present", "--if-version", "1"], "give one of them"),
                (["scan", "--limit", "1", "--limit", "2"], "twice"),
                (["scan", "a", "1", "--limit", "2"], "--limit is given twice"),
                (["scan", "a", "--prefix", "b"], "--prefix is given twice"),
                (["scan", "--count", "--keys-only"], "give one of them"),
                (["scan", "a", "1", "2"], '"2" is one word too many'),
                (["keys", "a", "--prefix", "b"], "twice"), (["keys", "a", "b"], "twice"),
                (["watch", "--from", "5", "--initial"], "give one of them"),
                (["watch", "--json", "--json"], "twice"),
                (["txn", "--durability", "written", "--durability", "synced"], "twice"),
                (["wait", "1", "100"], '"100" is one word too many'),
                (["wait", "--durability", "written", "--durability", "synced"], "twice"),
                (["configure", "none", "--shadow", "--validate-only"], "give one of them"),
                (["configure", "aof", "fsync=no", "fsync=always"], "fsync is given twice"),
                (["backup", "x", "--rate=1M", "--rate=2M"], "twice"), (["backup", "x", "y"], '"y"'),
                (["restore", "x", "--validate-only", "--validate-only"], "twice"),
                (["monitor", "--key=a", "--key=b"], "twice")):
            with self.subTest(words):
                self.check(*words, code=2, out="", error=error)
        self.assertEqual(self.server.keys(), [])
        self.assertEqual(self.server.status().plugin, "none")

    def test_an_option_whose_value_was_forgotten_is_not_stored_as_one(self):
        for words, error in ((["set", "k", "--ttl"], "--ttl needs a DURATION"),
                             (["set", "k", "--ttl", "5s"], "usage: set KEY VALUE"),
                             (["set", "k", "--previous"], "usage: set KEY VALUE"),
                             (["set", "k", "v", "--if-value", "--previous"], "--if-value=--previous"),
                             (["incr", "--initial", "5"], "usage: incr"),
                             (["del", "--if-version", "1"], "usage: del"),
                             (["del", "--previous"], "usage: del"),
                             (["del", "k", "--if-absent"], "unknown option --if-absent of del"),
                             (["expire", "k", "5s", "--if-absent"], "unknown option --if-absent"),
                             (["persist", "k", "--if-absent"], "unknown option --if-absent"),
                             (["set", "k", "v", "--previous=yes"], "takes no value")):
            with self.subTest(words):
                self.check(*words, code=2, out="", error=error)
                self.check(stdin=" ".join(words) + "\nkeys\n", code=2, out="", error=error)
        self.check("set", "--", "--ttl", "--ttl", out="OK\n")
        self.check("get", "--ttl", out="--ttl\n")
        self.check(stdin="set -- k --previous\nget -- k\ndel -- --ttl\nincr -- --initial 5\n",
                   out="OK\n--previous\n1\n5\n")
        self.check("-x", "set", "k", stdin="--ttl", out="OK\n")
        self.check("-x", "set", "k", "w", "--if-value", stdin="--ttl", out="OK\n")
        self.check("get", "k", out="w\n")

    def test_help_after_a_command_is_its_usage_and_no_key(self):
        for command in ("set", "get", "del", "incr", "decr", "expire", "persist", "ttl", "mget",
                        "keys", "scan", "watch", "txn", "wait", "save", "backup", "restore", "user",
                        "configure", "monitor", "hot", "help"):
            for flag in ("--help", "-h"):
                with self.subTest([command, flag]):
                    usage = self.check("help", command)
                    self.check(command, flag, out=usage)
                    self.check(stdin=f"{command} {flag}\n", out=usage)
        self.assertEqual(self.server.keys(), [])
        self.check("set", "--help", "v", code=2, out="", error="write --")
        self.check("set", "--", "--help", "v", out="OK\n")
        self.check("get", "--", "--help", out="v\n")
        self.check("mget", "--", "--help", out="--help\tv\n")
        self.check("-x", "get", stdin="--help", out="v\n")
        self.server.stop()
        self.check("incr", "--help", out=self.check("help", "incr"))

    def test_a_time_that_was_meant_otherwise_is_refused(self):
        self.server.set("k", b"v")
        for words, error in (
                (["set", "k", "new", "--expire-at", "1800000000"],
                 "--expire-at 1800000000: is 1970-01-21; Unix milliseconds have 13 digits, or give "
                 "2027-01-15T08:00:00Z"),
                (["set", "k", "new", "--expire-at", "18000000000000"], "13 digits"),
                (["set", "k", "new", "--expire-at", "2020-01-01"], "is in the past"),
                (["set", "k", "new", "--expire-at", "1577836800000"], "is in the past"),
                (["incr", "k", "--expire-at", "2020-01-01T00:00:00Z"], "is in the past"),
                (["expire", "k", "2020-01-01T00:00:00Z"], "is in the past"),
                (["expire", "k", "1800000000"],
                 "is a duration, of 57 years; give a time as 2027-01-15T08:00:00Z"),
                (["set", "k", "new", "--ttl", "1800000000"], "give a time as 2027"),
                (["set", "k", "new", "--ttl", "0"], "above 0")):
            with self.subTest(words):
                self.check(*words, code=2, out="", error=error)
                self.check("txn", stdin=" ".join(words), code=2, out="", error=error)
        self.assertEqual((self.server.get("k"), self.entry("k").expire_time_ms), (b"v", 0))
        self.check("set", "k", "v", "--expire-at", "2100-01-01")
        self.assertEqual(self.entry("k").expire_time_ms, 4102444800000)
        self.check("expire", "k", "2100-01-02", out="OK\n")
        self.assertEqual(self.entry("k").expire_time_ms, 4102531200000)
        self.check("set", "k", "v", "--ttl", "0.5h")
        self.assertTrue(HOUR_MS / 2 - PATIENCE * 1000 < self.left_ms("k") <= HOUR_MS / 2)

    def test_what_is_known_from_redis_is_answered_with_what_it_is_here(self):
        for words, here in ((["set", "k", "v", "EX", "10", "NX"], '"EX" is how Redis writes it; here: '
                             "--ttl 10s"), (["set", "k", "v", "nx"], "--if-absent"),
                            (["set", "k", "v", "PX", "500"], "--ttl 500ms"),
                            (["set", "k", "v", "XX"], "--if-present"),
                            (["set", "k", "v", "KEEPTTL"], "--keep-ttl"),
                            (["set", "k", "v", "GET"], "--previous"), (["pttl", "k"], "ttl KEY"),
                            (["setnx", "k", "v"], "--if-absent"), (["MULTI"], "txn"),
                            (["ping"], "health"), (["flushall"], 'del --prefix ""')):
            with self.subTest(words):
                self.check(*words, code=2, out="", error=here)
        self.assertEqual(self.server.keys(), [])

    def test_options_work_in_a_pipe_and_keep_the_order_of_lines(self):
        self.check(stdin='set a 1\nset a 2 --if-value 1\nset a 3\nget a\nget a -v\nincr a\n'
                         'set "--ttl" x\nget --ttl\ndel a --previous\nkeys\n',
                   out=f"OK\nOK\nOK\n3\n{self.verbose(3, 3, 1)}4\nOK\nx\n4\n--ttl\n")

    @staticmethod
    def verbose(value, version, size):
        return (f"value        {value}\nversion      {version}\nexpires      never\n"
                f"size         {size} byte\n")


class Ranges(ClientDataCase):
    def setUp(self):
        super().setUp()
        for key in ("a:1", "a:2", "a:3", "b:1", "b:2"):
            self.server.set(key, key.encode()[:1] * 5)

    def test_a_scan_goes_either_way_from_and_to_where_it_is_told(self):
        self.check("scan", "--keys-only", out="a:1\na:2\na:3\nb:1\nb:2\n")
        self.check("scan", "a:", out="a:1\taaaaa\na:2\taaaaa\na:3\taaaaa\n")
        self.check("scan", "--reverse", "--limit", "2", "--keys-only", out="b:2\nb:1\n",
                   error="--page")
        self.check("scan", "--start", "a:2", "--end=b:2", "--keys-only", out="a:2\na:3\nb:1\n")
        self.check("scan", "--count", out="5\n")
        self.check("scan", "a:", "--count", out="3\n")
        self.check("scan", "b:", "--value-max", "4", out="b:1\t(5 bytes left out)\n"
                                                         "b:2\t(5 bytes left out)\n")
        for words in (["--limit", "x"], ["--end"], ["--value-max", "x"], ["--backwards"],
                      ["a", "b"], ["a", "1", "2"]):
            with self.subTest(words):
                self.check("scan", *words, code=2, out="", error="error: ")

    def test_a_pattern_or_cursor_that_finds_nothing_is_answered_with_what_it_is_here(self):
        for words, here in (
                (["keys", "*"], 'begins with *; there are no patterns: write the prefix without *, '
                 'as ""'),
                (["keys", "a:*"], "without *, as a:\n"), (["keys", "--prefix=a:*"], "as a:\n"),
                (["scan", "a:*"], "as a:\n"), (["scan", "--prefix", "a:*", "--json"], "as a:\n"),
                (["scan", "0"], 'no cursors: scan "" N lists the first N keys')):
            with self.subTest(words):
                self.check(*words, out="", error=here)
        self.check("scan", "a:*", "--count", out="0\n", error="as a:")
        for words in (["keys", "x"], ["scan", "x"], ["scan", "0", "5"], ["scan", "--prefix", "0"]):
            with self.subTest(words):
                self.check(*words, out="")
        self.server.set("*", b"v")
        self.server.set("0", b"v")
        self.check("keys", "*", out="*\n")
        self.check("scan", "0", out="0\tv\n")
        self.check("scan", "0", "--count", out="1\n")

    def test_getting_a_prefix_as_in_etcdctl_is_answered_with_scan(self):
        for words in (["--prefix", "a:"], ["a:", "--prefix"], ["a:", "--prefix=true"]):
            with self.subTest(words):
                self.check("get", *words, code=2, out="", error="scan --prefix PREFIX")
        self.server.set("--prefix", b"v")
        self.check("get", "--prefix", out="v\n")
        self.check("get", "a:1", "a:2", code=2, out="", error="mget gets several keys")

    def test_a_scan_goes_on_at_the_page_that_it_names(self):
        shown, page = "", []
        for _ in range(3):
            done = self.run_cli("scan", "--limit", "2", "--keys-only", *page)
            self.assertEqual(done.returncode, 0, done)
            shown += done.stdout
            page = ["--page", done.stderr.split()[-1]] if done.stderr else None
        self.assertEqual(shown, "a:1\na:2\na:3\nb:1\nb:2\n")
        self.assertIsNone(page)

    def test_a_range_is_deleted_only_by_who_means_it(self):
        self.check("del", "--prefix", "a:", code=2, out="", error="--yes")
        self.assertEqual(len(self.server.keys()), 5)
        self.check("del", "--prefix", "a:", "--yes", out="3\n")
        self.check("del", "--range", "b:1", "b:2", "--yes", out="1\n")
        self.check("del", "--prefix=x", "--yes", code=1, out="0\n")
        self.assertEqual(self.server.keys(), ["b:2"])
        self.check("del", "--range", "b", code=2, error="START and END")
        # A key that looks like an option can be deleted, too.
        self.server.set("--prefix", b"v")
        self.check("del", "--", "--prefix", "b:2", out="2\n")

    def test_at_a_terminal_it_says_how_many_and_asks_first(self):
        terminal = self.prompt("del", "--prefix", "a:")
        terminal.await_text("delete 3 keys that begin with a:? [y/N]")
        terminal.type("n\r")
        terminal.await_text("nothing was deleted")
        self.assertEqual(terminal.wait(), 1)
        self.assertEqual(len(self.server.keys()), 5)
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        for answer in ("n\r", "\x03", "\r"):
            terminal.type("del --prefix a:\r")
            terminal.await_text("delete 3 keys that begin with a:? [y/N]")
            terminal.type_control(answer)
            terminal.await_text("nothing was deleted")
            terminal.await_text("kvstore> ")
        terminal.type("del --prefix a:\r")
        terminal.await_text("delete 3 keys that begin with a:? [y/N]")
        terminal.type("y\r")
        terminal.await_text("(3 deleted)")
        terminal.await_text("kvstore> ")
        self.assertEqual(sorted(self.server.keys()), ["b:1", "b:2"])
        for line, question in (("del --range b:1 b:2", "delete 1 key from b:1 on below b:2? [y/N]"),
                               ("del --prefix ''", "delete ALL 2 keys of the store? [y/N]"),
                               ("del --range '' ''", "delete ALL 2 keys of the store? [y/N]")):
            terminal.type(line + "\r")
            terminal.await_text(question)
            terminal.type("\r")
            terminal.await_text("nothing was deleted")
            terminal.await_text("kvstore> ")

    def test_where_it_counts_none_it_does_not_delete_what_has_come_since(self):
        """The server has a key by the time of a second call, which nobody was asked about."""
        server = Scripted(self, DeleteRange=lambda request: data.DeleteRangeResponse(
            count=0 if request.validate_only else 1))
        terminal = Terminal([CLI, "-a", server.address, "del", "--prefix", "a:"],
                            KVSTORE_HISTORY="")
        self.addCleanup(terminal.close)
        terminal.await_text("(0 deleted)")
        self.assertEqual(terminal.wait(), 1)
        self.assertEqual([request.validate_only for request in server.asked], [True])


class Transactions(ClientDataCase):
    TRANSFER = "value from 10\nthen\nset from 7\nincr to 3\nelse\nget from\n"

    def test_a_transaction_does_one_list_or_the_other(self):
        self.server.set("from", b"10")
        self.check("txn", stdin=self.TRANSFER, out="OK\n3\n")
        self.check("txn", stdin=self.TRANSFER, code=NOT_MET, out="7\n", error="`else`")
        self.check("txn", "-", stdin="missing from\nthen\ndel to\n", code=NOT_MET, out="",
                   error="nothing was done")
        self.assertEqual(self.server.get("to"), b"3")

    def test_a_transaction_is_read_from_a_file_and_needs_no_condition(self):
        path = os.path.join(self.folder, "transaction")
        with open(path, "w", encoding="utf-8") as file:
            file.write("# both or none\nset a 'two words' --ttl 1h\n\nset b 2\r\nget a\nttl b\n"
                       "get gone\ncommit\n")
        self.check("txn", path, out="OK\nOK\ntwo words\n-1\n", error="(not found) gone")
        self.check(stdin=f"set c 3\ntxn {path}\nget c\n", out="OK\nOK\nOK\ntwo words\n-1\n3\n",
                   error="gone")
        self.check("txn", path + "-not", code=3, out="", error="cannot open")

    def test_every_kind_of_condition_is_understood(self):
        self.server.set("k", b"v")
        version = self.entry("k").version
        self.check("txn", stdin=f"exists k\nmissing gone\nvalue k v\nversion k {version}\n"
                                "version gone 0\nthen\npersist k\nexpire k 1h\ndecr n\ndel k\n",
                   out="OK\nOK\n-1\n1\n")

    def test_an_operation_that_fails_makes_all_of_it_fail(self):
        self.server.set("k", b"many")
        self.check("txn", stdin="set a 1\nincr k\n", code=FAILED_PRECONDITION, out="",
                   error="FAILED_PRECONDITION")
        self.assertEqual(self.server.keys(), ["k"])

    def test_what_is_wrong_is_named_with_its_line_and_nothing_is_done(self):
        for text, line, word in (("set a 1\nfrob k\n", 2, "frob"), ("set a 1\nset b\n", 2, "usage"),
                                 ("exists a\nset a 1\n", 2, "then"), ("exists\n", 1, "exists KEY"),
                                 ("version a x\nthen\nset a 1", 1, "version"),
                                 ("set a 1\nthen\n", 2, "then"), ("else\nthen\n", 2, "then"),
                                 ("set a 1\nset b \"open\n", 2, "column 7"),
                                 ("set a 1\nset b 2 --ttl soon\n", 2, "soon")):
            with self.subTest(text):
                self.check("txn", stdin=text, code=2, out="", error=f"line {line}: ")
                self.check("txn", stdin=text, code=2, error=word)
        self.assertEqual(self.server.keys(), [])

    def test_a_prompt_says_what_the_next_line_is_part_of(self):
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        for line, answer in (("txn", "if> "), ("missing k", "missing k\r\nif> "),
                             ("then", "then\r\nthen> "), ("set k v", "set k v\r\nthen> "),
                             ("else", "else\r\nelse> "), ("get k", "get k\r\nelse> "),
                             ("help", "version KEY N"), ("", "else> "), ("commit", "OK"),
                             ("", "kvstore> ")):
            terminal.type(line + "\r")
            terminal.await_text(answer)
        self.assertEqual(self.server.get("k"), b"v")

    def test_a_prompt_sends_nothing_once_a_line_was_wrong(self):
        """Wherever the mistake is; and what comes after it is understood as it was meant."""
        for lines, number in ((["vaule k w", "then", "del k"], 1),
                              (["value k v", "valeu lock yours", "then", "del k"], 2),
                              (["set a 1", "sett b 2", "del k"], 2),
                              (["del k", "set a 'open"], 2)):
            with self.subTest(lines):
                self.server.set("k", b"v")
                terminal = self.prompt()
                terminal.await_text("kvstore> ")
                terminal.type("txn\r")
                for place, line in enumerate(lines, 1):
                    terminal.await_text("> ")
                    terminal.type(line + "\r")
                    terminal.await_text(line)
                    if place == number:
                        terminal.await_text("error: ")
                before = terminal.await_text("> ")
                self.assertNotIn(b"error", before)
                terminal.type("commit\r")
                terminal.await_text(f"nothing was sent: line {number} was wrong; begin again with "
                                    "txn")
                terminal.await_text("kvstore> ")
                self.assertEqual(self.server.keys(), ["k"])

    def test_a_transaction_alone_at_a_terminal_tells_by_its_exit_code_that_it_was_not_sent(self):
        for lines, code in ((["set a 1", "sett b 2", "commit"], 2), (["abort"], 0), (["\x04"], 0),
                            (["set a 1", "\x04"], 2), (["set a 1", "commit"], 0)):
            with self.subTest(lines):
                terminal = self.prompt("txn")
                for line in lines:
                    terminal.await_text("> ")
                    terminal.type(line if line == "\x04" else line + "\r")
                self.assertEqual(terminal.wait(), code, terminal.tail())
        self.assertEqual(self.server.keys(), ["a"])

    def test_in_a_pipe_it_goes_to_commit_or_abort(self):
        self.server.set("a", b"1")
        for name in ("txn", "txn -", "TXN"):
            with self.subTest(name):
                self.check(stdin=f"{name}\nmissing nope\nthen\nincr a\n\ncommit\nget a\n")
        self.assertEqual(self.server.get("a"), b"4")
        self.check(stdin="txn\nexists nope\nthen\ndel a\ncommit\nget a\n", code=NOT_MET,
                   out="4\n", error="nothing was done")
        self.check(stdin="txn\ndel a\nabort\nget a\n", out="4\n")
        self.check(stdin="set b 1\ntxn --request-id x\nincr b\ncommit\nget b\nset c 3\n",
                   out="OK\n2\n2\nOK\n")

    def test_in_a_pipe_a_line_that_is_wrong_has_nothing_of_it_sent(self):
        self.server.set("a", b"1")
        for lines, wrong in ((["txn", "valeu a 1", "then", "del a", "commit"], 2),
                             (["txn", "del a", "sett b 2", "commit"], 3),
                             (["txn", "del a", "help", "commit"], 3),
                             (["txn --durability sometimes", "del a", "commit"], 1),
                             (["txn --nonsense", "del a", "commit"], 1),
                             (["txn --ttl 5 --ttl 6 1 2 3", "del a", "commit"], 1),
                             (["txn", "del a", "del b --durability synced", "commit"], 3)):
            with self.subTest(lines):
                done = self.run_cli(stdin="\n".join([*lines, "get a"]) + "\n")
                self.assertEqual((done.returncode, done.stdout), (2, "1\n"), done)
                errors = done.stderr.splitlines()
                self.assertTrue(errors[0].startswith(f"line {wrong}: error: "), errors)
                self.assertEqual(errors[-1], f"line {len(lines)}: error: nothing was sent: line "
                                             f"{wrong} was wrong; begin again with txn")
        self.check(stdin="txn\ndel a\n", code=2, out="", error="the input ended before commit")
        self.check(stdin="txn\nfrob\nabort\nget a\n", code=2, out="1\n", error="line 2: ")
        self.assertEqual(self.server.get("a"), b"1")

    def test_without_commands_nothing_is_sent(self):
        for text in ("", "# nothing\n", "exists k\n", "exists k\nthen\n", "commit\n"):
            with self.subTest(text):
                self.check("txn", stdin=text, code=2, out="", error="has no commands")
        self.check(stdin="txn\ncommit\n", code=2, out="", error="has no commands")

    def test_a_prompt_sends_only_what_is_committed(self):
        self.server.set("k", b"v")
        terminal = self.prompt()
        for key in ("abort\r", "\x03", "\x04"):
            with self.subTest(key):
                terminal.await_text("kvstore> ")
                terminal.type("txn\r")
                terminal.await_text("if> ")
                terminal.type("del k\r")
                terminal.await_text("del k\r\nthen> ")
                terminal.type_control(key)
        terminal.await_text("kvstore> ")
        terminal.type("get k\r")
        terminal.await_text("v\r\n")

    def test_at_a_terminal_it_says_first_which_list_was_carried_out(self):
        self.server.set("k", b"v")
        terminal = self.prompt()
        for condition, answer, value in (("exists k", "(what must hold does: `then` was done)", "v"),
                                         ("missing k", "(what must hold does not: `else` was done)",
                                          "(not found) gone")):
            terminal.await_text("kvstore> ")
            for line in ("txn", condition, "then", "get k", "else", "get gone"):
                terminal.type(line + "\r")
                terminal.await_text(line + "\r\n")
                terminal.await_text("> ")
            terminal.type("commit\r")
            terminal.await_text(answer)
            terminal.await_text(value)

    def test_a_tab_that_is_pasted_into_it_stays_one(self):
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        terminal.type("txn\rset\tk\t'a\tb'\rcommit\r")
        terminal.await_text("OK\r\n")
        self.assertEqual(self.server.get("k"), b"a\tb")

    def test_lines_of_a_prompt_are_in_the_history(self):
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        for line in ("txn", "set k 1"):
            terminal.type(line + "\r")
            terminal.await_text(line + "\r\n")
            terminal.await_text("> ")
        terminal.type("\x1b[A")
        terminal.await_text("set k 1")
        terminal.type("2\r")
        terminal.await_text("then> ")
        terminal.type("commit\r")
        terminal.await_text("OK\r\nOK")
        self.assertEqual(self.server.get("k"), b"12")

    def test_help_shows_the_language(self):
        text = self.check("help", "txn")
        for word in ("version KEY N", "missing KEY", "then", "else", "commit"):
            self.assertIn(word, text)


class Watches(ClientDataCase):
    def watch(self, *words, server=None):
        """Runs it until the end of the test; returns it once the server has taken the watch."""
        process = subprocess.Popen([CLI, "-a", (server or self.server).address, "watch", *words],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=harness.environment())
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def read(self, process, count=1):
        lines = [process.stdout.readline().rstrip("\n").split("\t") for _ in range(count)]
        return lines[0] if count == 1 else lines

    def await_begin(self, process):
        """Sets the key "a:begin" until the watch shows it, then "a:go", after which come only later
        changes."""
        give_up = time.monotonic() + PATIENCE
        os.set_blocking(process.stdout.fileno(), False)
        while "a:begin" not in process.stdout.readline():
            self.assertLess(time.monotonic(), give_up)
            self.assertIsNone(process.poll())
            self.server.set("a:begin", b"")
            time.sleep(0.01)
        os.set_blocking(process.stdout.fileno(), True)
        self.server.set("a:go", b"")
        while "a:go" not in process.stdout.readline():
            self.assertIsNone(process.poll())

    def interrupt(self, process):
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), -signal.SIGINT)

    def test_each_change_is_a_line_with_its_version_and_kind(self):
        process = self.watch("a:", "--previous")
        self.await_begin(process)
        self.server.set("b:other", b"x")
        self.check("set", "a:k", "two words", "--ttl", "1h")
        self.server.delete("a:k")
        self.server.set("a:soon", b"v")
        self.check("expire", "a:soon", "1ms")
        lines = self.read(process, 5)
        self.assertEqual([line[1:3] for line in lines], [
            ["set", "a:k"], ["delete", "a:k"], ["set", "a:soon"], ["set", "a:soon"],
            ["expire", "a:soon"]])
        self.assertEqual(lines[0][3], '"two words"')
        self.assertRegex(lines[0][4], r"^expires 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(lines[2][3:], ["v"])
        versions = [int(line[0]) for line in lines]
        self.assertEqual(versions, sorted(set(versions)))
        self.assertIn('previous "two words"', lines[1])
        self.interrupt(process)

    def test_programs_get_json(self):
        process = self.watch("--prefix=a:", "--json", "--previous")
        self.await_begin(process)
        self.server.set('a:ü"', bytes(range(256)))
        self.server.delete('a:ü"')
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
        self.assertEqual([(event["kind"], event["key"]) for event in events],
                         [("set", 'a:ü"'), ("delete", 'a:ü"')])
        self.assertEqual(base64.b64decode(events[0]["value"]), bytes(range(256)))
        self.assertEqual(base64.b64decode(events[1]["previousValue"]), bytes(range(256)))
        self.assertEqual(events[1]["previousVersion"], events[0]["version"])
        self.assertNotIn("value", events[1])
        self.interrupt(process)

    def test_a_key_alone_is_watched_and_values_are_left_out_on_request(self):
        process = self.watch("--key", "k", "--from=1", "--keys-only")
        self.server.set("k2", b"v")
        self.server.set("k", b"v")
        self.assertEqual(self.read(process)[1:], ["set", "k"])
        self.interrupt(process)

    def test_without_values_the_previous_one_is_left_out_and_not_shown_as_empty(self):
        process = self.watch("a:", "--keys-only", "--previous")
        as_json = self.watch("a:", "--keys-only", "--previous", "--json")
        self.await_begin(process)
        self.await_begin(as_json)
        versions = [self.server.keyvalue.Set(data.SetRequest(key="a:k", value=value)).version
                    for value in (b"one", b"three")]
        while (line := self.read(process))[2] != "a:k":
            pass
        self.assertEqual(line[1:], ["set", "a:k"])
        self.assertEqual(self.read(process)[1:], ["set", "a:k", "previous (3 bytes left out)"])
        while (event := json.loads(as_json.stdout.readline()))["version"] != versions[1]:
            pass
        self.assertEqual((event["key"], event["previousVersion"]), ("a:k", versions[0]))
        self.assertEqual({"value", "previousValue"} & set(event), set())
        self.interrupt(process)

    def test_the_initial_state_comes_first_on_request(self):
        for key in ("a:1", "a:2", "b:1"):
            self.server.set(key, b"v")
        process = self.watch("a:", "--initial", "--json")
        events = [json.loads(process.stdout.readline()) for _ in range(3)]
        self.assertEqual([event["kind"] for event in events], ["set", "set", "initial_done"])
        self.assertEqual(events[2]["version"], self.server.status().version)
        self.interrupt(process)
        process = self.watch("--prefix", "a:", "--initial", "--keys-only")
        self.assertEqual([line[1:] for line in self.read(process, 2)],
                         [["set", "a:1"], ["set", "a:2"]])
        self.server.set("a:3", b"v")
        self.assertEqual(self.read(process)[1:], ["set", "a:3"])
        self.interrupt(process)

    def test_without_a_version_it_shows_what_happens_from_now_on(self):
        self.server.set("a:old", b"1")
        process = self.watch("--range", "a:", "a;")
        self.await_begin(process)
        self.server.set("a:new", b"1")
        self.assertEqual(self.read(process)[1:], ["set", "a:new", "1"])
        self.interrupt(process)

    def test_a_restart_of_the_server_loses_and_repeats_nothing(self):
        server = self.start("kept", mode="aof")
        address = server.address
        self.server = server
        process = self.watch("k", "--from=1")
        self.server.set("k1", b"v")
        self.assertEqual(self.read(process)[1:3], ["set", "k1"])
        server.kill9()
        self.assertIn("trying again", process.stderr.readline())
        with socket.create_server(("127.0.0.1", server.port)) as listener:
            listener.settimeout(PATIENCE)
            for _ in range(3):  # it tries again, and says no more about it
                listener.accept()[0].close()
        server = self.server = self.start("kept", listen=address)
        for i in range(2, 5):
            server.set(f"k{i}", b"v")
        self.assertEqual([line[2] for line in self.read(process, 3)], ["k2", "k3", "k4"])
        self.interrupt(process)
        self.assertEqual(process.stderr.read(), "")

    def scripted(self, *streams):
        """A server whose first stream answers with the first list, and then breaks; and so on."""
        left = list(streams)

        def answer(_create, context):
            yield from left.pop(0)
            if left:
                context.abort(grpc.StatusCode.UNAVAILABLE, "as if it had been killed")
        return Scripted(self, Watch=answer)

    END = data.WatchResponse(watch_id=1, ended=data.WatchResponse.Ended(
        code=grpc.StatusCode.ABORTED.value[0], message="the end of the test"))
    CREATED = data.WatchResponse(watch_id=1, created=data.WatchResponse.Created())
    STATE_DONE = data.WatchResponse(watch_id=1, initial_done=data.WatchResponse.InitialDone())

    @staticmethod
    def changes(version, *keys):
        return data.WatchResponse(watch_id=1, version=version, events=data.WatchResponse.Events(
            events=[data.Event(kind=data.Event.KIND_SET,
                               entry=data.Entry(key=key, version=version or 1)) for key in keys]))

    def test_after_a_break_it_goes_on_also_where_no_version_had_been_seen(self):
        for words, first in ([[], [self.CREATED]],
                             [["--initial"], [self.CREATED, self.STATE_DONE]]):
            with self.subTest(words):
                server = self.scripted(first, [self.CREATED, self.changes(1, "k"), self.END])
                done = self.run_cli("watch", *words, server=server)
                self.assertIn("the end of the test", done.stderr)
                self.assertEqual(done.stdout, "1\tset\tk\t\"\"\n")
                self.assertEqual([(request.create.start_version, request.create.initial_state)
                                  for request in server.asked], [(0, bool(words)), (1, False)])

    def test_what_is_set_in_the_pause_after_a_break_of_an_empty_store_is_shown(self):
        server = self.server = self.start("empty", mode="aof")
        terminal = self.prompt("watch")
        terminal.await_text("^C ends it")
        server.kill9()
        terminal.await_text("trying again from version 1")
        self.start("empty", listen=server.address).set("first", b"v")
        terminal.await_text("first")

    def test_a_break_within_the_initial_state_ends_it_where_something_was_shown(self):
        for json_words in ([], ["--json"]):
            with self.subTest(json_words):
                server = self.scripted([self.CREATED, self.changes(0, "gone")], [])
                done = self.run_cli("watch", "--initial", *json_words, server=server)
                self.assertEqual(done.returncode, UNAVAILABLE, done)
                self.assertIn("the initial state is incomplete", done.stderr)
                self.assertIn("drop what was shown, and watch again with --initial", done.stderr)
                self.assertEqual(done.stdout.count("\n"), 1)
                self.assertNotIn("initial_done", done.stdout)
                self.assertEqual(len(server.asked), 1)

    def test_a_break_before_any_of_the_initial_state_begins_it_again(self):
        server = self.scripted([self.CREATED],
                               [self.CREATED, self.changes(0, "k"), self.STATE_DONE, self.END])
        done = self.run_cli("watch", "--initial", server=server)
        self.assertIn("the end of the test", done.stderr)
        self.assertIn("(the connection broke; trying again until it is back)", done.stderr)
        self.assertEqual(done.stdout, "1\tset\tk\t\"\"\n")
        self.assertEqual([(request.create.start_version, request.create.initial_state)
                          for request in server.asked], [(0, True), (0, True)])

    def test_what_a_crash_has_lost_is_said_after_the_break(self):
        server = self.server
        process = self.watch("k", "--from=1")
        server.set("k1", b"v")
        version = int(self.read(process)[0])
        server.kill9()
        self.assertIn("trying again", process.stderr.readline())
        self.start(mode="none", listen=server.address).set("k2", b"v")
        self.assertEqual(process.wait(PATIENCE), OUT_OF_RANGE)
        self.assertIn("the server has lost changes that were shown: it does not have version "
                      f"{version} any more", process.stderr.read())
        self.assertEqual(process.stdout.read(), "")

    def test_changes_that_left_the_history_during_a_break_are_named(self):
        lost = data.WatchResponse(watch_id=1, ended=data.WatchResponse.Ended(
            code=grpc.StatusCode.OUT_OF_RANGE.value[0], reason="VERSION_NOT_HELD", lowest_version=30,
            message="create.start_version: is 8"))
        server = self.scripted([self.CREATED, self.changes(7, "k")], [lost])
        done = self.run_cli("watch", server=server)
        self.assertEqual(done.returncode, OUT_OF_RANGE, done)
        self.assertIn("missing after the break: those from version 8 up to 29 have left the server's "
                      "history, or a crash has lost them", done.stderr)

    def test_a_server_that_falls_silent_is_left_and_found_again(self):
        """As when its machine loses power: nothing tells of the end of the connection."""
        server = self.start("silent", mode="none")
        process = self.watch("k", "--from=1", server=server)
        server.set("k1", b"v")
        self.assertEqual(self.read(process)[1:3], ["set", "k1"])
        server.process.send_signal(signal.SIGSTOP)
        self.addCleanup(server.process.send_signal, signal.SIGCONT)
        self.assertIn("trying again", process.stderr.readline())
        server.process.send_signal(signal.SIGCONT)
        server.set("k2", b"v")
        self.assertEqual(self.read(process)[1:3], ["set", "k2"])
        self.interrupt(process)

    def test_a_version_that_the_server_no_longer_has_is_said(self):
        server = self.start("short", mode="none", flags=["--watch-history", "1M"])
        for i in range(40):
            server.set(f"k{i}", bytes(65536))
        done = self.run_cli("watch", "--from", "1", server=server)
        self.assertEqual(done.returncode, OUT_OF_RANGE, done)
        self.assertIn("error: --from: is 1, and the server has the changes from version", done.stderr)

    def test_wrong_words_are_refused(self):
        for words in (["--from", "x"], ["--from"], ["--range", "a"], ["--nonsense"], ["--key"]):
            with self.subTest(words):
                self.check("watch", *words, code=2, out="", error="error: ")

    def test_at_a_prompt_an_interrupt_ends_it_and_the_next_command_runs(self):
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        terminal.type("watch a:\r")
        terminal.await_text("^C ends it")
        self.server.set("a:1", b"v")
        terminal.await_text("a:1")
        terminal.type("\x03")
        terminal.await_text("kvstore> ")
        terminal.type("get a:1\r")
        terminal.await_text("v\r\n")


if __name__ == "__main__":
    harness.main()
