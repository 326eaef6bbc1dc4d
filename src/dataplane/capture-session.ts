// The capture of a data-plane process: at most one at a time, ended with the connection that asked for it, so that a `ripstop
// capture` which is killed leaves nothing on. Owned by the server; the records are the workers' (native/capture/).
import type { Socket } from "node:net";
import { RipstopError } from "../lib/errors.js";
import type { Binding, NativeCaptureRequest } from "./binding.js";
import type { Dataplane } from "./dataplane.js";

/** Of records in one answer: as base64 it stays well below the protocol's limit and the client's unread limit. */
const READ_BYTES = 512 * 1024;

export class CaptureSession {
  readonly #into = Buffer.allocUnsafe(READ_BYTES);
  #holder: { readonly socket: Socket; readonly dataplane: Dataplane } | null = null;

  /** Rejects with CAPTURE_BUSY while somebody else captures. */
  start(socket: Socket, dataplane: Dataplane, binding: Binding, request: NativeCaptureRequest): object {
    if (this.#holder !== null && this.#holder.socket !== socket) {
      throw new RipstopError("CAPTURE_BUSY", "another capture is running on this data plane; end that one first");
    }
    dataplane.captureStart(request);
    if (this.#holder === null) socket.once("close", () => this.#end(socket));
    this.#holder = { socket, dataplane };
    return {
      clockOffsetNs: (BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint()).toString(),
      dropReasons: binding.dropReasons.map(({ label }) => label),
    };
  }

  read(socket: Socket, dataplane: Dataplane): object {
    if (this.#holder?.socket !== socket || this.#holder.dataplane !== dataplane) {
      throw new RipstopError("CAPTURE_NOT_RUNNING", "no capture of this connection is running; start one first");
    }
    const { bytes, matched, lost } = dataplane.captureRead(this.#into);
    return { records: this.#into.toString("base64", 0, bytes), matched, lost };
  }

  #end(socket: Socket): void {
    if (this.#holder?.socket !== socket) return;
    this.#holder.dataplane.captureStop();
    this.#holder = null;
  }
}
