// rtnetlink with the library's own addon: what src/host/netlink.ts is to the agent.
import { Netlink } from "../host/netlink.js";
import { addon } from "./addon.js";

/** `namespace` is a network namespace by path, such as "/run/netns/blue"; the process's own when absent. Throws NETLINK_OPEN_FAILED. */
export function openNetlink(options: { readonly namespace?: string | undefined } = {}): Netlink {
  return Netlink.open({ binding: addon().netlink, namespace: options.namespace });
}
