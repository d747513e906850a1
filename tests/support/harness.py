"""What the tests of whole processes share: the real binaries, run as by a user, and their stubs.

CMake names the binaries and plug-ins in the environment. Every server has a port of its own and a
temporary data directory and ends with its test; its log is printed if the test fails. Nothing here
waits for time to pass, only for a log line, a health state or an exit.
"""
import atexit
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc
import grpc_tools
from grpc_tools import protoc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ["KVSTORE_TEST_BIN"]
PLUGINS = os.environ["KVSTORE_TEST_PLUGINS"]
BAD_PLUGINS = os.environ["KVSTORE_TEST_BAD_PLUGINS"]
SERVER = os.path.join(BIN, "kvstore-server")
CLI = os.path.join(BIN, "kvstore-cli")

# How long an event may take before the test gives up: far longer than any of them needs, even with
# sanitizers on a busy machine.
PATIENCE = 300

MODES = ("none", "snapshot", "aof", "hybrid")
# The engines that carry calls, as --wire has them: all, unless CMake names some.
WIRES = os.environ.get("KVSTORE_TEST_WIRES", "grpc http2").split()
# The one that servers of tests use which do not name one; None: the default.
WIRE = os.environ.get("KVSTORE_TEST_WIRE")


CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.max_send_message_length", 256 << 20),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


def open_channel(address, credentials=None):
    if credentials:
        return grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)


def wire_flags(wire=None):
    """The server's flags for an engine; None: the one of the environment."""
    wire = wire or WIRE
    return ["--wire", wire] if wire else []


def generate(folder, *names):
    """Generates stubs for the .proto files of a folder; returns their modules by name."""
    out = tempfile.mkdtemp(prefix="kvstore-stubs-")
    atexit.register(shutil.rmtree, out, True)
    known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    include = [f"-I{path}" for path in (folder, known, "/usr/include") if os.path.isdir(path)]
    code = protoc.main(["protoc", *include, f"--python_out={out}", f"--grpc_python_out={out}",
                        *(f"{name}.proto" for name in names)])
    if code != 0:
        raise RuntimeError(f"protoc failed on {names} in {folder}")
    sys.path.insert(0, out)
    modules = {}
    for name in names:
        module = name.replace("/", ".")
        modules[name] = (importlib.import_module(f"{module}_pb2"),
                         importlib.import_module(f"{module}_pb2_grpc"))
    return modules


# test_frozen.py names another file here, before it imports this module.
SERVICE_PROTO = os.environ.get("KVSTORE_TEST_PROTO", os.path.join(ROOT, "proto", "kvstore.proto"))
_name = os.path.basename(SERVICE_PROTO)[:-len(".proto")]
kv, kv_grpc = generate(os.path.dirname(SERVICE_PROTO), _name)[_name]
_stubs = generate(os.path.join(ROOT, "proto"), "kvstore/v1/admin", "kvstore/v1/key_value", "health", "reflection",
                  "reflection_v1alpha")
admin, admin_grpc = _stubs["kvstore/v1/admin"]
data, data_grpc = _stubs["kvstore/v1/key_value"]
health, health_grpc = _stubs["health"]
reflection, reflection_grpc = _stubs["reflection"]
reflection_v1alpha, reflection_v1alpha_grpc = _stubs["reflection_v1alpha"]

SERVING = health.HealthCheckResponse.SERVING
NOT_SERVING = health.HealthCheckResponse.NOT_SERVING


def environment(**extra):
    """The environment without variables that a server or client would read. Servers of tests do
    without HTTP, whose default port only one of them could have, unless their flags ask for it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KVSTORE_")}
    clean["KVSTORE_HTTP_LISTEN"] = "none"
    clean.update(extra)
    return clean


def setting(key, value, **fields):
    return data.Operation(set=data.SetRequest(key=key, value=value, **fields))


def getting(key):
    return data.Operation(get=data.GetRequest(key=key))


def deleting(key):
    return data.Operation(delete=data.DeleteRequest(key=key))


class Log:
    """The lines that a process writes to standard error, as they arrive."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait_for(self, text):
        """The first line that contains the text, or None when the log ended without it."""
        def found():
            return next((line for line in self.lines if text in line), None)
        with self._changed:
            self._changed.wait_for(lambda: found() or self.ended, PATIENCE)
            return found()

    def text(self):
        with self._changed:
            return "\n".join(self.lines)

    def join(self):
        self._thread.join(PATIENCE)


class Server:
    """A running server. `flags` are added to the command line as they are, `variables` to the
    environment; `identity` says as whom it runs, as arguments of Popen. `log` is an open file to
    use for its log instead of the test's own. `wire` is the engine that carries its calls, if it is
    not the one of the environment. `credentials` are those of a client that it needs, for TLS."""

    def __init__(self, data, mode=None, options=(), flags=(), plugins=PLUGINS, listen="127.0.0.1:0",
                 wait=True, variables=None, identity=None, program=SERVER, log=None, wire=None,
                 credentials=None):
        self.data = data
        self.credentials = credentials
        command = [program, "--listen", listen, "--data-dir", data, *wire_flags(wire)]
        if plugins:
            command += ["--plugin-dir", plugins]
        if mode:
            command += ["--mode", mode]
        for option in options:
            command += ["--option", option]
        self.process = subprocess.Popen([*command, *flags], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=log or subprocess.PIPE,
                                        env=environment(**(variables or {})), **(identity or {}))
        self.pid = self.process.pid
        self.log = Log(self.process.stderr or open(os.devnull, "rb"))
        self.channels = []
        if wait:
            self.open()
            self.wait_serving()

    def open(self):
        """Connects to the server once it listens."""
        line = self.log.wait_for("listening on ")
        if not line:
            self._refused()
        self.open_at(line.split("listening on ", 1)[1].split()[0].rstrip(",;"))

    def open_at(self, address):
        self.address = address
        if not self.address.startswith("unix:"):
            self.port = int(self.address.rsplit(":", 1)[1])
        self.channel = self.connect()
        self.stub = kv_grpc.KeyValueStoreStub(self.channel)
        self.admin = admin_grpc.AdminServiceStub(self.channel)
        self.keyvalue = data_grpc.KeyValueServiceStub(self.channel)

    def _refused(self):
        code = self._ended()
        raise AssertionError(f"the server ended with {code} instead of serving:\n"
                             f"{self.log.text()}")

    def connect(self):
        """A channel that is connected, unless the server has ended: a first attempt that fails
        inside the client must not look like a refusal."""
        channel = open_channel(self.address, self.credentials)
        self.channels.append(channel)
        ready = grpc.channel_ready_future(channel)
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                ready.result(0.2)
                return channel
            except grpc.FutureTimeoutError:
                pass
        ready.cancel()
        return channel

    def wait_serving(self):
        # A failed start says so in the log, long before a watch would give up.
        if not self.log.wait_for(" info ready"):
            self._refused()
        # Not a stream, whose end the server might see only later, as one more call.
        state = health_grpc.HealthStub(self.channel).Check(
            health.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True)
        if state.status != SERVING:
            raise AssertionError(f"the server is ready, but its health is {state.status}")

    # ---- Short forms of the calls ----

    def await_hook(self, name):
        """Waits until the hook runs."""
        deadline = time.monotonic() + PATIENCE
        while not any(hook.name == name and hook.running_ns for hook in self.status().hooks):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} does not run")

    def set(self, key, value, **keywords):
        return self.stub.Set(kv.SetRequest(key=key, value=value), timeout=PATIENCE, **keywords)

    def get(self, key):
        """The value, or None when there is none."""
        answer = self.stub.Get(kv.GetRequest(key=key), timeout=PATIENCE)
        return answer.value if answer.found else None

    def delete(self, key):
        return self.stub.Del(kv.DelRequest(key=key), timeout=PATIENCE).success

    def keys(self):
        return list(self.stub.Keys(kv.KeysRequest(), timeout=PATIENCE).keys)

    def configure(self, plugin, options=None, validate_only=False):
        return self.admin.Configure(
            admin.ConfigureRequest(plugin=plugin, options=options or {}, validate_only=validate_only),
            timeout=PATIENCE)

    def shadow(self, plugin, options=None, seconds=0):
        return self.shadow_call(plugin, options, seconds).result().shadow

    def shadow_call(self, plugin, options=None, seconds=0, timeout=PATIENCE):
        """A shadow run as a call in flight."""
        return self.admin.Configure.future(
            admin.ConfigureRequest(plugin=plugin, options=options or {}, shadow=True,
                                shadow_seconds=seconds), timeout=timeout)

    def save(self):
        return self.admin.Save(admin.SaveRequest(), timeout=PATIENCE)

    def status(self):
        return self.admin.GetStatus(admin.GetStatusRequest(), timeout=PATIENCE)

    def batch(self, *operations):
        """The results."""
        return self.keyvalue.Batch(data.BatchRequest(operations=operations),
                                   timeout=PATIENCE).results

    def transact(self, *operations, **fields):
        """All of them or none; the answer."""
        return self.keyvalue.Transaction(
            data.TransactionRequest(success=operations, **fields), timeout=PATIENCE)

    def fill(self, pairs):
        """Stores them, in Batches of about 1 MiB."""
        operations, size = [], 0
        for key, value in pairs:
            operations.append(setting(key, value))
            size += len(key) + len(value)
            if len(operations) == 5000 or size > 1 << 20:
                self.batch(*operations)
                operations, size = [], 0
        if operations:
            self.batch(*operations)

    def scan(self, prefix="", start="", **fields):
        """All entries as pairs."""
        request = data.ScanRequest(range=data.KeyRange(prefix=prefix, start=start), **fields)
        return [(entry.key, entry.value)
                for part in self.keyvalue.Scan(request, timeout=PATIENCE)
                for entry in part.entries]

    # ---- The end ----

    def _ended(self):
        for channel in self.channels:
            channel.close()
        self.channels.clear()
        code = self.process.wait(PATIENCE)
        self.log.join()
        return code

    def kill9(self):
        self.process.kill()
        self._ended()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Stops the server in an orderly way; any exit code but 0 is a failure."""
        self.terminate()
        code = self._ended()
        if code != 0:
            raise AssertionError(f"the server ended with {code} upon SIGTERM:\n{self.log.text()}")

    def wait_exit(self):
        """For a server that is expected to refuse to start: returns its exit code."""
        return self._ended()


class Case(unittest.TestCase):
    """A test with a temporary directory; its servers end with it and show their logs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="kvstore-test-")
        self.servers = []
        self.addCleanup(self._end)

    def _failed(self):
        outcome = self._outcome
        results = getattr(outcome, "result", None)
        return any(test is self and error for test, error in
                   [*getattr(results, "failures", []), *getattr(results, "errors", []),
                    *getattr(outcome, "errors", [])])

    def _end(self):
        failed = self._failed()
        for server in self.servers:
            if server.process.poll() is None:
                server.kill9()
            if failed:
                print(f"--- log of the server on {server.data}:\n{server.log.text()}",
                      file=sys.stderr)
        for server in self.servers:
            for mark in ("Sanitizer", "runtime error:"):
                self.assertNotIn(mark, server.log.text(), "a sanitizer found a defect")
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, data="data", **keywords):
        server = Server(os.path.join(self.folder, data), **keywords)
        self.servers.append(server)
        return server

    def assertFails(self, code, call, *texts):
        """Asserts that the call fails with the code and a message that contains all texts; returns
        the message."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        for text in texts:
            self.assertIn(text, error.details())
        return error.details()

    def assertLogs(self, server, text):
        """The log of a running server comes later than its replies: it is written by a thread."""
        self.assertTrue(server.log.wait_for(text), server.log.text())

    def assertRefusesToStart(self, *texts, **keywords):
        """Asserts that a server started this way ends by itself, not with 0, and that its log
        contains all texts."""
        server = self.start(wait=False, **keywords)
        code = server.wait_exit()
        self.assertGreater(code, 0, server.log.text())
        for text in texts:
            self.assertIn(text, server.log.text())


def on_each_wire(case):
    """For a Case: makes one of it for each engine, which knows it as `wire`."""
    module = sys.modules[case.__module__]
    for wire in WIRES:
        name = f"{case.__name__}On{wire.capitalize()}"
        setattr(module, name, type(name, (case,), {"wire": wire, "__module__": case.__module__}))


def raw_connection(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def main():
    unittest.main(verbosity=2)
