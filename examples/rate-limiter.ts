// A rate limiter on the punt path: packets of unknown flows come up into JavaScript in batches, in place, and a token bucket for
// each source says which of them go on. Nothing is copied and nothing is allocated for a packet: the loop reads the arena and
// sets a length to 0 where a packet is to be dropped. No verdict is given, so that every packet comes up; one on a flow
// (examples/firewall.ts) leaves the rest of it to the worker. Two nodes in memory here; with a device on a real host.
import { formatIpv4, ipv4, Overlay, type PacketPort } from "ripstop";
import { ethernetFrame, MemoryLan, udpPacket } from "ripstop/testing";

const PER_SECOND = 100;
const BURST = 20;
const SOURCE = 14 + 12;

const lan = new MemoryLan();
const memory = { vni: 42, port: "memory" } as const;
const limited = Overlay.open({ ...memory, underlay: lan.join("192.0.2.1"), prefixes: ["10.42.1.0/24"], punt: "flows" });
limited.apply([{ underlay: "192.0.2.2", prefixes: ["10.42.2.0/24"] }]);
const far = Overlay.open({ ...memory, underlay: lan.join("192.0.2.2"), prefixes: ["10.42.2.0/24"] });
far.apply([{ underlay: "192.0.2.1", prefixes: ["10.42.1.0/24"] }]);

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

/** One batch; returns how many went on. */
function limit(punts: PacketPort): number {
  const count = punts.receive();
  const nowMs = performance.now();
  const bytes = new DataView(punts.arena.buffer);
  for (let i = 0; i < count; i++) if (!allow(bytes.getUint32(punts.offset(i) + SOURCE), nowMs)) punts.setLength(i, 0);
  return count === 0 ? 0 : punts.send();
}

const udp = (source: string) =>
  ethernetFrame({ type: 0x0800, payload: udpPacket({ source, destination: "10.42.2.1", payload: 20 }) });
limited.port?.sendCopies(new Array<Uint8Array>(200).fill(udp("10.42.1.1")));
limited.port?.sendCopies(new Array<Uint8Array>(10).fill(udp("10.42.1.2")));

const punts = limited.punts as PacketPort;
let passed = 0;
while (punts.counters().received < 210n) {
  passed += limit(punts);
  if (punts.count === 0) await new Promise((resolve) => setImmediate(resolve));
}
for (const [source, { tokens }] of buckets)
  console.log(`${formatIpv4(ipv4(source))}: ${Math.floor(tokens)} tokens left`);
const { received, released } = punts.counters();
console.log(`${received} received, ${passed} passed, ${released} over the limit`);
let arrived = 0;
for await (const batch of far.port as PacketPort) {
  arrived += batch.count;
  if (arrived === passed) break;
}
console.log(`${arrived} arrived`);
await lan.close();
