// For commands that are about what the agent knows: without one they end with the reason.
import type { NodeStatus } from "../agent/node-status.js";
import type { AgentStatus } from "../agent/status.js";
import { RipstopError } from "../lib/errors.js";

export function agentNeeded(status: NodeStatus): NodeStatus & { readonly agent: AgentStatus } {
  const { agent } = status;
  if (agent !== null) return { ...status, agent };
  throw agentAbsent(status);
}

/** Nothing could be asked: not the exit code of an answer that is bad news. */
export function agentAbsent({ reasons }: NodeStatus): RipstopError {
  return new RipstopError("AGENT_ABSENT", reasons[0] ?? "no agent answers; start it with `ripstop agent`", {
    exitCode: 2,
  });
}
