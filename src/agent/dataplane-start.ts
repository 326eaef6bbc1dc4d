// The data plane at the agent's start: demanded, wished for, or not wanted. Owned by the agent.
import { DataplaneClient } from "../dataplane/client.js";
import { RipstopError } from "../lib/errors.js";
import type { Teardown } from "../lib/teardown.js";
import type { Logger } from "../observe/logger.js";
import type { AgentParts } from "./parts.js";
import type { RunPaths } from "./run-dir.js";
import { type DesiredDataplane, Supervisor } from "./supervisor.js";

const DEADLINE_MS = 500;

/** With `userspace` it rejects when there can be none, and leaves none behind; with `auto` it returns at once. */
export async function startDataplane(
  mode: "auto" | "userspace",
  desired: DesiredDataplane,
  paths: RunPaths,
  { launch, clock, logger }: AgentParts,
  undo: Teardown,
  signal: AbortSignal,
): Promise<Supervisor> {
  const supervisor = new Supervisor({ socketPath: paths.dataplaneSocket, launch, clock, logger }, desired);
  if (mode === "auto") return supervisor;
  undo.add(() => supervisor.shutdown());
  try {
    await supervisor.start(signal);
  } catch (error) {
    if (!(error instanceof RipstopError)) throw error;
    throw new RipstopError(
      error.code,
      `--dataplane=userspace cannot be had: ${error.message}; --dataplane=auto would go on with the kernel's path`,
      {
        ...(error.op === undefined ? {} : { op: error.op }),
        ...(error.errno === undefined ? {} : { errno: error.errno }),
        cause: error,
      },
    );
  }
  return supervisor;
}

/** Ends a data plane that an earlier agent left running, when this one shall have none. */
export async function retireDataplane(socketPath: string, logger: Logger): Promise<void> {
  const client = await DataplaneClient.connect(socketPath, { deadlineMs: DEADLINE_MS }).catch(() => null);
  if (client === null) return;
  try {
    await client.hello("control");
    await client.shutdown();
    logger.info("ended a data plane that is not wanted any more");
  } catch (error) {
    logger.warn("a data plane that is not wanted does not end; `ripstop cleanup` kills it", { error });
  } finally {
    client.disconnect();
  }
}
