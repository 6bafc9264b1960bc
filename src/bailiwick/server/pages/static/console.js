// What the pages do beyond plain HTML. Without it everything works; one reloads.
"use strict";

const body = document.body;

// Times tell how long ago they were, and go on doing so.
function spans() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = Math.round((Date.now() - Number(time.dataset.ago)) / 1000);
    const far = Math.abs(seconds);
    const [days, hours, minutes] = [Math.floor(far / 86400), Math.floor(far / 3600), Math.floor(far / 60)];
    let text = `${far} s`;
    if (days) text = `${days} d ${hours % 24} h`;
    else if (hours) text = `${hours} h ${minutes % 60} min`;
    else if (minutes) text = `${minutes} min`;
    time.textContent = `${text} ${seconds >= 0 ? "ago" : "from now"}`;
  }
}
setInterval(spans, 10000);

// A form is sent once, however often it is pressed.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  for (const form of document.querySelectorAll("form[data-once]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
  if (event.persisted) location.reload();
});

// What is marked live is asked for anew when the server says that something has changed. A request
// that somebody decides on is never exchanged under their eyes: they are told, and look anew.
let mark = body.dataset.mark;
let stream = null;
// After a form that was refused, the page has the form's address: what it shows is at its own.
const here = body.dataset.here || location.pathname;
const query = location.pathname === here ? location.search : "";

function say(words, link) {
  const news = document.getElementById("news");
  news.replaceChildren(document.createTextNode(words));
  if (link) {
    const anchor = document.createElement("a");
    anchor.href = here;
    anchor.textContent = link;
    news.append(" ", anchor);
  }
}

async function renew() {
  const answer = await fetch(here + query, { headers: { accept: "text/html" }, cache: "no-store" });
  if (answer.redirected || !answer.ok) return location.assign(here);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement && document.activeElement.id;
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${part.dataset.live}"]`);
    if (fresh && fresh.innerHTML !== part.innerHTML) {
      const open = [...part.querySelectorAll("details")].map((each) => each.open);
      part.replaceWith(fresh);
      [...fresh.querySelectorAll("details")].forEach((each, n) => (each.open = Boolean(open[n])));
    }
  }
  document.title = page.title;
  if (focused) document.getElementById(focused)?.focus();
}

function changed(event) {
  if (event.data === mark) return;
  mark = event.data;
  if (document.getElementById("decision")) {
    say("This request has changed since you opened it.", "Show it as it is now");
  } else if (document.querySelector("main [data-live]")) {
    // What changes all the time is not read out each time.
    renew().then(() => body.dataset.quiet || say("Updated."), () => {});
  }
}

// A hidden page lets go of its stream: browsers keep few connections to one server.
function listen() {
  const wanted = Boolean(body.dataset.events) && !document.hidden;
  if (wanted && !stream) {
    stream = new EventSource(body.dataset.events);
    stream.addEventListener("mark", changed);
    stream.addEventListener("ended", () => location.assign(here));
  } else if (!wanted && stream) {
    stream.close();
    stream = null;
  }
}
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => { stream?.close(); stream = null; });
listen();
