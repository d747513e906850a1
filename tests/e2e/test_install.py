"""Programs installed by `cmake --install` find each other's files at any prefix."""
import os
import shutil
import subprocess

import harness
from harness import BIN, PATIENCE

BUILD = os.path.dirname(BIN)
PLUGINS = {"aof.so", "encrypt.so", "hybrid.so", "none.so", "snapshot.so"}


class Install(harness.Case):
    def install(self, prefix, *more, umask=0o022):
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, *more], check=True,
                       capture_output=True, timeout=PATIENCE, umask=umask)

    def folder_of(self, prefix, name):
        (folder,) = (place for place, _, names in os.walk(prefix) if name in names)
        return folder

    def listed(self, prefix):
        """The plug-ins that this installation's server finds by default."""
        server = harness.Server(os.path.join(self.folder, "data"), plugins=None,
                                program=os.path.join(prefix, "bin", "kvstore-server"))
        self.servers.append(server)
        done = subprocess.run([os.path.join(prefix, "bin", "kvstore-cli"), "-a", server.address,
                               "plugins"], capture_output=True, timeout=PATIENCE, check=True,
                              env=harness.environment())
        server.stop()
        return {line[2:].split()[0] for line in done.stdout.decode().splitlines()
                if line[:2] in ("* ", "  ") and line[2] != " "}

    def test_an_installed_server_finds_its_plugins_at_any_prefix(self):
        prefix = os.path.join(self.folder, "some prefix")
        # Also with a umask that makes new directories writable by the group.
        self.install(prefix, umask=0o002)
        self.assertEqual(set(os.listdir(self.folder_of(prefix, "hybrid.so"))), PLUGINS)
        for program in ("kvstore-server", "kvstore-cli", "kvstore-check", "kvstore-bench"):
            subprocess.run([os.path.join(prefix, "bin", program), "--version"], check=True,
                           capture_output=True, timeout=PATIENCE)
        self.assertEqual(self.listed(prefix), {name[:-3] for name in PLUGINS})

    def test_an_installation_that_was_moved_or_linked_to_still_works(self):
        prefix, moved = os.path.join(self.folder, "here"), os.path.join(self.folder, "there")
        self.install(prefix)
        shutil.move(prefix, moved)
        self.assertEqual(self.listed(moved), {name[:-3] for name in PLUGINS})
        links = os.path.join(self.folder, "links", "bin")
        os.makedirs(links)
        for program in ("kvstore-server", "kvstore-cli"):
            os.symlink(os.path.join(moved, "bin", program), os.path.join(links, program))
        self.assertEqual(self.listed(os.path.dirname(links)), {name[:-3] for name in PLUGINS})

    def test_a_plugin_put_where_the_sdk_says_is_found(self):
        prefix = os.path.join(self.folder, "prefix")
        self.install(prefix)
        self.install(prefix, "--component", "sdk")
        told = subprocess.run(
            ["pkg-config", "--variable=plugindir", "kvstore-plugin"], check=True, timeout=PATIENCE,
            capture_output=True, text=True,
            env={**os.environ, "PKG_CONFIG_PATH": self.folder_of(prefix, "kvstore-plugin.pc")})
        directory = told.stdout.strip()
        self.assertNotIn("//", directory)
        self.assertEqual(os.path.realpath(directory),
                         os.path.realpath(self.folder_of(prefix, "hybrid.so")))


if __name__ == "__main__":
    harness.main()
