// Builds the etcd3 client the way a node agent needs it: pings that notice a dead connection, deadlines, the require-leader
// mark on every call, no size limit on answers, no retries of its own, and failing hosts skipped for a second. Why each is
// needed is in docs/decisions/0042.
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { Etcd3, GRPCDeadlineExceededError, type IOptions, isRecoverableError } from "etcd3";
import type { EtcdOptions } from "../../config/options.js";
import { RipstopError } from "../../lib/errors.js";
import { type Endpoints, parseEndpoints } from "./endpoints.js";

export const CALL_DEADLINE_MS = 5_000;
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const RECONNECT_INITIAL_MS = 500;
const RECONNECT_MAX_MS = 5_000;
const HOST_PAUSE_MS = 1_000;

type Channel = NonNullable<IOptions["grpcOptions"]>;
/** The part of grpc-js's intercepted call that is used here; its types are not re-exported by etcd3. */
interface InterceptedCall {
  start: (metadata: { set(name: string, value: string): void }, listener: unknown) => void;
}
type Credentials = NonNullable<IOptions["credentials"]>;
type FaultHandling = NonNullable<IOptions["faultHandling"]>;
type HostPolicy = ReturnType<NonNullable<FaultHandling["host"]>>;
type GlobalPolicy = NonNullable<FaultHandling["global"]>;

/** Certificates are read here, and again when the store asks whether the files changed. */
export interface TlsFiles {
  readonly credentials: Credentials | null;
  /** Changes when a file does. */
  readonly fingerprint: string;
}

export function etcdEndpoints(options: EtcdOptions): Endpoints {
  return parseEndpoints(options.endpoints, options.caFile !== "" || options.certFile !== "");
}

export function readTlsFiles(options: EtcdOptions, secure: boolean): TlsFiles {
  if ((options.keyFile === "") !== (options.certFile === "")) {
    throw new RipstopError(
      "STORE_TLS_INVALID",
      "-etcd-keyfile and -etcd-certfile belong together; give both or neither",
    );
  }
  if (!secure) return { credentials: null, fingerprint: "" };
  const ca = options.caFile === "" ? null : readPem("-etcd-cafile", options.caFile);
  const key = options.keyFile === "" ? null : readPem("-etcd-keyfile", options.keyFile);
  const certificate = options.certFile === "" ? null : readPem("-etcd-certfile", options.certFile);
  const credentials: Credentials = {
    rootCertificate: ca ?? Buffer.from(rootCertificates.join("\n")),
    ...(key === null || certificate === null ? {} : { privateKey: key, certChain: certificate }),
  };
  return { credentials, fingerprint: [ca, key, certificate].map((file) => file?.toString("base64") ?? "").join("|") };
}

export function createEtcdClient(options: EtcdOptions, endpoints: Endpoints, tls: TlsFiles): Etcd3 {
  const call = () => ({ deadline: Date.now() + CALL_DEADLINE_MS });
  const channel: Channel = {
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.max_receive_message_length": -1,
    "grpc.initial_reconnect_backoff_ms": RECONNECT_INITIAL_MS,
    "grpc.max_reconnect_backoff_ms": RECONNECT_MAX_MS,
    interceptors: [requireLeader],
  };
  return new Etcd3({
    hosts: [...endpoints.origins],
    ...(tls.credentials === null ? {} : { credentials: tls.credentials }),
    ...(options.username === "" || options.password === ""
      ? {}
      : { auth: { username: options.username, password: options.password, callOptions: call } }),
    grpcOptions: channel,
    defaultCallOptions: (context) => (context.isStream ? {} : call()),
    faultHandling: {
      global: { execute: (action: (context: unknown) => unknown) => action({}) } as unknown as GlobalPolicy,
      host: () => new HostGate() as unknown as HostPolicy,
    },
  });
}

/** A member that lost its quorum must say so instead of serving what it last knew. */
const requireLeader = (options: unknown, nextCall: (options: unknown) => InterceptedCall): InterceptedCall => {
  const call = nextCall(options);
  const start = call.start.bind(call);
  call.start = (metadata, listener) => {
    metadata.set("hasleader", "true");
    start(metadata, listener);
  };
  return call;
};

/** After a failure a host is passed over for a moment, so that the same call tries the next one. */
class HostGate {
  #openAtMs = 0;

  async execute<T>(action: () => T | Promise<T>): Promise<T> {
    if (performance.now() < this.#openAtMs) throw new Error("the endpoint failed a moment ago");
    try {
      return await action();
    } catch (error) {
      const down = error instanceof Error && (isRecoverableError(error) || error instanceof GRPCDeadlineExceededError);
      if (down) this.#openAtMs = performance.now() + HOST_PAUSE_MS;
      throw error;
    }
  }
}

function readPem(flag: string, path: string): Buffer {
  try {
    const pem = readFileSync(path);
    if (!pem.includes("-----BEGIN ")) throw new Error("it holds no PEM block");
    return pem;
  } catch (error) {
    throw new RipstopError(
      "STORE_TLS_INVALID",
      `${flag}=${path} cannot be used (${(error as Error).message}); name a readable PEM file`,
      { cause: error },
    );
  }
}
