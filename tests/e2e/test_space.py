"""A small disk and a full disk: what still works, what does not, and what is reported."""
import errno
import os
import subprocess
import time

import grpc

import faults
import harness
from harness import PATIENCE, data, kv
from reasons import reason_of

OK = grpc.StatusCode.OK
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DURABLE = ("aof", "hybrid", "encrypt")


class Space(harness.Case):
    def small_disk(self, name, size):
        """A file system of its own at folder/name. Only root can mount one."""
        path = os.path.join(self.folder, name)
        os.mkdir(path, 0o700)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", path],
            stderr=subprocess.DEVNULL, check=False).returncode == 0
        if not mounted:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=True)
        return path

    def start_in(self, mode, name, options=()):
        if mode == "encrypt":
            key = os.path.join(self.folder, "key")
            with open(key, "w", encoding="ascii", opener=lambda path, flags: os.open(
                    path, flags, 0o600)) as file:
                file.write("5" * 64)
            inner = ",".join(options)
            options = [f"key_file={key}", "inner=hybrid", *([f"inner_options={inner}"]
                                                            if inner else [])]
        return self.start(data=name, mode=mode, options=options)

    def fill_the_rest(self, path):
        """Another program takes all that is left of the disk."""
        with open(os.path.join(path, "filler"), "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def set_sometime(self, server, key, value):
        """Repeats a write until it is accepted: it may be refused while the log is being compacted.
        Returns how often it was refused."""
        deadline = time.monotonic() + PATIENCE
        refused = 0
        while True:
            try:
                server.set(key, value)
                return refused
            except grpc.RpcError as error:
                refused += 1
                if error.code() != EXHAUSTED or time.monotonic() > deadline:
                    raise

    def files(self, path, ending):
        return [name for _, _, names in os.walk(path) for name in names if name.endswith(ending)]


class Compaction(Space):
    def test_one_key_can_be_set_for_ever_on_a_small_disk(self):
        """Far more is written than the disk can hold, and hardly anything is kept."""
        for mode in DURABLE:
            with self.subTest(mode=mode):
                self.small_disk(mode, "16m")
                server = self.start_in(mode, mode)
                for i in range(300):
                    self.set_sometime(server, "key", bytes([i % 256]) * 200_000)
                server.save()
                server.kill9()
                again = self.start(data=mode)
                self.assertEqual(again.get("key"), bytes([299 % 256]) * 200_000)
                again.stop()

    def test_a_log_that_fills_the_disk_in_one_segment_is_replaced(self):
        """No segment is ever full here, so space can only be freed by beginning a new one."""
        for mode in DURABLE:
            with self.subTest(mode=mode):
                self.small_disk(mode, "8m")
                server = self.start_in(mode, mode, ["aof_max_size=1G", "snapshot_interval=31536000"]
                                       if mode == "hybrid" else ["aof_max_size=1G"])
                for i in range(100):
                    self.set_sometime(server, f"key{i % 3}", bytes([i]) * 250_000)
                server.kill9()
                again = self.start(data=mode)
                self.assertEqual({key: value[0] for key, value in again.scan()},
                                 {"key0": 99, "key1": 97, "key2": 98})
                again.stop()

    def test_hybrid_takes_a_snapshot_when_the_log_has_outgrown_the_data(self):
        """Long before the interval is over, on a disk with space for everything."""
        server = self.start(mode="hybrid", options=["aof_max_size=65536", "max_snapshots=2"])
        for i in range(200):
            server.set("key", b"%d" % i * 1000)
        deadline = time.monotonic() + PATIENCE
        while len(self.files(server.data, ".snapshot")) < 1:
            self.assertLess(time.monotonic(), deadline, "no snapshot was taken")
            server.set("key", b"v" * 3000)


class Word(Space):
    def test_a_full_disk_is_logged_once_and_counted_in_status(self):
        """Clients that keep trying do not fill the rest of the disk with log lines."""
        for mode in DURABLE:
            with self.subTest(mode=mode):
                path = self.small_disk(mode, "4m")
                server = self.start_in(mode, mode)
                server.set("key", b"v")
                before = server.status()
                self.assertEqual((before.last_error, before.last_error_unix_ms,
                                  before.last_error_count, before.refused_writes), ("", 0, 0, 0))
                self.fill_the_rest(path)
                begin_ms = int(time.time() * 1000)
                for _ in range(300):
                    self.assertFails(EXHAUSTED, lambda: server.set("more", b"v" * 1_500_000))
                status = server.status()
                self.assertIn("no space", status.last_error)
                self.assertGreaterEqual(status.last_error_count, 1)
                self.assertGreaterEqual(status.last_error_unix_ms, begin_ms)
                self.assertEqual(status.refused_writes, 300)
                self.assertFalse(status.read_only)
                self.assertTrue(server.log.wait_for("1 write was refused, the last one because: "))
                lines = [line for line in server.log.text().splitlines() if "no space" in line]
                self.assertLess(len(lines), 8, lines)
                shown = subprocess.run([harness.CLI, "-a", server.address, "status"],
                                       capture_output=True, check=True, timeout=PATIENCE).stdout
                self.assertIn(b"no space", shown)
                self.assertRegex(shown, rb"refused +300 writes since the start, for lack of space")
                server.stop()

    def test_a_checkpoint_without_space_or_with_a_bad_disk_has_a_reason_for_programs(self):
        for error, code, reason in ((errno.ENOSPC, EXHAUSTED, "STORAGE_FULL"),
                                    (errno.EIO, grpc.StatusCode.UNAVAILABLE, "PLUGIN_FAILED")):
            shim = faults.Shim(self.folder, os.path.join(self.folder, reason))
            server = self.start(data=reason, mode="snapshot", variables=shim.environment())
            server.set("key", b"v" * 1000)
            shim.arm("write fallocate", 1, "error", error, last=faults.FOREVER, match="snapshot")
            for call in (server.save,
                         lambda: server.keyvalue.WaitDurable(data.WaitDurableRequest(), timeout=PATIENCE),
                         lambda: server.configure("snapshot", {"snapshot_interval": "77"})):
                with self.subTest(reason=reason):
                    with self.assertRaises(grpc.RpcError) as caught:
                        call()
                    self.assertEqual((caught.exception.code(), reason_of(caught.exception)),
                                     (code, (reason, {})), caught.exception.details())
            shim.heal()
            server.save()
            server.stop()

    def test_an_injected_lack_of_space_is_reported_as_well(self):
        for mode in ("aof", "hybrid"):
            with self.subTest(mode=mode):
                shim = faults.Shim(self.folder, os.path.join(self.folder, mode))
                server = self.start(data=mode, mode=mode, variables=shim.environment())
                server.set("key", b"v")
                shim.arm("fallocate", 1, "error", errno.ENOSPC, last=faults.FOREVER, match="/aof/")
                for _ in range(3):
                    self.assertFails(EXHAUSTED, lambda: server.set("more", b"v" * 1_500_000),
                                     "no space")
                self.assertEqual(server.status().refused_writes, 3)
                self.assertTrue(server.delete("key"))
                server.save()
                shim.heal()
                self.set_sometime(server, "more", b"v" * 1_500_000)
                server.stop()


class Full(Space):
    def test_save_and_delete_work_on_a_full_disk_and_writes_once_that_has_freed_space(self):
        for mode in ("snapshot", *DURABLE):
            with self.subTest(mode=mode):
                path = self.small_disk(mode, "12m")
                server = self.start_in(mode, mode)
                wanted = {}
                for i in range(10):
                    wanted[f"key{i}"] = bytes([i]) * 200_000
                    server.set(f"key{i}", wanted[f"key{i}"])
                server.save()
                self.fill_the_rest(path)
                if mode != "snapshot":
                    self.assertFails(EXHAUSTED, lambda: server.set("more", b"v" * 4_000_000),
                                     "no space")
                server.set("key0", b"small")
                wanted["key0"] = b"small"
                server.save()
                for i in range(1, 8):
                    self.assertTrue(server.delete(f"key{i}"))
                    del wanted[f"key{i}"]
                    server.save()
                self.set_sometime(server, "again", b"v" * 300_000)
                wanted["again"] = b"v" * 300_000
                server.save()
                server.kill9()
                self.assertEqual(dict(self.start(data=mode).scan()), wanted)

    def test_a_disk_that_the_data_itself_has_filled_can_be_saved(self):
        """The data grows faster than space for the next snapshot can be reserved."""
        for mode in DURABLE:
            with self.subTest(mode=mode):
                self.small_disk(mode, "12m")
                server = self.start_in(mode, mode)
                calls = [server.stub.Set.future(kv.SetRequest(key=f"key{i}", value=b"v" * 100_000),
                                                timeout=PATIENCE) for i in range(200)]
                kept = {f"key{i}" for i, call in enumerate(calls) if call.code() == OK}
                self.assertLess(len(kept), 200)
                server.save()
                server.kill9()
                self.assertEqual({key for key, _ in self.start(data=mode).scan()}, kept)

    def test_a_set_that_does_not_fit_keeps_nobody_else_from_deleting(self):
        """Writes that arrive together are committed together, but must not be refused together."""
        for mode in DURABLE:
            with self.subTest(mode=mode):
                path = self.small_disk(mode, "12m")
                server = self.start_in(mode, mode)
                for i in range(200):
                    server.set(f"key{i}", b"v" * 10_000)
                server.save()
                self.fill_the_rest(path)
                for i in range(0, 100, 10):
                    sets = [server.stub.Set.future(
                        kv.SetRequest(key="large", value=b"v" * 8_000_000), timeout=PATIENCE)
                        for _ in range(5)]
                    deletes = [server.stub.Del.future(kv.DelRequest(key=f"key{j}"),
                                                      timeout=PATIENCE)
                               for j in range(i, i + 10)]
                    for call in deletes:
                        self.assertTrue(call.result().success)
                    for call in sets:
                        self.assertEqual(call.code(), EXHAUSTED)
                server.kill9()
                self.assertEqual({key for key, _ in self.start(data=mode).scan()},
                                 {f"key{i}" for i in range(100, 200)})

    def test_deletes_work_and_free_space_after_a_restart_on_a_full_disk(self):
        for mode in DURABLE:
            with self.subTest(mode=mode):
                path = self.small_disk(mode, "12m")
                server = self.start_in(mode, mode)
                for i in range(10):
                    server.set(f"key{i}", bytes([i]) * 200_000)
                server.save()
                self.fill_the_rest(path)
                server.kill9()
                again = self.start(data=mode)
                self.fill_the_rest(path)
                self.assertFails(EXHAUSTED, lambda: again.set("more", b"v" * 4_000_000))
                for i in range(8):
                    self.assertTrue(again.delete(f"key{i}"))
                self.set_sometime(again, "again", b"v" * 300_000)
                again.save()
                again.kill9()
                self.assertEqual(dict(self.start(data=mode).scan()),
                                 {"key8": bytes([8]) * 200_000, "key9": bytes([9]) * 200_000,
                                  "again": b"v" * 300_000})

    def test_older_snapshots_give_way_when_the_next_one_does_not_fit(self):
        for mode in ("snapshot", "hybrid"):
            with self.subTest(mode=mode):
                path = self.small_disk(mode, "12m")
                server = self.start(data=mode, mode=mode, options=["max_snapshots=100"])
                for i in range(40):
                    server.set("key", bytes([i]) * 500_000)
                    server.save()
                self.assertGreater(len(self.files(path, ".snapshot")), 1)
                server.kill9()
                self.assertEqual(self.start(data=mode).get("key"), bytes([39]) * 500_000)


if __name__ == "__main__":
    harness.main()
