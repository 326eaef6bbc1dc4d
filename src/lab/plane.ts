// What the data plane of a lab node says of itself: which process, which ports, which counters. Observes only.
import { join } from "node:path";
import type { Inspection, OpenOptions } from "../dataplane/binding.js";
import { DataplaneClient } from "../dataplane/client.js";
import type { Counters } from "../dataplane/counters.js";
import { RipstopError } from "../lib/errors.js";
import { inParallel } from "./parallel.js";
import { hasDataplane, type LabNode, type LabPlan } from "./plan.js";
import { waitFor } from "./wait.js";

const DEADLINE_MS = 2000;
const SETTLE_TIMEOUT_MS = 30_000;

export interface PlaneView {
  readonly pid: number;
  readonly version: string;
  readonly opened: OpenOptions | null;
  readonly inspection: Inspection;
  readonly counters: Counters;
}

export function planeSocket(node: LabNode): string {
  return join(node.directory, "run", "dataplane.sock");
}

/** Null when the node has no data-plane process, or one that has nothing open: the kernel carries its packets. */
export async function viewPlane(node: LabNode): Promise<PlaneView | null> {
  let client: DataplaneClient | null = null;
  try {
    client = await DataplaneClient.connect(planeSocket(node), { deadlineMs: DEADLINE_MS });
    const hello = await client.hello("observe");
    if (hello.opened === null) return null;
    return {
      pid: hello.pid,
      version: hello.version,
      opened: hello.opened,
      inspection: await client.inspect(),
      counters: await client.counters(),
    };
  } catch (error) {
    if (error instanceof RipstopError && ABSENT.has(error.code)) return null;
    throw error;
  } finally {
    client?.disconnect();
  }
}

/** What a data plane that is starting, ending or opening answers. */
const ABSENT: ReadonlySet<string> = new Set(["DATAPLANE_ABSENT", "DATAPLANE_GONE", "NOT_OPEN"]);

/** A data plane whose workers run and that answers; null while it starts, opens or is silent under load. */
export async function runningPlane(node: LabNode): Promise<PlaneView | null> {
  try {
    const view = await viewPlane(node);
    return view?.inspection.running === true ? view : null;
  } catch (error) {
    if (error instanceof RipstopError && error.code === "DATAPLANE_SILENT") return null;
    throw error;
  }
}

/** The port the data plane chose for one side, e.g. "tap"; null when it has none there. */
export function portKind(view: PlaneView, side: "overlay" | "underlay"): string | null {
  return view.inspection.ports.find((port) => port.side === side)?.kind ?? null;
}

/**
 * Waits until every agent's data plane is what the plan asks for: none for "kernel", a running one with the wanted underlay
 * port otherwise. With "auto" a node may end without one, because the kernel lacks something: then its name is returned.
 */
export async function awaitPlanes(plan: LabPlan, signal?: AbortSignal): Promise<readonly LabNode[]> {
  const agents = plan.nodes.filter((node) => node.kind === "agent");
  const late = await inParallel(agents, async (node) => {
    try {
      await waitFor(`the data plane of ${node.namespace}`, async () => ((await settled(plan, node)) ? true : null), {
        timeoutMs: SETTLE_TIMEOUT_MS,
        ...(signal === undefined ? {} : { signal }),
        remedy: `see the logs in ${plan.directory}/log and ${node.directory}/run`,
      });
      return null;
    } catch (error) {
      if (plan.options.dataplane !== "auto" || signal?.aborted === true) throw error;
      return node;
    }
  });
  return late.filter((node) => node !== null);
}

async function settled(plan: LabPlan, node: LabNode): Promise<boolean> {
  const view = await runningPlane(node);
  if (hasDataplane(plan)) {
    return view?.opened?.underlayPort === plan.options.underlayPort;
  }
  // Silence is not absence.
  return view === null && (await viewPlane(node).catch(() => node)) === null;
}
