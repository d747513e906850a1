"""Sections about calls: the wire, durability, batches, other servers."""
import os

from reporting import loads
from reporting.section import column, median, ratio

SHAPES = ((8, 16), (50, 1))
CALLS = 60000


def p50_alone(lab, server, mix="set=1"):
    """Of one call at a time, in microseconds."""
    return loads.bench(lab, server, "-c", 1, "-s", 1, "--mix", mix, "--warm-up", 0.2, "--duration",
                       1)["latency_us"]["p50"]


def wire(section):
    """Mode none against an empty handler on the same gRPC: what the server adds to a call."""
    lab = section.lab
    servers = {"empty": lab.empty(), "kvstore": lab.kvstore("none")}
    costs = []

    def load(name, method, shape):
        server = servers[name]
        before = server.cpu_seconds()
        rate = loads.h2load(lab, server, method, CALLS, *shape)
        return {"rate": rate, "cpu_us": (server.cpu_seconds() - before) / CALLS * 1e6}

    for method in ("Set", "Get"):
        for shape in SHAPES:
            load("empty", method, shape), load("kvstore", method, shape)  # warm up
            figures = section.alternate(f"{method} {shape[0]}x{shape[1]}", {
                name: lambda name=name: load(name, method, shape) for name in servers})
            section.compare(f"{method} at {shape[0]}x{shape[1]}, mode none / empty handler", "/s",
                            column(figures["kvstore"], "rate"), column(figures["empty"], "rate"),
                            0.95)
            cpu = {name: column(values, "cpu_us") for name, values in figures.items()}
            costs.append([f"{method} {shape[0]}x{shape[1]}",
                          *(f"{median(cpu[name]):.1f}" for name in ("kvstore", "empty")),
                          f"{ratio(cpu['kvstore'], cpu['empty']):.2f}"])
    for mix in ("set", "get"):
        figures = section.alternate(f"p50 of {mix} alone", {
            name: lambda name=name: p50_alone(lab, servers[name], f"{mix}=1") for name in servers})
        section.compare(f"{mix.capitalize()} at 1x1, median latency / empty handler", " us",
                        figures["kvstore"], figures["empty"], 1.1, at_most=True)
    section.table("Processor time of the server, microseconds a call",
                  ["call", "kvstore", "empty handler", "ratio"], costs)


MODES = {"none": ("none",), "snapshot": ("snapshot",), "aof, no": ("aof", "fsync=no"),
         "aof, everysec": ("aof", "fsync=everysec"), "aof, always": ("aof", "fsync=always"),
         "hybrid, always": ("hybrid", "fsync=always")}


def record_size(lab):
    """Bytes that a set of a batch takes in the log."""
    server = lab.kvstore("aof", "fsync=no")
    loads.fill(lab, server, 20000)
    server.stop()
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(server.data) for name in names
               if name.endswith(".log")) / 20000


def sync(section):
    """What durability costs: each mode, and fsync=always against what the disk can do."""
    lab = section.lab
    size = record_size(lab)
    empty = lab.empty()
    servers = {name: lab.kvstore(*mode) for name, mode in MODES.items()}
    rates = section.alternate("Set 8x16", {
        name: lambda server=server: loads.h2load(lab, server, "Set", CALLS // 2, 8, 16)
        for name, server in {"empty handler": empty, **servers}.items()})
    section.compare("Set at 8x16, fsync=always / none", "/s", rates["aof, always"], rates["none"],
                    0.8)
    section.chart("throughput-by-mode.svg", "bars", title="Set, 8 connections x 16 calls in flight",
                  unit="calls/s", groups=[[name, [["", median(values)]]]
                                          for name, values in rates.items()])
    always = servers["aof, always"]
    for count in (100, 1000):
        figures = section.alternate(f"Batch of {count}, bytes/s", {
            "raw": lambda: loads.raw(lab, "sync", "FILE", round(size * count),
                                     1)["bytes_per_second"],
            "kvstore": lambda: size * loads.bench(
                lab, always, "--batch", count, "-c", 8, "-s", 1, "--mix", "set=1", "--duration",
                1)["operations_per_second"]})
        section.compare(f"Batches of {count} sets, 8 at once / write+fdatasync of {count} records",
                        "B/s", figures["kvstore"], figures["raw"], 0.9)
    figures = section.alternate("alone, us", {
        "raw": lambda: loads.raw(lab, "sync", "FILE", 150, 1)["p50_us"],
        "empty": lambda: p50_alone(lab, empty), "kvstore": lambda: p50_alone(lab, always)})
    section.compare("Set at 1x1, fsync=always, median latency / (fdatasync of 150 bytes + empty "
                    "handler)", " us", figures["kvstore"],
                    [disk + call for disk, call in zip(figures["raw"], figures["empty"])], 1.25,
                    at_most=True)


def batch(section):
    """Many operations a message, against Redis with as many in its pipeline."""
    lab = section.lab
    pairs = {"none": (lab.kvstore("none"), lab.redis()),
             "everysec": (lab.kvstore("aof", "fsync=everysec"),
                          lab.redis("--appendonly", "yes", "--appendfsync", "everysec")),
             "always": (lab.kvstore("aof", "fsync=always"),
                        lab.redis("--appendonly", "yes", "--appendfsync", "always"))}
    groups = []
    for what, kind, (ours, redis) in [
            *((f"Set, {name}", "set", pair) for name, pair in pairs.items()),
            ("Get", "get", pairs["none"])]:
        loads.fill(lab, ours)
        loads.fill_redis(redis)
        figures = section.alternate(f"{what}, operations/s", {
            "redis": lambda: loads.redis_benchmark(redis, kind, 400000)[0],
            "kvstore": lambda: loads.bench(
                lab, ours, "--batch", 100, "-c", 4, "-s", 1, "--mix", f"{kind}=1", "--keys",
                loads.KEYS, "--duration", 1)["operations_per_second"]})
        section.compare(f"{what}: Batch of 100 / redis -P 100, 4 connections", "/s",
                        figures["kvstore"], figures["redis"], 2)
        groups.append([what, [[name, median(figures[name])] for name in ("kvstore", "redis")]])
    section.chart("batch.svg", "bars", title="100 operations a message, 4 connections, 10^6 keys",
                  unit="operations/s", groups=groups)


ETCD = ("--set-method", "/etcdserverpb.KV/Put", "--get-method", "/etcdserverpb.KV/Range")
# Of the percentiles: the axis is the number of nines.
NINES = ((50, "p50"), (90, "p90"), (99, "p99"), (99.9, "p99.9"), (99.99, "p99.99"))


def peers(section):
    """Single sets on the disk before they are answered; and latency at a rate all can hold."""
    lab = section.lab
    servers = {"empty handler": lab.empty(), "none": lab.kvstore("none"),
               "aof, everysec": lab.kvstore("aof", "fsync=everysec"),
               "aof, always": lab.kvstore("aof", "fsync=always"), "etcd": lab.etcd()}
    redis = lab.redis("--appendonly", "yes", "--appendfsync", "always")

    def load(name, *flags):
        return loads.bench(lab, servers[name], "--mix", "set=1", *(ETCD if name == "etcd" else ()),
                           *flags)

    rows = []
    for what, flags, clients in (("128 at once", (), 128), ("1 at a time", ("-c", 1, "-s", 1), 1)):
        figures = section.alternate(f"sets on the disk, {what}", {
            "kvstore": lambda: load("aof, always", *flags, "--duration", 1)["calls_per_second"],
            "etcd": lambda: load("etcd", *flags, "--duration", 1)["calls_per_second"],
            "redis": lambda: loads.redis_benchmark(redis, "set", 500 * clients ** 0.8 // 1 + 500,
                                                   1, clients)[0]})
        rows.append([what, *(f"{median(figures[name]):,.0f}"
                             for name in ("kvstore", "redis", "etcd"))])
    section.table("Sets a second, each on the disk before it is answered (kvstore fsync=always, "
                  "redis appendfsync always, etcd; one node each)",
                  ["calls in flight", "kvstore", "redis", "etcd"], rows)
    series = []
    for name in servers:
        curve = dict(map(tuple, load(name, "--rate", 1000, "--warm-up", 1, "--duration",
                                     5)["latency_curve"]))
        series.append([name, [[i, curve[p]] for i, (p, _) in enumerate(NINES)]])
    section.chart("latency-by-percentile.svg", "lines", title="Set, 1,000 calls/s in an open loop",
                  x_title="percentile", y_title="latency, us", series=series, log_y=True,
                  labels=[[i, label] for i, (_, label) in enumerate(NINES)])
    section.table("Latency of Set in microseconds, 1,000 calls/s in an open loop",
                  ["server", *(label for _, label in NINES)],
                  [[name, *(f"{us:,.0f}" for _, us in points)] for name, points in series])
