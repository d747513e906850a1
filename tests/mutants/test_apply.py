#!/usr/bin/python3 -B
"""Every deliberate fault still applies to the code that it breaks, and says what catches it; what
builds the faults copies all that the build reads."""
import glob
import os
import re
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATCHES = sorted(glob.glob(os.path.join(HERE, "**", "*.patch"), recursive=True))


class Mutants(unittest.TestCase):
    def test_each_applies_as_it_is(self):
        self.assertGreater(len(PATCHES), 0)
        for path in PATCHES:
            with self.subTest(patch=os.path.relpath(path, HERE)):
                with open(path, encoding="utf-8") as file:
                    done = subprocess.run(
                        ["patch", "-d", ROOT, "-p1", "--dry-run", "--forward", "--fuzz=0"],
                        stdin=file, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_says_what_catches_it(self):
        for path in PATCHES:
            with self.subTest(patch=os.path.relpath(path, HERE)), open(path, encoding="utf-8") as file:
                self.assertRegex(file.read().split("\n--- ", 1)[0], r"# Caught by: .+")

    def test_the_copy_that_gets_them_has_every_folder_of_the_build(self):
        with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
            folders = set(re.findall(r"^ *(?:include|add_subdirectory)\((\w+)(?:/[^)]*)?\)(?: *#.*)?$",
                                     file.read(), re.MULTILINE))
        folders = {name for name in folders if os.path.isdir(os.path.join(ROOT, name))}
        self.assertTrue({"cmake", "core", "tests"} <= folders, folders)
        for name in ("run", "build"):
            with open(os.path.join(HERE, name), encoding="utf-8") as file:
                copied = set(re.findall(r"\w+", re.search(r"CMakeLists\.txt[^;)]*", file.read())[0]))
            self.assertEqual(folders - copied, set(), f"tests/mutants/{name} does not copy them")


if __name__ == "__main__":
    unittest.main()
