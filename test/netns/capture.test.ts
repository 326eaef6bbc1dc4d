// `ripstop capture` shows what the data plane takes out of tcpdump's sight: at the overlay, at the underlay, and what is
// dropped with the reason; nothing stays on when it has ended.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Counters } from "../../src/dataplane/counters.js";
import type { LabNode } from "../../src/lab/plan.js";
import { runningPlane } from "../../src/lab/plane.js";
import { waitFor } from "../../src/lab/wait.js";
import { exitOf, inNamespace, must, podOf, ripstop, startRipstop } from "../support/node-commands.js";
import { assertLaw, restingCounters } from "../support/accounting.js";
import { rootNeeded, withLab } from "../support/lab.js";
import { until } from "../support/until.js";

async function countersOf(node: LabNode): Promise<Counters> {
  return (await waitFor("the data plane to answer", () => runningPlane(node), { timeoutMs: 30_000 })).counters;
}

async function capture(node: LabNode, args: readonly string[], traffic: () => void | Promise<void>): Promise<Buffer> {
  const { child, out, err } = startRipstop(node, "capture", `--run-dir=${node.directory}/run`, ...args);
  await until("the capture is on", () => err().includes("capturing at") || child.exitCode !== null);
  await traffic();
  child.kill("SIGINT");
  assert.equal(await exitOf(child), 0, err());
  assert.match(err(), /\d+ packets captured, \d+ matched the filter, 0 lost/);
  return Buffer.concat(out);
}

for (const underlayPort of ["tap", "xdp"] as const) {
  test(`a ping through ${underlayPort} ports is seen inside and outside`, { skip: rootNeeded }, async () => {
    await withLab({ dataplane: "userspace", underlayPort }, async ({ nodes }) => {
      const [one, other] = nodes as readonly [LabNode, LabNode];
      const ping = () => void must(one.pod, `ping -c 3 -i 0.2 -w 10 -q ${podOf(other)}`);
      const carried = async () => {
        const { encap, decap } = await countersOf(one);
        return [encap.txPackets, decap.txPackets] as const;
      };
      let lines: string[] = [];
      // What is left to the kernel's path, by a busy machine or before the next hop is known, no data plane can show on its way out.
      await until("the data plane to carry it all", async () => {
        const [out, back] = await carried();
        lines = (await capture(one, ["-i", "overlay,underlay", "-s", "200"], ping)).toString().trim().split("\n");
        const [outNow, backNow] = await carried();
        return outNow - out === 3n && backNow - back === 3n;
      });
      const all = lines.join("\n");
      const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
      const [from, to] = [podOf(one), podOf(other)].map((address) => address.replaceAll(".", "\\."));
      const [near, far] = ["192\\.168\\.77\\.1\\.\\d+", "192\\.168\\.77\\.2\\.\\d+"];
      assert.equal(count(new RegExp(`overlay {2}in  ${from} > ${to} ICMP type 8, length 98$`)), 3, all);
      assert.equal(
        count(new RegExp(`underlay out ${near} > 192\\.168\\.77\\.2\\.8472 UDP VXLAN 1: ${from} > ${to} ICMP type 8`)),
        3,
        lines.join("\n"),
      );
      assert.equal(
        count(new RegExp(`underlay in  ${far} > 192\\.168\\.77\\.1\\.8472 UDP VXLAN 1: ${to} > ${from} ICMP type 0`)),
        3,
        lines.join("\n"),
      );
      assert.equal(count(new RegExp(`overlay {2}out ${to} > ${from} ICMP type 0`)), 3, lines.join("\n"));
    });
  });
}

test("a capture is filtered as tcpdump filters, and its file is one that tcpdump reads", {
  skip: rootNeeded,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "ripstop-capture-"));
  try {
    await withLab({ dataplane: "userspace" }, async ({ nodes }) => {
      const [one, other] = nodes as readonly [LabNode, LabNode];
      const file = join(folder, "seen.pcapng");
      const traffic = () => {
        must(one.pod, `ping -c 2 -i 0.2 -w 10 -q ${podOf(other)}`);
        must(one.pod, `ping -c 4 -i 0.2 -w 10 -q -s 1000 ${podOf(other)}`);
      };
      const read = (path: string) =>
        spawnSync("tcpdump", ["-nr", path], { encoding: "utf8" }).stdout.trim().split("\n");
      let lines: string[] = [];
      // As above: the data plane shows what it carries itself.
      await until("the data plane to carry it all", async () => {
        const before = (await countersOf(other)).decap.txPackets;
        await capture(
          other,
          ["-i", "overlay", "-w", file, "icmp[icmptype]", "==", "8", "and", "greater", "500"],
          traffic,
        );
        lines = read(file);
        return (await countersOf(other)).decap.txPackets - before === 6n;
      });
      assert.equal(lines.length, 4, lines.join("\n"));
      for (const line of lines) assert.match(line, /ICMP echo request, id \d+, seq \d, length 1008$/);
      const bytes = await capture(other, ["-w", "-", "icmp"], () => void must(one.pod, `ping -c 1 -q ${podOf(other)}`));
      assert.equal(bytes.readUInt32LE(0), 0x0a0d0d0a);

      const bad = ripstop(one, "capture", `--run-dir=${one.directory}/run`, "udp", "prot", "53");
      assert.equal(bad.status, 1);
      assert.match(
        bad.stderr,
        /^ripstop: the capture filter 'udp prot 53' is not understood: .* \(CAPTURE_FILTER_BAD\)\n$/,
      );
      assertLaw(await restingCounters(other), other.namespace);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("dropped packets are captured with the reason, and only while somebody looks", { skip: rootNeeded }, async () => {
  await withLab({ dataplane: "userspace" }, async ({ nodes }) => {
    const [one, other] = nodes as readonly [LabNode, LabNode];
    // An address that no lease has: encapsulated to us by nobody we know.
    must(other.namespace, "ip address add 192.168.77.99/24 dev eth0");
    const stranger = () =>
      void inNamespace(
        other.namespace,
        "python3",
        "-c",
        `import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("192.168.77.99",0)); s.sendto(bytes([8,0,0,0,0,0,1,0])+bytes(60),("192.168.77.1",8472))`,
      );
    const dropped = async () => Number((await countersOf(one)).decap.drops["unknown_peer"]);
    /** Sends once more what a busy machine left to the kernel's path, which counts nothing. */
    const dropOne = async () => {
      const before = await dropped();
      await until("a packet is dropped", async () => {
        stranger();
        return (await dropped()) > before;
      });
    };
    const lines = (await capture(one, ["-i", "drop"], dropOne)).toString().trim().split("\n");
    assert.ok(lines.length <= (await dropped()), lines.join("\n"));
    for (const line of lines)
      assert.match(line, /drop {5}in {2}unknown_peer 192\.168\.77\.99\.\d+ > 192\.168\.77\.1\.8472 UDP VXLAN 1/);
    const busy = startRipstop(one, "capture", `--run-dir=${one.directory}/run`);
    await until("the capture is on", () => busy.err().includes("capturing at"));
    const second = ripstop(one, "capture", `--run-dir=${one.directory}/run`, "--seconds=1");
    assert.match(second.stderr, /CAPTURE_BUSY/);
    busy.child.kill("SIGKILL");
    await exitOf(busy.child);
    await until(
      "the killed capture has left the data plane",
      () => ripstop(one, "capture", `--run-dir=${one.directory}/run`, "--seconds=1").status === 0,
    );
    await dropOne();
    assertLaw(await restingCounters(one), one.namespace);
  });
});
