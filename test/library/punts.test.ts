// What the worker cannot decide comes up to the program, which drops it, teaches the overlay and sends it on, or decides about
// its flow. Real workers on a segment in memory; the law of the counters holds at the end of each test.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Overlay } from "../../src/library/overlay.js";
import type { PacketPort } from "../../src/library/packet-port.js";
import { ethernetFrame, udpPacket } from "../../src/testing/packets.js";
import { code, mac, peer, routedPeer, take, withSite } from "../support/memory-site.js";
import { until } from "../support/until.js";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const udp = (destination: string, destinationPort = 53, payload = 20) =>
  ethernetFrame({ type: 0x0800, payload: udpPacket({ source: "10.42.1.5", destination, destinationPort, payload }) });

/** Receives the next batch of punted packets. */
async function punted(overlay: Overlay): Promise<PacketPort> {
  const punts = overlay.punts as PacketPort;
  await until(`a punt of ${overlay.toString()}`, () => punts.receive() > 0);
  return punts;
}

describe("packets to nobody known", () => {
  it(
    "come up, and go to the peer that the program adds before it sends them back, every time",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "destinations" }), site.open(2)];
      two.apply([routedPeer(1)]);
      for (let round = 1; round <= 50; round++) {
        one.apply([]);
        one.port?.sendCopies([udp("10.42.2.7")]);
        const punts = await punted(one);
        assert.equal(punts.count, 1);
        assert.equal(punts.arena[punts.offset(0) + 14 + 19], 7, "the inner destination, in place");
        one.apply([routedPeer(2)]);
        assert.equal(punts.send(), 1);
        assert.equal((await take(two, 1)).length, 1);
      }
      const { encap, punt } = one.counters();
      assert.deepEqual([encap.punts, encap.txPackets, encap.replies], [50n, 50n, 0n]);
      assert.deepEqual([punt.rxPackets, punt.txPackets], [50n, 50n]);
    }),
  );

  it(
    "are answered as usual when they come back and still nobody is known, and are not punted twice",
    withSite(async (site) => {
      const one = site.open(1, { punt: "destinations" });
      one.apply([]);
      one.port?.sendCopies([udp("10.42.2.7")]);
      (await punted(one)).send();
      const [answer] = await take(one, 1);
      assert.equal(answer?.[14 + 9], 1, "ICMP");
      assert.deepEqual([one.counters().encap.punts, one.counters().encap.replies], [1n, 1n]);
      assert.equal(one.punts?.receive(), 0);
    }),
  );

  it(
    "end where the program wants no more of them, counted as released",
    withSite(async (site) => {
      const one = site.open(1, { punt: "destinations" });
      one.apply([]);
      one.port?.sendCopies([udp("10.42.2.7"), udp("10.42.3.7")]);
      const punts = one.punts as PacketPort;
      await until("both", () => {
        punts.receive();
        return punts.counters().received === 2n;
      });
      punts.release();
      assert.equal(punts.counters().released, 2n);
      assert.equal(one.counters().encap.txPackets, 0n);
    }),
  );

  it(
    "wait in a queue that is bounded, and every one that found no room is counted",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "destinations", puntQueue: 4 }), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      one.port?.sendCopies(new Array<Uint8Array>(100).fill(udp("10.42.9.9")));
      await until("all but four to be dropped", () => one.counters().punt.drops["tx_full"] === 96n);
      assert.deepEqual([one.counters().encap.punts, one.counters().punt.txPackets], [100n, 4n]);
      assert.equal(one.punts?.receive(), 4);
      one.port?.sendCopies([udp("10.42.2.7")]);
      assert.equal((await take(two, 1)).length, 1, "known destinations pass meanwhile");
    }),
  );

  it(
    "are checked before: what may not be sent at all never comes up",
    withSite(async (site) => {
      const one = site.open(1, { punt: "destinations" });
      one.apply([]);
      const spoofed = udpPacket({ source: "10.9.9.9", destination: "10.42.2.7", payload: 10 });
      one.port?.sendCopies([ethernetFrame({ type: 0x0800, payload: spoofed })]);
      await until("the drop", () => one.counters().encap.drops["inner_src"] === 1n);
      assert.equal(one.counters().encap.punts, 0n);
    }),
  );

  it(
    "cannot be touched after their batch, and what is sent back is checked like a packet of this side",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "destinations" }), site.open(2)];
      one.apply([]);
      two.apply([routedPeer(1)]);
      one.port?.sendCopies([udp("10.42.2.7")]);
      const punts = one.punts as PacketPort;
      const batches = punts[Symbol.asyncIterator]();
      const batch = (await batches.next()).value as unknown as { at(index: number): { copy(): Uint8Array } };
      const packet = batch.at(0);
      const [offset, length, , epoch] = punts.descriptors.slice(0, 4) as unknown as [number, number, number, number];
      punts.release();
      assert.throws(() => packet.copy(), code("PACKET_STALE"));
      one.apply([routedPeer(2)]);
      punts.allocate(1);
      punts.descriptors.set([offset, length, 0, epoch]);
      assert.equal(punts.send(), 0, "a descriptor of the batch before");
      assert.equal(punts.counters().drops["bad_descriptor"], 1n);
      punts.sendCopies([
        ethernetFrame({
          type: 0x0800,
          payload: udpPacket({ source: "10.9.9.9", destination: "10.42.2.7", payload: 1 }),
        }),
      ]);
      await until("the drop", () => one.counters().encap.drops["inner_src"] === 1n);
      await batches.return?.(undefined);
    }),
  );

  it(
    "wake a program that waits for them",
    withSite(async (site) => {
      const one = site.open(1, { punt: "destinations" });
      one.apply([]);
      const first = (async () => {
        for await (const packet of (one.punts as PacketPort).packets()) return packet;
        return null;
      })();
      one.port?.sendCopies([udp("10.42.2.7", 53, 33)]);
      assert.equal((await first)?.length, 14 + 28 + 33);
    }),
  );
});

describe("frames to a station that nobody has seen", () => {
  const frame = (source: string, destination: string) =>
    ethernetFrame({ source, destination, type: 0x88b5, payload: new Uint8Array(46) });

  it(
    "come up instead of being flooded; the program says where it is, and broadcast is flooded as ever",
    withSite(async (site) => {
      const [one, two, three] = [1, 2, 3].map((node) =>
        site.open(node, { mode: "bridged", ...(node === 1 ? { punt: "destinations" as const } : {}) }),
      ) as [Overlay, Overlay, Overlay];
      one.apply([peer(2), peer(3)]);
      for (const other of [two, three]) other.apply([peer(1)]);
      one.port?.sendCopies([frame(mac(1), mac(3))]);
      const punts = await punted(one);
      one.apply([peer(2), peer(3, { macs: [mac(3)] })]);
      punts.send();
      assert.equal((await take(three, 1)).length, 1);
      one.port?.sendCopies([frame(mac(1), mac(3)), frame(mac(1), BROADCAST)]);
      assert.equal((await take(three, 2)).length, 2);
      assert.equal((await take(two, 1)).length, 1, "the broadcast and nothing else");
      const { encap, bridge } = one.counters();
      assert.deepEqual([encap.punts, bridge.flooded], [1n, 1n]);
    }),
  );
});

describe("flows", () => {
  it(
    "come up until the program has decided; then the worker carries or drops them by itself",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "flows" }), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      one.port?.sendCopies([udp("10.42.2.7", 53), udp("10.42.2.7", 23)]);
      const punts = one.punts as PacketPort;
      await until("a verdict on both", () => {
        const count = punts.receive();
        for (let i = 0; i < count; i++) {
          const frame = punts.arena.subarray(punts.offset(i), punts.offset(i) + punts.length(i));
          const dns = frame[14 + 20 + 3] === 53;
          assert.equal(one.decide(frame, dns ? "allow" : "deny"), true);
          if (!dns) punts.setLength(i, 0);
        }
        if (count > 0) punts.send();
        return punts.counters().received === 2n;
      });
      await take(two, 1);
      one.port?.sendCopies([
        ...new Array<Uint8Array>(10).fill(udp("10.42.2.7", 53)),
        ...new Array<Uint8Array>(5).fill(udp("10.42.2.7", 23)),
      ]);
      assert.equal((await take(two, 10)).length, 10);
      await until("the others to be dropped", () => one.counters().encap.drops["denied"] === 5n);
      const { encap } = one.counters();
      assert.deepEqual([encap.punts, encap.txPackets], [2n, 11n]);
    }),
  );

  it(
    "may be judged packet by packet: without a verdict every packet comes up",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "flows" }), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      for (let i = 0; i < 5; i++) {
        one.port?.sendCopies([udp("10.42.2.7")]);
        (await punted(one)).send();
        await take(two, 1);
      }
      assert.equal(one.counters().encap.punts, 5n);
    }),
  );

  it(
    "of a bridged overlay too, ARP and what else is not IP by its stations",
    withSite(async (site) => {
      const [one, two] = [1, 2].map((node) => site.open(node, { mode: "bridged", punt: "flows" })) as [
        Overlay,
        Overlay,
      ];
      one.apply([peer(2)]);
      two.apply([peer(1)]);
      const arp = ethernetFrame({ source: mac(1), destination: BROADCAST, type: 0x0806, payload: new Uint8Array(46) });
      one.port?.sendCopies([arp]);
      const punts = await punted(one);
      assert.equal(one.decide(arp, "allow"), true);
      punts.send();
      await take(two, 1);
      one.port?.sendCopies([arp, arp]);
      assert.equal((await take(two, 2)).length, 2);
      assert.equal(one.counters().encap.punts, 1n);
    }),
  );

  it(
    "are asked about again once their verdict has been forgotten",
    withSite(async (site) => {
      const [one, two] = [site.open(1, { punt: "flows", flowEntries: 4 }), site.open(2)];
      one.apply([routedPeer(2)]);
      two.apply([routedPeer(1)]);
      for (let port = 1; port <= 20; port++) one.decide(udp("10.42.2.7", port), "deny");
      one.port?.sendCopies(Array.from({ length: 20 }, (_, index) => udp("10.42.2.7", index + 1)));
      await until("all to be judged", () => {
        const { drops, punts } = one.counters().encap;
        return (drops["denied"] ?? 0n) + punts === 20n;
      });
      assert.equal(one.counters().encap.drops["denied"], 4n);
    }),
  );

  it(
    "have verdicts that are refused rather than lost when too many wait",
    withSite(async (site) => {
      const one = site.open(1, { punt: "flows" });
      one.apply([]);
      let refused = 0;
      for (let port = 1; port <= 5000; port++) if (!one.decide(udp("10.42.2.7", port), "deny")) refused++;
      assert.ok(refused > 0 && refused < 5000, `${refused} refused`);
      assert.equal(one.decide(new Uint8Array(10), "deny"), false, "no frame, no flow");
    }),
  );

  it(
    "are not asked about unless the overlay was opened so",
    withSite(async (site) => {
      const one = site.open(1);
      assert.equal(one.punts, null);
      assert.throws(() => one.decide(udp("10.42.2.7"), "allow"), code("OVERLAY_NO_FLOWS"));
      assert.throws(() => site.open(2, { puntQueue: 3 }), code("OVERLAY_OPTIONS_INVALID"));
      assert.throws(() => site.open(3, { punt: "all" as never }), /must be destinations or flows/);
    }),
  );
});
