// What the lab reads out of ping and of /proc/stat.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cpuUse, parseCpu } from "../../../src/lab/traffic/cpu.js";
import { parsePing } from "../../../src/lab/traffic/ping.js";

test("a ping's account has the longest silence, the lost and the doubled", () => {
  const output = [
    "PING 10.244.2.2 (10.244.2.2) 56(84) bytes of data.",
    "[1700000000.000000] 64 bytes from 10.244.2.2: icmp_seq=1 ttl=62 time=0.100 ms",
    "[1700000000.001000] 64 bytes from 10.244.2.2: icmp_seq=2 ttl=62 time=0.300 ms",
    "[1700000000.001100] 64 bytes from 10.244.2.2: icmp_seq=2 ttl=62 time=0.400 ms (DUP!)",
    "[1700000000.053000] 64 bytes from 10.244.2.2: icmp_seq=54 ttl=62 time=0.200 ms",
    "",
    "--- 10.244.2.2 ping statistics ---",
    "54 packets transmitted, 3 received, +1 duplicates, 94% packet loss, time 53ms",
  ].join("\n");
  const result = parsePing(output, "rs-p1", 60);
  assert.deepEqual(
    { ...result, gapMaxMs: Math.round(result.gapMaxMs) },
    {
      sent: 54,
      received: 3,
      lost: 51,
      duplicates: 1,
      gapMaxMs: 52,
      medianUs: 200,
    },
  );
  assert.throws(() => parsePing("ping: connect: Network is unreachable", "rs-p1", 1), { code: "LAB_TRAFFIC" });
});

test("pings that only bridge the wait for a late answer are not counted", () => {
  const answer = (number: number) =>
    `[1700000000.00${number}000] 64 bytes from 10.244.2.2: icmp_seq=${number} ttl=62 time=0.100 ms`;
  const output = [1, 3, 4]
    .map(answer)
    .concat("4 packets transmitted, 3 received, 25% packet loss, time 3ms")
    .join("\n");
  const { sent, received, lost } = parsePing(output, "rs-p1", 3);
  assert.deepEqual([sent, received, lost], [3, 2, 1], "the second is missing");
});

test("CPU use counts nice with user and irq with softirq, in cores", () => {
  const before = parseCpu("cpu  100 0 100 1000 0 0 0 0 0 0\n", 0);
  const after = parseCpu("cpu  150 50 150 1050 0 10 40 100 0 0\n", 1000);
  const use = cpuUse(before, after);
  assert.equal(use.user, 1);
  assert.equal(use.system, 0.5);
  assert.equal(use.softirq, 0.5);
  assert.equal(use.busy, 2);
  assert.equal(use.steal, 1);
});
