// What we keep of a Node object: a few hundred bytes of the ten thousand and more that the API server sends. Everything else
// is dropped as soon as it is parsed. Untrusted: any field may have any type. Pure.
import type { AnnotationNames } from "./annotations.js";

export interface KubeNode {
  readonly name: string;
  /** Changes when a node is deleted and made again under the same name. */
  readonly uid: string;
  /** Milliseconds of the wall clock, as the API server stamped it; 0 when it is unreadable. */
  readonly createdMs: number;
  /** Only those that we read. */
  readonly annotations: ReadonlyMap<string, string>;
  readonly podCidrs: readonly string[];
}

/** As much as the API server takes for all annotations of an object is 256 KiB; ours are a few hundred bytes. */
export const VALUE_CHARS_MAX = 4096;

type Unknowns = Readonly<Record<string, unknown>>;

/** Null when the object has no name, so that it cannot be told from others. */
export function readNode(object: unknown, names: AnnotationNames): KubeNode | null {
  const metadata = record(record(object)["metadata"]);
  const spec = record(record(object)["spec"]);
  const name = metadata["name"];
  if (typeof name !== "string" || name === "") return null;
  const created = Date.parse(text(metadata["creationTimestamp"]));
  const all = record(metadata["annotations"]);
  const annotations = new Map<string, string>();
  for (const key of Object.values(names) as string[]) {
    const value = all[key];
    if (typeof value === "string") annotations.set(key, value.length > VALUE_CHARS_MAX ? beginning(value) : value);
  }
  const several = Array.isArray(spec["podCIDRs"]) ? (spec["podCIDRs"] as unknown[]) : [];
  const cidrs = several.length > 0 ? several : [spec["podCIDR"]];
  return {
    name,
    uid: text(metadata["uid"]),
    createdMs: Number.isFinite(created) ? created : 0,
    annotations,
    podCidrs: cidrs.filter((cidr): cidr is string => typeof cidr === "string" && cidr !== ""),
  };
}

/** Nothing that we read has changed. */
export function sameNode(a: KubeNode, b: KubeNode): boolean {
  return (
    a.uid === b.uid &&
    a.createdMs === b.createdMs &&
    a.annotations.size === b.annotations.size &&
    [...a.annotations].every(([name, value]) => b.annotations.get(name) === value) &&
    a.podCidrs.join() === b.podCidrs.join()
  );
}

export function record(value: unknown): Unknowns {
  return typeof value === "object" && value !== null ? (value as Unknowns) : {};
}

/** Long enough to be seen as too long; a copy, because a slice would keep the whole in memory. */
function beginning(value: string): string {
  return Buffer.from(value.slice(0, VALUE_CHARS_MAX + 1)).toString();
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
