/** On every page: shows notes as they arrive. */

import { avatar } from "./avatar.js";
import { clock, element } from "./dom.js";
import { client, dataOf, loadAgain, showSignedOut } from "./live.js";

const TOAST_FOR = 8_000;

const at = (id) => document.getElementById(id);
const notes = new Map();
let olderUnread = 0; // those that are not in `notes`

const inbox = dataOf("inbox-data");
const topic = client.topic(inbox.topic, { position: inbox.position });

topic.on("publication", ({ data }) => {
  if (data.kind === "note") arrive(data.note, { asToast: true });
  if (data.kind === "read") markRead(data.up_to);
  showUnread();
});
topic.on("gap", () => loadAgain((page) => catchUp(dataOf("inbox-data", page), { asToast: true })));
topic.on("closed", ({ code }) => code === "denied" && showSignedOut());
catchUp(inbox, { asToast: false });

/** Take the newest notes; those that are new to a page that was open already also pop up. */
function catchUp(newest, { asToast }) {
  for (const note of newest.notes) arrive(note, { asToast });
  olderUnread = newest.unread - newest.notes.filter((note) => !note.is_read).length;
  showUnread();
  if (at("inbox-empty")) at("inbox-empty").hidden = notes.size > 0;
}

function arrive(note, { asToast }) {
  if (notes.has(note.id)) return;
  notes.set(note.id, note);
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
  const shown = element(
    "li",
    { className: note.is_read ? "note" : "note unread" },
    avatar(note.sender),
    element("p", {}, element("strong", { textContent: note.sender }), clock(note.sent_at),
      element("span", { className: "text", textContent: note.text })),
  );
  shown.dataset.id = note.id;
  return shown;
}

function markRead(upTo) {
  olderUnread = 0;
  for (const note of notes.values()) note.is_read ||= note.id <= upTo;
  for (const shown of document.querySelectorAll(".note.unread")) {
    shown.classList.toggle("unread", !notes.get(Number(shown.dataset.id)).is_read);
  }
}

function showUnread() {
  const unread = olderUnread + [...notes.values()].filter((note) => !note.is_read).length;
  at("unread").hidden = unread === 0;
  at("unread").textContent = unread;
  at("unread").ariaLabel = `${unread} unread`;
}

addEventListener("keydown", (event) => event.key === "Escape" && at("toasts").replaceChildren());
