"""The server and kvstore-check read data directories of every released format version."""
import glob
import json
import os
import shutil
import subprocess

import harness
import store_files

GOLDEN = os.path.join(harness.ROOT, "tests", "golden")


def directories():
    """Version, mode, and the data that must be read."""
    for path in sorted(glob.glob(os.path.join(GOLDEN, "*", "states.json"))):
        with open(path, encoding="utf-8") as file:
            for mode, state in sorted(json.load(file).items()):
                yield os.path.basename(os.path.dirname(path)), mode, state


class Golden(harness.Case):
    BACKED_UP = {**{f"key {i}": f"value {i}".encode() for i in (1, 2, 4, 5)},
                 "binary": b"a\0b", "\u00fc": b""}

    def copy_of(self, version, mode):
        path = os.path.join(self.folder, f"{version}-{mode}")
        shutil.copytree(os.path.join(GOLDEN, version, mode), path)
        os.makedirs(os.path.join(path, "gen-000001"), exist_ok=True)  # git stores no empty ones
        return path

    def test_every_version_and_mode_is_there(self):
        self.assertLessEqual({("1", mode) for mode in ("none", "snapshot", "aof", "hybrid")},
                             {(version, mode) for version, mode, _ in directories()})

    def test_the_server_and_the_check_read_them(self):
        for version, mode, state in directories():
            with self.subTest(version=version, mode=mode):
                data = self.copy_of(version, mode)
                wanted = {key: bytes.fromhex(value) for key, value in state["entries"].items()}
                code, report = store_files.check(data)
                self.assertEqual(code, store_files.SOUND, report)
                self.assertEqual(report["start"]["sequence"], state["sequence"])
                self.assertEqual(report["start"]["digest"], store_files.digest(wanted.items()))
                server = self.start(data=data)
                self.assertEqual(dict(server.scan()), wanted)
                status = server.status()
                self.assertEqual((status.plugin, status.version, status.store_id),
                                 (mode, state["sequence"], state["store"]))
                # Options that came later have their defaults.
                self.assertLessEqual(state["options"].items(), dict(status.options).items())
                server.set("after", b"written by this version")
                server.stop()
                self.assertEqual(store_files.check(data)[0], store_files.SOUND)

    def test_backup_files_of_every_format_version_are_restored(self):
        for file in sorted(glob.glob(os.path.join(GOLDEN, "backup", "*.backup"))):
            with self.subTest(file=file):
                name = os.path.basename(file)
                data = os.path.join(self.folder, name)
                subprocess.run([os.path.join(harness.BIN, "kvstore-check"), "restore", file, data],
                               capture_output=True, timeout=harness.PATIENCE, check=True)
                server = self.start(data=data)
                status = server.status()
                self.assertEqual(dict(server.scan()), self.BACKED_UP)
                self.assertEqual((status.plugin, status.version, status.store_id),
                                 ("hybrid", 8, "be3bcadc-132d-4332-9204-e4073278ae93"))
                self.assertEqual(dict(status.options)["fsync"], "everysec")

    def test_encrypted_backup_files_of_every_format_version_are_restored(self):
        folder = os.path.join(GOLDEN, "backup", "encrypted")
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))
        files = sorted(glob.glob(os.path.join(folder, "*.backup")))
        self.assertTrue(files)
        for file in files:
            with self.subTest(file=file):
                server = self.start(data=f"encrypted-{os.path.basename(file)}", mode="encrypt",
                                    options=[f"key_file={key}", "inner=hybrid"])
                subprocess.run([os.path.join(harness.BIN, "kvstore-cli"), "-a", server.address,
                                "restore", file], capture_output=True, timeout=harness.PATIENCE,
                               check=True)
                self.assertEqual(dict(server.scan()), self.BACKED_UP)


if __name__ == "__main__":
    harness.main()
