"""Sections about the data: snapshots, recovery, memory, growth of the key space, scans."""
import glob
import os
import re
import sys
import threading
import time

from reporting import loads
from reporting.lab import redis_call, redis_info
from reporting.loads import KEYS
from reporting.section import median, ratio
from reporting.svg import short

RATE = 5000  # calls a second of the open loop during snapshots


class Saves:
    """Makes one snapshot after the other while it is entered; `spans` are their wall times."""

    def __init__(self, save):
        self.save = save
        self.spans = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.is_set():
            began = time.time()
            self.save()
            self.spans.append((began, time.time()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def redis_save(server):
    before = redis_saves(server)
    redis_call(server, "BGSAVE")
    while redis_info(server, "rdb_bgsave_in_progress") or redis_saves(server) == before:
        time.sleep(0.005)


def redis_saves(server):
    return redis_info(server, "rdb_saves")


def newest_snapshot(server):
    return max(glob.glob(f"{server.data}/*/snapshots/*.snapshot"))


def snapshot(section):
    """Writes while a snapshot of a million keys is taken, and the memory that it takes."""
    lab = section.lab
    quiet, server = lab.kvstore("snapshot"), lab.kvstore("snapshot", "snapshot_interval=1")
    redis = lab.redis()
    for one in (quiet, server):
        loads.fill(lab, one)
    loads.fill_redis(redis)
    growth = []

    def load(on):
        return loads.bench(lab, on, "--mix", "set=1", "--keys", KEYS, "--rate", RATE, "--warm-up",
                           0.5, "--duration", 3, "--interval", 0.1)["latency_us"]["p99"]

    def during():
        """With one paced snapshot after the other."""
        server.reset_peak()
        before, newest = server.memory(), newest_snapshot(server)
        latency = load(server)
        growth.append(server.memory("VmHWM") / before)
        if newest_snapshot(server) == newest:
            sys.exit("no snapshot was made while the load was on")
        return latency

    def saving():
        with Saves(lambda: loads.cli(lab, quiet, "save")):
            return load(quiet)

    def peer(saving):
        if not saving:
            return loads.redis_benchmark(redis, "set", 80000, 1, 8)[1]
        with Saves(lambda: redis_save(redis)):
            return loads.redis_benchmark(redis, "set", 80000, 1, 8)[1]

    load(quiet)
    figures = section.alternate("p99 of Set, us", {
        "without": lambda: load(quiet), "during": during, "saving": saving,
        "redis without": lambda: peer(False), "redis during": lambda: peer(True)})
    section.compare(f"p99 of Set at {RATE:,}/s, open loop, during periodic snapshots / without",
                    " us", figures["during"], figures["without"], 1.3, at_most=True)
    section.target("resident at most during them / before", f"+{100 * (median(growth) - 1):.1f} %",
                   "", median(growth), 1.1, at_most=True)
    copied = redis_info(redis, "rdb_last_cow_size") / redis_info(redis, "used_memory")
    section.table("During snapshots of a million keys",
                  ["", "p99 without, us", "p99 during, us", "ratio", "memory"], [
                      [f"kvstore, open loop of {RATE:,}/s", f"{median(figures['without']):,.0f}",
                       f"{median(figures['during']):,.0f}",
                       f"{ratio(figures['during'], figures['without']):.2f}",
                       f"+{100 * (median(growth) - 1):.1f} %"],
                      ["the same, one Save after the other, at full speed",
                       f"{median(figures['without']):,.0f}", f"{median(figures['saving']):,.0f}",
                       f"{ratio(figures['saving'], figures['without']):.2f}", ""],
                      ["redis, closed loop of 8 clients, BGSAVE",
                       f"{median(figures['redis without']):,.0f}",
                       f"{median(figures['redis during']):,.0f}",
                       f"{ratio(figures['redis during'], figures['redis without']):.2f}",
                       f"+{100 * copied:.1f} % copied on write"]])
    server.stop()
    timeline(section, quiet)


def timeline(section, server):
    """One run with one snapshot in its middle."""
    lab = section.lab
    span = []

    def save():
        time.sleep(4)
        began = time.time()
        loads.cli(lab, server, "save")
        span.extend((began, time.time()))

    thread = threading.Thread(target=save)
    thread.start()
    result, rows = loads.bench(lab, server, "--mix", "set=1", "--keys", KEYS, "--rate", RATE,
                               "--warm-up", 1, "--duration", 8, "--interval", 0.2, csv_rows=True)
    thread.join()
    start = result["start_unix_ms"] / 1000
    full = [row for row in rows if row["to_s"] - row["from_s"] > 0.1]
    section.chart("p99-through-a-snapshot.svg", "lines", title="Set through a snapshot of 10^6 "
                  f"keys, {RATE:,} calls/s in an open loop", x_title="seconds (shaded: snapshot)",
                  y_title="latency of each 0.2 s, us", log_y=True,
                  spans=[[time_ - start for time_ in span]],
                  series=[[name, [[(row["from_s"] + row["to_s"]) / 2, row[f"{name}_us"]]
                                  for row in full]] for name in ("p50", "p99", "max")])


def stored(lab, keys):
    """The same data in four formats: how to start a server on each."""
    ours = {"snapshot": lab.kvstore("snapshot"), "log": lab.kvstore("aof", "fsync=no")}
    redis = {"RDB": lab.redis(), "AOF": lab.redis("--appendonly", "yes", "--appendfsync", "no")}
    for server in ours.values():
        loads.fill(lab, server, keys)
    for server in redis.values():
        loads.fill_redis(server, keys)
    loads.cli(lab, ours["snapshot"], "save")
    redis_call(redis["RDB"], "SAVE")
    for server in (*ours.values(), redis["AOF"]):
        server.stop()
    redis["RDB"].kill()
    return {"kvstore, snapshot": lambda: lab.kvstore(data=ours["snapshot"].data),
            "redis, RDB": lambda: lab.redis(data=redis["RDB"].data),
            "kvstore, log": lambda: lab.kvstore(data=ours["log"].data),
            "redis, AOF": lambda: lab.redis("--appendonly", "yes", "--appendfsync", "no",
                                            data=redis["AOF"].data)}


def keys_of(lab, server):
    if redis_call(server, "PING").startswith(b"+PONG"):
        return int(redis_call(server, "DBSIZE")[1:])
    return int(re.search(r"^keys +(\d+)", loads.cli(lab, server, "status"), re.MULTILINE).group(1))


def recovery(section):
    """The time of a start on existing data, against Redis from its own files of the same data."""
    lab = section.lab

    def seconds(start, keys):
        server = start()
        held = keys_of(lab, server)
        if held != keys:
            sys.exit(f"a start loaded {held} keys instead of {keys}")
        server.kill()
        return server.start_seconds

    groups = []
    for keys in (100000, KEYS):
        starts = stored(lab, keys)
        figures = section.alternate(f"start on {keys:,} keys, s", {
            name: lambda start=start: seconds(start, keys) for name, start in starts.items()})
        groups.append([f"{keys:,} keys", [[name, median(figures[name])] for name in figures]])
        if keys == KEYS:
            for ours, peer in (("snapshot", "RDB"), ("log", "AOF")):
                mine, other = figures[f"kvstore, {ours}"], figures[f"redis, {peer}"]
                section.target(f"load of 10^6 keys, redis' time from {peer} / ours from the {ours}",
                               f"{median(mine):.2f} s", f"{median(other):.2f} s",
                               ratio(other, mine), 3)
    section.chart("recovery.svg", "bars", title="Start on existing data, 16 + 100 bytes a key",
                  unit="seconds", groups=groups)


def memory(section):
    """Memory of a key, and how fast a snapshot is written."""
    lab = section.lab
    server, redis = lab.kvstore("snapshot"), lab.redis()
    before = server.memory(), redis.memory(), redis_info(redis, "used_memory")
    loads.fill(lab, server)
    loads.fill_redis(redis)
    time.sleep(3)  # until the allocator has given back what the burst of the fill took
    ours = (server.memory() - before[0]) / KEYS
    resident = (redis.memory() - before[1]) / KEYS
    used = (redis_info(redis, "used_memory") - before[2]) / KEYS
    section.target("memory of a key of 16 + 100 bytes, resident / redis' used_memory",
                   f"{ours:.0f} B", f"{used:.0f} B", ours / used, 0.75, at_most=True)
    section.table("Memory of a key of 16 bytes with a value of 100", ["", "bytes"],
                  [["kvstore, resident", f"{ours:.0f}"], ["redis, resident", f"{resident:.0f}"],
                   ["redis, used_memory", f"{used:.0f}"]])

    def save():
        loads.cli(lab, server, "set", "changed", str(time.monotonic()))
        began = time.monotonic()
        loads.cli(lab, server, "save")
        return time.monotonic() - began

    save()
    size = max(os.path.getsize(path) for path in
               glob.glob(f"{server.data}/*/snapshots/*"))
    figures = section.alternate("snapshot, s", {
        "disk": lambda: loads.raw(lab, "write", "FILE", size)["seconds"],
        "memory": lambda: loads.raw(lab, "copy", size)["seconds"], "snapshot": save})
    limit = [max(pair) for pair in zip(figures["disk"], figures["memory"])]
    speeds = [size / one for one in figures["snapshot"]]
    section.compare(f"snapshot of {size / 1e6:.0f} MB / the disk's or memory's limit", "B/s",
                    speeds, [size / one for one in limit], 0.7)


def scale(section):
    """What a call costs as the key space grows."""
    lab = section.lab
    sizes = (10 ** 4, 10 ** 5, 10 ** 6, 10 ** 7)
    servers = {keys: lab.kvstore("none") for keys in sizes}
    for keys, server in servers.items():
        loads.fill(lab, server, keys)

    def load(keys, mix):
        server = servers[keys]
        before = server.cpu_seconds()
        result = loads.bench(lab, server, "--mix", f"{mix}=1", "--keys", keys, "--duration", 1)
        return (server.cpu_seconds() - before) / result["calls"] * 1e6

    series = []
    for mix in ("get", "set"):
        figures = section.alternate(f"{mix}, us of the server's processor a call", {
            keys: lambda keys=keys: load(keys, mix) for keys in sizes})
        section.compare(f"{mix.capitalize()} at random, processor time a call at 10^7 keys / at "
                        "10^4", " us", figures[sizes[-1]], figures[sizes[0]], 1.3, at_most=True)
        series.append([mix.capitalize(), [[keys, median(figures[keys])] for keys in sizes]])
    section.chart("cost-as-keys-grow.svg", "lines", title="Processor time of the server a call, "
                  "random keys", x_title="keys", y_title="us", log_x=True, series=series)


def index(section):
    """The index alone, without wire and log."""
    lab = section.lab
    section.rounds = 1
    sizes = (10 ** 4, 10 ** 5, 10 ** 6, 10 ** 7)
    rows, series = [], []
    for shape in ("random", "prefix"):
        figures = section.alternate(f"index, {shape} keys", {
            keys: lambda keys=keys: loads.index(lab, keys, shape, 1) for keys in sizes})
        one = {keys: values[0] for keys, values in figures.items()}
        for kind in ("get", "set"):
            name = f"{kind}_ns"
            section.compare(f"index, {kind} of {shape} keys, 10^7 / 10^4", " ns",
                            [one[sizes[-1]][name]], [one[sizes[0]][name]], 6, at_most=True)
            series.append([f"{kind}, {shape}", [[keys, one[keys][name]] for keys in sizes]])
        rows += [[f"{short(keys)}, {shape}", *(f"{one[keys][name]:.0f}" for name in
                  ("insert_ns", "get_ns", "set_ns", "bytes_per_key"))] for keys in sizes]
    section.table("The index alone", ["keys", "insert, ns", "get, ns", "set, ns", "bytes a key"],
                  rows)
    section.chart("index.svg", "lines", title="The index alone, one thread, random keys",
                  x_title="keys", y_title="ns an operation", log_x=True, series=series)


def scan(section):
    """All of a million keys to one client, written in C; and backwards."""
    lab = section.lab
    server = lab.kvstore("none")
    loads.fill(lab, server)
    ways = {"values": ("--scan",), "keys": ("--scan=keys",), "backwards": ("--scan", "--reverse"),
            "keys backwards": ("--scan=keys", "--reverse")}
    figures = section.alternate("scan, keys/s", {
        name: lambda flags=flags: loads.bench(lab, server, *flags, "-c", 1, "-s", 1, "-n",
                                              4)["operations_per_second"]
        for name, flags in ways.items()})
    for name, what in (("values", "with values"), ("keys", "keys only")):
        rate = median(figures[name])
        section.target(f"Scan of 10^6 keys, {what}", f"{short(rate)}/s", "1.5 M/s", rate / 1.5e6, 1)
    for name, forwards in (("backwards", "values"), ("keys backwards", "keys")):
        section.compare(f"Scan of 10^6 {forwards}: backwards / forwards", "/s", figures[name],
                        figures[forwards], 0.9)
