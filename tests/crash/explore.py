"""Rebuilds the states that a crash could have left at any moment of a recording, and starts on
them."""
import os
import random
import shutil
import traceback
from dataclasses import dataclass, field

import trace as t
from disk import Disk, State, Write
from probe import PROBE, Place, look
from promise import POWER, PROCESS, Promise, freeze
from recording import Recording, is_log
from workloads import WORKLOADS

ACTIVE = "data/ACTIVE"
# Passes over a recording end after so many in a row without anything new.
BARREN_PASSES_MAX = 2
FAILURES_KEPT = 3
# Roughly how many new states a moment may contribute in a pass.
STATES_PER_CUT = 6
NAME_EVENTS = (t.CREATE, t.RENAME, t.UNLINK, t.MKDIR, t.RMDIR)
NAME_WEIGHT = 4
# Every so many states that start well are also used further.
AGAIN_EVERY = 10
NESTED_EVERY = 40


@dataclass
class Result:
    workload: str
    states: int = 0  # distinct ones, each of which a server was started on
    checks: int = 0  # checks of a state against the promises of a moment
    again: int = 0  # second recoveries, after one more write
    nested: int = 0  # states left by crashes of recoveries
    cuts: int = 0
    failures: list = field(default_factory=list)


# ---- Which operations are done in a state ----

def _choose_all(_operation):
    return True


def _choose_none(_operation):
    return False


def systematic(pending, random_state):
    """All but one, one alone, entries without data and the reverse, in the order they were done."""
    entries = {op.serial for op in pending if not hasattr(op, "apply_torn")}
    every = {op.serial: True for op in pending}
    yield {serial: True for serial in entries}
    yield {serial: True for serial in every if serial not in entries}
    sample = pending if len(pending) <= 8 else random_state.sample(pending, 8)
    for operation in sample:
        yield {**every, operation.serial: False}
        yield {operation.serial: True}
        yield {serial: True for serial in every if serial <= operation.serial}
        if isinstance(operation, Write):
            yield {**every, operation.serial: "torn"}
            yield {operation.serial: "torn"}


def at_random(pending, random_state):
    likely, tear = random_state.choice((0.2, 0.5, 0.8)), random_state.choice((0, 0.4, 0.8))
    chosen = {}
    for operation in pending:
        if random_state.random() < likely:
            torn = hasattr(operation, "apply_torn") and random_state.random() < tear
            chosen[operation.serial] = "torn" if torn else True
    return chosen


def chooser(chosen, seed):
    def choose(operation):
        choice = chosen.get(operation.serial, False)
        return random.Random(f"{seed}/{operation.serial}") if choice == "torn" else choice
    return choose


# ---- Trying them ----

class Explorer:
    """One recording, its states, and what was found. `budget` limits the distinct states beyond
    the extreme ones, which are all tried."""

    def __init__(self, name, seed, budget, recorder, folder, keep):
        self._name, self._seed, self._budget = name, f"{seed}/{name}", budget
        self._recorder = recorder
        self._limit = float("inf")
        self._folder, self._keep = folder, keep
        self._place = Place(os.path.join(folder, "try"))
        self._outcomes = {}
        self.result = Result(name)

    def explore(self, recording):
        trace = t.Trace(recording.trace_path)
        self._root, self._events = recording.disk, trace.events
        self._promise = Promise(recording, trace)
        self._check_complete(recording.disk)
        self.result.cuts = len(self._events)
        number = barren = 0
        while barren < BARREN_PASSES_MAX and not self._spent():
            before = self.result.states
            self._pass(number)
            if number == 0:
                self._limit = self.result.states + self._budget
            number += 1
            barren = barren + 1 if self.result.states == before else 0

    def _spent(self):
        return self.result.states >= self._limit

    def _check_complete(self, folder):
        """The trace is complete: it leads to exactly the content of the real directory."""
        disk = Disk(self._root)
        for event in self._events:
            disk.take(event)
        if disk.state(_choose_all).tree != State.read(folder).tree:
            raise AssertionError("the recorder has missed an operation: what the trace leads to is "
                                 "not what is in the directory")

    def _pass(self, number):
        """One pass through all moments: first the extreme states and batches that lack their end, then
        systematic choices, then random ones."""
        disk = Disk(self._root)
        likely = self._budget / (len(self._events) * STATES_PER_CUT) if number == 1 else 1
        for cut, event in enumerate(self._events, 1):
            random_state = random.Random(f"{self._seed}/{number}/{cut}")
            # Operations on names are rarer than writes, and do more damage.
            weight = NAME_WEIGHT if event.kind in NAME_EVENTS else 1
            if number > 0 and random_state.random() > likely * weight:
                disk.take(event)
                continue
            if number == 0 and event.kind == t.WRITE and is_log(event.path):
                # Of what is written at once, all but the last record is whole.
                self._partial_write(disk, event, cut, len(event.data) - 1)
            if number == 1 and event.kind == t.WRITE and not self._spent():
                self._partial_write(disk, event, cut,
                                    random_state.randrange(1, max(2, len(event.data))))
            disk.take(event)
            if event.kind == t.SYNC_BEGIN:
                continue
            if self._spent() and number > 0:
                return
            if number == 0:
                self._try(disk, _choose_all, cut, PROCESS, "all that was issued")
                self._try(disk, _choose_none, cut, POWER, "only what was synced")
            elif number == 1:
                for choice in systematic(disk.pending(), random_state):
                    self._choose(disk, choice, cut, number)
            elif event.kind != t.SEND:
                self._choose(disk, at_random(disk.pending(), random_state), cut, number)

    def _choose(self, disk, choice, cut, number):
        if not self._spent():
            choose = chooser(choice, f"{self._seed}/{number}/{cut}")
            self._try(disk, choose, cut, POWER, f"pass {number}: {choice}")

    def _partial_write(self, disk, event, cut, size):
        """The process dies during a write: only its beginning is there."""
        if len(event.data) < 2:
            return
        tree = dict(disk.state(_choose_all).tree)
        path = os.path.relpath(event.path, self._root)
        content = bytearray(tree[path])
        Write(0, event.a, event.data[:size]).apply(content)
        tree[path] = bytes(content)
        self._try_state(State(tree), cut - 1, PROCESS, f"{size} bytes of the next write")

    def _try(self, disk, choose, cut, kind, what):
        self._try_state(disk.state(choose), cut, kind, what)

    def _try_state(self, state, cut, kind, what):
        digest = state.digest()
        active = state.tree.get(ACTIVE)
        expected = self._promise.expected(cut, kind, active)
        outcome = self._outcomes.get(digest)
        if outcome is None:
            self._place.put(state)
            outcome = look(self._place.folder, requests=[
                request for _, *request, _ in self._promise.requests])
            self._outcomes[digest] = outcome
            self.result.states += 1
            if expected.check(outcome) is None:
                self._go_on(state, expected, cut, kind, what)
        self.result.checks += 1
        fault = expected.check(outcome)
        if fault:
            self._fail(state, cut, kind, what, fault, outcome)

    def _go_on(self, state, expected, cut, kind, what):
        """For a sample: recovers a second time after one more write, and from crashes during a
        recovery."""
        if self.result.states % AGAIN_EVERY == 0:
            self._recover_again(state, cut, kind, what)
        if self.result.states % NESTED_EVERY == 0:
            self._crash_recovery(state, expected, cut, kind, what)

    def _recover_again(self, state, cut, kind, what):
        """The server acknowledges one more write and dies; in modes with a log the next start has
        it, too."""
        self._place.put(state)
        first = look(self._place.folder, write=True)
        second = look(self._place.folder)
        state_then = dict(first.state)
        if first.plugin in ("aof", "hybrid", "encrypt"):
            state_then[PROBE[0]] = first.written
        self.result.again += 1
        if second.refused or second.state != freeze(state_then):
            self._fail(state, cut, kind, what, "the start after the next one, with one more write, "
                       "has not what the first one had and the write", second)

    def _crash_recovery(self, state, expected, cut, kind, what):
        """Crashes at each moment of a recovery: all promises still hold."""
        self._place.put(state)
        path = os.path.join(self._place.folder, "trace")
        root = os.path.join(self._place.folder, "disk")
        look(self._place.folder, LD_PRELOAD=self._recorder, CRASH_RECORDER_ROOT=root,
             CRASH_RECORDER_TRACE=path)
        events = t.Trace(path).events
        disk, tried = Disk(root, state.tree), set()
        for index, event in enumerate(events):
            disk.take(event)
            chosen = at_random(disk.pending(), random.Random(f"{self._seed}/{cut}/{index}"))
            for choose in (_choose_all, _choose_none, chooser(chosen, f"{self._seed}/{index}")):
                nested = disk.state(choose)
                if nested.digest() in tried:
                    continue
                tried.add(nested.digest())
                self._place.put(nested)
                outcome = look(self._place.folder)
                self.result.nested += 1
                fault = expected.check(outcome)
                if fault:
                    self._fail(nested, cut, kind, f"{what}; then another one after event {index} "
                               "of the recovery", fault, outcome)

    def _fail(self, state, cut, kind, what, fault, outcome):
        text = (f"{self._name}: crash of the {kind} after event {cut} of the trace "
                f"({what}): {fault}")
        if len(self.result.failures) < FAILURES_KEPT:
            place = os.path.join(self._keep, f"{self._name.replace(' ', '_')}-{cut}")
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(os.path.join(place, "disk"))
            state.write(os.path.join(place, "disk"))
            with open(os.path.join(place, "log"), "w", encoding="utf-8") as file:
                file.write(f"{text}\n{outcome.log}")
            text += f"; the directory is kept in {place}/disk/data"
        self.result.failures.append(text)


def run_workload(name, seed, budget, recorder, folder, keep):
    """Everything for one workload, in a process of its own."""
    folder = os.path.join(folder, str(list(WORKLOADS).index(name)))
    os.makedirs(folder)
    explorer = Explorer(name, seed, budget, recorder, folder, keep)
    recording = None
    try:
        recording = Recording(folder, recorder, f"{seed}/{name}", sync_us=1500)
        WORKLOADS[name](recording)
        explorer.explore(recording)
    except Exception:  # whatever it is, the other workloads go on
        explorer.result.failures.append(f"{name}: {traceback.format_exc()}")
    finally:
        if recording:
            recording.abandon()
        shutil.rmtree(folder, ignore_errors=True)
    return explorer.result
