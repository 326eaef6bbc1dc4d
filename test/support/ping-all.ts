// Pings of which every one has to be answered, however late, in whatever order.
import assert from "node:assert/strict";
import { PingRun } from "../../src/lab/traffic/ping.js";
import type { TestNamespace } from "./network-namespace.js";

const DEADLINE_SECONDS = 30;
const INTERVAL_MS = 20;

export async function pingAll(
  { name }: TestNamespace,
  address: string,
  { count = 20, options = [] }: { readonly count?: number; readonly options?: readonly string[] } = {},
): Promise<void> {
  const way = { from: name, address, intervalMs: INTERVAL_MS, deadlineSeconds: DEADLINE_SECONDS };
  const { received } = await new PingRun({ ...way, count, options }).result();
  assert.equal(received, count, `answers to the first ${count} pings from ${name} to ${address}`);
}
