"""What the README shows works as shown."""
import glob
import os
import re
import subprocess
import sys
import unittest

import grpc

import harness
from harness import BIN, CLI, PATIENCE, PLUGINS, ROOT, kv, kv_grpc


def blocks(language, heading):
    """The README's blocks of a language under a heading."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        sections = re.split(r"^## (.*)$", file.read(), flags=re.MULTILINE)[1:]
    text = dict(zip(sections[::2], sections[1::2]))[heading]
    return [body for name, body in re.findall(r"^```(\w*)\n(.*?)^```$", text,
                                              re.DOTALL | re.MULTILINE) if name == language]


def anchors(text):
    """The names by which a page's headings are linked."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE),
                          re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Links(unittest.TestCase):
    def test_each_link_of_a_page_leads_somewhere(self):
        pages = [path for pattern in ("*.md", "docs/*.md", "*/README.md", "*/*/README.md")
                 for path in glob.glob(os.path.join(ROOT, pattern))]
        self.assertGreater(len(pages), 10)
        for page in pages:
            with open(page, encoding="utf-8") as file:
                links = re.findall(r"\]\((?![a-z]+:)([^)#]*)(?:#([^)]*))?\)", file.read())
            for path, anchor in links:
                with self.subTest(page=os.path.relpath(page, ROOT), path=path, anchor=anchor):
                    target = os.path.join(os.path.dirname(page), path) if path else page
                    self.assertTrue(os.path.exists(target))
                    if anchor:
                        with open(target, encoding="utf-8") as file:
                            self.assertIn(anchor, anchors(file.read()))


class Readme(harness.Case):
    def test_the_lines_of_the_tour_work_as_typed(self):
        server = self.start(mode="hybrid")
        tour = blocks("", "A tour of two minutes")[0]
        lines = re.findall(r"^kvstore> (.*)$", tour, re.MULTILINE)
        self.assertTrue(any("#" in line for line in lines), lines)
        done = subprocess.run([CLI, "-a", server.address], input="\n".join(lines), text=True,
                              capture_output=True, timeout=PATIENCE, check=False,
                              env=harness.environment())
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("hello world", done.stdout)
        self.assertEqual(server.status().plugin, "hybrid")
        self.assertEqual(server.status().options["snapshot_interval"], "60")

    def test_a_write_outlives_kill_9_as_shown(self):
        tour = blocks("", "A tour of two minutes")[1]
        lines = re.findall(r"^\$ (.*)$", tour, re.MULTILINE)
        os.makedirs(os.path.join(self.folder, "build"))
        os.symlink(BIN, os.path.join(self.folder, "build", "bin"))
        os.symlink(PLUGINS, os.path.join(self.folder, "build", "plugins-built"))
        # A person types the next line once the server has said that it is ready.
        address = f"unix:{self.folder}/socket"
        wait = "until build/bin/kvstore-cli status >/dev/null 2>&1; do sleep 0.05; done"
        script = ["set -m", "trap 'kill -9 $(jobs -p)' EXIT"]
        for line in lines:
            script += [line] + ([wait] if line.endswith("&") else [])
        done = subprocess.run(["bash", "-c", "\n".join(script)], cwd=self.folder, text=True,
                              capture_output=True, timeout=PATIENCE, check=False,
                              env=harness.environment(KVSTORE_LISTEN=address,
                                                      KVSTORE_SERVER_ADDR=address))
        self.assertEqual(done.stdout, "OK\nstill there\n", done.stderr)

    def test_the_python_example_runs_and_takes_large_replies(self):
        server = self.start(mode="none")
        (example,) = blocks("python", "Writing a client")
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc",
                        f"-I{os.path.join(ROOT, 'proto')}", "-I/usr/include",
                        f"--python_out={self.folder}", f"--grpc_python_out={self.folder}",
                        "kvstore/v1/key_value.proto"], check=True, capture_output=True, timeout=PATIENCE)
        server.set("large", b"x" * (5 << 20))
        example = example.replace("127.0.0.1:50051", server.address)
        example += 'print(len(store.Get(kv.GetRequest(key="large")).entry.value))\n'
        done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, cwd=self.folder,
                              env=harness.environment(PYTHONPATH=self.folder))
        self.assertEqual(done.stdout, f"b'1'\n{5 << 20}\n", done.stderr)

    def test_the_settings_are_those_of_the_server(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            table = file.read().partition("| flag | variable | default | |\n")[2].partition("\n\n")[0]
        rows = [[cell.strip().strip("`") for cell in row.strip("|").split("|")]
                for row in table.splitlines()[1:]]
        usage = subprocess.run([harness.SERVER, "--help"], capture_output=True, text=True,
                               timeout=PATIENCE, check=True).stdout
        flags = [flag for flag, what in re.findall(r"^  (--\S+(?: \S+)?)  (.*)", usage, re.MULTILINE)
                 if " " in flag or "(default" in what]
        self.assertEqual([row[0] for row in rows], flags)
        for flag, variable, default, what in rows:
            self.assertEqual(variable, "KVSTORE_" + flag.split()[0][2:].upper().replace("-", "_"))
            (line,) = [line for line in usage.splitlines() if line.startswith(f"  {flag} ")]
            if default not in ("", "the installed one"):
                self.assertTrue(line.endswith(f" {what} (default {default})"), line)
            elif flag != "--config FILE":
                self.assertIn(f" {what}", line)

    def test_a_client_that_raises_no_limit_refuses_more_than_4_mib(self):
        server = self.start(mode="none")
        with grpc.insecure_channel(server.address) as channel:
            stub = kv_grpc.KeyValueStoreStub(channel)
            for size, fits in (((4 << 20) - 64, True), ((4 << 20) + 1, False)):
                server.set("k", b"x" * size)
                if fits:
                    self.assertEqual(len(stub.Get(kv.GetRequest(key="k"), timeout=PATIENCE).value),
                                     size)
                else:
                    self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED,
                                     lambda: stub.Get(kv.GetRequest(key="k"), timeout=PATIENCE),
                                     "larger than max")


if __name__ == "__main__":
    harness.main()
