"""Just enough of HTTP/2 for a client that makes a call and then idles, or that does not read."""
import socket
import struct

from reporting.lab import PATIENCE
from reporting.loads import SERVICE, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
WIDE = (1 << 30) - 1


def frame(kind, payload, flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field as it is; `name`: the bytes of its index, or of its length and name."""
    return name + bytes([len(value)]) + value


def get_request(key, stream):
    """The frames of a Get."""
    block = b"\x83\x86" + literal(b"\x04", f"{SERVICE}Get".encode()) + literal(b"\x01", b"a") + \
        literal(b"\x0f\x10", b"application/grpc") + literal(b"\x00\x02te", b"trailers")
    message = field(1, key.encode())
    return frame(HEADERS, block, END_HEADERS, stream) + \
        frame(DATA, b"\0" + struct.pack(">I", len(message)) + message, END_STREAM, stream)


class Client:
    """A connection; it has the windows of the protocol, or so wide ones that nothing stops the
    server but the socket. `tls` is an ssl.SSLContext, or None."""

    def __init__(self, port, wide=False, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDE) if wide else b""
        self.socket.sendall(PREFACE + frame(SETTINGS, settings))
        if wide:
            self.socket.sendall(frame(WINDOW_UPDATE, struct.pack(">I", WIDE)))

    def ask(self, key, streams=(1,)):
        """Sends a Get on each stream; reads nothing."""
        self.socket.sendall(b"".join(get_request(key, stream) for stream in streams))

    def settle(self):
        """Reads up to the end of the first answer, and acknowledges the server's settings."""
        received = b""
        while not ended(received):
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionError("the server closed a connection instead of answering")
            received += more
        self.socket.sendall(frame(SETTINGS, b"", ACK))

    def close(self):
        self.socket.close()


def ended(received):
    """Whether a stream has ended in these frames."""
    while len(received) >= 9:
        if received[3] in (DATA, HEADERS) and received[4] & END_STREAM:
            return True
        received = received[9 + int.from_bytes(received[:3], "big"):]
    return False
