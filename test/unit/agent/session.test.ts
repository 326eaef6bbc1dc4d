// What a session notices of the host: also what changes while nobody listens. The host is a fake that announces a change to
// those who listen then, and the clock stands nearly still, so that no periodic comparison helps.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parsePrefix, parsePrefixWithHost } from "../../../src/addr/prefix.js";
import type { AgentParts } from "../../../src/agent/parts.js";
import { Session } from "../../../src/agent/session.js";
import { makeBackend } from "../../../src/backend/catalog.js";
import { DEFAULT_DATA_PLANE, parseNetworkConfig } from "../../../src/config/network-config.js";
import { parseAgentCommandLine } from "../../../src/config/options.js";
import type { Host, HostEvent, HostRoute, Link, LinkAddress, PeerEntry } from "../../../src/host/host.js";
import { parseUnderlay } from "../../../src/host/text.js";
import { silentLogger } from "../../../src/observe/logger.js";
import { lease, leaseMap, vxlanAttrs } from "../../support/lease-builder.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

const OWN = lease("10.244.1.0-24", "192.0.2.1");
const PEER = lease("10.244.2.0-24", "192.0.2.2", 1n, { attrs: vxlanAttrs("192.0.2.2", "02:00:00:00:00:02") });
/** Between two steps of the clock; all of a test's steps together are less than the periodic comparison waits. */
const STEP_MS = 20;
const STEPS_MAX = 450;

class FakeHost {
  routesThere: readonly HostRoute[] = [route("0.0.0.0/0", "192.0.2.254"), route("192.0.2.0/24", null)];
  mtu = 1500;
  /** What the kernel holds, as it was last told. */
  entries: readonly PeerEntry[] = [];
  listeners = 0;
  #queue: HostEvent[] = [];
  #wake = (): void => undefined;
  #broken = false;

  links = async (): Promise<readonly Link[]> => [
    link(1, "lo", 65536),
    link(2, "eth0", this.mtu),
    link(3, "eth1", 1500),
  ];
  addresses = async (): Promise<readonly LinkAddress[]> => [address(2, "192.0.2.1/24")];
  routes = async (): Promise<readonly HostRoute[]> => this.routesThere;
  ensureVxlan = async () => ({ link: link(9, "flannel.1", 1450), changes: [] });
  resolveNextHops = async () => [];
  raiseLinks = async () => [];
  releaseNeighbors = async () => undefined;
  reconcilePeers = async (_scope: unknown, entries: readonly PeerEntry[]) => {
    this.entries = entries;
    return { changes: [], failures: [] };
  };

  events = (signal: AbortSignal): AsyncIterable<readonly HostEvent[]> => {
    this.listeners++;
    this.#broken = false;
    signal.addEventListener("abort", () => this.#wake());
    const next = async (): Promise<readonly HostEvent[] | null> => {
      while (this.#queue.length === 0 && !this.#broken && !signal.aborted) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (signal.aborted) return null;
      if (this.#broken) throw new Error("the stream broke off");
      return this.#queue.splice(0);
    };
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          const value = await next();
          return value === null ? { done: true, value: undefined } : { done: false, value };
        },
      }),
    };
  };

  /** The kernel tells those who listen now, and nobody else. */
  tell(...events: readonly HostEvent[]): void {
    if (this.listeners > 0) this.#queue.push(...events);
    this.#wake();
  }

  breakOff(): void {
    this.listeners = 0;
    this.#broken = true;
    this.#wake();
  }
}

function link(index: number, name: string, mtu: number): Link {
  return { index, name, kind: "", mac: null, mtu, up: true, carrier: true };
}

function address(linkIndex: number, text: string): LinkAddress {
  const prefix = parsePrefixWithHost(text);
  assert.ok(prefix);
  return { linkIndex, prefix, scope: "global", flags: { deprecated: false, permanent: true, temporary: false } };
}

function route(destination: string, gateway: string | null, linkIndex = 2): HostRoute {
  const prefix = parsePrefix(destination);
  assert.ok(prefix);
  return { destination: prefix, gateway: parseUnderlay(gateway), linkIndex, protocol: 3 };
}

interface Scene {
  readonly host: FakeHost;
  readonly session: Session;
  readonly run: () => Promise<string | null>;
  /** Lets little time pass until it holds. */
  readonly soon: (what: string, condition: () => boolean) => Promise<void>;
}

async function withSession(body: (scene: Scene) => Promise<void>): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), "ripstop-session-"));
  const outcome = parseAgentCommandLine([`--state-dir=${stateDir}`], {}, "ripstop", "0");
  assert.ok(outcome.kind === "run");
  const clock = new ManualClock();
  const host = new FakeHost();
  const text = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}';
  const parts = { host: host as Partial<Host>, clock, logger: silentLogger(), makeBackend } as unknown as AgentParts;
  const network = parseNetworkConfig(text, { allocates: true });
  const session = await Session.make({ options: outcome.options, network, choice: DEFAULT_DATA_PLANE, parts });
  const over = new AbortController();
  let running: Promise<string | null> = Promise.resolve(null);
  const run = () => (running = session.run(over.signal));
  let steps = 0;
  const soon = (what: string, condition: () => boolean) =>
    until(
      what,
      async () => {
        await new Promise(setImmediate);
        if (!condition() && steps++ < STEPS_MAX) clock.advance(STEP_MS);
        return condition();
      },
      30_000,
    );
  try {
    await session.start(OWN, leaseMap(OWN, PEER));
    await body({ host, session, run, soon });
  } finally {
    over.abort();
    await running;
    rmSync(stateDir, { recursive: true });
  }
}

const isDirect = ({ host }: Scene) => host.entries.length === 1 && host.entries[0]?.kind === "direct";
const isTunnelled = ({ host }: Scene) => host.entries.length === 1 && host.entries[0]?.kind === "vxlan";
const GATEWAY = route("192.0.2.2/32", "192.0.2.253");

test("a change of the routes between the first pass and the first that listens is followed", () =>
  withSession(async (scene) => {
    const { host, run, soon } = scene;
    assert.ok(isDirect(scene));
    host.routesThere = [...host.routesThere, GATEWAY];
    host.tell({ kind: "route" });
    void run();
    await soon("the peer is behind a gateway", () => isTunnelled(scene));
  }));

test("another external interface between the choice and the first that listens ends the session", () =>
  withSession(async ({ host, run, soon }) => {
    host.mtu = 1400;
    host.tell({ kind: "link", name: "eth0", index: 2 });
    let why: string | null = null;
    void run().then((reason) => (why = reason));
    await soon("the session ends", () => why !== null);
    assert.match(why ?? "", /mtu 1500 .* became .* mtu 1400/);
  }));

test("what changes while the stream of events is broken is followed once it is there again", () =>
  withSession(async (scene) => {
    const { host, session, run, soon } = scene;
    void run();
    await soon("it listens", () => host.listeners > 0);
    host.breakOff();
    await soon("it is noticed", () => session.work.overruns === 1);
    host.routesThere = [...host.routesThere, GATEWAY];
    host.tell({ kind: "route" });
    await soon("the peer is behind a gateway", () => isTunnelled(scene));
  }));

test("a link that goes takes its routes with it without a word, and the peers behind it are followed", () =>
  withSession(async (scene) => {
    const { host, run, soon } = scene;
    host.routesThere = [...host.routesThere, route("192.0.2.2/32", "198.51.100.1", 3)];
    void run();
    await soon("the peer is behind a gateway of another link", () => isTunnelled(scene));
    host.routesThere = host.routesThere.slice(0, 2);
    host.tell({ kind: "link", name: "eth1", index: 3 });
    await soon("the peer is on our segment again", () => isDirect(scene));
  }));
