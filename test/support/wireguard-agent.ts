// Preloaded into the agents of a lab (NODE_OPTIONS) on a kernel without WireGuard: wireguard-go makes the devices, which are TUNs
// then. All else is the agent as it is. wireguard-go outlives the agent, as a kernel's device does, and ends with the node.
import { spawn } from "node:child_process";
import { runCommand } from "../../src/host/command.js";
import type { TunnelSpec } from "../../src/host/host.js";
import { NetlinkHost } from "../../src/host/netlink-host.js";
import { until } from "./until.js";

const ensureTunnel = Reflect.get(NetlinkHost.prototype, "ensureTunnel");

NetlinkHost.prototype.ensureTunnel = async function (this: NetlinkHost, spec: TunnelSpec) {
  if (spec.kind !== "wireguard") return ensureTunnel.call(this, spec);
  const { name } = spec;
  const present = async () => (await this.links()).some((link) => link.name === name);
  if (!(await present())) {
    spawn("wireguard-go", ["-f", name], { detached: true, stdio: "ignore" }).unref();
    await until(`wireguard-go makes ${name}`, present, 30_000);
  }
  const answers = async () => (await runCommand(["wg", "show", name, "listen-port"])).code === 0;
  await until(`wireguard-go answers for ${name}`, answers, 30_000);
  return ensureTunnel.call(this, { ...spec, kind: "tun" });
};
