// What the subnet manager tells its owner (the agent) about its own lease. Declared values, not log lines: the agent turns
// them into logs, metrics and health.
import type { Lease } from "../lease/lease.js";

export type SubnetEvent =
  /** Our lease is held; `how` it was found. */
  | { readonly kind: "acquired"; readonly lease: Lease; readonly how: "reused" | "previous" | "allocated" }
  | { readonly kind: "renewed"; readonly lease: Lease }
  /** Our record vanished; we write the same subnet again. */
  | { readonly kind: "revoked"; readonly lease: Lease }
  | { readonly kind: "restored"; readonly lease: Lease }
  /** Another node holds our subnet. Local pods go on; we announce nothing and never overwrite. */
  | { readonly kind: "lost"; readonly lease: Lease; readonly holder: Lease | null }
  /** Somebody writes our record with other attributes under our public IP: two nodes announce the same address. */
  | { readonly kind: "contested"; readonly lease: Lease }
  | { readonly kind: "exhausted"; readonly message: string }
  /** Said once when calls begin to fail and once when they work again. */
  | { readonly kind: "store-failed"; readonly message: string }
  | { readonly kind: "store-recovered" };

export type LeaseStanding = "acquiring" | "held" | "lost";
