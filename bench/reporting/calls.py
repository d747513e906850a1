"""Sections about calls: durability, batches, other servers."""
import os

from reporting import engines, loads
from reporting.lab import WIRE, WIRES
from reporting.section import column, median

CALLS = 60000


def p50_alone(lab, server, mix="set=1"):
    """Of one call at a time, in microseconds."""
    return loads.bench(lab, server, "-c", 1, "-s", 1, "--mix", mix, "--warm-up", 0.2, "--duration",
                       1)["latency_us"]["p50"]


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
    """What durability costs: both engines beside Redis, each mode, and what the disk can do."""
    lab = section.lab
    size = record_size(lab)
    empty = lab.empty()
    servers = {name: lab.kvstore(*mode) for name, mode in MODES.items()}
    on_disk = {wire: servers["aof, always"] if wire == WIRE else
               lab.kvstore("aof", "fsync=always", wire=wire) for wire in WIRES}
    engines.always(section, on_disk, lab.redis("--appendonly", "yes", "--appendfsync", "always"))
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
    modes = {"none": (("none",), ()),
             "everysec": (("aof", "fsync=everysec"),
                          ("--appendonly", "yes", "--appendfsync", "everysec")),
             "always": (("aof", "fsync=always"),
                        ("--appendonly", "yes", "--appendfsync", "always"))}
    servers = {name: {**{wire: lab.kvstore(*ours, wire=wire) for wire in WIRES},
                      "redis": lab.redis(*theirs)} for name, (ours, theirs) in modes.items()}
    rows = []
    for what, kind, mode in [*((f"Set, {name}", "set", name) for name in modes),
                             ("Get", "get", "none")]:
        if kind == "set":
            for name, server in servers[mode].items():
                loads.fill_redis(server) if name == "redis" else loads.fill(lab, server)
        figures = section.alternate(f"{what}, operations/s", {
            name: lambda name=name: operations(lab, name, servers[mode][name], kind)
            for name in servers[mode]})
        one = f"{what}: Batch of 100"
        section.compare(f"{one} / redis -P 100, 4 connections", "/s",
                        column(figures[WIRE], "rate"), column(figures["redis"], "rate"), 2)
        if mode == "none":
            engines.judge(section, f"{one}, 4 connections", figures, engines.TARGETS_BATCH)
        rows.append([what, figures])
    engines.tabulate(section, "100 operations a message, 4 connections, 10^6 keys", rows,
                     "operation")
    section.chart("batch.svg", "bars", title="100 operations a message, 4 connections, 10^6 keys",
                  unit="operations/s", groups=engines.bars(rows))


def operations(lab, name, server, kind):
    """100 of them a message, on 4 connections."""
    before, count = server.cpu_seconds(), 400000
    if name == "redis":
        rate = loads.redis_benchmark(server, kind, count)[0]
    else:
        result = loads.bench(lab, server, "--batch", 100, "-c", 4, "-s", 1, "--mix", f"{kind}=1",
                             "--keys", loads.KEYS, "--duration", 1)
        rate, count = result["operations_per_second"], result["operations"]
    return {"rate": rate, "cpu_us": (server.cpu_seconds() - before) / count * 1e6}


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
