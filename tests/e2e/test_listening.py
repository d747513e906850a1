"""Who gets in where the server listens."""
import os
import subprocess
import unittest

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


if __name__ == "__main__":
    harness.main()
