// The host programmer against the real kernel: one namespace with a veth pair u0 - u1, u0 playing the external interface.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ipv4 } from "../../src/addr/ipv4.js";
import type { Mac, Prefix4 } from "../../src/addr/address.js";
import { parsePrefix, parsePrefix4, prefix4 } from "../../src/addr/prefix.js";
import type { PeerEntry, ResolvedHop, UnderlayAddress, VxlanSpec } from "../../src/host/host.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import { parseUnderlay } from "../../src/host/text.js";
import { rootNeeded } from "../support/lab.js";
import { ManualClock } from "../support/manual-clock.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";
import { until } from "../support/until.js";

const options = { skip: rootNeeded };
const NETWORK = parsePrefix4("10.244.0.0/14") as Prefix4;

function address(text: string): UnderlayAddress {
  const parsed = parseUnderlay(text);
  assert.ok(parsed);
  return parsed;
}

function spec(change: Partial<VxlanSpec> = {}): VxlanSpec {
  return {
    name: "flannel.1",
    vni: 1,
    port: 0,
    underlayDevice: "u0",
    local: address("192.0.2.1"),
    mac: "02:aa:00:00:00:01" as Mac,
    mtu: 1450,
    learning: false,
    gbp: false,
    address: prefix4(ipv4(0x0af40100), 32),
    network: NETWORK,
    ...change,
  };
}

/** Peer i holds the i-th /24 after `base` and lives at 198.18.x.x. */
function peer(i: number, base = 0x0af40000): PeerEntry {
  const prefix = prefix4(ipv4(base + i * 256), 24);
  const vtepMac =
    `02:bb:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}` as Mac;
  return { kind: "vxlan", prefix, vtepMac, remote: { family: 4, address: ipv4(0xc6120000 + i) } };
}

async function withHost(body: (host: NetlinkHost, namespace: TestNamespace) => Promise<void>): Promise<void> {
  await withNamespace(async (namespace) => {
    const { ip } = namespace;
    await ip("link", "add", "u0", "type", "veth", "peer", "name", "u1");
    await ip("address", "add", "192.0.2.1/24", "dev", "u0");
    await ip("address", "add", "2001:db8::1/64", "dev", "u0", "nodad");
    for (const device of ["u0", "u1"]) await ip("link", "set", device, "up");
    await body(new NetlinkHost(namespace.netlink), namespace);
  });
}

test("the VXLAN device is made as flannel makes it, and a second look changes nothing", options, () =>
  withHost(async (host, { ip, exec }) => {
    const { link } = await host.ensureVxlan(spec());
    assert.deepEqual([link.name, link.mac, link.mtu, link.up], ["flannel.1", "02:aa:00:00:00:01", 1450, true]);
    const shown = await ip("-d", "link", "show", "flannel.1");
    assert.match(shown, /vxlan id 1 local 192\.0\.2\.1 dev u0 srcport 0 0 dstport 8472 nolearning ttl auto/);
    assert.match(shown, /udpcsum noudp6zerocsumtx noudp6zerocsumrx/);
    assert.match(await ip("address", "show", "flannel.1"), /inet 10\.244\.1\.0\/32 scope global/);
    assert.equal((await exec("cat", "/proc/sys/net/ipv6/conf/flannel.1/accept_ra")).trim(), "0");
    assert.deepEqual((await host.ensureVxlan(spec())).changes, []);
  }),
);

test("MTU, MAC, learning and addresses are corrected without making the device again", options, () =>
  withHost(async (host, { ip }) => {
    const { link } = await host.ensureVxlan(spec());
    await ip("address", "add", "10.244.7.0/32", "dev", "flannel.1");
    await ip("address", "add", "172.16.0.1/32", "dev", "flannel.1");
    await ip("link", "set", "flannel.1", "down");
    const changed = spec({ mtu: 1400, mac: "02:aa:00:00:00:02" as Mac, learning: true });
    const again = await host.ensureVxlan(changed);
    assert.equal(again.link.index, link.index);
    assert.deepEqual([again.link.mtu, again.link.mac, again.link.up], [1400, "02:aa:00:00:00:02", true]);
    assert.doesNotMatch(await ip("-d", "link", "show", "flannel.1"), /nolearning/);
    const addresses = await ip("-o", "-4", "address", "show", "flannel.1");
    assert.match(addresses, /10\.244\.1\.0\/32/);
    assert.match(addresses, /172\.16\.0\.1\/32/);
    assert.doesNotMatch(addresses, /10\.244\.7\.0/);
  }),
);

test("another local address is taken over by the device there is, in both families", options, () =>
  withHost(async (host, { ip }) => {
    const network = parsePrefix("fd00:244::/48");
    const own = parsePrefix("fd00:244:0:1::/128");
    assert.ok(network && own);
    const v6 = { name: "flannel-v6.1", address: own, network, mtu: 1430 };
    for (const [device, from, to] of [
      [spec(), "192.0.2.1", "192.0.2.9"],
      [spec({ ...v6, local: address("2001:db8::1") }), "2001:db8::1", "2001:db8::9"],
    ] as const) {
      const { link } = await host.ensureVxlan(device);
      assert.match(await ip("-d", "link", "show", device.name), new RegExp(`local ${from} `));
      const moved = await host.ensureVxlan({ ...device, local: address(to) });
      assert.equal(moved.link.index, link.index);
      assert.match(await ip("-d", "link", "show", device.name), new RegExp(`local ${to} `));
      assert.deepEqual((await host.ensureVxlan({ ...device, local: address(to) })).changes, []);
    }
  }),
);

test("a device with another VNI or port is made again; a foreign kind is refused", options, () =>
  withHost(async (host, { ip }) => {
    await ip(
      "link",
      "add",
      "flannel.1",
      "type",
      "vxlan",
      "id",
      "1",
      "dev",
      "u0",
      "local",
      "192.0.2.1",
      "dstport",
      "4789",
    );
    const { changes } = await host.ensureVxlan(spec());
    assert.deepEqual(
      changes.filter((change) => change.object === "link flannel.1").map((change) => change.action),
      ["replace"],
    );
    assert.match(await ip("-d", "link", "show", "flannel.1"), /dstport 8472/);
    await host.deleteLink("flannel.1");
    await host.deleteLink("flannel.1");
    await ip("link", "add", "flannel.1", "type", "bridge");
    await assert.rejects(host.ensureVxlan(spec()), { code: "LINK_FOREIGN" });
    await assert.rejects(host.ensureVxlan(spec({ underlayDevice: "none0" })), { code: "LINK_MISSING" });
  }),
);

test(
  "5,000 peers are programmed from nothing in 2 s of kernel time, drift is repaired, one change touches one peer",
  options,
  () =>
    withHost(async (host, { ip }) => {
      await host.ensureVxlan(spec());
      const scope = { device: "flannel.1", network: parsePrefix("10.0.0.0/9") as Prefix4 };
      const entries = Array.from({ length: 5000 }, (_, i) => peer(i + 2, 0x0a000000));
      const begin = process.cpuUsage();
      const first = await host.reconcilePeers(scope, entries);
      const tookMs = process.cpuUsage(begin).system / 1000;
      assert.deepEqual(first.failures, []);
      assert.equal(first.changes.length, 15_000);
      assert.ok(tookMs <= 2000, `programming 5,000 peers took ${tookMs.toFixed(0)} ms of kernel time`);
      assert.deepEqual(await host.reconcilePeers(scope, entries), { changes: [], failures: [] });
      assert.match(
        await ip("route", "show", "10.0.2.0/24"),
        /^10\.0\.2\.0\/24 via 10\.0\.2\.0 dev flannel\.1 proto 158 onlink/,
      );

      await ip("route", "delete", "10.0.2.0/24");
      await ip("neighbor", "delete", "10.0.3.0", "dev", "flannel.1");
      await ip("neighbor", "replace", "10.0.4.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1");
      const repaired = (await host.reconcilePeers(scope, entries)).changes.map((change) => change.object).sort();
      assert.deepEqual(repaired, ["neighbor 10.0.3.0", "neighbor 10.0.4.0", "route 10.0.2.0/24"]);

      const moved = entries.map((entry, i) =>
        i === 0 ? ({ ...entry, remote: address("198.51.100.9") } as PeerEntry) : entry,
      );
      const { changes } = await host.reconcilePeers(scope, moved);
      assert.deepEqual(changes, [{ object: "fdb 02:bb:00:00:00:02", action: "replace" }]);

      assert.equal((await host.reconcilePeers(scope, [])).changes.length, 15_000);
      assert.doesNotMatch(await ip("route", "show", "dev", "flannel.1"), /10\./);
    }),
);

test(
  "what flannel left is adopted or removed; what others made stays and is reported where it is in the way",
  options,
  () =>
    withHost(async (host, { ip, exec }) => {
      await host.ensureVxlan(spec());
      const left = async (third: number): Promise<void> => {
        const base = `10.244.${third}.0`;
        await ip("neighbor", "add", base, "lladdr", `02:bb:00:00:00:0${third}`, "dev", "flannel.1", "nud", "permanent");
        await exec(
          "bridge",
          "fdb",
          "add",
          `02:bb:00:00:00:0${third}`,
          "dev",
          "flannel.1",
          "dst",
          `198.18.0.${third}`,
          "self",
          "permanent",
        );
        await ip("route", "add", `${base}/24`, "via", base, "dev", "flannel.1", "onlink");
      };
      await left(2);
      await left(3);
      await ip("route", "add", "10.244.4.0/24", "via", "192.0.2.77", "proto", "static");
      await ip("route", "add", "10.99.0.0/16", "dev", "flannel.1");
      await ip("neighbor", "add", "172.31.0.1", "lladdr", "02:cc:00:00:00:01", "dev", "flannel.1", "nud", "permanent");
      await exec(
        "bridge",
        "fdb",
        "add",
        "02:cc:00:00:00:01",
        "dev",
        "flannel.1",
        "dst",
        "198.18.9.9",
        "self",
        "permanent",
      );
      const { changes, failures } = await host.reconcilePeers({ device: "flannel.1", network: NETWORK }, [
        peer(2),
        peer(4),
      ]);
      assert.deepEqual(
        failures.map((failure) => failure.object),
        ["route 10.244.4.0/24"],
      );
      const removed = changes.filter((change) => change.action === "delete").map((change) => change.object);
      assert.deepEqual(removed.sort(), ["fdb 02:bb:00:00:00:03", "neighbor 10.244.3.0", "route 10.244.3.0/24"]);
      assert.match(await ip("route", "show", "10.244.2.0/24"), /proto 158 onlink/);
      assert.match(await ip("route", "show"), /10\.244\.4\.0\/24 via 192\.0\.2\.77 dev u0 proto static/);
      assert.match(await ip("route", "show"), /10\.99\.0\.0\/16 dev flannel\.1/);
      assert.match(
        await exec("bridge", "fdb", "show", "dev", "flannel.1"),
        /02:cc:00:00:00:01 dst 198\.18\.9\.9 self permanent/,
      );
    }),
);

test("IPv6 peers are programmed and settle like IPv4 ones", options, () =>
  withHost(async (host, { ip }) => {
    const network = parsePrefix("fd00:10::/48");
    const own = parsePrefix("fd00:10:0:1::/128");
    assert.ok(network && own);
    const { link } = await host.ensureVxlan(
      spec({ name: "flannel-v6.1", local: address("2001:db8::1"), address: own, network, mtu: 1430 }),
    );
    assert.equal(link.mtu, 1430);
    const prefix = parsePrefix("fd00:10:0:2::/64");
    assert.ok(prefix);
    const entry: PeerEntry = {
      kind: "vxlan",
      prefix,
      vtepMac: "02:bb:00:00:00:06" as Mac,
      remote: address("2001:db8::2"),
    };
    const scope = { device: "flannel-v6.1", network };
    assert.equal((await host.reconcilePeers(scope, [entry])).changes.length, 3);
    assert.deepEqual(await host.reconcilePeers(scope, [entry]), { changes: [], failures: [] });
    assert.match(
      await ip("-6", "route", "show", "fd00:10:0:2::/64"),
      /via fd00:10:0:2:: dev flannel-v6\.1 proto 158 .*onlink/,
    );
    assert.deepEqual(
      (
        await host.ensureVxlan(
          spec({ name: "flannel-v6.1", local: address("2001:db8::1"), address: own, network, mtu: 1430 }),
        )
      ).changes,
      [],
    );
  }),
);

test("direct routes replace encapsulated ones in place, and back", options, () =>
  withHost(async (host, { ip }) => {
    await host.ensureVxlan(spec());
    const scope = { device: "flannel.1", network: NETWORK };
    await host.reconcilePeers(scope, [peer(2)]);
    const prefix = prefix4(ipv4(0x0af40200), 24);
    const direct: PeerEntry = { kind: "direct", prefix, via: address("192.0.2.2"), device: "u0" };
    await host.reconcilePeers(scope, [direct]);
    assert.equal((await ip("route", "show", "10.244.2.0/24")).trim(), "10.244.2.0/24 via 192.0.2.2 dev u0 proto 158");
    assert.doesNotMatch(await ip("neighbor", "show", "dev", "flannel.1"), /10\.244\.2\.0/);
    await host.reconcilePeers(scope, [peer(2)]);
    assert.match(await ip("route", "show", "10.244.2.0/24"), /dev flannel\.1/);
  }),
);

test("a next hop is resolved by asking the kernel; an unreachable one is null", options, () =>
  withHost(async (host, { ip, name }) => {
    const resolve = async (text: string) =>
      (await host.resolveNextHops([address(text)], new AbortController().signal))[0];
    assert.equal(await resolve("203.0.113.1"), null);
    await ip("route", "add", "203.0.113.0/24", "via", "192.0.2.254");
    await ip("neighbor", "add", "192.0.2.254", "lladdr", "02:dd:00:00:00:fe", "dev", "u0", "nud", "permanent");
    const hop = await resolve("203.0.113.1");
    assert.deepEqual(hop, { device: "u0", gateway: address("192.0.2.254"), mac: "02:dd:00:00:00:fe", mtu: 1500 });
    assert.equal((await resolve("192.0.2.1"))?.device, "lo", name);
  }),
);

test("a next hop that does not answer is waited for until nobody wants it any more, and given back", options, () =>
  withHost(async (_, { ip, netlink }) => {
    const clock = new ManualClock();
    const over = new AbortController();
    let found: readonly (ResolvedHop | null)[] | null = null;
    const asking = new NetlinkHost(netlink, clock).resolveNextHops([address("192.0.2.77")], over.signal);
    void asking.then((hops) => (found = hops));
    await until("it is asked for", async () => (await ip("neighbor", "show", "192.0.2.77")) !== "");
    over.abort();
    const begunMs = clock.nowMs();
    await until("the answer", async () => {
      clock.advance(1);
      await new Promise(setImmediate);
      return found !== null;
    });
    assert.ok(clock.nowMs() - begunMs < 900, "not as long as one that is wanted is waited for");
    assert.equal((await asking)[0]?.mac, null);
    assert.equal(await ip("neighbor", "show", "192.0.2.77"), "");
  }),
);

test("the blackhole route comes and goes, and a foreign one is kept", options, () =>
  withHost(async (host, { ip }) => {
    const prefix = prefix4(ipv4(0x0af40100), 24);
    assert.equal((await host.reconcileBlackhole(prefix, true)).length, 1);
    assert.deepEqual(await host.reconcileBlackhole(prefix, true), []);
    assert.match(await ip("route", "show", "type", "blackhole"), /blackhole 10\.244\.1\.0\/24 proto 158/);
    assert.equal((await host.reconcileBlackhole(prefix, false)).length, 1);
    await ip("route", "add", "blackhole", "10.244.1.0/24");
    assert.deepEqual(await host.reconcileBlackhole(prefix, true), []);
    assert.deepEqual(await host.reconcileBlackhole(prefix, false), []);
  }),
);
