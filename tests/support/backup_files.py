"""Backup files by hand, after docs/formats.md: what a program that is no server of ours may have
made, with right checksums."""
import re

import xxhash

HEADER_SIZE, BLOCK_HEADER_SIZE, FOOTER_SIZE = 72, 24, 48


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def number(value, size):
    return value.to_bytes(size, "little")


def read(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


def at_place(part, offset):
    """With the checksum that covers where it is."""
    return part + number(crc32c(part + number(offset, 8)), 4)


def change_mode(text, **changes):
    """The record of the mode with other lines, such as plugin and generation."""
    lines = re.sub(r"checksum=.*\n", "", text)
    for name, value in changes.items():
        lines = re.sub(rf"^{name}=.*$", lambda match, to=f"{name}={value}": to, lines,
                       flags=re.MULTILINE)
    return f"{lines}checksum={xxhash.xxh3_64(lines.encode()).hexdigest()}\n"


def change(backup, sequence=None, **mode):
    """The backup with another sequence, or another record of the mode; all else as it was."""
    size = read(backup, 12, 4)
    text = change_mode(backup[HEADER_SIZE:HEADER_SIZE + size].decode(), **mode).encode()
    header = bytearray(backup[:HEADER_SIZE])
    header[12:16] = number(len(text), 4)
    if sequence is not None:
        header[32:40] = number(sequence, 8)
    made = bytes(header) + text
    made += number(crc32c(made), 4)
    at = HEADER_SIZE + size + 4
    while backup[at:at + 4] == b"KBLK":
        end = at + BLOCK_HEADER_SIZE + read(backup, at + 8, 8)
        made += at_place(backup[at:at + 20], len(made)) + backup[at + BLOCK_HEADER_SIZE:end]
        at = end
    footer = backup[at:at + 16] + number(len(made), 8)
    footer += bytes.fromhex(xxhash.xxh3_128(made).hexdigest()) + bytes(4)
    return made + at_place(footer, len(made))
