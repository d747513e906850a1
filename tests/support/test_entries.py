"""A harness that is asked for something that does not exist fails instead of passing untried."""
import os
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(os.environ["KVSTORE_TEST_BIN"])


class NothingChosen(unittest.TestCase):
    def fails(self, entry, *arguments, says):
        done = subprocess.run([os.path.join(ROOT, entry), *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(says, done.stdout)
        self.assertNotIn("Traceback", done.stdout)

    def test_crash(self):
        self.fails("tests/crash/run", BUILD, "--only", "nothing", says="no workload is chosen")
        self.fails("tests/crash/run", BUILD, "--slice", "99/99", says="no workload is chosen")

    def test_fault(self):
        self.fails("tests/fault/run", BUILD, "--only", "nothing", says="no case is chosen")

    def test_flips(self):
        self.fails("tests/flips/run", BUILD, "--only", "nothing", says="no case is chosen")

    def test_fuzz(self):
        self.fails("tests/fuzz/run", BUILD, "nothing", says="there is no target nothing")

    def test_model(self):
        self.fails("tests/model/run", BUILD, "--scenarios", "0", says="nothing was run")

    def test_mutants(self):
        self.fails("tests/mutants/run", BUILD, "--only", "nothing", says="no fault is chosen")

    def test_storm(self):
        self.fails("tests/storm/run", BUILD, "--only", "nothing", says="no combination nothing")
        self.fails("tests/storm/run", BUILD, "--only", "aof no", "--cycles", "0",
                   says="nothing was run")

    def test_wire(self):
        self.fails("tests/wire/run", BUILD, "nothing", says="there is no case nothing")

    def test_the_reports(self):
        self.fails("bench/report", BUILD, "nothing", says="there is no section nothing")
        self.fails("scripts/reliability", "--only", "nothing", says="invalid choice")

    def test_the_linter(self):
        self.fails("scripts/lint", "nothing", says="scripts/lint --quick")

    def test_help_runs_no_test(self):
        done = subprocess.run([os.path.join(ROOT, "scripts/test"), "--help"], cwd=BUILD,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=120,
                              check=True)
        self.assertIn("scripts/test [--quick]", done.stdout)

    def test_the_kit(self):
        self.fails(os.path.join(BUILD, "bin", "kvstore-plugin-check"), "--case", "nothing", "x.so",
                   says="unknown case")


if __name__ == "__main__":
    unittest.main(verbosity=2)
