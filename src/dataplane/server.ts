// The data-plane process's side of the socket: answers requests, owns the Dataplane. Runs on that process's JavaScript
// thread; the workers need nothing from it, so a slow or silent client can delay only other clients, never a packet.
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { Binding } from "./binding.js";
import { CaptureSession } from "./capture-session.js";
import { Dataplane } from "./dataplane.js";
import { encodeMessage, MessageReader } from "./framing.js";
import {
  envelopeSchema,
  type HelloResult,
  PROTOCOL_VERSION,
  READ_ONLY,
  type Request,
  requestSchema,
} from "./protocol.js";
import { socketAnswers } from "./socket-path.js";

const CLIENTS_MAX = 16;
/** A message that has begun must end within this time; a connection may otherwise be silent for ever. */
const MESSAGE_TIME_MS = 5_000;
/** A client that does not read its answers is dropped. */
const UNREAD_MAX_BYTES = 1024 * 1024;

export interface ServerEvents {
  /** The controlling client asked the process to end; the answer has been sent. */
  readonly onShutdown: () => void;
  readonly onEvent: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class DataplaneServer {
  readonly #load: () => Binding;
  readonly #events: ServerEvents;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #capture = new CaptureSession();
  #control: Socket | null = null;
  #binding: Binding | null = null;
  #dataplane: Dataplane | null = null;
  #incarnation = "";

  /** `load` is called at the first open, so that a process without a usable addon can still say why. */
  constructor(load: () => Binding, events: ServerEvents) {
    this.#load = load;
    this.#events = events;
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
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
  }

  /** Closes the data plane first: from then on packets take the kernel path. */
  async stop(): Promise<void> {
    this.#closeDataplane();
    for (const socket of this.#clients) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    if (this.#clients.size >= CLIENTS_MAX) {
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
    socket.write(answer, method === "shutdown" ? () => this.#events.onShutdown() : undefined);
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
        return null;
      case "counters":
        return { layout: this.#binding?.counterLayout ?? [], values: [...this.#opened().rawCounters()] };
      case "inspect":
        return this.#opened().inspect();
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
      version: ripstopVersion(),
      pid: process.pid,
      opened: (this.#dataplane?.options as HelloResult["opened"]) ?? null,
      incarnation: this.#incarnation,
    };
  }

  #open(options: unknown, incarnation: string): null {
    if (this.#dataplane !== null)
      throw new RipstopError("ALREADY_OPEN", "the data plane is open; close it before opening it with other options");
    this.#binding ??= this.#load();
    this.#dataplane = Dataplane.open(this.#binding, options);
    this.#incarnation = incarnation;
    this.#events.onEvent("data plane opened", { options: this.#dataplane.options });
    return null;
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
    this.#events.onEvent("data plane closed", {});
  }
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
