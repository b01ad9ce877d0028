/** Lines that the server has not answered yet; they survive a reload of their tab. */

export class Outbox {
  #key;
  waiting;

  constructor(key) {
    this.#key = key;
    this.waiting = JSON.parse(sessionStorage.getItem(key) ?? "[]");
  }

  /** Add a line under a new reference, by which the server knows it when it comes twice. */
  add(text) {
    const line = { ref: crypto.randomUUID(), text };
    this.#save([...this.waiting, line]);
    return line;
  }

  /** Remove a line that was answered. */
  remove(ref) {
    this.#save(this.waiting.filter((line) => line.ref !== ref));
  }

  #save(lines) {
    this.waiting = lines;
    sessionStorage.setItem(this.#key, JSON.stringify(lines));
  }
}
