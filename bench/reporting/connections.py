"""Sections about connections and the threads that serve them."""
import contextlib
import os
import resource
import subprocess
import sys

from reporting import loads
from reporting.engines import OURS, SHAPES, by_h2load, race, tabulate
from reporting.http2 import Client
from reporting.lab import PATIENCE, WIRES
from reporting.section import median, ratio

IDLE = 10000
IDLE_BYTES = 20000  # resident of each, at most
CROWD, CROWD_CALLS = 1000, 10
RATE = 2000  # calls a second of those beside a slow or a busy connection
LARGE = "large"  # a key with a value of LARGE_SIZE
LARGE_SIZE = 100000
STREAMS = 100  # calls in flight of a slow or a busy connection


def connections(section):
    """Many connections, idle and in use; and others beside one that is slow or very busy."""
    allow_files(IDLE)
    servers = {wire: section.lab.kvstore("none", wire=wire) for wire in WIRES}
    for server in servers.values():
        loads.cli(section.lab, server, "set", LARGE, "v" * LARGE_SIZE)
        loads.cli(section.lab, server, "set", "small", "v")
    crowd(section, servers)
    neighbours(section, servers)
    idle(section)


def allow_files(count):
    """Lets the programs that are started have so many connections."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files < count + 100:
        sys.exit(f"{count:,} connections need as many open files, and the hard limit is {files}; "
                 "raise it with ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def idle_bytes(lab, server, count, tls=None):
    """Resident bytes of each of so many connections that have made a call; `tls` as for Client."""
    loads.cli(lab, server, "set", "small", "v")
    with contextlib.ExitStack() as stack:
        before = None
        for number in range(count + CROWD):
            if number == CROWD:  # what comes with the first connections, whatever their number
                before = server.memory()
            client = Client(server.port, tls=tls)
            stack.callback(client.close)
            client.ask("small")
            client.settle()
        return (server.memory() - before) / count


def idle(section):
    """Connections that have made a call each."""
    sizes = {wire: idle_bytes(section.lab, section.lab.kvstore("none", wire=wire), IDLE)
             for wire in WIRES}
    section.target(f"{IDLE:,} idle connections, resident bytes of each, {OURS}",
                   f"{sizes[OURS]:,.0f}", f"{IDLE_BYTES:,}", sizes[OURS] / IDLE_BYTES, 1,
                   at_most=True)
    section.table(f"Resident bytes of each of {IDLE:,} idle connections", list(sizes),
                  [[f"{size:,.0f}" for size in sizes.values()]])


def crowd(section, servers):
    """Many connections with a few calls each."""
    lab, calls = section.lab, CROWD * CROWD_CALLS
    figures = section.alternate(f"{CROWD:,} connections x {CROWD_CALLS} calls", {
        wire: lambda server=server: distribution(
            *loads.h2load_crowd(lab, server, calls, CROWD))
        for wire, server in servers.items()})
    done = {wire: sum(one["done"] for one in each) for wire, each in figures.items()}
    sent = calls * section.rounds
    section.target(f"{CROWD:,} connections x {CROWD_CALLS} calls, done / sent, {OURS}",
                   f"{done[OURS]:,.0f}", f"{sent:,}", done[OURS] / sent, 1)
    section.table(f"{CROWD:,} connections x {CROWD_CALLS} calls of Set",
                  ["engine", "calls lost", "p50, ms", "p99, ms", "p99.9, ms"],
                  [[wire, f"{sent - done[wire]:,.0f}",
                    *(f"{median([one[name] for one in each]) / 1000:.1f}"
                      for name in ("p50", "p99", "p99.9"))] for wire, each in figures.items()])


def distribution(done, latencies):
    return {"done": float(done), **{
        f"p{percent:g}": float(latencies[int(len(latencies) * percent / 100)])
        for percent in (50, 99, 99.9)}}


@contextlib.contextmanager
def slow(_, server):
    """A client that asks for much and reads nothing."""
    client = Client(server.port, wide=True)
    client.ask(LARGE, range(1, 2 * STREAMS, 2))
    try:
        yield
    finally:
        client.close()


@contextlib.contextmanager
def busy(lab, server):
    """A client that always has many calls in flight on one connection."""
    with subprocess.Popen([*loads.h2load_command(lab, server, loads.request("Set"), 1, STREAMS), "-D", "3600"],
                          stdout=subprocess.DEVNULL) as load:
        try:
            yield
            if load.poll() is not None:
                sys.exit(f"h2load ended early with {load.returncode}")
        finally:
            load.kill()
            load.wait(PATIENCE)


def neighbours(section, servers):
    """The p99 of others beside one connection."""
    lab = section.lab
    elsewhere = {wire: lab.kvstore("none", wire=wire) for wire in servers}

    def others(wire, beside):
        with beside:
            return loads.bench(lab, servers[wire], "-c", 8, "-s", 1, "--mix", "set=1", "--rate",
                               RATE, "--warm-up", 0.3, "--duration", 1.5)["latency_us"]["p99"]

    kinds = {"nobody else": lambda wire: contextlib.nullcontext(),
             "one that does not read": lambda wire: slow(lab, servers[wire]),
             f"one with {STREAMS} calls in flight": lambda wire: busy(lab, servers[wire]),
             "the same on another server of the machine": lambda wire: busy(lab, elsewhere[wire])}
    figures = section.alternate("p99 of others, us", {
        f"{wire} beside {kind}": lambda wire=wire, kind=kind: others(wire, kinds[kind](wire))
        for kind in kinds for wire in servers})
    for kind in list(kinds)[1:3]:
        section.compare(f"p99 of Set at {RATE:,}/s beside {kind} / without, {OURS}", " us",
                        figures[f"{OURS} beside {kind}"], figures[f"{OURS} beside nobody else"], 2,
                        at_most=True)
    section.table(f"p99 of Set in microseconds, 8 connections, {RATE:,} calls/s in an open loop",
                  ["beside", *(f"{wire}{text}" for wire in servers for text in ("", ", ratio"))],
                  [[kind, *(text for wire in servers for text in p99_cells(
                      figures[f"{wire} beside {kind}"], figures[f"{wire} beside nobody else"]))]
                   for kind in kinds])


def p99_cells(figures, quiet):
    return f"{median(figures):,.0f}", f"{ratio(figures, quiet):.2f}"


def workers(section):
    """The server pinned to as many processors as it has workers, the load on those that are left,
    or on the same where none is."""
    lab, processors = section.lab, sorted(os.sched_getaffinity(0))
    rows, count = [], 1
    while count <= len(processors):
        cpus, rest = processors[:count], processors[count:] or None
        contenders = {
            **{wire: by_h2load(lab, lab.kvstore("none", wire=wire, workers=count, cpus=cpus), rest)
               for wire in WIRES},
            "bare nghttp2": by_h2load(lab, lab.empty("http2", count, cpus), rest)}
        for name in ("8x16", "50x1"):
            what = f"Set {name}, {count} {'worker' if count == 1 else 'workers'}"
            rows.append([what, race(section, what, "Set", SHAPES[name], contenders)])
        count *= 2
    tabulate(section, "Workers on processors of their own", rows)
