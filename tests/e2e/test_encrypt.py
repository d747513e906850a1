"""encrypt over other plug-ins: it keeps what it promises, nobody can read it without the key, and a
wrong key is reported before anything is touched."""
import os
import re
import secrets
import shutil
import stat
import unittest

import grpc

import harness
import store_files

NONCE_SIZE = 24
INNERS = ("hybrid", "aof")
MARKED_KEY, MARKED_VALUE = "marker-of-a-key", b"marker-of-a-value"
LONG_KEY = "long" + "k" * 65532
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class EncryptCase(harness.Case):
    def make_key(self, name="key", content=None, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n" if content is None else content)
        os.chmod(path, mode)
        return path

    def options(self, inner="hybrid", key="key", **more):
        return {"inner": inner, "key_file": os.path.join(self.folder, key), **more}

    def start_encrypted(self, inner="hybrid", data="data", key="key", **more):
        options = [f"{name}={value}" for name, value in self.options(inner, key, **more).items()]
        return self.start(data=data, mode="encrypt", options=options)

    def fill(self, server):
        """Writes a marked entry, entries of many sizes, and long keys; deletes some. Returns the
        expected data."""
        state = {MARKED_KEY: MARKED_VALUE, LONG_KEY: b"of a long key", LONG_KEY[:-24]: b"shorter",
                 LONG_KEY[:-23]: b""}
        for i in range(200):
            state[f"key {i}"] = bytes([i]) * (i * 37 % 5000)
        for key, value in state.items():
            server.set(key, value)
        for i in range(0, 200, 3):
            server.delete(f"key {i}")
            del state[f"key {i}"]
        return state

    def assertHolds(self, server, state):
        self.assertEqual(dict(server.scan()), state)

    def assertHidden(self, folder, *secret):
        """No file and no file name contains any of the secrets."""
        files = store_files.files_below(folder)
        self.assertGreater(len(files), 1)
        for path in files:
            content = store_files.read(path) + os.path.relpath(path, folder).encode()
            for what in secret:
                self.assertNotIn(what, content, path)

    def generation(self, data="data"):
        folder = os.path.join(self.folder, data)
        (name,) = [name for name in os.listdir(folder) if name.startswith("gen-")]
        return os.path.join(folder, name)


class Data(EncryptCase):
    def test_what_was_acknowledged_survives_a_kill_over_each_inner(self):
        self.make_key()
        for inner in INNERS:
            with self.subTest(inner=inner):
                server = self.start_encrypted(inner, inner, inner_options="aof_max_size=64K")
                state = self.fill(server)
                server.kill9()
                server = self.start(data=inner)
                self.assertEqual(server.status().plugin, "encrypt")
                self.assertHolds(server, state)
                server.save()
                server.delete(LONG_KEY)
                server.set("after", b"the checkpoint")
                del state[LONG_KEY]
                state["after"] = b"the checkpoint"
                server.kill9()
                server = self.start(data=inner)
                self.assertHolds(server, state)
                server.stop()
                self.assertHolds(self.start(data=inner), state)

    def test_a_live_switch_in_and_out_keeps_the_data(self):
        self.make_key()
        server = self.start(mode="aof")
        state = self.fill(server)
        for plugin, options in (("encrypt", self.options("hybrid")), ("aof", {}),
                                ("encrypt", self.options("aof")),
                                ("encrypt", self.options("hybrid", inner_options="fsync=everysec")),
                                ("hybrid", {}), ("encrypt", self.options("hybrid"))):
            server.configure(plugin, options)
            server.set("last", plugin.encode())
            state["last"] = plugin.encode()
            self.assertHolds(server, state)
            server.kill9()
            server = self.start()
            self.assertEqual(server.status().plugin, plugin)
            self.assertHolds(server, state)
        # Only files of the last generation are left, all of them encrypted.
        server.kill9()
        self.assertHidden(self.generation(), MARKED_KEY.encode(), MARKED_VALUE)

    def test_a_new_key_takes_the_place_of_the_old_one(self):
        self.make_key("old")
        self.make_key("new")
        server = self.start_encrypted(key="old")
        state = self.fill(server)
        server.configure("encrypt", self.options(key="new"))
        os.remove(os.path.join(self.folder, "old"))
        server.kill9()
        self.assertHolds(self.start(), state)


class Secrecy(EncryptCase):
    def test_neither_keys_nor_values_are_in_any_file(self):
        self.make_key()
        for inner in INNERS:
            with self.subTest(inner=inner):
                server = self.start_encrypted(inner, inner)
                self.fill(server)
                server.save()
                server.set(MARKED_KEY, MARKED_VALUE)
                server.kill9()
                folder = os.path.join(self.folder, inner)
                self.assertHidden(folder, MARKED_KEY.encode(), MARKED_VALUE, b"longkkkk")
                for path in store_files.files_below(folder):
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0, path)

    def test_the_key_is_in_no_file_log_or_answer(self):
        raw = secrets.token_bytes(32)
        self.make_key(content=raw)
        server = self.start(mode="aof", flags=["--log-level", "debug"])
        server.configure("encrypt", self.options())
        server.set("a", b"1")
        server.save()
        answer = str(server.status()).encode()
        server.stop()
        text = server.log.text().encode()
        for secret in (raw, raw.hex().encode(), raw.hex().upper().encode()):
            self.assertNotIn(secret, answer)
            self.assertNotIn(secret, text)
            self.assertHidden(server.data, secret)

    def test_the_same_value_never_looks_the_same(self):
        self.make_key()
        server = self.start_encrypted("aof")
        server.set("a", b"v" * 64)
        server.set("a", b"v" * 64)
        server.kill9()
        (path,) = store_files.files_below(os.path.join(self.generation(), "inner", "aof"))
        content = store_files.read(path).rstrip(b"\0")
        pieces = [content[at:at + 32] for at in range(len(content) - 96, len(content) - 32)]
        self.assertTrue(all(content.count(piece) == 1 for piece in pieces))

    def test_no_two_sealed_values_share_a_nonce_or_a_byte_sequence(self):
        """Equal values, in one batch and in several, in the log and in snapshots, before and after
        restarts, are the worst case for a cipher: no two may look alike. If a nonce were used
        twice, the difference of two values would be readable."""
        self.make_key()
        value = b"v" * 480
        for inner in INNERS:
            with self.subTest(inner=inner):
                sealed = []
                for life in range(3):
                    server = self.start_encrypted(inner, inner)
                    server.fill((f"k{i}", value) for i in range(5))
                    server.set("alone", value)
                    server.set("again", value)
                    for _ in range(2):
                        server.save()
                        server.set("alone", value)
                    server.kill9()
                    inside = os.path.join(self.generation(inner), "inner")
                    sealed += sealed_values(inside)
                sealed = list(set(sealed))  # files that outlived a restart were read twice
                # Of each run: 9 in the log (less what a snapshot covers), 7 in a snapshot.
                self.assertGreater(len(sealed), 3 * 7)
                self.assertEqual({len(each) for each in sealed}, {NONCE_SIZE + 12 + 480 + 16})
                nonces = [each[:NONCE_SIZE] for each in sealed]
                self.assertEqual(len(set(nonces)), len(nonces), "a nonce came twice")
                pieces = [each[at:at + 12] for each in sealed for at in range(len(each) - 11)
                          if at >= NONCE_SIZE]
                self.assertEqual(len(set(pieces)), len(pieces), "two ciphertexts are alike")


class Refusals(EncryptCase):
    def test_a_key_file_that_cannot_serve_is_refused_and_the_old_mode_goes_on(self):
        server = self.start(mode="aof")
        server.set("a", b"1")
        self.make_key("open", mode=0o640)
        self.make_key("short", content=b"0123456789abcdef")
        self.make_key("no-hex", content=b"x" * 64 + b"\n")
        self.make_key("longer", content=b"0" * 66)
        os.mkdir(os.path.join(self.folder, "folder"))
        os.mkfifo(os.path.join(self.folder, "pipe"), 0o600)
        told = set()
        for name, words in (("missing", "No such file"), ("open", "chmod 600"),
                            ("short", "64 hexadecimal digits"), ("no-hex", "64 hexadecimal digits"),
                            ("longer", "64 hexadecimal digits"), ("folder", "regular file"),
                            ("pipe", "regular file")):
            with self.subTest(key=name):
                told.add(self.assertFails(
                    INVALID, lambda: server.configure("encrypt", self.options(key=name)),
                    "key_file", "server's log"))
                line = server.log.wait_for(os.path.join(self.folder, name))
                self.assertIn(words, line)
        self.assertEqual(len(told), 1, "a client learns which files there are")
        self.assertNotIn("/", told.pop())
        self.assertFails(INVALID, lambda: server.configure("encrypt", {}), "key_file", "openssl rand")
        self.assertFails(INVALID, lambda: server.configure("encrypt", {"key_file": "key"}),
                         "absolute path")
        self.assertEqual(server.status().plugin, "aof")
        server.set("b", b"2")
        server.kill9()
        self.assertHolds(self.start(), {"a": b"1", "b": b"2"})

    @unittest.skipIf(os.geteuid() != 0, "only root may give files away")
    def test_a_key_file_of_somebody_else_is_refused(self):
        server = self.start(mode="aof")
        os.chown(self.make_key(), 12345, 12345)
        self.assertFails(INVALID, lambda: server.configure("encrypt", self.options()), "server's log")
        self.assertTrue(server.log.wait_for("belongs to user id 12345"))

    def test_inner_plugins_that_do_not_fit_are_refused_with_a_list(self):
        self.make_key()
        server = self.start(mode="aof")
        for inner, texts in (("nosuch", ("nosuch", "known:", "aof", "hybrid")),
                             ("encrypt", ("itself", "aof, hybrid")),
                             ("snapshot", ("only the last checkpoint", "aof, hybrid")),
                             ("none", ("keeps nothing", "aof, hybrid")),
                             ("../hybrid", ("never a path",))):
            for validate_only in (True, False):
                with self.subTest(inner=inner, validate_only=validate_only):
                    self.assertFails(INVALID, lambda: server.configure(
                        "encrypt", self.options(inner), validate_only), *texts)
        for given, texts in (("fsync=never", ("inner_options", "always|everysec|no", "never")),
                             ("color=red", ("no option \"color\"", "fsync")),
                             ("fsync", ("name=value",)),
                             ("fsync=no,fsync=no", ("twice",))):
            for validate_only in (True, False):
                with self.subTest(inner_options=given, validate_only=validate_only):
                    self.assertFails(INVALID, lambda: server.configure(
                        "encrypt", self.options(inner_options=given), validate_only), *texts)
        generation = server.status().generation
        server.configure("encrypt", self.options(), validate_only=True)
        self.assertEqual(os.listdir(server.data).count(f"gen-{generation:06}"), 1)
        self.assertEqual(sum(name.startswith("gen-") for name in os.listdir(server.data)), 1)
        self.assertEqual(server.status().plugin, "aof")

    def test_a_wrong_key_is_reported_before_anything_is_touched(self):
        for empty in (True, False):
            with self.subTest(empty=empty):
                data = f"data{empty}"
                right = store_files.read(self.make_key())
                server = self.start_encrypted(data=data)
                state = {} if empty else self.fill(server)
                server.kill9()
                self.make_key()
                before = store_files.fingerprint(self.generation(data))
                self.assertRefusesToStart("key_file", "is not the one", data=data)
                self.assertEqual(store_files.fingerprint(self.generation(data)), before)
                self.make_key(content=right)
                self.assertHolds(self.start(data=data), state)

    def test_without_the_file_that_knows_the_key_the_data_tells(self):
        right = store_files.read(self.make_key())
        server = self.start_encrypted()
        state = self.fill(server)
        server.kill9()
        check = os.path.join(self.generation(), "encrypt.check")
        os.remove(check)
        self.make_key()
        self.assertRefusesToStart("cannot be decrypted with the key", data="data")
        self.assertFalse(os.path.exists(check))
        self.make_key(content=right)
        server = self.start()
        self.assertHolds(server, state)
        server.kill9()
        self.make_key()
        self.assertRefusesToStart("is not the one", data="data")

    def test_encrypted_data_that_vanished_is_not_an_empty_store(self):
        self.make_key()
        server = self.start_encrypted()
        self.fill(server)
        server.kill9()
        shutil.rmtree(os.path.join(self.generation(), "inner"))
        self.assertRefusesToStart("inner", data="data")


class Damage(EncryptCase):
    def test_a_flipped_bit_is_never_served(self):
        self.make_key()
        server = self.start_encrypted("aof")
        state = self.fill(server)
        server.kill9()
        (log,) = store_files.files_below(os.path.join(self.generation(), "inner", "aof"))
        size = len(store_files.read(log).rstrip(b"\0"))
        pristine = store_files.read(log)
        for offset in (100, size // 3, size // 2, size - 20000):
            with self.subTest(offset=offset):
                store_files.flip(log, offset, offset % 8)
                self.assertRefusesToStart("inner plug-in aof", data="data")
                store_files.write(log, pristine)
        self.assertHolds(self.start(), state)

    def test_a_value_under_another_key_or_of_another_store_does_not_open(self):
        """Changes by someone who can write the files with correct checksums but has no key."""
        self.make_key()
        for data in ("data", "other"):
            server = self.start_encrypted("aof", data)
            server.set("a", b"of " + data[:4].encode())
            server.set("b", b"is " + data[:4].encode())
            server.kill9()
        (log,), (other,) = (store_files.files_below(os.path.join(
            self.generation(data), "inner", "aof")) for data in ("data", "other"))
        (_, first), (offset, second), *_ = payloads(log)
        pristine = store_files.read(log)
        value = 24 + 12 + 7 + 16
        replace_payload(log, offset, second[:-value] + first[-value:])
        self.assertRefusesToStart("cannot be decrypted with the key", "sequence 2", data="data")
        store_files.write(log, pristine)
        replace_payload(log, offset, payloads(other)[1][1])
        self.assertRefusesToStart("cannot be decrypted with the key", "sequence 2", data="data")
        replace_payload(log, offset, second)
        self.assertHolds(self.start(), {"a": b"of data", "b": b"is data"})

    def test_a_damaged_check_file_is_reported_with_a_remedy_that_works(self):
        self.make_key()
        server = self.start_encrypted()
        state = self.fill(server)
        server.kill9()
        check = os.path.join(self.generation(), "encrypt.check")
        pristine = store_files.read(check)
        for offset in (3, 9, 20, 40, 66):
            with self.subTest(offset=offset):
                store_files.flip(check, offset)
                self.assertRefusesToStart("encrypt.check", "damaged", "remove it", data="data")
                code, report = store_files.check(os.path.join(self.folder, "data"))
                self.assertEqual((code, report["start"]["refused"]), (store_files.DAMAGED, True))
                store_files.write(check, pristine)
        os.remove(check)
        self.assertHolds(self.start(), state)


class Check(EncryptCase):
    def test_kvstore_check_looks_into_the_files_of_the_inner_plugin(self):
        self.make_key()
        for inner in INNERS:
            with self.subTest(inner=inner):
                server = self.start_encrypted(inner, inner)
                state = self.fill(server)
                server.save()
                server.set("more", b"1")
                sequence = server.status().version
                server.kill9()
                code, report = store_files.check(server.data)
                self.assertEqual((code, report["verdict"]), (store_files.SOUND, "sound"), report)
                start = report["start"]
                self.assertEqual((start["sequence"], start["keys"], start["encrypted"]),
                                 (sequence, len(state) + 1, True))
                kinds = {file["file"]: file["kind"] for file in report["generations"][0]["files"]}
                self.assertEqual(kinds.pop("encrypt.check"), "key check")
                self.assertEqual(set(kinds.values()), {"segment", "snapshot"})
                text = store_files.run_check(server.data).stdout.decode()
                self.assertIn("whether it opens with the key was not checked", text)

    def test_a_repaired_copy_opens_with_the_same_key(self):
        self.make_key()
        server = self.start_encrypted("aof", inner_options="aof_max_size=64K")
        state = self.fill(server)
        server.kill9()
        logs = store_files.files_below(os.path.join(self.generation(), "inner", "aof"))
        self.assertGreater(len(logs), 3)
        damaged = logs[len(logs) // 2]
        store_files.flip(damaged, os.path.getsize(damaged) // 2)
        code, report = store_files.check(server.data)
        self.assertEqual((code, report["start"]["refused"]), (store_files.DAMAGED, True))
        # It says the same as the server, including the command that helps.
        self.assertRefusesToStart(report["start"]["message"], data="data")
        self.assertRegex(report["start"]["message"],
                         "kvstore-check --recover=prefix " + re.escape(server.data) + "$")
        code, report = store_files.check("--recover=prefix", server.data)
        self.assertEqual(code, store_files.SOUND, report)
        recovered = report["recovered"]
        self.assertTrue(recovered["given_up"][0]["file"].startswith("inner/aof/"), recovered)
        self.assertGreater(recovered["given_up"][0]["bytes"], 0)
        self.assertGreater(recovered["lost_known_to_sequence"], recovered["sequence"])
        server = self.start(data="data.recovered")
        entries = dict(server.scan())
        self.assertEqual((len(entries), server.status().version),
                         (recovered["keys"], recovered["sequence"]))
        self.assertEqual(entries[LONG_KEY], state[LONG_KEY])
        server.kill9()
        self.make_key()
        self.assertRefusesToStart("is not the one", data="data.recovered")

    def test_without_its_record_an_encrypted_store_is_not_guessed_at(self):
        self.make_key()
        server = self.start_encrypted()
        self.fill(server)
        server.kill9()
        os.remove(os.path.join(server.data, "ACTIVE"))
        self.assertEqual(store_files.check(server.data)[0], store_files.DAMAGED)
        done = store_files.run_check("--recover=prefix", server.data)
        self.assertEqual(done.returncode, store_files.CANNOT)
        self.assertIn(b"restore ACTIVE from a backup", done.stderr)


def payloads(log):
    """Offset and payload of each record with effects, as docs/formats.md has it."""
    content, at, found = store_files.read(log), 80, []
    while content[at:at + 3] == b"KVR":
        size = int.from_bytes(content[at + 4:at + 8], "little")
        if size > 0:
            found.append((at, content[at + 44:at + 44 + size]))
        at += 44 + size
    return found


def log_values(log):
    """The stored values of all effects that set."""
    for _, payload in payloads(log):
        at = 0
        while at < len(payload):
            key, value = (int.from_bytes(payload[at + where:at + where + 4], "little")
                          for where in (20, 24))
            at += 28 + key + value
            if value:
                yield payload[at - value:at]


def snapshot_values(snapshot):
    """The stored values of all records."""
    content, at = store_files.read(snapshot), 64
    while content[at:at + 4] == b"KBLK":
        size = int.from_bytes(content[at + 8:at + 16], "little")
        at, end = at + 24, at + 24 + size
        while at < end:
            key, value = (int.from_bytes(content[at + where:at + where + 4], "little")
                          for where in (16, 20))
            at += 24 + key + value
            yield content[at - value:at]


def sealed_values(folder):
    found = []
    for path in store_files.files_below(folder):
        if path.endswith(".log"):
            found += log_values(path)
        elif path.endswith(".snapshot"):
            found += snapshot_values(path)
    return found


def replace_payload(log, at, payload):
    """Replaces the payload by one of the same size and corrects the checksums."""
    content = bytearray(store_files.read(log))
    header = content[at:at + 36] + crc32c(payload).to_bytes(4, "little")
    place = bytes(content[16:32]) + (1).to_bytes(8, "little") + at.to_bytes(8, "little")
    content[at:at + 44 + len(payload)] = \
        header + crc32c(place + header).to_bytes(4, "little") + payload
    store_files.write(log, content)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


if __name__ == "__main__":
    harness.main()
