// Takes secrets out of text that goes to others: values of fields, flags and variables that hold them by name, credentials in
// URLs, PEM keys. Too much is better than too little. Pure.

const NAMES = "[\\w-]*(?:password|passwd|secret|token|psk|private_?key|credential|username|authorization)[\\w-]*";
const MASK = "REDACTED";

const RULES: ReadonlyArray<readonly [pattern: RegExp, replacement: string]> = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, MASK],
  // JSON, also inside a JSON string, where the quotes are escaped.
  [new RegExp(`(\\\\*"${NAMES}\\\\*"\\s*:\\s*\\\\*")(?:[^"\\\\]|\\\\[^"])*`, "gi"), `$1${MASK}`],
  [new RegExp(`(--?${NAMES})[= ]\\S+`, "gi"), `$1=${MASK}`],
  [new RegExp(`\\b(${NAMES})=\\S+`, "gi"), `$1=${MASK}`],
  [new RegExp(`(\\b${NAMES}:[ \\t]+)\\S+`, "gi"), `$1${MASK}`],
  [/(\w+:\/\/)[^/\s:@"]+:[^@\s"]+@/g, `$1${MASK}@`],
];

export function redact(text: string): string {
  return RULES.reduce((left, [pattern, replacement]) => left.replace(pattern, replacement), text);
}
