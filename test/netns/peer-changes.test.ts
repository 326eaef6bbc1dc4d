// Changing a few peers without looking at the others, and which kernel events that makes: none for what we do ourselves, one
// for what somebody else breaks.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mac } from "../../src/addr/address.js";
import { ipv4 } from "../../src/addr/ipv4.js";
import { prefix4 } from "../../src/addr/prefix.js";
import type { HostEvent, PeerEntry } from "../../src/host/host.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import { rootNeeded } from "../support/lab.js";
import { type TestNamespace, withNamespace } from "../support/network-namespace.js";
import { until } from "../support/until.js";
import { SCOPE, vxlanSpec } from "../support/vxlan-spec.js";

const options = { skip: rootNeeded };

function peer(third: number, mac = third, remote = third): PeerEntry {
  const prefix = prefix4(ipv4(0x0af40000 + third * 256), 24);
  const vtepMac = `02:bb:00:00:00:${mac.toString(16).padStart(2, "0")}` as Mac;
  return { kind: "vxlan", prefix, vtepMac, remote: { family: 4, address: ipv4(0xc6120000 + remote) } };
}

async function withHost(body: (host: NetlinkHost, namespace: TestNamespace) => Promise<void>): Promise<void> {
  await withNamespace(async (namespace) => {
    const { ip } = namespace;
    await ip("link", "add", "u0", "type", "veth", "peer", "name", "u1");
    await ip("address", "add", "192.0.2.1/24", "dev", "u0");
    for (const device of ["u0", "u1"]) await ip("link", "set", device, "up");
    const host = new NetlinkHost(namespace.netlink);
    await host.ensureVxlan(vxlanSpec(false));
    await body(host, namespace);
  });
}

const shown = (changes: readonly { readonly object: string; readonly action: string }[]) =>
  changes.map(({ action, object }) => `${action} ${object}`);

test("a change touches the objects of its peers only, and afterwards a comparison finds nothing", options, () =>
  withHost(async (host) => {
    await assert.rejects(host.changePeers({ scope: SCOPE, before: [], after: [peer(2)] }), { code: "PEERS_UNKNOWN" });
    await host.reconcilePeers(SCOPE, [peer(2), peer(3)]);
    const change = async (before: PeerEntry[], after: PeerEntry[]) => {
      const report = await host.changePeers({ scope: SCOPE, before, after });
      assert.deepEqual(report.failures, []);
      return shown(report.changes);
    };
    assert.deepEqual(await change([], [peer(4)]), [
      "add fdb 02:bb:00:00:00:04",
      "add neighbor 10.244.4.0",
      "add route 10.244.4.0/24",
    ]);
    assert.deepEqual(await change([peer(2)], [peer(2, 2, 99)]), ["replace fdb 02:bb:00:00:00:02"]);
    assert.deepEqual(await change([peer(3)], [peer(3, 33)]), [
      "add fdb 02:bb:00:00:00:21",
      "replace neighbor 10.244.3.0",
      "delete fdb 02:bb:00:00:00:03",
    ]);
    assert.deepEqual(await change([peer(4)], []), [
      "delete route 10.244.4.0/24",
      "delete neighbor 10.244.4.0",
      "delete fdb 02:bb:00:00:00:04",
    ]);
    assert.deepEqual(await change([peer(2, 2, 99)], [peer(2, 2, 99)]), []);
    assert.deepEqual(await host.reconcilePeers(SCOPE, [peer(2, 2, 99), peer(3, 33)]), { changes: [], failures: [] });
  }),
);

test("a change takes nothing from others: what is in the way is a failure, and stays", options, () =>
  withHost(async (host, { ip }) => {
    await host.reconcilePeers(SCOPE, []);
    await ip("route", "add", "10.244.2.0/24", "via", "192.0.2.77", "proto", "static");
    const { failures } = await host.changePeers({ scope: SCOPE, before: [], after: [peer(2)] });
    assert.deepEqual(
      failures.map(({ object, errno }) => `${object} ${errno}`),
      ["route 10.244.2.0/24 17"],
    );
    assert.match(await ip("route", "show", "10.244.2.0/24"), /via 192\.0\.2\.77 dev u0 proto static/);
    const compared = await host.reconcilePeers(SCOPE, [peer(2)]);
    assert.match(compared.failures[0]?.message ?? "", /a route of protocol 4 holds this prefix/);
    await ip("route", "delete", "10.244.2.0/24");
    assert.deepEqual(shown((await host.reconcilePeers(SCOPE, [peer(2)])).changes), ["replace route 10.244.2.0/24"]);
  }),
);

test("our own changes are no events; a foreign change to each kind of object is one", options, () =>
  withHost(async (host, { ip, exec }) => {
    const stop = new AbortController();
    const heard: HostEvent[] = [];
    const stream = host.events(stop.signal);
    const listening = (async () => {
      for await (const events of stream) heard.push(...events);
    })();
    const peers = () => heard.flatMap((event) => (event.kind === "peer" ? [event.object] : []));
    /** Everything before the link's event has been heard when it is. */
    let links = 0;
    const flush = async () => {
      const name = `mark${links++}`;
      await ip("link", "add", name, "type", "bridge");
      await ip("link", "set", name, "up");
      await until(`the event of ${name}`, () => heard.some((event) => event.kind === "link" && event.name === name));
    };
    const ours = [
      () => host.reconcilePeers(SCOPE, [peer(2), peer(3), peer(4)]),
      () => host.changePeers({ scope: SCOPE, before: [peer(3)], after: [peer(3, 33, 44), peer(5)] }),
      () => host.changePeers({ scope: SCOPE, before: [peer(5)], after: [] }),
      () => host.reconcilePeers(SCOPE, [peer(2), peer(4)]),
    ];
    for (const change of ours) {
      await change();
      await flush();
    }
    assert.deepEqual(peers(), []);

    await ip("route", "delete", "10.244.2.0/24");
    await ip("neighbor", "replace", "10.244.2.0", "lladdr", "02:00:00:00:00:99", "dev", "flannel.1");
    await exec("bridge", "fdb", "delete", "02:bb:00:00:00:04", "dev", "flannel.1", "dst", "198.18.0.4", "self");
    await flush();
    assert.deepEqual(peers(), ["route 10.244.2.0/24", "neighbor 10.244.2.0", "fdb 02:bb:00:00:00:04"]);

    heard.length = 0;
    await ip("route", "add", "10.244.1.0/24", "dev", "mark0");
    await flush();
    assert.deepEqual(
      heard.filter(({ kind }) => kind === "route" || kind === "peer"),
      [],
      "a route of this node's pods is none of our business",
    );
    await ip("route", "add", "203.0.113.0/24", "via", "192.0.2.254");
    await flush();
    assert.equal(heard.filter(({ kind }) => kind === "route").length, 1);

    heard.length = 0;
    await ip("rule", "add", "from", "198.51.100.0/24", "lookup", "77", "priority", "77");
    await ip("route", "add", "default", "via", "192.0.2.254", "table", "77");
    await flush();
    assert.deepEqual(
      heard.filter(({ kind }) => kind !== "link" && kind !== "address"),
      [{ kind: "policy" }, { kind: "policy" }],
      "packets may go another way",
    );
    await ip("link", "set", "flannel.1", "down");
    await ip("link", "set", "flannel.1", "name", "lost.1");
    await flush();
    assert.ok(peers().includes("link flannel.1"), "a device of ours that is called otherwise");
    stop.abort();
    await listening;
  }),
);
