"""One storm: a server in one mode is killed repeatedly under load, and after each start its data
are compared with what it had promised.

A cycle: the server starts (and is killed while it starts, now and then), is checked, then clients
write keys of their own and read each other's, by the frozen service and by kvstore.v1 (keyvalue.py),
and a watch follows all changes (watch.py), while an administrator saves, changes options and switches to other modes and back, until SIGKILL. What
a restart must have:

  aof, hybrid   all that was answered, and all that anyone had read
  snapshot      a consistent cut of the histories, not older than the last checkpoint: Save,
                WaitDurable, or the switch to it, which loses nothing that was answered in a durable
                mode before
  none          nothing

Whatever is there has the version and the expiry it was given, a transaction is there whole or not at
all, a range is deleted up to some key, and no key comes back after its expiry. The watch goes on, in
aof and hybrid with what it has not been told yet: it must lead to what is there, and have each write
that was answered once. A client repeats a request that has an id after the
restart: it has the first answer if its effect is there, and is carried out otherwise.
"""
import collections
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback

import grpc

import harness
from harness import PATIENCE, admin, kv
from history import Clients
from keyvalue import (PADDING, Defect, Knowledge, Writer, counter_of, long_keys_of, repeat, scan,
                      without_expiring)
from recorded import DURABLE, Recorded
from values import encode
from watch import Watch

CLIENTS = 3
KEYS_PER_CLIENT = 6
# A fresh data directory every so many cycles, so that first starts are tried, too, and nothing
# grows.
CYCLES_PER_STORE = 40
FAILURES_MAX = 5

KILLED_STARTS = 0.2  # of all cycles
KILLED_START_MS = 35
LOAD_MS = (3, 70)
# Once in so many cycles the load lasts long enough for ticks (everysec's sync, compaction).
LONG_CYCLE = 50
LONG_LOAD_MS = (1000, 1300)

COMBINATIONS = {
    "none": ("none", {}),
    "snapshot": ("snapshot", {}),
    **{f"{mode} {fsync}": (mode, {"fsync": fsync})
       for mode in ("aof", "hybrid") for fsync in ("always", "everysec", "no")},
    "encrypt aof always": ("encrypt", {"inner": "aof", "inner_options":
                                       "fsync=always,aof_max_size=4096"}),
    "encrypt hybrid everysec": ("encrypt", {"inner": "hybrid", "inner_options":
                                            "fsync=everysec,max_snapshots=2"}),
}


def random_options(rng, plugin, fixed=()):
    """All options of a plug-in, with small segments, which rotate every few writes."""
    options = {}
    if plugin in ("aof", "hybrid"):
        options["fsync"] = rng.choice(("always", "everysec", "no"))
        options["aof_max_size"] = str(rng.choice((4096, 8192, 65536)))
    if plugin in ("snapshot", "hybrid"):
        options["snapshot_interval"] = str(rng.choice((1, 300)))
        options["max_snapshots"] = str(rng.choice((1, 2, 5)))
    options.update(fixed)
    return options


KEYS = [[*(f"{client}/{number}" for number in range(KEYS_PER_CLIENT)), counter_of(client),
         *long_keys_of(client)] for client in range(CLIENTS)]


class Load:
    """Clients and an administrator against one life of a server, until it is killed."""

    def __init__(self, storm, server):
        self.storm = storm
        self.server = server
        self.killed = False
        self.defects = []
        self.administered = threading.Semaphore(0)  # grows by one when an action is sent
        actors = [(self._write_and_read, client) for client in range(CLIENTS)]
        actors += [(self._read_all,), (self._watch,), (self._administer,)]
        self.threads = [
            threading.Thread(target=self._act, daemon=True,
                             args=(act, random.Random(storm.rng.random()), *arguments))
            for act, *arguments in actors]

    def run(self):
        """Starts everything, kills the server at some moment, and returns when no thread waits for
        it any more."""
        rng = self.storm.rng
        for thread in self.threads:
            thread.start()
        if rng.randrange(LONG_CYCLE) == 0:
            time.sleep(rng.uniform(*LONG_LOAD_MS) / 1000)
        elif rng.random() < 0.5:
            time.sleep(rng.uniform(*LOAD_MS) / 1000)
        else:  # during the administrator's work, or right after it
            for _ in range(rng.randint(1, 3)):
                if not self.administered.acquire(timeout=PATIENCE):
                    self.defects.append("the administrator is not answered")
            time.sleep(rng.expovariate(1 / 0.004))
        self.killed = True
        self.server.kill9()
        for thread in self.threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.defects.append("a caller still waits for a server that was killed")
        if self.defects:
            raise Defect(self.defects[0])

    def _act(self, act, *arguments):
        try:
            act(*arguments)
        except grpc.RpcError as error:
            if not self.killed:
                self.defects.append(f"a call failed: {error.code().name} {error.details()}")
        except ValueError as error:  # the channel was closed
            if not self.killed:
                self.defects.append(repr(error))
        except Defect as defect:
            self.defects.append(str(defect))
        except Exception:  # a fault of the harness itself: without this caller the storm is weaker
            self.defects.append(traceback.format_exc())
        finally:
            self.administered.release(8)  # nobody waits for a caller that has ended

    # ---- Clients ----

    def _write_and_read(self, rng, client):
        channel = self.server.connect()
        stub = harness.kv_grpc.KeyValueStoreStub(channel)
        writer = Writer(self.storm, harness.data_grpc.KeyValueServiceStub(channel), client, rng)
        while not self.killed:
            draw = rng.random()
            if draw < 0.2:
                self._read(rng, stub)
            elif draw < 0.3:
                writer.write_expiring()
            elif draw < 0.33:
                writer.wait_durable()
            elif draw < 0.36:
                writer.delete_range(f"{client}/{rng.randrange(KEYS_PER_CLIENT)}", f"{client}/9")
            elif draw < 0.365:
                writer.write_long()
                writer.delete_range(f"{client}/l", f"{client}/m")
            else:
                self._write(rng, stub, writer, client)

    def _watch(self, rng):
        self.storm.watch.follow(self.server, rng)

    def _read_all(self, rng):
        """Reads all the time, even while writes wait for the disk: what it has seen must stay."""
        channel = self.server.connect()
        stub = harness.kv_grpc.KeyValueStoreStub(channel)
        stub_of_v1 = harness.data_grpc.KeyValueServiceStub(channel)
        while not self.killed:
            self._read(rng, stub)
            floors, living = self.storm.clients.floors(), list(self.storm.known.living)
            entries, called_ms, answered_ms = scan(stub_of_v1)
            found = {key: entry.value for key, entry in entries.items()}
            self.storm.known.take_expiring(found, called_ms, answered_ms, living)
            for client in range(CLIENTS):
                for key in KEYS[client]:
                    value = found.pop(key, None)
                    self._compare("Scan", key, value, floors[client])
                    if value is not None:
                        self.storm.known.check_entry(key, entries[key])
            if found:
                raise Defect(f"Scan found keys that nobody wrote: {sorted(found)[:5]}")
            # What was answered while a durable mode was active outlives a switch to a weaker one.
            if self.server.status().plugin in DURABLE:
                self.storm.made_durable(floors)

    def _read(self, rng, stub):
        client = rng.randrange(CLIENTS)
        key = rng.choice(KEYS[client])
        floor = self.storm.clients.histories[client].floor()
        answer = stub.Get(kv.GetRequest(key=key), timeout=PATIENCE)
        self._compare("Get", key, answer.value if answer.found else None, floor)

    def _compare(self, call, key, value, floor):
        self.storm.counts["reads"] += 1
        if not self.storm.clients.of_key(key).accepts(key, value, floor):
            raise Defect(f"{call} found {value and value[:40]} at {key}, which is older than write "
                         f"{floor} of its client, or none of its writes")

    def _write(self, rng, stub, writer, client):
        clients, history = self.storm.clients, self.storm.clients.histories[client]
        pairs = self._pairs(rng, client)
        by_v1 = len(pairs) > 1 or rng.random() < 0.5
        if by_v1 and rng.random() < 0.25:
            counter = counter_of(client)
            pairs = [(counter, str(int(history.latest(counter) or 0) + 1).encode())]
        clients.begin(client, pairs)
        if by_v1:
            writer.write(pairs)
            self.storm.counts["of v1"] += 1
        else:
            self.storm.known.last[client] = None
            self._write_frozen(stub, pairs)
        history.acknowledge()
        self.storm.counts["writes"] += 1

    def _pairs(self, rng, client):
        history, pairs = self.storm.clients.histories[client], []
        keys = KEYS[client][:KEYS_PER_CLIENT]
        for key in rng.sample(keys, rng.choice((1, 1, 1, 2, 4))):
            present = history.latest(key) is not None
            deleted = present and rng.random() < 0.2
            pairs.append((key, None if deleted else self.storm.new_value(rng, client)))
        return pairs

    @staticmethod
    def _write_frozen(stub, pairs):
        [(key, value)] = pairs
        if value is not None:
            stub.Set(kv.SetRequest(key=key, value=value), timeout=PATIENCE)
        elif not stub.Del(kv.DelRequest(key=key), timeout=PATIENCE).success:
            raise Defect(f"Del {key} found nothing to delete")

    # ---- The administrator ----

    def _administer(self, rng):
        pause_s = rng.choice((0, 0.004, 0.02))
        if self.storm.recorded.plugin != self.storm.plugin:
            self._configure(rng, self.storm.plugin, self.storm.fixed)
        while not self.killed:
            time.sleep(rng.uniform(0, pause_s))
            draw = rng.random()
            if draw < 0.4 and self.storm.recorded.plugin != "none":
                mark = self.storm.clients.floors()
                self.administered.release()
                self.storm.recorded.saved(self.server.save(), mark)
                self.storm.counts["saves"] += 1
            elif draw < 0.6:
                self._configure(rng, rng.choice(harness.MODES), ())
            elif draw < 0.75:
                self._shadow(rng, rng.choice(harness.MODES))
            else:
                self._configure(rng, self.storm.plugin, self.storm.fixed)

    def _shadow(self, rng, plugin):
        self.administered.release()
        report = self.server.shadow(plugin, random_options(rng, plugin, ()))
        self.storm.counts["shadow runs"] += 1
        if report.outcome not in (admin.ShadowReport.OUTCOME_EQUAL,
                                  admin.ShadowReport.OUTCOME_NOTHING_KEPT):
            raise Defect(f"a shadow run told\n{report}")

    def _configure(self, rng, plugin, fixed):
        options = random_options(rng, plugin, fixed)
        recorded = self.storm.recorded
        recorded.configuring(plugin, options, self.storm.clients.floors())
        self.administered.release()
        error = recorded.configured(self.server.configure(plugin, options))
        self.storm.counts["switches"] += 1
        if error:
            raise Defect(error)


class Storm:
    """All cycles of one combination of mode and policy."""

    def __init__(self, name, seed, keep):
        self.name = name
        self.seed = seed
        self.keep = keep  # the data directories of failures
        self.folder = tempfile.mkdtemp(prefix="kvstore-storm-")
        self.plugin, self.fixed = COMBINATIONS[name]
        if self.plugin == "encrypt":
            self.fixed = {**self.fixed, "key_file": self._make_key()}
        self.counter = 0  # of values, so that no two are the same
        self.failures = []
        self.counts = collections.Counter()
        self.rng = None
        self.data = None  # the data directory in use
        self.logs = []  # of the server's last runs
        self.clients = self.recorded = self.known = None
        self.watch = None
        self.kept = None  # of each client's writes, those that were made durable
        self.keeping = threading.Lock()

    def _make_key(self):
        path = os.path.join(self.folder, "key")
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(os.urandom(32))
        return path

    @staticmethod
    def keys_of(client):
        return KEYS[client]

    def made_durable(self, floors):
        """So many writes of each client outlive a kill, unless mode none is in force then."""
        with self.keeping:
            self.kept = [max(pair) for pair in zip(self.kept, floors)]

    def new_value(self, rng, client):
        self.counter += 1
        return encode(f"{client}.{self.counter}", rng.choice((16, 16, 100, 1000)))

    def run(self, cycles):
        try:
            for cycle in range(cycles):
                if cycle % CYCLES_PER_STORE == 0:
                    self._drop_store()
                self.rng = random.Random(f"{self.seed} {self.name} {cycle}")
                self.counts["cycles"] += 1
                try:
                    self._cycle()
                except Defect as defect:
                    self._fail(cycle, defect)
                    if len(self.failures) >= FAILURES_MAX:
                        return
                if (cycle + 1) % 100 == 0:
                    print(f"{self.name}: {cycle + 1} cycles, {len(self.failures)} failures",
                          file=sys.stderr, flush=True)
        finally:
            if not (self.keep and self.failures):
                shutil.rmtree(self.folder, ignore_errors=True)

    def _drop_store(self):
        """Makes the next start the first one on a fresh directory."""
        if self.data and not self.keep:
            shutil.rmtree(self.data, ignore_errors=True)
        self.data = None
        self.logs = []

    def _fail(self, cycle, defect):
        logs = "\n--- next life\n".join(self.logs[-3:])
        kept = f" ({self.data} is kept)" if self.keep else ""
        what = str(defect).replace(PADDING, "...")
        self.failures.append(f"{self.name}, seed {self.seed}, cycle {cycle}{kept}: {what}\n"
                             f"--- logs of the last lives of the server\n{logs}")
        print(f"FAILED {self.failures[-1]}", file=sys.stderr, flush=True)
        self._drop_store()

    # ---- A cycle ----

    def _cycle(self):
        first = self.data is None
        if first:
            self.data = tempfile.mkdtemp(prefix="store-", dir=self.folder)
        if self.rng.random() < KILLED_STARTS:
            self._kill_start(first)
        server = self._start(first)
        try:
            self._check(server, first)
            load = Load(self, server)
            load.run()
        except grpc.RpcError as error:
            raise Defect(f"a call failed after the start: {error.code().name} "
                         f"{error.details()}") from error
        finally:
            if server.process.poll() is None:
                server.kill9()
            self.logs.append(server.log.text())
            self.watch.close()

    def _flags(self, first):
        """The first start asks for a mode; later the recorded one wins."""
        if not first:
            return {}
        return {"mode": self.plugin, "options": [f"{name}={value}" for name, value in
                                                 self.fixed.items()]}

    def _kill_start(self, first):
        server = harness.Server(self.data, wait=False, **self._flags(first))
        time.sleep(self.rng.uniform(0, KILLED_START_MS) / 1000)
        server.kill9()
        self.logs.append(server.log.text())
        self.counts["killed starts"] += 1

    def _start(self, first):
        server = harness.Server(self.data, wait=False, **self._flags(first))
        if not server.log.wait_for(" ready"):
            code = server.wait_exit()
            self.logs.append(server.log.text())
            raise Defect(f"the server refused to start, exit code {code}")
        server.open()
        return server

    def _check(self, server, first):
        status, found = server.status(), {key: server.get(key) for key in server.keys()}
        if first:
            self.clients, self.recorded = Clients(CLIENTS), Recorded(status)
            self.kept, self.known, self.watch = [0] * CLIENTS, Knowledge(), Watch(self)
            self.watch.catch_up(server, status.version, False)
            if status.plugin != self.plugin or found:
                raise Defect(f"a fresh store is in mode {status.plugin} and holds {found}")
            return
        self._count_doubts(status)
        living = self.known.living if status.plugin in DURABLE else ()
        entries, called_ms, answered_ms = scan(server.keyvalue)
        expiring = self.known.take_expiring({key: entry.value for key, entry in entries.items()},
                                            called_ms, answered_ms, living)
        found = without_expiring(found)
        error = self.recorded.restarted(status) or self._lost(status.plugin, found)
        if error:
            raise Defect(error)
        all_entries, entries = entries, without_expiring(entries)
        if {key: entry.value for key, entry in entries.items()} != found:
            raise Defect("the services show different entries")
        for key, entry in entries.items():
            self.known.check_entry(key, entry)
        self._check_watch(server, status, all_entries, answered_ms)
        last = self.known.last
        self.known.restarted(found, expiring)
        self.recorded.new_life()
        self.clients.rebase(found)
        self.kept = [0] * CLIENTS
        self.known.last = last
        repeat(self, server.keyvalue, entries, status.version)

    def _check_watch(self, server, status, entries, answered_ms):
        self.watch.catch_up(server, status.version, status.plugin in DURABLE)
        self.watch.check(entries, answered_ms)

    def _count_doubts(self, status):
        doubtful = sum(len(one.writes) - one.acknowledged for one in self.clients.histories)
        self.counts["writes in doubt"] += doubtful
        self.counts["switches in doubt"] += self.recorded.doubt is not None
        self.counts["of them recorded"] += status.generation > self.recorded.generation

    def _lost(self, plugin, found):
        if plugin == "none":
            return f"mode none kept {sorted(found)[:5]}" if found else None
        kept = self.clients.floors()
        if plugin == "snapshot":
            checkpoint = self.recorded.checkpoint or self.kept
            kept = [max(pair) for pair in zip(checkpoint, self.kept)]
        return self.clients.check(found, kept)
