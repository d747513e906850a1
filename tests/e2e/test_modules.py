"""Who may know whom: reads every #include of the modules and refuses what docs/architecture.md does
not allow. Its table of modules is the rule; the drawing beside it shows the same."""
import fnmatch
import glob
import html
import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "docs", "architecture"))
import draw  # pylint: disable=wrong-import-position

MODULES = draw.modules()  # module -> (what it is, the modules that it may know)
KEEPS_HEADERS_APART = ("include", "plugins", "examples")  # one file may not include another's there

TOPS = sorted({module.split("/")[0] for module in MODULES} | {"bench"})

# Files that may know less than their module does, and plug-ins that have headers of their own.
SOME_FILES = {
    "core/config_internal.": ["core/config.h"],
    "core/config_settings.": ["core/config_internal.h", "core/support/"],
    "core/config_file.": ["core/config_file.h", "core/support/"],
    "core/run_as.": ["core/run_as.", "core/support/"],
    "core/signals.": ["core/signals.", "core/support/"],
    "core/memory.": ["core/memory.", "core/config.h", "core/support/"],
    "core/notify.": ["core/notify.", "core/support/"],
    "core/stop.": ["core/signals.", "core/stop.", "core/support/"],
    "plugins/encrypt/": ["kvstore/plugin.h", "storage/", "plugins/encrypt/"],
}
# Modules of which not all headers are for those above.
PUBLIC = {
    "core/net": ["core/net/acceptor.h", "core/net/address.h", "core/net/admission.h",
                 "core/net/tls.h", "core/net/tls_session.h"],
    "core/rpc": ["core/rpc/rpc.h"],
}

# Whose headers a wire's library has, and who may know them.
LIBRARIES = {
    ("grpc/", "grpc++/", "grpcpp/"): ("core/rpc/grpc/", "client/connection.", "client/dial.",
                                      "client/channel.", "bench/"),
    ("nghttp2/",): ("core/rpc/http2/", "bench/"),
    ("openssl/",): ("core/net/tls",),
    ("microhttpd.h",): ("core/http/",),
}
MAY_INCLUDE_PROTO = ("core/service/", "client/", "bench/")
PROJECT = ("core/", "storage/", "plugins/", "client/", "check/", "sdk/", "kvstore/", "tests/", "bench/",
           "include/")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def is_generated(header):
    return header.endswith(".pb-c.h") or header == "descriptor_set.h"


def module_of(path):
    """The module that a file or a header of an #include belongs to, or None."""
    if path == "kvstore/plugin.h":
        return "include"
    if os.path.dirname(path) == "core":
        return "core"
    return max((module for module in MODULES if module != "core" and path.startswith(module + "/")),
               key=len, default=None)


def fault_between(module, known, header):
    if known == module and module not in KEEPS_HEADERS_APART:
        return None
    if known not in MODULES[module][1]:
        return f"by docs/architecture.md {module} may know only {', '.join(MODULES[module][1])}"
    # An engine sees what its contract's module keeps.
    if known in PUBLIC and header not in PUBLIC[known] and not module.startswith(known + "/"):
        return f"only {', '.join(PUBLIC[known])} of {known} is for other modules"
    return None


def fault_of(file, header):
    """Why the file may not include the header, or None."""
    for headers, files in LIBRARIES.items():
        if header.startswith(headers):
            return None if file.startswith(files) else f"only {', '.join(files)} may know {headers[0]}"
    if is_generated(header) or header.startswith("protobuf-c/"):
        return None if file.startswith(MAY_INCLUDE_PROTO) else "only core/service may know messages"
    if file.startswith("bench/"):
        return None
    module = module_of(file)
    if module is None:
        return "this place belongs to no module; put it into one, or add it to docs/architecture.md"
    if header.startswith(PROJECT):
        for start, allowed in SOME_FILES.items():
            if file.startswith(start):
                return None if header.startswith(tuple(allowed)) else \
                    f"{start}* may include only {', '.join(allowed)}"
        return fault_between(module, module_of(header), header)
    if "/" not in header and os.path.exists(os.path.join(ROOT, os.path.dirname(file), header)):
        return "write the path from the top"
    return None


def includes():
    """Each (file, header) of the tree."""
    for path in sorted(path for top in TOPS
                       for path in glob.glob(f"{ROOT}/{top}/**/*.[ch]", recursive=True)):
        file = os.path.relpath(path, ROOT)
        with open(path, encoding="utf-8") as source:
            for header in INCLUDE.findall(source.read()):
                yield file, header


class Modules(unittest.TestCase):
    def test_no_module_includes_one_that_it_may_not_know(self):
        found = list(includes())
        self.assertGreater(len(found), 100, "the includes were not found")
        faults = [f"{file} includes {header}: {fault}" for file, header in found
                  if (fault := fault_of(file, header))]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_the_page_allows_nothing_that_no_include_needs(self):
        needed = {(module_of(file), module_of(header)) for file, header in includes()}
        unneeded = [f"{module} does not include {other}" for module, (_, known) in MODULES.items()
                    for other in known if (module, other) not in needed]
        self.assertEqual(unneeded, [], "take it out of the table in docs/architecture.md")

    def test_the_drawings_show_their_sources(self):
        for drawing, nodes, edges in (
                (draw.DRAWING, set(MODULES), draw.arrows(MODULES)),
                (draw.STATES_DRAWING, {state for edge in draw.transitions() for state in edge},
                 draw.transitions())):
            with open(drawing, encoding="utf-8") as file:
                svg = html.unescape(file.read())
            drawn = {kind: re.findall(f'class="{kind}">\n<title>(.*)</title>', svg)
                     for kind in ("node", "edge")}
            self.assertEqual(set(drawn["node"]), nodes, "run docs/architecture/draw.py")
            self.assertEqual(sorted(drawn["edge"]), sorted(f"{a}->{b}" for a, b in edges),
                             "run docs/architecture/draw.py")

    def test_what_the_page_names_exists(self):
        with open(draw.PAGE, encoding="utf-8") as file:
            named = re.findall(r"`([^`]+)`", file.read())
        paths = [os.path.relpath(path, ROOT) for top in (*TOPS, "tests")
                 for path in glob.glob(f"{ROOT}/{top}/**/*.[ch]", recursive=True)]
        files = [name for name in named if re.fullmatch(r"[\w/.*]+\.[ch]", name)]
        functions = {name for name in named if re.fullmatch(r"(kv|storage)_\w+", name)}
        self.assertGreater(min(len(files), len(functions)), 10, "the names were not found")
        self.assertEqual([name for name in files
                          if not any(fnmatch.fnmatch("/" + path, "*/" + name) for path in paths)], [])
        sources = ""
        for path in paths:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                sources += file.read()
        self.assertEqual(functions - set(re.findall(r"\b(?:kv|storage)_\w+", sources)), set())

    def test_the_check_sees_each_kind_of_fault(self):
        for file, header in [
            ("core/telemetry/telemetry.c", "microhttpd.h"),
            ("core/metrics/calls.c", "core/rpc/rpc.h"),
            ("core/store/store.c", "core/commit/commit.h"),
            ("core/store/store.c", "kvstore/plugin.h"),
            ("core/support/log.c", "core/store/store.h"),
            ("core/rpc/grpc/call.c", "core/service/service.h"),
            ("core/service/data.c", "grpc/grpc.h"),
            ("core/service/data.c", "storage/file.h"),
            ("core/commit/commit.c", "core/control/control.h"),
            ("core/datadir/active.c", "core/host/settings.h"),
            ("core/rpc/account.c", "core/rpc/grpc/call.h"),
            ("core/rpc/account.h", "grpc/grpc.h"),
            ("core/rpc/call.h", "nghttp2/nghttp2.h"),
            ("core/rpc/grpc/call.c", "nghttp2/nghttp2.h"),
            ("core/rpc/http2/call.c", "grpc/slice.h"),
            ("client/main.c", "nghttp2/nghttp2.h"),
            ("core/net/acceptor.c", "grpc/grpc.h"),
            ("core/net/acceptor.h", "core/rpc/rpc.h"),
            ("core/service/data.c", "core/net/acceptor.h"),
            ("core/rpc/rpc.c", "core/net/listeners.h"),
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
