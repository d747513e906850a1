"""scripts/start without the build: a stand-in for cmake pretends that everything is built."""
import os
import shutil
import socket
import subprocess

import harness
from harness import BIN, PATIENCE, PLUGINS, ROOT


class Start(harness.Case):
    def setUp(self):
        super().setUp()
        self.tree = os.path.join(self.folder, "tree")
        self.caller = os.path.join(self.folder, "caller")
        os.makedirs(os.path.join(self.tree, "scripts"))
        os.makedirs(os.path.join(self.tree, "build"))
        os.makedirs(self.caller)
        shutil.copy(os.path.join(ROOT, "scripts", "start"), os.path.join(self.tree, "scripts"))
        os.symlink(BIN, os.path.join(self.tree, "build", "bin"))
        os.symlink(PLUGINS, os.path.join(self.tree, "build", "plugins-built"))
        for stand_in in ("tree/scripts/packages", "programs/cmake"):
            path = os.path.join(self.folder, stand_in)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write("#!/bin/sh\nexit 0\n")
            os.chmod(path, 0o755)

    def run_start(self, *flags, lines="set k v # said\nget k\n", **variables):
        return subprocess.run(
            [os.path.join(self.tree, "scripts", "start"), *flags], input=lines, text=True,
            cwd=self.caller, capture_output=True, timeout=PATIENCE, check=False,
            env=harness.environment(
                PATH=f"{os.path.join(self.folder, 'programs')}:{os.environ['PATH']}", **variables))

    def check(self, done, data):
        self.assertEqual((done.returncode, done.stdout), (0, "OK\nv\n"), done.stderr)
        self.assertIn(f"data in {data}, log in", done.stderr)
        self.assertTrue(os.path.exists(os.path.join(data, "ACTIVE")), os.listdir(self.folder))

    def test_it_says_where_the_data_is_and_a_relative_path_is_the_callers(self):
        any_port = {"KVSTORE_LISTEN": "127.0.0.1:0"}
        mine = os.path.join(self.caller, "mine")
        self.check(self.run_start(**any_port), os.path.join(self.tree, "data"))
        self.check(self.run_start("--data-dir", "mine", **any_port), mine)
        self.check(self.run_start("--data-dir=mine", "--listen=127.0.0.1:0"), mine)
        self.check(self.run_start(KVSTORE_DATA_DIR="mine", **any_port), mine)

    def test_a_server_that_does_not_tell_is_found_by_its_flags(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        done = self.run_start("--log-level", "error", KVSTORE_PORT=str(port))
        self.assertEqual((done.returncode, done.stdout), (0, "OK\nv\n"), done.stderr)
        self.assertIn(f"Serving on 127.0.0.1:{port}, log in", done.stderr)

    def test_a_server_that_is_there_already_is_not_taken_for_its_own(self):
        other = self.start(mode="none")
        done = self.run_start(KVSTORE_PORT=str(other.port))
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("the server did not start", done.stderr)
        self.assertEqual(other.keys(), [])


if __name__ == "__main__":
    harness.main()
