"""The page for people at "/", in a browser and without one. KVSTORE_TEST_SCREENSHOTS=DIR writes the
pictures of docs/ there."""
import base64
import http.client
import os
import re
import subprocess
import unittest

import browser
import harness
from harness import PATIENCE

PICTURES = os.environ.get("KVSTORE_TEST_SCREENSHOTS")
NAMES = ("Calls a second", "Time of a call", "Changes in a batch", "Time of a commit",
         "Time of a sync", "Memory")

# Of an element's text on its background, as WCAG counts it.
CONTRAST = """(selector => {
  const luminance = color => {
    const parts = color.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  return Math.min(...[...document.querySelectorAll(selector)].map(element => {
    let behind = element;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
      .map(luminance).sort((a, b) => b - a);
    return (both[0] + 0.05) / (both[1] + 0.05);
  }));
})("h1, h2, p, a, th, td, figcaption span, .top")"""


class Page(harness.Case):
    def serve(self, *flags, address="127.0.0.1:0", **keywords):
        server = self.start(flags=["--http-listen", address, *flags], **keywords)
        line = server.log.wait_for("metrics are at http://")
        server.http = int(re.search(r":(\d+)/metrics", line)[1])
        return server

    def ask(self, server, host="127.0.0.1"):
        connection = http.client.HTTPConnection(host, server.http, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", "/")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        return dict(answer.getheaders()), answer.read().decode()


class WithoutBrowser(Page):
    def test_its_tables_have_the_figures_without_a_script(self):
        server = self.serve(mode="aof", options=["fsync=everysec"])
        server.set("secret-key", b"secret-value")
        headers, text = self.ask(server)
        self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
        for row in ("<th scope=\"row\">Keys</th><td>1</td>", "<th scope=\"row\">Plug-in</th><td>aof</td>",
                    "<th scope=\"row\">fsync</th><td>everysec</td>",
                    "<th scope=\"row\">Promise</th><td>durable</td>",
                    "kvstore.KeyValueStore/Set</th><td class=\"number\">1</td>",
                    "began an empty store: mode aof, generation 1"):
            self.assertIn(row, text)
        self.assertIn("http-equiv=\"refresh\"", text)
        for hidden in ("secret", self.folder):
            self.assertNotIn(hidden, text)

    def test_it_shows_key_prefixes_to_this_machine_alone(self):
        server = self.serve(mode="none", address="0.0.0.0:0")
        while "user:" not in (text := self.ask(server)[1]):
            for number in range(100):
                server.set(f"user:{number}", b"v")
        self.assertIn("<th scope=\"row\">user:</th><td class=\"number\">100 %</td>", text)
        own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, timeout=PATIENCE,
                             check=True).stdout.split()
        for host in [address for address in own if ":" not in address][:1]:
            self.assertNotIn("user:", self.ask(server, host)[1])

    def test_it_shows_no_key_prefixes_where_not_everybody_may_read(self):
        with open(users := os.path.join(self.folder, "users"), "w", encoding="utf-8") as file:
            file.write("someone readwrite:*\n")
        os.chmod(users, 0o600)
        for flags, listen in ((["--users", users], "127.0.0.1:0"),
                              ([], f"unix:{os.path.join(self.folder, 'socket')}")):
            server = self.serve(*flags, data=listen[:4], mode="none", listen=listen, wait=False)
            self.assertNotIn("Key prefixes", self.ask(server)[1])

    def test_its_policy_lets_in_its_own_script_and_nothing_else(self):
        server = self.serve()
        seen = set()
        for _ in range(2):
            headers, text = self.ask(server)
            policy = headers["Content-Security-Policy"]
            (nonce,) = set(re.findall("'nonce-([0-9a-f]{32})'", policy))
            self.assertEqual(re.findall(r"<(?:script|style)([^>]*)>", text),
                             [f' nonce="{nonce}"'] * 2)
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            seen.add(nonce)
        self.assertEqual(len(seen), 2)
        self.assertEqual(re.findall(r"(?:src|href)=\"(?!/|data:,)", text), [])
        self.assertNotRegex(text, r"@[A-Z]+@|https?://(?!www\.w3\.org/2000/svg)")
        self.assertNotRegex(text, r"\son\w+=")

    def test_a_text_from_elsewhere_cannot_be_markup(self):
        server = self.serve(mode="faulty", plugins=harness.BAD_PLUGINS, options=[
            "write=io", "tick=io", "text=<script>alert(1)</script>&\"quoted\""])
        with self.assertRaises(harness.grpc.RpcError):
            server.set("k", b"v")
        _, text = self.ask(server)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;quoted&quot;", text)
        self.assertNotIn("<script>alert", text)
        self.assertIn("read-only: writes are refused", text)

    def test_events_are_the_newest_first_and_name_no_client(self):
        server = self.serve(mode="none")
        server.configure("aof")
        _, text = self.ask(server)
        events = re.findall(r"<time>[^<]*</time></td><td[^>]*>([^<]*)</td>", text)
        self.assertIn("switched from none (generation 1) to aof (generation 2)", events[0])
        self.assertIn("ready", events)
        self.assertNotIn("127.0.0.1", "".join(events))


@unittest.skipUnless(browser.PROGRAM, "needs chromium")
class InBrowser(Page):
    def setUp(self):
        super().setUp()
        self.browser = browser.Browser()
        self.addCleanup(self.browser.close)

    def open(self, server):
        self.browser.open(f"http://127.0.0.1:{server.http}/")
        self.browser.wait_for("!document.getElementById('plots').hidden")

    def points(self):
        return self.browser.run("document.querySelector('polyline').points.numberOfItems")

    def test_it_loads_and_goes_on_showing_what_happens(self):
        server = self.serve(mode="aof", options=["fsync=everysec"])
        self.open(server)
        self.assertEqual(self.browser.run("document.querySelectorAll('#plots figure').length"), 6)
        labels = self.browser.run(
            "[...document.querySelectorAll('#plots svg')].map(svg => svg.getAttribute('aria-label'))")
        for name, label in zip(NAMES, labels):
            self.assertTrue(label.startswith(name), label)
        server.set("k", b"v" * 100)
        self.browser.wait_for("document.body.innerText.includes('KeyValueStore/Set')")
        self.browser.wait_for("/answered 0\\.[1-9]/.test(document.body.innerText) || "
                              "document.querySelector('polyline').getAttribute('points')"
                              ".split(' ').some(point => parseFloat(point.split(',')[1]) < 98)")
        before = self.points()
        self.browser.wait_for(f"document.querySelector('polyline').points.numberOfItems > {before}")
        self.assertEqual(self.browser.faults, [])

    def test_it_says_when_the_server_does_not_answer_and_goes_on_when_it_does(self):
        server = self.serve(mode="aof")
        self.open(server)
        port = server.http
        server.stop()
        self.browser.wait_for("document.getElementById('state').textContent.startsWith('no answer')")
        self.start(flags=["--http-listen", f"127.0.0.1:{port}"])
        self.browser.wait_for("document.getElementById('state').textContent.startsWith('serving')")

    def test_it_fits_narrow_screens_and_twice_the_size(self):
        server = self.serve(mode="aof")
        server.set("k", b"v")
        self.open(server)
        for width, scale in ((320, 1), (375, 2), (640, 2), (1280, 1), (2560, 1)):
            self.browser.show(width, 800, scale)
            self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), width)

    def test_it_can_be_read_in_dark_and_in_light(self):
        server = self.serve(mode="aof", options=["fsync=everysec"])
        self.browser.show(1100, 800)
        self.open(server)
        pages = []
        for dark in (False, True):
            self.browser.show(1100, 800, dark=dark)
            pages.append(self.browser.run("getComputedStyle(document.body).backgroundColor"))
            self.assertGreaterEqual(self.browser.run(CONTRAST), 4.5)
        self.assertNotEqual(*pages)


if PICTURES:
    class Pictures(InBrowser):
        def test_the_pictures_of_the_documentation(self):
            server = self.serve(mode="none")
            self.browser.show(1100, 800)
            self.open(server)
            server.configure("aof", {"fsync": "everysec"})
            number = 0
            while self.points() < 60:
                for _ in range(100 + 60 * (number % 7)):
                    server.set(f"{('user', 'session', 'order')[number % 5 % 3]}:{number}", b"v" * 300)
                    server.get(f"user:{number}")
                    number += 1
            for name, width, dark in (("light", 1100, False), ("dark", 1100, True),
                                      ("narrow", 360, False)):
                self.browser.show(width, 800, dark=dark)
                with open(os.path.join(PICTURES, f"page-{name}.png"), "wb") as file:
                    file.write(base64.b64decode(self.browser.screenshot()))


if __name__ == "__main__":
    harness.main()
