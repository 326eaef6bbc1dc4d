// What this node last knew of the network, kept across restarts and reboots (state-dir/snapshot.json): the configuration,
// its own lease, and everybody's leases as they were when the last peer table was applied. The agent starts from it when the
// store is away. Written durably; a file that cannot be read is the same as none.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { decodeLeaseAttrs, decodeSubnetKey, encodeLeaseAttrs, encodeSubnetKey } from "../lease/codec.js";
import type { Lease } from "../lease/lease.js";
import { writeFileAtomic } from "../lib/atomic-file.js";

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
  leases: z.array(recordSchema),
});

export interface LocalSnapshot {
  readonly networkConfig: string;
  readonly own: Lease;
  readonly leases: ReadonlyMap<string, Lease>;
}

export function snapshotPath(stateDir: string): string {
  return join(stateDir, "snapshot.json");
}

/** A file of 5,000 leases is 2 MB, and is written again and again: as one text each would be garbage of several times that. */
const PIECE_RECORDS = 128;

export async function writeLocalSnapshot(path: string, snapshot: LocalSnapshot): Promise<void> {
  // The attributes of other nodes are nobody else's business on this host.
  await writeFileAtomic(path, snapshotText(snapshot), { mode: 0o600, directoryMode: 0o700 });
}

function* snapshotText({ networkConfig, own, leases }: LocalSnapshot): Generator<string, void, void> {
  const file: z.infer<typeof fileSchema> = { layout: 1, networkConfig, ownKey: own.key, leases: [] };
  yield `${JSON.stringify(file).slice(0, -"]}".length)}${recordText(own)}`;
  let piece = "";
  let count = 0;
  for (const [key, lease] of leases) {
    if (key === own.key) continue;
    piece += `,${recordText(lease)}`;
    if (++count % PIECE_RECORDS > 0) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}]}`;
}

/** A lease never changes, so its text is made once. */
const texts = new WeakMap<Lease, string>();

function recordText(lease: Lease): string {
  let text = texts.get(lease);
  if (text === undefined) {
    text = JSON.stringify(encodeRecord(lease));
    texts.set(lease, text);
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
    return own === undefined ? null : { networkConfig: file.networkConfig, own, leases };
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
