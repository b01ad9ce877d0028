/** A line chart of the last minute that moves to the left as time passes. Drawn by hand in SVG. */

const SECONDS = 60;
const MARGIN = { top: 12, right: 12, bottom: 26, left: 40 };
const SVG = "http://www.w3.org/2000/svg";

let charts = 0;

export class Chart {
  #svg;
  #names;
  #points = [];
  #id = `chart-${++charts}`;

  /** Draw the values called `names` of each point into `svg`. */
  constructor(svg, names) {
    this.#svg = svg;
    this.#names = names;
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** Add points `{ at: seconds, [name]: number }`; those that are known already are left out. */
  add(points) {
    const known = new Set(this.#points.map((point) => point.at));
    this.#points.push(...points.filter((point) => !known.has(point.at)));
    this.#points.sort((one, other) => one.at - other.at);
    const from = (this.#points.at(-1)?.at ?? 0) - SECONDS - 3;
    this.#points = this.#points.filter((point) => point.at > from);
    this.#draw(points.length === 1);
  }

  #draw(moving = false) {
    const { clientWidth: width, clientHeight: height } = this.#svg;
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    const top = this.#niceTop();
    const end = this.#points.at(-1)?.at ?? 0;
    const x = (at) => right - ((end - at) / SECONDS) * (right - MARGIN.left);
    const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);

    const lines = node("g", {}, ...this.#names.flatMap((name, n) => this.#line(name, n, x, y, bottom)));
    const clip = node("clipPath", { id: this.#id },
      node("rect", { x: MARGIN.left, y: 0, width: Math.max(0, right - MARGIN.left), height }));
    this.#svg.replaceChildren(
      clip,
      ...[0, top / 2, top].map((value) => gridLine(value, y(value), right)),
      ...[60, 45, 30, 15, 0].map((ago) => timeLabel(ago, x(end - ago), height - 6)),
      node("g", { "clip-path": `url(#${this.#id})` }, lines),
    );
    if (moving) slide(lines, x(end) - x(this.#points.at(-2)?.at ?? end));
  }

  /** The curve of one value and the area under it. */
  #line(name, number, x, y, bottom) {
    if (this.#points.length < 2) return [];
    const spots = this.#points.map((point) => [x(point.at), y(point[name])]);
    const curve = "M" + spots.map(([px, py], i) => (i ? bend(spots[i - 1], [px, py]) : `${px},${py}`)).join("");
    const area = `${curve}V${bottom}H${spots[0][0]}Z`;
    return [node("path", { class: `area series-${number}`, d: area }), node("path", { class: `curve series-${number}`, d: curve })];
  }

  /** The smallest of 4, 10, 20, 40, 100, ... that is not below the highest value. */
  #niceTop() {
    const highest = Math.max(1, ...this.#points.flatMap((point) => this.#names.map((name) => point[name])));
    for (let unit = 1; ; unit *= 10) for (const top of [4, 10, 20]) if (top * unit >= highest * 1.1) return top * unit;
  }
}

/** A curve between two points that never goes beyond either. */
function bend([x0, y0], [x1, y1]) {
  const middle = (x0 + x1) / 2;
  return `C${middle},${y0} ${middle},${y1} ${x1},${y1}`;
}

/** Move the newest part into view in the second until the next point. */
function slide(lines, distance) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  lines.animate([{ transform: `translateX(${distance}px)` }, { transform: "none" }], { duration: 1000 });
}

function gridLine(value, y, right) {
  return node("g", { class: "grid" },
    node("line", { x1: MARGIN.left, x2: right, y1: y, y2: y }),
    node("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, String(value)));
}

function timeLabel(ago, x, y) {
  const anchor = ago === 60 ? "start" : ago === 0 ? "end" : "middle";
  return node("text", { class: "when", x, y, "text-anchor": anchor }, ago ? `−${ago} s` : "now");
}

function node(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
