"""What the server shows of calls: slow ones, those that a monitor follows, and hot key prefixes."""
import hashlib
import os
import re
import signal
import subprocess
import time

import grpc

import harness
import http2
from harness import CLI, PATIENCE, admin, kv
from terminal import Terminal

MONITOR = "/kvstore.v1.AdminService/Monitor"
PROMPT = "kvstore> "


class CallsCase(harness.Case):
    def cli(self, server, *arguments):
        done = subprocess.run([CLI, "-a", server.address, *arguments], capture_output=True,
                              timeout=PATIENCE, check=False, env=harness.environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def follow(self, server, *arguments):
        """A monitor of the client that follows already."""
        process = subprocess.Popen([CLI, "-a", server.address, "monitor", *arguments],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=harness.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stderr.readline(), b"following; ^C ends it\n")
        return process

    def line(self, process):
        return process.stdout.readline().decode().rstrip("\n")


class SlowCalls(CallsCase):
    def test_a_call_that_takes_long_is_kept_and_logged(self):
        server = self.start(mode="none", flags=["--slow-ms", "900"])
        server.shadow("aof", seconds=1)
        first = self.cli(server, "slowlog").splitlines()[0]
        self.assertRegex(first, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} +\d+\.\d{3} ms  OK +"
                                r"/kvstore\.v1\.AdminService/Configure  from 127\.0\.0\.1:\d+  \d+ bytes$")
        self.assertGreaterEqual(float(re.search(r"([\d.]+) ms", first).group(1)), 1000)
        self.assertLogs(server, "slow call: /kvstore.v1.AdminService/Configure from 127.0.0.1:")
        answer = server.admin.ListSlowCalls(admin.ListSlowCallsRequest(limit=1), timeout=PATIENCE)
        self.assertEqual((len(answer.calls), answer.threshold_ms), (1, 900))
        self.assertGreaterEqual(answer.count, 1)

    def test_its_key_is_shown_to_an_admin_and_not_in_the_log(self):
        server = self.start(mode="gated", plugins=harness.BAD_PLUGINS)
        gate = os.path.join(server.data, "gen-000001", "write_gate")
        os.mkfifo(gate)
        write = server.stub.Set.future(kv.SetRequest(key="private:key", value=b"v"), timeout=PATIENCE)
        while max(hook.running_ns for hook in server.status().hooks) < 200 * 10 ** 6:
            pass
        writer = os.open(gate, os.O_WRONLY)
        os.unlink(gate)
        os.close(writer)
        write.result()
        slow = [line for line in self.cli(server, "slowlog").splitlines() if "/Set  from " in line]
        self.assertTrue(slow[0].endswith("  key=private:key"), slow)
        self.assertLogs(server, "slow call: /kvstore.KeyValueStore/Set from 127.0.0.1:")
        self.assertNotIn("private", server.log.text())

    def test_none_is_kept_where_slow_ms_is_0(self):
        server = self.start(mode="none", flags=["--slow-ms", "0"])
        server.shadow("aof", seconds=1)
        self.assertEqual(self.cli(server, "slowlog"),
                         "the server keeps no slow calls, as its setting slow-ms is 0\n")


class Monitors(CallsCase):
    def test_calls_are_shown_as_they_are_answered_with_keys_escaped_and_no_values(self):
        server = self.start(mode="none")
        monitor = self.follow(server)
        server.set("a\x1b[31m", b"top secret")
        server.get("k" * 200)
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT, lambda: server.set("", b"v"))
        shown = [self.line(monitor) for _ in range(3)]
        self.assertIn("  OK                /kvstore.KeyValueStore/Set  from 127.0.0.1:", shown[0])
        self.assertTrue(shown[0].endswith('  key="a\\x1b[31m"'), shown[0])
        self.assertTrue(shown[1].endswith("  key=" + "k" * 128 + "... (200 bytes)"), shown[1])
        self.assertIn("INVALID_ARGUMENT", shown[2])
        self.assertNotIn("secret", "".join(shown))

    def test_only_what_is_asked_for_is_shown(self):
        server = self.start(mode="none")
        by_key = self.follow(server, "--key=user:", "--method=/kvstore.KeyValueStore/G")
        failed = self.follow(server, "--failed")
        for key in ("item:1", "user:1", "user:2"):
            server.set(key, b"v")
            server.get(key)
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT, lambda: server.set("", b"v"))
        for key in ("user:1", "user:2"):
            self.assertTrue(self.line(by_key).endswith(f"/Get  from {self.peer(server)}  8 bytes  key={key}"))
        self.assertIn("INVALID_ARGUMENT", self.line(failed))

    def peer(self, server):
        return next(event.peer for event in self.events(server, lambda: server.get("item:1")))

    def events(self, server, act):
        """The calls of a message that a monitor is sent when something has been done."""
        stream = server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE)
        self.assertEqual(next(stream), admin.MonitorResponse())
        act()
        message = next(stream)
        stream.cancel()
        return message.calls

    def test_the_user_is_shown_where_the_server_knows_its_users(self):
        tokens = {name: f"kvs_{name:a<43}" for name in ("root", "app")}
        users = os.path.join(self.folder, "users")
        with open(users, "w", encoding="ascii") as file:
            for name, grant in (("root", "admin"), ("app", "readwrite:*")):
                file.write(f"{name} {grant} token=sha256:"
                           f"{hashlib.sha256(tokens[name].encode()).hexdigest()}\n")
        server = self.start(mode="none", flags=["--users", users])
        metadata = {name: [("authorization", f"Bearer {token}")] for name, token in tokens.items()}
        stream = server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE,
                                      metadata=metadata["root"])
        next(stream)
        server.set("k", b"v", metadata=metadata["app"])
        event = next(stream).calls[0]
        self.assertEqual((event.user, event.key, event.key_size), ("app", b"k", 1))
        stream.cancel()
        for call, request in ((server.admin.Monitor, admin.MonitorRequest()),
                              (server.admin.ListSlowCalls, admin.ListSlowCallsRequest()),
                              (server.admin.ListHotPrefixes, admin.ListHotPrefixesRequest())):
            def ask(call=call, request=request):
                answer = call(request, timeout=PATIENCE, metadata=metadata["app"])
                if call == server.admin.Monitor:
                    next(answer)
            self.assertFails(grpc.StatusCode.PERMISSION_DENIED, ask)

    def test_one_that_does_not_read_holds_up_nobody_and_is_told_how_much_it_missed(self):
        server = self.start(mode="none")
        connection = http2.Connection(server.port, http2.settings((http2.INITIAL_WINDOW, 5)),
                                      keeps_data=True)
        self.addCleanup(connection.close)
        connection.send(http2.call(1, MONITOR, http2.message(b"")))
        while len(connection.data[1]) < 5 and not connection.closed:  # the first message
            connection.round_trip()
        count = 5000
        for future in [server.stub.Set.future(kv.SetRequest(key=f"k{i}", value=b"v"), timeout=PATIENCE)
                       for i in range(count)]:
            future.result(PATIENCE)
        connection.send(http2.window_update(0, 1 << 24) + http2.window_update(1, 1 << 24))
        deadline = time.monotonic() + PATIENCE
        shown, left_out = self.told(connection)
        while shown + left_out < count:
            self.assertLess(time.monotonic(), deadline, (shown, left_out))
            connection.round_trip()
            shown, left_out = self.told(connection)
        self.assertGreater(left_out, 0)
        self.assertEqual(shown + left_out, count)

    def told(self, connection):
        """How many calls the monitor on stream 1 was shown, and how many were left out."""
        data, at, shown, left_out = bytes(connection.data[1]), 0, 0, 0
        while len(data) >= at + 5 and len(data) >= at + 5 + int.from_bytes(data[at + 1:at + 5], "big"):
            size = int.from_bytes(data[at + 1:at + 5], "big")
            message = admin.MonitorResponse.FromString(data[at + 5:at + 5 + size])
            shown, left_out = shown + len(message.calls), left_out + message.left_out
            at += 5 + size
        return shown, left_out

    def test_eight_can_follow_and_the_ninth_is_told_so(self):
        server = self.start(mode="none")
        streams = [server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE) for _ in range(8)]
        for stream in streams:
            next(stream)
        self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                         lambda: next(server.admin.Monitor(admin.MonitorRequest(), timeout=PATIENCE)),
                         "8 monitors")
        for stream in streams:
            stream.cancel()

    def test_a_stop_ends_the_monitor(self):
        server = self.start(mode="none", flags=["--shutdown-grace-ms", "3600000"])
        monitor = self.follow(server)
        server.stop()
        _, errors = monitor.communicate(timeout=PATIENCE)
        self.assertEqual(monitor.returncode, 64 + grpc.StatusCode.UNAVAILABLE.value[0])
        self.assertIn(b"the server is stopping", errors)

    def test_an_interrupt_ends_the_monitor_at_a_prompt_and_the_prompt_goes_on(self):
        server = self.start(mode="none")
        terminal = Terminal([CLI, "-a", server.address], KVSTORE_HISTORY="", HOME=self.folder)
        self.addCleanup(terminal.close)
        terminal.await_text(PROMPT)
        terminal.type("monitor\r")
        terminal.await_text("following; ^C ends it")
        server.set("seen", b"v")
        terminal.await_text("key=seen")
        terminal.type("\x03")
        self.assertNotIn(b"error", terminal.await_text(PROMPT))
        terminal.type("get seen\r")
        terminal.await_text("v\r\n")

    def test_an_interrupt_ends_the_monitor_of_one_command(self):
        server = self.start(mode="none")
        monitor = self.follow(server)
        monitor.send_signal(signal.SIGINT)
        self.assertEqual(monitor.wait(PATIENCE), -signal.SIGINT)
        server.set("k", b"v")


class HotPrefixes(CallsCase):
    def test_prefixes_that_are_used_much_come_first_with_their_share(self):
        server = self.start(mode="none")
        self.assertEqual(self.cli(server, "hot"),
                         "from a sample of 0 calls with keys within the last minute\n")
        keys = ["user:1", "user:2", "user:3", 'odd "\x1b:x'] * 5000
        for future in [server.stub.Set.future(kv.SetRequest(key=key, value=b"top secret"), timeout=PATIENCE)
                       for key in keys]:
            future.result(PATIENCE)
        user, odd, rest = self.cli(server, "hot").splitlines()
        self.assertRegex(user, r"^ *\d+\.\d % +\d+ calls  user:$")
        self.assertRegex(odd, r'^ *\d+\.\d % +\d+ calls  "odd \\"\\x1b:"$')
        self.assertRegex(rest, r"^from a sample of \d+ calls with keys within the last minute$")
        self.assertEqual(len(self.cli(server, "hot", "1").splitlines()), 2)


class Misuse(CallsCase):
    def test_wrong_arguments_are_refused_by_name(self):
        server = self.start(mode="none")
        for arguments, text in ((["slowlog", "0"], b"from 1 to 1024"), (["hot", "x"], b"from 1 to 1000"),
                                (["monitor", "--nope"], b"unknown option --nope of monitor"),
                                (["slowlog", "1", "2"], b"usage: slowlog [N]")):
            done = subprocess.run([CLI, "-a", server.address, *arguments], capture_output=True,
                                  timeout=PATIENCE, check=False, env=harness.environment())
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    harness.main()
