// One rival, built and ready: a lab of its own, up all the time, so that changing from one rival to the next costs nothing
// and changes nothing. Idle labs sleep. Owner: the bench, which takes every rig down again.
import { RipstopError } from "../../lib/errors.js";
import { agentName } from "../agent-node.js";
import { lastLogLine } from "../daemon.js";
import { type Ends, endsBack, endsOf } from "../ends.js";
import { type LabContext, labDown, labUp } from "../lab.js";
import { DEFAULT_OPTIONS, type LabPlan } from "../plan.js";
import { portKind, viewPlane } from "../plane.js";
import { ClassicProxies } from "./classic-proxies.js";
import type { Rival } from "./rivals.js";

export interface Rig {
  readonly rival: string;
  readonly forward: Ends;
  readonly backward: Ends;
  readonly plan: LabPlan | null;
  /** What carries the packets, as the data plane says. */
  readonly carriers: readonly string[];
  down(): Promise<void>;
}

export interface RigContext {
  /** Folder of all rigs; each has one below it. */
  readonly directory: string;
  readonly prefix: string;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
}

export function rigContext(context: RigContext, name: string): LabContext & { readonly prefix: string } {
  return {
    directory: `${context.directory}/${name}`,
    prefix: `${context.prefix}${name}-`,
    report: () => undefined,
    signal: context.signal,
  };
}

export async function buildRig(rival: Rival, context: RigContext): Promise<Rig> {
  const own = rigContext(context, rival.id);
  context.report(`building ${rival.name}`);
  let proxies: ClassicProxies | null = null;
  const down = async (): Promise<void> => {
    proxies?.stop();
    await labDown(own);
  };
  try {
    const plan = await labUp({ ...DEFAULT_OPTIONS, prefix: own.prefix, ...rival.lab }, own);
    if (rival.classic === true) proxies = await ClassicProxies.start(plan, context.signal);
    const carriers = rival.classic === true ? ["classic proxy"] : await checkCarriers(rival, plan);
    return { rival: rival.id, forward: await endsOf(plan), backward: await endsBack(plan), plan, carriers, down };
  } catch (error) {
    await down();
    throw error;
  }
}

/** A figure for a path that did not carry the packets would be a lie, so the wrong port ends the bench. */
async function checkCarriers(rival: Rival, plan: LabPlan): Promise<string[]> {
  const carriers: string[] = [];
  const wantsKernel = rival.lab.dataplane === "kernel" || rival.lab.backend === "host-gw";
  for (const node of plan.nodes) {
    const view = await viewPlane(node);
    if (wantsKernel && view === null) {
      carriers.push("kernel");
      continue;
    }
    const port = view === null ? "none" : (portKind(view, "underlay") ?? "none");
    if (wantsKernel || view?.inspection.running !== true || (rival.port !== undefined && port !== rival.port)) {
      const said = await lastLogLine(plan.directory, agentName(node));
      throw new RipstopError(
        "BENCH_WRONG_PATH",
        `${rival.name}: ${node.namespace} has underlay port ${port}; ${said}; docs/ports.md says what a port needs`,
      );
    }
    carriers.push(view.inspection.ports.map(({ side, kind }) => `${side} ${kind}`).join(", "));
  }
  return carriers;
}
