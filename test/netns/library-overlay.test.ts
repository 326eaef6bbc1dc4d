// Overlays of the library on real devices: two namespaces, a process of the library in one, the kernel's own VXLAN device as
// the peer in the other. Routed over TUN, bridged over TAP with ARP and flooding, IPv4 and IPv6 underlays, bulk TCP.
//
//   [ours: library] u0 192.0.2.1 ----- veth ----- 192.0.2.2 u0 [other: kernel VXLAN]
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { withLibraryProcess } from "../support/library-process.js";
import { pingAll } from "../support/ping-all.js";
import { rootNeeded } from "../support/lab.js";
import { type TwoHosts, withTwoHosts } from "../support/two-hosts.js";

const PORT = 4789;

/** A kernel VXLAN device on `other` as an administrator makes it. */
async function kernelVxlan({ other }: TwoHosts, vni: number, address: string, more: readonly string[]): Promise<void> {
  const options = ["type", "vxlan", "id", String(vni), "dstport", String(PORT), "dev", "u0", ...more];
  await other.ip("link", "add", "vx", ...options);
  await other.ip("address", "add", address, "dev", "vx", ...(address.includes(":") ? ["nodad"] : []));
  await other.ip("link", "set", "vx", "up");
}

describe("an overlay of the library", () => {
  it("routes to a kernel VXLAN peer, pings and bulk, and accounts for every packet", { skip: rootNeeded }, async () => {
    await withTwoHosts(async (hosts) => {
      const { ours, other } = hosts;
      await kernelVxlan(hosts, 42, "10.42.2.1/32", ["local", "192.0.2.2", "nolearning"]);
      const mac = (await other.exec("cat", "/sys/class/net/vx/address")).trim();
      await withLibraryProcess(
        ours.name,
        {
          underlay: { address: "192.0.2.1" },
          overlay: { vni: 42, device: "ov0", prefixes: ["10.42.1.0/24"] },
          peers: [{ underlay: "192.0.2.2", prefixes: ["10.42.2.0/24"], vtepMac: mac }],
          addresses: ["10.42.1.1/24"],
          routes: ["10.42.2.0/24"],
        },
        async (library) => {
          const { vtepMac } = await library.state();
          await other.ip("route", "add", "10.42.1.0/24", "via", "10.42.1.1", "dev", "vx", "onlink");
          await other.ip("neighbor", "add", "10.42.1.1", "lladdr", vtepMac, "dev", "vx", "nud", "permanent");
          await other.exec("bridge", "fdb", "add", vtepMac, "dev", "vx", "dst", "192.0.2.1", "self", "permanent");
          await pingAll(ours, "10.42.2.1");
          await pingAll(ours, "10.42.2.1", { count: 2, options: ["-s", "1422", "-M", "do"] });
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.42.2.1", mebibytes: 32 });
          await runTcpCheck({ from: other.name, to: ours.name, address: "10.42.1.1", mebibytes: 32 });
          const { encapTx, decapTx } = await library.state();
          assert.ok(
            encapTx > 20_000 && decapTx > 20_000,
            `${encapTx} out, ${decapTx} in: both streams went through us`,
          );
        },
      );
    });
  });

  it("adds a peer when the first packet to it comes up, and loses none of the pings", {
    skip: rootNeeded,
  }, async () => {
    await withTwoHosts(async (hosts) => {
      const { ours, other } = hosts;
      await kernelVxlan(hosts, 45, "10.45.0.2/24", ["local", "192.0.2.2"]);
      await other.exec("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "192.0.2.1");
      const mac = (await other.exec("cat", "/sys/class/net/vx/address")).trim();
      await withLibraryProcess(
        ours.name,
        {
          underlay: { address: "192.0.2.1" },
          overlay: { vni: 45, mode: "bridged", device: "punt0", punt: "destinations" },
          peers: [],
          onDemand: [{ underlay: "192.0.2.2", macs: [mac] }],
          addresses: ["10.45.0.1/24"],
          routes: [],
        },
        async (library) => {
          // The address is given, so that the first frame is one to a station, not a broadcast to nobody.
          await ours.ip("neighbor", "add", "10.45.0.2", "lladdr", mac, "dev", "punt0", "nud", "permanent");
          await pingAll(ours, "10.45.0.2");
          const { punted: first } = await library.state();
          assert.ok(first >= 1, "a frame to nobody known came up");
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.45.0.2", mebibytes: 16 });
          const { punted, encapTx } = await library.state();
          assert.equal(punted, first, `of ${encapTx} frames none came up once the peer was known`);
        },
      );
    });
  });

  it("bridges with a kernel VXLAN peer: ARP is flooded, addresses are learned both ways", {
    skip: rootNeeded,
  }, async () => {
    await withTwoHosts(async (hosts) => {
      const { ours, other } = hosts;
      await kernelVxlan(hosts, 43, "10.43.0.2/24", ["local", "192.0.2.2"]);
      await other.exec("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "192.0.2.1");
      await withLibraryProcess(
        ours.name,
        {
          underlay: { address: "192.0.2.1" },
          overlay: { vni: 43, mode: "bridged", device: "br0x" },
          peers: [{ underlay: "192.0.2.2" }],
          addresses: ["10.43.0.1/24"],
          routes: [],
        },
        async (library) => {
          await pingAll(ours, "10.43.0.2");
          await runTcpCheck({ from: ours.name, to: other.name, address: "10.43.0.2", mebibytes: 16 });
          await runTcpCheck({ from: other.name, to: ours.name, address: "10.43.0.1", mebibytes: 16 });
          const { learned, flooded, encapTx } = await library.state();
          const mac = (await other.exec("cat", "/sys/class/net/vx/address")).trim();
          assert.ok(learned.some((entry) => entry.mac === mac && entry.underlay === "192.0.2.2"));
          assert.ok(flooded > 0 && flooded < encapTx / 100, `${flooded} of ${encapTx} frames were flooded`);
        },
      );
    });
  });

  it("speaks over an IPv6 underlay", { skip: rootNeeded }, async () => {
    await withTwoHosts(async (hosts) => {
      const { ours, other } = hosts;
      await kernelVxlan(hosts, 44, "10.44.0.2/24", ["local", "2001:db8::2"]);
      await other.exec("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "2001:db8::1");
      await withLibraryProcess(
        ours.name,
        {
          underlay: { address: "2001:db8::1" },
          overlay: { vni: 44, mode: "bridged", device: "br6x" },
          peers: [{ underlay: "2001:db8::2" }],
          addresses: ["10.44.0.1/24"],
          routes: [],
        },
        async () => {
          await pingAll(ours, "10.44.0.2", { count: 10, options: ["-s", "1402", "-M", "do"] });
        },
      );
    });
  });
});
