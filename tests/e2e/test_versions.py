"""The version and the time of expiry of each key stay what they were, whatever the data goes through:
restarts, kills, checkpoints, switches, shadow runs, backups and restores."""
import os

import grpc

import harness
import store_files
from harness import PATIENCE, data as kv1
from restores import RestoreCase
from watching import Stream

FAR_MS = 4102444800000
KEPT = {"snapshot": ["max_snapshots=2"], "aof": ["aof_max_size=64K"],
        "hybrid": ["aof_max_size=64K", "max_snapshots=2"]}


class Versions(RestoreCase):
    def setUp(self):
        super().setUp()
        self.key = os.path.join(self.folder, "key")
        with open(os.open(self.key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(bytes(range(32)))

    def encrypt(self, inner):
        return {"inner": inner, "key_file": self.key}

    @staticmethod
    def entries(server):
        """All that a client can see of each key."""
        return {entry.key: (entry.version, entry.value, entry.expire_time_ms)
                for message in server.keyvalue.Scan(kv1.ScanRequest(), timeout=PATIENCE)
                for entry in message.entries}

    def write(self, server, text, entries=60):
        """Sets, overwrites and deletes, so that keys and versions are in different orders."""
        for i in range(entries):
            expiry = kv1.Expiry(expire_time_ms=FAR_MS + i) if i % 3 == 0 else None
            server.keyvalue.Set(kv1.SetRequest(key=f"{i * 37 % entries:03}", value=text.encode() * i,
                                               expiry=expiry), timeout=PATIENCE)
        for i in range(0, entries, 7):
            server.delete(f"{i:03}")
        return self.entries(server)

    def go_on(self, server, wanted, again):
        """`again` starts the next one."""
        self.assertGreater(len({version for version, _, _ in wanted.values()}), len(wanted) // 2)
        server = again()
        self.assertEqual(self.entries(server), wanted)
        return server

    def through(self, mode, options):
        def start():
            return self.start(data=mode)
        server = self.start(data=mode, mode=mode, options=options)
        self.write(server, "first")
        server.save()
        wanted = self.write(server, "second", 30)
        server.stop()
        server = self.go_on(server, wanted, start)
        server.save()
        server.kill9()  # only the checkpoint, or it and an empty log
        server = self.go_on(server, wanted, start)
        if mode != "snapshot":
            wanted = self.write(server, "third", 20)
            server.kill9()
            server = self.go_on(server, wanted, start)
        # The versions of what comes go on above.
        server.set("new", b"")
        self.assertGreater(self.entries(server)["new"][0],
                           max(version for version, _, _ in wanted.values()))

    def test_restarts_and_kills_in_each_mode(self):
        for mode, options in KEPT.items():
            with self.subTest(mode=mode):
                self.through(mode, options)

    def test_restarts_and_kills_of_encrypted_stores(self):
        for inner in ("aof", "hybrid"):
            with self.subTest(inner=inner):
                options = [f"{name}={value}" for name, value in self.encrypt(inner).items()]
                server = self.start(data=inner, mode="encrypt", options=options)
                self.write(server, "first")
                server.save()
                wanted = self.write(server, "second", 30)
                server.kill9()
                server = self.go_on(server, wanted, lambda inner=inner: self.start(data=inner))
                server.save()
                server.kill9()
                self.go_on(server, wanted, lambda inner=inner: self.start(data=inner))

    def test_switches_between_all_modes(self):
        server = self.start(mode="none")
        wanted = self.write(server, "first")
        for plugin, options in (("aof", {}), ("snapshot", {}), ("encrypt", self.encrypt("hybrid")),
                                ("hybrid", {}), ("encrypt", self.encrypt("aof")), ("aof", {})):
            with self.subTest(plugin=plugin):
                report = server.shadow(plugin, options)
                self.assertEqual(report.outcome, harness.admin.ShadowReport.OUTCOME_EQUAL, report)
                server.configure(plugin, options)
                self.assertEqual(self.entries(server), wanted)
                server.kill9()
                server = self.go_on(server, wanted, self.start)
                if plugin != "snapshot":
                    server.set("001", plugin.encode())
                    wanted = self.entries(server)

    def test_a_backup_and_a_restore_on_another_server(self):
        for mode, options in ({"hybrid": {}, "encrypt": self.encrypt("hybrid")}).items():
            with self.subTest(mode=mode):
                server = self.start(data=mode, mode=mode,
                                    options=[f"{name}={value}" for name, value in options.items()])
                self.write(server, "first")
                server.save()
                wanted = self.write(server, "second", 30)
                file = self.back_up(server)
                self.write(server, "later", 20)
                other = self.start(data=f"{mode}-other", mode="aof")
                for target in (server, other):
                    self.restore(target, file, replace_existing=target is server)
                    self.assertEqual(self.entries(target), wanted)
                for target, data in ((server, mode), (other, f"{mode}-other")):
                    target.save()
                    target.kill9()
                    self.go_on(target, wanted, lambda data=data: self.start(data=data))

    def test_a_restore_and_a_recovery_offline(self):
        server = self.start(mode="hybrid", options=KEPT["hybrid"])
        self.write(server, "first")
        server.save()
        wanted = self.write(server, "second", 30)
        path, restored = (os.path.join(self.folder, name) for name in ("file", "restored"))
        store_files.write(path, self.back_up(server))
        server.kill9()
        done = store_files.run_check("restore", path, restored)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.go_on(server, wanted, lambda: self.start(data="restored"))
        recovered = os.path.join(self.folder, "recovered")
        done = store_files.run_check("--recover=prefix", f"--output={recovered}", server.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.go_on(server, wanted, lambda: self.start(data="recovered"))


class Lost(harness.Case):
    """Changes that a crash has lost: nobody who has seen them takes later ones for them."""

    @staticmethod
    def put(server, key, value=b"v", **fields):
        return server.keyvalue.Set(kv1.SetRequest(key=key, value=value, **fields),
                                   timeout=PATIENCE).version

    def lose(self, mode, end):
        """A server that has lost some changes, and the version of the last one."""
        name = mode + end.__name__
        server = self.start(name, mode=mode)
        self.put(server, "kept")
        if mode == "snapshot":
            server.save()
        for _ in range(5):
            seen = self.put(server, "lock", b"A has it")
        end(server)
        return self.start(name), seen

    def cases(self):
        for mode, end in (("snapshot", harness.Server.kill9), ("none", harness.Server.kill9),
                          ("none", harness.Server.stop)):
            with self.subTest(mode=mode, end=end.__name__):
                yield self.lose(mode, end)

    def test_versions_are_not_given_out_twice(self):
        for server, seen in self.cases():
            self.assertGreater(self.put(server, "lock", b"B has it"), seen)
            with self.assertRaises(grpc.RpcError):
                self.put(server, "lock", b"A again", condition=kv1.Condition(version=seen))

    def test_a_damaged_record_of_them_costs_a_gap(self):
        server = self.start(mode="aof")
        last = self.put(server, "k")
        server.stop()
        path = os.path.join(server.data, "VERSIONS")
        content = store_files.read(path)
        for damaged in (b"", content[:-1], content.replace(b"reserved=", b"reserved=1"), b"x" * 1000):
            store_files.write(path, damaged)
            server = self.start()
            self.assertIn("VERSIONS, which says", server.log.text())
            version = self.put(server, "k")
            self.assertGreater(version, last + 1000)
            last = version
            server.stop()

    def test_a_watch_that_has_seen_what_is_lost_does_not_go_on(self):
        for server, seen in self.cases():
            version = self.put(server, "more")
            with Stream(server) as stream:
                ended = stream.create("", start_version=seen + 1).ended
                self.assertEqual(ended.reason, "VERSION_NOT_HELD")
                self.assertEqual(stream.create("", start_version=version).WhichOneof("kind"), "created")

    @staticmethod
    def wait_for(server, version):
        server.keyvalue.WaitDurable(kv1.WaitDurableRequest(
            version=version, durability=kv1.DURABILITY_MEMORY), timeout=PATIENCE)

    def test_what_is_lost_does_not_become_durable(self):
        for server, seen in self.cases():
            with self.assertRaises(grpc.RpcError) as caught:
                self.wait_for(server, seen)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.OUT_OF_RANGE)
            self.assertIn("write again", caught.exception.details())
            self.wait_for(server, self.put(server, "more"))

    def test_what_is_kept_goes_on_where_it_was(self):
        for end, rises in ((harness.Server.stop, False), (harness.Server.kill9, True)):
            for mode in ("aof", "hybrid", "snapshot"):
                with self.subTest(mode=mode, end=end.__name__):
                    server = self.start(mode + end.__name__, mode=mode)
                    self.put(server, "a")
                    last = self.put(server, "b")
                    server.save()
                    end(server)
                    server = self.start(mode + end.__name__)
                    with Stream(server) as stream:  # it has seen all, and nothing was lost
                        created = stream.create("", start_version=last + 1)
                        self.assertEqual(created.WhichOneof("kind"), "created")
                        version = self.put(server, "c")
                        self.assertEqual(stream.events(1)[0][0].entry.version, version)
                    self.assertEqual(version > last + 1, rises)


if __name__ == "__main__":
    harness.main()
