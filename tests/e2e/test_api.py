"""docs/api.md: what it shows works as written, and its reference is that of the .proto file."""
import os
import re
import subprocess
import sys
import tempfile

import harness

sys.path.insert(0, os.path.join(harness.ROOT, "docs", "api"))
import reference  # noqa: E402


def page():
    with open(reference.PAGE, encoding="utf-8") as file:
        return file.read()


class Page(harness.Case):
    def test_its_reference_is_what_the_comments_of_the_proto_say(self):
        made = reference.Reference(reference.read_proto())
        self.assertEqual(page().partition(reference.MARK)[2].strip(), made.make().strip(),
                         "run docs/api/reference.py")
        self.assertEqual(made.missing, [], "these have no comment")

    def test_its_reference_misses_each_comment_that_is_not_there(self):
        for path, name in (((4, 0), "Entry"), ((4, 0, 2, 0), "Entry.key"), ((5, 0), "Durability"),
                           ((5, 0, 2, 0), "Durability.DURABILITY_UNSPECIFIED"),
                           ((6, 0, 2, 0), "KeyValueService.Get")):
            file = reference.read_proto()
            for place in file.source_code_info.location:
                if tuple(place.path) == path:
                    place.ClearField("leading_comments")
                    place.ClearField("trailing_comments")
            made = reference.Reference(file)
            made.make()
            self.assertEqual(made.missing, [name])

    def test_its_command_generates_all_that_a_client_needs(self):
        [command] = re.findall(r"^python3 (-m grpc_tools\.protoc .*)$", page(), re.MULTILINE)
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(harness.ROOT, "proto"), os.path.join(folder, "proto"))
            subprocess.run([sys.executable, *command.split()], cwd=folder, check=True)
            subprocess.run([sys.executable, "-c", "from google.rpc import error_details_pb2, status_pb2; "
                            "from kvstore.v1 import key_value_pb2, key_value_pb2_grpc"],
                           cwd=folder, env={"PATH": os.environ["PATH"]}, check=True)

    def test_its_examples_work_one_after_the_other(self):
        blocks = re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
        self.assertGreaterEqual(len(blocks), 7)
        server = self.start(mode="hybrid")
        names = {}
        for i, block in enumerate(blocks):
            exec(compile(block.replace("localhost:50051", server.address), f"example {i + 1}", "exec"), names)
        names["channel"].close()

    def test_its_links_lead_somewhere(self):
        text = page()
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
                   for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
        for link in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = link.partition("#")
            if path:
                self.assertTrue(os.path.exists(os.path.join(harness.ROOT, "docs", path)), link)
            else:
                self.assertIn(anchor, anchors)


if __name__ == "__main__":
    harness.main()
