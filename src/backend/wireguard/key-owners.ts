// Of several nodes that name one public key, the device can know one alone: whoever was known with it, else the oldest lease; our
// own key is ours. The others are refused, so that a copied key takes no prefix away from its owner. Owned by one overlay.
export interface KeyClaim {
  readonly leaseKey: string;
  readonly publicKey: string;
  /** Grows with every lease that is made. */
  readonly createRevision: bigint;
}

export class KeyOwners {
  readonly #own: Pick<KeyClaim, "leaseKey" | "publicKey">;
  #owners: ReadonlyMap<string, string> = new Map();

  constructor(own: Pick<KeyClaim, "leaseKey" | "publicKey">) {
    this.#own = own;
  }

  /** The lease that each key is of. */
  settle(claims: readonly KeyClaim[]): ReadonlyMap<string, string> {
    const owners = new Map<string, KeyClaim>();
    for (const claim of claims) {
      const owner = owners.get(claim.publicKey);
      if (owner === undefined || this.#precedes(claim, owner)) owners.set(claim.publicKey, claim);
    }
    const { publicKey: ownKey, leaseKey: self } = this.#own;
    this.#owners = new Map([...[...owners].map(([key, { leaseKey }]) => [key, leaseKey] as const), [ownKey, self]]);
    return this.#owners;
  }

  #precedes(a: KeyClaim, b: KeyClaim): boolean {
    const known = this.#owners.get(a.publicKey);
    if ((a.leaseKey === known) !== (b.leaseKey === known)) return a.leaseKey === known;
    if (a.createRevision !== b.createRevision) return a.createRevision < b.createRevision;
    return a.leaseKey < b.leaseKey;
  }
}
