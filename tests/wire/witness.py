"""The well-behaved client: writes and reads back, one call at a time. It is a process of its own, so
that it shares nothing with the hostile clients but the machine.

The parent's side is `Witness`. Run as a program it is the client: it takes commands from standard
input and answers each by a line of JSON.
"""
import itertools
import json
import os
import subprocess
import sys
import threading
import time

PATIENCE = 300
SERVICE = "/kvstore.KeyValueStore/"


class Witness:
    """The parent's side. `root` is the file that a server with TLS is checked with, or None."""

    def __init__(self, address, root=None):
        self.process = subprocess.Popen([sys.executable, "-B", os.path.abspath(__file__), address,
                                         *([root] if root else [])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *command):
        self.process.stdin.write(" ".join(map(str, command)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"fault": "it has ended"}
        if "fault" in answer:
            raise AssertionError(f"the well-behaved client: {answer['fault']}")
        return answer

    def goes_on(self, rounds=20):
        """Waits until so many more rounds are done."""
        self.ask("rounds", rounds)

    def begin(self):
        """Begins to measure anew."""
        self.ask("begin")

    def measured(self):
        """Of the calls since then: calls, p99_ms, slowest_ms. One that waits counts as if it were
        answered now."""
        return self.ask("measured")

    def repeat_shed(self, repeats):
        """Whether calls that the server ended to shed load are made again."""
        self.ask("repeat", int(repeats))

    def end(self):
        """Ends it; fails if it has failed."""
        try:
            self.ask("end")
        finally:
            self.kill()

    def kill(self):
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        self.process.kill()
        self.process.wait()


def varint(value):
    data = b""
    while value >= 128:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def field(number, data):
    return bytes([number << 3 | 2]) + varint(len(data)) + data


class Client(threading.Thread):
    """The child's side. The messages are made by hand: generating stubs would take half a second."""

    def __init__(self, channel, shed):
        super().__init__(daemon=True)
        self.shed = shed
        self.set = channel.unary_unary(SERVICE + "Set")
        self.get = channel.unary_unary(SERVICE + "Get")
        self.changed = threading.Condition()
        self.rounds = 0
        self.took = []
        self.began = None
        self.fault = None
        self.repeats = False
        self.ending = False

    def run(self):
        try:
            for i in itertools.count():
                if self.ending:
                    return
                key, value = f"witness{i % 100}".encode(), f"value{i}".encode() * (1 + i % 50)
                self.call(self.set, field(1, key) + field(2, value))
                answer = self.call(self.get, field(1, key))
                if answer != field(1, value) + b"\x10\x01":
                    raise AssertionError(f"{key} reads {answer!r}, {value!r} was written")
                with self.changed:
                    self.rounds += 1
                    self.changed.notify_all()
        except Exception as fault:  # noqa: B902 (whatever it was is the finding)
            with self.changed:
                self.fault = str(fault)
                self.changed.notify_all()

    def call(self, method, request):
        while True:
            with self.changed:
                self.began = time.monotonic()
            try:
                return method(request, timeout=PATIENCE)
            except Exception as error:  # noqa: B902
                if not (self.repeats and self.shed(error)):
                    raise
            finally:
                with self.changed:
                    self.took.append(time.monotonic() - self.began)
                    self.began = None

    def do(self, command, *arguments):
        with self.changed:
            if command == "rounds":
                wanted = self.rounds + int(arguments[0])
                self.changed.wait_for(lambda: self.fault or self.rounds >= wanted, PATIENCE)
                if not self.fault and self.rounds < wanted:
                    return {"fault": "it is not served any more"}
            elif command == "begin":
                self.took.clear()
            elif command == "measured":
                return self.measured()
            elif command == "repeat":
                self.repeats = arguments[0] == "1"
            return {"fault": self.fault} if self.fault else {}

    def finish(self):
        self.ending = True
        self.join(PATIENCE)
        fault = "it waits for a reply" if self.is_alive() else self.fault
        return {"fault": fault} if fault else {}

    def measured(self):
        took = sorted(self.took + ([time.monotonic() - self.began] if self.began else []))
        if not took:
            return {"calls": 0, "p99_ms": 0, "slowest_ms": 0}
        return {"calls": len(took), "p99_ms": took[len(took) * 99 // 100] * 1000,
                "slowest_ms": took[-1] * 1000}


def main():
    import grpc  # pylint: disable=import-outside-toplevel

    def was_shed(error):
        """Its connection was closed, or its stream was reset with ENHANCE_YOUR_CALM."""
        return isinstance(error, grpc.RpcError) and (
            error.code() == grpc.StatusCode.UNAVAILABLE or
            error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and
            error.details() == "Received RST_STREAM with error code 11")
    options = [("grpc.enable_http_proxy", 0)]
    if len(sys.argv) > 2:
        with open(sys.argv[2], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        opened = grpc.secure_channel(sys.argv[1], credentials, options=options)
    else:
        opened = grpc.insecure_channel(sys.argv[1], options=options)
    with opened as channel:
        client = Client(channel, was_shed)
        client.start()
        for line in sys.stdin:
            words = line.split()
            answer = client.finish() if words == ["end"] else client.do(*words)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
