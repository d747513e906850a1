"""Sections about what a key-value store has beyond get and set: versions and conditions,
transactions, watches, expiry."""
import re
import sys
import time

import grpc

from reporting import loads
from reporting.engines import SHAPES, by_call, race
from reporting.lab import redis_info
from reporting.section import column, median
from reporting.svg import short

SERVICE = "/kvstore.v1.KeyValueService/"
KEY = b"key:%012d" % 1
VALUE = b"v" * loads.VALUE_SIZE
PUT = loads.field(1, KEY) + loads.field(2, VALUE)


def number(tag, value):
    return loads.varint(tag << 3) + loads.varint(value)


def conditions(section):
    """What versions and conditions cost a call, beside the old service's Set and Get, which have
    neither, on the same key of the same server, mode none."""
    lab = section.lab
    server = lab.kvstore("none")
    exists = loads.field(4, number(1, 1))
    same_value = loads.field(4, loads.field(3, VALUE))
    calls = {"Set": {"old": loads.request("Set"), "new": loads.Request(SERVICE + "Set", PUT),
                     "if it exists": loads.Request(SERVICE + "Set", PUT + exists),
                     "if it has the value": loads.Request(SERVICE + "Set", PUT + same_value)},
             "Get": {"old": loads.request("Get"),
                     "new": loads.Request(SERVICE + "Get", loads.field(1, KEY))}}
    rows = []
    for method, variants in calls.items():
        figures = race(section, method, method, SHAPES["8x16"], {
            name: by_call(lab, server, call) for name, call in variants.items()})
        conditional = "if it exists" if method == "Set" else "new"
        plain = "new" if method == "Set" else "old"
        what = "on condition / without one" if method == "Set" else "with version / without"
        for key, unit, bound in (("rate", "/s", 0.95), ("cpu_us", " us", 1 / 0.95)):
            section.compare(f"{method} 8x16 {what}, {'rate' if bound < 1 else 'processor time'}",
                            unit, column(figures[conditional], key), column(figures[plain], key),
                            round(bound, 2), at_most=bound > 1)
        rows += [[f"{method}, {name}", short(median(column(one, "rate"))),
                  f"{median(column(one, 'cpu_us')):.2f}"] for name, one in figures.items()]
    section.table("8 connections x 16 calls in flight; `old`: kvstore.KeyValueStore, all others: "
                  "kvstore.v1.KeyValueService", ["call", "calls/s", "server's us a call"], rows)


def transactions(section):
    """Ten sets at once, on the disk before they are answered: Transaction with fsync=always beside
    etcd's Txn, the same message to both."""
    lab = section.lab
    servers = {"kvstore": (lab.kvstore("aof", "fsync=always"), SERVICE + "Transaction"),
               "etcd": (lab.etcd(), "/etcdserverpb.KV/Txn")}
    message = b"".join(loads.field(2, loads.field(2, loads.field(1, b"key:%012d" % i) +
                                                  loads.field(2, VALUE))) for i in range(10))
    rows = []
    for name, bound in (("8x16", 3), ("50x1", 3), ("1x1", None)):
        figures = race(section, f"of 10, {name}", "", SHAPES[name], {
            who: by_call(lab, server, loads.Request(path, message))
            for who, (server, path) in servers.items()})
        if bound:
            section.compare(f"Transaction of 10 sets, {name}, fsync=always: kvstore / etcd", "/s",
                            column(figures["kvstore"], "rate"), column(figures["etcd"], "rate"),
                            bound)
        rows.append([name, *(short(median(column(figures[who], "rate"))) for who in servers),
                     *(short(median(column(figures[who], "cpu_us"))) for who in servers)])
    section.table("Transactions of 10 sets. With one call in flight the disk decides",
                  ["calls", "kvstore, /s", "etcd, /s", "kvstore, us a call", "etcd, us a call"],
                  rows)


WRITES = 10000  # a second, of the open loop beside a watcher


def watch(section):
    """One watcher of all keys: how many events it gets in a second, how late they are, and what
    watches cost the writes."""
    lab = section.lab
    server = lab.kvstore("none")
    loads.fill(lab, server)

    def batches(*flags):
        before = server.cpu_seconds()
        result = loads.bench(lab, server, "--mix", "set=1", "--batch", 100, "-c", 4, "-s", 1,
                             "--keys", loads.KEYS, "--duration", 2, *flags)
        used = server.cpu_seconds() - before
        return {"events": result.get("events_per_second", 0.0),
                "cpu_us": used / result["operations"] * 1e6}

    def paced(*flags):
        return loads.bench(lab, server, "--mix", "set=1", "--rate", WRITES, "--keys", loads.KEYS,
                           "--warm-up", 0.3, "--duration", 2, *flags)

    figures = section.alternate("batches of 100 sets", {
        "none": batches, "one": lambda: batches("--watchers", 1)})
    events = column(figures["one"], "events")
    section.target("events a second to one watcher, batches of 100 sets", f"{short(median(events))}"
                   "/s", "300 k/s", median(events) / 300e3, 1)
    delays = section.alternate(f"{WRITES:,} sets a second, us", {
        "watched": lambda: paced("--watchers", 1)["delay_us"]["p50"]})["watched"]
    section.target(f"median delay of an event behind its acknowledgement, {WRITES:,} sets a second",
                   f"{median(delays):,.0f} us", "1,000 us", median(delays) / 1000, 1, at_most=True)
    section.table("Batches of 100 sets, 4 connections",
                  ["watchers", "events/s", "server's us a set"],
                  [[name, short(median(column(one, "events"))) if name == "one" else "–",
                    f"{median(column(one, 'cpu_us')):.2f}"] for name, one in figures.items()])


EXPIRING = 10000000
FILL_SECONDS = 60   # from before they are set until they expire
FEW = 1000          # keys of the calls beside them, that never expire
PART = 1000


def fill_expiring(server, expire_time_ms):
    """All with the same time, a batch of a part at once, of which only the digits change."""
    sets = (loads.field(1, b"exp:%012d" % i) + loads.field(2, VALUE) +
            loads.field(3, number(2, expire_time_ms)) for i in range(PART))
    batch = b"".join(loads.field(1, loads.field(2, one)) for one in sets)
    with grpc.insecure_channel(server.address) as channel:
        send = channel.unary_unary(SERVICE + "Batch")
        for part in range(EXPIRING // PART):
            send(batch.replace(b"exp:%09d" % 0, b"exp:%09d" % part), timeout=60)


def expiring_redis(section):
    """Bytes that redis uses for each such key."""
    server = section.lab.redis()
    before = redis_info(server, "used_memory")
    loads.fill_redis(server, EXPIRING, b"exp:", int((time.time() + 10000) * 1000))
    used = (redis_info(server, "used_memory") - before) / EXPIRING
    server.stop()
    return used


def expiring(section, mode, *options):
    """Bytes of each key, and latencies before and while all expire."""
    lab = section.lab
    server = lab.kvstore(mode, *options)
    loads.fill(lab, server, FEW)
    before, due = server.memory(), time.time() + FILL_SECONDS
    fill_expiring(server, int(due * 1000))
    size = (server.memory() - before) / EXPIRING

    def beside(seconds):
        return loads.bench(lab, server, "--keys", FEW, "-c", 8, "-s", 1, "--rate", 2000,
                           "--duration", seconds)["latency_us"]

    quiet = beside(10)
    if time.time() > due - 2:
        sys.exit(f"{EXPIRING:,} keys were not set within {FILL_SECONDS} seconds")
    time.sleep(due - 1 - time.time())
    during = beside(30)
    held = int(re.search(r"^keys +(\d+)", loads.cli(lab, server, "status"), re.MULTILINE).group(1))
    server.stop()
    return size, quiet, during, held


def expiry(section):
    """Ten million keys that expire in the same second, and beside them 2,000 calls a second, half Get
    and half Set, on 8 connections; and the memory of a key that has a time."""
    rows, theirs = [], expiring_redis(section)
    for mode, options in {"none": (), "aof": ("fsync=everysec",)}.items():
        size, quiet, during, held = expiring(section, mode, *options)
        if held > FEW:
            sys.exit(f"{held:,} keys are still held")
        section.target(f"p99.9 of calls while 10^7 keys expire, mode {mode}",
                       f"{during['p99.9'] / 1000:.1f} ms", "10 ms", during["p99.9"] / 10000, 1,
                       at_most=True)
        if mode == "none":
            section.target("memory of a key of 16 + 100 bytes with a time, resident / redis' "
                           "used_memory", f"{size:.0f} B", f"{theirs:.0f} B", size / theirs, 0.78,
                           at_most=True)
        rows.append([mode, *(f"{one[name] / 1000:.2f}" for one in (quiet, during)
                             for name in ("p50", "p99", "p99.9", "max"))])
    section.table("Latency in milliseconds, before and during",
                  ["mode", *(f"{name}, {when}" for when in ("before", "during")
                             for name in ("p50", "p99", "p99.9", "max"))], rows)
