"""The servers that are measured, each with a port and a folder of its own, and what they use."""
import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 120
WIRES = ("http2", "grpc")
WIRE = WIRES[0]  # what kvstore runs on where a section does not compare engines
# No snapshot but those that are asked for; segments large enough that none is replaced half-way.
QUIET = {"snapshot": ["snapshot_interval=86400"], "aof": [], "hybrid": ["snapshot_interval=86400"],
         "none": []}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(command, cpus):
    """On these processors only; None: on all."""
    return command if cpus is None else ["taskset", "-c", ",".join(map(str, cpus)), *command]


class Process:
    """A running server. `log` is its output so far; `authority`, if it serves TLS, the file that its
    clients trust."""

    def __init__(self, command, folder, port, ready):
        self.port = port
        self.authority = None
        self.address = f"127.0.0.1:{port}"
        self.path = os.path.join(folder, f"{port}.log")
        started = time.monotonic()
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        while not ready(self):
            if self.process.poll() is not None:
                sys.exit(f"{command[0]} ended at once:\n{self.log()}")
            if time.monotonic() - started > PATIENCE:
                self.kill()
                sys.exit(f"{command[0]} is not ready:\n{self.log()}")
            time.sleep(0.002)
        self.start_seconds = time.monotonic() - started

    def log(self):
        with open(self.path) as text:
            return text.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self):
        """utime + stime of /proc/PID/stat, in nanoseconds instead of ticks: loads are short."""
        clock = ctypes.c_int()
        error = ctypes.CDLL(None).clock_getcpuclockid(self.process.pid, ctypes.byref(clock))
        if error:
            raise OSError(error, os.strerror(error))
        return time.clock_gettime(clock.value)

    def memory(self, name="VmRSS"):
        """Bytes: VmRSS, resident now, or VmHWM, the most since it was reset."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(name + r":\s*(\d+)", status.read()).group(1)) * 1024

    def reset_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
            file.write("5")


class Lab:
    def __init__(self, build):
        self.bin = os.path.join(os.path.abspath(build), "bin")
        self.plugins = os.path.join(os.path.abspath(build), "plugins-built")
        self.folder = tempfile.mkdtemp(prefix="kvstore-report-")
        self.started = []

    def close(self):
        for process in self.started:
            process.kill()
        shutil.rmtree(self.folder)

    def end_all(self):
        """Between sections: no server, no data."""
        for process in self.started:
            process.stop()
        self.started.clear()
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def data_folder(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def spawn(self, command, port, ready):
        process = Process(command, self.folder, port, ready)
        self.started.append(process)
        return process

    def certificate(self):
        """The files of a certificate for this machine, signed by itself, and of its key."""
        files = [os.path.join(self.folder, name) for name in ("certificate.pem", "key.pem")]
        if not os.path.exists(files[0]):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                            "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
            os.chmod(files[1], 0o600)
        return files

    # ---- Servers ----

    def kvstore(self, mode=None, *options, data=None, wire=WIRE, workers=None, cpus=None,
                http="none", tls=False):
        """With a mode on fresh data; without one on the data of an earlier server."""
        port = free_port()
        data = os.path.join(self.folder, data or f"kvstore-{port}")
        command = [f"{self.bin}/kvstore-server", "--listen", f"127.0.0.1:{port}", "--data-dir",
                   data, "--plugin-dir", self.plugins, "--wire", wire, "--http-listen", http]
        command += ["--workers", str(workers)] if workers else []
        command += ["--mode", mode] if mode else []
        given = {option.split("=")[0] for option in options}
        quiet = [option for option in QUIET.get(mode, ()) if option.split("=")[0] not in given]
        for option in [*quiet, *options]:
            command += ["--option", option]
        certificate, key = self.certificate() if tls else (None, None)
        command += ["--tls-cert", certificate, "--tls-key", key] if tls else []
        server = self.spawn(pinned(command, cpus), port,
                            lambda process: "info ready" in process.log())
        server.authority = certificate
        server.data = data
        return server

    def empty(self, wire=WIRE, workers=2, cpus=None):
        port = free_port()
        return self.spawn(
            pinned([f"{self.bin}/kvstore-empty-server", "--wire", wire, f"127.0.0.1:{port}",
                    str(workers)], cpus), port, lambda process: process.log().strip() == str(port))

    def redis(self, *settings, data=None):
        port = free_port()
        folder = self.data_folder(data or f"redis-{port}")
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder,
                   "--save", "", "--auto-aof-rewrite-percentage", "0",
                   "--aof-use-rdb-preamble", "no"]
        server = self.spawn([*command, *settings], port,
                            lambda process: redis_call(process, "PING").startswith(b"+PONG"))
        server.data = folder
        return server

    def etcd(self):
        port, peer = free_port(), free_port()
        urls = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"]
        return self.spawn(["etcd", "--data-dir", self.data_folder(f"etcd-{port}"),
                           "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
                           "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
                           "--initial-cluster", f"default={urls[1]}"], port,
                          lambda process: "ready to serve client requests" in process.log())


def redis_call(server, *words):
    """The first bytes of the answer; empty where none comes."""
    request = b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    try:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(request)
            return connection.recv(65536)
    except OSError:
        return b""


def redis_info(server, name):
    answer = redis_call(server, "INFO").decode(errors="replace")
    return int(re.search(rf"^{name}:(\d+)", answer, re.MULTILINE).group(1))
