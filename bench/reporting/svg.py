"""Charts as SVG, readable on a light and on a dark page: horizontal bars, and lines over axes
that may be logarithmic. The same figures give the same file."""
import math
from xml.sax.saxutils import escape

WIDTH = 720
FONT = 13
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.quiet { fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 }
.span { fill: #d0d7de; opacity: 0.5 }
.line { fill: none; stroke-width: 2 }
.c0 { fill: #0969da; stroke: #0969da } .c1 { fill: #bc4c00; stroke: #bc4c00 }
.c2 { fill: #1a7f37; stroke: #1a7f37 } .c3 { fill: #8250df; stroke: #8250df }
.c4 { fill: #bf3989; stroke: #bf3989 } .c5 { fill: #6e7781; stroke: #6e7781 }
.line { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .span { fill: #3d444d }
.c0 { fill: #4493f8; stroke: #4493f8 } .c1 { fill: #f0883e; stroke: #f0883e }
.c2 { fill: #3fb950; stroke: #3fb950 } .c3 { fill: #ab7df8; stroke: #ab7df8 }
.c4 { fill: #db61a2; stroke: #db61a2 } .c5 { fill: #9198a1; stroke: #9198a1 }
.line { fill: none }
}
"""


def short(number):
    """A number as a person writes it: 1,250,000 is 1.25 M."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"


def text(x, y, content, anchor="start", kind=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f"{escape(content)}</text>")


def document(height, title, parts):
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                      f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
                      f"<style>{STYLE}</style>", text(8, 20, title, kind="title"), *parts,
                      "</svg>", ""])


def bars(title, unit, groups):
    """`groups`: pairs of a label and a list of (name, value); names share their colours."""
    names = []
    for _, group in groups:
        names += [name for name, _ in group if name not in names]
    most = max(value for _, group in groups for _, value in group) or 1
    left, right, y, parts = 190, 90, 36, []
    if len(names) > 1:
        y = legend(parts, names, y)
    for label, group in groups:
        parts.append(text(left - 8, y + 9 * len(group) + 4, label, "end"))
        for name, value in group:
            length = value / most * (WIDTH - left - right)
            parts.append(f'<rect x="{left}" y="{y + 2}" width="{max(length, 1):.1f}" height="14" '
                         f'class="c{names.index(name) % 6}"/>')
            parts.append(text(left + length + 6, y + 13, short(value), kind="quiet"))
            y += 18
        y += 8
    parts.append(text(WIDTH - 8, 20, unit, "end", "quiet"))
    return document(y + 4, title, parts)


def legend(parts, names, y):
    x = 8
    for index, name in enumerate(names):
        width = 30 + 7.2 * len(name)
        if x + width > WIDTH:
            x, y = 8, y + 20
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" class="c{index % 6}"/>')
        parts.append(text(x + 17, y + 11, name))
        x += width
    return y + 26


def ticks(low, high, log):
    if log:
        return [10.0 ** power for power in
                range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    step = 10 ** math.floor(math.log10((high - low) / 4 or 1))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


class Axis:
    def __init__(self, values, start, end, log, labels=None):
        self.log = log
        self.labels = labels
        low, high = min(values), max(values)
        if labels:
            self.ticks = [value for value, _ in labels]
        else:
            self.ticks = ticks(low if log else min(low, 0), high, log)
            low, high = self.ticks[0], self.ticks[-1]
        self.low, self.high = self.scaled(low), self.scaled(high)
        self.start, self.end = start, end

    def scaled(self, value):
        return math.log10(value) if self.log else value

    def at(self, value):
        part = (self.scaled(value) - self.low) / (self.high - self.low or 1)
        return self.start + part * (self.end - self.start)

    def label(self, tick):
        return dict(self.labels)[tick] if self.labels else short(tick)


def lines(title, x_title, y_title, series, log_x=False, log_y=False, spans=(), labels=None):
    """`series`: pairs of a name and a list of points. `spans`: shaded stretches of x. `labels`:
    pairs of an x and its text, instead of numbers."""
    parts = []
    top = legend(parts, [name for name, _ in series], 36) + 8
    bottom, left = top + 260, 70
    x = Axis([p[0] for _, points in series for p in points], left, WIDTH - 24, log_x, labels)
    y = Axis([p[1] for _, points in series for p in points], bottom, top, log_y)
    for start, end in spans:
        parts.append(f'<rect x="{x.at(start):.1f}" y="{top}" class="span" height="{bottom - top}" '
                     f'width="{max(x.at(end) - x.at(start), 1):.1f}"/>')
    for tick in y.ticks:
        parts.append(f'<line x1="{left}" x2="{WIDTH - 24}" y1="{y.at(tick):.1f}" '
                     f'y2="{y.at(tick):.1f}" class="grid"/>')
        parts.append(text(left - 6, y.at(tick) + 4, y.label(tick), "end", "quiet"))
    for tick in x.ticks:
        parts.append(text(x.at(tick), bottom + 18, x.label(tick), "middle", "quiet"))
    for index, (_, points) in enumerate(series):
        path = " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" class="c{index % 6} line"/>')
    parts.append(text((left + WIDTH - 24) / 2, bottom + 38, x_title, "middle", "quiet"))
    parts.append(text(WIDTH - 8, 20, y_title, "end", "quiet"))
    return document(bottom + 46, title, parts)


def draw(chart):
    """Draws a chart as the results keep it: `kind` and the arguments of that function."""
    arguments = {name: value for name, value in chart.items() if name not in ("kind", "file")}
    return {"bars": bars, "lines": lines}[chart["kind"]](**arguments)
