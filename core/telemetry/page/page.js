"use strict";
/* Plots what /status.json says, every two seconds, as differences between one answer and the next.
 * The tables come as the server makes them for the page. */
const POLL_MS = 2000, SAMPLES = 150;
const samples = [];
let before = null, answered = null;

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit > 0 && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

function seconds(value) {
  if (value < 1e-3) return `${Math.round(value * 1e6)} \u00b5s`;
  return value < 1 ? `${(value * 1e3).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
}

function number(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(3));
}

const PLOTS = [
  { title: "Calls a second", show: number,
    series: [["answered", s => s.calls], ["failed", s => s.failed]] },
  { title: "Time of a call", show: seconds,
    series: [["half are below", s => s.median], ["99 % are below", s => s.tail]] },
  { title: "Changes in a batch", show: number,
    series: [["mean", s => s.batch], ["waiting", s => s.queue]] },
  { title: "Time of a commit, its sync included", show: seconds,
    series: [["99 % are below", s => s.commit], ["in flight", s => s.running]] },
  { title: "Time of a sync to the disk", show: seconds,
    series: [["99 % are below", s => s.sync], ["oldest write waits", s => s.lag]] },
  { title: "Memory", show: bytes,
    series: [["process", s => s.resident], ["keys and values", s => s.data],
             ["calls", s => s.wire]] },
];

/* ---- Figures ---- */

/* What [[end, count], ...] has grown by; the plug-in's begin again at 0 when the mode is switched. */
function growth(now, old) {
  const earlier = new Map(old);
  const grown = now.map(([end, count]) => [end, count - (earlier.get(end) || 0)]);
  return grown.some(([, count]) => count < 0) ? now : grown;
}

function quantile(buckets, part) {
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  let left = total * part;
  for (const [end, count] of buckets)
    if (count > 0 && (left -= count) <= 0) return end;
  return 0;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/* The buckets of all methods, and how many calls they count. */
function calls(status) {
  const merged = new Map();
  for (const call of status.calls)
    for (const [end, count] of call.buckets) merged.set(end, (merged.get(end) || 0) + count);
  const codes = status.calls.flatMap(call => Object.entries(call.codes));
  return {
    buckets: [...merged].sort((a, b) => a[0] - b[0]),
    all: sum(codes.map(([, count]) => count)),
    failed: sum(codes.filter(([code]) => code !== "OK").map(([, count]) => count)),
  };
}

function hook(status, name) {
  return status.hooks.find(one => one.name === name) || { buckets: [], running: 0 };
}

function sample(old, now) {
  const time = Math.max(now.uptime - old.uptime, 1e-3), was = calls(old), is = calls(now);
  const times = growth(is.buckets, was.buckets);
  const batches = sum(now.commit.buckets.map(b => b[1])) - sum(old.commit.buckets.map(b => b[1]));
  return {
    calls: (is.all - was.all) / time, failed: (is.failed - was.failed) / time,
    median: quantile(times, 0.5), tail: quantile(times, 0.99),
    batch: batches > 0 ? (now.commit.changes - old.commit.changes) / batches : 0,
    queue: now.commit.queue,
    commit: quantile(growth(hook(now, "on_write").buckets, hook(old, "on_write").buckets), 0.99),
    running: hook(now, "on_write").running,
    sync: quantile(growth(now.sync.buckets, old.sync.buckets), 0.99), lag: now.sync.lag,
    resident: now.memory.resident_bytes, data: now.store.bytes, wire: now.memory.wire_bytes,
  };
}

/* ---- Drawing ---- */

function element(name, parent, text) {
  const made = parent.appendChild(document.createElement(name));
  if (text) made.textContent = text;
  return made;
}

function svg(name, parent, attributes) {
  const made = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function make(plot) {
  plot.figure = element("figure", document.getElementById("plots"));
  const caption = element("figcaption", plot.figure);
  element("b", caption, plot.title);
  plot.labels = plot.series.map((_, i) => {
    const label = element("span", caption);
    label.className = `s${i}`;
    return label;
  });
  plot.top = element("div", plot.figure);
  plot.top.className = "top";
  plot.svg = svg("svg", plot.figure, { viewBox: `0 0 ${SAMPLES - 1} 100`,
                                       preserveAspectRatio: "none", role: "img" });
  plot.lines = plot.series.map((_, i) => svg("polyline", plot.svg, { class: `s${i}` }));
}

function draw(plot) {
  const values = plot.series.map(([, value]) => samples.map(value));
  const top = Math.max(...values.flat(), Number.MIN_VALUE);
  values.forEach((line, i) => {
    plot.lines[i].setAttribute("points", line.map(
      (value, x) => `${x + SAMPLES - line.length},${(98 - 95 * value / top).toFixed(1)}`).join(" "));
    plot.labels[i].textContent = `${plot.series[i][0]} ${plot.show(line[line.length - 1])}`;
  });
  plot.top.textContent = top > Number.MIN_VALUE ? `top of the plot: ${plot.show(top)}` : "nothing yet";
  plot.svg.setAttribute("aria-label",
                        `${plot.title}: ${plot.labels.map(label => label.textContent).join(", ")}`);
}

/* ---- The loop ---- */

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

async function update() {
  const now = await (await ask("/status.json")).json();
  const page = new DOMParser().parseFromString(await (await ask("/tables")).text(), "text/html");
  for (const id of ["tables", "state"])
    document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
  if (before && now.uptime > before.uptime) {
    samples.push(sample(before, now));
    samples.splice(0, samples.length - SAMPLES);
    document.getElementById("plots").hidden = false;
    PLOTS.forEach(draw);
  }
  if (before && now.uptime < before.uptime) samples.length = 0; /* another process */
  before = now;
  answered = new Date();
}

async function poll() {
  try {
    if (!document.hidden) await update();
  } catch (_) {
    const state = document.getElementById("state");
    state.textContent = answered ? `no answer since ${answered.toLocaleTimeString()}` : "no answer";
    state.className = "bad";
  }
  setTimeout(poll, POLL_MS);
}

PLOTS.forEach(make);
poll();
