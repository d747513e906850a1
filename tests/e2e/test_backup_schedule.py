"""The server's own backups: when they are made, which are kept, and what is said when they fail."""
import os
import subprocess
import time

import harness
from harness import BIN, PATIENCE
from test_backup_file import wait_for


class Schedule(harness.Case):
    def setUp(self):
        super().setUp()
        self.backups = os.path.join(self.folder, "backups")
        os.mkdir(self.backups, 0o700)

    def begin(self, *flags, **keywords):
        keywords.setdefault("mode", "hybrid")
        return self.start(flags=["--backup-dir", self.backups, *flags], **keywords)

    def names(self):
        return sorted(name for name in os.listdir(self.backups) if name.endswith(".backup"))

    def check(self, name):
        return subprocess.run([os.path.join(BIN, "kvstore-check"), "backup",
                               os.path.join(self.backups, name)], capture_output=True,
                              timeout=PATIENCE, check=False)

    def test_the_first_is_made_at_once_and_a_restart_makes_none_too_many(self):
        server = self.begin()
        wait_for(self.names)
        self.assertLogs(server, "made the backup kvstore-")
        status = server.status().backup
        self.assertEqual([status.last_good_file], self.names())
        self.assertEqual((status.kept_files, status.interval_seconds, status.last_error),
                         (1, 86400, ""))
        path = os.path.join(self.backups, status.last_good_file)
        self.assertEqual(status.last_good_bytes, os.path.getsize(path))
        self.assertEqual(self.check(status.last_good_file).returncode, 0)
        shown = subprocess.run([os.path.join(BIN, "kvstore-cli"), "-a", server.address, "status"],
                               capture_output=True, timeout=PATIENCE, check=True)
        self.assertIn(status.last_good_file.encode(), shown.stdout)
        server.stop()
        again = self.begin(mode=None)
        again.set("k", b"v")
        self.assertEqual(again.status().backup.last_good_file, status.last_good_file)
        again.stop()
        self.assertEqual(len(self.names()), 1)

    def test_those_beyond_the_count_are_removed_and_other_files_are_not(self):
        others = ["notes.txt", "kvstore-old.backup", "kvstore-20200101T000000Z-1.backup"]
        for name in others:
            with open(os.path.join(self.backups, name), "w", encoding="ascii"):
                pass
        server = self.begin("--backup-interval", "1", "--backup-keep", "2")
        made = set()

        def fourth():
            server.set(f"{len(made)}", b"v")
            made.update(name for name in self.names() if name not in others)
            return len(made) >= 4
        wait_for(fourth)
        server.stop()
        left = [name for name in self.names() if name not in others]
        self.assertEqual(len(left), 2)
        self.assertEqual(left[-1], max(made | set(left)))
        for name in left:
            self.assertEqual(self.check(name).returncode, 0)
        self.assertLessEqual(set(others), set(os.listdir(self.backups)))

    def test_those_that_are_too_old_are_removed(self):
        old = "kvstore-20200101T000000Z-00000000000000000001.backup"
        with open(os.path.join(self.backups, old), "w", encoding="ascii") as file:
            file.write("old")
        self.begin("--backup-keep", "0", "--backup-keep-days", "30")
        wait_for(lambda: old not in self.names() and self.names())

    def test_what_is_dated_ahead_of_the_clock_or_empty_is_no_backup_and_stays(self):
        later = "kvstore-20991231T000000Z-00000000000000000009.backup"
        empty = time.strftime("kvstore-%Y%m%dT%H%M%SZ-00000000000000000009.backup", time.gmtime())
        for name, text in ((later, "later"), (empty, "")):
            with open(os.path.join(self.backups, name), "w", encoding="ascii") as file:
                file.write(text)
        server = self.begin("--backup-interval", "1", "--backup-keep", "1")
        seen = set()

        def third():
            status = server.status().backup
            seen.update([status.last_good_file] if status.last_good_file else [])
            self.assertNotIn(status.last_good_file, (later, empty))
            server.set(f"{len(seen)}", b"v")
            return len(seen) >= 3
        wait_for(third)
        server.stop()
        self.assertLessEqual({later, empty}, set(self.names()))
        self.assertEqual(len(self.names()), 3)
        self.assertNotIn(later, server.log.text())

    def test_an_attempt_that_fails_is_logged_and_shown_and_keeps_the_old_one(self):
        server = self.begin("--backup-interval", "1")
        wait_for(self.names)
        os.chmod(self.backups, 0o777)
        self.assertLogs(server, "the backup failed: others can write the backup directory")
        wait_for(lambda: "chmod go-w" in server.status().backup.last_error)
        self.assertLogs(server, "more than two intervals")
        self.assertTrue(self.names())
        os.chmod(self.backups, 0o700)
        wait_for(lambda: server.status().backup.last_error == "")

    def test_a_full_disk_keeps_the_old_ones_and_is_said_until_there_is_space(self):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", self.backups],
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.backups], check=True)
        server = self.begin("--backup-interval", "1", "--backup-keep", "1")
        wait_for(self.names)
        for i in range(30):
            server.set(f"{i}", b"v" * 100000)
        wait_for(lambda: "No space left" in server.status().backup.last_error)
        self.assertLogs(server, "the backup failed: cannot write a backup in")
        # What there was is there, and nothing half beside it; writes go on.
        old = self.names()
        self.assertTrue(old)
        self.assertEqual(sorted(os.listdir(self.backups)), old)
        self.assertEqual(self.check(old[-1]).returncode, 0)
        server.set("k", b"v")
        for i in range(30):
            server.delete(f"{i}")
        wait_for(lambda: server.status().backup.last_error == "" and self.names() != old)
        self.assertEqual(self.check(self.names()[-1]).returncode, 0)

    def test_a_leftover_of_a_killed_server_is_replaced(self):
        leftover = os.path.join(self.backups, "kvstore-own.unfinished")
        with open(leftover, "w", encoding="ascii") as file:
            file.write("half a backup")
        self.begin()
        wait_for(self.names)
        self.assertFalse(os.path.exists(leftover))

    def test_a_server_stops_in_the_middle_of_a_slow_one(self):
        server = self.begin("--backup-rate", "1")
        server.set("k", b"v" * 1000000)
        wait_for(lambda: os.path.exists(os.path.join(self.backups, "kvstore-own.unfinished")))
        server.stop()
        self.assertEqual(os.listdir(self.backups), [])

    def test_a_directory_that_others_can_write_or_that_is_not_there_stops_the_start(self):
        os.chmod(self.backups, 0o777)
        flags = ["--backup-dir", self.backups]
        self.assertRefusesToStart("chmod go-w", flags=flags, mode="hybrid")
        os.rmdir(self.backups)
        self.assertRefusesToStart("which must exist", flags=flags, mode="hybrid")

    def test_a_directory_of_another_server_stops_the_start(self):
        server = self.begin()
        flags = ["--backup-dir", self.backups, "--data-dir", os.path.join(self.folder, "other")]
        self.assertRefusesToStart("another server makes its backups in", flags=flags, mode="hybrid")
        server.stop()
        self.begin(mode=None)

    def test_an_encrypted_store_is_not_written_in_the_clear(self):
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))
        self.start(mode="encrypt", options=[f"key_file={key}", "inner=hybrid"]).stop()
        server = self.begin("--backup-interval", "1", mode=None)
        server.set("readable key", b"readable value")
        wait_for(lambda: server.status().backup.last_good_version > 0)
        server.stop()
        for name in self.names():
            sound = self.check(name)
            self.assertEqual(sound.returncode, 0, sound.stderr)
            self.assertIn(b"encrypted bytes", sound.stdout)
            with open(os.path.join(self.backups, name), "rb") as file:
                self.assertNotIn(b"readable", file.read())


if __name__ == "__main__":
    harness.main()
