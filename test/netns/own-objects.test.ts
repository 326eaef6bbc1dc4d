// Which devices `ripstop cleanup` takes for ours when they have no MAC of their own. A bridge stands in for each: kernels
// without the modules make neither, and a bridge is known by the same name and address.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findOwnObjects, removeOwnObjects } from "../../src/host/own-objects.js";
import { rootNeeded } from "../support/lab.js";
import { withNamespace } from "../support/network-namespace.js";

test(
  "a WireGuard or ipip device goes when it has our subnet's first address; another node's and a stranger's stay",
  { skip: rootNeeded },
  () =>
    withNamespace(async ({ netlink, ip }) => {
      const rows = [
        ["flannel-wg", "10.244.1.0/32"],
        ["flannel-wg-v6", "fd00:10:0:1::/128"],
        ["flannel.ipip", "10.244.9.0/32"],
        ["wg0", "10.244.1.0/32"],
      ] as const;
      for (const [name, address] of rows) {
        await ip("link", "add", name, "type", "bridge");
        await ip("address", "add", address, "dev", name);
      }
      const marks = { macs: new Map(), addresses: new Set(["10.244.1.0/32", "fd00:10:0:1::/128"]) };
      const objects = await findOwnObjects(netlink, marks);
      assert.deepEqual(
        objects.map(({ description }) => description),
        ["device flannel-wg", "device flannel-wg-v6"],
      );
      assert.deepEqual(await removeOwnObjects(netlink, objects), []);
      const left = (await netlink.dump("link")).map(({ name }) => name);
      assert.deepEqual(left.sort(), ["flannel.ipip", "lo", "wg0"]);
    }),
);
