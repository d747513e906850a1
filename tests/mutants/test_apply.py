#!/usr/bin/python3 -B
"""Every deliberate fault still applies to the code that it breaks, and says what catches it."""
import glob
import os
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


if __name__ == "__main__":
    unittest.main()
