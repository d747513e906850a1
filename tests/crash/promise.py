"""What must be found after a crash at any moment of a recording.

There are two kinds of crash: of the process alone (PROCESS), after which everything that was issued
is there, and of the machine (POWER), after which only what was synced is certain."""
import os
from bisect import bisect_right
from dataclasses import dataclass, field

import trace as t
from recording import MARK_SIZE, is_log

PROCESS, POWER = "process", "power"
NEVER = 1 << 60


@dataclass
class Mode:
    """A record of the active mode: the cuts from which it exists and is durable."""
    plugin: str
    options: dict
    generation: int
    written: int
    durable: int = NEVER
    acknowledged: int = NEVER
    floor: int = 0  # writes that were acknowledged before the switch was requested

    @property
    def keeps_log(self):
        return self.plugin in ("aof", "hybrid", "encrypt")

    @property
    def policy(self):
        """When writes are synced."""
        options = self.options
        if self.plugin == "encrypt":
            options = dict(item.split("=", 1) for item in options["inner_options"].split(","))
        return options["fsync"]


@dataclass
class WriteCall:
    sent: int
    acknowledged: int
    kept: dict  # kind of crash -> the cut from which the write must be there


def parse_active(text):
    fields = dict(line.split("=", 1) for line in text.decode().splitlines())
    options = {name[len("option."):]: value for name, value in fields.items()
               if name.startswith("option.")}
    return fields["plugin"], options, int(fields["generation"])


def freeze(pairs):
    """A state that can be compared and hashed."""
    return frozenset(dict(pairs).items())


def shown(entry):
    return entry and f"version {entry.version} with {entry.value[:12]}"


class Promise:
    def __init__(self, recording, trace):
        self._trace = trace
        self._modes = self._find_modes()
        self._writes = []
        self._states = [freeze({})]
        self._changes = []  # the pairs of each write
        self.requests = []  # (number of the write, method, request, version answered)
        self._floors = []  # (cut, count): from the cut on the first `count` writes are kept
        self._follow(recording)

    # ---- Taking in ----

    def _find_modes(self):
        modes, text, directory_syncs = [], b"", {}
        for index, event in enumerate(self._trace.events):
            if event.kind == t.WRITE and event.path.endswith("/ACTIVE.tmp"):
                text = event.data
            elif event.kind == t.RENAME and event.second_path.endswith("/ACTIVE"):
                modes.append(Mode(*parse_active(text), written=index + 1))
                directory = os.path.dirname(event.second_path)
                directory_syncs = {}
            elif modes and event.kind == t.SYNC_BEGIN and event.path == directory:
                directory_syncs[event.a] = True
            elif modes and event.kind == t.SYNC_END and event.a in directory_syncs:
                modes[-1].durable = min(modes[-1].durable, index + 1)
        return modes

    def _follow(self, recording):
        replies = self._trace.replies()
        starts = [index for index, event in enumerate(self._trace.events) if event.kind == t.START]
        self._check_replies(recording, replies)
        state, modes, run = {}, iter(self._modes), -1
        next(modes).acknowledged = starts[0] + 1
        for call in recording.calls:
            if call.run != run:
                run = call.run
                if run in recording.cleared:
                    state = {}
                    self._add(WriteCall(starts[run], starts[run], {}), state)
                    self._changes.append([])
            if call.what == "other":
                continue
            sent = self._trace.cut_at_size(call.sent_size)
            acknowledged = replies[call.run][call.connection][call.number]
            if call.what == "write":
                for pairs in call.steps:
                    for key, value in pairs:
                        state.pop(key, None)
                        if value is not None:
                            state[key] = value
                    self._add(self._write(sent, acknowledged, call.synced), state)
                    self._changes.append(pairs)
                if call.repeatable:
                    self.requests.append((len(self._writes), *call.repeatable))
            elif call.what in ("save", "durable"):
                self._floors.append((acknowledged, self._acknowledged(sent)))
            elif call.what == "configure":
                mode = next(modes)
                mode.acknowledged, mode.floor = acknowledged, self._acknowledged(sent)
        if next(modes, None):
            raise AssertionError("the mode was recorded without having been configured")
        for size in recording.stops:
            cut = self._trace.cut_at_size(size)
            if self._mode_at(cut).plugin != "none":
                self._floors.append((cut, self._acknowledged(cut)))

    @staticmethod
    def _check_replies(recording, replies):
        """Each call has its reply in the trace, except for a last one that changed nothing: the
        kill may have come before its entry."""
        answered = {(call.run, call.connection): (call.number + 1, call.what)
                    for call in recording.calls}
        for (run, connection), (count, last) in answered.items():
            found = len(replies[run][connection]) if connection < len(replies[run]) else 0
            if count != found and not (count == found + 1 and last == "other"):
                raise AssertionError(f"{count} calls were made on connection {connection} of run "
                                     f"{run}, and the trace has {found} replies: does the "
                                     "recorder know all calls by which the server sends?")

    def _add(self, write, state):
        self._writes.append(write)
        self._states.append(freeze(state))

    def _acknowledged(self, cut):
        return sum(write.acknowledged <= cut for write in self._writes)

    def _mode_at(self, cut):
        return self._modes[bisect_right([mode.written for mode in self._modes], cut) - 1]

    def _write(self, sent, acknowledged, synced):
        mode = self._mode_at(acknowledged)
        kept = {}
        if mode.keeps_log:
            kept[PROCESS] = acknowledged
            kept[POWER] = (acknowledged if mode.policy == "always" or synced
                           else max(acknowledged, self._synced(mode, sent, acknowledged)))
        return WriteCall(sent, acknowledged, kept)

    def _synced(self, mode, sent, acknowledged):
        """The end of the first sync of the active log that covers what was written in between."""
        events, last = self._trace.events, None
        for index in range(sent, acknowledged):
            event = events[index]
            if (event.kind == t.WRITE and is_log(event.path) and len(event.data) != MARK_SIZE and
                    f"/gen-{mode.generation:06d}/" in event.path):
                last = index
        if last is None:
            return NEVER
        begun = set()
        for index in range(last + 1, len(events)):
            event = events[index]
            if event.kind == t.START:
                return NEVER
            if event.kind == t.SYNC_BEGIN and event.path == events[last].path:
                begun.add(event.a)
            elif event.kind == t.SYNC_END and event.a in begun:
                return index + 1
        return NEVER

    # ---- Answers ----

    def expected(self, cut, kind, active):
        """What a server may show when started on a state of this cut in which ACTIVE has this text
        (None: is missing)."""
        if active is None:
            late = any(mode.durable <= cut for mode in self._modes)
            return Expected(None, [], [self._states[0]], "the record of the mode is lost"
                            if late else None)
        plugin, options, generation = parse_active(active)
        found = [index for index, mode in enumerate(self._modes) if mode.generation == generation]
        mode = self._modes[found[0]]
        fault = None
        if any(later.acknowledged <= cut for later in self._modes[found[0] + 1:]):
            fault = f"a later mode than {plugin} of generation {generation} was acknowledged"
        if plugin == "none":
            return Expected(mode, self._states, [self._states[0]], fault, requests=self.requests,
                            changes=self._changes)
        floor = max([self._floor(cut, kind), *(earlier.floor for earlier in
                                               self._modes[:found[0] + 1])])
        limit = sum(write.sent <= cut for write in self._writes)
        return Expected(mode, self._states, self._states[floor:limit + 1], fault, floor, limit,
                        self.requests, self._changes)

    def _floor(self, cut, kind):
        floor = max([count for since, count in self._floors if since <= cut], default=0)
        for index, write in enumerate(self._writes):
            if write.kept.get(kind, NEVER) <= cut:
                floor = max(floor, index + 1)
        return floor


@dataclass
class Expected:
    mode: Mode  # None: a first start
    history: list
    states: list
    fault: str  # wrong whatever the server serves
    floor: int = 0
    limit: int = 0
    requests: list = field(default_factory=list)
    changes: list = field(default_factory=list)

    def _check_told(self, outcome):
        """What a watch is told from the lowest version on leads to what is there, and has each write
        that is there. Those that the server made itself, as it deletes what expires, are in between."""
        last = {}
        for version, (key, entry) in outcome.told.items():
            last[key] = entry
        there = dict(outcome.state)
        for key, entry in last.items():
            if there.get(key) != entry:
                return f"the watch was told {shown(entry)} of {key[:20]}; it is {shown(there.get(key))}"
        for key, entry in there.items():
            if entry.version >= outcome.lowest and key not in last:
                return f"the watch was not told of {key[:20]}, {shown(entry)}"
        count = self.floor + self.states.index(outcome.state)
        for number, pairs in enumerate(self.changes[:count], 1):
            for key, entry in pairs:
                if entry and outcome.lowest <= entry.version and (
                        outcome.told.get(entry.version) != (key, entry)):
                    return (f"the watch was not told of write {number}, {shown(entry)} of {key[:20]}, but "
                            f"{outcome.told.get(entry.version)}")
        return None

    def _check_repeated(self, outcome):
        """A request whose write is there has its first answer; any other is carried out now."""
        count = self.floor + self.states.index(outcome.state)
        for (number, method, request, first), version in zip(self.requests, outcome.repeated):
            if number <= count and version != first:
                return (f"write {number} is there as version {first}, and its repetition, a "
                        f"{method}, was answered version {version}")
            if number > count and version <= outcome.version:
                return (f"write {number} is not there, and its repetition, a {method}, was answered "
                        f"version {version} as if it were; the store had version {outcome.version}")
        return None

    def check(self, outcome):
        """None, or what is wrong with it."""
        if self.fault:
            return self.fault
        if outcome.refused:
            return f"the server does not start: {outcome.log.splitlines()[-1:]}"
        if self.mode and (outcome.plugin, outcome.options, outcome.generation) != (
                self.mode.plugin, self.mode.options, self.mode.generation):
            return (f"it came back as {outcome.plugin} {outcome.options} of generation "
                    f"{outcome.generation} instead of {self.mode}")
        if outcome.state in self.states:
            return self._check_repeated(outcome) or self._check_told(outcome)
        if outcome.state in self.history:
            return (f"it has the first {self.history.index(outcome.state)} writes; promised are at "
                    f"least {self.floor}, begun were {self.limit}")
        return (f"what it shows, {len(outcome.state)} keys, is no state that ever was: "
                f"{sorted((key[:20], shown(entry)) for key, entry in outcome.state)[:6]}")
