// What this node last knew of the network, kept across restarts and reboots (state-dir/snapshot.json): the configuration,
// its own lease, and everybody's leases as they were when the last peer table was applied. The agent starts from it when the
// store is away. Written durably; a file that cannot be read is the same as none.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { decodeLeaseAttrs, decodeSubnetKey, encodeLeaseAttrs, encodeSubnetKey } from "../lease/codec.js";
import type { Lease } from "../lease/lease.js";
import { writeFileAtomic } from "../lib/atomic-file.js";
import { SharedMap } from "../lib/shared-map.js";

const recordSchema = z.object({
  key: z.string(),
  subnets: z.string(),
  attrs: z.string(),
  createRevision: z.string().regex(/^\d+$/),
  modRevision: z.string().regex(/^\d+$/),
});
const fileSchema = z.object({
  layout: z.literal(1),
  networkConfig: z.string(),
  ownKey: z.string(),
  nic: z.string().nullish(),
  leases: z.array(recordSchema),
});

export interface LocalSnapshot {
  readonly networkConfig: string;
  readonly own: Lease;
  /** MAC of the external interface; null: it has none, or an older version wrote the file. */
  readonly nic: string | null;
  readonly leases: ReadonlyMap<string, Lease>;
}

export function snapshotPath(stateDir: string): string {
  return join(stateDir, "snapshot.json");
}

/** A file of 5,000 leases is 2 MB, and is written again and again: as one text each would be garbage of several times that. */
const PIECE_PARTS = 8;

export async function writeLocalSnapshot(path: string, snapshot: LocalSnapshot): Promise<void> {
  // The attributes of other nodes are nobody else's business on this host.
  await writeFileAtomic(path, snapshotText(snapshot), { mode: 0o600, directoryMode: 0o700 });
}

function* snapshotText({ networkConfig, own, nic, leases }: LocalSnapshot): Generator<string, void, void> {
  const file: z.infer<typeof fileSchema> = { layout: 1, networkConfig, ownKey: own.key, nic, leases: [] };
  yield `${JSON.stringify(file).slice(0, -"]}".length)}${leaseText(own)}`;
  const parts = SharedMap.of(leases)
    .with([[own.key, undefined]])
    .parts.filter(({ size }) => size > 0);
  for (let at = 0; at < parts.length; at += PIECE_PARTS) {
    yield parts
      .slice(at, at + PIECE_PARTS)
      .map((part) => `,${partText(part)}`)
      .join("");
  }
  yield "]}";
}

/** Neither a lease nor a part of a shared map ever changes, so their texts are made once. */
const leaseTexts = new WeakMap<Lease, string>();
const partTexts = new WeakMap<ReadonlyMap<string, Lease>, string>();

function partText(part: ReadonlyMap<string, Lease>): string {
  return remembered(partTexts, part, () => [...part.values()].map(leaseText).join());
}

function leaseText(lease: Lease): string {
  return remembered(leaseTexts, lease, () => JSON.stringify(encodeRecord(lease)));
}

function remembered<K extends object>(texts: WeakMap<K, string>, of: K, make: () => string): string {
  let text = texts.get(of);
  if (text === undefined) {
    text = make();
    texts.set(of, text);
  }
  return text;
}

/** Null when there is none, or none that can be understood. */
export async function readLocalSnapshot(path: string): Promise<LocalSnapshot | null> {
  try {
    const file = fileSchema.parse(JSON.parse(await readFile(path, "utf8")));
    const leases = new Map<string, Lease>();
    for (const record of file.leases) {
      const lease = decodeRecord(record);
      if (lease !== null) leases.set(lease.key, lease);
    }
    const own = leases.get(file.ownKey);
    return own === undefined ? null : { networkConfig: file.networkConfig, own, nic: file.nic ?? null, leases };
  } catch {
    return null;
  }
}

function encodeRecord(lease: Lease): z.infer<typeof recordSchema> {
  return {
    key: lease.key,
    subnets: encodeSubnetKey(lease),
    attrs: encodeLeaseAttrs(lease.attrs),
    createRevision: lease.createRevision.toString(),
    modRevision: lease.modRevision.toString(),
  };
}

/** Without an expiry: how long the lease really lasts is the store's to say when it is back. */
function decodeRecord(record: z.infer<typeof recordSchema>): Lease | null {
  const subnets = decodeSubnetKey(record.subnets);
  const attrs = decodeLeaseAttrs(record.attrs);
  if (!subnets.ok || !attrs.ok) return null;
  return {
    key: record.key,
    ...subnets.value,
    attrs: attrs.value,
    expiresAt: null,
    createRevision: BigInt(record.createRevision),
    modRevision: BigInt(record.modRevision),
  };
}
