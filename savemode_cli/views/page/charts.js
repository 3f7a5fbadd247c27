// Draws the charts of the page from the table of hours, in the place of the shapes that the page has without a script. The numbers are
// those of the table.
"use strict";

const NUSD_PER_USD = 1e9;
const charts = new Map();

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function hourly(holder) {
  const first = Number(holder.dataset.first);
  const hours = [...Array(Number(holder.dataset.hours)).keys()].map((place) => first + place * 3600);
  const rows = new Map([...document.querySelectorAll("#hours tbody tr")].map((row) => {
    const [spent, missed] = [...row.querySelectorAll("[data-nusd]")].map((one) => Number(one.dataset.nusd) / NUSD_PER_USD);
    const { hour, read } = row.querySelector("[data-hour]").dataset;
    return [Number(hour), { spent, missed: Math.min(missed, spent), read: read === "" ? null : Number(read) / 10 }];
  }));
  const column = (name, other) => hours.map((hour) => (rows.has(hour) ? rows.get(hour)[name] : other));
  return { hours, spent: column("spent", 0), missed: column("missed", 0), read: column("read", null) };
}

function hourName(seconds) {
  const at = new Date(seconds * 1000);
  const midnight = at.getHours() === 0;
  return midnight ? at.toLocaleDateString("en", { weekday: "short" }) : `${String(at.getHours()).padStart(2, "0")}:00`;
}

function axes(unit) {
  const shared = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const hours = { ...shared, grid: { show: false }, size: 32, values: (_, ticks) => ticks.map(hourName) };
  return [hours, { ...shared, size: 58, values: (_, ticks) => ticks.map(unit) }];
}

function options(holder, kind) {
  const shared = {
    width: holder.clientWidth,
    height: holder.clientHeight,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    padding: [10, 8, 0, 0],
  };
  if (kind === "spend") {
    const bars = uPlot.paths.bars({ size: [0.75, 28] });
    const series = (name) => ({ stroke: color(name), fill: color(name), width: 0, paths: bars, points: { show: false } });
    const dollars = (value) => `$${value.toFixed(value >= 10 || value === 0 ? 0 : 2)}`;
    const scales = { y: { range: (_, low, high) => [0, (high || 0.01) * 1.1] } };
    return { ...shared, scales, axes: axes(dollars), series: [{}, series("--bar"), series("--miss")] };
  }
  const line = { stroke: color("--bar"), width: 2, spanGaps: true, points: { show: true, size: 6, fill: color("--bar") } };
  return { ...shared, scales: { y: { range: [0, 100] } }, axes: axes((value) => `${value} %`), series: [{}, line] };
}

function drawCharts() {
  for (const kind of ["spend", "hits"]) {
    const holder = document.getElementById(`chart-${kind}`);
    if (!holder || typeof uPlot === "undefined") continue;
    const { hours, spent, missed, read } = hourly(holder);
    const data = kind === "spend" ? [hours, spent, missed] : [hours, read];
    let chart = charts.get(kind);
    const label = holder.querySelector("svg")?.getAttribute("aria-label");
    if (!chart) {
      const box = document.createElement("div");
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", label);
      holder.replaceChildren(box);
      chart = { box, plot: new uPlot(options(holder, kind), data, box) };
      charts.set(kind, chart);
    } else if (!holder.contains(chart.box)) {
      holder.replaceChildren(chart.box);
      chart.plot.setData(data);
    }
    if (holder.clientWidth !== chart.plot.width) chart.plot.setSize({ width: holder.clientWidth, height: holder.clientHeight });
  }
}

function redrawCharts() {
  charts.forEach(({ plot }) => plot.destroy());
  charts.forEach(({ box }) => box.parentElement?.replaceChildren());
  charts.clear();
  drawCharts();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);
addEventListener("resize", drawCharts);
drawCharts();
