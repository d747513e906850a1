"""Values that identify themselves: a name, then bytes derived from it, so that any wrong byte
shows."""
import hashlib


def encode(name, size):
    """A value of at least `size` bytes for a name, such as "client.counter"."""
    head = f"{name}:{size}:".encode()
    block = hashlib.blake2b(head).digest()
    return (head + block * (size // len(block) + 1))[:max(size, len(head))]


def decode(value):
    """The name, or None if `encode` did not make these bytes."""
    try:
        name, size, _ = value.split(b":", 2)
        name, size = name.decode(), int(size)
    except ValueError:
        return None
    return name if encode(name, size) == value else None
