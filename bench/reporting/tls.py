"""The section about TLS: what it costs beside plain connections to a server of the same kind."""
import ssl

from reporting import loads
from reporting.connections import CROWD, allow_files, idle_bytes
from reporting.engines import SHAPES, by_call, by_h2load, race
from reporting.section import column, median, ratio
from reporting.svg import short

LARGE_SIZE = 1000000
LARGE_CALLS = 300
HANDSHAKES = 500
IDLE = 2000


def tls(section):
    """Engine http2 with TLS 1.3 and a key on P-256, beside plain connections. The client has as much
    to encrypt, on the same processors, so that the processor time of the server says more than the
    rate."""
    servers = {"plain": section.lab.kvstore("none"), "TLS": section.lab.kvstore("none", tls=True)}
    rows = [*calls(section, servers), *large(section, servers), handshakes(section, servers)]
    section.table("Rates, and the processor time of the server",
                  ["", "rate, plain", "rate, TLS", "TLS / plain", "us, plain", "us, TLS",
                   "TLS / plain"], rows)
    idle(section)


def row(what, figures):
    cells = [what]
    for key, text in (("rate", short), ("cpu_us", "{:,.2f}".format)):
        plain, secure = (column(figures[name], key) for name in ("plain", "TLS"))
        cells += [text(median(plain)), text(median(secure)), f"{ratio(secure, plain):.2f}"]
    return cells


def calls(section, servers):
    contenders = {name: by_h2load(section.lab, server) for name, server in servers.items()}
    for method in ("Set", "Get"):
        for name in ("8x16", "50x1", "1x1"):
            figures = race(section, f"{method} {name}", method, SHAPES[name], contenders)
            yield row(f"{method} {name}: calls/s, a call", figures)


def alternate(section, servers, text, call, calls, *shape):
    contenders = {name: by_call(section.lab, server, call) for name, server in servers.items()}
    return section.alternate(text, {
        name: lambda one=one: one.measure(call.path, calls, shape)
        for name, one in contenders.items()})


def large(section, servers):
    """Values of a megabyte; Set first, so that there is one to get. A call a second is as many
    megabytes."""
    for method in ("Set", "Get"):
        yield row(f"{method} of 1 MB, 4x2: MB/s, a call",
                  alternate(section, servers, f"{method} of 1 MB",
                            loads.request(method, LARGE_SIZE), LARGE_CALLS, 4, 2))


def handshakes(section, servers):
    """New connections, each with one call, of a value of a few bytes."""
    allow_files(HANDSHAKES)
    for server in servers.values():
        loads.fill(section.lab, server, 2)
    return row("new connections with a call: connections/s, a connection",
               alternate(section, servers, "new connections", loads.request("Get"), HANDSHAKES,
                         HANDSHAKES, 1))


def idle(section):
    allow_files(IDLE + CROWD)
    lab = section.lab
    context = ssl.create_default_context(cafile=lab.certificate()[0])
    context.set_alpn_protocols(["h2"])
    sizes = {"plain": idle_bytes(lab, lab.kvstore("none"), IDLE),
             "TLS": idle_bytes(lab, lab.kvstore("none", tls=True), IDLE, context)}
    section.table(f"Resident bytes of each of {IDLE:,} idle connections", list(sizes),
                  [[f"{size:,.0f}" for size in sizes.values()]])
