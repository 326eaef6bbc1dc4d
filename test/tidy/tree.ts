// The repository's own files, as the house rules see them: everything that is written by hand and committed.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../../..");

const NOT_OURS = /^(\.git|\.setup|node_modules|dist|prebuilds|build(-.*)?|native\/bpf\/generated|test\/fuzz\/corpus)$/;

export interface SourceFile {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function walk(folder: string, found: string[]): string[] {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (NOT_OURS.test(relative(root, path))) continue;
    if (entry.isDirectory()) walk(path, found);
    else if (entry.isFile()) found.push(relative(root, path));
  }
  return found;
}

/** All files whose path matches, in order. */
export function files(pattern: RegExp): SourceFile[] {
  return walk(root, [])
    .filter((path) => pattern.test(path))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return { path, text, lines: text.replace(/\n$/, "").split("\n") };
    });
}

export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

/** The same text with comments and string contents blanked, line breaks kept: for rules about code, not about prose. */
export function withoutCommentsAndStrings(text: string): string {
  return text.replace(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g,
    (match) => match.replace(/[^\n]/g, " "),
  );
}
