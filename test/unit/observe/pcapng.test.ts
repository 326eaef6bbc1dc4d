// pcapng as tcpdump reads it back, and lines for people from whole, cut and senseless frames.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { CAPTURE_POINTS, readRecords } from "../../../src/dataplane/capture-records.js";
import { describeFrame } from "../../../src/observe/packet-line.js";
import { pcapngPacket, pcapngPrologue, pcapngStatistics } from "../../../src/observe/pcapng.js";

const ETHERNET = "020000000002020000000001";
const UDP = Buffer.from(`${ETHERNET}080045000020000100004011000${"0"}0a0000010a000002115c0035000c0000deadbeef`, "hex");

test("tcpdump reads what is written, with its time", () => {
  const packet = { interface: 1, timeNs: 1_700_000_000_123_456_789n, originalBytes: UDP.length, frame: UDP } as const;
  const file = Buffer.concat([
    pcapngPrologue(["one", "two"], "ripstop test"),
    pcapngPacket({ ...packet, direction: "in", comment: "dropped: ttl" }),
    pcapngPacket({ ...packet, frame: UDP.subarray(0, 41), direction: "out", comment: null }),
    pcapngStatistics(1n, 2, 3),
  ]);
  const { stdout, status } = spawnSync("tcpdump", ["-nttr", "-", "--nano"], { input: file, encoding: "utf8" });
  assert.equal(status, 0);
  const lines = stdout.trim().split("\n");
  assert.equal(lines.length, 2);
  for (const line of lines) assert.match(line, /^1700000000\.123456789 IP 10\.0\.0\.1\.4444 > 10\.0\.0\.2\.53: /);
});

test("a frame is described as far as it goes", () => {
  assert.equal(describeFrame(UDP, UDP.length, null), `10.0.0.1.4444 > 10.0.0.2.53 UDP, length ${UDP.length}`);
  for (let bytes = 0; bytes < UDP.length; bytes++)
    assert.match(
      describeFrame(UDP.subarray(0, bytes), UDP.length, 53),
      new RegExp(`, length ${UDP.length} \\(${bytes} kept\\)$`),
    );
  assert.equal(describeFrame(Buffer.from(`${ETHERNET}0806`, "hex"), 14, null), "ARP, length 14");
  assert.equal(describeFrame(Buffer.from(`${ETHERNET}1234`, "hex"), 14, null), "Ethernet type 0x1234, length 14");
});

test("records that are cut or senseless are refused, never read past their end", () => {
  const record = Buffer.alloc(40);
  record.writeUInt32LE(40, 0);
  record.writeUInt32LE(5, 4);
  record.writeUInt8(CAPTURE_POINTS.drop, 12);
  record.writeUInt8(3, 14);
  const [packet] = [...readRecords(record)];
  assert.deepEqual([packet?.point, packet?.direction, packet?.reason, packet?.frame.length], ["drop", "in", 3, 5]);
  for (let bytes = 1; bytes < 40; bytes++)
    assert.throws(() => [...readRecords(record.subarray(0, bytes))], { code: "CAPTURE_RECORD_BAD" });
  record.writeUInt32LE(9, 4);
  assert.throws(() => [...readRecords(record)], { code: "CAPTURE_RECORD_BAD" });
});
