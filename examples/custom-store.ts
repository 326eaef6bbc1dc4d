// A store of your own. Anything that keeps records can hold the leases: a Store says what there is, whole, and changes a record
// only if it is as it was last seen. This one wraps another and keeps an audit of every write. Two nodes then take their
// subnets from it through SubnetManager and reach each other with no agent in between. No root needed.
import { formatPrefix, leasePeer, Overlay, parseIpv4, parseNetworkConfig, type Store, SubnetManager } from "ripstop";
import { MemoryLan, MemoryStore } from "ripstop/testing";

class AuditedStore implements Store {
  readonly kind = "audited";
  readonly audit: string[] = [];
  readonly inner: Store = new MemoryStore({ networkConfig: { Network: "10.42.0.0/16", Backend: { Type: "vxlan" } } });
  readonly readNetworkConfig: Store["readNetworkConfig"] = (signal) => this.inner.readNetworkConfig(signal);
  readonly watchNetworkConfig: Store["watchNetworkConfig"] = (signal) => this.inner.watchNetworkConfig(signal);
  readonly listLeases: Store["listLeases"] = (signal) => this.inner.listLeases(signal);
  readonly watchLeases: Store["watchLeases"] = (signal) => this.inner.watchLeases(signal);
  readonly health: Store["health"] = () => this.inner.health();
  readonly close: Store["close"] = () => this.inner.close();

  async createLease(...args: Parameters<Store["createLease"]>) {
    const outcome = await this.inner.createLease(...args);
    this.audit.push(outcome.created ? `created ${outcome.lease.key}` : "create refused: taken");
    return outcome;
  }
  async renewLease(...args: Parameters<Store["renewLease"]>) {
    const outcome = await this.inner.renewLease(...args);
    this.audit.push(outcome.created ? `renewed ${outcome.lease.key}` : `renewal of ${args[0].key} refused`);
    return outcome;
  }
  async deleteLease(...args: Parameters<Store["deleteLease"]>) {
    await this.inner.deleteLease(...args);
    this.audit.push(`deleted ${args[0].key}`);
  }
}

const store = new AuditedStore();
const lan = new MemoryLan();
const end = new AbortController();
const network = parseNetworkConfig(await store.readNetworkConfig(end.signal));

async function node(address: string): Promise<Overlay> {
  const identity = { publicIp: parseIpv4(address), publicIpv6: null };
  const manager = new SubnetManager({ store, ranges: network, previous: null, renewMarginMs: 3_600_000 });
  const lease = await manager.acquire(identity, async () => ({ ...identity, backendType: "vxlan" }), end.signal);
  if (lease.subnet === null) throw new Error("this example wants IPv4");
  const prefixes = [formatPrefix(lease.subnet)];
  const overlay = Overlay.open({ underlay: lan.join(address), vni: 1, port: "memory", prefixes });
  void manager.run(end.signal);
  void (async () => {
    for await (const { peers } of manager.peers(end.signal))
      overlay.apply([...peers.values()].map(leasePeer).filter((peer) => peer !== null));
  })();
  console.log(`${address} holds ${prefixes[0]}`);
  return overlay;
}

const nodes = [await node("192.0.2.1"), await node("192.0.2.2")];
while (nodes.some((overlay) => overlay.inspect()?.peers !== 1)) await new Promise((resolve) => setTimeout(resolve, 5));
console.log(`each knows the other; audit: ${store.audit.map((line) => line.split(" ")[0]).join(", ")}`);
end.abort();
await lan.close();
