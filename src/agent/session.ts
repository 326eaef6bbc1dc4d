// One external interface, one backend, one lease: from making the backend until one of them is no longer true. Then the agent
// begins another session; the overlay device, the kernel's tables and the data plane stay in place between the two.
import type { Backend } from "../backend/backend.js";
import type { DataPlaneChoice, NetworkConfig } from "../config/network-config.js";
import type { AgentOptions } from "../config/options.js";
import type { OpenOptions } from "../dataplane/binding.js";
import { encodePeerTable, withVersion } from "../dataplane/codec.js";
import type { PeerTable } from "../dataplane/peer-table.js";
import { type ExternalInterface, listHost, selectExternalInterface } from "../host/external-interface.js";
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import { Latest } from "../lib/latest.js";
import type { LeaseSnapshot } from "../store/store.js";
import { NextHops } from "./next-hops.js";
import type { AgentParts } from "./parts.js";
import type { DesiredDataplane } from "./supervisor.js";

export interface SessionOptions {
  readonly options: AgentOptions;
  readonly network: NetworkConfig;
  readonly choice: DataPlaneChoice;
  readonly parts: AgentParts;
  /** What our lease said before, whose VTEP MAC is kept. */
  readonly previousAttrs: LeaseAttrs | null;
}

export class Session {
  readonly external: ExternalInterface;
  readonly backend: Backend;
  /** What the data plane shall carry; nothing before the first table, never when the backend cannot be carried. */
  readonly desired = new Latest<DesiredDataplane>();
  readonly #given: SessionOptions;
  readonly #nextHops: NextHops;
  #lease: Lease | null = null;
  #bytes: Uint8Array | null = null;
  #version = 0n;

  private constructor(given: SessionOptions, external: ExternalInterface, backend: Backend) {
    this.#given = given;
    this.external = external;
    this.backend = backend;
    this.#nextHops = new NextHops(given.parts.host, given.parts.clock);
  }

  /** Chooses the interface and makes the backend; changes nothing on the host. */
  static async make(given: SessionOptions): Promise<Session> {
    const { parts, network, options, previousAttrs } = given;
    const external = await findExternal(given);
    const log = parts.logger.part("backend");
    const backend = await parts.makeBackend({
      config: network,
      external,
      host: parts.host,
      stateDir: options.stateDir,
      clock: parts.clock,
      previousAttrs,
      log: {
        info: (fields, message) => log.info(message, { detail: fields }),
        warn: (fields, message) => log.warn(message, { detail: fields }),
      },
    });
    return new Session(given, external, backend);
  }

  get lease(): Lease | null {
    return this.#lease;
  }

  get table(): PeerTable | undefined {
    return this.backend.tables.current;
  }

  /** Makes the device and the first peers; afterwards the kernel path forwards. */
  async start(lease: Lease, snapshot: LeaseSnapshot): Promise<void> {
    this.#lease = lease;
    await this.backend.start(lease);
    this.backend.update(snapshot);
    await this.backend.reconcile();
    await this.#want();
  }

  update(snapshot: LeaseSnapshot): void {
    this.backend.update(snapshot);
  }

  /** Until the signal, or until the external interface is another than it was: then resolves with the reason. */
  async run(signal: AbortSignal): Promise<string | null> {
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    try {
      return await Promise.race([this.#watchExternal(both), this.#followTables(both), this.#followNextHops(both)]);
    } finally {
      over.abort();
    }
  }

  async close(): Promise<void> {
    await this.backend.close();
  }

  async #followTables(signal: AbortSignal): Promise<null> {
    for await (const _ of this.backend.tables.follow(signal)) await this.#want();
    return null;
  }

  async #followNextHops(signal: AbortSignal): Promise<null> {
    for await (const _ of this.#nextHops.changes(signal)) await this.#want();
    return null;
  }

  /** Reads everything after its one wait, so that of several calls under way none can put back an older state. */
  async #want(): Promise<void> {
    const { dataplane } = this.backend;
    if (dataplane === null) return;
    const options = { ...dataplane, ...portsOf(this.#given.choice) };
    const incarnation = await this.#incarnation(options);
    const table = this.backend.tables.current;
    if (table === undefined) return;
    this.#nextHops.follow(table);
    const bytes = encodePeerTable({ ...table, version: 0n }, this.#nextHops.current);
    const before = this.desired.current;
    const sameBytes = this.#bytes !== null && Buffer.compare(bytes, this.#bytes) === 0;
    if (before !== undefined && sameBytes && before.incarnation === incarnation) return;
    if (!sameBytes) this.#version++;
    this.#bytes = bytes;
    const unchanged = sameBytes ? (before?.table ?? null) : null;
    this.desired.set({ options, incarnation, table: unchanged ?? withVersion(bytes, this.#version) });
  }

  /** Names the devices as they are now: a device that was deleted and made again needs new ports and new steering. */
  async #incarnation({ underlayDevice, overlayDevice }: OpenOptions): Promise<string> {
    const links = await this.#given.parts.host.links();
    const describe = (name: string) => {
      const link = links.find((candidate) => candidate.name === name);
      return link === undefined ? `${name} absent` : `${name} ${link.index} ${link.mtu} ${link.mac ?? ""}`;
    };
    return `${describe(underlayDevice)}; ${describe(overlayDevice)}`;
  }

  /** Addresses come and go one by one while an interface is reconfigured, so what is gone is waited for, not given up. */
  async #watchExternal(signal: AbortSignal): Promise<string | null> {
    const { parts } = this.#given;
    const was = describeExternal(this.external);
    while (!signal.aborted) {
      try {
        for await (const { kind } of parts.host.events(signal)) {
          if (kind === "neighbor") continue;
          if (kind !== "route") await this.#want();
          const now = await findExternal(this.#given).catch(() => null);
          if (now !== null && describeExternal(now) !== was) return `${was} became ${describeExternal(now)}`;
        }
      } catch (error) {
        parts.logger.warn("kernel events are interrupted", { error });
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

function describeExternal({ link, ipv4, ipv6, publicIp, publicIpv6 }: ExternalInterface): string {
  return [link.name, link.index, `mtu ${link.mtu}`, ipv4, ipv6, publicIp, publicIpv6].join(" ");
}

function portsOf(choice: DataPlaneChoice) {
  return {
    overlayPort: choice.overlayPort,
    underlayPort: choice.underlayPort,
    disable: choice.disable,
    checksumV4: false,
    workers: Math.max(1, choice.workers),
    busyPollUs: choice.busyPollUs,
  };
}
