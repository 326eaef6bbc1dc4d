// openDataplane(): the agent's data plane in a program of one's own, behind a kernel VXLAN device, by name and by `auto`; test/netns/plane-paths.test.ts has the others.
//   [ours: the program] - eth0 - router - eth0 - [other: kernel VXLAN]
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { runTcpCheck } from "../../src/lab/traffic/tcp-check.js";
import { pingAll } from "../support/ping-all.js";
import { rootNeeded } from "../support/lab.js";
import { OTHER, OURS, ROUTER_MAC, withRoutedHosts } from "../support/routed-hosts.js";
import { eventually } from "../support/until.js";

const script = (underlayPort: string) => `
  import { encodePeerTable, ipv4, openDataplane, parseIpv4, parsePrefix, parsePrefix4, totalDrops } from ${JSON.stringify(
    new URL("../../src/index.js", import.meta.url).href,
  )};
  import { createInterface } from "node:readline";
  const plane = openDataplane({
    encapsulation: "vxlan", vni: 1, port: 8472, overlayDevice: "flannel.1", overlayDeviceV6: "", underlayDevice: "eth0",
    overlayPort: "auto", underlayPort: ${JSON.stringify(underlayPort)}, disable: [], checksumV4: false, workers: 1, cpus: [],
    busyPollUs: 0,
  });
  const { readFileSync } = await import("node:fs");
  const mac = readFileSync("/sys/class/net/eth0/address", "utf8").trim();
  plane.apply(encodePeerTable({
    version: 1n,
    local: {
      prefixes: [parsePrefix("10.244.1.0/24")], underlayV4: parseIpv4("${OURS.v4}"), underlayV6: null, underlayMac: mac,
      vtepMac: "${OURS.vtep}", overlayMtu: 1430,
    },
    peers: [{
      id: 1, prefix: parsePrefix4("10.244.2.0/24"), underlay: { family: 4, address: parseIpv4("${OTHER.v4}") },
      vtepMac: "${OTHER.vtep}",
    }],
  }, new Map([[1, { mac: "${ROUTER_MAC}", pathMtu: 1500 }]])));
  for await (const _ of createInterface({ input: process.stdin })) {
    const { encap, decap } = plane.counters();
    const law = [encap, decap].map((lane) =>
      Number(lane.rxPackets - lane.txPackets - lane.punts - lane.replies - totalDrops(lane.drops)));
    console.log(JSON.stringify({
      ports: plane.inspect().ports.map(({ side, kind, reason }) => ({ side, kind, reason })),
      out: Number(encap.txPackets), in: Number(decap.txPackets), law,
    }));
  }
  plane.close();`;

interface Answer {
  readonly ports: readonly { readonly side: string; readonly kind: string; readonly reason: string }[];
  readonly out: number;
  readonly in: number;
  readonly law: readonly number[];
}

describe("openDataplane()", () => {
  for (const [asked, kind] of [
    ["auto", "tap"],
    ["tap", "tap"],
    ["packet", "packet"],
  ] as const) {
    it(`carries with the underlay port ${asked}, and the kernel goes on when it closes`, {
      skip: rootNeeded,
    }, async () => {
      await withRoutedHosts(4, 1500, async ({ ours, other }) => {
        const command = ["netns", "exec", ours.name, process.execPath, "--input-type=module", "-e", script(asked)];
        const child = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
        const ended = once(child, "close");
        const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
        const state = async (): Promise<Answer> => {
          child.stdin.write("state\n");
          return JSON.parse(((await lines.next()) as { value: string }).value) as Answer;
        };
        try {
          const { ports } = await state();
          assert.deepEqual(
            ports.map((port) => port.kind),
            ["tap", kind],
          );
          assert.match(ports[1]?.reason ?? "", asked === "auto" ? /TAP/ : /^asked for$/);
          const ping = () => pingAll(ours, OTHER.pod, { count: 10, options: ["-I", OURS.pod] });
          await ping();
          // What a busy machine leaves to the kernel's path is not counted here.
          await eventually(async () => {
            await runTcpCheck({ from: ours.name, to: other.name, address: OTHER.pod, mebibytes: 8 });
            const after = await state();
            assert.ok(after.out > 10 && after.in > 10, JSON.stringify(after));
          });
          // A packet may be on its way still.
          await eventually(async () => assert.deepEqual((await state()).law, [0, 0]));
          child.stdin.end();
          assert.deepEqual((await ended)[0], 0);
          await ping();
        } finally {
          child.kill("SIGKILL");
        }
      });
    });
  }
});
