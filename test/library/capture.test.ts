// Capturing what an overlay carries, and segments in memory that lose, double and damage frames. No root.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Writable } from "node:stream";
import type { CapturedPacket } from "../../src/dataplane/capture-records.js";
import { Capture } from "../../src/library/capture.js";
import { Overlay, unaccountedOverlay } from "../../src/library/overlay.js";
import type { OverlayOptions } from "../../src/library/overlay-options.js";
import { MemoryLan } from "../../src/testing/memory-lan.js";
import { ethernetFrame, udpPacket } from "../../src/testing/packets.js";
import { until } from "../support/until.js";

function nodes(lan: MemoryLan, options: Partial<OverlayOptions> = {}): [Overlay, Overlay] {
  const open = (own: number, peer: number): Overlay => {
    const bridged = options.mode === "bridged";
    const prefixes = bridged ? [] : [`10.42.${own}.0/24`];
    const overlay = Overlay.open({
      underlay: lan.join(`192.0.2.${own}`),
      vni: 42,
      port: "memory",
      prefixes,
      ...options,
    });
    overlay.apply([{ underlay: `192.0.2.${peer}`, prefixes: bridged ? [] : [`10.42.${peer}.0/24`] }]);
    return overlay;
  };
  return [open(1, 2), open(2, 1)];
}

const udp = (destination: string, destinationPort = 6000) =>
  ethernetFrame({
    source: "02:00:00:00:00:01",
    destination: "02:00:00:00:00:02",
    type: 0x0800,
    payload: udpPacket({ source: "10.42.1.5", destination, payload: 30, destinationPort }),
  });

/** Captures until `wanted` packets were seen. They are sent all the while: one that was on its way when capturing began is half seen. */
async function captured(
  overlay: Overlay,
  options: Parameters<Overlay["capture"]>[0],
  wanted: number,
  frames: readonly Uint8Array[],
): Promise<CapturedPacket[]> {
  const end = new AbortController();
  const seen: CapturedPacket[] = [];
  const sending = setInterval(() => overlay.port?.sendCopies(frames), 5);
  try {
    for await (const packet of overlay.capture({ ...options, signal: end.signal })) {
      seen.push(packet);
      if (seen.length >= wanted) break;
    }
  } finally {
    clearInterval(sending);
    end.abort();
  }
  return seen;
}

describe("a capture of an overlay", () => {
  for (const mode of ["routed", "bridged"] as const) {
    it(`shows both sides of a ${mode} one`, async () => {
      const lan = new MemoryLan();
      const [one] = nodes(lan, { mode });
      const seen = await captured(one, {}, 2, [udp("10.42.2.7")]);
      const inside = seen.find(({ point, direction }) => point === "overlay" && direction === "in");
      const outside = seen.find(({ point, direction }) => point === "underlay" && direction === "out");
      assert.equal(inside?.frame.length, 14 + 58);
      assert.equal(outside?.frame.length, 14 + 58 + 50);
      await lan.close();
    });
  }

  it("shows what is dropped, and why, and only what the filter lets through", async () => {
    const lan = new MemoryLan();
    const [one] = nodes(lan);
    const frames = [udp("10.42.2.7", 7000), udp("224.0.0.1", 7000), udp("224.0.0.1", 6000)];
    const seen = await captured(one, { points: ["drop"], filter: "udp port 7000" }, 1, frames);
    assert.ok(seen.every(({ point, reason }) => point === "drop" && reason !== null));
    assert.ok(seen.every(({ frame }) => frame[14 + 16] === 224 && frame[14 + 22] === 7000 >> 8));
    await assert.rejects(one.capture({ filter: "no such word" }).next(), { code: "CAPTURE_FILTER_BAD" });
    await lan.close();
  });
});

describe("a pcapng file", () => {
  it("is read by tcpdump with directions and interfaces", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ripstop-capture-"));
    try {
      const file = join(folder, "one.pcapng");
      {
        await using capture = Capture.to(file, ["here", "there"]);
        await capture.write(udp("10.42.2.7"), { interface: "here", timeNs: 1_700_000_000_123_456_789n });
        await capture.write(udp("10.42.2.8"), { interface: "there", direction: "out", comment: "second" });
        await assert.rejects(capture.write(udp("10.42.2.9"), { interface: "elsewhere" }), {
          code: "CAPTURE_INTERFACE_UNKNOWN",
        });
        assert.equal(capture.written, 2);
      }
      const text = execFileSync("tcpdump", ["-nr", file, "-tt"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
      assert.match(text, /^1700000000\.123456.* 10\.42\.2\.7\.6000: UDP, length 30\n/);
      assert.match(text, /10\.42\.2\.8\.6000/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("says what is wrong when it cannot be written", async () => {
    await assert.rejects(Capture.to("/nowhere/at/all.pcapng").close(), {
      code: "CAPTURE_WRITE_FAILED",
      message: /ENOENT.*check the path/,
    });
  });

  it("makes a fast program wait for a slow stream", async () => {
    let taken = 0;
    const slow = new Writable({
      highWaterMark: 1024,
      write(chunk: Buffer, _encoding, done) {
        taken += chunk.length;
        setImmediate(done);
      },
    });
    const capture = Capture.to(slow);
    for (let i = 0; i < 200; i++) {
      await capture.write(udp("10.42.2.7"));
      assert.ok(slow.writableLength < 4096, "the stream's queue stays short");
    }
    await capture.close();
    assert.ok(taken > 200 * 72);
  });
});

describe("a segment in memory", () => {
  it("shows the inner packet's ECN outside, and its DSCP where that is asked for", async () => {
    for (const copyDscp of [false, true]) {
      const lan = new MemoryLan();
      const [one, two] = nodes(lan, { copyDscp });
      const seen: (number | undefined)[] = [];
      lan.setFault((frame) => {
        seen.push(frame[15]);
        return "deliver";
      });
      const marked = udp("10.42.2.7");
      // Expedited forwarding, ECT(0); the header's sum with it.
      marked.set([0xba], 15);
      const sum = ((((marked[24] ?? 0) << 8) | (marked[25] ?? 0)) ^ 0xffff) + 0xba;
      const folded = ((sum & 0xffff) + (sum >> 16)) ^ 0xffff;
      marked.set([folded >> 8, folded & 0xff], 24);
      one.port?.sendCopies([marked]);
      await until("it to arrive", () => two.counters().decap.txPackets === 1n);
      assert.deepEqual(seen, [copyDscp ? 0xba : 0x02]);
      await lan.close();
    }
  });

  it("loses, doubles and damages frames as it is told, and the overlays account for it", async () => {
    const lan = new MemoryLan();
    const [one, two] = nodes(lan, { checksumV4: true });
    const fates = ["deliver", "drop", "duplicate", "damage"] as const;
    let at = 0;
    lan.setFault((frame) => {
      const fate = fates[at++ % fates.length] ?? "deliver";
      if (fate !== "damage") return fate;
      const last = frame.length - 1;
      frame[last] = (frame[last] ?? 0) ^ 0xff;
      return "deliver";
    });
    one.port?.sendCopies(new Array<Uint8Array>(40).fill(udp("10.42.2.7")));
    await until("everything to arrive", () => two.counters().decap.rxPackets === 40n);
    const { decap } = two.counters();
    assert.deepEqual([decap.txPackets, decap.drops["udp_csum"]], [30n, 10n]);
    const { sent, delivered, dropped, duplicated, unknown, overrun } = lan.counters();
    assert.deepEqual(
      { sent, delivered, dropped, duplicated, unknown, overrun },
      {
        sent: 40,
        delivered: 40,
        dropped: 10,
        duplicated: 10,
        unknown: 0,
        overrun: 0,
      },
    );
    for (const overlay of [one, two]) assert.equal(unaccountedOverlay(overlay.counters()), 0n);
    assert.throws(() => lan.join("192.0.2.1"), { code: "LAN_ADDRESS_TAKEN" });
    await lan.close();
  });
});
