// A path that is narrower than our own device, which only a router on the way can tell: its ICMP about our outer packets has
// to reach the data plane whatever the underlay port is, and from then on pods are told, or fragmented for where they allow.
//   pod 10.244.1.1 - ours (data plane) - 1500 - router - 1400 - other (kernel VXLAN) - pod 10.244.2.1
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { parseIpv6 } from "../../src/addr/ipv6.js";
import { parseMac } from "../../src/addr/mac.js";
import { prefix4 } from "../../src/addr/prefix.js";
import { encodePeerTable, withVersion } from "../../src/dataplane/codec.js";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { assertLaw, restingCounters } from "../support/accounting.js";
import { HandDrivenPlane, openOptions, type PortChoice } from "../support/hand-driven-plane.js";
import { rootNeeded } from "../support/lab.js";
import type { TestNamespace } from "../support/network-namespace.js";
import { OTHER, OURS, ROUTER_MAC, type RoutedHosts, withRoutedHosts } from "../support/routed-hosts.js";
import { until } from "../support/until.js";

const NARROW = 1400;
const PORTS: readonly PortChoice[] = [
  { underlayPort: "tap", disable: [] },
  { underlayPort: "tap", disable: ["tunnel-gso"] },
  { underlayPort: "packet", disable: [] },
  { underlayPort: "xdp", disable: [] },
];

for (const family of [4, 6] as const) {
  for (const choice of PORTS) {
    const name = [choice.underlayPort, ...choice.disable.map((feature) => `without ${feature}`)].join(" ");
    test(`${name} over IPv${family}: a router's word lowers the path`, { skip: rootNeeded }, () =>
      withRoutedHosts(family, NARROW, (hosts) => lowersThePath(hosts, family, choice)),
    );
  }
}

async function lowersThePath(hosts: RoutedHosts, family: 4 | 6, choice: PortChoice): Promise<void> {
  const { ours, other, router } = hosts;
  const inner = NARROW - (family === 4 ? 50 : 70);
  const told = new RegExp(`mtu ?= ?${inner}`);
  // What XDP takes off the cable has to be finished there (docs/ports.md).
  if (choice.underlayPort === "xdp") await router.exec("ethtool", "-K", "r1", "tx", "off");
  const folder = await mkdtemp(join(tmpdir(), "ripstop-path-"));
  const table = await tableOf(ours, family);
  const place = { namespace: ours.name, socket: join(folder, "run", "plane.sock") };
  const plane = await HandDrivenPlane.open(place, openOptions(choice), table);
  try {
    // The first packets resolve neighbours.
    await until("a first ping", () => ping(ours, 64, "do").then((said) => said.received > 0));
    assert.equal((await plane.client.inspect()).pathMtu.pathsLowered, 0);
    const passes = (bytes: number, df: "do" | "dont") =>
      until(`${bytes} bytes to pass`, async () => (await ping(ours, bytes, df)).received === 1);
    // Once the pod's own kernel has the answer it asks nobody; and on a busy machine our kernel's path answers.
    const toldByUs = async () => {
      const { replies } = (await plane.client.counters()).encap;
      await until("the data plane to tell the pod", async () => {
        await ours.ip("route", "flush", "cache");
        const { text } = await ping(ours, inner + 1, "do");
        return told.test(text) && (await plane.client.counters()).encap.replies > replies;
      });
    };
    await passes(inner, "do");

    // Too long by one byte: lost on the way once, and then never again.
    await until("the path to be learned", async () => {
      if ((await plane.client.inspect()).pathMtu.pathsLowered === 0)
        assert.equal((await ping(ours, inner + 1, "do")).received, 0);
      return (await plane.client.inspect()).pathMtu.pathsLowered === 1;
    });
    await toldByUs();
    await passes(inner, "do");
    await passes(1430, "dont"); // Fragmented inside where DF is clear.

    // The next table begins with it.
    await plane.client.apply(withVersion(table, 2n));
    assert.equal((await plane.client.inspect()).pathMtu.pathsLowered, 1);
    await toldByUs();

    // On a busy machine the kernel carries the rest.
    await until("the data plane to carry much of the bulk", async () => {
      await ours.ip("route", "flush", "cache");
      await runTcpCheck({ from: ours.name, to: other.name, address: OTHER.pod, mebibytes: 8 });
      await runTcpCheck({ from: other.name, to: ours.name, address: OURS.pod, mebibytes: 8 });
      return (await plane.client.counters()).encap.txPackets > 700n;
    });
    assertLaw(await restingCounters(plane.client), "our node");
  } finally {
    await plane.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** One ping of `bytes` bytes of inner IP packet. */
async function ping(
  from: TestNamespace,
  bytes: number,
  df: "do" | "dont",
): Promise<{ received: number; text: string }> {
  const argv = ["ping", "-c", "1", "-W", "1", "-M", df, "-s", String(bytes - 28), "-I", OURS.pod, OTHER.pod];
  const text = await from
    .exec(...argv)
    .catch((error: { stdout: string; stderr: string }) => error.stdout + error.stderr);
  return { received: Number(/(\d+) received/.exec(text)?.[1] ?? 0), text };
}

async function tableOf(ours: TestNamespace, family: 4 | 6): Promise<Uint8Array> {
  const link = JSON.parse(await ours.ip("-j", "link", "show", "eth0")) as Array<{ address: string }>;
  const local = {
    prefixes: [prefix4(parseIpv4("10.244.1.0")!, 24)],
    underlayV4: parseIpv4(OURS.v4),
    underlayV6: parseIpv6(OURS.v6),
    underlayMac: parseMac(link[0]?.address ?? ""),
    vtepMac: parseMac(OURS.vtep),
    overlayMtu: 1430,
  };
  const underlay =
    family === 4
      ? ({ family: 4, address: parseIpv4(OTHER.v4)! } as const)
      : ({ family: 6, address: parseIpv6(OTHER.v6)! } as const);
  const peer = {
    id: 2,
    leaseKey: "other",
    prefix: prefix4(parseIpv4("10.244.2.0")!, 24),
    underlay,
    vtepMac: parseMac(OTHER.vtep),
    direct: false,
  };
  const hops = new Map([[2, { mac: parseMac(ROUTER_MAC)!, pathMtu: 1500 }]]);
  return encodePeerTable({ version: 1n, local, peers: [peer] }, hops);
}
