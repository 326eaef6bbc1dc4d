// A VXLAN device that the kernel cannot change into another (GBP) gives its place to a new one with all that it had, and nothing
// of the exchange is left.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mac } from "../../src/addr/address.js";
import { ipv4 } from "../../src/addr/ipv4.js";
import { prefix4 } from "../../src/addr/prefix.js";
import type { PeerEntry } from "../../src/host/host.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import { rootNeeded } from "../support/lab.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";
import { SCOPE, vxlanSpec } from "../support/vxlan-spec.js";

const options = { skip: rootNeeded };
const PEERS = 3;

const peers = Array.from(
  { length: PEERS },
  (_, i): PeerEntry => ({
    kind: "vxlan",
    prefix: prefix4(ipv4(0x0af40200 + i * 256), 24),
    vtepMac: `02:bb:00:00:00:0${i + 2}` as Mac,
    remote: { family: 4, address: ipv4(0xc0000202 + i) },
  }),
);

async function withDevice(body: (host: NetlinkHost, namespace: TestNamespace) => Promise<void>): Promise<void> {
  await withNamespace(async (namespace) => {
    const { ip, netlink } = namespace;
    await ip("link", "add", "u0", "type", "veth", "peer", "name", "u1");
    await ip("address", "add", "192.0.2.1/24", "dev", "u0");
    for (const device of ["u0", "u1"]) await ip("link", "set", device, "up");
    const host = new NetlinkHost(netlink);
    await host.ensureVxlan(vxlanSpec(false));
    assert.deepEqual((await host.reconcilePeers(SCOPE, peers)).failures, []);
    await body(host, namespace);
  });
}

/** All that hangs on the device, without which device it is; not what the kernel makes again by itself. */
async function belongings({ ip, exec }: TestNamespace): Promise<readonly string[]> {
  const texts = [
    await ip("-o", "address", "show", "dev", "flannel.1", "scope", "global"),
    await ip("route", "show", "table", "all", "dev", "flannel.1"),
    await ip("-6", "route", "show", "table", "77", "dev", "flannel.1"),
    await ip("neighbor", "show", "dev", "flannel.1", "nud", "permanent"),
    await exec("bridge", "fdb", "show", "dev", "flannel.1"),
  ];
  return texts
    .flatMap((text) => text.split("\n"))
    .filter((line) => line !== "" && !/fe80::|ff00::/.test(line))
    .map((line) =>
      line
        .replace(/^\d+: /, "")
        .replace(/ flannel\.1(:\d)?\\.*$/, "")
        .trimEnd(),
    )
    .sort();
}

test(
  "GBP goes on and off, and routes, neighbors, FDB entries and addresses are there at once, also foreign ones",
  options,
  () =>
    withDevice(async (host, namespace) => {
      const { ip, netlink } = namespace;
      await ip("address", "add", "198.51.100.1/24", "dev", "flannel.1");
      await ip(
        "route",
        "add",
        "203.0.113.0/24",
        "dev",
        "flannel.1",
        "metric",
        "7",
        "table",
        "77",
        "src",
        "198.51.100.1",
      );
      await ip("-6", "route", "add", "2001:db8:77::/64", "dev", "flannel.1", "table", "77", "proto", "static");
      const before = await belongings(namespace);
      assert.equal(before.filter((line) => line.startsWith("10.244.") && line.includes(" onlink")).length, PEERS);
      let index = (await netlink.link("flannel.1"))?.index;
      for (const gbp of [true, false]) {
        const { link, changes } = await host.ensureVxlan(vxlanSpec(gbp));
        assert.deepEqual(changes[0], { object: "link flannel.1", action: "replace" });
        assert.notEqual(link.index, index);
        index = link.index;
        assert.equal((await ip("-d", "link", "show", "flannel.1")).includes(" gbp "), gbp);
        assert.deepEqual(await belongings(namespace), before);
        assert.deepEqual(await host.reconcilePeers(SCOPE, peers), { changes: [], failures: [] });
        assert.deepEqual((await host.ensureVxlan(vxlanSpec(gbp))).changes, []);
      }
      const names = (await netlink.dump("link")).map(({ name }) => name);
      assert.deepEqual(names.sort(), ["flannel.1", "lo", "u0", "u1"]);
    }),
);

test(
  "what an agent left that died in between goes; a stranger of that name stays, and GBP goes on all the same",
  options,
  () =>
    withDevice(async (host, { ip, netlink }) => {
      const names = async () =>
        (await netlink.dump("link")).map(({ name }) => name).filter((name) => name.startsWith("rs"));
      for (const [name, port] of [
        ["rsn.1", "8473"],
        ["rsx.1", "8474"],
      ] as const)
        await ip("link", "add", name, "type", "vxlan", "id", "1", "dstport", port, "local", "192.0.2.1");
      assert.deepEqual((await host.ensureVxlan(vxlanSpec(false))).changes, []);
      assert.deepEqual(await names(), []);
      await ip("link", "add", "rsn.1", "type", "bridge");
      await host.ensureVxlan(vxlanSpec(true));
      assert.match(await ip("-d", "link", "show", "flannel.1"), / gbp /);
      assert.deepEqual((await host.reconcilePeers(SCOPE, peers)).failures, []);
      assert.deepEqual(await names(), ["rsn.1"]);
    }),
);
