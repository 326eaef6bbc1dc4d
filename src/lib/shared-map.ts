// A map by text that never changes: changing it makes another one, which shares with it all that is the same. So a copy costs what
// the change costs, and so does telling two of them apart: what is shared is not looked at. Iterates in no particular order, the
// same for the same history. Free of the domain.

const SHARDS = 256;
const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

/** Undefined deletes. */
export type MapChange<V> = readonly [key: string, value: V | undefined];

export class SharedMap<V> implements ReadonlyMap<string, V> {
  readonly size: number;
  readonly #shards: readonly ReadonlyMap<string, V>[];

  private constructor(shards: readonly ReadonlyMap<string, V>[], size: number) {
    this.#shards = shards;
    this.size = size;
  }

  static of<V>(entries: Iterable<readonly [string, V]> = []): SharedMap<V> {
    if (entries instanceof SharedMap) return entries as SharedMap<V>;
    return new SharedMap<V>(
      Array.from({ length: SHARDS }, () => NOTHING),
      0,
    ).with(entries);
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key);
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) ?? false;
  }

  /** This map itself when nothing becomes another. */
  with(changes: Iterable<MapChange<V>>): SharedMap<V> {
    const fresh = new Map<number, Map<string, V>>();
    let size = this.size;
    for (const [key, value] of changes) {
      const at = shardOf(key);
      const shard = fresh.get(at) ?? this.#shards[at] ?? NOTHING;
      if (shard.get(key) === value && (value !== undefined || !shard.has(key))) continue;
      let own = fresh.get(at);
      if (own === undefined) {
        own = new Map(shard);
        fresh.set(at, own);
      }
      size -= own.size;
      if (value === undefined) own.delete(key);
      else own.set(key, value);
      size += own.size;
    }
    if (fresh.size === 0) return this;
    const shards = [...this.#shards];
    for (const [at, shard] of fresh) shards[at] = shard;
    return new SharedMap(shards, size);
  }

  /** The same entries as `wanted`, sharing with this map what is equal, unless they can be shared already. */
  become(wanted: ReadonlyMap<string, V>): SharedMap<V> {
    if (wanted instanceof SharedMap) return wanted as SharedMap<V>;
    return this.with(changesBetween(this, wanted).map(([key, , after]) => [key, after]));
  }

  /** What it is made of: a part that is the same map in another one says the same there. */
  get parts(): readonly ReadonlyMap<string, V>[] {
    return this.#shards;
  }

  *entries(): MapIterator<[string, V]> {
    for (const shard of this.#shards) yield* shard;
  }

  *keys(): MapIterator<string> {
    for (const shard of this.#shards) yield* shard.keys();
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) yield* shard.values();
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries();
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }

  /** What two of them do not share; null: compare everything. */
  static unshared<V>(
    a: ReadonlyMap<string, V>,
    b: ReadonlyMap<string, V>,
  ): (readonly ReadonlyMap<string, V>[])[] | null {
    if (!(a instanceof SharedMap) || !(b instanceof SharedMap)) return null;
    const differ: (readonly ReadonlyMap<string, V>[])[] = [];
    const [old, now] = [(a as SharedMap<V>).#shards, (b as SharedMap<V>).#shards];
    for (let i = 0; i < SHARDS; i++) if (old[i] !== now[i]) differ.push([old[i] ?? NOTHING, now[i] ?? NOTHING]);
    return differ;
  }
}

/** Every key whose value is another one: before and after, undefined where it is absent. Values are compared by identity. */
export function changesBetween<V>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
): (readonly [key: string, before: V | undefined, after: V | undefined])[] {
  if (before === after) return [];
  const changes: (readonly [string, V | undefined, V | undefined])[] = [];
  for (const [old = NOTHING, now = NOTHING] of SharedMap.unshared(before, after) ?? [[before, after]]) {
    for (const [key, value] of now) {
      const known = old.get(key);
      if (known !== value) changes.push([key, known, value]);
    }
    for (const [key, value] of old) if (!now.has(key)) changes.push([key, value, undefined]);
  }
  return changes;
}

function shardOf(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  // The high bits see every character; the low ones hardly more than the last few.
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (SHARDS - 1);
}
