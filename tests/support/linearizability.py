"""Whether one store that does one thing at a time can explain what concurrent clients saw.

A window is a span of time that begins and ends with nothing in flight. Each client's part is a list
of steps in the order in which they must have happened. A step takes effect at one
instant between the moment it was invoked and the moment it returned; one in doubt (the server
died) takes effect at some instant after it was invoked, or never.

The search goes forward from the states possible at the window's beginning: at each point any
client's next step may come next, unless another step returned before it was invoked. Each pair of
point and state is tried once. The answer is the set
of states possible at the end, empty when there is no explanation.

A state is a sorted tuple of (key, value) pairs. An operation is one of

  ("set", key, value)                 result None
  ("delete", key)                     result: whether the key existed
  ("get", key)                        result: the value, or None
  ("scan", prefix, limit, keys_only)  result: keys or (key, value) pairs; limit 0: none
"""
import dataclasses
import math

IN_DOUBT = math.inf
EMPTY = ()


@dataclasses.dataclass
class Step:
    """Operations that take effect together, in their order."""
    operations: tuple
    invoked: float
    returned: float = IN_DOUBT
    results: tuple = None  # None: not known

    def answer(self, returned, results):
        self.returned, self.results = returned, tuple(results)

    def apply(self, state):
        """The state after it; None if the results cannot have come from this state."""
        contents = dict(state)
        for number, operation in enumerate(self.operations):
            result = _do(contents, *operation)
            if self.results is not None and self.results[number] != result:
                return None
        return tuple(sorted(contents.items()))

    def known_at(self, moment):
        """The step as known at a moment: before it returned, its results were unknown."""
        return self if self.returned <= moment else Step(self.operations, self.invoked)

    def __str__(self):
        if self.results is None:
            return "; ".join(f"{operation} -> ?" for operation in self.operations)
        return "; ".join(f"{operation} -> {result}"
                         for operation, result in zip(self.operations, self.results))


def _do(contents, kind, key, *arguments):
    if kind == "set":
        contents[key] = arguments[0]
        return None
    if kind == "delete":
        return contents.pop(key, None) is not None
    if kind == "get":
        return contents.get(key)
    limit, keys_only = arguments  # scan; the key is its prefix
    found = [(name, value) for name, value in sorted(contents.items()) if name.startswith(key)]
    found = found[:limit] if limit else found
    return tuple(name for name, _ in found) if keys_only else tuple(found)


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
                after = step.apply(state)
                if after is not None:
                    advanced = (*positions[:client], positions[client] + 1, *positions[client + 1:])
                    waiting.append((advanced, after))
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
            if all(kind in ("get", "scan") for kind, *_ in step.operations):
                index = next(at for at, other in enumerate(steps) if other is step)
                del steps[index]
                if final_states(clients, states):
                    steps.insert(index, step)
