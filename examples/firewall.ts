// A firewall on the punt path: the first packets of each flow come up to this program, which says once what becomes of the flow;
// the worker carries or drops the rest of it by itself. Run it as root instead of static-two-nodes; what may be reached at the
// other side (and answers from it) is listed as UDP and TCP ports, ICMP is free:
//   node firewall.js 192.0.2.1 10.42.1.1/24  192.0.2.2 10.42.2.0/24  53 443
import { formatPrefix, Overlay, type PacketPort, parsePrefix } from "ripstop";

const [ownUnderlay = "", ownAddress = "", peerUnderlay = "", peerPrefix = "", ...listed] = process.argv.slice(2);
const own = parsePrefix(ownAddress);
if (own === null || peerPrefix === "")
  throw new Error("usage: firewall OWN-UNDERLAY OWN-ADDRESS/LENGTH PEER-UNDERLAY PEER-PREFIX PORT...");
const ports = new Set(listed.map(Number));

const overlay = Overlay.open({
  underlay: { address: ownUnderlay },
  vni: 42,
  prefixes: [formatPrefix(own)],
  punt: "flows",
});
overlay.apply([{ underlay: peerUnderlay, prefixes: [peerPrefix] }]);
await overlay.configure({ addresses: [ownAddress], routes: [peerPrefix] });
console.log(`${overlay.device}: ${ownAddress} over ${ownUnderlay}, open ${listed.join(" ")}`);

const ICMP = 1;
const TCP = 6;
const UDP = 17;
/** IPv4 alone passes here; `frame` is an Ethernet frame. */
function allowed(frame: DataView): boolean {
  if (frame.getUint16(12) !== 0x0800) return false;
  const protocol = frame.getUint8(14 + 9);
  const l4 = 14 + (frame.getUint8(14) & 15) * 4;
  if (protocol === ICMP) return true;
  return (protocol === TCP || protocol === UDP) && [l4, l4 + 2].some((at) => ports.has(frame.getUint16(at)));
}

const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => ending.abort());

for await (const batch of (overlay.punts as PacketPort).batches({ signal: ending.signal })) {
  for (const packet of batch) {
    const frame = packet.view();
    const verdict = allowed(new DataView(frame.buffer, frame.byteOffset, frame.length)) ? "allow" : "deny";
    overlay.decide(frame, verdict);
    if (verdict === "deny") packet.drop();
  }
  batch.send();
}
const { encap } = overlay.counters();
console.log(`${encap.punts} packets asked about, ${encap.txPackets} carried, ${encap.drops["denied"]} denied`);
overlay.close();
