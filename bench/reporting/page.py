"""docs/performance.md and its charts, from the results of the sections."""
import os

from reporting import svg
from reporting.lab import WIRE

# What was learnt from profiles, by hand.
LIMITS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "limits.md")

INTRODUCTION = """# Performance

Measured by `bench/report BUILD_DIR`, which wrote this page. It compares each figure with a
ceiling or a peer **in the same run, in alternating rounds**; the ratio is the median of the
ratios of the rounds, because what disturbs a round disturbs both sides of it. Absolute figures
are those of one machine, shared by the server and the client that loads it.

- **Engines**: `http2` and `grpc`, as `kvstore-server --wire` names them; where a section does not
  compare them, `{wire}`.
- **Ceilings**: `kvstore-empty-server`, which answers on the same library with as many threads and
  does nothing else: bare nghttp2 is the ceiling of `http2`, the bare C core of gRPC that of `grpc`;
  `write` and `fdatasync` of the same bytes (`kvstore-raw-io`); a copy in memory.
- **Peers**: {peers}.
- **Clients**: `h2load`, which takes least of the machine, where the wire is measured; otherwise
  `kvstore-bench` ([page](kvstore-bench.md)), and `redis-benchmark` for Redis.
- 8x16 means 8 connections with 16 calls in flight on each. Redis, which answers the calls of one
  connection one after the other, is measured where one is in flight on each, without a pipeline.
- Keys have 16 bytes, values 100. Processor time is that of the server, user and system, over the
  calls.

Machine: {machine}.
"""

TITLES = {"wire": "Calls", "sync": "Durability", "batch": "Batches",
          "connections": "Many connections", "workers": "Workers", "tls": "TLS",
          "peers": "Other servers, latency",
          "snapshot": "During a snapshot", "recovery": "Recovery", "memory": "Memory and snapshots",
          "scale": "Growth of the key space", "index": "The index", "scan": "Scans",
          "conditions": "Versions and conditions", "transactions": "Transactions",
          "watch": "Watches", "expiry": "Expiry"}


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def target_rows(targets):
    return [[target["what"], target["ours"], target["peer"], f"{target['ratio']:.2f}",
             f"{'<=' if target['at_most'] else '>='} {target['bound']:g}",
             "met" if target["met"] else "**MISSED**"] for target in targets]


HEAD = ["what", "kvstore", "compared with", "ratio", "target", ""]


def print_targets(sections):
    rows = [HEAD, *target_rows([target for section in sections for target in section["targets"]])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.replace("*", "").ljust(width)
                        for cell, width in zip(row, widths)).rstrip())


# Share of the processors taken before a section from which on something else was running.
BUSY = 0.1


def is_busy(section):
    return section.get("busy", BUSY) >= BUSY


def section_lines(name, section):
    lines = ["", f"## {TITLES[name]}", "",
             f"{section['about']} {section['rounds']} "
             f"{'round' if section['rounds'] == 1 else 'rounds'}, {section['date']}."]
    if section["targets"]:
        lines += ["", *table(HEAD, target_rows(section["targets"]))]
    for one in section["tables"]:
        lines += ["", f"{one['title']}:", "", *table(one["head"], one["rows"])]
    for chart in section["charts"]:
        lines += ["", f"![{chart['title']}](performance/{chart['file']})"]
    return lines


def write(docs, results):
    folder = os.path.join(docs, "performance")
    os.makedirs(folder, exist_ok=True)
    sections = results["sections"]
    lines = INTRODUCTION.format(wire=WIRE, **results["about"]).splitlines()
    met = [target["met"] for section in sections.values() for target in section["targets"]]
    lines += ["", f"**{sum(met)} of {len(met)} targets are met.**"]
    busy = [name for name in TITLES if name in sections and is_busy(sections[name])]
    if busy:
        lines += ["", f"**The machine did other work, too, during: {', '.join(busy)}.** Do not "
                  "rely on these figures; measure them again on an idle machine."]
    missing = [name for name in TITLES if name not in sections]
    if missing:
        lines += ["", "Not measured: " + ", ".join(missing) + "."]
    for name in TITLES:
        if name not in sections:
            continue
        lines += section_lines(name, sections[name])
        for chart in sections[name]["charts"]:
            with open(os.path.join(folder, chart["file"]), "w") as file:
                file.write(svg.draw(chart))
    with open(LIMITS) as file:
        lines += ["", file.read().rstrip()]
    with open(os.path.join(docs, "performance.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
