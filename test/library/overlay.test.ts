// Overlays over a segment in memory: real workers and wire formats, no root. Every test ends with the law of the counters on
// every overlay: what was received was sent, answered or dropped under a name, copies included.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Overlay } from "../../src/library/overlay.js";
import type { OverlayOptions } from "../../src/library/overlay-options.js";
import { Underlay } from "../../src/library/underlay.js";
import { ethernetFrame as ethernet, udpPacket as ipv4Udp } from "../../src/testing/packets.js";
import { code, mac, peer, routedPeer, type Site, take, underlayOf, withSite } from "../support/memory-site.js";
import { until } from "../support/until.js";

const BROADCAST = "ff:ff:ff:ff:ff:ff";

describe("a routed overlay", () => {
  it(
    "carries IP packets to whoever holds the prefix, addressed to its VTEP",
    withSite(async (site) => {
      const [one, two] = [site.open(1), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      const packet = ipv4Udp({ source: "10.42.1.5", destination: "10.42.2.7", payload: 100 });
      one.port?.sendCopies([ethernet({ payload: packet, type: 0x0800 })]);
      const [frame] = await take(two, 1);
      assert.deepEqual(frame?.subarray(14), packet);
      assert.equal(Buffer.from(frame?.subarray(0, 6) ?? []).toString("hex"), two.vtepMac.replaceAll(":", ""));
      assert.deepEqual([one.counters().encap.txPackets, two.counters().decap.txPackets], [1n, 1n]);
    }),
  );

  it(
    "drops what nobody holds, what is not ours to send, and strangers, each under its reason",
    withSite(async (site) => {
      const [one, two, stranger] = [site.open(1), site.open(2), site.open(3)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      stranger.apply([routedPeer(2)]);
      const udp = (source: string, destination: string) =>
        ethernet({ payload: ipv4Udp({ source, destination, payload: 10 }), type: 0x0800 });
      one.port?.sendCopies([udp("10.42.9.9", "10.42.2.7"), udp("10.42.1.5", "10.42.2.7")]);
      stranger.port?.sendCopies([udp("10.42.3.5", "10.42.2.7")]);
      await take(two, 1);
      await until("the stranger's packet", () => (two.counters().decap.drops["unknown_peer"] ?? 0n) === 1n);
      assert.equal(one.counters().encap.drops["inner_src"], 1n);
      one.port?.sendCopies([udp("10.42.1.5", "10.42.77.1")]);
      const [answer] = await take(one, 1);
      assert.equal(answer?.[14 + 9], 1, "an ICMP answer");
      assert.equal(one.counters().encap.replies, 1n);
    }),
  );

  it(
    "carries nothing before the first table, and what the table says after each",
    withSite(async (site) => {
      const [one, two] = [site.open(1), site.open(2)];
      const frame = ethernet({
        payload: ipv4Udp({ source: "10.42.1.5", destination: "10.42.2.7", payload: 10 }),
        type: 0x0800,
      });
      one.port?.sendCopies([frame]);
      await until("the drop", () => one.counters().encap.drops["no_table"] === 1n);
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      one.port?.sendCopies([frame]);
      await take(two, 1);
      assert.throws(() => one.apply([routedPeer(2), routedPeer(2)]), code("TABLE_INVALID"));
      one.port?.sendCopies([frame]);
      await take(two, 1);
      one.apply([]);
      one.port?.sendCopies([frame]);
      await take(one, 1);
      assert.equal(one.inspect()?.peers, 0);
    }),
  );

  it(
    "keeps several VNIs on one underlay apart",
    withSite(async (site) => {
      const [here, there] = [site.lan.join(underlayOf(1)), site.lan.join(underlayOf(2))];
      const tenants = [100, 200, 300].map((vni) => ({
        vni,
        one: site.open(1, { vni }, here),
        two: site.open(2, { vni }, there),
      }));
      for (const { one, two } of tenants) {
        one.apply([routedPeer(2)]);
        two.apply([routedPeer(1)]);
      }
      for (const { vni, one } of tenants) {
        const payload = ipv4Udp({ source: "10.42.1.5", destination: "10.42.2.7", payload: vni });
        one.port?.sendCopies([ethernet({ payload, type: 0x0800 })]);
      }
      for (const { vni, two } of tenants) {
        const [frame] = await take(two, 1);
        assert.equal(frame?.length, 14 + 28 + vni);
      }
      tenants[1]?.two.close();
      tenants[1]?.one.port?.sendCopies([
        ethernet({ payload: ipv4Udp({ source: "10.42.1.5", destination: "10.42.2.7", payload: 1 }), type: 0x0800 }),
      ]);
      await until("a stray", () => there.strays().drops["vx_vni"] === 1n);
      assert.equal(there.strays().received, 1n);
      assert.throws(() => site.open(1, { vni: 100 }, here), code("NETWORK_VNI_TAKEN"));
    }),
  );

  it(
    "conserves a flood of packets: delivered or dropped under a name",
    withSite(async (site) => {
      const [one, two] = [site.open(1), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      const frame = ethernet({
        payload: ipv4Udp({ source: "10.42.1.5", destination: "10.42.2.7", payload: 22 }),
        type: 0x0800,
      });
      let sent = 0;
      for (let round = 0; round < 100; round++) {
        sent += one.port?.sendCopies(new Array<Uint8Array>(64).fill(frame)) ?? 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await until("everything to come to rest", () => {
        two.port?.receiveCopies();
        const [out, inn, lan] = [one.counters().encap, two.counters().decap, site.lan.counters()];
        const onTheWire = out.txPackets;
        const drops = (all: Readonly<Record<string, bigint>>) => Object.values(all).reduce((a, b) => a + b, 0n);
        return (
          out.rxPackets === BigInt(sent) &&
          out.txPackets + drops(out.drops) === BigInt(sent) &&
          BigInt(lan.sent) === onTheWire &&
          inn.rxPackets === BigInt(lan.delivered) &&
          inn.txPackets + drops(inn.drops) === inn.rxPackets
        );
      });
    }),
  );
});

describe("a bridged overlay", () => {
  const bridged = { mode: "bridged" } as const;
  const frame = (source: string, destination: string, length = 46) =>
    ethernet({ source, destination, type: 0x88b5, payload: new Uint8Array(length).fill(3) });

  /** Three nodes that know each other's underlay addresses and nothing else. */
  function three(site: Site, options: Partial<OverlayOptions> = {}): [Overlay, Overlay, Overlay] {
    const nodes = [1, 2, 3].map((node) => site.open(node, { ...bridged, ...options }));
    for (const [index, overlay] of nodes.entries())
      overlay.apply([1, 2, 3].filter((node) => node !== index + 1).map((node) => peer(node)));
    return nodes as [Overlay, Overlay, Overlay];
  }

  it(
    "floods what it does not know to every node once, learns, and then sends to the one node only",
    withSite(async (site) => {
      const [one, two, three_] = three(site);
      one.port?.sendCopies([frame(mac(1), BROADCAST)]);
      assert.deepEqual(await take(two, 1), [frame(mac(1), BROADCAST)]);
      assert.deepEqual(await take(three_, 1), [frame(mac(1), BROADCAST)]);
      assert.deepEqual([one.counters().bridge.copies, one.counters().bridge.flooded], [1n, 1n]);
      two.port?.sendCopies([frame(mac(2), mac(1))]);
      assert.deepEqual(await take(one, 1), [frame(mac(2), mac(1))]);
      assert.equal(two.counters().bridge.flooded, 0n);
      one.port?.sendCopies([frame(mac(1), mac(2)), frame(mac(1), mac(9))]);
      assert.equal((await take(two, 2)).length, 2);
      assert.deepEqual(await take(three_, 1), [frame(mac(1), mac(9))]);
      assert.deepEqual(
        one.learned().toSorted((a, b) => (a.mac < b.mac ? -1 : 1)),
        [
          { mac: mac(1), underlay: null },
          { mac: mac(2), underlay: underlayOf(2) },
        ],
      );
    }),
  );

  it(
    "follows a station that moves to another node",
    withSite(async (site) => {
      const [one, two, three_] = three(site);
      two.port?.sendCopies([frame(mac(7), BROADCAST)]);
      await take(one, 1);
      await take(three_, 1);
      three_.port?.sendCopies([frame(mac(7), BROADCAST)]);
      await take(one, 1);
      await take(two, 1);
      one.port?.sendCopies([frame(mac(1), mac(7))]);
      assert.equal((await take(three_, 1)).length, 1);
      assert.equal(one.counters().bridge.moved, 1n);
      assert.equal(three_.counters().bridge.moved, 1n);
    }),
  );

  it(
    "keeps what it learned when the table changes, and floods again when that peer is gone",
    withSite(async (site) => {
      const [one, two, three_] = three(site);
      two.port?.sendCopies([frame(mac(2), BROADCAST)]);
      await take(one, 1);
      await take(three_, 1);
      one.apply([peer(3), peer(2)]);
      one.port?.sendCopies([frame(mac(1), mac(2))]);
      await take(two, 1);
      assert.equal(one.counters().bridge.flooded, 0n);
      one.apply([peer(3)]);
      one.port?.sendCopies([frame(mac(1), mac(2))]);
      await until("the copy at the other node", () => one.counters().bridge.flooded === 1n);
      await until("node 3 to refuse it", () => three_.counters().decap.rxPackets >= 2n);
    }),
  );

  it(
    "holds static addresses against what frames claim",
    withSite(async (site) => {
      const [one, two, three_] = three(site);
      one.apply([peer(2, { macs: [mac(2), mac(22)] }), peer(3)]);
      three_.port?.sendCopies([frame(mac(2), BROADCAST)]);
      await until("the drop", () => one.counters().decap.drops["inner_src"] === 1n);
      one.port?.sendCopies([frame(mac(1), mac(22))]);
      await take(two, 2);
      one.port?.sendCopies([frame(mac(2), BROADCAST)]);
      await until("our own lie", () => one.counters().encap.drops["inner_mac"] === 1n);
    }),
  );

  it(
    "without learning and flooding forwards by static addresses only",
    withSite(async (site) => {
      const [one, two] = three(site, { learn: false, flood: false });
      one.apply([peer(2, { macs: [mac(2)] }), peer(3)]);
      one.port?.sendCopies([frame(mac(1), mac(2)), frame(mac(1), mac(3)), frame(mac(1), BROADCAST)]);
      await take(two, 1);
      assert.equal(one.counters().encap.drops["no_peer"], 2n);
      assert.deepEqual(one.learned(), []);
    }),
  );

  it(
    "refuses frames that no station may send, and those too long for the path",
    withSite(async (site) => {
      const [one] = three(site);
      one.port?.sendCopies([
        frame(BROADCAST, mac(1)),
        frame("00:00:00:00:00:00", mac(1)),
        frame(mac(1), BROADCAST, 1451),
        frame(mac(1), mac(1)),
      ]);
      await until("four frames", () => one.counters().encap.rxPackets === 4n);
      const { drops } = one.counters().encap;
      assert.deepEqual([drops["inner_mac"], drops["too_big"], drops["inner_dst"]], [2n, 2n, 1n]);
    }),
  );

  it(
    "forgets early rather than grow when addresses are made up",
    withSite(async (site) => {
      const [one, two] = three(site, { fdbEntries: 16 });
      for (let last = 1; last <= 100; last++) two.port?.sendCopies([frame(mac(last), mac(200))]);
      await take(one, 100);
      assert.ok(one.learned().length <= 16);
      assert.ok(one.counters().bridge.evicted >= 84n);
    }),
  );
});

describe("an overlay's edges", () => {
  it("names the option that is wrong", () => {
    const underlay = { address: "192.0.2.1", kind: "memory" } as const;
    assert.throws(() => Overlay.open({ underlay, vni: 1 << 24 }), {
      code: "OVERLAY_OPTIONS_INVALID",
      message: /overlay option vni \(16777216\): does not fit 24 bits/,
    });
    assert.throws(() => Overlay.open({ underlay, vni: 1, mode: "bridged", port: "tun" }), {
      code: "OVERLAY_OPTIONS_INVALID",
      message: /takes auto, tap, packet with a device or memory/,
    });
    assert.throws(() => Overlay.open({ underlay: { address: "x" }, vni: 1 }), { code: "UNDERLAY_OPTIONS_INVALID" });
    assert.throws(() => Underlay.open({ address: ["192.0.2.1", "192.0.2.2"] }), { code: "UNDERLAY_OPTIONS_INVALID" });
    const overlay = Overlay.open({ underlay, vni: 1, port: "memory", prefixes: ["10.1.0.0/16"] });
    assert.throws(() => overlay.apply([{ underlay: "192.0.2.2", prefixes: ["10.2.0.0"] }]), {
      code: "OVERLAY_PEERS_INVALID",
      message: /overlay peer option 0\.prefixes\.0 \("10\.2\.0\.0"\): must be a prefix/,
    });
    overlay.close();
  });

  it("is an error to use after close, and close may be repeated", () => {
    const overlay = Overlay.open({ underlay: { address: "192.0.2.1", kind: "memory" }, vni: 1, port: "memory" });
    overlay.apply([]);
    overlay.close();
    overlay.close();
    assert.throws(() => overlay.apply([]), code("OVERLAY_CLOSED"));
    assert.equal(overlay.inspect(), null);
    assert.equal(overlay.port?.closed, true);
    assert.deepEqual(overlay.learned(), []);
  });

  it("ends with its underlay", () => {
    const underlay = Underlay.open({ address: "192.0.2.1", kind: "memory" });
    const overlay = Overlay.open({ underlay, vni: 1, port: "memory" });
    underlay.close();
    assert.equal(overlay.closed, true);
    assert.throws(() => overlay.apply([]), code("OVERLAY_CLOSED"));
    assert.throws(() => Overlay.open({ underlay, vni: 2, port: "memory" }), code("UNDERLAY_CLOSED"));
    overlay.close();
  });
});
