"""Data directories seen from outside: kvstore-check, the digest of a state, and ways to damage
files."""
import hashlib
import json
import os
import subprocess

import xxhash

import harness

CHECK = os.path.join(harness.BIN, "kvstore-check")

SOUND, DAMAGED, CANNOT = 0, 1, 2


def run_check(*arguments):
    return subprocess.run([CHECK, *arguments], capture_output=True, timeout=harness.PATIENCE,
                          env=harness.environment())


def check(*arguments):
    """Exit code and report; None if there is no report."""
    result = run_check("--json", *arguments)
    return result.returncode, json.loads(result.stdout) if result.stdout else None


def digest(entries, expiries=None):
    """Of pairs of key (text) and value, as docs/kvstore-check.md defines it; `expiries` by key."""
    hashed = xxhash.xxh3_128()
    for key, value in sorted((key.encode(), value) for key, value in entries):
        for part in (key, value):
            hashed.update(len(part).to_bytes(8, "little") + part)
        hashed.update((expiries or {}).get(key.decode(), 0).to_bytes(8, "little"))
    return hashed.hexdigest()


def fingerprint(folder):
    """Everything visible of a directory except access times."""
    seen = []
    for top, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(top, name)
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()
            info = os.stat(path)
            seen.append((path, info.st_mode, info.st_mtime_ns, content))
        seen.append((top, os.stat(top).st_mode, os.stat(top).st_mtime_ns))
    return seen


def files_below(folder):
    return sorted(os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def flip(path, offset, bit=0):
    content = bytearray(read(path))
    content[offset] ^= 1 << bit
    write(path, content)
