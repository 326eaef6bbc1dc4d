// A pod that speaks the overlay's own wire format: complete tunnel packets out of ordinary UDP sockets, with real inner frames,
// and a count of the inner packets that reach a pod.
import type { Runner } from "../../src/lab/runner.js";

export interface Datagram {
  /** An address of the pod; left out: whichever the kernel takes. */
  readonly from?: string;
  /** With %DEVICE for an address of link scope. */
  readonly to: string;
  readonly port: number;
  readonly payload: Buffer;
}

/** The UDP port of inner packets. */
const INNER_PORT = 9999;

/** An inner IPv4 packet from one pod to another, with an empty UDP datagram. */
export function innerPacket(from: string, to: string): Buffer {
  const packet = Buffer.alloc(28);
  packet.set([0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, ...octets(from), ...octets(to)]);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += packet.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  packet.writeUInt16BE(~sum & 0xffff, 10);
  packet.writeUInt16BE(INNER_PORT, 20);
  packet.writeUInt16BE(INNER_PORT, 22);
  packet.writeUInt16BE(8, 24);
  return packet;
}

/** The same in a frame for a VTEP, behind a VXLAN header. */
export function vxlanPayload(vni: number, vtepMac: string, packet: Buffer): Buffer {
  const header = Buffer.from([8, 0, 0, 0, 0, 0, vni, 0]);
  const ethernet = Buffer.from(`${vtepMac.replaceAll(":", "")}0200000000ff0800`, "hex");
  return Buffer.concat([header, ethernet, packet]);
}

/** Sends each datagram `times` times from a process in the pod. */
export async function sendFromPod(
  runner: Runner,
  pod: string,
  datagrams: readonly Datagram[],
  times: number,
): Promise<void> {
  const list = datagrams.map(({ from, to, port, payload }) => ({ from, to, port, hex: payload.toString("hex") }));
  const program = `
    const dgram = require("node:dgram");
    (async () => {
      for (const { from, to, port, hex } of ${JSON.stringify(list)}) {
        const socket = dgram.createSocket(to.includes(":") ? "udp6" : "udp4");
        await new Promise((bound) => socket.bind(0, from, bound));
        for (let left = ${times}; left > 0; left--)
          await new Promise((sent, failed) =>
            socket.send(Buffer.from(hex, "hex"), port, to, (error) => (error ? failed(error) : sent())));
        socket.close();
      }
    })();`;
  await runner.mustIn(pod, process.execPath, ["-e", program]);
}

/** Inner packets that arrive in a pod, counted by its kernel from the first call on. */
export class InnerArrivals {
  readonly #runner: Runner;
  readonly #pod: string;

  private constructor(runner: Runner, pod: string) {
    this.#runner = runner;
    this.#pod = pod;
  }

  static async watch(runner: Runner, pod: string): Promise<InnerArrivals> {
    const table = `table ip arrivals {
      counter inner { }
      chain input {
        type filter hook input priority filter;
        udp dport ${INNER_PORT} counter name inner drop
      }
    }`;
    await runner.mustIn(pod, "nft", ["-f", "-"], { input: table });
    return new InnerArrivals(runner, pod);
  }

  count(): Promise<number> {
    return nftCount(this.#runner, this.#pod, "ip arrivals", "inner");
  }
}

export async function nftCount(runner: Runner, namespace: string, table: string, counter: string): Promise<number> {
  const text = await runner.mustIn(namespace, "nft", ["list", "counter", ...table.split(" "), counter]);
  return Number(/packets (\d+)/.exec(text)?.[1] ?? Number.NaN);
}

function octets(address: string): number[] {
  return address.split(".").map(Number);
}
