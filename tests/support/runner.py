"""What the harnesses' entry points, tests/FOLDER/run, share: arguments, the paths of programs,
independent parts on all cores, and the report."""
import argparse
import concurrent.futures
import json
import multiprocessing
import os
import random
import sys
import time

SUPPORT = os.path.dirname(os.path.abspath(__file__))


def parser(about):
    arguments = argparse.ArgumentParser(description=about,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("build", help="build folder: holds bin/ and plugins-built/")
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--json", metavar="FILE")
    arguments.add_argument("--wire", metavar="ENGINE", help="carries the calls; else the default one")
    return arguments


def prepare(chosen, folder):
    """Chooses a seed if none was given, and sets the paths of the programs and of the harness's
    modules for this process and its children. Call it before importing the harness's modules."""
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(1 << 32)
    if chosen.wire:
        os.environ["KVSTORE_TEST_WIRE"] = chosen.wire
    build = os.path.abspath(chosen.build)
    os.environ["KVSTORE_TEST_BIN"] = os.path.join(build, "bin")
    os.environ["KVSTORE_TEST_PLUGINS"] = os.path.join(build, "plugins-built")
    os.environ["KVSTORE_TEST_BAD_PLUGINS"] = os.path.join(build, "plugins-test")
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join((folder, SUPPORT))


def in_parallel(function, tasks):
    """The results of the tasks, in order. They run in several processes, since one Python process
    uses one core."""
    if not tasks:
        sys.exit("nothing was run: no task is chosen")
    processes = min(len(tasks), len(os.sched_getaffinity(0)))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(function, tasks))


def report(chosen, name, began, rows):
    """Prints the table, writes the JSON file, and returns the exit code. A row is a dictionary with
    `what`, `count`, `failures` and further numbers, the same in each row. A run that tried nothing
    fails, as it proves nothing."""
    if not any(row["count"] for row in rows):
        sys.exit(f"nothing was run: {name} has counted nothing")
    seconds = time.monotonic() - began
    titles = [title for title in rows[0] if title != "what"]
    first = max(len(row["what"]) for row in rows)
    print(f"{name:<{first}}" + "".join(f"  {title}" for title in titles))
    for row in rows:
        print(f"{row['what']:<{first}}"
              + "".join(f"  {row[title]:>{len(title)}}" for title in titles))
    print(f"seed {chosen.seed}, {seconds:.1f} s", flush=True)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump({"harness": name, "seconds": seconds, "seed": chosen.seed, "rows": rows},
                      file, indent=1)
    return 1 if any(row["failures"] for row in rows) else 0
