// Labs for tests: own names, own folder, always removed. Needs root; `rootNeeded` gives the reason to skip.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { labDown, labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS, type LabNode, type LabOptions, type LabPlan } from "../../src/lab/plan.js";
import { type PlaneView, runningPlane } from "../../src/lab/plane.js";
import { waitFor } from "../../src/lab/wait.js";

export const rootNeeded: string | false = process.geteuid?.() === 0 ? false : "needs root";

/** Namespace names no other test process uses at the same time. */
export const testPrefix = `rst-${process.pid}-`;

export async function labFolder(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), "ripstop-test-")), "lab");
}

/** What a node's data plane says of itself; one that the machine keeps waiting answers late. */
export async function planeOf(node: LabNode): Promise<PlaneView> {
  return waitFor(`an answer of the data plane of ${node.namespace}`, () => runningPlane(node), { timeoutMs: 30_000 });
}

/** Builds a lab, runs `body` in it, removes it whatever happened. */
export async function withLab(options: Partial<LabOptions>, body: (plan: LabPlan) => Promise<void>): Promise<void> {
  const directory = await labFolder();
  const context = { directory, report: () => undefined };
  try {
    await body(await labUp({ ...DEFAULT_OPTIONS, prefix: testPrefix, ...options }, context));
  } finally {
    await labDown(context);
    await rm(join(directory, ".."), { recursive: true, force: true });
  }
}
