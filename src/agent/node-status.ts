// The state of this node as seen from outside: the agent's own words from its socket, the data plane's from its own. Used by
// `ripstop status`. Needs no running agent; every question has a deadline, and silence is an answer.
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import { DataplaneClient } from "../dataplane/client.js";
import type { Inspection } from "../dataplane/binding.js";
import type { Counters } from "../dataplane/counters.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { RipstopError } from "../lib/errors.js";
import { isStopped, readPidFile } from "../lib/process-identity.js";
import type { RunPaths } from "./run-dir.js";
import { type AgentStatus, agentStatusSchema, type Condition } from "./status.js";

/** The agent answers from memory; a machine under load is given time. */
const AGENT_DEADLINE_MS = 1_000;
/** A data plane that lives answers within this; one that is stopped is not waited for any longer. */
const DATAPLANE_PATIENCE_MS = 120;
const DATAPLANE_DEADLINE_MS = 1_000;

export interface DataplaneStatus {
  readonly state: "running" | "closed" | "silent" | "absent";
  readonly pid: number | null;
  readonly version: string | null;
  readonly inspection: Inspection | null;
  readonly counters: Counters | null;
}

export interface NodeStatus {
  readonly condition: Condition | "down";
  readonly reasons: readonly string[];
  /** Null when it does not run or does not answer. */
  readonly agent: AgentStatus | null;
  readonly dataplane: DataplaneStatus;
}

const NOTHING = { pid: null, version: null, inspection: null, counters: null };

export async function readNodeStatus(paths: RunPaths): Promise<NodeStatus> {
  const [agent, dataplane] = await Promise.all([askAgent(paths.agentSocket), askDataplane(paths.dataplaneSocket)]);
  if (typeof agent === "string") {
    const carries = dataplane.state === "running" ? "; the data plane goes on with the peers it knows" : "";
    return { condition: "down", reasons: [`${agent}${carries}`], agent: null, dataplane };
  }
  // The agent learns of a hung data plane a little later than we do.
  const hangs = dataplane.state === "silent" ? ["the data-plane process does not answer; the kernel path carries"] : [];
  const condition = agent.condition === "ok" && hangs.length > 0 ? "degraded" : agent.condition;
  return { condition, reasons: [...hangs, ...agent.reasons], agent, dataplane };
}

/** A string says why there is no status. */
async function askAgent(path: string): Promise<AgentStatus | string> {
  const signal = AbortSignal.timeout(AGENT_DEADLINE_MS);
  const socket = connect(path);
  socket.on("error", () => {});
  try {
    await once(socket, "connect", { signal });
  } catch {
    socket.destroy();
    return signal.aborted
      ? `the agent at ${path} does not answer`
      : `no agent runs here (nobody answers at ${path}); start it with \`ripstop agent\``;
  }
  try {
    const abort = () => socket.destroy(new Error("deadline"));
    signal.addEventListener("abort", abort, { once: true });
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    signal.removeEventListener("abort", abort);
    return agentStatusSchema.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  } catch {
    return `the agent at ${path} does not answer in a form this version knows`;
  } finally {
    socket.destroy();
  }
}

async function askDataplane(path: string): Promise<DataplaneStatus> {
  const client = await DataplaneClient.connect(path, { deadlineMs: DATAPLANE_DEADLINE_MS }).catch(() => null);
  if (client === null) return { state: "absent", ...NOTHING };
  try {
    return await Promise.race([question(client), stopped(path)]);
  } catch {
    return { state: "silent", ...NOTHING };
  } finally {
    client.disconnect();
  }
}

async function question(client: DataplaneClient): Promise<DataplaneStatus> {
  // All at once: one deadline, not three.
  const [{ pid, version }, inspection, counters] = await Promise.all([
    client.hello("observe"),
    client.inspect().catch(unlessClosed),
    client.counters().catch(unlessClosed),
  ]);
  return { state: inspection === null ? "closed" : "running", pid, version, inspection, counters };
}

/** Rejects when patience has run out and the process is stopped (SIGSTOP, a debugger); else never settles. */
async function stopped(path: string): Promise<never> {
  await setTimeout(DATAPLANE_PATIENCE_MS, undefined, { ref: false });
  const identity = readPidFile(pidPathOf(path));
  if (identity !== null && isStopped(identity))
    throw new RipstopError("DATAPLANE_SILENT", "the data-plane process is stopped");
  return new Promise(() => {});
}

function unlessClosed(error: unknown): null {
  if (error instanceof RipstopError && error.code === "NOT_OPEN") return null;
  throw error;
}
