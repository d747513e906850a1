"""Who may know whom: reads every #include of the modules and refuses those that point upward."""
import glob
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

ABI = "kvstore/plugin.h"
CONTROL_AND_BELOW = ["core/control/", "core/commit/", "core/datadir/", "core/host/", "core/store/",
                     "core/support/"]

# Folder or file, and the beginnings of the project's headers that it may include. The longest
# matching entry counts.
ALLOWED = {
    "core/support/": ["core/support/"],
    "core/store/": ["core/store/", "core/support/"],
    "core/datadir/": ["core/datadir/", "core/support/"],
    "core/host/": ["core/host/", "core/store/", "core/support/", ABI],
    "core/commit/": ["core/commit/", "core/host/", "core/store/", "core/support/", ABI],
    "core/control/": [*CONTROL_AND_BELOW, ABI],
    "core/rpc/": ["core/rpc/account.", "core/rpc/rpc.h", "core/support/"],
    "core/rpc/grpc/": ["core/rpc/", "core/support/"],
    "core/service/": ["core/service/", "core/rpc/rpc.h", *CONTROL_AND_BELOW],
    "core/main.c": ["core/"],
    "core/config.": ["core/"],
    "core/config_internal.": ["core/config.h"],
    "core/config_settings.": ["core/config_internal.h", "core/support/"],
    "core/run_as.": ["core/run_as.", "core/support/"],
    "core/preflight.": ["core/"],
    "core/config_file.": ["core/config_file.h", "core/support/"],
    "core/installation.": ["core/installation."],
    "core/signals.": ["core/signals.", "core/support/"],
    "core/stop.": ["core/signals.", "core/stop.", "core/support/"],
    "storage/": [ABI, "storage/"],
    "plugins/": [ABI, "storage/"],
    "plugins/encrypt/": [ABI, "storage/", "plugins/encrypt/"],
    "check/": ["check/", "core/datadir/", "core/host/", "core/store/", "core/support/", "storage/", ABI],
    "client/": ["client/", "core/support/"],
    "sdk/check/": ["sdk/", "core/host/", "core/store/", "core/support/", ABI],
    "sdk/fault/": ["sdk/fault/"],
    "examples/": [ABI],
    "include/": [],
}

MAY_INCLUDE_GRPC = ("core/rpc/grpc/", "client/connection.", "client/dial.", "client/channel.",
                    "bench/")
MAY_INCLUDE_PROTO = ("core/service/", "client/", "bench/")
PROJECT = ("core/", "storage/", "plugins/", "client/", "check/", "sdk/", "kvstore/", "tests/", "bench/",
           "include/")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def is_generated(header):
    return header.endswith(".pb-c.h") or header == "descriptor_set.h"


def fault_of(file, header):
    """Why the file may not include the header, or None."""
    if header.startswith(("grpc/", "grpc++/", "grpcpp/")):
        return None if file.startswith(MAY_INCLUDE_GRPC) else "only core/rpc/grpc may know gRPC"
    if is_generated(header) or header.startswith("protobuf-c/"):
        return None if file.startswith(MAY_INCLUDE_PROTO) else "only core/service may know messages"
    if file.startswith("bench/"):
        return None
    module = max((entry for entry in ALLOWED if file.startswith(entry)), key=len, default=None)
    if module is None:
        return "this place belongs to no module; put it into one, or add the module to this test"
    if header.startswith(PROJECT):
        if header.startswith(tuple(ALLOWED[module])):
            return None
        return f"{module} may include only {', '.join(ALLOWED[module]) or 'the C library'}"
    if "/" not in header and os.path.exists(os.path.join(ROOT, os.path.dirname(file), header)):
        return "write the path from the top"
    return None


def find_faults():
    tops = ("core", "storage", "plugins", "client", "check", "sdk", "examples", "include", "bench")
    files = [path for top in tops
             for path in glob.glob(f"{ROOT}/{top}/**/*.[ch]", recursive=True)]
    count, faults = 0, []
    for path in sorted(files):
        file = os.path.relpath(path, ROOT)
        with open(path, encoding="utf-8") as source:
            headers = INCLUDE.findall(source.read())
        count += len(headers)
        for header in headers:
            fault = fault_of(file, header)
            if fault:
                faults.append(f"{file} includes {header}: {fault}")
    return count, faults


class Modules(unittest.TestCase):
    def test_no_module_includes_one_that_it_may_not_know(self):
        count, faults = find_faults()
        self.assertGreater(count, 100, "the includes were not found")
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_the_check_sees_each_kind_of_fault(self):
        for file, header in [
            ("core/store/store.c", "core/commit/commit.h"),
            ("core/store/store.c", "kvstore/plugin.h"),
            ("core/support/log.c", "core/store/store.h"),
            ("core/rpc/grpc/call.c", "core/service/service.h"),
            ("core/service/data.c", "grpc/grpc.h"),
            ("core/service/data.c", "storage/file.h"),
            ("core/commit/commit.c", "core/control/control.h"),
            ("core/datadir/active.c", "core/host/settings.h"),
            ("core/rpc/account.c", "core/rpc/grpc/internal.h"),
            ("core/rpc/account.h", "grpc/grpc.h"),
            ("core/service/data.c", "core/rpc/account.h"),
            ("core/commit/commit.c", "kvstore.pb-c.h"),
            ("plugins/aof/aof.c", "core/support/log.h"),
            ("plugins/hybrid/hybrid.c", "plugins/aof/aof.h"),
            ("storage/log.c", "core/support/log.h"),
            ("client/main.c", "grpc/grpc.h"),
            ("client/main.c", "core/store/store.h"),
            ("check/main.c", "core/control/control.h"),
            ("core/datadir/active.c", "check/start.h"),
            ("core/newmodule/thing.c", "core/support/log.h"),
        ]:
            with self.subTest(file=file, header=header):
                self.assertIsNotNone(fault_of(file, header))


if __name__ == "__main__":
    unittest.main(verbosity=2)
