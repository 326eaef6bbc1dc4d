// As much of a Kubernetes API server as its bad days need: real HTTP, nodes in memory, and failures at will. What a good day
// looks like is asked of a real server (test/peers).
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CurrentCredentials } from "../../src/store/kube/current-credentials.js";
import { KubeHttpApi } from "../../src/store/kube/http-api.js";

type Json = Record<string, unknown>;
interface Stored {
  readonly metadata: Json & { name: string; annotations: Record<string, string>; resourceVersion: string };
  readonly spec: Json;
  readonly status: Json & { conditions: Json[] };
}

export class FakeKube {
  readonly nodes = new Map<string, Stored>();
  readonly events: Json[] = [];
  readonly calls: string[] = [];
  /** Watches from versions below are refused with 410, as after a compaction. */
  compactedBelow = 0;
  /** Every request is answered with this status, when set. */
  failWith: number | null = null;
  /** Seconds in Retry-After of those answers. */
  retryAfter: number | null = null;
  /** When each request came (performance.now()), beside `calls`. */
  readonly times: number[] = [];
  /** Only this bearer token is let in, when set. */
  token: string | null = null;
  eventsForbidden = false;
  /** Requests are taken and never answered, as by what stands before a server that is gone. */
  silent = false;
  readonly #history: { version: number; type: string; node: Stored }[] = [];
  readonly #watchers = new Map<ServerResponse, number>();
  readonly #server: Server;
  #version = 100;

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeKube> {
    const kube = new FakeKube();
    await new Promise<void>((resolve) => kube.#server.listen(0, "127.0.0.1", resolve));
    return kube;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A way to it for who needs no credentials: the program that reads them takes longer than a whole test. */
  client(callMs?: number): KubeHttpApi {
    const credentials = { server: this.url, headers: {}, trusting: false, files: [], lasting: true };
    return new KubeHttpApi(new CurrentCredentials({ apiUrl: this.url, kubeconfigFile: "" }, credentials), callMs);
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  async stop(): Promise<void> {
    this.dropWatches();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Adds or replaces a node; `podCidr` empty: not assigned yet. */
  put(name: string, podCidr: string, annotations: Record<string, string> = {}): void {
    const type = this.nodes.has(name) ? "MODIFIED" : "ADDED";
    const before = this.nodes.get(name);
    this.#store(type, {
      metadata: {
        name,
        uid: `uid-${name}`,
        creationTimestamp: "2026-01-01T00:00:00Z",
        managedFields: ["long"],
        ...before?.metadata,
        annotations: { ...annotations },
        resourceVersion: "",
      },
      spec: podCidr === "" ? {} : { podCIDR: podCidr, podCIDRs: [podCidr] },
      status: before?.status ?? { conditions: [{ type: "Ready", status: "True" }] },
    });
  }

  annotate(name: string, annotations: Record<string, string>): void {
    const node = this.#node(name);
    this.#store("MODIFIED", {
      ...node,
      metadata: { ...node.metadata, annotations: { ...node.metadata.annotations, ...annotations } },
    });
  }

  remove(name: string): void {
    const node = this.#node(name);
    this.nodes.delete(name);
    this.#tell("DELETED", { ...node, metadata: { ...node.metadata, resourceVersion: String(++this.#version) } });
  }

  /** Changes the store without telling any watch: what a lost event looks like. */
  removeSilently(name: string): void {
    this.nodes.delete(name);
    this.#version++;
  }

  dropWatches(): void {
    for (const response of this.#watchers.keys()) response.destroy();
    this.#watchers.clear();
  }

  /** An ERROR event inside the stream, as an API server sends for a version it no longer has. */
  sendGone(): void {
    this.#sendAll({ type: "ERROR", object: { kind: "Status", code: 410, message: "too old resource version" } });
  }

  sendBookmark(): void {
    this.#sendAll({ type: "BOOKMARK", object: { metadata: { resourceVersion: String(this.#version) } } });
  }

  #node(name: string): Stored {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  #store(type: string, node: Stored): Stored {
    const stored = { ...node, metadata: { ...node.metadata, resourceVersion: String(++this.#version) } };
    this.nodes.set(stored.metadata.name, stored);
    this.#tell(type, stored);
    return stored;
  }

  #tell(type: string, node: Stored): void {
    this.#history.push({ version: Number(node.metadata.resourceVersion), type, node });
    this.#sendAll({ type, object: node });
  }

  #sendAll(line: object): void {
    const text = `${JSON.stringify(line)}\n`;
    const middle = text.length >> 1;
    // In two pieces: lines are not chunks.
    for (const response of this.#watchers.keys()) {
      response.write(text.slice(0, middle));
      response.write(text.slice(middle));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    let body = "";
    for await (const chunk of request) body += String(chunk);
    this.times.push(performance.now());
    this.calls.push(`${request.method} ${url.pathname}${url.searchParams.has("watch") ? " watch" : ""}`);
    if (this.silent) return;
    if (this.token !== null && request.headers.authorization !== `Bearer ${this.token}`) return status(response, 401);
    if (this.failWith !== null) {
      if (this.retryAfter !== null) response.setHeader("Retry-After", String(this.retryAfter));
      return status(response, this.failWith);
    }
    const [, , , kind, name, sub] = url.pathname.split("/");
    if (kind === "namespaces") return this.#namespaced(request, response, body);
    if (name === undefined && url.searchParams.has("watch")) return this.#watch(url, response);
    if (name === undefined) return this.#list(url, response);
    const node = this.nodes.get(name);
    if (node === undefined) return status(response, 404);
    if (request.method === "PATCH" && sub === "status") return send(response, this.#patch(node, body));
    if (request.method === "GET") return send(response, node);
    return status(response, 405);
  }

  #patch(node: Stored, body: string): Stored {
    const patch = JSON.parse(body) as {
      metadata?: { annotations?: Record<string, string> };
      status?: { conditions?: Json[] };
    };
    const told = patch.status?.conditions ?? [];
    const kept = node.status.conditions.filter((one) => !told.some((other) => other["type"] === one["type"]));
    return this.#store("MODIFIED", {
      ...node,
      metadata: { ...node.metadata, annotations: { ...node.metadata.annotations, ...patch.metadata?.annotations } },
      status: { ...node.status, conditions: [...kept, ...told] },
    });
  }

  #namespaced(request: IncomingMessage, response: ServerResponse, body: string): void {
    if (request.method === "GET") send(response, { spec: { nodeName: "n1" } });
    else if (this.eventsForbidden) status(response, 403);
    else {
      this.events.push(JSON.parse(body) as Json);
      send(response, {}, 201);
    }
  }

  #list(url: URL, response: ServerResponse): void {
    const limit = Number(url.searchParams.get("limit") ?? 1e9);
    const start = Number(url.searchParams.get("continue") ?? 0);
    const all = [...this.nodes.values()];
    const next = start + limit < all.length ? String(start + limit) : "";
    send(response, {
      metadata: { resourceVersion: String(this.#version), continue: next },
      items: all.slice(start, start + limit),
    });
  }

  #watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get("resourceVersion"));
    if (from < this.compactedBelow) {
      status(response, 410);
      return;
    }
    response.writeHead(200, { "Content-Type": "application/json" });
    response.flushHeaders();
    this.#watchers.set(response, from);
    response.on("close", () => this.#watchers.delete(response));
    for (const { version, type, node } of this.#history)
      if (version > from) response.write(`${JSON.stringify({ type, object: node })}\n`);
  }
}

function send(response: ServerResponse, object: unknown, code = 200): void {
  response.writeHead(code, { "Content-Type": "application/json" });
  response.end(JSON.stringify(object));
}

function status(response: ServerResponse, code: number): void {
  send(response, { kind: "Status", code, message: `said with ${code}` }, code);
}
