"""Shadow runs: a plug-in is tried on the live data, and nothing of the live mode changes."""
import os
import random
import subprocess
import time

import grpc

import harness
import store_files
from harness import PATIENCE, admin
from test_switch import OPTIONS, await_progress, faults, start_writers

SDK_PLUGINS = os.environ["KVSTORE_TEST_SDK_PLUGINS"]
ALL_PLUGINS = f"{harness.PLUGINS}:{harness.BAD_PLUGINS}:{SDK_PLUGINS}"
KEPT = ("snapshot", "aof", "hybrid")
KILL_ROUNDS = 6
Report, Difference = admin.ShadowReport, admin.ShadowReport.Difference


class Case(harness.Case):
    def assertLive(self, server, plugin):
        """The mode is unchanged, writes are accepted, and no files of a shadow are left."""
        status = server.status()
        self.assertEqual((status.plugin, status.generation, status.read_only, status.last_error),
                         (plugin, 1, False, ""))
        server.set("live", b"yes")
        self.assertEqual(server.get("live"), b"yes")
        self.assertEqual(self.generations(server), ["gen-000001"])

    def generations(self, server):
        return sorted(name for name in os.listdir(server.data) if name.startswith("gen-"))

    def assertEqualData(self, report):
        self.assertEqual(report.outcome, Report.OUTCOME_EQUAL, report)
        self.assertEqual((report.loaded_version, report.loaded_keys, report.loaded_bytes),
                         (report.version, report.keys, report.bytes))
        self.assertRegex(report.live_digest, "^[0-9a-f]{32}$")
        self.assertEqual(report.live_digest, report.loaded_digest)
        self.assertEqual((report.differences, report.HasField("first_difference")), (0, False))

    def fill(self, server):
        """Values of many sizes, replaced and deleted ones, and atomic groups."""
        for i in range(50):
            server.set(f"k{i:02}", bytes([i]) * (i * i))
        for i in range(0, 50, 5):
            server.delete(f"k{i:02}")
        for group in range(5):
            operations = [harness.setting(f"g{group}-{i}", b"%d" % i) for i in range(20)]
            server.transact(*operations, harness.deleting(f"g{group}-7"))


class Good(Case):
    def test_the_digest_is_the_one_that_kvstore_check_prints(self):
        server = self.start(mode="aof")
        self.fill(server)
        report = server.shadow("hybrid")
        entries = server.scan()
        server.stop()
        code, checked = store_files.check(server.data)
        self.assertEqual(code, store_files.SOUND)
        self.assertEqual(report.live_digest, checked["start"]["digest"])
        self.assertEqual(report.live_digest, store_files.digest(entries))

    def test_each_mode_equals_the_live_data_while_it_is_written(self):
        for active in ("none", "aof"):
            server = self.start(data=active, mode=active)
            self.fill(server)
            writers = start_writers(server)
            for mode in KEPT:
                for options in (OPTIONS[mode], {"snapshot_interval": "1"}):
                    if mode == "aof" and options != OPTIONS[mode]:
                        options = {"fsync": "no"}
                    with self.subTest(active=active, mode=mode, options=options):
                        call = server.shadow_call(mode, options, seconds=2)
                        await_progress(writers, 5)
                        self.fill(server)
                        report = call.result().shadow
                        self.assertEqualData(report)
                        self.assertEqual(report.plugin, mode)
                        self.assertEqual(set(options) - set(report.options), set())
                        self.assertEqual(report.generation, 2)
                        self.assertGreater(report.records, 0)
                        self.assertGreaterEqual(report.mirrored_ms, 2000)
                        # Its times, beside those of the active one.
                        for writes in (report.candidate_writes, report.active_writes):
                            self.assertGreater(writes.calls, 0)
                            self.assertGreater(writes.max_ns, 0)
                            self.assertLessEqual(writes.mean_ns, writes.max_ns)
                        self.assertEqual(report.candidate_writes.calls, report.active_writes.calls)
            for writer in writers:
                writer.stop()
                self.assertIsNone(writer.error, "a write failed during a shadow run")
            self.assertEqual(faults({key: value for key, value in server.scan()
                                     if key.startswith("w")}, writers), [])
            if active == "none":
                self.assertEqual(server.status().last_save_unix_ms, 0,
                                 "a candidate's checkpoint was taken for one of the store")
            self.assertLive(server, active)

    def test_with_validate_only_it_is_a_shadow_run_too(self):
        """This is how a client asks that does not know whether its server supports shadow runs."""
        server = self.start(mode="aof")
        answer = server.admin.Configure(
            admin.ConfigureRequest(plugin="hybrid", shadow=True, shadow_seconds=0, validate_only=True),
            timeout=PATIENCE)
        self.assertEqualData(answer.shadow)
        self.assertEqual((answer.plugin, answer.generation), ("aof", 1))
        self.assertLive(server, "aof")

    def test_a_plugin_on_another_gives_back_the_plain_data(self):
        server = self.start(mode="aof")
        self.fill(server)
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))
        report = server.shadow("encrypt", {"key_file": key, "inner": "hybrid"})
        self.assertEqualData(report)
        self.assertLive(server, "aof")

    def test_one_that_keeps_nothing_is_not_compared(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        report = server.shadow("none")
        self.assertEqual((report.outcome, report.keys), (Report.OUTCOME_NOTHING_KEPT, 1))
        self.assertLive(server, "aof")

    def test_an_empty_store_is_equal(self):
        server = self.start(mode="aof")
        for mode in KEPT:
            report = server.shadow(mode)
            self.assertEqualData(report)
            self.assertEqual((report.version, report.keys), (0, 0))

    def test_configure_right_afterwards_cuts_over(self):
        server = self.start(mode="aof")
        self.fill(server)
        before = dict(server.scan())
        self.assertEqualData(server.shadow("hybrid", {"fsync": "everysec"}))
        answer = server.configure("hybrid", {"fsync": "everysec"})
        self.assertEqual((answer.plugin, answer.generation), ("hybrid", 2))
        server.kill9()
        again = self.start()
        self.assertEqual(again.status().plugin, "hybrid")
        self.assertEqual(dict(again.scan()), before)


class Bad(Case):
    def different(self, server, *arguments, **keywords):
        report = server.shadow(*arguments, **keywords)
        self.assertEqual(report.outcome, Report.OUTCOME_DIFFERENT, report)
        self.assertNotEqual(report.live_digest, report.loaded_digest)
        return report, report.first_difference

    def test_a_lost_key_is_named(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        server.set("b", b"1")
        server.set("a", b"1")
        report, first = self.different(server, "faulty")
        self.assertEqual((first.kind, first.key, first.key_size), (Difference.KIND_MISSING, b"a", 1))
        self.assertEqual((report.differences, report.loaded_keys), (2, 0))
        self.assertLive(server, "aof")

    def test_a_key_that_came_back_is_named(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        for key in ("a", "b", "c"):
            server.set(key, b"1")
        call = server.shadow_call("ignores_deletes", seconds=2)
        self.assertTrue(server.log.wait_for("began a shadow run"))
        await_standby(server)
        server.delete("b")
        report = call.result().shadow
        self.assertEqual(report.outcome, Report.OUTCOME_DIFFERENT, report)
        self.assertEqual((report.first_difference.kind, report.first_difference.key),
                         (Difference.KIND_EXTRA, b"b"))
        self.assertLive(server, "aof")

    def test_a_value_that_is_an_older_one_is_named(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        for key in ("a", "z"):
            server.set(key, b"old")
        call = server.shadow_call("loses_last", seconds=2)
        self.assertTrue(server.log.wait_for("began a shadow run"))
        await_standby(server)
        server.set("a", b"new")
        report = call.result().shadow
        self.assertEqual(report.outcome, Report.OUTCOME_DIFFERENT, report)
        self.assertEqual((report.first_difference.kind, report.first_difference.key),
                         (Difference.KIND_VALUE, b"a"))
        self.assertEqual(report.differences, 2, "z was the last of the checkpoint")
        self.assertLive(server, "aof")

    def test_a_long_key_is_cut(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        server.set("x" * 300, b"1")
        _, first = self.different(server, "faulty")
        self.assertEqual((first.key, first.key_size), (b"x" * 256, 300))

    def test_a_failing_hook_is_reported_and_the_live_mode_goes_on(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        server.set("k", b"v")
        for options in ({"open": "io"}, {"load": "io"}, {"tick": "io"}, {"tick": "no_space"}):
            report = server.shadow("faulty", options)
            self.assertEqual(report.outcome, Report.OUTCOME_FAILED, report)
            self.assertIn("told to fail", report.error)
            self.assertLive(server, "aof")

    def test_a_write_that_fails_ends_the_run_at_once(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        for code in ("io", "no_space", "unknown"):
            writers = start_writers(server)
            report = server.shadow("faulty", {"write": code, "healthy_writes": "3"}, seconds=3600)
            self.assertEqual(report.outcome, Report.OUTCOME_FAILED, report)
            self.assertIn("told to fail", report.error)
            self.assertEqual((report.candidate_writes.calls, report.candidate_writes.errors),
                             (4, 1))
            await_progress(writers, 5)
            for writer in writers:
                writer.stop()
                self.assertIsNone(writer.error, "a write failed by a candidate that failed")
            self.assertLive(server, "aof")

    def test_the_candidate_need_not_sync_what_its_options_do_not(self):
        """The candidate of a switch has to; here it would make the reported times wrong."""
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        writers = start_writers(server)
        report = server.shadow("faulty", {"sync": "io"}, seconds=1)
        self.assertEqual(report.outcome, Report.OUTCOME_DIFFERENT, report)
        self.assertGreater(report.candidate_writes.calls, 0)
        for writer in writers:
            writer.stop()

    def test_what_cannot_be_tried_is_refused_as_by_configure(self):
        server = self.start(mode="aof")
        self.assertFails(grpc.StatusCode.NOT_FOUND, lambda: server.shadow("nosuch"), "nosuch")
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT,
                         lambda: server.shadow("aof", {"nosuch": "1"}), "nosuch")
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT,
                         lambda: server.shadow("aof", seconds=86401), "shadow_seconds")
        self.assertFails(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: server.admin.Configure(admin.ConfigureRequest(plugin="aof", shadow_seconds=1)),
            "shadow_seconds")
        self.assertLive(server, "aof")


def await_standby(server):
    """Waits until the run is past its checkpoint and the control thread answers again."""
    server.admin.ListPlugins(admin.ListPluginsRequest(), timeout=PATIENCE)


class Meanwhile(Case):
    def begin(self, server, **keywords):
        call = server.shadow_call("hybrid", seconds=3600, **keywords)
        self.assertTrue(server.log.wait_for("began a shadow run"))
        await_standby(server)
        return call

    def test_other_calls_are_answered(self):
        server = self.start(mode="aof")
        call = self.begin(server)
        server.set("k", b"v")
        self.assertGreater(server.save().version, 0)
        self.assertEqual(server.configure("hybrid", validate_only=True).plugin, "hybrid")
        for refused in (lambda: server.configure("hybrid"), lambda: server.shadow("snapshot")):
            self.assertFails(grpc.StatusCode.FAILED_PRECONDITION, refused, "shadow run")
        self.assertEqual(server.configure("aof").plugin, "aof", "in force already")
        call.cancel()
        self.assertTrue(server.log.wait_for("its call was cancelled"))
        await_standby(server)
        self.assertLive(server, "aof")
        self.assertEqualData(server.shadow("hybrid"))

    def test_a_deadline_ends_it(self):
        server = self.start(mode="aof")
        call = server.shadow_call("hybrid", seconds=3600, timeout=1)
        self.assertFails(grpc.StatusCode.DEADLINE_EXCEEDED, call.result)
        self.assertTrue(server.log.wait_for("its call was cancelled"))
        await_standby(server)
        self.assertLive(server, "aof")

    def test_a_stop_ends_it(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        call = self.begin(server)
        server.terminate()
        self.assertFails(grpc.StatusCode.UNAVAILABLE, call.result, "stopping")
        self.assertEqual(server.wait_exit(), 0)
        self.assertEqual(self.generations(server), ["gen-000001"])
        again = self.start()
        self.assertEqual(again.get("k"), b"v")
        self.assertLive(again, "aof")

    def test_the_repair_of_the_active_mode_goes_first(self):
        server = self.start(mode="faulty", plugins=ALL_PLUGINS,
                            options=["write=io", "healthy_writes=1"])
        call = self.begin(server)
        server.set("k", b"v")
        self.assertFails(grpc.StatusCode.UNAVAILABLE, lambda: server.set("k", b"w"))
        self.assertFails(grpc.StatusCode.UNAVAILABLE, call.result, "active plug-in failed")
        self.assertTrue(server.log.wait_for("writes are accepted again"))
        server.set("k", b"x")

    def test_kill_9_comes_back_in_the_old_mode(self):
        seed = int(os.environ.get("KVSTORE_TEST_SEED", time.time_ns() & 0xffffffff))
        print(f"KVSTORE_TEST_SEED={seed}", flush=True)
        rng = random.Random(seed)
        server = self.start(mode="aof", options=["aof_max_size=16K"])
        self.fill(server)
        counter = 0
        for turn in range(KILL_ROUNDS):
            message = f"seed {seed}, turn {turn}"
            writers = start_writers(server, counter)
            await_progress(writers, 3)
            call = server.shadow_call(KEPT[turn % len(KEPT)], seconds=turn % 2)
            # Only the moment of the kill is random here.
            try:
                call.result(timeout=rng.random() * (0.1 + turn % 2 * 1.1))
            except grpc.FutureTimeoutError:
                pass
            server.kill9()
            for writer in writers:
                writer.stop()
            counter = max(writer.counter for writer in writers)
            server = self.start()
            status = server.status()
            self.assertEqual((status.plugin, status.generation), ("aof", 1), message)
            self.assertEqual(self.generations(server), ["gen-000001"], message)
            self.assertEqual(faults(dict(server.scan()), writers), [], message)


class Client(Case):
    def run_cli(self, server, *words):
        done = subprocess.run([harness.CLI, "-a", server.address, *words], capture_output=True,
                              timeout=PATIENCE, env=harness.environment())
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def test_the_report_is_readable_and_the_exit_code_tells(self):
        server = self.start(mode="aof", plugins=ALL_PLUGINS)
        server.set("one two", b"1")
        code, out, _ = self.run_cli(server, "configure", "hybrid", "--shadow=0", "fsync=no")
        self.assertEqual(code, 0, out)
        for text in ("shadow run   EQUAL", "plugin       hybrid", "fsync=no",
                     "live         1 key, 8 bytes, sequence 1, digest ",
                     "given back   1 key, 8 bytes, sequence 1, digest "):
            self.assertIn(text, out)
        code, out, _ = self.run_cli(server, "configure", "faulty", "--shadow=0")
        self.assertEqual(code, 4, out)
        for text in ("shadow run   DIFFERENT", "differences  1 key",
                     "first        one two is missing"):
            self.assertIn(text, out)
        code, out, _ = self.run_cli(server, "configure", "faulty", "tick=io", "--shadow=0")
        self.assertEqual(code, 4, out)
        self.assertIn("shadow run   FAILED: plug-in faulty: told to fail", out)
        code, _, error = self.run_cli(server, "configure", "aof", "--shadow=soon")
        self.assertEqual(code, 2)
        self.assertIn("--shadow=", error)
        self.assertLive(server, "aof")


if __name__ == "__main__":
    harness.main()
