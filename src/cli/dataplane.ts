// `ripstop dataplane`: the process that hosts the native data plane. Normally started by the agent, detached, so that it
// outlives it. Ends on SIGTERM, SIGINT or a shutdown request, after closing the data plane in order.
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { prepareRunDirectory } from "../agent/run-dir.js";
import { nativePath } from "../config/native-path.js";
import { loadNative } from "../dataplane/native.js";
import { DataplaneServer } from "../dataplane/server.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { identifyProcess } from "../lib/process-identity.js";
import { createLogger } from "../observe/logger.js";
import type { CommandContext, OptionsCommand } from "./command.js";

export const dataplaneCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("dataplane")
      .description("host the native data plane behind a Unix socket (started by the agent)")
      .requiredOption("--socket <path>", "Unix socket to listen at")
      .option("--log <file>", "append the log to a file instead of standard error")
      .action((options: { socket: string; log?: string }) => runDataplane(options, context.signal));
  },
};

async function runDataplane(options: { socket: string; log?: string }, signal: AbortSignal): Promise<void> {
  const logger = createLogger({ level: "info", destination: options.log ?? 2 }).part("dataplane");
  const stop = new AbortController();
  const server = new DataplaneServer(() => loadNative({ path: nativePath() }), {
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
  await server.stop();
  rmSync(pidFile, { force: true });
  logger.info("data-plane process ends");
}
