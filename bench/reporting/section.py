"""What a section of the report collects: targets that are met or missed, tables and charts."""
import statistics
import sys

from reporting import svg


def say(text):
    print(text, file=sys.stderr, flush=True)


class Section:
    def __init__(self, lab, rounds):
        self.lab = lab
        self.rounds = rounds
        self.targets = []
        self.tables = []
        self.charts = []

    def alternate(self, what, loads):
        """Runs each load once a round; returns the list of each one's figures by name. What
        disturbs a round disturbs all its loads: compare figures of the same round (`ratio`)."""
        figures = {name: [] for name in loads}
        for number in range(self.rounds):
            for name, load in loads.items():
                figures[name].append(load())
            say(f"  {what}, round {number + 1}: " + ", ".join(
                f"{name} {text_of(values[-1])}" for name, values in figures.items()))
        return figures

    def target(self, what, ours, peer, ratio, bound, at_most=False):
        """`ours` and `peer` are texts."""
        met = ratio <= bound if at_most else ratio >= bound
        self.targets.append({"what": what, "ours": ours, "peer": peer, "ratio": ratio,
                             "bound": bound, "at_most": at_most, "met": met})

    def compare(self, what, unit, ours, peer, bound, at_most=False):
        """Lists of figures, one a round: the ratio is the median of the rounds' ratios."""
        self.target(what, f"{svg.short(statistics.median(ours))}{unit}",
                    f"{svg.short(statistics.median(peer))}{unit}", ratio(ours, peer), bound,
                    at_most)

    def table(self, title, head, rows):
        self.tables.append({"title": title, "head": head, "rows": rows})

    def chart(self, file, kind, **arguments):
        self.charts.append({"file": file, "kind": kind, **arguments})

    def results(self):
        return {"targets": self.targets, "tables": self.tables, "charts": self.charts,
                "rounds": self.rounds}


def text_of(figure):
    if isinstance(figure, dict):
        return ", ".join(f"{name} {svg.short(value)}" for name, value in figure.items()
                         if isinstance(value, float))
    return svg.short(figure)


def ratio(ours, peer):
    return statistics.median(mine / other for mine, other in zip(ours, peer))


def median(figures):
    return statistics.median(figures)


def column(figures, name):
    """Of a list of dictionaries."""
    return [figure[name] for figure in figures]
