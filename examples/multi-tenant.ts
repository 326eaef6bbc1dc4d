// Tenants kept apart by VNI: three overlays with the same inner addresses share one underlay socket and one worker. Each
// tenant's packets reach that tenant only, and each has counters of its own. In memory here; with real addresses, and
// without `port: "memory"`, every overlay gets a device of its own (rs100, rs200, rs300).
import { Overlay, type Underlay } from "ripstop";
import { ethernetFrame, MemoryLan, udpPacket } from "ripstop/testing";

const TENANTS = { 100: "blue", 200: "green", 300: "red" } as const;

const lan = new MemoryLan();
const [left, right] = [lan.join("192.0.2.1"), lan.join("192.0.2.2")];

function open(underlay: Underlay, vni: number, own: number, peer: number): Overlay {
  const overlay = Overlay.open({ underlay, vni, port: "memory", prefixes: [`10.0.${own}.0/24`] });
  overlay.apply([{ underlay: `192.0.2.${peer}`, prefixes: [`10.0.${peer}.0/24`] }]);
  return overlay;
}

const tenants = Object.entries(TENANTS).map(([vni, name]) => ({
  name,
  left: open(left, Number(vni), 1, 2),
  right: open(right, Number(vni), 2, 1),
}));

for (const [index, tenant] of tenants.entries()) {
  const payload = new TextEncoder().encode(`secret of ${tenant.name}`);
  const packet = udpPacket({ source: "10.0.1.1", destination: "10.0.2.1", payload });
  const frames = new Array<Uint8Array>(index + 1).fill(ethernetFrame({ type: 0x0800, payload: packet }));
  tenant.left.port?.sendCopies(frames);
}

for (const [index, { name, right: overlay }] of tenants.entries()) {
  let got = 0;
  for await (const frame of overlay.port?.packets({ signal: AbortSignal.timeout(30_000) }) ?? []) {
    if (got++ === 0)
      console.log(`${name} (VNI ${overlay.vni}) got "${new TextDecoder().decode(frame.subarray(14 + 28))}"`);
    if (got === index + 1) break;
  }
}
for (const { name, left: overlay } of tenants)
  console.log(`${name} sent ${overlay.counters().encap.txPackets} packets`);
await lan.close();
