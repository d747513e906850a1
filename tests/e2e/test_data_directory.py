"""What others do to the data directory, before a start and while the server runs."""
import fcntl
import os
import shutil
import time
import unittest

import grpc

import harness
import store_files
from harness import NOT_SERVING, PATIENCE, PLUGINS, SERVER, SERVING, health, health_grpc

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

GROUP, USER, OTHER = 4710, 4711, 4712


def as_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "only root can be several users")(test)


class DirectoryCase(harness.Case):
    def path(self, *names):
        return os.path.join(self.folder, *names)

    def refused_write(self, server):
        """Writes a key of its own until that is refused; returns the refusal's text."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                server.set("probe", b"v")
            except grpc.RpcError as error:
                self.assertEqual(error.code(), UNAVAILABLE, error.details())
                return error.details()
        raise AssertionError("writes went on")

    def await_health(self, server, wanted):
        watch = health_grpc.HealthStub(server.channel).Watch(
            health.HealthCheckRequest(service="kvstore.KeyValueStore"), timeout=PATIENCE)
        for state in watch:
            if state.status == wanted:
                watch.cancel()
                return
        raise AssertionError("the health stream ended")

    def await_writable(self, server):
        self.await_health(server, SERVING)
        server.set("after", b"v")


class UnderARunningServer(DirectoryCase):
    def assertReadOnly(self, server, *texts):
        refusal = self.refused_write(server)
        self.await_health(server, NOT_SERVING)
        status = server.status()
        self.assertTrue(status.read_only)
        for text in texts:
            self.assertIn(text, refusal)
            self.assertIn(text, status.last_error)
            self.assertTrue(server.log.wait_for(text), server.log.text())
        self.assertEqual(server.get("kept"), b"before")

    def test_a_removed_directory_makes_the_server_read_only(self):
        for mode in ("aof", "hybrid", "snapshot"):
            server = self.start(data=mode, mode=mode)
            server.set("kept", b"before")
            shutil.rmtree(server.data)
            self.assertReadOnly(server, "is no longer there")
            self.assertLogs(server, server.data)
            self.assertFails(UNAVAILABLE, server.save, "is no longer there")
            # An empty directory in its place is a different one.
            os.mkdir(server.data, 0o700)
            self.assertFails(UNAVAILABLE, server.save, "is not the one")
            self.assertEqual(os.listdir(server.data), [])
            server.terminate()
            self.assertEqual(server.wait_exit(), 1, server.log.text())

    def test_a_directory_that_was_moved_is_used_again_when_it_is_back(self):
        for mode in ("aof", "hybrid", "snapshot"):
            server = self.start(data=mode, mode=mode)
            server.set("kept", b"before")
            os.rename(server.data, server.data + ".away")
            self.assertReadOnly(server, "is no longer there")
            os.rename(server.data + ".away", server.data)
            self.await_writable(server)
            self.assertFalse(server.status().read_only)
            server.kill9()
            again = self.start(data=mode)
            self.assertEqual(again.get("kept"), b"before")
            if mode != "snapshot":
                self.assertEqual(again.get("after"), b"v")

    def test_a_second_server_on_the_moved_directory_is_refused(self):
        server = self.start(mode="aof")
        os.rename(server.data, server.data + ".away")
        self.assertRefusesToStart("in use by another server", f"process id {server.pid}",
                                  data="data.away")

    def test_a_link_that_leads_elsewhere_now_makes_the_server_read_only(self):
        os.mkdir(self.path("one"), 0o700)
        os.mkdir(self.path("two"), 0o700)
        os.symlink("one", self.path("data"))
        server = self.start(mode="aof")
        server.set("kept", b"before")
        os.symlink("two", self.path("new"))
        os.rename(self.path("new"), self.path("data"))
        self.assertReadOnly(server, "is not the one")

    def test_a_removed_generation_is_replaced_by_a_fresh_one(self):
        for mode in ("aof", "hybrid", "snapshot"):
            server = self.start(data=mode, mode=mode)
            server.set("kept", b"before")
            shutil.rmtree(os.path.join(server.data, "gen-000001"))
            self.assertTrue(server.log.wait_for("a fresh generation is durable"))
            self.await_writable(server)
            server.kill9()
            self.assertEqual(self.start(data=mode).get("kept"), b"before")

    def test_a_generation_that_became_a_link_is_replaced_by_a_fresh_one(self):
        server = self.start(mode="aof")
        server.set("kept", b"before")
        generation = os.path.join(server.data, "gen-000001")
        os.rename(generation, self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), generation)
        self.assertTrue(server.log.wait_for("links are not followed"))
        self.assertTrue(server.log.wait_for("a fresh generation is durable"))
        self.await_writable(server)
        server.kill9()
        self.assertEqual(self.start().get("kept"), b"before")

    def test_a_removed_lock_lets_no_second_server_in_and_is_put_back(self):
        server = self.start(mode="aof")
        os.unlink(os.path.join(server.data, "LOCK"))
        self.assertRefusesToStart("in use by another server")
        self.assertTrue(server.log.wait_for("LOCK was removed or replaced"))
        with open(os.path.join(server.data, "LOCK"), encoding="ascii") as file:
            self.assertEqual(file.read(), f"{server.pid}\n")
        self.assertRefusesToStart(f"process id {server.pid}")
        server.set("k", b"v")
        server.stop()

    def test_a_lock_that_another_process_holds_makes_the_server_read_only(self):
        server = self.start(mode="aof")
        server.set("kept", b"before")
        with open(self.path("other"), "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(self.path("other"), os.path.join(server.data, "LOCK"))
            self.assertReadOnly(server, "in use by another server")
        self.await_writable(server)

    def test_a_removed_or_damaged_record_is_written_again(self):
        server = self.start(mode="aof")
        server.set("kept", b"before")
        active = os.path.join(server.data, "ACTIVE")
        with open(active, "rb") as file:
            record = file.read()
        os.unlink(active)
        self.assertTrue(server.log.wait_for("ACTIVE was removed or changed"))
        with open(active, "rb") as file:
            self.assertEqual(file.read(), record)
        with open(active, "wb") as file:
            file.write(b"nonsense")
        deadline = time.monotonic() + PATIENCE
        while server.log.text().count("ACTIVE was removed or changed") < 2:
            self.assertLess(time.monotonic(), deadline, server.log.text())
            server.status()
        with open(active, "rb") as file:
            self.assertEqual(file.read(), record)
        server.set("k", b"v")
        server.kill9()
        self.assertEqual(self.start().get("kept"), b"before")

    def test_a_record_that_cannot_be_put_back_makes_the_server_read_only(self):
        server = self.start(mode="aof")
        server.set("kept", b"before")
        os.mkdir(os.path.join(server.data, "ACTIVE.tmp"))
        os.unlink(os.path.join(server.data, "ACTIVE"))
        self.assertReadOnly(server, "ACTIVE.tmp")
        os.rmdir(os.path.join(server.data, "ACTIVE.tmp"))
        self.await_writable(server)
        server.kill9()
        self.assertEqual(self.start().get("kept"), b"before")

    def test_attempts_to_put_the_record_back_leave_no_generations_behind(self):
        server = self.start(mode="aof")
        server.set("kept", b"before")
        record = os.path.join(server.data, "ACTIVE")
        os.unlink(record)
        os.mkdir(record)
        self.assertReadOnly(server, "ACTIVE")
        for _ in range(4):
            self.assertFails(UNAVAILABLE, server.save, "ACTIVE")
        generations = [name for name in os.listdir(server.data) if name.startswith("gen-")]
        self.assertLessEqual(len(generations), 2, generations)
        os.rmdir(record)
        self.await_writable(server)
        server.kill9()
        self.assertEqual(self.start().get("kept"), b"before")

    def test_a_log_that_is_cut_short_is_made_up_for_by_a_fresh_generation(self):
        for mode in ("aof", "hybrid"):
            server = self.start(data=mode, mode=mode)
            server.set("kept", b"before")
            os.truncate(os.path.join(server.data, "gen-000001/aof/0000000001.log"), 20)
            self.assertTrue(server.log.wait_for("was cut short under the server"))
            self.refused_write(server)  # the log takes nothing more
            self.await_writable(server)
            server.kill9()
            self.assertEqual(self.start(data=mode).get("kept"), b"before")

    def test_a_part_of_the_log_that_is_removed_is_made_up_for_by_a_fresh_generation(self):
        for part in ("aof/0000000002.log", "aof/0000000001.log", "aof", "snapshots",
                     "snapshots/00000000000000000000.snapshot"):
            data = part.replace("/", "-")
            server = self.start(data=data, mode="aof", options=["aof_max_size=4096"])
            if "/0000" in part and "aof" in part:
                server.set("a", b"v" * 3000)
                server.set("b", b"v" * 3000)  # a second segment
            else:
                server.set("a", b"v" * 3000)
                server.save()
            path = os.path.join(server.data, "gen-000001", part)
            if "snapshot" in part and not os.path.isdir(path):
                folder = os.path.dirname(path)
                path = os.path.join(folder, os.listdir(folder)[0])
            before = dict(server.scan())
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
            self.assertTrue(server.log.wait_for("under the server"), part)
            self.refused_write(server)  # the log takes nothing more
            self.await_writable(server)
            server.kill9()
            after = dict(self.start(data=data).scan())
            after = {key: value for key, value in after.items() if key in before}
            self.assertEqual(after, before)

    def test_a_snapshot_that_is_removed_is_taken_again(self):
        server = self.start(mode="snapshot")
        server.set("k", b"v")
        server.save()
        folder = os.path.join(server.data, "gen-000001", "snapshots")
        newest = max(os.listdir(folder))
        os.unlink(os.path.join(folder, newest))
        deadline = time.monotonic() + PATIENCE
        while newest not in os.listdir(folder):
            self.assertLess(time.monotonic(), deadline)
        server.kill9()
        self.assertEqual(self.start().get("k"), b"v")
        server = self.servers[-1]
        shutil.rmtree(folder)
        self.assertTrue(server.log.wait_for("under the server"))
        self.assertFails(UNAVAILABLE, server.save, "under the server")


class Strange(DirectoryCase):
    """Files in the directory that are not the server's."""

    def stopped(self, mode="aof"):
        server = self.start(mode=mode, options=["aof_max_size=4096"])
        server.set("a", b"v" * 3000)
        server.set("b", b"v" * 3000)
        server.kill9()
        return server.data

    def precious(self):
        path = self.path("precious")
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        return path

    def assertPrecious(self):
        with open(self.path("precious"), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_a_pipe_named_as_a_segment_holds_neither_a_start_nor_a_check_up(self):
        data = self.stopped()
        segments = sorted(os.listdir(os.path.join(data, "gen-000001", "aof")))
        pipe = os.path.join(data, "gen-000001", "aof", f"{len(segments) + 1:010}.log")
        os.mkfifo(pipe)
        self.assertRefusesToStart(pipe, "not a regular file", "--recover=prefix")
        code, report = store_files.check(data)
        self.assertEqual(code, store_files.DAMAGED)
        self.assertIn("not a regular file", report["start"]["message"])
        code, report = store_files.check(data, "--recover=prefix", "--output=" + data + ".new")
        self.assertEqual(code, store_files.SOUND)
        self.assertEqual(set(self.start(data="data.new").keys()), {"a", "b"})
        os.unlink(pipe)
        pipe = os.path.join(data, "gen-000001", "snapshots", "00000000000000000001.snapshot")
        os.mkfifo(pipe)
        self.assertRefusesToStart(pipe, "not a regular file", "--recover=prefix")
        self.assertEqual(store_files.check(data)[0], store_files.DAMAGED)

    def test_links_planted_where_the_server_writes_next_lead_nowhere(self):
        server = self.start(mode="aof", options=["aof_max_size=4096"])
        server.set("a", b"v" * 3000)
        generation = os.path.join(server.data, "gen-000001")
        for name in ("aof/0000000002.log.tmp", "aof/0000000003.log.tmp",
                     "snapshots/00000000000000000002.snapshot.tmp"):
            os.symlink(self.precious(), os.path.join(generation, name))
        for name in ("ACTIVE.tmp",):
            os.symlink(self.precious(), os.path.join(server.data, name))
        server.set("b", b"v" * 3000)
        server.save()
        server.set("c", b"v" * 3000)
        server.configure("hybrid")
        self.assertPrecious()
        server.kill9()
        self.assertEqual(set(self.start().keys()), {"a", "b", "c"})

    def test_no_link_in_the_directory_is_followed(self):
        for name in ("gen-000001", "gen-000001/aof", "gen-000001/snapshots",
                     "gen-000001/aof/0000000001.log", "ACTIVE", "LOCK"):
            data = self.stopped()
            path = os.path.join(data, name)
            os.rename(path, self.path("away"))
            os.symlink(self.path("away"), path)
            self.assertRefusesToStart(path, "link" if name not in ("ACTIVE", "LOCK") else "regular")
            os.unlink(path)
            os.rename(self.path("away"), path)
            self.start().kill9()
            shutil.rmtree(data)

    def test_what_an_unfinished_write_is_kept_as_is_a_new_file(self):
        data = self.stopped()
        folder = os.path.join(data, "gen-000001", "aof")
        newest = sorted(os.listdir(folder))[-1]
        with open(os.path.join(folder, newest), "rb") as file:
            end = len(file.read().rstrip(b"\0"))
        with open(os.path.join(folder, newest), "r+b") as file:
            file.seek(end)
            file.write(b"torn")
        os.symlink(self.precious(), os.path.join(folder, f"{newest[:-4]}-{end}.torn"))
        server = self.start()
        self.assertLogs(server, ".torn")
        self.assertPrecious()
        with open(os.path.join(folder, f"{newest[:-4]}-{end}.torn"), "rb") as file:
            self.assertEqual(file.read(), b"torn")


class OfOtherUsers(DirectoryCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.folder, 0o755)
        # Copies that other users can reach: the build may lie in a private home directory.
        self.program = shutil.copy(SERVER, self.path("kvstore-server"))
        self.plugins = shutil.copytree(PLUGINS, self.path("plugins"))

    def start(self, **keywords):
        return super().start(**{"program": self.program, "plugins": self.plugins, **keywords})

    def volume(self, owner, group, mode, data="data"):
        path = self.path(data)
        os.mkdir(path)
        os.chown(path, owner, group)
        os.chmod(path, mode)
        return path

    @as_root
    def test_root_serves_no_directory_that_others_may_change(self):
        for owner, group, mode, text in ((USER, 0, 0o700, f"--user {USER}"),
                                         (0, GROUP, 0o770, "chmod g-w"),
                                         (0, 0, 0o777, "anyone may write")):
            self.volume(owner, group, mode, "data")
            self.assertRefusesToStart(text, self.path("data"))
            self.assertEqual(os.listdir(self.path("data")), [])
            os.rmdir(self.path("data"))

    @as_root
    def test_a_volume_of_root_for_a_group_of_the_servers_can_be_used(self):
        """As Kubernetes (fsGroup) and OpenShift make them: root, the group, setgid."""
        for data, kind in (("own", {"group": GROUP, "extra_groups": []}),
                           ("extra", {"group": USER, "extra_groups": [GROUP]})):
            path = self.volume(0, GROUP, 0o2775, data)
            identity = {"user": USER, **kind}
            server = self.start(data=data, mode="hybrid", identity=identity)
            server.set("k", b"v")
            server.stop()
            for name in os.listdir(path):
                info = os.lstat(os.path.join(path, name))
                self.assertEqual((info.st_uid, info.st_mode & 0o7077), (USER, 0), name)
            # What the kubelet does to the content when it mounts the volume again.
            for top, folders, files in os.walk(path):
                for name in folders + files:
                    os.chown(os.path.join(top, name), -1, GROUP)
                    os.chmod(os.path.join(top, name), 0o2770 if name in folders else 0o660)
            again = self.start(data=data, identity=identity)
            self.assertEqual(again.get("k"), b"v")
            again.stop()

    @as_root
    def test_a_volume_of_root_that_the_server_may_not_write_is_refused_with_the_remedy(self):
        identity = {"user": USER, "group": USER, "extra_groups": []}
        self.volume(0, GROUP, 0o2755)
        self.assertRefusesToStart("belongs to root", f"user id {USER}", f"chown -R {USER}",
                                  identity=identity)
        os.chmod(self.path("data"), 0o2775)
        self.assertRefusesToStart(f"group id {GROUP}, which the server is not in",
                                  identity=identity)

    @as_root
    def test_a_server_that_root_starts_becomes_the_user_named(self):
        path = self.volume(USER, USER, 0o700)
        self.assertRefusesToStart("give both, as in 4711:4711", flags=["--user", f"{USER}"])
        self.assertRefusesToStart("there is no user", flags=["--user", "nobody-of-that-name"])
        server = self.start(mode="aof", flags=["--user", f"{USER}:{GROUP}"])
        server.set("k", b"v")
        with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file.read().splitlines())
        self.assertEqual(status["Uid"].split(), [f"{USER}"] * 4)
        self.assertEqual(status["Gid"].split(), [f"{GROUP}"] * 4)
        self.assertEqual(status["Groups"].split(), [f"{GROUP}"])
        self.assertEqual(int(status["CapEff"], 16), 0)
        server.stop()
        self.assertNotIn("runs as root", server.log.text())
        for top, folders, files in os.walk(path):
            for name in folders + files:
                self.assertEqual(os.lstat(os.path.join(top, name)).st_uid, USER)
        # Only root can become another user.
        self.assertRefusesToStart(f"only root can become user id {USER}",
                                  flags=["--user", f"{USER}:{USER}"],
                                  identity={"user": OTHER, "group": OTHER, "extra_groups": []})
        self.assertRefusesToStart(f"--user {USER}", flags=["--user", "root"])

    @as_root
    def test_a_server_that_runs_as_root_says_what_to_do(self):
        self.assertLogs(self.start(mode="aof"), "--user USER")

    @as_root
    def test_a_start_as_another_user_says_whose_the_files_are(self):
        """Root has written files, and then only the directory was given to another user."""
        identity = {"user": USER, "group": USER, "extra_groups": []}
        texts = ("belongs to user id 0", f"runs as user id {USER}", f"chown -R {USER}",
                 self.path("data"))
        server = self.start(mode="aof")
        server.set("k", b"v")
        server.stop()
        os.chown(self.path("data"), USER, USER)
        self.assertRefusesToStart("/LOCK", "mode 0600", *texts, identity=identity)
        os.chown(self.path("data", "LOCK"), USER, USER)
        self.assertRefusesToStart("/ACTIVE", "mode 0600", *texts, identity=identity)
        os.chown(self.path("data", "ACTIVE"), USER, USER)
        self.assertRefusesToStart("/gen-000001", "mode 0700", *texts, identity=identity)
        for folder in ("", "aof", "snapshots"):
            os.chown(self.path("data", "gen-000001", folder), USER, USER)
        self.assertRefusesToStart("/gen-000001/", "mode 0600", *texts, identity=identity)
        for top, folders, files in os.walk(self.path("data")):
            for name in folders + files:
                os.chown(os.path.join(top, name), USER, USER)
        self.assertEqual(self.start(identity=identity).get("k"), b"v")


if __name__ == "__main__":
    harness.main()
