/** Building elements. Text is always set as text, never as HTML. */

/** Return a new element: element("p", { className: "note", textContent: note.text }, child...). */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Return a <time> that shows the hour and minute of an ISO date. */
export function clock(iso) {
  const date = new Date(iso);
  return element("time", {
    dateTime: iso,
    title: date.toLocaleString(),
    textContent: date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  });
}
