"""The client: single commands, commands from a pipe, arbitrary bytes, exit codes."""
import concurrent.futures
import os
import re
import shutil
import socket
import subprocess

import grpc
from google.protobuf import empty_pb2

import harness
from harness import PATIENCE, data, kv


class ClientCase(harness.Case):
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


class Client(ClientCase):
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
        self.check(["set", "there", "v"])
        self.check(["del", "missing", "there"], code=1, out=b"1\n", error="not found")
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
        self.check(["get", "k"], code=64 + 14, error="cannot connect to")

    def test_the_address_comes_from_the_environment_too(self):
        result = subprocess.run([harness.CLI, "set", "k", "v"], timeout=PATIENCE,
                                capture_output=True,
                                env=harness.environment(KVSTORE_SERVER_ADDR=self.server.address))
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(self.server.get("k"), b"v")

    def test_without_an_address_it_looks_where_a_server_listens_without_one(self):
        server = subprocess.run([harness.SERVER, "--help"], capture_output=True, timeout=PATIENCE,
                                check=True, env=harness.environment()).stdout.decode()
        client = self.check(["--help"]).stdout.decode()
        self.assertIn("127.0.0.1:50051", server)
        self.assertIn("127.0.0.1:50051", client)

    def test_what_is_wrong_with_an_address_is_said(self):
        for address, text in (("127.0.0.1:99999", "from 1 to 65535"),
                              ("http://127.0.0.1:1", "has a scheme"),
                              ("a:1, b:2", '" b:2" has a space'),
                              ("localhost", "has no port"), ("::1:5", "in brackets"),
                              ("unix:", "has no path"), ("a:1,,b:2", "is empty")):
            with self.subTest(address=address):
                self.check(["keys"], address=address, code=2, out=b"", error=text)

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
                  "#hash": b"# no comment", "--ttl": b"--previous", "--help": b"--"}
        for key, value in wanted.items():
            self.server.set(key, value)
        lines = self.run_cli("scan").stdout.splitlines(keepends=True)
        other = self.start(data="other", mode="none")
        self.check([], stdin=b"".join(b"set -- " + line for line in lines), address=other.address)
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

    def test_health_says_whether_calls_are_served_and_writes_are_accepted(self):
        server = self.start(data="healthy", mode="aof")
        store = ["health", "kvstore.KeyValueStore"]
        for words in (["health"], store):
            self.check(words, out=b"SERVING\n", address=server.address)
        self.check(["health", "nonesuch"], code=64 + 5, error="NOT_FOUND", address=server.address)
        os.rename(server.data, server.data + "-away")
        watch = harness.health_grpc.HealthStub(server.channel).Watch(
            harness.health.HealthCheckRequest(service=store[1]), timeout=PATIENCE)
        while next(watch).status != harness.NOT_SERVING:
            pass
        watch.cancel()
        self.check(store, code=64 + 14, out=b"", error="NOT_SERVING", address=server.address)
        self.check(["health"], out=b"SERVING\n", address=server.address)

    def test_configure_plugins_save_and_status_tell_what_they_did(self):
        text = self.check(["configure", "aof", "fsync=everysec"]).stdout.decode()
        self.assertIn("fsync=everysec", text)
        self.assertEqual(self.server.status().options["fsync"], "everysec")
        text = self.check(["configure", "none", "--validate-only"]).stdout.decode()
        self.assertIn("none", text)
        self.assertEqual(self.server.status().plugin, "aof")
        etag = self.server.status().etag
        self.assertIn(f"etag         {etag}\n", self.check(["status"]).stdout.decode())
        text = self.check(["configure", "aof", "fsync=no", f"--etag={etag}"]).stdout.decode()
        self.assertIn(f"etag         {self.server.status().etag}\n", text)
        self.check(["configure", "none", f"--etag={etag}"],
                   code=64 + grpc.StatusCode.FAILED_PRECONDITION.value[0],
                   error="the configuration is another one by now (plug-in aof")
        self.assertEqual(self.server.status().plugin, "aof")
        text = self.check(["plugins"]).stdout.decode()
        for word in ("none", "snapshot", "aof", "hybrid", "always|everysec|no"):
            self.assertIn(word, text)
        self.check(["set", "k", "v"])
        self.assertIn(str(self.server.status().version), self.check(["save"]).stdout.decode())
        text = self.check(["status"]).stdout.decode()
        self.assertIn("aof", text)
        self.assertIn(self.server.status().store_id, text)

    def test_help_and_version_need_no_server(self):
        self.server.kill9()
        for flag in ("--help", "-h"):
            self.assertIn(b"config", self.check([flag]).stdout)
        for text in (self.check(["--help"]).stdout, self.check(["help", "set"]).stdout,
                     self.check(["help", "txn"]).stdout):
            for line in text.decode().splitlines():
                self.assertLessEqual(len(line), 80, line)
        self.assertRegex(self.check(["--version"]).stdout, rb"\d+\.\d+\.\d+")
        self.assertIn(b"set KEY VALUE", self.check(["help", "set"]).stdout)

    def test_a_server_that_restarts_is_found_again_by_a_client_that_stayed(self):
        client = subprocess.Popen([harness.CLI, "-a", self.server.address], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=harness.environment())
        self.addCleanup(lambda: (client.kill(), client.communicate()))

        def set_key(value):
            client.stdin.write(b"set k %d\n" % value)
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), b"OK\n")

        set_key(0)
        server = self.server
        for restart in range(1, 9):  # some of them quicker than others
            server.stop()
            server = self.start(data=f"again{restart}", mode="none", listen=server.address)
            set_key(restart)
            self.assertEqual(server.get("k"), b"%d" % restart)

    def test_a_hundred_thousand_keys_pass(self):
        keys = [f"{i:06}" + "k" * 60 for i in range(100000)]
        self.server.fill((key, b"v") for key in keys)
        lines = self.check(["keys"]).stdout.splitlines()
        self.assertEqual(lines, [key.encode() for key in keys])


def silent_listener(case, host="127.0.0.1", port=0):
    """An address that accepts connections and never sends a byte."""
    listener = socket.create_server((host, port))
    case.addCleanup(listener.close)
    return f"{host}:{listener.getsockname()[1]}"


class Connecting(ClientCase):
    def test_an_address_that_is_silent_holds_the_others_up_for_a_moment_only(self):
        silent = ",".join(silent_listener(self) for _ in range(3))
        self.check(["set", "k", "v"], address=f"{silent},{self.server.address}", out=b"OK\n")
        # Less than the silent addresses would take one after another.
        self.check(["--timeout", "4", "get", "k"], address=f"{silent},{self.server.address}",
                   out=b"v\n")

    def test_where_all_are_silent_it_ends_within_the_timeout(self):
        address = silent_listener(self)
        self.check(["--timeout", "0.5", "keys"], address=address, code=64 + 14, out=b"",
                   error=f"cannot connect to {address}: no answer within 0.5 s")

    def test_a_host_that_is_not_known_is_named(self):
        self.check(["keys"], address="no-such-host.invalid:1", code=64 + 14, out=b"",
                   error="the host no-such-host.invalid has no known address")
        self.check(["set", "k", "v"], address=f"no-such-host.invalid:1,{self.server.address}",
                   out=b"OK\n")

    def test_a_socket_is_reached_whatever_its_name(self):
        path = os.path.join(self.folder, "a 100%")
        server = self.start(data="other", mode="none", wait=False, listen=f"unix:{path}")
        self.assertTrue(server.log.wait_for(" info ready"))
        for address in (f"unix:{path}", f"unix://{path}"):
            self.check(["set", "k", "v"], address=address, out=b"OK\n")
        server.terminate()
        self.assertEqual(server.process.wait(PATIENCE), 0)

    def test_a_name_is_reached_though_the_first_of_its_addresses_is_silent(self):
        namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        hosts = os.path.join(self.folder, "hosts")
        script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        with open(hosts, "w", encoding="ascii") as file:
            # The resolver puts addresses first that resemble the source address.
            file.write("127.0.0.1 multi\n127.0.0.2 multi\n127.0.0.99 multi\n")
        enter = [*namespace, "sh", "-c", script, "sh", hosts]
        if not shutil.which("unshare") or subprocess.run([*enter, "true"], check=False,
                                                         capture_output=True).returncode != 0:
            self.skipTest("needs a mount namespace, to name hosts of its own")
        server = self.start(data="other", mode="none", listen="127.0.0.99:0")
        for host in ("127.0.0.1", "127.0.0.2"):
            silent_listener(self, host, server.port)
        done = subprocess.run([*enter, harness.CLI, "-a", f"multi:{server.port}", "set", "k", "v"], capture_output=True, timeout=PATIENCE, check=False,
                              env=harness.environment())
        self.assertEqual((done.returncode, done.stdout), (0, b"OK\n"), done.stderr)


class Foreign:
    """A server that implements only the calls given, by name, and counts them: Batch of
    KeyValueService, the others of the frozen service."""

    def __init__(self, case, **calls):
        self.counts = {}
        types = {"Set": kv.SetRequest, "Get": kv.GetRequest, "Del": kv.DelRequest,
                 "Batch": data.BatchRequest}

        def counted(name, answer):
            def call(request, context):
                self.counts[name] = self.counts.get(name, 0) + 1
                return answer(request, context)
            return grpc.unary_unary_rpc_method_handler(
                call, types[name].FromString, lambda message: message.SerializeToString())

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        handlers = {name: counted(name, answer) for name, answer in calls.items()}
        batch = {name: handlers.pop(name) for name in ("Batch",) if name in handlers}
        self.server.add_generic_rpc_handlers([
            grpc.method_handlers_generic_handler("kvstore.KeyValueStore", handlers),
            grpc.method_handlers_generic_handler("kvstore.v1.KeyValueService", batch)])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        case.addCleanup(self.server.stop, None)


def refuse(code, text):
    return lambda request, context: context.abort(code, text)


class Pipes(ClientCase):
    def expect_as_one_by_one(self, lines):
        """Runs the lines together on one server and one by one on another: output, exit code and
        data must be the same."""
        together = self.run_cli(stdin=b"\n".join(lines) + b"\n")
        alone = self.start(data="alone", mode="none")
        out, errors, code = b"", [], 0
        for number, line in enumerate(lines, 1):
            done = self.run_cli(stdin=line + b"\n", address=alone.address)
            out += done.stdout
            errors += [re.sub(r"line 1: ", f"line {number}: ", text)
                       for text in done.stderr.decode().splitlines()]
            code = code or done.returncode
        self.assertEqual(together.stdout, out)
        self.assertEqual(together.stderr.decode().splitlines(), errors)
        self.assertEqual(together.returncode, code)
        self.assertEqual(dict(self.server.scan()), dict(alone.scan()))
        return code

    def test_lines_together_do_what_each_does_by_itself(self):
        self.assertEqual(self.expect_as_one_by_one([
            b"set a 1", b"set b 2", b"get a", b"get b", b"get missing", b"set a 3", b"get a",
            b"del a", b"get a", b"del a", b"del b c", b"keys", b"SET c 'x  y'", b"Get c",
            b"del missing", b"set d '' # empty", b"get d", b"get d extra", b"set e \"open",
            b"set e 5", b"frobnicate", b"get e", b"scan", b"set f \"\\x00\\xff\"", b"get f"]), 1)

    def test_a_line_that_the_server_refuses_fails_by_itself_at_its_place(self):
        self.assertEqual(self.expect_as_one_by_one([
            b"set a 1", b"set '' 2", b"set b 3", b"set \"\\xff\" 4", b"del ''", b"set c 5",
            b"get a", b"get ''", b"get c"]), 64 + 3)

    def test_large_values_pass_beside_small_ones(self):
        big = b"x" * (3 << 20)
        lines = [b"set small 1", b"set big " + big, b"set other 2"]
        lines += [b"get big", b"get small"] * 20
        self.check([], stdin=b"\n".join(lines), out=b"OK\n" * 3 + (big + b"\n1\n") * 20)

    def test_what_follows_a_large_write_is_sent_as_what_it_is(self):
        """Another command stands between them, so that each is sent alone."""
        lines = [b"set big " + b"x" * (3 << 20), b"keys big", b"get missing", b"keys big",
                 b"del missing", b"keys big", b"get other"]
        self.check([], stdin=b"\n".join(lines), code=1, out=b"OK\nbig\nbig\n0\nbig\n",
                   error="not found")
        self.assertEqual(self.server.keys(), ["big"])

    def test_values_that_do_not_fit_into_one_answer_come_all_the_same(self):
        server = self.start(data="small", mode="none",
                            flags=["--max-message-size", "2M", "--max-value-size", "1M"])
        value = b"x" * (900 << 10)
        for i in range(5):
            server.set(f"k{i}", value)
        self.check([], stdin=b"".join(b"get k%d\n" % i for i in range(5)), address=server.address,
                   out=(value + b"\n") * 5)

    def test_many_lines_reach_the_disk_together(self):
        server = self.start(data="disk", mode="aof")
        lines = b"".join(b"set k%d v%d\n" % (i, i) for i in range(20000))
        self.check([], stdin=lines, address=server.address, out=b"OK\n" * 20000)
        self.assertEqual(server.status().keys, 20000)
        (writes,) = (hook.calls for hook in server.status().hooks if hook.name == "on_write")
        self.assertLess(writes, 2000)

    def test_an_answer_is_printed_before_the_next_line_is_waited_for(self):
        client = subprocess.Popen([harness.CLI, "-a", self.server.address], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, env=harness.environment())
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        for lines, answers in ((b"set a 1\n", [b"OK\n"]),
                               (b"set b 2\nget a\nget b\nset c", [b"OK\n", b"1\n", b"2\n"]),
                               (b" 3\n", [b"OK\n"])):
            client.stdin.write(lines)
            client.stdin.flush()
            for answer in answers:
                self.assertEqual(client.stdout.readline(), answer)

    def test_a_full_store_refuses_some_lines_and_takes_the_others(self):
        server = self.start(data="full", mode="none", flags=["--max-memory", "100"])
        done = self.run_cli(stdin=b"set a 1\nset b " + b"x" * 200 + b"\nset c 3\n",
                            address=server.address)
        self.assertEqual((done.returncode, done.stdout), (64 + 8, b"OK\nOK\n"))
        self.assertRegex(done.stderr.decode(), r"^line 2: error: .*max-memory")
        self.assertEqual(server.keys(), ["a", "c"])

    def test_a_server_without_batch_is_asked_line_by_line(self):
        values = {}

        def set_(request, _):
            values[request.key] = request.value
            return empty_pb2.Empty()

        foreign = Foreign(self, Set=set_,
                          Get=lambda request, _: kv.GetResponse(value=values.get(request.key, b"")),
                          Del=lambda request, _: kv.DelResponse(
                              success=values.pop(request.key, None) is not None))
        self.check([], stdin=b"set a 1\nset b 2\nget a\nget b\ndel a\ndel b\n",
                   address=foreign.address, out=b"OK\nOK\n1\n2\n1\n1\n")
        self.assertEqual(foreign.counts, {"Set": 2, "Get": 2, "Del": 2})

    def test_a_write_is_sent_again_only_where_the_server_says_that_nothing_was_changed(self):
        ok = lambda request, _: kv.DelResponse()
        for code, again in ((grpc.StatusCode.RESOURCE_EXHAUSTED, True),
                            (grpc.StatusCode.INVALID_ARGUMENT, True),
                            (grpc.StatusCode.UNAVAILABLE, False),
                            (grpc.StatusCode.INTERNAL, False),
                            (grpc.StatusCode.UNKNOWN, False),
                            (grpc.StatusCode.CANCELLED, False)):
            with self.subTest(code=code):
                foreign = Foreign(self, Set=ok, Batch=refuse(code, "not now"))
                done = self.run_cli(stdin=b"set a 1\nset b 2\nset c 3\n",
                                    address=foreign.address)
                if again:
                    self.assertEqual((done.returncode, done.stdout), (0, b"OK\n" * 3), done)
                    self.assertEqual(foreign.counts, {"Batch": 1, "Set": 3})
                else:
                    self.assertEqual((done.returncode, done.stdout), (64 + code.value[0], b""))
                    self.assertEqual(
                        [line[:7] for line in done.stderr.decode().splitlines()],
                        ["line 1:", "line 2:", "line 3:"])
                    self.assertEqual(foreign.counts, {"Batch": 1})

    def test_reads_are_asked_again_one_by_one_where_they_fail_together(self):
        foreign = Foreign(self, Get=lambda request, _: kv.GetResponse(value=b"v", found=True),
                          Batch=refuse(grpc.StatusCode.INTERNAL, "not now"))
        self.check([], stdin=b"get a\nget b\n", address=foreign.address, out=b"v\nv\n")

    def test_where_no_server_can_be_reached_one_line_says_so(self):
        self.server.kill9()
        result = self.check([], stdin=b"set a 1\nset b 2\nset c 3\n", code=64 + 14, out=b"",
                            error="line 1: error: cannot connect to")
        self.assertEqual(len(result.stderr.splitlines()), 1)


class Bytes(ClientCase):
    """What editors and Windows add to a list of commands."""

    def test_marks_carriage_returns_and_comments_change_nothing(self):
        for text in (b"\xef\xbb\xbfset k v\nget k\n", b"set k v\r\nget k\r\n",
                     b"\xef\xbb\xbfset k v\r\nget k", b"set k v\r\r\nget k\r\r\n",
                     b"set k v\n\xef\xbb\xbfget k\n", b"set k v # one\n# two\n  # three\nget k#\n"
                     .replace(b"k#", b"k #"), b"\xef\xbb\xbf# first\r\nset k v\r\nget k\r\n"):
            with self.subTest(text=text):
                self.server.set("k", b"before")
                self.check([], stdin=text, out=b"OK\nv\n")

    def test_utf16_is_refused_as_a_whole(self):
        for encoding in ("utf-16-le", "utf-16-be"):
            with self.subTest(encoding=encoding):
                result = self.check([], stdin="\ufeffset a 1\r\nset b 2\r\n".encode(encoding),
                                    code=2, out=b"", error="line 1: error: this is UTF-16")
                self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertEqual(self.server.keys(), [])

    def test_what_only_looks_like_a_space_or_a_quote_is_refused_at_its_place(self):
        for line, error in (("set a\u00a01", "line 1: error: column 6"),
                            ("set a \u201cx y\u201d", "line 1: error: column 7"),
                            ("set a 1\rset b 2", "line 1: error: column 8")):
            with self.subTest(line=line):
                self.check([], stdin=line.encode(), code=2, out=b"", error=error)
        self.assertEqual(self.server.keys(), [])
        self.check([], stdin="set a 'x\u00a0\u201cy\u201d'\nset b don\u2019t\n".encode())
        self.assertEqual(self.server.get("a"), "x\u00a0\u201cy\u201d".encode())
        self.assertEqual(self.server.get("b"), "don\u2019t".encode())


if __name__ == "__main__":
    harness.main()
