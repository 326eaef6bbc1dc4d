// One external interface, one backend, one lease: from making the backend until one of them is no longer true. Then the agent
// begins another session; the overlay device, the kernel's tables and the data plane stay in place between the two. Turns
// leases and kernel events into reasons for the reconciler (the kernel) and the plane wish (the data plane) to look again.
import type { Backend, Overlay, RefusedPeer } from "../backend/backend.js";
import type { DataPlaneChoice, NetworkConfig } from "../config/network-config.js";
import type { AgentOptions } from "../config/options.js";
import type { PeerTable } from "../dataplane/peer-table.js";
import { type ExternalInterface, listHost, selectExternalInterface } from "../host/external-interface.js";
import type { HostEvent, HostFailure } from "../host/host.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import type { HistogramReading } from "../lib/histogram.js";
import { Latest } from "../lib/latest.js";
import { Trigger } from "../lib/trigger.js";
import type { AgentParts } from "./parts.js";
import { PlaneWish } from "./plane-wish.js";
import { Reconciler } from "./reconciler.js";
import type { DesiredDataplane } from "./supervisor.js";
import { TapKeeper } from "./tap-keeper.js";

/**
 * Looking at the host's interfaces: at once, then so many times what it took later; sooner while ours is gone. On a machine that
 * keeps us waiting a look takes long and costs little, so the pause has an end.
 */
const LOOK_PACE_MS = 50;
const LOOK_PACE_MAX_MS = 200;
const LOOK_COSTS = 20;
const GONE_PACE_MS = 20;
const GONE_COSTS = 2;
const RETRY_MS = 1_000;

export interface SessionOptions {
  readonly options: AgentOptions;
  readonly network: NetworkConfig;
  readonly choice: DataPlaneChoice;
  readonly parts: AgentParts;
}

/** What the last pass found, for status. */
export interface SessionReport {
  readonly table: PeerTable | null;
  readonly refused: readonly RefusedPeer[];
  readonly contested: readonly RefusedPeer[];
  readonly failures: readonly HostFailure[];
  /** Why the last pass failed as a whole; null when it did not. */
  readonly error: string | null;
}

/** What a session has once it is attached to its device. */
interface Running {
  readonly overlay: Overlay;
  readonly reconciler: Reconciler;
  /** Null when the backend cannot be carried by a data plane. */
  readonly wish: PlaneWish | null;
  /** Null when a data plane makes no TAPs. */
  readonly taps: TapKeeper | null;
}

const NOTHING: SessionReport = { table: null, refused: [], contested: [], failures: [], error: null };

export interface SessionWork {
  /** What passes over the kernel's objects took, in seconds; null before the first. */
  readonly passes: HistogramReading | null;
  /** How often the kernel had more to tell than we could hear. */
  readonly overruns: number;
}

export class Session {
  #overruns = 0;
  readonly external: ExternalInterface;
  readonly backend: Backend;
  /** What the data plane shall carry; nothing before the first table, never when the backend cannot be carried. */
  readonly desired = new Latest<DesiredDataplane>();
  /** What it was made of. */
  readonly given: SessionOptions;
  readonly #interfaces: Trigger;
  #running: Running | null = null;

  private constructor(given: SessionOptions, external: ExternalInterface, backend: Backend) {
    this.given = given;
    this.external = external;
    this.backend = backend;
    this.#interfaces = new Trigger(given.parts.clock);
  }

  /** Chooses the interface and makes the backend; changes nothing on the host. */
  static async make(given: SessionOptions): Promise<Session> {
    const { parts, network, options } = given;
    const external = await findExternal(given);
    const log = parts.logger.part("backend");
    const backend = parts.makeBackend({
      network,
      external,
      host: parts.host,
      stateDir: options.stateDir,
      log: {
        info: (detail, message) => log.info(message, { detail }),
        warn: (detail, message) => log.warn(message, { detail }),
      },
    });
    return new Session(given, external, backend);
  }

  get overlay(): Overlay | null {
    return this.#running?.overlay ?? null;
  }

  get report(): SessionReport {
    return this.#running?.reconciler.report ?? NOTHING;
  }

  leaseAttrs(previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    return this.backend.leaseAttrs(previous);
  }

  /** Makes the device and programs the first peers; afterwards the kernel path forwards. */
  async start(own: Lease, leases: ReadonlyMap<string, Lease>): Promise<Overlay> {
    const overlay = await this.backend.attach(own);
    const { clock, logger, host } = this.given.parts;
    const { dataplane } = overlay;
    const common = { overlay, clock, logger };
    const wish =
      dataplane === null
        ? null
        : new PlaneWish({ ...common, dataplane, host, choice: this.given.choice }, this.desired);
    const applied = async (table: PeerTable, compared: boolean) => wish?.follow(table, compared);
    const reconciler = new Reconciler({ ...common, applied }, leases);
    const taps =
      dataplane?.encapsulation === "vxlan" ? new TapKeeper({ vni: dataplane.vni, host, clock, logger }) : null;
    this.#running = { overlay, reconciler, wish, taps };
    await reconciler.start();
    return overlay;
  }

  /** The leases of all nodes, which claim different addresses, and the records that make none. */
  update(leases: ReadonlyMap<string, Lease>, quarantined: readonly RefusedPeer[]): void {
    this.#running?.reconciler.update(leases, quarantined);
  }

  /** Until the signal (null), or until the external interface is another than it was: then resolves with the reason. */
  async run(signal: AbortSignal): Promise<string | null> {
    const running = this.#running;
    if (running === null) return null;
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const loops = [
      running.reconciler.run(both),
      running.wish?.run(both),
      running.taps?.run(both),
      this.#watchKernel(running, both),
    ];
    try {
      return await this.#watchInterfaces(both);
    } finally {
      over.abort();
      await Promise.all(loops);
    }
  }

  async #watchKernel(running: Running, signal: AbortSignal): Promise<void> {
    const { parts } = this.given;
    while (!signal.aborted) {
      try {
        // Listens from here on; what happened since the first look, or since a stream broke off, nobody told.
        const heard = parts.host.events(signal);
        this.#notice(running, { kind: "overrun" });
        for await (const events of heard) for (const event of events) this.#hear(running, event);
      } catch (error) {
        this.#overruns++;
        parts.logger.warn("kernel events are interrupted; the periodic comparison goes on", { error });
        await parts.clock.sleep(RETRY_MS, signal);
      }
    }
  }

  /** What the session has done so far, for metrics. */
  get work(): SessionWork {
    return { passes: this.#running?.reconciler.durations.reading ?? null, overruns: this.#overruns };
  }

  #hear(running: Running, event: HostEvent): void {
    if (event.kind === "overrun") this.#overruns++;
    this.#notice(running, event);
  }

  #notice({ overlay, reconciler, wish, taps }: Running, event: HostEvent): void {
    if (this.#concernsInterfaces(event)) this.#interfaces.kick();
    const concern = concernOfOverlay(event, overlay, this.external.name);
    if (concern !== "none") reconciler.distrust(concern === "broken");
    wish?.hear(event);
    taps?.hear(event);
  }

  /** Pods come and go with links of their own, which cannot become the external interface unless a name was asked for. */
  #concernsInterfaces(event: HostEvent): boolean {
    const { iface, ifaceRegex, ifaceCanReach } = this.given.options;
    switch (event.kind) {
      case "link":
        return event.index === this.external.index || iface.length > 0 || ifaceRegex.length > 0;
      case "address":
      case "route":
      case "overrun":
        return true;
      case "policy":
        return ifaceCanReach !== "";
      case "neighbor":
      case "peer":
        return false;
    }
  }

  /** What is gone is waited for: addresses come and go one by one while an interface is reconfigured. */
  async #watchInterfaces(signal: AbortSignal): Promise<string | null> {
    const { clock } = this.given.parts;
    const was = describeExternal(this.external);
    while (!signal.aborted) {
      await this.#interfaces.wait(Number.POSITIVE_INFINITY, signal);
      if (signal.aborted) break;
      const startMs = clock.nowMs();
      const now = await findExternal(this.given).catch(() => null);
      if (now !== null && describeExternal(now) !== was) return `${was} became ${describeExternal(now)}`;
      const [paceMs, costs] = now === null ? [GONE_PACE_MS, GONE_COSTS] : [LOOK_PACE_MS, LOOK_COSTS];
      const tookMs = clock.nowMs() - startMs;
      await clock.sleep(Math.min(Math.max(paceMs, tookMs * costs), LOOK_PACE_MAX_MS), signal);
    }
    return null;
  }
}

/** `broken`: one of our objects is another; `perhaps`: only a look can tell. */
function concernOfOverlay(event: HostEvent, overlay: Overlay, external: string): "none" | "perhaps" | "broken" {
  switch (event.kind) {
    case "link":
      if ([external, overlay.dataplane?.overlayDevice, ...overlay.devices].includes(event.name)) return "broken";
      // One that goes down takes its IPv4 routes with it without a word.
      return overlay.routesOver?.has(event.index) === true ? "broken" : "none";
    case "peer":
      return "broken";
    case "route":
      return overlay.routesOver === null ? "none" : "perhaps";
    case "address":
    case "overrun":
      return "perhaps";
    case "neighbor":
    case "policy":
      return "none";
  }
}

async function findExternal({ parts, options, network }: SessionOptions): Promise<ExternalInterface> {
  const stack = { ipv4: network.enableIpv4, ipv6: network.enableIpv6 };
  return selectExternalInterface(options, stack, await listHost(parts.host, options));
}

function describeExternal({ name, index, mtu, ipv4, ipv6, publicIp, publicIpv6 }: ExternalInterface): string {
  return [name, index, `mtu ${mtu}`, ipv4, ipv6, publicIp, publicIpv6].join(" ");
}
