"""What an attack costs the server, and those beside it.

The server has data, and has settled. An attack is repeated for a while; then the server settles again.
A row has:

    before_mib, peak_mib, after_mib   resident memory: settled, the most of it, settled again
    processor                         time taken by the server, as a part of one processor's
    calls, p99_ms                     of the well-behaved client meanwhile
    fault                             what the server did wrong, or nothing

Where it did wrong, or has not got back to the memory of its beginning, the next attack meets a new one.
"""
import os
import shutil
import sys
import threading
import time

from field import MIB, Field

# The data is some 100 MiB.
VALUE_SIZE = 4000
# How long an attack is repeated; how long the client runs with no attack beside it.
ATTACK_S = 1
ALONE_S = 3
# Memory has settled when it has not fallen for so long. What is freed goes back to the system within
# a second, and pools shrink within four.
SETTLED_S = 1.5
SETTLED_MAX_S = 8
STEP_S = 0.1
BACK = 1.05
# The attacker would have a machine of its own. Here it gets what server and client leave.
NICE = 10


def settled(process, wanted=0):
    """The memory when it has settled, or is back at what is wanted: /proc has no event for that."""
    lowest, since, begun = process.resident(), time.monotonic(), time.monotonic()
    while time.monotonic() - since < SETTLED_S and time.monotonic() - begun < SETTLED_MAX_S and \
            lowest > wanted:
        time.sleep(STEP_S)
        now = process.resident()
        if now < lowest - MIB // 8:
            lowest, since = now, time.monotonic()
    return process.resident()


def repeat(case, field, result):
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    end = time.monotonic() + ATTACK_S
    try:
        while time.monotonic() < end:
            result["count"] += case(field)
    except (AssertionError, OSError) as fault:
        result["fault"] = str(fault)


def measure_case(field, case):
    process = field.process
    row = {"what": case.__name__, "count": 0, "fault": "", "before_mib": process.resident() / MIB}
    field.witness.begin()
    process.begin_peak()
    seconds, began = process.seconds(), time.monotonic()
    attacker = threading.Thread(target=repeat, args=(case, field, row))
    attacker.start()
    attacker.join()
    took = time.monotonic() - began
    try:
        row.update(field.witness.measured())
        row["processor"] = (process.seconds() - seconds) / took
        row["peak_mib"] = process.peak() / MIB
        row["after_mib"] = settled(process, row["before_mib"] * MIB * BACK) / MIB
    except (AssertionError, OSError) as fault:
        row["fault"] = row["fault"] or str(fault)
    return row


def begin(folder, wire, number):
    field = Field(os.path.join(folder, f"{wire}{number}"), wire, number, False, VALUE_SIZE)
    settled(field.process)
    return field


def end(field):
    field.close()
    shutil.rmtree(os.path.dirname(field.server.data), ignore_errors=True)


def show(wire, row):
    print(f"{wire} {row['what']:<28} {row['count']:>8}x  {row['before_mib']:6.1f} MiB, peak "
          f"{row.get('peak_mib', 0):7.1f}, after {row.get('after_mib', 0):6.1f}, processor "
          f"{row.get('processor', 0):4.2f}, p99 {row.get('p99_ms', 0):7.2f} ms of "
          f"{row.get('calls', 0):5} {row['fault'][:100]}", file=sys.stderr, flush=True)


def measure(folder, wire, cases):
    """The rows of an engine, and the well-behaved client with no attack beside it."""
    rows, field = [], begin(folder, wire, 0)
    try:
        field.witness.begin()
        time.sleep(ALONE_S)
        alone = field.witness.measured()
        print(f"{wire} no attack: p99 {alone['p99_ms']:.2f} ms of {alone['calls']}", file=sys.stderr)
        limit = field.process.resident() * BACK / MIB
        for number, case in enumerate(cases, 1):
            field = field or begin(folder, wire, number)
            rows.append(measure_case(field, case))
            show(wire, rows[-1])
            if rows[-1]["fault"] or rows[-1]["after_mib"] > limit:
                end(field)
                field = None
    finally:
        if field:
            end(field)
    return {"alone": alone, "rows": rows}
