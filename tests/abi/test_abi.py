"""The plug-in ABI stays what version 1 promises.

The header is recorded twice: as text in 1.0/, which must not change, and as compiled layout in
plugin-1.abi. `test_abi.py --record` rewrites the latter, which is right only after growth that
docs/plugin-abi.md permits."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
INCLUDE = os.path.join(ROOT, "include")
HEADER = os.path.join(INCLUDE, "kvstore", "plugin.h")
FROZEN = os.path.join(HERE, "1.0", "kvstore", "plugin.h")
RECORDED = os.path.join(HERE, "plugin-1.abi")
SOURCE = os.path.join(HERE, "every_type.c")

sys.path.insert(0, HERE)
from grow import grow  # noqa: E402
from layout import Layout, incompatibilities  # noqa: E402

# Each must be found: (what, pattern in the header, what it becomes).
INCOMPATIBLE = (
    ("a field put into the middle", r"(uint32_t abi_minor;)", r"\1 uint64_t inserted;"),
    ("a field at the end of a struct that is passed in arrays", r"(kvs_bytes value; [^\n]*\n)",
     r"\1   uint64_t inserted;\n"),
    ("a field removed", r"   int64_t now_ms;[^\n]*\n", ""),
    ("two fields changed places", r"(   uint64_t view_sequence;[^\n]*\n)(   uint64_t view_count;"
     r"[^\n]*\n)", r"\2\1"),
    ("a narrower field", r"uint64_t sequence;(\n   uint32_t kind;)", r"uint32_t sequence;\1"),
    ("another parameter", r"\(\*wake\)\(const kvs_host \*host\)",
     "(*wake)(const kvs_host *host, int now)"),
    ("another result", r"size_t \(\*view_read\)", "uint32_t (*view_read)"),
    ("another size of a text", r"(#define KVS_ERROR_TEXT_SIZE) 512", r"\1 256"),
)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def constants(text):
    found = re.findall(r"^#define (KVS_[A-Z0-9_]+) +(\S+)", text, re.MULTILINE)
    return {name: value for name, value in found if name not in ("KVS_EXPORT", "KVS_ABI_MINOR")}


class Abi(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="kvstore-abi-")
        self.addCleanup(shutil.rmtree, self.folder)

    def build(self, header, name):
        """A shared object with the debugging information of this header text."""
        include = os.path.join(self.folder, name, "kvstore")
        os.makedirs(include)
        with open(os.path.join(include, "plugin.h"), "w", encoding="utf-8") as file:
            file.write(header)
        output = os.path.join(self.folder, name + ".so")
        subprocess.run(["gcc", "-std=c11", "-g", "-O0", "-fPIC", "-shared", "-fvisibility=hidden",
                        "-I", os.path.dirname(include), "-o", output, SOURCE], check=True)
        return output

    def compare(self, header, name):
        """The incompatibilities with the recorded layout."""
        dump = os.path.join(self.folder, name + ".abi")
        describe(self.build(header, name), dump)
        return incompatibilities(Layout(RECORDED), Layout(dump))

    def test_the_header_is_compatible(self):
        self.assertEqual(self.compare(read(HEADER), "current"), [])

    def test_the_header_is_what_was_recorded(self):
        done = subprocess.run(["abidiff", RECORDED, self.build(read(HEADER), "same")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + "\nIf the test above passes, this is "
                         "growth: record it with tests/abi/test_abi.py --record")

    def test_growth_is_compatible(self):
        self.assertEqual(self.compare(grow(read(HEADER)), "grown"), [])

    def test_incompatible_changes_are_found(self):
        text = read(HEADER)
        for number, (what, pattern, replacement) in enumerate(INCOMPATIBLE):
            with self.subTest(change=what):
                changed, count = re.subn(pattern, replacement, text, count=1)
                self.assertEqual(count, 1, "the pattern fits nothing in the header")
                self.assertNotEqual([], self.compare(changed, f"changed-{number}"))

    def test_constants_keep_their_values(self):
        before, now = constants(read(FROZEN)), constants(read(HEADER))
        self.assertGreater(len(before), 20)
        self.assertEqual({name: now.get(name) for name in before}, before)


class Header(unittest.TestCase):
    """It compiles alone without warnings, as C11 and as C++17."""

    FLAGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only",
             "-fvisibility=hidden")

    def compile(self, compiler, standard, language):
        for source in (HEADER, SOURCE):
            subprocess.run([compiler, f"-std={standard}", *self.FLAGS, "-I", INCLUDE, "-x",
                            language, *(["-include", HEADER, "/dev/null"]
                                        if source == HEADER else [source])], check=True)

    def test_gcc(self):
        self.compile("gcc", "c11", "c")
        self.compile("gcc", "c17", "c")
        self.compile("g++", "c++17", "c++")
        self.compile("g++", "c++20", "c++")

    def test_clang(self):
        self.compile("clang", "c11", "c")
        self.compile("clang++", "c++17", "c++")

    def test_it_includes_nothing_but_two_headers_of_the_language(self):
        self.assertEqual(re.findall(r"#include (\S+)", read(HEADER)), ["<stddef.h>", "<stdint.h>"])


def describe(shared_object, output):
    subprocess.run(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs",
                    "--out-file", output, shared_object], check=True)


def record():
    with tempfile.TemporaryDirectory() as folder:
        built = os.path.join(folder, "every_type.so")
        # From the top directory, so that the recorded path of the source is the same everywhere.
        subprocess.run(["gcc", "-std=c11", "-g", "-O0", "-fPIC", "-shared", "-fvisibility=hidden",
                        "-I", "include", "-o", built, os.path.relpath(SOURCE, ROOT)], check=True,
                       cwd=ROOT)
        describe(built, RECORDED)


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        unittest.main()
