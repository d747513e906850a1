"""A file system with a volatile cache in front of its disk, driven by the events of a trace.

It promises what POSIX promises and no more: fsync of a file makes what was written to it before the
call durable, fsync of a directory makes the entries in it durable. Everything else may or may not
be on the disk after a power cut, in any combination, and writes may be partial: sectors of 512
bytes are written as a whole, and a file may have its new size without its new data, which then
reads as zeroes."""
import hashlib
import os

import trace as t

SECTOR = 512


class Lagging:
    """Something that has one state on disk and a newer one in the cache."""

    def __init__(self, durable, current):
        self.durable = durable
        self.current = current
        self.pending = []

    def do(self, operation):
        self.pending.append(operation)
        operation.apply(self.current)

    def harden(self, last_serial):
        """Everything done up to `last_serial` has reached the disk."""
        while self.pending and self.pending[0].serial <= last_serial:
            self.pending.pop(0).apply(self.durable)


class File(Lagging):
    def __init__(self, durable=b""):
        super().__init__(bytearray(durable), bytearray(durable))


class Directory(Lagging):
    def __init__(self):
        super().__init__({}, {})


def _grow(content, size):
    if len(content) < size:
        content.extend(bytes(size - len(content)))


class Write:
    def __init__(self, serial, offset, data):
        self.serial, self.offset, self.data = serial, offset, data

    def apply(self, content):
        end = self.offset + len(self.data)
        _grow(content, end)
        content[self.offset:end] = self.data

    def sectors(self):
        """The pieces, each written as a whole, as (offset, data)."""
        at = self.offset
        end = at + len(self.data)
        while at < end:
            stop = min(end, (at // SECTOR + 1) * SECTOR)
            yield at, self.data[at - self.offset:stop - self.offset]
            at = stop

    def apply_torn(self, content, random):
        """Some sectors, and the new size or as much of it as they need."""
        if random.random() < 0.5:
            _grow(content, self.offset + len(self.data))
        pieces = list(self.sectors())
        style = random.randrange(3)
        if style == 0:  # a beginning
            pieces = pieces[:random.randrange(len(pieces) + 1)]
        elif style == 1:  # an end
            pieces = pieces[random.randrange(len(pieces) + 1):]
        else:
            pieces = [piece for piece in pieces if random.random() < 0.5]
        for offset, data in pieces:
            _grow(content, offset + len(data))
            content[offset:offset + len(data)] = data


class Resize:
    """Truncation to a size, or growth by an allocation to at least a size."""

    def __init__(self, serial, size, only_grows):
        self.serial, self.size, self.only_grows = serial, size, only_grows

    def apply(self, content):
        if not self.only_grows:
            del content[self.size:]
        _grow(content, self.size)

    def apply_torn(self, content, random):
        if random.random() < 0.5:
            self.apply(content)


class Link:
    def __init__(self, serial, name, node):
        self.serial, self.name, self.node = serial, name, node

    def apply(self, entries):
        entries[self.name] = self.node


class Unlink:
    def __init__(self, serial, name):
        self.serial, self.name = serial, name

    def apply(self, entries):
        entries.pop(self.name, None)


class Rename:
    """Within one directory, and atomic: both names change or neither."""

    def __init__(self, serial, name, new_name, node):
        self.serial, self.name, self.new_name, self.node = serial, name, new_name, node

    def apply(self, entries):
        entries.pop(self.name, None)
        entries[self.new_name] = self.node


class Disk:
    """`root` is the directory that the recorder watched; it exists and is durable from the start.
    `tree`, as in State.tree, is its initial content."""

    def __init__(self, root, tree=()):
        self.root_path = root
        self.root = Directory()
        self._serial = 0
        self._syncs = {}
        for path, content in sorted(dict(tree).items()):
            parent, name = self._parent(os.path.join(root, path))
            node = Directory() if content is None else File(content)
            parent.durable[name] = parent.current[name] = node

    def _find(self, path):
        node = self.root
        for name in os.path.relpath(path, self.root_path).split("/"):
            if name != ".":
                node = node.current[name]
        return node

    def _parent(self, path):
        return self._find(os.path.dirname(path)), os.path.basename(path)

    def take(self, event):
        """Applies one event."""
        self._serial += 1
        serial = self._serial
        kind = event.kind
        if kind in (t.CREATE, t.MKDIR):
            parent, name = self._parent(event.path)
            parent.do(Link(serial, name, File() if kind == t.CREATE else Directory()))
        elif kind == t.WRITE:
            self._find(event.path).do(Write(serial, event.a, event.data))
        elif kind == t.TRUNCATE:
            self._find(event.path).do(Resize(serial, event.a, False))
        elif kind == t.ALLOCATE:
            self._find(event.path).do(Resize(serial, event.a + event.b, True))
        elif kind == t.SYNC_BEGIN:
            self._syncs[event.a] = (self._find(event.path), serial)
        elif kind == t.SYNC_END:
            node, last_serial = self._syncs.pop(event.a)
            node.harden(last_serial)
        elif kind == t.RENAME:
            parent, name = self._parent(event.path)
            other, new_name = self._parent(event.second_path)
            if parent is not other:
                raise NotImplementedError("a rename from one directory into another")
            parent.do(Rename(serial, name, new_name, parent.current[name]))
        elif kind in (t.UNLINK, t.RMDIR):
            parent, name = self._parent(event.path)
            parent.do(Unlink(serial, name))
        elif kind == t.START:
            self._syncs.clear()

    # ---- States ----

    def pending(self):
        """All operations that are not durable, on everything that has a name now or on the disk, in
        order."""
        found, seen = [], set()

        def visit(node):
            if id(node) in seen:
                return
            seen.add(id(node))
            found.extend(node.pending)
            if isinstance(node, Directory):
                for child in [*node.durable.values(), *node.current.values()]:
                    visit(child)
                for operation in node.pending:
                    if not isinstance(operation, Unlink):
                        visit(operation.node)
        visit(self.root)
        return sorted(found, key=lambda operation: operation.serial)

    def state(self, choose):
        """The state in which each pending operation is done as `choose` says: it is given the
        operation and returns True, False or, for a part of it, a random generator."""
        tree = {}

        def content_of(file):
            if not file.pending:
                return bytes(file.durable)
            content = bytearray(file.durable)
            for operation in file.pending:
                chosen = choose(operation)
                if chosen is True:
                    operation.apply(content)
                elif chosen:
                    operation.apply_torn(content, chosen)
            return bytes(content)

        def visit(directory, path):
            entries = dict(directory.durable)
            for operation in directory.pending:
                if choose(operation):
                    operation.apply(entries)
            for name, node in entries.items():
                below = f"{path}{name}"
                if isinstance(node, File):
                    tree[below] = content_of(node)
                else:
                    tree[below] = None
                    visit(node, below + "/")
        visit(self.root, "")
        return State(tree)


class State:
    """Files and directories: `tree` maps paths to content, None for a directory."""

    def __init__(self, tree):
        self.tree = tree

    def digest(self):
        """Equal states have equal fingerprints. LOCK does not count: it holds the process id."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.tree):
            if os.path.basename(path) == "LOCK":
                continue
            content = self.tree[path]
            digest.update(f"{path}\0{-1 if content is None else len(content)}\0".encode())
            digest.update(content or b"")
        return digest.digest()

    def write(self, folder):
        """Writes the files below an empty folder."""
        for path, content in sorted(self.tree.items()):
            path = os.path.join(folder, path)
            if content is None:
                os.mkdir(path, 0o700)
                continue
            with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(content.rstrip(b"\0"))
                file.truncate(len(content))

    @staticmethod
    def read(folder):
        """The state of a folder."""
        tree = {}
        for path, directories, files in os.walk(folder):
            for name in directories:
                tree[os.path.relpath(os.path.join(path, name), folder)] = None
            for name in files:
                with open(os.path.join(path, name), "rb") as file:
                    tree[os.path.relpath(os.path.join(path, name), folder)] = file.read()
        return State(tree)
