// The API server over HTTP. Where it is and how we prove who we are is @kubernetes/client-node's matter (credentials.ts); the
// requests are ours, because its watch has no time-out and swallows what its callbacks throw.
import * as http from "node:http";
import * as https from "node:https";
import { RipstopError } from "../../lib/errors.js";
import { systemClock } from "../../lib/clock.js";
import type { KubeSource } from "./credentials.js";
import { CurrentCredentials } from "./current-credentials.js";
import { type JsonObject, type KubeApi, KubeGone, type NodePage, type WatchListener } from "./api.js";
import { ListItems } from "./list-items.js";
import { record } from "./node.js";
import { splitLines } from "./watch-lines.js";

const CALL_MS = 10_000;
/** The server ends a watch by itself; bookmarks come about once a minute, so this much silence is a dead connection. */
const WATCH_SECONDS = { min: 240, max: 480 };
const WATCH_SILENCE_MS = 120_000;
const BODY_BYTES_MAX = 256 << 20;
/** However long a busy server asks us to wait. */
const HOLD_MS_MAX = 60_000;

interface Call {
  readonly method: "GET" | "PATCH" | "POST";
  readonly path: string;
  readonly body?: JsonObject;
  readonly contentType?: string;
}

export class KubeHttpApi implements KubeApi {
  readonly #credentials: CurrentCredentials;
  readonly #callMs: number;
  #agent: { readonly identity: string; readonly agent: http.Agent } | null = null;
  /** A busy server asked for silence until then (performance.now()). */
  #heldUntilMs = 0;

  /** `callMs`: how long an answer may take, and a watch until it is taken. */
  constructor(credentials: CurrentCredentials, callMs = CALL_MS) {
    this.#credentials = credentials;
    this.#callMs = callMs;
  }

  static async open(source: KubeSource): Promise<KubeHttpApi> {
    return new KubeHttpApi(await CurrentCredentials.open(source));
  }

  describe(): string {
    return this.#credentials.value.server;
  }

  /** What answers, and its clock as HTTP tells it; for the doctor. */
  async version(signal: AbortSignal): Promise<{ readonly version: string; readonly date: string | undefined }> {
    const path = "/version";
    const response = await this.#send({ method: "GET", path }, signal);
    if (response.statusCode !== 200) return await this.#refuse(response, path);
    const { gitVersion } = record(JSON.parse(await readBody(response)));
    return { version: typeof gitVersion === "string" ? gitVersion : "of unknown version", date: response.headers.date };
  }

  async getNode(name: string, signal: AbortSignal): Promise<JsonObject | null> {
    return await this.#object({ method: "GET", path: `/api/v1/nodes/${encodeURIComponent(name)}` }, signal);
  }

  async getPod(namespace: string, name: string, signal: AbortSignal): Promise<JsonObject | null> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    return await this.#object({ method: "GET", path }, signal);
  }

  async listNodes(
    limit: number,
    continueToken: string,
    hear: (item: unknown) => void,
    signal: AbortSignal,
  ): Promise<NodePage> {
    const query = new URLSearchParams({ limit: String(limit) });
    if (continueToken !== "") query.set("continue", continueToken);
    const path = `/api/v1/nodes?${query}`;
    const items = new ListItems((text) => hear(JSON.parse(text)));
    const rest = await this.#ask({ method: "GET", path }, signal, async (response) => {
      await eachChunk(response, (chunk) => items.push(chunk));
      return record(JSON.parse(items.rest()));
    });
    const { resourceVersion, continue: next } = record(rest?.["metadata"]);
    if (!Array.isArray(rest?.["items"]) || typeof resourceVersion !== "string") {
      throw new RipstopError(
        "STORE_UNAVAILABLE",
        `${this.describe()} answered a list of nodes with something else; is it a Kubernetes API server?`,
      );
    }
    return { resourceVersion, continueToken: typeof next === "string" ? next : "" };
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
    await this.#untilNotHeld(signal);
    const response = await this.#openStream(path, signal);
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

  /** The stream may last; that it begins may not: what takes connections and says nothing would keep us till the next list. */
  async #openStream(path: string, signal: AbortSignal): Promise<http.IncomingMessage> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new DOMException("", "TimeoutError")), this.#callMs);
    try {
      const response = await this.#send({ method: "GET", path }, AbortSignal.any([signal, late.signal]));
      return response.statusCode === 200 ? response : await this.#refuse(response, path);
    } finally {
      clearTimeout(timer);
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

  #object(call: Call, signal: AbortSignal): Promise<JsonObject | null> {
    return this.#ask(call, signal, async (response) => record(JSON.parse(await readBody(response))));
  }

  /** What `read` makes of the answer; null for 404. */
  async #ask<T>(
    call: Call,
    signal: AbortSignal,
    read: (response: http.IncomingMessage) => Promise<T>,
  ): Promise<T | null> {
    await this.#untilNotHeld(signal);
    const bound = AbortSignal.any([signal, AbortSignal.timeout(this.#callMs)]);
    let response = await this.#send(call, bound);
    if (response.statusCode === 401) {
      // A token that was rotated since we read it.
      response.resume();
      await this.#credentials.renew();
      response = await this.#send(call, bound);
    }
    if (response.statusCode === 404) {
      response.resume();
      return null;
    }
    if (response.statusCode === undefined || response.statusCode >= 300) return await this.#refuse(response, call.path);
    try {
      return await read(response);
    } catch (error) {
      signal.throwIfAborted();
      throw this.#broken(call.path, error);
    }
  }

  async #untilNotHeld(signal: AbortSignal): Promise<void> {
    const left = this.#heldUntilMs - performance.now();
    if (left > 0) await systemClock.sleep(left, signal);
  }

  async #send({ method, path, body, contentType }: Call, signal: AbortSignal): Promise<http.IncomingMessage> {
    await this.#credentials.refresh();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { server, headers, auth } = this.#credentials.value;
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
    const { ca, cert, key, servername, trusting } = this.#credentials.value;
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

  async #refuse(response: http.IncomingMessage, path: string): Promise<never> {
    const status = response.statusCode ?? 0;
    const said = await readBody(response).then(
      (text) => message(text),
      () => "",
    );
    if (status === 410) throw new KubeGone(said);
    if (status === 401) await this.#credentials.renew();
    const what = `${this.describe()} answered ${path.split("?")[0]} with ${status}${said === "" ? "" : `: ${said}`}`;
    if (status === 401 || status === 403) {
      throw new RipstopError(
        "STORE_REFUSED",
        `${what}; check the service account and the ClusterRole of docs/kubernetes.md`,
      );
    }
    const asked = Number(response.headers["retry-after"]);
    const hold = asked > 0 ? Math.min(asked * 1000, HOLD_MS_MAX) : 0;
    // Some more than asked for, so that the nodes of a cluster do not come back together.
    this.#heldUntilMs = Math.max(this.#heldUntilMs, performance.now() + hold * (1 + Math.random() / 2));
    const wait = hold > 0 ? ` (it asks us to wait ${asked} s)` : "";
    throw new RipstopError("STORE_UNAVAILABLE", `${what}${wait}; check the API server`);
  }

  #broken(path: string, error: unknown): Error {
    if (error instanceof RipstopError || error instanceof KubeGone) return error;
    const late = error instanceof Error && record(error.cause)["name"] === "TimeoutError";
    const said = error instanceof Error ? error.message : String(error);
    const reason = late ? `nothing within ${this.#callMs / 1000} s` : said;
    return new RipstopError(
      "STORE_UNAVAILABLE",
      `the Kubernetes API at ${this.describe()} does not answer ${path.split("?")[0]} (${reason}); check the API server and the way to it`,
      { cause: error },
    );
  }
}

async function readBody(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  await eachChunk(response, (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

async function eachChunk(response: http.IncomingMessage, hear: (chunk: Buffer) => void): Promise<void> {
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new Error(`the answer is larger than ${BODY_BYTES_MAX >> 20} MiB`);
    hear(chunk);
  }
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
