// The agent: takes a lease, programs the kernel, keeps a data plane, and goes on doing so until it is told to stop. Starts its
// parts in order and stops them in reverse. A start that fails undoes what it did; the end of an agent that ran undoes
// nothing: device, routes, lease and data plane stay, so that its restart costs no packet.
import { chooseDataPlane, parseNetworkConfig } from "../config/network-config.js";
import { type AgentOptions, redactOptions } from "../config/options.js";
import type { Host } from "../host/host.js";
import { settleClaims } from "../lease/claims.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { Backoff } from "../lib/backoff.js";
import { Teardown } from "../lib/teardown.js";
import { Trigger } from "../lib/trigger.js";
import { ripstopVersion } from "../lib/version.js";
import type { LeaseSnapshot } from "../store/store.js";
import type { NodeIdentity } from "../subnet/lease-claim.js";
import { SubnetManager } from "../subnet/manager.js";
import { readSubnetEnv } from "../subnet/subnet-env.js";
import { keepBlackhole } from "./blackhole-loop.js";
import { ConfigFollower } from "./config-follower.js";
import { filterRules, keepFilterRules } from "./filter-loop.js";
import { GuardKeeper } from "./guard-keeper.js";
import { type LocalSnapshot, readLocalSnapshot, snapshotPath, writeLocalSnapshot } from "./local-snapshot.js";
import { followNodeAddresses, NodeStandings, withNodeAddresses } from "./node-assignment.js";
import { keepNodeTold, tellRuntime, tellSubnet } from "./node-files.js";
import { claimOverlay } from "./overlay-claim.js";
import type { AgentParts } from "./parts.js";
import { PlaneKeeper, requireCarriable } from "./plane-keeper.js";
import { requireCapabilities, USERSPACE_CAPABILITIES } from "./privileges.js";
import type { RunPaths } from "./run-dir.js";
import { Session, type SessionOptions } from "./session.js";
import type { StatusBoard } from "./status-board.js";
import { untilStoreAnswers } from "./store-wait.js";

/** How long a start waits for the store before it goes on with what this node remembers. */
const STORE_PATIENCE_MS = 3_000;
const STORE_RETRY_MS = 1_000;
const NEXT_SESSION_MS = 50;
/** A new lease is given back within this time when the start fails. */
const UNDO_MS = 2_000;
/** Writing the local snapshot takes at most this part of the time. */
const SNAPSHOT_COSTS = 20;

/** What a start brought about, for everything that follows. */
interface Started {
  readonly given: SessionOptions;
  readonly config: ConfigFollower;
  readonly subnets: SubnetManager;
  readonly session: Session;
  readonly lease: Lease;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #parts: AgentParts;
  readonly #board: StatusBoard;
  readonly #snapshotPath: string;
  readonly #standings: NodeStandings;
  readonly #plane: PlaneKeeper;
  readonly #guard: GuardKeeper;
  readonly #unwritten: Trigger;
  /** The node's other programs do not know of the session yet. */
  readonly #untold: Trigger;
  /** MAC of the external interface. */
  #nic: string | null = null;
  #peers: ReadonlyMap<string, Lease> = new Map();
  /** Records that make no peer, for status. */
  #quarantined: LeaseSnapshot["quarantined"] = [];

  constructor(options: AgentOptions, parts: AgentParts, paths: RunPaths, board: StatusBoard) {
    this.#options = options;
    this.#parts = parts;
    this.#board = board;
    this.#snapshotPath = snapshotPath(options.stateDir);
    this.#standings = new NodeStandings(parts);
    this.#plane = new PlaneKeeper({ paths, parts, board });
    this.#guard = new GuardKeeper(parts, options.ruleResyncMs);
    board.guard(() => this.#guard.status);
    this.#unwritten = new Trigger(parts.clock);
    this.#untold = new Trigger(parts.clock);
  }

  /** Rejects when the start fails; resolves when the signal has ended it. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger } = this.#parts;
    const undo = new Teardown();
    const over = new AbortController();
    const standings = this.#standings.run(AbortSignal.any([signal, over.signal]));
    let started: Started;
    try {
      started = await this.#start(undo, signal);
    } catch (error) {
      await undo.run((failure) => logger.error("cannot undo a part of the failed start", { error: failure }));
      over.abort();
      await standings;
      throw error;
    }
    undo.keep();
    this.#board.ready();
    await tellRuntime(started.given, started.session, started.lease);
    this.#standings.up();
    logger.info("ready", { lease: started.lease.key, mode: started.given.choice.mode });
    await this.#serve(started, signal);
    await standings;
    logger.info("stopped; the overlay goes on without the agent");
  }

  async #start(undo: Teardown, signal: AbortSignal): Promise<Started> {
    const parts = this.#parts;
    parts.logger.info("starting", { version: ripstopVersion(), configuration: redactOptions(this.#options) });
    const remembered = await readLocalSnapshot(this.#snapshotPath);
    const networkText = await this.#networkText(remembered, signal);
    const network = parseNetworkConfig(networkText, { allocates: parts.store.kind !== "kube" });
    for (const warning of network.warnings) parts.logger.warn("network configuration", { reason: warning });
    const choice = chooseDataPlane(this.#options.dataPlane, network.dataPlane);
    if (choice.mode === "userspace") requireCapabilities("the agent", USERSPACE_CAPABILITIES);
    const options = await withNodeAddresses(this.#options, parts, signal, () =>
      remembered === null ? null : { publicIp: null, publicIpv6: null },
    );
    const claim = await claimOverlay(network);
    undo.add(() => claim.close());
    const given: SessionOptions = { options, network, choice, parts };
    const session = await Session.make(given);
    requireCarriable(choice.mode, session.backend);
    await this.#undoDevices(undo);
    const subnets = await this.#subnetManager(given, session, remembered);
    this.#board.lease(() => subnets.own);
    const lease = await this.#lease(session, subnets, remembered, undo, signal);
    this.#board.session(session);
    await session.start(lease, this.#peers);
    await this.#plane.start(choice.mode, session, undo, signal);
    await tellSubnet(given, session, lease);
    const config = new ConfigFollower(given, networkText, (status) => this.#board.config(status));
    return { given, config, subnets, session, lease };
  }

  /** The network configuration from the store, or the remembered one when the store does not answer in time. */
  async #networkText(remembered: LocalSnapshot | null, signal: AbortSignal): Promise<string> {
    const { store, clock, logger } = this.#parts;
    const patience = clock.nowMs() + STORE_PATIENCE_MS;
    const ask = () => store.readNetworkConfig(AbortSignal.any([signal, AbortSignal.timeout(STORE_PATIENCE_MS)]));
    return untilStoreAnswers("the network configuration", ask, this.#parts, signal, (error) => {
      if (remembered === null || clock.nowMs() < patience) return null;
      logger.warn("the store is away; starting from what this node remembers", { error, file: this.#snapshotPath });
      return remembered.networkConfig;
    });
  }

  async #subnetManager(
    { network, parts, options }: SessionOptions,
    { external }: Session,
    remembered: LocalSnapshot | null,
  ): Promise<SubnetManager> {
    this.#nic = await macOf(parts.host, external.name);
    const nic = this.#nic;
    // A copy of this machine has our memory too, but another network card.
    const former = remembered !== null && nic !== null && remembered.nic === nic ? remembered.own : null;
    const log = parts.logger.part("subnet");
    return new SubnetManager({
      store: parts.store,
      ranges: { range: network.range, ipv6Range: network.ipv6Range },
      networks: { network: network.network, ipv6Network: network.ipv6Network },
      previous: await readSubnetEnv(options.subnetFile),
      former,
      renewMarginMs: options.renewMarginMs,
      clock: parts.clock,
      report: (event) => {
        this.#standings.hear(event);
        const { kind, ...detail } = event;
        if (kind === "renewed" || kind === "acquired" || kind === "store-recovered")
          log.info(kind, { detail: plain(detail) });
        else log.warn(kind, { detail: plain(detail) });
      },
    });
  }

  /** Our lease from the store; or, when the store does not answer in time, the remembered one with its peers. */
  async #lease(
    session: Session,
    subnets: SubnetManager,
    remembered: LocalSnapshot | null,
    undo: Teardown,
    signal: AbortSignal,
  ): Promise<Lease> {
    const { store, logger } = this.#parts;
    const identity = identityOf(session);
    const attrsFor = (previous: LeaseAttrs | null) => session.leaseAttrs(previous ?? remembered?.own.attrs ?? null);
    const patience = remembered === null ? signal : AbortSignal.any([signal, AbortSignal.timeout(STORE_PATIENCE_MS)]);
    try {
      const list = async () => (await store.listLeases(patience)).leases;
      const before = await untilStoreAnswers("the leases", list, this.#parts, patience);
      const lease = await subnets.acquire(identity, attrsFor, patience);
      if (!before.has(lease.key)) undo.add(() => store.deleteLease(lease, AbortSignal.timeout(UNDO_MS)));
      this.#peers = settleClaims(await untilStoreAnswers("the leases", list, this.#parts, patience)).leases;
      return lease;
    } catch (error) {
      if (remembered === null || signal.aborted) throw error;
      logger.warn("the store is away; starting from the remembered leases", { error, count: remembered.leases.size });
      await session.leaseAttrs(remembered.own.attrs);
      subnets.adopt(remembered.own, identity, remembered.leases);
      this.#peers = remembered.leases;
      this.#board.fromSnapshot();
      return remembered.own;
    }
  }

  /** Tunnel devices that a failed start made are removed again; those that were there before stay. */
  async #undoDevices(undo: Teardown): Promise<void> {
    const { host } = this.#parts;
    const tunnels = async () =>
      (await host.links()).filter(({ name, kind }) => kind !== "" && name.startsWith("flannel"));
    const before = new Set((await tunnels()).map(({ name }) => name));
    undo.add(async () => {
      for (const { name } of await tunnels()) if (!before.has(name)) await host.deleteLink(name);
    });
  }

  /** Everything that goes on at the same time, session after session. */
  async #serve(started: Started, signal: AbortSignal): Promise<void> {
    const { config, subnets } = started;
    let { session } = started;
    let over = new AbortController();
    let news: string | null = null;
    const reconfigure = (why: string): void => {
      news = why;
      over.abort();
    };
    const background = [
      this.#keepFilterRules(started, signal),
      keepBlackhole(this.#parts, this.#options, started.lease, signal),
      subnets.run(signal),
      this.#followPeers(() => session, started, signal),
      this.#keepSnapshot(() => session, started, signal),
      keepNodeTold(() => ({ session, lease: subnets.own ?? started.lease }), this.#untold, signal),
      config.run(() => session.external, reconfigure, signal),
      this.#followAddresses(config, reconfigure, signal),
    ];
    while (!signal.aborted) {
      over = new AbortController();
      const ended = AbortSignal.any([signal, over.signal]);
      const { network, ipv6Network } = config.given.network;
      const networks = [network, ipv6Network].filter((prefix) => prefix !== null);
      const beside = [this.#plane.follow(session, ended, signal), this.#guard.follow(session, networks, ended)];
      const why = news ?? (await session.run(ended)) ?? news;
      over.abort();
      await Promise.all(beside);
      news = null;
      if (why === null || signal.aborted) continue;
      session = await this.#nextSession(started, session, why, signal);
      // Those that came while it was made went to the one before.
      session.update(this.#peers, this.#quarantined);
      this.#unwritten.kick();
      this.#untold.kick();
    }
    this.#board.stopping();
    await Promise.all([...background, this.#plane.ended()]);
  }

  async #followAddresses(
    config: ConfigFollower,
    reconfigure: (why: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const changed = (options: AgentOptions): void => {
      config.readdress(options);
      reconfigure("somebody wrote other addresses for this node");
    };
    await followNodeAddresses(this.#options, () => config.given.options, this.#parts, changed, signal);
  }

  async #keepFilterRules({ given, lease }: Started, signal: AbortSignal): Promise<void> {
    const { clock, logger, makePacketFilter } = this.#parts;
    const filter = makePacketFilter(given.network.enableNftables ? "nftables" : "iptables");
    const rules = filterRules(this.#options, given.network, lease);
    const tell = (problem: string | null): void => this.#board.packetFilter(problem);
    await keepFilterRules({ filter, rules, resyncMs: this.#options.ruleResyncMs, clock, logger, tell }, signal);
  }

  async #followPeers(session: () => Session, started: Started, signal: AbortSignal): Promise<void> {
    for await (const { peers, quarantined } of started.subnets.peers(signal)) {
      this.#peers = peers;
      this.#quarantined = quarantined;
      session().update(peers, quarantined);
      this.#unwritten.kick();
    }
  }

  /** At once where it costs little; else often enough to lose little. What is new at the end is written too. */
  async #keepSnapshot(session: () => Session, started: Started, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    let written: { readonly session: Session; readonly peers: ReadonlyMap<string, Lease> } | null = null;
    const write = async (): Promise<void> => {
      const now = { session: session(), peers: this.#peers };
      if (written?.session === now.session && written.peers === now.peers) return;
      written = now;
      await this.#remember(started, now.peers);
    };
    while (!signal.aborted) {
      await this.#unwritten.wait(Number.POSITIVE_INFINITY, signal);
      const startMs = clock.nowMs();
      await write();
      await clock.sleep((clock.nowMs() - startMs) * SNAPSHOT_COSTS, signal);
    }
    await write();
  }

  /** What a start without the store needs; that it cannot be written is worth a line, not the overlay. */
  async #remember({ config, subnets, lease }: Started, leases: ReadonlyMap<string, Lease>): Promise<void> {
    const own = subnets.own ?? lease;
    try {
      await writeLocalSnapshot(this.#snapshotPath, { networkConfig: config.text, own, nic: this.#nic, leases });
    } catch (error) {
      this.#parts.logger.warn("cannot write the local snapshot; a start without the store would have no peers", {
        error,
        file: this.#snapshotPath,
      });
    }
  }

  /** The external interface or the configuration is another: what we publish and the device follow. Waits until that works. */
  async #nextSession(started: Started, last: Session, why: string, signal: AbortSignal): Promise<Session> {
    const { clock, logger } = this.#parts;
    const { config } = started;
    logger.warn("setting the overlay up anew", { reason: why });
    // An interface that is being reconfigured is whole in a moment.
    const pause = new Backoff({ initialMs: NEXT_SESSION_MS, maxMs: STORE_RETRY_MS });
    while (!signal.aborted) {
      const { given } = config;
      try {
        const next = await Session.make(given);
        const own = started.subnets.own ?? started.lease;
        const attrs = await next.leaseAttrs(own.attrs);
        this.#nic = await macOf(given.parts.host, next.external.name);
        await this.#plane.makeWay(next.backend);
        started.subnets.announce(identityOf(next), attrs);
        await next.start({ ...own, attrs }, this.#peers);
        this.#board.session(next);
        config.accept(given);
        return next;
      } catch (error) {
        if (config.refuse(given, error)) continue;
        logger.warn("cannot set the overlay up on the external interface; trying again", { error });
        await clock.sleep(pause.nextMs(), signal);
      }
    }
    return last;
  }
}

function identityOf({ external }: Session): NodeIdentity {
  return { publicIp: external.publicIp, publicIpv6: external.publicIpv6 };
}

async function macOf(host: Host, device: string): Promise<string | null> {
  return (await host.links()).find(({ name }) => name === device)?.mac ?? null;
}

/** Leases carry bigints, which JSON does not. */
function plain(detail: object): object {
  return JSON.parse(
    JSON.stringify(detail, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value)),
  ) as object;
}
