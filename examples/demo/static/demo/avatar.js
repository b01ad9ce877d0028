/** A round picture with somebody's initial, in a colour that follows from the name. */

import { element } from "./dom.js";

/** Return an avatar; screen readers skip it, since the name stands beside it. */
export function avatar(name) {
  const made = element("span", { className: "avatar", ariaHidden: "true" });
  made.dataset.name = name;
  return paint(made);
}

function paint(place) {
  let hue = 0;
  for (const letter of place.dataset.name) hue = (hue * 47 + letter.codePointAt(0)) % 360;
  place.style.setProperty("--hue", hue);
  place.textContent = [...place.dataset.name][0].toUpperCase();
  return place;
}

document.querySelectorAll(".avatar[data-name]").forEach(paint);
