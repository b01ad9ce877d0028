/** On every page: says when the connection is lost, and shows notes as they arrive. */

import { avatar } from "./avatar.js";
import { clock, element } from "./dom.js";
import { LiveSocket, retryNow, watchConnection } from "./socket.js";

const TOAST_FOR = 8_000;
const BACK_FOR = 3_000;

const at = (id) => document.getElementById(id);
const seen = new Set();
let unread = 0;
let caughtUp = false;

// --- the connection

let wasLost = false;
let ticking;

watchConnection(({ lost, retryAt }) => {
  clearInterval(ticking);
  if (lost) {
    at("connection-text").textContent = "Connection lost.";
    ticking = setInterval(showWait, 500, retryAt);
    showWait(retryAt);
  } else if (wasLost) {
    at("connection-text").textContent = "You are back.";
    at("connection-wait").textContent = "";
    ticking = setTimeout(() => (at("connection").hidden = true), BACK_FOR);
  }
  at("connection").hidden = !lost && !wasLost;
  at("connection").classList.toggle("lost", lost);
  at("connection-retry").hidden = !lost;
  wasLost = lost;
});

function showWait(retryAt) {
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  at("connection-wait").textContent = !Number.isFinite(seconds)
    ? "This device is offline."
    : seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again…";
}

at("connection-retry").onclick = retryNow;

// --- notes

new LiveSocket(() => "/ws/notes/", {
  frame(data) {
    if (data.kind === "notes") catchUp(data);
    if (data.kind === "note") arrive(data.note, { asToast: true });
    if (data.kind === "read") allRead();
    showUnread();
  },
  refused: signIn,
});

/** Take the newest notes; those that are new to a page that was open already also pop up. */
function catchUp({ notes, unread: count }) {
  for (const note of notes) arrive(note, { asToast: caughtUp });
  caughtUp = true;
  unread = count;
  if (at("inbox-empty")) at("inbox-empty").hidden = notes.length > 0;
}

function arrive(note, { asToast }) {
  if (seen.has(note.id)) return;
  seen.add(note.id);
  if (!note.is_read) unread += 1;
  at("inbox")?.prepend(draw(note));
  if (at("inbox-empty")) at("inbox-empty").hidden = true;
  if (asToast) toast(note);
}

function toast(note) {
  const shown = draw(note);
  at("toasts").append(shown);
  setTimeout(() => shown.remove(), TOAST_FOR);
}

function draw(note) {
  return element(
    "li",
    { className: note.is_read ? "note" : "note unread" },
    avatar(note.sender),
    element("p", {}, element("strong", { textContent: note.sender }), clock(note.sent_at),
      element("span", { className: "text", textContent: note.text })),
  );
}

function allRead() {
  unread = 0;
  document.querySelectorAll(".note.unread").forEach((note) => note.classList.remove("unread"));
}

function showUnread() {
  at("unread").hidden = unread === 0;
  at("unread").textContent = unread;
  at("unread").ariaLabel = `${unread} unread`;
}

addEventListener("keydown", (event) => event.key === "Escape" && at("toasts").replaceChildren());

/** The session has ended: sign in and come back to this page. */
function signIn() {
  location.assign(`/sign-in/?next=${encodeURIComponent(location.pathname)}`);
}
