// The null path: two namespaces and a bare cable. What generator and sink cost on it is not the cost of any overlay.
import { deleteNamespaces, ensureNamespaces } from "../namespace.js";
import { Runner } from "../runner.js";
import type { Rig, RigContext } from "./rig.js";
import { NULL_PATH } from "./rivals.js";

const MTU = 1450;

export async function buildNullRig(context: RigContext): Promise<Rig> {
  const runner = new Runner();
  const [one, other] = [`${context.prefix}null-a`, `${context.prefix}null-b`];
  const down = (): Promise<void> => deleteNamespaces(runner, [one, other]);
  try {
    await deleteNamespaces(runner, [one, other]);
    await ensureNamespaces(runner, [one, other]);
    await runner.ip(one, [
      `link add eth0 mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${other}`,
      "address add 192.168.78.1/24 dev eth0",
      "link set eth0 up",
    ]);
    await runner.ip(other, ["address add 192.168.78.2/24 dev eth0", "link set eth0 up"]);
  } catch (error) {
    await down();
    throw error;
  }
  return {
    rival: NULL_PATH,
    forward: { from: one, to: other, address: "192.168.78.2" },
    backward: { from: other, to: one, address: "192.168.78.1" },
    plan: null,
    carriers: ["cable"],
    down,
  };
}
