"""Who gets in where the server listens, and how much memory it gives to the data."""
import os
import subprocess
import unittest

import grpc

import harness
from harness import CLI, PATIENCE


class Sockets(harness.Case):
    def ask(self, address, user=None):
        """Whether a client, of another user where one is named, is served."""
        words = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if user else []
        done = subprocess.run([*words, CLI, "-a", address, "keys"], check=False, text=True,
                              capture_output=True, timeout=PATIENCE, env=harness.environment())
        return done.returncode == 0

    @unittest.skipUnless(os.geteuid() == 0, "only root can be other users")
    def test_the_mode_of_a_unix_socket_says_which_users_are_served(self):
        os.chmod(self.folder, 0o755)
        for mode, served in (("0600", False), ("660", False), ("0666", True)):
            with self.subTest(mode=mode):
                address = f"unix:{self.folder}/{mode}"
                self.start(f"data-{mode}", mode="none", listen=address,
                           flags=["--socket-mode", mode])
                self.assertEqual(os.stat(f"{self.folder}/{mode}").st_mode & 0o777, int(mode, 8))
                self.assertTrue(self.ask(address))
                self.assertEqual(self.ask(address, user=65534), served)

    def test_a_mode_that_is_none_is_refused(self):
        for mode in ("", "0", "0o600", "rw", "0800", "1600", "06000", "0060", "-600"):
            with self.subTest(mode=mode):
                done = subprocess.run([harness.SERVER, f"--socket-mode={mode}"], check=False, text=True,
                                      capture_output=True, timeout=PATIENCE,
                                      env=harness.environment())
                self.assertEqual(done.returncode, 2)
                self.assertIn(f'socket-mode (command line): "{mode}" is not a mode in octal digits '
                              "that lets the server's user in, such as 0600", done.stderr)


def may_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False,
                                                capture_output=True).returncode == 0


class Memory(harness.Case):
    def limited(self, limit, *words):
        """The command of a server in a control group with this limit, as far as it can see."""
        group = os.path.join(self.folder, "group")
        os.makedirs(group, exist_ok=True)
        files = {"group/memory.max": f"{limit}\n", "cgroup": "0::/\n",
                 "mountinfo": f"31 22 0:28 / {group} rw - cgroup2 cgroup2 rw\n"}
        for name, text in files.items():
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        program = os.path.join(self.folder, "limited-server")
        with open(program, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec unshare --mount sh -euc '"
                       "for name in cgroup mountinfo; do mount --bind \"$0/$name\" /proc/$$/$name; done; "
                       f"exec {harness.SERVER} \"$@\"' {self.folder} \"$@\"\n")
        os.chmod(program, 0o755)
        return {"program": program, "flags": words}

    @unittest.skipUnless(may_mount(), "only root can show the server another control group")
    def test_the_data_gets_a_share_of_the_control_group_unless_a_setting_says_otherwise(self):
        file = f"{self.folder}/group/memory.max"
        server = self.start(mode="none", **self.limited(256 << 20))
        status = server.status()
        self.assertEqual((status.bytes_max, status.key_cost, status.bytes_max_source),
                         (88 << 20, 48, file))
        self.assertTrue(server.log.wait_for(
            f"the process may take {256 << 20} bytes of memory ({file}); max-memory is {88 << 20}, "
            f"max-wire-memory {80 << 20}"))
        shown = subprocess.run([CLI, "-a", server.address, "status"], check=True, text=True,
                               capture_output=True, timeout=PATIENCE, env=harness.environment()).stdout
        self.assertIn(f"limit        {88 << 20} bytes, with 48 for each key ({file})\n", shown)
        for _ in range(2):
            server.set("k", b"v" * (40 << 20))
        server.set("l", b"v" * (40 << 20))
        self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                         lambda: server.set("m", b"v" * (9 << 20)), "max-memory")
        server.stop()

        server = self.start(mode="none", **self.limited(256 << 20, "--max-memory", "1G"))
        status = server.status()
        self.assertEqual((status.bytes_max, status.key_cost, status.bytes_max_source),
                         (1 << 30, 0, "max-memory"))
        self.assertTrue(server.log.wait_for("lower max-memory (0 means no limit) or"))
        server.stop()

    def test_without_a_limit_and_a_setting_the_data_may_take_what_there_is(self):
        server = self.start(mode="none", flags=["--max-memory", "0"])
        self.assertEqual(server.status().bytes_max, 0)
        shown = subprocess.run([CLI, "-a", server.address, "status"], check=True, text=True,
                               capture_output=True, timeout=PATIENCE, env=harness.environment()).stdout
        self.assertIn("limit        none\n", shown)


if __name__ == "__main__":
    harness.main()
