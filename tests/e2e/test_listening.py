"""Who gets in where the server listens, what it refuses to listen on, and how much memory it gives to the data."""
import os
import re
import socket
import subprocess
import unittest

import grpc

import certificates
import harness
from harness import CLI, PATIENCE, PLUGINS, SERVER


class Sockets(harness.Case):
    def ask(self, address, user=None):
        """Whether a client, of another user where one is named, is served."""
        words = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if user else []
        done = subprocess.run([*words, CLI, "-a", address, "keys"], check=False, text=True,
                              capture_output=True, timeout=PATIENCE,
                              env=harness.environment(HOME=self.folder))
        return done.returncode == 0

    @unittest.skipUnless(os.geteuid() == 0, "only root can be other users")
    def test_the_mode_of_a_unix_socket_says_which_users_are_served(self):
        os.chmod(self.folder, 0o755)
        for mode, served in (("0600", False), ("660", False), ("0666", True)):
            with self.subTest(mode=mode):
                address = f"unix:{self.folder}/{mode}"
                self.start(f"data-{mode}", mode="none", listen=address,
                           flags=["--socket-mode", mode])
                self.assertEqual(os.stat(f"{self.folder}/{mode}").st_mode & 0o777, int(mode, 8))
                self.assertTrue(self.ask(address))
                self.assertEqual(self.ask(address, user=65534), served)

    def test_a_mode_that_is_none_is_refused(self):
        for mode in ("", "0", "0o600", "rw", "0800", "1600", "06000", "0060", "-600"):
            with self.subTest(mode=mode):
                done = subprocess.run([SERVER, f"--socket-mode={mode}"], check=False, text=True,
                                      capture_output=True, timeout=PATIENCE,
                                      env=harness.environment())
                self.assertEqual(done.returncode, 2)
                self.assertIn(f'socket-mode (command line): "{mode}" is not a mode in octal digits '
                              "that lets the server's user in, such as 0600", done.stderr)


NEITHER = "neither TLS (--tls-cert, --tls-key) nor users (--users)"
WORDS = "insecure: other machines reach "


def own_address():
    """An address of this machine that is not loopback, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


class Exposed(harness.Case):
    """Addresses that other machines reach."""

    def command(self, *words):
        return [SERVER, "--plugin-dir", PLUGINS, "--data-dir", os.path.join(self.folder, "data"),
                "--mode", "none", *words]

    def run_refused(self, *words, **environment):
        """What the server says that must not start."""
        done = subprocess.run(self.command(*words), check=False, capture_output=True, text=True,
                              timeout=PATIENCE, env=harness.environment(**environment))
        self.assertNotIn("listening on", done.stderr)
        return done.returncode, done.stderr

    def assert_refused(self, address, lacks, *words, **environment):
        code, said = self.run_refused(*words, **environment)
        self.assertEqual(code, 1, said)
        self.assertIn(f"cannot listen on {address}:", said)
        self.assertIn(f"other machines reach it, and the server has {lacks}", said)
        for remedy in ("add what is missing", "127.0.0.1", "unix:PATH", "--insecure"):
            self.assertIn(remedy, said)
        checked = self.run_refused(*words, "--check-config", **environment)
        self.assertEqual(checked[0], 2)
        self.assertEqual(checked[1].split(" error ")[-1], said.split(" error ")[-1])

    def test_what_other_machines_reach_is_refused_with_each_remedy(self):
        addresses = [("0.0.0.0:0", "0.0.0.0"), ("[::]:0", "[::]"), ("0:0", "0.0.0.0")]
        if own_address():
            addresses.append((f"{own_address()}:0", own_address()))
        for address, shown in addresses:
            with self.subTest(address=address):
                self.assert_refused(shown, NEITHER, "--listen", address)
                self.assert_refused(shown, NEITHER, "--listen", "127.0.0.1:0", "--listen", address)
                self.assert_refused(shown, NEITHER, KVSTORE_LISTEN=address, KVSTORE_INSECURE="no")

    def test_this_machine_and_unix_sockets_need_nothing(self):
        server = self.start(mode="none", flags=[
            word for address in ("localhost:0", "127.1.2.3:0", f"unix:{self.folder}/socket")
            for word in ("--listen", address)])
        self.assertNotIn(WORDS, server.log.text())

    def files(self):
        """The flags for TLS, and those for users."""
        pair = certificates.Authority(self.folder).sign("server")
        users = os.path.join(self.folder, "users")
        with open(users, "w", encoding="ascii") as file:
            file.write("me admin uid=0\n")
        return ["--tls-cert", pair.certificate, "--tls-key", pair.key], ["--users", users]

    def test_tls_and_users_together_are_needed(self):
        tls, users = self.files()
        listen = ["--listen", "0.0.0.0:0"]
        self.assert_refused("0.0.0.0", "TLS, but no users (--users)", *listen, *tls)
        self.assert_refused("0.0.0.0", "users, but no TLS (--tls-cert, --tls-key)", *listen, *users)
        server = self.start(mode="none", listen="0.0.0.0:0", flags=[*tls, *users], wait=False)
        self.assertTrue(server.log.wait_for(" info ready"))
        self.assertNotIn(WORDS, server.log.text())

    def test_the_word_is_taken_from_each_place_and_logged_as_a_warning(self):
        file = os.path.join(self.folder, "conf")
        with open(file, "w", encoding="ascii") as conf:
            conf.write("insecure = yes\n")
        for place in ({"flags": ["--insecure"]}, {"variables": {"KVSTORE_INSECURE": "yes"}},
                      {"flags": ["--config", file]}):
            with self.subTest(place=place):
                server = self.start(mode="none", listen="0.0.0.0:0", **place)
                self.assertTrue(server.log.wait_for(f" warning {WORDS}0.0.0.0:"))
                self.assertIn(f"and the server has {NEITHER}", server.log.text())
                server.stop()

    def test_a_socket_of_the_service_manager_is_no_exception(self):
        for host, refused in (("0.0.0.0", True), ("127.0.0.1", False)):
            with self.subTest(host=host), socket.socket() as listener:
                listener.bind((host, 0))
                listener.listen()
                # Descriptor 3 is where the protocol wants it.
                process = subprocess.Popen(
                    ["bash", "-c", f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"',
                     "sh", *self.command()], pass_fds=[listener.fileno()], stderr=subprocess.PIPE,
                    env=harness.environment())
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                log = harness.Log(process.stderr)
                if refused:
                    self.assertEqual(process.wait(PATIENCE), 1)
                    log.join()
                    self.assertRegex(log.text(), re.escape(f"cannot listen on {host}:") + r"\d+: other")
                else:
                    self.assertTrue(log.wait_for(" info ready"))


def may_mount():
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False,
                                                capture_output=True).returncode == 0


class Memory(harness.Case):
    def limited(self, limit, *words):
        """The command of a server in a control group with this limit, as far as it can see."""
        group = os.path.join(self.folder, "group")
        os.makedirs(group, exist_ok=True)
        files = {"group/memory.max": f"{limit}\n", "cgroup": "0::/\n",
                 "mountinfo": f"31 22 0:28 / {group} rw - cgroup2 cgroup2 rw\n"}
        for name, text in files.items():
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        program = os.path.join(self.folder, "limited-server")
        with open(program, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec unshare --mount sh -euc '"
                       "for name in cgroup mountinfo; do mount --bind \"$0/$name\" /proc/$$/$name; done; "
                       f"exec {SERVER} \"$@\"' {self.folder} \"$@\"\n")
        os.chmod(program, 0o755)
        return {"program": program, "flags": words}

    @unittest.skipUnless(may_mount(), "only root can show the server another control group")
    def test_the_data_gets_a_share_of_the_control_group_unless_a_setting_says_otherwise(self):
        # Of 256 MiB calls get 80, the history of changes 16, and the data half of the rest.
        file = f"{self.folder}/group/memory.max"
        server = self.start(mode="none", **self.limited(256 << 20))
        status = server.status()
        self.assertEqual((status.bytes_max, status.key_cost, status.bytes_max_source),
                         (80 << 20, 48, file))
        self.assertTrue(server.log.wait_for(
            f"the process may take {256 << 20} bytes of memory ({file}); max-memory is {80 << 20}, "
            f"max-wire-memory {80 << 20}"))
        shown = subprocess.run([CLI, "-a", server.address, "status"], check=True, text=True,
                               capture_output=True, timeout=PATIENCE, env=harness.environment()).stdout
        self.assertIn(f"limit        {80 << 20} bytes, with 48 for each key ({file})\n", shown)
        for _ in range(2):
            server.set("k", b"v" * (36 << 20))
        server.set("l", b"v" * (36 << 20))
        self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                         lambda: server.set("m", b"v" * (9 << 20)), "max-memory")
        server.stop()

        server = self.start(mode="none", **self.limited(256 << 20, "--max-memory", "1G"))
        status = server.status()
        self.assertEqual((status.bytes_max, status.key_cost, status.bytes_max_source),
                         (1 << 30, 0, "max-memory"))
        self.assertTrue(server.log.wait_for("lower max-memory (0 means no limit) or"))
        server.stop()

    def test_without_a_limit_and_a_setting_the_data_may_take_what_there_is(self):
        server = self.start(mode="none", flags=["--max-memory", "0"])
        self.assertEqual(server.status().bytes_max, 0)
        shown = subprocess.run([CLI, "-a", server.address, "status"], check=True, text=True,
                               capture_output=True, timeout=PATIENCE, env=harness.environment()).stdout
        self.assertIn("limit        none\n", shown)


if __name__ == "__main__":
    harness.main()
