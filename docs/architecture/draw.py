#!/usr/bin/env python3
"""Makes the drawings of docs/architecture.md: modules.svg from the table of modules in that page, and
states.svg from states.dot.

Run it when the table or states.dot has changed; it needs Debian's graphviz. A test compares the table
with the includes of the code, and both drawings with their sources.
"""
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(os.path.dirname(HERE), "architecture.md")
DRAWING = os.path.join(HERE, "modules.svg")
STATES = os.path.join(HERE, "states.dot")
STATES_DRAWING = os.path.join(HERE, "states.svg")
HEADING = "| module | what it is | may know |"

# Modules of the server's process. The others are programs and libraries beside it.
INSIDE = ("core", "storage", "plugins")


def modules(page=PAGE):
    """The table: module -> (what it is, the modules that it may know)."""
    with open(page, encoding="utf-8") as file:
        table = file.read().partition(HEADING + "\n")[2].partition("\n\n")[0]
    found = {}
    for row in table.splitlines()[1:]:
        name, what, known = (cell.strip() for cell in row.strip("|").split("|"))
        found[name.strip("`")] = (what, re.findall(r"`([^`]+)`", known))
    return found


def arrows(table):
    """What each module knows without the detour by another one: what the drawing shows."""
    def reaches(start, end):
        return any(known == end or reaches(known, end) for known in table[start][1])
    return sorted((module, known) for module, (_, all_known) in table.items() for known in all_known
                  if not any(other != known and reaches(other, known) for other in all_known))


def dot(table):
    lines = ["digraph modules {", '  rankdir=TB; nodesep=0.25; ranksep=0.45; bgcolor="white";',
             '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12];',
             '  edge [color="#555555", arrowsize=0.7];']
    for module, (what, _) in table.items():
        color = "#dbe9f6" if module.startswith(INSIDE) else "#eeeeee"
        words = re.split(r"[:;,.]", what.replace("`", ""))[0]
        lines.append(f'  "{module}" [fillcolor="{color}", label=<<b>{module}</b><br/>'
                     f'<font point-size="10">{words}</font>>];')
    lines += [f'  "{start}" -> "{end}";' for start, end in arrows(table)]
    return "\n".join([*lines, "}\n"])


def transitions():
    """The edges of states.dot."""
    with open(STATES, encoding="utf-8") as file:
        return sorted(re.findall(r'"([^"]+)" -> "([^"]+)"', file.read()))


def main():
    with open(STATES, encoding="utf-8") as file:
        states = file.read()
    for text, drawing in ((dot(modules()), DRAWING), (states, STATES_DRAWING)):
        svg = subprocess.run(["dot", "-Tsvg"], input=text, text=True, check=True,
                             stdout=subprocess.PIPE).stdout
        with open(drawing, "w", encoding="utf-8") as file:
            file.write(svg)


if __name__ == "__main__":
    main()
