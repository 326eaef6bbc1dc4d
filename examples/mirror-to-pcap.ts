// Mirrors what an overlay carries into a pcapng file: the inner frames and the outer ones, each with its direction.
//   node mirror-to-pcap.js overlay.pcapng && tcpdump -nr overlay.pcapng
// Two nodes in memory make the traffic here; a program on real hosts captures its own overlay in the same way. A filter in
// tcpdump's language (`filter: "udp port 6000"`) is compiled by the machine's own tcpdump.
import { Capture, Overlay } from "ripstop";
import { ethernetFrame, MemoryLan, udpPacket } from "ripstop/testing";

const file = process.argv[2] ?? "overlay.pcapng";
const PACKETS = 10;

const lan = new MemoryLan();
const open = (own: string, prefix: string, peer: string, peerPrefix: string): Overlay => {
  const overlay = Overlay.open({ underlay: lan.join(own), vni: 42, port: "memory", prefixes: [prefix] });
  overlay.apply([{ underlay: peer, prefixes: [peerPrefix] }]);
  return overlay;
};
const one = open("192.0.2.1", "10.42.1.0/24", "192.0.2.2", "10.42.2.0/24");
open("192.0.2.2", "10.42.2.0/24", "192.0.2.1", "10.42.1.0/24");

const ending = new AbortController();
const packets = one.capture({ points: ["overlay", "underlay"], signal: ending.signal });
const mirroring = (async () => {
  await using capture = Capture.to(file);
  for await (const packet of packets) {
    await capture.writeCaptured(packet);
    if (capture.written === 2 * PACKETS) ending.abort();
  }
  return capture.written;
})();

const packet = udpPacket({ source: "10.42.1.5", destination: "10.42.2.7", payload: new TextEncoder().encode("hello") });
const frame = ethernetFrame({ type: 0x0800, payload: packet });
// The capture begins when its first packet is asked for; packets sent before that are not in it.
const sending = setInterval(() => one.port?.sendCopies([frame]), 5);
console.log(`${await mirroring} frames in ${file}`);
clearInterval(sending);
await lan.close();
