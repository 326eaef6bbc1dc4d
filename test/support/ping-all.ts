// Pings of which every one has to be answered, however late: without a deadline ping waits for the last answer no longer than for an
// interval or two, which on a busy machine loses nothing but the test.
import assert from "node:assert/strict";
import type { TestNamespace } from "./network-namespace.js";

const DEADLINE_SECONDS = "10";

export async function pingAll(
  { exec }: TestNamespace,
  target: string,
  { count = 20, options = [] }: { readonly count?: number; readonly options?: readonly string[] } = {},
): Promise<void> {
  // It ends well with so many answers, whichever they are.
  const said = await exec("ping", "-n", "-c", `${count}`, "-i", "0.02", "-w", DEADLINE_SECONDS, ...options, target);
  const answered = new Set([...said.matchAll(/icmp_seq=(\d+) /g)].map(([, number]) => Number(number)));
  for (let number = 1; number <= answered.size; number++)
    assert.ok(answered.has(number), `no answer to ping ${number}\n${said}`);
}
