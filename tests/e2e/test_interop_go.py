"""A client on Debian's grpc-go (tests/interop/go) against TestService and the real server on each
engine. It is built here, with code generated here, from Debian's packages alone."""
import atexit
import functools
import os
import shutil
import subprocess
import tempfile

import harness
import interop

# Takes the time of a few pings, and so runs beside all others.
IDLE_CASE = "keepalive"
CASES = ("unary", "server_stream", "client_stream", "bidi", "large_messages", "large_windows",
         "compressed", "metadata", "status_text", "deadline", "cancellation", "unimplemented",
         "thousand_calls", "thousand_streams", "frozen_service", "data_service",
         "health_watch", "health_probe", "reflection")

# Debian's by their paths: others may come first in PATH.
GO, PROTOC, PROTOC_GEN_GO = "/usr/bin/go", "/usr/bin/protoc", "/usr/bin/protoc-gen-go"
GOCODE = "/usr/share/gocode"
CACHE = os.path.join(os.path.dirname(harness.BIN), "go-cache")


def generate(out, folder, *names, mapped=""):
    os.makedirs(out)
    subprocess.run([PROTOC, f"--plugin={PROTOC_GEN_GO}", f"-I{folder}",
                    f"--go_out=plugins=grpc{mapped}:{out}",
                    *(f"{name}.proto" for name in names)], check=True)


@functools.cache
def build():
    """The client's program."""
    folder = tempfile.mkdtemp(prefix="kvstore-go-")
    atexit.register(shutil.rmtree, folder, True)
    package = os.path.join(folder, "src", "kvstore")
    generate(package, interop.PROTO_FOLDER,
             *(f"grpc/testing/{name}" for name in ("empty", "messages", "test")))
    # The generator of Debian's grpc-go is older than Debian's google/protobuf/empty.proto.
    generate(os.path.join(package, "frozen"), os.path.dirname(os.path.abspath(__file__)), "frozen",
             mapped=",Mgoogle/protobuf/empty.proto=github.com/golang/protobuf/ptypes/empty")
    generate(os.path.join(folder, "src-data"), os.path.join(harness.ROOT, "proto"),
             "kvstore/v1/key_value")
    # The place that the file itself names for Go.
    shutil.copytree(os.path.join(folder, "src-data", "kvstore"), package, dirs_exist_ok=True)
    program = os.path.join(folder, "client")
    subprocess.run([GO, "build", "-o", program, "."], check=True,
                   cwd=os.path.join(interop.FOLDER, "go"),
                   env=harness.environment(GO111MODULE="off", GOPATH=f"{folder}:{GOCODE}",
                                           GOCACHE=CACHE, GOENV="off", GOFLAGS="", CGO_ENABLED="0"))
    return program


class Go(interop.Case):
    def setUp(self):
        super().setUp()
        for needed in (GO, PROTOC, PROTOC_GEN_GO,
                       os.path.join(GOCODE, "src", "google.golang.org", "grpc")):
            self.assertTrue(os.path.exists(needed), f"{needed} is missing: {interop.REMEDY}")
        self.program = build()

    def begin(self, *arguments):
        process = subprocess.Popen([self.program, *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=harness.environment())

        def end():
            process.stdin.close()
            process.stdout.close()
            process.kill()
            process.wait()
        self.addCleanup(end)
        return process

    def finish(self, process):
        """What the client prints until its end, for which it has a patience of its own."""
        printed = process.stdout.read()
        self.assertEqual(process.wait(harness.PATIENCE), 0, printed)
        return printed.splitlines()

    def test_every_case_passes_and_an_idle_connection_with_pings_is_kept(self):
        testers = {wire: interop.InteropServer(wire) for wire in harness.WIRES}
        for server in testers.values():
            self.addCleanup(server.stop)
        idle = {wire: self.begin(f"--test-service={server.address}", IDLE_CASE)
                for wire, server in testers.items()}
        passed = dict.fromkeys(harness.WIRES, 0)
        for wire, tester in testers.items():
            server = self.start(f"data-{wire}", mode="none", wire=wire)
            for case in CASES:
                with self.subTest(wire=wire, case=case):
                    self.assertEqual(self.finish(self.begin(
                        f"--test-service={tester.address}", f"--kvstore={server.address}", case)),
                        [f"{case} passed"])
                    passed[wire] += 1
        for wire, process in idle.items():
            with self.subTest(wire=wire, case=IDLE_CASE):
                self.assertEqual(self.finish(process), [f"{IDLE_CASE} passed"])
                passed[wire] += 1
        for wire in harness.WIRES:
            print(f"engine {wire}: {passed[wire]} of {len(CASES) + 1} cases of grpc-go passed")

    def run_until(self, client):
        """What the client prints until it says that it is running."""
        printed = []
        while "running" not in printed[-1:]:
            line = client.stdout.readline()
            self.assertTrue(line, "\n".join(printed))
            printed.append(line.rstrip("\n"))
        return printed

    def test_streams_in_flight_at_an_orderly_stop_go_on_until_they_end(self):
        for wire in harness.WIRES:
            with self.subTest(wire=wire):
                server = interop.InteropServer(wire)
                self.addCleanup(server.stop)
                client = self.begin(f"--test-service={server.address}", "stopped_streams")
                self.run_until(client)
                server.terminate()
                self.assertEqual(self.finish(client), ["stopped_streams passed"])
                server.stop()

    def test_a_client_of_two_servers_that_repeats_what_was_unavailable_sees_no_failure_of_a_stop(self):
        for wire in harness.WIRES:
            with self.subTest(wire=wire):
                servers = [interop.InteropServer(wire) for _ in range(2)]
                for server in servers:
                    self.addCleanup(server.stop)
                client = self.begin(
                    "--test-service=" + ",".join(server.address for server in servers),
                    "rolling_stop")
                self.run_until(client)
                servers[0].stop()
                client.stdin.write("\n")
                client.stdin.flush()
                self.assertEqual(self.finish(client), ["rolling_stop passed"])

    def test_an_orderly_stop_loses_no_call(self):
        for wire in harness.WIRES:
            with self.subTest(wire=wire):
                self.stop_under_load(wire)

    def stop_under_load(self, wire):
        server = self.start(f"data-{wire}", mode="aof", options=["fsync=no"], wire=wire)
        client = self.begin(f"--kvstore={server.address}", "graceful_stop")
        printed = self.run_until(client)
        server.terminate()
        printed += self.finish(client)
        self.assertIn("graceful_stop passed", printed)
        server.stop()
        keys = {kind: {line.split(" ")[1] for line in printed if line.startswith(f"{kind} ")}
                for kind in ("set", "refused")}
        kept = set(self.start(f"data-{wire}", mode="aof", wire=wire).keys())
        self.assertEqual(keys["set"] - kept, set(), "taken and lost")
        self.assertEqual(keys["refused"] & kept, set(), "refused and taken all the same")
        self.assertEqual(kept, keys["set"])


if __name__ == "__main__":
    harness.main()
