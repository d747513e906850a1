"""Runs the real server under the recorder and drives it one write at a time."""
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, field

import grpc

import trace as t
from harness import (CHANNEL_OPTIONS, PATIENCE, PLUGINS, SERVER, admin, admin_grpc, data, data_grpc,
                     environment, kv, kv_grpc, wire_flags)

# Two connections, so that writes go on while a switch is in progress.
DATA, ADMIN = 0, 1
KEYS = [f"key-{number}" for number in range(10)]
COUNTER = "number"
# Expiries: of keys that stay, and of those that go.
FAR_MS = 4_000_000_000_000
EXPIRES_IN_MS = 3
# Which stub has the calls of a request.
SERVICES = {kv.SetRequest.__module__: 0, admin.SaveRequest.__module__: 1,
            data.SetRequest.__module__: 2}
# So long that DeleteRange takes two steps for them.
LONG_KEYS = [f"long-{number:02}-".ljust(60_000, "k") for number in range(20)]
VALUE_SIZES = [0, 1, 30, 200, 700, 1500, 4000, 20000]
MARK_SIZE = 44  # of a record without effects, see docs/formats.md


@dataclass
class Call:
    """A request to the server: "write", "save", "durable" (WaitDurable), "configure" or "other". A write
    takes effect in steps, one after another, each at once: a list of pairs of a key and an entry, None
    where it is deleted or expires before anyone looks."""
    what: str
    run: int
    connection: int
    number: int  # among the calls of its connection
    sent_size: int  # of the trace, before the call
    steps: list = field(default_factory=list)
    repeatable: tuple = None  # of a write with a request_id: the method, the request, its answer
    synced: bool = False  # its answer says that it is safe from a power cut


@dataclass(frozen=True)
class Entry:
    value: bytes
    version: int
    expire_time_ms: int = 0


def wait_ready(process):
    """Reads the log up to the line that says so; returns the text, and whether the line came."""
    lines = []
    for line in process.stderr:
        lines.append(line.decode(errors="replace"))
        if lines[-1].endswith(" ready\n"):
            return "".join(lines), True
    return "".join(lines), False


class Recording:
    """`folder` gets the trace and, in its subdirectory `disk`, the data directory."""

    def __init__(self, folder, recorder, seed, sync_us=0):
        self.disk = os.path.join(folder, "disk")
        self.trace_path = os.path.join(folder, "trace")
        self.calls = []
        self.runs = -1
        self.cleared = []  # runs that started in a mode that keeps nothing
        self.stops = []  # sizes of the trace after orderly ends
        self._folder, self._sync_us, self._recorder = folder, sync_us, recorder
        self._random = random.Random(f"{seed}/values")
        self._present = set()
        self._writes = 0
        self._process = None
        if not os.path.isdir(self.disk):
            os.mkdir(self.disk)

    # ---- The server ----

    def start(self, mode=None, options=()):
        self.runs += 1
        self._numbers = [0, 0]
        address = f"unix:{self._folder}/socket-{self.runs}"
        command = [SERVER, "--listen", address, "--plugin-dir", PLUGINS,
                   "--data-dir", os.path.join(self.disk, "data"), "--request-id-window", "86400",
                   *wire_flags()]
        if mode:
            command += ["--mode", mode]
        for option in options:
            command += ["--option", option]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment(LD_PRELOAD=self._recorder, CRASH_RECORDER_ROOT=self.disk,
                            CRASH_RECORDER_TRACE=self.trace_path,
                            CRASH_RECORDER_SYNC_US=str(self._sync_us)))
        log, ready = wait_ready(self._process)
        if not ready:
            raise AssertionError(f"the server did not start:\n{log}")
        self._channels = [grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
                          for _ in (DATA, ADMIN)]
        self._stubs = [(kv_grpc.KeyValueStoreStub(channel), admin_grpc.AdminServiceStub(channel),
                        data_grpc.KeyValueServiceStub(channel)) for channel in self._channels]
        for connection in (DATA, ADMIN):  # answered first: the first in the trace
            self._call("other", connection, "GetStatus", admin.GetStatusRequest())

    def _end(self):
        for channel in self._channels:
            channel.close()
        log = self._process.stderr.read().decode(errors="replace")
        self._process.stderr.close()
        return self._process.wait(PATIENCE), log

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        code, log = self._end()
        if code != 0:
            raise AssertionError(f"the server ended with {code}:\n{log}")
        self.stops.append(self._size())

    def kill(self):
        self._process.kill()
        self._end()

    def abandon(self):
        """Kills the server whatever state it is in."""
        if self._process and self._process.poll() is None:
            self.kill()

    def restart(self, after_kill=False, keeps_nothing=False):
        if after_kill:
            # Once this reply has arrived, the one before it is in the trace.
            self._call("other", DATA, "GetStatus", admin.GetStatusRequest())
            self.kill()
        else:
            self.stop()
        self.start()
        if keeps_nothing:
            self.cleared.append(self.runs)
            self._present.clear()

    # ---- Calls ----

    def _size(self):
        return os.path.getsize(self.trace_path)

    def _begin(self, what, connection, method, request):
        """Returns the call, and its answer when that is there."""
        call = Call(what, self.runs, connection, self._numbers[connection], self._size())
        self._numbers[connection] += 1
        self.calls.append(call)
        stub = self._stubs[connection][SERVICES[type(request).__module__]]
        return call, getattr(stub, method).future(request, timeout=PATIENCE, wait_for_ready=True)

    def _call(self, *arguments):
        return self._begin(*arguments)[1].result()

    def _write(self, method, request):
        call, answer = self._begin("write", DATA, method, request)
        self._writes += 1
        return call, answer.result()

    def _wrote(self, call, pairs):
        """What the call, or the next step of it, has done."""
        call.steps.append(pairs)
        for key, entry in pairs:
            (self._present.add if entry else self._present.discard)(key)

    def _value(self):
        size = self._random.choice(VALUE_SIZES)
        return (f"{self._writes}:".encode() + self._random.randbytes(size))[:size]

    def _some_pairs(self):
        return [(key, None if key in self._present and self._random.random() < 0.4
                 else self._value()) for key in self._random.sample(KEYS, 3)]

    # ---- Writes of the frozen service, which does not tell the version ----

    def _entry(self, key):
        found = self._call("other", DATA, "Get", data.GetRequest(key=key)).entry
        return Entry(found.value, found.version, found.expire_time_ms)

    def set(self, key=None):
        key, value = key or self._random.choice(KEYS), self._value()
        call, _ = self._write("Set", kv.SetRequest(key=key, value=value))
        self._wrote(call, [(key, self._entry(key))])

    def delete(self):
        key = self._random.choice(sorted(self._present))
        call, _ = self._write("Del", kv.DelRequest(key=key))
        self._wrote(call, [(key, None)])

    # ---- Writes of kvstore.v1 ----

    def _expiry(self):
        """Far away, or none."""
        return (data.Expiry(expire_time_ms=FAR_MS + self._writes) if self._random.random() < 0.4
                else None)

    def _id(self):
        return f"{self.runs}/{self._writes}"

    def put(self):
        key = self._random.choice(KEYS)
        request = data.SetRequest(key=key, value=self._value(), expiry=self._expiry(),
                                  condition=data.Condition(exists=key in self._present))
        call, answer = self._write("Set", request)
        self._wrote(call, [(key, Entry(request.value, answer.version,
                                       request.expiry.expire_time_ms))])

    def put_expiring(self):
        """A key that is gone by the time when anyone looks."""
        key, soon_ms = self._random.choice(KEYS), time.time_ns() // 1_000_000 + EXPIRES_IN_MS
        call, _ = self._write("Set", data.SetRequest(
            key=key, value=self._value(), expiry=data.Expiry(expire_time_ms=soon_ms)))
        self._wrote(call, [(key, None)])
        while time.time_ns() // 1_000_000 <= soon_ms:
            time.sleep(0.001)

    def expire(self):
        key = self._random.choice(sorted(self._present))
        expiry = data.Expiry(expire_time_ms=FAR_MS + self._writes)
        before = self._entry(key)
        call, answer = self._write("SetExpiry", data.SetExpiryRequest(
            key=key, expiry=expiry, condition=data.Condition(version=before.version)))
        self._wrote(call, [(key, Entry(before.value, answer.version, expiry.expire_time_ms))])

    def increment(self):
        request = data.IncrementRequest(key=COUNTER, delta=3, request_id=self._id())
        call, answer = self._write("Increment", request)
        kept = self._entry(COUNTER).expire_time_ms  # that expire() may have given it
        self._wrote(call, [(COUNTER, Entry(str(answer.value).encode(), answer.version, kept))])
        call.repeatable = "Increment", request, answer.version

    def _operations(self, pairs):
        return [data.Operation(set=data.SetRequest(key=key, value=value, expiry=self._expiry()))
                if value is not None
                else data.Operation(delete=data.DeleteRequest(key=key)) for key, value in pairs]

    @staticmethod
    def _entries(pairs, operations, results):
        return [(key, None if value is None else
                 Entry(value, result.set.version, operation.set.expiry.expire_time_ms))
                for (key, value), operation, result in zip(pairs, operations, results)]

    def batch(self):
        """Its operations are independent: a crash may come between any two of them."""
        pairs = self._some_pairs()
        operations = self._operations(pairs)
        call, answer = self._write("Batch", data.BatchRequest(operations=operations))
        for pair in self._entries(pairs, operations, answer.results):
            self._wrote(call, [pair])

    def transaction(self):
        pairs = self._some_pairs()
        operations = self._operations(pairs)
        request = data.TransactionRequest(
            comparisons=[data.Comparison(key=COUNTER, condition=data.Condition(version=1 << 46))],
            success=[data.Operation(set=data.SetRequest(key=COUNTER, value=b"never"))],
            failure=operations, request_id=self._id())
        call, answer = self._write("Transaction", request)
        self._wrote(call, self._entries(pairs, operations, answer.results))
        call.repeatable = "Transaction", request, answer.version

    def write(self, count):
        """A mixture of writes."""
        for _ in range(count):
            self._random.choices((self.delete if self._present else self.set, self.batch, self.set,
                                  self.put, self.put_expiring,
                                  self.expire if self._present - {COUNTER} else self.put,
                                  self.increment, self.transaction, self.delete_some),
                                 (10, 10, 15, 15, 10, 10, 10, 20, 7))[0]()

    def put_synced(self):
        """One that waits until it is safe, whatever the mode does for others. In a mode with a log."""
        request = data.SetRequest(key=self._random.choice(KEYS), value=self._value(),
                                  durability=data.DURABILITY_SYNCED)
        call, answer = self._write("Set", request)
        call.synced = answer.durability == data.DURABILITY_SYNCED
        if not call.synced:
            raise AssertionError(f"a write that was to be synced answered {answer}")
        self._wrote(call, [(request.key, Entry(request.value, answer.version))])

    def put_long(self):
        request = data.TransactionRequest(success=self._operations([(key, b"v") for key in LONG_KEYS]))
        call, answer = self._write("Transaction", request)
        self._wrote(call, self._entries([(key, b"v") for key in LONG_KEYS], request.success,
                                        answer.results))

    def delete_range(self, first, end):
        """In steps of which the contract says no more than that they are bounded: a crash may leave
        any of the last keys."""
        keys = sorted(key for key in self._present if first <= key < end)
        call, answer = self._write("DeleteRange", data.DeleteRangeRequest(
            range=data.KeyRange(start=first, end=end)))
        if answer.count != len(keys):
            raise AssertionError(f"DeleteRange of {len(keys)} keys answered {answer}")
        for key in keys:
            self._wrote(call, [(key, None)])

    def delete_some(self):
        first, end = sorted(self._random.sample(KEYS, 2))
        self.delete_range(first, end)

    def wait_durable(self):
        """All that was written before is safe from then on, in every mode but none."""
        self._call("durable", DATA, "WaitDurable", data.WaitDurableRequest())

    def save(self):
        self._call("save", DATA, "Save", admin.SaveRequest())

    def configure(self, plugin, **options):
        self._call("configure", ADMIN, "Configure",
                   admin.ConfigureRequest(plugin=plugin, options=options))

    def configure_while_writing(self, plugin, **options):
        _, switch = self._begin("configure", ADMIN, "Configure",
                                admin.ConfigureRequest(plugin=plugin, options=options))
        count = 0
        while count < 4 or (not switch.done() and count < 12):
            self._random.choice((self.set, self.put, self.increment, self.transaction))()
            count += 1
        switch.result()

    def await_sync(self):
        """Waits until a sync that began after the last write has ended."""
        deadline = time.monotonic() + PATIENCE
        while not self._last_write_synced():
            if time.monotonic() > deadline:
                raise AssertionError("the last write was not synced")
            time.sleep(0.02)

    def _last_write_synced(self):
        begun, last = {}, None
        for event in t.Trace(self.trace_path).events:
            if event.kind == t.WRITE and is_log(event.path) and len(event.data) != MARK_SIZE:
                begun, last = {}, event.path
            elif event.kind == t.SYNC_BEGIN and event.path == last:
                begun[event.a] = True
            elif event.kind == t.SYNC_END and event.a in begun:
                return True
        return False


def is_log(path):
    return path.endswith(".log") and os.path.basename(os.path.dirname(path)) == "aof"
