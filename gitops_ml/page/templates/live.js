// Follows what happens: the page is whole without this script, and is read again when the agent says that it has changed.
"use strict";
const events = new EventSource(document.currentScript.dataset.events);
let reading = false, again = false;

async function update() {
  again = reading;
  if (reading) return;
  reading = true;
  try {
    const answer = await fetch(location.href, { cache: "no-cache" });
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The agent is away. EventSource connects again by itself, and its first event brings the page up to date.
  } finally {
    reading = false;
  }
  if (again) update();
}

function show(next) {
  for (const part of ["main", "footer"]) {
    const old = document.querySelector(part), fresh = next.querySelector(part);
    if (!old || !fresh || old.innerHTML === fresh.innerHTML) continue;
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const links = [...old.querySelectorAll("a, summary")], focus = links.indexOf(document.activeElement);
    fresh.querySelectorAll("details").forEach((details, place) => { details.open = open[place] ?? false; });
    old.replaceChildren(...document.adoptNode(fresh).childNodes);
    if (focus >= 0) old.querySelectorAll("a, summary")[focus]?.focus({ preventScroll: true });
  }
  document.title = next.title;
}

events.addEventListener("changed", update);
