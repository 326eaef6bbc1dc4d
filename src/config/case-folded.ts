// Go's encoding/json finds object keys without regard to case, ignores unknown ones and takes the last duplicate; zod does
// none of that. This renames the keys of an untrusted object to their canonical spelling before zod looks at it. Pure.

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface Folded {
  readonly values: JsonObject;
  /** Keys that match no name. */
  readonly unknown: readonly string[];
}

export function foldKeys(input: JsonObject, names: readonly string[]): Folded {
  const canonical = new Map(names.map((name) => [name.toLowerCase(), name]));
  // Without a prototype: a key called __proto__ is data.
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(input)) {
    const name = canonical.get(key.toLowerCase());
    if (name === undefined) unknown.push(key);
    else values[name] = value;
  }
  return { values, unknown };
}
