// One external interface, one backend, one lease: from making the backend until one of them is no longer true. Then the agent
// begins another session; the overlay device, the kernel's tables and the data plane stay in place between the two. One loop
// compares and corrects; leases, kernel events and time only say when. Never two passes at once.
import type { Backend, Overlay, RefusedPeer } from "../backend/backend.js";
import type { DataPlaneChoice, NetworkConfig } from "../config/network-config.js";
import type { AgentOptions } from "../config/options.js";
import type { OpenOptions } from "../dataplane/binding.js";
import { encodePeerTable, withVersion } from "../dataplane/codec.js";
import type { NextHop, PeerTable } from "../dataplane/peer-table.js";
import { type ExternalInterface, listHost, selectExternalInterface } from "../host/external-interface.js";
import type { HostFailure, ReconcileReport } from "../host/host.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { Latest } from "../lib/latest.js";
import { Trigger } from "../lib/trigger.js";
import { OwnDevice } from "./own-device.js";
import type { AgentParts } from "./parts.js";
import type { DesiredDataplane } from "./supervisor.js";

/** A burst of kernel events costs one pass. */
const DEBOUNCE_MS = 50;
/** Everything is compared at least this often. */
const PERIOD_MS = 10_000;
/** Next hops are asked for again: what the kernel learns elsewhere changes without a word to us. */
const NEXT_HOP_MS = 5_000;

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
  readonly failures: readonly HostFailure[];
  /** Why the last pass failed as a whole; null when it did not. */
  readonly error: string | null;
}

export class Session {
  readonly external: ExternalInterface;
  readonly backend: Backend;
  /** What the data plane shall carry; nothing before the first table, never when the backend cannot be carried. */
  readonly desired = new Latest<DesiredDataplane>();
  report: SessionReport = { table: null, refused: [], failures: [], error: null };
  readonly #given: SessionOptions;
  readonly #kernel: Trigger;
  readonly #resolve: Trigger;
  #overlay: Overlay | null = null;
  #leases: ReadonlyMap<string, Lease> = new Map();
  #nextHops: ReadonlyMap<number, NextHop> = new Map();
  #bytes = Buffer.alloc(0);
  #version = 0n;
  readonly #ownDevice: OwnDevice;

  private constructor(given: SessionOptions, external: ExternalInterface, backend: Backend) {
    this.#given = given;
    this.external = external;
    this.backend = backend;
    this.#kernel = new Trigger(given.parts.clock);
    this.#resolve = new Trigger(given.parts.clock);
    this.#ownDevice = new OwnDevice(given.parts.clock);
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
    return this.#overlay;
  }

  leaseAttrs(previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    return this.backend.leaseAttrs(previous);
  }

  /** Makes the device and programs the first peers; afterwards the kernel path forwards. */
  async start(own: Lease, leases: ReadonlyMap<string, Lease>): Promise<Overlay> {
    this.#leases = leases;
    this.#overlay = await this.backend.attach(own);
    await this.#pass(this.#overlay);
    return this.#overlay;
  }

  /** The leases of all nodes, ours included. */
  update(leases: ReadonlyMap<string, Lease>): void {
    this.#leases = leases;
    this.#kernel.kick();
  }

  /** Until the signal (null), or until the external interface is another than it was: then resolves with the reason. */
  async run(signal: AbortSignal): Promise<string | null> {
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const loops = [this.#reconcile(both), this.#resolveNextHops(both)];
    try {
      return await this.#watchHost(both);
    } finally {
      over.abort();
      await Promise.all(loops);
    }
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#given.parts;
    while (!signal.aborted) {
      await this.#kernel.wait(PERIOD_MS, signal);
      if (signal.aborted || this.#overlay === null) return;
      try {
        await this.#pass(this.#overlay);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== this.report.error) logger.warn("cannot program the host; trying again", { error });
        this.report = { ...this.report, error: reason };
        await clock.sleep(1_000, signal);
        this.#kernel.kick();
      }
      await clock.sleep(DEBOUNCE_MS, signal);
    }
  }

  async #pass(overlay: Overlay): Promise<void> {
    const { table, refused } = await overlay.peers(this.#leases, 0n);
    const report = await overlay.reconcile(table);
    this.#tell(refused, report);
    this.report = { table, refused, failures: report.failures, error: null };
    await this.#want(overlay);
    this.#resolve.kick();
  }

  #tell(refused: readonly RefusedPeer[], { changes, failures }: ReconcileReport): void {
    const { logger } = this.#given.parts;
    const examples = changes.slice(0, 5).map(({ object, action }) => `${action} ${object}`);
    if (changes.length > 0) logger.info("programmed the host", { changes: changes.length, detail: examples });
    for (const item of news(refused, this.report.refused)) {
      logger.warn("a lease cannot be used", { key: item.key, reason: item.reason });
    }
    for (const item of news(failures, this.report.failures)) {
      logger.warn("a kernel object cannot be made", { detail: item.object, reason: item.message });
    }
  }

  /** Reads everything after its one wait, so that of several calls under way none can put back an older state. */
  async #want(overlay: Overlay): Promise<void> {
    if (overlay.dataplane === null) return;
    const options = { ...overlay.dataplane, ...portsOf(this.#given.choice) };
    const incarnation = await this.#incarnation(options);
    const { table } = this.report;
    if (table === null) return;
    const bytes = Buffer.from(encodePeerTable(table, this.#nextHops));
    const before = this.desired.current;
    const sameBytes = bytes.equals(this.#bytes);
    if (before !== undefined && sameBytes && before.incarnation === incarnation) return;
    if (!sameBytes) this.#version++;
    this.#bytes = bytes;
    const kept = sameBytes ? before?.table : null;
    this.desired.set({ options, incarnation, table: kept ?? withVersion(bytes, this.#version) });
  }

  /** Names the devices as they are now: a device that was deleted and made again needs new ports and new steering. */
  async #incarnation({ encapsulation, underlayDevice, overlayDevice }: OpenOptions): Promise<string> {
    const links = await this.#given.parts.host.links();
    const describe = (name: string) => {
      const link = links.find((candidate) => candidate.name === name);
      return link === undefined ? `${name} absent` : `${name} ${link.index} ${link.mtu} ${link.mac ?? ""}`;
    };
    const underlay = describe(underlayDevice);
    if (encapsulation === "vxlan") return `${underlay}; ${describe(overlayDevice)}`;
    // The data plane makes this one itself: that it is another after opening is no reason to open again.
    const losses = this.#ownDevice.look(links.some(({ name }) => name === overlayDevice));
    return losses === 0 ? underlay : `${underlay}; ${overlayDevice} was removed ${losses} times`;
  }

  /** For ports that build their own Ethernet header; the kernel path and the TAP port need none, so nothing waits for it. */
  async #resolveNextHops(signal: AbortSignal): Promise<void> {
    const { logger } = this.#given.parts;
    while (!signal.aborted) {
      await this.#resolve.wait(NEXT_HOP_MS, signal);
      const { table } = this.report;
      if (signal.aborted || table === null || this.#overlay?.dataplane == null) continue;
      try {
        this.#nextHops = await this.#overlay.nextHops(table);
        await this.#want(this.#overlay);
      } catch (error) {
        logger.debug("cannot resolve next hops", { error });
      }
    }
  }

  /** What is gone is waited for: addresses come and go one by one while an interface is reconfigured. */
  async #watchHost(signal: AbortSignal): Promise<string | null> {
    const { parts } = this.#given;
    const was = describeExternal(this.external);
    while (!signal.aborted) {
      try {
        for await (const { kind } of parts.host.events(signal)) {
          this.#kernel.kick();
          if (kind === "neighbor") continue;
          const now = await findExternal(this.#given).catch(() => null);
          if (now !== null && describeExternal(now) !== was) return `${was} became ${describeExternal(now)}`;
        }
      } catch (error) {
        parts.logger.warn("kernel events are interrupted; the periodic comparison goes on", { error });
        await parts.clock.sleep(1_000, signal);
      }
    }
    return null;
  }
}

async function findExternal({ parts, options, network }: SessionOptions): Promise<ExternalInterface> {
  const stack = { ipv4: network.enableIpv4, ipv6: network.enableIpv6 };
  return selectExternalInterface(options, stack, await listHost(parts.host, options));
}

function describeExternal({ name, index, mtu, ipv4, ipv6, publicIp, publicIpv6 }: ExternalInterface): string {
  return [name, index, `mtu ${mtu}`, ipv4, ipv6, publicIp, publicIpv6].join(" ");
}

function portsOf({ overlayPort, underlayPort, disable, workers, busyPollUs }: DataPlaneChoice) {
  return { overlayPort, underlayPort, disable, workers: Math.max(1, workers), busyPollUs };
}

/** What was not there before. */
function news<T>(now: readonly T[], before: readonly T[]): readonly T[] {
  const known = new Set(before.map((item) => JSON.stringify(item)));
  return now.filter((item) => !known.has(JSON.stringify(item)));
}
