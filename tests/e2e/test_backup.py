"""Runs docs/backup.md word for word while writes go on: a copy holds what the page promises."""
import os
import re
import shutil
import subprocess
import threading

import harness
from harness import BIN, PATIENCE, ROOT

PAGE = os.path.join(ROOT, "docs", "backup.md")


def commands():
    """The page's blocks of commands, by heading."""
    with open(PAGE, encoding="utf-8") as file:
        sections = re.split(r"^## (.*)$", file.read(), flags=re.MULTILINE)[1:]
    return {title: "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
            for title, text in zip(sections[::2], sections[1::2])}


class Writer(threading.Thread):
    """Sets the keys of one sequence after another, until it is stopped."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.acknowledged = 0
        self.changed = threading.Condition()
        self.stop_it = False
        self.failure = None

    def run(self):
        try:
            while not self.stop_it:
                self.server.set(f"{self.acknowledged:08}", b"value %d " % self.acknowledged * 30)
                with self.changed:
                    self.acknowledged += 1
                    self.changed.notify_all()
        except Exception as failure:  # pylint: disable=broad-except # shown by end()
            self.failure = failure

    def await_writes(self, count):
        goal = self.acknowledged + count
        with self.changed:
            if not self.changed.wait_for(lambda: self.acknowledged >= goal, PATIENCE):
                raise AssertionError(f"no {count} writes were acknowledged: {self.failure}")

    def end(self):
        self.stop_it = True
        self.join(PATIENCE)
        if self.failure:
            raise self.failure


class Backup(harness.Case):
    def setUp(self):
        super().setUp()
        self.commands = commands()
        os.makedirs(os.path.join(self.folder, "kvstore"))
        self.key = os.path.join(self.folder, "key")
        with open(os.open(self.key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))

    def run_commands(self, titles, server, **variables):
        """Runs sections in one shell; returns the last line that it printed."""
        script = "set -u\n" + "".join(self.commands[title] for title in titles)
        script += 'code=$?\necho "$copy"\nexit $code\n' if "$copy" in script else ""
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, capture_output=True, timeout=PATIENCE,
            text=True, check=False,
            env=harness.environment(HOME=self.folder, PATH=f"{BIN}:{os.environ['PATH']}",
                                    KVSTORE_SERVER_ADDR=server.address, **variables))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def back_up_while_writing(self, mode, options):
        server = self.start(data="kvstore/data", mode=mode, options=options)
        writer = Writer(server)
        writer.start()
        try:
            writer.await_writes(500)
            before = writer.acknowledged
            copy = self.run_commands(["Take a backup while the server runs"], server)
            after = writer.acknowledged
            writer.await_writes(100)
        finally:
            writer.end()
        server.stop()
        return server, copy, before, after

    def check_restored(self, server, copy, before, after, mode):
        restored = "data=$HOME/kvstore/data\ncopy=$COPY\n"
        self.commands["the shell of before"] = restored
        self.run_commands(["the shell of before", "Restore it"], server, COPY=copy)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "kvstore/data.replaced")))
        again = self.start(data="kvstore/data")
        self.assertEqual(again.status().plugin, mode)
        entries = again.scan()
        self.assertEqual([key for key, _ in entries], [f"{i:08}" for i in range(len(entries))])
        self.assertEqual([value for _, value in entries],
                         [b"value %d " % i * 30 for i in range(len(entries))])
        self.assertGreaterEqual(len(entries), before)
        # One more write may have been in flight.
        self.assertLessEqual(len(entries), after + 1)
        again.stop()

    def promise(self, mode, *options):
        server, *rest = self.back_up_while_writing(mode, options)
        self.check_restored(server, *rest, mode)

    def test_aof(self):
        self.promise("aof", "aof_max_size=256K", "fsync=no")

    def test_hybrid(self):
        self.promise("hybrid", "aof_max_size=256K", "snapshot_interval=1", "max_snapshots=2",
                     "fsync=no")

    def test_hybrid_with_its_defaults(self):
        self.promise("hybrid")

    def test_snapshot(self):
        self.promise("snapshot", "snapshot_interval=1", "max_snapshots=2")

    def test_encrypt(self):
        self.promise("encrypt", f"key_file={self.key}", "inner=hybrid",
                     "inner_options=fsync=everysec")

    def drill(self, mode, *options):
        """Load, write, back up in a storm of writes, lose the disk, restore, compare."""
        server = self.start(data="kvstore/data", mode=mode, options=options)
        writer = Writer(server)
        writer.start()
        try:
            writer.await_writes(500)
            before = writer.acknowledged
            self.commands["path"] = 'echo "$backup"\n'
            backup = self.run_commands(["Back up to a file", "path"], server)
            after = writer.acknowledged
            writer.await_writes(100)
        finally:
            writer.end()
        server.kill9()
        shutil.rmtree(server.data)
        self.commands["paths"] = "backup=$FILE\ndata=$HOME/kvstore/data\n"
        self.run_commands(["paths", "Restore from a file"], server, FILE=backup)
        entries = self.start(data="kvstore/data").scan()
        self.assertEqual(entries, [(f"{i:08}", b"value %d " % i * 30) for i in range(len(entries))])
        self.assertTrue(before <= len(entries) <= after + 1, (before, len(entries), after))

    def test_the_drill_with_none(self):
        self.drill("none")

    def test_the_drill_with_snapshot(self):
        self.drill("snapshot", "snapshot_interval=1")

    def test_the_drill_with_aof(self):
        self.drill("aof", "aof_max_size=256K", "fsync=no")

    def test_the_drill_with_hybrid(self):
        self.drill("hybrid")

    def test_the_drill_with_encrypt(self):
        self.drill("encrypt", f"key_file={self.key}", "inner=hybrid")

    def live_drill(self, mode, *options):
        """Back up in a storm of writes, delete what matters, and restore while the writes go on."""
        server = self.start(data="kvstore/data", mode=mode, options=options)
        server.set("precious", b"1")
        writer = Writer(server)
        writer.start()
        try:
            writer.await_writes(500)
            self.commands["path"] = 'echo "$backup"\n'
            backup = self.run_commands(["Back up to a file", "path"], server)
            server.delete("precious")
            server.set("wrong", b"1")
            self.commands["the file"] = "backup=$FILE\n"
            self.run_commands(["the file", "Restore into a running server"], server, FILE=backup)
            after = writer.acknowledged
            writer.await_writes(100)
        finally:
            writer.end()
        for again in (False, True):
            if again and mode == "none":
                break
            if again:
                server.save()
                server.kill9()
                server = self.start(data="kvstore/data")
            entries = dict(server.scan())
            self.assertEqual(entries.pop("precious"), b"1")
            self.assertNotIn("wrong", entries)
            # What was backed up, then what was acknowledged afterwards.
            for number in (*range(500), *range(after + 1, writer.acknowledged)):
                self.assertEqual(entries[f"{number:08}"], b"value %d " % number * 30)

    def test_the_live_drill_with_none(self):
        self.live_drill("none")

    def test_the_live_drill_with_snapshot(self):
        self.live_drill("snapshot", "snapshot_interval=1")

    def test_the_live_drill_with_aof(self):
        self.live_drill("aof", "aof_max_size=256K", "fsync=no")

    def test_the_live_drill_with_hybrid(self):
        self.live_drill("hybrid")

    def test_the_live_drill_with_encrypt(self):
        self.live_drill("encrypt", f"key_file={self.key}", "inner=hybrid")

    def test_the_text_goes_into_another_store_of_another_mode(self):
        server = self.start(data="kvstore/data", mode="none")
        wanted = {"plain": b"1", "two words": bytes(range(256)), "#x": b"# y", "empty": b""}
        for key, value in wanted.items():
            server.set(key, value)
        other = self.start(data="other", mode="aof")
        self.run_commands(["As text"], server, other=other.address)
        self.assertEqual(dict(other.scan()), wanted)

    def test_a_copy_that_does_not_fit_together_is_not_kept(self):
        server = self.start(data="kvstore/data", mode="aof")
        server.set("k", b"v")
        # As if each copy came too late for a file.
        stand_in = os.path.join(self.folder, "programs", "cp")
        os.mkdir(os.path.dirname(stand_in))
        with open(stand_in, "w", encoding="ascii") as file:
            file.write('#!/bin/sh\n/bin/cp "$@" && rm "$3"/gen-*/aof/*\n')
        os.chmod(stand_in, 0o755)
        self.commands["a bad copy"] = f"PATH={os.path.dirname(stand_in)}:$PATH\n"
        with self.assertRaises(AssertionError):
            self.run_commands(["a bad copy", "Take a backup while the server runs"], server)
        self.assertEqual(os.listdir(os.path.join(self.folder, "backups")), [])


if __name__ == "__main__":
    harness.main()
