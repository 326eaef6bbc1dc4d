// The classic proxy on both nodes of a lab of plain routes: its TUN gets the more specific route to the other node's pod.
import { endsBack, endsOf } from "../ends.js";
import type { LabNode, LabPlan } from "../plan.js";
import { Runner } from "../runner.js";
import { TrafficServer } from "../traffic/server.js";
import { toolPath } from "../traffic/tools.js";
import { waitFor } from "../wait.js";

const DEVICE = "classic0";
const UDP_OVERHEAD = 28;
const MTU = 1500 - UDP_OVERHEAD;

export class ClassicProxies {
  readonly #servers: TrafficServer[] = [];

  private constructor() {}

  static async start(plan: LabPlan, signal: AbortSignal): Promise<ClassicProxies> {
    const proxies = new ClassicProxies();
    const [one, other] = plan.nodes as readonly [LabNode, LabNode];
    const [there, back] = [await endsOf(plan), await endsBack(plan)];
    try {
      await proxies.#serve(one, other, there.address);
      await proxies.#serve(other, one, back.address);
      const reached = async (): Promise<true | null> => {
        const ping = ["-n", "-q", "-c", "1", "-W", "1", there.address];
        return (await new Runner().runIn(there.from, "ping", ping)).code === 0 ? true : null;
      };
      await waitFor("the classic proxies to carry a ping", reached, { timeoutMs: 30_000, signal });
      return proxies;
    } catch (error) {
      proxies.stop();
      throw error;
    }
  }

  async #serve(node: LabNode, peer: LabNode, pod: string): Promise<void> {
    const runner = new Runner();
    const args = ["--tun", DEVICE, "--local", node.underlay, "--routes", `${pod}/32=${peer.underlay}`];
    this.#servers.push(await TrafficServer.start(node.namespace, toolPath("classic_proxy"), args, /^ready$/m));
    await runner.ip(node.namespace, [
      `link set ${DEVICE} mtu ${MTU} txqueuelen 1000 up`,
      `route replace ${pod}/32 dev ${DEVICE}`,
      `link set pod0 mtu ${MTU}`,
      `link set cni0 mtu ${MTU}`,
    ]);
    await runner.ip(node.pod, [`link set eth0 mtu ${MTU}`]);
  }

  stop(): void {
    for (const server of this.#servers) server.kill();
  }
}
