"""Mistakes that databases have made before, with one test for each class."""
import errno
import os
import shutil
import subprocess

import grpc

import faults
import harness
from harness import PATIENCE, admin, kv

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
FOREVER = faults.FOREVER


class OldBug(harness.Case):
    def start_with_shim(self, data="data", **keywords):
        shim = faults.Shim(self.folder, os.path.join(self.folder, data))
        return shim, self.start(data=data, variables=shim.environment(), **keywords)

    def later(self, server, key, value):
        return server.stub.Set.future(kv.SetRequest(key=key, value=value), timeout=PATIENCE)

    def files(self, data="data", ending=""):
        return sorted(os.path.join(top, name)
                      for top, _, names in os.walk(os.path.join(self.folder, data))
                      for name in names if name.endswith(ending))

    def contents(self):
        """All files with data; LOCK only names the last process."""
        found = {}
        for path in self.files():
            if os.path.basename(path) != "LOCK":
                with open(path, "rb") as file:
                    found[path] = file.read()
        return found

    def overwrite(self, path, offset, content):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(content)

    def used(self, path):
        """Where the trailing zeroes of a segment begin."""
        with open(path, "rb") as file:
            return len(file.read().rstrip(b"\0"))


class Syncs(OldBug):
    def test_an_idle_tail_is_synced_under_everysec(self):
        """A log that syncs once a second only when the next write comes never syncs the last second
        before a pause. Redis had this."""
        for mode in ("aof", "hybrid"):
            shim, server = self.start_with_shim(mode, mode=mode, options=["fsync=everysec"])
            synced = shim.arm("fdatasync", 1, "pass", last=FOREVER, match=".log")
            server.set("k", b"v")
            synced.wait_hit()  # nothing else is written

    def test_a_segment_is_synced_before_the_next_one_is_there(self):
        """A log moves on to the next file and syncs only that one from then on: the end of the
        previous file, in the middle of the history, may be lost."""
        shim, server = self.start_with_shim(mode="aof",
                                            options=["fsync=no", "aof_max_size=4096"])
        held = shim.arm("fdatasync", 1, "hold", match="0000000001.log")
        server.set("first", b"v" * 3000)
        second = self.later(server, "second", b"v" * 3000)
        held.wait_held()
        self.assertFalse(any("0000000002.log" in path for path in self.files()))
        held.disarm()
        second.result()
        self.assertEqual(len(self.files(ending="0000000002.log")), 1)

    def test_a_failed_sync_is_an_error_that_no_later_success_clears(self):
        """An fsync that failed is retried and succeeds, although the kernel has dropped the pages
        and reported that only once. PostgreSQL had this until 2018."""
        for mode in ("aof", "hybrid"):
            shim, server = self.start_with_shim(mode, mode=mode)
            server.set("kept", b"before")
            repair = shim.arm("mkdir", 1, "hold")
            shim.arm("fdatasync", 1, "error", errno.EIO, match=".log")
            self.assertFails(UNAVAILABLE, lambda: server.set("kept", b"lost"), "flush")
            for i in range(3):  # a sync would succeed now
                self.assertFails(UNAVAILABLE, lambda: server.set(f"more{i}", b"v"))
            self.assertEqual(server.get("kept"), b"before")
            repair.wait_held()
            repair.disarm()
            server.save()  # makes a fresh generation if the server has not done so itself yet
            server.set("after", b"repair")
            server.kill9()
            again = self.start(data=mode)
            self.assertEqual(dict(again.scan()), {"kept": b"before", "after": b"repair"})

    def test_a_name_counts_only_when_its_directory_is_synced(self):
        """Write, fsync, rename, but no fsync of the directory: after a power cut the old file name
        is back, while what it replaced is lost."""
        shim, server = self.start_with_shim(mode="hybrid", options=["aof_max_size=4096"])
        for place, call in (("/aof", lambda: self.later(server, "k", b"v" * 4000)),
                            ("/snapshots", lambda: server.admin.Save.future(admin.SaveRequest(),
                                                                           timeout=PATIENCE))):
            server.set("k", b"v" * 2000)
            held = shim.arm("fsync", 1, "hold", match=place)
            answer = call()
            held.wait_held()
            self.assertFalse(answer.done(), place)
            held.disarm()
            answer.result()
            shim.heal()

    def test_a_mode_record_whose_sync_was_reported_failed_may_be_there_and_loses_nothing(self):
        """The file that names the live files is renamed into place, its sync fails, the program
        continues with the old files, and the next start takes the new ones. RocksDB's manifest had
        this."""
        n, failed = 0, 0
        while True:
            n += 1
            shim, server = self.start_with_shim(f"turn{n}", mode="aof")
            server.set("k", b"before")
            late = shim.arm("fsync", n, "late", errno.EIO)
            try:
                server.configure("hybrid")
                mode = "hybrid"
            except grpc.RpcError:
                mode = "aof"
                failed += 1
            hit = late.hits
            shim.heal()
            self.assertEqual(server.status().plugin, mode)
            wanted = {"k": b"before"}
            try:
                server.set("k", b"after")
                wanted["k"] = b"after"
            except grpc.RpcError as error:  # both records may be there: then nothing is accepted
                self.assertEqual(error.code(), UNAVAILABLE)
            server.kill9()
            again = self.start(data=f"turn{n}")
            self.assertEqual(dict(again.scan()), wanted, f"fsync {n} failed")
            again.kill9()
            if not hit:
                break
        self.assertGreater(failed, 2)

    def test_a_slow_sync_does_not_keep_readers_waiting(self):
        """One lock protects log and data, so nobody can read while the disk is slow. Redis stalls
        this way when its everysec sync is slow."""
        for fsync in ("always", "everysec"):
            shim, server = self.start_with_shim(fsync, mode="aof", options=[f"fsync={fsync}"])
            server.set("k", b"old")
            held = shim.arm("fdatasync", 1, "hold", match=".log")
            write = self.later(server, "k", b"new")
            held.wait_held()
            # Under always, the new value is not acknowledged, so nobody may see it.
            self.assertEqual(server.get("k"), b"old" if fsync == "always" else b"new")
            self.assertEqual(server.keys(), ["k"])
            if fsync == "everysec":
                server.set("other", b"not held up either")
            held.disarm()
            write.result()
            self.assertEqual(server.get("k"), b"new")


class FullDisk(OldBug):
    def test_rewrites_that_fail_leave_no_files_behind(self):
        """Every attempt to compact on a full disk leaves a temporary file with a new name, until
        they fill the disk. Redis had this."""
        shim, server = self.start_with_shim(mode="hybrid")
        for i in range(4):
            server.set("k", b"%d" % i)
            shim.arm("write", i // 2 + 1, "error", errno.ENOSPC, match=".snapshot.tmp")
            self.assertFails(EXHAUSTED, server.save)
            shim.heal()
            self.assertEqual(self.files(ending=".tmp"), [])
        held = shim.arm("write", 1, "hold", match=".snapshot.tmp")
        server.admin.Save.future(admin.SaveRequest(), timeout=PATIENCE)
        held.wait_held()
        server.kill9()
        self.assertEqual(len(self.files(ending=".tmp")), 1)
        again = self.start()
        self.assertEqual(self.files(ending=".tmp"), [])
        self.assertEqual(again.get("k"), b"3")

    def fill(self, server, wanted):
        """Writes until a write is refused for lack of space."""
        for i in range(100000):
            try:
                server.set(f"k{i}", b"v" * 5000)
                wanted[f"k{i}"] = b"v" * 5000
            except grpc.RpcError as error:
                self.assertEqual(error.code(), EXHAUSTED, error.details())
                return
        self.fail("the disk never became full")

    def small_disk(self, mode):
        """A small file system at folder/mode, or None if none can be mounted."""
        path = os.path.join(self.folder, mode)
        os.mkdir(path, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "none", path],
                                 stderr=subprocess.DEVNULL, check=False).returncode == 0
        if not mounted:
            return None
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=True)
        return path

    def test_a_server_starts_on_a_full_disk_and_writes_again_when_there_is_space(self):
        """The disk is full, the server is restarted to fix that, and it needs space to start.
        MongoDB had this."""
        for mode in ("aof", "hybrid"):
            with self.subTest(mode=mode):
                path = self.small_disk(mode)
                shim, server = self.start_with_shim(mode, mode=mode)
                wanted = {}
                if path:
                    self.fill(server, wanted)
                    server.kill9()
                    filler = os.path.join(path, "filler")
                    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"],
                                   stderr=subprocess.DEVNULL, check=False)
                else:
                    server.set("k", b"v")
                    wanted["k"] = b"v"
                    server.kill9()
                    shim.arm("write fallocate", 1, "error", errno.ENOSPC, last=FOREVER,
                             match="/gen-")
                again = self.start(data=mode, variables=shim.environment())
                self.assertEqual(dict(again.scan()), wanted)
                self.assertFails(EXHAUSTED, lambda: again.set("more", b"v" * 9000))
                if path:
                    subprocess.run(["mount", "-o", "remount,size=9m", path], check=True)
                shim.heal()
                again.set("more", b"space")
                wanted["more"] = b"space"
                again.kill9()
                third = self.start(data=mode)
                self.assertEqual(dict(third.scan()), wanted)
                third.kill9()


class Files(OldBug):
    def test_one_mode_never_starts_over_the_files_of_another(self):
        """A flag chooses another persistence mode, and the start takes the absence of its files for
        an empty store. Redis had this when its log was enabled in the configuration."""
        modes = ("none", "snapshot", "aof", "hybrid")
        for mode in modes:
            server = self.start(data=mode, mode=mode)
            server.set("k", mode.encode())
            server.stop()
        for mode in modes[1:]:
            for other in modes:
                if other == mode:
                    continue
                with self.subTest(files=mode, record=other):
                    self.assertRefusesToStart("configure", data=mode, mode=other)
                    mixed = os.path.join(self.folder, "mixed")
                    shutil.copytree(os.path.join(self.folder, mode), mixed)
                    shutil.copy(os.path.join(self.folder, other, "ACTIVE"), mixed)
                    self.assertRefusesToStart("gen-000001", data="mixed")
                    shutil.rmtree(mixed)
            self.assertEqual(self.start(data=mode).get("k"), mode.encode())

    def test_garbage_or_zeroes_behind_the_log_do_not_stop_the_start(self):
        """After a power cut a file may be longer than what was written, with zeroes or old blocks
        at its end; a reader that insists on understanding every byte refuses. etcd had this."""
        for tail in (b"", bytes(5000), b"\xff" * 5000, b"KVR\x01" * 1000, b"KVLOG\x89\r\n" * 99):
            server = self.start(mode="aof", data=f"tail{len(tail)}{tail[:1].hex()}")
            server.set("k", b"v")
            server.kill9()
            log, = self.files(os.path.basename(server.data), ending="1.log")
            end = self.used(log)
            os.truncate(log, end)
            self.overwrite(log, end, tail)
            again = self.start(data=os.path.basename(server.data))
            self.assertEqual(again.get("k"), b"v")
            again.set("k", b"w")
            again.kill9()
            self.assertEqual(self.start(data=os.path.basename(server.data)).get("k"), b"w")

    def test_a_hole_in_the_middle_of_the_log_is_no_end(self):
        """A reader that stops at the first bad record takes a damaged block for the end of the log
        and drops everything after it."""
        for mode in ("aof", "hybrid"):
            server = self.start(data=mode, mode=mode)
            for i in range(20):
                server.set(f"k{i:02}", b"v" * 1000)
            server.kill9()
            log, = self.files(mode, ending="1.log")
            self.overwrite(log, self.used(log) // 2 // 512 * 512, bytes(512))
            self.assertRefusesToStart(log, "damaged at offset", data=mode)
            self.assertEqual(self.files(mode, ending=".torn"), [])

    def test_a_read_error_is_not_taken_for_damage(self):
        """The disk fails to read, the program calls the file corrupt and repairs it by discarding
        data."""
        for mode in ("snapshot", "aof", "hybrid"):
            server = self.start(data=mode, mode=mode)
            server.set("k", b"v")
            server.save()
            server.set("k", b"w")
            server.kill9()
            before = self.contents()
            shim = faults.Shim(self.folder, server.data)
            for match in (".log", ".snapshot"):
                read = shim.arm("read", 1, "error", errno.EIO, last=FOREVER, match=match)
                if mode == "snapshot" and match == ".log":
                    continue
                self.assertRefusesToStart("cannot read", os.strerror(errno.EIO), data=mode,
                                          variables=shim.environment())
                self.assertGreater(read.hits, 0)
                shim.heal()
            self.assertEqual(self.contents(), before)
            self.assertEqual(self.start(data=mode).get("k"),
                             b"v" if mode == "snapshot" else b"w")

    def test_snapshots_of_two_generations_are_never_mixed(self):
        """A backup restored in part: an old snapshot under the name of the new one, or beside a log
        that continues from the new one."""
        server = self.start(mode="hybrid", options=["max_snapshots=1"])
        server.set("old", b"v")
        server.save()
        old, = self.files(ending=".snapshot")
        kept = os.path.join(self.folder, os.path.basename(old))
        shutil.copy(old, kept)
        server.configure("hybrid", {"max_snapshots": "1", "aof_max_size": "8192"})
        server.set("new", b"v")
        server.delete("old")
        server.stop()
        new, = self.files(ending=".snapshot")
        self.assertNotEqual(os.path.basename(new), os.path.basename(old))
        os.rename(new, os.path.join(self.folder, "new"))
        shutil.copy(kept, new)
        self.assertRefusesToStart(new)
        os.remove(new)
        shutil.copy(kept, os.path.dirname(new))
        self.assertRefusesToStart(os.path.basename(new))
        os.rename(os.path.join(self.folder, "new"), new)
        self.assertEqual(self.start().keys(), ["new"])


class Sizes(OldBug):
    def test_a_very_large_value_survives(self):
        """One part writes a length that another refuses to read: the log can no longer be
        loaded."""
        value = os.urandom(1 << 20) * 60
        for mode in ("snapshot", "aof", "hybrid"):
            server = self.start(data=mode, mode=mode)
            server.set("large", value)
            server.set("small", b"v")
            if mode != "aof":
                server.save()
            server.kill9()
            again = self.start(data=mode)
            self.assertTrue(again.get("large") == value, mode)
            self.assertEqual(again.get("small"), b"v")
            again.stop()

    def test_a_store_at_its_memory_limit_can_be_loaded_again(self):
        """The limit on writes is applied to loading as well: a store that was just full, or whose
        limit was lowered, does not start, or evicts what it loads."""
        for mode in ("aof", "hybrid"):
            server = self.start(data=mode, mode=mode, flags=["--max-memory", "100000"])
            wanted = {}
            for i in range(1000):
                try:
                    server.set(f"k{i:03}", b"v" * 1000)
                    wanted[f"k{i:03}"] = b"v" * 1000
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), EXHAUSTED)
                    break
            self.assertGreater(len(wanted), 90)
            server.kill9()
            for limit in ("100000", "5000"):
                again = self.start(data=mode, flags=["--max-memory", limit])
                self.assertEqual(dict(again.scan()), wanted)
                self.assertFails(EXHAUSTED, lambda: again.set("more", b"v" * 1000))
                key = next(iter(wanted))
                self.assertTrue(again.delete(key))
                del wanted[key]
                again.kill9()


if __name__ == "__main__":
    harness.main()
