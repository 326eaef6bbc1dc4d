// The Kubernetes store against an API server on its bad days: watches dropped, versions gone, tokens rotated, calls refused.
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { formatIpv4 } from "../../../../src/addr/ipv4.js";
import { annotationNames, encodeAttrs } from "../../../../src/store/kube/annotations.js";
import { KubeHttpApi } from "../../../../src/store/kube/http-api.js";
import { KubeStore } from "../../../../src/store/kube/kube-store.js";
import type { NodeAssignment, Subnets } from "../../../../src/store/store.js";
import { FakeKube } from "../../../support/fake-kube.js";
import { vxlanAttrs } from "../../../support/lease-builder.js";
import { SnapshotLog } from "../../../support/etcd-client.js";
import { until } from "../../../support/until.js";

const names = annotationNames("flannel.alpha.coreos.com");
const signal = new AbortController().signal;
let kube: FakeKube;
let folder: string;
let store: KubeStore;
let log: SnapshotLog;

/** A node as flannel leaves it. */
function peer(index: number): void {
  const empty = { name: "", uid: "", createdMs: 0, annotations: new Map<string, string>(), podCidrs: [] };
  kube.put(`n${index}`, `10.244.${index}.0/24`, encodeAttrs(vxlanAttrs(`192.0.2.${index}`), empty, names));
}

function kubeconfig(token: string): string {
  const path = join(folder, "kubeconfig");
  const text = JSON.stringify({
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", user: "u" } }],
    clusters: [{ name: "k", cluster: { server: kube.url } }],
    users: [{ name: "u", user: { token } }],
  });
  writeFileSync(path, text);
  return path;
}

function open(api = kube.client()): KubeStore {
  return new KubeStore({
    api,
    nodeName: "n1",
    annotationPrefix: "flannel.alpha.coreos.com",
    netConfigPath: join(folder, "net-conf.json"),
    setCondition: true,
  });
}

function assignment(): NodeAssignment {
  return store.assignment;
}

async function subnets(): Promise<Subnets> {
  const assigned = await assignment().subnets(signal);
  assert.ok(typeof assigned !== "string");
  return assigned;
}

describe("the Kubernetes store", () => {
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ripstop-kube-"));
    kube = await FakeKube.start();
    kube.put("n1", "10.244.1.0/24");
    peer(2);
    peer(3);
    store = open();
    log = new SnapshotLog(store.watchLeases(signal));
  });
  afterEach(async () => {
    await store.close();
    await log.done;
    await kube.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const keys = () => [...(log.latest?.leases.keys() ?? [])].sort().join(" ");

  it("shows the nodes that carry flannel's mark, and keeps their lease objects while nothing changes", async () => {
    await until("both peers", () => keys() === "n2 n3");
    const before = log.latest?.leases.get("n2");
    kube.annotate("n3", { [names.publicIp]: "192.0.2.33" });
    await until("the change", () => String(log.latest?.leases.get("n3")?.attrs.publicIp) === String(0xc0000221));
    assert.equal(log.latest?.leases.get("n2"), before);
  });

  it("follows a node that changes all the time now and then, to its last word, and the others at once", async () => {
    await until("both peers", () => keys() === "n2 n3");
    const began = performance.now();
    const leases = new Set<unknown>();
    const over = new AbortController();
    const counting = (async () => {
      for await (const snapshot of store.watchLeases(over.signal)) leases.add(snapshot.leases.get("n2"));
    })();
    for (let change = 0; change < 40; change++) {
      kube.annotate("n2", { [names.publicIp]: `198.51.100.${change}` });
      peer(100 + change);
      await until("another node is there", () => log.latest?.leases.has(`n${100 + change}`) === true);
    }
    const last = () => String(log.latest?.leases.get("n2")?.attrs.publicIp);
    await until("the last word", () => last() === String(0xc6336427));
    over.abort();
    await counting;
    const seconds = (performance.now() - began) / 1000;
    assert.ok(leases.size <= 12 + seconds, `${leases.size} changes were followed within ${seconds.toFixed(1)} s`);
  });

  it("writes its own node, and nothing when nothing is new", async () => {
    const attrs = vxlanAttrs("192.0.2.1");
    const outcome = await store.createLease(await subnets(), attrs, null, signal);
    assert.ok(outcome.created);
    assert.deepEqual(outcome.lease.attrs, attrs);
    assert.equal(kube.nodes.get("n1")?.metadata.annotations[names.publicIp], "192.0.2.1");
    const patches = () => kube.calls.filter((call) => call.startsWith("PATCH")).length;
    assert.equal(patches(), 1);
    const again = await store.renewLease(outcome.lease, attrs, null, signal);
    assert.ok(again.created);
    assert.equal(patches(), 1);
    assert.equal(again.lease, outcome.lease);
  });

  it("does not show itself alone as the whole cluster when it writes before the first list", async () => {
    const early = open();
    kube.failWith = null;
    await early.createLease(await subnets(), vxlanAttrs("192.0.2.1"), null, signal);
    const snapshot = await early.listLeases(signal);
    assert.equal([...snapshot.leases.keys()].sort().join(" "), "n1 n2 n3");
    await early.close();
  });

  it("publishes the overwritten address, follows it, and still knows the record as its own", async () => {
    const attrs = vxlanAttrs("192.0.2.1");
    const outcome = await store.createLease(await subnets(), attrs, null, signal);
    assert.ok(outcome.created);
    kube.annotate("n1", { [names.publicIpOverwrite]: "198.51.100.1" });
    await until("our record is not as we want it", () => {
      const own = log.latest?.leases.get("n1");
      return own !== undefined && kube.watchers > 0 && own.modRevision > outcome.lease.modRevision - 1n;
    });
    const renewed = await store.renewLease(outcome.lease, attrs, null, signal);
    assert.ok(renewed.created);
    assert.deepEqual(renewed.lease.attrs, attrs, "we see what we wanted");
    assert.equal(kube.nodes.get("n1")?.metadata.annotations[names.publicIp], "198.51.100.1", "peers see the other");
  });

  it("refuses to write a subnet that the node no longer has", async () => {
    const before = await subnets();
    kube.remove("n1");
    await assert.rejects(store.createLease(before, vxlanAttrs("192.0.2.1"), null, signal), {
      code: "STORE_UNAVAILABLE",
    });
    kube.put("n1", "10.244.9.0/24");
    const outcome = await store.createLease(before, vxlanAttrs("192.0.2.1"), null, signal);
    assert.equal(outcome.created, false);
  });

  it("goes on after dropped watches without a new list", async () => {
    await until("both peers", () => keys() === "n2 n3" && kube.watchers === 1);
    kube.dropWatches();
    peer(4);
    await until("the new peer", () => keys() === "n2 n3 n4");
    assert.equal(kube.calls.filter((call) => call === "GET /api/v1/nodes").length, 1);
  });

  it("lists again when its version is gone, by status or inside the stream, and finds what no event told", async () => {
    await until("both peers", () => keys() === "n2 n3" && kube.watchers === 1);
    kube.removeSilently("n3");
    kube.sendGone();
    await until("the lost removal", () => keys() === "n2");
    await until("a watch again", () => kube.watchers === 1);
    kube.removeSilently("n2");
    kube.compactedBelow = 1_000_000;
    kube.dropWatches();
    await until("the lost removal", () => keys() === "");
  });

  it("keeps every peer while the server refuses everything, and says why", async () => {
    await until("both peers", () => keys() === "n2 n3" && kube.watchers === 1);
    kube.failWith = 503;
    kube.dropWatches();
    await until("the failure is known", () => !store.health().connected && /503/.test(store.health().detail));
    assert.equal(keys(), "n2 n3");
    kube.failWith = null;
    await until("connected again, though nothing happens", () => store.health().connected);
    peer(4);
    await until("recovered", () => keys() === "n2 n3 n4");
    assert.ok(store.health().connected);
  });

  it("keeps its peers while the server is too busy (429), says so, and recovers", async () => {
    await until("both peers", () => keys() === "n2 n3" && kube.watchers === 1);
    kube.retryAfter = 1;
    kube.failWith = 429;
    kube.dropWatches();
    await until("it says why", () => /with 429.*asks us to wait 1 s/.test(store.health().detail));
    assert.equal(keys(), "n2 n3");
    kube.failWith = null;
    peer(4);
    await until("recovered", () => keys() === "n2 n3 n4" && store.health().connected);
  });

  it("reads a rotated token again at the first 401", async () => {
    kube.token = "first";
    const path = kubeconfig("first");
    const other = open(await KubeHttpApi.open({ apiUrl: "", kubeconfigFile: path }));
    assert.equal((await other.listLeases(signal)).leases.size, 2);
    kube.token = "second";
    kubeconfig("second");
    assert.ok(typeof (await other.assignment.subnets(signal)) !== "string");
    await other.close();
  });

  it("quarantines a broken node alone", async () => {
    kube.put("n5", "10.244.5.0/24", { [names.subnetManager]: "true", [names.publicIp]: "\u0000{{" });
    await until("the broken one is named", () => log.latest?.quarantined.some(({ key }) => key === "n5") ?? false);
    assert.equal(keys(), "n2 n3");
  });

  it("sets and clears NetworkUnavailable, and tells an event where it may", async () => {
    await assignment().tell({ available: false, reason: "PodCIDRNotUsable", message: "none" }, signal);
    const condition = () => kube.nodes.get("n1")?.status.conditions.find((one) => one["type"] === "NetworkUnavailable");
    assert.equal(condition()?.["status"], "True");
    await assignment().tell({ available: true, reason: "FlannelIsUp", message: "up" }, signal);
    assert.equal(condition()?.["status"], "False");
    assert.deepEqual(
      kube.events.map((event) => event["type"]),
      ["Warning", "Normal"],
    );
    assert.ok(
      kube.nodes.get("n1")?.status.conditions.some((one) => one["type"] === "Ready"),
      "others stay",
    );
    kube.eventsForbidden = true;
    await assignment().tell({ available: false, reason: "X", message: "x" }, signal);
    assert.equal(condition()?.["reason"], "X");
  });

  it("follows the addresses that somebody writes for this node, and says which are none", async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    const following = (async () => {
      for await (const { publicIp, problems = [] } of assignment().watchAddresses(stop.signal))
        seen.push([publicIp === null ? "none" : formatIpv4(publicIp), ...problems].join(", but "));
    })();
    await until("the first", () => seen.length === 1);
    kube.annotate("n1", { [names.nodePublicIp]: "192.0.2.77" });
    await until("the second", () => seen.length === 2);
    assert.deepEqual(seen, ["none", "192.0.2.77"]);
    kube.annotate("n1", { [names.publicIpOverwrite]: "here" });
    await until("an Event about what is no address", () => kube.events.length > 0);
    await until("the third", () => seen.length === 3);
    const complaint = `annotation ${names.publicIpOverwrite} is "here", which is no address`;
    assert.deepEqual(seen, ["none", "192.0.2.77", `192.0.2.77, but ${complaint}`]);
    assert.deepEqual(
      kube.events.map(({ reason, message }) => [reason, message]),
      [["AnnotationNotUsable", complaint]],
    );
    stop.abort();
    await following;
  });

  it("reads net-conf.json and its replacement by a ConfigMap's symbolic links", async () => {
    await assert.rejects(store.readNetworkConfig(signal), { code: "STORE_NO_CONFIG" });
    writeFileSync(join(folder, "next"), '{"Network":"10.244.0.0/16"}');
    renameSync(join(folder, "next"), join(folder, "net-conf.json"));
    assert.match(await store.readNetworkConfig(signal), /10\.244/);
  });
});
