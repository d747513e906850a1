"""A client from before any addition: its stubs come from frozen.proto, which has only the five
frozen calls."""
import os

os.environ["KVSTORE_TEST_PROTO"] = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                                "frozen.proto")

import grpc  # noqa: E402

import harness  # noqa: E402
from harness import kv  # noqa: E402


class Frozen(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start()
        self.stub = self.server.stub

    def get(self, key):
        return self.stub.Get(kv.GetRequest(key=key), timeout=harness.PATIENCE).value

    def set(self, key, value):
        self.stub.Set(kv.SetRequest(key=key, value=value), timeout=harness.PATIENCE)

    def config(self, **fields):
        return self.stub.Config(kv.ConfigRequest(**fields), timeout=harness.PATIENCE)

    def test_the_stubs_know_nothing_of_what_was_added(self):
        self.assertFalse(hasattr(self.stub, "Batch"))
        self.assertNotIn("found", kv.GetResponse.DESCRIPTOR.fields_by_name)

    def test_a_value_that_was_set_can_be_got_replaced_and_deleted(self):
        self.set("k", b"one")
        self.assertEqual(self.get("k"), b"one")
        self.set("k", bytes(range(256)))
        self.assertEqual(self.get("k"), bytes(range(256)))
        self.assertTrue(self.stub.Del(kv.DelRequest(key="k")).success)
        self.assertFalse(self.stub.Del(kv.DelRequest(key="k")).success)
        self.assertEqual(self.get("k"), b"")

    def test_a_missing_key_is_ok_and_empty(self):
        self.assertEqual(self.get("never set"), b"")

    def test_an_empty_value_is_a_value(self):
        self.set("empty", b"")
        self.assertEqual(self.get("empty"), b"")
        self.assertEqual(list(self.stub.Keys(kv.KeysRequest()).keys), ["empty"])

    def test_keys_are_all_keys(self):
        self.assertEqual(list(self.stub.Keys(kv.KeysRequest()).keys), [])
        for key in ("b", "a", "ü", "a b"):
            self.set(key, b"x")
        self.assertEqual(sorted(self.stub.Keys(kv.KeysRequest()).keys), ["a", "a b", "b", "ü"])

    def test_config_switches_to_every_mode_and_keeps_the_data(self):
        self.set("k", b"v")
        for mode in (kv.NON_PERSISTENT, kv.AOF, kv.SNAPSHOT, kv.HYBRID):
            self.assertTrue(self.config(storage_mode=mode, snapshot_interval=60, max_snapshots=2,
                                        aof_max_size=1 << 20).success)
            self.assertEqual(self.get("k"), b"v")

    def test_absent_numbers_mean_the_defaults(self):
        self.assertTrue(self.config(storage_mode=kv.HYBRID, snapshot_interval=60, max_snapshots=2,
                                    aof_max_size=1 << 20).success)
        self.assertEqual(self.options()["snapshot_interval"], "60")
        self.assertTrue(self.config(storage_mode=kv.HYBRID).success)
        options = self.options()
        self.assertEqual(options["snapshot_interval"], "300")
        self.assertEqual(options["max_snapshots"], "5")
        self.assertEqual(options["aof_max_size"], str(10 << 20))

    def options(self):
        """The options in force, from the client program: these stubs have no Status."""
        import subprocess
        text = subprocess.run([harness.CLI, "-a", self.server.address, "status"], check=True,
                              capture_output=True, env=harness.environment(),
                              timeout=harness.PATIENCE).stdout.decode()
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def test_numbers_beyond_what_is_possible_are_brought_to_it(self):
        """Config never had limits; Configure, which reports them, stays strict."""
        for name, number in (("aof_max_size", 1), ("aof_max_size", (1 << 63) - 1),
                             ("snapshot_interval", 2147483647), ("max_snapshots", 2147483647)):
            with self.subTest(name=name, number=number):
                self.assertTrue(self.config(storage_mode=kv.HYBRID, **{name: number}).success)
                self.assertTrue(self.server.log.wait_for(f"{name} {number}, which plug-in hybrid"))
        self.assertTrue(self.config(storage_mode=kv.AOF, max_snapshots=-1, snapshot_interval=-5,
                                    aof_max_size=8192).success)
        self.assertTrue(self.config(storage_mode=kv.SNAPSHOT, aof_max_size=-(1 << 63)).success)
        self.assertTrue(self.config(storage_mode=kv.NON_PERSISTENT, aof_max_size=-1,
                                    max_snapshots=-1, snapshot_interval=-1).success)

    def test_an_empty_config_means_snapshot_as_its_zero_does(self):
        self.assertTrue(self.config().success)
        self.set("k", b"v")
        self.server.kill9()
        again = self.start()
        answer = again.stub.Get(kv.GetRequest(key="k"), timeout=harness.PATIENCE)
        self.assertEqual(answer.value, b"", "only snapshot loses a write without Save")

    def test_errors_arrive_as_statuses(self):
        self.assertFails(grpc.StatusCode.INVALID_ARGUMENT, lambda: self.set("", b"v"), "key")


if __name__ == "__main__":
    harness.main()
