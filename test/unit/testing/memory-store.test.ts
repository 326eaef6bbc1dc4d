// The memory store keeps the promises of the Store interface, so that what is tested on it holds on the others.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parsePrefix4 } from "../../../src/addr/prefix.js";
import { parseIpv4 } from "../../../src/addr/ipv4.js";
import type { Lease } from "../../../src/lease/lease.js";
import { leasePeer } from "../../../src/library/lease-peers.js";
import type { LeaseSnapshot } from "../../../src/store/store.js";
import { ManualClock } from "../../../src/testing/manual-clock.js";
import { MemoryStore } from "../../../src/testing/memory-store.js";

const { signal } = new AbortController();
const subnets = { subnet: parsePrefix4("10.42.1.0/24"), ipv6Subnet: null };
const attrs = (address: string) => ({ publicIp: parseIpv4(address), publicIpv6: null, backendType: "vxlan" });

async function created(store: MemoryStore): Promise<Lease> {
  const outcome = await store.createLease(subnets, attrs("192.0.2.1"), 60, signal);
  assert.ok(outcome.created);
  return outcome.lease;
}

describe("the memory store", () => {
  it("creates a record once, and tells who holds it", async () => {
    const store = new MemoryStore();
    const lease = await created(store);
    assert.deepEqual(await store.createLease(subnets, attrs("192.0.2.2"), 60, signal), {
      created: false,
      holder: lease,
    });
  });

  it("renews and deletes only what is as it was last seen", async () => {
    const store = new MemoryStore();
    const first = await created(store);
    const renewed = await store.renewLease(first, attrs("192.0.2.1"), 60, signal);
    assert.ok(renewed.created && renewed.lease.modRevision > first.modRevision);
    assert.equal(renewed.lease.createRevision, first.createRevision);
    assert.deepEqual(await store.renewLease(first, attrs("192.0.2.9"), 60, signal), {
      created: false,
      holder: renewed.lease,
    });
    await store.deleteLease(first, signal);
    assert.equal((await store.listLeases(signal)).leases.size, 1);
    await store.deleteLease(renewed.lease, signal);
    assert.equal((await store.listLeases(signal)).leases.size, 0);
  });

  it("shows whole snapshots, the first at once, and nothing while it is away", async () => {
    const store = new MemoryStore({ networkConfig: { Network: "10.42.0.0/16" } });
    const end = new AbortController();
    const seen: LeaseSnapshot[] = [];
    const following = (async () => {
      for await (const snapshot of store.watchLeases(end.signal)) {
        seen.push(snapshot);
        if (seen.length === 1) {
          store.fail("pulled the plug");
          await assert.rejects(store.listLeases(signal), { code: "STORE_UNAVAILABLE" });
          assert.equal(store.health().connected, false);
          store.fail(null);
          await created(store);
        }
        if (snapshot.leases.size === 1) end.abort();
      }
    })();
    await following;
    assert.equal(seen[0]?.leases.size, 0);
    assert.equal(seen.at(-1)?.leases.size, 1);
    assert.match(await store.readNetworkConfig(signal), /10\.42\.0\.0/);
  });

  it("lets records run out by its clock", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    await created(store);
    clock.advance(59_000);
    store.expire();
    assert.equal((await store.listLeases(signal)).leases.size, 1);
    clock.advance(2_000);
    store.expire();
    assert.equal((await store.listLeases(signal)).leases.size, 0);
  });

  it("says so when there is no network configuration", async () => {
    await assert.rejects(new MemoryStore().readNetworkConfig(signal), { code: "STORE_NO_CONFIG" });
  });
});

describe("the peer of a lease", () => {
  it("has its subnets, public IP and VTEP MAC; a lease without them is nobody's", async () => {
    const lease = await created(new MemoryStore());
    assert.deepEqual(leasePeer(lease), { underlay: "192.0.2.1", prefixes: ["10.42.1.0/24"] });
    const published = { ...lease, attrs: { ...lease.attrs, backendData: { VNI: 1, VtepMAC: "02:00:00:00:00:07" } } };
    assert.equal(leasePeer(published)?.vtepMac, "02:00:00:00:00:07");
    const lying = { ...lease, attrs: { ...lease.attrs, backendData: { VtepMAC: "ff:ff:ff:ff:ff:ff" } } };
    assert.equal(leasePeer(lying)?.vtepMac, undefined);
    assert.equal(leasePeer({ ...lease, attrs: { ...lease.attrs, publicIp: null } }), null);
    assert.equal(leasePeer({ ...lease, subnet: null }), null);
  });
});
