"""The workloads that are recorded. Each is a function of a Recording, by name."""

import os

LOG_MODES = ("aof", "hybrid")
POLICIES = ("always", "everysec", "no")
MODES = ("none", "snapshot", "aof", "hybrid")
# As an option of each mode, so that logs rotate and snapshots are removed within a few writes.
SMALL = {"none": {}, "snapshot": {"max_snapshots": "2"}, "aof": {"aof_max_size": "4096"},
         "hybrid": {"aof_max_size": "4096", "max_snapshots": "1"}}


def _flags(mode, **options):
    return [f"{name}={value}" for name, value in {**SMALL[mode], **options}.items()]


def _log_mode(mode, policy):
    def run(recording):
        recording.start(mode, _flags(mode, fsync=policy))
        recording.write(12)
        if policy == "everysec":
            recording.await_sync()
        recording.save()
        recording.write(6)
        recording.restart(after_kill=True)
        recording.write(5)
        recording.save()
        recording.write(4)
        recording.restart()
        recording.write(4)
        if policy == "everysec":
            recording.await_sync()
        recording.stop()
    return run


def _encrypted(inner, policy):
    """As options of the mode `encrypt`."""
    options = ",".join(_flags(inner, fsync=policy))
    return {"inner": inner, "inner_options": options, "key_file": os.environ["CRASH_KEY_FILE"]}


def _encrypt(inner, policy):
    def run(recording):
        options = _encrypted(inner, policy)
        recording.start("encrypt", [f"{name}={value}" for name, value in options.items()])
        recording.write(8)
        recording.save()
        recording.write(4)
        recording.restart(after_kill=True)
        recording.write(4)
        recording.restart()
        recording.write(3)
        recording.stop()
    return run


def _large_segments(policy):
    def run(recording):
        recording.start("hybrid", [f"fsync={policy}"])
        recording.write(10)
        recording.restart(after_kill=True)
        recording.write(10)
        recording.stop()
    return run


def _ranges(mode, policy):
    """Deletions of ranges, also of one that takes several steps."""
    def run(recording):
        recording.start(mode, [f"fsync={policy}"])
        recording.write(3)
        recording.put_long()
        recording.delete_range("long", "m")
        recording.write(2)
        recording.wait_durable()
        recording.restart(after_kill=True)
        recording.delete_range("k", "l")
        recording.write(2)
        recording.stop()
    return run


def _durable(mode, **options):
    """What must be safe although the mode does not sync each write."""
    def run(recording):
        recording.start(mode, _flags(mode, **options))
        for _ in range(3):
            recording.write(3)
            recording.wait_durable()
            recording.write(1)
            if mode in LOG_MODES:
                recording.put_synced()
        recording.restart(after_kill=mode in LOG_MODES)
        recording.write(2)
        recording.wait_durable()
        recording.write(2)
        recording.stop()
    return run


def _snapshot(kept):
    def run(recording):
        recording.start("snapshot", [f"max_snapshots={kept}"])
        for _ in range(4):
            recording.write(4)
            recording.save()
        recording.write(3)
        recording.restart()
        recording.write(3)
        recording.stop()
    return run


def _none(recording):
    recording.start("none")
    recording.write(5)
    recording.restart(keeps_nothing=True)
    recording.write(5)
    recording.stop()


def _switch(old, new, old_options=None, new_options=None):
    """A switch without other work, a switch back, and one with concurrent writes."""
    old_options = {**SMALL.get(old, {}), **(old_options or {})}
    new_options = {**SMALL.get(new, {}), **(new_options or {})}

    def run(recording):
        recording.start(old, [f"{name}={value}" for name, value in old_options.items()])
        recording.write(6)
        recording.configure(new, **new_options)
        recording.write(4)
        recording.configure(old, **old_options)
        recording.write(3)
        recording.configure_while_writing(new, **new_options)
        recording.write(3)
        recording.stop()
    return run


def _all():
    workloads = {"none": _none, "snapshot, keeps 1": _snapshot(1), "snapshot, keeps 2": _snapshot(2)}
    for mode in LOG_MODES:
        for policy in POLICIES:
            workloads[f"{mode} fsync={policy}"] = _log_mode(mode, policy)
    for policy in POLICIES:
        workloads[f"hybrid fsync={policy}, one large segment"] = _large_segments(policy)
    for mode, policy in (("aof", "always"), ("hybrid", "everysec")):
        workloads[f"ranges, {mode} {policy}"] = _ranges(mode, policy)
    workloads["durable, snapshot"] = _durable("snapshot")
    for mode in LOG_MODES:
        for policy in ("everysec", "no"):
            workloads[f"durable, {mode} {policy}"] = _durable(mode, fsync=policy)
    for old in MODES:
        for new in MODES:
            if old != new:
                workloads[f"switch {old} -> {new}"] = _switch(old, new)
    for old, new in (("always", "everysec"), ("always", "no"), ("no", "always")):
        workloads[f"reconfigure hybrid {old} -> {new}"] = _switch(
            "hybrid", "hybrid", {"fsync": old}, {"fsync": new})
    workloads["switch aof everysec -> hybrid no"] = _switch(
        "aof", "hybrid", {"fsync": "everysec"}, {"fsync": "no"})
    for inner in LOG_MODES:
        workloads[f"encrypt over {inner}"] = _encrypt(inner, "always")
    for other in ("none", "snapshot", "aof"):
        workloads[f"switch {other} -> encrypt"] = _switch(
            other, "encrypt", {}, _encrypted("hybrid", "always"))
        workloads[f"switch encrypt -> {other}"] = _switch(
            "encrypt", other, _encrypted("aof", "always"), {})
    return workloads


WORKLOADS = _all()
# One of each kind, for a short run.
REDUCED = ("none", "snapshot, keeps 1", "ranges, aof always", "durable, snapshot",
           "durable, hybrid no", "aof fsync=always", "aof fsync=everysec",
           "hybrid fsync=always, one large segment", "hybrid fsync=no", "encrypt over hybrid",
           "switch none -> aof", "switch aof -> snapshot", "switch snapshot -> hybrid",
           "reconfigure hybrid always -> everysec")
