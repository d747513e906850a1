"""What the server tells of itself over HTTP: metrics, health, readiness, status; its limits, and
clients that mean no good."""
import glob
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import unittest

import grpc

import certificates
import harness
from harness import PATIENCE, ROOT

CONNECTIONS_MAX = 32
DEFAULT_PORT = 50052
NOISE = int(os.environ.get("KVSTORE_TEST_HTTP_NOISE", 600))  # malformed requests


def figures(text):
    """{sample as it is written: value} of a page."""
    return {sample: float(value) for sample, value in
            (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))}


def helps(text):
    return dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))


class Telemetry(harness.Case):
    def serve(self, *flags, address="127.0.0.1:0", **keywords):
        server = self.start(flags=["--http-listen", address, *flags], **keywords)
        self.await_port(server)
        return server

    def await_port(self, server):
        line = server.log.wait_for("metrics are at http://")
        self.assertTrue(line, server.log.text())
        server.http = int(re.search(r":(\d+)/metrics", line)[1])

    def ask(self, server, path, method="GET", body=None, headers=None):
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()

    def scrape(self, server):
        status, headers, text = self.ask(server, "/metrics")
        self.assertEqual((status, headers["Content-Type"]),
                         (200, "text/plain; version=0.0.4; charset=utf-8"))
        return text

    def figure(self, server, sample):
        return figures(self.scrape(server))[sample]

    def raw(self, server):
        connection = harness.raw_connection(server.http)
        self.addCleanup(connection.close)
        return connection


def full(case):
    """A server that has every metric."""
    authority = certificates.Authority(case.folder)
    pair = authority.sign("server")
    os.mkdir(os.path.join(case.folder, "backups"), 0o700)
    with open(authority.certificate, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    server = case.serve("--tls-cert", pair.certificate, "--tls-key", pair.key, "--backup-dir",
                        os.path.join(case.folder, "backups"), credentials=credentials, wire="http2")
    server.set("k", b"v")
    server.get("k")
    return server


class Format(Telemetry):
    @unittest.skipUnless(shutil.which("promtool"), "needs promtool (Debian: prometheus)")
    def test_promtool_finds_nothing_to_object_to(self):
        text = self.scrape(full(self))
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    @unittest.skipUnless(shutil.which("promtool"), "needs promtool (Debian: prometheus)")
    def test_promtool_takes_the_alert_rules(self):
        done = subprocess.run(["promtool", "check", "rules",
                               f"{ROOT}/contrib/prometheus/alerts.yml"], text=True,
                              capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_metric_is_explained_on_the_page_in_the_same_words(self):
        with open(f"{ROOT}/docs/operations.md", encoding="utf-8") as file:
            table = re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \| [^|]* \| (.*) \|$",
                               file.read(), re.MULTILINE)
        self.assertEqual(dict(table), helps(self.scrape(full(self))))

    def test_rules_and_dashboard_use_only_metrics_that_there_are(self):
        known = helps(self.scrape(full(self)))
        for path in (*glob.glob(f"{ROOT}/contrib/prometheus/*.yml"),
                     *glob.glob(f"{ROOT}/contrib/grafana/*.json")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            if path.endswith(".json"):
                text = "\n".join(target["expr"] for panel in json.loads(text)["panels"]
                                 for target in panel["targets"])
            else:
                text = "\n".join(line for line in text.splitlines() if "summary:" not in line
                                 and "description:" not in line)
            used = set(re.findall(r"\b(?:kvstore|process)_\w+", text))
            self.assertGreater(len(used), 10)
            unknown = {name for name in used
                       if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known}
            self.assertEqual(unknown, set(), path)

    def test_each_family_is_there_once_with_its_type(self):
        text = self.scrape(full(self))
        names = re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.MULTILINE)
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names, re.findall(r"^# HELP (\S+) ", text, re.MULTILINE))


class Figures(Telemetry):
    def test_calls_are_counted_by_method_and_code(self):
        for wire in harness.WIRES:
            with self.subTest(wire=wire):
                server = self.serve(data=f"data-{wire}", wire=wire)
                for i in range(3):
                    server.set(f"k{i}", b"value")
                server.get("k0")
                self.assertFails(grpc.StatusCode.INVALID_ARGUMENT, lambda: server.set("", b"v"))
                self.assertFails(grpc.StatusCode.UNIMPLEMENTED, lambda: server.channel.unary_unary(
                    "/kvstore.KeyValueStore/Nothing")(b"", timeout=PATIENCE))
                seen = figures(self.scrape(server))
                method = 'method="kvstore.KeyValueStore/'
                self.assertEqual(seen[f'kvstore_calls_total{{{method}Set",code="OK"}}'], 3)
                self.assertEqual(seen[f'kvstore_calls_total{{{method}Get",code="OK"}}'], 1)
                self.assertEqual(
                    seen[f'kvstore_calls_total{{{method}Set",code="INVALID_ARGUMENT"}}'], 1)
                self.assertEqual(
                    seen['kvstore_calls_total{method="unknown",code="UNIMPLEMENTED"}'], 1)
                self.assertEqual(seen["kvstore_calls_refused_total"], 1)
                count = f'kvstore_call_duration_seconds_count{{{method}Set"}}'
                self.assertEqual(seen[count], 4)
                self.assertGreater(seen[count.replace("count", "sum", 1)], 0)
                buckets = [value for sample, value in seen.items()
                           if sample.startswith(f'kvstore_call_duration_seconds_bucket{{{method}Set"')]
                self.assertEqual(buckets, sorted(buckets))
                self.assertEqual(buckets[-1], 4)
                self.assertEqual((seen["kvstore_keys"], seen["kvstore_data_bytes"],
                                  seen["kvstore_sequence"]), (3, 21, 3))
                self.assertEqual(seen["kvstore_commit_batch_changes_sum"], 3)
                self.assertEqual('kvstore_connections' in seen, wire == "http2")

    def test_syncs_are_counted_and_what_they_have_not_covered_has_an_age(self):
        key = os.path.join(self.folder, "key")
        with open(key, "w", encoding="ascii") as file:
            file.write("0" * 64)
        os.chmod(key, 0o600)
        count, lag = "kvstore_sync_duration_seconds_count", "kvstore_sync_lag_seconds"
        server = self.serve(mode="aof")
        for number in range(3):
            server.set("k", b"%d" % number)
        seen = figures(self.scrape(server))
        self.assertGreaterEqual(seen[count], 3)
        self.assertEqual(seen[lag], 0)
        for plugin, options in (("aof", {"fsync": "everysec"}), ("hybrid", {"fsync": "everysec"}),
                                ("encrypt", {"inner": "aof", "inner_options": "fsync=everysec",
                                             "key_file": key})):
            with self.subTest(plugin=plugin):
                server.configure(plugin, options)
                before = self.figure(server, count)
                server.set("k", b"later")
                lags = []
                while self.figure(server, count) == before:
                    lags.append(self.figure(server, lag))
                self.assertGreater(max(lags), 0)
                while self.figure(server, lag) > 0:
                    pass
        for plugin, options in (("aof", {"fsync": "no"}), ("snapshot", {})):
            server.configure(plugin, options)
            self.assertNotIn(count, figures(self.scrape(server)))

    def test_a_store_that_takes_no_writes_says_so_and_is_ready_to_be_read(self):
        server = self.serve(mode="faulty", plugins=harness.BAD_PLUGINS,
                            options=["write=io", "healthy_writes=1", "tick=io"])
        server.set("k", b"v")
        self.assertEqual(self.figure(server, "kvstore_read_only"), 0)
        self.assertFails(grpc.StatusCode.UNAVAILABLE, lambda: server.set("k", b"w"))
        seen = figures(self.scrape(server))
        self.assertEqual((seen["kvstore_read_only"], seen["kvstore_ready"]), (1, 1))
        self.assertEqual(seen['kvstore_hook_failures_total{hook="on_write"}'], 1)
        self.assertEqual(seen["kvstore_commit_failures_total"], 1)
        # The control thread notes it, which looks when a write is refused.
        deadline = time.monotonic() + PATIENCE
        while self.figure(server, "kvstore_last_error_timestamp_seconds") < 1e9:
            self.assertLess(time.monotonic(), deadline, "the failure is not noted")
        status, _, text = self.ask(server, "/readyz")
        self.assertEqual((status, text), (200, "ready, read-only: writes are refused\n"))
        self.assertEqual(self.ask(server, "/healthz")[0], 200)

    def test_a_hook_that_hangs_shows_and_holds_up_no_page(self):
        server = self.serve("--hook-budget", "1", mode="gated", plugins=harness.BAD_PLUGINS)
        gate = os.path.join(server.data, "gen-000001", "write_gate")
        os.mkfifo(gate)
        write = server.stub.Set.future(harness.kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE)
        server.log.wait_for("on_write of gated has run for")
        seen = figures(self.scrape(server))
        self.assertEqual(seen["kvstore_hooks_overdue"], 1)
        self.assertGreaterEqual(seen['kvstore_hook_running_seconds{hook="on_write"}'], 1)
        self.assertIn("on_write of gated", json.loads(self.ask(server, "/status.json")[2])["overdue"][0])
        with open(gate, "wb"):
            os.unlink(gate)
        write.result()

    def test_a_checkpoint_and_a_backup_make_what_is_kept_young(self):
        os.mkdir(os.path.join(self.folder, "backups"), 0o700)
        server = self.serve("--backup-dir", os.path.join(self.folder, "backups"))
        server.log.wait_for("backup")
        server.set("k", b"v")
        self.assertEqual(self.figure(server, "kvstore_checkpoint_pending_changes"), 1)
        server.save()
        seen = figures(self.scrape(server))
        self.assertEqual(seen["kvstore_checkpoint_pending_changes"], 0)
        self.assertEqual((seen["kvstore_backup_failing"], seen["kvstore_backup_interval_seconds"]),
                         (0, 86400))
        self.assertEqual(seen["kvstore_backup_files"], 1)

    def test_status_has_the_mode_and_shows_no_path_and_no_key(self):
        server = self.serve(mode="aof", options=["fsync=everysec"])
        server.set("secret-key", b"secret-value")
        status, headers, text = self.ask(server, "/status.json")
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        seen = json.loads(text)
        self.assertEqual((seen["stage"], seen["mode"]["name"], seen["mode"]["promise"]),
                         ("serving", "aof", "durable"))
        self.assertEqual(seen["mode"]["options"]["fsync"], "everysec")
        self.assertEqual((seen["store"]["keys"], seen["commit"]["changes"]), (1, 1))
        (call,) = [call for call in seen["calls"] if call["method"].endswith("/Set")]
        self.assertEqual((call["codes"], sum(count for _, count in call["buckets"])), ({"OK": 1}, 1))
        self.assertNotIn("backup", seen)
        for page in (text, self.scrape(server)):
            self.assertNotIn("secret", page)
            self.assertNotIn(self.folder, page)


class Http(Telemetry):
    def test_only_get_and_head_of_known_pages_are_answered(self):
        server = self.serve()
        for path in ("//", "/index.html", "/metrics/", "/Metrics", "/../metrics", "/metrics%00", "/status.json/x"):
            self.assertEqual(self.ask(server, path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"):
            status, headers, _ = self.ask(server, "/metrics", method, b"x" * 100)
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
        status, headers, text = self.ask(server, "/metrics", "HEAD")
        self.assertEqual((status, text), (200, ""))
        self.assertGreater(int(headers["Content-Length"]), 1000)
        self.assertEqual(self.ask(server, "/metrics?x=y")[0], 200)

    def test_a_strangers_name_for_this_machine_gets_nothing(self):
        server = self.serve()
        for name in ("example.org", f"example.org:{server.http}", "127.0.0.1.example.org", ""):
            for path in ("/metrics", "/status.json", "/readyz", "/nothing"):
                status, _, text = self.ask(server, path, headers={"Host": name})
                self.assertEqual(status, 403, (name, path))
                self.assertIn("as localhost", text)
        for name in ("localhost", f"LOCALHOST:{server.http}", "127.0.0.1", f"[::1]:{server.http}"):
            self.assertEqual(self.ask(server, "/readyz", headers={"Host": name})[0], 200, name)
        server = self.serve(address="0.0.0.0:0", data="beyond")
        self.assertEqual(self.ask(server, "/readyz", headers={"Host": "kvstore:50052"})[0], 403)
        own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, timeout=PATIENCE,
                             check=True).stdout.split()
        for own in [address for address in own if ":" not in address][:1]:
            connection = http.client.HTTPConnection(own, server.http, timeout=PATIENCE)
            connection.request("GET", "/readyz", headers={"Host": "kvstore:50052"})
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()

    def test_each_answer_tells_browsers_to_do_nothing_with_it(self):
        server = self.serve()
        for path in ("/metrics", "/healthz", "/readyz", "/status.json", "/nothing"):
            headers = self.ask(server, path)[1]
            for name, value in (("X-Content-Type-Options", "nosniff"),
                                ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
                                ("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer"),
                                ("Cache-Control", "no-store"), ("Connection", "close")):
                self.assertEqual(headers.get(name), value, path)

    def test_a_unix_socket_serves_it_too(self):
        path = os.path.join(self.folder, "http")
        server = self.start(flags=["--http-listen", f"unix:{path}"])
        self.assertTrue(server.log.wait_for(f"metrics are at /metrics on unix:{path}"))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
        self.assertTrue(answer.endswith(b"\r\n\r\nready\n"), answer)

    def test_without_http_there_is_none(self):
        server = self.start(flags=["--http-listen", "none"])
        server.set("k", b"v")
        server.stop()
        self.assertNotIn("metrics", server.log.text())

    def open_gate(self, gate):
        with open(gate, "wb"):
            os.unlink(gate)

    def test_it_is_not_ready_while_it_loads_or_stops(self):
        server = self.start(mode="gated", plugins=harness.BAD_PLUGINS)
        generation = os.path.join(server.data, "gen-000001")
        server.stop()
        os.mkfifo(os.path.join(generation, "gate"))
        server = self.serve(plugins=harness.BAD_PLUGINS, wait=False)
        while (answer := self.ask(server, "/readyz")[::2]) == (503, "loading\n"):
            pass  # until the plug-in reports how far it is
        self.assertEqual(answer, (503, "loading: 43 %\n"))
        self.assertEqual(self.ask(server, "/healthz")[0], 200)
        self.assertEqual(self.figure(server, "kvstore_ready"), 0)
        self.assertEqual(json.loads(self.ask(server, "/status.json")[2])["stage"], "loading")
        self.open_gate(os.path.join(generation, "gate"))
        server.open()
        server.wait_serving()
        self.assertEqual(self.ask(server, "/readyz")[::2], (200, "ready\n"))
        os.mkfifo(os.path.join(generation, "write_gate"))
        write = server.stub.Set.future(harness.kv.SetRequest(key="k", value=b"v"), timeout=PATIENCE)
        server.await_hook("on_write")
        server.terminate()
        while (answer := self.ask(server, "/readyz")[::2]) == (200, "ready\n"):
            pass
        self.assertEqual(answer, (503, "stopping\n"))
        self.assertEqual(self.ask(server, "/healthz")[0], 200)
        self.open_gate(os.path.join(generation, "write_gate"))
        write.result()
        self.assertEqual(server.wait_exit(), 0)


class Address(Telemetry):
    def test_a_default_port_that_is_taken_costs_only_the_metrics(self):
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", DEFAULT_PORT))
                holder.listen()
            except OSError:
                pass  # somebody else has it, which is as good
            program = os.path.join(self.folder, "server")
            with open(program, "w", encoding="utf-8") as file:
                file.write(f'#!/bin/sh\nunset KVSTORE_HTTP_LISTEN\nexec {harness.SERVER} "$@"\n')
            os.chmod(program, 0o755)
            server = self.start(program=program)
            server.set("k", b"v")
            self.assertLogs(server, "no metrics are served: cannot listen on 127.0.0.1:50052: "
                                    "another process does")

    def test_an_address_that_was_given_and_is_taken_refuses_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            address = "127.0.0.1:%d" % holder.getsockname()[1]
            for way in ({"flags": ["--http-listen", address]},
                        {"variables": {"KVSTORE_HTTP_LISTEN": address}}):
                self.assertRefusesToStart(f"cannot listen on {address}: another process does", **way)
            done = subprocess.run(
                [harness.SERVER, "--plugin-dir", harness.PLUGINS, "--listen", "127.0.0.1:0",
                 "--data-dir", os.path.join(self.folder, "data"), "--check-config", "--http-listen",
                 address], capture_output=True, timeout=PATIENCE, check=False,
                env=harness.environment())
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"cannot listen on {address}".encode(), done.stderr)

    def test_what_is_no_address_is_refused(self):
        for address, words in (("nonsense", "nonsense"), ("", "is no address"),
                               ("systemd:0", "is no address"), ("127.0.0.1:99999", "99999")):
            self.assertRefusesToStart(words, flags=["--http-listen", address])

    def test_an_address_beyond_this_machine_is_warned_of(self):
        server = self.serve(address="0.0.0.0:0")
        self.assertLogs(server, "whoever reaches 0.0.0.0:0 can read the metrics")
        server = self.serve(data="other")
        server.stop()
        self.assertNotIn("can read the metrics", server.log.text())


class Hostile(Telemetry):
    def assert_serves(self, server):
        server.set("k", b"v")
        self.assertEqual(server.get("k"), b"v")

    def test_more_connections_than_the_limit_are_closed_and_cost_calls_nothing(self):
        server = self.serve()
        held = [self.raw(server) for _ in range(CONNECTIONS_MAX)]
        for connection in held:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")  # and no more
        for _ in range(CONNECTIONS_MAX):
            beyond = self.raw(server)
            self.assertEqual(beyond.recv(1), b"")
        self.assert_serves(server)
        held[0].close()
        while True:  # as soon as the server has seen that
            try:
                self.scrape(server)
                break
            except (http.client.HTTPException, OSError):
                pass

    def test_a_scrape_that_is_never_read_costs_its_place_and_no_more(self):
        server = self.serve()
        for _ in range(CONNECTIONS_MAX - 1):
            connection = socket.socket()
            self.addCleanup(connection.close)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.connect(("127.0.0.1", server.http))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assert_serves(server)
        self.assertGreater(len(self.scrape(server)), 1000)

    def test_a_flood_of_malformed_requests_leaves_the_server_as_it_was(self):
        """One on each connection, as the server closes it upon the first."""
        server = self.serve()
        self.scrape(server)
        requests = [b"\r\n\0\r\n\r\n", b"GET\r\n\r\n", b"\x00\xff\x16\x03\x01\r\n\r\n",
                    b"GET / HTTP/9.9\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost\r\n\r\n",
                    b" / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /" + b"a" * 20000 + b"\r\n\r\n",
                    b"GET /%00%ff/../metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"b" * 40000 + b"\r\n\r\n"]
        before = self.figure(server, "process_resident_memory_bytes")
        ended = threading.Event()
        answered = []

        def call():
            while not ended.wait(0.01):
                self.assert_serves(server)
                answered.append(1)

        caller = threading.Thread(target=call)
        caller.start()
        for i in range(NOISE):
            with harness.raw_connection(server.http) as connection:
                try:
                    connection.sendall(requests[i % len(requests)])
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(1 << 16):
                        pass
                except OSError:
                    pass  # the server has had enough of it
        ended.set()
        caller.join()
        self.assertGreater(len(answered), 10)
        seen = figures(self.scrape(server))
        self.assertLess(seen["process_resident_memory_bytes"], before + (32 << 20))
        self.assertLess(seen["process_open_fds"], 200)
        server.stop()


if __name__ == "__main__":
    harness.main()
