"""What clients may find after a crash: histories of writes and their check.

A server commits writes in one order, and a crash removes a suffix of that order, never something
from its middle. So for one client that sends each write only after the last was answered, the state
found must be that after some number of its writes, at least those that the mode promised to keep.
For several concurrent clients this must hold for each, and for all together the state must be a
consistent cut: if it contains a write, it contains everything that had been answered when that
write was sent."""


class Sequential:
    """The history of one client that makes one call at a time. A write is an atomic list of (key,
    value) pairs; a value of None deletes the key. Other threads may call `floor` and `accepts`
    meanwhile."""

    def __init__(self, base=None):
        self.base = dict(base or {})  # the state before the first write
        self.writes = []
        self.acknowledged = 0  # of `writes`; the next one, if any, is in doubt
        self.observed = 0  # of `writes`: as far as someone has read their effects
        self._needs = []  # of each write: what was known of the other clients when it was sent
        self._of_key = {}  # key -> [(number of the write, value), ...]

    def begin(self, pairs, needs=()):
        """Call this before the write is sent."""
        self.begin_steps([pairs], needs)

    def begin_steps(self, steps, needs=()):
        """The same for a call that makes several writes, one after another."""
        assert len(self.writes) == self.acknowledged, "the last write is still in doubt"
        for pairs in steps:
            for key, value in pairs:
                self._values(key).append((len(self.writes) + 1, value))
            self._needs.append(needs)
            self.writes.append(list(pairs))

    def acknowledge(self):
        """All that has begun."""
        self.acknowledged = len(self.writes)

    def reject(self):
        """The server answered that nothing was changed."""
        for key, _ in self.writes.pop():
            self._values(key).pop()
        self._needs.pop()

    def floor(self):
        """How many writes have been answered or seen: none of them may be missing if the mode keeps
        writes."""
        return max(self.acknowledged, self.observed)

    def latest(self, key):
        """The value that the last write gave the key; None when there is none."""
        return self._values(key)[-1][1]

    def before(self, key):
        """Its value before the write that has begun last."""
        values = self._values(key)
        is_written = values[-1][0] == len(self.writes) > self.acknowledged
        return values[-2 if is_written else -1][1]

    def states(self):
        """The state after 0, 1, 2, ... writes; the same dictionary each time."""
        state = dict(self.base)
        yield state
        for pairs in self.writes:
            for key, value in pairs:
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
            yield state

    def check(self, found, kept):
        """None if `found`, a dictionary, is a possible state given that the first `kept` writes are
        promised; otherwise what is wrong with it."""
        if any(count >= kept for count in self._matching(found)):
            return None
        return self._complaint(found, kept)

    def accepts(self, key, value, floor):
        """Whether a read that was sent when the floor was `floor`, and is answered now, may have
        found the value. If so, the read raises the floor."""
        values = self._values(key)[:]
        oldest = max(index for index, (number, _) in enumerate(values) if number <= floor)
        for number, written in values[oldest:]:
            if written == value:
                self.observed = max(self.observed, number)
                return True
        return False

    def has_written(self, key, value):
        """Whether the key has had the value, or may have."""
        return any(written == value for _, written in self._values(key))

    def _values(self, key):
        return self._of_key.setdefault(key, [(0, self.base.get(key))])

    def _matching(self, found):
        return [count for count, state in enumerate(self.states()) if state == found]

    def _complaint(self, found, kept):
        matching = self._matching(found)
        if matching:
            return f"only the first {matching[-1]} writes are there, {kept} were promised"
        state = next(dict(state) for count, state in enumerate(self.states()) if count == kept)
        lost = {key for key, value in state.items() if found.get(key) != value}
        strange = {key for key in found if found[key] != state.get(key)}
        return (f"what is there is no state that ever was; against the {kept} writes promised: "
                f"missing or different {sorted(lost)[:5]}, strange {sorted(strange)[:5]}")


class Clients:
    """Several sequential clients, each with its own keys, which begin with its number and a
    slash."""

    def __init__(self, count):
        self.histories = [Sequential() for _ in range(count)]

    def begin(self, client, pairs):
        self.begin_steps(client, [pairs])

    def begin_steps(self, client, steps):
        self.histories[client].begin_steps(steps, self.floors())

    def floors(self):
        return [history.floor() for history in self.histories]

    def of_key(self, key):
        return self.histories[int(key.split("/", 1)[0])]

    def check(self, found, kept):
        """None when `found`, all that a restarted server holds, is a consistent cut with at least
        the first `kept` writes of each client; otherwise what is wrong with it."""
        parts = self._split(found)
        choices, counts = [], []
        for client, (history, part) in enumerate(zip(self.histories, parts)):
            error = history.check(part, kept[client])
            if error:
                return f"client {client}: {error}"
            choices.append(history._matching(part))
            counts.append(kept[client])
        return self._raise_to_cut(choices, counts)

    def rebase(self, found):
        """The histories continue from what was found."""
        self.histories = [Sequential(part) for part in self._split(found)]

    def _split(self, found):
        parts = [{} for _ in self.histories]
        for key, value in found.items():
            parts[int(key.split("/", 1)[0])][key] = value
        return parts

    def _raise_to_cut(self, choices, counts):
        """The lowest counts that match what was found and depend on nothing that is missing.
        Dependencies only grow with the counts, so raising the counts that fall short ends at the
        lowest cut or shows that there is none."""
        settled = False
        while not settled:
            settled = True
            for client, history in enumerate(self.histories):
                needed = counts[client]
                for other, count in zip(self.histories, counts):
                    if count > 0 and other._needs[count - 1]:
                        needed = max(needed, other._needs[count - 1][client])
                possible = [count for count in choices[client] if count >= needed]
                if not possible:
                    return (f"no consistent cut: of client {client} at most {choices[client][-1]} "
                            f"writes are there, but {needed} had been answered or read when a "
                            f"write that is there was sent")
                if possible[0] != counts[client]:
                    counts[client], settled = possible[0], False
        return None
