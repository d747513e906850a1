"""All cases: every n of every kind of call, in each phase and mode."""
import errno

import cases as experiments
import faults
import scenarios
from cases import ERROR, FAULTS, Case, Fault

MEMORY_STRIDE = 1


def each_call(group, setting, counts, run, kinds=faults.KINDS):
    return [Case(group, setting, Fault(kind, n, action, argument), run)
            for kind in kinds
            for action, argument in FAULTS[kind]
            for n in range(1, counts[kind] + 1)]


def lasting(setting, counts):
    """A disk that is full, or broken in one way or entirely, from the n-th call on."""
    found = []
    for kinds, argument in ((faults.SPACE, errno.ENOSPC), (("write", "fallocate"), errno.ENOSPC),
                            (("fdatasync",), errno.EIO), (("fsync",), errno.EIO),
                            (("write",), errno.EIO), (faults.DISK, errno.EIO)):
        total = sum(counts[kind] for kind in kinds)
        found += [Case("lasting", setting, Fault(" ".join(kinds), n, ERROR, argument, True),
                       experiments.run_lasting)
                  for n in range(1, total + 1)]
    return found


def cases(options):
    """The reduced run takes two modes only."""
    settings = list(experiments.SETTINGS)
    if not options.full and not options.only:
        settings = ["hybrid-always", "aof-everysec"]
    found = scenarios.cases()
    for setting in settings:
        if options.only.startswith("scenario") or (options.only.count("/") > 1 and
                                                   f"/{setting}/" not in options.only):
            continue
        counts = experiments.count_calls(setting)
        found += each_call("running", setting, counts, experiments.run_running)
        found += lasting(setting, counts)
        found += each_call("start", setting, experiments.count_start(setting, False),
                           experiments.run_start)
        found += each_call("first start", setting, experiments.count_start(setting, True),
                           experiments.run_start)
        found += each_call("stop", setting, experiments.count_stop(setting), experiments.run_stop)
    return found


def end():
    experiments.drop_templates()
