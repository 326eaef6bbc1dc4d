// The API server over HTTP. Where it is and how we prove who we are is @kubernetes/client-node's matter (credentials.ts); the
// requests are ours, because its watch has no time-out and swallows what its callbacks throw.
import { statSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { RipstopError } from "../../lib/errors.js";
import { type Credentials, type KubeSource, readCredentials } from "./credentials.js";
import { type JsonObject, type KubeApi, KubeGone, type NodePage, type WatchListener } from "./api.js";
import { record } from "./node.js";
import { splitLines } from "./watch-lines.js";

const CALL_MS = 10_000;
/** The server ends a watch by itself; bookmarks come about once a minute, so this much silence is a dead connection. */
const WATCH_SECONDS = { min: 240, max: 480 };
const WATCH_SILENCE_MS = 120_000;
const BODY_BYTES_MAX = 256 << 20;
/** Tokens and certificates are files that others replace, or are handed out for a time; a 401 has them read again at once. */
const CREDENTIALS_AGE_MS = 600_000;
const LOOK_MS = 10_000;
const SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

interface Call {
  readonly method: "GET" | "PATCH" | "POST";
  readonly path: string;
  readonly body?: JsonObject;
  readonly contentType?: string;
}

export class KubeHttpApi implements KubeApi {
  readonly #source: KubeSource;
  #credentials: Credentials;
  #readAtMs = performance.now();
  #lookedAtMs = performance.now();
  #changedAtMs: number;
  #agent: { readonly identity: string; readonly agent: http.Agent } | null = null;

  private constructor(source: KubeSource, credentials: Credentials) {
    this.#source = source;
    this.#credentials = credentials;
    this.#changedAtMs = this.#fileTime();
  }

  static async open(source: KubeSource): Promise<KubeHttpApi> {
    return new KubeHttpApi(source, await readCredentials(source));
  }

  describe(): string {
    return this.#credentials.server;
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
      await this.#readAgain();
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
    await this.#refresh();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { server, headers, auth } = this.#credentials;
    const target = new URL(`${server}${path}`);
    try {
      const request = (target.protocol === "https:" ? https : http).request(target, {
        method,
        agent: this.#agentFor(target.protocol === "https:"),
        signal,
        ...(auth === undefined ? {} : { auth }),
        headers: {
          Accept: "application/json",
          "User-Agent": "ripstop",
          ...(text === undefined ? {} : { "Content-Type": contentType, "Content-Length": Buffer.byteLength(text) }),
          ...headers,
        },
      });
      return await new Promise((resolve, reject) => {
        request.on("response", resolve).on("error", reject);
        request.end(text);
      });
    } catch (error) {
      throw this.#broken(path, error);
    }
  }

  /** One agent keeps connections open; another one only for other certificates. */
  #agentFor(secure: boolean): http.Agent {
    const { ca, cert, key, servername, trusting } = this.#credentials;
    const identity = [secure, ca, cert, key, servername, trusting].map(String).join("\n");
    if (this.#agent?.identity === identity) return this.#agent.agent;
    const keep = { keepAlive: true, maxSockets: 4, keepAliveMsecs: 10_000 };
    const agent = secure
      ? new https.Agent({
          ...keep,
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key }),
          ...(servername === undefined ? {} : { servername }),
          rejectUnauthorized: !trusting,
        })
      : new http.Agent(keep);
    this.#agent = { identity, agent };
    return agent;
  }

  async #refresh(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = now;
    if (this.#fileTime() === this.#changedAtMs && now - this.#readAtMs < CREDENTIALS_AGE_MS) return;
    await this.#readAgain();
  }

  async #readAgain(): Promise<void> {
    this.#changedAtMs = this.#fileTime();
    this.#readAtMs = performance.now();
    this.#credentials = await readCredentials(this.#source);
  }

  #fileTime(): number {
    const path = this.#source.kubeconfigFile === "" ? SERVICE_ACCOUNT_TOKEN : this.#source.kubeconfigFile;
    return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  async #refuse(response: http.IncomingMessage, path: string): Promise<never> {
    const status = response.statusCode ?? 0;
    const said = await readBody(response).then(
      (text) => message(text),
      () => "",
    );
    if (status === 410) throw new KubeGone(said);
    if (status === 401) {
      this.#lookedAtMs = Number.NEGATIVE_INFINITY;
      this.#readAtMs = Number.NEGATIVE_INFINITY;
    }
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
