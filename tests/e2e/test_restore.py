"""A backup put in place of the data of a running server: all of it or nothing, whatever happens."""
import os
import resource
import signal
import subprocess
import threading
import time

import grpc

import backup_files
import harness
from harness import BIN, PATIENCE, admin, kv
import store_files
from restores import PIECE, RestoreCase, wait_for

ABORTED = grpc.StatusCode.ABORTED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
DAMAGED = grpc.StatusCode.DATA_LOSS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


class Restored(RestoreCase):
    def in_mode(self, mode):
        server, data, wanted = self.backed_up(mode)
        version = server.status().version
        answer = self.restore(server, data, replace_existing=True)
        self.assertEqual(server.scan(), wanted)
        self.assertEqual((answer.keys, answer.bytes), (40, 40 * 1006))
        self.assertEqual((answer.backup_version, answer.replaced_keys), (40, 40))
        self.assertEqual(answer.plugin, mode)
        self.assertGreater(answer.created_unix_ms, 0)
        # Versions go on above both.
        self.assertGreater(answer.version, version)
        self.assertEqual(server.status().version, answer.version)
        server.set("after", b"1")
        self.assertEqual(server.status().version, answer.version + 1)
        self.assertEqual(server.status().plugin, mode)
        self.assertEqual(server.status().generation, 2)
        self.assert_nothing_is_left(server)
        if mode != "none":
            server.save()
            server.kill9()
            again = self.start()
            self.assertEqual(again.scan(), sorted([*wanted, ("after", b"1")]))
            self.assertGreater(again.status().version, version)

    def test_in_mode_none(self):
        self.in_mode("none")

    def test_in_mode_snapshot(self):
        self.in_mode("snapshot")

    def test_in_mode_aof(self):
        self.in_mode("aof")

    def test_in_mode_hybrid(self):
        self.in_mode("hybrid")

    def test_into_another_store_and_mode(self):
        server, data, wanted = self.backed_up("aof")
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))
        other = self.start(data="other", mode="encrypt", options=[f"key_file={key}", "inner=hybrid"])
        store = other.status().store_id
        self.restore(other, data)
        self.assertEqual(other.scan(), wanted)
        self.assertEqual(other.status().store_id, store)
        self.assertNotEqual(server.status().store_id, store)
        other.stop()
        self.assertEqual(self.start(data="other").scan(), wanted)
        # What is on the disk is encrypted.
        for folder, _, names in os.walk(os.path.join(self.folder, "other")):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(b"\x05" * 100, file.read())

    def key_file(self, name, key):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
        return path

    def test_an_encrypted_one_opens_with_the_key_of_its_store(self):
        key = self.key_file("key", bytes(range(32)))
        options = [f"key_file={key}", "inner=hybrid", "inner_options=fsync=everysec"]
        server = self.start(mode="encrypt", options=options)
        wanted = [("empty", b""), ("k" * 65536, b"long"), ("large", b"x" * 2000000)]
        for name, value in wanted:
            server.set(name, value)
        version = server.status().version
        data = self.back_up(server)
        self.assertNotIn(b"x" * 100, data)
        server.set("other", b"data")
        answer = self.restore(server, data, validate_only=True)
        self.assertEqual((answer.keys, answer.plugin, answer.version), (3, "encrypt", 0))
        self.assertEqual(answer.bytes, sum(len(name) + len(value) for name, value in wanted))
        self.assertEqual(len(server.scan()), 4)
        answer = self.restore(server, data, replace_existing=True)
        self.assertGreater(answer.version, version + 1)
        self.assertEqual(server.scan(), sorted(wanted))
        self.assert_nothing_is_left(server)
        server.kill9()
        self.assertEqual(self.start().scan(), sorted(wanted))
        # Another store, in the same mode and with the same key; and one in no such mode, where the
        # file says by itself which key it needs.
        other = self.start(data="other", mode="encrypt", options=[f"key_file={key}", "inner=aof"])
        self.restore(other, data)
        self.assertEqual(other.scan(), sorted(wanted))
        plain = self.start(data="plain", mode="none")
        self.restore(plain, data)
        self.assertEqual(plain.scan(), sorted(wanted))

    def test_an_encrypted_one_without_its_key_changes_nothing(self):
        key = self.key_file("key", bytes(range(32)))
        server = self.start(mode="encrypt", options=[f"key_file={key}", "inner=hybrid"])
        server.set("k", b"v")
        data = self.back_up(server)
        wrong = self.key_file("wrong", bytes(32))
        other = self.start(data="other", mode="encrypt", options=[f"key_file={wrong}", "inner=aof"])
        for question in ({"validate_only": True}, {}):
            self.assertFails(DAMAGED, lambda: self.restore(other, data, **question),
                             "sealed by mode encrypt", "the key is a different one")
        self.assertEqual(other.scan(), [])
        self.assert_nothing_is_left(other)
        other.set("still", b"here")
        other.kill9()
        self.assertEqual(self.start(data="other").scan(), [("still", b"here")])
        server.stop()
        os.unlink(key)
        plain = self.start(data="plain", mode="hybrid")
        self.assertFails(INVALID, lambda: self.restore(plain, data), "sealed by mode encrypt", "key_file")
        self.assertEqual(plain.scan(), [])
        self.assert_nothing_is_left(plain)

    def test_every_flipped_bit_of_an_encrypted_one(self):
        key = self.key_file("key", bytes(range(32)))
        server = self.start(mode="encrypt", options=[f"key_file={key}", "inner=hybrid"])
        server.set("k", b"v")
        data = self.back_up(server)
        for place in range(len(data)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << place % 8
            self.assertFails(DAMAGED, lambda: self.restore(server, bytes(flipped), replace_existing=True))
        self.assertEqual(server.scan(), [("k", b"v")])

    def test_a_backup_above_the_live_version(self):
        server = self.filled(entries=2000, size=1)
        data = self.back_up(server)
        other = self.start(data="other", mode="hybrid")
        self.assertGreater(self.restore(other, data).version, 2000)
        self.assertEqual(other.scan(), server.scan())

    def test_an_empty_backup(self):
        empty = self.start(data="empty", mode="none")
        data = self.back_up(empty)
        server = self.filled()
        self.assertEqual(self.restore(server, data, replace_existing=True).keys, 0)
        self.assertEqual(server.scan(), [])
        server.set("k", b"v")
        server.kill9()
        self.assertEqual(self.start().scan(), [("k", b"v")])

    def test_a_large_one(self):
        server, data, wanted = self.backed_up("aof", entries=60, size=500000)
        self.restore(server, data, replace_existing=True)
        self.assertEqual(server.scan(), wanted)

    def test_under_writers_what_is_acknowledged_after_it_stands(self):
        server, data, wanted = self.backed_up("hybrid", entries=300)
        stop = threading.Event()
        acknowledged = []  # by each writer: when each of its writes was acknowledged
        failures = []

        def write(number, times):
            stub = kv_stub(server)
            try:
                while not stop.is_set():
                    stub.Set(kv.SetRequest(key=f"w{number}-{len(times):06}", value=b"w"),
                             timeout=PATIENCE)
                    times.append(time.monotonic())
            except grpc.RpcError as failure:
                failures.append(failure)
        threads = []
        for number in range(3):
            times = []
            acknowledged.append(times)
            threads.append(threading.Thread(target=write, args=(number, times)))
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: all(len(times) > 100 for times in acknowledged))
            before = [len(times) for times in acknowledged]
            self.restore(server, data, replace_existing=True)
            answered = [len(times) for times in acknowledged]
            wait_for(lambda: all(len(times) > count + 50
                                 for times, count in zip(acknowledged, answered)))
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        self.assertFalse(failures)
        for again in (False, True):
            if again:
                server.kill9()
                server = self.start()
            entries = server.scan()
            self.assertEqual([entry for entry in entries if entry[0][0] != "w"], wanted)
            for number, times in enumerate(acknowledged):
                kept = [int(key.split("-")[1]) for key, _ in entries if key.startswith(f"w{number}-")]
                # The ends of one run, of which none that was acknowledged afterwards is missing.
                self.assertEqual(kept, list(range(kept[0], len(times))))
                self.assertTrue(before[number] <= kept[0] <= answered[number] + 1,
                                (before[number], kept[0], answered[number]))

    def test_a_scan_across_it_ends_consistently(self):
        server, data, _ = self.backed_up("aof", entries=400, size=10000)
        before = server.scan()
        call = server.keyvalue.Scan(harness.data.ScanRequest(), timeout=PATIENCE)
        entries = list(next(call).entries)
        self.restore(server, data, replace_existing=True)
        for part in call:
            entries += part.entries
        self.assertEqual([(entry.key, entry.value) for entry in entries], before)

    def test_the_data_is_checked_without_being_touched(self):
        server, data, _ = self.backed_up()
        before, status = server.scan(), server.status()
        answer = self.restore(server, data, validate_only=True)
        self.assertEqual((answer.keys, answer.bytes, answer.backup_version), (40, 40 * 1006, 40))
        self.assertEqual((answer.version, answer.replaced_keys), (0, 40))
        self.assertEqual(answer.plugin, "hybrid")
        self.assertEqual(server.scan(), before)
        self.assertEqual((server.status().version, server.status().generation),
                         (status.version, status.generation))
        self.assertFails(DAMAGED, lambda: self.restore(server, data[:-1], validate_only=True))
        self.assert_nothing_is_left(server)

    def test_while_a_configure_is_in_flight_each_waits_for_the_other(self):
        server, data, wanted = self.backed_up("hybrid", entries=200, size=10000)
        call = server.admin.Configure.future(admin.ConfigureRequest(plugin="aof"), timeout=PATIENCE)
        answer = self.restore(server, data, replace_existing=True)
        self.assertEqual(call.result().plugin, "aof")
        self.assertEqual(server.status().plugin, "aof")
        self.assertGreaterEqual(server.status().version, answer.version)
        self.assertEqual(server.scan(), wanted)
        server.kill9()
        self.assertEqual(self.start().scan(), wanted)

    def test_beside_a_shadow_run_it_is_refused(self):
        server, data, _ = self.backed_up()
        before = server.scan()
        call = server.shadow_call("aof", seconds=PATIENCE)
        wait_for(lambda: len([name for name in os.listdir(server.data)
                              if name.startswith("gen-")]) == 2)
        self.assertFails(PRECONDITION, lambda: self.restore(server, data, replace_existing=True),
                         "shadow run")
        call.cancel()
        self.assertEqual(server.scan(), before)


def kv_stub(server):
    return harness.kv_grpc.KeyValueStoreStub(server.connect())


class Refused(RestoreCase):
    def refused(self, code, server, data, *texts, **questions):
        before = server.scan()
        text = self.assertFails(code, lambda: self.restore(server, data, **questions), *texts)
        self.assertEqual(server.scan(), before)
        self.assert_nothing_is_left(server)
        server.set("other", b"again")
        return text

    def test_numbers_that_no_store_reaches_are_damage(self):
        server, data, _ = self.backed_up()
        directory = os.path.join(self.folder, "restored")
        for what, made in (("mode", backup_files.change(data, generation=str((1 << 64) - 1))),
                           ("mode", backup_files.change(data, generation=str(1 << 63))),
                           ("version is out of range", backup_files.change(data, sequence=1 << 47)),
                           ("version is out of range", backup_files.change(data, sequence=(1 << 64) - 1)),
                           ("sequence", backup_files.change(data, sequence=39))):
            with self.subTest(what=what):
                self.refused(DAMAGED, server, made, what, replace_existing=True)
                path = os.path.join(self.folder, "crafted")
                store_files.write(path, made)
                done = store_files.run_check("restore", path, directory)
                self.assertEqual(done.returncode, store_files.DAMAGED, done.stderr)
                self.assertFalse(os.path.exists(directory))
        # The same file with numbers that are possible is taken.
        self.restore(server, backup_files.change(data, generation="7", sequence=41),
                     replace_existing=True)

    def test_over_existing_data(self):
        server, data, wanted = self.backed_up()
        self.refused(PRECONDITION, server, data, "has 40 keys", "--replace-existing")
        self.restore(server, data, replace_existing=True)
        self.assertEqual(server.scan(), wanted)

    def test_before_anything_is_put_aside(self):
        server, _, _ = self.backed_up()
        sent = threading.Event()

        def one():
            yield admin.RestoreRequest(data=b"x")
            sent.wait(PATIENCE)
        try:
            self.assertFails(PRECONDITION, lambda: server.admin.Restore(one(), timeout=PATIENCE))
        finally:
            sent.set()

    def test_every_flipped_bit(self):
        server, data, _ = self.backed_up(entries=3, size=20)
        for place in range(len(data)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << place % 8
            with self.assertRaises(grpc.RpcError) as refused:
                self.restore(server, bytes(flipped), replace_existing=True)
            self.assertEqual(refused.exception.code(), DAMAGED, place)
        self.refused(DAMAGED, server, bytes(flipped), replace_existing=True)

    def test_a_truncated_one_and_one_with_more_behind_it(self):
        server, data, _ = self.backed_up(entries=300, size=2000)
        for size in (0, 1, 71, 200, PIECE, len(data) // 2, len(data) - 1):
            self.refused(DAMAGED, server, data[:size], "use another backup", replace_existing=True)
        self.refused(DAMAGED, server, data + b"x", replace_existing=True)

    def test_no_message_at_all(self):
        server = self.filled()
        self.assertFails(INVALID, lambda: server.admin.Restore(iter(()), timeout=PATIENCE), "no message")

    def test_more_than_the_memory_limit(self):
        server = self.filled(entries=60, size=10000, flags=["--max-memory", "1M"])
        data = self.back_up(server)
        self.refused(EXHAUSTED, server, data, "600360", "1048576", "max-memory",
                     replace_existing=True)
        self.refused(EXHAUSTED, server, data, validate_only=True)
        for key in server.keys():
            server.delete(key)
        self.restore(server, data)

    def test_a_second_one_at_the_same_time(self):
        server, data, wanted = self.backed_up()
        begun, go_on = threading.Event(), threading.Event()

        def slow():
            yield admin.RestoreRequest(data=data[:100], replace_existing=True)
            begun.set()
            go_on.wait(PATIENCE)
            yield admin.RestoreRequest(data=data[100:])
        call = server.admin.Restore.future(slow(), timeout=PATIENCE)
        begun.wait(PATIENCE)

        def refused():
            try:
                self.restore(server, data, validate_only=True)
                return False
            except grpc.RpcError as failure:
                return failure.code() == EXHAUSTED and "in flight already" in failure.details()
        wait_for(refused)
        go_on.set()
        call.result()
        self.assertEqual(server.scan(), wanted)

    def test_a_client_that_cancels_half_way(self):
        server, data, wanted = self.backed_up()
        before = server.scan()
        begun = threading.Event()

        def half():
            yield admin.RestoreRequest(data=data[:len(data) // 2], replace_existing=True)
            begun.set()
            while not call.done():
                time.sleep(0.01)
        call = server.admin.Restore.future(half(), timeout=PATIENCE)
        begun.wait(PATIENCE)
        call.cancel()
        self.assertEqual(server.scan(), before)
        # It makes room for another.

        def restored():
            try:
                return self.restore(server, data, replace_existing=True)
            except grpc.RpcError as failure:
                self.assertEqual(failure.code(), EXHAUSTED)
                return None
        wait_for(restored)
        self.assertEqual(server.scan(), wanted)
        self.assert_nothing_is_left(server)

    def test_a_client_that_sends_nothing_more(self):
        server, data, _ = self.backed_up(flags=["--reader-timeout", "1"])
        over = threading.Event()

        def half():
            yield admin.RestoreRequest(data=data[:len(data) // 2], replace_existing=True)
            over.wait(PATIENCE)
        try:
            self.assertFails(ABORTED, lambda: server.admin.Restore(half(), timeout=PATIENCE),
                             "has sent nothing for 1 s")
        finally:
            over.set()
        self.restore(server, data, replace_existing=True)

    def test_a_server_that_stops_ends_it(self):
        server, data, _ = self.backed_up()
        before = server.scan()
        begun, over = threading.Event(), threading.Event()

        def half():
            yield admin.RestoreRequest(data=data[:len(data) // 2], replace_existing=True)
            begun.set()
            over.wait(PATIENCE)
        call = server.admin.Restore.future(half(), timeout=PATIENCE)
        begun.wait(PATIENCE)
        server.terminate()
        over.set()
        self.assertIsNotNone(call.exception())
        self.assertEqual(server.wait_exit(), 0)
        self.assertEqual(self.start().scan(), before)


class Disk(RestoreCase):
    """A disk that is full."""

    def test_a_limit_of_the_size_of_files(self):
        """As a full disk, for the file that is put aside and for the checkpoint."""
        server, data, _ = self.backed_up("aof", entries=100, size=10000)
        before = server.scan()
        hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (500000, hard))
        self.assertFails(EXHAUSTED, lambda: self.restore(server, data, replace_existing=True),
                         "put the backup aside")
        self.assertEqual(server.scan(), before)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        self.restore(server, data, replace_existing=True)

    def test_a_small_disk(self):
        path = os.path.join(self.folder, "disk")
        os.mkdir(path, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "none", path],
                          stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("no file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=True)
        large = self.filled("none", entries=35, size=100000)
        data = self.back_up(large)
        server = self.start(data="disk/data", mode="aof", options=["fsync=no"])
        server.set("k", b"v")
        self.assertFails(EXHAUSTED, lambda: self.restore(server, data, replace_existing=True),
                         "bytes left", "free some")
        # Who writes beside it has not been refused.
        server.set("k", b"w")
        self.assertEqual(server.scan(), [("k", b"w")])
        self.assert_nothing_is_left(server)
        self.restore(server, self.back_up(server), replace_existing=True)


class Client(RestoreCase):
    def cli(self, server, *arguments, **options):
        return subprocess.run([os.path.join(BIN, "kvstore-cli"), "-a", server.address, *arguments],
                              capture_output=True, timeout=PATIENCE, check=False, **options)

    def file(self, data):
        path = os.path.join(self.folder, "backup")
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_it_says_what_was_restored(self):
        server, data, wanted = self.backed_up()
        path = self.file(data)
        done = self.cli(server, "restore", path)
        self.assertEqual(done.returncode, 64 + PRECONDITION.value[0])
        self.assertIn(b"has 40 keys", done.stderr)
        done = self.cli(server, "restore", path, "--validate-only")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"sound: 40 keys, 40240 bytes: version 40 of a store in mode hybrid, ", done.stdout)
        self.assertIn(b"would replace 40 keys and needs --replace-existing", done.stdout)
        self.assertNotEqual(server.scan(), wanted)
        done = self.cli(server, "restore", path, "--replace-existing")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"restored 40 keys", done.stdout)
        self.assertIn(b"in place of 40 keys; the store goes on from version ", done.stdout)
        self.assertEqual(done.stderr, b"")
        self.assertEqual(server.scan(), wanted)

    def test_what_it_counts_are_keys_of_clients(self):
        """What the server remembers of requests is in a backup, and is no key."""
        key = os.path.join(self.folder, "key")
        with open(key, "wb") as file:
            file.write(os.urandom(32))
        os.chmod(key, 0o600)
        for mode, options in (("hybrid", []), ("encrypt", [f"key_file={key}", "inner=hybrid"])):
            with self.subTest(mode):
                server = self.start(data=mode, mode=mode, options=options)
                for i in range(10):
                    server.keyvalue.Set(harness.data.SetRequest(key=f"k{i}", request_id=f"id{i}"),
                                        timeout=PATIENCE)
                data = self.back_up(server)
                self.assertEqual(self.restore(server, data, validate_only=True).keys, 10)
                answer = self.restore(server, data, replace_existing=True)
                self.assertEqual((answer.keys, answer.replaced_keys), (10, 10))
                if mode == "hybrid":
                    path, directory = self.file(data), os.path.join(self.folder, "restored")
                    self.assertIn("sound: 10 keys, ", self.check("backup", path))
                    self.assertIn("restored 10 keys ", self.check("restore", path, directory))
                    self.assertIn(" 10 keys", self.check(directory))
                server.kill9()
                server = self.start(data=mode)
                self.assertEqual(server.status().recovery.keys, 10)
                server.stop()

    def check(self, *arguments):
        done = subprocess.run([os.path.join(BIN, "kvstore-check"), *arguments], capture_output=True,
                              timeout=PATIENCE, check=False, encoding="utf-8")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_control_characters_in_a_crafted_mode_are_shown_escaped(self):
        server, data, _ = self.backed_up()
        path = self.file(backup_files.change(data, plugin="hyb\x1b]0;rid"))
        directory = os.path.join(self.folder, "restored")
        for command in (["kvstore-cli", "-a", server.address, "restore", path, "--validate-only"],
                        ["kvstore-check", "backup", path],
                        ["kvstore-check", "restore", path, directory]):
            done = subprocess.run([os.path.join(BIN, command[0]), *command[1:]],
                                  capture_output=True, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"mode hyb\\x1b]0;rid", done.stdout)
            self.assertNotIn(b"\x1b", done.stdout + done.stderr)
        self.assertEqual(store_files.check(directory)[0], store_files.SOUND)

    def test_a_refusal_ends_the_sending_of_a_large_file(self):
        server, data, _ = self.backed_up(entries=40, size=100000)
        done = self.cli(server, "restore", self.file(data))
        self.assertEqual(done.returncode, 64 + PRECONDITION.value[0], done.stderr)
        self.assertIn(b"has 40 keys", done.stderr)

    def test_standard_input(self):
        server, data, wanted = self.backed_up()
        done = self.cli(server, "restore", "-", "--replace-existing", input=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(server.scan(), wanted)
        # And from the other server's standard output.
        other = self.start(data="other", mode="aof")
        client = os.path.join(BIN, "kvstore-cli")
        done = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$0" -a "$1" backup - | "$0" -a "$2" restore -', client,
             server.address, other.address], capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(other.scan(), wanted)

    def test_only_an_admin_may_and_learns_it_before_the_file_is_sent(self):
        users = os.path.join(self.folder, "users")
        tokens = {}
        for name, grant in (("ada", "admin"), ("bob", "readwrite:*")):
            done = subprocess.run([os.path.join(BIN, "kvstore-cli"), "user", "add", users, name, grant,
                                   "--token"], capture_output=True, timeout=PATIENCE, check=True)
            tokens[name] = os.path.join(self.folder, name)
            with open(os.open(tokens[name], os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(done.stdout)
        plain, data, _ = self.backed_up("none")
        plain.stop()
        server = self.start(data="guarded", mode="hybrid", flags=["--users", users])
        path = self.file(data)
        done = self.cli(server, "--token-file", tokens["bob"], "restore", path)
        self.assertEqual(done.returncode, 64 + grpc.StatusCode.PERMISSION_DENIED.value[0], done.stderr)
        done = self.cli(server, "--token-file", tokens["ada"], "restore", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"restored 40 keys", done.stdout)
        sent = threading.Event()

        def one():
            yield admin.RestoreRequest(data=b"x")
            sent.wait(PATIENCE)
        try:
            self.assertFails(grpc.StatusCode.UNAUTHENTICATED,
                             lambda: server.admin.Restore(one(), timeout=PATIENCE))
        finally:
            sent.set()
        self.assertFails(grpc.StatusCode.UNAUTHENTICATED,
                         lambda: server.admin.Restore(iter(()), timeout=PATIENCE))
        self.assertFalse(self.put_aside(server))

    def test_a_damaged_file_and_none(self):
        server, data, _ = self.backed_up()
        before = server.scan()
        done = self.cli(server, "restore", self.file(data[:-1]), "--replace-existing")
        self.assertEqual(done.returncode, 64 + DAMAGED.value[0])
        self.assertIn(b"use another backup", done.stderr)
        for path in (os.path.join(self.folder, "missing"), self.folder):
            done = self.cli(server, "restore", path, "--replace-existing")
            self.assertEqual(done.returncode, 3, "no failure of the server's")
            self.assertIn(path.encode(), done.stderr)
        self.assertEqual(self.cli(server, "restore", "x", "--force").returncode, 2)
        self.assertEqual(server.scan(), before)

    def test_a_client_that_is_interrupted_while_it_waits_for_input(self):
        server, data, _ = self.backed_up(entries=400)
        before = server.scan()
        client = subprocess.Popen([os.path.join(BIN, "kvstore-cli"), "-a", server.address, "restore",
                                   "-", "--replace-existing"], stdin=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        client.stdin.write(data[:300000])
        client.stdin.flush()
        wait_for(lambda: self.put_aside(server))
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(PATIENCE), -signal.SIGINT)
        self.assertEqual(server.scan(), before)
        self.assert_nothing_is_left(server)


if __name__ == "__main__":
    harness.main()
