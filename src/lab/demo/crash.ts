// The tear that does not spread: the data plane is killed while a ping goes every millisecond.
import { RipstopError } from "../../lib/errors.js";
import type { LabNode, LabPlan } from "../plan.js";
import { runningPlane, viewPlane } from "../plane.js";
import { PingRun, type PingResult } from "../traffic/ping.js";
import { waitFor } from "../wait.js";
import type { Ends } from "../ends.js";

const PINGS = 2000;
const KILL_AFTER = 500;

export interface CrashOutcome {
  readonly ping: PingResult;
  readonly killedPid: number;
  /** The process that the agent started in its place. */
  readonly newPid: number;
  /** From the kill until the new data plane ran. */
  readonly recoveredMs: number;
}

export async function crash(plan: LabPlan, ends: Ends, signal: AbortSignal): Promise<CrashOutcome> {
  const node = plan.nodes[0] as LabNode;
  const before = await viewPlane(node);
  if (before === null)
    throw new RipstopError("LAB_BROKEN", `${node.namespace} has no data plane; run \`ripstop lab up\``);
  const ping = new PingRun({ from: ends.from, address: ends.address, count: PINGS, intervalMs: 1 });
  try {
    const warm = async (): Promise<true | null> => (ping.answers >= KILL_AFTER ? true : null);
    await waitFor("the ping to be under way", warm, { timeoutMs: 30_000, everyMs: 1, signal });
    process.kill(before.pid, "SIGKILL");
    const killedAt = performance.now();
    const successor = await waitFor(
      "a new data plane",
      async () => {
        const view = await runningPlane(node);
        return view !== null && view.pid !== before.pid ? view : null;
      },
      { timeoutMs: 30_000, signal, remedy: "see the agent's log in the lab's folder" },
    );
    const recoveredMs = performance.now() - killedAt;
    return { ping: await ping.result(), killedPid: before.pid, newPid: successor.pid, recoveredMs };
  } finally {
    ping.kill();
  }
}
