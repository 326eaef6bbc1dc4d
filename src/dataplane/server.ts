// The data-plane process's side of the socket: answers requests, owns the Dataplane. Runs on that process's JavaScript
// thread; the workers need nothing from it, so a slow or silent client can delay only other clients, never a packet.
import { chmodSync, renameSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { Binding } from "./binding.js";
import { CaptureSession } from "./capture-session.js";
import { Dataplane } from "./dataplane.js";
import { isNativeError, toRipstopError } from "./errors.js";
import { encodeMessage, MessageReader } from "./framing.js";
import {
  envelopeSchema,
  type HelloResult,
  PROTOCOL_VERSION,
  READ_ONLY,
  type Request,
  requestSchema,
} from "./protocol.js";
import { checkSocketPath, socketAnswers } from "./socket-path.js";

const CLIENTS_MAX = 16;
/** A message that has begun must end within this time; a connection may otherwise be silent for ever. */
const MESSAGE_TIME_MS = 5_000;
/** A client that does not read its answers is dropped. */
const UNREAD_MAX_BYTES = 1024 * 1024;

export interface ServerOptions {
  /** Which version to tell; this one by default. */
  readonly version?: string;
  /** The controlling client asked the process to end; the answer has been sent. */
  readonly onShutdown: () => void;
  readonly onEvent: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class DataplaneServer {
  readonly #load: () => Binding;
  readonly #given: ServerOptions;
  readonly #version: string;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #capture = new CaptureSession();
  #control: Socket | null = null;
  #binding: Binding | null = null;
  #dataplane: Dataplane | null = null;
  #incarnation = "";
  #confined = false;
  #path = "";
  #inode = 0n;

  /** `load` is called at the first open, so that a process without a usable addon can still say why. */
  constructor(load: () => Binding, options: ServerOptions) {
    this.#load = load;
    this.#given = options;
    this.#version = options.version ?? ripstopVersion();
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** Takes over a socket file that nobody answers at; rejects with DATAPLANE_RUNNING when somebody does. */
  async listen(path: string): Promise<void> {
    if (await socketAnswers(path)) {
      throw new RipstopError(
        "DATAPLANE_RUNNING",
        `another data plane answers at ${path}; stop it (ripstop cleanup) or choose another --socket`,
        {
          op: "listen",
        },
      );
    }
    // Bound under a name of its own and put in place whole: never a moment with another mode, and libuv, which removes the
    // name it bound when the server closes, cannot remove the socket of a successor that has taken the place since.
    const own = checkSocketPath(join(dirname(path), `.${process.pid}`));
    rmSync(own, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(own, resolve);
    });
    chmodSync(own, 0o600);
    this.#inode = statSync(own, { bigint: true }).ino;
    renameSync(own, path);
    this.#path = path;
  }

  /** False when a successor has taken the place. */
  get ownsItsPath(): boolean {
    return statSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino === this.#inode;
  }

  /** Closes the data plane first: from then on packets take the kernel path. */
  async stop(): Promise<void> {
    this.#closeDataplane();
    for (const socket of this.#clients) socket.destroy();
    if (this.ownsItsPath) rmSync(this.#path, { force: true });
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    if (this.#clients.size >= CLIENTS_MAX || !this.#mayConnect(socket)) {
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    const reader = new MessageReader();
    socket.on("data", (chunk) => {
      try {
        for (const message of reader.push(chunk)) this.#answer(socket, message);
        socket.setTimeout(reader.midMessage ? MESSAGE_TIME_MS : 0);
      } catch (error) {
        // The stream is out of step: say why, once, and hang up; what still arrives is thrown away.
        socket.removeAllListeners("data").resume();
        socket.setTimeout(MESSAGE_TIME_MS);
        socket.end(failure(0, error));
      }
    });
    socket.on("timeout", () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#clients.delete(socket);
      if (this.#control === socket) this.#control = null;
    });
  }

  /** Root and our own user. Modes of directory and socket say the same; this holds when somebody has changed them. */
  #mayConnect(socket: Socket): boolean {
    const fd = descriptorOf(socket);
    const uid = fd === null ? null : this.#loaded()?.peerUid(fd);
    // Without the addon there is no data plane to protect, and `open` says why there is none.
    if (uid === undefined || uid === 0 || uid === process.geteuid?.()) return true;
    this.#given.onEvent("refused a connection of another user", { detail: { uid } });
    return false;
  }

  #loaded(): Binding | undefined {
    try {
      this.#binding ??= this.#load();
      return this.#binding;
    } catch {
      return undefined;
    }
  }

  #answer(socket: Socket, message: unknown): void {
    const { id, v } = envelopeSchema.safeParse(message).data ?? { id: 0, v: undefined };
    let method: Request["method"] | undefined;
    let answer: Buffer;
    try {
      const request = parseRequest(message, v);
      method = request.method;
      answer = encodeMessage({ v: PROTOCOL_VERSION, id, result: this.#perform(socket, request) });
    } catch (error) {
      answer = failure(id, error);
      method = undefined;
    }
    // Shutdown waits until its answer is on its way, or cannot be sent any more.
    socket.write(answer, method === "shutdown" ? () => this.#given.onShutdown() : undefined);
    if (socket.writableLength > UNREAD_MAX_BYTES) socket.destroy();
  }

  #perform(socket: Socket, request: Request): unknown {
    if (!READ_ONLY.has(request.method) && this.#control !== socket) {
      throw new RipstopError(
        "NOT_IN_CONTROL",
        `${request.method} needs the control role; say hello with role control first`,
      );
    }
    switch (request.method) {
      case "hello":
        return this.#hello(socket, request.role);
      case "open":
        return this.#open(request.options, request.incarnation);
      case "apply":
        this.#opened().apply(request.table);
        this.#confine();
        return null;
      case "patch":
        this.#opened().patch(request);
        return null;
      case "counters":
        return { layout: this.#binding?.counterLayout ?? [], values: [...this.#opened().rawCounters()] };
      case "inspect":
        return this.#opened().inspect();
      case "peers":
        return { rows: [...this.#opened().peers()] };
      case "captureStart":
        return this.#capture.start(socket, this.#opened(), this.#binding as Binding, request);
      case "captureRead":
        return this.#capture.read(socket, this.#opened());
      case "close":
      case "shutdown":
        this.#closeDataplane();
        return null;
    }
  }

  #hello(socket: Socket, role: "control" | "observe"): HelloResult {
    if (role === "control" && this.#control !== socket) {
      if (this.#control !== null) {
        throw new RipstopError(
          "CONTROL_HELD",
          "another agent controls this data plane; stop that agent, or use another --run-dir",
        );
      }
      this.#control = socket;
    }
    return {
      version: this.#version,
      pid: process.pid,
      opened: (this.#dataplane?.options as HelloResult["opened"]) ?? null,
      incarnation: this.#incarnation,
      confined: this.#confined,
    };
  }

  #open(options: unknown, incarnation: string): null {
    if (this.#dataplane !== null)
      throw new RipstopError("ALREADY_OPEN", "the data plane is open; close it before opening it with other options");
    if (this.#confined)
      throw new RipstopError("DATAPLANE_CONFINED", "this process has given up what opening needs; start another one");
    this.#binding ??= this.#load();
    this.#dataplane = Dataplane.open(this.#binding, options);
    this.#incarnation = incarnation;
    this.#given.onEvent("data plane opened", { options: this.#dataplane.options });
    return null;
  }

  /** The first table has attached everything: from here on nothing is needed that a stranger could want. */
  #confine(): void {
    if (this.#confined) return;
    this.#confined = true;
    const refused = this.#binding?.confineProcess() ?? null;
    if (isNativeError(refused)) this.#given.onEvent("cannot confine the process", { error: toRipstopError(refused) });
  }

  #opened(): Dataplane {
    if (this.#dataplane === null) throw new RipstopError("NOT_OPEN", "the data plane is not open; send open first");
    return this.#dataplane;
  }

  #closeDataplane(): void {
    if (this.#dataplane === null) return;
    this.#dataplane.close();
    this.#dataplane = null;
    this.#incarnation = "";
    this.#given.onEvent("data plane closed", {});
  }
}

/** Node has no public way to a socket's descriptor, and none to its peer's credentials. */
function descriptorOf(socket: Socket): number | null {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } };
  return typeof handle?.fd === "number" && handle.fd >= 0 ? handle.fd : null;
}

function parseRequest(message: unknown, version: unknown): Request {
  if (version !== PROTOCOL_VERSION) {
    const given = (JSON.stringify(version) ?? "none").slice(0, 40);
    throw new RipstopError(
      "PROTOCOL_VERSION",
      `this data plane (ripstop ${ripstopVersion()}) speaks protocol version ${PROTOCOL_VERSION}, the client ${given}; restart the older of the two`,
    );
  }
  const parsed = requestSchema.safeParse(message);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new RipstopError(
    "PROTOCOL_REQUEST",
    `the request's ${issue?.path.join(".") || "body"} is not understood: ${issue?.message ?? "invalid"}`,
  );
}

function failure(id: number, error: unknown): Buffer {
  const known = error instanceof RipstopError;
  return encodeMessage({
    v: PROTOCOL_VERSION,
    id,
    error: {
      code: known ? error.code : "INTERNAL",
      message: error instanceof Error ? error.message : String(error),
      ...(known && error.op !== undefined ? { op: error.op } : {}),
      ...(known && error.errno !== undefined ? { errno: error.errno } : {}),
    },
  });
}
