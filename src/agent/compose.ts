// Builds the real parts of an agent, runs it, and takes everything down again in reverse: log, run directory and lock, addon,
// netlink, store, health server. The only file that knows which classes stand behind the interfaces.
import { rmSync, writeFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { makeBackend } from "../backend/catalog.js";
import type { AgentOptions } from "../config/options.js";
import { serviceManager } from "../config/service-manager.js";
import type { Binding } from "../dataplane/binding.js";
import { loadNative } from "../dataplane/native.js";
import { pidPathOf } from "../dataplane/socket-path.js";
import { makePacketFilter } from "../host/masquerade/packet-filter.js";
import { Netlink } from "../host/netlink.js";
import { NetlinkHost } from "../host/netlink-host.js";
import { TunnelGuard } from "../host/tunnel-guard.js";
import { systemClock } from "../lib/clock.js";
import { identifyProcess } from "../lib/process-identity.js";
import { Teardown } from "../lib/teardown.js";
import { createLogger, type Level, levelOfVerbosity, type RootLogger } from "../observe/logger.js";
import { Agent } from "./agent.js";
import { serveHealth } from "./health-pages.js";
import { ownLauncher } from "./own-launcher.js";
import { hostedLauncher } from "./launch-host.js";
import { openStore } from "./open-store.js";
import { KERNEL_CAPABILITIES, requireCapabilities, USERSPACE_CAPABILITIES } from "./privileges.js";
import { lockSocket, prepareRunDirectory, type RunPaths } from "./run-dir.js";
import { keepServiceManagerInformed } from "./service-notifier.js";
import { StatusBoard } from "./status-board.js";
import { Wedge } from "./wedge.js";

export interface AgentProcess {
  readonly options: AgentOptions;
  readonly warnings: readonly string[];
  /** RIPSTOP_NATIVE_PATH, handed on to the data plane. */
  readonly nativePath: string | undefined;
}

/** Resolves when the signal has ended the agent; rejects when it could not start. */
export async function runAgent({ options, warnings, nativePath }: AgentProcess, signal: AbortSignal): Promise<void> {
  const logger = createLogger({ level: levelOfVerbosity(options.verbosity), destination: 2 });
  for (const reason of warnings) logger.warn("command line", { reason });
  requireCapabilities(
    "the agent",
    options.dataPlane.mode === "userspace" ? USERSPACE_CAPABILITIES : KERNEL_CAPABILITIES,
  );
  const down = new Teardown();
  followLevelSignal(logger, down);
  try {
    const paths = prepareRunDirectory(options.runDir);
    const waiting = (error: Error) => logger.warn("waiting for the Kubernetes API", { error });
    const store = await openStore(options, waiting, signal);
    down.add(() => store.close());
    const board = new StatusBoard({
      storeKind: store.kind,
      storeHealth: () => store.health(),
      subnetFile: options.subnetFile,
    });
    await takeRunDirectory(paths, board, down);
    const wedge = new Wedge(() => systemClock.nowMs());
    const wedged = () => wedge.reason(board.isReady ? board.report : null);
    if (options.healthzPort > 0) await serveHealth({ options, board, paths, clock: systemClock, logger, wedged }, down);
    const binding = loadNative({ path: nativePath });
    const host = new NetlinkHost(Netlink.open({ binding: binding.netlink }));
    down.add(() => host.close());
    const launch =
      options.dataplaneLaunch === "host"
        ? hostedLauncher(options.runDir)
        : ownLauncher({ logPath: paths.dataplaneLog, nativePath });
    const makeTunnelGuard = (device: string) => new TunnelGuard(device);
    const parts = { store, host, makeBackend, makePacketFilter, makeTunnelGuard, launch, clock: systemClock, logger };
    const informed = informServiceManager(binding, board, wedged, logger, signal);
    await new Agent(options, parts, paths, board).run(signal);
    await informed;
  } finally {
    await down.run((error) => logger.error("cannot end a part of the agent", { error }));
  }
}

async function informServiceManager(
  binding: Binding,
  board: StatusBoard,
  wedged: () => string | null,
  logger: RootLogger,
  signal: AbortSignal,
): Promise<void> {
  const manager = serviceManager();
  if (manager === null) return;
  const describe = (): string => {
    const { condition, reasons, peerCount } = board.overview();
    return [`${condition}, ${peerCount} peers`, ...reasons].join("; ").replaceAll("\n", " ");
  };
  const isReady = () => board.isReady;
  await keepServiceManagerInformed(
    { manager, notify: binding.notify, isReady, describe, wedged, clock: systemClock, logger },
    signal,
  );
}

/** SIGUSR2: debug, then everything, then as the command line said; for a look into a running agent. */
function followLevelSignal(logger: RootLogger, down: Teardown): void {
  const configured = logger.level;
  const steps: readonly Level[] = [configured, "debug", "trace"];
  let at = 0;
  const onSignal = (): void => {
    at = (at + 1) % steps.length;
    logger.setLevel(steps[at] ?? configured);
    logger.error("log level changed", { mode: logger.level });
  };
  process.on("SIGUSR2", onSignal);
  down.add(() => void process.off("SIGUSR2", onSignal));
}

/** From here on no other agent uses the directory, and `ripstop status` gets an answer. */
async function takeRunDirectory(paths: RunPaths, board: StatusBoard, down: Teardown): Promise<void> {
  const server = await lockSocket(paths.agentSocket, (socket) => tellStatus(socket, board));
  down.add(() => closeServer(server));
  // By which `ripstop status` sees that we are stopped, and does not wait.
  const pidFile = pidPathOf(paths.agentSocket);
  writeFileSync(pidFile, JSON.stringify(identifyProcess(process.pid)), { mode: 0o600 });
  down.add(() => rmSync(pidFile, { force: true }));
}

function tellStatus(socket: Socket, board: StatusBoard): void {
  socket.on("error", () => socket.destroy());
  socket.resume();
  socket.end(`${JSON.stringify(board.status())}\n`);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
