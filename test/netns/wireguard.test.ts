// The wireguard backend between two nodes of ours, in every mode: keys, ports, peers and packets. Over wireguard-go, which is
// WireGuard without a kernel module, and over the kernel's own device where there is one.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Overlay } from "../../src/backend/backend.js";
import { makeWireguardBackend } from "../../src/backend/wireguard/wireguard-backend.js";
import { type CommandRunner, withPrefix } from "../../src/host/command.js";
import type { Host } from "../../src/host/host.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import type { Lease, LeaseAttrs } from "../../src/lease/lease.js";
import { kernelLacks } from "../support/kernel.js";
import { rootNeeded } from "../support/lab.js";
import { lease, leaseMap } from "../support/lease-builder.js";
import type { TestNamespace } from "../support/network-namespace.js";
import { addOwnPod, assertTooLong, contextOf, type TwoHosts, withTwoHosts } from "../support/two-hosts.js";
import { programMissing, UserspaceWireguard } from "../support/userspace-wireguard.js";

const DUAL = { Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:10::/48" };
const PSK = Buffer.alloc(32, 9).toString("base64");
const V4_ROUTE = /^10\.244\.0\.0\/16 dev flannel-wg proto 158 scope link/;

/** What a mode makes: listening ports by device, and the endpoint at which each device has the other node. */
interface Expected {
  readonly ports: Readonly<Record<string, string>>;
  readonly endpoints: Readonly<Record<string, string>>;
}

const V4_ENDPOINT = "192.0.2.2:51820";
const V6_ENDPOINT = "[2001:db8::2]:51821";
const MODES: Readonly<Record<string, Expected>> = {
  separate: {
    ports: { "flannel-wg": "51820", "flannel-wg-v6": "51821" },
    endpoints: { "flannel-wg": V4_ENDPOINT, "flannel-wg-v6": V6_ENDPOINT },
  },
  auto: { ports: { "flannel-wg": "51820" }, endpoints: { "flannel-wg": V4_ENDPOINT } },
  ipv6: { ports: { "flannel-wg": "51820" }, endpoints: { "flannel-wg": "[2001:db8::2]:51820" } },
};

/** A node: what it programs its kernel with. */
interface Node {
  readonly namespace: TestNamespace;
  readonly host: Host;
  readonly netlinkHost: NetlinkHost;
  readonly run: CommandRunner;
  readonly show: (device: string, field: string) => Promise<string[]>;
}

interface Up {
  readonly attrs: LeaseAttrs;
  readonly own: Lease;
  readonly overlay: Overlay;
}

const KEYS = ["10.244.1.0-24&fd00:10:0:1::-64", "10.244.2.0-24&fd00:10:0:2::-64"] as const;

/** The agent's start, with the key in the file of that name. */
async function start(node: Node, index: 0 | 1, backend: object, keyFile: string): Promise<Up> {
  process.env["WIREGUARD_KEY_FILE"] = keyFile;
  const config = { ...DUAL, Backend: { Type: "wireguard", ...backend } };
  const context = { ...(await contextOf(node.netlinkHost, config, "/nonexistent")), host: node.host };
  const made = makeWireguardBackend(context, node.run);
  const attrs = await made.leaseAttrs(null);
  const own = lease(KEYS[index], `192.0.2.${index + 1}`, BigInt(index + 1), { attrs });
  return { attrs, own, overlay: await made.attach(own) };
}

async function program({ own, overlay }: Up, ...others: readonly Up[]): Promise<void> {
  const { table, refused } = await overlay.peers(leaseMap(own, ...others.map((up) => up.own)), 1n);
  assert.deepEqual(refused, []);
  assert.deepEqual((await overlay.reconcile(table)).failures, []);
}

const publicKeyOf = ({ attrs }: Up) => (attrs.backendData as { readonly PublicKey: string }).PublicKey;

/** Answers, of however many pings: wireguard-go may lose one on a busy machine, and while a session gives way to another. */
async function reaches(from: TestNamespace, source: string, target: string, ...more: string[]): Promise<void> {
  await from.exec("ping", "-n", "-c", "3", "-i", "0.05", "-w", "30", "-I", source, ...more, target);
}

async function pingBothWays(ours: Node, other: Node): Promise<void> {
  for (const [near, far] of [
    ["10.244.1.1", "10.244.2.1"],
    ["fd00:10:0:1::1", "fd00:10:0:2::1"],
  ] as const) {
    await reaches(ours.namespace, near, far);
    await reaches(other.namespace, far, near);
  }
}

/** The life of two nodes in one mode. */
async function life(mode: string, ours: Node, other: Node, folder: string): Promise<void> {
  const expected = MODES[mode] as Expected;
  const devices = Object.keys(expected.ports);
  const backend = { Mode: mode, PSK, PersistentKeepaliveInterval: 25 };
  const file = (name: string) => join(folder, `${mode}-${name}`);
  // What the first handshake would wait for, five seconds when it is lost.
  for (const underlay of ["192.0.2.2", "2001:db8::2"])
    await ours.namespace.exec("ping", "-c", "1", "-w", "30", "-i", "0.2", underlay);
  await addOwnPod(ours.namespace);
  await other.namespace.ip("address", "add", "10.244.2.1/32", "dev", "lo");
  await other.namespace.ip("address", "add", "fd00:10:0:2::1/128", "dev", "lo");
  const one = await start(ours, 0, backend, file("one"));
  const two = await start(other, 1, backend, file("two"));
  assert.equal(one.overlay.mtu, 1420);
  await program(one, two);
  await program(two, one);
  for (const device of devices) {
    const key = publicKeyOf(two);
    assert.deepEqual(await ours.show(device, "listen-port"), [expected.ports[device]]);
    assert.deepEqual(await ours.show(device, "endpoints"), [`${key}\t${expected.endpoints[device]}`]);
    assert.deepEqual(await ours.show(device, "preshared-keys"), [`${key}\t${PSK}`]);
    assert.deepEqual(await ours.show(device, "persistent-keepalive"), [`${key}\t25`]);
    assert.match(await ours.namespace.ip("link", "show", device), /mtu 1420 /);
  }
  const allowed = (await Promise.all(devices.map((device) => ours.show(device, "allowed-ips")))).flat().join();
  for (const prefix of ["10.244.2.0/24", "fd00:10:0:2::/64"]) assert.ok(allowed.includes(prefix), allowed);
  assert.match(await ours.namespace.ip("route", "show", "10.244.0.0/16"), V4_ROUTE);
  await pingBothWays(ours, other);
  await reaches(ours.namespace, "10.244.1.1", "10.244.2.1", "-M", "do", "-s", String(1420 - 28));
  await assertTooLong(ours.namespace, "10.244.1.1", "10.244.2.1", 1421);

  // A restart keeps device and session; one that was made anew would have shaken hands with nobody yet.
  const before = await state(ours, devices);
  const sockets = await socketsOf(ours);
  assert.ok(sockets.length >= devices.length, sockets.join());
  const again = await start(ours, 0, backend, file("one"));
  await program(again, two);
  await program(again, two);
  assert.deepEqual(await state(ours, devices), before);
  assert.deepEqual(await socketsOf(ours), sockets, "what waits in a socket is lost when it is opened anew");
  assert.deepEqual(again.attrs, one.attrs);
  await reaches(ours.namespace, "10.244.1.1", "10.244.2.1");

  // A peer with another key, as after a reboot: the old one is no peer any more.
  const reborn = await start(other, 1, backend, file("reborn"));
  assert.notEqual(publicKeyOf(reborn), publicKeyOf(two));
  await program(reborn, again);
  await program(again, reborn);
  for (const device of devices) assert.deepEqual(await ours.show(device, "peers"), [publicKeyOf(reborn)]);
  await pingBothWays(ours, other);

  // A peer that leaves.
  await program(again);
  for (const device of devices) assert.deepEqual(await ours.show(device, "peers"), []);
  assert.deepEqual(await socketsOf(ours), sockets, "peers come and go without another socket");
}

/** Port and inode of each UDP socket of the node. */
async function socketsOf({ namespace }: Node): Promise<string[]> {
  const rows = (await namespace.exec("cat", "/proc/net/udp", "/proc/net/udp6")).split("\n");
  const sockets = rows.map((row) => row.trim().split(/\s+/)).filter(([slot]) => /^\d+:$/.test(slot ?? ""));
  return sockets.map((words) => `${words[1]} ${words[9]}`).sort();
}

/** Which device it is, and with whom it has shaken hands. When says nothing: a side that waited repeats it by itself. */
async function state({ namespace, show }: Node, devices: readonly string[]): Promise<string[]> {
  const parts = devices.map(async (device) => [
    (await namespace.ip("-o", "link", "show", device)).split(":")[0] ?? "",
    ...(await show(device, "latest-handshakes")).map((line) => line.replace(/\t[1-9]\d*$/, " shaken")),
  ]);
  return (await Promise.all(parts)).flat();
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ripstop-wg-"));
  try {
    await body(folder);
  } finally {
    delete process.env["WIREGUARD_KEY_FILE"];
    await rm(folder, { recursive: true });
  }
}

const wgMissing = rootNeeded || programMissing("wg");

for (const mode of Object.keys(MODES)) {
  test(
    `wireguard-go, mode ${mode}: pods talk in both families through a restart, another key and a leave`,
    {
      skip: wgMissing || programMissing("wireguard-go"),
    },
    () =>
      inFolder((folder) =>
        withTwoHosts(async (hosts) => {
          const pairs = nodesOf(hosts).map((node) => {
            const wireguard = new UserspaceWireguard(node.namespace, node.netlinkHost, folder);
            const { host, run } = wireguard;
            const show = (device: string, field: string) => wireguard.show(device, field);
            return { wireguard, node: { ...node, host, run, show } };
          });
          const [first, second] = pairs as [(typeof pairs)[number], (typeof pairs)[number]];
          try {
            await life(mode, first.node, second.node, folder);
            const { ports } = MODES[mode] as Expected;
            assert.equal(first.wireguard.made, Object.keys(ports).length, "each device is made once");
          } finally {
            for (const { wireguard } of pairs) await wireguard.stop();
          }
        }),
      ),
  );
}

test("the kernel's WireGuard: the same in every mode", { skip: wgMissing || kernelLacks("wireguard") }, async () => {
  for (const mode of Object.keys(MODES)) {
    await inFolder((folder) =>
      withTwoHosts(async (hosts) => {
        const [first, second] = nodesOf(hosts).map((node): Node => {
          const run = withPrefix(["ip", "netns", "exec", node.namespace.name]);
          const show = async (device: string, field: string) =>
            (await run(["wg", "show", device, field])).stdout.split("\n").filter((line) => line !== "");
          return { ...node, host: node.netlinkHost, run, show };
        }) as [Node, Node];
        await life(mode, first, second, folder);
      }),
    );
  }
});

function nodesOf({ ours, other, host }: TwoHosts) {
  return [
    { namespace: ours, netlinkHost: host },
    { namespace: other, netlinkHost: new NetlinkHost(other.netlink) },
  ] as const;
}
