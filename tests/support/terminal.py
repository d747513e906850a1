"""A program at a terminal of its own."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import harness
from harness import PATIENCE


class Terminal:
    """Its output is kept in `shown`; `await_text` searches only what came after the last match."""

    def __init__(self, command, columns=200, **settings):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=take_terminal,
            env=harness.environment(**{"TERM": "xterm", "LC_ALL": "C.UTF-8", **settings}))
        self.slave = slave
        self.shown = bytearray()
        self._found = 0

    def type(self, keys):
        """Types the text, and reads output meanwhile, as the terminal would block otherwise."""
        keys = keys if isinstance(keys, bytes) else keys.encode()
        deadline = time.monotonic() + PATIENCE
        while keys:
            readable, writable, _ = select.select([self.master], [self.master], [],
                                                  max(0, deadline - time.monotonic()))
            if not readable and not writable:
                raise AssertionError(f"the terminal takes no more keys:\n{self.tail()}")
            if readable and not self._read():
                raise AssertionError(f"the program has ended:\n{self.tail()}")
            if writable:
                keys = keys[os.write(self.master, keys[:256]):]

    def _read(self):
        try:
            data = os.read(self.master, 65536)
        except OSError:  # all have closed the other side
            return False
        self.shown += data
        return bool(data)

    def tail(self):
        return self.shown[-3000:].decode(errors="replace")

    def await_text(self, text):
        """Waits until the text is shown; returns the output before it."""
        text = text if isinstance(text, bytes) else text.encode()
        deadline = time.monotonic() + PATIENCE
        searched = self._found
        while (at := self.shown.find(text, searched)) < 0:
            searched = max(self._found, len(self.shown) - len(text))
            readable, _, _ = select.select([self.master], [], [],
                                           max(0, deadline - time.monotonic()))
            if not readable or not self._read():
                raise AssertionError(f"{text} is not shown, but\n{self.tail()}")
        before = bytes(self.shown[self._found:at])
        self._found = at + len(text)
        return before

    def wait(self):
        """Waits until the program ends; returns its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0] and not self._read():
                break
        return self.process.wait(PATIENCE)

    def reads_lines(self):
        """Whether it is in the state in which a shell leaves it: line mode with echo."""
        flags = termios.tcgetattr(self.slave)[3]
        return bool(flags & termios.ICANON) and bool(flags & termios.ECHO)

    def type_control(self, key):
        """Types ^C or ^D as a key of a prompt: once the program has made it one, which it does only
        after it has shown the prompt."""
        deadline = time.monotonic() + PATIENCE
        while termios.tcgetattr(self.slave)[3] & termios.ISIG:
            if time.monotonic() > deadline:
                raise AssertionError(f"the terminal still sends signals:\n{self.tail()}")
            time.sleep(0.001)
        self.type(key)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.slave)
        os.close(self.master)
