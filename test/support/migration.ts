// What `ripstop doctor --migrate` says on a node of a lab.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { LabNode } from "../../src/lab/plan.js";

const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));

export interface Finding {
  readonly check: string;
  readonly verdict: string;
  readonly value: string;
}

export function migration(node: LabNode): readonly Finding[] {
  const argv = ["netns", "exec", node.namespace, process.execPath, RIPSTOP, "doctor", "--migrate", "-o", "json"];
  return JSON.parse(spawnSync("ip", argv, { encoding: "utf8" }).stdout) as readonly Finding[];
}

export const problems = (findings: readonly Finding[]) =>
  findings.filter(({ verdict }) => verdict !== "ok" && verdict !== "skip");
