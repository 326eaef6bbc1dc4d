// The etcd store against a real etcd: flannel's records byte for byte, one winner, nothing overwritten unseen.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decodeSubnetKey } from "../../src/lease/codec.js";
import type { Lease } from "../../src/lease/lease.js";
import type { CreateOutcome, Subnets } from "../../src/store/store.js";
import { etcdOptions, openStore, SnapshotLog } from "../support/etcd-client.js";
import { EtcdServer } from "../support/etcd-server.js";
import { vxlanAttrs } from "../support/lease-builder.js";
import { until } from "../support/until.js";

const SIGNAL = new AbortController().signal;
let etcd: EtcdServer;
let prefixes = 0;

before(async () => {
  etcd = await EtcdServer.ready();
});
after(() => etcd.destroy());

function open(t: { after(action: () => Promise<void>): void }, prefix = `/test/${++prefixes}`) {
  const opened = openStore(etcdOptions([etcd.endpoint], { prefix }));
  t.after(() => opened.store.close());
  return { ...opened, prefix };
}
function subnets(key: string): Subnets {
  const decoded = decodeSubnetKey(key);
  assert.ok(decoded.ok);
  return decoded.value;
}
function won(outcome: CreateOutcome): Lease {
  assert.ok(outcome.created, "not created");
  return outcome.lease;
}

test("writes the key and the bytes that flannel writes, on a lease of the asked time", async (t) => {
  const { store, prefix } = open(t);
  const lease = won(
    await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.10", "12:c6:65:89:b4:e3"), 86_400, SIGNAL),
  );
  const value = await etcd.ctl(["get", "--print-value-only", `${prefix}/subnets/10.1.2.0-24`]);
  assert.equal(
    value,
    '{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}}\n',
  );
  const found = JSON.parse(await etcd.ctl(["get", "-w", "json", `${prefix}/subnets/10.1.2.0-24`])) as {
    kvs: { lease: number }[];
  };
  // The identifier exceeds what a JSON number holds exactly, so it is read from the text form.
  assert.ok((found.kvs[0]?.lease ?? 0) > 0);
  assert.equal(lease.key, `${prefix}/subnets/10.1.2.0-24`);
  assert.ok(lease.expiresAt !== null && Number.isFinite(lease.expiresAt));
});

test("a held key is refused with its holder, and only one of many racers wins", async (t) => {
  const { store } = open(t);
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      store.createLease(subnets("10.1.2.0-24"), vxlanAttrs(`192.0.2.${i + 1}`), 60, SIGNAL),
    ),
  );
  const winners = outcomes.filter((outcome) => outcome.created);
  assert.equal(winners.length, 1);
  const winner = won(winners[0] ?? { created: false, holder: null });
  for (const outcome of outcomes)
    if (!outcome.created) assert.equal(outcome.holder?.attrs.publicIp, winner.attrs.publicIp);
});

test("renewing needs the record as last seen; a lease-less key stays lease-less", async (t) => {
  const { store, prefix } = open(t);
  const first = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, SIGNAL));
  const second = won(await store.renewLease(first, vxlanAttrs("192.0.2.1"), 60, SIGNAL));
  assert.equal(second.createRevision, first.createRevision);
  const refused = await store.renewLease(first, vxlanAttrs("192.0.2.1"), 60, SIGNAL);
  assert.ok(!refused.created && refused.holder?.modRevision === second.modRevision);
  await store.deleteLease(first, SIGNAL);
  assert.equal((await store.listLeases(SIGNAL)).leases.size, 1);
  await store.deleteLease(second, SIGNAL);
  assert.deepEqual(await store.renewLease(second, vxlanAttrs("192.0.2.1"), 60, SIGNAL), {
    created: false,
    holder: null,
  });

  await etcd.ctl(["put", `${prefix}/subnets/10.1.9.0-24`, '{"PublicIP":"192.0.2.1","PublicIPv6":null}']);
  const reservation = (await store.listLeases(SIGNAL)).leases.get(`${prefix}/subnets/10.1.9.0-24`);
  assert.ok(reservation !== undefined && reservation.expiresAt === null);
  assert.equal(won(await store.renewLease(reservation, vxlanAttrs("192.0.2.1"), null, SIGNAL)).expiresAt, null);
  const text = await etcd.ctl(["get", "-w", "fields", `${prefix}/subnets/10.1.9.0-24`]);
  assert.match(text, /"Lease" : 0\b/);
});

test("refused writes leave no lease behind", async (t) => {
  const { store } = open(t);
  won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, SIGNAL));
  // Those of other tests may run out meanwhile.
  const leases = async () => new Set((await etcd.ctl(["lease", "list"])).split("\n").slice(1));
  const before = await leases();
  for (let i = 0; i < 5; i++)
    assert.equal((await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.2"), 60, SIGNAL)).created, false);
  assert.deepEqual(
    [...(await leases())].filter((one) => !before.has(one)),
    [],
  );
});

test("bad keys and values affect only themselves, also while watching", async (t) => {
  const { store, prefix } = open(t);
  const stop = new AbortController();
  t.after(async () => stop.abort());
  won(await store.createLease(subnets("10.1.2.0-24&fd00::-64"), vxlanAttrs("192.0.2.1"), 60, SIGNAL));
  const log = new SnapshotLog(store.watchLeases(stop.signal));
  await until("the first snapshot", () => log.keys().length === 1);
  await etcd.ctl(["put", `${prefix}/subnets/10.1.3.0-24`, "garbage"]);
  await etcd.ctl(["put", `${prefix}/subnets/nonsense`, "{}"]);
  await etcd.ctl(["put", `${prefix}/subnets/10.1.4.0-24`, ""]);
  await etcd.ctl(["put", `${prefix}/subnets-of-others/10.1.5.0-24`, '{"PublicIP":"192.0.2.9"}']);
  won(await store.createLease(subnets("10.1.6.0-24"), vxlanAttrs("192.0.2.6"), 60, SIGNAL));
  await until("the good one", () => log.keys().includes("10.1.6.0-24"));
  assert.deepEqual(log.keys(), ["10.1.2.0-24&fd00::-64", "10.1.6.0-24"]);
  assert.equal(log.latest?.quarantined.length, 3);
  assert.ok(!log.everMissed("10.1.2.0-24&fd00::-64"));
  stop.abort();
  await log.done;
});

test("changes, deletions and expiry reach a watcher", async (t) => {
  const { store } = open(t);
  const stop = new AbortController();
  t.after(async () => stop.abort());
  const log = new SnapshotLog(store.watchLeases(stop.signal));
  await until("an empty snapshot", () => log.latest !== undefined);
  const lease = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, SIGNAL));
  await until("the creation", () => log.keys().length === 1);
  const changed = won(await store.renewLease(lease, vxlanAttrs("192.0.2.2"), 1, SIGNAL));
  await until("the expiry", () => log.keys().length === 0, 60_000);
  const addresses = log.all.map(({ leases }) => leases.get(lease.key)?.attrs.publicIp);
  assert.ok(addresses.includes(changed.attrs.publicIp), "the new address was shown before");
  stop.abort();
  await log.done;
});

test("a list larger than a page is whole", async (t) => {
  const { store, connection, prefix } = open(t);
  const script = Array.from(
    { length: 2_500 },
    (_, i) => `put ${prefix}/subnets/10.${1 + (i >> 8)}.${i & 255}.0-24 ${JSON.stringify('{"PublicIP":"192.0.2.1"}')}`,
  );
  for (let at = 0; at < script.length; at += 100) await etcd.txn(script.slice(at, at + 100));
  const before = connection.requests;
  assert.equal((await store.listLeases(SIGNAL)).leases.size, 2_500);
  assert.equal(connection.requests - before, 3);
});

test("the configuration is read and watched; its absence names the command", async (t) => {
  const { store, prefix } = open(t);
  await assert.rejects(store.readNetworkConfig(SIGNAL), {
    code: "STORE_NO_CONFIG",
    message: /etcdctl put \/test\/\d+\/config/,
  });
  const stop = new AbortController();
  t.after(async () => stop.abort());
  const texts: string[] = [];
  const watching = (async () => {
    for await (const text of store.watchNetworkConfig(stop.signal)) texts.push(text);
  })();
  await etcd.ctl(["put", `${prefix}/config`, '{"Network":"10.0.0.0/16"}']);
  await until("the text", () => texts.at(-1) === '{"Network":"10.0.0.0/16"}');
  assert.equal(await store.readNetworkConfig(SIGNAL), '{"Network":"10.0.0.0/16"}');
  await etcd.ctl(["del", `${prefix}/config`]);
  await etcd.ctl(["put", `${prefix}/config`, '{"Network":"10.1.0.0/16"}']);
  await until("the new text", () => texts.at(-1) === '{"Network":"10.1.0.0/16"}');
  stop.abort();
  await watching;
});

test("a dead endpoint beside a live one costs nothing but a moment", async (t) => {
  const { store } = openStore(
    etcdOptions(["http://127.0.0.1:1", `${etcd.endpoint}/ `], { prefix: `/test/${++prefixes}` }),
  );
  t.after(() => store.close());
  for (let i = 0; i < 10; i++) assert.equal((await store.listLeases(SIGNAL)).leases.size, 0);
});
