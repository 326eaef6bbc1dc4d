// What a packet costs in JavaScript: PacketPort over memory ports, 64-byte packets in batches of 64, and the header codecs.
// One core, one thread, by the `benchmark` package. A packet counts once for being received
// and sent again. Run: node dist/bench/micro/packet-port.js [words that select rows]; `--json` prints one line.
import Benchmark from "benchmark";
import { decapsulateBatch, encapsulateBatch, OuterTemplate } from "../../src/library/codec/outer.js";
import { PacketPort } from "../../src/library/packet-port.js";

const BATCH = 64;
const FRAME = Uint8Array.from({ length: 64 }, (_, index) => index);

const [a, b] = PacketPort.pair();
const [c, d] = PacketPort.pair();

/** A batch that a holds; each round sends it to b, turns it around, and a has it again. */
function fill(): void {
  a.allocate(BATCH);
  for (let i = 0; i < BATCH; i++) {
    a.arena.set(FRAME, a.offset(i));
    a.setLength(i, FRAME.length);
  }
}

function swapMacs(count: number): void {
  const { arena } = b;
  for (let i = 0; i < count; i++) {
    const at = b.offset(i);
    for (let byte = 0; byte < 6; byte++) {
      const kept = arena[at + byte] as number;
      arena[at + byte] = arena[at + 6 + byte] as number;
      arena[at + 6 + byte] = kept;
    }
  }
}

const copies = Array.from({ length: BATCH }, () => FRAME.slice());
const template = new OuterTemplate({ source: "192.0.2.1", destination: "192.0.2.2", destinationPort: 4789, vni: 42 });
const vnis = new Uint32Array(BATCH);

/** In place, 64 packets are received and sent at either end: 128 a call. Copied, 64 go in at one end and out at the other. */
const ROWS: Record<string, () => number> = {
  "in place: receive and send, untouched": () => {
    a.send();
    b.receive();
    const carried = b.send() * 2;
    a.receive();
    return carried;
  },
  "in place: receive, swap MACs, send": () => {
    a.send();
    swapMacs(b.receive());
    const carried = b.send() * 2;
    a.receive();
    return carried;
  },
  "in place: receive, VXLAN on and off, send": () => {
    a.send();
    const count = b.receive();
    encapsulateBatch(b.arena, b.descriptors, count, template);
    decapsulateBatch(b.arena, b.descriptors, count, 4789, vnis);
    const carried = b.send() * 2;
    a.receive();
    return carried;
  },
  "copied: sendCopies and receiveCopies": () => {
    const sent = c.sendCopies(copies);
    return sent + d.receiveCopies().length;
  },
};

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const results: { row: string; packetsPerSecond: number; relativeMarginPercent: number; samples: number }[] = [];
const suite = new Benchmark.Suite();
for (const [row, run] of Object.entries(ROWS)) {
  if (!words.every((word) => row.includes(word))) continue;
  suite.add(row, run, { minSamples: 40 });
}
suite.on("cycle", (event: Benchmark.Event) => {
  const { name = "", hz = 0, stats } = event.target;
  results.push({
    row: name,
    packetsPerSecond: Math.round(hz * (name.startsWith("copied") ? 1 : 2) * BATCH),
    relativeMarginPercent: Number((stats?.rme ?? 0).toFixed(1)),
    samples: stats?.sample.length ?? 0,
  });
});
fill();
suite.run();
if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify(results)}\n`);
else console.table(results);
for (const port of [a, b, c, d]) port.close();
