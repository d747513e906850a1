"""What a client may expect to find after a crash: histories of writes, and their check.

A server commits writes in one order and a crash takes an end of that order away, never something
from its middle. So for one client that sends a write only after the last was answered, what is found
must be the state after some number of its writes, and at least after those that the mode promised
to keep."""


class Sequential:
    """The history of one client that writes one thing at a time. A write is a list of (key, value)
    pairs that belong together; a value of None deletes the key."""

    def __init__(self):
        self.writes = []
        self.acknowledged = 0  # of `writes`; the next one, if any, is in doubt

    def begin(self, pairs):
        """To be called before the write is sent."""
        assert len(self.writes) == self.acknowledged, "the last write is still in doubt"
        self.writes.append(list(pairs))

    def acknowledge(self):
        self.acknowledged += 1

    def reject(self):
        """The server answered that nothing was changed."""
        self.writes.pop()

    def states(self):
        """The state after 0, 1, 2, ... writes; the same dictionary each time."""
        state = {}
        yield state
        for pairs in self.writes:
            for key, value in pairs:
                if value is None:
                    state.pop(key, None)
                else:
                    state[key] = value
            yield state

    def check(self, found, kept):
        """None when `found`, a dictionary, is a state that may be found if the first `kept` writes
        are promised to be there; otherwise what is wrong with it."""
        state = {}
        for count, state in enumerate(self.states()):
            if count >= kept and state == found:
                return None
        for count, state in enumerate(self.states()):
            if state == found:
                return f"only the first {count} writes are there, {kept} were promised"
            if count == kept:
                break
        lost = {key for key, value in state.items() if found.get(key) != value}
        strange = {key for key in found if found[key] != state.get(key)}
        return (f"what is there is no state that ever was; against the {kept} writes promised: "
                f"missing or different {sorted(lost)[:5]}, strange {sorted(strange)[:5]}")
