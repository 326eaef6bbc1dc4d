// Our Kubernetes store on the bad days of a real API server, in one process and with a proxy between them: history that is gone
// (410), a server too busy to answer (429), tokens that are worth nothing any more, watches that break, nodes made anew.
//   store - TCP proxy - kube-apiserver - etcd
import assert from "node:assert/strict";
import { join } from "node:path";
import { renameSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { formatIpv4 } from "../../src/addr/ipv4.js";
import { RipstopError } from "../../src/lib/errors.js";
import { annotationNames, encodeAttrs } from "../../src/store/kube/annotations.js";
import { type KubeApi, KubeGone } from "../../src/store/kube/api.js";
import { KubeHttpApi } from "../../src/store/kube/http-api.js";
import { KubeStore } from "../../src/store/kube/kube-store.js";
import { SnapshotLog } from "../support/etcd-client.js";
import { KubeCluster } from "../support/kube-cluster.js";
import { rootNeeded } from "../support/lab.js";
import { vxlanAttrs } from "../support/lease-builder.js";
import { peerProgram } from "../support/peer-program.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { until } from "../support/until.js";

const apiserver = peerProgram("kube-apiserver");
const kubectl = peerProgram("kubectl");
const skip = rootNeeded || apiserver.missing || kubectl.missing;
const PREFIX = "flannel.alpha.coreos.com";
const names = annotationNames(PREFIX);
const LONG_MS = 60_000;
/** Objects as large as real ones, so that a list takes the server a while. */
const CROWD = 300;
const OTHERS = 4;

/** The store's calls that matter here, and how the server took them, in order. */
function witnessed(api: KubeHttpApi, seen: string[]): KubeApi {
  const tell = async <T>(what: string, call: Promise<T>): Promise<T> => {
    try {
      const result = await call;
      seen.push(what);
      return result;
    } catch (error) {
      const busy = error instanceof RipstopError && / 429: .*asks us to wait/.test(error.message);
      seen.push(`${what} ${error instanceof KubeGone ? "gone" : busy ? "busy" : "failed"}`);
      throw error;
    }
  };
  return {
    getNode: (...all) => tell("get", api.getNode(...all)),
    getPod: (...all) => api.getPod(...all),
    createEvent: (...all) => api.createEvent(...all),
    describe: () => api.describe(),
    close: () => api.close(),
    listNodes: (...all) => tell("list", api.listNodes(...all)),
    patchNodeStatus: (...all) => tell("patch", api.patchNodeStatus(...all)),
    watchNodes: (version, listener, signal) => {
      const opened = () => {
        seen.push("watch");
        listener.opened();
      };
      return tell("watch end", api.watchNodes(version, { ...listener, opened, heard: listener.heard }, signal));
    },
  };
}

describe("the Kubernetes store on bad days of a real API server", { skip }, () => {
  let cluster: KubeCluster;
  let proxy: TcpProxy;
  let tokenFile: string;
  let api: KubeHttpApi;
  let store: KubeStore;
  let log: SnapshotLog;
  let seen: string[];
  let stop: AbortController;

  before(async () => {
    cluster = await KubeCluster.start({
      apiserver: apiserver.path,
      kubectl: kubectl.path,
      namespace: null,
      address: "127.0.0.1",
    });
    await cluster.applyRules();
    for (const index of [1, 2, 3]) await createPeer(index);
    proxy = await TcpProxy.open(6443);
    tokenFile = join(cluster.directory, "token");
  });
  after(async () => {
    proxy?.close();
    await cluster?.destroy();
  });
  beforeEach(async () => {
    stop = new AbortController();
    proxy.pass();
    await rotateToken();
    const config = cluster.writeConfig("store.conf", { tokenFile }, `https://127.0.0.1:${proxy.port}`);
    api = await KubeHttpApi.open({ apiUrl: "", kubeconfigFile: config });
    seen = [];
    store = new KubeStore({
      api: witnessed(api, seen),
      nodeName: "n1",
      annotationPrefix: PREFIX,
      netConfigPath: join(cluster.directory, "net-conf.json"),
      setCondition: false,
    });
    log = new SnapshotLog(store.watchLeases(stop.signal));
  });
  afterEach(async () => {
    stop.abort();
    await store.close();
    await log.done;
  });

  async function createPeer(index: number): Promise<void> {
    const empty = { name: "", uid: "", createdMs: 0, annotations: new Map<string, string>(), podCidrs: [] };
    await cluster.createNode(
      `n${index}`,
      [`10.244.${index}.0/24`],
      encodeAttrs(vxlanAttrs(`192.0.2.${index}`), empty, names),
    );
  }

  /** As the kubelet replaces a projected token. */
  async function rotateToken(): Promise<void> {
    writeFileSync(`${tokenFile}.new`, await cluster.accountToken());
    renameSync(`${tokenFile}.new`, tokenFile);
  }

  const lease = (index: number) => log.latest?.leases.get(`n${index}`);
  const publicIp = (index: number) => {
    const address = lease(index)?.attrs.publicIp;
    return address === undefined || address === null ? "none" : formatIpv4(address);
  };
  const move = (index: number, address: string) => cluster.annotate(`n${index}`, { [names.publicIp]: address });
  const untilIp = (index: number, address: string) =>
    until(`n${index} is at ${address}; seen: ${seen.join(", ")}`, () => publicIp(index) === address, LONG_MS);
  /** The watch breaks, and the next attempt hangs, so that however long this takes it fails no more than once or twice. */
  const hold = () => {
    proxy.cut();
    proxy.swallow();
  };
  const untilWatching = () => until("it watches", () => seen.at(-1) === "watch", LONG_MS);
  const count = (what: string) => seen.filter((one) => one === what).length;

  it("goes on where a broken watch ended, without a new list", async () => {
    await untilWatching();
    hold();
    await move(2, "192.0.2.12");
    proxy.pass();
    await untilIp(2, "192.0.2.12");
    assert.equal(count("list"), 1, seen.join(", "));
  });

  it("lists again when the history it would go on from is gone (410), and finds what no event told", async () => {
    await untilWatching();
    hold();
    await cluster.kubectl(["delete", "node", "n3"]);
    await move(2, "192.0.2.22");
    await cluster.compactHistory();
    // What the server has in memory is history as well.
    await cluster.stopServer();
    await cluster.startServer();
    proxy.pass();
    await untilIp(2, "192.0.2.22");
    assert.equal(lease(3), undefined);
    const gone = seen.indexOf("watch end gone");
    assert.ok(gone >= 0 && seen.indexOf("list", gone) > gone, seen.join(", "));
    await createPeer(3);
    await untilIp(3, "192.0.2.3");
  });

  it("takes a list that breaks off because its history is gone (410) for what it is", async () => {
    const page = await api.listNodes(1, "", () => undefined, stop.signal);
    assert.notEqual(page.continueToken, "");
    await move(2, "192.0.2.32");
    await cluster.compactHistory();
    await cluster.stopServer();
    await cluster.startServer();
    const answer = () =>
      api
        .listNodes(1, page.continueToken, () => undefined, stop.signal)
        .then(
          () => "a page",
          (error: unknown) => (error instanceof KubeGone ? "gone" : error instanceof RipstopError && error.code),
        );
    let said: unknown;
    // One that has just started may ask for patience first.
    const settled = async () => {
      said = await answer();
      return said !== "STORE_UNAVAILABLE";
    };
    await until("the server says something", settled, LONG_MS);
    assert.equal(said, "gone");
  });

  it("goes on with the new token when the old one is worth nothing, and knows a node made anew", async () => {
    await untilWatching();
    // Tokens are bound to the account's uid; so they all end with it.
    await cluster.kubectl(["delete", "serviceaccount", "flannel", "-n", "kube-flannel"]);
    // The server remembers for some seconds that a token was good.
    const refused = () =>
      store.assignment.subnets(stop.signal).then(
        () => false,
        (error: unknown) => error instanceof RipstopError && error.code === "STORE_REFUSED",
      );
    await until("it is refused", refused, LONG_MS);
    proxy.cut();
    proxy.pass();
    await until("its watch is refused too", () => / 401/.test(store.health().detail), LONG_MS);
    assert.ok(lease(1) && lease(2) && lease(3), "peers stay");
    await cluster.applyRules();
    await rotateToken();
    await until("it is let in again", () => store.health().connected, LONG_MS);
    const before = lease(3);
    await cluster.kubectl(["delete", "node", "n3"]);
    await until("the node is gone", () => lease(3) === undefined, LONG_MS);
    await createPeer(3);
    await until("it is there again", () => lease(3) !== undefined, LONG_MS);
    assert.notEqual(lease(3)?.createRevision, undefined);
    assert.notEqual(lease(3), before);
  });

  it("gives way while the server is too busy (429), and gets through when it is not", async () => {
    await cluster.writeNodes("create", String(CROWD));
    await untilWatching();
    hold();
    await cluster.stopServer();
    await cluster.startServer(["--max-requests-inflight=1", "--enable-priority-and-fairness=false"]);
    const over = new AbortController();
    const token = await cluster.accountToken();
    const others = Array.from({ length: OTHERS }, () => listForEver(token, over.signal));
    proxy.pass();
    const refusals = () => count("list busy") + count("get busy");
    try {
      await until(
        `three refusals; seen: ${seen.join(", ")}`,
        async () => {
          await store.assignment.subnets(stop.signal).catch(() => undefined);
          return refusals() >= 3;
        },
        LONG_MS,
      );
    } finally {
      over.abort();
      await Promise.all(others);
    }
    await until("all nodes are listed", () => log.latest?.leases.size === CROWD + 3, LONG_MS);
    await move(2, "192.0.2.42");
    await untilIp(2, "192.0.2.42");
  });

  /** Whatever the answer, and without manners; with the account's rights, because an admin is never refused. */
  async function listForEver(token: string, signal: AbortSignal): Promise<void> {
    const headers = { Authorization: `Bearer ${token}` };
    while (!signal.aborted) {
      await new Promise<void>((done) => {
        const sent = get(`${cluster.url}/api/v1/nodes`, { headers, rejectUnauthorized: false, signal }, (response) =>
          response.resume().on("close", done),
        );
        sent.on("error", () => done());
      });
    }
  }
});
