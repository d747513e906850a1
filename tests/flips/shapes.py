"""The data directories to damage: small ones, made by the real server, with their histories. All
values are short, so that every bit of every file can be tried."""
import os
import shutil

import harness


class Shape:
    """A data directory at rest. `states` are the pairs (sequence, data) of its history, in order; a
    start must come back with the last one."""

    def __init__(self, name, path, stopped, states):
        self.name = name
        self.path = path
        self.stopped = stopped  # in order; otherwise by kill -9
        self.states = states

    def files(self):
        """Relative paths, sorted."""
        found = [os.path.relpath(os.path.join(folder, name), self.path)
                 for folder, _, names in os.walk(self.path) for name in names]
        return sorted(found)

    def read(self, name):
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def newest_segment(self):
        segments = [name for name in self.files() if name.endswith(".log")]
        return segments[-1] if segments else None


class Maker:
    """Writes a history to a store, starting, stopping and killing the server in between."""

    def __init__(self, folder, name, mode, *options):
        self.path = os.path.join(folder, name)
        self.name = name
        self.states = [(0, {})]
        self.server = harness.Server(self.path, mode=mode, options=options)

    def _remember(self, changes):
        state = dict(self.states[-1][1])
        for key, value in changes:
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        self.states.append((self.server.status().version, state))

    def set(self, key, value):
        self.server.set(key, value)
        self._remember([(key, value)])

    def delete(self, key):
        self.server.delete(key)
        self._remember([(key, None)])

    def together(self, pairs):
        self.server.transact(*(harness.setting(key, value) for key, value in pairs))
        self._remember(pairs)

    def some(self, part):
        """Every kind of write, marked with `part`."""
        self.set("same", f"value of part {part}".encode())
        self.set(f"own {part}", bytes(range(part, part + 12)))
        self.together([("pair a", b"%d" % part), ("pair b", b"%d" % part)])
        self.set(f"gone {part}", b"")
        self.delete(f"gone {part}")

    def stop(self):
        self.server.stop()

    def kill(self):
        self.server.kill9()

    def restart(self):
        self.server = harness.Server(self.path)

    def done(self, stopped):
        if stopped:
            self.stop()
        else:
            self.kill()
        return Shape(self.name, self.path, stopped, self.states)


def make_segments(maker):
    """Three segments of one log, as each start begins one."""
    maker.some(1)
    maker.stop()
    maker.restart()
    maker.some(2)
    maker.kill()
    maker.restart()
    maker.some(3)


def make_snapshots(maker):
    """Two snapshots and, in modes with a log, the writes between and after them."""
    maker.some(1)
    maker.server.save()
    maker.some(2)
    maker.server.save()
    maker.some(3)


def none(folder):
    return Maker(folder, "none", "none").done(stopped=True)


def aof_stopped(folder):
    maker = Maker(folder, "aof-stopped", "aof")
    make_segments(maker)
    return maker.done(stopped=True)


def aof_killed(folder):
    maker = Maker(folder, "aof-killed", "aof", "aof_max_size=4096")
    make_segments(maker)
    return maker.done(stopped=False)


def aof_unsynced(folder):
    """Nothing proves that the newest segment was durable."""
    maker = Maker(folder, "aof-unsynced", "aof", "fsync=no", "aof_max_size=4096")
    make_segments(maker)
    return maker.done(stopped=False)


def aof_compacted(folder):
    """A compaction's snapshot, a segment that mentions it, and a segment after another start."""
    maker = Maker(folder, "aof-compacted", "aof")
    maker.some(1)
    maker.server.save()
    maker.some(2)
    maker.stop()
    maker.restart()
    maker.some(3)
    return maker.done(stopped=True)


def snapshot(folder):
    maker = Maker(folder, "snapshot", "snapshot", "max_snapshots=3")
    make_snapshots(maker)
    return maker.done(stopped=True)


def hybrid_stopped(folder):
    maker = Maker(folder, "hybrid-stopped", "hybrid", "max_snapshots=2")
    make_snapshots(maker)
    return maker.done(stopped=True)


def hybrid_killed(folder):
    maker = Maker(folder, "hybrid-killed", "hybrid", "max_snapshots=2", "aof_max_size=4096")
    make_snapshots(maker)
    return maker.done(stopped=False)


def hybrid_torn(folder):
    """After a torn end was cut off: the cut part lies beside the log. In generation 2."""
    maker = Maker(folder, "hybrid-torn", "none")
    maker.some(0)
    maker.server.configure("hybrid", {"max_snapshots": "1", "aof_max_size": "4096"})
    maker.some(1)
    maker.kill()
    newest = os.path.join(maker.path, Shape("", maker.path, False, []).newest_segment())
    with open(newest, "rb") as file:
        end = len(file.read().rstrip(b"\0"))
    os.truncate(newest, end - 3)
    maker.states.pop()  # the last write
    maker.restart()
    maker.some(2)
    return maker.done(stopped=True)


def starting(folder):
    """A first start that was interrupted just before ACTIVE was written: nothing was
    acknowledged."""
    maker = Maker(folder, "starting", "aof")
    shape = maker.done(stopped=True)
    os.remove(os.path.join(shape.path, "ACTIVE"))
    with open(os.path.join(shape.path, "STARTING"), "wb"):
        pass
    return shape


ALL = [none, starting, snapshot, aof_stopped, aof_killed, aof_unsynced, aof_compacted,
       hybrid_stopped, hybrid_killed, hybrid_torn]


def twin_of(make, folder):
    """The same history in another store; for files that belong elsewhere."""
    inside = os.path.join(folder, "twins")
    os.makedirs(inside, exist_ok=True)
    return make(inside)


def copy_to(shape, path):
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(shape.path, path, symlinks=True)
