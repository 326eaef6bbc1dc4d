// What somebody wrote for this node, as the agent follows it: which addresses count, and that each problem is told once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIpv4, parseIpv4 } from "../../../src/addr/ipv4.js";
import { followNodeAddresses } from "../../../src/agent/node-assignment.js";
import type { NodeAddresses } from "../../../src/store/store.js";

test("what somebody wrote is followed, and what cannot be used is told once", async () => {
  const own = { publicIp: parseIpv4("192.0.2.1"), publicIpv6: null } as never;
  const written = (text: string | null, ...problems: string[]): NodeAddresses => ({
    publicIp: text === null ? null : parseIpv4(text),
    publicIpv6: null,
    problems,
  });
  const steps = [
    written(null),
    written("192.0.2.7", "bad"),
    written("192.0.2.7", "bad", "worse"),
    written(null),
    written(null, "bad"),
  ];
  const assignment = {
    watchAddresses: async function* () {
      yield* steps;
    },
  };
  const warnings: string[] = [];
  const logger = { warn: (_: string, { reason }: { reason: string }) => warnings.push(reason) };
  let current: { publicIp: ReturnType<typeof parseIpv4>; publicIpv6: null } = own;
  const changes: string[] = [];
  const changed = (options: typeof current) => {
    current = options;
    changes.push(options.publicIp === null ? "none" : formatIpv4(options.publicIp));
  };
  await followNodeAddresses(
    own,
    () => current as never,
    { store: { assignment }, logger } as never,
    changed as never,
    new AbortController().signal,
  );
  assert.deepEqual(changes, ["192.0.2.7", "192.0.2.1"]);
  assert.deepEqual(warnings, ["bad", "worse", "bad"]);
});
