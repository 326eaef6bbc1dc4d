// What the data plane shall carry: the newest table in the flat form, and the devices as they are now. Owned by a session; also
// finds the next hops of the peers, for ports that build their own Ethernet header. The kernel path and the TAP port need none,
// so nothing waits for them.
import { formatIpv4 } from "../addr/ipv4.js";
import type { Overlay } from "../backend/backend.js";
import type { DataPlaneChoice } from "../config/network-config.js";
import { WORKERS_MAX } from "../config/plane-limits.js";
import type { OpenOptions } from "../dataplane/binding.js";
import { sameButVersion } from "../dataplane/codec.js";
import type { PeerTable } from "../dataplane/peer-table.js";
import { TableEncoder } from "../dataplane/table-encoder.js";
import type { Host, HostEvent } from "../host/host.js";
import type { Clock } from "../lib/clock.js";
import type { Latest } from "../lib/latest.js";
import { Trigger } from "../lib/trigger.js";
import type { Logger } from "../observe/logger.js";
import { NextHopBook } from "./next-hops.js";
import { OwnDevice } from "./own-device.js";
import type { DesiredDataplane } from "./supervisor.js";

/** Peers that come together are asked for together; and between two rounds at least so many times what one cost. */
const PACE_MS = 100;
const PACE_COSTS = 20;
/** A device that the data plane makes itself is looked for: that it went may come without a word to us. */
const LOOK_MS = 5_000;

export interface PlaneWishOptions {
  readonly overlay: Overlay;
  readonly dataplane: NonNullable<Overlay["dataplane"]>;
  readonly choice: DataPlaneChoice;
  readonly host: Host;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class PlaneWish {
  readonly #given: PlaneWishOptions;
  readonly #desired: Latest<DesiredDataplane>;
  readonly #options: OpenOptions;
  readonly #encoder = new TableEncoder();
  readonly #hops = new NextHopBook();
  readonly #resolve: Trigger;
  readonly #ownDevice: OwnDevice;
  /** What an earlier life of the agent asked for and nobody needs has been given back. */
  #swept = false;
  #table: PeerTable | null = null;
  #incarnation = "";
  #bytes: Uint8Array = new Uint8Array(0);
  #version = 0n;

  constructor(given: PlaneWishOptions, desired: Latest<DesiredDataplane>) {
    this.#given = given;
    this.#desired = desired;
    this.#options = { ...given.dataplane, ...portsOf(given.choice) };
    this.#resolve = new Trigger(given.clock);
    this.#ownDevice = new OwnDevice(given.clock);
    this.#resolve.kick();
  }

  /** The kernel has this table now. `look`: see which devices there are, too. */
  async follow(table: PeerTable, look: boolean): Promise<void> {
    this.#table = table;
    if (this.#hops.follow(table.peers)) this.#resolve.kick();
    if (look) await this.#look();
    this.#publish();
  }

  hear(event: HostEvent): void {
    if (this.#changesHops(event)) this.#resolve.kick();
  }

  #changesHops(event: HostEvent): boolean {
    switch (event.kind) {
      case "neighbor":
        return this.#hops.neighbor(event.address, event.mac);
      case "link":
        return this.#hops.link(event.name);
      case "route":
      case "policy":
      case "overrun":
        return this.#hops.expire();
      case "address":
      case "peer":
        return false;
    }
  }

  /** Until the signal; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#resolveNextHops(signal), this.#watchDevices(signal)]);
  }

  async #resolveNextHops(signal: AbortSignal): Promise<void> {
    const { overlay, clock, logger } = this.#given;
    while (!signal.aborted) {
      await this.#resolve.wait(Math.max(0, this.#hops.nextDueMs - clock.nowMs()), signal);
      if (signal.aborted) return;
      const startMs = clock.nowMs();
      const due = this.#hops.due(startMs);
      try {
        const found = due.length === 0 ? null : await overlay.nextHops(due, signal);
        if (signal.aborted) return;
        if (found !== null && this.#hops.learn(due, found, clock.nowMs())) this.#publish();
        if (!(await this.#giveBack()) && due.length === 0) continue;
      } catch (error) {
        logger.debug("cannot resolve next hops", { error });
      }
      await clock.sleep(Math.max(PACE_MS, (clock.nowMs() - startMs) * PACE_COSTS), signal);
    }
  }

  /** The kernel would go on asking for a neighbor that no peer is behind any more, for ever. False when there is none. */
  async #giveBack(): Promise<boolean> {
    const left = this.#hops.takeLeft();
    const swept = this.#swept;
    if (swept && left.size === 0) return false;
    this.#swept = false;
    await this.#given.host.releaseNeighbors((address) => (swept ? left.has(address) : !this.#hops.needs(address)));
    this.#swept = true;
    return true;
  }

  async #watchDevices(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#given;
    while (!signal.aborted) {
      await clock.sleep(LOOK_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#look();
        this.#publish();
      } catch (error) {
        logger.debug("cannot look at the devices", { error });
      }
    }
  }

  #publish(): void {
    if (this.#table === null) return;
    const version = this.#version + 1n;
    const fresh = this.#encoder.encode({ ...this.#table, version }, this.#hops.hops, this.#hops.takeTurned());
    const same = sameButVersion(fresh, this.#bytes);
    if (same && this.#desired.current?.incarnation === this.#incarnation) return;
    if (!same) {
      this.#version = version;
      this.#bytes = fresh;
    }
    this.#desired.set({ options: this.#options, incarnation: this.#incarnation, table: this.#bytes });
  }

  /** Names the devices as they are now: a device that was deleted and made again needs new ports and new steering. */
  async #look(): Promise<void> {
    const { encapsulation, underlayDevice, overlayDevice, overlayDeviceV6 } = this.#options;
    const links = await this.#given.host.links();
    const describe = (name: string) => {
      const link = links.find((candidate) => candidate.name === name);
      return link === undefined ? `${name} absent` : `${name} ${link.index} ${link.mtu} ${link.mac ?? ""}`;
    };
    const underlay = describe(underlayDevice);
    if (encapsulation === "vxlan") {
      const overlays = [overlayDevice, overlayDeviceV6].filter((name) => name !== "");
      this.#incarnation = [underlay, ...overlays.map(describe)].join("; ");
      return;
    }
    // The data plane makes this one itself: that it is another after opening is no reason to open again.
    const losses = this.#ownDevice.look(links.some(({ name }) => name === overlayDevice));
    const removed = losses === 0 ? [] : [`${overlayDevice} was removed ${losses} times`];
    this.#incarnation = [underlay, ...this.#boundAddress(), ...removed].join("; ");
  }

  /** The udp format's socket is bound to it. */
  #boundAddress(): readonly string[] {
    const address = this.#table?.local.underlayV4 ?? null;
    return address === null ? [] : [formatIpv4(address)];
  }
}

function portsOf({ overlayPort, underlayPort, disable, workers, cpus, busyPollUs }: DataPlaneChoice) {
  const threads = workers > 0 ? workers : Math.min(Math.max(1, cpus.length), WORKERS_MAX);
  return { overlayPort, underlayPort, disable, workers: threads, cpus, busyPollUs };
}
