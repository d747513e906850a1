"""The loads and what they measured. A load that did not do all it should ends the report."""
import csv
import json
import os
import re
import socket
import struct
import subprocess
import sys
import typing

from reporting.lab import pinned

KEYS = 1000000
VALUE_SIZE = 100
SERVICE = "/kvstore.KeyValueStore/"


def run(command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, **keywords)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout


def reach(lab, program, server):
    """The beginning of a command of ours that connects to the server."""
    trust = ["--tls-ca", server.authority] if server.authority else []
    return [f"{lab.bin}/{program}", "-a", server.address, *trust]


def bench(lab, server, *flags, csv_rows=False):
    """kvstore-bench: its JSON; with `csv_rows` also the rows of its CSV as numbers."""
    command = [*reach(lab, "kvstore-bench", server), "--json", *(str(flag) for flag in flags)]
    path = os.path.join(lab.folder, "intervals.csv")
    result = json.loads(run([*command, "--csv", path] if csv_rows else command))
    if not csv_rows:
        return result
    with open(path, newline="") as file:
        rows = [{name: float(value) for name, value in row.items()}
                for row in csv.DictReader(file)]
    return result, rows


def fill(lab, server, keys=KEYS):
    run([*reach(lab, "kvstore-bench", server), "--fill", "--requests", "0", "--keys", str(keys),
         "--value-size", str(VALUE_SIZE), "-c", "2"])


def cli(lab, server, *words):
    return run([*reach(lab, "kvstore-cli", server), "--timeout", "0", *words])


def raw(lab, *words):
    """kvstore-raw-io on a file in the folder of the servers' data."""
    words = [os.path.join(lab.folder, "raw") if word == "FILE" else str(word) for word in words]
    return json.loads(run([f"{lab.bin}/kvstore-raw-io", *words]))


def index(lab, keys, shape, seconds):
    return json.loads(run([f"{lab.bin}/kvstore-index-bench", str(keys), shape, str(seconds)]))


# ---- h2load: the client that takes least of the machine from the server ----

def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    return bytes([number << 3 | 2]) + varint(len(data)) + data


class Request(typing.NamedTuple):
    """A unary call: what h2load sends again and again."""
    path: str
    message: bytes


def request(method, value_size=VALUE_SIZE):
    """Of the old service, always with the same key: the load is on the wire, not on the index."""
    message = field(1, b"key:%012d" % 1)
    if method == "Set":
        message += field(2, b"v" * value_size)
    return Request(SERVICE + method, message)


def h2load_command(lab, server, call, connections, streams):
    path = os.path.join(lab.folder, "message")
    with open(path, "wb") as file:
        file.write(b"\0" + struct.pack(">I", len(call.message)) + call.message)
    return ["h2load", "-c", str(connections), "-m", str(streams), "-d", path,
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"{'https' if server.authority else 'http'}://{server.address}{call.path}"]


def message_bytes(output):
    """Of all answers to h2load. An answer of gRPC has the status 200 whatever its own is, but only
    a good one has a message, of 5 bytes and its content."""
    return int(re.search(r"\((\d+)\) data$", output, re.MULTILINE).group(1))


def h2load(lab, server, call, requests, connections, streams, cpus=None):
    """Calls a second. Every answer must be as large as that to a call before: versions in it only
    grow."""
    expected = message_bytes(run([*h2load_command(lab, server, call, 1, 1), "-n", "1"]))
    output = run(pinned([*h2load_command(lab, server, call, connections, streams), "-n",
                         str(requests)], cpus))
    if f"{requests} succeeded" not in output or expected < 5 or \
            message_bytes(output) < expected * requests:
        sys.exit(f"h2load: not all requests succeeded:\n{output}")
    return float(re.search(r"([\d.]+) req/s", output).group(1))


def h2load_crowd(lab, server, requests, connections):
    """Sets, one in flight on each connection: how many were done, and the latencies in microseconds
    of all that were answered, sorted."""
    path = os.path.join(lab.folder, "calls")
    if os.path.exists(path):
        os.unlink(path)  # h2load appends
    output = run([*h2load_command(lab, server, request("Set"), connections, 1), "-n",
                  str(requests), f"--log-file={path}"])
    with open(path) as file:
        calls = [line.split() for line in file]
    return message_bytes(output) // 5, sorted(int(us) for _, status, us in calls if status != "-1")


# ---- Redis ----

def redis_benchmark(server, kind, requests, pipeline=100, clients=4, keys=KEYS):
    """A second and p99 in microseconds; random keys of the same million as kvstore-bench's, or
    always the same one."""
    output = run(["redis-benchmark", "-p", str(server.port), "-P", str(pipeline), "-t", kind, "-d",
                  str(VALUE_SIZE), "-c", str(clients), "-n", str(requests),
                  *(["-r", str(keys)] if keys > 1 else []), "--csv"])
    row = list(csv.reader(output.splitlines()))[-1]
    return float(row[1]), float(row[6]) * 1000


def fill_redis(server, keys=KEYS, prefix=b"key:", expire_time_ms=None):
    value = b"v" * VALUE_SIZE
    words, until = (b"*5", b"$4\r\nPXAT\r\n$13\r\n%d\r\n" % expire_time_ms) \
        if expire_time_ms else (b"*3", b"")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        for first in range(0, keys, 1000):
            connection.sendall(b"".join(
                b"%s\r\n$3\r\nSET\r\n$16\r\n%s%012d\r\n$%d\r\n%s\r\n%s" %
                (words, prefix, i, VALUE_SIZE, value, until) for i in range(first, first + 1000)))
            left = 5 * 1000
            while left > 0:
                left -= len(connection.recv(left))
