"""What a start reports: in the log, in Status, and to clients that call too early."""
import os
import subprocess

import grpc

import harness
import store_files
from harness import PATIENCE


class Report(harness.Case):
    def recovered_line(self, server):
        self.assertLogs(server, " recovered: ")
        lines = [line for line in server.log.text().splitlines() if " recovered: " in line]
        self.assertEqual(len(lines), 1, server.log.text())
        return lines[0]

    def newest(self, server, folder):
        return store_files.files_below(os.path.join(server.data, "gen-000001", folder))[-1]

    def test_a_torn_tail_is_reported_in_log_and_status(self):
        server = self.start(mode="hybrid", options=["aof_max_size=4096"])
        for i in range(20):
            server.set(f"k{i:02}", b"v" * 300)
        server.save()
        for i in range(20):
            server.set(f"k{i:02}", b"w" * 300)
        server.kill9()
        newest = self.newest(server, "aof")
        store_files.write(newest, store_files.read(newest).rstrip(b"\0")[:-10])
        (expected,) = store_files.check(server.data)[1]["start"]["torn"]

        again = self.start()
        status = again.status()
        recovery = status.recovery
        (torn,) = recovery.torn
        name = os.path.basename(newest)
        self.assertEqual((torn.file, torn.offset, torn.bytes),
                         (f"aof/{name}", expected["offset"], expected["bytes"]))
        self.assertIn(f"{name[:-4]}-{torn.offset}.torn", torn.outcome)
        self.assertEqual((recovery.keys, recovery.bytes), (status.keys, status.bytes))
        self.assertEqual(recovery.version, 39)
        self.assertGreater(status.version, 39)  # that of the write that was cut off is not given out again
        self.assertEqual(recovery.records, 20 + 19)
        self.assertEqual(recovery.file_count, len(recovery.files))
        first, last = recovery.files[0], recovery.files[-1]
        self.assertEqual((first.name, first.records, first.version),
                         ("snapshots/00000000000000000020.snapshot", 20, 20))
        self.assertEqual((last.name, last.version), (f"aof/{name}", 39))

        line = self.recovered_line(again)
        for text in ("info recovered: mode hybrid, generation 1: ", "20.snapshot: 20 records, up to",
                     f"torn: aof/{name} at offset {torn.offset}, {torn.bytes} bytes cut off",
                     f"state: 20 keys, {status.bytes} bytes, sequence 39; "):
            self.assertIn(text, line)
        shown = subprocess.run([harness.CLI, "-a", again.address, "status"], capture_output=True,
                               timeout=PATIENCE, env=harness.environment()).stdout.decode()
        self.assertRegex(shown, r"recovery +39 records from \d+ files in \d+ ms: 20 keys, up to "
                                r"sequence 39\n")
        self.assertRegex(shown, rf"torn +aof/{name} at offset {torn.offset}, ")

    def test_a_damaged_snapshot_that_was_skipped_is_reported(self):
        server = self.start(mode="hybrid")
        for i in range(3):
            server.set("k", b"%d" % i)
            server.save()
        server.set("k", b"last")
        server.kill9()
        newest = self.newest(server, "snapshots")
        store_files.flip(newest, 70)
        again = self.start()
        (passed,) = again.status().recovery.passed_over
        self.assertEqual(passed.file, f"snapshots/{os.path.basename(newest)}")
        self.assertIn("damaged at offset", passed.reason)
        self.assertIn(f"passed over: {passed.file}", self.recovered_line(again))
        self.assertEqual(again.get("k"), b"last")

    def test_a_switch_is_no_recovery(self):
        server = self.start(mode="aof")
        self.assertLogs(server, "began an empty store: mode aof, generation 1")
        server.set("k", b"v")
        server.stop()
        again = self.start()
        before = again.status().recovery
        self.assertEqual(before.keys, 1)
        again.configure("hybrid")
        self.assertEqual(again.status().recovery, before)

    def test_calls_during_a_load_learn_its_progress(self):
        plugins = f"{harness.PLUGINS}:{harness.BAD_PLUGINS}"
        self.start(mode="gated", plugins=plugins).stop()
        gate = os.path.join(self.folder, "data", "gen-000001", "gate")
        os.mkfifo(gate)
        server = self.start(plugins=plugins, wait=False)
        server.open()
        with open(gate, "wb"):  # the load opens it and goes on when the test closes it
            for call in (lambda: server.get("k"), server.status):
                self.assertFails(grpc.StatusCode.UNAVAILABLE, call, "still loading", "43 %")
            state = harness.health_grpc.HealthStub(server.channel).Check(
                harness.health.HealthCheckRequest(), timeout=PATIENCE)
            self.assertEqual(state.status, harness.NOT_SERVING)
        server.wait_serving()
        (file,) = server.status().recovery.files
        self.assertEqual((file.name, file.records, file.bytes), ("a?file", 7, 9))


if __name__ == "__main__":
    harness.main()
