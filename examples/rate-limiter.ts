// A firewall on a punt path: packets come up into JavaScript in batches, in place, and a token bucket for each source says
// which of them go on. Nothing is copied and nothing is allocated for a packet: the loop reads the arena and sets a length to
// 0 where a packet is to be dropped. Here `inside` and `outside` are memory ports; PacketPort.open({ kind: "tap", ... }) gives
// the same with a device.
import { formatIpv4, ipv4, PacketPort } from "ripstop";
import { ethernetFrame, udpPacket } from "ripstop/testing";

const PER_SECOND = 100;
const BURST = 20;
const SOURCE = 14 + 12;

interface Bucket {
  tokens: number;
  atMs: number;
}
const buckets = new Map<number, Bucket>();

function allow(source: number, nowMs: number): boolean {
  const bucket = buckets.get(source) ?? { tokens: BURST, atMs: nowMs };
  bucket.tokens = Math.min(BURST, bucket.tokens + ((nowMs - bucket.atMs) * PER_SECOND) / 1000);
  bucket.atMs = nowMs;
  buckets.set(source, bucket);
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

/** One batch from `inside` to `outside`; returns how many went on. */
function forward(inside: PacketPort, outside: PacketPort): number {
  const count = inside.receive();
  const nowMs = performance.now();
  for (let i = 0; i < count; i++) {
    const at = inside.offset(i) + SOURCE;
    const { arena } = inside;
    const source =
      (((arena[at] ?? 0) << 24) | ((arena[at + 1] ?? 0) << 16) | ((arena[at + 2] ?? 0) << 8) | (arena[at + 3] ?? 0)) >>>
      0;
    if (!allow(source, nowMs)) inside.setLength(i, 0);
  }
  return count === 0 ? 0 : inside.send(outside);
}

const [host, inside] = PacketPort.pair();
const [outside, world] = PacketPort.pair();
const udp = (source: string) =>
  ethernetFrame({ type: 0x0800, payload: udpPacket({ source, destination: "198.51.100.1", payload: 20 }) });

host.sendCopies(new Array<Uint8Array>(200).fill(udp("10.0.0.1")));
host.sendCopies(new Array<Uint8Array>(10).fill(udp("10.0.0.2")));
let passed = 0;
while (inside.counters().received < 210n) passed += forward(inside, outside);

for (const [source, { tokens }] of buckets)
  console.log(`${formatIpv4(ipv4(source))}: ${Math.floor(tokens)} tokens left`);
const { received, released } = inside.counters();
console.log(`${received} received, ${passed} passed, ${released} over the limit, ${world.receive()} seen in one batch`);
for (const port of [host, inside, outside, world]) port.close();
