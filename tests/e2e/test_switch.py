"""Switches under load lose no acknowledged write, whenever the process dies."""
import itertools
import os
import random
import threading
import time

import grpc

import harness
from harness import PATIENCE

MODES = ("none", "snapshot", "aof", "hybrid")
DURABLE = ("aof", "hybrid")
# A small segment makes logs rotate within a test.
OPTIONS = {"none": {}, "snapshot": {}, "aof": {"aof_max_size": "16K"},
           "hybrid": {"aof_max_size": "16K"}}
WRITERS = 4
KEYS_PER_WRITER = 25
KILL_ROUNDS = 20


def switches():
    """All twelve switches between four modes in one walk: an Eulerian circuit."""
    left = {mode: [other for other in MODES if other != mode] for mode in MODES}
    stack, circuit = ["none"], []
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop())
        else:
            circuit.append(stack.pop())
    circuit.reverse()
    return circuit


class Writer(threading.Thread):
    """Writes its own keys with a counter as the value, one call at a time. Knows for each key the
    last counter acknowledged and the last one sent."""

    def __init__(self, server, number, start, total=None):
        super().__init__(daemon=True)
        self.server = server
        self.names = [f"w{number}-{i:02}" for i in range(KEYS_PER_WRITER)]
        self.counter = start
        self.total = total
        self.acknowledged, self.sent = {}, {}
        self.stopping = threading.Event()
        self.progress = threading.Semaphore(0)
        self.error = None

    def run(self):
        try:
            for key in itertools.cycle(self.names):
                if self.stopping.is_set():
                    return
                self.counter += 1
                self.sent[key] = self.counter
                if self.counter % 7 == 0:
                    self.server.delete(key)
                    self.server.set(key, b"%d" % self.counter)
                else:
                    self.server.set(key, b"%d" % self.counter)
                self.acknowledged[key] = self.counter
                self.progress.release()
        except Exception as error:  # of whatever kind: without this writer there is no load
            self.error = error
            self.progress.release()

    def stop(self):
        self.stopping.set()
        self.join(PATIENCE)
        if self.is_alive():
            raise AssertionError("a write is not answered")


def start_writers(server, start=0):
    writers = [Writer(server, number, start) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    return writers


def await_progress(writers, count):
    """Waits until each writer has had that many more writes acknowledged."""
    for writer in writers:
        for _ in range(count):
            if not writer.progress.acquire(timeout=PATIENCE):
                raise AssertionError("no write is acknowledged")
            if writer.error:
                raise AssertionError(f"a write failed: {writer.error}")


def faults(entries, writers):
    """The contradictions: an acknowledged write that is missing or was overwritten by an older one,
    or a value that nobody sent. The delete of a rewrite may have taken effect alone."""
    found = []
    for writer in writers:
        for key, sent in writer.sent.items():
            acknowledged = writer.acknowledged.get(key, 0)
            value = entries.get(key)
            if value is None:
                if acknowledged and not (sent > acknowledged and sent % 7 == 0):
                    found.append(f"{key} is missing, {acknowledged} was acknowledged")
            elif not acknowledged <= int(value) <= sent:
                found.append(f"{key} is {int(value)}, acknowledged {acknowledged}, sent {sent}")
    return found


class Switch(harness.Case):
    def check(self, server, writers, message=None):
        self.assertEqual(faults(dict(server.scan()), writers), [], message)

    def test_all_twelve_directions_under_load_lose_nothing(self):
        walk = switches()
        self.assertEqual(len(set(zip(walk, walk[1:]))), 12)
        server = self.start(mode=walk[0])
        writers = start_writers(server)
        generation = server.status().generation
        for old, new in zip(walk, walk[1:]):
            await_progress(writers, 5)
            answer = server.configure(new, OPTIONS[new])
            self.assertEqual(answer.plugin, new, f"{old} to {new}")
            self.assertGreater(answer.generation, generation)
            generation = answer.generation
            self.check_each_is_acknowledged_or_later(server, writers, f"{old} to {new}")
        await_progress(writers, 5)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.error, "a write failed during a switch")
        self.check(server, writers)

    def check_each_is_acknowledged_or_later(self, server, writers, message):
        """While writing goes on: whatever was acknowledged before the read must be there."""
        before = [dict(writer.acknowledged) for writer in writers]
        entries = dict(server.scan())
        sent = {key: counter for writer in writers for key, counter in dict(writer.sent).items()}
        for acknowledged in before:
            for key, counter in acknowledged.items():
                value = entries.get(key)
                if value is None:  # a rewrite, which deletes its key first, has begun since
                    self.assertGreater(sent[key], counter, f"{message}: {key} is missing")
                else:
                    self.assertGreaterEqual(int(value), counter, f"{message}: {key}")

    def test_each_direction_leaves_what_the_new_mode_promises_after_kill_9(self):
        for old, new in itertools.permutations(MODES, 2):
            if new == "none":
                continue
            with self.subTest(old=old, new=new):
                server = self.start(data=f"{old}-{new}", mode=old)
                for i in range(20):
                    server.set(f"k{i:02}", b"before")
                server.delete("k00")
                server.configure(new)
                server.set("k01", b"after")
                server.kill9()
                again = self.start(data=f"{old}-{new}")
                self.assertEqual(again.status().plugin, new)
                wanted = {f"k{i:02}": b"before" for i in range(1, 20)}
                if new in DURABLE:
                    wanted["k01"] = b"after"
                self.assertEqual(dict(again.scan()), wanted)
                again.kill9()

    def test_the_same_plugin_takes_other_options_under_load(self):
        server = self.start(mode="hybrid", options=["fsync=no"])
        writers = start_writers(server)
        for options in ({"fsync": "everysec"}, {"fsync": "always", "aof_max_size": "8K"},
                        {"snapshot_interval": "1", "max_snapshots": "1", "aof_max_size": "4K"}):
            await_progress(writers, 5)
            answer = server.configure("hybrid", options)
            self.assertEqual(answer.plugin, "hybrid")
            for name, value in options.items():
                if not value.endswith("K"):
                    self.assertEqual(answer.options[name], value)
        await_progress(writers, 5)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.error)
        server.kill9()
        again = self.start()
        self.check(again, writers)
        self.assertEqual(again.status().options["max_snapshots"], "1")

    def test_a_switch_that_fails_under_load_leaves_the_old_mode(self):
        server = self.start(mode="aof", plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}")
        writers = start_writers(server)
        before = server.status()
        for options in ({"open": "io"}, {"load": "io"}, {"tick": "io"}, {"tick": "no_space"}):
            await_progress(writers, 5)
            with self.assertRaises(grpc.RpcError) as caught:
                server.configure("faulty", options)
            self.assertIn("told to fail", caught.exception.details())
            after = server.status()
            self.assertEqual((after.plugin, after.generation, after.read_only),
                             ("aof", before.generation, False))
        await_progress(writers, 5)
        for writer in writers:
            writer.stop()
            self.assertIsNone(writer.error, "a write failed by a switch that failed")
        server.kill9()
        again = self.start()
        self.assertEqual(again.status().plugin, "aof")
        self.check(again, writers)


class Kill(harness.Case):
    def test_kill_9_during_switches_comes_back_in_one_of_both_modes_with_what_it_promises(self):
        seed = int(os.environ.get("KVSTORE_TEST_SEED", time.time_ns() & 0xffffffff))
        print(f"KVSTORE_TEST_SEED={seed}", flush=True)
        rng = random.Random(seed)
        server = self.start(mode="aof", options=["aof_max_size=16K"])
        mode, counter = "aof", 0
        durations = []
        for turn in range(KILL_ROUNDS):
            # Mostly between modes that lose nothing, where the check is strictest.
            modes = DURABLE if rng.random() < 0.7 else MODES
            new = rng.choice([other for other in modes if other != mode])
            message = f"seed {seed}, turn {turn}, {mode} to {new}"
            writers = start_writers(server, counter)
            await_progress(writers, rng.randrange(1, 20))
            began = time.monotonic()
            switch = server.admin.Configure.future(
                harness.admin.ConfigureRequest(plugin=new, options=OPTIONS[new]), timeout=PATIENCE)
            # Only the moment of the kill is random here: spread over the time that switches took.
            longest = max(durations, default=0.05)
            try:
                switch.result(timeout=rng.random() * longest * 1.2)
                durations.append(time.monotonic() - began)
                acknowledged = True
            except grpc.FutureTimeoutError:
                acknowledged = False
            server.kill9()
            for writer in writers:
                writer.stop()
            counter = max(writer.counter for writer in writers)
            server = self.start()
            found = server.status().plugin
            self.assertIn(found, (new,) if acknowledged else (mode, new), message)
            if mode in DURABLE and new in DURABLE:
                self.check(server, writers, message)
            else:
                self.check_no_strange_value(server, writers, message)
            mode = found
            if rng.random() < 0.3:
                server.stop()
                server = self.start()
                self.assertEqual(server.status().plugin, mode, message)
            if mode not in DURABLE:
                server.configure("aof", OPTIONS["aof"])
                mode = "aof"

    def check(self, server, writers, message):
        self.assertEqual(faults(dict(server.scan()), writers), [], message)

    def check_no_strange_value(self, server, writers, message):
        entries = dict(server.scan())
        for writer in writers:
            for key, sent in writer.sent.items():
                if key in entries:
                    self.assertLessEqual(int(entries[key]), sent, message)


if __name__ == "__main__":
    harness.main()
