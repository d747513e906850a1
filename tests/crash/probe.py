"""Starts the real server on a state of the disk and returns what it serves."""
import os
import queue
import shutil
import subprocess
import time
from dataclasses import dataclass, field

import grpc

from harness import (CHANNEL_OPTIONS, PATIENCE, PLUGINS, SERVER, admin, admin_grpc, data, data_grpc,
                     environment, kv, kv_grpc, wire_flags)
from promise import freeze
from recording import Entry, wait_ready

PROGRESS_MS = 100
PROBE = ("probe", b"written after the crash")


@dataclass
class Outcome:
    refused: bool
    log: str
    state: frozenset = frozenset()
    plugin: str = ""
    options: dict = None
    generation: int = 0
    version: int = 0
    written: Entry = None  # of PROBE
    lowest: int = 0  # version from which a watch can start
    told: dict = field(default_factory=dict)  # version -> (key, Entry or None), from there on
    repeated: list = field(default_factory=list)  # the version that each request was answered


def look(folder, write=False, requests=(), **extra):
    """The outcome of a start on folder/disk; with `write`, one more write is acknowledged. `requests`
    are sent again. Then the server is killed."""
    address = f"unix:{folder}/socket"
    process = subprocess.Popen([SERVER, "--listen", address, "--plugin-dir", PLUGINS,
                                "--data-dir", os.path.join(folder, "disk", "data"), *wire_flags()],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=environment(**extra))
    with process:
        try:
            log, ready = wait_ready(process)
            if not ready:
                return Outcome(True, log)
            with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
                stub = data_grpc.KeyValueServiceStub(channel)
                pairs = scan(stub)
                frozen = read_frozen(kv_grpc.KeyValueStoreStub(channel))
                if frozen != {key: entry.value for key, entry in pairs}:
                    raise AssertionError(f"the services differ: {frozen} and {pairs}")
                status = admin_grpc.AdminServiceStub(channel).GetStatus(
                    admin.GetStatusRequest(), timeout=PATIENCE)
                outcome = Outcome(False, log, freeze(pairs), status.plugin, dict(status.options),
                                  status.generation, status.version)
                watch(stub, outcome)
                if write:
                    version = stub.Set(data.SetRequest(key=PROBE[0], value=PROBE[1]),
                                       timeout=PATIENCE).version
                    outcome.written = Entry(PROBE[1], version)
                outcome.repeated = [getattr(stub, method)(request, timeout=PATIENCE).version
                                    for method, request in requests]
                return outcome
        finally:
            process.kill()


def watch(stub, outcome):
    """What a watch of everything is told, up to what was there before; the last version may be one at
    which a request was remembered, of which there is no event."""
    start, requests = 1, queue.SimpleQueue()
    answers = stub.Watch(iter(requests.get, None), timeout=PATIENCE)
    while True:
        requests.put(data.WatchRequest(create=data.WatchRequest.Create(
            watch_id=1, ranges=[data.KeyRange()], start_version=start,
            progress_interval_ms=PROGRESS_MS)))
        answer = next(answers)
        if answer.WhichOneof("kind") == "created":
            break
        if answer.ended.reason != "VERSION_NOT_HELD" or answer.ended.lowest_version <= start:
            raise AssertionError(f"a watch from version {start} was refused: {answer}")
        start = answer.ended.lowest_version
    outcome.lowest, version = start, start - 1
    while version < outcome.version:
        answer = next(answers)
        for event in answer.events.events:
            if event.entry.version <= version:
                raise AssertionError(f"a watch was told {event} after version {version}")
            version = event.entry.version
            entry, now_ms = event.entry, time.time_ns() // 1_000_000
            # What has expired is gone, although its deletion may come after all that is waited for.
            is_there = event.kind == data.Event.KIND_SET and not 0 < entry.expire_time_ms <= now_ms
            outcome.told[version] = entry.key, Entry(
                entry.value, version, entry.expire_time_ms) if is_there else None
        version = answer.version
    requests.put(None)
    answers.cancel()


def read_frozen(stub):
    return {key: stub.Get(kv.GetRequest(key=key), timeout=PATIENCE).value
            for key in stub.Keys(kv.KeysRequest(), timeout=PATIENCE).keys}


def scan(stub):
    return [(entry.key, Entry(entry.value, entry.version, entry.expire_time_ms))
            for part in stub.Scan(data.ScanRequest(), timeout=PATIENCE) for entry in part.entries]


class Place:
    """A folder in which states are tried one after another."""

    def __init__(self, folder):
        self.folder = folder

    def put(self, state):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "disk"))
        state.write(os.path.join(self.folder, "disk"))
