"""docs/api.md: what it shows works as written, and its reference is that of the .proto file."""
import os
import re
import sys

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
