"""What a restart brings back in every mode, after an orderly stop and after kill -9."""
import collections
import os
import stat
import threading

import grpc

import harness
from harness import PATIENCE, kv

# Mode, options, and whether every acknowledged write survives kill -9.
MODES = [
    ("none", {}, False),
    ("snapshot", {"max_snapshots": "2"}, False),
    *((mode, {"fsync": fsync}, True) for mode in ("aof", "hybrid")
      for fsync in ("always", "everysec", "no")),
]


def name_of(mode, options):
    return "-".join([mode, *options.values()])


def flags_of(options):
    return [f"{name}={value}" for name, value in options.items()]


class Stop(harness.Case):
    CALLERS = 32

    def call_until_the_end(self, server, codes, all_call):
        """Writes until the server has ended; counts the codes of failed calls."""
        channel = server.connect()
        stub = harness.kv_grpc.KeyValueStoreStub(channel)
        for i in range(1 << 30):
            try:
                stub.Set(kv.SetRequest(key="k", value=b"v" * 100), timeout=PATIENCE)
            except grpc.RpcError as error:
                codes[error.code()] += 1
                if server.process.poll() is not None:
                    return
            if i == 10:
                all_call.wait(PATIENCE)

    def test_calls_that_a_stop_cuts_off_are_unavailable_and_never_cancelled(self):
        for i in range(4):
            server = self.start(data=f"data{i}", mode="none")
            codes, all_call = collections.Counter(), threading.Barrier(self.CALLERS + 1)
            callers = [threading.Thread(target=self.call_until_the_end,
                                        args=(server, codes, all_call))
                       for _ in range(self.CALLERS)]
            for caller in callers:
                caller.start()
            all_call.wait(PATIENCE)
            server.terminate()
            for caller in callers:
                caller.join(PATIENCE)
            server.stop()
            self.assertEqual(list(codes), [grpc.StatusCode.UNAVAILABLE], codes)


class Restart(harness.Case):
    def write(self, server):
        """Makes all kinds of writes; returns the expected data."""
        server.set("plain", b"value")
        server.set("ü \U0001f600", bytes(range(256)))
        server.set("empty", b"")
        server.set("replaced", b"old")
        server.set("replaced", b"new")
        server.set("gone", b"x")
        server.delete("gone")
        server.set("large", b"v" * (1 << 20))
        operations = [harness.setting(f"batch{i:03}", b"%d" % i) for i in range(500)]
        server.batch(*operations)
        server.transact(*operations)
        wanted = {"plain": b"value", "ü \U0001f600": bytes(range(256)), "empty": b"",
                  "replaced": b"new", "large": b"v" * (1 << 20)}
        wanted.update((f"batch{i:03}", b"%d" % i) for i in range(500))
        return wanted

    def check(self, server, mode, options, wanted, before):
        self.assertEqual(dict(server.scan()), wanted)
        status = server.status()
        self.assertEqual(status.plugin, mode)
        self.assertEqual(dict(status.options), dict(before.options))
        self.assertLessEqual(options.items(), dict(status.options).items())
        self.assertEqual(status.generation, before.generation)
        self.assertEqual(status.store_id, before.store_id)
        if wanted:
            self.assertGreaterEqual(status.version, before.version)

    def test_after_an_orderly_stop_everything_is_there_in_all_modes_but_none(self):
        for mode, options, _ in MODES:
            with self.subTest(mode=mode, **options):
                data = name_of(mode, options)
                server = self.start(data=data, mode=mode, options=flags_of(options))
                wanted = self.write(server)
                before = server.status()
                server.stop()
                again = self.start(data=data)
                self.check(again, mode, options, wanted if mode != "none" else {}, before)
                again.set("after", b"restart")
                again.stop()
                third = self.start(data=data)
                self.assertEqual(third.get("after"), b"restart" if mode != "none" else None)
                third.kill9()

    def test_after_kill_9_what_the_mode_promises_is_there(self):
        for mode, options, durable in MODES:
            with self.subTest(mode=mode, **options):
                data = name_of(mode, options)
                server = self.start(data=data, mode=mode, options=flags_of(options))
                wanted = self.write(server)
                before = server.status()
                if mode == "none":
                    wanted = {}
                else:
                    server.save()
                server.set("plain", b"after the save")
                server.delete("empty")
                if durable:
                    wanted["plain"] = b"after the save"
                    del wanted["empty"]
                    before = server.status()
                server.kill9()
                again = self.start(data=data)
                self.check(again, mode, options, wanted, before)
                again.kill9()

    def test_many_kills_in_a_row_lose_nothing(self):
        for mode in ("aof", "hybrid"):
            with self.subTest(mode=mode):
                wanted = {}
                for turn in range(6):
                    server = self.start(data=mode, mode=mode if turn == 0 else None,
                                        options=["aof_max_size=4096"] if turn == 0 else [])
                    self.assertEqual(dict(server.scan()), wanted)
                    for i in range(40):
                        key, value = f"{turn}-{i}", b"%d" % i * 100
                        server.set(key, value)
                        wanted[key] = value
                    if turn % 2:
                        server.save()
                    server.delete(f"{turn}-0")
                    del wanted[f"{turn}-0"]
                    server.kill9()

    def test_the_files_are_for_the_owner_alone(self):
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        for mode in ("snapshot", "aof", "hybrid"):
            server = self.start(data=mode, mode=mode)
            server.set("k", b"v")
            server.save()
            server.set("k", b"w")
            server.stop()
            for folder, _, files in os.walk(server.data):
                self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o700, folder)
                for file in files:
                    path = os.path.join(folder, file)
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)


class Recorded(harness.Case):
    def test_a_switched_mode_and_its_options_come_back(self):
        server = self.start(mode="none")
        server.set("k", b"v")
        server.configure("hybrid", {"fsync": "no", "aof_max_size": "1M", "max_snapshots": "2"})
        before = server.status()
        server.kill9()
        again = self.start()
        after = again.status()
        self.assertEqual((after.plugin, after.options, after.generation),
                         (before.plugin, before.options, before.generation))
        self.assertEqual(after.options["aof_max_size"], str(1 << 20))
        self.assertEqual(again.get("k"), b"v")

    def test_the_default_mode_is_hybrid_with_fsync_always(self):
        status = self.start().status()
        self.assertEqual((status.plugin, status.options["fsync"]), ("hybrid", "always"))

    def test_a_differing_flag_is_refused_with_an_explanation_and_an_equal_one_taken(self):
        server = self.start(mode="aof", options=["aof_max_size=1M"])
        server.set("k", b"v")
        server.stop()
        self.assertRefusesToStart("hybrid", "aof", "configure hybrid", mode="hybrid")
        self.assertRefusesToStart("fsync=no", "fsync=always", "configure", options=["fsync=no"])
        self.assertRefusesToStart("configure aof", mode="aof", options=["aof_max_size=2M"])
        again = self.start(mode="aof", options=[f"aof_max_size={1 << 20}", "fsync=always"])
        self.assertEqual(again.get("k"), b"v")

    def test_data_without_its_record_is_never_taken_for_an_empty_store(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        server.stop()
        record = os.path.join(server.data, "ACTIVE")
        os.rename(record, record + ".away")
        self.assertRefusesToStart("ACTIVE")
        os.rename(record + ".away", record)
        self.assertEqual(self.start().get("k"), b"v")

    def test_a_damaged_record_is_refused_and_named(self):
        server = self.start(mode="aof")
        server.set("k", b"v")
        server.stop()
        path = os.path.join(server.data, "ACTIVE")
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            content[len(content) // 2] ^= 1
            file.seek(0)
            file.write(content)
        self.assertRefusesToStart("ACTIVE")


class Damage(harness.Case):
    def largest_file(self, folder):
        files = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
        return max(files, key=os.path.getsize)

    def test_a_flipped_bit_in_the_middle_is_refused_and_the_file_named(self):
        for mode in ("snapshot", "aof", "hybrid"):
            with self.subTest(mode=mode):
                server = self.start(data=mode, mode=mode)
                for i in range(50):
                    server.set(f"k{i}", b"v" * 1000)
                if mode == "hybrid":
                    server.kill9()  # the snapshot of an orderly stop would cover the log
                else:
                    server.stop()
                path = self.largest_file(server.data)
                with open(path, "r+b") as file:
                    file.seek(len(file.read().rstrip(b"\0")) // 2)  # reserved space may follow
                    byte = file.read(1)
                    file.seek(-1, os.SEEK_CUR)
                    file.write(bytes([byte[0] ^ 0x10]))
                self.assertRefusesToStart(os.path.basename(path), data=mode)

    def test_a_torn_end_of_the_log_is_cut_off_and_the_rest_served(self):
        for mode in ("aof", "hybrid"):
            with self.subTest(mode=mode):
                server = self.start(data=mode, mode=mode)
                for i in range(20):
                    server.set(f"k{i:02}", b"v" * 1000)
                server.kill9()
                path = self.largest_file(server.data)
                with open(path, "rb") as file:
                    last = file.read().rindex(b"v" * 1000)  # what follows is reserved space
                os.truncate(path, last + 700)
                again = self.start(data=mode)
                self.assertEqual(again.keys(), [f"k{i:02}" for i in range(19)])
                again.set("k19", b"again")
                again.kill9()
                self.assertEqual(self.start(data=mode).get("k19"), b"again")


if __name__ == "__main__":
    harness.main()
