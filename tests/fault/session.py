"""One client of a server whose calls fail, and what the contract says about its replies."""
import os
import shutil

import grpc

import faults
import harness
import history

harness.PATIENCE = 30  # a call that takes longer is a hang

CODE = grpc.StatusCode
# What a client sees in place of the data directory's path.
SHOWN = "DATA_DIR"
DURABLE = ("aof", "hybrid")


class Session:
    """A server in `folder`/data, a shim in front of it, and the history of its only client.
    Breaches of the contract are collected in `wrong`."""

    def __init__(self, folder, mode, options=(), start=True):
        self.data = os.path.join(folder, "data")
        self.shim = faults.Shim(folder, self.data)
        self.mode = mode
        self.history = history.Sequential()
        self.state = {}
        self.saved = 0          # writes that the last checkpoint holds
        self.errors = []        # (what was tried, code) of each call that failed
        self.doubtful = []      # pairs of refused writes that a restart may bring back, see refuse
        self.undo_may_fail = False
        self.modes_in_doubt = set()  # of failed switches that could not be withdrawn
        self.failed_at = None   # generation in which a write met UNAVAILABLE
        self.generation = 1
        self.wrong = []
        self.server = None
        if start:
            self.server = harness.Server(self.data, mode=mode, options=options,
                                         variables=self.shim.environment())
            self.generation = self.status().generation
            self.shim.check_loaded()

    def note(self, text):
        self.wrong.append(text)

    # ---- Calls that may fail ----

    def _try(self, what, call):
        """The reply, or None with the error in self.errors."""
        try:
            return call()
        except grpc.RpcError as error:
            self.errors.append((what, error.code(), error.details()))
            if error.code() not in (CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED):
                self.note(f"{what} failed with {error.code()}: {error.details()}")
            if self.server.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.server.process.returncode} "
                                     f"during {what}") from None
            return None

    def _write(self, what, pairs, call):
        self.history.begin(pairs)
        if self._try(what, call) is None:
            self.history.reject()
            self.refuse(what, pairs)
            return False
        self.history.acknowledge()
        for key, value in pairs:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self.check_fresh(what)
        return True

    def refuse(self, what, pairs):
        """A refused write has changed nothing. Only if undoing it failed as well may a restart from
        the failed files still see it."""
        if self.errors[-1][1] == CODE.UNAVAILABLE and self.failed_at is None:
            self.failed_at = self.generation
            if self.undo_may_fail:
                self.doubtful.append(pairs)
        for key, _ in pairs:
            if self.read(key) != self.state.get(key):
                self.note(f"{what} was refused ({self.errors[-1]}), yet {key} changed")

    def check_fresh(self, what):
        """After a failed log, only a fresh generation may acknowledge writes."""
        if self.failed_at is None:
            return
        generation = self.status().generation
        if generation <= self.failed_at:
            self.note(f"{what} was acknowledged after a failure, still in generation {generation}")
        self.generation, self.failed_at, self.doubtful = generation, None, []
        self.modes_in_doubt = set()

    def read(self, key):
        return self._ask(lambda: self.server.get(key))

    def status(self):
        return self._ask(lambda: self.server.status())

    @staticmethod
    def _ask(question):
        """Reads go on whatever fails. A lack of memory may fail the read itself, once."""
        try:
            return question()
        except grpc.RpcError as error:
            if error.code() != CODE.RESOURCE_EXHAUSTED:
                raise
            return question()

    def set(self, key, value):
        return self._write(f"set {key}", [(key, value)], lambda: self.server.set(key, value))

    def delete(self, key):
        return self._write(f"delete {key}", [(key, None)],
                           lambda: self.server.stub.Del(harness.kv.DelRequest(key=key),
                                                        timeout=harness.PATIENCE))

    def transaction(self, pairs):
        data = harness.data
        operations = [data.Operation(set=data.SetRequest(key=key, value=value))
                      if value is not None
                      else data.Operation(delete=data.DeleteRequest(key=key)) for key, value in pairs]
        request = data.TransactionRequest(success=operations)
        return self._write("transaction", pairs, lambda: self.server.keyvalue.Transaction(
            request, timeout=harness.PATIENCE))

    def save(self):
        if self.mode == "none":
            return True
        answer = self._try("save", self.server.save)
        if answer is not None:
            self.saved = self.history.acknowledged
            self.generation = self.status().generation
        return answer is not None

    def configure(self, plugin, options=None):
        answer = self._try(f"configure {plugin}", lambda: self.server.configure(plugin, options))
        active = self.status()
        if answer is not None:
            self.mode = plugin
            # Configuring what is in force already makes no checkpoint.
            if answer.generation > self.generation:
                self.saved = self.history.acknowledged
                self.failed_at, self.doubtful, self.modes_in_doubt = None, [], set()
        elif self.undo_may_fail and active.read_only:
            self.modes_in_doubt.add(plugin)
        if active.plugin != self.mode:
            self.note(f"configure {plugin}: {'OK' if answer else 'failed'}, yet the mode is "
                      f"{active.plugin}")
            self.mode = active.plugin
        self.generation = active.generation if self.failed_at is None else self.generation
        return answer is not None

    # ---- What must hold ----

    def serving(self):
        stub = harness.health_grpc.HealthStub(self.server.channel)
        answer = stub.Check(harness.health.HealthCheckRequest(service="kvstore.KeyValueStore"),
                            timeout=harness.PATIENCE)
        return answer.status == harness.SERVING

    def check_read_only(self):
        """Call this only while nothing can renew the log."""
        status = self.status()
        if not status.read_only:
            self.note("the log has failed, yet the server does not say that it is read-only")
        if self.serving():
            self.note("the server is read-only, yet health says SERVING")
        if SHOWN not in status.last_error:
            self.note(f"the error names no file: {status.last_error!r}")

    def wait_writable(self):
        """Waits until health says so: the server repairs itself."""
        watch = harness.health_grpc.HealthStub(self.server.channel).Watch(
            harness.health.HealthCheckRequest(service="kvstore.KeyValueStore"),
            timeout=harness.PATIENCE)
        for state in watch:
            if state.status == harness.SERVING:
                watch.cancel()
                return

    def recover(self, by_save):
        """After the faults have ended, writes are accepted again, after a Save or without one."""
        self.shim.heal()
        if self.status().read_only:
            if by_save and self.mode != "none":
                if not self.save():
                    self.note(f"save did not recover a healed disk: {self.errors[-1]}")
            else:
                self.wait_writable()
        if not self.set("recovered", b"yes"):
            # A failed background sync shows at the next write.
            self.wait_writable()
            if not self.set("recovered", b"yes"):
                self.note(f"no write is accepted after the faults ended: {self.errors[-1]}")
        if not self.serving():
            self.note("writes are accepted, yet health says NOT_SERVING")

    def check_live(self):
        found = {}
        for key, value in self.server.scan():
            found[key] = value
        if found != self.state:
            self.note(f"served: {self._difference(found, self.state)}")

    @staticmethod
    def _difference(found, wanted):
        lost = sorted(key for key in wanted if found.get(key) != wanted[key])
        strange = sorted(key for key in found if found[key] != wanted.get(key))
        return f"missing or different {lost[:5]}, strange {strange[:5]}"

    def kept(self):
        if self.mode in DURABLE:
            return self.history.acknowledged
        return self.saved if self.mode == "snapshot" else 0

    def check_restart(self):
        """After kill -9, a start without faults finds what the mode promises, in that mode."""
        self.server.kill9()
        self.server = harness.Server(self.data)
        self.failed_at = None  # what is there now was read from the files
        self.check_found()

    def check_found(self):
        plugin = self.status().plugin
        if plugin in self.modes_in_doubt:
            self.mode = plugin
        if plugin != self.mode:
            self.note(f"restarted as {plugin}, {self.mode} was in force")
        found = dict(self.server.scan())
        fault = self.history.check(found, self.kept())
        for pairs in self.doubtful:
            state = {**self.state, **dict(pairs)}
            if found == {key: value for key, value in state.items() if value is not None}:
                fault = None
        if fault:
            self.note(f"after the restart: {fault}")
        self.begin_from(found)
        if not self.set("restarted", b"yes"):
            self.note(f"no write is accepted after the restart: {self.errors[-1]}")

    def begin_from(self, found):
        """From now on, what a start has found is all there is."""
        self.history = history.Sequential()
        self.history.begin(sorted(found.items()))
        self.history.acknowledge()
        self.state, self.saved, self.doubtful, self.failed_at = dict(found), 1, [], None

    def leftovers(self):
        """Temporary files, and generations other than the active one."""
        found = []
        for folder, folders, files in os.walk(self.data):
            found += [os.path.join(folder, name) for name in files if name.endswith(".tmp")]
            if folder == self.data:
                found += sorted(name for name in folders if name.startswith("gen-"))[:-1]
        return found

    def log_text(self):
        code = self.server.process.poll() if self.server else None
        return f"{code}, {self.server.log.text()}" if self.server else ""

    def end(self, folder):
        if self.server and self.server.process.poll() is None:
            self.server.kill9()
        self.shim.close()
        shutil.rmtree(folder, ignore_errors=True)
