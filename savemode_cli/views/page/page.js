// Fetches the page again when something happens, and puts its new main part in the place of the old one. Everything that is shown
// is made by the proxy, so that the page says the same with and without this script.
"use strict";

const QUIET_MS = 250;
const REFRESH_MS = 30000;
let timer = 0;
let busy = false;
let again = false;

function say(text) {
  const state = document.getElementById("state");
  state.className = text === "live" ? "live" : "lost";
  if (state.textContent !== text) state.textContent = text;
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main"));
  } catch {
    say("not connected");
  } finally {
    busy = false;
    if (again) {
      again = false;
      later();
    }
  }
}

function show(fresh) {
  const main = document.querySelector("main");
  for (const open of main.querySelectorAll("details[open]")) {
    const same = [...fresh.querySelectorAll("details")].find((one) => one.id === open.id);
    if (same) same.open = true;
  }
  const active = document.activeElement;
  const focused = main.contains(active) ? active.id || active.closest("details[id]")?.id || "" : "";
  const scrolled = [...main.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  const adopted = document.importNode(fresh, true);
  main.replaceWith(adopted);
  drawCharts();
  adopted.querySelectorAll(".wide").forEach((one, place) => { one.scrollLeft = scrolled[place] || 0; });
  const back = focused ? document.getElementById(focused) : null;
  (back?.tagName === "DETAILS" ? back.querySelector("summary") : back)?.focus({ preventScroll: true });
}

function later() {
  if (timer) return;
  timer = setTimeout(() => {
    timer = 0;
    refresh();
  }, QUIET_MS);
}

const events = new EventSource("/-/events");
events.addEventListener("open", () => { say("live"); later(); });
events.addEventListener("error", () => say("not connected"));
events.addEventListener("exchange", later);
events.addEventListener("lost", later);
setInterval(() => { if (!document.hidden) later(); }, REFRESH_MS);
