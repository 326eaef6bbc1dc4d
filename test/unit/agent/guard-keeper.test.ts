// Which table there is as sessions come and go, and what is said where it cannot be made. nft is a stand-in that remembers tables.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import { parsePrefix4 } from "../../../src/addr/prefix.js";
import { GuardKeeper } from "../../../src/agent/guard-keeper.js";
import type { Session } from "../../../src/agent/session.js";
import type { CommandRunner } from "../../../src/host/command.js";
import { TunnelGuard } from "../../../src/host/tunnel-guard.js";
import { RipstopError } from "../../../src/lib/errors.js";
import type { Logger } from "../../../src/observe/logger.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

const NOWHERE = { name: "eth0", publicIp: null, ipv6: null, publicIpv6: null };
const NETWORK = parsePrefix4("10.244.0.0/16") ?? assert.fail();

function sessionOf(device: string | null, underlay = "192.0.2.1"): Session {
  const tunnel = { encapsulation: "vxlan", vni: 1, port: 8472, overlayDevice: device, overlayDeviceV6: "" };
  const own = { subnet: parsePrefix4("10.244.1.0/24"), ipv6Subnet: null };
  return {
    overlay: { tunnel: device === null ? null : tunnel, own },
    external: { ...NOWHERE, ipv4: parseIpv4(underlay) },
  } as never;
}

function makeKeeper() {
  const tables = new Map<string, string>();
  const warnings: string[] = [];
  const state = { installed: true, runs: 0 };
  const run: CommandRunner = async (argv, { input = "" } = {}) => {
    state.runs++;
    if (!state.installed) throw new RipstopError("COMMAND_MISSING", "cannot run nft; install it");
    const name = argv.slice(-2).join(" ");
    if (argv.includes("list")) return { code: tables.has(name) ? 0 : 1, stdout: tables.get(name) ?? "", stderr: "" };
    const [, made = ""] = /^delete table (.+)$/m.exec(input) ?? [];
    if (/^table /m.test(input)) tables.set(made, input);
    else tables.delete(made);
    return { code: 0, stdout: "", stderr: "" };
  };
  const logger = { info: () => undefined, warn: (text: string) => warnings.push(text), part: () => logger };
  const clock = new ManualClock();
  const makeTunnelGuard = (device: string) => new TunnelGuard(device, run);
  const parts = { makeTunnelGuard, clock, logger: logger as unknown as Logger };
  return { keeper: new GuardKeeper(parts, 1_000), tables, warnings, state, clock };
}

test("the table follows the session's overlay, and goes with an overlay that has no port", async () => {
  const { keeper, tables } = makeKeeper();
  const follow = async (device: string | null, done: () => boolean) => {
    const over = new AbortController();
    const following = keeper.follow(sessionOf(device), [NETWORK], over.signal);
    await until("the table to follow", done);
    over.abort();
    await following;
  };
  await follow("flannel.1", () => tables.has("inet ripstop-flannel.1"));
  assert.match(tables.get("inet ripstop-flannel.1") ?? "", /udp dport 8472/);
  await follow("flannel.2", () => tables.has("inet ripstop-flannel.2"));
  assert.deepEqual([...tables.keys()], ["inet ripstop-flannel.2"]);
  assert.equal(keeper.status?.table, "inet ripstop-flannel.2");
  await follow(null, () => tables.size === 0);
  assert.equal(keeper.status, null);
});

test("where nodes have addresses inside the network only this node's pods are known by their source", async () => {
  for (const [underlay, source] of [
    ["192.0.2.1", "10.244.0.0/16"],
    ["10.244.200.1", "10.244.1.0/24"],
  ] as const) {
    const { keeper, tables } = makeKeeper();
    const over = new AbortController();
    const following = keeper.follow(sessionOf("flannel.1", underlay), [NETWORK], over.signal);
    await until("the table", () => tables.size === 1);
    over.abort();
    await following;
    const sources = (tables.get("inet ripstop-flannel.1") ?? "").match(/ip saddr \S+/g);
    assert.deepEqual([...new Set(sources)], [`ip saddr ${source}`]);
  }
});

test("a host without nft is warned once, and guarded when nft is there", async () => {
  const { keeper, tables, warnings, state, clock } = makeKeeper();
  state.installed = false;
  const over = new AbortController();
  const following = keeper.follow(sessionOf("flannel.1"), [NETWORK], over.signal);
  await until("the problem to be known", () => keeper.status?.problem != null);
  assert.match(keeper.status?.problem ?? "", /cannot run nft/);
  const soon = (what: string, done: () => boolean) =>
    until(what, () => {
      clock.advance(1_000);
      return done();
    });
  const before = state.runs;
  await soon("it to be tried again and again", () => state.runs >= before + 6);
  assert.equal(warnings.length, 1);
  state.installed = true;
  await soon("the table to be made", () => tables.has("inet ripstop-flannel.1"));
  await until("the problem to be forgotten", () => keeper.status?.problem === null);
  over.abort();
  await following;
});
