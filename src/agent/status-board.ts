// Collects what the parts of an agent say of themselves into one status, made when somebody asks. Owned by the agent; reads
// memory only, so that a hung store or data plane cannot delay the answer.
import { formatIpv4 } from "../addr/ipv4.js";
import { formatIpv6 } from "../addr/ipv6.js";
import { formatPrefix } from "../addr/prefix.js";
import { sendInspection } from "../dataplane/inspection-wire.js";
import type { Peer } from "../dataplane/peer-table.js";
import type { Lease } from "../lease/lease.js";
import { systemClock } from "../lib/clock.js";
import { addReadings } from "../lib/histogram.js";
import { ripstopVersion } from "../lib/version.js";
import type { StoreHealth } from "../store/store.js";
import type { GuardStatus } from "./guard-keeper.js";
import type { Session, SessionWork } from "./session.js";
import type { AgentOverview, AgentStatus, Condition, ConfigStatus, PeerStatus } from "./status.js";
import type { Supervisor } from "./supervisor.js";

export interface StatusSources {
  readonly storeKind: string;
  readonly storeHealth: () => StoreHealth;
  readonly subnetFile: string;
}

const NO_WORK: SessionWork = { passes: null, overruns: 0 };

export class StatusBoard {
  readonly #sources: StatusSources;
  readonly #startedAt = new Date().toISOString();
  #condition: Extract<Condition, "starting" | "stopping"> | "running" = "starting";
  #session: Session | null = null;
  #mode: AgentStatus["dataplane"]["mode"] = "auto";
  #dataplane: Pick<Supervisor, "state" | "heard"> | null = null;
  #earlier: SessionWork = NO_WORK;
  #own: () => Lease | null = () => null;
  #guard: () => GuardStatus | null = () => null;
  #filterProblem: string | null = null;
  #fromSnapshot = false;
  #config: ConfigStatus = { restartFor: [], refused: null };

  constructor(sources: StatusSources) {
    this.#sources = sources;
  }

  /** True from the moment subnet.env has been written. */
  get isReady(): boolean {
    return this.#condition === "running";
  }

  ready(): void {
    this.#condition = "running";
  }

  stopping(): void {
    this.#condition = "stopping";
  }

  session(session: Session): void {
    this.#earlier = this.work;
    this.#session = session;
  }

  /** Over all sessions. */
  get work(): SessionWork {
    const now = this.#session?.work ?? NO_WORK;
    const { passes, overruns } = this.#earlier;
    const all = passes === null || now.passes === null ? (passes ?? now.passes) : addReadings(passes, now.passes);
    return { passes: all, overruns: overruns + now.overruns };
  }

  dataplane(mode: AgentStatus["dataplane"]["mode"], supervisor: Pick<Supervisor, "state" | "heard"> | null): void {
    this.#mode = mode;
    this.#dataplane = supervisor;
  }

  /** How to learn what lease this node holds now. */
  lease(own: () => Lease | null): void {
    this.#own = own;
  }

  guard(status: () => GuardStatus | null): void {
    this.#guard = status;
  }

  /** Why the rules for masquerading and forwarding cannot be made; null: they are there, or not wanted. */
  packetFilter(problem: string | null): void {
    this.#filterProblem = problem;
  }

  /** When our lease runs out, on the monotonic clock; null: never, or nobody knows. */
  get leaseExpiresAtMs(): number | null {
    const at = this.#own()?.expiresAt ?? null;
    return at === Number.POSITIVE_INFINITY ? null : at;
  }

  /** The node works from what it remembers, because the store has not answered since the start. */
  fromSnapshot(): void {
    this.#fromSnapshot = true;
  }

  config(config: ConfigStatus): void {
    this.#config = config;
  }

  status(): AgentStatus {
    const { peerCount: _, ...overview } = this.overview();
    return { ...overview, peers: this.#session?.report.table?.peers.map(describePeer) ?? [] };
  }

  /** What the last pass over the kernel's objects left; null before the first session. */
  get report(): object | null {
    return this.#session?.report ?? null;
  }

  overview(): AgentOverview {
    const { storeKind, storeHealth } = this.#sources;
    const store = storeHealth();
    const report = this.#session?.report;
    const dataplane = this.#dataplaneStatus();
    const { restartFor, refused } = this.#config;
    const guard = this.#guard();
    const reasons = [
      ...(this.#fromSnapshot && store.lastSyncAgeMs === null
        ? ["the store is away; the peers are those this node remembers"]
        : []),
      ...(store.connected ? [] : [`the ${storeKind} store is not connected: ${store.detail}`]),
      ...(refused === null ? [] : [`the new network configuration is refused, the one before stays: ${refused}`]),
      ...(restartFor.length === 0
        ? []
        : [`the network configuration changed; restart the agent to apply ${restartFor.join(", ")}`]),
      ...(dataplane.phase === "running" || dataplane.phase === "off"
        ? []
        : [`no user-space data plane: ${dataplane.reason ?? dataplane.phase}`]),
      ...(dataplane.phase === "running" && dataplane.reason !== null ? [dataplane.reason] : []),
      ...(report?.error == null ? [] : [`the kernel cannot be programmed: ${report.error}`]),
      ...(this.#filterProblem === null ? [] : [`the packet-filter rules cannot be made: ${this.#filterProblem}`]),
      ...(guard?.problem == null ? [] : [`pods are not kept from the overlay's port: ${guard.problem}`]),
      ...((report?.failures.length ?? 0) > 0 ? [`${report?.failures.length} kernel objects cannot be made`] : []),
      ...((report?.contested.length ?? 0) > 0
        ? [`${report?.contested.length} leases claim a VTEP MAC that another one has`]
        : []),
      ...((report?.refused.length ?? 0) > 0 ? [`${report?.refused.length} leases cannot be used`] : []),
    ];
    const running = reasons.length === 0 ? "ok" : "degraded";
    return {
      version: ripstopVersion(),
      pid: process.pid,
      startedAt: this.#startedAt,
      condition: this.#condition === "running" ? running : this.#condition,
      reasons,
      store: { kind: storeKind, ...store },
      network: this.#networkStatus(),
      dataplane,
      guard,
      config: this.#config,
      leaseExpiresInMs: this.leaseExpiresAtMs === null ? null : Math.round(this.leaseExpiresAtMs - systemClock.nowMs()),
      peerCount: report?.table?.peers.length ?? 0,
      refused: [...(report?.refused ?? [])],
      contested: [...(report?.contested ?? [])],
      kernelFailures: report?.failures.map(({ object, message }) => ({ object, message })) ?? [],
    };
  }

  #dataplaneStatus(): AgentStatus["dataplane"] {
    const state = this.#dataplane?.state.current;
    if (state === undefined) {
      return { mode: this.#mode, phase: "off", reason: null, pid: null, version: null, restarts: 0, heard: null };
    }
    const { phase, reason, pid, version, restarts } = state;
    const last = this.#dataplane?.heard ?? null;
    const heard = last === null ? null : { ageMs: last.ageMs, inspection: sendInspection(last.inspection) };
    return { mode: this.#mode, phase, reason, pid, version, restarts, heard };
  }

  #networkStatus(): AgentStatus["network"] {
    const overlay = this.#session?.overlay;
    if (overlay == null || this.#session === null) return null;
    const { external, backend } = this.#session;
    const { subnet, ipv6Subnet } = overlay.own;
    return {
      backend: backend.type,
      subnet: subnet === null ? null : formatPrefix(subnet),
      ipv6Subnet: ipv6Subnet === null ? null : formatPrefix(ipv6Subnet),
      externalInterface: external.name,
      publicIp: external.publicIp === null ? null : formatIpv4(external.publicIp),
      publicIpv6: external.publicIpv6 === null ? null : formatIpv6(external.publicIpv6),
      devices: [...overlay.devices],
      mtu: overlay.mtu,
      subnetFile: this.#sources.subnetFile,
    };
  }
}

function describePeer({ id, leaseKey, prefix, underlay, vtepMac, alias, direct }: Peer): PeerStatus {
  const publicIp = underlay.family === 4 ? formatIpv4(underlay.address) : formatIpv6(underlay.address);
  return {
    id,
    lease: leaseKey,
    prefix: formatPrefix(prefix),
    publicIp,
    vtepMac,
    direct,
    ...(alias === undefined ? {} : { alias }),
  };
}
