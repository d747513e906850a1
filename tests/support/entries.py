"""One store that does one thing at a time, as far as its clients can know it.

Each operation either tells the version of what it wrote, or leaves it within bounds; so may an
expiry be, which counts from a moment on the server. Whatever a client is told narrows the bounds, and
must lie within them. Versions only grow. A key may be missing from its expiry on, and not before, by
the clock at some moment between the call and its answer: a write that began to be carried out before
the expiry has seen the key, even where a read that was answered earlier has not.

Operations of the frozen service, which tell no version:

  ("set", key, value)                 result None
  ("delete", key)                     result: whether the key existed
  ("get", key)                        result: the value, or None
  ("scan", prefix, limit, keys_only)  result: keys or (key, value) pairs; limit 0: none

Of kvstore.v1; an entry is told as (value, version, expiry or 0), and a refusal of each but "read" and
"list" is ("refused", reason, current version or None):

  ("put", key, value, expiry, condition, previous)  ("ok", version, entry before, where asked for)
  ("remove", key, condition, previous)   ("ok", deleted, version or 0, entry before)
  ("add", key, delta, initial, expiry)   ("ok", sum, version)
  ("expire", key, expiry, condition)     ("ok", version)
  ("read", key)                          the entry, or None
  ("list", prefix, descending, limit)    (version, ((key, value, version, expiry), ...))
  ("transact", comparisons, success, failure)  ("ok", succeeded, version, results)
  ("once", request_id, operation)        that of the operation, or of its first repetition

An expiry is None, ("at", ms), ("ttl", ms) or ("keep",); a condition None, ("exists", wanted),
("version", number) or ("value", value); a comparison (key, condition)."""
import math
import typing

UNKNOWN = math.inf
INTEGER_MAX = 2**63 - 1


class Entry(typing.NamedTuple):
    """The bounds include both ends. An expiry of (0, 0): never."""
    value: str
    version: tuple
    expiry: tuple


class State(typing.NamedTuple):
    entries: tuple = ()  # sorted (key, Entry) pairs
    last: int = 0  # no version from here on is lower
    remembered: tuple = ()  # sorted (request_id, answer) pairs

    def values(self):
        return tuple((key, entry.value) for key, entry in self.entries)


EMPTY = State()


def without_expired(state, now_ms):
    """Without what no call can see that is sent from now on."""
    return state._replace(entries=tuple(
        (key, entry) for key, entry in state.entries if not 0 < entry.expiry[1] <= now_ms))


class Contradiction(Exception):
    """The results are not those of this state."""


class Refused(Exception):
    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


def outcomes(state, operations, results, moment):
    """All states that may follow. `results`: None, or one for each operation. `moment`: the Unix
    milliseconds of the call and of its answer. What is not known is decided in every way."""
    paths = [[]]
    while paths:
        world = World(state, moment, paths.pop())
        given = len(world.path)
        try:
            for number, operation in enumerate(operations):
                world.do(operation, results and (results[number],))
            yield world.state()
        except Contradiction:
            pass
        paths += [world.path[:at] + [True] for at in range(given, len(world.path))]


def is_refusal(told):
    return bool(told) and isinstance(told[0], tuple) and told[0][:1] == ("refused",)


def narrow(bounds, value):
    if not bounds[0] <= value <= bounds[1]:
        raise Contradiction
    return value, value


class World:
    """A state while operations are carried out on it. `told` is a tuple with the result of an
    operation, or None where it is not known."""

    def __init__(self, state, moment, path):
        self.entries = dict(state.entries)
        self.last = state.last
        self.remembered = dict(state.remembered)
        self.moment, self.path, self.position = moment, path, 0
        self.gone = set()  # keys that count as expired, unless they are written
        self.seen = set()

    def state(self):
        return State(tuple(sorted(self.entries.items())), self.last,
                     tuple(sorted(self.remembered.items())))

    def choose(self):
        if self.position == len(self.path):
            self.path.append(False)
        self.position += 1
        return self.path[self.position - 1]

    # ---- Entries ----

    def find(self, key):
        entry = self.entries.get(key)
        if not entry or key in self.gone:
            return None
        if key not in self.seen and entry.expiry != (0, 0):
            self.seen.add(key)
            if self._is_expired(entry):
                self.gone.add(key)
                return None
        return entry

    def _is_expired(self, entry):
        called, answered = self.moment
        if answered < entry.expiry[0]:
            return False
        return called >= entry.expiry[1] or self.choose()

    def told_version(self, version):
        """Of a state: nothing that comes later is older."""
        if version < self.last:
            raise Contradiction
        self.last = version

    def narrowed(self, key, told):
        """The entry must be the one that a client was told of; None: it is missing."""
        entry = self.find(key)
        if told is None or entry is None:
            if told is not None or entry is not None:
                raise Contradiction
            return
        value, version, expiry = told
        if value != entry.value:
            raise Contradiction
        self.entries[key] = Entry(value, narrow(entry.version, version),
                                  narrow(entry.expiry, expiry))
        self.last = max(self.last, version)

    def written(self, version):
        """The bounds of the version of a change; `version` None: it was not told."""
        if version is None:
            return self.last + 1, UNKNOWN
        if version <= self.last:
            raise Contradiction
        for key, entry in self.entries.items():
            if entry.version[1] == UNKNOWN:
                self.entries[key] = entry._replace(version=(entry.version[0], version - 1))
        self.last = version
        return version, version

    def put(self, key, value, expiry, version):
        bounds = self.written(version)
        self.gone.discard(key)
        self.seen.add(key) if expiry == (0, 0) else self.seen.discard(key)
        self.entries[key] = Entry(value, bounds, expiry)
        return bounds

    def drop(self, key):
        self.entries.pop(key, None)

    def expiry(self, wanted, entry, otherwise=(0, 0)):
        if wanted is None:
            return otherwise
        if wanted[0] == "at":
            return wanted[1], wanted[1]
        if wanted[0] == "ttl":
            return self.moment[0] + wanted[1], self.moment[1] + wanted[1]
        return entry.expiry if entry else (0, 0)

    def holds(self, key, condition):
        entry = self.find(key)
        if condition is None:
            return True
        kind, wanted = condition
        if kind == "exists":
            return wanted == (entry is not None)
        if kind == "value":
            return entry is not None and entry.value == wanted
        if entry is None:
            return wanted == 0
        lowest, highest = entry.version
        if lowest == highest or not lowest <= wanted <= highest:
            return wanted == lowest == highest
        if not self.choose():
            return False
        self.entries[key] = entry._replace(version=(wanted, wanted))
        return True

    def require(self, key, condition, told):
        if self.holds(key, condition):
            return
        if is_refusal(told) and told[0][2] is not None:
            self.current(key, condition, told[0][2])
        raise Refused("CONDITION_NOT_MET")

    def current(self, key, condition, version):
        """The version that a refusal told."""
        entry = self.find(key)
        if condition == ("version", version):
            raise Contradiction
        bounds = narrow(entry.version if entry else (0, 0), version)
        if entry:
            self.entries[key] = entry._replace(version=bounds)
            self.last = max(self.last, version)

    # ---- Operations ----

    def do(self, operation, told):
        """Carries it out; Contradiction if the result cannot be the one that was told. Returns what
        is remembered of it, None where it was refused."""
        kind, *arguments = operation
        before = self.entries.copy(), self.last, self.gone.copy()
        try:
            answer = getattr(self, "_" + kind)(told, *arguments)
        except Refused as refused:
            if kind == "transact":
                self.entries, self.last, self.gone = before
            if told and told[0][:2] != ("refused", refused.reason):
                raise Contradiction from refused
            return None
        if kind != "once" and is_refusal(told):
            raise Contradiction
        return answer

    @staticmethod
    def _agree(told, result):
        if told and told[0] != result:
            raise Contradiction

    def _set(self, told, key, value):
        self._agree(told, None)
        self.put(key, value, (0, 0), None)

    def _delete(self, told, key):
        self._agree(told, self.find(key) is not None)
        if self.find(key):
            self.drop(key)

    def _get(self, told, key):
        entry = self.find(key)
        self._agree(told, entry and entry.value)

    def _scan(self, told, prefix, limit, keys_only):
        found = [(key, self.find(key).value) for key in sorted(self.entries)
                 if key.startswith(prefix) and self.find(key)]
        found = found[:limit] if limit else found
        self._agree(told, tuple(key for key, _ in found) if keys_only else tuple(found))

    def _read(self, told, key):
        if told:
            self.narrowed(key, told[0])

    def _list(self, told, prefix, descending, limit):
        found = [key for key in sorted(self.entries, reverse=descending)
                 if key.startswith(prefix) and self.find(key)]
        if not told:
            return
        version, listed = told[0]
        found = found[:limit] if limit else found
        if [key for key, *_ in listed] != found:
            raise Contradiction
        for key, *entry in listed:
            self.narrowed(key, tuple(entry))
        if version is not None:
            self.told_version(version)

    def _told_before(self, told, at, key, wanted):
        """The entry before a write, where the client asked for it."""
        if told and told[0][0] == "ok" and wanted:
            self.narrowed(key, told[0][at])

    @staticmethod
    def _version_in(told, at):
        return told[0][at] if told and told[0][0] == "ok" else None

    def _put(self, told, key, value, expiry, condition, previous):
        self.require(key, condition, told)
        self._told_before(told, 2, key, previous)
        entry = self.find(key)
        return "ok", self.put(key, value, self.expiry(expiry, entry),
                              self._version_in(told, 1)), None

    def _remove(self, told, key, condition, previous):
        self.require(key, condition, told)
        self._told_before(told, 3, key, previous)
        existed = self.find(key) is not None
        if told and told[0][0] == "ok" and (told[0][1] != existed or
                                            (told[0][2] != 0) != existed):
            raise Contradiction
        version = (0, 0)
        if existed:
            version = self.written(self._version_in(told, 2))
            self.drop(key)
        return "ok", existed, version, None

    def _add(self, told, key, delta, initial, expiry):
        entry = self.find(key)
        start = initial
        if entry:
            if not entry.value.lstrip("-").isdigit():
                raise Refused("NOT_AN_INTEGER")
            start = int(entry.value)
        number = start + delta
        if not -INTEGER_MAX - 1 <= number <= INTEGER_MAX:
            raise Refused("INTEGER_OVERFLOW")
        if told and told[0][:2] != ("ok", number):
            raise Contradiction
        kept = entry.expiry if entry else (0, 0)
        return "ok", number, self.put(key, str(number), self.expiry(expiry, entry, kept),
                                      self._version_in(told, 2))

    def _expire(self, told, key, expiry, condition):
        self.require(key, condition, told)
        entry = self.find(key)
        if not entry:
            raise Refused("KEY_NOT_FOUND")
        return "ok", self.put(key, entry.value, self.expiry(expiry, entry),
                              self._version_in(told, 1))

    def _transact(self, told, comparisons, success, failure):
        succeeded = all([self.holds(key, condition) for key, condition in comparisons])
        known = told and told[0][0] == "ok"
        if known and told[0][1] != succeeded:
            raise Contradiction
        operations = success if succeeded else failure
        if known and len(told[0][3]) != len(operations):
            raise Contradiction
        for number, operation in enumerate(operations):
            self._within(operation, (told[0][3][number],) if known else None)
        if known:
            self.told_version(told[0][2])
        return "ok", succeeded, None, None

    def _within(self, operation, told):
        """One that fails makes the transaction fail."""
        kind, *arguments = operation
        getattr(self, "_" + kind)(told, *arguments)

    def _once(self, told, request_id, operation):
        first = self.remembered.get(request_id)
        if first is None:
            answer = self.do(operation, told)
            if answer is not None:
                self.remembered[request_id] = answer
            return answer
        if told:
            if len(told[0]) != len(first) or told[0][0] != "ok":
                raise Contradiction
            for was, now in zip(first, told[0]):
                if isinstance(was, tuple):
                    narrow(was, now)
                elif was is not None and was != now:
                    raise Contradiction
        return first
