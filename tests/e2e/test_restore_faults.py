"""What a kill, the disk and a cancel can do at each call that a restore makes. The shim is preloaded,
which does not go with a sanitizer."""
import errno
import os
import time

import grpc

import faults
import harness
from harness import PATIENCE, admin
from restores import RestoreCase, memory_of, messages, wait_for

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Faults(RestoreCase):
    """What the disk and a kill can do, at each call that the restore makes."""

    def start_with_shim(self, mode="hybrid", **keywords):
        shim = faults.Shim(self.folder, os.path.join(self.folder, "data"))
        server, data, wanted = self.backed_up(mode, entries=5, variables=shim.environment(), **keywords)
        return shim, server, data, wanted

    def test_a_kill_at_any_call_leaves_the_old_data_or_the_new(self):
        shim, server, data, wanted = self.start_with_shim()
        before = server.scan()
        seen = set()
        for kinds in ("open", "write", "fsync", "fdatasync", "rename", "unlink", "mkdir"):
            for number in range(1, 200):
                rule = shim.arm(kinds, number, "kill")
                try:
                    self.restore(server, data, replace_existing=True)
                except grpc.RpcError:
                    pass
                if not rule.hits:
                    shim.heal()
                    break
                server.wait_exit()
                shim.heal()
                server = self.start(variables=shim.environment())
                found = server.scan()
                self.assertIn(found, (before, wanted), (kinds, number))
                seen.add(found == wanted)
                self.assert_nothing_is_left(server)
                server.set("other", b"data")
                server.delete("000000")
                if found == wanted:
                    self.assertEqual(server.scan(), before)
            else:
                self.fail(f"{kinds}: there is no end")
            self.assertEqual(server.scan(), wanted)
            server.delete("000000")
            server.set("other", b"data")
        self.assertEqual(seen, {False, True})

    def test_an_error_at_any_call_leaves_the_old_data_or_the_new(self):
        shim, server, data, wanted = self.start_with_shim()
        before = server.scan()
        for kinds, error in (("open", errno.EIO), ("write", errno.ENOSPC), ("fsync", errno.EIO),
                             ("fdatasync", errno.EIO), ("rename", errno.EIO), ("mkdir", errno.ENOSPC)):
            for number in range(1, 200):
                rule = shim.arm(kinds, number, "error", error)
                failed = False
                try:
                    self.restore(server, data, replace_existing=True)
                except grpc.RpcError as failure:
                    failed = True
                    self.assertTrue(failure.details())
                hit = rule.hits
                shim.heal()
                self.assertEqual(server.scan(), before if failed else wanted, (kinds, number))
                # It can be that the log was hit, so that a fresh generation comes first.
                wait_for(lambda: self.writes(server))
                self.assertEqual(server.scan(), before)
                if not hit:
                    break
            else:
                self.fail(f"{kinds}: there is no end")
        server.kill9()
        self.assertEqual(self.start().scan(), before)

    def writes(self, server):
        """Brings the data back to what it was."""
        try:
            server.delete("000000")
            server.set("other", b"data")
            return True
        except grpc.RpcError:
            return False

    def test_a_kill_while_it_is_put_aside_leaves_no_file(self):
        shim, server, data, wanted = self.start_with_shim()
        before = server.scan()
        rule = shim.arm("write", 1, "kill", match="/data/#")
        with self.assertRaises(grpc.RpcError):
            self.restore(server, data, replace_existing=True)
        self.assertEqual(rule.hits, 1)
        server.wait_exit()
        again = self.start()
        self.assertEqual(again.scan(), before)
        self.assert_nothing_is_left(again)
        self.restore(again, data, replace_existing=True)
        self.assertEqual(again.scan(), wanted)

    def test_a_cancel_when_all_has_been_sent_leaves_the_old_data(self):
        shim, server, data, _ = self.start_with_shim("snapshot")
        before = server.scan()
        held = shim.arm("fsync", 1, "hold", match="gen-000002")
        call = server.admin.Restore.future(messages(data, replace_existing=True), timeout=PATIENCE)
        held.wait_held()
        # Writes do not wait for its checkpoint.
        server.set("meanwhile", b"1")
        call.cancel()
        # On one connection this comes behind the cancel, but for an engine that handles it later.
        server.status()
        held.disarm()

        def ended():
            try:
                return self.restore(server, data, validate_only=True)
            except grpc.RpcError as failure:
                self.assertEqual(failure.code(), EXHAUSTED)
                return None
        wait_for(ended)
        if harness.WIRE == "http2":
            self.assertEqual(server.scan(), sorted([*before, ("meanwhile", b"1")]))
            self.assertEqual(server.status().generation, 1)
        self.assert_nothing_is_left(server)

    def test_a_slow_disk_holds_back_the_client(self):
        shim = faults.Shim(self.folder, os.path.join(self.folder, "data"))
        server = self.start(mode="none", variables=shim.environment())
        server.set("k", b"v")
        sent = [0]

        def flood():
            yield admin.RestoreRequest(data=b"x", replace_existing=True)
            for _ in range(400):
                yield admin.RestoreRequest(data=bytes(1000000))
                sent[0] += 1
        rule = shim.arm("write", 1, "hold", match="/data/#")
        used = memory_of(server)
        call = server.admin.Restore.future(flood(), timeout=PATIENCE)
        rule.wait_held()
        # The client goes on until nothing more fits anywhere.
        count = -1
        while count != sent[0]:
            count = sent[0]
            time.sleep(0.5)
        self.assertLess(sent[0], 100)
        self.assertLess(memory_of(server) - used, 60 << 20)
        # Others are served meanwhile.
        self.assertEqual(server.get("k"), b"v")
        call.cancel()
        rule.disarm()
        self.assertEqual(server.get("k"), b"v")


if __name__ == "__main__":
    harness.main()
