// The state of this node as seen from outside: the agent's own words from its socket, the data plane's from its own. Used by
// `ripstop status`. Needs no running agent; every question has a deadline, and silence is an answer.
import { once } from "node:events";
import { connect } from "node:net";
import type { Inspection } from "../dataplane/binding.js";
import type { Counters } from "../dataplane/counters.js";
import { glance } from "../dataplane/glance.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { RipstopError } from "../lib/errors.js";
import { isStopped, readPidFile } from "../lib/process-identity.js";
import type { RunPaths } from "./run-dir.js";
import { ripstopVersion } from "../lib/version.js";
import type { AgentStatus, Condition } from "./status.js";

/** The agent answers from memory; a machine under load is given time. */
const AGENT_DEADLINE_MS = 1_000;
/** Then it is looked whether the data plane's process is stopped: in that case no answer is waited for. */
const DATAPLANE_LOOK_MS = 30;
/** One that the agent has given up, too, is not waited for any longer than this. */
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
  const asked = askAgent(paths.agentSocket);
  const givenUp = asked.then((answer) => typeof answer !== "string" && answer.dataplane.phase === "waiting");
  const [agent, dataplane] = await Promise.all([asked, askDataplane(paths.dataplaneSocket, givenUp)]);
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
    return await readAgentStatus(JSON.parse(Buffer.concat(chunks).toString("utf8")));
  } catch {
    return `the agent at ${path} does not answer in a form this version knows`;
  } finally {
    socket.destroy();
  }
}

/** An agent of our own version answers in our own shape; any other is checked, with a library that takes long to load. */
async function readAgentStatus(answer: unknown): Promise<AgentStatus> {
  if ((answer as Partial<AgentStatus> | null)?.version === ripstopVersion()) return answer as AgentStatus;
  const { agentStatusSchema } = await import("./status.js");
  return agentStatusSchema.parse(answer);
}

/** `givenUp`: whether the agent does not hear from it either. */
export async function askDataplane(path: string, givenUp = Promise.resolve(false)): Promise<DataplaneStatus> {
  const patience = new AbortController();
  const timers = [
    setTimeout(() => patience.abort(), DATAPLANE_DEADLINE_MS),
    setTimeout(() => {
      if (isHalted(path)) patience.abort();
    }, DATAPLANE_LOOK_MS),
    setTimeout(() => void givenUp.then((doubted) => doubted && patience.abort()), DATAPLANE_PATIENCE_MS),
  ];
  try {
    const seen = await glance(path, patience.signal);
    return { state: seen.inspection === null ? "closed" : "running", ...seen };
  } catch (error) {
    const absent = error instanceof RipstopError && error.code === "DATAPLANE_ABSENT";
    return { state: absent ? "absent" : "silent", ...NOTHING };
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

/** By SIGSTOP or a debugger: no use in waiting. */
function isHalted(path: string): boolean {
  const identity = readPidFile(pidPathOf(path));
  return identity !== null && isStopped(identity);
}
