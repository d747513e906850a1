"""What Status reports about the plug-in's hooks: their figures, and which one hangs now."""
import os
import re
import subprocess
import time

import grpc

import harness
from harness import PATIENCE, kv


def hooks(server):
    return {hook.name: hook for hook in server.status().hooks}


class Figures(harness.Case):
    def test_each_call_is_counted_with_its_time(self):
        server = self.start(mode="aof")
        for i in range(20):
            server.set(f"k{i}", b"v")
        server.save()
        seen = hooks(server)
        self.assertEqual(set(seen), {"open", "on_load", "on_write", "on_tick",
                                     "on_tick (checkpoint)", "close"})
        for name, calls in (("open", 1), ("on_load", 1), ("on_write", 20),
                            ("on_tick (checkpoint)", 1), ("close", 0)):
            self.assertEqual((seen[name].calls, seen[name].errors), (calls, 0), name)
        write = seen["on_write"]
        self.assertGreater(write.p50_ns, 0)
        self.assertLessEqual(write.p50_ns, write.p99_ns)
        self.assertLessEqual(write.p99_ns, write.max_ns)
        self.assertLessEqual(write.max_ns, write.total_ns)
        self.assertEqual(write.mean_ns, write.total_ns // 20)

    def test_a_switch_begins_anew_and_counts_the_close(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        server.configure("hybrid")
        seen = hooks(server)
        self.assertEqual((seen["on_write"].calls, seen["close"].calls), (0, 1))
        self.assertEqual(seen["on_tick (checkpoint)"].calls, 1)

    def test_a_failure_is_counted(self):
        server = self.start(mode="faulty", plugins=harness.BAD_PLUGINS,
                            options=["write=no_space", "healthy_writes=1"])
        server.set("k", b"v")
        for _ in range(2):
            self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: server.set("k", b"w"))
        write = hooks(server)["on_write"]
        self.assertEqual((write.calls, write.errors), (3, 2))

    def test_the_client_shows_them(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        shown = subprocess.run([harness.CLI, "-a", server.address, "status"], capture_output=True,
                               timeout=PATIENCE, env=harness.environment()).stdout.decode()
        self.assertRegex(shown, r"\non_write +1 +0( +[0-9.]+ (us|ms|s )){4}\n")
        self.assertNotIn("\nclose ", shown)


class Watchdog(harness.Case):
    def start_gated(self, **keywords):
        server = self.start(mode="gated", plugins=harness.BAD_PLUGINS, **keywords)
        self.gate = os.path.join(server.data, "gen-000001", "write_gate")
        os.mkfifo(self.gate)
        return server

    def open_gate(self):
        writer = os.open(self.gate, os.O_WRONLY)
        os.unlink(self.gate)
        os.close(writer)

    def await_report_after(self, server, seconds):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for text in re.findall(r"on_write of gated has run for (\d+) s", server.log.text()):
                if int(text) > seconds:
                    return int(text)
            server.status()
        raise AssertionError("it is not reported again")

    def test_a_write_that_hangs_is_reported_while_it_does_and_when_it_has_ended(self):
        server = self.start_gated(flags=["--hook-budget", "1"])
        write = server.stub.Set.future(kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE)
        line = server.log.wait_for("on_write of gated has run for ")
        self.assertRegex(line, r" warning .* has run for (\d+) s; its budget is 1 s")
        first = int(re.search(r"has run for (\d+) s", line).group(1))
        status = server.status()
        self.assertRegex(status.overdue[0], r"^on_write of gated has run for \d+ s; its budget is")
        running = {hook.name: hook.running_ns for hook in status.hooks}
        self.assertGreater(running["on_write"], 10 ** 9)
        self.assertEqual(running["on_load"], 0)
        shown = subprocess.run([harness.CLI, "-a", server.address, "status"], capture_output=True,
                               timeout=PATIENCE, env=harness.environment()).stdout.decode()
        self.assertRegex(shown, r"\noverdue +on_write of gated has run for ")
        # Again when the time has doubled.
        again = self.await_report_after(server, first)
        self.assertGreaterEqual(again, 2 * first)
        self.open_gate()
        write.result()
        self.assertRegex(server.log.wait_for("on_write of gated has ended after"),
                         r"after \d+\.\d s; its budget is 1\.0 s")
        status = server.status()
        self.assertEqual(list(status.overdue), [])
        self.assertEqual([hook.running_ns for hook in status.hooks if hook.name == "on_write"], [0])

    def test_without_a_budget_nothing_is_reported(self):
        server = self.start_gated(flags=["--hook-budget", "0"])
        write = server.stub.Set.future(kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE)
        while hooks(server)["on_write"].running_ns < 1.5 * 10 ** 9:
            pass
        self.assertEqual(list(server.status().overdue), [])
        self.open_gate()
        write.result()
        server.stop()
        self.assertNotIn("on_write of gated", server.log.text())


if __name__ == "__main__":
    harness.main()
