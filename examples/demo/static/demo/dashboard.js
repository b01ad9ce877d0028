/** The dashboard: figures, two moving charts, and a button that gives them something to show. */

import { Chart } from "./chart.js";
import { client, dataOf, loadAgain } from "./live.js";

const WAVE_SOCKETS = 12;
const WAVE_LASTS = 12_000;

const at = (id) => document.getElementById(id);
const charts = {
  connections: new Chart(at("connections-chart"), ["connections"]),
  messages: new Chart(at("messages-chart"), ["sent", "received"]),
};

const figures = client.topic("figures");
let hasBegun = false;

figures.on("publication", ({ data: { chart, ...point } }) => show([chart], [point]));
// The topic has no history: what was missed is in the page.
figures.on("subscribed", () => {
  if (hasBegun) loadAgain((page) => show(Object.keys(charts), dataOf("points", page)));
  hasBegun = true;
});
show(Object.keys(charts), dataOf("points"));

function show(names, points) {
  for (const name of names) charts[name].add(points);
  for (const [name, value] of Object.entries(points.at(-1) ?? {})) if (at(name)) at(name).textContent = value;
}

/** Open more sockets for a while, each of which splashes now and then. */
at("waves").onclick = () => {
  for (let n = 0; n < WAVE_SOCKETS; n++) setTimeout(makeWave, n * 150);
};

/** A plain WebSocket to a plain consumer, see figures/consumers.py. */
function makeWave() {
  const socket = new WebSocket(new URL("/ws/waves/", location.href.replace("http", "ws")));
  const splash = () => socket.readyState === WebSocket.OPEN && socket.send('{"action": "splash"}');
  const splashing = setInterval(splash, 300 + Math.random() * 900);
  socket.onclose = () => clearInterval(splashing);
  setTimeout(() => socket.close(), WAVE_LASTS * (0.5 + Math.random() / 2));
}
