// Who carried a ping, judged by counters; what is read from the words of the ping program.
import assert from "node:assert/strict";
import { test } from "node:test";
import { carrierOf } from "../../../src/doctor/path-legs.js";
import { ping } from "../../../src/doctor/probe.js";

test("who carried is what took all that was sent, whatever else it took meanwhile", () => {
  assert.equal(carrierOf(100, 100, 40_000), "kernel");
  assert.equal(carrierOf(100, 3, 97), "user space");
  assert.equal(carrierOf(100, 0, 40_000), "user space");
  assert.equal(carrierOf(100, 40, 60), "user space and kernel");
  assert.equal(carrierOf(100, 0, 99), null);
});

test("a lost ping is lost, though ping goes on until it has as many answers as were asked for", async () => {
  const said = (sequences: readonly number[], transmitted: number) => async () => ({
    code: 0,
    stderr: "",
    stdout: `${sequences.map((seq) => `64 bytes from 10.0.0.1: icmp_seq=${seq} ttl=64 time=2 ms\n`).join("")}
${transmitted} packets transmitted, ${sequences.length} received\n`,
  });
  const answered = { minMs: 2, avgMs: 2, p99Ms: 2 };
  const late = await ping("10.0.0.1", { run: said([1, 3, 4], 4) });
  assert.deepEqual(late, { sent: 3, received: 2, ...answered });
  const ended = await ping("10.0.0.1", { count: 50, run: said([1, 2], 3) });
  assert.deepEqual(ended, { sent: 3, received: 2, ...answered }, "an error from the network ended it");
});

test("a ping's figures come from each answer once", async () => {
  const line = (seq: number, ms: number) => `64 bytes from 10.0.0.1: icmp_seq=${seq} ttl=64 time=${ms} ms`;
  const asked: string[][] = [];
  const answer = await ping("10.0.0.1", {
    count: 200,
    mark: 7,
    bytes: 1450,
    run: async (argv) => {
      asked.push([...argv]);
      const lines = Array.from({ length: 199 }, (_, at) => line(at + 1, at + 1));
      return { code: 0, stderr: "", stdout: [...lines, `${line(3, 900)} (DUP!)`, ""].join("\n") };
    },
  });
  assert.deepEqual(answer, { sent: 200, received: 199, minMs: 1, avgMs: 100, p99Ms: 198 });
  assert.equal(asked[0]?.join(" "), "ping -4 -n -c 200 -i 0.1 -w 21 -M do -s 1422 -m 7 10.0.0.1");
});
