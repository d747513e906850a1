"""The experiments: a workload, one fault in it, and what must hold afterwards.

Each is a Case with a name for --only. A group makes its cases from a first run without faults,
which counts the calls of each kind: every n of every kind is tried."""
import dataclasses
import errno
import os
import shutil
import tempfile

import faults
import harness
import session

CODE = session.CODE

# What is done to each kind, as (action, errno or milliseconds, invisible); invisible means that no
# client may notice.
ERROR, LATE, SHORT, DELAY = "error", "late", "short", "delay"
FAULTS = {
    "open": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (ERROR, errno.EINTR)],
    "read": [(ERROR, errno.EIO), (ERROR, errno.EINTR), (SHORT, 0)],
    "write": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (ERROR, errno.EINTR), (SHORT, 0),
              (SHORT, errno.ENOSPC), (DELAY, 5)],
    "fsync": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (LATE, errno.EIO), (DELAY, 5)],
    "fdatasync": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (LATE, errno.EIO), (DELAY, 5)],
    "fallocate": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (ERROR, errno.EOPNOTSUPP),
                  (ERROR, errno.EINTR)],
    "ftruncate": [(ERROR, errno.EIO), (ERROR, errno.EINTR)],
    "rename": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC), (LATE, errno.EIO), (DELAY, 5)],
    "unlink": [(ERROR, errno.EIO)],
    "mkdir": [(ERROR, errno.EIO), (ERROR, errno.ENOSPC)],
    "opendir": [(ERROR, errno.EIO), (ERROR, errno.EMFILE)],
    "readdir": [(ERROR, errno.EIO)],
    "close": [(ERROR, errno.EIO), (ERROR, errno.EINTR)],
    "stat": [(ERROR, errno.EIO)],
    "chmod": [(ERROR, errno.EIO)],
    "flock": [(ERROR, errno.EIO)],
    "memory": [(ERROR, errno.ENOMEM)],
}
# Errors that only ask the caller to go on. An interrupted sync is not among them: what it has
# written is unknown, so it counts as failed.
GO_ON = {(kind, ERROR, errno.EINTR) for kind in ("open", "read", "write", "fallocate", "ftruncate")}


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    n: int
    action: str
    argument: int
    forever: bool = False

    @property
    def invisible(self):
        return (self.kind, self.action, self.argument) in GO_ON or self.action == DELAY or \
            (self.action == SHORT and not self.argument) or self.kind == "fallocate"

    @property
    def label(self):
        """Without the number, as counted in the table."""
        argument = errno.errorcode.get(self.argument, "") if self.action != DELAY else ""
        return " ".join(filter(None, (self.kind, self.action, argument,
                                      "forever" if self.forever else "")))

    def arm(self, shim):
        last = faults.FOREVER if self.forever else None
        if self.action == SHORT and self.argument:  # half fits, the rest does not
            shim.arm(self.kind, self.n + 1, ERROR, self.argument)
        argument = 0 if self.action == SHORT else self.argument
        return shim.arm(self.kind, self.n, self.action, argument, last)


@dataclasses.dataclass(frozen=True)
class Case:
    group: str
    setting: str  # which mode
    fault: Fault
    run: object   # (folder, case) -> list of what is wrong

    @property
    def name(self):
        return f"{self.group}/{self.setting}/{self.fault.label}/{self.fault.n}"


SETTINGS = {
    "aof-always": ("aof", ["aof_max_size=4096"], "hybrid"),
    "hybrid-always": ("hybrid", ["aof_max_size=4096", "max_snapshots=2"], "aof"),
    "aof-everysec": ("aof", ["aof_max_size=4096", "fsync=everysec"], "snapshot"),
    "hybrid-everysec": ("hybrid", ["aof_max_size=4096", "fsync=everysec"], "aof"),
    "aof-no": ("aof", ["aof_max_size=4096", "fsync=no"], "hybrid"),
    "hybrid-no": ("hybrid", ["aof_max_size=4096", "fsync=no"], "none"),
    "snapshot": ("snapshot", ["max_snapshots=2"], "hybrid"),
    "none": ("none", [], "aof"),
}


def workload(client, setting):
    """Writes of many sizes over several segments, a checkpoint, a switch, a change of options."""
    mode, options, other = SETTINGS[setting]
    for i, size in enumerate((0, 900, 1500, 2500)):
        client.set(f"a{i}", bytes([65 + i]) * size)
    client.delete("a1")
    client.transaction([("a0", None), ("b0", b"1" * 700), ("b1", b"2" * 700)])
    client.save()
    client.set("c0", b"3" * 2000)
    client.configure(other)
    client.set("d0", b"4" * 100)
    client.configure(mode, dict(option.split("=") for option in options))
    client.set("e0", b"5" * 3000)
    client.set("e1", b"6" * 5000)
    client.delete("a2")


def count_calls(setting):
    """The workload's calls by kind, without faults. Also shows that the workload passes without
    them."""
    folder = tempfile.mkdtemp(prefix="kvstore-fault-")
    mode, options, _ = SETTINGS[setting]
    client = session.Session(folder, mode, options)
    try:
        before = client.shim.counts()
        workload(client, setting)
        after = client.shim.counts()
        client.check_live()
        client.check_restart()
        if client.errors or client.wrong:
            raise AssertionError(f"{setting} without faults: {client.errors} {client.wrong}")
        return {kind: after[kind] - before[kind] for kind in faults.KINDS}
    finally:
        client.end(folder)


# ---- A fault while the server runs -------------------------------------------------------------

def expect_codes(client, fault):
    """What a client may be told, besides what Session checks in every reply."""
    if fault.invisible and client.errors:
        client.note(f"a client noticed: {client.errors[0]}")
    for what, code, details in client.errors:
        if fault.argument == errno.ENOSPC and fault.kind in ("open", "write", "mkdir", "rename") \
                and code != CODE.RESOURCE_EXHAUSTED:
            client.note(f"{what} met a full disk and said {code}: {details}")
        if fault.kind == "memory" and code != CODE.RESOURCE_EXHAUSTED:
            client.note(f"{what} met a lack of memory and said {code}: {details}")
        if fault.kind != "memory" and session.SHOWN not in details:
            client.note(f"{what} failed without naming a file: {details}")


def run_running(folder, case):
    mode, options, _ = SETTINGS[case.setting]
    client = session.Session(folder, mode, options)
    try:
        rule = case.fault.arm(client.shim)
        workload(client, case.setting)
        hit = rule.hits > 0
        expect_codes(client, case.fault)
        client.recover(by_save=case.fault.n % 2 == 0)
        client.check_live()
        client.check_restart()
        left = client.leftovers()
        if left:
            client.note(f"left after a restart: {left}")
        return client.wrong, hit
    finally:
        client.end(folder)


# ---- A disk that stays broken or full ----------------------------------------------------------

def run_lasting(folder, case):
    """All calls from the n-th on fail. Then the server is killed (odd n), or the disk healed (even
    n)."""
    mode, options, _ = SETTINGS[case.setting]
    client = session.Session(folder, mode, options)
    client.undo_may_fail = case.fault.kind in ("ftruncate", "fsync") or " " in case.fault.kind
    try:
        rule = case.fault.arm(client.shim)
        workload(client, case.setting)
        hit = rule.hits > 0
        for what, code, details in client.errors:
            if code == CODE.UNAVAILABLE and case.fault.argument == errno.ENOSPC and \
                    "fsync" not in case.fault.kind and "fdatasync" not in case.fault.kind:
                client.note(f"{what} met a full disk and said {code}: {details}")
        if client.failed_at is not None:
            client.check_read_only()
        if case.fault.n % 2 == 0:
            client.recover(by_save=case.fault.n % 4 == 0)
        client.check_live()
        client.shim.heal()
        client.check_restart()
        return client.wrong, hit
    finally:
        client.end(folder)


# ---- A fault during the start ------------------------------------------------------------------

_templates = {}


def template(setting):
    """A data directory to recover: segments, snapshots, a torn end, leftover files; and its
    client."""
    if setting in _templates:
        return _templates[setting]
    folder = tempfile.mkdtemp(prefix="kvstore-fault-")
    mode, options, _ = SETTINGS[setting]
    client = session.Session(folder, mode, options)
    workload(client, setting)
    client.save()
    client.set("f0", b"7" * 2600)
    client.set("f1", b"8" * 2600)
    client.server.kill9()
    generation = max(name for name in os.listdir(client.data) if name.startswith("gen-"))
    log = os.path.join(client.data, generation, "aof")
    if os.path.isdir(log):
        newest = max(name for name in os.listdir(log) if name.endswith(".log"))
        with open(os.path.join(log, newest), "r+b") as file:
            file.seek(0, os.SEEK_END)
            end = len(open(file.name, "rb").read().rstrip(b"\0"))
            file.seek(end)
            file.write(b"KVR unfinished")
        open(os.path.join(log, "0000009999.log.tmp"), "wb").close()
    os.mkdir(os.path.join(client.data, "gen-000099"))
    open(os.path.join(client.data, "gen-000099", "left"), "wb").close()
    _templates[setting] = (folder, client)
    return _templates[setting]


def count_start(setting, fresh):
    folder = tempfile.mkdtemp(prefix="kvstore-fault-")
    client = prepare(folder, setting, fresh)
    try:
        client.server = harness.Server(client.data, **first_flags(setting, fresh),
                                       variables=client.shim.environment())
        counts = client.shim.counts()
        client.check_found()
        client.server.stop()
        if client.wrong:
            raise AssertionError(f"start of {setting} without faults: {client.wrong}")
        return counts
    finally:
        client.end(folder)


def prepare(folder, setting, fresh):
    """A client whose server is not started yet, on a copy of the template or on an empty
    directory."""
    mode, options, _ = SETTINGS[setting]
    client = session.Session(folder, mode, options, start=False)
    if not fresh:
        source, original = template(setting)
        shutil.copytree(os.path.join(source, "data"), client.data, symlinks=True)
        client.history.writes = list(original.history.writes)
        client.history.acknowledged = original.history.acknowledged
        client.state, client.saved = dict(original.state), original.saved
    return client


def first_flags(setting, fresh):
    mode, options, _ = SETTINGS[setting]
    return {"mode": mode, "options": options} if fresh else {}


def run_start(folder, case):
    fresh = case.group.startswith("first start")
    client = prepare(folder, case.setting, fresh)
    try:
        rule = case.fault.arm(client.shim)
        flags = first_flags(case.setting, fresh)
        client.server = harness.Server(client.data, **flags, wait=False,
                                       variables=client.shim.environment())
        started = client.server.log.wait_for(" info ready")
        hit = rule.hits > 0
        client.shim.heal()
        if started:
            try:
                client.server.open()
                client.server.wait_serving()
            except harness.grpc.RpcError as error:
                raise AssertionError(f"ready, yet not serving: {client.log_text()}") from error
            if fresh:
                client.recover(by_save=False)
            else:
                client.check_found()
            client.check_live()
            client.server.kill9()
        else:
            check_refusal(client, case)
        client.server = harness.Server(client.data, **flags)
        client.check_found()
        return client.wrong, hit
    finally:
        client.end(folder)


def check_refusal(client, case):
    code = client.server.wait_exit()
    log = client.server.log.text()
    if code <= 0:
        client.note(f"the start ended with {code}: {log}")
    if case.fault.invisible:
        client.note(f"the start failed: {log}")
    last = next((line for line in reversed(log.splitlines())
                 if " error " in line or line.startswith("kvstore-server: ")), None)
    if last is None:
        client.note(f"the start failed without an error: {log}")
    elif case.fault.kind != "memory" and client.data not in last:
        client.note(f"the start failed without naming a file: {last}")


# ---- A fault during the orderly end ------------------------------------------------------------

def fill_before_stop(client):
    for i in range(6):
        client.set(f"k{i}", b"v" * 900)
    client.save()
    client.set("last", b"v")


def run_stop(folder, case):
    mode, options, _ = SETTINGS[case.setting]
    client = session.Session(folder, mode, options)
    try:
        fill_before_stop(client)
        rule = case.fault.arm(client.shim)
        client.server.terminate()
        code = client.server.wait_exit()
        hit = rule.hits > 0
        if code < 0 or (code > 0 and case.fault.invisible):
            client.note(f"the server ended with {code}: {client.server.log.text()}")
        if code == 0 and mode == "snapshot":
            client.saved = client.history.acknowledged
        client.server = harness.Server(client.data)
        client.check_found()
        return client.wrong, hit
    finally:
        client.end(folder)


def count_stop(setting):
    mode, options, _ = SETTINGS[setting]
    folder = tempfile.mkdtemp(prefix="kvstore-fault-")
    client = session.Session(folder, mode, options)
    try:
        fill_before_stop(client)
        before = client.shim.counts()
        client.server.stop()
        after = client.shim.counts()
        return {kind: after[kind] - before[kind] for kind in faults.KINDS}
    finally:
        client.end(folder)


def drop_templates():
    for folder, client in _templates.values():
        client.end(folder)
    _templates.clear()
