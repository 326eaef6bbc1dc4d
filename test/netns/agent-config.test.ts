// The network configuration changes while an agent runs: taken over at once, waiting for a restart, or refused; and a start
// that finds the store half there. The store is a folder.
import assert from "node:assert/strict";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeSubnetKey } from "../../src/lease/codec.js";
import { parsePrefix4 } from "../../src/addr/prefix.js";
import { parseIpv4 } from "../../src/addr/ipv4.js";
import { FileStore } from "../../src/store/file/file-store.js";
import { type AgentHost, withAgentHost } from "../support/agent-host.js";
import { rootNeeded } from "../support/lab.js";
import { until } from "../support/until.js";

/** Beyond the hundred that an agent chooses its own from. */
const PEER = "10.244.200.0/24";
const VTEP_MAC = "02:00:00:00:00:77";

function configure(host: AgentHost, backend: object, more: object = {}): void {
  const text = JSON.stringify({ Network: "10.244.0.0/16", ...more, Backend: { Type: "vxlan", ...backend } });
  const path = join(host.storeDir, "config");
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** A peer on our own segment, so that DirectRouting has something to change. */
async function addPeer(host: AgentHost): Promise<void> {
  const store = new FileStore({ directory: host.storeDir });
  const subnet = parsePrefix4(PEER);
  const publicIp = parseIpv4("192.168.90.7");
  assert.ok(subnet !== null && publicIp !== null);
  const attrs = { publicIp, publicIpv6: null, backendType: "vxlan", backendData: { VNI: 1, VtepMAC: VTEP_MAC } };
  const outcome = await store.createLease({ subnet, ipv6Subnet: null }, attrs, null, AbortSignal.timeout(5_000));
  await store.close();
  assert.ok(outcome.created, encodeSubnetKey({ subnet, ipv6Subnet: null }));
}

const mtuOf = (host: AgentHost) => /mtu (\d+)/.exec(host.ip("-o link show flannel.1"))?.[1];
const routeOf = (host: AgentHost) => host.ip(`-o route show ${PEER}`);

/** For a machine that is busy; that no event is missed is tested without time in test/unit/agent/session.test.ts. */
const HEARD_MS = 30_000;

test("MTU, Learning, DirectRouting and data-plane options are followed by the device, the routes and the data plane", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=userspace"]);
    await addPeer(host);
    await until("the peer is programmed", () => routeOf(host).includes("dev flannel.1"));
    const before = { index: host.ip("-o link show flannel.1").split(":")[0], leases: await host.leases() };
    const { dataplane } = host;

    configure(host, { MTU: 1400 });
    await until("the device follows", () => mtuOf(host) === "1350");
    await until("subnet.env follows", () => readFileSync(host.subnetFile, "utf8").includes("FLANNEL_MTU=1350\n"));
    configure(host, { Learning: true });
    await until("the device learns", () => !host.ip("-d link show flannel.1").includes("nolearning"));
    configure(host, { DirectRouting: true });
    await until("the route is plain", () => /via 192\.168\.90\.7 dev eth0/.test(routeOf(host)));
    await until("an option that is gone has its default again", () => mtuOf(host) === "1450");
    host.ip("route add 192.168.90.7/32 via 192.168.90.253");
    await until("a gateway has come between", () => routeOf(host).includes("dev flannel.1"), HEARD_MS);
    host.ip("route delete 192.168.90.7/32 via 192.168.90.253");
    await until("the segment is one again", () => /via 192\.168\.90\.7 dev eth0/.test(routeOf(host)), HEARD_MS);
    configure(host, { DataPlane: { Workers: 1, Disable: ["tunnel-gso"] } });
    await until("the route is through the tunnel", () => routeOf(host).includes("dev flannel.1"));
    const replaced = () => host.dataplane !== null && host.dataplane.pid !== dataplane?.pid;
    await until("other options are another process, which takes over", replaced);
    await until("the data plane is open again", () => host.status().dataplane["state"] === "running");

    await host.untilCondition("ok");
    const after = { index: host.ip("-o link show flannel.1").split(":")[0], leases: await host.leases() };
    assert.deepEqual(after, before, "the device and the leases are the same");

    configure(host, { GBP: true });
    const refused = /refused, the one before stays: the vxlan backend .* is not carried in user space/;
    await until("marks cannot be carried", () => host.status().reasons.some((text) => refused.test(text)));
    assert.doesNotMatch(host.ip("-d link show flannel.1"), / gbp /);
  });
});

test("what only a restart applies is named until it is restarted or taken back; the rest of it is live", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=kernel"]);
    configure(host, { VNI: 9, MTU: 1400 });
    await host.untilCondition("degraded", /restart the agent to apply Backend\.VNI$/);
    await until("the MTU is live", () => mtuOf(host) === "1350");
    configure(host, { MTU: 1400 });
    await until("taken back", () => host.status().condition === "ok");
    configure(host, { VNI: 9 });
    await until("reported again", () => host.status().condition === "degraded");
    await host.stopAgents();
    await host.startAgent(["--dataplane=kernel"]);
    assert.match(host.ip("-d link show flannel.9"), /vxlan id 9 /);
    await host.untilCondition("ok");
  });
});

test("a bad configuration is refused with its reason, the one before stays, a good one heals", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    await host.startAgent(["--dataplane=kernel"]);
    const before = await host.settledDump();
    const path = join(host.storeDir, "config");
    const refusals: [bad: () => void, reason: RegExp][] = [
      [() => writeFileSync(path, "{"), /is no JSON/],
      [() => configure(host, { Type: "vxlam" }), /unknown backend type: vxlam/],
      [() => configure(host, { MTU: 90 }), /underlay MTU of 90 leaves 40 bytes/],
      [() => configure(host, { VNI: -1 }), /Backend\.VNI is -1/],
    ];
    for (const [bad, reason] of refusals) {
      bad();
      const refused = () =>
        host.status().reasons.some((text) => text.includes("refused, the one before stays") && reason.test(text));
      await until(`refused for ${reason}`, refused);
      assert.equal(host.dump(), before);
    }
    configure(host, {});
    await until("a good one heals", () => host.status().condition === "ok");
    assert.equal(host.dump(), before);
  });
});

test("a start waits for leases that cannot be listed yet, and tells the container runtime after that", {
  skip: rootNeeded,
}, async () => {
  await withAgentHost(async (host) => {
    // The configuration can be read, the records cannot.
    const records = join(host.storeDir, "subnets");
    writeFileSync(records, "");
    const log = join(host.folder, "agent0.log");
    const cni = join(host.folder, "cni", "10-ripstop.conflist");
    const starting = host.startAgent(["--dataplane=kernel", `--cni-conf-file=${cni}`]);
    const waits = () => existsSync(log) && readFileSync(log, "utf8").includes("waiting for the leases");
    await until("it waits", waits, 30_000);
    assert.equal(existsSync(cni), false, "a runtime takes a node with this file for ready");
    rmSync(records);
    await starting;
    assert.equal((await host.leases()).length, 1);
    // It is there when the agent says that it is ready, and whole whenever it is there.
    assert.equal((JSON.parse(readFileSync(cni, "utf8")) as { readonly name: string }).name, "cbr0");
  });
});
