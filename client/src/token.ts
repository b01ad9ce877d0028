export type Token = string | (() => string | Promise<string>);

/** Has the token until it is used up. A string cannot be made fresh. */
export class TokenSource {
  readonly canRenew: boolean;
  readonly #token: Token | undefined;
  #kept: string | undefined;

  constructor(token: Token | undefined) {
    this.#token = token;
    this.canRenew = typeof token === "function";
  }

  async get(): Promise<string | undefined> {
    if (typeof this.#token !== "function") return this.#token;
    this.#kept ??= await this.#token();
    return this.#kept;
  }

  /** Fetch another one next time. */
  forget(): void {
    this.#kept = undefined;
  }
}
