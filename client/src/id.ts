/** A name for this page: 32 hexadecimal digits. */
export function makeId(): string {
  // `randomUUID` is only there on pages that came over TLS.
  if (typeof crypto !== "undefined" && "randomUUID" in crypto)
    return crypto.randomUUID().replaceAll("-", "");
  const digit = () => Math.floor(Math.random() * 16).toString(16);
  return Array.from({ length: 32 }, digit).join("");
}
