"""Starts the real server on a state of the disk and returns what it serves."""
import os
import shutil
import subprocess
from dataclasses import dataclass

import grpc

from harness import (CHANNEL_OPTIONS, PATIENCE, PLUGINS, SERVER, admin, admin_grpc, environment, kv,
                     kv_grpc, wire_flags)
from promise import freeze
from recording import wait_ready

PROBE = ("probe", b"written after the crash")


@dataclass
class Outcome:
    refused: bool
    log: str
    state: frozenset = frozenset()
    plugin: str = ""
    options: dict = None
    generation: int = 0


def look(folder, write=False, **extra):
    """The outcome of a start on folder/disk; with `write`, one more write is acknowledged. Then the
    server is killed."""
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
                stub = kv_grpc.KeyValueStoreStub(channel)
                pairs = [(entry.key, entry.value)
                         for part in stub.Scan(kv.ScanRequest(), timeout=PATIENCE)
                         for entry in part.entries]
                status = admin_grpc.AdminServiceStub(channel).GetStatus(
                    admin.GetStatusRequest(), timeout=PATIENCE)
                if write:
                    stub.Set(kv.SetRequest(key=PROBE[0], value=PROBE[1]), timeout=PATIENCE)
                return Outcome(False, log, freeze(pairs), status.plugin, dict(status.options),
                               status.generation)
        finally:
            process.kill()


class Place:
    """A folder in which states are tried one after another."""

    def __init__(self, folder):
        self.folder = folder

    def put(self, state):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "disk"))
        state.write(os.path.join(self.folder, "disk"))
