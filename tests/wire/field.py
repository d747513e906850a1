"""Where a case happens: a server with data, the well-behaved client beside it, and what the case may
use and measure."""
import contextlib
import os
import random
import resource
import socket
import ssl
import time

import certificates
import grpc
import harness
import http2
from witness import Witness

MIB = 1 << 20
KEYS, LARGE, MIDDLE = 20000, 4 * MIB, 65000


class Process:
    """The server as seen in /proc."""

    def __init__(self, pid):
        self.pid = pid

    def memory(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("the server has ended")

    def resident(self):
        return self.memory("VmRSS")

    def begin_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def peak(self):
        return self.memory("VmHWM")

    def seconds(self):
        """The processor time that it has taken."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def await_level(what, measure, limit):
    """Waits until it is at or below the limit: /proc has no event for that."""
    deadline = time.monotonic() + harness.PATIENCE
    while measure() > limit:
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} stays at {measure()}, allowed are {limit}")
        time.sleep(0.05)


class Field:
    """The environment of a case. Each key of the data has a value of `size`. With `tls` all clients
    have TLS but those that say nothing, or what is not HTTP/2."""

    def __init__(self, folder, wire, seed, full, size=500, tls=False):
        os.mkdir(folder)
        self.tls, credentials, flags, root = None, None, [], None
        if tls:
            authority = certificates.Authority(folder)
            pair, root = authority.sign("server"), authority.certificate
            flags = ["--tls-cert", pair.certificate, "--tls-key", pair.key]
            credentials = grpc.ssl_channel_credentials(authority.bytes()[0])
            self.tls = ssl.create_default_context(cafile=root)
            self.tls.set_alpn_protocols(["h2"])
        # What the server keeps for watches is no memory of clients.
        self.server = harness.Server(os.path.join(folder, "data"), mode="none", wire=wire,
                                     flags=["--shutdown-grace-ms", "500", "--watch-history", "1M",
                                            *flags],
                                     credentials=credentials)
        self.wire = wire
        self.full = full
        self.random = random.Random(seed)
        self.process = Process(self.server.pid)
        self.size = size
        self.fill(size)
        self.server.set("large", bytes(LARGE))
        self.server.set("middle", bytes(MIDDLE))
        self.witness = Witness(self.server.address, root)
        self.witness.goes_on(200)
        self.descriptors = self.process.descriptors()

    def close(self):
        self.witness.kill()
        if self.server.process.poll() is None:
            self.server.kill9()

    def scaled(self, reduced, full):
        return full if self.full else reduced

    def connect(self, *first, **options):
        return http2.Connection(self.server.port, *first, tls=self.tls, **options)

    def plain(self):
        return socket.create_connection(("127.0.0.1", self.server.port), harness.PATIENCE)

    def fill(self, size):
        """Gives each key a value of this size."""
        self.server.fill((f"{'key' * 20}{i:08}", b"v" * size) for i in range(KEYS))

    def batches(self, connections, count, operations):
        """Sends so many large Batches concurrently; returns the codes with which they ended."""
        request = harness.data.BatchRequest(operations=[
            harness.setting(f"batch{i}", b"v") for i in range(operations)]).SerializeToString()
        channels = [self.server.connect() for _ in range(connections)]
        calls = [channels[i % connections].unary_unary(http2.KEYVALUE + "Batch").future(
            request, timeout=harness.PATIENCE) for i in range(count)]
        codes = [call.code().value[0] for call in calls]
        for channel in channels:
            channel.close()
        return codes

    def delete(self, keys):
        keys = list(keys)
        for first in range(0, len(keys), 10000):
            self.server.batch(*map(harness.deleting, keys[first:first + 10000]))

    def witness_goes_on(self):
        self.witness.goes_on()

    @contextlib.contextmanager
    def few_files(self, count):
        """Lets the server open only so many more files."""
        pid = self.server.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (self.process.descriptors() + count, hard))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    @contextlib.contextmanager
    def overload(self):
        """Clients ask for more than max-wire-memory, together or with one message: the C core then
        closes idle connections and resets streams, which may hit a call of a well-behaved client."""
        self.witness.repeat_shed(self.wire == "grpc")
        try:
            yield
        finally:
            self.witness.goes_on(1)
            self.witness.repeat_shed(False)

    def await_descriptors(self):
        await_level("the number of descriptors", self.process.descriptors, self.descriptors)

    @contextlib.contextmanager
    def naming(self, name):
        """Puts the name of a part before its failure."""
        try:
            yield
        except AssertionError as fault:
            raise AssertionError(f"{name}: {fault}") from fault
