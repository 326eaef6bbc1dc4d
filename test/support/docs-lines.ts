// The command lines that the pages show: in fenced blocks, without what explains them.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../../..");
const PROGRAMS = /^(ripstop|npm|npx|node|\.ci\/run|scripts\/|git|cp|mv|systemctl|docker|kubectl|helm) ?/;

export interface Shown {
  readonly where: string;
  readonly line: string;
}

/** Those that begin with a program we know; what follows two blanks or a # is an explanation. */
export function shownInDocs(): Shown[] {
  const pages = [
    "README.md",
    "CONTRIBUTING.md",
    ...readdirSync(join(root, "docs"))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
  ];
  return pages.flatMap((where) =>
    [...readFileSync(join(root, where), "utf8").matchAll(/^ *```\w*\n([\s\S]*?)^ *```$/gm)]
      .flatMap(([, block = ""]) => block.split("\n").map((line) => line.trim()))
      .filter((line) => PROGRAMS.test(line))
      .map((line) => ({ where, line: (line.split(/ {2,}| #/)[0] ?? "").trim() })),
  );
}
