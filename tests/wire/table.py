"""What an attack costs the server, and those beside it.

Each attack meets a server of its own, which has all its data and has settled. It is repeated for a
while; then the server settles again. A row has:

    before_mib, peak_mib, after_mib   resident memory: settled, the most of it, settled again
    processor                         time taken by the server, as a part of one processor's
    calls, p99_ms                     of the well-behaved client meanwhile
"""
import os
import shutil
import sys
import time

from field import MIB, Field

# How long an attack is repeated; how long the client runs with no attack beside it.
ATTACK_S = 1.5
ALONE_S = 3
# Memory has settled when it has not fallen for so long. What is freed goes back to the system within
# a second.
SETTLED_S = 1.2
SETTLED_MAX_S = 10
STEP_S = 0.1


def settled(process):
    """The memory when it has settled: /proc has no event for that."""
    lowest, since, begun = process.resident(), time.monotonic(), time.monotonic()
    while time.monotonic() - since < SETTLED_S and time.monotonic() - begun < SETTLED_MAX_S:
        time.sleep(STEP_S)
        now = process.resident()
        if now < lowest - MIB // 8:
            lowest, since = now, time.monotonic()
    return process.resident()


def repeat(case, field):
    """Returns how often it acted, and what went wrong."""
    count, end = 0, time.monotonic() + ATTACK_S
    try:
        while time.monotonic() < end:
            count += case(field)
    except (AssertionError, OSError) as fault:
        return count, str(fault)
    return count, ""


def measure_case(folder, wire, case):
    field = Field(os.path.join(folder, case.__name__), wire, 1, False)
    try:
        process = field.process
        before = settled(process)
        field.witness.begin()
        process.begin_peak()
        seconds, began = process.seconds(), time.monotonic()
        count, fault = repeat(case, field)
        took = time.monotonic() - began
        row = {"what": case.__name__, "count": count, "fault": fault,
               "processor": (process.seconds() - seconds) / took, **field.witness.measured(),
               "before_mib": before / MIB, "peak_mib": process.peak() / MIB,
               "after_mib": settled(process) / MIB}
    finally:
        field.close()
        shutil.rmtree(os.path.join(folder, case.__name__), ignore_errors=True)
    return row


def measure_alone(folder, wire):
    field = Field(os.path.join(folder, "alone"), wire, 1, False)
    try:
        field.witness.begin()
        time.sleep(ALONE_S)
        return field.witness.measured()
    finally:
        field.close()


def show(wire, row):
    print(f"{wire} {row['what']:<28} {row['count']:>8}x  {row['before_mib']:6.1f} MiB, peak "
          f"{row['peak_mib']:7.1f}, after {row['after_mib']:6.1f}  processor {row['processor']:4.2f}  "
          f"p99 {row['p99_ms']:7.2f} ms of {row['calls']:5}  {row['fault'][:100]}",
          file=sys.stderr, flush=True)


def measure(folder, wire, cases):
    """The rows of an engine, and the well-behaved client with no attack beside it."""
    alone, rows = measure_alone(folder, wire), []
    print(f"{wire} no attack: p99 {alone['p99_ms']:.2f} ms of {alone['calls']}", file=sys.stderr)
    for case in cases:
        rows.append(measure_case(folder, wire, case))
        show(wire, rows[-1])
    return {"alone": alone, "rows": rows}
