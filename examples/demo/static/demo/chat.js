/** One room: what was said, who is here, and the box to type in. */

import { avatar } from "./avatar.js";
import { clock, element } from "./dom.js";
import { client, dataOf, isConnected, loadAgain } from "./live.js";
import { Outbox } from "./outbox.js";

const SAME_BREATH = 5 * 60_000; // lines of one person within this time share a heading
const NEAR_END = 80;
const AGAIN_AFTER = 1_000;
// A line that may have been said is said again: the server stores it once, however often it comes.
const SAY_AGAIN = ["lost", "timeout", "failed", "unavailable", "rate_limited", "too_many_calls"];

const at = (id) => document.getElementById(id);
const { me, position, topic } = at("chat").dataset;
const log = at("log");
const box = at("text");
const outbox = new Outbox(`outbox of ${me} in ${topic}`);
let newest = 0;
let members = null;

const room = client.topic(topic, { position });
room.on("publication", ({ data }) => show(data));
room.on("gap", () => loadAgain((page) => showHistory(dataOf("lines", page))));
room.on("presence", () => showMembers([...room.members.values()].map(({ name }) => name).sort()));
room.on("closed", ({ code }) => code === "denied" && location.assign("/chat/"));
for (const each of ["online", "offline"]) addEventListener(each, tellWaiting);
client.on("state", tellWaiting);

showHistory(dataOf("lines"));
outbox.waiting.forEach(showWaiting);
outbox.waiting.forEach(say);
tellWaiting();
if (matchMedia("(hover: hover)").matches) box.focus(); // on a phone it would open the keyboard

// --- saying

/** Say a line until it is answered, however long the connection is lost. */
function say(line) {
  room.call("say", line, { queue: true }).then(show, ({ code, message }) => {
    if (SAY_AGAIN.includes(code)) setTimeout(say, code === "lost" ? 0 : AGAIN_AFTER, line);
    else if (code !== "closed") giveBack(line, message);
  });
}

/** Keep the line until the server has answered it, then send it if we can. */
function submit() {
  const text = box.value.trim().toWellFormed();
  box.focus();
  if (!text) return;
  const line = outbox.add(text);
  box.value = "";
  fitBox();
  at("trouble").textContent = "";
  showWaiting(line);
  say(line);
  tellWaiting();
  toNewest();
}

at("composer").onsubmit = (event) => {
  event.preventDefault();
  submit();
};
box.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
};
box.oninput = fitBox;
// A reload keeps the lines that wait; a closed tab does not.
addEventListener("beforeunload", (event) => outbox.waiting.length && event.preventDefault());

function fitBox() {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

// --- lines on their way

function showWaiting(line) {
  const shown = draw({ ...line, author: me, said_at: new Date().toISOString() });
  shown.classList.add("waiting");
  shown.dataset.ref = line.ref;
  shown.append(element("p", { className: "state" }));
  log.append(shown);
}

function tellWaiting() {
  const state = isConnected() ? "Sending…" : "Waiting for the connection";
  for (const place of log.querySelectorAll(".waiting .state")) place.textContent = state;
}

function arrived(ref) {
  outbox.remove(ref);
  log.querySelector(`.waiting[data-ref="${CSS.escape(ref)}"]`)?.remove();
}

/** The server would not take a line: say why and give the text back. */
function giveBack(line, reason) {
  arrived(line.ref);
  box.value = box.value ? `${box.value}\n${line.text}` : line.text;
  fitBox();
  at("trouble").textContent = `Not sent: ${reason}`;
}

// --- lines

/** Show the newest lines; those before them may be missing if none of these was known. */
function showHistory(lines) {
  const isCut = newest > 0 && lines.length > 0 && lines[0].id > newest;
  if (isCut) log.append(element("li", { className: "cut", textContent: "Some lines before these are not shown." }));
  lines.forEach(show);
  at("empty").hidden = log.children.length > 0;
}

/** Show a line in its place; a line that was shown before stays as it is. */
function show(line) {
  if (line.author === me) arrived(line.ref);
  if (log.querySelector(`[data-id="${line.id}"]`)) return;
  const follow = isAtEnd() || line.author === me;
  const shown = draw(line);
  shown.dataset.id = line.id;
  const before = [...log.querySelectorAll("[data-id]")].findLast((each) => each.dataset.id < line.id);
  const next = before ? before.nextSibling : log.querySelector("[data-id], .waiting");
  log.insertBefore(shown, next);
  newest = Math.max(newest, line.id);
  group(shown);
  at("empty").hidden = true;
  if (follow) toNewest();
  else at("to-newest").hidden = false;
}

function draw({ author, text, said_at }) {
  const shown = element(
    "li",
    { className: author === me ? "line mine" : "line" },
    avatar(author),
    element("p", { className: "who" }, element("strong", { textContent: author }), clock(said_at)),
    element("p", { className: "text", textContent: text }),
  );
  Object.assign(shown.dataset, { author, at: Date.parse(said_at) });
  return shown;
}

/** Leave out the heading of a line that follows another of the same person. */
function group(shown) {
  const previous = shown.previousElementSibling?.dataset ?? {};
  const { author, at: time } = shown.dataset;
  shown.classList.toggle("follows", previous.author === author && time - previous.at < SAME_BREATH);
}

// --- scrolling

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
}

function toNewest() {
  log.scrollTop = log.scrollHeight;
  at("to-newest").hidden = true;
}

at("to-newest").onclick = () => {
  toNewest();
  box.focus();
};
log.onscroll = () => isAtEnd() && (at("to-newest").hidden = true);
new ResizeObserver(() => at("to-newest").hidden && toNewest()).observe(log);

// --- who is here

function showMembers(names) {
  at("members").replaceChildren(
    ...names.map((name) =>
      element("li", {}, avatar(name), element("span", { textContent: name === me ? `${name} (you)` : name })),
    ),
  );
  at("how-many").textContent = names.length === 1 ? "Only you are here" : `${names.length} people are here`;
  if (members) announce(names.filter((name) => !members.includes(name)), members.filter((name) => !names.includes(name)));
  members = names;
}

function announce(came, went) {
  const parts = [...came.map((name) => `${name} came in.`), ...went.map((name) => `${name} left.`)];
  if (parts.length) at("comings").textContent = parts.join(" ");
}
