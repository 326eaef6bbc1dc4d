// The run directory (/run/ripstop): who may enter it, what lies in it, and that only one agent uses it. The lock is the
// agent's own socket: the kernel forgets it with the process, and it works across PID namespaces, which a pid file does not.
import { chmodSync, existsSync, linkSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { checkSocketPath, socketAnswers } from "../dataplane/socket-path.js";
import { RipstopError } from "../lib/errors.js";

export interface RunPaths {
  readonly directory: string;
  readonly agentSocket: string;
  readonly dataplaneSocket: string;
  readonly dataplaneLog: string;
  /** Where a launch host answers (launch-host.ts). */
  readonly launchSocket: string;
}

export function runPaths(directory: string): RunPaths {
  return {
    directory,
    agentSocket: join(directory, "agent.sock"),
    dataplaneSocket: join(directory, "dataplane.sock"),
    dataplaneLog: join(directory, "dataplane.log"),
    launchSocket: join(directory, "launch.sock"),
  };
}

/**
 * Makes the directory, 0700. One that exists is used as it is unless others may write to it: they could put their own socket
 * there. (Tightening its mode instead would break /tmp for everybody when somebody says --run-dir=/tmp.)
 */
export function prepareRunDirectory(directory: string): RunPaths {
  try {
    makeDirectory(directory);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw unusable(directory, reason, cause);
  }
  const { mode, uid } = statSync(directory);
  if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.geteuid?.())) {
    throw unusable(directory, "others may write to it");
  }
  const paths = runPaths(directory);
  checkSocketPath(paths.dataplaneSocket);
  return paths;
}

function unusable(directory: string, reason: string, cause?: unknown): RipstopError {
  return new RipstopError(
    "RUN_DIR_UNUSABLE",
    `cannot use the run directory ${directory} (${reason}); run as root or choose another --run-dir`,
    { cause },
  );
}

/** Step by step: Node's own recursive mkdir never returns under /proc, where a missing parent cannot be made. */
function makeDirectory(directory: string): void {
  if (existsSync(directory)) return;
  const parent = dirname(directory);
  if (parent !== directory) makeDirectory(parent);
  mkdirSync(directory, { mode: 0o700 });
}

const ATTEMPTS = 5;

/** Takes the place of the agent that serves `path`; rejects with AGENT_RUNNING when one lives. `serve` gets who connects. */
export async function lockSocket(path: string, serve: (socket: Socket) => void): Promise<Server> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const server = await listen(path, serve);
    if (server !== null) return server;
    const before = identity(path);
    if (await socketAnswers(path)) throw running(path);
    if (before !== null) removeStale(path, before);
  }
  throw running(path);
}

function running(path: string): RipstopError {
  return new RipstopError(
    "AGENT_RUNNING",
    `another agent runs with the same run directory (it answers at ${path}); stop it, or give this one its own --run-dir`,
  );
}

/** Null when the path is taken. */
function listen(path: string, serve: (socket: Socket) => void): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer(serve);
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(null) : reject(error),
    );
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve(server);
    });
  });
}

/** The modification time is the creation time for a socket, and a rename keeps it. */
function identity(path: string): string | null {
  try {
    const { dev, ino, mtimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${mtimeNs}`;
  } catch {
    return null;
  }
}

/**
 * Removes a dead agent's socket. Another starting agent may do the same at this moment and already have put its own there:
 * what was moved aside is compared with what was seen dead, and put back when it is not that.
 */
function removeStale(path: string, dead: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (identity(aside) !== dead) linkSync(aside, path);
    rmSync(aside, { force: true });
  } catch {
    // Somebody else was quicker; the next attempt sees what is there now.
  }
}
