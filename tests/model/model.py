"""Random clients against the real server, checked with a model: one store that does one thing at a
time.

A scenario is the life of one data directory in rounds. In a round, concurrent clients do sets,
deletes, reads, batches and scans on few keys, while an administrator saves and switches modes. A
round ends quietly, with an orderly stop or with kill -9, the latter two possibly in the middle.
What all clients saw in a round must have an explanation (see linearizability.py) from the states
that were possible before it, across restarts too: an orderly stop loses nothing except in mode
none, nor does a kill in a durable mode. In other modes the kill comes when no call is in flight,
and in mode snapshot right after a Save. The seed determines all requests, but not their timing."""
import collections
import random
import shutil
import tempfile
import threading
import time
import traceback

import grpc

import harness
from harness import PATIENCE, kv
from linearizability import EMPTY, Step, final_states, shortest_failure
from recorded import DURABLE, Recorded
from values import decode, encode

CLIENTS = 4
# Some keys share a prefix, and some are prefixes of others.
KEYS = ("a", "a/1", "a/2", "b", "b/1", "c")
PREFIXES = ("", "", "a", "a/", "b", "z")
STEPS = (2, 7)  # of a client in a round
ADMINISTERED = (0, 0, 0, 1, 2)
QUIET, STOP, KILL = "quiet", "stop", "kill"
ENDINGS = (QUIET,) * 8 + (STOP, KILL)
SIZES = (0, 20, 300)
# How often a request is a single operation, a scan, or else a batch.
SHARES = (0.7, 0.15)
# In some scenarios one key in the middle has a value so large that a Scan takes several messages;
# one client scans all the time, while the others write single operations and batches.
LARGE_KEY, LARGE_SIZE = "b", 400_000
SHARES_BESIDE_SCANS = (0.4, 0)
SCAN_ALL = ("scan", "", 0, False)


class Violation(Exception):
    """The observations have no explanation."""


class Generator:
    """The requests to the server, from a seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.large = self.rng.random() < 0.4
        self.mode = self.rng.choice(harness.MODES)
        self.counter = 0

    def options(self, plugin):
        options = {}
        if plugin in DURABLE:
            options["fsync"] = self.rng.choice(("always", "everysec", "no"))
            options["aof_max_size"] = self.rng.choice(("4096", "65536", "10485760"))
        if plugin in ("snapshot", "hybrid"):
            options["max_snapshots"] = self.rng.choice(("1", "3"))
        return options

    def scripts(self):
        """What each client does in a round: a list of (kind, operations), the kind one of single,
        batch, atomic."""
        shares = SHARES_BESIDE_SCANS if self.large else SHARES
        scripts = [[self._request(*shares) for _ in range(self.rng.randint(*STEPS))]
                   for _ in range(CLIENTS)]
        if self.large:
            scripts[0] = [("single", [SCAN_ALL])] * len(scripts[0])
        return scripts

    def administration(self):
        actions = []
        for _ in range(self.rng.choice(ADMINISTERED)):
            plugin = self.rng.choice((None, *harness.MODES, *DURABLE))
            actions.append((plugin, self.options(plugin)))  # None: Save
        return actions

    def _request(self, single, scan):
        draw = self.rng.random()
        if draw < single:
            return "single", [self._operation()]
        if draw < single + scan:
            keys_only = self.rng.random() < 0.5
            return "single", [("scan", self.rng.choice(PREFIXES), self.rng.choice((0, 0, 2)),
                               keys_only)]
        kind = self.rng.choice(("batch", "atomic", "atomic"))
        return kind, [self._operation() for _ in range(self.rng.randint(2, 4))]

    def _operation(self):
        key, draw = self.rng.choice(KEYS), self.rng.random()
        if self.large and key == LARGE_KEY and draw < 0.95:
            return "get", key
        if draw < 0.5 or (self.large and key == LARGE_KEY):
            return self.set(key)
        return ("delete", key) if draw < 0.65 else ("get", key)

    def set(self, key):
        self.counter += 1
        large = self.large and key == LARGE_KEY
        size = LARGE_SIZE if large else self.rng.choice(SIZES)
        return "set", key, encode(str(self.counter), size)


def named(value):
    """In the model a value's name stands for the value; a value that was never written stands for
    itself."""
    return None if value is None else decode(value) or f"damaged: {value[:60]!r}"


def modelled(operation):
    return (*operation[:2], named(operation[2])) if operation[0] == "set" else operation


class Client:
    """Runs its script, one request after another, and records what it saw as steps."""

    def __init__(self, server, on_step):
        self.stub = harness.kv_grpc.KeyValueStoreStub(server.connect())
        self.on_step = on_step  # called after each request was sent or answered
        self.steps = []

    def do(self, script):
        for kind, operations in script:
            self.request(kind, operations)
            self.on_step()

    def request(self, kind, operations):
        invoked = time.monotonic_ns()
        model = tuple(modelled(operation) for operation in operations)
        # A batch that is not atomic promises each of its operations, in order.
        groups = [(operation,) for operation in model] if kind == "batch" else [model]
        steps = [Step(group, invoked) for group in groups]
        self.steps += steps
        results = (self._single(*operations[0]),) if kind == "single" else self._batch(kind,
                                                                                      operations)
        returned = time.monotonic_ns()
        for step in steps:
            count = len(step.operations)
            step.answer(returned, results[:count])
            results = results[count:]

    def _single(self, kind, key, *arguments):
        if kind == "set":
            self.stub.Set(kv.SetRequest(key=key, value=arguments[0]), timeout=PATIENCE)
            return None
        if kind == "delete":
            return self.stub.Del(kv.DelRequest(key=key), timeout=PATIENCE).success
        if kind == "get":
            answer = self.stub.Get(kv.GetRequest(key=key), timeout=PATIENCE)
            return named(answer.value) if answer.found else None
        return self._scan(key, *arguments)

    def _scan(self, prefix, limit, keys_only):
        if keys_only and not prefix and not limit:
            return tuple(self.stub.Keys(kv.KeysRequest(), timeout=PATIENCE).keys)
        request = kv.ScanRequest(prefix=prefix, limit=limit, keys_only=keys_only)
        entries = [entry for part in self.stub.Scan(request, timeout=PATIENCE)
                   for entry in part.entries]
        if keys_only:
            return tuple(entry.key for entry in entries)
        return tuple((entry.key, named(entry.value)) for entry in entries)

    def _batch(self, kind, operations):
        request = kv.BatchRequest(atomic=kind == "atomic")
        for name, key, *arguments in operations:
            operation = request.operations.add()
            if name == "set":
                operation.set.key, operation.set.value = key, arguments[0]
            else:
                getattr(operation, "del" if name == "delete" else "get").key = key
        results = self.stub.Batch(request, timeout=PATIENCE).results
        if len(results) != len(operations):
            raise Violation(f"a batch of {len(operations)} operations has {len(results)} results")
        return tuple(self._batch_result(result) for result in results)

    @staticmethod
    def _batch_result(result):
        which = result.WhichOneof("result")
        if which == "get":
            return named(result.get.value) if result.get.found else None
        if which == "del":
            return getattr(result, "del").success
        if which != "set":
            raise Violation(f"an operation of a batch failed: {result.error.message}")
        return None


class Scenario:
    """The life of one data directory."""

    def __init__(self, seed):
        self.generator = Generator(seed)
        self.rng = self.generator.rng
        self.data = tempfile.mkdtemp(prefix="kvstore-model-")
        self.counts = collections.Counter()
        self.states = {EMPTY}
        self.server = self.recorded = None
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
            self._ask(self.generator.set(LARGE_KEY))
            for number in range(rounds):
                self._round()
        except (Violation, AssertionError) as violation:
            return f"round {number}: {violation}\n--- the server's log\n{self._log()}"
        except grpc.RpcError as error:
            return (f"round {number}: a call failed: {error.code().name} {error.details()}\n"
                    f"--- the server's log\n{self._log()}")
        finally:
            if self.server and self.server.process.poll() is None:
                self.server.kill9()
            shutil.rmtree(self.data, ignore_errors=True)
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
        scripts = self.generator.scripts()
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
            clients[0].request("single", [SCAN_ALL])
        self._explain([client.steps for client in clients])
        if ending != QUIET:
            if not middle:
                self._end_at_rest(ending)
            self._restart(ending)

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
        before, self.states = self.states, final_states(clients, self.states)
        if not self.states:
            raise Violation(explain_failure(clients, before))

    # ---- Stops and restarts ----

    def _end(self, ending):
        self.ending = True
        if ending == KILL:
            self.server.kill9()
        else:
            self.server.stop()
        self.counts["kills" if ending == KILL else "stops"] += 1

    def _end_at_rest(self, ending):
        if ending == KILL and self.recorded.plugin == "snapshot":
            self.recorded.saved(self.server.save(), True)
        self._end(ending)

    def _restart(self, ending):
        self._start()
        status = self.server.status()
        error = self.recorded.restarted(status)
        if error:
            raise Violation(f"after {ending}: {error}")
        if status.plugin == "none":
            self.states = {EMPTY}
        self._ask(SCAN_ALL)
        if status.plugin == "none":
            self._ask(self.generator.set(LARGE_KEY))

    def _ask(self, operation):
        """One operation while no other call is in flight."""
        client = Client(self.server, None)
        client.request("single", [operation])
        self._explain([client.steps])


def explain_failure(clients, states):
    shortest = shortest_failure(clients, states)
    began = shortest[0][1].invoked if shortest else 0
    lines = ["no order of these steps explains their results, from "
             + " or ".join(str(dict(state)) for state in states)]
    for client, step in shortest:
        returned = f"{(step.returned - began) / 1000:.0f}" if step.results is not None else "never"
        lines.append(f"  client {client}, {(step.invoked - began) / 1000:.0f} us to {returned}: "
                     f"{step}")
    return "\n".join(lines)
