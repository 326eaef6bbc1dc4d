// The API server over HTTP. Where it is and how we prove who we are is @kubernetes/client-node's matter (in-cluster token and
// authority, kubeconfig with certificates, tokens, exec and OIDC helpers); the requests are ours, because its watch has no
// time-out and swallows what its callbacks throw. Loaded only with --kube-subnet-mgr: the package is large.
import * as http from "node:http";
import * as https from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { RipstopError } from "../../lib/errors.js";
import { type JsonObject, type KubeApi, KubeGone, type NodePage, type WatchListener } from "./api.js";
import { record } from "./node.js";
import { splitLines } from "./watch-lines.js";

export interface KubeHttpOptions {
  /** flannel's -kube-api-url; empty: as the kubeconfig says. */
  readonly apiUrl: string;
  /** flannel's -kubeconfig-file; empty: in-cluster. */
  readonly kubeconfigFile: string;
}

const CALL_MS = 10_000;
/** The server ends a watch by itself; bookmarks come about once a minute, so this much silence is a dead connection. */
const WATCH_SECONDS = { min: 240, max: 480 };
const WATCH_SILENCE_MS = 120_000;
const BODY_BYTES_MAX = 256 << 20;
const TOKEN_AGE_MS = 60_000;

interface Call {
  readonly method: "GET" | "PATCH" | "POST";
  readonly path: string;
  readonly body?: JsonObject;
  readonly contentType?: string;
}

export class KubeHttpApi implements KubeApi {
  readonly #load: () => KubeConfig;
  #config: KubeConfig;
  #loadedAtMs: number;
  #agent: { readonly identity: string; readonly agent: http.Agent } | null = null;

  private constructor(load: () => KubeConfig) {
    this.#load = load;
    this.#config = load();
    this.#loadedAtMs = performance.now();
  }

  static async open({ apiUrl, kubeconfigFile }: KubeHttpOptions): Promise<KubeHttpApi> {
    const client = await import("@kubernetes/client-node");
    return new KubeHttpApi(() => {
      const config = new client.KubeConfig();
      try {
        if (kubeconfigFile !== "") config.loadFromFile(kubeconfigFile);
        else if (apiUrl !== "")
          config.loadFromClusterAndUser({ name: "flag", server: apiUrl, skipTLSVerify: false }, { name: "nobody" });
        else config.loadFromCluster();
        const cluster = config.getCurrentCluster();
        if (cluster === null) throw new Error("it names no cluster");
        const server = new URL(apiUrl === "" ? cluster.server : apiUrl);
        // The library sends nothing over plain HTTP without this; with HTTP there is nothing to verify.
        const skipTLSVerify = server.protocol === "http:" || (cluster.skipTLSVerify ?? false);
        config.clusters = config.clusters.map((one) =>
          one.name === cluster.name ? { ...one, skipTLSVerify, server: server.href.replace(/\/+$/, "") } : one,
        );
      } catch (error) {
        const source = kubeconfigFile === "" ? (apiUrl === "" ? "the pod's service account" : apiUrl) : kubeconfigFile;
        throw new RipstopError(
          "STORE_CONFIG",
          `cannot use ${source} to reach the Kubernetes API (${(error as Error).message}); give -kubeconfig-file or -kube-api-url, or run in a pod with a service account`,
          { cause: error },
        );
      }
      return config;
    });
  }

  describe(): string {
    return this.#server().href;
  }

  async getNode(name: string, signal: AbortSignal): Promise<JsonObject | null> {
    return await this.#object({ method: "GET", path: `/api/v1/nodes/${encodeURIComponent(name)}` }, signal);
  }

  async getPod(namespace: string, name: string, signal: AbortSignal): Promise<JsonObject | null> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    return await this.#object({ method: "GET", path }, signal);
  }

  async listNodes(limit: number, continueToken: string, signal: AbortSignal): Promise<NodePage> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (continueToken !== "") query.set("continue", continueToken);
    const list = await this.#object({ method: "GET", path: `/api/v1/nodes?${query}` }, signal);
    const metadata = record(list?.["metadata"]);
    const { resourceVersion, continue: next } = metadata;
    if (!Array.isArray(list?.["items"]) || typeof resourceVersion !== "string") {
      throw new RipstopError(
        "STORE_UNAVAILABLE",
        `${this.describe()} answered a list of nodes with something else; is it a Kubernetes API server?`,
      );
    }
    return { items: list["items"] as unknown[], resourceVersion, continueToken: typeof next === "string" ? next : "" };
  }

  async watchNodes(resourceVersion: string, listener: WatchListener, signal: AbortSignal): Promise<void> {
    const seconds = WATCH_SECONDS.min + Math.floor(Math.random() * (WATCH_SECONDS.max - WATCH_SECONDS.min));
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion,
      timeoutSeconds: String(seconds),
    });
    const path = `/api/v1/nodes?${query}`;
    const response = await this.#send({ method: "GET", path }, signal);
    if (response.statusCode !== 200) await this.#refuse(response, path);
    listener.opened();
    response.setTimeout(WATCH_SILENCE_MS, () =>
      response.destroy(new Error(`nothing was heard for ${WATCH_SILENCE_MS / 1000} s`)),
    );
    try {
      for await (const line of splitLines(response)) {
        const { type, object } = record(JSON.parse(line));
        if (typeof type === "string") listener.heard({ type, object });
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof KubeGone) throw error;
      throw this.#broken(path, error);
    }
  }

  async patchNodeStatus(name: string, patch: JsonObject, signal: AbortSignal): Promise<JsonObject | null> {
    const path = `/api/v1/nodes/${encodeURIComponent(name)}/status`;
    const contentType = "application/strategic-merge-patch+json";
    return await this.#object({ method: "PATCH", path, body: patch, contentType }, signal);
  }

  async createEvent(namespace: string, event: JsonObject, signal: AbortSignal): Promise<boolean> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`;
    try {
      await this.#object({ method: "POST", path, body: event, contentType: "application/json" }, signal);
      return true;
    } catch (error) {
      if (error instanceof RipstopError && error.code === "STORE_REFUSED") return false;
      throw error;
    }
  }

  close(): void {
    this.#agent?.agent.destroy();
  }

  /** The answer's object; null for 404. */
  async #object(call: Call, signal: AbortSignal): Promise<JsonObject | null> {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]);
    let response = await this.#send(call, bound);
    if (response.statusCode === 401) {
      // A token that was rotated since we read it.
      response.resume();
      this.#reload();
      response = await this.#send(call, bound);
    }
    if (response.statusCode === 404) {
      response.resume();
      return null;
    }
    if (response.statusCode === undefined || response.statusCode >= 300) return await this.#refuse(response, call.path);
    try {
      return record(JSON.parse(await readBody(response)));
    } catch (error) {
      signal.throwIfAborted();
      throw this.#broken(call.path, error);
    }
  }

  async #send({ method, path, body, contentType }: Call, signal: AbortSignal): Promise<http.IncomingMessage> {
    if (performance.now() - this.#loadedAtMs > TOKEN_AGE_MS) this.#reload();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options: https.RequestOptions = {
      headers: {
        Accept: "application/json",
        "User-Agent": "ripstop",
        ...(text === undefined ? {} : { "Content-Type": contentType, "Content-Length": Buffer.byteLength(text) }),
      },
    };
    try {
      await this.#config.applyToHTTPSOptions(options);
      const { Authorization, ...headers } = options.headers as Record<string, string>;
      const server = this.#server();
      const secure = server.protocol === "https:";
      const target = new URL(`${server.pathname.replace(/\/+$/, "")}${path}`, server);
      const request = (secure ? https : http).request(target, {
        method,
        agent: this.#agentFor(options, secure),
        signal,
        ...(options.auth === undefined || options.auth === null ? {} : { auth: options.auth }),
        headers: { ...headers, ...(Authorization === undefined ? {} : { Authorization: Authorization.trim() }) },
      });
      return await new Promise((resolve, reject) => {
        request.on("response", resolve).on("error", reject);
        request.end(text);
      });
    } catch (error) {
      throw this.#broken(path, error);
    }
  }

  /** One agent keeps connections open; the library's would be another for each request. */
  #agentFor({ ca, cert, key, servername }: https.RequestOptions, secure: boolean): http.Agent {
    const cluster = this.#config.getCurrentCluster();
    const name = cluster?.tlsServerName ?? servername;
    const trusting = cluster?.skipTLSVerify === true;
    const identity = [secure, ca, cert, key, name, trusting].map(String).join("\n");
    if (this.#agent?.identity === identity) return this.#agent.agent;
    const keep = { keepAlive: true, maxSockets: 4, keepAliveMsecs: 10_000 };
    const agent = secure
      ? new https.Agent({
          ...keep,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(name === undefined ? {} : { servername: name }),
          rejectUnauthorized: !trusting,
        })
      : new http.Agent(keep);
    this.#agent = { identity, agent };
    return agent;
  }

  /** Tokens and certificates are files that others replace. */
  #reload(): void {
    this.#config = this.#load();
    this.#loadedAtMs = performance.now();
  }

  #server(): URL {
    return new URL(this.#config.getCurrentCluster()?.server ?? "http://localhost:8080");
  }

  async #refuse(response: http.IncomingMessage, path: string): Promise<never> {
    const status = response.statusCode ?? 0;
    const said = await readBody(response).then(
      (text) => message(text),
      () => "",
    );
    if (status === 410) throw new KubeGone(said);
    const what = `${this.describe()} answered ${path.split("?")[0]} with ${status}${said === "" ? "" : `: ${said}`}`;
    if (status === 401 || status === 403) {
      throw new RipstopError(
        "STORE_REFUSED",
        `${what}; check the service account and the ClusterRole of docs/kubernetes.md`,
      );
    }
    const retryAfter = response.headers["retry-after"];
    const wait = status === 429 && retryAfter !== undefined ? ` (asked to wait ${retryAfter} s)` : "";
    throw new RipstopError("STORE_UNAVAILABLE", `${what}${wait}; check the API server`);
  }

  #broken(path: string, error: unknown): Error {
    if (error instanceof RipstopError || error instanceof KubeGone) return error;
    const reason = error instanceof Error ? error.message : String(error);
    return new RipstopError(
      "STORE_UNAVAILABLE",
      `the Kubernetes API at ${this.describe()} does not answer ${path.split("?")[0]} (${reason}); check the API server and the way to it`,
      { cause: error },
    );
  }
}

async function readBody(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new Error(`the answer is larger than ${BODY_BYTES_MAX >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The sentence in a Status object, or the beginning of whatever came. */
function message(text: string): string {
  try {
    const said = record(JSON.parse(text))["message"];
    if (typeof said === "string") return said;
  } catch {
    // not a Status object
  }
  return text.slice(0, 200).trim();
}
