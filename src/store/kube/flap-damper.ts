// Nodes that change all the time are followed now and then: each has a few changes to spend, and gets one back every second. So
// one node, however it behaves, costs all the others a bounded part of their time. Owned by the Kubernetes store.
import type { Clock } from "../../lib/clock.js";

const CHANGES = 10;
export const CHANGE_BACK_MS = 1_000;

interface Spent {
  /** As of `atMs`; it becomes less by itself. */
  readonly changes: number;
  readonly atMs: number;
}

export class FlapDamper {
  readonly #clock: Clock;
  readonly #spent = new Map<string, Spent>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** May this change of the node be followed now? Otherwise ask again after CHANGE_BACK_MS. */
  admits(name: string): boolean {
    const atMs = this.#clock.nowMs();
    const { changes, atMs: beforeMs } = this.#spent.get(name) ?? { changes: 0, atMs };
    const spent = Math.max(0, changes - (atMs - beforeMs) / CHANGE_BACK_MS);
    if (spent + 1 > CHANGES) return false;
    this.#spent.set(name, { changes: spent + 1, atMs });
    return true;
  }

  forget(name: string): void {
    this.#spent.delete(name);
  }
}
