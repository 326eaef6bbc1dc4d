// The three ways a packet can take in the demo, and how the lab is switched from one to another.
import { RipstopError } from "../../lib/errors.js";
import { agentName } from "../agent-node.js";
import { lastLogLine } from "../daemon.js";
import type { LabContext } from "../lab.js";
import { labUp } from "../lab.js";
import { DEFAULT_OPTIONS, type LabOptions, type LabPlan } from "../plan.js";
import { portKind, viewPlane } from "../plane.js";

export interface DemoPath {
  readonly name: string;
  readonly dataplane: LabOptions["dataplane"];
  readonly underlayPort: LabOptions["underlayPort"];
}

export const KERNEL: DemoPath = { name: "kernel VXLAN", dataplane: "kernel", underlayPort: "auto" };
export const OURS: DemoPath = { name: "ripstop, auto", dataplane: "auto", underlayPort: "auto" };
export const OURS_XDP: DemoPath = { name: "ripstop, AF_XDP port", dataplane: "auto", underlayPort: "xdp" };
export const DEMO_PATHS: readonly DemoPath[] = [KERNEL, OURS, OURS_XDP];

export interface DemoContext extends LabContext {
  /** Start of the namespace names. */
  readonly prefix: string;
  readonly signal: AbortSignal;
}

export function demoOptions(path: DemoPath, prefix: string): LabOptions {
  return { ...DEFAULT_OPTIONS, prefix, dataplane: path.dataplane, underlayPort: path.underlayPort };
}

/** Makes every node carry packets this way, and makes sure of it: a demo that measures the wrong path would lie. */
export async function switchTo(path: DemoPath, context: DemoContext): Promise<LabPlan> {
  const plan = await labUp(demoOptions(path, context.prefix), { ...context, report: () => undefined });
  for (const node of plan.nodes) {
    const unexpected = async (what: string): Promise<RipstopError> => {
      const said = await lastLogLine(plan.directory, agentName(node));
      return new RipstopError(
        "DEMO_WRONG_PATH",
        `${node.namespace} ${what}; ${said}; docs/ports.md says what a port needs`,
      );
    };
    const view = await viewPlane(node);
    if (path === KERNEL) {
      if (view !== null) throw await unexpected("still runs a data plane although the kernel was chosen");
      continue;
    }
    if (view === null || !view.inspection.running) throw await unexpected("has no running data plane");
    const port = portKind(view, "underlay");
    if (path.underlayPort !== "auto" && port !== path.underlayPort) {
      throw await unexpected(`has underlay port ${port ?? "none"} instead of ${path.underlayPort}`);
    }
  }
  return plan;
}
