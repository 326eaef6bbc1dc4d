// Checks of what lies around the overlay: CNI network lists in the wrong order, plugins that are missing. Reads two folders.
import { readdir } from "node:fs/promises";
import { type Finding, fail, ok, warn } from "./finding.js";

const PLUGINS = ["bridge", "host-local", "loopback", "portmap", "flannel"] as const;

export interface CniFolders {
  readonly configuration: string;
  readonly programs: string;
}

export async function checkCni({ configuration, programs }: CniFolders): Promise<Finding[]> {
  const lists = (await readdir(configuration).catch(() => [])).filter((name) => /\.conf(list)?$/.test(name)).sort();
  if (lists.length === 0) return [ok("cni", `no network list in ${configuration}: this node runs no CNI pods`)];
  const first = lists[0] ?? "";
  const ours = lists.find((name) => /flannel|ripstop/.test(name));
  const order =
    ours === undefined || ours === first
      ? ok("cni", `${configuration}/${first} is used`)
      : fail(
          "cni",
          `${configuration}/${first} comes before ${ours}`,
          "pods are set up by another network's list: they are not on this overlay",
          `remove ${first} when that network is gone`,
        );
  const present = new Set(await readdir(programs).catch(() => []));
  const missing = PLUGINS.filter((name) => !present.has(name));
  if (missing.length === 0) return [order, ok("cni_plugins", `${programs} holds ${PLUGINS.join(", ")}`)];
  return [
    order,
    warn(
      "cni_plugins",
      `${programs} lacks ${missing.join(", ")}`,
      "pods whose network list names them cannot be set up",
      "install containernetworking-plugins, and flannel's CNI plugin for a list of type flannel",
    ),
  ];
}
