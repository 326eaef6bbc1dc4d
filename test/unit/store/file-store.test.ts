// The file store on a real directory: one winner per subnet, nothing overwritten unseen, and changes noticed.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { decodeSubnetKey } from "../../../src/lease/codec.js";
import type { Lease } from "../../../src/lease/lease.js";
import { FileStore, openFileStore } from "../../../src/store/file/file-store.js";
import type { CreateOutcome, LeaseSnapshot, Subnets } from "../../../src/store/store.js";
import { vxlanAttrs } from "../../support/lease-builder.js";
import { ManualClock } from "../../support/manual-clock.js";
import { until } from "../../support/until.js";

const FOREVER = new AbortController().signal;

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "ripstop-store-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
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

test("a created lease is listed with everything that was written", async (t) => {
  const store = await openFileStore({ directory: await directory(t) });
  const lease = won(await store.createLease(subnets("10.1.2.0-24&fd00::-64"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  const { leases, quarantined } = await store.listLeases(FOREVER);
  assert.deepEqual([...leases.values()], [lease]);
  assert.deepEqual(quarantined, []);
  assert.equal(lease.key, "10.1.2.0-24&fd00::-64");
  assert.ok(lease.expiresAt !== null && lease.createRevision > 0n);
  assert.ok(store.health().connected);
});

test("a key that is held is refused and the holder is shown", async (t) => {
  const path = await directory(t);
  const first = await openFileStore({ directory: path });
  const second = await openFileStore({ directory: path });
  const lease = won(await first.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  const outcome = await second.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER);
  assert.deepEqual(outcome, { created: false, holder: lease });
});

test("of many that race for one subnet exactly one wins, again and again", async (t) => {
  const path = await directory(t);
  const racers = await Promise.all(Array.from({ length: 16 }, () => openFileStore({ directory: path })));
  for (let round = 0; round < 10; round++) {
    const outcomes = await Promise.all(
      racers.map((store, i) => store.createLease(subnets("10.1.2.0-24"), vxlanAttrs(`192.0.2.${i + 1}`), 60, FOREVER)),
    );
    const winners = outcomes.filter((outcome) => outcome.created).map((outcome) => won(outcome));
    assert.equal(winners.length, 1);
    const winner = winners[0];
    assert.ok(winner !== undefined);
    for (const outcome of outcomes)
      if (!outcome.created) assert.equal(outcome.holder?.attrs.publicIp, winner.attrs.publicIp);
    await racers[0]?.deleteLease(winner, FOREVER);
  }
});

test("renewing works once from what was seen, and never over a record that changed since", async (t) => {
  const path = await directory(t);
  const store = await openFileStore({ directory: path });
  const first = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  const renewed = won(await store.renewLease(first, vxlanAttrs("192.0.2.1", "02:00:00:00:00:09"), 60, FOREVER));
  assert.equal(renewed.createRevision, first.createRevision);
  assert.deepEqual(await store.renewLease(first, vxlanAttrs("192.0.2.1"), 60, FOREVER), {
    created: false,
    holder: renewed,
  });
  await store.deleteLease(first, FOREVER);
  assert.equal(
    (await store.listLeases(FOREVER)).leases.size,
    1,
    "a delete from an old view must not hit the new record",
  );
  assert.deepEqual((await readdir(join(path, "subnets"))).length, 1, "old versions are removed");
});

test("a lease that ran out is free, and its old owner cannot renew over the new one", async (t) => {
  const path = await directory(t);
  const clock = new ManualClock();
  const store = await openFileStore({ directory: path, clock });
  const old = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  clock.advance(60_000);
  assert.equal((await store.listLeases(FOREVER)).leases.size, 0);
  const taken = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER));
  assert.deepEqual(await store.renewLease(old, vxlanAttrs("192.0.2.1"), 60, FOREVER), {
    created: false,
    holder: taken,
  });
});

test("a writer that slept through deletion and re-creation does not win", async (t) => {
  const store = await openFileStore({ directory: await directory(t) });
  const old = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  await store.deleteLease(old, FOREVER);
  const taken = won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER));
  assert.deepEqual(await store.renewLease(old, vxlanAttrs("192.0.2.1"), 60, FOREVER), {
    created: false,
    holder: taken,
  });
});

test("a reservation written by hand has no expiry and can be renewed without one", async (t) => {
  const path = await directory(t);
  const store = await openFileStore({ directory: path });
  await writeFile(join(path, "subnets", "10.1.9.0-24"), '{"PublicIP":"192.0.2.1","PublicIPv6":null}');
  const held = (await store.listLeases(FOREVER)).leases.get("10.1.9.0-24");
  assert.ok(held !== undefined && held.expiresAt === null);
  const renewed = won(await store.renewLease(held, vxlanAttrs("192.0.2.1"), null, FOREVER));
  assert.equal(renewed.expiresAt, null);
  assert.equal((await store.createLease(subnets("10.1.9.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER)).created, false);
});

test("one bad record is quarantined with its reason and hides no other", async (t) => {
  const path = await directory(t);
  const store = await openFileStore({ directory: path });
  won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  const bad = {
    "10.1.3.0-24@1": "garbage",
    "10.1.4.0-24@1": "",
    notes: "{}",
    "10.1.5.0-24@2": `{"PublicIP":"192.0.2.9","Expiry":{}}`,
    "10.1.6.0-24@1": "x".repeat(70_000),
  };
  for (const [name, text] of Object.entries(bad)) await writeFile(join(path, "subnets", name), text);
  await mkdir(join(path, "subnets", "10.1.7.0-24@1"));
  await writeFile(join(path, "subnets", ".tmp-1-abc"), "half a rec");
  const { leases, quarantined } = await store.listLeases(FOREVER);
  assert.deepEqual([...leases.keys()], ["10.1.2.0-24"]);
  assert.deepEqual(quarantined.map((entry) => entry.key).sort(), [
    "10.1.3.0-24",
    "10.1.4.0-24",
    "10.1.5.0-24",
    "10.1.6.0-24",
    "10.1.7.0-24",
    "notes",
  ]);
  assert.equal(
    (await store.createLease(subnets("10.1.3.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER)).created,
    false,
    "garbage is never overwritten",
  );
});

test("watchers see creations, renewals, deletions and expiry, each as a whole snapshot", async (t) => {
  const path = await directory(t);
  const clock = new ManualClock();
  const store = await openFileStore({ directory: path, clock });
  const other = await openFileStore({ directory: path, clock });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const seen: LeaseSnapshot[] = [];
  const watching = (async () => {
    for await (const snapshot of store.watchLeases(stop.signal)) seen.push(snapshot);
  })();
  const latest = () => [...(seen.at(-1)?.leases.keys() ?? ["nothing seen"])].join();
  await until("the first, empty snapshot", () => latest() === "");
  const lease = won(await other.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  await until("the creation", () => latest() === "10.1.2.0-24");
  const renewed = won(await other.renewLease(lease, vxlanAttrs("192.0.2.1", "02:00:00:00:00:07"), 60, FOREVER));
  await until("the new MAC", () => seen.at(-1)?.leases.get("10.1.2.0-24")?.modRevision === renewed.modRevision);
  won(await other.createLease(subnets("10.1.3.0-24"), vxlanAttrs("192.0.2.2"), null, FOREVER));
  await until("the second", () => latest() === "10.1.2.0-24,10.1.3.0-24");
  clock.advance(60_000);
  await until("the first running out", () => latest() === "10.1.3.0-24");
  stop.abort();
  await watching;
});

test("a directory that disappears yields nothing, and one that returns is seen again", async (t) => {
  const path = await directory(t);
  const store = await openFileStore({ directory: path, pollMs: 10 });
  won(await store.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  const stop = new AbortController();
  t.after(() => stop.abort());
  const sizes: number[] = [];
  const watching = (async () => {
    for await (const snapshot of store.watchLeases(stop.signal)) sizes.push(snapshot.leases.size);
  })();
  await until("the first snapshot", () => sizes.length === 1);
  await rename(path, `${path}.gone`);
  t.after(() => rm(`${path}.gone`, { recursive: true }));
  await until("the store is reported lost", () => !store.health().connected);
  assert.deepEqual(sizes, [1], "a lost store is not an empty one");
  await assert.rejects(store.listLeases(FOREVER), { code: "STORE_UNAVAILABLE", message: /-store-dir/ });
  const again = await openFileStore({ directory: path });
  won(await again.createLease(subnets("10.1.2.0-24"), vxlanAttrs("192.0.2.1"), 60, FOREVER));
  won(await again.createLease(subnets("10.1.3.0-24"), vxlanAttrs("192.0.2.2"), 60, FOREVER));
  await until("both leases", () => sizes.at(-1) === 2);
  stop.abort();
  await watching;
});

test("the network configuration is watched, and its absence says where to write one", async (t) => {
  const path = await directory(t);
  const store = new FileStore({ directory: path });
  await assert.rejects(store.readNetworkConfig(FOREVER), {
    code: "STORE_NO_CONFIG",
    message: /config; write one there/,
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const texts: string[] = [];
  const watching = (async () => {
    for await (const text of store.watchNetworkConfig(stop.signal)) texts.push(text);
  })();
  await writeFile(join(path, "config"), '{"Network":"10.0.0.0/16"}');
  await until("the configuration", () => texts.at(-1) === '{"Network":"10.0.0.0/16"}');
  assert.equal(await store.readNetworkConfig(FOREVER), await readFile(join(path, "config"), "utf8"));
  await writeFile(join(path, "config"), '{"Network":"10.1.0.0/16"}');
  await until("the new configuration", () => texts.at(-1) === '{"Network":"10.1.0.0/16"}');
  stop.abort();
  await watching;
});

test("closing the store ends its watchers", async (t) => {
  const store = await openFileStore({ directory: await directory(t) });
  const watching = (async () => {
    for await (const _ of store.watchLeases(FOREVER)) await store.close();
  })();
  await watching;
});
