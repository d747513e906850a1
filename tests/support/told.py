"""Whether what a watch has told is what happened.

`Known` collects what the clients of one store know of its changes, from steps in the terms of
entries.py. `check` goes through the events of a watch of all keys, which must have come in the order
of their versions, each once, and must explain every answer: a change that was answered is there with
its version, its value, its expiry and what it has replaced; one in doubt is there or not; what
somebody has read is there; every event has a cause. Scans and the number of keys show what the events
up to their version lead to."""
import collections
import typing

SET, DELETE, EXPIRE = 1, 2, 3  # as in Event.Kind
ANY = object()  # a value or an expiry that the client cannot know


class Event(typing.NamedTuple):
    kind: int
    key: str
    value: str  # None: of a deletion
    version: int
    expiry: int  # 0: never
    previous: tuple = None  # (value, version, expiry)
    # Whether the server must have told `previous`, if there was any.
    tells_previous: bool = False
    received_ms: float = float("inf")


class Change(typing.NamedTuple):
    """What a client knows of a change. `delta`: what it adds to a number that is not known."""
    kind: int
    key: str
    value: object
    expiry: object = ANY  # the bounds
    delta: int = None

    def is_it(self, event, before):
        if (self.kind, self.key) != (event.kind, event.key):
            return False
        if self.kind == DELETE:
            return True
        if self.expiry is not ANY and not self.expiry[0] <= event.expiry <= self.expiry[1]:
            return False
        if self.delta is not None:
            return event.value in (str(self.value + self.delta),
                                   before and before[0].lstrip("-").isdigit() and
                                   str(int(before[0]) + self.delta))
        return self.value is ANY or self.value == event.value


class Wrong(Exception):
    """A watch has not told what happened."""


def expiry_bounds(expiry, called_ms, answered_ms):
    if expiry is None:
        return 0, 0
    if expiry[0] == "at":
        return expiry[1], expiry[1]
    if expiry[0] == "ttl":
        return called_ms + expiry[1], answered_ms + expiry[1]
    return ANY


class Known:
    """Of the time since a watch has begun."""

    def __init__(self):
        self.certain = {}  # version -> Change
        self.unversioned = []  # those that were answered without their version
        self.doubtful = []
        self.seen = {}  # version -> (key, value, expiry), of what was read
        self.lists = []  # (version, prefix, entries, all of them, answered_ms)
        self.sizes = {}  # version -> how many keys the server says it has, also expired ones

    def take(self, step):
        """What was answered while the watch was there, or may have happened since."""
        for number, operation in enumerate(step.operations):
            if step.results is None:
                self._doubt(operation, step)
            else:
                self._answered(operation, step.results[number], step)

    def _doubt(self, operation, step):
        kind, *arguments = operation
        if kind == "transact":
            for one in (*arguments[1], *arguments[2]):
                self._doubt(one, step)
        elif kind == "once":
            self._doubt(arguments[1], step)
        else:
            change = self._change(operation, step)
            if change:
                self.doubtful.append(change)

    @staticmethod
    def _change(operation, step, sum_=None):
        """What an operation makes if it makes anything."""
        kind, key, *rest = operation
        moment = step.called_ms, step.answered_ms
        if kind == "set":
            return Change(SET, key, rest[0], (0, 0))
        if kind in ("delete", "remove"):
            return Change(DELETE, key, None)
        if kind == "put":
            return Change(SET, key, rest[0], expiry_bounds(rest[1], *moment))
        if kind == "add":
            expiry = expiry_bounds(rest[2], *moment) if rest[2] else ANY
            if sum_ is None:
                return Change(SET, key, rest[1], expiry, rest[0])
            return Change(SET, key, str(sum_), expiry)
        if kind == "expire":
            return Change(SET, key, ANY, expiry_bounds(rest[0], *moment))
        return None

    def _answered(self, operation, result, step):
        kind = operation[0]
        if kind == "once":
            self._once(operation[2], result, step)
        elif isinstance(result, tuple) and result[:1] == ("refused",):
            return
        elif kind == "transact":
            for one, its in zip(operation[2] if result[1] else operation[3], result[3]):
                self._answered(one, its, step)
        elif kind == "set" or (kind == "delete" and result):
            self.unversioned.append(self._change(operation, step))
        elif kind == "read" and result:
            value, version, expiry = result
            self._see(operation[1], value, version, expiry)
        elif kind == "list":
            for entry in result[1]:
                self._see(*entry)
            if result[0] is not None:
                self.lists.append((result[0], operation[1], result[1], not operation[3],
                                   step.answered_ms))
        elif kind in ("put", "expire"):
            self._certain(result[1], self._change(operation, step))
        elif kind == "add":
            self._certain(result[2], self._change(operation, step, result[1]))
        elif kind == "remove" and result[2]:
            self._certain(result[2], self._change(operation, step))

    def _once(self, operation, result, step):
        """It may have been carried out by an earlier call: a time to live counts from there."""
        before = self.certain.copy()
        self._answered(operation, result, step)
        for version in self.certain.keys() - before.keys():
            self.certain[version] = self.certain[version]._replace(expiry=ANY)
        self.certain.update(before)

    def _certain(self, version, change):
        self.certain[version] = change

    def _see(self, key, value, version, expiry):
        if self.seen.setdefault(version, (key, value, expiry)) != (key, value, expiry):
            raise Wrong(f"version {version} was read as {self.seen[version]} and as "
                        f"{(key, value, expiry)}")


class Replay:
    """The store as the events have it."""

    def __init__(self, base, known):
        self.version, entries = base
        self.since = self.version
        self.state = dict(entries)  # key -> (value, version, expiry)
        self.known = known
        self.unversioned, self.doubtful = known.unversioned[:], known.doubtful[:]
        self.lists = collections.deque(sorted(
            (one for one in known.lists if one[0] >= self.since), key=lambda one: one[0]))
        self.sizes = {version: size for version, size in known.sizes.items() if version >= self.since}
        self.told = {}  # version -> Event
        self.keys = set()  # that any event was of
        # The server's keys that were not among `entries` because they had expired: the number at
        # most, once it is known, and how many of them were told to have been deleted.
        self.hidden, self.revealed = None, 0

    def take(self, event):
        if event.version <= self.version:
            raise Wrong(f"{event} came after version {self.version}")
        self.compare(event.version)
        before = self.state.get(event.key)
        self._check_previous(event, before)
        if event.kind == SET:
            self.state[event.key] = event.value, event.version, event.expiry
        else:
            self._delete(event, before)
        self._check_cause(event, before)
        self.version = event.version
        self.keys.add(event.key)
        self.told[event.version] = event

    def _delete(self, event, before):
        if before:
            del self.state[event.key]
        elif event.kind == EXPIRE and event.key not in self.keys:
            self.revealed += 1
        else:
            raise Wrong(f"{event} deletes what was not there")

    @staticmethod
    def _check_previous(event, before):
        has_expired = before and 0 < before[2] <= event.received_ms
        if event.previous is None:
            if event.tells_previous and before and not has_expired:
                raise Wrong(f"{event} does not tell {before}, which it has replaced")
        elif event.previous != before and (before or event.kind != EXPIRE):
            raise Wrong(f"{event} has replaced {before}")

    def _check_cause(self, event, before):
        certain = self.known.certain.get(event.version)
        if certain:
            if not certain.is_it(event, before):
                raise Wrong(f"{event} was answered as {certain}")
            if certain.value is ANY and event.value != (before and before[0]):
                raise Wrong(f"{event} was to change the expiry of {before}")
            return
        if event.kind == EXPIRE:
            if before and not 0 < before[2] <= event.received_ms:
                raise Wrong(f"{event} deletes {before} before its time")
            return
        for changes in (self.unversioned, self.doubtful):
            # Those whose value is known first.
            for change in sorted(changes, key=lambda one: one.value is ANY):
                if change.is_it(event, before) and (
                        change.value is not ANY or event.value == (before and before[0])):
                    changes.remove(change)
                    return
        raise Wrong(f"{event} has no cause")

    def compare(self, next_version):
        """What was read at versions up to the next event."""
        for version in sorted(version for version in self.sizes if version < next_version):
            size = self.sizes.pop(version)
            excess = size - len(self.state) + self.revealed
            if self.hidden is None:
                self.hidden = excess
            # One that is written again is not hidden any more.
            self.hidden, most = min(self.hidden, excess), self.hidden
            if not 0 <= excess <= most:
                raise Wrong(f"the server had {size} keys at version {version}, by the events it has "
                            f"{sorted(self.state)}")
        while self.lists and self.lists[0][0] < next_version:
            version, prefix, listed, is_all, answered_ms = self.lists.popleft()
            for key, *entry in listed:
                if self.state.get(key) != tuple(entry):
                    raise Wrong(f"a Scan at version {version} found {entry} at {key}; by the events it "
                                f"is {self.state.get(key)}")
            there = {key for key, *_ in listed}
            for key, entry in self.state.items():
                if (is_all and key.startswith(prefix) and key not in there and
                        not 0 < entry[2] <= answered_ms):
                    raise Wrong(f"a Scan at version {version} lacks {key}; by the events it is {entry}")

    def end(self, reached):
        """Everything up to `reached`, which is all that the clients know, has been told."""
        self.compare(reached + 1)
        for version, change in sorted(self.known.certain.items()):
            if self.since < version <= reached and version not in self.told:
                raise Wrong(f"version {version} was not told: {change}")
        for version, (key, value, expiry) in sorted(self.known.seen.items()):
            event = self.told.get(version)
            if self.since < version <= reached and (
                    event is None or (event.key, event.value, event.expiry) != (key, value, expiry)):
                raise Wrong(f"{value} was read at {key} as version {version}; told was {event}")
        if self.unversioned:
            raise Wrong(f"not told: {self.unversioned[0]}")


def check(base, events, reached, known):
    """`base`: the version that the watch has begun after, and the entries at it. `reached`: it has told
    everything up to this version."""
    replay = Replay(base, known)
    for event in events:
        replay.take(event)
    replay.end(reached)
