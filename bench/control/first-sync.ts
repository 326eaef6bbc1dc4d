// How long an agent's first look at 5,000 leases in a real etcd takes, how many requests it costs, and what memory is left in
// use afterwards. Prints one JSON line. Run: node dist/bench/control/first-sync.js
import { etcdOptions, openStore } from "../../test/support/etcd-client.js";
import { EtcdServer } from "../../test/support/etcd-server.js";

const LEASES = 5_000;
const TRIALS = 5;
const PREFIX = "/coreos.com/network/subnets/";

const etcd = await EtcdServer.ready();
try {
  const value = JSON.stringify(
    '{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}}',
  );
  const changes = Array.from(
    { length: LEASES },
    (_, i) => `put ${PREFIX}10.${100 + (i >> 8)}.${i & 255}.0-24 ${value}`,
  );
  for (let at = 0; at < LEASES; at += 100) await etcd.txn(changes.slice(at, at + 100));
  const trials: { readonly ms: number; readonly requests: number }[] = [];
  for (let trial = 0; trial < TRIALS; trial++) {
    const { store, connection } = openStore(etcdOptions([etcd.endpoint]));
    const round = new AbortController();
    const started = performance.now();
    const following = store.watchLeases(round.signal);
    for await (const { leases } of following) {
      if (leases.size < LEASES) continue;
      trials.push({ ms: Math.round(performance.now() - started), requests: connection.requests });
      break;
    }
    round.abort();
    await store.close();
  }
  trials.sort((a, b) => a.ms - b.ms);
  const median = trials[Math.floor(TRIALS / 2)];
  process.stdout.write(
    `${JSON.stringify({ leases: LEASES, trials, medianMs: median?.ms, rssMiB: Math.round(process.memoryUsage.rss() / 2 ** 20) })}\n`,
  );
} finally {
  await etcd.destroy();
}
