// HTTP for probes: /healthz and /readyz with flannel's bodies, and whatever pages the agent adds (/metrics). Owned by the
// agent. Answers from memory only; never waits for the store, the kernel or the data plane.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { RipstopError } from "../lib/errors.js";

export interface HealthPage {
  readonly contentType: string;
  readonly body: () => string | Promise<string>;
  /** More than the server's own headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HealthServerOptions {
  readonly address: string;
  readonly port: number;
  /** True once subnet.env has been written. */
  readonly ready: () => boolean;
  /** Why the process should be ended and started again; null or absent: it lives. */
  readonly wedged?: () => string | null;
  /** What /readyz?verbose adds, line by line. */
  readonly detail?: () => readonly string[];
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
      void answer(options, request).then(
        ({ status, headers, body }) => {
          response.writeHead(status, headers);
          response.end(request.method === "HEAD" ? undefined : body);
        },
        () => {
          response.writeHead(500, PLAIN);
          response.end("this page cannot be made now\n");
        },
      );
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

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const PLAIN = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" } as const;

/** /healthz and /readyz are answered without waiting for anything. */
async function answer(options: HealthServerOptions, { method = "", url = "/" }: IncomingMessage): Promise<Answer> {
  const { pathname: path, searchParams } = new URL(url, "http://x");
  const text = (status: number, body: string): Answer => ({ status, headers: PLAIN, body });
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET and HEAD\n");
  if (path === "/healthz") {
    const wedged = options.wedged?.() ?? null;
    return wedged === null ? text(200, "flanneld is running") : text(503, `flanneld is wedged: ${wedged}`);
  }
  if (path === "/readyz") {
    const [status, body] = options.ready() ? [200, "flanneld is ready"] : [503, "flanneld is not ready yet"];
    const detail = searchParams.has("verbose") ? (options.detail?.() ?? []).map((line) => `\n${line}`).join("") : "";
    return text(status, `${body}${detail}`);
  }
  const page = options.pages?.get(path);
  if (page === undefined) return text(404, "not found\n");
  const headers = { ...PLAIN, "content-type": page.contentType, ...page.headers };
  return { status: 200, headers, body: await page.body() };
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
