"""A watch that goes on after each kill -9 of the server: no gap and no duplicate against what was acknowledged.

KVSTORE_TEST_KILLS says how often the server is killed in each mode."""
import os
import random
import threading

import grpc

import harness
from harness import PATIENCE, data
from watching import Range, Stream, shown

KILLS = int(os.environ.get("KVSTORE_TEST_KILLS", "8"))
WRITERS = 3
LIFE_S = (0.01, 0.15)
# Every so many kills the watcher catches up and the log begins anew, so that starts stay short.
LIVES_OF_A_LOG = 20
SET, DELETE = data.Event.KIND_SET, data.Event.KIND_DELETE


class Writer:
    """Writes values that nobody else writes, and notes what was acknowledged and what was asked for."""

    def __init__(self, number, random_seed):
        self.number = number
        self.chance = random.Random(random_seed)
        self.written = 0
        self.acknowledged = {}  # version -> (kind, key, value)
        self.asked = set()  # (kind, key, value)

    def _change(self):
        key = f"w{self.number}:{self.chance.randint(0, 50)}"
        if self.chance.random() < 0.2:
            change = (DELETE, key, b"")
        else:
            self.written += 1
            size = self.chance.choice((1, 100, 1000, 70000)) if self.chance.random() < 0.005 else 20
            change = (SET, key, f"{self.written}".encode().ljust(size, b"."))
        self.asked.add(change)
        return change

    @staticmethod
    def _operation(change):
        kind, key, value = change
        if kind == SET:
            return data.Operation(set=data.SetRequest(key=key, value=value))
        return data.Operation(delete=data.DeleteRequest(key=key))

    def write(self, stub):
        changes = [self._change() for _ in range(self.chance.choice((1, 1, 1, 5, 30)))]
        operations = [self._operation(change) for change in changes]
        if self.chance.random() < 0.5:
            results = stub.Transaction(data.TransactionRequest(success=operations), timeout=PATIENCE).results
        else:
            results = stub.Batch(data.BatchRequest(operations=operations), timeout=PATIENCE).results
        for change, result in zip(changes, results):
            version = result.set.version if change[0] == SET else result.delete.version
            if version > 0:
                self.acknowledged[version] = change

    def write_until_killed(self, server):
        stub = harness.data_grpc.KeyValueServiceStub(server.connect())
        try:
            while True:
                self.write(stub)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                raise


class Watcher:
    """Goes on where the last stream has ended."""

    def __init__(self):
        self.events = []
        self.start = 1

    def follow(self, server, until=None):
        """Until a version has come, or the stream breaks."""
        with Stream(server) as stream:
            try:
                created = stream.create("w", start_version=self.start)
                if created.WhichOneof("kind") != "created":
                    raise AssertionError(f"{created}")
                while until is None or self.start <= until:
                    found, version = stream.events(1)
                    self.events += [shown(event) for event in found]
                    self.start = version + 1
            except grpc.RpcError as error:
                if until is not None or error.code() not in (grpc.StatusCode.UNAVAILABLE,
                                                             grpc.StatusCode.CANCELLED):
                    raise


class Kill9(harness.Case):
    def run_cycle(self, server, writers, watcher, chance):
        threads = [threading.Thread(target=writer.write_until_killed, args=(server,))
                   for writer in writers]
        threads.append(threading.Thread(target=watcher.follow, args=(server,)))
        for thread in threads:
            thread.start()
        killer = threading.Timer(chance.uniform(*LIFE_S), server.process.kill)
        killer.start()
        for thread in threads:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive(), "a client has not seen that the server was killed")
        server.kill9()

    def catch_up(self, server, watcher):
        last = server.keyvalue.Set(data.SetRequest(key="w", value=b"mark"), timeout=PATIENCE).version
        watcher.follow(server, last)
        self.assertEqual(watcher.events.pop()[1:], ("w", b"mark", last))

    def check(self, writers, watcher, entries):
        acknowledged = {version: change for writer in writers
                        for version, change in writer.acknowledged.items()}
        asked = set().union(*(writer.asked for writer in writers))
        versions = [event[3] for event in watcher.events]
        self.assertTrue(all(a < b for a, b in zip(versions, versions[1:])), "not in order, or twice")
        seen = {event[3]: event[:3] for event in watcher.events}
        missing = [(version, change[:2]) for version, change in acknowledged.items()
                   if seen.get(version) != change]
        self.assertEqual(missing[:3], [], f"{len(missing)} acknowledged changes were not told")
        self.assertLessEqual(set(seen.values()), asked)
        copy = {}
        for kind, key, value, version in watcher.events:
            if kind == SET:
                copy[key] = (value, version)
            else:
                self.assertIn(key, copy, "a deletion of a key that was not there")
                del copy[key]
        self.assertEqual(copy, entries)

    def kill_often(self, mode, *options):
        chance = random.Random(f"{mode}{options}")
        writers = [Writer(number, chance.random()) for number in range(WRITERS)]
        watcher = Watcher()
        server = self.start(mode=mode, options=options)
        for number in range(1, KILLS + 1):
            self.run_cycle(server, writers, watcher, chance)
            self.servers.clear()
            server = self.start()
            if number % LIVES_OF_A_LOG == 0:
                self.catch_up(server, watcher)
                server.save()
        self.catch_up(server, watcher)
        entries = {entry.key: (entry.value, entry.version)
                   for part in server.keyvalue.Scan(data.ScanRequest(range=Range(prefix="w")))
                   for entry in part.entries if entry.key != "w"}
        self.check(writers, watcher, entries)
        print(f"{mode} {' '.join(options)}: {KILLS} kills, {len(watcher.events)} events, "
              f"{sum(len(writer.acknowledged) for writer in writers)} acknowledged", flush=True)

    def test_aof_that_syncs_each_write(self):
        self.kill_often("aof", "fsync=always", "aof_max_size=1G")

    def test_aof_that_syncs_each_second(self):
        self.kill_often("aof", "fsync=everysec", "aof_max_size=1G")

    def test_hybrid(self):
        self.kill_often("hybrid", "fsync=no", "snapshot_interval=100000")


if __name__ == "__main__":
    harness.main()
