"""What a start on a damaged store may do, and what the loader and the server answered."""
import os
import shutil

import grpc

import harness
import layout

# Verdicts that are right.
REFUSED = "refused"      # with the file named
SAME = "same"            # served: exactly the undamaged state
UNPROVEN = "unproven"    # served without the last writes, which are not proven to have been durable
EARLIER = "earlier"      # served from an older snapshot: the documented way back, see structure.py
VERDICTS = (REFUSED, SAME, UNPROVEN, EARLIER)


class Answer:
    """`outcome` is "ok", "refused" or "unsteady"; see loader.c."""

    def __init__(self, outcome, digest, text):
        self.outcome = outcome
        self.digest = digest
        self.text = text


def digest(state):
    """FNV-1a over sizes and bytes of all keys and values, as in loader.c."""
    value = 0xcbf29ce484222325
    for key in sorted(key.encode() for key in state):
        for part in (key, state[key.decode()]):
            for byte in len(part).to_bytes(8, "little") + part:
                value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


def parse(line):
    outcome, _, _, found, _, text = line.rstrip("\n").split("\t", 5)
    return Answer(outcome, found, text)


def ask_server(path):
    """Asks the real server the same, over the wire."""
    try:
        server = harness.Server(path)
    except AssertionError as refusal:
        return Answer("refused", "", str(refusal))
    try:
        found = digest(dict(server.scan()))
    except grpc.RpcError as error:
        found = f"what no client can read: {error.details()}"
    finally:
        server.kill9()
    return Answer("ok", found, server.log.text())


class Expectation:
    """The permitted outcomes of one case: the undamaged state, or a refusal that names one of
    `names`. `lost` adds the digest of the state without unproven writes, `earlier` those of states
    that a documented way back gives."""

    def __init__(self, shape, names, lost=None, earlier=()):
        self.whole = digest(shape.states[-1][1])
        self.names = names
        self.lost = lost
        self.earlier = earlier

    def judge(self, answer):
        """The verdict and None, or None and what is wrong."""
        if answer.outcome == "refused":
            if any(name in answer.text for name in self.names):
                return REFUSED, None
            return None, f"refused without naming {' or '.join(self.names)}"
        if answer.outcome != "ok":
            return None, "a second start brought another state than the first"
        if answer.digest == self.whole:
            return SAME, None
        if answer.digest == self.lost:
            return UNPROVEN, None
        if answer.digest in self.earlier:
            return EARLIER, None
        return None, "another state was served and nothing said"


def state_before(shape, record):
    """The digest of the state just before a record's effects."""
    return digest([state for sequence, state in shape.states
                   if sequence < record.first_sequence][-1])


class Damage:
    """Flips and cuts of one file of a shape."""

    def __init__(self, shape, name):
        self.shape = shape
        self.name = name
        self.content = shape.read(name)
        self.newest = name == shape.newest_segment()
        self.expected = {}  # by the record lost

    def _expect(self, record):
        key = record.start if record else None
        if key not in self.expected:
            lost = state_before(self.shape, record) if record else None
            self.expected[key] = Expectation(self.shape, [os.path.basename(self.name)], lost)
        return self.expected[key]

    def _losing(self, record):
        """After an orderly stop nothing may be lost, whatever is damaged."""
        allowed = self.newest and not self.shape.stopped and record and not record.is_mark
        return self._expect(record if allowed else None)

    def flip(self, offset):
        return self._losing(layout.unproven_from(self.content, offset) if self.newest else None)

    def cut(self, size):
        return self._losing(layout.lost_by_cut(self.content, size) if self.newest else None)


    def hole(self):
        """The middle third of the file's used part reads as zeroes. Proof may stand in the last
        third."""
        size = len(self.content.rstrip(b"\0"))
        return size // 3, size // 3, self.flip(size // 3)


def flip_file(path, where, bit):
    """Does the loader's damage to a real file."""
    with open(path, "r+b") as file:
        file.seek(where)
        byte = file.read(1)[0]
        file.seek(where)
        file.write(bytes([byte ^ 1 << bit]))


def punch_file(path, where, size):
    with open(path, "r+b") as file:
        file.seek(where)
        file.write(bytes(size))


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
