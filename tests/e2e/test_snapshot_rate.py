"""A snapshot that is paced to spare the traffic makes nobody wait."""
import glob
import os
import time

import harness

VALUE = b"v" * (1 << 20)
RATE = "1M"
# At that rate a snapshot of them takes longer than any wait here.
VALUES = 120
PATIENCE = VALUES / 2


class Paced(harness.Case):
    def start_with_a_snapshot_under_way(self, data, mode, **options):
        """A server whose periodic snapshot has begun."""
        server = self.start(data=data, mode=mode,
                            options=[f"{name}={value}" for name, value in options.items()])
        for i in range(VALUES):
            server.set(f"k{i:03}", VALUE)
        deadline = time.monotonic() + PATIENCE
        while not glob.glob(os.path.join(server.data, "**", "snapshots", "*.tmp"), recursive=True):
            self.assertLess(time.monotonic(), deadline, "no snapshot has begun")
            server.set("k000", VALUE)
            time.sleep(0.05)
        return server

    def each_mode(self):
        key = os.path.join(self.folder, "key")
        with open(key, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(os.urandom(32))
        rate = {"snapshot_rate": RATE}
        inner = f"snapshot_interval=1,fsync=no,snapshot_rate={RATE}"
        for mode, options in (("snapshot", {"snapshot_interval": 1, **rate}),
                              ("hybrid", {"snapshot_interval": 1, "fsync": "no", **rate}),
                              ("aof", {"aof_max_size": "1M", "fsync": "no", **rate}),
                              ("encrypt", {"inner_options": inner, "key_file": key})):
            with self.subTest(mode=mode):
                yield self.start_with_a_snapshot_under_way(mode, mode, **options)

    def test_save_and_a_switch_do_not_wait_for_it(self):
        for server in self.each_mode():
            self.assertGreater(server.save().version, 0)
            server.configure("none")
            self.assertEqual(len(server.keys()), VALUES)
            server.stop()

    def test_the_servers_end_does_not_wait_for_it(self):
        for server in self.each_mode():
            server.stop()
            again = self.start(data=os.path.basename(server.data))
            self.assertEqual(len(again.keys()), VALUES)
            again.stop()


if __name__ == "__main__":
    harness.main()
