// Nothing is left: dumps of links, addresses, routes, rules, packet filter, namespaces and BPF objects are the same after
// `lab down` and `ripstop cleanup` as before anything began; and a start that finds what a crash has left makes it as it shall be.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ipv4 } from "../../src/addr/ipv4.js";
import { prefix4 } from "../../src/addr/prefix.js";
import { labDown, labUp } from "../../src/lab/lab.js";
import { DEFAULT_OPTIONS } from "../../src/lab/plan.js";
import { identify } from "../../src/lab/process-record.js";
import { type ProcessIdentity, signalProcess } from "../../src/lib/process-identity.js";
import { FileStore } from "../../src/store/file/file-store.js";
import { withAgentHost } from "../support/agent-host.js";
import { type BpfObject, bpfAttachments, bpfObjectsLeft, bpfObjectsOf } from "../support/bpf-objects.js";
import { labFolder, planeOf, rootNeeded, testPrefix } from "../support/lab.js";
import { until } from "../support/until.js";

/** Of the network namespace that the tests run in. */
function dump(): string {
  const shown = [
    "-o link",
    "-o address",
    "-o route show table all",
    "-6 -o route show table all",
    "-o rule",
    "netns list",
  ];
  const texts = shown.map((command) => execFileSync("ip", command.split(" "), { encoding: "utf8" }));
  texts.push(execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" }));
  texts.push(bpfAttachments(null));
  return texts.map((text) => text.replace(/ (expires|valid_lft|preferred_lft) \S+/g, "")).join("\n--\n");
}

/** iptables makes its built-in tables when the first rule comes, and never takes one away again: empty they say nothing. */
function withoutEmptyTables(ruleset: string): string {
  return ruleset.replace(
    /^table ip6? (filter|nat|mangle) \{\n(\tchain [A-Z]+ \{\n\t\ttype .*; policy accept;\n\t\}\n|\n)*\}\n/gm,
    "",
  );
}

async function kill(identity: ProcessIdentity): Promise<void> {
  signalProcess(identity, "SIGKILL");
  await until(`process ${identity.pid} to be gone`, async () => (await identify(identity.pid)) === null);
}

function assertComplete(objects: readonly BpfObject[], links: boolean): void {
  const kinds = objects.map(({ kind }) => kind);
  const count = (kind: string) => kinds.filter((one) => one === kind).length;
  assert.ok(count("prog") >= 6 && count("map") >= 2, `programs and maps are held: ${kinds.join(" ")}`);
  assert.equal(count("link") > 0, links, `links: ${kinds.join(" ")}`);
}

for (const underlayPort of ["tap", "xdp"] as const) {
  test(`lab down leaves the machine as it was before, with the ${underlayPort} port`, {
    skip: rootNeeded,
  }, async () => {
    const before = dump();
    const directory = await labFolder();
    const context = { directory, report: () => undefined };
    const objects: BpfObject[] = [];
    try {
      const options = { ...DEFAULT_OPTIONS, prefix: testPrefix, dataplane: "userspace", underlayPort } as const;
      const plan = await labUp(options, context);
      assert.notEqual(dump(), before, "a lab can be seen");
      for (const node of plan.nodes) {
        const { pid } = await planeOf(node);
        const held = bpfObjectsOf(pid);
        assertComplete(held, true);
        assert.deepEqual(bpfObjectsLeft(held), held, "they are found while they are there");
        objects.push(...held);
      }
    } finally {
      await labDown(context);
      await rm(join(directory, ".."), { recursive: true, force: true });
    }
    await until("the kernel has let go of every BPF object", () => bpfObjectsLeft(objects).length === 0, 30_000);
    assert.equal(dump(), before);
  });
}

for (const [how, choice] of [
  ["BPF object of tcx links", {}],
  ["BPF object of tc filters", { Disable: ["tcx"] }],
  ["device of an AF_XDP overlay", { OverlayPort: "xdp" }],
] as const) {
  test(`cleanup after SIGKILL of everything leaves no ${how}`, { skip: rootNeeded }, async () => {
    const network = { Network: "10.244.0.0/16", Backend: { Type: "vxlan", DataPlane: choice } };
    await withAgentHost(async (host) => {
      const shown = () => [host.dump(), withoutEmptyTables(host.nft()), bpfAttachments(host.namespace)];
      const before = shown();
      await host.startAgent(["--dataplane=userspace"]);
      // A program that the agent has just started goes on after its SIGKILL.
      await host.settledDump();
      await until("the agent's nft table", () => host.nft().includes("table inet ripstop-flannel.1 {"), 30_000);
      const dataplane = host.dataplane ?? assert.fail("a data plane");
      const held = bpfObjectsOf(dataplane.pid);
      assertComplete(held, !("Disable" in choice));
      await host.stopAgents("SIGKILL");
      await kill(dataplane);
      assert.equal(host.cleanup().stderr, "");
      await until("the kernel has let go of every BPF object", () => bpfObjectsLeft(held).length === 0, 30_000);
      assert.deepEqual(shown(), before);
    }, JSON.stringify(network));
  });
}

for (const [how, DataPlane] of [
  ["tcx links", {}],
  ["tc filters", { Disable: ["tcx"] }],
] as const) {
  test(`a start after SIGKILL of everything, with ${how}, finds and repairs what is left`, {
    skip: rootNeeded,
  }, async () => {
    const network = { Network: "10.244.0.0/16", Backend: { Type: "vxlan", DataPlane } };
    await withAgentHost(async (host) => {
      // Two data planes take turns with two names, and indices grow.
      const shown = async () =>
        (await host.settledDump()).replace(/^\d+: |(?<=rs[ou]\.1)b/gm, "").replace(/link\/\S+ \S+/g, "");
      const store = new FileStore({ directory: host.storeDir });
      const backendData = { VNI: 1, VtepMAC: "02:00:00:00:00:77" };
      const attrs = { publicIp: ipv4(0xc0a85a07), publicIpv6: null, backendType: "vxlan", backendData };
      const subnet = prefix4(ipv4(0x0af4c800), 24);
      const signal = AbortSignal.timeout(300_000);
      await host.startAgent(["--dataplane=userspace"]);
      const without = await shown();
      const peer = await store.createLease({ subnet, ipv6Subnet: null }, attrs, null, signal);
      assert.ok(peer.created);
      await until("the peer's route", () => host.ip("route").includes("10.244.200.0/24"), 30_000);
      const dataplane = host.dataplane ?? assert.fail("a data plane");
      await host.stopAgents("SIGKILL");
      await kill(dataplane);
      // What changes while nobody looks: a peer that goes, and what somebody breaks.
      await store.deleteLease(peer.lease, signal);
      host.ip("link set flannel.1 mtu 1280 address 02:00:00:00:00:98");
      host.ip("route add 10.244.201.0/24 via 10.244.201.0 dev flannel.1 onlink proto 158");
      assert.match(host.ip("route"), /10\.244\.200\.0\/24/);
      await host.startAgent(["--dataplane=userspace"]);
      await until("all is well", () => host.status().condition === "ok", 30_000);
      await until("nothing of it is left", async () => (await shown()) === without, 30_000).catch(async () =>
        assert.equal(await shown(), without),
      );
      assert.notEqual(host.dataplane?.pid, dataplane.pid);
      const filters = [...host.tc("filter show dev eth0 ingress").matchAll(/ handle \S+ ripstop/g)];
      assert.equal(filters.length, "Disable" in DataPlane ? 1 : 0, "one filter, not one for each life");
      // And one that goes while somebody looks.
      const asked = () => host.ip("neighbor").includes("192.168.90.7 ");
      const again = await store.createLease({ subnet, ipv6Subnet: null }, attrs, null, signal);
      assert.ok(again.created);
      await until("the peer is asked for", asked, 30_000);
      host.ip("neighbor replace 192.168.90.7 lladdr 02:00:00:00:00:07 dev eth0 managed protocol 158 nud reachable");
      await store.deleteLease(again.lease, signal);
      await store.close();
      await until("nobody asks for it any more", () => !asked(), 30_000);
    }, JSON.stringify(network));
  });
}
