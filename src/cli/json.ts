// `-o json`: two spaces, and bigints as strings, because counters are exact beyond 2^53.

export function toJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? one.toString() : one), 2);
  return `${text}\n`;
}
