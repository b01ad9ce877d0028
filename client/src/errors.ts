/**
 * Why a call has no answer. `code` is the server's, or one of the client's own:
 *
 * - `lost`: the connection broke after the call was sent, so it may have had its effect;
 * - `timeout`: no answer in time; it may have had its effect, or still have it;
 * - `offline`: it was not sent, for there was no connection;
 * - `too_many_calls`, `too_large`, `read_only`, `closed`: it was not sent.
 *
 * `message` is the server's, as it is: a page may show it.
 */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: string;

  constructor(code: string, message: string) {
    super(message === "" ? code : message);
    this.code = code;
  }
}
