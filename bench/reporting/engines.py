"""Servers under the same load in the same rounds: both engines, what bounds them, and Redis."""
from reporting import loads
from reporting.lab import WIRES
from reporting.section import column, median, ratio
from reporting.svg import short

SHAPES = {"8x16": (8, 16), "50x1": (50, 1), "128x1": (128, 1), "1x1": (1, 1)}
SECONDS = 0.6  # of one load

# The engine that is measured against the others, and what it shall be: of the other's rate at
# least, of its processor time a call at most.
OURS = WIRES[0]
ALONE = {"rate": {"grpc": 1.4, "bare nghttp2": 0.95, "redis": 0.85}, "cpu_us": {"grpc": 0.3}}
MANY = {"rate": {"grpc": 1.9, "redis": 1.0}, "cpu_us": {"grpc": 0.5, "redis": 1.3}}
TARGETS = {"8x16": {"rate": {"grpc": 3.5, "bare nghttp2": 0.9},
                    "cpu_us": {"grpc": 0.2, "bare nghttp2": 1.2}},
           "50x1": MANY, "128x1": MANY, "1x1": ALONE}
TARGETS_ALWAYS = {"8x16": {"rate": {"grpc": 2.2}, "cpu_us": {"grpc": 0.3}},
                  "50x1": {"rate": {"redis": 1.0}},
                  "128x1": {"rate": {"redis": 0.9}, "cpu_us": {"grpc": 0.5}},
                  "1x1": {"rate": {"redis": 1.0}}}
TARGETS_BATCH = {"rate": {"grpc": 1.2}, "cpu_us": {"grpc": 0.7}}
# What the server adds to a call on the engine that is slower by itself.
TARGETS_GRPC = {"8x16": {"rate": {"bare C core": 0.95}}, "50x1": {"rate": {"bare C core": 0.95}},
                "1x1": {"rate": {"bare C core": 0.91}}}


class Contender:
    """A server, and how to load it: `load(method, calls, connections, streams)` returns calls a
    second."""

    def __init__(self, server, load):
        self.server = server
        self.load = load

    def measure(self, method, calls, shape):
        before = self.server.cpu_seconds()
        rate = self.load(method, calls, *shape)
        return {"rate": rate, "cpu_us": (self.server.cpu_seconds() - before) / calls * 1e6}


def by_h2load(lab, server, cpus=None):
    return Contender(server, lambda method, *load: loads.h2load(
        lab, server, loads.request(method), *load, cpus=cpus))


def by_call(lab, server, call):
    """Always the same call, whatever the method is named."""
    return Contender(server, lambda _, *load: loads.h2load(lab, server, call, *load))


def by_redis_benchmark(server):
    """Without a pipeline, so that one connection has one call in flight."""
    return Contender(server, lambda method, calls, connections, _: loads.redis_benchmark(
        server, method.lower(), calls, 1, connections, keys=1)[0])


def race(section, what, method, shape, contenders):
    """Figures of each contender by name, one of each a round. How many calls a load has follows
    from the rate of a first one, so that all take as long and warm up."""
    at_least = max(1000, 100 * shape[0] * shape[1])
    calls = {name: max(at_least, round(SECONDS * one.load(method, at_least, *shape)))
             for name, one in contenders.items()}
    return section.alternate(what, {
        name: lambda name=name, one=one: one.measure(method, calls[name], shape)
        for name, one in contenders.items()})


def judge(section, what, figures, targets, ours=OURS):
    for key, text, unit, at_most in (("rate", "rate", "/s", False),
                                     ("cpu_us", "processor time a call", " us", True)):
        for peer, bound in targets.get(key, {}).items():
            section.compare(f"{what}, {text}: {ours} / {peer}", unit,
                            column(figures[ours], key), column(figures[peer], key), bound, at_most)


def tabulate(section, title, rows, unit="call"):
    """Rates and processor times of all; `rows`: pairs of what was called and its figures."""
    names = []
    for _, figures in rows:
        names += [name for name in figures if name not in names]

    def cells(figures, key, text):
        return [text(median(column(figures[name], key))) if name in figures else "–"
                for name in names]

    section.table(f"{title}, {unit}s a second", [unit, *names],
                  [[what, *cells(figures, "rate", short)] for what, figures in rows])
    section.table(f"{title}, processor time of the server in microseconds a {unit}",
                  [unit, *names, f"{OURS} / grpc"],
                  [[what, *cells(figures, "cpu_us", "{:.2f}".format),
                    f"{ratio(*(column(figures[name], 'cpu_us') for name in WIRES)):.2f}"]
                   for what, figures in rows])


def bars(rows, key="rate"):
    """The groups of a chart of the same figures."""
    return [[what, [[name, median(column(values, key))] for name, values in figures.items()]]
            for what, figures in rows]


def contenders_of(shape, contenders):
    """Redis answers the calls of one connection one after the other, pipelined or not."""
    return {name: one for name, one in contenders.items() if name != "redis" or shape[1] == 1}


def wire(section):
    """Mode none on both engines, beside a bare handler on the library of each, and Redis without a
    pipeline."""
    lab = section.lab
    contenders = {
        **{wire: by_h2load(lab, lab.kvstore("none", wire=wire)) for wire in WIRES},
        "bare nghttp2": by_h2load(lab, lab.empty("http2")),
        "bare C core": by_h2load(lab, lab.empty("grpc")), "redis": by_redis_benchmark(lab.redis())}
    rows = []
    for method in ("Set", "Get"):
        for name, shape in SHAPES.items():
            what = f"{method} {name}"
            figures = race(section, what, method, shape, contenders_of(shape, contenders))
            judge(section, what, figures, TARGETS[name])
            judge(section, what, figures, TARGETS_GRPC.get(name, {}), "grpc")
            rows.append([what, figures])
    tabulate(section, "Mode none", rows)
    section.chart("calls.svg", "bars", title="Calls a second, mode none", unit="calls/s",
                  groups=bars(rows))
    section.chart("processor-time.svg", "bars", title="Processor time of the server a call",
                  unit="us", groups=bars(rows, "cpu_us"))


def always(section, servers, redis):
    """Set with each call on the disk before its answer; `servers` by the name of the engine."""
    contenders = {**{name: by_h2load(section.lab, server) for name, server in servers.items()},
                  "redis": by_redis_benchmark(redis)}
    rows = []
    for name, shape in SHAPES.items():
        what = f"Set {name}, fsync=always"
        figures = race(section, what, "Set", shape, contenders_of(shape, contenders))
        judge(section, what, figures, TARGETS_ALWAYS[name])
        rows.append([f"Set {name}", figures])
    tabulate(section, "fsync=always, redis with appendfsync always", rows)
    section.chart("sets-on-the-disk.svg", "bars", unit="calls/s",
                  title="Set, each on the disk before its answer", groups=bars(rows))
