// One random schedule of everything that happens to a lease store, run against a subnet manager and compared with what the
// store holds. Returns the first thing that was wrong, with the steps that led to it.
import { decodeLeaseAttrs, decodeSubnetKey } from "../../src/lease/codec.js";
import { settleClaims } from "../../src/lease/claims.js";
import { sameLease } from "../../src/lease/differ.js";
import type { Lease } from "../../src/lease/lease.js";
import { parseNetworkConfig } from "../../src/config/network-config.js";
import { EtcdStore } from "../../src/store/etcd/etcd-store.js";
import { SubnetManager } from "../../src/subnet/manager.js";
import type { PeerSnapshot } from "../../src/subnet/peer-view.js";
import { FakeEtcd } from "./fake-etcd.js";
import { vxlanAttrs } from "./lease-builder.js";
import { ManualClock } from "./manual-clock.js";
import { SeededRandom } from "./random.js";

const PREFIX = "/net/subnets/";
const OWN_ADDRESS = "192.0.2.1";
const RANGES = parseNetworkConfig('{"Network":"10.1.0.0/16","Backend":{"Type":"vxlan"}}');
/** Longer than the hold-down and than the longest time to a full list. */
const QUIET_MS = 500_000;
const value = (address: string) => `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan"}`;

export class LeaseSchedule {
  readonly #random: SeededRandom;
  readonly #etcd = new FakeEtcd();
  readonly #clock = new ManualClock();
  readonly #stop = new AbortController();
  readonly #steps: string[] = [];
  readonly #steady: string[] = [];
  readonly #problems: string[] = [];
  #shown: PeerSnapshot | null = null;
  #ownKey = "";

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** Null when all was well. */
  async run(steps: number): Promise<string | null> {
    for (let i = 0; i < 4; i++) {
      this.#steady.push(`10.1.${240 + i}.0-24`);
      this.#etcd.put(`${PREFIX}10.1.${240 + i}.0-24`, value(`192.0.2.${240 + i}`));
    }
    const store = new EtcdStore({
      transport: this.#etcd,
      prefix: "/net",
      clock: this.#clock,
      random: this.#random.next,
    });
    const manager = new SubnetManager({
      store,
      ranges: RANGES,
      previous: null,
      renewMarginMs: 3_600_000,
      clock: this.#clock,
      random: this.#random.next,
    });
    this.#etcd.onSwap = (before) => {
      if (before !== undefined && !before.value.includes(`"${OWN_ADDRESS}"`))
        this.#problems.push(`overwrote ${before.key} ${before.value}`);
    };
    const attrs = vxlanAttrs(OWN_ADDRESS);
    this.#ownKey = (await manager.acquire(attrs, () => Promise.resolve(attrs), this.#stop.signal)).key;
    const backup = this.#etcd.backup();
    const running = [manager.run(this.#stop.signal), this.#follow(manager)];
    await this.#settle();
    for (let i = 0; i < steps; i++) {
      this.#step(backup);
      for (let ticks = this.#random.below(3); ticks > 0; ticks--) await tick();
    }
    this.#etcd.heal();
    for (let passed = 0; passed < QUIET_MS; passed += 10_000) {
      this.#clock.advance(10_000);
      await this.#settle();
    }
    this.#compare();
    this.#stop.abort();
    await Promise.all([...running, store.close()]);
    return this.#problems.length === 0 ? null : `${this.#problems[0]}\nafter: ${this.#steps.join("; ")}`;
  }

  async #follow(manager: SubnetManager): Promise<void> {
    for await (const snapshot of manager.peers(this.#stop.signal)) {
      this.#shown = snapshot;
      const missing = this.#steady.filter((key) => !snapshot.peers.has(PREFIX + key));
      if (missing.length > 0) this.#problems.push(`withdrew ${missing.join()}, which the store never lost`);
    }
  }

  #step(backup: ReturnType<FakeEtcd["backup"]>): void {
    const etcd = this.#etcd;
    const peer = `10.1.${200 + this.#random.below(8)}.0-24`;
    const steps: Record<string, () => void> = {
      [`put ${peer}`]: () => etcd.put(PREFIX + peer, value(`192.0.2.${100 + this.#random.below(50)}`)),
      [`delete ${peer}`]: () => etcd.delete(PREFIX + peer),
      [`garbage ${peer}`]: () => etcd.put(PREFIX + peer, this.#random.pick(["", "garbage", "{}", '{"PublicIP":1}'])),
      "garbage key": () =>
        etcd.put(`${PREFIX}${this.#random.pick(["x", "10.1.2.0", "10.1.2.3-24"])}`, value("192.0.2.9")),
      "rival claim": () => etcd.put(`${PREFIX}10.1.200.0-22`, value("192.0.2.99")),
      "rival gone": () => etcd.delete(`${PREFIX}10.1.200.0-22`),
      "delete own": () => etcd.delete(this.#ownKey),
      "foreign own": () => etcd.put(this.#ownKey, value("192.0.2.66")),
      "drop streams": () => etcd.dropStreams(),
      compact: () => etcd.compact(),
      "fail calls": () => etcd.failNext(1 + this.#random.below(4)),
      "lose an answer": () => etcd.loseAnswers(1),
      down: () => {
        etcd.down = true;
        etcd.dropStreams();
      },
      up: () => etcd.heal(),
      silent: () => {
        etcd.silent = true;
      },
      restore: () => etcd.restore(backup),
      wait: () => this.#clock.advance(this.#random.pick([1, 20, 300, 5_000, 30_000])),
    };
    const name = this.#random.pick([...Object.keys(steps), "wait", "wait", "wait"]);
    this.#steps.push(name);
    steps[name]?.();
  }

  /** When quiet: the peers are exactly what the store holds, and our own record is there unless it was taken. */
  #compare(): void {
    const readable = new Map<string, Lease>();
    const unreadable = new Set<string>();
    for (const record of this.#etcd.records.values()) {
      const subnets = decodeSubnetKey(record.key.slice(PREFIX.length));
      const attrs = decodeLeaseAttrs(record.value);
      if (!subnets.ok || !attrs.ok) unreadable.add(record.key);
      else readable.set(record.key, { ...record, ...subnets.value, attrs: attrs.value, expiresAt: null });
    }
    const expected = new Map(settleClaims(readable).leases);
    expected.delete(this.#ownKey);
    const actual = new Map([...(this.#shown?.peers ?? [])].filter(([key]) => !unreadable.has(key)));
    for (const [key, lease] of expected) {
      const shown = actual.get(key);
      if (shown === undefined || !sameLease(shown, lease))
        this.#problems.push(`${key} is in the store and ${shown === undefined ? "not shown" : "shown differently"}`);
    }
    for (const key of actual.keys())
      if (!expected.has(key)) this.#problems.push(`${key} is shown and not in the store`);
    if (!this.#etcd.records.has(this.#ownKey)) this.#problems.push("our own record was not restored");
  }

  async #settle(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      for (let ticks = 0; ticks < 4; ticks++) await tick();
      this.#clock.advance(20);
    }
    await tick();
  }
}

/** Lets everything that is ready run. */
function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
