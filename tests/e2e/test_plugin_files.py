"""Plug-in files: what may happen to them while a server runs, and when they are refused."""
import os
import shutil
import subprocess
import unittest

import grpc

from harness import PLUGINS, SERVER, Case, environment, main

Code = grpc.StatusCode

OTHER_USER = 4711


class PluginFiles(Case):
    def copy_plugins(self, *names, under="plugins"):
        folder = os.path.join(self.folder, under)
        os.makedirs(folder)
        for name in names:
            shutil.copy(os.path.join(PLUGINS, f"{name}.so"), folder)
        return folder

    def test_overwriting_a_loaded_plug_ins_file_harms_nothing(self):
        """As cp does: overwrites the existing file, which would crash a process that has mapped
        it."""
        plugins = self.copy_plugins("aof", "none")
        server = self.start(mode="aof", plugins=plugins)
        server.set("before", b"1")
        with open(os.path.join(plugins, "aof.so"), "r+b") as file:
            size = os.path.getsize(file.name)
            file.truncate(0)
            file.write(b"\0" * size)
        for number in range(100):
            server.set(f"after {number}", b"2")
        server.save()
        server.configure("none")
        server.configure("aof", {"fsync": "everysec"})
        self.assertEqual(len(server.keys()), 101)
        server.stop()

    def test_where_others_can_change_a_directory_above_nothing_is_loaded(self):
        plugins = self.copy_plugins("none", under="theirs/plugins")
        os.chmod(os.path.dirname(plugins), 0o777)
        self.assertRefusesToStart(f"{os.path.dirname(plugins)} may be written by others",
                                  "chmod go-w", mode="none", plugins=plugins)

    @unittest.skipIf(os.geteuid() != 0, "only root can give directories away")
    def test_a_client_does_not_learn_whose_the_directories_are(self):
        plugins = self.copy_plugins("none", "aof", under="theirs/plugins")
        server = self.start(mode="none", plugins=plugins)
        os.chown(os.path.dirname(plugins), OTHER_USER, -1)
        text = self.assertFails(Code.PERMISSION_DENIED, lambda: server.configure("aof"), "aof",
                                "server's log")
        self.assertNotIn("/", text)
        self.assertTrue(server.log.wait_for(f"belongs to user id {OTHER_USER}"))
        os.chown(os.path.dirname(plugins), 0, -1)
        server.configure("aof")

    @unittest.skipIf(os.geteuid() != 0, "only root can take /proc away")
    def test_without_proc_a_plug_in_is_mapped_from_its_file_and_the_log_says_so(self):
        command = [SERVER, "--check-config", "--mode", "aof", "--plugin-dir", PLUGINS, "--data-dir",
                   os.path.join(self.folder, "data")]
        # Hides only the server's own descriptors: a sanitizer needs the rest of /proc.
        # In a chroot the root is not a mount, so its propagation cannot be changed; /proc is one.
        hide = 'mount --make-private /proc && mount -t tmpfs none "/proc/$$/fd" && exec "$@"'
        answer = subprocess.run(["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", hide,
                                 "sh", *command], capture_output=True, text=True, env=environment())
        if "unshare failed" in answer.stderr or "mount:" in answer.stderr:
            self.skipTest("this system lets nobody hide a part of /proc")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("aof is mapped from its file", answer.stderr)


if __name__ == "__main__":
    main()
