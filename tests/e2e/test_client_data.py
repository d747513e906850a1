"""The client's commands for the data: versions, conditions, expiry, ranges, transactions, watches."""
import base64
import json
import os
import signal
import subprocess
import time

import grpc

import harness
from harness import CLI, PATIENCE, data
from terminal import Terminal

FAILED_PRECONDITION = 64 + grpc.StatusCode.FAILED_PRECONDITION.value[0]
INVALID_ARGUMENT = 64 + grpc.StatusCode.INVALID_ARGUMENT.value[0]
NOT_FOUND = 64 + grpc.StatusCode.NOT_FOUND.value[0]
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
                      ["set", "k", "v", "--expire-at", "2100-01-01"],
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
        self.check("expire", "k", "2000-01-01T00:00:00Z", out="OK\n")
        for words in (["get", "k"], ["ttl", "k"]):
            self.check(*words, code=1, out="", error="(not found) k")
        for words in (["expire", "k", "1s"], ["persist", "k"]):
            self.check(*words, code=NOT_FOUND, out="", error="NOT_FOUND")

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

    def test_several_keys_are_read_at_once(self):
        self.check("set", "a", "1")
        self.check("set", "b", "two words")
        self.check("mget", "a", "b", out='a\t1\nb\t"two words"\n')
        self.check("mget", "a", "gone", "b", code=1, out='a\t1\nb\t"two words"\n',
                   error="(not found) gone")

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
                   error="request_id")

    def test_an_option_that_is_unknown_or_lacks_its_value_is_named(self):
        for words in (["set", "k", "v", "--tll", "5s"], ["set", "k", "v", "--ttl"],
                      ["set", "k", "v", "w"], ["del", "k", "--if-value"], ["get", "k", "-w"],
                      ["incr", "k", "1", "2"], ["set", "k", "v", "--if-version", "x"],
                      ["ttl"], ["expire", "k"]):
            with self.subTest(words):
                self.check(*words, code=2, out="", error="error: ")
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
        self.check("del", "--range", "b", code=2, error="usage")
        # A key that looks like an option can be deleted, too.
        self.server.set("--prefix", b"v")
        self.check("del", "--", "--prefix", "b:2", out="2\n")

    def test_at_a_terminal_it_says_how_many_and_asks_first(self):
        terminal = self.prompt("del", "--prefix", "a:")
        terminal.await_text("delete 3 keys? [y/N]")
        terminal.type("n\r")
        terminal.await_text("nothing was deleted")
        self.assertEqual(terminal.wait(), 1)
        self.assertEqual(len(self.server.keys()), 5)
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        for answer in ("n\r", "\x03", "\r"):
            terminal.type("del --prefix a:\r")
            terminal.await_text("delete 3 keys? [y/N]")
            terminal.type_control(answer)
            terminal.await_text("nothing was deleted")
            terminal.await_text("kvstore> ")
        terminal.type("del --prefix a:\r")
        terminal.await_text("delete 3 keys? [y/N]")
        terminal.type("y\r")
        terminal.await_text("(3 deleted)")
        terminal.await_text("kvstore> ")
        self.assertEqual(sorted(self.server.keys()), ["b:1", "b:2"])


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

    def test_a_prompt_takes_it_line_by_line_and_lets_mistakes_be_mended(self):
        terminal = self.prompt()
        terminal.await_text("kvstore> ")
        for line, answer in (("txn", "txn> "), ("missing k", "missing k\r\ntxn> "),
                             ("frob", "error: write `then`"), ("then", "txn> "),
                             ("frob", '"frob" is none of'), ("set k v", "txn> "), ("commit", "OK"),
                             ("", "kvstore> ")):
            terminal.type(line + "\r")
            terminal.await_text(answer)
        self.assertEqual(self.server.get("k"), b"v")

    def test_a_prompt_sends_only_what_is_committed(self):
        self.server.set("k", b"v")
        terminal = self.prompt()
        for key in ("abort\r", "\x03", "\x04"):
            with self.subTest(key):
                terminal.await_text("kvstore> ")
                terminal.type("txn\r")
                terminal.await_text("txn> ")
                terminal.type("del k\r")
                terminal.await_text("del k\r\ntxn> ")
                terminal.type_control(key)
        terminal.await_text("kvstore> ")
        terminal.type("get k\r")
        terminal.await_text("v\r\n")

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
        self.assertEqual(lines[0][3:], ['"two words"'])
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

    def test_the_initial_state_comes_first_on_request(self):
        for key in ("a:1", "a:2", "b:1"):
            self.server.set(key, b"v")
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
        server = self.server = self.start("kept", listen=address)
        for i in range(2, 5):
            server.set(f"k{i}", b"v")
        self.assertEqual([line[2] for line in self.read(process, 3)], ["k2", "k3", "k4"])
        self.interrupt(process)
        self.assertIn("trying again", process.stderr.read())

    def test_a_version_that_the_server_no_longer_has_is_said(self):
        server = self.start("short", mode="none", flags=["--watch-history", "1M"])
        for i in range(40):
            server.set(f"k{i}", bytes(65536))
        done = self.run_cli("watch", "--from", "1", server=server)
        self.assertEqual(done.returncode, 64 + grpc.StatusCode.OUT_OF_RANGE.value[0], done)
        self.assertIn("OUT_OF_RANGE", done.stderr)

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
