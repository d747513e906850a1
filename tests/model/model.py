"""Random clients against the real server, checked with a model: one store that does one thing at a
time.

A scenario is the life of one data directory in rounds. In a round, concurrent clients do sets,
deletes and reads on few keys, in the frozen service and in kvstore.v1, there also batches, scans,
increments, transactions, conditions, expiries and requests that they repeat, while an administrator
saves and switches modes. A round ends quietly, with an orderly stop or with kill -9, the latter two
possibly in the middle. What all clients saw in a round must have an explanation (see linearizability.py) from the states
that were possible before it, across restarts too: an orderly stop loses nothing except in mode
none, nor does a kill in a durable mode. In other modes the kill comes when no call is in flight,
and in mode snapshot right after a Save. A request with a request_id that was not answered is sent
again after a restart. Watchers follow all changes, over restarts too, and what they are told must be
what happened (see told.py). The seed determines all requests but for the times of expiry, and not
their timing."""
import collections
import os
import shutil
import tempfile
import threading
import traceback

import grpc

import harness
from client import Client, Violation, unix_ms
from entries import EMPTY, without_expired
from generator import KEYS_ALL, LARGE_KEY, LIST_ALL, Generator
from harness import PATIENCE
from linearizability import final_states, shortest_failure
from recorded import DURABLE, Recorded
from watchers import Watchers

CLIENTS = 4
QUIET, STOP, KILL = "quiet", "stop", "kill"
ENDINGS = (QUIET,) * 8 + (STOP, KILL)


class Scenario:
    """The life of one data directory."""

    def __init__(self, seed):
        self.folder = tempfile.mkdtemp(prefix="kvstore-model-")
        self.generator = Generator(seed, self.folder)
        self.rng = self.generator.rng
        self.data = os.path.join(self.folder, "data")
        self.counts = collections.Counter()
        self.states = {EMPTY}
        self.server = self.recorded = None
        self.watchers, self.unchecked = None, []  # steps that the watchers were not compared with
        self.ending = False  # calls may fail from here on
        self.errors = []
        self.logs = []

    def run(self, rounds):
        """None, or the text of a failure."""
        number = 0
        try:
            options = self.generator.options(self.generator.mode)
            self._start(mode=self.generator.mode,
                        options=[f"{name}={value}" for name, value in options.items()])
            self.recorded = Recorded(self.server.status())
            self._watch_anew()
            self._ask(self.generator.set(LARGE_KEY))
            for number in range(rounds):
                self._round()
            self._compare_watchers(patient=True)
        except (Violation, AssertionError) as violation:
            return f"round {number}: {violation}\n--- the server's log\n{self._log()}"
        except grpc.RpcError as error:
            return (f"round {number}: a call failed: {error.code().name} {error.details()}\n"
                    f"--- the server's log\n{self._log()}")
        finally:
            if self.server and self.server.process.poll() is None:
                self.server.kill9()
            shutil.rmtree(self.folder, ignore_errors=True)
        return None

    def _log(self):
        return "\n--- next life\n".join([*self.logs[-2:], self.server.log.text()])

    def _start(self, **keywords):
        if self.server:
            self.logs.append(self.server.log.text())
        self.server = harness.Server(self.data, **keywords)
        self.ending = False

    # ---- A round ----

    def _round(self):
        scripts = self.generator.scripts(CLIENTS)
        administration = self.generator.administration()
        ending = self.rng.choice(ENDINGS)
        # In the middle of the round, or after it.
        middle = self.rng.random() < 0.7 and ending != QUIET
        after = self.rng.randint(1, sum(map(len, scripts))) if middle else 0
        plugins = {plugin for plugin, _ in administration if plugin} | {self.recorded.plugin}
        if ending == KILL and not plugins <= set(DURABLE):
            middle = False

        stepped = threading.Semaphore(0)
        clients = [Client(self.server, stepped.release) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=self._guard, args=(client.do, script), daemon=True)
                   for client, script in zip(clients, scripts)]
        threads.append(threading.Thread(target=self._guard,
                                        args=(self._administer, administration), daemon=True))
        for thread in threads:
            thread.start()
        if middle:
            for _ in range(after):
                if not self.errors and not stepped.acquire(timeout=PATIENCE):
                    self.errors.append("a client is not answered")
            self._end(ending)
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.errors.append("a caller still waits")
        if self.errors:
            raise Violation(self.errors[0])
        if not middle:
            clients[0].request("single", [KEYS_ALL])
            clients[0].request("single", [LIST_ALL])
        self._explain([client.steps for client in clients])
        if not middle:
            self._compare_watchers(patient=ending != QUIET)
        if ending != QUIET:
            if not middle:
                self._end_at_rest(ending)
            self._restart(ending)
            self._repeat([client.unanswered for client in clients if client.unanswered])

    def _guard(self, act, argument):
        try:
            act(argument)
        except grpc.RpcError as error:
            if not self.ending:
                self.errors.append(f"a call failed: {error.code().name} {error.details()}")
        except ValueError as error:  # the channel was closed
            if not self.ending:
                self.errors.append(repr(error))
        except Violation as violation:
            self.errors.append(str(violation))
        except Exception:  # a fault of the harness itself: without this client less is tried
            self.errors.append(traceback.format_exc())

    def _administer(self, actions):
        for plugin, options in actions:
            if plugin:
                self.recorded.configuring(plugin, options, True)
                error = self.recorded.configured(self.server.configure(plugin, options))
                self.counts["switches"] += 1
                if error:
                    raise Violation(error)
            elif self.recorded.plugin != "none":
                self.recorded.saved(self.server.save(), True)
                self.counts["saves"] += 1

    def _explain(self, clients):
        steps = [step for mine in clients for step in mine]
        self.counts["steps"] += len(steps)
        self.counts["in doubt"] += sum(step.results is None for step in steps)
        self.counts["refused"] += sum("refused" in str(step.results) for step in steps)
        began_ms = min((step.called_ms for step in steps), default=unix_ms())
        before = {without_expired(state, began_ms) for state in self.states}
        self.states = final_states(clients, before)
        self.unchecked += steps
        if not self.states:
            raise Violation(explain_failure(clients, before))

    # ---- Watchers ----

    def _watch_anew(self):
        self.watchers, self.unchecked = Watchers(), []
        self.watchers.follow(self.server)
        self.watchers.await_base()

    def _compare_watchers(self, patient):
        """Call this when no other call is in flight."""
        self._ask(LIST_ALL)
        status = self.server.status()
        self.watchers.check(status.version, status.keys, self.unchecked, patient)
        self.unchecked = []
        self.counts.update(self.watchers.take_counts())

    # ---- Stops and restarts ----

    def _end(self, ending):
        self.ending = True
        if ending == KILL:
            self.server.kill9()
        else:
            self.server.terminate()
            self.server.process.wait(PATIENCE)  # connected, so that watchers are sent what is left
            self.server.stop()
        self.watchers.ended()
        self.counts["kills" if ending == KILL else "stops"] += 1

    def _end_at_rest(self, ending):
        if ending == KILL and self.recorded.plugin == "snapshot":
            self.recorded.saved(self.server.save(), True)
        self._end(ending)

    def _restart(self, ending):
        self._start()
        status = self.server.status()
        # A stop has time to send all that is left, but for large values.
        self.watchers.follow(self.server, ending == STOP and status.plugin != "none" and
                             not self.generator.large)
        error = self.recorded.restarted(status)
        if error:
            raise Violation(f"after {ending}: {error}")
        if status.plugin == "none":
            self.states = {EMPTY}
        self._ask(KEYS_ALL)
        self._compare_watchers(patient=True)
        if status.plugin == "none":
            self._ask(self.generator.set(LARGE_KEY))

    def _repeat(self, operations):
        for operation in operations:
            self._ask(operation)
            self._ask(LIST_ALL)
            self.counts["repeated"] += 1

    def _ask(self, operation):
        """One operation while no other call is in flight."""
        client = Client(self.server, None)
        client.request("single", [operation])
        self._explain([client.steps])


def explain_failure(clients, states):
    shortest = shortest_failure(clients, states)
    began = shortest[0][1].invoked if shortest else 0
    lines = ["no order of these steps explains their results, from "
             + " or ".join(str(state) for state in states)]
    for client, step in shortest:
        returned = f"{(step.returned - began) / 1000:.0f}" if step.results is not None else "never"
        lines.append(f"  client {client}, {(step.invoked - began) / 1000:.0f} us to {returned}: "
                     f"{step}")
    return "\n".join(lines)
