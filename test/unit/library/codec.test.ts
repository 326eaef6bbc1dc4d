// Header codecs against the RFCs' words, against themselves for any input, and against the arithmetic of real packets.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fc } from "../../support/property-runs.js";
import { checksum } from "../../../src/library/codec/checksum.js";
import { flowPort } from "../../../src/library/codec/flow.js";
import { overlayMtu, tcpMaximumSegment, tunnelOverhead, underlayMtuFor } from "../../../src/library/codec/mtu.js";
import { decapsulateBatch, encapsulateBatch, OuterTemplate } from "../../../src/library/codec/outer.js";
import { readVxlanHeader, writeVxlanHeader } from "../../../src/library/codec/vxlan.js";
import { ethernetFrame as ethernet, udpPacket as ipv4Udp } from "../../../src/testing/packets.js";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("the VXLAN header", () => {
  it("is what RFC 7348 draws", () => {
    const bytes = new Uint8Array(10).fill(0xff);
    writeVxlanHeader(bytes, 1, 0x12_3456);
    assert.equal(hex(bytes), "ff0800000012345600ff");
    assert.equal(readVxlanHeader(bytes, 1), 0x12_3456);
  });

  it("is refused with any reserved bit set, without the I flag, or cut off", () => {
    const good = new Uint8Array(8);
    writeVxlanHeader(good, 0, 42);
    for (let bit = 0; bit < 64; bit++) {
      if (bit >= 32 && bit < 56) continue; // The VNI itself.
      const bytes = good.slice();
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (0x80 >> (bit & 7));
      assert.equal(readVxlanHeader(bytes), -1, `bit ${bit}`);
    }
    assert.equal(readVxlanHeader(good.subarray(0, 7)), -1);
    assert.equal(readVxlanHeader(good, -1), -1);
    for (const vni of [-1, 1.5, 1 << 24, Number.NaN]) assert.throws(() => writeVxlanHeader(good, 0, vni), RangeError);
  });
});

describe("the checksum", () => {
  it("is RFC 1071's", () => {
    assert.equal(checksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)), 0x220d);
    assert.equal(checksum(Uint8Array.of(0x12)), 0xedff);
  });
});

describe("MTU arithmetic", () => {
  it("knows the four tunnels", () => {
    const all = (["udp", "vxlan"] as const).flatMap((encapsulation) =>
      ([4, 6] as const).map((outerFamily) => tunnelOverhead({ encapsulation, outerFamily })),
    );
    assert.deepEqual(all, [28, 48, 50, 70]);
    const shape = { encapsulation: "vxlan", outerFamily: 4 } as const;
    assert.deepEqual([overlayMtu(1500, shape), overlayMtu(40, shape), underlayMtuFor(1450, shape)], [1450, 0, 1500]);
    assert.equal(tcpMaximumSegment(1450, 4), 1410);
  });
});

/** Packets in one arena as a PacketPort has them: 2 KiB frames, 128 bytes of headroom. */
function arenaOf(packets: readonly Uint8Array[]): { arena: Uint8Array; descriptors: Uint32Array } {
  const arena = new Uint8Array(packets.length * 2048);
  const descriptors = new Uint32Array(packets.length * 4);
  for (const [index, packet] of packets.entries()) {
    arena.set(packet, index * 2048 + 128);
    descriptors.set([index * 2048 + 128, packet.length, 2048 - 128, 1], index * 4);
  }
  return { arena, descriptors };
}

const FAMILIES = [
  { source: "192.0.2.1", destination: "192.0.2.2" },
  { source: "2001:db8::1", destination: "2001:db8::2" },
] as const;

describe("outer headers over a batch", () => {
  for (const addresses of FAMILIES) {
    it(`come off as they went on: ${addresses.source}`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.uint8Array({ minLength: 14, maxLength: 1500 }), { minLength: 1, maxLength: 8 }),
          fc.integer({ min: 0, max: 0xff_ffff }),
          fc.boolean(),
          (packets, vni, checksummed) => {
            const { arena, descriptors } = arenaOf(packets);
            const template = new OuterTemplate({ ...addresses, destinationPort: 4789, vni, checksum: checksummed });
            assert.equal(encapsulateBatch(arena, descriptors, packets.length, template), packets.length);
            for (let i = 0; i < packets.length; i++) checkOuter(arena, descriptors, i, checksummed);
            const vnis = new Uint32Array(packets.length);
            assert.equal(decapsulateBatch(arena, descriptors, packets.length, 4789, vnis), packets.length);
            for (const [index, packet] of packets.entries()) {
              const from = descriptors[index * 4] as number;
              assert.equal(vnis[index], vni);
              assert.equal(hex(arena.subarray(from, from + (descriptors[index * 4 + 1] as number))), hex(packet));
            }
          },
        ),
        { numRuns: 100 },
      );
    });
  }

  /** What a receiver checks: header checksum, lengths, UDP checksum where there is one, entropy in the source port. */
  function checkOuter(arena: Uint8Array, descriptors: Uint32Array, index: number, checksummed: boolean): void {
    const from = descriptors[index * 4] as number;
    const frame = arena.subarray(from, from + (descriptors[index * 4 + 1] as number));
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const v4 = (frame[14] as number) >> 4 === 4;
    const udp = v4 ? 34 : 54;
    if (v4) assert.equal(checksum(frame, 14, 20), 0);
    assert.equal(v4 ? view.getUint16(16) : view.getUint16(18) + 40, frame.length - 14);
    assert.equal(view.getUint16(udp + 4), frame.length - udp);
    assert.ok(view.getUint16(udp) >= 49_152);
    if (v4 && !checksummed) {
      assert.equal(view.getUint16(udp + 6), 0);
      return;
    }
    const addresses = v4 ? frame.subarray(26, 34) : frame.subarray(22, 54);
    const pseudo = Uint8Array.of(...addresses, 0, 17, (frame.length - udp) >> 8, (frame.length - udp) & 255);
    assert.equal(checksum(Uint8Array.of(...pseudo, ...frame.subarray(udp))), 0);
  }

  it("put the udp format over the Ethernet header", () => {
    const inner = ipv4Udp({ source: "10.1.0.1", destination: "10.2.0.1", payload: 5 });
    const { arena, descriptors } = arenaOf([ethernet({ payload: inner, type: 0x0800 })]);
    const template = new OuterTemplate({ source: "192.0.2.1", destination: "192.0.2.2", destinationPort: 8285 });
    assert.equal(encapsulateBatch(arena, descriptors, 1, template), 1);
    const from = descriptors[0] as number;
    assert.equal(descriptors[1], 42 + inner.length);
    assert.equal(hex(arena.subarray(from + 42, from + 42 + inner.length)), hex(inner));
  });

  it("never believe a length, whatever arrives", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 1 }), (bytes, lie) => {
        const { arena, descriptors } = arenaOf([bytes]);
        const template = new OuterTemplate({ ...FAMILIES[0], destinationPort: 4789, vni: 1 });
        if (lie === 1 && bytes.length >= 14) {
          encapsulateBatch(arena, descriptors, 1, template);
          const at = (descriptors[0] as number) + (bytes.length % 50);
          arena[at] = (arena[at] as number) ^ 0x55;
        }
        const [before, length] = [descriptors[0] as number, descriptors[1] as number];
        decapsulateBatch(arena, descriptors, 1, 4789, new Uint32Array(1));
        const end = (descriptors[0] as number) + (descriptors[1] as number);
        assert.ok((descriptors[0] as number) >= before && end <= before + length);
      }),
      { numRuns: 500 },
    );
  });

  it("leave out what has no room in front, and name the field that is wrong", () => {
    const { arena, descriptors } = arenaOf([new Uint8Array(60)]);
    descriptors[0] = 10;
    const template = new OuterTemplate({ ...FAMILIES[0], destinationPort: 4789, vni: 1 });
    assert.equal(encapsulateBatch(arena, descriptors, 1, template), 0);
    assert.equal(descriptors[1], 0);
    const make = (more: object) => () => new OuterTemplate({ ...FAMILIES[0], destinationPort: 1, ...more });
    assert.throws(make({ source: "x" }), /source is no IP address: x/);
    assert.throws(make({ destination: "::1" }), /destination is no IP address of the source's family/);
    assert.throws(make({ destinationPort: 0 }), /not a UDP port/);
    assert.throws(make({ sourceMac: "zz" }), /not a MAC address/);
  });
});

describe("the source port of a flow", () => {
  const port = (packet: Parameters<typeof ipv4Udp>[0]) => {
    const frame = ethernet({ payload: ipv4Udp(packet), type: 0x0800 });
    return flowPort(frame, 0, frame.length);
  };

  it("is the same for a flow and differs between flows", () => {
    const flow = { source: "10.1.0.1", destination: "10.2.0.1", payload: 4 };
    assert.equal(port(flow), port({ ...flow, payload: 400 }));
    const ports = new Set(Array.from({ length: 256 }, (_, index) => port({ ...flow, sourcePort: 1000 + index })));
    assert.ok(ports.size > 240, `${ports.size} ports for 256 flows`);
    for (const one of ports) assert.ok(one >= 49_152 && one <= 65_535);
  });

  it("is the same for all fragments of a packet", () => {
    const fragment = (offset: number, payload: number) => {
      const packet = ipv4Udp({ source: "10.1.0.1", destination: "10.2.0.1", payload });
      packet[6] = offset === 0 ? 0x20 : 0;
      packet[7] = offset;
      const frame = ethernet({ payload: packet, type: 0x0800 });
      return flowPort(frame, 0, frame.length);
    };
    assert.equal(fragment(0, 8), fragment(4, 80));
  });
});
