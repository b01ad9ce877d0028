/** The one connection of a page, and the line that says when it is lost. */

import { connect } from "../channels/topics.module.min.js";

const BACK_FOR = 3_000;
const AGAIN_AFTER = 2_000;

/** Comes back by itself; every topic goes on from where it was. */
export const client = connect("/ws/topics/");

/** Whether what is sent now is likely to arrive. */
export const isConnected = () => client.state === "open" && navigator.onLine;

/** Return the data that the server has put into this page, or into another. */
export function dataOf(id, page = document) {
  return JSON.parse(page.getElementById(id).textContent);
}

/** Load this page behind the scenes, as soon as that can be done, and hand it to `take`. */
export async function loadAgain(take) {
  const response = await fetch(location.href).catch(() => null);
  if (response?.redirected) showSignedOut();
  else if (!response?.ok) setTimeout(loadAgain, AGAIN_AFTER, take);
  else take(new DOMParser().parseFromString(await response.text(), "text/html"));
}

// --- the line

const at = (id) => document.getElementById(id);
let wasLost = false;
let hiding;

client.on("state", ({ state, reason }) => {
  if (reason === "signed_out") showSignedOut();
  else if (state === "waiting") showLost("Trying again…");
  else if (state === "open") showBack();
});
// A browser that goes offline may not notice for a minute that its socket is dead.
addEventListener("offline", () => showLost("This device is offline."));
addEventListener("online", () => client.state === "open" && showBack());

at("connection-retry").onclick = () => client.connect();
// The page is about to be left: there is nothing to say.
document.querySelector("form.me").onsubmit = () => client.close();

function showLost(wait) {
  wasLost = true;
  show("Connection lost.", { wait, offer: at("connection-retry") });
}

function showBack() {
  if (!wasLost) return;
  wasLost = false;
  show("You are back.", { isLost: false });
  hiding = setTimeout(() => (at("connection").hidden = true), BACK_FOR);
}

/** This person signed out, here or elsewhere, or may not use the site any more. */
export function showSignedOut() {
  show("You are signed out.", { offer: at("connection-sign-in") });
}

function show(text, { wait = "", offer = null, isLost = true }) {
  clearTimeout(hiding);
  at("connection-text").textContent = text;
  at("connection-wait").textContent = wait;
  for (const each of [at("connection-retry"), at("connection-sign-in")]) each.hidden = each !== offer;
  at("connection").classList.toggle("lost", isLost);
  at("connection").hidden = false;
}
