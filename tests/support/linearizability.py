"""Whether one store that does one thing at a time can explain what concurrent clients saw.

A window is a span of time that begins and ends with nothing in flight. Each client's part is a list
of steps in the order in which they must have happened. A step takes effect at one
instant between the moment it was invoked and the moment it returned; one in doubt (the server
died) takes effect at some instant after it was invoked, or never.

The search goes forward from the states possible at the window's beginning: at each point any
client's next step may come next, unless another step returned before it was invoked. Each pair of
point and state is tried once. The answer is the set
of states possible at the end, empty when there is no explanation.

States and operations are those of entries.py."""
import dataclasses
import math

from entries import outcomes

IN_DOUBT = math.inf
READS = ("get", "scan", "read", "list")


@dataclasses.dataclass
class Step:
    """Operations that take effect together, in their order."""
    operations: tuple
    invoked: float
    returned: float = IN_DOUBT
    results: tuple = None  # None: not known
    called_ms: int = 0  # Unix time, which expiries are judged by
    answered_ms: float = IN_DOUBT

    def answer(self, returned, results, answered_ms=IN_DOUBT):
        self.returned, self.results, self.answered_ms = returned, tuple(results), answered_ms

    def apply(self, state):
        """The states that may follow; none if the results cannot have come from this state."""
        return set(outcomes(state, self.operations, self.results,
                            (self.called_ms, self.answered_ms)))

    def known_at(self, moment):
        """The step as known at a moment: before it returned, its results were unknown."""
        if self.returned <= moment:
            return self
        return Step(self.operations, self.invoked, called_ms=self.called_ms)

    def __str__(self):
        if self.results is None:
            return "; ".join(f"{operation} -> ?" for operation in self.operations)
        return "; ".join(f"{operation} -> {result}"
                         for operation, result in zip(self.operations, self.results))


def final_states(clients, states):
    """`clients`: a list of lists of steps. `states`: those possible before. The states possible
    after."""
    ends, seen = set(), set()
    waiting = [(tuple(0 for _ in clients), state) for state in states]
    while waiting:
        point = waiting.pop()
        if point in seen:
            continue
        seen.add(point)
        positions, state = point
        next_steps = [steps[position] if position < len(steps) else None
                      for steps, position in zip(clients, positions)]
        # Of one client's steps, the next one returns first.
        first_return = min((step.returned for step in next_steps if step), default=IN_DOUBT)
        if first_return == IN_DOUBT:
            ends.add(state)
        for client, step in enumerate(next_steps):
            if step and step.invoked <= first_return:
                advanced = (*positions[:client], positions[client] + 1, *positions[client + 1:])
                waiting += [(advanced, after) for after in step.apply(state)]
    return ends


def shortest_failure(clients, states):
    """For a window without explanation: a part that has none either, as (client, step) in order of
    invocation. It contains everything up to the first return that cannot be explained, with steps
    that had not returned by then in doubt, and without irrelevant reads."""
    moments = sorted(step.returned for steps in clients for step in steps
                     if step.returned != IN_DOUBT)
    for moment in moments:
        part = [[step.known_at(moment) for step in steps if step.invoked <= moment]
                for steps in clients]
        if not final_states(part, states):
            without_idle_reads(part, states)
            return sorted(((client, step) for client, steps in enumerate(part) for step in steps),
                          key=lambda pair: pair[1].invoked)
    return []


def without_idle_reads(clients, states):
    """Removes each read without which there is still no explanation."""
    for steps in clients:
        for step in steps[:]:
            if all(kind in READS for kind, *_ in step.operations):
                index = next(at for at, other in enumerate(steps) if other is step)
                del steps[index]
                if final_states(clients, states):
                    steps.insert(index, step)
