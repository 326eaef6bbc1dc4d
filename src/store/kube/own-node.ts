// What we say about our own Node object beside the lease: the NetworkUnavailable condition, and an Event when a person has to
// do something. flannel's ClusterRole allows the condition; events need one more rule, and are left out without it.
import type { NodeStanding } from "../store.js";
import type { JsonObject, KubeApi } from "./api.js";
import { record } from "./node.js";

/** Events about nodes live here, as the kubelet's do. */
const NAMESPACE = "default";
const COMPONENT = "ripstop";

export class OwnNode {
  readonly #api: KubeApi;
  readonly #name: string;
  readonly #setCondition: boolean;
  #said = "";
  #complained = "";
  #eventsAllowed = true;

  constructor(api: KubeApi, name: string, setCondition: boolean) {
    this.#api = api;
    this.#name = name;
    this.#setCondition = setCondition;
  }

  /** Says it once; rejects when the API server does not take the condition, so that the caller can try again. */
  async tell(standing: NodeStanding, signal: AbortSignal): Promise<void> {
    const text = `${standing.available} ${standing.reason} ${standing.message}`;
    if (text === this.#said) return;
    if (this.#setCondition) await this.#writeCondition(standing, signal);
    this.#said = text;
    await this.#tellEvent(standing, signal).catch(() => undefined);
  }

  /** An Event of what somebody wrote for this node and cannot be used; never rejects. */
  async complain(problems: readonly string[], signal: AbortSignal): Promise<void> {
    const message = problems.join("; ");
    if (message === this.#complained) return;
    this.#complained = message;
    if (message === "") return;
    await this.#tellEvent({ available: false, reason: "AnnotationNotUsable", message }, signal).catch(() => undefined);
  }

  async #writeCondition({ available, reason, message }: NodeStanding, signal: AbortSignal): Promise<void> {
    const now = rfc3339();
    const status = available ? "False" : "True";
    const node = await this.#api.getNode(this.#name, signal);
    const conditions = record(record(node)["status"])["conditions"];
    const before = Array.isArray(conditions)
      ? conditions.map(record).find(({ type }) => type === "NetworkUnavailable")
      : undefined;
    if (before !== undefined && before["status"] === status && before["reason"] === reason) return;
    const turned = before?.["status"] === status ? before["lastTransitionTime"] : undefined;
    const condition: JsonObject = {
      type: "NetworkUnavailable",
      status,
      reason,
      message,
      lastHeartbeatTime: now,
      lastTransitionTime: typeof turned === "string" ? turned : now,
    };
    await this.#api.patchNodeStatus(this.#name, { status: { conditions: [condition] } }, signal);
  }

  async #tellEvent({ available, reason, message }: NodeStanding, signal: AbortSignal): Promise<void> {
    if (!this.#eventsAllowed) return;
    const now = rfc3339();
    this.#eventsAllowed = await this.#api.createEvent(
      NAMESPACE,
      {
        metadata: { generateName: `${this.#name}.`, namespace: NAMESPACE },
        involvedObject: { apiVersion: "v1", kind: "Node", name: this.#name, uid: this.#name },
        type: available ? "Normal" : "Warning",
        reason,
        message,
        source: { component: COMPONENT, host: this.#name },
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
      },
      signal,
    );
  }
}

/** Seconds are all that Kubernetes keeps. */
function rfc3339(): string {
  return new Date().toISOString().replace(/\.\d+Z$/, "Z");
}
