// Writes leases to an etcd at a steady rate, from a process of its own, since etcd may be in another network namespace.
// Prints a JSON object: key to the moments (milliseconds since 1970) its write began and was answered. Arguments: endpoint, prefix, number of
// the first lease, how many, how many a second (0: as fast as it goes), octet of 10.244.x to leave out.
import { encodeLeaseAttrs } from "../../src/lease/codec.js";
import { EtcdConnection } from "../../src/store/etcd/connection.js";
import { etcdOptions } from "../../test/support/etcd-client.js";
import { vxlanAttrs } from "../../test/support/lease-builder.js";

const AT_ONCE = 32;
const [endpoint = "", prefix = "", ...numbers] = process.argv.slice(2);
const [first = 0, count = 0, rate = 0, taken = 0] = numbers.map(Number);
const connection = new EtcdConnection(etcdOptions([endpoint], { prefix }));
const signal = AbortSignal.timeout(120_000);
const written: Record<string, readonly [begunMs: number, answeredMs: number]> = {};
const started = performance.now();
let next = first;

const worker = async (): Promise<void> => {
  while (next < first + count) {
    const index = next++;
    const due = rate === 0 ? 0 : started + ((index - first) * 1_000) / rate - performance.now();
    if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
    // 32 prefixes of length 29 in each /24.
    const third = index >> 5;
    const key = `10.244.${third < taken ? third : third + 1}.${(index & 31) * 8}-29`;
    const low = `${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
    const value = encodeLeaseAttrs(vxlanAttrs(`198.18.${index >> 8}.${index & 255}`, `02:00:00:01:${low}`));
    const begun = Date.now();
    const outcome = await connection.swap(
      { key: `${prefix}/subnets/${key}`, expected: 0n, write: { value, leaseId: "0" } },
      signal,
    );
    if (!outcome.succeeded) throw new Error(`${key} exists`);
    written[key] = [begun, Date.now()];
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, worker));
await connection.close();
process.stdout.write(`${JSON.stringify(written)}\n`);
