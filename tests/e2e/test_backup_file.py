"""Backup files: made beside traffic, checked, and restored from; and what goes wrong on the way."""
import os
import resource
import signal
import subprocess
import threading
import time

import grpc

import harness
from harness import BIN, PATIENCE, admin

MODES = {
    "none": [],
    "snapshot": ["snapshot_interval=1"],
    "aof": ["aof_max_size=64K", "fsync=no"],
    "hybrid": ["snapshot_interval=1", "fsync=no"],
}
DAMAGED, CANNOT = 1, 2


def wait_for(condition):
    """Until it holds: for what no event tells of, the state of another process."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it never came about")
        time.sleep(0.01)


def run(program, *arguments, **options):
    return subprocess.run([os.path.join(BIN, program), *arguments], capture_output=True,
                          timeout=PATIENCE, check=False, **options)


class BackupCase(harness.Case):
    def path(self, name):
        return os.path.join(self.folder, name)

    def cli(self, server, *arguments, **options):
        return run("kvstore-cli", "-a", server.address, *arguments, **options)

    def back_up(self, server, name="backup"):
        done = self.cli(server, "backup", self.path(name))
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.path(name)

    def restore(self, file, name="restored"):
        done = run("kvstore-check", "restore", file, self.path(name))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def filled(self, mode="none", entries=40, size=1000):
        server = self.start(mode=mode, options=MODES[mode])
        for i in range(entries):
            server.set(f"{i:06}", bytes([i % 256]) * size)
        return server


class Restored(BackupCase):
    def round_trip(self, mode):
        server = self.start(mode=mode, options=MODES[mode])
        wanted = {"plain": b"1", "two words": bytes(range(256)), "empty": b"", "large": b"x" * 500000}
        for key, value in wanted.items():
            server.set(key, value)
        server.set("gone", b"1")
        server.delete("gone")
        version = server.status().version
        file = self.back_up(server)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        sound = run("kvstore-check", "backup", file)
        self.assertEqual(sound.returncode, 0, sound.stderr)
        self.assertIn(b"sound: 4 keys, ", sound.stdout)
        self.assertIn(f"in mode {mode}".encode(), sound.stdout)
        text = self.restore(file)
        again = self.start(data="restored")
        self.assertEqual(dict(again.scan()), wanted)
        self.assertEqual(again.status().version, version)
        self.assertEqual(again.status().store_id, server.status().store_id)
        if mode == "none":
            self.assertIn("kvstore-cli configure none", text)
        else:
            self.assertEqual(again.status().plugin, mode)
        # Sequences go on above.
        again.set("more", b"1")
        self.assertGreater(again.status().version, version)

    def test_none(self):
        self.round_trip("none")

    def test_snapshot(self):
        self.round_trip("snapshot")

    def test_aof(self):
        self.round_trip("aof")

    def test_hybrid(self):
        self.round_trip("hybrid")

    def test_an_empty_store(self):
        server = self.start(mode="hybrid")
        self.restore(self.back_up(server))
        self.assertEqual(self.start(data="restored").scan(), [])

    def test_a_backup_in_a_storm_of_writes_holds_a_prefix_of_them(self):
        server = self.filled("aof", entries=500, size=4000)
        stop, acknowledged = threading.Event(), [500]

        def write():
            while not stop.is_set():
                server.set(f"{acknowledged[0]:06}", b"storm")
                acknowledged[0] += 1
        writer = threading.Thread(target=write)
        writer.start()
        try:
            before = acknowledged[0]
            file = self.back_up(server)
            after = acknowledged[0] + 1
        finally:
            stop.set()
            writer.join(PATIENCE)
        self.restore(file)
        keys = [key for key, _ in self.start(data="restored").scan()]
        self.assertEqual(keys, [f"{i:06}" for i in range(len(keys))])
        self.assertTrue(before <= len(keys) <= after, (before, len(keys), after))

    def test_standard_output_takes_a_backup_too(self):
        server = self.filled()
        with open(self.path("out"), "wb") as out:
            done = subprocess.run([os.path.join(BIN, "kvstore-cli"), "-a", server.address, "backup",
                                   "-"], stdout=out, stderr=subprocess.PIPE, timeout=PATIENCE,
                                  check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.restore(self.path("out"))
        self.assertEqual(self.start(data="restored").scan(), server.scan())


class Encrypted(BackupCase):
    """The file of an encrypted store is encrypted, and needs the store's key."""
    WANTED = {"plain key": b"plain value " * 3, "empty": b"", "two": bytes(range(256)),
              "l" * 65536: b"under the longest key", "large": b"x" * 3000000}

    def setUp(self):
        super().setUp()
        self.key = self.path("key")
        self.write_key(self.key, bytes(range(32)))

    def write_key(self, path, key):
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)

    def encrypted(self, data="data", key=None, inner="hybrid", **keywords):
        return self.start(data=data, mode="encrypt", **keywords, options=[
            f"key_file={key or self.key}", f"inner={inner}", "inner_options=fsync=everysec"])

    def backed_up(self, **keywords):
        server = self.encrypted(**keywords)
        for key, value in self.WANTED.items():
            server.set(key, value)
        return server, self.back_up(server)

    def assert_unreadable(self, file):
        with open(file, "rb") as source:
            whole = source.read()
        for key, value in self.WANTED.items():
            self.assertNotIn(key.encode()[:100] if len(key) > 5 else b"plain key", whole)
            if len(value) > 5:
                self.assertNotIn(value[:30], whole)

    def test_it_is_restored_offline_and_nothing_in_it_can_be_read(self):
        for inner in ("hybrid", "aof"):
            with self.subTest(inner=inner):
                server, file = self.backed_up(data=inner, inner=inner)
                version, store = server.status().version, server.status().store_id
                server.set("later", b"1")
                server.stop()
                self.assert_unreadable(file)
                sound = run("kvstore-check", "backup", file)
                self.assertEqual(sound.returncode, 0, sound.stderr)
                self.assertIn(b"sound: 5 keys, ", sound.stdout)
                self.assertIn(b" encrypted bytes", sound.stdout)
                self.assertIn(b"in mode encrypt", sound.stdout)
                self.restore(file, f"restored-{inner}")
                again = self.start(data=f"restored-{inner}")
                self.assertEqual(dict(again.scan()), self.WANTED)
                status = again.status()
                self.assertEqual((status.version, status.store_id, status.plugin),
                                 (version, store, "encrypt"))
                os.unlink(file)

    def test_without_its_key_what_was_restored_does_not_start(self):
        _, file = self.backed_up()
        self.restore(file)
        self.write_key(self.key, bytes(32))
        self.assertRefusesToStart("the key is a different one", data="restored")

    def test_a_storm_of_writes_goes_on_beside_it(self):
        server, _ = self.backed_up()
        stop, acknowledged = threading.Event(), [0]

        def write():
            while not stop.is_set():
                server.set(f"storm{acknowledged[0]:06}", b"storm")
                acknowledged[0] += 1
        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_for(lambda: acknowledged[0] > 200)
            before = acknowledged[0]
            file = self.back_up(server, "stormy")
            after = acknowledged[0] + 1
        finally:
            stop.set()
            writer.join(PATIENCE)
        self.restore(file)
        keys = [key for key, _ in self.start(data="restored").scan() if key.startswith("storm")]
        self.assertEqual(keys, [f"storm{i:06}" for i in range(len(keys))])
        self.assertTrue(before <= len(keys) <= after, (before, len(keys), after))

    def test_a_flipped_bit_is_damage_and_leaves_nothing(self):
        server, file = self.backed_up()
        server.stop()
        with open(file, "rb") as source:
            whole = source.read()
        for place in (8, 64, 200, len(whole) // 2, len(whole) - 1):
            with open(file, "wb") as target:
                target.write(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
            self.assertEqual(run("kvstore-check", "restore", file, self.path("x")).returncode, DAMAGED)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_what_is_made_of_it_on_the_way_is_removed(self):
        server, _ = self.backed_up()
        self.assertEqual(sorted(os.listdir(server.data)), ["ACTIVE", "LOCK", "VERSIONS", "gen-000001"])
        server.configure("none")
        file = self.back_up(server, "plain")
        self.assertIn(b"in mode none", run("kvstore-check", "backup", file).stdout)

    def test_its_key_file_is_missing(self):
        server, _ = self.backed_up()
        os.rename(self.key, self.key + ".away")
        done = self.cli(server, "backup", self.path("other"))
        self.assertEqual(done.returncode, 64 + grpc.StatusCode.INVALID_ARGUMENT.value[0], done.stderr)
        self.assertIn(b"key_file", done.stderr)
        os.rename(self.key + ".away", self.key)
        self.back_up(server, "other")
        self.assertEqual(sorted(os.listdir(server.data)), ["ACTIVE", "LOCK", "VERSIONS", "gen-000001"])

    def test_a_server_stops_in_the_middle_of_one(self):
        server, _ = self.backed_up()
        call = server.admin.Backup(admin.BackupRequest(rate_bytes_per_second=1000), timeout=PATIENCE)
        next(call)
        server.stop()
        self.assertEqual(dict(self.start().scan()), self.WANTED)


class Refused(BackupCase):
    def test_a_damaged_backup_is_not_restored(self):
        file = self.back_up(self.filled())
        with open(file, "rb") as source:
            whole = source.read()
        for place in (0, 9, 70, 200, len(whole) // 2, len(whole) - 1):
            with open(file, "wb") as target:
                target.write(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
            for arguments in (("backup", file), ("restore", file, self.path("restored"))):
                done = run("kvstore-check", *arguments)
                self.assertEqual(done.returncode, DAMAGED, (place, done.stdout, done.stderr))
        self.assertFalse(os.path.exists(self.path("restored")))

    def test_a_directory_with_anything_in_it_is_not_restored_over(self):
        server = self.filled(entries=3)
        file = self.back_up(server)
        os.mkdir(self.path("full"))
        with open(self.path("full/file"), "w", encoding="ascii"):
            pass
        done = run("kvstore-check", "restore", file, self.path("full"))
        self.assertEqual(done.returncode, CANNOT)
        self.assertIn(b"only an empty directory", done.stderr)
        self.assertEqual(os.listdir(self.path("full")), ["file"])
        os.mkdir(self.path("empty"))
        self.restore(file, "empty/")
        self.assertEqual(self.start(data="empty").scan(), server.scan())

    def test_a_disk_without_space_leaves_the_old_backup(self):
        server = self.filled(entries=400, size=10000)
        old = self.path("backup")
        with open(old, "wb") as file:
            file.write(b"the old one")

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))
        done = self.cli(server, "backup", old, preexec_fn=limit)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"backup.part", done.stderr)
        self.assertEqual(sorted(name for name in os.listdir(self.folder) if "backup" in name),
                         ["backup"])
        with open(old, "rb") as file:
            self.assertEqual(file.read(), b"the old one")

    def test_a_client_that_is_killed_half_way_leaves_the_old_backup(self):
        server = self.filled(entries=400, size=10000)
        old = self.path("backup")
        with open(old, "wb") as file:
            file.write(b"the old one")
        client = subprocess.Popen([os.path.join(BIN, "kvstore-cli"), "-a", server.address, "backup",
                                   old, "--rate=100K"], stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(old + ".part") and os.path.getsize(old + ".part") > 0)
        client.kill()
        client.wait(PATIENCE)
        with open(old, "rb") as file:
            self.assertEqual(file.read(), b"the old one")
        self.assertEqual(run("kvstore-check", "backup", old + ".part").returncode, DAMAGED)
        self.back_up(server)
        self.assertEqual(run("kvstore-check", "backup", old).returncode, 0)
        self.assertFalse(os.path.exists(old + ".part"))

    def test_two_backups_to_one_name_do_not_mix(self):
        server = self.filled(entries=400, size=10000)
        client = subprocess.Popen([os.path.join(BIN, "kvstore-cli"), "-a", server.address, "backup",
                                   self.path("backup"), "--rate=100K"], stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path("backup.part")))
        try:
            done = self.cli(server, "backup", self.path("backup"))
            self.assertIn(b"another backup is being written", done.stderr)
        finally:
            client.kill()
            client.wait(PATIENCE)

    def test_more_backups_than_the_server_makes_at_once(self):
        server = self.filled(entries=100, size=10000)
        slow = admin.BackupRequest(rate_bytes_per_second=1000)
        calls = [server.admin.Backup(slow, timeout=PATIENCE) for _ in range(4)]
        for call in calls:
            next(call)
        with self.assertRaises(grpc.RpcError) as refused:
            next(server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE))
        self.assertEqual(refused.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        for call in calls:
            call.cancel()
        # A cancelled one makes room for another.

        def answered():
            try:
                return list(server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE))[-1].checksum
            except grpc.RpcError:
                return None
        wait_for(answered)

    def test_a_server_that_stops_ends_a_backup(self):
        server = self.filled("aof", entries=100, size=10000)
        call = server.admin.Backup(admin.BackupRequest(rate_bytes_per_second=1000), timeout=PATIENCE)
        next(call)
        server.stop()
        with self.assertRaises(grpc.RpcError):
            list(call)


class Streamed(BackupCase):
    def test_each_message_says_the_version_and_the_last_one_the_size_and_checksum(self):
        server = self.filled(entries=300, size=10000)
        messages = list(server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE))
        data = b"".join(message.data for message in messages)
        self.assertEqual(messages[0].data, b"")
        self.assertEqual({message.version for message in messages}, {server.status().version})
        self.assertTrue(all(message.total_bytes >= len(data) for message in messages))
        self.assertEqual(messages[-1].total_bytes, len(data))
        self.assertEqual([bool(message.checksum) for message in messages],
                         [False] * (len(messages) - 1) + [True])

    def test_a_rate_below_what_the_reader_timeout_allows_is_no_client_that_does_not_read(self):
        server = self.start(mode="none", flags=["--reader-timeout", "1"])
        server.set("k", b"v" * 800000)
        call = server.admin.Backup(admin.BackupRequest(rate_bytes_per_second=150000), timeout=PATIENCE)
        self.assertTrue(list(call)[-1].checksum)

    def test_a_switch_and_writes_do_not_wait_for_a_backup(self):
        server = self.filled("hybrid", entries=200, size=10000)
        wanted = server.scan()
        call = server.admin.Backup(admin.BackupRequest(rate_bytes_per_second=3000000),
                                   timeout=PATIENCE)
        data = [next(call).data]
        server.configure("aof")
        server.set("000000", b"changed")
        data += [message.data for message in call]
        with open(self.path("file"), "wb") as file:
            file.write(b"".join(data))
        self.restore(self.path("file"))
        self.assertEqual(self.start(data="restored").scan(), wanted)


if __name__ == "__main__":
    harness.main()
