// The types of the addon's netlink part, as native/addon/netlink_wrap.cc defines them. netlink.ts is its only user.
import type { NativeError } from "../dataplane/binding.js";
import type { NetlinkGroup, NetlinkNotice, NetlinkObject, NetlinkRequest } from "./netlink-objects.js";

export interface NativeQuery {
  readonly dump?: string;
  readonly get?: "route" | "neighbor" | "link";
  readonly family?: number;
  readonly linkIndex?: number;
  readonly table?: number;
  readonly protocol?: number;
  readonly address?: string;
  readonly name?: string;
  readonly mark?: number;
}

export interface NativeNetlinkSocket {
  /** Failures only, flat: index, errno, text, index, errno, text, ... */
  apply(requests: readonly NetlinkRequest[]): Promise<ReadonlyArray<number | string> | NativeError>;
  read(query: NativeQuery): Promise<readonly NetlinkObject[] | NativeError>;
  writeSysctl(name: string, value: string): Promise<NativeError | null>;
  close(): void;
}

export interface NativeNetlinkEvents {
  take(): { readonly notices: readonly NetlinkNotice[]; readonly overrun: boolean; readonly errno: number };
  close(): void;
}

export interface NativeNetlink {
  /** `namespacePath` "" is the process's own network namespace. */
  openSocket(namespacePath: string): NativeNetlinkSocket | NativeError;
  openEvents(
    namespacePath: string,
    groups: readonly NetlinkGroup[],
    wake: () => void,
  ): NativeNetlinkEvents | NativeError;
}
