"""Damage other than flipped bits: files missing, swapped, foreign, renamed; something in the place
of a file.

Each case is a name and a function that is given a copy of the data directory and returns the names
of which a refusal must give one; a state that is served must be the undamaged one."""
import os
import shutil

MARK_SIZE = 44


def kind(name):
    for ending in (".log", ".snapshot"):
        if name.endswith(ending):
            return ending
    return ""


def _base(name):
    return os.path.basename(name)


def _beside(name, other):
    return os.path.join(os.path.dirname(name), other)


def _numbered(name, number):
    digits = len(_base(name).split(".")[0])
    return _beside(name, f"{number:0{digits}}{kind(name)}")


def _number(name):
    return int(_base(name).split(".")[0])


# ---- One file ----

def missing(path, name):
    """When the last file of a kind is missing, nothing gives its name; the refusal names its
    directory instead."""
    os.remove(os.path.join(path, name))
    folder = os.path.dirname(name)
    alone = not any(kind(other) == kind(name) for other in os.listdir(os.path.join(path, folder)))
    return [_base(name), *([f"/{folder}: "] if kind(name) and alone else [])]


def emptied(path, name):
    os.truncate(os.path.join(path, name), 0)
    return [_base(name)]


def lengthened(tail):
    def damage(path, name):
        with open(os.path.join(path, name), "r+b") as file:
            content = file.read()
            file.write(tail(content))
        return [_base(name)]
    return damage


def directory_instead(path, name):
    os.remove(os.path.join(path, name))
    os.mkdir(os.path.join(path, name))
    return [_base(name)]


def dangling_link(path, name):
    os.remove(os.path.join(path, name))
    os.symlink("nowhere", os.path.join(path, name))
    return [_base(name)]


def link_to_itself(path, name):
    os.remove(os.path.join(path, name))
    os.symlink(_base(name), os.path.join(path, name))
    return [_base(name)]


FILE_CASES = [
    ("missing", missing), ("emptied", emptied),
    ("zeroes behind it", lengthened(lambda content: bytes(5000))),
    ("garbage behind it", lengthened(lambda content: bytes(range(1, 255)))),
    ("its own last bytes again", lengthened(lambda content: content[-MARK_SIZE:])),
    ("its whole content again", lengthened(lambda content: content)),
    ("a directory instead", directory_instead), ("a dangling link instead", dangling_link),
    ("a link to itself instead", link_to_itself),
]


# ---- Two files, two stores, two generations ----

def swapped(one, other):
    def damage(path):
        first, second = os.path.join(path, one), os.path.join(path, other)
        os.rename(first, first + ".away")
        os.rename(second, first)
        os.rename(first + ".away", second)
        return [_base(one), _base(other)]
    return damage


def renamed(name, number):
    def damage(path):
        os.rename(os.path.join(path, name), os.path.join(path, _numbered(name, number)))
        return [_base(name), _base(_numbered(name, number))]
    return damage


def copied(name, number):
    def damage(path):
        shutil.copyfile(os.path.join(path, name), os.path.join(path, _numbered(name, number)))
        return [_base(_numbered(name, number))]
    return damage


def taken_from(source, name):
    """`name` from another data directory. With another ACTIVE, all other files are foreign."""
    def damage(path):
        shutil.copyfile(os.path.join(source, name), os.path.join(path, name))
        others = ([other for _, folders, _ in os.walk(path) for other in folders]
                  if name == "ACTIVE" else [])
        return [_base(name), *others]
    return damage


def starting_missing(path, name):
    """Without it, nothing says that the existing files were never acknowledged."""
    os.remove(os.path.join(path, name))
    return ["ACTIVE"]


def pair_cases(shape, twin):
    named = [name for name in shape.files() if kind(name)]
    for i, name in enumerate(named):
        for other in named[i + 1:]:
            if kind(other) == kind(name):
                yield f"{name}: swapped with {_base(other)}", swapped(name, other)
        for step in (-1, 1, 7):
            number = _number(name) + step
            if number > 0 and _numbered(name, number) not in named:
                yield f"{name}: renamed to {number}", renamed(name, number)
                yield f"{name}: copied to {number}", copied(name, number)
    for name in shape.files():
        if (kind(name) or name == "ACTIVE") and name in twin.files():
            yield f"{name}: taken from another store", taken_from(twin.path, name)


# ---- Folders and what does not belong ----

def folder_missing(folder):
    def damage(path):
        shutil.rmtree(os.path.join(path, folder))
        return [_base(folder)]
    return damage


def folder_emptied(folder):
    def damage(path):
        for name in os.listdir(os.path.join(path, folder)):
            full = os.path.join(path, folder, name)
            if os.path.isdir(full):
                shutil.rmtree(full)
            else:
                os.remove(full)
        return [_base(folder)]
    return damage


def file_instead(folder):
    def damage(path):
        shutil.rmtree(os.path.join(path, folder))
        with open(os.path.join(path, folder), "wb"):
            pass
        return [_base(folder)]
    return damage


def stranger(folder, name):
    def damage(path):
        with open(os.path.join(path, folder, name), "wb") as file:
            file.write(b"something else\n")
        return [name]
    return damage


STRANGERS = ["notes.txt", ".hidden", "lost+found", "0000000099.log.tmp", "ACTIVE.tmp",
             "00000000000000000099.snapshot.tmp", "0000000001-80.torn", "1.log", "1.snapshot",
             "00000000000000000001.snapshot.old"]


def folder_cases(shape):
    folders = sorted(os.path.relpath(os.path.join(top, name), shape.path)
                     for top, names, _ in os.walk(shape.path) for name in names)
    for folder in folders:
        yield f"{folder}: missing", folder_missing(folder)
        yield f"{folder}: emptied", folder_emptied(folder)
        yield f"{folder}: a file instead", file_instead(folder)
    for folder in ["", *folders]:
        for name in STRANGERS:
            yield f"{os.path.join(folder, name)}: a stranger", stranger(folder, name)


# ---- The data directory ----

def marker_beside(path):
    with open(os.path.join(path, "STARTING"), "wb"):
        pass
    return ["STARTING"]


def orphan_generation(path):
    source = next(name for name in os.listdir(path) if name.startswith("gen-"))
    shutil.copytree(os.path.join(path, source), os.path.join(path, "gen-000077"))
    return ["gen-000077"]


def generation_renamed(path):
    source = next(name for name in os.listdir(path) if name.startswith("gen-"))
    os.rename(os.path.join(path, source), os.path.join(path, "gen-000077"))
    return [source]


def all_cases(shape, twin):
    """Pairs of a name and a function of the copy's path."""
    def of_file(damage, name):
        return lambda path: damage(path, name)
    for name in shape.files():
        cases = [("missing", starting_missing)] if name == "STARTING" else FILE_CASES
        for what, damage in cases:
            yield f"{name}: {what}", of_file(damage, name)
    yield from pair_cases(shape, twin)
    yield from folder_cases(shape)
    yield "STARTING: beside what is there", marker_beside
    yield "an orphan generation", orphan_generation
    yield "the generation under another number", generation_renamed


def may_go_back(shape, text):
    """Only for `snapshot`: removing the newest file is the documented way back to an older one."""
    return shape.name == "snapshot" and text.endswith(".snapshot: missing")
