"""What is packaged around the programs: service manager, man pages, completion, configuration."""
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest

import harness
from harness import BIN, CLI, PATIENCE, PLUGINS, ROOT

MADE = os.path.join(os.path.dirname(BIN), "packaging")
SERVER = os.path.join(BIN, "kvstore-server")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def settings():
    """{name: whether it takes a value} of --help."""
    shown = subprocess.run([SERVER, "--help"], check=True, capture_output=True, text=True,
                           timeout=PATIENCE).stdout
    lines = re.findall(r"^  --(\S+) (\S*) (.*)", shown, re.MULTILINE)
    return {name: argument != "" or "(default" in what for name, argument, what in lines}


@unittest.skipUnless(os.path.isdir(MADE), "a build with sanitizers has none of them")
class Lists(unittest.TestCase):
    def assert_all(self, place, found, wanted, remedy):
        self.assertEqual(set(wanted) - set(found), set(), f"{place} lacks these: {remedy}")
        self.assertEqual(set(found) - set(wanted), set(), f"{place} has these in excess: {remedy}")

    def test_each_setting_of_the_help_is_in_every_list_of_settings(self):
        names = settings()
        self.assertGreater(len(names), 15)
        valued = {name for name, value in names.items() if value}
        made = "it is made from --help by packaging/generate; mend that"
        self.assert_all("README.md", re.findall(r"^\| `--([a-z0-9-]+)[^|]*\| `KVSTORE_", text_of(f"{ROOT}/README.md"),
                                                re.MULTILINE), valued,
                        "edit the table below \"## Configuration\", "
                        "| `--NAME ARG` | `KVSTORE_NAME` | `DEFAULT` | TEXT |")
        self.assert_all("kvstore.conf", re.findall(r"^(?:# )?([a-z0-9-]+) = ",
                                                   text_of(f"{MADE}/kvstore.conf"), re.MULTILINE),
                        valued - {"config"}, made)
        for page in ("kvstore-server.8", "kvstore.conf.5"):
            self.assert_all(page, re.findall(r"^\.It Fl -(\S+)", text_of(f"{MADE}/{page}"),
                                             re.MULTILINE), names, made)
        completion = re.search(r'local all="(.*)"', text_of(f"{MADE}/completion.bash"))[1]
        self.assert_all("the completion of bash", re.findall(r"--(\S+)", completion), names, made)
        for shell, pattern in (("zsh", r"^  '\*--([a-z0-9-]+)\["), ("fish", r" -l (\S+)")):
            found = re.findall(pattern, text_of(f"{MADE}/completion.{shell}"), re.MULTILINE)
            self.assert_all(f"the completion of {shell}", found, names, made)

    def test_the_shells_take_the_completions(self):
        for shell in ("bash", "zsh", "fish"):
            if shutil.which(shell):
                for path in [f"{MADE}/completion.{shell}", *glob.glob(f"{MADE}/kvstore-*.{shell}")]:
                    subprocess.run([shell, "-n", path], check=True, timeout=PATIENCE)

    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('. "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); '
                  f'_{words[0].replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"')
        done = subprocess.run(["bash", "-c", script, "bash", f"{MADE}/{words[0]}.bash", *words], check=True,
                              capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
        return done.stdout.split()

    def test_programs_complete_their_own_options_commands_and_files(self):
        for program in ("kvstore-cli", "kvstore-bench", "kvstore-check", "kvstore-plugin-check"):
            shown = subprocess.run([os.path.join(BIN, program), "--help"], check=True, capture_output=True,
                                   text=True, timeout=PATIENCE).stdout
            options = re.findall(r"^  (?:-\S, )?(--[a-z-]+)", shown, re.MULTILINE)
            self.assertGreater(len(options), 3)
            self.assertEqual(sorted(self.complete(program, "--")), sorted(options), program)
        self.assertEqual(self.complete("kvstore-cli", "--tls", "con"), ["config", "configure"])
        self.assertEqual(self.complete("kvstore-cli", "backup", "LICE"), ["LICENSE"])
        self.assertEqual(self.complete("kvstore-cli", "--tls-ca", "LICE"), ["LICENSE"])
        self.assertEqual(self.complete("kvstore-cli", "--timeout", ""), [])
        self.assertEqual(self.complete("kvstore-check", "LICE"), ["LICENSE"])
        self.assertEqual(self.complete("kvstore-check", "rest"), ["restore"])

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_the_man_page_of_a_program_shows_its_help_as_it_is(self):
        for page in ("kvstore-cli.1", "kvstore-bench.1", "kvstore-check.8"):
            program = os.path.join(BIN, page[:-2])
            shown = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", f"{MADE}/{page}"], check=True,
                                   capture_output=True, text=True, timeout=PATIENCE).stdout
            plain = [line.strip() for line in re.sub(".\b", "", shown).splitlines()]
            told = subprocess.run([program, "--help"], check=True, capture_output=True, text=True,
                                  timeout=PATIENCE).stdout.splitlines()
            for line in told[2:]:
                with self.subTest(page=page, line=line):
                    self.assertIn(line.strip(), plain)

    @unittest.skipUnless(shutil.which("mandoc"), "needs mandoc")
    def test_the_man_pages_have_no_faults(self):
        pages = [name for name in os.listdir(MADE) if re.search(r"\.[1578]$", name)]
        self.assertEqual(len(pages), 6)
        for page in pages:
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", f"{MADE}/{page}"], check=False,
                                  capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_the_unit_exposes_little(self):
        subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20",
                        f"{ROOT}/packaging/systemd/kvstore.service"], check=True,
                       capture_output=True, timeout=PATIENCE)


class Manager(harness.Case):
    """The service manager, played by the test."""

    def spawn(self, *words, pass_fds=(), **environment):
        # LISTEN_PID and WATCHDOG_PID are checked against the process.
        process = subprocess.Popen(
            ["sh", "-c", 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"', "sh", SERVER, "--plugin-dir",
             PLUGINS, "--data-dir", os.path.join(self.folder, "data"), *words], pass_fds=pass_fds,
            env={**harness.environment(), **environment}, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def manager(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(self.folder, "notify"))
        listener.settimeout(PATIENCE)
        return listener

    def await_line(self, listener, wanted):
        while wanted not in listener.recv(4096).decode().splitlines():
            pass

    def test_the_manager_is_told_of_the_start_the_life_and_the_stop(self):
        listener = self.manager()
        process = self.spawn("--listen", "127.0.0.1:0", WATCHDOG_USEC="200000",
                             NOTIFY_SOCKET=os.path.join(self.folder, "notify"))
        self.assertTrue(listener.recv(4096).startswith(b"STATUS=Loading the data"))
        for line in ("READY=1", "WATCHDOG=1", "WATCHDOG=1"):
            self.await_line(listener, line)
        process.send_signal(signal.SIGTERM)
        self.await_line(listener, "STOPPING=1")
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_manager_is_told_of_a_reload_and_a_sighup_never_stops_its_service(self):
        listener = self.manager()
        process = self.spawn("--listen", "127.0.0.1:0", NOTIFY_SOCKET=os.path.join(self.folder, "notify"))
        self.await_line(listener, "READY=1")
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            told = listener.recv(4096).decode().splitlines()
            self.assertEqual(told[0], "RELOADING=1")
            self.assertRegex(told[1], r"^MONOTONIC_USEC=\d+$")
            self.await_line(listener, "READY=1")
        process.send_signal(signal.SIGTERM)
        self.await_line(listener, "STOPPING=1")
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_a_socket_that_is_handed_over_takes_the_place_of_listen(self):
        for family, address in ((socket.AF_INET, ("127.0.0.1", 0)),
                                (socket.AF_UNIX, os.path.join(self.folder, "socket"))):
            with self.subTest(family=family), socket.socket(family) as listener:
                listener.bind(address)
                listener.listen()
                path = address if family == socket.AF_UNIX else None
                name = f"unix:{path}" if path else "127.0.0.1:%d" % listener.getsockname()[1]
                # Descriptor 3 is where the protocol wants it.
                command = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
                process = subprocess.Popen(
                    ["bash", "-c", command, "sh", SERVER, "--plugin-dir", PLUGINS, "--data-dir",
                     os.path.join(self.folder, f"data-{family}")], pass_fds=[listener.fileno()],
                    env=harness.environment(), stderr=subprocess.DEVNULL)
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                # The socket listens already: the client waits for the server by itself.
                self.await_set(process, name)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), 0)
                if path:
                    self.assertTrue(os.path.exists(path), "the manager's file was removed")

    def await_set(self, process, address):
        """While it loads, the server refuses writes."""
        shown = None
        while shown != "OK\n":
            self.assertIsNone(process.poll(), "the server has ended")
            shown = subprocess.run([CLI, "-a", address, "set", "a", "1"], check=False, text=True,
                                   capture_output=True, timeout=PATIENCE,
                                   env=harness.environment()).stdout


if __name__ == "__main__":
    harness.main()
