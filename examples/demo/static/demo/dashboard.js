/** The dashboard: figures, two moving charts, and a button that gives them something to show. */

import { Chart } from "./chart.js";
import { LiveSocket } from "./socket.js";

const WAVE_SOCKETS = 12;
const WAVE_LASTS = 12_000;

const at = (id) => document.getElementById(id);
const charts = [
  new Chart(at("connections-chart"), ["connections"]),
  new Chart(at("messages-chart"), ["sent", "received"]),
];

new LiveSocket(() => "/ws/figures/", {
  frame({ kind, points }) {
    if (kind !== "points" || points.length === 0) return;
    for (const chart of charts) chart.add(points);
    const newest = points.at(-1);
    for (const name of ["connections", "sent", "received"]) at(name).textContent = newest[name];
  },
});

/** Open more sockets for a while, each of which sends a frame now and then. */
at("waves").onclick = () => {
  for (let n = 0; n < WAVE_SOCKETS; n++) setTimeout(makeWave, n * 150);
};

function makeWave() {
  const socket = new LiveSocket(() => "/ws/figures/", {});
  const chatter = setInterval(() => socket.send({ action: "splash" }), 300 + Math.random() * 900);
  setTimeout(() => {
    clearInterval(chatter);
    socket.close();
  }, WAVE_LASTS * (0.5 + Math.random() / 2));
}
