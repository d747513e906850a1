"""The server and kvstore-check read data directories of every released format version."""
import glob
import json
import os
import shutil

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


if __name__ == "__main__":
    harness.main()
