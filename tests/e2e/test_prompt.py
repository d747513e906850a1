"""The client at a terminal: its history, interrupts, and what terminals paste."""
import os
import signal
import threading

import harness
from harness import CLI
from terminal import Terminal

PROMPT = "kvstore> "


class AtAPrompt(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")
        self.history = os.path.join(self.folder, "history")

    def prompt(self, **settings):
        terminal = Terminal([CLI, "-a", self.server.address],
                            **{"KVSTORE_HISTORY": self.history, "HOME": self.folder, **settings})
        self.addCleanup(terminal.close)
        terminal.await_text(PROMPT)
        return terminal

    def run_line(self, terminal, line, answer="OK"):
        terminal.type(line + "\r")
        terminal.await_text(answer)
        terminal.await_text(PROMPT)

    def recorded(self):
        """The lines of the history file."""
        with open(self.history, "rb") as file:
            head, *lines = file.read().splitlines()
        self.assertEqual(head, b"_HiStOrY_V2_")
        return [line.decode("unicode_escape").encode("latin-1").decode() for line in lines]


class History(AtAPrompt):
    def test_whatever_ends_the_prompt_its_history_is_kept(self):
        expected = []
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            terminal = self.prompt()
            line = f'set by-{number.name} "grüße \\\\ #1"'
            self.run_line(terminal, line)
            expected.append(line + "\n")
            terminal.process.send_signal(number)
            terminal.wait()
            self.assertEqual(self.recorded(), expected)
        self.assertEqual(os.stat(self.history).st_mode & 0o777, 0o600)

    def test_a_later_prompt_recalls_what_an_earlier_one_has_entered(self):
        first = self.prompt()
        self.run_line(first, "set recalled 'from the file'")
        first.process.kill()
        first.wait()
        self.server.delete("recalled")
        second = self.prompt()
        self.run_line(second, "\x1b[A", "OK")
        self.assertEqual(self.server.get("recalled"), b"from the file")

    def test_two_prompts_at_once_lose_nothing_of_each_other(self):
        one, other = self.prompt(), self.prompt()
        self.run_line(one, "set a 1")
        self.run_line(other, "set b 2")
        self.run_line(one, "set c 3")
        for terminal in (other, one):
            terminal.type("exit\r")
            self.assertEqual(terminal.wait(), 0)
        self.assertEqual(self.recorded(), ["set a 1\n", "set b 2\n", "set c 3\n", "exit\n",
                                           "exit\n"])

    def test_a_file_that_is_no_history_is_left_as_it_is(self):
        for notes in (b"my notes\n", b"_HiStOrY", b"\n", b"\0" * 20):
            with self.subTest(notes=notes):
                with open(self.history, "wb") as file:
                    file.write(notes)
                terminal = self.prompt()
                self.assertIn(b"No history is kept: " + self.history.encode(), terminal.shown)
                self.run_line(terminal, "set a 1")
                terminal.type("exit\r")
                self.assertEqual(terminal.wait(), 0)
                with open(self.history, "rb") as file:
                    self.assertEqual(file.read(), notes)

    def test_what_becomes_of_the_file_meanwhile_is_looked_at_before_each_line(self):
        terminal = self.prompt()
        self.run_line(terminal, "set a 1")
        with open(self.history, "wb") as file:
            file.write(b"my notes\n")
        self.run_line(terminal, "set b 2", "No history is kept from now on")
        with open(self.history, "rb") as file:
            self.assertEqual(file.read(), b"my notes\n")

    def test_what_is_no_file_holds_nobody_up(self):
        os.mkfifo(self.history)
        terminal = self.prompt()
        self.assertIn(b"is not a regular file", terminal.shown)
        os.mkdir(self.history + "-directory")
        terminal = self.prompt(KVSTORE_HISTORY=self.history + "-directory")
        self.assertIn(b"No history is kept", terminal.shown)
        for none in ("", "/dev/null"):
            terminal = self.prompt(KVSTORE_HISTORY=none)
            self.assertNotIn(b"history", terminal.shown)
            self.run_line(terminal, "set a 1")

    def test_a_long_history_is_cut_to_its_newest_lines(self):
        lines = [f"get k{i}\\012" for i in range(2001)]
        with open(self.history, "w", encoding="utf-8") as file:
            file.write("\n".join(["_HiStOrY_V2_", *lines, ""]))
        running = self.prompt()
        self.assertEqual(self.recorded(), [f"get k{i}\n" for i in range(1001, 2001)])
        self.run_line(running, "set a 1")
        self.assertEqual(self.recorded()[-1], "set a 1\n")
        self.assertEqual(os.listdir(self.folder).count("history"), 1)
        self.assertEqual([name for name in os.listdir(self.folder) if "history." in name], [])

    def test_a_prompt_follows_the_file_that_another_one_replaces(self):
        running = self.prompt()
        with open(self.history, "a", encoding="utf-8") as file:
            file.writelines(f"get\\040k{i}\\012\n" for i in range(2001))
        self.prompt()  # cuts it
        self.run_line(running, "set a 1")
        self.assertEqual(len(self.recorded()), 1001)
        self.assertEqual(self.recorded()[-1], "set a 1\n")

    def test_a_link_stays_a_link(self):
        real = os.path.join(self.folder, "real")
        with open(real, "w", encoding="utf-8") as file:
            file.write("_HiStOrY_V2_\n" + "get\\012\n" * 2001)
        os.symlink(real, self.history)
        self.run_line(self.prompt(), "set a 1")
        self.assertTrue(os.path.islink(self.history))
        self.assertEqual(len(self.recorded()), 1001)


class Signals(AtAPrompt):
    def fill(self):
        self.server.set("large", b"x" * (32 << 20))
        self.server.fill((f"many-{i:06}", b"v") for i in range(400000))

    def test_an_interrupt_ends_the_output_of_a_long_answer(self):
        self.fill()
        terminal = self.prompt()
        for command, sign, whole in (("keys many-", "many-000999", 400000 * 13),
                                     ("scan many-", "many-000999", 400000 * 15),
                                     ("get large", "x" * 20000, 32 << 20)):
            with self.subTest(command=command):
                terminal.type(command + "\r")
                terminal.await_text(sign)
                terminal.type("\x03")
                shown = terminal.await_text("interrupted")
                self.assertLess(len(shown), whole / 2)
                terminal.await_text(PROMPT)
                # The next command does not count as interrupted.
                self.run_line(terminal, "set after 1")

    def test_an_interrupt_ends_a_write_that_waits_for_the_terminal(self):
        self.server.set("large", b"x" * (1 << 20))
        terminal = self.prompt()
        for _ in range(150):  # whether it waits is up to the kernel, and to who reads just then
            terminal.type("get large\r")
            terminal.await_text("x" * 20000)
            key = threading.Thread(target=os.write, args=(terminal.master, b"\x03"))
            key.start()
            terminal.await_text(PROMPT)
            key.join()

    def test_the_terminal_is_given_back_whatever_ends_the_program(self):
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
            for command, sign in (("", PROMPT), ("configure snapshot --shadow=3600\r", "=3600\r\n")):
                with self.subTest(number=number, command=command):
                    terminal = Terminal([CLI, "-a", self.server.address], KVSTORE_HISTORY="")
                    self.addCleanup(terminal.close)
                    if command:
                        terminal.await_text(PROMPT)
                    terminal.type(command)
                    terminal.await_text(sign)
                    self.assertFalse(terminal.reads_lines())
                    terminal.process.send_signal(number)
                    self.assertEqual(terminal.wait(), -number)
                    self.assertTrue(terminal.reads_lines())


class Pasting(AtAPrompt):
    def test_marks_around_pasted_text_are_not_part_of_it(self):
        terminal = self.prompt()
        self.run_line(terminal, "\x1b[200~set pasted 'a text'\x1b[201~")
        self.assertEqual(self.server.get("pasted"), b"a text")

    def test_lines_pasted_at_once_run_in_order_whatever_ends_them(self):
        terminal = self.prompt()
        for end in ("\r", "\n", "\r\n"):
            with self.subTest(end=end):
                terminal.type("".join(f"set k{i} {i}{end}" for i in range(50)) + f"get k49{end}")
                terminal.await_text("get k49")
                terminal.await_text("49")
                self.assertEqual(self.server.get("k0"), b"0")
                self.server.set("k49", b"")

    def test_a_tab_inside_of_pasted_text_is_a_tab(self):
        terminal = self.prompt()
        self.run_line(terminal, "set\ttab\t\"a\tb\"")
        self.assertEqual(self.server.get("tab"), b"a\tb")
        self.run_line(terminal, "config\tNON_PERSISTENT")

    def test_a_tab_that_is_typed_completes_a_command(self):
        terminal = self.prompt()
        terminal.type("stat\t")
        terminal.await_text("us ")
        terminal.type("\r")
        terminal.await_text("uptime")

    def test_long_pasted_lines_arrive_whole(self):
        terminal = self.prompt(TERM="dumb")
        values = [chr(ord("a") + i) * 6000 for i in range(20)]
        terminal.type("".join(f"set long{i} {value}\r" for i, value in enumerate(values)))
        terminal.type("set last 1\r")
        self.run_line(terminal, "get last", "\n1")
        for i, value in enumerate(values):
            self.assertEqual(self.server.get(f"long{i}"), value.encode(), i)

    def test_what_is_pasted_while_a_command_runs_arrives_whole_too(self):
        terminal = self.prompt(TERM="dumb")
        terminal.type("configure snapshot --shadow=2\r")
        terminal.await_text("shadow=2")
        value = "v" * 6000
        terminal.type(f"set long {value}\rset\ttab 'a\tb'\r")
        self.run_line(terminal, "get tab", "\n")
        terminal.await_text("a\\tb")
        self.assertEqual(self.server.get("long"), value.encode())

    def test_a_comment_may_stand_behind_a_command(self):
        terminal = self.prompt()
        self.run_line(terminal, "set commented 1     # while the server runs")
        self.assertEqual(self.server.get("commented"), b"1")

    def test_spaces_and_quotes_that_only_look_so_are_refused_with_their_column(self):
        terminal = self.prompt()
        self.run_line(terminal, "set looks\u00a0like 1", "column 10")
        self.run_line(terminal, "set looks \u201clike\u201d", "column 11")
        self.run_line(terminal, "set looks 'a\u00a0\u201cb\u201d'")
        self.assertEqual(self.server.get("looks"), "a\u00a0\u201cb\u201d".encode())


if __name__ == "__main__":
    harness.main()
