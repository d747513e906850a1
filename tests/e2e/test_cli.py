"""The client program: one command, many from a pipe, bytes as they are, exit codes."""
import subprocess

import harness
from harness import PATIENCE, kv


class Client(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def run_cli(self, *words, stdin=b"", address=None, **settings):
        return subprocess.run([harness.CLI, "-a", address or self.server.address, *words],
                              input=stdin, capture_output=True, timeout=PATIENCE,
                              env=harness.environment(**settings))

    def check(self, words, code=0, out=None, error="", **keywords):
        result = self.run_cli(*words, **keywords)
        self.assertEqual(result.returncode, code, result)
        if out is not None:
            self.assertEqual(result.stdout, out)
        self.assertIn(error, result.stderr.decode())
        if not error:
            self.assertEqual(result.stderr, b"")
        return result

    def test_one_command_a_call(self):
        self.check(["set", "k", "a value"], out=b"OK\n")
        self.check(["get", "k"], out=b"a value\n")
        self.check(["-n", "get", "k"], out=b"a value")
        self.check(["set", "k2", "-5"], out=b"OK\n")
        self.check(["keys"], out=b"k\nk2\n")
        self.check(["keys", "k2"], out=b"k2\n")
        self.check(["scan"], out=b'k\t"a value"\nk2\t-5\n')
        self.check(["del", "k", "k2"], out=b"2\n")
        self.check(["keys"], out=b"")
        self.assertEqual(self.server.keys(), [])

    def test_a_missing_key_is_exit_code_1(self):
        self.check(["get", "missing"], code=1, out=b"", error="not found")
        self.check(["del", "missing"], code=1, error="not found")
        self.check(["set", "empty", ""])
        self.check(["get", "empty"], out=b"\n")

    def test_wrong_use_is_exit_code_2(self):
        for words in (["frobnicate"], ["set", "k"], ["get"], ["get", "a", "b"],
                      ["--nonsense"], ["config", "SOMETIMES"], ["config", "AOF", "x"],
                      ["config", "AOF", "1", "2"], ["configure", "aof", "=1"], ["-x"]):
            with self.subTest(words=words):
                self.check(words, code=2, out=b"", error="error")
        self.assertEqual(self.server.status().plugin, "none")

    def test_an_error_of_the_server_is_64_and_its_code(self):
        self.check(["set", "", "v"], code=64 + 3, error="INVALID_ARGUMENT")
        self.check(["configure", "nowhere"], code=64 + 5, error="nowhere")
        self.check(["save"], code=64 + 9, error="configure")
        self.check(["config", "AOF", "-1"], code=64 + 3, error="aof_max_size")

    def test_a_server_that_is_not_there_is_unavailable(self):
        self.server.kill9()
        self.check(["get", "k"], code=64 + 14, error="no server answers")

    def test_the_address_comes_from_the_environment_too(self):
        result = subprocess.run([harness.CLI, "set", "k", "v"], timeout=PATIENCE,
                                capture_output=True,
                                env=harness.environment(KVSTORE_SERVER_ADDR=self.server.address))
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(self.server.get("k"), b"v")

    def test_the_first_address_that_answers_is_used(self):
        dead = self.start(data="dead", mode="none")
        dead.kill9()
        self.check(["set", "k", "v"], address=f"{dead.address},{self.server.address}")
        self.assertEqual(self.server.get("k"), b"v")

    def test_x_takes_the_value_from_standard_input_as_it_is(self):
        value = bytes(range(256)) * 5000 + b"\n"
        self.check(["-x", "set", "photo"], stdin=value)
        self.assertEqual(self.server.get("photo"), value)
        self.check(["-n", "get", "photo"], out=value)
        self.check(["-x", "set", "nothing"], stdin=b"")
        self.assertEqual(self.server.get("nothing"), b"")

    def test_commands_from_a_pipe_run_in_order(self):
        commands = (b'# a comment\n\nset a 1\nset "two words" "tab\\there \\x00 \\"x\\""\n'
                    b"set c 'as it \"is\"\\n'\nget a\nkeys\nscan c\ndel a\n")
        self.check([], stdin=commands, out=b"OK\nOK\nOK\n1\na\nc\ntwo words\n"
                   b"c\t" + b'"as it \\"is\\"\\\\n"' + b"\n1\n")
        self.assertEqual(self.server.get("two words"), b'tab\there \x00 "x"')
        self.assertEqual(self.server.get("c"), b'as it "is"\\n')

    def test_a_failing_line_is_named_and_the_rest_still_runs(self):
        result = self.check([], stdin=b"get missing\nfrob\nset a 1", code=1, error="line 2")
        self.assertEqual(result.stdout, b"OK\n")
        self.assertEqual(self.server.get("a"), b"1")
        self.check([], stdin=b'set a "open\nset b 2\n', code=2, error="line 1")
        self.assertEqual(self.server.get("b"), b"2")

    def test_exit_ends_the_pipe(self):
        self.check([], stdin=b"set a 1\nexit\nset b 2\n", out=b"OK\n")
        self.assertEqual(self.server.keys(), ["a"])
        self.check([], stdin=b"quit\n", out=b"")
        self.check([], stdin=b"")

    def test_what_scan_prints_can_be_read_back(self):
        wanted = {"plain": b"x", "with space": bytes(range(256)), "ü": b"", "q\"'\\": b"'\"\\",
                  "#hash": b"# no comment"}
        for key, value in wanted.items():
            self.server.set(key, value)
        lines = self.run_cli("scan").stdout.splitlines(keepends=True)
        other = self.start(data="other", mode="none")
        self.check([], stdin=b"".join(b"set " + line for line in lines), address=other.address)
        self.assertEqual(dict(other.scan()), wanted)

    def test_config_takes_the_words_of_each_mode(self):
        for words, plugin, options in (
                (["SNAPSHOT", "60", "3"], "snapshot",
                 {"snapshot_interval": "60", "max_snapshots": "3"}),
                (["AOF", "1048576"], "aof", {"aof_max_size": "1048576"}),
                (["HYBRID", "60", "3", "1048576"], "hybrid",
                 {"snapshot_interval": "60", "max_snapshots": "3", "aof_max_size": "1048576"}),
                (["NON_PERSISTENT"], "none", {}),
                (["hybrid"], "hybrid", {"snapshot_interval": "300", "max_snapshots": "5",
                                        "aof_max_size": "10485760"})):
            with self.subTest(words=words):
                self.check(["config", *words], out=b"OK\n")
                status = self.server.status()
                self.assertEqual(status.plugin, plugin)
                self.assertLessEqual(options.items(), dict(status.options).items())

    def test_configure_plugins_save_and_status_tell_what_they_did(self):
        text = self.check(["configure", "aof", "fsync=everysec"]).stdout.decode()
        self.assertIn("fsync=everysec", text)
        self.assertEqual(self.server.status().options["fsync"], "everysec")
        text = self.check(["configure", "none", "--validate-only"]).stdout.decode()
        self.assertIn("none", text)
        self.assertEqual(self.server.status().plugin, "aof")
        text = self.check(["plugins"]).stdout.decode()
        for word in ("none", "snapshot", "aof", "hybrid", "always|everysec|no"):
            self.assertIn(word, text)
        self.check(["set", "k", "v"])
        self.assertIn(str(self.server.status().sequence), self.check(["save"]).stdout.decode())
        text = self.check(["status"]).stdout.decode()
        self.assertIn("aof", text)
        self.assertIn(self.server.status().store_id, text)

    def test_help_and_version_need_no_server(self):
        self.server.kill9()
        self.assertIn(b"config", self.check(["--help"]).stdout)
        self.assertRegex(self.check(["--version"]).stdout, rb"\d+\.\d+\.\d+")
        self.assertIn(b"set KEY VALUE", self.check(["help", "set"]).stdout)

    def test_a_server_that_restarts_is_found_again_by_a_client_that_stayed(self):
        client = subprocess.Popen([harness.CLI, "-a", self.server.address], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env=harness.environment())
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        client.stdin.write(b"set k 1\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"OK\n")
        self.server.stop()
        again = self.start(data="again", mode="none", listen=self.server.address)
        client.stdin.write(b"set k 2\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"OK\n")
        self.assertEqual(again.get("k"), b"2")

    def test_a_hundred_thousand_keys_pass(self):
        operations = [kv.Operation(set=kv.SetRequest(key=f"{i:06}" + "k" * 60, value=b"v"))
                      for i in range(100000)]
        self.server.stub.Batch(kv.BatchRequest(operations=operations), timeout=PATIENCE)
        lines = self.check(["keys"]).stdout.splitlines()
        self.assertEqual(lines, [operation.set.key.encode() for operation in operations])


if __name__ == "__main__":
    harness.main()
