// Owner of the native object: opens it, hands it whole tables, reads its counters, closes it. Runs on the JavaScript thread
// of the data-plane process (server.ts) or of an embedding program (the library); packets never come near it.
import { RipstopError } from "../lib/errors.js";
import type {
  Binding,
  Inspection,
  NativeCaptured,
  NativeCaptureRequest,
  NativeDataplane,
  OpenOptions,
} from "./binding.js";
import { type Counters, nameCounters, nameWorkerCounters } from "./counters.js";
import { isNativeError, toRipstopError } from "./errors.js";
import { checkOpenOptions } from "./options.js";
import { applyPatch, type TablePatch, unknownTable } from "./table-patch.js";

export class Dataplane {
  readonly options: OpenOptions;
  readonly #layout: readonly string[];
  readonly #values: BigUint64Array;
  #native: NativeDataplane | null;
  /** The last one that was adopted; nobody changes it any more. */
  #table: Uint8Array | null = null;

  private constructor(options: OpenOptions, native: NativeDataplane, layout: readonly string[]) {
    this.options = options;
    this.#native = native;
    this.#layout = layout;
    this.#values = new BigUint64Array(layout.length * (1 + options.workers));
  }

  /** Opens ports and steering; carries nothing before the first table. Throws OPEN_OPTIONS_INVALID or what the kernel refused. */
  static open(binding: Binding, given: unknown): Dataplane {
    const options = checkOpenOptions(given);
    const opened = binding.open(options);
    if (isNativeError(opened)) throw toRipstopError(opened);
    return new Dataplane(options, opened, binding.counterLayout);
  }

  /** Adopts a whole table (codec.ts); the previous one stays in force when this one is refused. */
  apply(table: Uint8Array): void {
    const refused = this.#opened("apply").apply(table);
    if (refused !== null) throw toRipstopError(refused);
    this.#table = table;
  }

  /** As apply() of the table that the patch makes of the last one; throws TABLE_UNKNOWN when it was made for another. */
  patch(patch: TablePatch): void {
    if (this.#table === null) throw unknownTable();
    this.apply(applyPatch(this.#table, patch));
  }

  counters(): Counters {
    return nameCounters(this.#layout, this.rawCounters());
  }

  /** Of each worker alone, in their order. */
  workerCounters(): readonly Counters[] {
    return nameWorkerCounters(this.#layout, this.rawCounters());
  }

  /** Sums in the order of `counterLayout`, then the same of each worker alone; overwritten by the next call. */
  rawCounters(): BigUint64Array {
    this.#opened("readCounters").readCounters(this.#values);
    return this.#values;
  }

  inspect(): Inspection {
    return this.#opened("inspect").inspect();
  }

  /** Rows of seven, see NativeDataplane.readPeers. */
  peers(): Float64Array {
    return this.#opened("readPeers").readPeers();
  }

  captureStart(request: NativeCaptureRequest): void {
    const refused = this.#opened("captureStart").captureStart(request);
    if (refused !== null) throw toRipstopError(refused);
  }

  captureRead(into: Uint8Array): NativeCaptured {
    return this.#opened("captureRead").captureRead(into);
  }

  captureStop(): void {
    this.#native?.captureStop();
  }

  /** Idempotent. From this moment packets take the kernel path. */
  close(): void {
    const native = this.#native;
    this.#native = null;
    native?.close();
  }

  #opened(op: string): NativeDataplane {
    if (this.#native !== null) return this.#native;
    throw new RipstopError("DATAPLANE_CLOSED", `${op} on a closed data plane; open a new one`, { op });
  }
}
