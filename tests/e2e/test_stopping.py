"""How the server stops: what each signal does, and that nothing that hangs prevents it."""
import os
import re
import signal
import subprocess

import grpc

import harness
from harness import PATIENCE, admin, kv

DOCS = os.path.join(harness.ROOT, "docs", "stopping.md")
STUCK = 3  # the exit code of a process that ended in the middle of something
SHORT = ["--shutdown-grace-ms", "100", "--shutdown-stall-ms", "300"]


def documented():
    """The table in docs/stopping.md: signal -> "stops" or "ignored"."""
    with open(DOCS, encoding="utf-8") as file:
        rows = re.findall(r"^\| `(SIG\w+)` \| (\w+)", file.read(), re.MULTILINE)
    return dict(rows)


class Signals(harness.Case):
    def test_the_docs_name_every_signal_that_would_end_the_process(self):
        default = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP",  # faults
                   "SIGKILL", "SIGSTOP", "SIGTSTP", "SIGCONT", "SIGCHLD", "SIGURG", "SIGWINCH",
                   "SIGRTMIN", "SIGRTMAX"}
        self.assertEqual({each.name for each in signal.Signals} - default,
                         set(documented()))

    def test_each_signal_that_stops_keeps_what_sigterm_keeps(self):
        stopping = [name for name, what in documented().items() if what == "stops"]
        self.assertIn("SIGHUP", stopping)
        for name in stopping:
            with self.subTest(name):
                server = self.start(data=name, mode="snapshot")
                server.set("k", b"v")
                server.process.send_signal(getattr(signal, name))
                self.assertEqual(server.wait_exit(), 0, server.log.text())
                self.assertIn(f"{name}: stopping", server.log.text())
                again = self.start(data=name)
                self.assertEqual(again.get("k"), b"v")
                again.stop()

    def test_each_signal_that_is_ignored_does_nothing(self):
        server = self.start(mode="snapshot")
        ignored = [name for name, what in documented().items() if what == "ignored"]
        numbers = [getattr(signal, name, 16) for name in ignored]  # 16: SIGSTKFLT
        for number in [*numbers, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]:
            os.kill(server.pid, number)
            server.set("k", str(number).encode())
        server.stop()

    def test_a_hangup_that_was_ignored_at_the_start_stays_ignored(self):
        server = self.start_ignoring(signal.SIGHUP)
        os.kill(server.pid, signal.SIGHUP)
        server.set("k", b"v")
        server.stop()
        self.assertNotIn("SIGHUP", server.log.text())

    def start_ignoring(self, number):
        before = signal.signal(number, signal.SIG_IGN)
        try:
            return self.start(mode="snapshot")
        finally:
            signal.signal(number, before)

    def test_a_limit_on_the_size_of_files_refuses_writes_and_ends_nothing(self):
        server = self.start(mode="aof")
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=100000"], check=True)
        self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                         lambda: server.set("k", b"v" * 200000))
        self.assertIsNone(server.get("k"))
        self.assertIsNone(server.process.poll())


class Hanging(harness.Case):
    """With a plug-in whose hooks wait at a gate that nobody opens."""

    def gate(self, server, name, generation=1):
        path = os.path.join(server.data, f"gen-{generation:06}", name)
        os.mkfifo(path)
        return path

    def assertGivesUp(self, server, *texts):
        server.terminate()
        self.assertEqual(server.wait_exit(), STUCK, server.log.text())
        for text in ("ending without an orderly stop", *texts):
            self.assertIn(text, server.log.text())

    def start_gated(self, **keywords):
        return self.start(mode="gated", plugins=harness.BAD_PLUGINS, flags=SHORT, **keywords)

    def test_a_write_that_hangs(self):
        server = self.start_gated()
        self.gate(server, "write_gate")
        write = server.stub.Set.future(kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE)
        server.await_hook("on_write")
        self.assertGivesUp(server, "finishing the calls in flight", "on_write of gated has run for")
        self.assertNotEqual(write.code(), grpc.StatusCode.OK)

    def test_the_last_checkpoint_hangs(self):
        server = self.start_gated()
        self.gate(server, "tick_gate_3")
        self.assertGivesUp(server, "the last checkpoint", "on_tick (checkpoint) of gated has run",
                           "keeps what it had in its last checkpoint")

    def test_a_save_that_hangs(self):
        server = self.start_gated()
        self.gate(server, "tick_gate_2")
        save = server.admin.Save.future(admin.SaveRequest(), timeout=PATIENCE)
        server.await_hook("on_tick (checkpoint)")
        self.assertGivesUp(server, "on_tick (checkpoint) of gated has run")
        self.assertNotEqual(save.code(), grpc.StatusCode.OK)

    def test_the_close_hangs(self):
        server = self.start_gated()
        self.gate(server, "close_gate")
        self.assertGivesUp(server, "closing what is open", "close of gated has run")

    def test_a_load_that_hangs(self):
        server = self.start_gated()
        self.gate(server, "gate")
        server.kill9()
        again = self.start(wait=False, plugins=harness.BAD_PLUGINS, flags=SHORT)
        again.open()
        self.assertTrue(again.log.wait_for("waits at"), again.log.text())
        self.assertGivesUp(again, "loading the data", "on_load of gated has run")

    def test_what_was_acknowledged_as_durable_is_there_after_it(self):
        server = self.start_durable(flags=SHORT)
        self.begin_switch(server)
        self.assertGivesUp(server, "on_tick (checkpoint) of gated has run",
                           "mode aof keeps all that was acknowledged")
        self.assertEqual(self.start().get("k"), b"v")

    def start_durable(self, **keywords):
        server = self.start(mode="aof", plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}",
                            **keywords)
        server.set("k", b"v")
        return server

    def begin_switch(self, server):
        """Starts a switch to a mode whose checkpoint waits in the middle; returns the gate and the
        call."""
        gate = os.path.join(self.folder, "checkpoint_gate")
        os.mkfifo(gate)
        call = server.admin.Configure.future(
            admin.ConfigureRequest(plugin="gated", options={"checkpoint_gate": gate}),
            timeout=PATIENCE)
        self.assertTrue(server.log.wait_for("waits at"), server.log.text())
        return gate, call

    def test_a_switch_that_is_going_on_is_cancelled_and_one_that_waits_is_not_begun(self):
        server = self.start_durable()
        gate, switch = self.begin_switch(server)
        waiting = server.admin.Configure.future(admin.ConfigureRequest(plugin="hybrid"),
                                               timeout=PATIENCE)
        # The switch waits at its gate, so further requests wait behind it.
        server.terminate()
        self.assertEqual(waiting.code(), grpc.StatusCode.UNAVAILABLE)
        os.close(os.open(gate, os.O_WRONLY))
        self.assertEqual(switch.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn("the switch was cancelled", switch.details())
        self.assertEqual(server.wait_exit(), 0, server.log.text())
        again = self.start()
        self.assertEqual((again.status().plugin, again.get("k")), ("aof", b"v"))


class Filled(harness.Case):
    """With enough data for a load or a switch to take a moment."""
    KEYS = 20000

    def start_filled(self):
        server = self.start(mode="aof")
        server.fill((f"k{i}", b"v" * 100) for i in range(self.KEYS))
        return server

    def assertKeepsAll(self):
        self.assertEqual(len(self.start().keys()), self.KEYS)


class Crowded(Filled):
    """One connection requests switches continuously."""

    def start_crowded(self):
        server = self.start_filled()
        greedy = harness.admin_grpc.AdminServiceStub(server.connect())
        calls = [greedy.Configure.future(
            admin.ConfigureRequest(plugin="aof", options={"aof_max_size": str(20000000 + i)}),
            timeout=PATIENCE) for i in range(400)]
        return server, calls

    def test_who_asks_too_much_is_refused_and_others_have_their_turn(self):
        server, calls = self.start_crowded()
        plugins = server.admin.ListPlugins(admin.ListPluginsRequest(), timeout=PATIENCE)
        self.assertIn("aof", [plugin.name for plugin in plugins.plugins])
        codes = {call.code() for call in calls}
        self.assertEqual(codes, {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED})
        server.stop()

    def test_the_end_comes_although_they_wait(self):
        server, calls = self.start_crowded()
        server.terminate()
        allowed = {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED,
                   grpc.StatusCode.UNAVAILABLE}
        self.assertLessEqual({call.code() for call in calls}, allowed)
        self.assertEqual(server.wait_exit(), 0, server.log.text())
        self.assertKeepsAll()

    def test_equal_requests_are_one_switch(self):
        server = self.start(mode="aof")
        calls = [server.admin.Configure.future(admin.ConfigureRequest(plugin="hybrid"),
                                              timeout=PATIENCE) for _ in range(100)]
        self.assertEqual({call.code() for call in calls}, {grpc.StatusCode.OK})
        server.stop()
        self.assertEqual(server.log.text().count("switched from"), 1)


class Loading(Filled):
    def test_a_load_is_given_up_and_keeps_what_there_is(self):
        self.start_filled().kill9()
        again = self.start(wait=False)
        self.assertTrue(again.log.wait_for("listening on"))
        again.terminate()  # during the load or after it: either way it stops in an orderly way
        self.assertEqual(again.wait_exit(), 0, again.log.text())
        self.assertKeepsAll()


class Log(harness.Case):
    def start_unread(self, **keywords):
        """Its log is a pipe that nobody reads and that is soon full."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.set_blocking(write, False)
        with os.fdopen(write, "wb", buffering=0) as pipe:
            while pipe.write(b"x" * 4096) is not None:
                pass
            os.set_blocking(write, True)
            return self.start(wait=False, log=pipe, **keywords)

    def test_nobody_waits_for_a_log_that_is_not_read(self):
        socket = os.path.join(self.folder, "socket")
        server = self.start_unread(mode="aof", listen=f"unix:{socket}")
        server.open_at(f"unix:{socket}")
        for i in range(300):
            self.assertFails(grpc.StatusCode.INVALID_ARGUMENT,
                             lambda i=i: server.configure("aof", {"fsync": f"no{i}"}))
            server.configure(("hybrid", "aof")[i % 2])
        server.set("k", b"v")
        self.assertEqual(server.get("k"), b"v")
        server.stop()


class Descriptors(harness.Case):
    def test_a_server_without_standard_files_keeps_its_log_out_of_its_data(self):
        script = 'exec "$@" 0<&- 1<&- 2<&-'
        socket = os.path.join(self.folder, "socket")
        data = os.path.join(self.folder, "data")
        process = subprocess.Popen(["bash", "-c", script, "bash", harness.SERVER, "--data-dir", data,
                                    "--plugin-dir", harness.PLUGINS, "--listen", f"unix:{socket}",
                                    "--mode", "aof"], env=harness.environment())
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)  # before the wait, and nothing once it has ended
        channel = grpc.insecure_channel(f"unix:{socket}")
        self.addCleanup(channel.close)
        stub = harness.kv_grpc.KeyValueStoreStub(channel)
        stub.Set(kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE, wait_for_ready=True)
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)
        with open(os.path.join(data, "LOCK"), encoding="utf-8") as lock:
            self.assertEqual(lock.read(), f"{process.pid}\n")


if __name__ == "__main__":
    harness.main()
