// A parser for Go's flag syntax, driven by a table: `-x` equals `--x`, values follow `=` or the next word, bools only `=`,
// the first word that is no flag ends the flags. Pure: gets words, returns values or a problem, prints nothing.

export type FlagKind = "string" | "bool" | "int" | "strings";
export type FlagValue = string | boolean | number | readonly string[];

export interface FlagSpec {
  readonly name: string;
  readonly kind: FlagKind;
  readonly initial: FlagValue;
  readonly usage: string;
  /** Values that are accepted; absent: any. */
  readonly choices?: readonly string[];
  /** The value never appears in logs or usage. */
  readonly secret?: boolean;
}

export interface ParsedFlags {
  readonly values: ReadonlyMap<string, FlagValue>;
  /** Names given on the command line. */
  readonly given: ReadonlySet<string>;
  /** Words after the flags. */
  readonly rest: readonly string[];
}

/** Why a command line was refused. `help` is a request, not a mistake. */
export interface FlagProblem {
  readonly kind: "help" | "syntax" | "unknown" | "missing-value" | "bad-value";
  readonly flag: string;
  readonly message: string;
}

export type FlagOutcome =
  | { readonly ok: true; readonly flags: ParsedFlags }
  | { readonly ok: false; readonly problem: FlagProblem };

const TRUE_WORDS = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE_WORDS = new Set(["0", "f", "F", "FALSE", "false", "False"]);
const INTEGER = /^([+-]?)(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*)$/;

/** An integer as Go's strconv reads it with base 0: 0x, 0o, 0b, a leading 0 for octal; null when it is none. */
export function parseGoInt(text: string): number | null {
  const match = INTEGER.exec(text);
  if (match === null || /__|_$|^[+-]?_/.test(text)) return null;
  const digits = (match[2] ?? "").replaceAll("_", "").toLowerCase();
  const value = Number(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
  if (!Number.isSafeInteger(value)) return null;
  return match[1] === "-" ? -value : value;
}

/** One value of a flag; the string is the reason why it was refused. */
export function parseFlagValue(spec: FlagSpec, text: string): { readonly value: FlagValue } | string {
  switch (spec.kind) {
    case "bool":
      if (TRUE_WORDS.has(text)) return { value: true };
      return FALSE_WORDS.has(text) ? { value: false } : "it takes true or false";
    case "int": {
      const value = parseGoInt(text);
      return value === null ? "it takes a whole number" : { value };
    }
    case "string":
    case "strings":
      if (spec.choices !== undefined && !spec.choices.includes(text)) return `it takes ${spec.choices.join(", ")}`;
      return { value: spec.kind === "strings" ? [text] : text };
  }
}

export function parseGoFlags(specs: readonly FlagSpec[], words: readonly string[]): FlagOutcome {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const values = new Map<string, FlagValue>(specs.map((spec) => [spec.name, spec.initial]));
  const given = new Set<string>();
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? "";
    if (word.length < 2 || !word.startsWith("-")) break;
    index++;
    if (word === "--") break;
    const body = word.slice(word.startsWith("--") ? 2 : 1);
    if (body === "" || body.startsWith("-") || body.startsWith("="))
      return refuse("syntax", word, `bad flag syntax: ${word}`);
    const equals = body.indexOf("=", 1);
    const name = equals < 0 ? body : body.slice(0, equals);
    const spec = byName.get(name);
    if (spec === undefined) {
      if (name === "help" || name === "h") return refuse("help", name, "");
      return refuse("unknown", name, `unknown flag -${name}${suggest(name, specs)}`);
    }
    let text = equals < 0 ? undefined : body.slice(equals + 1);
    if (text === undefined && spec.kind === "bool") text = "true";
    if (text === undefined) text = words[index++];
    if (text === undefined) return refuse("missing-value", name, `flag -${name} needs a value: write -${name}=VALUE`);
    const parsed = parseFlagValue(spec, text);
    if (typeof parsed === "string")
      return refuse("bad-value", name, `bad value "${spec.secret ? "***" : text}" for flag -${name}: ${parsed}`);
    const before = values.get(name);
    const append = spec.kind === "strings" && given.has(name) && Array.isArray(before);
    values.set(name, append ? [...(before as string[]), ...(parsed.value as readonly string[])] : parsed.value);
    given.add(name);
  }
  return { ok: true, flags: { values, given, rest: words.slice(index) } };
}

function refuse(kind: FlagProblem["kind"], flag: string, message: string): FlagOutcome {
  return { ok: false, problem: { kind, flag, message } };
}

/** "; did you mean -iface?" for the nearest name at edit distance 1 or 2, else nothing. */
function suggest(name: string, specs: readonly FlagSpec[]): string {
  let best: string | null = null;
  let bestDistance = 3;
  for (const spec of specs) {
    const distance = editDistance(name.toLowerCase().replaceAll("_", "-"), spec.name);
    if (distance < bestDistance && distance < spec.name.length) {
      best = spec.name;
      bestDistance = distance;
    }
  }
  return best === null ? "; --help lists the flags" : `; did you mean -${best}?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
