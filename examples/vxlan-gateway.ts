// A gateway between this host and VXLAN segments of plain Linux machines: a TAP device here, kernel VXLAN devices there. ARP,
// broadcast and unknown addresses go to every machine; everything else where it was learned. Run it as root:
//   node vxlan-gateway.js 192.0.2.1 43 10.43.0.1/24  192.0.2.2 [192.0.2.3 ...]
// and on each of the machines, with its own addresses:
//   ip link add vx type vxlan id 43 dstport 4789 dev eth0 local 192.0.2.2
//   bridge fdb append 00:00:00:00:00:00 dev vx dst 192.0.2.1
//   ip address add 10.43.0.2/24 dev vx && ip link set vx up
import { Overlay } from "ripstop";

const [own = "", vni = "", address = "", ...machines] = process.argv.slice(2);
if (machines.length === 0) throw new Error("usage: vxlan-gateway OWN-UNDERLAY VNI OWN-ADDRESS/LENGTH MACHINE...");

const gateway = Overlay.open({ underlay: { address: own }, vni: Number(vni), mode: "bridged", device: "gw0" });
gateway.apply(machines.map((underlay) => ({ underlay })));
await gateway.configure({ addresses: [address] });
console.log(`${gateway.device}: ${address}, VNI ${gateway.vni}, MTU ${gateway.mtu}, ${machines.length} machines`);

const timer = setInterval(() => {
  for (const { mac, underlay } of gateway.learned()) console.log(`${mac} ${underlay ?? "here"}`);
}, 1000);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    clearInterval(timer);
    gateway.close();
  });
}
