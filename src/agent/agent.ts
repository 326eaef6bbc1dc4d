// The agent: takes a lease, programs the kernel, keeps a data plane, and goes on doing so until it is told to stop. Starts its
// parts in order and stops them in reverse. A start that fails undoes what it did; the end of an agent that ran undoes
// nothing: device, routes, lease and data plane stay, so that its restart costs no packet.
import { chooseDataPlane, type DataPlaneChoice, type NetworkConfig, parseNetworkConfig } from "../config/network-config.js";
import { type AgentOptions, redactOptions } from "../config/options.js";
import { DataplaneClient } from "../dataplane/client.js";
import type { Lease } from "../lease/lease.js";
import { RipstopError } from "../lib/errors.js";
import { Teardown } from "../lib/teardown.js";
import { ripstopVersion } from "../lib/version.js";
import type { LeaseSnapshot } from "../store/store.js";
import { readSubnetEnv, writeSubnetEnv } from "../subnet/subnet-env.js";
import { type LocalSnapshot, readLocalSnapshot, writeLocalSnapshot } from "./local-snapshot.js";
import type { AgentParts } from "./parts.js";
import { requireCapabilities } from "./privileges.js";
import type { RunPaths } from "./run-dir.js";
import { Session } from "./session.js";
import type { StatusBoard } from "./status-board.js";
import { Supervisor } from "./supervisor.js";

/** How long a start waits for the store before it goes on with what this node remembers. */
const STORE_PATIENCE_MS = 3_000;
const STORE_RETRY_MS = 1_000;

/** What a start brought about, for the loops that follow. */
interface Started {
  readonly network: NetworkConfig;
  readonly networkText: string;
  readonly choice: DataPlaneChoice;
  readonly session: Session;
  readonly lease: Lease;
  readonly supervisor: Supervisor | null;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #parts: AgentParts;
  readonly #paths: RunPaths;
  readonly #board: StatusBoard;
  readonly #snapshotPath: string;
  #supervisor: Supervisor | null = null;

  constructor(options: AgentOptions, parts: AgentParts, paths: RunPaths, board: StatusBoard) {
    this.#options = options;
    this.#parts = parts;
    this.#paths = paths;
    this.#board = board;
    this.#snapshotPath = `${options.stateDir}/snapshot.json`;
  }

  /** Rejects when the start fails; resolves when the signal has ended it. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger } = this.#parts;
    const undo = new Teardown();
    let started: Started;
    try {
      started = await this.#start(undo, signal);
    } catch (error) {
      await undo.run((failure) => logger.error("cannot undo a part of the failed start", { error: failure }));
      throw error;
    }
    undo.keep();
    this.#board.ready();
    logger.info("ready", { lease: describeLease(started.lease), mode: started.choice.mode });
    await this.#serve(started, signal);
    logger.info("stopping; the overlay goes on without the agent");
  }

  async #start(undo: Teardown, signal: AbortSignal): Promise<Started> {
    const { logger } = this.#parts;
    logger.info("starting", { version: ripstopVersion(), configuration: redactOptions(this.#options) });
    const remembered = await readLocalSnapshot(this.#snapshotPath);
    const networkText = await this.#networkText(remembered, signal);
    const network = parseNetworkConfig(networkText, { allocates: this.#parts.store.kind !== "kube" });
    for (const warning of network.warnings) logger.warn("network configuration", { reason: warning });
    const choice = chooseDataPlane(this.#options.dataPlane, network.dataPlane);
    requireCapabilities(choice.mode === "userspace");
    await this.#undoDevices(undo);
    const previousAttrs = remembered?.own.attrs ?? null;
    const session = await Session.make({ options: this.#options, network, choice, parts: this.#parts, previousAttrs });
    undo.add(() => session.close());
    const { lease, snapshot } = await this.#lease(session, remembered, undo, signal);
    this.#board.session(session, network);
    await session.start(lease, snapshot);
    const supervisor = await this.#startDataplane(session, choice, undo, signal);
    await this.#writeSubnetEnv(network, session, lease);
    return { network, networkText, choice, session, lease, supervisor };
  }

  /** The network configuration from the store, or the remembered one when the store does not answer in time. */
  async #networkText(remembered: LocalSnapshot | null, signal: AbortSignal): Promise<string> {
    const { store, clock, logger } = this.#parts;
    const patience = clock.nowMs() + STORE_PATIENCE_MS;
    let said = "";
    while (!signal.aborted) {
      try {
        return await store.readNetworkConfig(AbortSignal.any([signal, AbortSignal.timeout(STORE_PATIENCE_MS)]));
      } catch (error) {
        if (remembered !== null && clock.nowMs() >= patience) {
          this.#board.fromSnapshot(true);
          logger.warn("the store is away; starting from what this node remembers", { error, file: this.#snapshotPath });
          return remembered.networkConfig;
        }
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== said) logger.warn("waiting for the network configuration", { error });
        said = reason;
        await clock.sleep(STORE_RETRY_MS, signal);
      }
    }
    throw new RipstopError("START_INTERRUPTED", "stopped while waiting for the network configuration", { exitCode: 0 });
  }

  async #lease(
    session: Session,
    remembered: LocalSnapshot | null,
    undo: Teardown,
    signal: AbortSignal,
  ): Promise<{ lease: Lease; snapshot: LeaseSnapshot }> {
    const { leases, store, logger } = this.#parts;
    const patience = remembered === null ? signal : AbortSignal.any([signal, AbortSignal.timeout(STORE_PATIENCE_MS)]);
    try {
      const { lease, fresh } = await leases.acquire(session.backend.attrs(), patience);
      if (fresh) undo.add(() => leases.release(lease, AbortSignal.timeout(STORE_PATIENCE_MS)));
      const snapshot = await store.listLeases(patience);
      this.#board.fromSnapshot(false);
      return { lease, snapshot };
    } catch (error) {
      if (remembered === null || signal.aborted || !patience.aborted) throw error;
      this.#board.fromSnapshot(true);
      logger.warn("the store is away; starting from the remembered leases", { error, peers: remembered.leases.size - 1 });
      return { lease: remembered.own, snapshot: { leases: remembered.leases, quarantined: [] } };
    }
  }

  /** Tunnel devices that a failed start made are removed again; those that were there before stay. */
  async #undoDevices(undo: Teardown): Promise<void> {
    const { host } = this.#parts;
    const tunnels = async () => (await host.links()).filter(({ name, kind }) => kind !== "" && name.startsWith("flannel"));
    const before = new Set((await tunnels()).map(({ name }) => name));
    undo.add(async () => {
      for (const { name } of await tunnels()) if (!before.has(name)) await host.deleteLink(name);
    });
  }

  async #startDataplane(session: Session, choice: DataPlaneChoice, undo: Teardown, signal: AbortSignal) {
    const desired = session.desired.current;
    if (choice.mode === "kernel" || desired === undefined) {
      await this.#retireDataplane();
      if (choice.mode !== "userspace") return null;
      throw new RipstopError(
        "DATAPLANE_UNSUITABLE",
        `backend ${session.backend.type} is not carried in user space; use --dataplane=auto, or the vxlan or udp backend`,
      );
    }
    const supervisor = new Supervisor(
      { socketPath: this.#paths.dataplaneSocket, launch: this.#parts.launch, clock: this.#parts.clock, logger: this.#parts.logger },
      desired,
    );
    this.#supervisor = supervisor;
    this.#board.dataplane(supervisor.state);
    if (choice.mode === "userspace") {
      undo.add(() => supervisor.shutdown());
      await supervisor.start(signal).catch((error: unknown) => {
        throw demanded(error);
      });
    }
    return supervisor;
  }

  /** A data plane that an earlier agent left running, while this one shall have none. */
  async #retireDataplane(): Promise<void> {
    const path = this.#paths.dataplaneSocket;
    const client = await DataplaneClient.connect(path, { deadlineMs: 500 }).catch(() => null);
    if (client === null) return;
    await client.hello("control");
    await client.shutdown();
    this.#parts.logger.info("ended a data plane that is not wanted any more");
  }

  async #writeSubnetEnv(network: NetworkConfig, session: Session, lease: Lease): Promise<void> {
    const { subnetFile, ipMasq } = this.#options;
    await writeSubnetEnv(subnetFile, {
      network: network.network,
      ipv6Network: network.ipv6Network,
      subnet: lease.subnet,
      ipv6Subnet: lease.ipv6Subnet,
      mtu: session.backend.mtu,
      ipMasq,
    });
  }

  /** Everything that goes on at the same time, session after session. */
  async #serve(first: Started, signal: AbortSignal): Promise<void> {
    const { parts } = { parts: this.#parts };
    const supervising = first.supervisor?.run(signal);
    let { session, lease } = first;
    let snapshot: LeaseSnapshot | null = null;
    while (!signal.aborted) {
      const over = new AbortController();
      const both = AbortSignal.any([signal, over.signal]);
      const tasks = [
        this.#followLeases(session, first, both, (latest) => {
          snapshot = latest;
        }),
        this.#followDesired(session, both),
      ];
      const why = await Promise.race([session.run(both), this.#holdLease(session, lease, first, both)]);
      over.abort();
      await Promise.all(tasks);
      await session.close();
      if (signal.aborted || why === null) break;
      parts.logger.warn("the overlay is set up anew", { reason: typeof why === "string" ? why : describeLease(why) });
      if (typeof why !== "string") lease = why;
      session = await this.#nextSession(first, session, lease, snapshot, signal);
    }
    await supervising;
  }
}

function demanded(error: unknown): unknown {
  if (!(error instanceof RipstopError)) return error;
  return new RipstopError(error.code, `--dataplane=userspace cannot be had: ${error.message}; --dataplane=auto goes on with the kernel's VXLAN meanwhile`, {
    ...(error.op === undefined ? {} : { op: error.op }),
    ...(error.errno === undefined ? {} : { errno: error.errno }),
    cause: error,
  });
}

export function describeLease({ subnet, ipv6Subnet, key }: Lease): string {
  return subnet === null && ipv6Subnet === null ? key : key;
}
