// A learning switch across three nodes: broadcast goes to everybody, an answer teaches where its sender is, and then frames go
// there only. The three nodes live in this process on a segment in memory, so it runs anywhere, without root. On real hosts
// each would say `underlay: { address: "192.0.2.1" }` and get a TAP device instead of `port: "memory"`.
import { Overlay, type OverlayCounters, unaccountedOverlay } from "ripstop";
import { ethernetFrame, MemoryLan } from "ripstop/testing";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const stations = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"] as const;
const addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];

const lan = new MemoryLan();
const nodes = addresses.map((address) => {
  const overlay = Overlay.open({ underlay: lan.join(address), vni: 7, mode: "bridged", port: "memory" });
  overlay.apply(addresses.filter((other) => other !== address).map((underlay) => ({ underlay })));
  return overlay;
});

function send(node: number, source: string, destination: string): void {
  const payload = new TextEncoder().encode(`from station ${source}, to ${destination}, with some padding behind it`);
  nodes[node]?.port?.sendCopies([ethernetFrame({ source, destination, type: 0x88b5, payload })]);
}

let sent = 0n;
let received = 0n;

/** Who got the frame, once it has gone out and every copy of it has been delivered and read. */
async function receivers(): Promise<string> {
  sent++;
  const counts = nodes.map(() => 0);
  const sum = (read: (counters: OverlayCounters) => bigint) =>
    nodes.reduce((total, node) => total + read(node.counters()), 0n);
  const over = () =>
    sum(({ encap }) => encap.rxPackets) === sent &&
    nodes.every((node) => unaccountedOverlay(node.counters()) === 0n) &&
    sum(({ decap }) => decap.rxPackets) === sum(({ encap }) => encap.txPackets) &&
    received === sum(({ decap }) => decap.txPackets);
  while (!over()) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (const [index, node] of nodes.entries()) {
      const copies = node.port?.receiveCopies().length ?? 0;
      counts[index] = (counts[index] ?? 0) + copies;
      received += BigInt(copies);
    }
  }
  return counts
    .map((count, index) => (count > 0 ? `node ${index + 1}` : ""))
    .join(" ")
    .trim();
}

send(0, stations[0], BROADCAST);
console.log(`broadcast of station 1: ${await receivers()}`);
send(1, stations[1], stations[0]);
console.log(`answer of station 2: ${await receivers()}`);
send(0, stations[0], stations[1]);
console.log(`station 1 to station 2: ${await receivers()}`);
send(0, stations[0], stations[2]);
console.log(`station 1 to station 3, not seen yet: ${await receivers()}`);

console.table(nodes[0]?.learned());
await lan.close();
