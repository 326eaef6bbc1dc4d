// The Backend of types whose lease says nothing but addresses: what attach() needs is a Wiring.
import type { Lease, LeaseAttrs } from "../lease/lease.js";
import type { Backend, BackendContext, Overlay } from "./backend.js";
import { RoutedOverlay, type Wiring } from "./routed-overlay.js";

export class SimpleBackend implements Backend {
  readonly type: string;
  readonly carriable: boolean;
  readonly #context: BackendContext;
  readonly #leaseType: string;
  readonly #wiring: Wiring;

  /** `leaseType` is what the lease says; flannel leaves it empty for some backends. */
  constructor(type: string, leaseType: string, context: BackendContext, wiring: Wiring) {
    this.type = type;
    this.#leaseType = leaseType;
    this.#context = context;
    this.#wiring = wiring;
    this.carriable = wiring.dataplane !== null;
  }

  async leaseAttrs(_previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    const { publicIp, publicIpv6 } = this.#context.external;
    return { publicIp, publicIpv6, backendType: this.#leaseType };
  }

  attach(own: Lease): Promise<Overlay> {
    return RoutedOverlay.attach(this.#context, own, this.#wiring);
  }
}

/** What most backends without a device of their own have in common. */
export const PLAIN = {
  devices: [],
  tunnel: null,
  dataplane: null,
  readVtepMac: null,
  vtepMac: null,
  direct: "none",
  ensureDevices: async () => [],
} as const satisfies Partial<Wiring>;
