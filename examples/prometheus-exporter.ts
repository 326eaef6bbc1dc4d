// Counters of an overlay for Prometheus: packets and bytes both ways, and every drop under its reason. The text is made when it
// is asked for; reading counters stops no worker.
//   node prometheus-exporter.js 9464        then: curl http://127.0.0.1:9464/metrics
// The overlay here is in memory and gets a few packets, one of them for nobody.
import { createServer } from "node:http";
import { dropReasons, Overlay } from "ripstop";
import { ethernetFrame, MemoryLan, udpPacket } from "ripstop/testing";

const lan = new MemoryLan();
const overlay = Overlay.open({ underlay: lan.join("192.0.2.1"), vni: 42, port: "memory", prefixes: ["10.42.1.0/24"] });
overlay.apply([{ underlay: "192.0.2.2", prefixes: ["10.42.2.0/24"] }]);
for (const destination of ["10.42.2.7", "10.42.2.8", "224.0.0.1"]) {
  const payload = udpPacket({ source: "10.42.1.5", destination, payload: 20 });
  overlay.port?.sendCopies([ethernetFrame({ type: 0x0800, payload })]);
}

function metrics(): string {
  const counters = overlay.counters();
  const lines = [
    "# HELP overlay_packets_total Packets carried, by direction.",
    "# TYPE overlay_packets_total counter",
    `overlay_packets_total{vni="${overlay.vni}",direction="out"} ${counters.encap.txPackets}`,
    `overlay_packets_total{vni="${overlay.vni}",direction="in"} ${counters.decap.txPackets}`,
    "# HELP overlay_bytes_total Bytes carried, by direction.",
    "# TYPE overlay_bytes_total counter",
    `overlay_bytes_total{vni="${overlay.vni}",direction="out"} ${counters.encap.txBytes}`,
    `overlay_bytes_total{vni="${overlay.vni}",direction="in"} ${counters.decap.txBytes}`,
    "# HELP overlay_drops_total Packets that were not carried, by reason.",
    "# TYPE overlay_drops_total counter",
  ];
  for (const { label } of dropReasons()) {
    const dropped = (counters.encap.drops[label] ?? 0n) + (counters.decap.drops[label] ?? 0n);
    lines.push(`overlay_drops_total{vni="${overlay.vni}",reason="${label}"} ${dropped}`);
  }
  return `${lines.join("\n")}\n`;
}

const server = createServer((request, response) => {
  if (request.url !== "/metrics") {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(metrics());
});
server.listen(Number(process.argv[2] ?? "9464"), "127.0.0.1", () => {
  const address = server.address();
  console.log(`metrics at http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/metrics`);
});
process.once("SIGTERM", () => {
  server.close();
  void lan.close();
});
