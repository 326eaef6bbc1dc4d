// HTTP for probes: /healthz and /readyz with flannel's bodies, and whatever pages the agent adds (/metrics). Owned by the
// agent. Answers from memory only; never waits for the store, the kernel or the data plane.
import { createServer, type Server } from "node:http";
import { RipstopError } from "../lib/errors.js";

export interface HealthPage {
  readonly contentType: string;
  readonly body: () => string;
}

export interface HealthServerOptions {
  readonly address: string;
  readonly port: number;
  /** True once subnet.env has been written. */
  readonly ready: () => boolean;
  /** By path. */
  readonly pages?: ReadonlyMap<string, HealthPage>;
}

const STOP_GRACE_MS = 3_000;

export class HealthServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Rejects with HEALTH_LISTEN_FAILED when the port is taken or the address is not ours. */
  static async listen(options: HealthServerOptions): Promise<HealthServer> {
    const server = createServer((request, response) => {
      const { status, contentType, body } = answer(
        options,
        request.method ?? "",
        new URL(request.url ?? "/", "http://x").pathname,
      );
      response.writeHead(status, { "content-type": contentType });
      response.end(request.method === "HEAD" ? undefined : body);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => reject(listenFailed(options, cause)));
      server.listen(options.port, options.address, resolve);
    });
    return new HealthServer(server);
  }

  async stop(): Promise<void> {
    const hurry = setTimeout(() => this.#server.closeAllConnections(), STOP_GRACE_MS);
    this.#server.closeIdleConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    clearTimeout(hurry);
  }
}

function answer(
  options: HealthServerOptions,
  method: string,
  path: string,
): { status: number; contentType: string; body: string } {
  const text = (status: number, body: string) => ({ status, contentType: "text/plain; charset=utf-8", body });
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET and HEAD\n");
  if (path === "/healthz") return text(200, "flanneld is running");
  if (path === "/readyz")
    return options.ready() ? text(200, "flanneld is ready") : text(503, "flanneld is not ready yet");
  const page = options.pages?.get(path);
  return page === undefined
    ? text(404, "not found\n")
    : { status: 200, contentType: page.contentType, body: page.body() };
}

function listenFailed({ address, port }: HealthServerOptions, cause: NodeJS.ErrnoException): RipstopError {
  const remedy =
    cause.code === "EADDRINUSE"
      ? "another process has the port; stop it or choose another --healthz-port"
      : "choose another --healthz-ip or --healthz-port";
  return new RipstopError(
    "HEALTH_LISTEN_FAILED",
    `cannot listen at ${address}:${port} (${cause.code ?? cause.message}): ${remedy}`,
    {
      op: "listen",
      cause,
    },
  );
}
