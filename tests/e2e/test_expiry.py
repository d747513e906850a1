"""Expiry by a clock that the test sets: when keys go, how, and what they survive."""
import os
import struct
import subprocess
import time

import harness
from harness import PATIENCE, data
from store_files import files_below, read
from wall_clock import WallClock

COUNT = data.ScanRequest.PROJECTION_COUNT
T = 1_900_000_000_000  # where the clocks of these tests begin
HOUR = 3_600_000


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.clock = WallClock(self.folder)
        self.clock.stand_at(T)

    def start(self, *arguments, **keywords):
        return super().start(*arguments, variables=self.clock.variables, **keywords)

    def put(self, server, key, value=b"v", **expiry):
        return server.keyvalue.Set(
            data.SetRequest(key=key, value=value, expiry=data.Expiry(**expiry) if expiry else None),
            timeout=PATIENCE)

    def entry(self, server, key):
        answer = server.keyvalue.Get(data.GetRequest(key=key), timeout=PATIENCE)
        return answer.entry if answer.HasField("entry") else None

    def seen(self, server, key):
        """By each call that can show a key; all must agree."""
        answers = {
            "Get": self.entry(server, key) is not None,
            "Scan": key in [entry.key for part in server.keyvalue.Scan(data.ScanRequest())
                            for entry in part.entries],
            "Scan of the key": bool([entry for part in server.keyvalue.Scan(
                data.ScanRequest(range=data.KeyRange(key=key))) for entry in part.entries]),
            "count": 1 == list(server.keyvalue.Scan(data.ScanRequest(
                range=data.KeyRange(key=key), projection=COUNT)))[-1].count,
            "validation": 1 == server.keyvalue.DeleteRange(data.DeleteRangeRequest(
                range=data.KeyRange(key=key), validate_only=True)).count,
            "Batch": server.keyvalue.Batch(data.BatchRequest(operations=[
                data.Operation(get=data.GetRequest(key=key))])).results[0].get.HasField("entry"),
            "comparison": server.keyvalue.Transaction(data.TransactionRequest(comparisons=[
                data.Comparison(key=key, condition=data.Condition(exists=True))])).succeeded,
            "old Get": server.get(key) is not None,
            "old Keys": key in server.keys(),
        }
        self.assertEqual(len(set(answers.values())), 1, answers)
        return answers["Get"]

    def await_keys(self, server, count):
        deadline = time.monotonic() + PATIENCE
        while server.status().keys != count:
            self.assertLess(time.monotonic(), deadline, "the keys are not deleted")


class Moments(Case):
    def test_a_key_is_there_until_the_very_millisecond(self):
        server = self.start(mode="none")
        self.put(server, "relative", ttl_ms=1000)
        self.put(server, "absolute", expire_time_ms=T + 1000)
        self.put(server, "stays")
        self.put(server, "past", expire_time_ms=T - 1)
        self.put(server, "now", expire_time_ms=T)
        self.assertEqual(self.entry(server, "relative").expire_time_ms, T + 1000)
        self.assertFalse(self.seen(server, "past"))
        self.assertFalse(self.seen(server, "now"))
        self.clock.stand_at(T + 999)
        for key in ("relative", "absolute", "stays"):
            self.assertTrue(self.seen(server, key))
        self.clock.stand_at(T + 1000)
        for key in ("relative", "absolute"):
            self.assertFalse(self.seen(server, key))
        self.assertTrue(self.seen(server, "stays"))

    def test_an_old_set_makes_a_key_last(self):
        server = self.start(mode="none")
        self.put(server, "a", ttl_ms=1000)
        server.set("a", b"w")
        self.assertEqual(self.entry(server, "a").expire_time_ms, 0)
        self.clock.stand_at(T + HOUR)
        self.assertTrue(self.seen(server, "a"))

    def test_a_delete_and_a_condition_find_no_key_whose_time_has_come(self):
        server = self.start(mode="none")
        for key in ("a", "b", "c"):
            self.put(server, key, ttl_ms=1000)
        self.clock.stand_at(T + 1000)
        self.assertFalse(server.delete("a"))
        self.assertFalse(server.keyvalue.Delete(data.DeleteRequest(key="b")).deleted)
        created = server.keyvalue.Set(data.SetRequest(
            key="c", value=b"new", condition=data.Condition(exists=False), return_previous=True))
        self.assertFalse(created.HasField("previous"))
        self.assertEqual(self.entry(server, "c").expire_time_ms, 0)


class Deletions(Case):
    def test_keys_are_deleted_as_effects_when_nobody_touches_them(self):
        server = self.start(mode="aof")
        for number in range(3000):
            self.put(server, f"{number:04}", ttl_ms=1000 + number % 2 * HOUR)
        self.assertEqual(server.status().keys, 3000)
        before = server.status().version
        self.clock.stand_at(T + 1000)
        self.await_keys(server, 1500)
        self.assertEqual(server.status().version, before + 1500)
        server.kill9()
        logged = b"".join(read(path) for path in files_below(server.data) if path.endswith(".log"))
        for number in range(3000):
            effect = struct.pack("<QIII", 1, 2, 4, 0) + b"%04d" % number  # docs/formats.md
            self.assertEqual(effect in logged, number % 2 == 0, number)
        # By a clock that was set back: what was deleted stays so.
        self.clock.stand_at(T)
        server = self.start()
        self.assertEqual(server.status().keys, 1500)
        self.assertFalse(self.seen(server, "0000"))
        self.assertTrue(self.seen(server, "0001"))

    def test_what_expired_while_the_server_was_down_is_never_shown(self):
        for mode in ("snapshot", "aof", "hybrid"):
            with self.subTest(mode=mode):
                self.clock.stand_at(T)
                server = self.start(mode, mode=mode)
                for number in range(100):
                    self.put(server, f"{number:03}", ttl_ms=1000)
                self.put(server, "stays")
                server.stop()
                self.clock.stand_at(T + HOUR)
                server = self.start(mode)
                self.assertFalse(self.seen(server, "000"))
                self.assertTrue(self.seen(server, "stays"))
                self.await_keys(server, 1)
                server.kill9()


class Jumps(Case):
    def test_a_jump_forwards_expires_keys_earlier(self):
        server = self.start(mode="none")
        self.put(server, "a", ttl_ms=24 * HOUR)
        self.clock.set(T + 25 * HOUR)
        self.assertFalse(self.seen(server, "a"))
        self.await_keys(server, 0)
        self.clock.set(T)
        self.assertFalse(self.seen(server, "a"))

    def test_after_a_jump_backwards_keys_live_longer(self):
        server = self.start(mode="none")
        self.put(server, "a", ttl_ms=HOUR)
        self.clock.stand_at(T - 24 * HOUR)
        self.assertTrue(self.seen(server, "a"))
        self.put(server, "b", ttl_ms=HOUR)
        self.clock.stand_at(T - 23 * HOUR)
        self.assertTrue(self.seen(server, "a"))
        self.assertFalse(self.seen(server, "b"))
        self.await_keys(server, 1)
        self.clock.stand_at(T + HOUR)
        self.assertFalse(self.seen(server, "a"))

    def test_a_clock_that_runs_expires_keys_by_itself(self):
        server = self.start(mode="none")
        self.clock.set(T)
        self.put(server, "a", ttl_ms=300)
        self.await_keys(server, 0)


class Journeys(Case):
    """What a key's time survives: it is the same at the end, and judged by it."""

    def fill(self, server):
        self.put(server, "a", b"1", expire_time_ms=T + HOUR)
        self.put(server, "b", b"2" * 100000, expire_time_ms=T + 2 * HOUR)
        self.put(server, "c", b"3")

    def check(self, server):
        self.assertEqual([(entry.key, entry.expire_time_ms)
                          for part in server.keyvalue.Scan(data.ScanRequest())
                          for entry in part.entries],
                         [("a", T + HOUR), ("b", T + 2 * HOUR), ("c", 0)])

    def check_to_the_end(self, server):
        self.check(server)
        self.clock.stand_at(T + HOUR)
        self.assertFalse(self.seen(server, "a"))
        self.assertTrue(self.seen(server, "b"))
        self.await_keys(server, 2)

    def test_checkpoints_and_restarts(self):
        for mode in ("snapshot", "aof", "hybrid"):
            with self.subTest(mode=mode):
                self.clock.stand_at(T)
                server = self.start(mode, mode=mode)
                self.fill(server)
                server.save()
                server.kill9()
                server = self.start(mode)
                self.check(server)
                server.stop()
                self.check_to_the_end(self.start(mode))

    def test_switches_and_encryption(self):
        key = os.path.join(self.folder, "key")
        with open(key, "wb") as file:
            os.chmod(key, 0o600)
            file.write(b"%064x\n" % 7)
        server = self.start(mode="none")
        self.fill(server)
        for mode, options in (("snapshot", {}), ("encrypt", {"key_file": key}), ("aof", {}),
                              ("encrypt", {"key_file": key, "inner": "aof"}), ("hybrid", {})):
            server.configure(mode, options)
            self.check(server)
            if mode == "encrypt":
                server.kill9()
                server = self.start()
                self.check(server)
        self.check_to_the_end(server)

    def test_backup_and_restore(self):
        server = self.start(mode="hybrid")
        self.fill(server)
        file = os.path.join(self.folder, "backup")
        self.command(server, "backup", file)
        other = self.start("other", mode="aof")
        self.command(other, "restore", file)
        self.check(other)
        other.kill9()
        other = self.start("other")
        self.check_to_the_end(other)
        self.command(other, "restore", file, "--replace-existing")
        self.assertFalse(self.seen(other, "a"))
        self.await_keys(other, 2)

    def command(self, server, *arguments):
        result = subprocess.run([harness.CLI, "--address", server.address, *arguments],
                                capture_output=True, timeout=PATIENCE, env=harness.environment(),
                                check=False)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    harness.main()
