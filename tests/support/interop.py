"""What the interoperability tests share: a server with gRPC's own TestService (tests/interop) on an
engine, and its messages.

CMake names the server in the environment. It is not built where Debian's grpc-proto is missing.
"""
import os
import signal
import subprocess

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

import harness

FOLDER = os.path.join(harness.ROOT, "tests", "interop")
SERVER = os.environ["KVSTORE_TEST_INTEROP"]
PROTO_FOLDER = "/usr/share/grpc-proto"
REMEDY = "run scripts/test, which installs it, instead of ctest"


def load_messages(folder):
    """The classes of package grpc.testing, by name. Not as generated modules: those would be looked
    for in the package `grpc` of Python."""
    path = os.path.join(folder, "interop.bin")
    code = protoc.main(["protoc", f"-I{PROTO_FOLDER}", "--include_imports",
                        f"--descriptor_set_out={path}", "grpc/testing/test.proto"])
    if code != 0:
        raise AssertionError(f"protoc failed on {PROTO_FOLDER}/grpc/testing/test.proto")
    with open(path, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {message.name: factory.GetPrototype(
                pool.FindMessageTypeByName(f"{file.package}.{message.name}"))
            for file in files for message in file.message_type}


class InteropServer:
    """A running interop_server. `wire` is the engine that carries its calls; with a certificate and
    its key it wants TLS."""

    def __init__(self, wire, pair=None):
        files = [pair.certificate, pair.key] if pair else []
        self.process = subprocess.Popen([SERVER, "--wire", wire, *files],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=harness.environment())
        self.log = harness.Log(self.process.stderr)
        with self.process.stdout as out:
            line = out.readline()
        if not line:
            self.process.wait(harness.PATIENCE)
            self.log.join()
            raise AssertionError(f"interop_server does not serve:\n{self.log.text()}")
        self.port = int(line)
        self.address = f"127.0.0.1:{self.port}"

    def terminate(self):
        """Begins an orderly stop."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Ends it; anything but an orderly end is a failure."""
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.process.wait(harness.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.log.join()
        if code != 0 or self.log.text():
            raise AssertionError(f"interop_server ended with {code}:\n{self.log.text()}")


class Case(harness.Case):
    """A test of an engine, `wire`, with a server of its own, which must end in an orderly way."""
    wire = None

    def setUp(self):
        super().setUp()
        if not os.path.exists(SERVER):
            self.fail(f"{SERVER} is not built: Debian's grpc-proto is missing: {REMEDY}")

    def serve(self, pair=None):
        server = InteropServer(self.wire, pair)
        self.addCleanup(server.stop)
        return server

    def run_client(self, *command, **keywords):
        """Runs a client to its end; returns what it has printed."""
        result = subprocess.run(command, capture_output=True, text=True, timeout=harness.PATIENCE,
                                env=harness.environment(), **keywords)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def say(self, text):
        print(f"engine {self.wire}: {text}", flush=True)
