"""The watchers of the model test. They follow a store through all lives of its server, and what they
were told is compared with what the clients know (told.py)."""
import collections
import threading
import time

import grpc

import told
from client import Violation, named, unix_ms
from harness import PATIENCE
from watching import Range, Stream, passed_over

PROGRESS_MS = 100


def is_end(error):
    """Of a stream, because its server has ended."""
    if isinstance(error, grpc.RpcError):
        return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    return isinstance(error, ValueError)  # the channel is closed


def event_of(event, tells_previous=False):
    entry = event.entry
    previous = event.previous
    return told.Event(
        event.kind, entry.key, named(entry.value) if event.kind == told.SET else None, entry.version,
        entry.expire_time_ms,
        (named(previous.value), previous.version, previous.expire_time_ms)
        if event.HasField("previous") else None, tells_previous, unix_ms())


class Watcher:
    """`stays`: answers that it takes from a stream before it goes on with another one; 0: all.
    `previous`: it asks for previous values. `kinds`: for these alone; all where there are none."""

    def __init__(self, *ranges, stays=0, previous=False, kinds=()):
        self.ranges, self.stays, self.previous, self.kinds = ranges, stays, previous, kinds
        self.base = None  # the version that it has begun after, and the entries at it
        self.events = []
        self.version = 0
        self.began_anew = 0
        self._counts = collections.Counter()
        self._lives = 0
        self._has_begun = self._has_all = False  # in this life
        self._changed = threading.Condition()
        self._thread = self._error = None

    # ---- A life of the server ----

    def follow(self, server, has_all):
        """`has_all`: it has been sent everything before, if it stayed."""
        self._lives += 1
        self._has_all = has_all and not self.stays
        self._error, self._has_begun = None, False
        self._thread = threading.Thread(target=self._follow, args=(server,), daemon=True)
        self._thread.start()

    def ended(self):
        """The server has ended."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise Violation("a watch has not seen that the server has ended")
        if not is_end(self._error):
            raise Violation(f"a watch: {self._error!r}")

    def _follow(self, server):
        try:
            while True:
                with Stream(server) as stream:
                    if self.base is None or not self._go_on(stream, server):
                        self._begin(stream)
                    with self._changed:
                        self._has_begun = True
                        self._changed.notify_all()
                    self._take(stream, server.status().version)
        except Exception as error:  # for whoever waits for it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _go_on(self, stream, server):
        """With the version that comes next; False: after a restart, the server does not have it."""
        start = self.version + 1
        answer = self._create(stream, start_version=start)
        if answer.WhichOneof("kind") == "created":
            self._counts["resumed"] += 1
            return True
        is_held = (answer.ended.lowest_version <= start <= server.status().version + 1 and
                   self.version not in passed_over(server))
        if answer.ended.reason != "VERSION_NOT_HELD" or is_held or self._lives == 1:
            raise Violation(f"a watch from version {start} was refused: {answer}")
        # Counted, not judged: what had arrived and was not read when the connection ended may be lost.
        self._counts["lost at a stop"] += self._has_all
        return False

    def _begin(self, stream):
        """With all entries."""
        self._create(stream, initial_state=True)
        entries = {}
        while (answer := stream.next()).WhichOneof("kind") != "initial_done":
            for event in map(event_of, answer.events.events):
                entries[event.key] = event.value, event.version, event.expiry
        with self._changed:
            self.began_anew += self.base is not None
            self._counts["begun anew"] += self.base is not None
            self.base, self.events, self.version = (answer.version, entries), [], answer.version
            self._changed.notify_all()

    def _create(self, stream, **start):
        return stream.create(ranges=self.ranges, kinds=self.kinds, previous_values=self.previous,
                             progress_interval_ms=PROGRESS_MS, **start)

    def _take(self, stream, live_from):
        """From version `live_from` on, the server has kept what was replaced."""
        taken = 0
        while not self.stays or taken < self.stays:
            answer = stream.next()
            if answer.WhichOneof("kind") not in ("events", "progress"):
                raise Violation(f"a watch was sent {answer}")
            taken += answer.WhichOneof("kind") == "events"
            found = [event_of(event, self.previous and event.entry.version > live_from)
                     for event in answer.events.events]
            with self._changed:
                if answer.version < self.version:
                    raise Violation(f"a watch was told version {answer.version} after {self.version}")
                self.events += found
                self._counts["told"] += len(found)
                self.version = answer.version
                self._changed.notify_all()

    def take_counts(self):
        with self._changed:
            counts, self._counts = self._counts, collections.Counter()
            return counts

    # ---- What was told ----

    def reached(self, version):
        """Waits until it has been told everything up to a version; returns its base, its events and
        the version up to which it has."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not self._has_begun or self.version < version:
                if self._error:
                    raise Violation(f"a watch: {self._error!r}") from self._error
                if time.monotonic() > deadline:
                    raise Violation(f"a watch is not told of version {version}, but of {self.version}")
                self._changed.wait(1)
            return self.base, self.events[:], self.version

    def wants(self, event):
        return ((not self.kinds or event.kind in self.kinds) and
                any(wants(one, event.key) for one in self.ranges))


def wants(one, key):
    if one.key:
        return key == one.key
    return key.startswith(one.prefix) and key >= one.start and (not one.end or key < one.end)


class Watchers:
    """One has everything, and is compared with what the clients know; the others are compared with
    it."""

    def __init__(self):
        self.all = Watcher(Range(), previous=True)
        self.some = [Watcher(Range(), stays=3), Watcher(Range(prefix="a")),
                     Watcher(Range(start="a/2", end="c"), Range(key="n"), stays=5, previous=True),
                     Watcher(Range(), kinds=(told.DELETE, told.EXPIRE))]
        self.known, self._began = told.Known(), 0

    def each(self):
        return [self.all, *self.some]

    def follow(self, server, has_all=False):
        for one in self.each():
            one.follow(server, has_all)

    def await_base(self):
        """What happens from now on is told by all."""
        for one in self.each():
            one.reached(0)

    def ended(self):
        for one in self.each():
            one.ended()

    def take_counts(self):
        """What has happened since the last time."""
        return sum((one.take_counts() for one in self.each()), collections.Counter())

    def check(self, version, size, steps, patient):
        """No call is in flight, the clients know changes up to the version, at which the store has so
        many keys. `patient`: all are told of them; otherwise the first one."""
        base, events, reached = self.all.reached(version)
        if self.all.began_anew != self._began:  # what it was not told is in its new base
            self.known, self._began = told.Known(), self.all.began_anew
        else:
            for step in steps:
                self.known.take(step)
        self.known.sizes[version] = size
        try:
            told.check(base, events, reached, self.known)
        except told.Wrong as wrong:
            raise Violation(f"{wrong}\n{shown(base, events)}") from wrong
        for one in self.some:
            self._compare(one, base, events, reached, version if patient else 0)

    @staticmethod
    def _compare(one, base, events, reached, version):
        its_base, its_events, its_version = one.reached(version)
        since, until = max(base[0], its_base[0]), min(reached, its_version)
        wanted = [event for event in events if since < event.version <= until and one.wants(event)]
        found = [event for event in its_events if since < event.version <= until]
        if [event[:5] for event in wanted] != [event[:5] for event in found]:
            raise Violation(f"a watch of {one.ranges} was told {found}, one of all keys {wanted}")
        for its, event in zip(found, wanted):
            if its.previous and event.previous and its.previous != event.previous:
                raise Violation(f"a watch of {one.ranges} was told {its}, one of all keys {event}")


def shown(base, events):
    return "\n".join(["  the watch began with", f"    {base}", "  and was told",
                      *(f"    {event}" for event in events[-40:])])
