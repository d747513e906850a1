"""The server and kvstore-check read data directories of every released format version."""
import glob
import json
import os
import re
import shutil
import subprocess

import harness
import store_files
from harness import data as kv1

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

    def assert_exact(self, server, state):
        """Versions and times of expiry; before they were kept, versions are at least in range."""
        found = {entry.key: entry for message in server.keyvalue.Scan(kv1.ScanRequest())
                 for entry in message.entries}
        self.assertEqual({key: entry.value.hex() for key, entry in found.items()}, state["entries"])
        if "versions" in state:
            self.assertEqual({key: entry.version for key, entry in found.items()}, state["versions"])
        self.assertTrue(all(0 < entry.version <= state["sequence"] for entry in found.values()))
        self.assertEqual({key: entry.expire_time_ms for key, entry in found.items()
                          if entry.expire_time_ms}, state.get("expiries", {}))

    def test_every_version_and_mode_is_there(self):
        self.assertLessEqual({(version, mode) for version in "12"
                              for mode in ("none", "snapshot", "aof", "hybrid")},
                             {(version, mode) for version, mode, _ in directories()})

    def test_the_server_and_the_check_read_them(self):
        for version, mode, state in directories():
            with self.subTest(version=version, mode=mode):
                data = self.copy_of(version, mode)
                wanted = {key: bytes.fromhex(value) for key, value in state["entries"].items()}
                code, report = store_files.check(data)
                self.assertEqual(code, store_files.SOUND, report)
                self.assertEqual(report["start"]["sequence"], state["sequence"])
                self.assertEqual(report["start"]["digest"],
                                 store_files.digest(wanted.items(), state.get("expiries")))
                server = self.start(data=data)
                self.assertEqual(dict(server.scan()), wanted)
                self.assert_exact(server, state)
                status = server.status()
                self.assertEqual((status.plugin, status.version, status.store_id),
                                 (mode, state["sequence"], state["store"]))
                # Options that came later have their defaults.
                self.assertLessEqual(state["options"].items(), dict(status.options).items())
                server.set("after", b"written by this version")
                server.stop()
                self.assertEqual(store_files.check(data)[0], store_files.SOUND)

    def test_encrypted_directories_of_every_format_version_are_read(self):
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))
        found = sorted(glob.glob(os.path.join(GOLDEN, "encrypt", "*", "states.json")))
        self.assertTrue(found)
        for path in found:
            with self.subTest(path=path), open(path, encoding="utf-8") as file:
                data = os.path.join(self.folder, os.path.basename(os.path.dirname(path)))
                shutil.copytree(os.path.join(os.path.dirname(path), "encrypt"), data)
                active = os.path.join(data, "ACTIVE")
                lines = re.sub(r"checksum=.*\n", "", store_files.read(active).decode())
                lines = re.sub(r"(option.key_file)=.*", rf"\1={key}", lines)
                checksum = store_files.xxhash.xxh3_64(lines.encode()).hexdigest()
                store_files.write(active, f"{lines}checksum={checksum}\n".encode())
                server = self.start(data=data)
                self.assertEqual(server.status().plugin, "encrypt")
                self.assert_exact(server, json.load(file)["encrypt"])

    def test_what_the_examples_wrote_is_read_by_those_of_today(self):
        libraries = {"lmdb": ["-llmdb"], "sqlite": ["-lsqlite3"], "minimal": []}
        plugins = os.path.join(self.folder, "plugins")
        os.mkdir(plugins, 0o755)
        with open(os.path.join(GOLDEN, "examples", "1", "states.json"), encoding="utf-8") as file:
            states = json.load(file)
        self.assertEqual(states.keys(), libraries.keys())
        for mode, state in states.items():
            with self.subTest(mode=mode):
                built = os.path.join(plugins, f"{mode}.so")
                subprocess.run(["gcc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden",
                                f"-I{harness.ROOT}/include", "-o", built,
                                f"{harness.ROOT}/examples/{mode}/{mode}.c", "-pthread",
                                *libraries[mode]], check=True, timeout=harness.PATIENCE)
                os.chmod(built, 0o755)
                data = os.path.join(self.folder, mode)
                shutil.copytree(os.path.join(GOLDEN, "examples", "1", mode), data)
                server = self.start(data=data, plugins=plugins)
                self.assert_exact(server, state)
                # From here on versions and times of expiry are kept.
                server.keyvalue.Set(kv1.SetRequest(key="later", value=b"x", expiry=kv1.Expiry(
                    expire_time_ms=4102444800000)))
                server.save()
                server.kill9()
                state["entries"]["later"] = "78"
                state["expiries"] = {"later": 4102444800000}
                state["sequence"] += 1
                self.assert_exact(self.start(data=data, plugins=plugins), state)

    def test_backups_of_each_mode_are_restored_with_versions_and_expiries(self):
        for version, mode, state in directories():
            file = os.path.join(GOLDEN, version, f"{mode}.backup")
            if not os.path.exists(file):
                self.assertTrue(version == "1" or mode == "none", file)
                continue
            with self.subTest(version=version, mode=mode):
                data = os.path.join(self.folder, f"restored-{version}-{mode}")
                done = store_files.run_check("restore", file, data)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_exact(self.start(data=data), state)

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
