// `ripstop doctor` on a node of a lab, and what a test wants of its findings.
import assert from "node:assert/strict";
import type { Finding } from "../../src/doctor/finding.js";
import type { LabNode } from "../../src/lab/plan.js";
import { ripstop, whereabouts } from "./node-commands.js";

export function examine(node: LabNode, ...flags: string[]): readonly Finding[] {
  const { status, stdout, stderr } = ripstop(node, "doctor", "-o", "json", ...whereabouts(node), ...flags);
  assert.ok(status === 0 || status === 1, `doctor ended with ${status}: ${stderr}`);
  const findings = JSON.parse(stdout) as readonly Finding[];
  assert.equal(status, findings.some(({ verdict }) => verdict === "fail") ? 1 : 0);
  for (const finding of findings) {
    const problem = finding.verdict === "fail" || finding.verdict === "warn";
    assert.equal(
      finding.meaning !== "" && finding.fix !== "",
      problem,
      `${finding.check}: a problem has meaning and fix`,
    );
  }
  return findings;
}

export function failures(node: LabNode, ...flags: string[]): ReadonlyMap<string, Finding> {
  return new Map(
    examine(node, ...flags)
      .filter(({ verdict }) => verdict === "fail")
      .map((one) => [one.check, one]),
  );
}

export function assertNamed(node: LabNode, check: string, value: RegExp, fix: RegExp, ...flags: string[]): void {
  const found = failures(node, ...flags);
  assert.match(found.get(check)?.value ?? `not found among ${[...found.keys()].join(", ")}`, value);
  assert.match(found.get(check)?.fix ?? "", fix);
}

export function assertWell(node: LabNode, ...flags: string[]): void {
  assert.deepEqual([...failures(node, ...flags).values()], []);
}
