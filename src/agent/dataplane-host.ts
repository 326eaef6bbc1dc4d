// The main of the data-plane process: socket, log and pid file around one DataplaneServer. Ends on its signal or a shutdown
// request, after closing the data plane in order.
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { loadNative } from "../dataplane/native.js";
import { DataplaneServer } from "../dataplane/server.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { identifyProcess } from "../lib/process-identity.js";
import { createLogger } from "../observe/logger.js";
import { runLaunchHost } from "./launch-host.js";
import { ownLauncher } from "./own-launcher.js";
import { prepareRunDirectory, runPaths } from "./run-dir.js";

export interface DataplaneHostOptions {
  readonly socket: string;
  /** File to append the log to; standard error when absent. */
  readonly log?: string;
  readonly nativePath: string | undefined;
}

export async function runDataplane(options: DataplaneHostOptions, signal: AbortSignal): Promise<void> {
  const logger = createLogger({ level: "info", destination: options.log ?? 2 }).part("dataplane");
  const stop = new AbortController();
  // Meant for the agent (more log lines), but sent to a whole unit or group; by default it would end us.
  process.on("SIGUSR2", () => undefined);
  const server = new DataplaneServer(() => loadNative({ path: options.nativePath }), {
    onShutdown: () => stop.abort(),
    onEvent: (message, fields) => logger.info(message, fields),
  });
  // The socket must never be open to others, not even between its creation and a chmod.
  process.umask(0o077);
  prepareRunDirectory(dirname(options.socket));
  await server.listen(options.socket);
  const pidFile = pidPathOf(options.socket);
  writeFileSync(pidFile, JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 });
  logger.info("data-plane process is ready", { listen: options.socket });
  const end = AbortSignal.any([signal, stop.signal]);
  if (!end.aborted) await once(end, "abort");
  // A successor may have moved in, with a pid file of its own.
  if (server.ownsItsPath) rmSync(pidFile, { force: true });
  await server.stop();
  logger.info("data-plane process ends");
}

/** The main of a launch host: no data plane itself, only their starter. */
export async function hostDataplanes(
  runDir: string,
  nativePath: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  await runLaunchHost(runDir, ownLauncher({ logPath: runPaths(runDir).dataplaneLog, nativePath }), signal);
}
