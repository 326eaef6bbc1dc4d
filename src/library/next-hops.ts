// Where frames to the peers have to go next on the underlay, for underlays that write the Ethernet header themselves. The kernel
// is asked (routes, neighbors), again after a while, and tells the overlay when an answer is another one. Owner: an overlay.
import type { NextHop } from "../dataplane/peer-table.js";
import type { UnderlayAddress } from "../host/host.js";
import { Netlink } from "../host/netlink.js";
import { resolveNextHops } from "../host/next-hop.js";
import { formatUnderlay } from "../host/text.js";
import { systemClock } from "../lib/clock.js";
import { addon } from "./addon.js";

/** Between two questions for the same peers. */
const REFRESH_MS = 5_000;
/** A peer that is not found is asked for sooner, less and less. */
const RETRY_MIN_MS = 100;
/** What a peer table takes. */
const PATH_MTU_MIN = 552;

export class NextHops {
  readonly #device: string;
  readonly #onChange: (changed: boolean) => boolean;
  #wanted = new Map<string, UnderlayAddress>();
  readonly #hops = new Map<string, NextHop>();
  #asking: Promise<void> | null = null;
  #again = false;
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #closing = new AbortController();

  /** `onChange`: called after each answer; false: nobody is interested any more. Only ways through `device` count. */
  constructor(device: string, onChange: (changed: boolean) => boolean) {
    this.#device = device;
    this.#onChange = onChange;
  }

  /** The addresses that are peers now. */
  follow(addresses: readonly UnderlayAddress[]): void {
    this.#wanted = new Map(addresses.map((address) => [formatUnderlay(address), address]));
    this.#failures = 0;
    for (const name of this.#hops.keys()) if (!this.#wanted.has(name)) this.#hops.delete(name);
    this.#ask();
  }

  hop(address: UnderlayAddress): NextHop | null {
    return this.#hops.get(formatUnderlay(address)) ?? null;
  }

  /** Peers without a next hop. */
  get unresolved(): readonly string[] {
    return [...this.#wanted.keys()].filter((name) => !this.#hops.has(name));
  }

  /** Resolves when everything that follow() has named was asked for. */
  async settled(): Promise<void> {
    while (this.#asking !== null) await this.#asking;
  }

  close(): void {
    this.#closing.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #ask(): void {
    if (this.#asking !== null) {
      this.#again = true;
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#asking = this.#askAll().finally(() => {
      this.#asking = null;
      if (this.#closing.signal.aborted) return;
      if (this.#again) {
        this.#again = false;
        this.#ask();
        return;
      }
      this.#failures = this.unresolved.length === 0 ? 0 : this.#failures + 1;
      const pause = this.#failures === 0 ? REFRESH_MS : Math.min(REFRESH_MS, RETRY_MIN_MS * 2 ** this.#failures);
      this.#timer = setTimeout(() => this.#ask(), pause);
      this.#timer.unref();
    });
  }

  /** Tells the owner, who may be gone. A kernel that does not answer leaves what is known as it is: the next question comes. */
  async #askAll(): Promise<void> {
    const wanted = [...this.#wanted];
    if (wanted.length === 0) return;
    let changed = false;
    try {
      const netlink = Netlink.open({ binding: addon().netlink });
      try {
        const found = await resolveNextHops(
          netlink,
          wanted.map(([, address]) => address),
          systemClock,
          this.#closing.signal,
        );
        if (this.#closing.signal.aborted) return;
        for (const [index, [name]] of wanted.entries()) {
          const hop = found[index] ?? null;
          const usable = hop !== null && hop.device === this.#device && hop.mtu >= PATH_MTU_MIN;
          const next = usable && hop.mac !== null ? { mac: hop.mac, pathMtu: hop.mtu } : null;
          changed = this.#learn(name, next) || changed;
        }
      } finally {
        netlink.close();
      }
    } catch {
      // What is known stays; the next question comes.
    }
    if (!this.#closing.signal.aborted && !this.#onChange(changed)) this.close();
  }

  #learn(name: string, hop: NextHop | null): boolean {
    if (!this.#wanted.has(name)) return false;
    const before = this.#hops.get(name);
    if (hop === null) return this.#hops.delete(name);
    this.#hops.set(name, hop);
    return before?.mac !== hop.mac || before.pathMtu !== hop.pathMtu;
  }
}
