// A static overlay between two hosts. Run it as root on each, with the addresses swapped:
//   node static-two-nodes.js 192.0.2.1 10.42.1.1/24  192.0.2.2 10.42.2.0/24     on the first
//   node static-two-nodes.js 192.0.2.2 10.42.2.1/24  192.0.2.1 10.42.1.0/24     on the second
// Then `ping 10.42.2.1` on the first. Ctrl-C ends it, and the device goes with it.
import { formatPrefix, Overlay, parsePrefix } from "ripstop";

const [ownUnderlay = "", ownAddress = "", peerUnderlay = "", peerPrefix = ""] = process.argv.slice(2);
const own = parsePrefix(ownAddress);
if (own === null || peerPrefix === "") {
  throw new Error("usage: static-two-nodes OWN-UNDERLAY OWN-ADDRESS/LENGTH PEER-UNDERLAY PEER-PREFIX");
}

const overlay = Overlay.open({ underlay: { address: ownUnderlay }, vni: 42, prefixes: [formatPrefix(own)] });
overlay.apply([{ underlay: peerUnderlay, prefixes: [peerPrefix] }]);
await overlay.configure({ addresses: [ownAddress], routes: [peerPrefix] });
console.log(`${overlay.device}: ${ownAddress} over ${ownUnderlay}, MTU ${overlay.mtu}`);

const timer = setInterval(() => {
  const { encap, decap } = overlay.counters();
  console.log(`out ${encap.txPackets} packets, in ${decap.txPackets}`);
}, 1000);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    clearInterval(timer);
    overlay.close();
  });
}
