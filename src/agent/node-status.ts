// The state of this node as seen from outside: the agent's own words from its socket, the data plane's from its own. Used by
// `ripstop status`. Needs no running agent; every question has a deadline, and silence is an answer.
import { connect } from "node:net";
import type { Inspection } from "../dataplane/binding.js";
import type { Counters } from "../dataplane/counters.js";
import { glance } from "../dataplane/glance.js";
import { readInspection } from "../dataplane/inspection-wire.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { RipstopError } from "../lib/errors.js";
import { isStopped, readPidFile } from "../lib/process-identity.js";
import type { RunPaths } from "./run-dir.js";
import { ripstopVersion } from "../lib/version.js";
import type { AgentStatus, Condition } from "./status.js";

/** A process under load is given time; one that is stopped (SIGSTOP, a debugger) is not waited for at all. */
const PATIENCE_MS = 1_000;
/** What the agent heard of a data plane that is slow to answer counts up to this age; it asks every second. */
const HEARD_MAX_MS = 2_500;

export interface DataplaneStatus {
  readonly state: "running" | "closed" | "silent" | "absent";
  readonly pid: number | null;
  readonly version: string | null;
  readonly inspection: Inspection | null;
  readonly counters: Counters | null;
  /** Of each worker alone, in their order. */
  readonly workerCounters: readonly Counters[] | null;
  /** Present when it was slow to answer: how old the agent's knowledge is, which stands here instead. */
  readonly heardMsAgo?: number;
}

export interface NodeStatus {
  readonly condition: Condition | "down";
  readonly reasons: readonly string[];
  /** Null when it does not run or does not answer. */
  readonly agent: AgentStatus | null;
  readonly dataplane: DataplaneStatus;
}

const NO_COUNTERS = { counters: null, workerCounters: null };
const NOTHING = { pid: null, version: null, inspection: null, ...NO_COUNTERS };

/** `dataplaneMs`: how long to wait for the data plane's own words; those that the agent has heard lately do after that. */
export async function readNodeStatus(paths: RunPaths, dataplaneMs = PATIENCE_MS): Promise<NodeStatus> {
  const [agent, own] = await Promise.all([
    askAgent(paths.agentSocket),
    askDataplane(paths.dataplaneSocket, dataplaneMs),
  ]);
  if (typeof agent === "string") {
    const carries = own.state === "running" ? "; the data plane goes on with the peers it knows" : "";
    return { condition: "down", reasons: [`${agent}${carries}`], agent: null, dataplane: own };
  }
  const dataplane = own.state === "silent" && !isHalted(paths.dataplaneSocket) ? (heard(agent) ?? own) : own;
  // The agent learns of a hung data plane a little later than we do.
  const hangs = dataplane.state === "silent" ? ["the data-plane process does not answer; the kernel path carries"] : [];
  const condition = agent.condition === "ok" && hangs.length > 0 ? "degraded" : agent.condition;
  return { condition, reasons: [...hangs, ...agent.reasons], agent, dataplane };
}

function heard({ dataplane: { phase, pid, version, heard: last } }: AgentStatus): DataplaneStatus | null {
  if (phase !== "running" || last == null || last.ageMs > HEARD_MAX_MS) return null;
  const inspection = readInspection(last.inspection);
  return inspection === null
    ? null
    : { state: "running", pid, version, inspection, ...NO_COUNTERS, heardMsAgo: Math.round(last.ageMs) };
}

/** A string says why there is no status. */
async function askAgent(path: string): Promise<AgentStatus | string> {
  if (isHalted(path)) return `the agent at ${path} is stopped (SIGSTOP or a debugger)`;
  const answer = await answerAt(path);
  if (answer === null) return `the agent at ${path} does not answer`;
  if (typeof answer === "string")
    return `no agent runs here (nobody answers at ${path}: ${answer}); start it with \`ripstop agent\``;
  try {
    return await readAgentStatus(JSON.parse(answer.toString("utf8")));
  } catch {
    return `the agent at ${path} does not answer in a form this version knows`;
  }
}

/** All that is said there; null: nothing in time; a string: why nobody can be asked. */
function answerAt(path: string): Promise<Buffer | string | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const chunks: Buffer[] = [];
    const end = (answer: Buffer | string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(null), PATIENCE_MS);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.once("end", () => end(Buffer.concat(chunks)));
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

/** An agent of our own version answers in our own shape; any other is checked, with a library that takes long to load. */
async function readAgentStatus(answer: unknown): Promise<AgentStatus> {
  if ((answer as Partial<AgentStatus> | null)?.version === ripstopVersion()) return answer as AgentStatus;
  const { agentStatusSchema } = await import("./status.js");
  return agentStatusSchema.parse(answer);
}

export async function askDataplane(path: string, patienceMs = PATIENCE_MS): Promise<DataplaneStatus> {
  if (isHalted(path)) return { state: "silent", ...NOTHING };
  try {
    const seen = await glance(path, patienceMs);
    return { state: seen.inspection === null ? "closed" : "running", ...seen };
  } catch (error) {
    const absent = error instanceof RipstopError && error.code === "DATAPLANE_ABSENT";
    return { state: absent ? "absent" : "silent", ...NOTHING };
  }
}

/** By SIGSTOP or a debugger: no use in waiting. */
function isHalted(socketPath: string): boolean {
  const identity = readPidFile(pidPathOf(socketPath));
  return identity !== null && isStopped(identity);
}
