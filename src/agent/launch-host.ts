// Starts data-plane processes for an agent that lives in another container, so that neither ends with the other. The agent
// asks over a Unix socket in the run directory (one JSON line: where the process shall listen), is told the pid, and later how
// the process ended. Both containers share their process namespace; what the agent does to a data plane it does itself.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { RipstopError } from "../lib/errors.js";
import { createLogger } from "../observe/logger.js";
import type { LaunchedProcess, Launcher } from "./dataplane-process.js";
import { lockSocket, prepareRunDirectory, runPaths } from "./run-dir.js";

const REQUEST = z.strictObject({ socket: z.string().min(1).max(100) });
const ANSWER = z.union([
  z.strictObject({ pid: z.int().positive() }),
  z.strictObject({ exited: z.string() }),
  z.strictObject({ refused: z.string() }),
]);
const LINE_CHARS_MAX = 4_096;

/** Serves until the signal; the processes it started live on, for the next host and its agent to find. */
export async function runLaunchHost(runDir: string, launch: Launcher, signal: AbortSignal): Promise<void> {
  const logger = createLogger({ level: "info", destination: 2 }).part("launch");
  const paths = prepareRunDirectory(runDir);
  const server = await lockSocket(paths.launchSocket, (socket) => {
    socket.on("error", () => socket.destroy());
    void serve(socket, dirname(paths.launchSocket), launch).catch((error: unknown) => {
      tell(socket, { refused: error instanceof Error ? error.message : String(error) });
      socket.end();
    });
  });
  logger.info("starts data planes for an agent", { listen: paths.launchSocket });
  if (!signal.aborted) await once(signal, "abort");
  server.close();
}

async function serve(socket: Socket, directory: string, launch: Launcher): Promise<void> {
  const [line] = (await once(createInterface({ input: limited(socket) }), "line")) as [string];
  const request = REQUEST.parse(JSON.parse(line));
  // Nothing but a data plane of this run directory.
  if (dirname(request.socket) !== directory) throw new Error(`${request.socket} is not in ${directory}`);
  const { pid, exited } = await launch(request.socket);
  tell(socket, { pid });
  tell(socket, { exited: await exited });
  socket.end();
}

/** A launcher that asks the host of a run directory. */
export function hostedLauncher(runDir: string): Launcher {
  const path = runPaths(runDir).launchSocket;
  return async (socketPath): Promise<LaunchedProcess> => {
    const socket = connect(path);
    try {
      await once(socket, "connect");
    } catch (cause) {
      throw unavailable(path, (cause as Error).message, cause);
    }
    const answers = createInterface({ input: limited(socket) })[Symbol.asyncIterator]();
    const next = async () => {
      const { value, done } = (await answers.next()) as { value?: string; done?: boolean };
      return done === true || value === undefined ? null : ANSWER.parse(JSON.parse(value));
    };
    tell(socket, { socket: socketPath });
    const first = await next();
    if (first === null || !("pid" in first)) {
      socket.destroy();
      throw unavailable(path, first !== null && "refused" in first ? first.refused : "it hung up", null);
    }
    socket.unref();
    const exited = next().then(
      (last) => (last !== null && "exited" in last ? last.exited : "the process that started it ended"),
      (error: unknown) => String(error),
    );
    return { pid: first.pid, exited };
  };
}

function unavailable(path: string, reason: string, cause: unknown): RipstopError {
  return new RipstopError(
    "DATAPLANE_START_FAILED",
    `nobody starts data planes at ${path} (${reason}); run \`ripstop dataplane --host\` with the same run directory, or drop --dataplane-launch=host`,
    { op: "connect", cause },
  );
}

function tell(socket: Socket, answer: object): void {
  if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
}

/** A peer that sends without end is cut off. */
function limited(socket: Socket): Socket {
  let seen = 0;
  socket.on("data", (chunk: Buffer) => {
    seen += chunk.length;
    if (seen > LINE_CHARS_MAX) socket.destroy(new Error("too much was sent"));
  });
  return socket;
}
